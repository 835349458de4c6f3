"""Finger-sticks: recordings thinned to a few readings a day, and what is forecast from each for whenever the next ones come."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from careplan.evaluation.forecasts import rms
from careplan.series import PatientSeries
from careplan.world.forecast import predict
from careplan.world.model import WorldModel
from careplan.world.personalise import Personalisation
from careplan.world.question import Given

AHEAD, LEAST = 240, 30  # minutes: the farthest reading looked at, and the shortest time between two
GAPS = ((0, 60), (60, 120), (120, 240))  # minutes between a reading and the one forecast


def thinned(series: PatientSeries, per_day: float, seed: int) -> PatientSeries:
    """A recording as somebody would have it who reads less often.

    Args:
        series: The recording.
        per_day: About how many readings stay a day, at random times at least `LEAST` apart.
        seed: Of those times.

    Returns:
        The recording with fewer readings; all else as it was.
    """
    step, column = series.therapy.step, series.therapy.index(series.therapy.regulated)
    draw, known = np.random.default_rng(seed), np.flatnonzero(series.mask[:, column])
    kept = np.zeros(len(series), dtype=bool)
    at, mean = float(known[0]), 24 * 60 / per_day - LEAST
    while at <= known[-1]:
        kept[known[np.searchsorted(known, at)]] = True
        at += (LEAST + draw.exponential(mean)) / step
    values, mask = series.values.copy(), series.mask.copy()
    values[~kept, column], mask[~kept, column] = 0, False
    return replace(series, values=values, mask=mask)


def pairs(series: PatientSeries, begin: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Each reading from the row `begin` on, as the row after it, and rows from there to a later reading at most `AHEAD` after it:
    `[N]` each."""
    at = np.flatnonzero(series.mask[:, series.therapy.index(series.therapy.regulated)])
    first, later = np.meshgrid(at[at >= begin], at, indexing="ij")
    near = (later > first) & ((later - first) * series.therapy.step <= AHEAD)
    near &= first + AHEAD / series.therapy.step < len(series)
    return first[near] + 1, (later - first)[near]


def between_readings(
    model: WorldModel,
    sparse: PatientSeries,
    people: Mapping[str, tuple[PatientSeries, Personalisation]],
    *,
    begin: int,
) -> pd.DataFrame:
    """RMSE of what is forecast from each reading of a thinned recording for the next, by the minutes between (`GAPS`).

    Args:
        model: A trained model.
        sparse: The thinned recording, whose readings are forecast from and for.
        people: By name, a recording to forecast from and what is known of its patient.
        begin: The row before which nothing is judged.

    Returns:
        Columns person, gap, n, persistence, and one of each of `people`.
    """
    rows, ahead = pairs(sparse, begin)
    step, level = sparse.therapy.step, sparse.column(sparse.therapy.regulated).astype(float)
    truth, found = level[rows - 1 + ahead], {"persistence": level[rows - 1]}
    moments, which = np.unique(rows, return_inverse=True)
    times = step * torch.arange(1, round(AHEAD / step) + 1, dtype=torch.float64)
    for name, (series, person) in people.items():
        horizon = round(AHEAD / step)
        _, levels, _ = predict(model, series, moments.tolist(), person, given=Given.NOTHING, horizon=horizon, at=times)
        found[name] = levels.numpy()[which, ahead]
    table = []
    for low, high in GAPS:
        inside = (ahead * step > low) & (ahead * step <= high)
        row: dict[str, object] = {"person": sparse.patient, "gap": f"{low}-{high} min", "n": int(inside.sum())}
        table.append(row | {name: rms(levels[inside] - truth[inside]) for name, levels in found.items()})
    return pd.DataFrame(table)
