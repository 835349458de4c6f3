"""The ablation trains every variant on the same patients, and changes the one part it names."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from careplan.clinic.errors import ClinicError
from careplan.studies import ablation, effects
from careplan.studies.ablation import VARIANTS, Cohort, evaluate_ablation, flat, spread
from careplan.studies.training import Virtual
from careplan.world.training import Recipe

RECIPE = Recipe(steps=20, batch=8, branches=8, horizon=24, seed=1)


@pytest.fixture(scope="module")
def cohort() -> Iterator[Cohort]:
    made = Cohort((("azt1d", "nowhere"),), Virtual(people=1, days=3, branches=4))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(effects, "DAYS", 3)
        trial = effects.make_trial(effects.cohort(1, 5), 5, each=6)
        made.__dict__.update(people=([trial.recordings[0]], {"azt1d": list(trial.recordings[1:])}), trial=trial)
        yield made


def test_a_run_is_judged_written_and_not_run_again(cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    asked = {"variants": ["no-code"], "recipe": RECIPE, "say": said.append}
    first = evaluate_ablation(cohort, tmp_path, seeds=[1], **asked)
    errors = first[0]["rmse"]["azt1d"]
    assert set(errors) == {f"{known}, {given}" for known in ("stranger", "personal") for given in ("nothing", "record")}
    assert np.isfinite([value for pair in errors.values() for value in pair]).all() and 0 < first[0]["varies"] < 1
    assert flat(first[0])["variant"] == "no-code"

    monkeypatch.setattr(ablation, "judge", lambda model, _: {"hash": model.fingerprint()})
    again = evaluate_ablation(cohort, tmp_path, seeds=[1, 2], **asked)
    assert "no-code, seed 1: done before" in said and again[0] == first[0] and again[1]["seed"] == 2
    with pytest.raises(ClinicError, match="other settings"):
        evaluate_ablation(cohort, tmp_path, seeds=[1], **{**asked, "recipe": replace(RECIPE, steps=30)})
    with pytest.raises(ClinicError, match="no variant nothing"):
        evaluate_ablation(cohort, tmp_path, seeds=[1], **{**asked, "variants": ["nothing"]})


@pytest.mark.parametrize(("name", "real", "count"), [("full", 1, 4), ("people", 1, 1), ("virtual", 0, 3)])
def test_who_is_trained_on(cohort: Cohort, name: str, real: int, count: int) -> None:
    training, corpus = cohort.training(VARIANTS[name], RECIPE)
    assert (training.real, len(corpus)) == (real, count)
    training.log_dict = lambda *_, **__: None  # type: ignore[method-assign]
    assert torch.isfinite(training.training_step(torch.tensor(0), 0))


@pytest.mark.parametrize("name", ["no-code", "no-compartments", "still-context"])
def test_nothing_teaches_what_is_fixed(cohort: Cohort, name: str) -> None:
    fixed: dict[str, bool] = {}
    for variant in ("full", name):
        training, _ = cohort.training(VARIANTS[variant], RECIPE)
        training.log_dict = lambda *_, **__: None  # type: ignore[method-assign]
        training.training_step(torch.tensor(0), 0).backward()
        taught = {key: value.grad is not None for key, value in training.named_parameters()}
        fixed = {key: value for key, value in taught.items() if key.startswith(VARIANTS[name].fixed)}
        assert fixed and set(fixed.values()) == {variant == "full"}
    assert any(taught.values())


def test_an_encoder_that_says_the_same_of_everything_has_no_spread() -> None:
    generator = np.random.default_rng(0)
    normal, one = generator.normal(size=(4000, 8)), np.ones(8)
    rank, varies = spread(normal)
    assert rank > 7.9 and varies > 0.99
    assert spread(one + 0.01 * normal)[1] < 0.01
    assert spread(normal[:, :1] * one + 1e-3 * normal)[0] < 1.1
