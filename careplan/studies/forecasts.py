"""Forecasts judged as glucose is: errors by consensus band, and the zones of the error grids."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from careplan.evaluation.forecasts import HORIZONS, Array, Predictor, forecast_rows, rms, truths
from careplan.series import PatientSeries
from careplan.therapies.glucose.bands import outcomes
from careplan.therapies.glucose.error_grids import ZONES, clarke, parkes, shares

ERRORS = (
    *("rmse", "mae", "rmse_low", "rmse_in_range", "rmse_high"),
    *(f"{grid}_{zone.lower()}" for grid in ("clarke", "parkes") for zone in ZONES),
)


def score(
    predictors: Mapping[str, Predictor],
    people: Sequence[PatientSeries],
    horizons: Sequence[int] = HORIZONS,
    *,
    stride: int = 1,
    history: float = 24 * 60.0,
) -> pd.DataFrame:
    """Each predictor on the same rows of each person: columns model, person, horizon, n, and `ERRORS`: rmse, mae (mg/dL), the
    rmse where the true level was below 70, in 70-180 and above 180 mg/dL, the shares of the Clarke and Parkes zones.

    A person without a row to forecast from is left out. Raises `ValueError` where a prediction is missing or misshapen.
    """
    table: list[dict[str, object]] = []
    for series in people:
        rows = forecast_rows(series, horizons, stride=stride, history=history)
        if not len(rows):
            continue
        truth = truths(series, rows, horizons)
        for name, predict in predictors.items():
            predicted = np.asarray(predict(series, rows), dtype=float)
            if predicted.shape != truth.shape or not np.isfinite(predicted).all():
                raise ValueError(f"{name} on {series.patient}: expected finite predictions {truth.shape}, got {predicted.shape}")
            error = predicted - truth
            for column, horizon in enumerate(horizons):
                row = {"model": name, "person": series.patient, "horizon": horizon, "n": len(rows)}
                table.append(row | described(truth[:, column], error[:, column]))
    return pd.DataFrame(table, columns=["model", "person", "horizon", "n", *ERRORS])


def described(truth: Array, error: Array) -> dict[str, float]:
    """The columns `ERRORS` of levels `[N]` and what predictions missed them by."""
    found = outcomes(truth)
    bands = {"low": found["below_70"], "in_range": found["in_range"], "high": found["above_180"]}
    row = {"rmse": rms(error), "mae": float(np.mean(np.abs(error)))}
    row |= {f"rmse_{band}": rms(error[inside]) for band, inside in bands.items()}
    for grid in (clarke, parkes):
        row |= {f"{grid.__name__}_{zone.lower()}": share for zone, share in shares(grid(truth, truth + error)).items()}
    return row
