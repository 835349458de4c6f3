"""Honest uncertainty: how often intervals cover what was measured, how wide they are, and how well a risk is told."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import brier_score_loss, roc_auc_score

from careplan.evaluation.forecasts import HORIZONS, Array, Predictor, Rows, features, forecast_rows, steps, truths
from careplan.series import PatientSeries
from careplan.world.trust import adapted

Interval = Callable[[PatientSeries, Rows], tuple[Array, Array]]  # rows `[N]` -> lower and upper bounds `[N, H]`
Risk = Callable[[PatientSeries, Rows], Array]  # rows `[N]` -> probability `[N]`


def conformal(predict: Predictor, held: Sequence[PatientSeries], horizons: Sequence[int], coverage: float = 0.9) -> Interval:
    """Split conformal intervals about any predictor (Lei 2018): a constant width a horizon, from errors on people held out.

    Args:
        predict: Rows `[N]` of a recording to levels `[N, H]`.
        held: People on whom the predictor was not fitted.
        horizons: Minutes ahead.
        coverage: The share that is to be inside.

    Returns:
        A function of a recording and rows `[N]` that gives both edges, `[N, H]` each.

    Raises:
        ValueError: No row of the people held out can be forecast from.
    """
    errors = []
    for series in held:
        rows = forecast_rows(series, horizons, stride=3)
        errors.append(np.abs(predict(series, rows) - truths(series, rows, horizons)))
    pooled = np.concatenate(errors)
    if not len(pooled):
        raise ValueError("conformal: no row of the people held out can be forecast from")
    level = min(1.0, np.ceil((len(pooled) + 1) * coverage) / len(pooled))
    width = np.quantile(pooled, level, axis=0)
    return lambda series, rows: (predict(series, rows) - width, predict(series, rows) + width)


def adaptive(interval: Interval, predict: Predictor, horizons: Sequence[int], *, stride: int = 3) -> Interval:
    """An interval about a prediction whose edges follow the patient (`trust.adapted`), from as they are at the first row on.

    At each row, and for each horizon, they follow what is measured until then of the forecasts from the rows before.

    Args:
        interval: The lower and upper bounds to begin with.
        predict: The middle.
        horizons: Minutes ahead.
        stride: Rows between the forecasts that are followed.

    Returns:
        An interval that narrows or widens along a recording.
    """

    def call(series: PatientSeries, rows: Rows) -> tuple[Array, Array]:
        (low, high), mid, step = interval(series, rows), predict(series, rows), series.therapy.step
        away = truths(series, rows, horizons) - mid
        scores = torch.from_numpy(np.where(away < 0, away / (low - mid), away / (high - mid)))
        path = adapted(torch.ones(len(horizons), dtype=scores.dtype), scores, stride * step / 60).numpy()
        known = [np.searchsorted(rows + steps(minutes, step), rows, side="right") for minutes in horizons]
        factor = np.stack([path[count, column] for column, count in enumerate(known)], axis=1)
        return mid + factor * (low - mid), mid + factor * (high - mid)

    return call


def cover(
    intervals: Mapping[str, Interval],
    people: Sequence[PatientSeries],
    horizons: Sequence[int] = HORIZONS,
    *,
    stride: int = 3,
    begin: float = 0.0,
) -> pd.DataFrame:
    """How often intervals hold what was measured, and how wide they are: each on the same rows of each person.

    Args:
        intervals: By model.
        people: The recordings.
        horizons: Minutes ahead.
        stride: Rows between forecasts.
        begin: The share of a recording before which nothing is judged.

    Returns:
        Columns model, person, horizon, n, coverage, width.
    """
    table = []
    for series in people:
        rows = forecast_rows(series, horizons, stride=stride)
        rows = rows[rows >= begin * len(series)]
        if not len(rows):
            continue
        truth = truths(series, rows, horizons)
        for name, interval in intervals.items():
            low, high = interval(series, rows)
            inside = (truth >= low) & (truth <= high)
            for column, horizon in enumerate(horizons):
                row = {"model": name, "person": series.patient, "horizon": horizon, "n": len(rows)}
                row |= {"coverage": float(inside[:, column].mean()), "width": float((high - low)[:, column].mean())}
                table.append(row)
    return pd.DataFrame(table, columns=["model", "person", "horizon", "n", "coverage", "width"])


def happens(series: PatientSeries, rows: Rows, hazard: str) -> NDArray[np.bool_]:
    """Whether a hazard of the therapy comes true.

    Args:
        series: The recording.
        rows: `[N]` rows, from each of which on the hazard is looked for as long as it is declared.
        hazard: Its name.

    Returns:
        `[N]` whether any reading in that time is beyond the hazard's level.
    """
    declared = series.therapy.hazard(hazard)
    side, beyond, within = declared.side, declared.level, declared.within
    level = side * np.asarray(series.column(series.therapy.regulated), dtype=float)
    ahead = rows[:, None] + np.arange(steps(within, series.therapy.step))
    return np.asarray(np.nan_to_num(level[ahead], nan=-np.inf).max(axis=1) > side * beyond)


def risk_rows(series: PatientSeries, hazard: str, *, stride: int = 3) -> Rows:
    """Rows to tell the risk at: those that can be forecast from, where the level is not beyond already."""
    declared = series.therapy.hazard(hazard)
    side, beyond = declared.side, declared.level
    rows = forecast_rows(series, (round(declared.within),), stride=stride)
    level = side * np.asarray(series.column(series.therapy.regulated), dtype=float)
    return rows[level[rows - 1] <= side * beyond]


def boosted_risk(train: Sequence[PatientSeries], hazard: str, *, stride: int = 6, seed: int = 0) -> Risk:
    """Gradient boosting of whether the hazard happens, on the features of the forecasts."""
    chosen = [(series, risk_rows(series, hazard, stride=stride)) for series in train]
    inputs = np.concatenate([features(series, rows) for series, rows in chosen if len(rows)])
    truth = np.concatenate([happens(series, rows, hazard) for series, rows in chosen if len(rows)])
    model = HistGradientBoostingClassifier(max_iter=150, learning_rate=0.06, min_samples_leaf=60, random_state=seed)
    model.fit(inputs, truth)
    return lambda series, rows: np.asarray(model.predict_proba(features(series, rows))[:, 1])


def hazard_table(risks: Mapping[str, Risk], people: Sequence[PatientSeries], hazard: str, *, stride: int = 3) -> pd.DataFrame:
    """Each risk of a hazard on the same rows, pooled over people: columns model, n, events, auroc, brier, and the mean predicted
    and observed risk in ten bins of equal size."""
    chosen = [(series, risk_rows(series, hazard, stride=stride)) for series in people]
    chosen = [(series, rows) for series, rows in chosen if len(rows)]
    truth = np.concatenate([happens(series, rows, hazard) for series, rows in chosen])
    table = []
    for name, risk in risks.items():
        predicted = np.concatenate([risk(series, rows) for series, rows in chosen])
        row: dict[str, object] = {"model": name, "n": len(truth), "events": int(truth.sum())}
        row |= {"auroc": float(roc_auc_score(truth, predicted)), "brier": float(brier_score_loss(truth, predicted))}
        bins = np.array_split(np.argsort(predicted, kind="stable"), 10)
        row |= {"predicted": [round(float(predicted[part].mean()), 4) for part in bins]}
        row |= {"observed": [round(float(truth[part].mean()), 4) for part in bins]}
        table.append(row)
    return pd.DataFrame(table)
