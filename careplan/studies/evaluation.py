"""Evaluation on recordings: the world model beside the baselines, on the same rows of people it never saw."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from careplan.clinic.errors import ClinicError
from careplan.clinic.known import patient_names
from careplan.clinic.stored_records import load_series
from careplan.evaluation import fingersticks, intervals
from careplan.evaluation.forecasts import Predictor, cross_fitted, fit_baselines
from careplan.evaluation.personalisation import FINE_TUNING, learning_curve
from careplan.series import PatientSeries
from careplan.store import Database
from careplan.studies import drift
from careplan.studies.forecasts import ERRORS, score
from careplan.studies.training import Split, read_sources
from careplan.therapies.glucose.declaration import GLUCOSE
from careplan.therapies.glucose.weights_folder import WEIGHTS
from careplan.world.calibration import part
from careplan.world.corpus import usual
from careplan.world.drift import Reference, checkpoints, describe, load_reference, measure
from careplan.world.forecast import predict
from careplan.world.loaded import World
from careplan.world.personalise import Personalisation, personalise, typical
from careplan.world.question import Given

HORIZONS = (30, 60, 120, 240)
GIVEN: dict[str, Given] = {"careplan": Given.NOTHING, "careplan + plan": Given.PLAN, "careplan + recorded plan": Given.RECORD}
INFERRED = (1, 3, 7, 14)  # days after which a patient is inferred anew, and every 14 from there


def evaluate_forecasts(
    world: World, recordings: Mapping[str, Mapping[str, PatientSeries]], *, stride: int = 3, everyone: bool = False
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Errors by model, person and minutes ahead, and their mean over people, for recordings by source and person.

    The baselines are fitted to the people of a source that the model was trained on (where it holds none of them, to its other
    people, in turns), and all are judged on those it never saw; with `everyone`, on those its intervals were calibrated on too.
    "careplan" knows of these people the day before each forecast and what was usual until then; "careplan, personal" has the
    code inferred from what was recorded before, `INFERRED` anew.

    Raises `ClinicError` where nobody is left to judge.
    """
    trained = set(world.card["split"]["train"])
    tables = []
    for source, people in recordings.items():
        train = [series for name, series in people.items() if name in trained]
        test = unseen(world, people, everyone)
        if not test:
            continue
        predictors = fit_baselines(train, HORIZONS) if train else cross_fitted(test, HORIZONS)
        inferred = as_recorded(world, test)
        strangers = {
            patient: [(row, typical(world.model, patient, person.usual)) for row, person in known]
            for patient, known in inferred.items()
        }
        for who, known in (("careplan", strangers), ("careplan, personal", inferred)):
            predictors |= {name.replace("careplan", who): predictor(world, given, known) for name, given in GIVEN.items()}
        table = score(predictors, test, HORIZONS, stride=stride)
        tables.append(table.assign(source=source, delivery=table["person"].map({one.patient: delivery(one) for one in test})))
    if not tables:
        raise ClinicError(NOBODY)
    scores = pd.concat(tables, ignore_index=True)
    means = scores.groupby(["source", "model", "horizon"], sort=False)[list(ERRORS)].mean().reset_index()
    return scores, means


def evaluate_uncertainty(
    world: World, sources: Sequence[tuple[str, str]], *, judge: Literal["calibration", "test"] = "test", stride: int = 3
) -> dict[str, pd.DataFrame]:
    """Intervals and hazards on people held out (to report on, or those it was calibrated on), each person's last two fifths,
    personalised on what came before; beside them a conformalised ridge and boosted classifiers fitted on the training people.
    Intervals with and without following the person through that stretch: "static" has the card's factors alone. Raises
    `ClinicError` where none of the recordings are of the people of the card.
    """
    split, share = world.card["split"], 0.6
    everyone = {name: series for people in read_sources(sources).values() for name, series in people.items()}
    train, held, test = ([everyone[name] for name in split[part] if name in everyone] for part in Split.__annotations__)
    if not (train and held and test):
        raise ClinicError("uncertainty is judged on the people of the card: give the recordings that the model was trained with")
    judged = test if judge == "test" else held
    people = {series.patient: person for series, person in zip(judged, personalised_on(world, judged, share), strict=True)}

    def ours(followed: bool, series: PatientSeries, rows: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        person, given = people[series.patient], Given.NOTHING
        minutes, levels, offsets = predict(world.model, series, rows.tolist(), person, given=given)
        at = [int(np.flatnonzero(minutes.numpy() == horizon)[0]) for horizon in HORIZONS]
        factors = world.interval_factors(person)[given] if followed else torch.tensor(world.card["conformal"][given])
        factor = factors[[horizon // 30 - 1 for horizon in HORIZONS]]
        return (levels[:, at] + factor * offsets[:, at, 0]).numpy(), (levels[:, at] + factor * offsets[:, at, 3]).numpy()

    ridge = fit_baselines(train, HORIZONS, boosting=False)["ridge"]
    still = intervals.conformal(ridge, held, HORIZONS)
    middle = predictor(world, Given.NOTHING, {name: [(0, person)] for name, person in people.items()})
    beside: dict[str, intervals.Interval] = {
        "careplan": intervals.adaptive(partial(ours, True), middle, HORIZONS, stride=stride),
        "careplan, static": partial(ours, False),
        "conformal ridge, adaptive": intervals.adaptive(still, ridge, HORIZONS, stride=stride),
        "conformal ridge": still,
    }
    tables = {"intervals": intervals.cover(beside, judged, HORIZONS, stride=stride, begin=share)}

    def risk(hazard: str, series: PatientSeries, rows: NDArray[Any]) -> NDArray[Any]:
        return world.risk(hazard, series, rows.tolist(), people[series.patient])

    for hazard in (one.name for one in GLUCOSE.hazards):
        risks: dict[str, intervals.Risk] = {"careplan": partial(risk, hazard), "boosting": intervals.boosted_risk(train, hazard)}
        tables[f"{hazard}s"] = intervals.hazard_table(risks, judged, hazard, stride=stride)
    return tables


def evaluate_fingersticks(
    world: World,
    recordings: Mapping[str, Mapping[str, PatientSeries]],
    *,
    per_day: float,
    everyone: bool = False,
    seed: int = 0,
) -> pd.DataFrame:
    """Forecasts at arbitrary times between the readings of recordings thinned to finger-sticks: last two fifths of each,
    personalised on what came before, thinned too. Beside them, what all readings would have told: "every reading". Raises
    `ClinicError` where nobody is left to judge.
    """
    tables, share = [], 0.6
    for source, people in recordings.items():
        whole = [drift.measured(series) for series in unseen(world, people, everyone)]
        sparse = [fingersticks.thinned(series, per_day, seed) for series in whole]
        known = [personalised_on(world, one, share) for one in (whole, sparse)] if whole else [[], []]
        for full, thin, rich, poor in zip(whole, sparse, *known, strict=True):
            stranger = typical(world.model, thin.patient, poor.usual)
            beside = {"careplan": (thin, stranger), "careplan, personal": (thin, poor), "every reading": (full, rich)}
            table = fingersticks.between_readings(world.model, thin, beside, begin=round(share * len(thin)))
            tables.append(table.assign(source=source))
    if not tables:
        raise ClinicError(NOBODY)
    return pd.concat(tables, ignore_index=True)


def evaluate_drift(
    world: World,
    recordings: Mapping[str, Mapping[str, PatientSeries]],
    *,
    everyone: bool = False,
    seed: int = 0,
    say: Callable[[str], None] = print,
) -> pd.DataFrame:
    """How often the alarms sound when the last stretch of a recording was spoilt, and when not, in people that nothing was
    measured on; a person is known by what came before. Another person's days are taken from the same source. Raises
    `ClinicError` where nobody is left to judge.
    """
    test, others = [], {}
    for people in recordings.values():
        for series in unseen(world, people, everyone):
            test.append(drift.measured(series))
            others[series.patient] = [other for other in people.values() if other.patient != series.patient]
    if not test:
        raise ClinicError(NOBODY)
    known = zip(test, personalised_on(world, test, drift.BEGIN), strict=True)
    return drift.rates(drift.sound(world.model, list(known), load_reference(GLUCOSE, WEIGHTS), others, seed=seed, say=say))


def measure_drift(world: World, recordings: Mapping[str, Mapping[str, PatientSeries]]) -> Reference:
    """What is usual of the days of the people that the model was trained and its intervals calibrated on. Raises `ClinicError`
    where none of the recordings are of the people of the card.
    """
    names = {*world.card["split"]["train"], *world.card["split"]["calibration"]}
    people = [drift.measured(series) for part in recordings.values() for name, series in part.items() if name in names]
    if not people:
        raise ClinicError("drift is measured on the people of the card: give the recordings that the model was trained with")
    known = zip(people, personalised_on(world, people, drift.BEGIN), strict=True)
    return measure(GLUCOSE, [describe(world.model, series, person, checkpoints(series)) for series, person in known])


def personalised_on(world: World, recordings: Sequence[PatientSeries], share: float) -> list[Personalisation]:
    """What the first `share` of each recording tells of its patient."""
    return personalise(world.model, [part(series, 0.0, share) for series in recordings])


def stored(db: Database) -> dict[str, dict[str, PatientSeries]]:
    """Everyone in the store, as one source."""
    return {"store": {patient: load_series(db, patient) for patient in patient_names(db)}}


def delivery(series: PatientSeries) -> str:
    """How basal insulin is given, as far as the recording tells."""
    known = {name: bool(series.mask[:, GLUCOSE.index(name)].any()) for name in ("basal", "long_acting")}
    return "pump" if known["basal"] else "pen" if known["long_acting"] else "unknown"


def evaluate_personalisation(
    world: World,
    recordings: Mapping[str, Mapping[str, PatientSeries]],
    *,
    fine_tune: bool = True,
    everyone: bool = False,
    say: Callable[[str], None] = print,
) -> pd.DataFrame:
    """`learning_curve` of everybody the model never saw. Raises `ClinicError` where nobody is left to judge."""
    people = {source: unseen(world, found, everyone) for source, found in recordings.items()}
    if not any(people.values()):
        raise ClinicError(NOBODY)
    recipe = FINE_TUNING if fine_tune else None
    curves = {name: learning_curve(world.model, found, fine_tuning=recipe, say=say) for name, found in people.items()}
    return pd.concat([curve.assign(source=name) for name, curve in curves.items()], ignore_index=True)


NOBODY = "none of these people was held out: name recordings that the model was not trained on, or --everyone"


def unseen(world: World, people: Mapping[str, PatientSeries], everyone: bool) -> list[PatientSeries]:
    """Those the model was not trained on, nor, unless `everyone`, its intervals calibrated on."""
    split = world.card["split"]
    seen = set(split["train"]) | (set() if everyone else set(split["calibration"]))
    return [series for name, series in people.items() if name not in seen]


Known = Mapping[str, Sequence[tuple[int, Personalisation]]]  # by patient: what is known of them from each row on


def as_recorded(world: World, recordings: Sequence[PatientSeries]) -> Known:
    """Each patient as known from what was recorded before a row, nothing on the first day: what is usual of them is told anew
    every day, their code after the days `INFERRED`, every 14, and when another channel begins to be logged."""
    day = round(24 * 60 / GLUCOSE.step)
    pieces: list[PatientSeries] = []
    days_of: dict[str, list[tuple[int, int, Tensor]]] = {}  # from which row on, which piece, what is usual
    for series in recordings:
        told, logged = days_of.setdefault(series.patient, []), torch.empty(0)
        for days in range(1, len(series) // day):
            piece = series.until(days * day)
            now = usual(piece)
            if days in INFERRED or days % INFERRED[-1] == 0 or not torch.equal(now > 0, logged):
                pieces.append(piece)
                logged = now > 0
            told.append((days * day, len(pieces) - 1, now))
    people = personalise(world.model, pieces)
    return {
        series.patient: [
            (0, typical(world.model, series.patient, usual(replace(series, mask=np.zeros_like(series.mask))))),
            *((row, replace(people[piece], usual=now)) for row, piece, now in days_of[series.patient]),
        ]
        for series in recordings
    }


def predictor(world: World, given: Given, known: Known) -> Predictor:
    """The world model as `evaluation.forecasts` calls its baselines: rows `[N]` -> levels `[N, H]`."""

    def call(series: PatientSeries, rows: NDArray[Any]) -> NDArray[Any]:
        begins, people = zip(*known[series.patient], strict=True)
        which, found = np.searchsorted(begins, rows, side="right") - 1, np.empty((len(rows), len(HORIZONS)))
        for index in np.unique(which):
            minutes, levels, _ = predict(world.model, series, rows[which == index].tolist(), people[index], given=given)
            at = [int(np.flatnonzero(minutes.numpy() == horizon)[0]) for horizon in HORIZONS]
            found[which == index] = levels[:, at].numpy()
        return found

    return call
