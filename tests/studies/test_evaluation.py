"""The world model is judged on people it never saw, knowing nothing of what comes after."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

from careplan.clinic.errors import ClinicError
from careplan.records.grid import to_series
from careplan.series import PatientSeries
from careplan.studies.evaluation import as_recorded, evaluate_forecasts
from careplan.therapies.glucose.declaration import GLUCOSE
from careplan.therapies.glucose.world import open_world
from careplan.world.loaded import World
from tests.clinic.build import record

DAY = 288


@pytest.fixture(scope="module")
def world() -> World:
    return open_world()


@pytest.fixture(scope="module")
def people() -> dict[str, PatientSeries]:
    names = ("ann", "ben", "cat")
    return {name: to_series(record(name, days=5, seed=seed, level=120 + 20 * seed), GLUCOSE) for seed, name in enumerate(names)}


def test_a_patient_is_inferred_from_what_came_before(world: World, people: dict[str, PatientSeries]) -> None:
    series, later = people["ann"], people["ann"].values.copy()
    later[3 * DAY :] *= 1.5
    known, other = (as_recorded(world, [one])["ann"] for one in (series, replace(series, values=later)))
    assert [begin for begin, _ in known] == [0, DAY, 2 * DAY, 3 * DAY, 4 * DAY]
    for (_, person), (_, same) in zip(known[1:4], other[1:4], strict=True):
        assert torch.equal(person.mean, same.mean) and torch.equal(person.usual, same.usual)
    assert not torch.equal(known[2][1].mean, known[3][1].mean)
    assert not torch.equal(known[4][1].usual, other[4][1].usual)


def test_a_patient_is_inferred_anew_when_another_channel_is_logged(world: World, people: dict[str, PatientSeries]) -> None:
    mask = people["ann"].mask.copy()
    mask[: 2 * DAY, GLUCOSE.index("basal")] = False
    known = as_recorded(world, [replace(people["ann"], mask=mask)])["ann"]
    assert [float(person.usual[GLUCOSE.index("basal")]) > 0 for _, person in known[1:]] == [False, False, True, True]
    assert not torch.equal(known[2][1].mean, known[3][1].mean)


def test_strangers_are_judged_beside_baselines_that_never_saw_them(world: World, people: dict[str, PatientSeries]) -> None:
    scores, means = evaluate_forecasts(world, {"store": people}, stride=12)
    assert set(scores["person"]) == {"ann", "ben", "cat"}
    assert {"persistence", "ridge", "boosting + future doses", "careplan", "careplan, personal"} <= set(means["model"])
    assert scores.groupby(["person", "horizon"])["n"].nunique().eq(1).all()  # the same rows for every model
    assert isinstance(means, pd.DataFrame) and means["rmse"].gt(0).all()


def test_nobody_it_was_trained_or_calibrated_on_is_judged(world: World, people: dict[str, PatientSeries]) -> None:
    split = world.card["split"]
    known = {split["train"][0]: people["ann"], split["calibration"][0]: people["ben"]}
    with pytest.raises(ClinicError, match="--everyone"):
        evaluate_forecasts(world, {"store": known}, stride=12)
    scores, _ = evaluate_forecasts(world, {"store": known}, stride=12, everyone=True)
    assert set(scores["person"]) == {"ben"}
