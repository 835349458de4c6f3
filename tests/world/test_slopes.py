"""What a number of the code moves, as personalisation reckons it."""

import torch

from careplan.series import split
from careplan.world.corpus import Corpus
from careplan.world.dynamics import PLAN
from careplan.world.futures import NUDGE, slopes
from tests.world.toy import random_model, recording


@torch.no_grad()
def test_slopes_are_those_of_the_whole_model_but_for_the_context_they_hold() -> None:
    model, patients = random_model(seed=11), torch.tensor([0, 1, 1])
    corpus = Corpus.of([recording(1), recording(2)])
    past, future = split(corpus.windows(patients, torch.tensor([100, 200, 310]), 144), 96)
    usual, asked = corpus.usual[patients], torch.full((3,), PLAN)
    z = model.encode(past, usual)[:, -1]
    code = model.typical(usual) + torch.randn(3, model.shape.code, generator=torch.Generator().manual_seed(1))

    def levels(own: torch.Tensor) -> torch.Tensor:
        state = model.state(z, past, usual, own)
        return model.rollout(state, future.values, future.mask, asked, usual, own).level[:, 1:] / model.scale[0]

    def whole() -> torch.Tensor:
        nudged = code + NUDGE * torch.eye(model.shape.code)[:, None]
        return torch.stack([(levels(own) - levels(code)) / NUDGE for own in nudged])

    held, free = slopes(model, z, past, future, usual, code), whole()
    assert float((held - free).norm() / free.norm()) < 0.3, "most of what the code moves is not by way of the context"
    model.dynamics.planned.drift.modulate.weight[:, 4 : 4 + model.shape.code] = 0.0  # a context that does not hear of the code
    torch.testing.assert_close(slopes(model, z, past, future, usual, code), whole(), rtol=2e-3, atol=2e-3)
