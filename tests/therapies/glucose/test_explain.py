"""The numbers behind a suggestion: parts that sum to the search's gain, and how sure it is."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from careplan.planning.explain import NO_CHANGE, PROPOSED, RUNNER_UP, Compared, explain
from careplan.therapies.glucose.declaration import GLUCOSE, harm
from careplan.therapies.glucose.outcomes import risk_by_outcome, time_by_outcome
from careplan.therapy import Mandate
from tests.planning.test_regimen import PARTS, settings
from tests.planning.test_regimen import plan as plan_settings
from tests.planning.toy import plan as plan_doses

LEVELS = st.lists(st.floats(20, 600), min_size=1, max_size=20)


@given(LEVELS)
def test_the_layers_of_risk_sum_to_it(levels: list[float]) -> None:
    level = torch.tensor(levels, dtype=torch.float64)
    torch.testing.assert_close(sum(risk_by_outcome(level).values()), harm(level), atol=1e-9, rtol=0)


@given(LEVELS, st.floats(0, 1))
def test_no_layer_grows_as_a_level_nears_the_best(levels: list[float], share: float) -> None:
    level = torch.tensor(levels, dtype=torch.float64)
    nearer = level + share * (112.5 - level)
    for before, after in zip(risk_by_outcome(level).values(), risk_by_outcome(nearer).values(), strict=True):
        assert (after <= before + 1e-4).all()  # 112.5 is the best to within its digits


def test_aimed_elsewhere_the_layers_sum_to_the_risk_that_is_searched() -> None:
    level = torch.tensor([[40.0, 65.0, 110.0, 132.5, 200.0, 300.0]], dtype=torch.float64)
    risk = GLUCOSE.aimed([Mandate(target=132.5, budgets=(0.04, 0.01))]).risk
    torch.testing.assert_close(
        sum(risk_by_outcome(level, 132.5).values()), risk(level), atol=1e-4, rtol=0
    )  # its scale is a float32
    assert float(risk(level)[0, 3]) == pytest.approx(0.0, abs=1e-4)


def compared(plans: Any, part: torch.Tensor, spans: list[tuple[int, int]], index: int = 0) -> Compared:
    levels = plans.levels[index]
    changed, runner_up = bool(plans.changed[index]), bool(plans.has_runner_up[index])
    return Compared(
        plans.terms, index, levels, part, spans, time_by_outcome(levels), changed, runner_up, risk_by_outcome, time_by_outcome
    )


@pytest.mark.parametrize("simulations", [None, 96])
@pytest.mark.parametrize(("level", "meal"), [(260.0, 0.0), (150.0, 120.0), (115.0, 0.0), (300.0, 60.0)])
def test_the_parts_of_doses_sum_to_the_gain_of_the_search(simulations: int | None, level: float, meal: float) -> None:
    plans = plan_doses([level], meal=meal, simulations=simulations)
    many = plans.levels.shape[-1]
    found = compared(plans, torch.arange(many) * 4 // many, [(60 * hour, 60 * (hour + 1)) for hour in range(4)])
    why = explain(found, low_risk=0.1)
    score = plans.terms.score[0]
    about = PROPOSED if found.changed else RUNNER_UP
    assert sum(part.gain for part in why.parts) == pytest.approx(float(score[about] - score[NO_CHANGE]), abs=5e-3)
    assert why.gain == pytest.approx(float(score[PROPOSED] - score[NO_CHANGE]), abs=1e-6)
    if found.changed:
        assert why.gain > why.worth
        assert why.runner_up is not None and why.runner_up <= why.gain
        assert next(part for part in why.parts if part.outcome == "change").gain < 0


@pytest.mark.parametrize("start", [[200.0, 115.0, 115.0, 115.0], [115.0, 115.0, 66.0, 160.0], [60.0, 190.0, 115.0, 260.0]])
def test_the_parts_of_settings_sum_to_the_gain_and_lie_where_it_is(start: list[float]) -> None:
    plans = plan_settings(start, settings(), margin=torch.tensor([[0.02, 0.005]]))
    spans = [(0, 360), (360, 660), (660, 1020), (1020, 1440)]
    why = explain(compared(plans, PARTS, spans), low_risk=None)
    score = plans.terms.score[0]
    assert sum(part.gain for part in why.parts) == pytest.approx(float(score[PROPOSED] - score[NO_CHANGE]), abs=5e-3)
    if start[0] == 200.0:  # the night alone is high, and it alone gains
        gains = {(part.outcome, part.start): part.gain for part in why.parts}
        assert gains["above_180", 0] > 0 and gains["above_180", 660] == 0
        night = next(part for part in why.parts if (part.outcome, part.start) == ("above_180", 0))
        assert night.before is not None and night.after is not None and night.before > night.after
    if start[2] == 66.0:
        beyond = next(part for part in why.parts if part.outcome == "budget below_70")
        assert beyond.gain > 0 and beyond.before is not None and beyond.after is not None and beyond.before > beyond.after


def test_sureness_counts_particles_by_their_whole_score() -> None:
    plans = plan_doses([260.0])
    found = compared(plans, torch.zeros(plans.levels.shape[-1], dtype=torch.long), [(0, 240)])
    sure = explain(found, low_risk=None).sure
    total = plans.terms.total()[0]
    assert sure is not None and sure.of == total.shape[1]
    assert sure.better == int((total[PROPOSED] < total[NO_CHANGE]).sum()) > 0
    effect = sure.effects["mean"]
    assert effect.low <= effect.mid <= effect.high < 0, "insulin lowers the mean in every particle"


def test_without_another_plan_there_is_nothing_to_take_apart() -> None:
    plans = plan_doses([115.0])
    found = compared(plans, torch.zeros(plans.levels.shape[-1], dtype=torch.long), [(0, 240)])
    why = explain(Compared(**{**vars(found), "has_runner_up": False, "changed": False}), low_risk=None)
    assert (why.gain, why.runner_up, why.parts, why.sure) == (0.0, None, (), None)
