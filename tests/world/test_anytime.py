"""At arbitrary times the adaptive solver answers, and it answers what the grid does."""

import copy
from dataclasses import replace

import pytest
import torch

from careplan.series import split
from careplan.world.corpus import Corpus, usual
from careplan.world.personalise import typical
from careplan.world.question import Given, Question, Rollout
from tests.world.toy import random_model, recording

NOTHING, PLAN, RECORD = (each.code for each in Given)

MODEL, SERIES, HORIZON = random_model(3), recording(3), 48
GIVEN = torch.tensor([PLAN, NOTHING, RECORD, PLAN])


@torch.no_grad()
def rolled(at: list[float] | None, *, tablet: float = 0.0, interval: float = 15.0) -> Rollout:
    """Four questions from four moments of a recording, a tablet added 20 min ahead; doses spread over a quarter of an hour."""
    context, person = MODEL.shape.context, typical(MODEL, "one", usual(SERIES))
    rows = torch.tensor([200, 260, 320, 380])
    window = Corpus.of([SERIES]).windows(torch.zeros(4, dtype=torch.long), rows - context, context + HORIZON)
    past, future = split(window, context)
    future.values[:, 4, 2] += tablet
    future.values[:] = future.values.unflatten(1, (-1, 3)).mean(2).repeat_interleave(3, 1)
    mean, code = person.usual.expand(4, -1), person.mean.expand(4, -1)
    state = MODEL.state(MODEL.encode(past, mean)[:, -1], past, mean, code)
    mask = future.mask & (GIVEN != NOTHING)[:, None, None]
    evidence = MODEL.recorded_evidence(state, future.values, mask, mean)
    evidence = evidence.repeat_interleave(round(15.0 / interval), 1)
    minutes = None if at is None else torch.tensor(at, dtype=torch.float64)
    model = copy.copy(MODEL)
    model.shape = replace(MODEL.shape, interval=interval)
    return model.rollout(state, Question(future.values, mask, GIVEN, mean, code, evidence), at=minutes)


def test_on_the_grid_it_is_what_the_grid_says_and_what_a_finer_grid_says_more_nearly() -> None:
    quarter, fine = rolled(None), rolled(None, interval=5.0)
    anytime = rolled(quarter.minutes[1:].tolist())
    assert torch.equal(anytime.minutes, quarter.minutes) and torch.equal(fine.minutes[::3], quarter.minutes)
    moved = float((quarter.level - quarter.level[:, :1]).abs().max())
    coarse = float((anytime.level - quarter.level).abs().max())  # the error of the midpoint rule, of second order
    assert coarse < 0.05 * moved and float((anytime.level - fine.level[:, ::3]).abs().max()) < coarse / 5
    assert float((anytime.offsets - fine.offsets[:, ::3]).abs().max()) < 0.01 * float(fine.offsets.abs().max())
    assert float((anytime.pools - fine.pools[:, ::3]).abs().max()) < float((anytime.pools - quarter.pools).abs().max()) / 5


def test_times_of_any_order_of_magnitude() -> None:
    at = [1e-6, 1e-3, 0.5, 17.0, 44.99999, 45.0, 45.00001, 95.5, 240.0]
    found = rolled(at)
    assert found.level.shape == (4, len(at) + 1) and bool(found.level.isfinite().all())
    assert float((found.level[:, 1] - found.level[:, 0]).abs().max()) < 1e-3
    assert float((found.level[:, 5:8].diff(dim=1)).abs().max()) < 1e-3  # doses move the rate in steps, never the level


def test_a_time_asked_alone_is_as_it_is_among_others() -> None:
    among = rolled([3.0, 17.0, 95.5, 200.0])
    for place, minutes in enumerate((3.0, 17.0, 95.5, 200.0), start=1):
        torch.testing.assert_close(rolled([minutes]).level[:, 1], among.level[:, place], rtol=0, atol=0.05)


def test_more_of_a_lowering_dose_never_predicts_a_higher_level() -> None:
    at = [21.0, 33.3, 70.0, 141.4, 239.0]
    less, more = rolled(at), rolled(at, tablet=20.0)
    planned = GIVEN == PLAN
    assert bool((more.level[planned] <= less.level[planned] + 0.02).all())
    assert bool((more.level[planned, -1] < less.level[planned, -1]).all())


@pytest.mark.parametrize("at", [[0.0, 5.0], [5.0, 5.0], [9.0, 5.0], [241.0], [-1.0]])
def test_times_out_of_order_or_beyond_the_future_are_refused(at: list[float]) -> None:
    with pytest.raises(ValueError, match="minutes must increase"):
        rolled(at)
