"""Forecasts: what is expected of one patient from a time on, under no change and under each what-if."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from torch import Tensor

from careplan import therapies
from careplan.clinic.errors import ClinicError
from careplan.clinic.people import people_of
from careplan.clinic.recordings import read_recording
from careplan.clinic.views import Forecast
from careplan.clock import Clock, duration_in_words
from careplan.language import N_
from careplan.recording import Recording, row_at
from careplan.series import PatientSeries
from careplan.store import Actor, Database
from careplan.suggestion import Path
from careplan.therapy import Therapy
from careplan.what_if import apply, parse
from careplan.world.forecast import Band, ForecastQuestion, Future, forecast
from careplan.world.loaded import World
from careplan.world.personalise import Personalisation

EXPECTED, NO_CHANGE = "expected", "no change"
FARTHEST = 3  # times the clock's horizon, which is what a model learns to predict
BEFORE = 36  # rows of history beside a forecast; all that the model reads, where a reading is one of few
# Banners, as they are kept, in English; `retold` tells them in the reader's language.
USUAL = N_("nothing is recorded after this time: 'no change' is the usual rates and nothing given at once")
STANDING = N_("nothing is recorded after this time: 'no change' is what stands and nothing given at once")
TYPICAL = N_("too little is recorded to personalise: this is the typical patient")
INFERRED = N_("no reading in the last {length}: the level now is inferred")
UNTOLD = N_("intervals are the model's own: nobody held out has told how wide they must be")


def forecast_patient(
    db: Database,
    patient: str,
    world: World,
    *,
    at: pd.Timestamp | None = None,
    what_if: Sequence[str] = (),
    ahead: float | Sequence[float] | None = None,
    seed: int = 0,
    actor: Actor | None = None,
) -> Forecast:
    """The predicted level of one patient from `at` (default: after the last reading), with 90 % intervals.

    "expected": everyone behaves as usual; told where the therapy's model foresees that (`Practice.carried_on`). "no change": the
    doses and meals recorded after `at`, or, after the end of the recording, what stands and nothing else. Each what-if edits "no
    change". ahead: minutes that are predicted, on the model's grid, the clock's horizon where None; or the minutes at which to
    predict.

    Raises:
        ClinicError: A time outside the recording, one too far ahead, or a what-if that cannot be read.
    """
    recording = read_recording(db, patient, world.model.therapy.name, actor=actor)
    series, person = recording.series, people_of(db, [recording], world)[patient]
    therapy = world.model.therapy
    column, level = therapy.index(therapy.regulated), therapy.channel(therapy.regulated)
    measured = np.flatnonzero(series.mask[:, column])
    if not len(measured):
        raise ClinicError(f"patient {patient}: no {therapy.regulated} is recorded, so there is nothing to forecast from")
    row = int(measured[-1]) + 1 if at is None else row_at(series, at)
    farthest, minutes = _until(therapy.clock, ahead)
    every = world.model.shape.interval
    rows = math.ceil(farthest / every - 1e-9) * round(every / therapy.step)
    moment = series.start + pd.Timedelta(minutes=therapy.step * row)
    planned, recorded = _future(series, row, rows)
    foresees = therapies.practice(therapy.name).carried_on is None
    if not foresees:
        planned = _carried_on(recording, row, person.usual, planned)
    futures = {EXPECTED: Future(planned.values, planned.mask, known=False)} if foresees else {}
    futures[NO_CHANGE] = planned
    futures |= _edited(what_if, planned, therapy, moment, series.zone)
    asked = ForecastQuestion(row=row, futures=futures, minutes=minutes)
    bands = forecast(world.model, series, person, asked, factors=world.interval_factors(person), seed=seed)
    risks = {name: _risk(world, name, series, row, person) for name in ("low", "high")}
    history = BEFORE if level.noise is None else therapy.clock.context
    return Forecast(
        patient=patient,
        at=moment.to_pydatetime(),
        unit=level.unit,
        history=_recorded(series, max(0, row - history), row, row),
        paths={name: path(band) for name, band in bands.items()},
        low_risk=risks["low"],
        high_risk=risks["high"],
        observed=_recorded(series, row, min(row + rows, len(series)), row) if recorded else None,
        banners=_banners(world, series, row, person, recorded),
        provenance=world.provenance(seed, recording.data),
    )


def _until(clock: Clock, ahead: float | Sequence[float] | None) -> tuple[float, list[float] | None]:
    """How far to predict, and at which minutes where some are named. Raises `ClinicError` for what is not ahead, or too far."""
    farthest = FARTHEST * clock.horizon
    if ahead is not None and not isinstance(ahead, int | float):
        asked = sorted({float(one) for one in ahead})
        if not asked or not 0 < asked[0] <= asked[-1] <= farthest:
            raise ClinicError(f"minutes to predict at lie above 0, at most {farthest:g}: {asked}")
        return asked[-1], asked
    ahead = clock.horizon if ahead is None else ahead
    if not 0 < ahead <= farthest:
        raise ClinicError(f"a forecast reaches {duration_in_words(farthest)} ahead at most, not {duration_in_words(ahead)}")
    return ahead, None


def _edited(what_if: Sequence[str], planned: Future, therapy: Therapy, moment: pd.Timestamp, zone: str) -> dict[str, Future]:
    """The future with each edit made, and with all of them where there are several."""
    edits = [parse(text, therapy=therapy, at=moment, zone=zone, rows=len(planned.values)) for text in what_if]
    asked = {text: [edit] for text, edit in zip(what_if, edits, strict=True)} | (
        {"all together": edits} if len(edits) > 1 else {}
    )
    return {
        text: Future(*apply(each, planned.values, planned.mask, therapy), evidence=planned.evidence)
        for text, each in asked.items()
    }


def _banners(world: World, series: PatientSeries, row: int, person: Personalisation, recorded: bool) -> tuple[str, ...]:
    """What whoever reads a forecast should know of it first."""
    therapy, banners = series.therapy, []
    measured = series.mask[:row, therapy.index(therapy.regulated)]
    since = len(measured) - 1 - int(np.flatnonzero(measured).max(initial=-1))  # rows
    if not recorded:
        banners.append(USUAL if therapies.practice(therapy.name).carried_on is None else STANDING)
    if not person.windows:
        banners.append(TYPICAL)
    if therapy.channel(therapy.regulated).noise is None and since >= 3:
        banners.append(INFERRED.format(length=duration_in_words(3 * therapy.step)))
    elif therapy.channel(therapy.regulated).noise is not None and since:
        banners.append(INFERRED.format(length=duration_in_words(since * therapy.step)))
    if not world.calibrated:
        banners.append(UNTOLD)
    return tuple(banners)


def _risk(world: World, name: str, series: PatientSeries, row: int, person: Personalisation) -> float | None:
    """The probability of one of the therapy's hazards, None where it declares none of that name, or nothing tells of it."""
    told = name in world.card.get("hazard", ()) and any(hazard.name == name for hazard in world.model.therapy.hazards)
    return float(world.risk(name, series, [row], person)[0]) if told else None


def path(band: Band) -> Path:
    """A band as the faces draw it."""
    return Path(
        minutes=tuple(band.minutes.tolist()),
        mid=tuple(band.mid.tolist()),
        low=tuple(band.low.tolist()),
        high=tuple(band.high.tolist()),
    )


def _future(series: PatientSeries, row: int, rows: int) -> tuple[Future, bool]:
    """The `rows` rows recorded from `row`; beyond the recording usual rates and no impulses. Whether any were recorded."""
    values = np.zeros((rows, series.values.shape[1]), np.float32)
    mask = np.zeros_like(values, dtype=bool)
    there = max(0, min(rows, len(series) - row))
    values[:there], mask[:there] = series.values[row : row + there], series.mask[row : row + there]
    for index, channel in enumerate(series.therapy.channels):
        if channel.form == "impulse" and (not there or series.mask[:, index].any()):
            mask[there:, index] = True
    return Future(values, mask, evidence=there == rows), there > 0


def _carried_on(recording: Recording, row: int, usual: Tensor, known: Future) -> Future:
    """A future in which what is not recorded goes on as it stood at its beginning."""
    series, rows = recording.series.until(row), len(known.values)
    carried_on = therapies.practice(series.therapy.name).carried_on
    assert carried_on is not None
    stands = carried_on(series, usual, recording.regimen, rows).numpy()
    mask = known.mask.copy()
    mask[:, [place for place, channel in enumerate(series.therapy.channels) if channel.role != "observation"]] = True
    logged = known.mask & (np.arange(rows) < len(recording.series) - row)[:, None]
    return Future(np.where(logged, known.values, stands).astype(np.float32), mask)


def _recorded(series: PatientSeries, start: int, end: int, zero: int) -> Path:
    level = series.column(series.therapy.regulated)[start:end]
    minutes = (np.arange(start, end) + 1 - zero) * series.therapy.step
    known = ~np.isnan(level)
    levels = tuple(level[known].astype(float).tolist())
    return Path(minutes=tuple(minutes[known].astype(float).tolist()), mid=levels, low=levels, high=levels)
