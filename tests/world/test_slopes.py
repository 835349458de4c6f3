"""What a number of the code moves, as personalisation reckons it."""

import torch

from careplan.series import split
from careplan.world.corpus import Corpus
from careplan.world.question import Question
from careplan.world.slopes import NUDGE, code_slopes
from tests.world.toy import random_model, recording


@torch.no_grad()
def test_slopes_are_those_of_the_whole_model_but_for_the_context_they_hold() -> None:
    model, patients = random_model(seed=11), torch.tensor([0, 1, 1])
    corpus = Corpus.of([recording(1), recording(2)])
    past, future = split(corpus.windows(patients, torch.tensor([100, 200, 310]), 144), 96)
    usual = corpus.usual[patients]
    z = model.encode(past, usual)[:, -1]
    code = model.typical(usual) + torch.randn(3, model.shape.code, generator=torch.Generator().manual_seed(1))
    plan = Question.plan(future.values, future.mask, usual, code)

    def whole() -> torch.Tensor:
        def levels(own: torch.Tensor) -> torch.Tensor:
            return model.rollout(model.state(z, past, usual, own), plan.of(own)).level[:, 1:]

        nudged = code + NUDGE * torch.eye(model.shape.code)[:, None]
        return torch.stack([(levels(own) - levels(code)) / NUDGE for own in nudged])

    held, free = code_slopes(model, z, past, plan), whole()
    assert float((held - free).norm() / free.norm()) < 0.3, "most of what the code moves is not by way of the context"
    condition = model.dynamics.planned.condition
    model.dynamics.planned.drift.modulate.weight[:, condition.clock : condition.clock + condition.code] = 0.0
    torch.testing.assert_close(code_slopes(model, z, past, plan), whole(), rtol=2e-3, atol=0.05)
