"""What the shipped weights must never say, of anybody: that a dose is harmless, or that it works wonders."""

import pytest
import torch

from careplan.therapies.glucose.declaration import GLUCOSE
from careplan.therapies.glucose.weights_folder import WEIGHTS
from careplan.world.dynamics import State
from careplan.world.model import load_model
from careplan.world.question import Question

HOURS = 4


@pytest.mark.parametrize("daily", [12.0, 25.0, 40.0, 80.0, 150.0])
@torch.no_grad()
def test_a_unit_lowers_by_a_sane_share_of_the_rule_of_1800_in_every_context(daily: float) -> None:
    model = load_model(GLUCOSE, WEIGHTS)
    generator, many, rows = torch.Generator().manual_seed(round(daily)), 256, HOURS * 12
    usual = torch.zeros(len(GLUCOSE.channels) + 1)
    for name, amount in (("glucose", 150.0), ("basal", daily / 48), ("bolus", daily / 2 / 288), ("carbs", 4.5 * daily / 288)):
        usual[GLUCOSE.index(name)] = amount
    usual[-1] = 55.0
    usual = usual.expand(many, -1)
    code = model.typical(usual)
    level = (torch.rand(many, generator=generator) * 200 + 90 - 140) / 60
    spread = torch.linalg.cholesky(model.z_covariance).T
    z = model.z_mean + 3 * torch.randn(many, model.shape.latent, generator=generator) @ spread
    pools = torch.zeros(many, sum(pool.stages for pool in GLUCOSE.pools))
    minute = 1440 * torch.rand(many, generator=generator)
    state = State(z, level.unsqueeze(1), pools, minute, torch.zeros(many, 1, 2), torch.zeros(many, 1))
    values = usual[:, None, :-1].expand(-1, rows, -1).clone()
    dosed = values.clone()
    dosed[:, 0, GLUCOSE.index("bolus")] += 0.05 * daily
    known = torch.ones_like(values, dtype=torch.bool)
    without, given = (model.rollout(state, Question.plan(each, known, usual, code)).level[:, -1] for each in (values, dosed))
    share = (without - given) / 0.05 / 1800
    inside = (without > 75) & (without < 330)  # what is beyond is past what any reading teaches
    assert inside.sum() > 40
    assert share[inside].min() > 0.1 and share[inside].max() < 1.5, share[inside].quantile(torch.tensor([0.0, 0.5, 1.0]))
