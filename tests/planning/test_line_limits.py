"""The guardrails of one line of a regimen at their edges, both sides, against the limits that were read."""

import math
from dataclasses import replace
from typing import Any

import pytest

from careplan.breach import Breach, in_words
from careplan.planning.safety import Guarded, RegimenLine, guard_line, rounded
from careplan.therapies.glucose.declaration import LINE_LIMITS
from tests.limits_table import CAPS, EVIDENCE, LINES

NAN, INF = math.nan, math.inf
EDGE = 1e-6  # of a line's unit
MANY_LOWS = Breach("many lows", numbers={"share": 3.0})


def line(**changes: Any) -> RegimenLine:
    usual: dict[str, Any] = {
        "key": "basal@0",
        "current": 1.0,
        "direction": 1,
        "limits": LINE_LIMITS["basal"],
        "increment": 0.05,
        "days": 14.0,
        "breach": False,
    }
    return RegimenLine(**{**usual, **changes})


LOWER, UPPER, VISIT, LOWS, DANGER = CAPS
WIDE = replace(LINE_LIMITS["basal"], low_ratio=0.01, high_ratio=9.0)
NARROW = replace(WIDE, per_visit=0.4)  # one visit changes more than lows allow


@pytest.mark.parametrize(
    ("changes", "inside", "outside"),
    [
        ({}, 1 + VISIT, 1 + VISIT + 3 * EDGE),
        ({}, 1 - VISIT, 1 - VISIT - 3 * EDGE),
        ({"original": 0.9}, 0.9 * UPPER, 0.9 * UPPER + 3 * EDGE),
        ({"original": 1.25}, 1.25 * LOWER, 1.25 * LOWER - 3 * EDGE),
        ({"breach": True}, 1 - LOWS, 1 - LOWS - 3 * EDGE),
        ({"breach": True, "danger": True}, 1 - DANGER, 1 - DANGER - 3 * EDGE),
        ({"breach": False, "danger": True}, 1 - VISIT, 1 - VISIT - 3 * EDGE),
        ({"breach": None}, 1 - VISIT, 1 - VISIT - 3 * EDGE),
        ({"breach": True, "direction": -1}, 1 + LOWS, 1 + LOWS + 3 * EDGE),
        ({"breach": True, "direction": -1, "danger": True}, 1 + DANGER, 1 + DANGER + 3 * EDGE),
        ({"breach": True, "original": 1.25}, 0.875, 0.875 - 3 * EDGE),  # the original's 0.7, although lows allow 0.3 of now
        ({"breach": True, "danger": True, "original": 1.25}, 0.625, 0.625 - 3 * EDGE),  # half of the original
        ({"breach": True, "direction": -1, "original": 0.8, "limits": replace(WIDE, high_ratio=1.2)}, 1.04, 1.04 + 3 * EDGE),
        ({"breach": True, "direction": -1, "original": 0.8, "limits": replace(WIDE, high_ratio=1.6)}, 1.28, 1.28 + 3 * EDGE),
        ({"breach": True, "original": 1.25, "limits": replace(WIDE, low_ratio=0.6)}, 0.75, 0.75 - 3 * EDGE),
        ({"breach": True, "limits": NARROW}, 0.6, 0.6 - 3 * EDGE),
        ({"breach": True}, 1.0, 1.0 + 3 * EDGE),
        ({"breach": None}, 1.0, 1.0 + 3 * EDGE),
        ({"breach": None, "direction": -1}, 1.0, 1.0 - 3 * EDGE),
        ({"held": MANY_LOWS}, 1.0, 1.0 + 3 * EDGE),
        ({"held": MANY_LOWS}, 1 - VISIT, 1 - VISIT - 3 * EDGE),
        ({"limits": replace(WIDE, highest=1.1)}, 1.1, 1.1 + 1e-9),
        ({"limits": replace(WIDE, lowest=0.9)}, 0.9, 0.9 - 1e-9),
        ({"current": 0.05, "limits": replace(WIDE, lowest=0.05)}, 0.05, 0.05 - 1e-9),
        ({"current": 10.0}, 10 * (1 + VISIT), 10 * (1 + VISIT) + 3 * EDGE),
    ],
)
def test_a_line_at_its_edges(changes: dict[str, Any], inside: float, outside: float) -> None:
    assert guard_line(line(**changes), inside).allowed, guard_line(line(**changes), inside).breaches
    assert not guard_line(line(**changes), outside).allowed


def test_caps_are_widened_for_less_treatment_only() -> None:
    tight = replace(WIDE, low_ratio=0.9, high_ratio=1.1)
    for direction, value in ((1, 0.85), (-1, 1.15)):
        assert not guard_line(line(limits=tight, direction=direction), value).allowed
        assert guard_line(line(limits=tight, direction=direction, breach=True), value).allowed
    more = guard_line(line(breach=True, danger=True), 1.25).breaches
    assert more[0] == Breach("change in one visit", "basal@0", {"most": 0.2}) and more[-1].rule == "low-level target"
    assert not guard_line(line(breach=True, limits=tight), 1.15).allowed


def test_a_lines_tolerance_itself_is_within() -> None:
    still = replace(WIDE, per_visit=0.0, low_ratio=1.0, high_ratio=1.0)
    item = line(current=EDGE, limits=still)  # may not change at all, and is a millionth
    assert guard_line(item, 2 * EDGE).allowed and guard_line(item, 0.0).allowed
    assert not guard_line(item, 2.5 * EDGE).allowed


@pytest.mark.parametrize(("days", "enough"), [(EVIDENCE, True), (EVIDENCE - 0.01, False), (NAN, False)])
def test_a_line_needs_a_week_of_evidence(days: float, enough: bool) -> None:
    assert guard_line(line(days=days), 0.9).allowed == enough
    assert guard_line(line(days=days), 1.0).allowed, "to leave it alone needs none"
    assert guard_line(line(days=3.0, limits=replace(WIDE, least_days=3.0)), 0.9).allowed


@pytest.mark.parametrize("field", ["current", "original"])
@pytest.mark.parametrize("value", [0.0, -1.0, NAN, INF])
def test_a_line_needs_a_value_to_count_from(field: str, value: float) -> None:
    found = [breach for breach in guard_line(line(**{"original": 1.0, field: value}), 0.9).breaches if "value" in breach.rule]
    assert [breach.rule for breach in found] == [f"{field} value"] and "above 0" in in_words(found[0])


def test_what_counts_from_the_original_value_is_told_apart() -> None:
    assert guard_line(line(), 0.9) == Guarded()
    assert guard_line(line(breach=None), 1.0) == Guarded()
    assert guard_line(line(key="carb_ratio@360"), 0.9).allowed and line(key="carb_ratio@360").kind == "carb_ratio"
    [breach] = guard_line(line(breach=None), 1.1).breaches
    assert in_words(breach) == "basal@0: more treatment where the low-level target is broken or unknown"
    for direction, value in ((1, 1.1), (-1, 0.9)):
        [breach] = guard_line(line(direction=direction, held=MANY_LOWS), value).breaches
        assert breach == replace(MANY_LOWS, key="basal@0") and in_words(breach) == "basal@0: many lows (share 3)"
    assert guard_line(line(direction=-1, held=MANY_LOWS), 1.1).allowed


@pytest.mark.parametrize("setting", sorted(LINES))
def test_the_limits_of_each_setting_at_their_edges(setting: str) -> None:
    lowest, highest, low, high = LINES[setting]
    for value, absolute, recommended in (
        (lowest, True, False),
        (lowest - 0.001, False, False),
        (highest, True, False),
        (highest + 0.001, False, False),
        (low, True, True),
        (low - 0.001, True, False),
        (high, True, True),
        (high + 0.001, True, False),
    ):
        guarded = guard_line(line(limits=LINE_LIMITS[setting], current=(value or 1.0) * 1.01), value)  # type: ignore[index]
        assert ("absolute limits" in [breach.rule for breach in guarded.breaches]) is not absolute
        assert (guarded.advice == ()) == recommended


@pytest.mark.parametrize(
    ("current", "increment", "factor", "expected"),
    [
        (10.0, 0.5, 1.13, 11.0),  # down to the step below, towards the current value
        (10.0, 0.5, 0.87, 9.0),  # up to the step above
        (3.0, 0.1, 1.1, 3.3),  # 3.3000000000000003 is 33 steps
        (0.7, 0.1, 1.3, 0.9),  # 9.1 steps
        (1.0, 0.1, 0.7, 0.7),  # 6.999999999999999 steps
        (1.1, 0.11, 1.1, 1.21),  # 11.000000000000002 steps
        (1.2, 0.05, 1.25, 1.5),
        (0.6, 0.5, 1.1, 0.6),  # 0.5 would be less than now
        (0.6, 0.5, 0.9, 0.6),  # 1.0 would be more than now
        (0.5, 0.5, 1.5, 0.5),
        (0.5, 0.5, 1.05, 0.5),
        (0.5, 0.5, 2.0, 1.0),
        (30.0, 2.5, 1.09, 32.5),
        (1 / 3, 1e-7, 1.2, 0.4),  # to six places
        (0.123457, 1e-7, 1.0000081, 0.123458),
        (1.0, 1 / 3, 1.5, 1.333333),  # four thirds to six places
        (1.0, 1.0, 1.999995, 1.0),  # five millionths of a step below two steps
        (2.0, 1.0, 0.5000025, 2.0),  # five millionths of a step above one step
        (10.0, 0.5, 1.0, 10.0),
        (1.02, 0.05, 1.0, 1.02),  # between two steps
    ],
)
def test_a_line_is_rounded_to_its_increment_and_never_across_its_current_value(
    current: float, increment: float, factor: float, expected: float
) -> None:
    assert rounded(line(current=current, increment=increment), factor) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("current", "increment"), [(NAN, 0.5), (INF, 0.5), (10.0, 0.0), (10.0, -1.0), (10.0, NAN), (NAN, 0.0)])
def test_what_cannot_be_rounded_is_unknown(current: float, increment: float) -> None:
    assert math.isnan(rounded(line(current=current, increment=increment), 1.1))


def test_a_breach_of_a_line_tells_what_was_found_and_what_is_allowed() -> None:
    limits = replace(LINE_LIMITS["basal"], lowest=0.5, highest=3.0, low=0.6, high=2.0, high_ratio=1.3)
    guarded = guard_line(line(current=1.0, original=1.1, days=3.0, limits=limits), 4.0)
    assert {breach.rule: dict(breach.numbers) for breach in guarded.breaches} == {
        "evidence": {"days": 3.0, "needed": 7},
        "absolute limits": {"lowest": 0.5, "highest": 3.0},
        "change in one visit": {"most": 0.2},
        "change from the original": {"low": 0.7, "high": 1.3, "original": 1.1},
    }
    assert [(each.rule, each.key, dict(each.numbers)) for each in guarded.advice] == [
        ("recommended range", "basal@0", {"proposed": 4.0, "low": 0.6, "high": 2.0})
    ]
