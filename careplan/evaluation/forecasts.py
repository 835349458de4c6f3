"""Forecasts on the same rows: persistence, ridge and gradient boosting, and any other predictor beside them.

A row `e` splits a series: what stands before it is history (the last reading is in row `e - 1`), what stands from it on is
the future. Doses in real recordings are partly automatic, so doses of the future leak levels of the future: never compare
a figure that was given them with one that was not.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from careplan.series import PatientSeries, cadence
from careplan.world.corpus import LOGGED

HORIZONS = (30, 60, 120)  # minutes
LEVEL_HISTORY, DOSE_HISTORY, KNOWN_FUTURE, BIN = 120.0, 240.0, 120.0, 15.0  # minutes
LARGEST_GAP = 15.0  # minutes without a reading, within `LEVEL_HISTORY`

Rows = NDArray[np.int64]
Array = NDArray[np.float64]
Predictor = Callable[[PatientSeries, Rows], Array]  # rows `[N]` -> levels `[N, H]`, one column a horizon


def forecast_rows(
    series: PatientSeries, horizons: Sequence[int] = HORIZONS, *, stride: int = 1, history: float = 24 * 60.0
) -> Rows:
    """Rows that one may forecast from, the same for every model.

    Args:
        series: The recording.
        horizons: Minutes ahead at which the level must be measured.
        stride: Rows between candidates.
        history: Minutes of recording that must lie before a row.

    Returns:
        `[N]` rows with the level measured just before them and at every horizon, and no gap over 15 min between readings in the
        last two hours (one row more for a sensor that reads every 15 min, which the grid can round to 20).
    """
    step = series.therapy.step
    known = series.mask[:, series.therapy.index(series.therapy.regulated)]
    ahead = [steps(minutes, step) for minutes in horizons]
    rows = np.arange(max(steps(history, step), steps(LEVEL_HISTORY, step)), len(known) - max(ahead) + 1, stride)
    if not len(rows):
        return rows
    keep = known[rows - 1]
    for count in ahead:
        keep &= known[rows - 1 + count]
    index = np.arange(len(known))
    since = index - np.maximum.accumulate(np.where(known, index, -len(known)))  # rows since the last reading
    longest = np.lib.stride_tricks.sliding_window_view(since, steps(LEVEL_HISTORY, step)).max(axis=1)
    keep &= (longest[rows - steps(LEVEL_HISTORY, step)] + 1) * step <= max(LARGEST_GAP, cadence(series) + step)
    return rows[keep]


def spaced(series: PatientSeries, horizons: Sequence[int] = HORIZONS, stride: int = 1) -> Rows:
    """Rows that one may forecast from, the first of every `stride`: of a slow sensor they lie where it reads.

    Args:
        series: The recording.
        horizons: Minutes ahead at which the level must be measured.
        stride: Rows, of which at most one is chosen.

    Returns:
        `[N]` rows.
    """
    rows = forecast_rows(series, horizons)
    _, first = np.unique(rows // stride, return_index=True)
    return np.asarray(rows[first])


def truths(series: PatientSeries, rows: Rows, horizons: Sequence[int] = HORIZONS) -> Array:
    """The levels that were measured.

    Args:
        series: The recording.
        rows: `[N]` rows from which forecasts begin.
        horizons: Minutes ahead.

    Returns:
        `[N, H]`, NaN where none was measured.
    """
    level = np.asarray(series.column(series.therapy.regulated), dtype=float)
    ahead = np.array([steps(minutes, series.therapy.step) for minutes in horizons])
    return np.asarray(level[rows[:, None] - 1 + ahead])


def features(series: PatientSeries, rows: Rows, future: float = 0.0) -> Array:
    """`[N, F]`: the level now, two hours of it less that, four hours of every dose and disturbance in 15 min, the time of day;
    and of the next `future` minutes too. What is unknown counts as the patient's usual rate, which is 0 of doses that are known
    only where one was given."""
    therapy, step = series.therapy, series.therapy.step
    level = pd.Series(series.column(therapy.regulated), dtype=float).ffill().to_numpy()
    back = rows[:, None] - 1 - np.arange(steps(LEVEL_HISTORY, step))
    now = level[back[:, :1]]
    angle = 2 * np.pi * series.minute_of_day()[rows - 1, None] / (24 * 60)
    parts = [now, np.nan_to_num(level[back[:, 1:]] - now), np.sin(angle), np.cos(angle)]

    readings = series.mask[:, therapy.index(therapy.regulated)].sum()
    per = steps(BIN, step)
    first = -steps(DOSE_HISTORY, step)
    last = steps(future, step)
    for channel in therapy.channels:
        if channel.role == "observation" or channel.direction == 0:
            continue
        column = np.asarray(series.column(channel.name), dtype=float)
        logged = (~np.isnan(column)).sum()
        alone = channel.form == "impulse" and logged < LOGGED * readings
        usual = np.nanmean(column) if logged and not alone else 0.0
        total = np.concatenate([[0.0], np.cumsum(np.where(np.isnan(column), usual, column))])
        edges = np.clip(rows[:, None] + np.arange(first, last + 1, per), 0, len(column))
        parts.append(np.diff(total[edges], axis=1))
    return np.concatenate(parts, axis=1)


def persistence(series: PatientSeries, rows: Rows, horizons: Sequence[int] = HORIZONS) -> Array:
    """The level stays as it is.

    Args:
        series: The recording.
        rows: `[N]` rows from which forecasts begin.
        horizons: Minutes ahead.

    Returns:
        `[N, H]` the last reading before each row.
    """
    level = np.asarray(series.column(series.therapy.regulated), dtype=float)
    return np.repeat(level[rows - 1, None], len(horizons), axis=1)


def fit_baselines(
    train: Sequence[PatientSeries],
    horizons: Sequence[int] = HORIZONS,
    *,
    stride: int = 3,
    boosting: bool = True,
    seed: int = 0,
) -> dict[str, Predictor]:
    """Persistence, ridge and gradient boosting fitted on people's rows, each without and with the next two hours of doses.

    Args:
        train: The recordings that they learn from.
        horizons: Minutes ahead; they predict the change of level until then.
        stride: Rows between those that they learn from.
        boosting: Whether gradient boosting is among them, the slowest by far.
        seed: Of the boosting.

    Returns:
        Predictors by name.

    Raises:
        ValueError: No row of `train` can be forecast from.
    """
    rows = [spaced(series, horizons, stride) for series in train]
    pairs = [(series, chosen) for series, chosen in zip(train, rows, strict=True) if len(chosen)]
    if not pairs:
        raise ValueError("fit_baselines: no row of these recordings can be forecast from")
    change = np.concatenate([truths(s, r, horizons) - persistence(s, r, horizons) for s, r in pairs])
    predictors: dict[str, Predictor] = {"persistence": partial(persistence, horizons=horizons)}
    for future in (0.0, KNOWN_FUTURE):
        inputs = np.concatenate([features(s, r, future) for s, r in pairs])
        name = " + future doses" if future else ""
        ridge = make_pipeline(StandardScaler(), Ridge(alpha=10.0)).fit(inputs, change)
        predictors["ridge" + name] = partial(predict_change, [ridge], future)
        if boosting:
            trees = [boosted(inputs, change[:, column], seed) for column in range(len(horizons))]
            predictors["boosting" + name] = partial(predict_change, trees, future)
    return predictors


def cross_fitted(people: Sequence[PatientSeries], horizons: Sequence[int] = HORIZONS, *, folds: int = 5) -> dict[str, Predictor]:
    """The same baselines for people without others to learn from: each of `folds` groups is predicted by what was fitted on the
    rest of them. One person alone leaves persistence.
    """
    fold = {series.patient: index % folds for index, series in enumerate(people)}
    fitted: list[dict[str, Predictor]] = []
    for index in range(min(folds, len(people))):
        others = [series for series in people if fold[series.patient] != index and len(forecast_rows(series, horizons))]
        fitted.append(fit_baselines(others, horizons) if others else {"persistence": partial(persistence, horizons=horizons)})

    def apart(name: str) -> Predictor:
        return lambda series, rows: fitted[fold[series.patient]][name](series, rows)

    return {name: apart(name) for name in fitted[0] if all(name in some for some in fitted)}


def boosted(inputs: Array, change: Array, seed: int) -> HistGradientBoostingRegressor:
    """The gradient boosting of the baselines.

    Args:
        inputs: `[N, F]` the features of rows.
        change: `[N]` how much the level changes from there.
        seed: Of the boosting.

    Returns:
        The fitted model.
    """
    model = HistGradientBoostingRegressor(
        max_iter=150, learning_rate=0.06, min_samples_leaf=60, l2_regularization=1.0, early_stopping=False, random_state=seed
    )
    return model.fit(inputs.astype(np.float32), change)


def predict_change(models: Sequence[object], future: float, series: PatientSeries, rows: Rows) -> Array:
    """`[N, H]` the level now plus what the models (one for all horizons, or one each) predict it to change."""
    inputs = features(series, rows, future)
    change = [np.asarray(model.predict(inputs)) for model in models]  # type: ignore[attr-defined]
    return inputs[:, :1] + (np.stack(change, axis=1) if change[0].ndim == 1 else change[0])


def rms(error: Array) -> float:
    return float(np.sqrt(np.mean(error**2))) if error.size else float("nan")


def steps(minutes: float, step: float) -> int:
    """Whole rows in so many minutes; raises `ValueError` when the grid does not divide them."""
    count = round(minutes / step)
    if abs(count * step - minutes) > 1e-9:
        raise ValueError(f"{minutes:g} min is not a whole number of {step:g}-min rows")
    return count
