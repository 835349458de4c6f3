"""Shares of the labels, runs that are not done twice, and what labels are worth."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from careplan.evaluation import labels
from careplan.evaluation.labels import RECIPE, Run, days, label_curve, labelled, logged, worth
from careplan.series import PatientSeries
from careplan.therapies.glucose.declaration import GLUCOSE
from careplan.world.model import WorldModel
from tests.evaluation.build import series

DAY = 288


def person(name: str, length: int, *, doses: bool = True) -> PatientSeries:
    level = 140 + 30 * np.sin(np.arange(length * DAY) / 40)
    given = {"bolus": np.where(np.arange(length * DAY) % 60 == 0, 3.0, 0.0)} if doses else {}
    return series(level, patient=name, **given)


PEOPLE = {"a": [person("ann", 4), person("ben", 4), person("cat", 4, doses=False)], "b": [person("dan", 6)]}


def test_shares_take_people_first_and_each_holds_the_smaller() -> None:
    before: dict[str, int] = {}
    for share in (0.1, 0.5, 0.6, 1.0):
        chosen = labelled(PEOPLE, share, seed=0)
        assert days(chosen) == pytest.approx(share * 14, abs=0.01)
        now = {one.patient: len(one) for one in chosen}
        assert "cat" not in now
        assert all(now[name] >= rows for name, rows in before.items())
        assert sum(0 < rows < len(whole) for one in PEOPLE.values() for whole in one for rows in [now.get(whole.patient, 0)]) <= 2
        before = now
    assert set(before) == {"ann", "ben", "dan"}


def test_a_dose_without_a_level_is_no_label() -> None:
    one = person("ann", 2)
    mask = one.mask.copy()
    mask[DAY:, 0] = False
    assert logged(replace(one, mask=mask)).sum() == DAY + 11  # the level of an hour ago still counts


def test_what_is_there_is_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def stub(run: Run, *_: object) -> WorldModel:
        done.append(run.name)
        return WorldModel(GLUCOSE)

    monkeypatch.setattr(labels, "trained", stub)
    runs = [Run(arm=arm, share=share, seed=0) for share in (0.2, 1.0) for arm in ("scratch", "latent")]
    judged = [person("eve", 3)]
    first = label_curve(PEOPLE, judged, runs[:2], tmp_path, stride=48, say=lambda _: None)
    again = label_curve(PEOPLE, judged, runs, tmp_path, stride=48, say=lambda _: None)
    assert done == [run.name for run in runs]
    pd.testing.assert_frame_equal(first, again[again["share"] == 0.2])
    assert set(again["given"]) == {"nothing", "record"} and np.isfinite(again["rmse"]).all()
    with pytest.raises(ValueError, match="another recipe"):
        label_curve(PEOPLE, judged, runs, tmp_path, recipe=replace(RECIPE, steps=3), say=lambda _: None)


@pytest.mark.parametrize("arm", ["scratch", "plain", "latent", "doses"])
def test_every_arm_trains_and_pretrains_once(arm: str, tmp_path: Path) -> None:
    recipe, said = replace(RECIPE, steps=2, batch=4), []
    runs = [Run(arm=arm, share=share, seed=0) for share in (0.5, 1.0)]
    curve = label_curve(PEOPLE, [person("eve", 3)], runs, tmp_path, recipe=recipe, stride=96, say=said.append)
    assert np.isfinite(curve["rmse"]).all()
    assert len(list(tmp_path.glob("*.safetensors"))) == (arm != "scratch")


def test_labels_are_worth_what_training_from_scratch_needs_for_the_same_error() -> None:
    def rows(arm: str, share: float, rmse: float) -> list[dict[str, object]]:
        kept = {"arm": arm, "share": share, "person": "eve", "seed": 0, "rmse": rmse}
        return [{**kept, "given": given, "horizon": horizon} for given in ("nothing", "record") for horizon in (60, 120)]

    scratch = rows("scratch", 0.1, 40.0) + rows("scratch", 0.4, 30.0) + rows("scratch", 1.0, 25.0)
    found = [
        float(worth(pd.DataFrame(scratch + rows("latent", 0.1, rmse)), "latent", 0.1)["multiple"].iloc[0])
        for rmse in (41.0, 40.0, 35.0, 30.0, 24.0)
    ]
    assert found == pytest.approx([1.0, 1.0, 2.0, 4.0, float("inf")])
