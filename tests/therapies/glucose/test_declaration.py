"""The glucose therapy's own functions, and its limits and channels against where they were read."""

import math
from dataclasses import asdict, replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from careplan.covariates import CourseFacts
from careplan.records.units import MG_PER_MMOL
from careplan.therapies.glucose import declaration as glucose
from careplan.therapies.glucose.declaration import GLUCOSE, LIMITS, LINE_LIMITS, Regimen, harm, risk
from tests import limits_table


def test_the_limits_on_doses_are_those_that_were_read() -> None:
    found = {group: tuple(asdict(limits).values()) for group, limits in LIMITS.items()}
    assert found == {group: (*limits, ()) for group, limits in limits_table.DOSES.items()}


def test_the_limits_on_lines_are_those_that_were_read() -> None:
    assert {name: tuple(asdict(limits).values()) for name, limits in LINE_LIMITS.items()} == {
        name: (*limits, *limits_table.CAPS, limits_table.EVIDENCE) for name, limits in limits_table.LINES.items()
    }


def test_channels_hold_what_can_be() -> None:
    assert {c.name: (c.unit, c.low, c.high) for c in GLUCOSE.channels} == limits_table.CHANNELS
    roles = {c.name: (c.role, c.form, c.direction) for c in GLUCOSE.channels}
    assert roles == {
        "glucose": ("observation", "level", 0),
        "basal": ("action", "rate", -1),
        "bolus": ("action", "impulse", -1),
        "long_acting": ("action", "impulse", -1),
        "carbs": ("disturbance", "impulse", 1),
        "activity": ("disturbance", "rate", 0),
    }
    # What the shipped weights were trained with.
    assert [(c.center, c.scale) for c in GLUCOSE.channels] == [(140, 60), (0, 1), (0, 2), (0, 20), (0, 20), (1, 3)]
    assert [(pool.channels, pool.time_constant, pool.stages) for pool in GLUCOSE.pools] == [
        (("basal", "bolus"), 38.0, 3),
        (("long_acting",), 480.0, 2),
        (("carbs",), 35.0, 2),
    ]
    effects = [(each.direction, each.usual, each.size, each.own) for each in GLUCOSE.effects]
    assert effects == [(-1, 40.0, 1800.0, True), (1, 200.0, 720.0, False)]
    assert (GLUCOSE.regulated, GLUCOSE.step) == ("glucose", 5.0)


def test_the_budgets_for_lows_are_the_consensus() -> None:
    assert {cost.below: 100 * cost.budget for cost in GLUCOSE.costs} == limits_table.LOWS
    for cost in GLUCOSE.costs:
        assert cost.rate(torch.tensor([cost.below - 0.1, cost.below])).tolist() == [1.0, 0.0]
    assert GLUCOSE.mandate.budgets == tuple(cost.budget for cost in GLUCOSE.costs) and GLUCOSE.mandate.target == 112.5


def test_constants() -> None:
    assert MG_PER_MMOL == limits_table.MG_PER_MMOL
    hazards = {each.name: (each.side, each.level, each.within) for each in GLUCOSE.hazards}
    assert hazards == {"low": (-1, 70.0, 120.0), "high": (1, 250.0, 120.0)}
    assert (GLUCOSE.slowest, glucose.STEP, glucose.DAY) == (15.0, 5.0, 1440)
    assert (glucose.BLOCKS, glucose.BEST, glucose.LOWS) == ((0, 360, 660, 1020), 112.5, 2.0)


@pytest.mark.parametrize("level", [15.0, 20.0, 39.0, 70.0, 112.5, 180.0, 400.0, 600.0, 650.0])
def test_risk_as_published(level: float) -> None:
    inside = min(600.0, max(20.0, level))
    expected = 10 * (1.509 * (math.log(inside) ** 1.084 - 5.381)) ** 2  # Kovatchev 1997
    assert float(risk(torch.tensor(level, dtype=torch.float64))) == pytest.approx(expected, rel=1e-9)
    assert float(risk(torch.tensor(112.5, dtype=torch.float64))) == pytest.approx(0.0, abs=1e-4)


@given(st.floats(20.0, 600.0), st.floats(20.0, 600.0))
def test_lows_count_twice_in_what_plans_minimise(one: float, other: float) -> None:
    low, high = torch.tensor(sorted((one, other)), dtype=torch.float64)
    assert GLUCOSE.outputs[0].risk is harm
    for level in (low, high):
        assert float(harm(level)) == pytest.approx(float(risk(level)) * (2.0 if level < 112.5 else 1.0))
    if high <= 112.5:
        assert harm(low) >= harm(high), "lower is worse below the best level"
    if low >= 112.6:
        assert harm(low) <= harm(high), "higher is worse above it"


def test_the_best_level_counts_once() -> None:
    assert torch.equal(harm(torch.tensor([112.5])), risk(torch.tensor([112.5])))


# A regimen.

STATED: dict[str, Any] = {"basal": (0.8, 1.0, 0.9, 0.7), "carb_ratio": (10, 9, 11, 12), "correction_factor": (50, 45, 50, 55)}
USUAL = Regimen(**STATED)


def test_what_a_regimen_holds_where_nothing_is_said() -> None:
    assert (USUAL.starts, USUAL.target, USUAL.delivery) == (glucose.BLOCKS, 110.0, "pump")
    assert (USUAL.long_acting, USUAL.long_acting_at) == (0.0, 22 * 60)


@pytest.mark.parametrize(
    "starts", [(), (1, 360, 660, 1020), (0, 360, 360, 1020), (0, 660, 360, 1020), (0, 360, 660, 1440), (0, 360, 660, 1500)]
)
def test_blocks_begin_at_midnight_and_increase(starts: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="block starts must begin at 0 and increase below 1440"):
        replace(USUAL, starts=starts)


def test_a_block_may_begin_at_any_other_minute_of_the_day() -> None:
    assert replace(USUAL, starts=(0, 1, 2, 1439)).starts == (0, 1, 2, 1439)
    assert Regimen(starts=(0,), basal=(0.5,), carb_ratio=(9,), correction_factor=(40,)).block(1439) == 0


@pytest.mark.parametrize("name", ["basal", "carb_ratio", "correction_factor"])
def test_each_block_has_one_finite_value(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} has 3 values for 4 blocks"):
        replace(USUAL, **{name: (1.0, 1.0, 1.0)})
    for wrong in (-0.1, math.nan, math.inf, 1e4, *(() if name == "basal" else (0.0,))):
        with pytest.raises(ValueError, match=f"{name} must be {'non-negative' if name == 'basal' else 'positive'} and finite"):
            replace(USUAL, **{name: (1.0, wrong, 1.0, 1.0)})
    for right in (0.1, 9_999.0, *((0.0,) if name == "basal" else ())):
        replace(USUAL, **{name: (1.0, right, 1.0, 1.0)})


@pytest.mark.parametrize(
    ("minute", "block"), [(0, 0), (359, 0), (360, 1), (659, 1), (660, 2), (1019, 2), (1020, 3), (1439, 3), (1440, 0), (1800, 1)]
)
def test_the_block_of_a_minute(minute: int, block: int) -> None:
    assert USUAL.block(minute) == block


def test_scaling_changes_one_value() -> None:
    assert USUAL.scaled("basal", 2, 1.5) == replace(USUAL, basal=(0.8, 1.0, 0.9 * 1.5, 0.7))
    assert USUAL.basal == (0.8, 1.0, 0.9, 0.7)


def test_what_must_be_known_and_how_long_a_suggestion_holds_are_those_of_the_table() -> None:
    assert {name: getattr(glucose.GATE, name) for name in limits_table.GATE} == limits_table.GATE
    assert glucose.HOLDS == limits_table.HOLDS
    assert glucose.RECENT.days == limits_table.SUFFICIENT[0], "targets are judged on as many days as are sufficient"


@pytest.mark.parametrize(
    ("group", "age", "counts_as"),
    [
        ("adult", math.nan, "adult"),
        ("adult", 18.0, "adult"),
        ("adult", 17.9, "adolescent"),
        ("adult", 12.0, "adolescent"),
        ("adult", 11.9, "child"),
        ("adolescent", 40.0, "adolescent"),
        ("adolescent", 11.9, "child"),
        ("child", 40.0, "child"),
        ("child", 3.0, "child"),
    ],
)
def test_whoever_is_younger_than_their_group_has_the_limits_of_their_age(group: str, age: float, counts_as: str) -> None:
    facts = CourseFacts(group=group, covariates={} if math.isnan(age) else {"age": age})
    assert glucose.limits_of(facts) == LIMITS[counts_as]  # type: ignore[index]


def test_a_group_that_there_is_none_of_has_no_limits() -> None:
    with pytest.raises(ValueError, match="'elder' is no group, expected one of adult, adolescent, child"):
        glucose.limits_of(CourseFacts(group="elder"))


def test_each_block_ends_where_the_next_begins() -> None:
    regimen = Regimen(starts=(0, 360, 1020), basal=(1.0, 0.8, 0.9), carb_ratio=(10.0,) * 3, correction_factor=(40.0,) * 3)
    assert regimen.spans == ((0, 360), (360, 1020), (1020, 1440))


def test_what_the_shipped_weights_and_the_alarms_were_made_for() -> None:
    clock, watch = GLUCOSE.clock, glucose.WATCH
    assert (clock.pace, clock.knots, clock.judged, glucose.ROWS_A_DAY) == (60.0, (30.0, 60.0, 120.0, 240.0), 120.0, 288)
    assert (clock.decision, clock.ahead, clock.context) == (30.0, 240.0, 288), "half hours of four hours, after a day"
    assert [effect.stops for effect in GLUCOSE.effects] == [0.43, 0.0]
    assert (watch.day, watch.every, watch.stride, watch.ahead) == (1440, 360.0, 60.0, (60.0, 120.0))
    assert (watch.history, watch.memory, watch.readings, watch.forecasts, watch.doses) == (7, 28, 48, 8, 3.0)
    assert (glucose.RAPID.peak, glucose.RAPID.duration) == (75.0, 360.0), "LoopKit and oref0, rapid analogues"
    [output] = GLUCOSE.outputs
    assert (output.returns, output.rest, output.supply, output.softness) == (0.144, 0.5, 2.5, 0.75)
