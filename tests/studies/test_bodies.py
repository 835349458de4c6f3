"""Which bodies a model is judged on, and by what figures it is known."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from careplan.clinic.errors import ClinicError
from careplan.studies.bodies import evaluate_effects, families_of
from careplan.studies.training import Virtual, shape_for, simulate
from careplan.therapies.glucose.declaration import GLUCOSE
from careplan.therapies.glucose.world import open_world
from careplan.world.corpus import Corpus
from careplan.world.model import Shape, load_model
from careplan.world.personalise import personalise
from careplan.world.training import Recipe, Training, train
from cohorts.families import FAMILIES


def test_families_are_those_named_or_those_left_out() -> None:
    world = open_world()
    assert families_of(world) == ("padova",)
    assert families_of(world, ["sorensen", "minimal"]) == ("minimal", "sorensen")
    assert families_of(world, left_out=True) == FAMILIES[1:]
    assert families_of(world, ["minimal", "padova"], left_out=True) == ("minimal",)
    taught = replace(world, card={**world.card, "virtual": {**world.card["virtual"], "families": ["padova", "minimal"]}})
    assert families_of(taught, left_out=True) == ("sorensen", "assorted")
    with pytest.raises(ClinicError, match="trained on padova, minimal: none of minimal was left out"):
        families_of(taught, ["minimal"], left_out=True)
    with pytest.raises(ClinicError, match="family 'hovorka': expected one of padova, minimal, sorensen, assorted"):
        families_of(world, ["hovorka"])


def test_people_of_several_families_are_trained_on_together(tmp_path: Path) -> None:
    virtual = Virtual(families=("padova", "minimal"), people=1, days=3, branches=4)
    recordings, branches = simulate(virtual, offset=0)
    assert [series.patient.split("-")[0] for series in recordings] == ["adult", "adolescent", "child", *3 * ["minimal"]]
    assert branches.patient.tolist() == [person for person in range(6) for _ in range(4)]
    assert shape_for(Virtual()) == Shape() and shape_for(virtual).structure and shape_for(virtual).code == 11
    recipe = Recipe(steps=2, batch=6, branches=6, plans=4, horizon=24)
    training = Training(GLUCOSE, recipe, Corpus.of(recordings), branches, real=0, shape=shape_for(virtual))
    model = train(training, tmp_path / "run", say=lambda _: None)
    model.save(tmp_path, {})
    again = load_model(GLUCOSE, tmp_path)
    assert again.fingerprint() == model.fingerprint() and again.named == 9
    person = personalise(again, recordings[:1], windows=8)[0]
    assert person.mean.shape == (11,) and torch.isfinite(person.covariance).all()


def test_the_figures_of_a_family_are_those_of_its_table() -> None:
    said: list[str] = []
    table, figures = evaluate_effects(open_world(), people=1, seed=77, family="minimal", baselines=False, say=said.append)
    told = table[(table["told"] == "exactly") & (table["kind"] == "all")].to_dict("records")
    by = {(row["estimator"], row["hours"]): row for row in told}
    assert set(table["family"]) == {"minimal"} and any("minimal" in line for line in said)
    assert figures["effect_error_14d"] == by["careplan, 14 days", "all"]["error"] < 1
    assert figures["effect_slope_8h_14d"] == by["careplan, 14 days", 8]["slope"]
    assert 0.3 < figures["effect_coverage_14d"] <= 1 and figures["effect_width_1d"] > figures["effect_width_14d"] > 5
    assert figures["sign_right"] == 1.0
    with pytest.raises(ClinicError, match="choose another"):
        evaluate_effects(open_world(), people=1, seed=7)
