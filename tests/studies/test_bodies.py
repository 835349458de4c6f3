"""Which bodies a model is judged on, and by what figures it is known."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from careplan.clinic.errors import ClinicError
from careplan.studies import training
from careplan.studies.bodies import evaluate_effects, families_of
from careplan.studies.training import Virtual, broadened, simulate
from careplan.therapies.glucose.declaration import GLUCOSE
from careplan.therapies.glucose.weights_folder import WEIGHTS
from careplan.therapies.glucose.world import open_world
from careplan.world.corpus import Branches, Corpus
from careplan.world.model import WorldModel, load_model
from careplan.world.personalise import personalise
from careplan.world.structure import with_structure
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
    recordings, branches = simulate(virtual, offset=0, exactly=True)
    assert [series.patient.split("-")[0] for series in recordings] == ["adult", "adolescent", "child", *3 * ["minimal"]]
    assert branches.patient.tolist() == [person for person in range(6) for _ in range(4)]
    first = open_world().model
    recipe = replace(broadened(Recipe(steps=4)), batch=6, branches=6, plans=4, horizon=24)
    assert recipe.steps == 2 and not recipe.encoder
    wide = with_structure(first)
    module = Training(GLUCOSE, recipe, Corpus.of(recordings), branches, real=0, begin=wide)
    model = train(module, tmp_path / "run", say=lambda _: None)
    before, after = with_structure(first).state_dict(), model.state_dict()
    moved = {name for name in after if not torch.equal(before[name], after[name])}
    assert "dynamics.planned.gain.weight" in moved and not any(name.startswith("encoder") for name in moved)
    model.save(tmp_path, {})
    again = load_model(GLUCOSE, tmp_path)
    assert again.fingerprint() == model.fingerprint() and again.named == 9
    person = personalise(again, recordings[:1], windows=8)[0]
    assert person.mean.shape == (11,) and torch.isfinite(person.covariance).all()


@pytest.mark.parametrize("begin", [None, WEIGHTS])
def test_training_goes_on_from_the_first_family_or_from_the_weights_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, begin: Path | None
) -> None:
    asked: list[tuple[object, ...]] = []

    def trained(
        real: object, virtual: Virtual, recipe: Recipe, folder: Path, *, begin: WorldModel | None, resume: bool, say: object
    ) -> WorldModel:
        asked.append((virtual.families, virtual.people, recipe.steps, recipe.encoder, folder.name, begin and begin.named))
        return begin or open_world().model

    monkeypatch.setattr(training, "_trained", trained)
    monkeypatch.setattr(training, "_calibrated", lambda *_: {})
    monkeypatch.setattr(training, "_effects", lambda *_: {})
    monkeypatch.setattr(training.effects, "make_trial", lambda *_: SimpleNamespace(recordings=()))
    virtual = Virtual(families=("minimal", "assorted"))
    card = training.train_world((), tmp_path, recipe=Recipe(), virtual=virtual, begin=begin, say=lambda _: None)
    first = [] if begin else [(("minimal",), 160, 1500, True, "run", None)]
    assert asked == [*first, (("minimal", "assorted"), 40, 750, False, "bodies", 9)]
    assert card["first"] == open_world().model.fingerprint() and card["bodies"]["steps"] == 750
    assert load_model(GLUCOSE, tmp_path).shape.structure


def test_half_of_the_futures_trained_on_are_told_as_eaten() -> None:
    virtual = Virtual(people=2, days=3, branches=8)
    counted, told = (simulate(virtual, offset=0, exactly=exactly)[1] for exactly in (False, True))
    carbs = GLUCOSE.index("carbs")
    assert told.before is not None and torch.equal(told.altered, counted.altered)
    different = (told.values[..., carbs] != counted.values[..., carbs]).any(1)
    assert different[::2].float().mean() > 0.5 and not different[1::2].any()
    others = [column for column in range(len(GLUCOSE.channels)) if column != carbs]
    assert torch.equal(told.values[..., others], counted.values[..., others])
    with pytest.raises(ValueError, match="not of others"):
        Branches.joined([told, counted])


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
