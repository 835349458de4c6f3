"""Dose plans on a small glucose body: what they do, what they refuse, and that a patient's plan is its own."""

import math
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from careplan.breach import Breach, in_words
from careplan.planning.actions import carried, dose_table, remaining
from careplan.rules import SHARES, Remains
from careplan.therapies.glucose.declaration import LIMITS, RAPID
from tests.planning.toy import DECISIONS, INTERVAL, bodies, context, plan, table


@pytest.mark.parametrize("simulations", [None, 96])
def test_a_high_level_is_corrected_and_an_even_one_left_alone(simulations):
    plans = plan([260.0, 115.0], simulations=simulations)
    assert plans.changed.tolist() == [True, False]
    assert plans.actions[0, 0, :, 0].sum() > 0
    assert plans.objective[0, 0] < plans.objective[0, 2] - 0.1
    assert (plans.actions[1, 0] == plans.actions[1, 2]).all()
    assert not plans.abstained.any()


def test_a_meal_is_met_with_more_than_no_meal():
    units = [float(plan([130.0], meal=meal).actions[0, 0, :, 0].sum()) for meal in (0.0, 80.0, 160.0)]
    assert units[0] < units[1] < units[2]


def test_a_falling_level_gets_less_insulin_never_more():
    model, state = bodies([110.0])
    state[..., 1] = 1.5  # U in the depot that no record tells of
    plans = plan([110.0], model=Wrap(model, state))
    assert plans.changed[0]
    assert (plans.actions[0, 0, :, 0] == 0).all() and (plans.actions[0, 0, :, 1] <= 1).all()
    assert plans.below[0, 0, :, 0].mean() < plans.below[0, 2, :, 0].mean()


@dataclass(frozen=True)
class Wrap:
    """A body whose first step starts from another state than the planner was told."""

    body: object
    start: Tensor

    def step(self, state: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.start.unsqueeze(1).expand_as(state)
        first = (state[..., 3:4] == 0).expand_as(state)
        return self.body.step(torch.where(first, hidden, state), action)  # type: ignore[attr-defined]


def test_the_runner_up_begins_differently_and_is_no_better():
    plans = plan([240.0])
    assert plans.has_runner_up[0]
    assert (plans.actions[0, 0, 0] != plans.actions[0, 1, 0]).any()
    assert plans.objective[0, 1] >= plans.objective[0, 0] - 0.02 * 3 - 1e-4  # the effort of three decisions apart


def test_more_particles_at_risk_means_less_insulin():
    mean, tail = (plan([230.0], risk_level=level).actions[0, 0, :, 0].sum() for level in (1.0, 0.2))
    assert tail <= mean


def test_a_margin_tightens_the_budget_and_is_said():
    free = plan([220.0], budget=torch.ones(1, 2))
    tight = plan([220.0], margin=torch.tensor([[0.04, 0.01]]))
    assert tight.below[0, 0, :, 0].mean() == 0
    assert "below_70" in tight.pruned[0]
    assert tight.actions[0, 0, :, 0].sum() <= free.actions[0, 0, :, 0].sum()
    nothing = plan([220.0], margin=torch.full((1, 2), math.nan))
    assert (nothing.actions[0, 0, :, 0] == 0).all()


def test_on_board_from_history_bounds_the_dose():
    limits = replace(LIMITS["adult"], max_on_board=3.0)
    fresh = plan([300.0], limits=limits)
    after = plan([300.0], limits=limits, known=context([300.0], history=2.5, since_last=torch.tensor([40.0])))
    assert fresh.actions[0, 0, 0, 0] <= 3.0
    assert after.actions[0, 0, 0, 0] <= 0.5
    assert Breach("max_on_board") in after.bound[0]


def test_doses_keep_their_spacing():
    limits = replace(LIMITS["adult"], min_spacing=60.0, max_dose=1.0)
    plans = plan([320.0], limits=limits, known=context([320.0], since_last=torch.tensor([30.0])), depth=4)
    doses = plans.actions[0, 0, :, 0] > 0
    assert not doses[0] and doses.any()
    assert not (doses[1:] & doses[:-1]).any()
    assert Breach("min_spacing") in plans.bound[0]


def test_below_the_floor_nothing_is_added():
    plans = plan([75.0], meal=150.0)  # the model promises a rise
    assert plans.actions[0, 0, 0, 0] == 0 and plans.actions[0, 0, 0, 1] <= 1
    assert Breach("floor") in plans.bound[0]


@pytest.mark.parametrize("simulations", [None, 64])
def test_a_patients_plan_does_not_depend_on_who_else_is_planned(simulations):
    levels = [260.0, 90.0, 180.0]
    together = plan(levels, simulations=simulations)
    for row, level in enumerate(levels):
        alone = plan([level], simulations=simulations)
        assert (alone.actions[0] == together.actions[row]).all()
        assert alone.reasons[0] == together.reasons[row]


@pytest.mark.parametrize("meal", [0.0, 100.0])
def test_a_tree_search_comes_close_to_trying_every_sequence(meal):
    levels = [80.0, 120.0, 160.0, 200.0, 240.0, 280.0, 320.0]
    every, some = plan(levels, meal=meal), plan(levels, meal=meal, simulations=128)
    gain = (every.objective[:, 2] - every.objective[:, 0]).mean()
    regret = (some.objective[:, 0] - every.objective[:, 0]).mean()
    assert gain > 1.0 and regret < 0.05 * gain
    assert (some.evaluated < 0.2 * every.evaluated.max()).all()


def test_the_same_seed_gives_the_same_plan():
    one, two = (plan([250.0, 170.0], simulations=40, seed=3) for _ in range(2))
    assert torch.equal(one.actions, two.actions) and torch.equal(one.levels, two.levels)


@pytest.mark.parametrize("simulations", [None, 48])
def test_a_model_that_gives_nan_makes_only_that_patient_abstain(simulations):
    @dataclass(frozen=True)
    class Sick:
        body: object

        def step(self, state: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
            state, levels = self.body.step(state, action)  # type: ignore[attr-defined]
            levels[0] = torch.where((action[0, :, 0] > 1.0)[:, None, None], torch.nan, levels[0])
            return state, levels

    plans = plan([250.0, 250.0], model=Sick(bodies([250.0, 250.0])[0]), simulations=simulations)
    assert plans.abstained.tolist() == [True, False]
    assert plans.changed.tolist() == [False, True]
    assert plans.reasons[0] == (Breach("finite"),)
    assert not plans.has_runner_up[0]


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"level": torch.tensor([math.nan])}, "glucose: unknown, expected 20 to 600"),
        ({"level": torch.tensor([14.0])}, "glucose: 14, expected 20 to 600"),  # mmol/L
        ({"level_age": torch.tensor([40.0])}, "measured 40 min ago"),
        ({"level_age": torch.tensor([-10.0])}, "measured -10 min ago"),
        ({"baseline": torch.full((1, DECISIONS), math.nan)}, "baseline rate"),
        ({"baseline": torch.full((1, DECISIONS), 900.0)}, "baseline rate"),  # mU/h
        ({"on_board": torch.full((1, DECISIONS), math.nan)}, "on board is unknown"),
        ({"since_last": torch.tensor([math.nan])}, "time of the last dose is unknown"),
    ],
)
def test_missing_or_absurd_inputs_change_nothing(change, reason):
    plans = plan([280.0], known=context([280.0], **change))
    assert plans.abstained[0] and not plans.changed[0]
    assert any(reason in in_words(breach) for breach in plans.reasons[0])


@pytest.mark.parametrize("change", [{"max_dose": None}, {"max_on_board": math.nan}, {"floor": 5.0}, {"max_rate": -1.0}])
def test_missing_or_absurd_limits_change_nothing(change):
    plans = plan([280.0], limits=replace(LIMITS["adult"], **change))
    assert plans.abstained[0] and not plans.changed[0]
    assert next(iter(change)) == plans.reasons[0][0].key


def test_a_pen_gives_whole_steps_and_never_changes_a_rate():
    candidates = table(1, increment=0.5, pump=False)
    doses = candidates[0][0, candidates[1][0]]
    assert (doses[:, 1] == 1).all() and (doses[:, 0] % 0.5 == 0).all()
    plans = plan([250.0], candidates=candidates)
    assert plans.changed[0] and (plans.actions[0, 0, :, 1] == 1).all()


def test_candidates_round_down_and_do_not_repeat():
    doses, exists = dose_table(torch.tensor([8.0, 40.0]), torch.tensor([0.5, 0.05]), torch.tensor([True, True]))
    assert doses[0, 0].tolist() == [0.0, 1.0]
    child = doses[0, exists[0], 0]
    assert child[child > 0].tolist() == [0.5, 1.0, 1.5, 2.0]  # of 0.08, 0.16, 0.32, 0.56, 0.88, 1.28, 1.76, 2.4 U
    assert doses[1, 1:9, 0].tolist() == pytest.approx([0.4, 0.8, 1.6, 2.8, 4.4, 6.4, 8.8, 12.0])


def test_drawn_doses_share_the_grids_table_and_find_what_lies_between() -> None:
    levels = torch.linspace(150.0, 320.0, 12).tolist()
    drawn = torch.rand(16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    shares = SHARES + tuple((SHARES[0] * (SHARES[-1] / SHARES[0]) ** drawn).tolist())
    doses, exists = dose_table(torch.full((12,), 40.0), torch.full((12,), 0.5), torch.ones(12, dtype=torch.bool), shares=shares)
    amounts = [row[kept].tolist() for row, kept in zip(doses[..., 0], exists & (doses[..., 0] > 0), strict=True)]
    assert all(len(set(row)) == len(row) for row in amounts)  # half a unit apart many are equal: one of each
    assert {0.5 * round(2 * dose) for dose in amounts[0]} == set(amounts[0])
    fine = dose_table(torch.full((12,), 40.0), torch.full((12,), 0.05), torch.ones(12, dtype=torch.bool), shares=shares)
    grid = plan(levels, simulations=128, risk_level=1.0)
    both = plan(levels, simulations=128, risk_level=1.0, candidates=fine, widening=4)
    assert both.objective[:, 0].mean() < grid.objective[:, 0].mean()
    assert not both.abstained.any()


def test_what_remains_of_a_dose_falls_from_one_to_nothing():
    left = remaining(torch.arange(0, 400, 5.0), RAPID)
    assert left[0] == pytest.approx(1.0, abs=1e-6) and left[72:].max() == pytest.approx(0.0, abs=1e-6)
    assert (left[1:] <= left[:-1] + 1e-6).all()
    fall = -(left[1:] - left[:-1])
    assert 70 <= 5 * int(fall.argmax()) <= 80  # activity peaks at 75 minutes
    with pytest.raises(ValueError, match="peak"):
        remaining(torch.zeros(1), Remains(peak=200.0, duration=360.0))


def test_what_is_carried_adds_up_over_doses_and_keeps_nan():
    history = torch.zeros(2, 24)
    history[0, 11], history[0, 23], history[1, 5] = 2.0, 1.0, math.nan
    ahead = carried(history, RAPID, step=5.0, interval=INTERVAL, decisions=3)
    expected = [2 * remaining(torch.tensor(60.0 + t), RAPID) + remaining(torch.tensor(t), RAPID) for t in (0.0, 30.0, 60.0)]
    torch.testing.assert_close(ahead[0], torch.stack(expected))
    assert ahead[1].isnan().all()


def test_sizes_that_disagree_are_refused():
    with pytest.raises(ValueError, match="2 patients"):
        plan([120.0], known=context([120.0, 130.0]))
    with pytest.raises(ValueError, match="depth 9"):
        plan([120.0], depth=9)
