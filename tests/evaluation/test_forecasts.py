"""Rows, features and baselines of forecasts."""

import numpy as np
import pandas as pd
import pytest

from careplan.evaluation.forecasts import cross_fitted, features, fit_baselines, forecast_rows, persistence, truths
from careplan.series import PatientSeries
from careplan.studies.forecasts import ERRORS, score
from tests.evaluation.build import series

DAY = 288


def person(seed: int, days: int = 4) -> PatientSeries:
    """Glucose that falls with insulin and rises with carbs: what is to come is written in the doses."""
    rng = np.random.default_rng(seed)
    length = days * DAY
    bolus, carbs = np.zeros(length), np.zeros(length)
    bolus[rng.integers(0, length, 6 * days)], carbs[rng.integers(0, length, 6 * days)] = 3.0, 30.0
    kernel = np.exp(-np.arange(60) / 15.0) / 15.0
    drift = np.convolve(3.0 * carbs - 30.0 * bolus, kernel)[:length]
    level = np.empty(length)
    level[0] = 130.0
    for row in range(1, length):
        level[row] = level[row - 1] + drift[row - 1] + 0.02 * (130.0 - level[row - 1]) + rng.normal(0, 0.5)
    return series(np.clip(level, 40, 400), patient=f"p{seed}", bolus=bolus, carbs=carbs)


def test_rows_have_a_past_a_present_and_a_future() -> None:
    level = np.arange(3 * DAY, dtype=float)
    rows = forecast_rows(series(level), (30, 120))
    assert rows[0] == DAY
    assert rows[-1] == 3 * DAY - 24
    assert len(forecast_rows(series(level), (30, 120), stride=3)) == -(-len(rows) // 3)
    assert np.array_equal(truths(series(level), rows, (30, 120)), rows[:, None] - 1 + np.array([6, 24]))
    assert np.array_equal(persistence(series(level), rows, (30, 120))[:, 1], rows - 1.0)
    assert len(forecast_rows(series(level[:100]))) == 0


def test_rows_are_measured_now_and_then() -> None:
    level = np.arange(3 * DAY, dtype=float)
    level[400] = np.nan
    rows = forecast_rows(series(level), (30,))
    assert {401, 395} & set(rows) == set()  # nothing measured now, nothing measured at the horizon
    assert {400, 402, 394, 396} <= set(rows)  # ten minutes without a reading are no gap


def test_rows_have_no_gap_over_fifteen_minutes_in_two_hours() -> None:
    level = np.arange(3 * DAY, dtype=float)
    level[400:402] = np.nan  # readings 15 min apart
    assert 403 in forecast_rows(series(level), (30,))
    level[402] = np.nan  # readings 20 min apart
    rows = set(forecast_rows(series(level), (30,)))
    assert not rows & set(range(404, 403 + 24))
    assert 403 + 24 in rows


def test_a_fifteen_minute_sensor_has_rows() -> None:
    level = np.full(3 * DAY, np.nan)
    level[::3] = 120.0
    rows = forecast_rows(series(level), (30, 60))
    assert len(rows) and (rows % 3 == 1).all()


def test_features_look_back_only_unless_told() -> None:
    a = person(1)
    rows = forecast_rows(a, stride=7)
    changed = PatientSeries(a.patient, a.therapy, a.start, a.zone, a.values.copy(), a.mask)
    row = int(rows[20])
    changed.values[row:] += 1.0
    same = rows[:21]
    assert np.array_equal(features(a, same[-1:]), features(changed, same[-1:]))
    assert not np.array_equal(features(a, same[-1:], 120.0), features(changed, same[-1:], 120.0))
    changed.values[row - 1] += 1.0
    assert not np.array_equal(features(a, same[-1:]), features(changed, same[-1:]))


def test_features_add_up_doses_in_their_quarter_hour() -> None:
    level, bolus = np.full(3 * DAY, 120.0), np.zeros(3 * DAY)
    bolus[497], bolus[500] = 2.0, 5.0
    row = np.array([500])
    past, both = features(series(level, bolus=bolus), row)[0], features(series(level, bolus=bolus), row, 120.0)[0]
    assert np.isfinite(both).all()
    assert sorted(past[np.isin(past, [2.0, 5.0])]) == [2.0]
    assert sorted(both[np.isin(both, [2.0, 5.0])]) == [2.0, 5.0]


def test_a_dose_written_down_once_is_not_a_dose_in_every_row() -> None:
    level, long_acting = np.full(3 * DAY, 120.0), np.full(3 * DAY, np.nan)
    long_acting[600] = 20.0
    assert features(series(level, long_acting=long_acting), np.array([500, 640])).max(1).tolist() == [120.0, 120.0]
    assert (features(series(level, long_acting=long_acting), np.array([640])) == 20.0).sum() == 1


@pytest.fixture(scope="module")
def scores() -> pd.DataFrame:
    predictors = fit_baselines([person(seed) for seed in range(4)], (30, 60), stride=2)
    return score(predictors, [person(10), person(11)], (30, 60), stride=2)


def test_known_doses_help_where_doses_decide(scores: pd.DataFrame) -> None:
    mean = scores.pivot_table(index="model", columns="horizon", values="rmse")
    assert mean.loc["ridge", 30] < 0.9 * mean.loc["persistence", 30]
    for model in ("ridge", "boosting"):
        assert mean.loc[model + " + future doses", 60] < 0.8 * mean.loc[model, 60]


def test_the_table_is_tidy(scores: pd.DataFrame) -> None:
    assert list(scores.columns) == ["model", "person", "horizon", "n", *ERRORS]
    for grid in ("clarke", "parkes"):
        assert np.allclose(scores.filter(like=grid).sum(axis=1), 1.0)
    assert len(scores) == 5 * 2 * 2
    assert scores.groupby(["person", "horizon"])["n"].nunique().eq(1).all()  # the same rows for every model
    assert (scores["mae"] <= scores["rmse"]).all()


def test_any_predictor_is_scored_beside_them() -> None:
    people = [person(10), series([120.0] * 10, patient="too short")]

    def perfect(recording: PatientSeries, rows: np.ndarray) -> np.ndarray:
        return truths(recording, rows, (30,))

    table = score({"perfect": perfect, "off by two": lambda s, r: perfect(s, r) + 2.0}, people, (30,))
    assert table["person"].unique().tolist() == ["p10"]
    assert table["rmse"].tolist() == [0.0, 2.0]
    assert table["mae"].tolist() == [0.0, 2.0]
    with pytest.raises(ValueError, match="expected finite predictions"):
        score({"none": lambda s, r: perfect(s, r) * np.nan}, people, (30,))


def test_without_others_nobody_is_predicted_by_what_was_fitted_on_themselves() -> None:
    people = [person(seed) for seed in range(3)]
    rows = forecast_rows(people[0], (30,), stride=12)
    changed = PatientSeries("p0", people[0].therapy, people[0].start, "UTC", people[0].values * 0.5, people[0].mask)
    before, after = cross_fitted(people, (30,)), cross_fitted([changed, *people[1:]], (30,))
    assert set(before) == {"persistence", "ridge", "boosting", "ridge + future doses", "boosting + future doses"}
    assert np.array_equal(before["ridge"](people[0], rows), after["ridge"](people[0], rows))
    assert not np.array_equal(before["ridge"](people[1], rows), after["ridge"](people[1], rows))
    assert set(cross_fitted(people[:1], (30,))) == {"persistence"}


def test_nothing_to_learn_from() -> None:
    with pytest.raises(ValueError, match="no row"):
        fit_baselines([series([120.0] * 10)])
    with pytest.raises(ValueError, match="whole number"):
        forecast_rows(series([120.0] * 10), (7,))
