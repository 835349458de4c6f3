"""Consensus metrics of a glucose recording.

The bands are those of `careplan.therapies.glucose.bands`. GMI: Bergenstal 2018. GRI: Klonoff 2023. LBGI and HBGI: Kovatchev 1997.
All are clinicians' to own.
"""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from careplan.minutes import DAY
from careplan.series import PatientSeries, cadence
from careplan.targets import Targets
from careplan.therapies.glucose.bands import ADULTS, HIGH, LEVELS, LOW, TIGHT, VERY_HIGH, VERY_LOW
from careplan.therapies.glucose.declaration import GATE
from careplan.therapies.glucose.views import Metrics, Profile

Array = NDArray[np.float64]


def glucose_metrics(readings: PatientSeries | ArrayLike, expected: float | None = None, targets: Targets = ADULTS) -> Metrics:
    """Metrics of a series, or of readings `[N]` in mg/dL (NaN: none) of which `expected` were due.

    Censored readings count in their band: give them the sensor's limit. Without `expected`, a series is held against its own
    cadence between its first and its last reading, and an array against its own length. targets: whose edges the bands have; the
    tight range, the GRI and the risk indices are defined by the consensus's own.
    """
    if isinstance(readings, PatientSeries):
        every = np.asarray(readings.column(readings.therapy.regulated), dtype=float)
        due = expected_readings(readings) if expected is None else expected
    else:
        every = np.asarray(readings, dtype=float).ravel()
        due = len(every) if expected is None else expected
    glucose = every[~np.isnan(every)]
    count = len(glucose)
    active = min(100.0, 100.0 * count / due) if due > 0 else 0.0
    if not count:
        nothing = dict.fromkeys(name for name in Metrics.__dataclass_fields__ if name not in ("readings", "active"))
        return Metrics(readings=0, active=active, **nothing)

    def percent(inside: NDArray[np.bool_]) -> float:
        return 100.0 * float(inside.mean())

    def banded(very_low: float, low: float, high: float, very_high: float) -> tuple[float, float, float, float]:
        below, above = (glucose >= very_low) & (glucose < low), (glucose > high) & (glucose <= very_high)
        return percent(glucose < very_low), percent(below), percent(above), percent(glucose > very_high)

    levels = [targets.levels[name] for name in LEVELS]
    very_low, low, high, very_high = banded(*levels)
    far_low, near_low, near_high, far_high = banded(VERY_LOW, LOW, HIGH, VERY_HIGH)
    mean = float(glucose.mean())
    f = 1.509 * (np.log(np.maximum(glucose, 1.0)) ** 1.084 - 5.381)
    return Metrics(
        readings=count,
        active=active,
        mean=mean,
        gmi=3.31 + 0.02392 * mean,
        cv=100.0 * float(glucose.std(ddof=1)) / mean if count > 1 else None,
        very_low=very_low,
        low=low,
        in_range=percent((glucose >= levels[1]) & (glucose <= levels[2])),
        tight_range=percent((glucose >= LOW) & (glucose <= TIGHT)),
        high=high,
        very_high=very_high,
        gri=min(100.0, 3.0 * far_low + 2.4 * near_low + 1.6 * far_high + 0.8 * near_high),
        lbgi=float(np.where(f < 0, 10.0 * f**2, 0.0).mean()),
        hbgi=float(np.where(f > 0, 10.0 * f**2, 0.0).mean()),
    )


def sufficient(metrics: Metrics, days: float) -> bool:
    """Whether a recording of so many days may be interpreted: as many days with as much of the readings as a plan takes."""
    return days >= GATE.days and metrics.active >= GATE.active


def expected_readings(series: PatientSeries) -> float:
    """How many readings were due between the first and the last, at the series' own cadence."""
    known = np.flatnonzero(series.mask[:, series.therapy.index(series.therapy.regulated)])
    if not len(known):
        return 0.0
    return float(known[-1] - known[0]) * series.therapy.step / cadence(series) + 1.0


def daily_metrics(series: PatientSeries, targets: Targets = ADULTS) -> dict[str, Metrics]:
    """Metrics of each local day (ISO date) that the series touches; a whole day's readings are due of each."""
    local = series.times.tz_convert(series.zone)
    level = np.asarray(series.column(series.therapy.regulated), dtype=float)
    due = DAY / cadence(series)
    return {
        f"{day:%Y-%m-%d}": glucose_metrics(level[rows], due, targets)
        for day, rows in pd.Series(local).groupby(local.floor("D")).indices.items()
    }


def profile(series: PatientSeries, *, every: int = 15) -> Profile:
    """Percentiles 5, 25, 50, 75 and 95 of all readings in each `every` minutes of the local day (linear interpolation). Raises
    `ValueError` where `every` does not divide a day.
    """
    if every <= 0 or DAY % every:
        raise ValueError(f"profile: {every} minutes do not divide a day")
    level = np.asarray(series.column(series.therapy.regulated), dtype=float)
    block = (series.minute_of_day() // every).astype(int)
    known = ~np.isnan(level)
    columns: list[tuple[float | None, ...]] = []
    pooled = [level[known & (block == index)] for index in range(DAY // every)]
    for q in (5, 25, 50, 75, 95):
        columns.append(tuple(float(np.percentile(values, q)) if len(values) else None for values in pooled))
    p5, p25, p50, p75, p95 = columns
    return Profile(minute=tuple(range(0, DAY, every)), p5=p5, p25=p25, p50=p50, p75=p75, p95=p95)
