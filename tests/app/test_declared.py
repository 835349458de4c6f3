"""A therapy that is a declaration and a virtual clinic alone, from the command line to a signature on a screen."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from streamlit.testing.v1 import AppTest
from typer.testing import CliRunner

from careplan import therapies
from careplan.cli import app
from careplan.clinic import Database, plan_regimens, suggest_doses
from careplan.clinic.worker import world_of
from careplan.declared import practice_of
from careplan.studies.declared import RECIPE, train_declared
from careplan.world.model import load_model

from ..therapies.plugin import NAME, installed, shipping, table
from .conftest import ADA, Start, checked, press, shown
from .test_doses import doses

GLUCOSE = ("glucose", "insulin", "mg/dl", "carb", "bolus")


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Path]]:
    """The example's module while it is installed, and weights that a few steps have trained."""
    folder = tmp_path_factory.mktemp("example")
    with installed(folder / "packages") as module:
        recipe = replace(RECIPE, steps=12, batch=8, branches=8)
        card = train_declared(therapies.practice(NAME), folder / "weights", people=6, recipe=recipe, say=lambda _: None)
        assert card["virtual"]["groups"] == ("adult",) and len(card["report"]["wander"]) == 1
        assert len(card["conformal"]["plan"]) == 12 and min(card["conformal"]["plan"]) > 0, "a factor a week"
        yield module, folder / "weights"


def run(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == code, (done.output, done.exception)
    return " ".join(done.output.split())


def test_training_learns_how_far_levels_wander_and_people_differ(example: tuple[Any, Path]) -> None:
    model = load_model(therapies.practice(NAME).therapy, example[1])
    assert model.filter is not None and float(model.filter.log_process.detach().exp()[0]) < 0.09, "it began at 0.1"
    assert not torch.allclose(model.code_covariance, torch.eye(len(model.code_covariance)), atol=0.05)
    assert float(model.z_covariance.diagonal().min()) > 0


def test_a_declared_therapy_goes_from_a_table_to_a_signature(
    example: tuple[Any, Path], db: Database, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, weights = example
    file = tmp_path / "people.csv"
    file.write_text(table(module, 2, 60, 5))
    assert "60 tablet, 10 tsh" in run("import", str(file), "--therapy", NAME)
    assert f"thea0 {NAME} adult" in run("patients")
    told = run("show", "thea0")
    assert "tablet" in told and "readings" in told and not any(word in told.lower() for word in GLUCOSE), told
    told = run("plan", "thea0", "--weights", str(weights))
    assert "Abstains" not in told and "In short" in told and not any(word in told.lower() for word in GLUCOSE), told
    assert "Tablet" in run("personalise", "thea0", "--weights", str(weights))
    foretold(tmp_path, weights)
    shipping(monkeypatch, weights)
    answered()
    made = {each.patient: each for each in plan_regimens(db, ["thea0", "thea1"], world_of(NAME))}
    at = press(start(), "open:thea0")
    text = shown(at)
    assert "Levothyroxine" in text and "Predicted effect" in "".join(each.value for each in at.subheader)
    assert not any(word in text.lower() for word in GLUCOSE), text
    signed = decided(at, made["thea0"].id, [line.key for line in made["thea0"].lines])
    assert "Signed" in shown(signed) and not any(word in shown(signed).lower() for word in GLUCOSE)


def foretold(folder: Path, weights: Path) -> None:
    """A forecast in weeks, of what stands and of more of it, which lowers the level at every one."""
    asked = ("forecast", "thea0", "--weights", str(weights))
    told = run(*asked, "--what-if", "tablet x1.5", "--plot", str(folder / "tsh.html"))
    assert "mIU/L" in told and "12 weeks" in told and not any(word in told.lower() for word in GLUCOSE), told
    assert "nobody held out" not in told and "days" in (folder / "tsh.html").read_text()
    paths = json.loads(run(*asked, "--what-if", "tablet x1.5", "--json"))["paths"]
    assert list(paths) == ["no change", "tablet x1.5"], "the model is not asked what it never learned: what people will do"
    assert all(more < same for more, same in zip(paths["tablet x1.5"]["mid"][1:], paths["no change"]["mid"][1:], strict=True))
    told = run(*asked, "--what-if", "tablet 50 from 2025-01-01 08:00 to 2026-12-01 08:00", code=1)
    assert "2025-01-01 08:00 is not between" in told and "the hours forecast" in told
    assert "reaches 36 weeks ahead at most" in run(*asked, "--ahead", "40 weeks", code=1)
    assert "no length of time" in run(*asked, "--ahead", "soon", code=2)


def answered() -> None:
    """Questions about somebody of another therapy: in its words, or refused."""
    told = run("ask", "Where will thea0's TSH be in 6 weeks?")
    assert "In 6 weeks, as it stands:" in told and "mIU/L" in told, told
    told = run("ask", "What are the limits of thea0?")
    assert "tablet: at most 250 ug/day" in told and "no more tablet than stands while tsh is below 0.4 mIU/L" in told, told
    assert "In short" in run("ask", "Why is that suggested for thea0?")
    assert "last tsh" in run("ask", "Who needs a look?")
    assert "readings:" in run("ask", "Give me a summary of thea0").lower()
    assert "tablet:" in run("ask", "What is prescribed for thea0?")
    told = run("ask", "Compare thea0's last 90 days with the 90 days before")
    assert "Last:" in told and "a change of" in told, told
    assert "readings are above 4 mIU/L" in run("ask", "When was thea0's TSH above 4?")
    assert "No range is aimed at" in run("ask", "When was thea0 low?")
    told = run("ask", "What if thea0 had skipped breakfast yesterday?")
    assert "thea0 is treated under levothyroxine: what if is not answered in words there" in told, told
    assert not any(word in told.lower() for word in ("mg/dl", "insulin"))


def decided(at: AppTest, suggestion: int | None, keys: list[str]) -> AppTest:
    """Every line accepted, and signed."""
    for key in keys:
        at.button_group(key=f"verdict:{suggestion}:{key}").set_value("accept")
    at = checked(at.run())
    at.text_input(key="sign_name").set_value(ADA.name)
    return press(at, "Sign")


def test_a_therapy_that_plans_doses_is_shown_on_the_next_hours(
    example: tuple[Any, Path], db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, weights = example
    planning = practice_of(
        module.THERAPY, {"adult": module.LIMITS}, plans="doses", recent=timedelta(days=730), holds=timedelta(days=30)
    )
    monkeypatch.setattr(module, "PRACTICE", replace(planning, weights=weights))
    therapies._load.cache_clear()
    file = tmp_path / "people.csv"
    file.write_text(table(module, 1, 60, 8))
    run("import", str(file), "--therapy", NAME)
    [made] = suggest_doses(db, ["thea0"], world_of(NAME))
    assert {option.name for option in made.options} >= {"proposed", "no change"} and made.kind == "doses"
    text = shown(doses("thea0"))
    assert not any(word in text.lower() for word in GLUCOSE), text
    assert "In short" in text and "tablet" in text.lower()
