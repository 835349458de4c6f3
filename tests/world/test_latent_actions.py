"""Latent actions: what the channel can carry, and how it is tied to the doses that were logged."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from careplan.series import PatientSeries, split
from careplan.world.corpus import Branches, Corpus
from careplan.world.latent_actions import (
    RADIUS,
    DoseTraining,
    InferringTraining,
    LatentActions,
    LatentTraining,
    Ties,
    rate,
    without_doses,
)
from careplan.world.model import load_model
from careplan.world.question import Given, Question
from careplan.world.training import Recipe
from tests.world.toy import PRESSURE, SMALL, random_model, recording

RECIPE = Recipe(batch=32, horizon=24, virtual=0.0, effects=0.0, unlogged=0.0, seed=3)


def training(people: list[PatientSeries], kind: type[InferringTraining] = LatentTraining, width: int = 4) -> InferringTraining:
    none = torch.zeros(0, dtype=torch.long)
    nothing = Branches(none, none, torch.zeros(0), torch.zeros(0), torch.zeros(0))
    ties = Ties(width=width)
    module = kind(PRESSURE, RECIPE, Corpus.of(people), nothing, real=len(people), shape=SMALL, ties=ties)
    module.log_dict = lambda *_, **__: None  # type: ignore[method-assign]
    return module


def test_what_an_action_carries_is_bounded_however_it_is_trained() -> None:
    """A standard normal number sent through one number of the channel returns with an error of at least exp(-2 nats)."""
    generator, width = torch.Generator().manual_seed(0), 1
    torch.manual_seed(0)
    actions, decode = LatentActions(4, 2, 3, width=width), torch.nn.Sequential(torch.nn.Linear(1, 32), torch.nn.SiLU())
    out = torch.nn.Linear(32, 1)
    parameters = [*actions.inverse.parameters(), *decode.parameters(), *out.parameters()]
    optimizer = torch.optim.Adam(parameters, 1e-2)

    def miss(count: int) -> torch.Tensor:
        told = torch.randn(count, 2, 4, generator=generator)
        mean = actions.infer(told)
        received = out(decode(mean + torch.randn(mean.shape, generator=generator)))
        return F.mse_loss(received[:, 0, 0], told[:, 1, 0])

    for _ in range(300):
        optimizer.zero_grad()
        miss(512).backward()
        optimizer.step()
    floor = math.exp(-2 * width * 0.5 * math.log(1 + RADIUS**2))
    assert 0.95 * floor < float(miss(20_000)) < 0.6  # it tells something, and no more than it can


def test_the_rate_is_positive_finite_and_none_for_no_action() -> None:
    torch.manual_seed(0)
    actions = LatentActions(8, 2, 3, width=4)
    mean = actions.infer(100 * torch.randn(5, 7, 8))
    assert 0 < float(rate(mean)) <= 4 * RADIUS**2 / 2
    assert float(rate(torch.zeros_like(mean))) == 0


def test_the_action_that_tells_nothing_is_no_evidence() -> None:
    model, series = random_model(0), recording(1)
    corpus = Corpus.of([series])
    whole = corpus.windows(torch.zeros(2, dtype=torch.long), torch.tensor([0, 100]), 96 + 24)
    past = type(whole)(whole.values[:, :96], whole.mask[:, :96], whole.minute[:, :96])
    usual, code = corpus.usual.expand(2, -1), torch.zeros(2, SMALL.code)
    state = model.state(model.encode(past, usual)[:, -1], past, usual, code)
    torch.manual_seed(0)
    actions = LatentActions(SMALL.latent, 2, SMALL.evidence, width=4)

    def level(evidence: torch.Tensor | None) -> torch.Tensor:
        future, asked = (whole.values[:, 96:], whole.mask[:, 96:]), Given.RECORD.codes(2)
        return model.rollout(state, Question(*future, asked, usual, code, evidence)).level

    assert torch.equal(level(actions.evidence(torch.zeros(2, 4, 4), 2)), level(None))
    assert not torch.allclose(level(actions.evidence(torch.ones(2, 4, 4), 2)), level(None))


def dosed(seed: int, rows: int = 900) -> PatientSeries:
    """A level that falls with each tablet, soon and to its end, and returns."""
    series = recording(seed, rows, name=str(seed))
    generator = np.random.default_rng(seed)
    given = np.where(generator.random(rows) < 0.03, generator.uniform(10, 30, rows), 0)
    level = np.zeros(rows)
    for row in range(1, rows):
        level[row] = level[row - 1] * 0.9 - 2.0 * given[max(0, row - 2)]
    values = series.values.copy()
    values[:, 0], values[:, 2], values[:, 3] = 160 + level.clip(-120, 0), given, 0
    return PatientSeries(str(seed), PRESSURE, series.start, "UTC", values.astype(np.float32), np.ones_like(series.mask))


def test_logged_doses_are_decoded_where_they_decide_the_level() -> None:
    module = training([dosed(seed) for seed in range(3)])
    corpus, generator = module.corpus, torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW([*module.actions.parameters(), *module.model.encoder.parameters()], 3e-3)

    def miss(corpus: Corpus, patients: torch.Tensor, tell: bool = True) -> torch.Tensor:
        rows = torch.randint(0, 700, (len(patients),), generator=generator)
        whole, usual = corpus.windows(patients, rows, SMALL.context + 24), corpus.usual[patients]
        future = split(whole, SMALL.context)[1]
        mean = module.inferred(module.model.encode(whole, usual), whole, usual)[:, -4:]
        return module.decoded(mean if tell else torch.zeros_like(mean), future, usual)[0]

    for _ in range(150):
        optimizer.zero_grad()
        miss(corpus, torch.randint(3, (64,), generator=generator)).backward()
        optimizer.step()
    stranger, one = Corpus.of([dosed(9)]), torch.zeros(256, dtype=torch.long)
    assert float(miss(stranger, one)) < 0.5 * float(miss(stranger, one, tell=False))


def test_without_labels_the_inverse_model_learns_and_the_logged_plan_does_not() -> None:
    module = training([without_doses(recording(seed, name=str(seed))) for seed in range(2)])
    module.training_step(torch.tensor(0), 0).backward()
    assert module.actions.inverse[0].weight.grad.abs().sum() > 0  # type: ignore[union-attr]
    assert module.actions.decode.weight.grad.abs().sum() == 0  # type: ignore[union-attr]


def test_pretraining_leaves_the_saved_format_as_it_is(tmp_path) -> None:
    module = training([without_doses(recording(seed, name=str(seed))) for seed in range(2)])
    module.model.save(tmp_path, {})
    assert load_model(PRESSURE, tmp_path).fingerprint() == module.model.fingerprint()
    assert not any("action" in name for name in module.model.state_dict())


def test_without_doses_only_the_level_is_left() -> None:
    series = without_doses(recording(0))
    assert series.mask[:, 0].any() and not series.mask[:, 1:].any() and not series.values[:, 1:].any()


@pytest.mark.parametrize(("kind", "width"), [(LatentTraining, 1), (LatentTraining, 6), (DoseTraining, 4)])
def test_a_step_with_and_without_doses_is_finite(kind: type[InferringTraining], width: int) -> None:
    module = training([recording(0), without_doses(recording(1))], kind, width)
    loss = module.training_step(torch.tensor(0), 0)
    loss.backward()
    assert torch.isfinite(loss)
    assert module.actions.decode.weight.grad.abs().sum() > 0  # type: ignore[union-attr]
