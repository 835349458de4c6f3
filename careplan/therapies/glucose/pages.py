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
from careplan.targets import Targets
from careplan.therapies.glucose.bands import ADULTS, most_low, outcomes
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


def glance(readings: pd.DataFrame, targets: Targets = ADULTS) -> Glance:
    """What readings in mg/dL, with their times, say of a patient."""
    days, metrics = glucose_of(readings, targets)
    score, headline = urgency(metrics, targets)
    return Glance(
        days=days,
        metrics=metrics,
        measured=bool(metrics.readings),
        sufficient=sufficient(metrics, days),
        urgency=score,
        headline=headline,
        unmet=unmet(metrics, targets),
    )


def stretches(readings: pd.DataFrame, targets: Targets = ADULTS) -> pd.DataFrame:
    """Readings day by day of the patient's clock: how many (`weight`), % of them that count for each outcome, and their mean."""
    level = readings["value"].to_numpy(dtype=float)
    each = pd.DataFrame({name: 100.0 * inside for name, inside in outcomes(level, targets).items()})
    days = each.assign(mean=level).groupby(readings["time"].dt.date.to_numpy())
    return days.mean().assign(weight=days.size())


def unmet(metrics: Metrics, targets: Targets = ADULTS) -> tuple[str, ...]:
    """The targets that are missed; none where nothing was measured."""
    very_low, low, in_range, high, very_high = (
        getattr(metrics, name) for name in ("very_low", "low", "in_range", "high", "very_high")
    )
    if not metrics.readings:
        return ()
    beyond = {"below_54": very_low, "below_70": low + very_low, "above_180": high + very_high, "above_250": very_high}
    missed = {name: name in targets.shares and share >= targets.shares[name] for name, share in beyond.items()}
    missed["in_range"] = in_range <= targets.shares["in_range"]
    missed["cv"] = metrics.cv is not None and metrics.cv > targets.shares.get("cv", metrics.cv)
    return tuple(name for name in ADULTS.shares if missed[name])


def glucose_of(readings: pd.DataFrame, targets: Targets = ADULTS) -> tuple[float, Metrics]:
    """Days covered, from the first reading to the end of the last, and the consensus metrics, of canonical glucose events."""
    times = readings["time"]
    spacing = min(usual_spacing(times), GLUCOSE.slowest)
    minutes = 0.0 if times.empty else (times.max() - times.min()) / timedelta(minutes=1) + spacing
    expected = minutes / spacing if spacing else len(readings)
    return minutes / DAY, glucose_metrics(readings["value"].to_numpy(), expected, targets)


def urgency(metrics: Metrics, targets: Targets = ADULTS) -> tuple[float, str]:
    """How soon to look, and why: 300 for too much below the lowest edge, 200 below the range, 100 for highs; plus the GRI, 0 to
    100."""
    if (
        not metrics.readings
        or metrics.very_low is None
        or metrics.low is None
        or metrics.high is None
        or metrics.very_high is None
    ):
        return -1.0, N_("no glucose recorded")
    risk, in_range, most = metrics.gri or 0.0, metrics.in_range or 0.0, {**targets.shares, **most_low(targets)}
    beyond = (
        (300, "below_54", metrics.very_low, BELOW, "very_low"),
        (200, "below_70", metrics.low + metrics.very_low, BELOW, "low"),
        (100, "above_250", metrics.very_high, ABOVE, "very_high"),
        (100, "above_180", metrics.high + metrics.very_high, ABOVE, "high"),
    )
    for score, name, share, said, edge in beyond:
        if name in most and share >= most[name]:
            return score + risk, said.format(share=share, level=targets.levels[edge], target=most[name])
    if in_range <= most["in_range"]:
        return 100 + risk, IN_RANGE.format(share=in_range, target=most["in_range"])
    return risk, MET.format(share=in_range)


def profile_of(series: PatientSeries | None) -> Profile:
    """The profile of the recent recording, empty without one."""
    return no_profile() if series is None else profile(series)


def no_profile() -> Profile:
    """The profile of a patient without readings."""
    none = (None,)
    return Profile(minute=(0,), p5=none, p25=none, p50=none, p75=none, p95=none)


def days_of(series: PatientSeries, targets: Targets = ADULTS) -> tuple[Day, ...]:
    """Each local day of a recording, the oldest first."""
    date = series.times.tz_convert(series.zone).strftime("%Y-%m-%d").to_numpy()
    each = daily_metrics(series, targets)
    return tuple(_day(series, name, np.flatnonzero(date == name), metrics) for name, metrics in each.items())


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
