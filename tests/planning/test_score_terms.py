"""The terms of an answer are the search's own score, taken apart."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from careplan.planning.score_terms import ScoreTerms
from careplan.planning.tree import tail_mean, tail_weights
from tests.planning.test_regimen import plan as plan_settings
from tests.planning.test_regimen import settings
from tests.planning.toy import plan


def rebuilt(terms: ScoreTerms) -> torch.Tensor:
    return -(terms.weights * terms.total()).sum(-1)


@pytest.mark.parametrize("simulations", [None, 96])
@pytest.mark.parametrize("risk_level", [0.5, 1.0])
def test_risk_and_effort_make_up_the_score_of_doses(simulations, risk_level):
    plans = plan([260.0, 115.0, 180.0], simulations=simulations, risk_level=risk_level)
    torch.testing.assert_close(rebuilt(plans.terms), plans.terms.score, atol=2e-3, rtol=1e-4)
    gain = plans.terms.score[:, 0] - plans.terms.score[:, 2]
    assert ((gain > plans.terms.worth) == plans.changed).all()
    assert (plans.terms.charges["change"][:, 2] == 0).all() and (plans.terms.charges["change"][0, 0] > 0).all()


@pytest.mark.parametrize("start", [[220.0, 115.0, 115.0, 115.0], [115.0, 115.0, 66.0, 160.0], [115.0] * 4])
def test_risk_budgets_and_penalties_make_up_the_score_of_settings(start):
    plans = plan_settings(start, settings(), margin=torch.tensor([[0.02, 0.005]]))
    torch.testing.assert_close(rebuilt(plans.terms), plans.terms.score, atol=2e-3, rtol=1e-4)
    assert set(plans.terms.charges) == {"change", "budget below_70", "budget below_54"}
    if start[2] < 70:
        beyond = plans.terms.charges["budget below_70"][0].mean(-1)
        assert beyond[2] > beyond[0]


@given(st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=9), st.floats(0.05, 1.0))
def test_the_weights_are_those_of_the_tail_mean(values, level):
    risk = torch.tensor(values)
    weights = tail_weights(risk, level)
    assert float(weights.sum()) == pytest.approx(1.0, abs=1e-5)
    assert float((weights * risk).sum()) == pytest.approx(float(tail_mean(risk, level)), abs=1e-3)
