"""What the search for doses believes of a patient."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from careplan.planning.actions import NO_CHANGE
from careplan.series import Window
from careplan.studies.closed_loop import _context
from careplan.therapies.glucose.declaration import CLOCK, GLUCOSE, LIMITS
from careplan.therapies.glucose.dose_search import Ahead, Constraints, Patients, _encoded, _strength, search_doses
from careplan.therapies.glucose.modulation import modulated_rate
from careplan.therapies.glucose.world import open_world
from careplan.therapy import Mandate

INSULIN = 0  # the place of its strength in a code


def test_a_code_that_makes_insulin_weak_is_doubted_by_every_other_particle() -> None:
    typical, code = torch.zeros(2, 8), torch.zeros(2, 4, 8)
    code[0, :, INSULIN], code[1, :, INSULIN] = -1.0, 1.0
    doubted = float(torch.tensor(0.5).exp())
    expected = torch.tensor([[1.0, doubted, 1.0, doubted], [1.0, 1.0, 1.0, 1.0]])
    torch.testing.assert_close(_strength(code, typical, INSULIN), expected)


@pytest.mark.parametrize("action", [(2.0, 1.0), (0.0, 2.0)])
def test_doubt_makes_more_insulin_lower_and_less_insulin_no_safer(action: tuple[float, float]) -> None:
    model, rows, channels = open_world().model, round(CLOCK.ahead / GLUCOSE.step), len(GLUCOSE.channels)
    values = torch.zeros(1, model.shape.context, channels)
    values[..., GLUCOSE.index("glucose")], values[..., GLUCOSE.index("basal")] = 180.0, 0.8
    clock = GLUCOSE.step * torch.arange(model.shape.context).float().unsqueeze(0)
    past = Window(values, torch.ones_like(values, dtype=torch.bool), clock)
    ahead = torch.zeros(1, rows, channels)
    ahead[..., GLUCOSE.index("basal")] = 0.8
    prescribed = Ahead(ahead, torch.ones_like(ahead, dtype=torch.bool), torch.tensor([0.05]), torch.tensor([True]))
    usual = torch.cat([values.mean(1), torch.tensor([[40.0]])], 1)
    with torch.no_grad():
        code = model.typical(usual).unsqueeze(1).expand(-1, 2, -1)
        believing, state, _, _ = _encoded(model, Patients(past, usual, code, torch.ones(1)), prescribed, 0)
        doubting = replace(believing, strength=torch.tensor([[1.0, 1.6]]))
        for given, lower in ((action, True), (NO_CHANGE, False), ((0.0, 0.5), False)):
            treated = torch.tensor([[given]])
            (_, plain), (_, doubted) = believing.step(state.unsqueeze(1), treated), doubting.step(state.unsqueeze(1), treated)
            torch.testing.assert_close(plain[..., 0, :], doubted[..., 0, :])
            assert bool((doubted[..., 1, -1] < plain[..., 1, -1] - 0.01).all()) == lower
            if not lower:
                torch.testing.assert_close(plain, doubted)


def given(mandate: Mandate | None, level: float = 240.0) -> tuple[float, float, float]:
    """U of bolus and extra basal in the next hour and a half, the mean level, and the share below 70 mg/dL, as planned."""
    model, rows, channels = open_world().model, round(CLOCK.ahead / GLUCOSE.step), len(GLUCOSE.channels)
    values = torch.zeros(1, model.shape.context, channels)
    values[..., GLUCOSE.index("glucose")], values[..., GLUCOSE.index("basal")] = level, 0.8
    clock = GLUCOSE.step * torch.arange(model.shape.context).float().unsqueeze(0)
    past = Window(values, torch.ones_like(values, dtype=torch.bool), clock)
    ahead = torch.zeros(1, rows, channels)
    ahead[..., GLUCOSE.index("basal")] = 0.8
    usual = torch.cat([values.mean(1), torch.tensor([[40.0]])], 1)
    known = partial(_context, past, torch.tensor([level]), torch.tensor([300.0]))
    plans = search_doses(
        model,
        Patients(past, usual, model.typical(usual).unsqueeze(1).expand(-1, 8, -1), torch.ones(1)),
        Ahead(ahead, torch.ones_like(ahead, dtype=torch.bool), torch.tensor([0.05]), torch.tensor([True])),
        Constraints(context=known, limits=[LIMITS["adult"]], mandates=None if mandate is None else [mandate]),
        simulations=64,
    )
    units = plans.actions[0, 0, :, 0].sum() + 0.4 * (plans.actions[0, 0, :, 1] - 1).sum()
    return float(units), float(plans.levels[0, 0].mean()), float(plans.below[0, 0, :, 0].mean())


def test_alone_it_plans_as_under_the_mandate_of_the_therapy_itself() -> None:
    assert given(None) == pytest.approx(given(GLUCOSE.mandate))


def test_a_higher_target_is_planned_for_a_higher_level() -> None:
    usual, higher = given(GLUCOSE.mandate), given(replace(GLUCOSE.mandate, target=150.0))
    assert higher[0] < usual[0] and higher[1] > usual[1] + 5


def test_a_stricter_budget_is_never_planned_for_more_lows() -> None:
    low = Mandate(target=70.0, budgets=(1.0, 1.0))  # aims where lows are
    loose, none = given(low), given(replace(low, budgets=(0.0, 0.0)))
    assert loose[2] > 0.0 and none[2] == 0.0 and none[0] < loose[0]


def test_the_rate_is_modulated_towards_the_target_and_stops_as_everybodys_does_without_one() -> None:
    level = torch.tensor([60.0, 74.0, 76.0, 95.0, GLUCOSE.best, 300.0])
    assert modulated_rate(level, None).tolist() == [0, 0, 1, 1, 1, 1]
    usual = modulated_rate(level, [GLUCOSE.mandate] * 6)
    assert usual[:2].sum() == 0 and 0 < usual[2] < usual[3] < 1 and usual[4:].tolist() == [1, 1]
    assert float(modulated_rate(level, [GLUCOSE.mandate] * 6, most=1.5)[-1]) == 1.5
    for less in (replace(GLUCOSE.mandate, target=140.0), GLUCOSE.mandate.after((0.03, 0.0))):
        stricter = modulated_rate(level, [less] * 6)
        assert (stricter <= usual).all() and stricter[3] < usual[3]


def test_what_a_plan_spends_is_not_left_to_the_level_below() -> None:
    assert GLUCOSE.mandate.after((0.01, 0.02)).budgets == pytest.approx((0.03, 0.0))
