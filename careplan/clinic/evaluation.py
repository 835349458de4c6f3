"""Evaluation on recordings: the world model beside the baselines, on the same rows of people it never saw."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from careplan.clinic.errors import ClinicError
from careplan.clinic.training import read_sources
from careplan.clinic.world import World
from careplan.evaluation.forecasts import Predictor, fit_baselines, score
from careplan.series import PatientSeries
from careplan.world.calibration import typical_of
from careplan.world.forecast import Given, predict

HORIZONS = (30, 60, 120, 240)
GIVEN: dict[str, Given] = {"careplan": "nothing", "careplan + plan": "plan", "careplan + recorded plan": "record"}


def evaluate_forecasts(
    world: World, sources: Sequence[tuple[str, str]], *, stride: int = 3, everyone: bool = False
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Errors by model, person and minutes ahead, and their mean over people of each source.

    The baselines are fitted to the people the model was trained on, source by source, and all are judged on the people the
    card holds out for the report; with `everyone`, on all who were not trained on. The model is the typical patient: it is
    told nothing of these people but the day before each forecast and their usual amounts.
    """
    split = world.card["split"]
    trained = set(split["train"])
    tables = []
    for source, people in read_sources(sources).items():
        train = [series for name, series in people.items() if name in trained]
        test = [series for name, series in people.items() if name not in trained and (everyone or name in split["test"])]
        if not test:
            continue
        predictors: dict[str, Predictor] = fit_baselines(train, HORIZONS) if train else {}
        predictors |= {name: predictor(world, given) for name, given in GIVEN.items()}
        table = score(predictors, test, HORIZONS, stride=stride)
        tables.append(table.assign(source=source))
    if not tables:
        raise ClinicError("none of these people was held out: name recordings that the model was not trained on, or --everyone")
    scores = pd.concat(tables, ignore_index=True)
    means = scores.groupby(["source", "model", "horizon"], sort=False)[["rmse", "mae"]].mean().reset_index()
    return scores, means


def predictor(world: World, given: Given) -> Predictor:
    """The world model as `evaluation.forecasts` calls its baselines: rows `[N]` -> levels `[N, H]`."""

    def call(series: PatientSeries, rows: NDArray[Any]) -> NDArray[Any]:
        minutes, levels, _ = predict(world.model, series, rows.tolist(), typical_of(world.model, series), given=given)
        at = [int(np.flatnonzero(minutes.numpy() == horizon)[0]) for horizon in HORIZONS]
        return levels[:, at].numpy()

    return call
