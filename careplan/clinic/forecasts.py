"""Forecasts: what is expected of one patient from a time on, under no change and under each what-if."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from careplan.clinic.errors import ClinicError
from careplan.clinic.people import personalised
from careplan.clinic.views import Forecast
from careplan.recording import row_at
from careplan.series import PatientSeries
from careplan.store import Actor, Database
from careplan.suggestion import Path
from careplan.therapy import Therapy
from careplan.what_if import Edit, apply, parse
from careplan.world.forecast import Band, ForecastQuestion, Future, forecast
from careplan.world.loaded import World

EXPECTED, NO_CHANGE = "expected", "no change"
FARTHEST = 12 * 60.0  # minutes ahead


def forecast_patient(
    db: Database,
    patient: str,
    world: World,
    *,
    at: pd.Timestamp | None = None,
    what_if: Sequence[str] = (),
    ahead: float | Sequence[float] = 240.0,
    seed: int = 0,
    actor: Actor | None = None,
) -> Forecast:
    """The predicted level of one patient from `at` (default: after the last reading), with 90 % intervals.

    "expected": everyone behaves as usual. "no change": the doses and meals recorded after `at`, or, after the end of the
    recording, the usual rates and nothing else. Each what-if edits "no change".

    Args:
        db: The clinic's database.
        patient: Whose future it is.
        world: The world model of their therapy.
        at: From when, in the patient's zone where it has none.
        what_if: Edits of "no change", as `careplan.what_if` reads them.
        ahead: Minutes ahead that are predicted, on the model's grid; or the minutes ahead at which to predict.
        seed: Of the particles.
        actor: Who asks; nothing is put on record where None.

    Raises:
        ClinicError: Nothing is recorded to begin from, or minutes ahead are out of range.
        AskError: The time is outside the recording, or a what-if cannot be read.
    """
    series, person, digest = personalised(db, [patient], world, actor=actor)[patient]
    therapy = world.model.therapy
    column = therapy.index(therapy.regulated)
    measured = np.flatnonzero(series.mask[:, column])
    if not len(measured):
        raise ClinicError(f"patient {patient}: no {therapy.regulated} is recorded, so there is nothing to forecast from")
    row = int(measured[-1]) + 1 if at is None else row_at(series, at)
    minutes, every = None if isinstance(ahead, int | float) else _minutes(ahead), world.model.shape.interval
    farthest = ahead if isinstance(ahead, int | float) else max(ahead)
    rows = math.ceil(farthest / every) * round(every / therapy.step)
    moment = series.start + pd.Timedelta(minutes=therapy.step * row)
    planned, recorded = _future(series, row, rows)
    edits = [(text, parse(text, therapy=therapy, at=moment, zone=series.zone, rows=rows)) for text in what_if]
    asked = ForecastQuestion(row=row, futures=_futures(planned, edits, therapy), minutes=minutes)
    bands = forecast(world.model, series, person, asked, widen=world.widen(person), seed=seed)
    return Forecast(
        patient=patient,
        at=moment.to_pydatetime(),
        unit=therapy.channel(therapy.regulated).unit,
        history=_recorded(series, max(0, row - 36), row, row),
        paths={name: path(band) for name, band in bands.items()},
        low_risk=float(world.risk("low", series, [row], person)[0]),
        high_risk=float(world.risk("high", series, [row], person)[0]),
        observed=_recorded(series, row, min(row + rows, len(series)), row) if recorded else None,
        banners=_banners(series, row, recorded=recorded, personal=bool(person.windows)),
        provenance=world.provenance(seed, digest),
    )


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


def _futures(planned: Future, edits: Sequence[tuple[str, Edit]], therapy: Therapy) -> dict[str, Future]:
    """The futures by name: what is expected, no change, each edit of that, and all of them together where there are several."""
    values, mask = planned.values, planned.mask
    futures = {EXPECTED: Future(values, mask, known=False), NO_CHANGE: planned}
    for text, edit in edits:
        futures[text] = Future(*apply([edit], values, mask, therapy), evidence=planned.evidence)
    if len(edits) > 1:
        futures["all together"] = Future(*apply([edit for _, edit in edits], values, mask, therapy), evidence=planned.evidence)
    return futures


def _banners(series: PatientSeries, row: int, *, recorded: bool, personal: bool) -> tuple[str, ...]:
    """What must be known of a forecast. recorded: whether anything is after it; personal: whether its model was personalised."""
    banners = []
    if not recorded:
        banners.append("nothing is recorded after this time: 'no change' is the usual rates and nothing given at once")
    if not personal:
        banners.append("too little is recorded to personalise: this is the typical patient")
    if not series.mask[max(0, row - 3) : row, series.therapy.index(series.therapy.regulated)].any():
        banners.append("no reading in the last 15 minutes: the level now is inferred")
    return tuple(banners)


def _minutes(ahead: Sequence[float]) -> list[float]:
    """The minutes ahead at which to predict, in order."""
    minutes = sorted({float(one) for one in ahead})
    if not minutes or not 0 < minutes[0] <= minutes[-1] <= FARTHEST:
        raise ClinicError(f"minutes to predict at lie above 0, at most {FARTHEST:g}: {minutes}")
    return minutes


def _recorded(series: PatientSeries, start: int, end: int, zero: int) -> Path:
    level = series.column(series.therapy.regulated)[start:end]
    minutes = (np.arange(start, end) + 1 - zero) * series.therapy.step
    known = ~np.isnan(level)
    levels = tuple(level[known].astype(float).tolist())
    return Path(minutes=tuple(minutes[known].astype(float).tolist()), mid=levels, low=levels, high=levels)
