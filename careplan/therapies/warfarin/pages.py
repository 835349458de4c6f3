"""A patient at a glance: how urgent, and what is taken a day."""

import numpy as np
import pandas as pd

from careplan.language import N_
from careplan.practice import Glance
from careplan.series import PatientSeries
from careplan.targets import Targets
from careplan.therapies.warfarin.aims import USUAL
from careplan.therapies.warfarin.declaration import CEILING
from careplan.therapies.warfarin.metrics import FAR_BELOW, TOO_HIGH, Metrics, of_readings, rosendaal


def glance(readings: pd.DataFrame, targets: Targets = USUAL) -> Glance:
    """What INRs say of a patient. Everything may be planned for from the first tablet on, so nothing is too little."""
    days, metrics = of_readings(readings, targets.levels["low"], targets.levels["high"])
    score, headline = urgency(metrics, targets)
    measured = metrics.readings > 0
    return Glance(
        days=days,
        metrics=metrics,
        measured=measured,
        sufficient=measured,
        urgency=score,
        headline=headline,
        unmet=unmet(metrics, targets),
    )


def stretches(readings: pd.DataFrame, targets: Targets = USUAL) -> pd.DataFrame:
    """INRs from one to the next: the days between (`weight`), % of them that count for each outcome, and the mean."""
    ordered = readings.sort_values("time", kind="stable")
    day = (ordered["time"] - ordered["time"].min()).dt.total_seconds().to_numpy(dtype=np.float64) / 86400
    inr, rows = ordered["value"].to_numpy(dtype=np.float64), []
    for start in range(len(inr) - 1):
        pair = slice(start, start + 2)
        share = rosendaal(day[pair], inr[pair], targets.levels["low"], targets.levels["high"])
        if share["in_range"] is not None:
            below = (share["very_low"] or 0.0) + (share["low"] or 0.0)
            rows.append((share["in_range"], share["very_high"], below, inr[pair].mean(), day[start + 1] - day[start]))
    return pd.DataFrame(rows, columns=["in_range", "above_4", "below_2", "mean", "weight"], dtype=float)


def unmet(metrics: Metrics, targets: Targets = USUAL) -> tuple[str, ...]:
    """The targets that are missed; none where nothing can be told."""
    if metrics.in_range is None or metrics.very_high is None:
        return ()
    missed = {
        "in_range": metrics.in_range < targets.shares["in_range"],
        "above_4": metrics.very_high > targets.shares["above_4"],
    }
    return tuple(name for name, is_missed in missed.items() if is_missed)


def urgency(metrics: Metrics, targets: Targets = USUAL) -> tuple[float, str]:
    """How soon to look, and why: 300 above the ceiling, 200 above 4 or below 1.5, 100 outside the range or long out of it; plus
    the share of time out of range, 0 to 100."""
    if metrics.last is None:
        return -1.0, N_("no INR recorded")
    low, high, least = targets.levels["low"], targets.levels["high"], targets.shares["in_range"]
    last, out = metrics.last, 0.0 if metrics.in_range is None else 100.0 - metrics.in_range
    if last >= CEILING:
        return 300 + out, N_("last INR {last:.1f}: hold, {ceiling:g} or more").format(last=last, ceiling=CEILING)
    if last > TOO_HIGH:
        return 200 + out, N_("last INR {last:.1f} (above {level:g})").format(last=last, level=TOO_HIGH)
    if last < FAR_BELOW:
        return 200 + out, N_("last INR {last:.1f} (below {level:g})").format(last=last, level=FAR_BELOW)
    if not low <= last <= high:
        return 100 + out, N_("last INR {last:.1f} (range {low:g} to {high:g})").format(last=last, low=low, high=high)
    if metrics.in_range is not None and metrics.in_range < least:
        told = N_("{share:.0f} % of time in range (target > {target:g} %)")
        return 100 + out, told.format(share=metrics.in_range, target=least)
    return out, N_("last INR {last:.1f}, in range").format(last=last)


def daily_dose(series: PatientSeries) -> float | None:
    """Mg a day over the last week that is known."""
    doses = series.column("warfarin")
    known = doses[np.isfinite(doses)][-7:]
    return float(known.mean()) if len(known) else None
