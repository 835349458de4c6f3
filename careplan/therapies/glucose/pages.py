"""A patient at a glance: how urgent, and what a page draws of the recent days."""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from careplan.language import N_
from careplan.minutes import DAY
from careplan.practice import Glance
from careplan.series import PatientSeries, usual_spacing
from careplan.therapies.glucose.bands import (
    ABOVE_180_TARGET,
    ABOVE_250_TARGET,
    BELOW_54_TARGET,
    BELOW_70_TARGET,
    CV_TARGET,
    HIGH,
    IN_RANGE_TARGET,
    LOW,
    VERY_HIGH,
    VERY_LOW,
)
from careplan.therapies.glucose.declaration import GLUCOSE
from careplan.therapies.glucose.metrics import daily_metrics, glucose_metrics, profile, sufficient
from careplan.therapies.glucose.views import Metrics, Profile

# Why somebody is to be looked at.
BELOW = N_("{share:.1f} % below {level:g} mg/dL (target < {target:g} %)")
ABOVE = N_("{share:.1f} % above {level:g} mg/dL (target < {target:g} %)")
IN_RANGE = N_("{share:.1f} % in range (target > {target:g} %)")
MET = N_("{share:.1f} % in range: targets met")


@dataclass(frozen=True, kw_only=True)
class Day:
    """One local day of a recording: glucose by minute, and the doses and meals within it."""

    date: str
    minute: tuple[int, ...]
    glucose: tuple[float | None, ...]
    boluses: tuple[tuple[int, float], ...]
    carbs: tuple[tuple[int, float], ...]
    metrics: Metrics


def glance(readings: pd.DataFrame) -> Glance:
    """What readings in mg/dL, with their times, say of a patient."""
    days, metrics = glucose_of(readings)
    score, headline = urgency(metrics)
    return Glance(
        days=days,
        metrics=metrics,
        measured=bool(metrics.readings),
        sufficient=sufficient(metrics, days),
        urgency=score,
        headline=headline,
        unmet=unmet(metrics),
    )


def unmet(metrics: Metrics) -> tuple[str, ...]:
    """The consensus targets for adults that are missed; none where nothing was measured."""
    very_low, low, in_range, high, very_high, cv = (
        getattr(metrics, name) for name in ("very_low", "low", "in_range", "high", "very_high", "cv")
    )
    if not metrics.readings:
        return ()
    missed = {
        "below_54": very_low >= BELOW_54_TARGET,
        "below_70": low + very_low >= BELOW_70_TARGET,
        "in_range": in_range <= IN_RANGE_TARGET,
        "above_180": high + very_high >= ABOVE_180_TARGET,
        "above_250": very_high >= ABOVE_250_TARGET,
        "cv": cv is not None and cv > CV_TARGET,
    }
    return tuple(name for name, is_missed in missed.items() if is_missed)


def glucose_of(readings: pd.DataFrame) -> tuple[float, Metrics]:
    """Days covered, from the first reading to the end of the last, and the consensus metrics, of canonical glucose events."""
    times = readings["time"]
    spacing = min(usual_spacing(times), GLUCOSE.slowest)
    minutes = 0.0 if times.empty else (times.max() - times.min()) / timedelta(minutes=1) + spacing
    expected = minutes / spacing if spacing else len(readings)
    return minutes / DAY, glucose_metrics(readings["value"].to_numpy(), expected)


def urgency(metrics: Metrics) -> tuple[float, str]:
    """How soon to look, and why: 300 for too much below 54 mg/dL, 200 below 70, 100 for highs; plus the GRI, 0 to 100."""
    if (
        not metrics.readings
        or metrics.very_low is None
        or metrics.low is None
        or metrics.high is None
        or metrics.very_high is None
    ):
        return -1.0, N_("no glucose recorded")
    below, above, risk = metrics.low + metrics.very_low, metrics.high + metrics.very_high, metrics.gri or 0.0
    if metrics.very_low >= BELOW_54_TARGET:
        return 300 + risk, BELOW.format(share=metrics.very_low, level=VERY_LOW, target=BELOW_54_TARGET)
    if below >= BELOW_70_TARGET:
        return 200 + risk, BELOW.format(share=below, level=LOW, target=BELOW_70_TARGET)
    if metrics.very_high >= ABOVE_250_TARGET:
        return 100 + risk, ABOVE.format(share=metrics.very_high, level=VERY_HIGH, target=ABOVE_250_TARGET)
    if above >= ABOVE_180_TARGET:
        return 100 + risk, ABOVE.format(share=above, level=HIGH, target=ABOVE_180_TARGET)
    in_range = metrics.in_range or 0.0
    if in_range <= IN_RANGE_TARGET:
        return 100 + risk, IN_RANGE.format(share=in_range, target=IN_RANGE_TARGET)
    return risk, MET.format(share=in_range)


def profile_of(series: PatientSeries | None) -> Profile:
    """The profile of the recent recording, empty without one."""
    return no_profile() if series is None else profile(series)


def no_profile() -> Profile:
    """The profile of a patient without readings."""
    none = (None,)
    return Profile(minute=(0,), p5=none, p25=none, p50=none, p75=none, p95=none)


def days_of(series: PatientSeries) -> tuple[Day, ...]:
    """Each local day of a recording, the oldest first."""
    date = series.times.tz_convert(series.zone).strftime("%Y-%m-%d").to_numpy()
    return tuple(_day(series, name, np.flatnonzero(date == name), metrics) for name, metrics in daily_metrics(series).items())


def _day(series: PatientSeries, date: str, rows: NDArray[np.int64], metrics: Metrics) -> Day:
    minute = tuple(int(value) for value in series.minute_of_day()[rows])
    glucose = series.column("glucose")[rows]
    given = {
        name: tuple((minute[i], float(value)) for i, value in enumerate(np.nan_to_num(series.column(name)[rows])) if value > 0)
        for name in ("bolus", "carbs")
    }
    return Day(
        date=date,
        minute=minute,
        glucose=tuple(float(value) if np.isfinite(value) else None for value in glucose),
        boluses=given["bolus"],
        carbs=given["carbs"],
        metrics=metrics,
    )
