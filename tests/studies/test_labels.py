"""Who is trained on and who judges when labels are weighed, and what the command refuses."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from careplan.cli import app
from careplan.series import PatientSeries
from careplan.studies import labels
from careplan.world.latent_actions import without_doses
from tests.evaluation.build import series

SPLIT = {"train": ["a1", "a2", "a3", "a4", "b1", "b2", "b3", "b4"], "calibration": ["c1"], "test": ["t1"]}


def person(name: str) -> PatientSeries:
    return series(np.full(600, 120.0), patient=name, bolus=np.zeros(600))


def test_nobody_reported_on_is_read_and_who_logs_no_dose_does_not_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    people = {name: person(name) for names in SPLIT.values() for name in names}
    people["b3"] = without_doses(people["b3"])
    monkeypatch.setattr(labels, "read_sources", lambda _: {"a": people})
    train_on, judged = labels.people_of([], SPLIT)
    assert {one.patient for one in judged} == {"a3", "c1"}
    assert {one.patient for one in train_on["a"]} == {"a1", "a2", "a4", "b1", "b2", "b3", "b4"}


@pytest.mark.parametrize("wrong", [("--shares", "0.1,x"), ("--shares", "0,1"), ("--arms", "magic"), ("--seeds", "one")])
def test_the_command_says_what_it_expected(wrong: tuple[str, str], tmp_path: Path) -> None:
    said = CliRunner().invoke(app, ["evaluate", "labels", "azt1d:nowhere", "--out", str(tmp_path), *wrong])
    assert said.exit_code == 2 and "expected" in said.output
