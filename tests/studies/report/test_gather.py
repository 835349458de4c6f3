"""What figures are made from is the same however many parts of a cohort are read at once."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from careplan.studies.report import Protocol, parts
from careplan.studies.report.gather import risks_by_bin, values_of
from careplan.studies.report.judge import BINS
from careplan.studies.report.resampling import resampled, summary

PROTOCOL = Protocol(resamples=60)


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Three parts: two people; nobody; one person of whom no group, no error at an hour and no risk of a low is known."""
    anna, ben, cy = ({"unit": unit, "patient": name} for unit, name in (("a", "anna"), ("a", "ben"), ("c", "anna")))
    people = [
        pd.DataFrame([anna | {"group": "adult"}, ben | {"group": "adult"}]),
        pd.DataFrame(),
        pd.DataFrame([cy | {"group": None}]),
    ]
    errors = [
        pd.DataFrame(
            [who | {"horizon": ahead, "rmse": rmse} for who, ahead, rmse in ((ben, 60, 2.0), (anna, 60, 1.0), (anna, 30, 0.5))]
        ),
        pd.DataFrame(),
        pd.DataFrame([cy | {"horizon": 30, "rmse": 4.0}]),
    ]
    risks = [
        pd.DataFrame(
            [who | {"hazard": hazard, "bin": 3, "n": 5, "events": 1} for who in (anna, ben) for hazard in ("low", "high")]
        ),
        pd.DataFrame(),
        pd.DataFrame([cy | {"hazard": "high", "bin": which, "n": 7, "events": 2} for which in (0, BINS - 1)]),
    ]
    found = [tmp_path / f"{index:06d}" for index in range(3)]
    for folder, *tables in zip(found, people, errors, risks, strict=True):
        parts.keep(folder, "key", dict(zip(("people", "forecasts", "risks"), tables, strict=True)))
    return found


@pytest.mark.parametrize("at_once", [1, 200])
def test_numbers_stand_beside_their_people(folders: list[Path], at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "FILES", at_once)
    people = parts.whole(folders, "people")
    assert people["patient"].tolist() == ["anna", "ben", "anna"]
    found = values_of(folders, "forecasts", "horizon", ["rmse"], people)
    assert list(found) == [60, 30]
    np.testing.assert_array_equal(found[60]["rmse"], [1.0, 2.0, np.nan])
    np.testing.assert_array_equal(found[30]["rmse"], [0.5, np.nan, 4.0])

    weights = resampled(3, PROTOCOL)
    counts = np.zeros((3, BINS, 2))
    counts[:2, 3], counts[2, [0, -1]] = (4, 1), (5, 2)
    risks = risks_by_bin(folders, people, weights)
    assert list(risks) == ["high", "low"]
    np.testing.assert_array_equal(risks["high"], np.einsum("rp,pbk->rbk", weights.astype(float), counts))
    assert risks["low"][0].sum() == 10


@pytest.mark.parametrize("at_once", [1, 200])
def test_a_column_without_a_value_in_one_part_is_put_together(
    folders: list[Path], at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "FILES", at_once)
    path = tmp_path / "people.parquet"
    for order in (folders, folders[::-1]):
        parts.together(path, order, "people")
        groups = pd.read_parquet(path)["group"]
        assert groups.dropna().tolist() == ["adult", "adult"] and groups.isna().sum() == 1
    parts.together(path, folders, "plans")
    assert not path.exists()


def test_people_are_drawn_as_often_as_there_are_people_and_take_a_byte_each() -> None:
    weights = resampled(700, PROTOCOL)
    assert weights.nbytes == 61 * 700
    assert (weights[0] == 1).all() and (weights.sum(1) == 700).all()
    drawn = np.random.default_rng(0).multinomial(700, np.full(700, 1 / 700), size=60)
    np.testing.assert_array_equal(weights[1:], drawn)
    values = np.arange(700.0)
    values[::7] = np.nan
    found, known = summary(values, weights), np.isfinite(values)
    means = (drawn[:, known] @ values[known]) / drawn[:, known].sum(1)
    assert found["mean"] == pytest.approx(values[known].mean()) and found["people"] == 600
    assert (found["low"], found["high"]) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])))
