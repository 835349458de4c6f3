"""What a signature is judged on, at its edges: which readings, on whose clock, which regimen, and whose draft."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from careplan.clinic import standing
from careplan.clinic.errors import ReviewError
from careplan.clinic.importing import store_records
from careplan.clinic.regimens import prescribed, save_regimen
from careplan.clinic.reviews import draft_of, load_draft, recent_readings, reviews_of, save_draft, sign_review
from careplan.clinic.suggestions import load_suggestion, save_suggestion
from careplan.records.events import PatientRecord, events_frame
from careplan.store import Database, data_hash
from careplan.suggestion import MEANINGS, Decision, Line
from careplan.therapies.glucose.decisions import Exposure, lows_against
from careplan.therapies.glucose.declaration import Regimen
from careplan.therapies.glucose.practice import PRACTICE
from careplan.therapies.glucose.regimen import current, settings_of

from ..kept import DR_ADA, DR_BEA, verified
from ..limits_table import HOLDS
from .build import REGIMEN, START, line, record, suggestion

MEANING, CHANGED, NONE = MEANINGS  # of decisions that are all accepted, some changed, all rejected


def moved(of: Line, regimen: Regimen) -> str:
    return standing._moved(of, current(regimen, of))


def accept(of: Line) -> Decision:
    return Decision(key=of.key, verdict="accept", value=of.proposed)


def reject(of: Line) -> Decision:
    return Decision(key=of.key, verdict="reject", value=of.current, reason="illness that week")


def stored(db: Database, events: Iterable[tuple[float, str, float]], *, patient: str = "ann", zone: str = "UTC") -> None:
    """A patient with events (minutes after `START`, channel, value)."""
    rows = [(START + pd.Timedelta(minutes=at), channel, value, 0.0, "", f"f:{at}") for at, channel, value in events]
    frame = events_frame(rows).sort_values("time", kind="stable", ignore_index=True)
    report = store_records(db, "table", [PatientRecord(patient=patient, zone=zone, events=frame, regimen=settings_of(REGIMEN))])
    assert not report.failed


def exposed(db: Database, of: Line, **changes: Any) -> Exposure:
    """The hypoglycaemia that a signature holds against a line of ann's."""
    day_too = changes.pop("day_too", False)
    with db.read() as session:
        readings = recent_readings(session, "ann", PRACTICE)
    return lows_against(suggestion(of, **changes), of, readings)[int(day_too)]


# Which readings.


def test_a_signature_is_judged_on_the_fourteen_days_up_to_the_last_reading(db: Database) -> None:
    """A low on the fifteenth day before it counts no longer; one exactly fourteen days before does; a bolus since counts not."""
    days = [*((1440.0 * day, "glucose", 120.0) for day in range(1, 20)), (0.0, "glucose", 60.0)]
    stored(db, [*days, (1440.0 * 40, "bolus", 2.0), (1440.0 * 30, "carbs", 40.0)])
    stored(db, [(1440.0 * 60, "glucose", 60.0)], patient="bob")
    with db.read() as session:
        recent = recent_readings(session, "ann", PRACTICE)
    assert len(recent) == 15 and recent["time"].min() == START + pd.Timedelta(days=5)
    assert exposed(db, line(start=0, end=1440)) == Exposure(15, 0.0, 0.0)


@pytest.mark.parametrize(("before", "counts"), [(14 * 1440.0, True), (14 * 1440.0 + 1, False)])
def test_the_edge_of_the_fourteen_days(db: Database, before: float, counts: bool) -> None:
    stored(db, [(0.0, "glucose", 50.0), (before, "glucose", 120.0)])
    assert exposed(db, line(start=0, end=1440)).below_54 == (50.0 if counts else 0.0)


def test_without_a_reading_more_insulin_is_refused(db: Database) -> None:
    stored(db, [(0.0, "bolus", 2.0), (60.0, "carbs", 20.0)])
    of = line(factor=1.1)
    assert exposed(db, of).readings == 0
    number = save_suggestion(db, suggestion(of)).id
    assert number is not None
    with pytest.raises(ReviewError, match="no recent readings"):
        sign_review(db, number, [accept(of)], DR_ADA, MEANING)


# On whose clock.


@pytest.mark.parametrize(
    ("clock", "inside"), [((5, 59), False), ((6, 0), True), ((10, 59), True), ((11, 0), False), ((23, 30), False)]
)
@pytest.mark.parametrize(("zone", "ahead"), [("UTC", 0), ("America/New_York", -5), ("Asia/Kathmandu", 5.75)])
def test_lows_are_judged_on_the_patients_clock(
    db: Database, clock: tuple[int, int], inside: bool, zone: str, ahead: float
) -> None:
    local = 1440.0 + 60 * clock[0] + clock[1]  # of the second day; the summer begins later
    stored(db, [(local - 60 * ahead, "glucose", 50.0)], zone=zone)
    assert exposed(db, line(block=1)).readings == int(inside)  # 06:00 to 11:00


def test_a_part_of_the_day_is_judged_for_a_block_and_the_day_for_a_dose_or_a_long_acting_one(db: Database) -> None:
    stored(db, [(60.0 * hour, "glucose", 60.0 if hour == 8 else 120.0) for hour in range(24)])
    part, day = Exposure(5, 20.0, 0.0), Exposure(24, pytest.approx(100 / 24), 0.0)
    assert exposed(db, line(block=1)) == part
    assert exposed(db, line(block=2)) == Exposure(6, 0.0, 0.0)
    assert exposed(db, line(block=2), kind="doses") == day
    assert exposed(db, replace(line(block=2), setting="long_acting")) == day
    # What less insulin is meant against is the graver of the two.
    assert exposed(db, line(block=2), day_too=True) == day
    assert exposed(db, line(block=1), day_too=True) == part


# Which regimen.


@pytest.mark.parametrize(
    ("now", "same"), [(1.0149, True), (1.0151, False), (0.9851, True), (0.9849, False)]
)  # a hundredth of it, and half a hundredth
def test_a_line_is_about_the_regimen_in_force_to_a_rounding(now: float, same: bool) -> None:
    regimen = replace(REGIMEN, basal=(9.0, now, 9.0, 9.0), long_acting=now)
    assert (moved(line(block=1, current=1.0), regimen) == "") is same
    assert (moved(replace(line(current=1.0), setting="long_acting"), regimen) == "") is same
    assert moved(line("carb_ratio"), regimen) == ""


def test_a_suggestion_about_no_regimen_cannot_be_signed(db: Database) -> None:
    frame = events_frame([(START, "glucose", 120.0, 0.0, "", "f:1")])
    store_records(db, "table", [PatientRecord(patient="ann", zone="UTC", events=frame)])
    number = save_suggestion(db, suggestion(line())).id
    assert number is not None
    with pytest.raises(ReviewError, match="there is no regimen in force to change"):
        sign_review(db, number, [reject(line())], DR_ADA, NONE)
    doses = save_suggestion(db, suggestion(kind="doses", at=datetime.now(UTC))).id
    assert doses is not None
    sign_review(db, doses, [], DR_ADA, NONE)
    assert prescribed(db, "ann") is None, "doses change no regimen"


def test_a_newer_suggestion_replaces_one_of_its_kind_alone(db: Database) -> None:
    store_records(db, "table", [record()])
    now = datetime.now(UTC)
    regimen, doses = (save_suggestion(db, made).id for made in (suggestion(line()), suggestion(kind="doses", at=now)))
    assert regimen is not None and doses is not None
    sign_review(db, regimen, [accept(line())], DR_ADA, MEANING)
    found = prescribed(db, "ann")
    assert found is not None and found.valid_from is not None and found.valid_from >= now
    sign_review(db, doses, [], DR_ADA, NONE)
    with db.read() as session:
        assert [review.suggestion for review in reviews_of(session, "ann", "regimen", "glucose")] == [regimen]
        assert [review.suggestion for review in reviews_of(session, "ann", "doses", "glucose")] == [doses]
    newest = save_suggestion(db, suggestion(line(current=0.9, proposed=0.9))).id
    assert newest is not None, "what was signed does not sign the next"
    sign_review(db, newest, [reject(line(current=0.9))], DR_ADA, NONE)


def test_what_has_been_replaced_is_not_about_the_regimen_either(db: Database) -> None:
    store_records(db, "table", [record()])
    number = save_suggestion(db, suggestion(line())).id
    assert number is not None
    save_suggestion(db, suggestion(line()))
    save_regimen(db, "ann", replace(REGIMEN, basal=(2.0, 2.0, 2.0, 2.0)))
    with pytest.raises(ReviewError) as refused:
        sign_review(db, number, [reject(line())], DR_ADA, NONE)
    assert len(refused.value.problems) == 2


# For how long.


@pytest.mark.parametrize(
    ("kind", "age", "holds"),
    [
        ("regimen", HOLDS["regimen"], True),
        ("regimen", HOLDS["regimen"] + timedelta(seconds=1), False),
        ("doses", HOLDS["doses"], True),
        ("doses", HOLDS["doses"] + timedelta(seconds=1), False),
    ],
)
def test_a_suggestion_holds_for_so_long_and_no_longer(db: Database, kind: str, age: timedelta, holds: bool) -> None:
    """Settings from when they were made, doses from when they begin."""
    store_records(db, "table", [record()])
    now, other = datetime.now(UTC), datetime(2024, 3, 16, tzinfo=UTC)
    since = {"created": now - age, "at": other} if kind == "regimen" else {"created": other, "at": now - age}
    made = suggestion(*([line()] if kind == "regimen" else []), kind=kind, therapy="glucose", **since)
    with db.read() as session:
        found = standing.out_of_date(session, made, now)
    assert (found == []) is holds
    if not holds:
        assert f"holds for {'14 days' if kind == 'regimen' else '30 minutes'}: plan again" in found[0]


def test_a_suggestion_is_about_the_recordings_it_was_made_from(db: Database) -> None:
    store_records(db, "table", [record()])
    with db.read() as session:
        data = data_hash(session, "ann")
        for provenance, same in (({"data": data}, True), ({"data": "other"}, False), ({}, True)):
            found = standing.out_of_date(session, suggestion(line(), therapy="glucose", provenance=provenance))
            assert (found == []) is same, found


# What is kept, and whose.


def kept(db: Database, *lines: Line) -> int:
    store_records(db, "table", [record()])
    number = save_suggestion(db, suggestion(*lines)).id
    assert number is not None
    return number


def test_a_signature_is_checkpointed_and_takes_all_drafts_with_it(db: Database) -> None:
    number = kept(db, line())
    save_draft(db, number, [accept(line())], DR_ADA)
    save_draft(db, number, [reject(line())], DR_BEA)
    before = verified(db).checkpoints
    review = sign_review(db, number, [accept(line())], DR_ADA, MEANING)
    assert verified(db).checkpoints == before + 1
    assert (review.meaning, review.reviewer, review.suggestion, review.patient) == (MEANING, DR_ADA.name, number, "ann")
    assert review.decisions == (accept(line()),) and review.id is not None
    with db.read() as session:
        assert reviews_of(session, "ann", "regimen", "glucose") == (review,)
    assert load_draft(db, number) == ()
    found = verified(db)
    assert found.problem is None


def test_a_reviewer_goes_on_with_their_own_draft_or_with_the_newest(db: Database) -> None:
    number = kept(db, line())
    found = load_suggestion(db, number)

    def work(reviewer: Any) -> tuple[Decision, ...]:
        with db.read() as session:
            return draft_of(session, found, reviewer)

    assert work(DR_ADA) == () == load_draft(db, number)
    save_draft(db, number, [accept(line())], DR_ADA)
    assert work(DR_ADA) == work(DR_BEA) == load_draft(db, number) == (accept(line()),)
    assert load_draft(db, number, DR_BEA) == ()
    save_draft(db, number, [reject(line())], DR_BEA)
    assert work(DR_ADA) == (accept(line()),) and work(DR_BEA) == load_draft(db, number) == (reject(line()),)
    other = save_suggestion(db, suggestion(line())).id
    assert other is not None and load_draft(db, other) == ()
    with db.read() as session:
        assert draft_of(session, None, DR_ADA) == draft_of(session, suggestion(line()), DR_ADA) == ()


def test_a_draft_holds_no_line_twice(db: Database) -> None:
    number = kept(db, line())
    with pytest.raises(ReviewError, match="decided twice"):
        save_draft(db, number, [accept(line()), accept(line())], DR_ADA)
