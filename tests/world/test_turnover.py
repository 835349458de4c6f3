"""A drug that acts on the making of what holds a level at rest, in a therapy whose context moves nothing under a plan."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from careplan.effects import Effect
from careplan.series import Window
from careplan.therapies.warfarin.declaration import CLOCK, WARFARIN
from careplan.world.absorption import returning
from careplan.world.model import Shape, WorldModel
from careplan.world.question import Question
from tests.world.toy import random_model

SHAPE, COUNT, DAYS, INR, DOSE = Shape(latent=8, hidden=16, code=4, evidence=2), 4, 28, 0, 1


def levels(model: WorldModel, doses: torch.Tensor, code: torch.Tensor, z: torch.Tensor | None = None) -> torch.Tensor:
    """INRs `[B, D]` under mg on each evening `[B, D]`, of people at rest who took nothing before."""
    count, days = doses.shape
    past = torch.zeros(count, CLOCK.context, len(WARFARIN.channels))
    past[:, -1, INR] = 1.0
    known = torch.ones_like(past, dtype=torch.bool)
    known[:, :-1, INR] = False
    window = Window(past, known, torch.zeros(count, past.shape[1]))
    usual = torch.zeros(count, len(WARFARIN.channels) + 1 + sum(each.width for each in WARFARIN.covariates))
    encoded = model.encode(window, usual)[:, -1] if z is None else z
    values = torch.zeros(count, days, len(WARFARIN.channels))
    values[..., DOSE] = doses
    plan = Question.plan(values, torch.ones_like(values, dtype=torch.bool), usual, code)
    return model.natural_of(0, model.rollout(model.state(encoded, window, usual, code), plan).levels[:, 1:, 0])


@settings(deadline=None, max_examples=40)
@given(worth=st.floats(0.3, 5.0), made=st.floats(0.02, 1.0), rate=st.floats(0.1, 3.0), start=st.floats(-0.5, 8.0))
def test_a_level_settles_where_the_making_of_its_substance_holds_it(worth: float, made: float, rate: float, start: float) -> None:
    level, *others = (torch.tensor(each, dtype=torch.float64) for each in (start, made, rate, worth))
    settled = -worth * math.log(made)
    distance = abs(start - settled)
    for _ in range(300):
        level = level - returning(level, *others, 1.0)
        assert abs(float(level) - settled) <= distance + 1e-9, "never past it, and never away"
        distance = abs(float(level) - settled)
    assert distance < 1e-6


def test_it_is_the_equation_of_the_substance_itself() -> None:
    rate, worth, made, left = 0.3, 1.3, 0.4, 0.7
    level = torch.tensor(-worth * math.log(left))
    after = made + (left - made) * math.exp(-rate * 2.0)
    moved = 2.0 * returning(level, torch.tensor(made), torch.tensor(rate), torch.tensor(worth), 2.0)
    assert float(level - moved) == pytest.approx(-worth * math.log(after), abs=1e-5)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), day=st.integers(0, DAYS - 1), more=st.floats(0.5, 15.0))
@torch.no_grad()
def test_more_of_a_dose_never_lowers_a_later_inr(seed: int, day: int, more: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    model, code = random_model(seed, SHAPE, WARFARIN), torch.randn(COUNT, SHAPE.code, generator=generator)
    doses = 8.0 * torch.rand(COUNT, DAYS, generator=generator)
    added = doses.clone()
    added[:, day] += more
    less, other = levels(model, doses, code), levels(model, added, code)
    assert (other >= less - 1e-3 * (1 + less)).all() and torch.isfinite(other).all()
    assert (other[:, day:] - less[:, day:]).max() > 0


@torch.no_grad()
def test_no_context_moves_a_level_that_does_not_drift() -> None:
    model, code, doses = random_model(1, SHAPE, WARFARIN), torch.zeros(COUNT, SHAPE.code), torch.full((COUNT, DAYS), 4.0)
    contexts = torch.randn(2, COUNT, SHAPE.latent, generator=torch.Generator().manual_seed(2))
    one, other = (levels(model, doses, code, z) for z in contexts)
    assert torch.allclose(one, other, atol=5e-3), "but for what a context says of the level before it was read"


@pytest.mark.parametrize("shape", [{}, {"half": 1.0, "steep": 2.0}, {"half": 1.0, "quadratic": 0.1}, {"half": 1.0, "stops": 0.5}])
def test_an_effect_on_synthesis_needs_a_half_and_has_no_other_shape(shape: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="effect 'drug' on synthesis: needs a half, and has no other shape"):
        Effect(name="drug", pools=("drug",), direction=1, usual=1.0, size=1.0, synthesis=True, **shape)
