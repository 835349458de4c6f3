"""A limit is said to bind where a better plan would break it, and nowhere else."""

from dataclasses import replace

import pytest
import torch

from careplan.breach import Breach
from careplan.therapies.glucose.declaration import LIMITS
from tests.planning import toy

from .test_planner import Wrap
from .test_regimen import plan as regimen
from .test_regimen import settings


def rules(found: tuple[Breach, ...]) -> set[str]:
    return {breach.rule for breach in found}


@pytest.mark.parametrize("simulations", [None, 96])
def test_the_largest_dose_binds_where_more_would_be_better(simulations: int | None) -> None:
    small = replace(LIMITS["adult"], max_dose=1.0)
    plans = toy.plan([330.0], limits=small, simulations=simulations, binding=True)
    assert "max_dose" in rules(plans.bound[0]) and "max_dose" in rules(plans.binding[0])


def test_what_only_withholds_is_bound_by_no_limit_on_more() -> None:
    model, state = toy.bodies([110.0])
    state[..., 1] = 1.5  # U in the depot that no record tells of: it will fall
    limits = replace(LIMITS["adult"], max_dose=1.0)
    plans = toy.plan([110.0], model=Wrap(model, state), limits=limits, binding=True)
    assert plans.changed[0] and "max_dose" in rules(plans.bound[0])  # it closed candidates that nobody would want
    assert plans.binding[0] == ()


def test_an_even_level_is_bound_by_nothing_and_nobody_who_abstains_is() -> None:
    assert toy.plan([115.0], limits=replace(LIMITS["adult"], max_dose=0.5), binding=True).binding == ((),)
    closed = toy.plan([300.0], known=toy.context([float("nan")]), binding=True)
    assert closed.abstained[0] and closed.binding == ((),)


def test_below_the_floor_the_floor_binds_where_a_rise_is_promised() -> None:
    assert "floor" in rules(toy.plan([75.0], meal=150.0, binding=True).binding[0])
    assert "floor" not in rules(toy.plan([75.0], binding=True).binding[0])


def test_a_budget_binds_where_it_stops_a_better_dose() -> None:
    unknown = toy.plan([260.0], margin=torch.full((1, 2), torch.nan), binding=True)  # allows nothing
    assert {"budget below_70", "budget below_54"} <= rules(unknown.binding[0])
    assert toy.plan([220.0], budget=torch.ones(1, 2), binding=True).binding == ((),)


def test_the_cap_on_a_visit_binds_only_the_lines_that_want_more() -> None:
    plans = regimen([320.0, 112.0, 112.0, 112.0], changes=2, binding=True)
    told = {(breach.rule, breach.key) for breach in plans.binding[0]}
    assert ("change in one visit", "basal@0") in told
    assert not {key for _, key in told} & {f"{kind}@{part}" for kind in ("basal", "ratio") for part in (1, 2, 3)}


def test_a_broken_target_binds_what_is_high_and_not_what_is_even() -> None:
    broken = [replace(line, breach=True) for line in settings()]
    high = regimen([260.0, 112.0, 112.0, 112.0], broken, binding=True)
    assert not high.changed[0]
    assert {breach.key for breach in high.binding[0] if breach.rule == "low-level target"} == {"basal@0", "ratio@0"}
    assert regimen([112.0] * 4, broken, binding=True).binding == ((),)


def test_evidence_that_lacks_binds_where_a_change_is_wanted() -> None:
    some = [replace(line, days=2.0) if line.key in ("basal@0", "basal@1") else line for line in settings()]
    plans = regimen([260.0, 112.0, 112.0, 112.0], some, binding=True)
    assert {breach.key for breach in plans.binding[0] if breach.rule == "evidence"} == {"basal@0"}
    none = regimen([230.0] * 4, settings(days=0.0), binding=True)
    assert none.abstained[0] and none.binding == ((),)


def test_unless_it_is_asked_for_nothing_is_told() -> None:
    assert regimen([260.0] * 4).binding == ((),) and toy.plan([330.0]).binding == ((),)
