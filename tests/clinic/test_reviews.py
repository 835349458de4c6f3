"""Signing: what is refused, what it changes, and what is left on record."""

import math
from dataclasses import replace
from datetime import UTC, datetime
from threading import Barrier, Thread
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from careplan.clinic import decisions
from careplan.clinic.errors import ClinicError, ReviewError
from careplan.clinic.importing import store_records
from careplan.clinic.pages import review_page
from careplan.clinic.recordings import read_recording
from careplan.clinic.regimens import prescribed, save_regimen
from careplan.clinic.reviews import load_draft, save_draft, sign_review
from careplan.clinic.suggestions import latest_suggestion, load_suggestion, save_suggestion
from careplan.minutes import DAY
from careplan.store import Actor, Database
from careplan.store.schema import AuditEntry
from careplan.suggestion import MEANINGS, Decision, Line
from careplan.therapies.glucose import decisions as rules
from careplan.therapies.glucose.bands import ADULTS
from careplan.therapies.glucose.decisions import Exposure
from careplan.therapies.glucose.lines import _near_target
from careplan.therapy import Mandate
from tests.reached import reached, reaches

from ..kept import DR_ADA, DR_BEA, verified
from .build import REGIMEN, line, record, suggestion

MEANING, CHANGED, NONE = MEANINGS  # of decisions that are all accepted, some changed, all rejected
SAFE, LOW, UNKNOWN = Exposure(4000, 1.0, 0.1), Exposure(4000, 5.0, 0.1), Exposure(0, float("nan"), float("nan"))


def accept(of: Line) -> Decision:
    return Decision(key=of.key, verdict="accept", value=of.proposed)


def edit(of: Line, value: float, reason: str = "less caution is needed") -> Decision:
    return Decision(key=of.key, verdict="edit", value=value, reason=reason)


def reject(of: Line, reason: str = "illness that week") -> Decision:
    return Decision(key=of.key, verdict="reject", value=of.current, reason=reason)


def kept(db: Database, *lines: Line, level: float = 140.0, **changes: Any) -> int:
    """A stored suggestion for a stored patient."""
    store_records(db, "table", [record(level=level)])
    saved = save_suggestion(db, suggestion(*lines, **changes))
    assert saved.id is not None
    return saved.id


# The rules, one by one.

WEAKER, STRONGER = line(factor=0.9), line(factor=1.1)
CASES = [
    (WEAKER, [], SAFE, "not decided"),
    (WEAKER, [accept(WEAKER), accept(WEAKER)], SAFE, "decided twice"),
    (WEAKER, [accept(WEAKER), accept(line(block=2))], SAFE, "no such line"),
    (WEAKER, [reject(WEAKER, " ")], SAFE, "a rejection needs a reason"),
    (WEAKER, [replace(reject(WEAKER), value=WEAKER.proposed)], SAFE, "keeps 1 U/h"),
    (WEAKER, [edit(WEAKER, 0.95, "")], SAFE, "an edit needs a reason"),
    (WEAKER, [edit(WEAKER, 0.7, "because")], SAFE, "beyond the recommended 0.8 to 1.2"),
    (WEAKER, [edit(WEAKER, 0.4)], SAFE, "absolute limits 0.5 to 2"),
    (WEAKER, [edit(WEAKER, float("nan"))], SAFE, "not a number"),
    (line(factor=0.7, lowest=0.0), [accept(line(factor=0.7, lowest=0.0))], SAFE, "more than 20% in one visit: edit or reject it"),
    (line(factor=0.7, lowest=0.0), [edit(line(factor=0.7, lowest=0.0), 0.7, "because")], SAFE, "more than 20% in one visit"),
    (line(days=3), [accept(line(days=3))], SAFE, "3 days of evidence, 7 needed"),
    (line(absolute_high=99.0), [edit(line(absolute_high=99.0), 40.0)], SAFE, "absolute limits 0.5 to 35"),
    (WEAKER, [replace(accept(WEAKER), value=0.8)], SAFE, "edit it instead"),
    (STRONGER, [accept(STRONGER)], LOW, "5.0 % of readings are below 70"),
    (STRONGER, [accept(STRONGER)], Exposure(4000, 3.0, 1.0), "1.0 % of readings are below 54"),
    (STRONGER, [accept(STRONGER)], UNKNOWN, "no recent readings"),
    (WEAKER, [edit(WEAKER, 1.01)], LOW, "more insulin is not allowed"),
    (line("carb_ratio", factor=0.9), [accept(line("carb_ratio", factor=0.9))], LOW, "more insulin"),
    (line("correction_factor", factor=0.9), [accept(line("correction_factor", factor=0.9))], LOW, "more insulin"),
]


@pytest.mark.parametrize(("of", "decided", "exposed", "expected"), CASES)
def test_what_cannot_be_signed(of: Line, decided: list[Decision], exposed: Exposure, expected: str) -> None:
    found = decisions.problems([of], decided, lambda line, value: rules.judged(line, value, exposed, exposed))
    assert any(expected in problem for problem in found), found


@pytest.mark.parametrize(
    ("of", "decision", "exposed"),
    [
        (STRONGER, accept(STRONGER), SAFE),
        (WEAKER, accept(WEAKER), LOW),
        (WEAKER, accept(WEAKER), UNKNOWN),
        (STRONGER, reject(STRONGER), LOW),
        (STRONGER, edit(STRONGER, 0.7, "recurrent lows after breakfast"), LOW),
        (line("carb_ratio", factor=1.1), accept(line("carb_ratio", factor=1.1)), LOW),
    ],
)
def test_what_can_be_signed(of: Line, decision: Decision, exposed: Exposure) -> None:
    assert decisions.problems([of], [decision], lambda line, value: rules.judged(line, value, exposed, exposed)) == []


@st.composite
def decided(draw: st.DrawFn) -> tuple[Line, Decision, Exposure]:
    """A line and a decision that can be signed more often than not, or is spoilt in its value, its reason or its lows."""
    of = line(draw(st.sampled_from(["basal", "carb_ratio", "correction_factor"])), factor=draw(st.sampled_from([0.9, 1.1])))
    verdict = draw(st.sampled_from(["accept", "edit", "edit", "edit", "reject"]))
    near = {
        "accept": st.just(of.proposed),
        "reject": st.just(of.current),
        "edit": st.floats(0.4, 2.2).map(lambda f: f * of.current),
    }
    spoilt = draw(st.sampled_from(["value", "lows", *[""] * 4]))
    value = draw(st.floats(allow_nan=True, allow_infinity=True) if spoilt == "value" else near[verdict])
    reason = draw(st.sampled_from(["", "a reason long enough", "a reason long enough"]))
    few = st.builds(Exposure, st.integers(1, 5), st.floats(0, 3.9), st.floats(0, 0.9), st.just(ADULTS))
    lows = st.builds(Exposure, st.integers(0, 5), st.floats(0, 100), st.floats(0, 100), st.just(ADULTS))
    exposed = draw(lows if spoilt == "lows" else few)
    return of, Decision(key=of.key, verdict=verdict, value=value, reason=reason), exposed


@reaches(0.15)
@given(decided())
def test_nothing_signed_breaks_a_limit(case: tuple[Line, Decision, Exposure]) -> None:
    of, decision, exposed = case
    if decisions.problems([of], [decision], lambda line, value: rules.judged(line, value, exposed, exposed)):
        return
    reached()
    value = decision.value
    assert of.absolute_low <= value <= of.absolute_high
    assert of.lowest <= value <= of.highest or len(decision.reason) >= decisions.TYPED_REASON
    if exposed.readings == 0 or exposed.below_70 >= 4 or exposed.below_54 >= 1:
        more = value > of.current if of.setting == "basal" else value < of.current
        assert not more or abs(value - of.current) < 1e-6


def test_exposure_counts_each_boundary_and_part_of_the_day() -> None:
    glucose = np.array([53.9, 54.0, 69.9, 70.0, 100.0, np.nan])
    minute = np.array([0.0, 359.0, 360.0, 400.0, 1439.0, 10.0])
    assert rules.exposure(glucose, minute) == Exposure(5, 60.0, 20.0)
    assert rules.exposure(glucose, minute, 0, 360) == Exposure(2, 100.0, 50.0)
    assert rules.exposure(glucose, minute, 360, DAY) == Exposure(3, pytest.approx(100 / 3), 0.0)
    assert rules.exposure(glucose, minute, 1380, 60).readings == 2
    assert rules.exposure(glucose, minute, 500, 600).readings == 0


# Through the store.


def test_signing_prescribes_what_was_kept_and_nothing_else(db: Database) -> None:
    first, second, third = line(block=0, factor=0.9), line(block=1, factor=0.9), line("carb_ratio", block=2, factor=1.1)
    number = kept(db, first, second, third)
    review = sign_review(db, number, [accept(first), reject(second), edit(third, 11.5)], DR_ADA, CHANGED)
    found = prescribed(db, "ann")
    assert found is not None
    assert found.regimen == replace(REGIMEN, basal=(0.8 * 0.9, 1.0, 0.9, 0.7), carb_ratio=(10.0, 9.0, 11.5, 12.0))
    assert found.source == f"suggestion {number}"
    assert (review.reviewer, review.meaning, len(review.decisions)) == (DR_ADA.name, CHANGED, 3)
    assert latest_suggestion(db, "ann") == load_suggestion(db, number)
    assert load_suggestion(db, number).lines == (first, second, third)


def test_what_was_signed_hands_its_mandate_to_the_planning_of_doses(db: Database) -> None:
    mandate = Mandate(target=132.5, budgets=(0.02, 0.005))
    number = kept(db, line(), mandate=mandate)
    assert read_recording(db, "ann").mandate is None, "not before it is signed"
    sign_review(db, number, [accept(line())], DR_ADA, MEANING)
    assert read_recording(db, "ann").mandate == mandate
    save_regimen(db, "ann", REGIMEN)
    assert read_recording(db, "ann").mandate is None, "a regimen stated since hands nothing down"


def test_rejecting_everything_changes_no_regimen(db: Database) -> None:
    number = kept(db, line())
    sign_review(db, number, [reject(line())], DR_ADA, NONE)
    found = prescribed(db, "ann")
    assert found is not None and (found.regimen, found.source) == (REGIMEN, "stated")


def test_the_signature_is_on_the_audit_trail(db: Database) -> None:
    number = kept(db, line())
    review = sign_review(db, number, [accept(line())], DR_ADA, MEANING)
    with db.read() as session:
        entry = session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc()).limit(1)).one()
    assert (entry.actor, entry.action, entry.patient) == (DR_ADA.name, "signed", "ann")
    assert verified(db).problem is None
    assert entry.detail["review"] == review.id and entry.detail["meaning"] == MEANING
    assert entry.detail["decisions"][0]["value"] == line().proposed


def test_lows_in_one_part_of_the_day_forbid_more_insulin_there_only(db: Database) -> None:
    low = record()
    morning = low.events["time"].dt.hour.between(6, 10) & (low.events["channel"] == "glucose")
    low.events.loc[morning, "value"] = 60.0
    store_records(db, "table", [low])
    there, elsewhere = line(block=1, factor=1.1), line(block=2, factor=1.1)
    number = save_suggestion(db, suggestion(there, elsewhere)).id
    assert number is not None
    with pytest.raises(ReviewError) as refused:
        sign_review(db, number, [accept(there), accept(elsewhere)], DR_ADA, MEANING)
    assert [problem.split(":")[0] for problem in refused.value.problems] == [there.key]
    sign_review(db, number, [reject(there), accept(elsewhere)], DR_ADA, CHANGED)


def test_a_refused_signature_leaves_everything_as_it_was(db: Database) -> None:
    number = kept(db, line())
    save_draft(db, number, [accept(line())], DR_ADA)
    with pytest.raises(ReviewError, match="not decided"):
        sign_review(db, number, [], DR_ADA, MEANING)
    assert load_draft(db, number, DR_ADA) == (accept(line()),)
    found = prescribed(db, "ann")
    assert found is not None and found.source == "stated"


def test_the_meaning_of_a_signature_follows_from_its_decisions(db: Database) -> None:
    number = kept(db, line())
    for decided, wrong in (([accept(line())], NONE), ([reject(line())], MEANING), ([edit(line(), 0.95)], MEANING)):
        with pytest.raises(ReviewError, match="does not follow from the decisions"):
            sign_review(db, number, decided, DR_ADA, wrong)
    with pytest.raises(ReviewError, match="the meaning 'I agree'"):
        sign_review(db, number, [accept(line())], DR_ADA, "I agree")  # type: ignore[arg-type]


def test_a_suggestion_is_signed_once(db: Database) -> None:
    number = kept(db, line())
    sign_review(db, number, [reject(line())], DR_ADA, NONE)
    for again in (
        lambda: sign_review(db, number, [accept(line())], DR_BEA, MEANING),
        lambda: save_draft(db, number, [], DR_BEA),
    ):
        with pytest.raises(ReviewError, match="already signed by Dr Ada"):
            again()


def test_of_two_who_sign_at_once_one_signs_and_the_other_is_told(db: Database) -> None:
    number = kept(db, line())
    both, said = Barrier(2), dict[str, str]()

    def sign(who: Actor) -> None:
        both.wait()
        try:
            sign_review(db, number, [accept(line())], who, MEANING)
        except ReviewError as error:
            said[who.name] = str(error)

    threads = [Thread(target=sign, args=(who,)) for who in (DR_ADA, DR_BEA)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [(late, why)] = said.items()
    [review] = review_page(db, "ann").history
    assert {review.reviewer, late} == {"Dr Ada", "Dr Bea"} and f"already signed by {review.reviewer}" in why


def test_an_old_suggestion_cannot_be_signed(db: Database) -> None:
    old = kept(db, line())
    new = save_suggestion(db, suggestion(line(block=2))).id
    with pytest.raises(ReviewError, match=f"suggestion {new} has replaced this one"):
        sign_review(db, old, [accept(line())], DR_ADA, MEANING)


def test_a_suggestion_about_another_regimen_cannot_be_signed(db: Database) -> None:
    number = kept(db, line())
    save_regimen(db, "ann", replace(REGIMEN, basal=(2.0, 2.0, 2.0, 2.0)))
    with pytest.raises(ReviewError, match="the regimen is now 2 U/h, no longer 1"):
        sign_review(db, number, [accept(line())], DR_ADA, MEANING)


def test_an_abstention_cannot_be_signed(db: Database) -> None:
    number = kept(db, abstained=True, reasons=("an hour of data",))
    with pytest.raises(ReviewError, match="abstained"):
        sign_review(db, number, [], DR_ADA, MEANING)


def test_a_draft_survives_and_is_replaced_and_is_each_reviewers_own(db: Database) -> None:
    number = kept(db, line(), line(block=2))
    save_draft(db, number, [accept(line())], DR_ADA)
    save_draft(db, number, [reject(line(), "")], DR_BEA)
    save_draft(db, number, [edit(line(), 0.95, "")], DR_ADA)
    assert load_draft(db, number, DR_ADA) == (edit(line(), 0.95, ""),)
    assert load_draft(db, number, DR_BEA) == (reject(line(), ""),)
    with pytest.raises(ReviewError, match="no such line"):
        save_draft(db, number, [Decision(key="nothing", verdict="accept", value=1.0)], DR_ADA)


def test_a_stored_suggestion_is_never_stored_again(db: Database) -> None:
    kept(db, line())
    saved = latest_suggestion(db, "ann")
    assert saved is not None
    with pytest.raises(ClinicError, match="never edited"):
        save_suggestion(db, saved)
    with pytest.raises(ClinicError, match="suggestion 99 is not in the store"):
        load_suggestion(db, 99)


def test_an_estimated_regimen_is_fixed_when_a_suggestion_refers_to_it(db: Database) -> None:
    store_records(db, "table", [record(regimen=None)])
    found = prescribed(db, "ann")
    assert found is not None and (found.source, found.valid_from) == ("estimated", None)
    basal = found.regimen.basal[1]
    of = line(current=basal, proposed=basal * 0.9, lowest=basal * 0.8, highest=basal * 1.2)
    number = save_suggestion(db, suggestion(of)).id
    assert number is not None
    sign_review(db, number, [accept(of)], DR_ADA, MEANING)
    signed = prescribed(db, "ann")
    assert signed is not None and signed.regimen.basal[1] == pytest.approx(basal * 0.9)
    assert signed.valid_from is not None and signed.valid_from <= datetime.now(UTC)


def test_a_part_of_the_day_is_held_to_the_whole_day_where_that_is_graver() -> None:
    minute = np.arange(0, 1440, 5.0)
    glucose = np.where((minute >= 660) & (minute < 1020), 65.0, 120.0)
    for start, end in ((0, 360), (360, 660), (1020, 1440)):
        assert rules.exposure_at(glucose, minute, start, end) == rules.exposure(glucose, minute)
    assert rules.exposure_at(glucose, minute, 660, 1020).below_70 == 100.0
    few = np.where(minute < 30, 65.0, 120.0)  # 2 % of the day, 8 % of the night
    assert rules.exposure_at(few, minute, 0, 360).danger and not rules.exposure_at(few, minute, 360, 660).breach
    unseen = np.where(minute < 360, np.nan, glucose)
    assert not rules.exposure_at(unseen, minute, 0, 360).readings


@pytest.mark.parametrize(
    ("lows", "near"), [((1.9, 0.4), False), ((2.1, 0.0), True), ((0.5, 0.6), True), ((0.5, 3.6), False), ((math.nan, 0), False)]
)
def test_near_a_target_nothing_gives_more(lows: tuple[float, float], near: bool) -> None:
    assert bool(_near_target(Exposure(100, *lows))) == near
