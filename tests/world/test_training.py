"""Training learns, is reproducible from its seed, and goes on from a checkpoint."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch

from careplan.world import losses
from careplan.world import training as world_training
from careplan.world.absorption import STRUCTURE
from careplan.world.corpus import Branches, Corpus
from careplan.world.training import Recipe, Training, train
from tests.world.toy import PRESSURE, SMALL, random_model, recording

RECIPE = Recipe(steps=12, batch=16, branches=4, seed=3)


def training(recipe: Recipe = RECIPE) -> Training:
    corpus = Corpus.of([recording(seed, name=str(seed)) for seed in range(3)])
    rows = 48
    values = corpus.values[corpus.first[0] + 200 : corpus.first[0] + 200 + rows].expand(6, -1, -1).clone()
    values[:, 0, 2] += torch.arange(1.0, 7.0)
    recorded = torch.full((6, rows), 120.0)
    altered = recorded - torch.arange(1.0, 7.0).unsqueeze(1) * torch.linspace(0, 5, rows)
    branches = Branches(torch.zeros(6, dtype=torch.long), torch.full((6,), 200), values, recorded, altered)
    return Training(PRESSURE, recipe, corpus, branches, real=1, shape=SMALL)


def test_the_same_seed_trains_the_same_weights_bit_for_bit_and_a_resumed_run_too(tmp_path, monkeypatch) -> None:
    often = partial(world_training.ModelCheckpoint, tmp_path / "one", save_last=True, every_n_train_steps=5, save_top_k=0)
    monkeypatch.setattr(world_training, "ModelCheckpoint", lambda *_, **__: often())
    one = train(training(), tmp_path / "one", say=lambda _: None).fingerprint()
    monkeypatch.undo()
    assert torch.load(tmp_path / "one" / "last.ckpt", weights_only=True)["global_step"] == 10
    resumed = train(training(), tmp_path / "one", resume=True, say=lambda _: None).fingerprint()
    two = train(training(), tmp_path / "two", say=lambda _: None).fingerprint()
    other = train(training(Recipe(steps=12, batch=16, branches=4, seed=4)), tmp_path / "three", say=lambda _: None).fingerprint()
    assert one == two == resumed != other


def test_effects_are_learned(tmp_path) -> None:
    before = training()
    chosen = torch.arange(6)
    start = float(before._effects(chosen, torch.Generator().manual_seed(0)))
    after = training(Recipe(steps=60, batch=8, branches=6, seed=3))
    train(after, tmp_path, say=lambda _: None)
    assert float(after._effects(chosen, torch.Generator().manual_seed(0))) < 0.7 * start


def terms(**changes: float) -> tuple[float, dict[str, float]]:
    """The loss of the first step and the terms that it is said to be made of."""
    given: dict[str, Any] = {"steps": 4, "batch": 8, "branches": 2, "seed": 1, **changes}
    module = training(Recipe(**given))
    told: dict[str, float] = {}
    module.log_dict = lambda parts, **_: told.update({k: float(part) for k, part in parts.items()})  # type: ignore[method-assign]
    return float(module.training_step(torch.tensor(0), 0).detach()), told


@pytest.mark.parametrize("name", ["latent", "anticollapse", "effects"])
def test_every_term_can_be_switched_off(name: str) -> None:
    whole, on = terms()
    less, off = terms(**{name: 0.0})
    assert on[name] != 0 and off.get(name, 0.0) == 0
    assert off["level"] == on["level"] and off["spread"] == on["spread"], "what is left is as it was"
    assert whole == pytest.approx(sum(on.values()), rel=1e-5) and less == pytest.approx(sum(off.values()), rel=1e-5)
    assert less != pytest.approx(whole, rel=1e-4)
    doubled, twice = terms(**{name: 2 * getattr(Recipe(), name)})
    assert twice[name] == pytest.approx(2 * on[name], rel=1e-4) and doubled == pytest.approx(sum(twice.values()), rel=1e-5)


def test_plans_are_asked_as_far_as_branches_go_and_teach_drift_and_no_effects() -> None:
    module = training(Recipe(steps=4, batch=8, branches=4, plans=6, seed=1))
    module._plans(torch.Generator().manual_seed(0)).backward()
    planned, absorption = module.model.dynamics.planned, module.model.dynamics.absorption
    assert planned.out.weight.grad is not None and planned.out.weight.grad.abs().sum() > 0
    for taught_by_effects in (planned.gain.weight, absorption.log_tau, module.model.encoder.out.weight):
        assert taught_by_effects.grad is None or taught_by_effects.grad.abs().sum() == 0
    whole, told = terms(plans=6)
    assert told["plans"] > 0 and whole == pytest.approx(sum(told.values()), rel=1e-5)


def test_a_body_whose_structure_is_its_own_still_obeys_and_differs_by_it() -> None:
    shape = replace(SMALL, code=SMALL.code + STRUCTURE, structure=True)
    model = random_model(3, shape)
    first = model.named - STRUCTURE
    level, acts = torch.linspace(-2, 4, 50).unsqueeze(1), torch.tensor([1e-3, 0.0]).expand(50, 2)
    features = torch.zeros(50, 1 + model.dynamics.planned.WIDTH)
    found = []
    for number in range(STRUCTURE):
        for value in (-2.0, 2.0):
            code = torch.zeros(50, shape.code)
            code[:, first + number] = value
            rates = [model.dynamics.planned.level_rate(features, code, level, dose * acts)[:, 0] for dose in (1.0, 3.0)]
            assert (rates[1] < rates[0]).all(), "more of a lowering dose lowers, whatever the structure"
            found.append(rates[0] - rates[1])
    assert all((one - other).abs().max() > 1e-5 for one, other in zip(found[::2], found[1::2], strict=True))
    multiple = found[-1]  # goes with the level: weaker where it is low
    assert multiple[40] / found[-2][40] > multiple[5] / found[-2][5]


def test_sigreg_is_smallest_for_a_standard_normal() -> None:
    generator = torch.Generator().manual_seed(0)
    normal = torch.randn(512, 16, generator=generator)

    def value(z: torch.Tensor) -> float:
        return float(losses.sigreg(z, torch.Generator().manual_seed(1)))

    collapsed, stretched = value(normal * 0.01), value(normal * 3)
    assert value(normal) < 0.2 * min(collapsed, stretched)
    assert value(normal) < value(torch.rand(512, 16, generator=generator) * 12**0.5 * torch.tensor([1.0, 0.0]).repeat(8))


def test_vicreg_punishes_collapse_and_repetition() -> None:
    normal = torch.randn(512, 8, generator=torch.Generator().manual_seed(0))
    assert losses.vicreg(normal) < losses.vicreg(normal * 0.01)
    assert losses.vicreg(normal) < losses.vicreg(normal[:, :1].expand(-1, 8))


def test_pinball_is_least_at_the_quantiles() -> None:
    residual = torch.randn(4000, 1, generator=torch.Generator().manual_seed(0))
    seen = torch.ones_like(residual, dtype=torch.bool)

    def loss(scale: float) -> float:
        offsets = torch.tensor([-1.645, -0.674, 0.674, 1.645]) * scale
        return float(losses.pinball(offsets.expand(4000, 1, 4), residual, seen))

    assert loss(1.0) < loss(0.7) and loss(1.0) < loss(1.4)
