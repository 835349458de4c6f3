"""What days of a patient are worth: error against days of data, for the code alone and for all weights trained further."""

import copy
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from careplan.evaluation.forecasts import forecast_rows, rms, steps, truths
from careplan.series import PatientSeries
from careplan.world.calibration import typical_of
from careplan.world.corpus import Branches, Corpus
from careplan.world.forecast import predict
from careplan.world.model import WorldModel
from careplan.world.personalise import Personalisation, personalise
from careplan.world.question import Given
from careplan.world.training import Recipe, Training, train

DAYS = (0, 1, 3, 7, 14, 28)
BEGIN = 0.6  # share of a recording after which its patient is judged
# Few steps at a tenth of the training's rate; not searched for.
FINE_TUNING = Recipe(steps=60, batch=64, virtual=0.0, anonymous=0.0, unlogged=0.0, rate=3e-4, effects=0.0, horizon=48)


def learning_curve(
    model: WorldModel,
    people: Sequence[PatientSeries],
    *,
    days: Sequence[int] = DAYS,
    horizons: Sequence[int] = (30, 60, 120, 240),
    fine_tuning: Recipe | None = FINE_TUNING,
    stride: int = 6,
    say: Callable[[str], None] = print,
) -> pd.DataFrame:
    """Each person's last stretch forecast with some of the days before it known; more days than a recording has are left out.

    Args:
        model: A trained model.
        people: The recordings.
        days: That are known.
        horizons: Minutes ahead.
        fine_tuning: How weights are trained beside codes; they are not where None.
        stride: Rows between forecasts.
        say: Takes a line of progress.

    Returns:
        Columns person, days, method (code, weights), given, horizon, rmse, and the seconds that learning took for one person.
    """
    table = []
    for count in days:
        say(f"Learning from {count} days")
        histories = {series.patient: _before(series, count) for series in people if _has(series, count)}
        chosen = [series for series in people if series.patient in histories]
        for method, series, fitted, person, seconds in _learned(model, chosen, histories, count, fine_tuning):
            rows = forecast_rows(series, horizons, stride=stride)
            rows = rows[rows >= BEGIN * len(series)]
            if not len(rows):
                continue
            truth = truths(series, rows, horizons)
            given: Given
            for given in (Given.NOTHING, Given.RECORD):
                minutes, levels, _ = predict(fitted, series, rows.tolist(), person, given=given)
                at = [int(np.flatnonzero(minutes.numpy() == horizon)[0]) for horizon in horizons]
                for column, horizon in enumerate(horizons):
                    error = rms(levels[:, at[column]].numpy() - truth[:, column])
                    row = {"person": series.patient, "days": count, "method": method, "given": given, "horizon": horizon}
                    table.append(row | {"n": len(rows), "rmse": error, "seconds": seconds})
    return pd.DataFrame(table)


def _has(series: PatientSeries, days: int) -> bool:
    return BEGIN * len(series) >= days * steps(24 * 60, series.therapy.step)


def _before(series: PatientSeries, days: int) -> PatientSeries:
    """The last `days` days before the patient is judged; one, for what is usual, where none are known."""
    last = round(BEGIN * len(series))
    first = last - max(days, 1) * steps(24 * 60, series.therapy.step)
    return replace(series, start=series.times[first], values=series.values[first:last], mask=series.mask[first:last])


def _learned(
    model: WorldModel,
    people: Sequence[PatientSeries],
    histories: dict[str, PatientSeries],
    days: int,
    fine_tuning: Recipe | None,
) -> Iterator[tuple[str, PatientSeries, WorldModel, Personalisation, float]]:
    """By method: who, the weights, what is known of them, seconds a person."""
    if not people:
        return
    known = [histories[series.patient] for series in people]
    began = time.perf_counter()
    inferred = personalise(model, known) if days else [typical_of(model, series) for series in known]
    seconds = (time.perf_counter() - began) / len(people)
    for series, person in zip(people, inferred, strict=True):
        yield "code", series, model, person, seconds
    if fine_tuning is None or not days:
        return
    for series, history in zip(people, known, strict=True):
        began = time.perf_counter()
        fitted = fine_tuned(model, history, fine_tuning)
        yield "weights", series, fitted, typical_of(model, history), time.perf_counter() - began


def fine_tuned(model: WorldModel, history: PatientSeries, recipe: Recipe) -> WorldModel:
    """All weights trained further on one patient's history, as the typical patient's.

    Args:
        model: The weights to begin with, which stay as they are.
        history: The patient's recording.
        recipe: How it is trained.

    Returns:
        Another model.
    """
    none = torch.zeros(0, dtype=torch.long)
    nothing = Branches(none, none, torch.zeros(0), torch.zeros(0), torch.zeros(0))
    training = Training(model.therapy, recipe, Corpus.of([history]), nothing, real=1, shape=model.shape)
    training.model.load_state_dict(copy.deepcopy(model.state_dict()))
    training.codes.requires_grad_(False)
    with tempfile.TemporaryDirectory() as folder:
        return train(training, Path(folder), say=lambda _: None)
