"""A model whose bodies gain a structure of their own says of everybody what it said before."""

import pytest
import torch
from torch.nn import functional as F

from careplan.series import split
from careplan.world.absorption import STRUCTURE
from careplan.world.corpus import Corpus
from careplan.world.question import Given, Question
from careplan.world.structure import with_structure
from tests.world.toy import random_model, recording

NOTHING, PLAN, RECORD = (each.code for each in Given)


@pytest.mark.parametrize("asked", [NOTHING, PLAN, RECORD])
@torch.no_grad()
def test_who_has_the_usual_structure_is_predicted_as_before(asked: int) -> None:
    model = random_model(seed=5)
    wide, place, returning = with_structure(model), model.named, model.layout.returning
    assert wide.named == model.named + STRUCTURE and wide.shape.code == model.shape.code + STRUCTURE
    corpus, patients = Corpus.of([recording(1), recording(2)]), torch.tensor([0, 1, 1])
    past, future = split(corpus.windows(patients, torch.tensor([100, 200, 310]), 144), 96)
    usual, question = corpus.usual[patients], torch.full((3,), asked)
    code = model.typical(usual) + torch.randn(3, model.shape.code, generator=torch.Generator().manual_seed(1))
    same = torch.cat([F.pad(code[:, :place], (0, STRUCTURE)), code[:, place:]], 1)
    same[:, returning] *= 0.5
    typical = torch.cat([F.pad(model.typical(usual)[:, :place], (0, STRUCTURE)), model.typical(usual)[:, place:]], 1)
    typical[:, returning] *= 0.5
    torch.testing.assert_close(wide.typical(usual), typical)
    before, after = (
        each.rollout(
            each.state(each.encode(past, usual)[:, -1], past, usual, own),
            Question(future.values, future.mask, question, usual, own),
        )
        for each, own in ((model, code), (wide, same))
    )
    torch.testing.assert_close(after.level, before.level)
    other = same.clone()
    other[:, place : place + STRUCTURE] = 1.0
    moved = wide.rollout(
        wide.state(wide.encode(past, usual)[:, -1], past, usual, other),
        Question(future.values, future.mask, question, usual, other),
    )
    assert torch.equal(moved.level, after.level) == (asked != PLAN), "structure says what a plan does and foretells nothing yet"


def test_a_structured_model_is_not_structured_again() -> None:
    with pytest.raises(ValueError, match="already"):
        with_structure(with_structure(random_model(seed=5)))
