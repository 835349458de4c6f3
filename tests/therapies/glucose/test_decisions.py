"""What may be decided of a line, at the edges of every rule: targets for lows, limits, and the reasons that are asked for."""

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from careplan.clinic.decisions import TYPED_REASON, draft_problems, meaning_of
from careplan.clinic.decisions import problems as all_problems
from careplan.covariates import CourseFacts
from careplan.minutes import DAY
from careplan.suggestion import Decision, Line
from careplan.therapies.glucose import decisions
from careplan.therapies.glucose.bands import ADULTS, most_low
from careplan.therapies.glucose.decisions import DANGER, INSULIN, Exposure, exposure, exposure_at, signable_bounds
from careplan.therapies.glucose.declaration import LIMITS, Regimen, limits_of
from careplan.therapies.glucose.rule_words import rule_in_words
from tests.clinic.build import line
from tests.limits_table import DOSES, LINES, LOWS

NAN = math.nan
SAFE, LOW, GRAVE = Exposure(4000, 1.0, 0.1), Exposure(4000, 5.0, 0.1), Exposure(4000, 9.0, 0.1)
ENOUGH, SHORT = "x" * 10, "x" * 9


def edit(of: Line, value: float, reason: str = "less caution is needed") -> Decision:
    return Decision(key=of.key, verdict="edit", value=value, reason=reason)


def found(of: Line, decision: Decision, exposed: Exposure = SAFE, against: Exposure | None = None) -> list[str]:
    return all_problems([of], [decision], lambda line, value: decisions.judged(line, value, exposed, against or exposed))


def dose(**changes: Any) -> Line:
    """A bolus of 4 U that is proposed: an edit can give less."""
    given = {"key": "bolus@0", "setting": "bolus", "unit": "U", "current": 0.0, "proposed": 4.0, "lowest": 0.0, "highest": 4.0}
    return replace(line(), **{**given, "absolute_low": 0.0, "absolute_high": 4.0, "days": 1, **changes})


def test_the_targets_for_lows_are_the_consensus() -> None:
    most = most_low(ADULTS)
    assert {ADULTS.levels["low"]: most["below_70"], ADULTS.levels["very_low"]: most["below_54"]} == LOWS
    assert (DANGER, TYPED_REASON) == (2.0, 10)
    assert INSULIN == {
        "basal": 1,
        "long_acting": 1,
        "bolus": 1,
        "temp_basal": 1,
        "carb_ratio": -1,
        "correction_factor": -1,
    }


@pytest.mark.parametrize(
    ("exposed", "breach", "danger"),
    [
        (Exposure(0, NAN, NAN), "no recent readings", False),
        (Exposure(1, 3.99, 0.99), None, False),
        (Exposure(1, 4.0, 0.99), "4.0 % of readings are below 70", False),
        (Exposure(1, 3.99, 1.0), "1.0 % of readings are below 54", False),
        (Exposure(9, 7.99, 1.99), "below 54", False),
        (Exposure(9, 8.0, 0.0), "below 70", True),
        (Exposure(9, 2.0, 2.0), "below 54", True),
    ],
)
def test_a_target_is_broken_where_it_is_reached(exposed: Exposure, breach: str | None, danger: bool) -> None:
    told = exposed.breach
    assert told is None if breach is None else told is not None and breach in rule_in_words(told)
    assert exposed.danger == danger
    if exposed.readings:
        assert exposed.burden == max(exposed.below_70 / 4, exposed.below_54)


@pytest.mark.filterwarnings("error")
def test_a_part_of_the_day_begins_with_its_first_minute_and_ends_before_its_last() -> None:
    minute = np.array([0.0, 359.0, 360.0, 659.0, 660.0, 1439.0])
    glucose = np.array([60.0, 50.0, 69.9, 53.9, 54.0, 70.0])
    assert exposure(glucose, minute, 360, 660) == Exposure(2, 100.0, 50.0)
    assert exposure(glucose, minute, 660, 360) == Exposure(4, 75.0, 25.0)  # past midnight
    whole = Exposure(6, pytest.approx(500 / 6), pytest.approx(200 / 6))
    assert exposure(glucose, minute, 360, 360) == exposure(glucose, minute) == whole
    assert exposure(glucose, minute, 661, 1439).readings == 0 and math.isnan(exposure(glucose, minute, 661, 1439).below_70)
    assert math.isnan(exposure(glucose, minute, 661, 1439).below_54)
    assert exposure(np.array([np.nan, np.inf, 60.0]), np.zeros(3)) == Exposure(1, 100.0, 0.0)


def test_a_part_is_held_to_the_day_only_where_the_day_is_graver() -> None:
    minute = np.arange(0.0, DAY, 5.0)
    same = np.full(288, 65.0)
    assert exposure_at(same, minute, 0, 360).readings == 72, "no graver: the part"
    low_day = np.where(minute < 360, 120.0, 65.0)
    assert exposure_at(low_day, minute, 0, 360) == exposure(low_day, minute)
    some = np.where((minute >= 360) & (minute < 400), 65.0, 120.0)  # 2.8 % of the day: no target is broken
    assert exposure_at(some, minute, 0, 360) == Exposure(72, 0.0, 0.0)


def test_a_draft_holds_each_line_of_the_suggestion_once() -> None:
    of, other = line(), line(block=2)
    assert draft_problems([of, other], [edit(of, 1.0), edit(other, 1.0)]) == []
    assert draft_problems([of], [edit(of, 1.0), edit(of, 1.0)]) == [f"{of.key}: decided twice"]
    assert draft_problems([of], [edit(other, 1.0)]) == [f"{other.key}: the suggestion has no such line"]
    told = all_problems([of, other], [edit(of, 0.9)], lambda line, value: decisions.judged(line, value, SAFE, SAFE))
    assert told == [f"{other.key}: not decided"]


LINE = line()  # basal of 1 U/h, 0.9 proposed; recommended 0.8 to 1.2, absolute 0.5 to 2
REJECTED = Decision(key=LINE.key, verdict="reject", value=1.0, reason="ill")
ACCEPTED = Decision(key=LINE.key, verdict="accept", value=0.9)


@pytest.mark.parametrize(
    ("decision", "says"),
    [
        (REJECTED, None),
        (replace(REJECTED, reason="  "), "a rejection needs a reason"),
        (replace(REJECTED, value=1 + 0.5e-6), None),
        (replace(REJECTED, value=1 + 3e-6), "a rejected line keeps 1 U/h"),
        (replace(REJECTED, value=NAN), "a rejected line keeps 1 U/h"),
        (ACCEPTED, None),
        (replace(ACCEPTED, value=0.9 * (1 + 0.5e-6)), None),
        (replace(ACCEPTED, value=0.9 * (1 + 3e-6)), "an accepted line is 0.9 U/h"),
        (replace(ACCEPTED, value=NAN), "is not a number"),
        (replace(ACCEPTED, value=math.inf), "is not a number"),
        (edit(LINE, 0.95, "why"), None),
        (edit(LINE, 0.95, " \t"), "an edit needs a reason"),
        (edit(LINE, 0.8, "why"), None),
        (edit(LINE, 1.2, "why"), None),
        (edit(LINE, 0.799, SHORT), "beyond the recommended 0.8 to 1.2; more than 20% in one visit: type a reason"),
        (edit(LINE, 0.799, f" {SHORT} "), "type a reason of at least 10 characters"),
        (edit(LINE, 0.799, ENOUGH), None),
        (edit(LINE, 0.75, ENOUGH), None),
        (edit(LINE, 1.201, SHORT), "beyond the recommended"),
        (edit(LINE, 1.201, ENOUGH), None),
        (edit(LINE, 0.5, ENOUGH), None),
        (edit(LINE, 0.499, ENOUGH), "absolute limits 0.5 to 2, which nobody can sign"),
        (edit(LINE, 2.0, ENOUGH), None),
        (edit(LINE, 2.001, ENOUGH), "absolute limits 0.5 to 2, which nobody can sign"),
    ],
)
def test_a_line_at_its_edges(decision: Decision, says: str | None) -> None:
    told = found(LINE, decision)
    assert told == [] if says is None else len(told) == 1 and says in told[0], told


def test_a_value_of_nothing_is_the_same_to_a_billionth() -> None:
    of = line(current=0.0, lowest=0.0, absolute_low=0.0)
    rejected = replace(REJECTED, key=of.key)
    assert found(of, replace(rejected, value=0.5e-9)) == []
    assert "keeps" in found(of, replace(rejected, value=5e-9))[0]


def test_all_that_is_wrong_is_told() -> None:
    wrong = Decision(key=LINE.key, verdict="reject", value=0.9)
    assert len(found(LINE, wrong)) == 2
    told = found(LINE, edit(LINE, 3.0, ""))
    assert ["an edit needs a reason" in told[0], "absolute limits" in told[1]] == [True, True] and len(told) == 2


def test_an_accepted_line_that_the_guard_refuses_is_to_edit_or_reject_whatever_the_reason() -> None:
    of = line(factor=0.7, lowest=0.0)
    [told] = found(of, Decision(key=of.key, verdict="accept", value=0.7, reason="a very good reason"))
    assert "the proposal is more than 20% in one visit" in told and "edit or reject it" in told
    inside = line(factor=0.7, lowest=0.75)  # beyond the recommended, and refused: told once
    assert len(found(inside, Decision(key=inside.key, verdict="accept", value=0.7))) == 1
    unusual = line(lowest=0.95)
    assert "type a reason" in found(unusual, Decision(key=unusual.key, verdict="accept", value=0.9))[0]
    assert found(unusual, Decision(key=unusual.key, verdict="accept", value=0.9, reason=ENOUGH)) == []


@pytest.mark.parametrize("setting", sorted(LINES))
def test_the_absolute_limits_are_the_narrower_of_the_lines_own_and_the_settings(setting: str) -> None:
    lowest, highest, _, _ = LINES[setting]
    wide = {"lowest": -9.0, "highest": 1e4, "absolute_low": -9.0, "absolute_high": 1e4}
    of = replace(line(), setting=setting, current=highest, proposed=highest, **wide)  # type: ignore[arg-type]
    for value, within in ((lowest, True), (lowest - 0.01, False), (highest, True), (highest + 0.01, False)):
        assert any(f"absolute limits {lowest:g} to {highest:g}" in told for told in found(of, edit(of, value))) is not within
    narrow = replace(of, absolute_low=lowest + 1, absolute_high=highest - 1)
    for value, within in ((lowest + 1, True), (lowest + 0.9, False), (highest - 1, True), (highest - 0.9, False)):
        assert any("nobody can sign" in told for told in found(narrow, edit(narrow, value))) is not within


@pytest.mark.parametrize("group", sorted(DOSES))
def test_what_the_therapy_allows_a_patient_now(group: Any) -> None:
    bolus, _, _, _, rate, times = DOSES[group]
    facts = CourseFacts(group=group)
    assert signable_bounds(dose(), facts, None) == (0.0, bolus)
    for setting, (lowest, highest, _, _) in LINES.items():
        assert signable_bounds(replace(line(), setting=setting), facts, None) == (lowest, highest)  # type: ignore[arg-type]
    temporary = replace(line(), setting="temp_basal")
    regimen = Regimen(basal=(0.2, 0.5, 0.4, 0.3), carb_ratio=(10.0,) * 4, correction_factor=(50.0,) * 4)
    assert signable_bounds(temporary, facts, None) == (0.0, times)
    assert signable_bounds(temporary, facts, regimen) == (0.0, times), "four times the fastest is below the largest rate"
    assert signable_bounds(temporary, facts, replace(regimen, basal=(0.2, 5.0, 0.4, 0.3))) == (0.0, rate / 5.0)
    assert signable_bounds(temporary, facts, replace(regimen, basal=(0.0,) * 4)) == (0.0, times)


@pytest.mark.parametrize(
    ("group", "age", "holds"),
    [("adult", 11.9, "child"), ("adult", 12, "adolescent"), ("adolescent", 40, "adolescent"), ("child", 18, "child"),
     ("adult", 18, "adult"), ("adult", None, "adult")],
)  # fmt: skip
def test_somebody_younger_than_their_group_has_the_limits_of_their_age(group: str, age: float | None, holds: Any) -> None:
    facts = CourseFacts(group=group, covariates={} if age is None else {"age": age})
    assert limits_of(facts) == LIMITS[holds] and signable_bounds(dose(), facts, None) == (0.0, LIMITS[holds].max_dose)


def test_a_group_that_the_therapy_does_not_have_is_an_error() -> None:
    with pytest.raises(ValueError, match="'elder' is no group, expected one of adult, adolescent, child"):
        limits_of(CourseFacts(group="elder"))


def test_a_stored_line_cannot_widen_what_the_therapy_allows() -> None:
    of = dose(highest=80.0, absolute_high=80.0, proposed=80.0)
    assert "absolute limits 0 to 5" in found(of, edit(of, 5.1))[0], "a child's, where nothing is said of the patient"
    for value, fine in ((5.0, True), (5.01, False), (0.0, True)):
        assert (found(of, edit(of, value)) == []) is fine

    def within(value: float, bounds: tuple[float, float]) -> list[str]:
        return all_problems([of], [edit(of, value)], lambda line, value: decisions.judged(line, value, SAFE, SAFE, bounds))

    assert within(16.0, (0.0, 17.0)) == []
    assert "absolute limits 15 to 17" in within(14.0, (15.0, 17.0))[0]


def test_what_a_signature_means_follows_from_its_decisions() -> None:
    of, other = line(), line(block=2)
    accepted, second = Decision(key=of.key, verdict="accept", value=0.9), Decision(key=other.key, verdict="accept", value=0.8)
    rejected = Decision(key=of.key, verdict="reject", value=1.0)
    assert meaning_of([of, other], [accepted, second]) == "prescribe as proposed"
    assert meaning_of([of, other], [rejected, second]) == "prescribe with changes"
    assert meaning_of([of, other], [edit(of, 0.9), second]) == "prescribe with changes"
    assert meaning_of([of], [edit(of, 0.9)]) == "prescribe with changes"
    assert meaning_of([of], [rejected]) == meaning_of([of], []) == meaning_of([], []) == "prescribe no change"


def test_a_dose_has_the_limits_it_states_and_needs_no_evidence() -> None:
    for value, within in ((0.0, True), (4.0, True), (4.01, False), (-0.01, False)):
        assert any("nobody can sign" in told for told in found(dose(), edit(dose(), value))) is not within
    assert found(dose(), edit(dose(), 1.0, "why")) == []


@pytest.mark.parametrize("exposed", [LOW, Exposure(0, NAN, NAN)])
def test_more_insulin_despite_lows_is_refused_for_a_setting_and_needs_a_reason_for_a_dose(exposed: Exposure) -> None:
    [told] = found(LINE, edit(LINE, 1.01, ENOUGH), exposed)
    assert "more insulin is not allowed here" in told
    assert found(LINE, edit(LINE, 1.0, ENOUGH), exposed) == []
    assert found(LINE, edit(LINE, 0.99, ENOUGH), exposed) == []
    [told] = found(dose(), edit(dose(), 1.0, SHORT), exposed)
    assert "more insulin needs a reason of at least 10 characters" in told
    assert found(dose(), edit(dose(), 1.0, ENOUGH), exposed) == []
    assert found(dose(), edit(dose(), 0.0, SHORT), exposed) == []


# How much less insulin may be decided at once without a word: by a fifth; by 30 % where the target for lows is broken; by half
# where it is broken by far. `ACCEPT` tells whether the guard agrees, since an accepted line needs its agreement.


@pytest.mark.parametrize(
    ("against", "inside", "outside"),
    [
        (SAFE, 0.8, 0.79),
        (LOW, 0.7, 0.69),
        (GRAVE, 0.5, 0.49),
        (Exposure(0, NAN, NAN), 0.8, 0.79),
        (Exposure(0, 9.0, 9.0), 0.8, 0.79),
        (Exposure(9, 3.99, 0.5), 0.8, 0.79),
        (Exposure(9, 4.0, 0.5), 0.7, 0.69),
        (Exposure(9, 7.99, 0.5), 0.7, 0.69),
        (Exposure(9, 8.0, 0.5), 0.5, 0.49),
    ],
)
def test_less_insulin_is_allowed_by_as_much_as_lows_ask_for(against: Exposure, inside: float, outside: float) -> None:
    for value, fine in ((inside, True), (outside, False)):
        of = line(factor=value, lowest=0.0, absolute_low=0.0)
        accepted = Decision(key=of.key, verdict="accept", value=of.proposed)
        assert (found(of, accepted, SAFE, against) == []) is fine
        assert (found(of, accepted, against) == []) is fine, "where nothing is said apart, what forbids more allows less"


@pytest.mark.parametrize(("factor", "fine"), [(1.3, True), (1.31, False)])
def test_a_larger_ratio_is_less_insulin(factor: float, fine: bool) -> None:
    of = line("carb_ratio", factor=factor, highest=99.0, absolute_high=99.0)
    accepted = Decision(key=of.key, verdict="accept", value=of.proposed)
    assert (found(of, accepted, LOW) == []) is fine
    more = line("carb_ratio", factor=0.75, lowest=0.0, absolute_low=0.0)
    told = found(more, Decision(key=more.key, verdict="accept", value=more.proposed), LOW)
    assert "more than 20% in one visit" in told[0] and "more insulin is not allowed here" in told[1]


def test_what_gives_more_is_held_to_a_fifth_despite_grave_lows() -> None:
    of = line(factor=1.25, highest=9.0)
    told = found(of, Decision(key=of.key, verdict="accept", value=1.25), SAFE, GRAVE)
    assert len(told) == 1 and "more than 20% in one visit" in told[0]
    assert "low-level target" not in told[0]


def test_a_setting_needs_a_week_of_evidence() -> None:
    assert found(line(days=7), replace(ACCEPTED)) == []
    assert "6 days of evidence, 7 needed" in found(line(days=6), ACCEPTED)[0]
    assert "6 days of evidence" in found(line(days=6), edit(line(days=6), 0.9, SHORT))[0]
    assert found(line(days=6), edit(line(days=6), 0.9, ENOUGH)) == []


def readings_of(**low_at: float) -> pd.DataFrame:
    """A fortnight of a reading every five minutes at 120 mg/dL, with 60 in the hour that begins at `hour` and `minute`."""
    times = pd.date_range("2026-03-01", periods=14 * 288, freq="5min", tz="UTC")
    minute = times.hour * 60 + times.minute
    begin = 60 * low_at.get("hour", 0.0) + low_at.get("minute", 0.0)
    return pd.DataFrame({"time": times, "value": np.where((minute >= begin) & (minute < begin + 60), 60.0, 120.0)})


def asked(kind: str, lines: tuple[Line, ...] = (line(),)) -> Any:
    return SimpleNamespace(kind=kind, lines=lines)


@pytest.mark.parametrize(
    ("kind", "changes", "whole_day"),
    [
        ("regimen", {}, False),
        ("regimen", {"setting": "long_acting", "key": "long_acting@0"}, True),
        ("doses", {}, True),
        ("doses", {"setting": "long_acting"}, True),
    ],
)
def test_lows_count_where_a_setting_acts_and_those_of_the_whole_day_for_doses(
    kind: str, changes: dict[str, Any], whole_day: bool
) -> None:
    of = replace(line(), start=6 * 60, end=9 * 60, **changes)
    within, _ = decisions.lows_against(asked(kind), of, readings_of(hour=7, minute=30))
    assert within.below_70 == pytest.approx(100 / 24 if whole_day else 100 / 3, rel=1e-6)
    outside, against = decisions.lows_against(asked(kind), of, readings_of(hour=12))
    assert outside.below_70 == pytest.approx(100 / 24 if whole_day else 0.0) and against.below_70 == pytest.approx(100 / 24)


def test_readings_at_midnight_count_in_a_day_from_its_first_minute() -> None:
    of = replace(line(), setting="long_acting", start=0, end=DAY)
    midnight = readings_of().assign(value=lambda found: np.where(found["time"].dt.strftime("%H:%M") == "00:00", 60.0, 120.0))
    assert decisions.lows_against(asked("regimen"), of, midnight)[0].below_70 == pytest.approx(100 / 288)


def test_lows_are_told_beside_doses_that_are_suggested_and_beside_nothing_else() -> None:
    low, calm = readings_of(hour=3), readings_of().assign(value=120.0)
    said = decisions.caution(asked("doses"), low)
    assert said is not None and said.startswith("4.2 % of readings are below 70 mg/dL")
    assert decisions.caution(asked("doses"), calm) is None
    assert decisions.caution(asked("doses", lines=()), low) is None


@pytest.mark.parametrize(("basal", "highest"), [(0.5, 4.0), (5.0, 2.0), (1.0, 4.0), (0.0, 4.0)])
def test_a_rate_is_bounded_by_its_multiple_and_by_the_largest_rate(basal: float, highest: float) -> None:
    of = replace(line(), key="temp_basal@0", setting="temp_basal")
    regimen = Regimen(starts=(0,), basal=(basal,), carb_ratio=(10.0,), correction_factor=(40.0,))
    assert signable_bounds(of, CourseFacts(group="adult"), regimen) == (0.0, highest)
    assert signable_bounds(of, CourseFacts(group="adult"), None) == (0.0, 4.0)


def test_a_childs_rate_is_bounded_below_its_multiple_where_less_than_a_unit_an_hour_is_prescribed() -> None:
    of = replace(line(), key="temp_basal@0", setting="temp_basal")
    regimen = Regimen(starts=(0,), basal=(0.8,), carb_ratio=(10.0,), correction_factor=(40.0,))
    assert signable_bounds(of, CourseFacts(group="child"), regimen) == (0.0, pytest.approx(3.75))
