"""What follows a patient's targets in each therapy: costs, what is aimed at, limits, and which lows forbid more."""

import numpy as np
import pytest
import torch

from careplan.covariates import CourseFacts
from careplan.therapies.glucose import aims as glucose
from careplan.therapies.glucose.bands import ADULTS, CHILDREN, OLDER, PREGNANCY
from careplan.therapies.glucose.decisions import exposure
from careplan.therapies.glucose.declaration import BEST, GLUCOSE, LIMITS
from careplan.therapies.glucose.outcomes import risk_by_outcome, time_by_outcome
from careplan.therapies.warfarin import aims as warfarin
from careplan.therapies.warfarin.declaration import WARFARIN


def test_defaults_are_the_declaration_itself() -> None:
    assert glucose.therapy_for(ADULTS) is glucose.therapy_for(CHILDREN) is GLUCOSE
    assert warfarin.therapy_for(warfarin.USUAL) is WARFARIN


def test_the_older_have_a_quarter_of_the_budget_for_lows() -> None:
    assert [(cost.below, cost.budget) for cost in glucose.therapy_for(OLDER).costs] == [(70.0, 0.01), (54.0, 0.01)]
    assert glucose.therapy_for(OLDER).best == pytest.approx(BEST)
    level, minute = np.array([60.0] * 2 + [120.0] * 98), np.zeros(100)
    assert exposure(level, minute).breach is None and exposure(level, minute, targets=OLDER).breach is not None


def test_in_a_pregnancy_the_least_risk_lies_lower() -> None:
    therapy = glucose.therapy_for(PREGNANCY)
    level = torch.arange(60.0, 200.0, 0.5)
    assert therapy.best == pytest.approx(94.1, abs=0.1)
    assert float(level[therapy.risk(level).argmin()]) == pytest.approx(94, abs=0.5)
    aimed = therapy.aimed([therapy.mandate])
    torch.testing.assert_close(aimed.risk(level[None])[0], therapy.risk(level), atol=1e-4, rtol=1e-4)
    assert [cost.below for cost in therapy.costs] == [63.0, 54.0]
    told = risk_by_outcome(level, therapy.best, PREGNANCY)
    torch.testing.assert_close(sum(told.values()), therapy.risk(level), atol=1e-3, rtol=1e-4)
    assert float(time_by_outcome(level[None], PREGNANCY)["in_range"][0]) == pytest.approx(100 * 155 / 280)


def test_a_higher_low_edge_lifts_the_floor_and_a_lower_one_moves_it_nowhere() -> None:
    raised = ADULTS.levels | {"low": 90.0}
    custom = type(ADULTS)(preset="custom", levels=raised, shares=ADULTS.shares)
    facts = CourseFacts(group="adult", covariates={})
    floors = [glucose.aims(targets)["limits"](facts).floor for targets in (ADULTS, PREGNANCY, custom)]
    assert floors == [LIMITS["adult"].floor, 80.0, 100.0]


def test_a_mitral_valve_is_held_higher() -> None:
    therapy = warfarin.therapy_for(warfarin.VALVE)
    inr = torch.arange(1.0, 6.0, 0.01)
    assert float(inr[therapy.risk(inr).argmin()]) == pytest.approx((2.5 * 3.5) ** 0.5, abs=0.02)
    assert float(therapy.risk(torch.tensor(2.2))) > float(WARFARIN.risk(torch.tensor(2.2)))
