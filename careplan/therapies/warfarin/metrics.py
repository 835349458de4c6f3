"""What INRs say of a course: time in the therapeutic range by linear interpolation, and how far it was left."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from careplan.therapies.warfarin.protocols import HIGH, LOW

TOO_HIGH = 4.0  # INR above which bleeding is more than twice as likely (Holbrook 2012)
FAR_BELOW = 1.5  # INR below which a clot is several times as likely (Holbrook 2012)
POOR = 65.0  # % of time in range below which control is poor (NICE NG196, 2021)
BANDS = {
    "very_low": (-np.inf, FAR_BELOW),
    "low": (FAR_BELOW, LOW),
    "in_range": (LOW, HIGH),
    "high": (HIGH, TOO_HIGH),
    "very_high": (TOO_HIGH, np.inf),
}
LONGEST = 56.0  # days between two INRs across which nothing is interpolated (Rosendaal 1993)


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """readings: how many INRs. very_low (below 1.5), low (below 2), in_range, high (above 3), very_high (above 4): % of the days
    between them, None where no two are near enough. last: the newest INR; gap: days from the one before to it."""

    readings: int
    very_low: float | None = None
    low: float | None = None
    in_range: float | None = None
    high: float | None = None
    very_high: float | None = None
    last: float | None = None
    gap: float | None = None


def inr_metrics(day: NDArray[np.float64], inr: NDArray[np.float64]) -> Metrics:
    """Of INRs `[N]` on days `[N]`, increasing."""
    if not len(inr):
        return Metrics(readings=0)
    known = {"last": float(inr[-1]), "gap": float(day[-1] - day[-2]) if len(inr) > 1 else None}
    shares = rosendaal(day, inr)
    return Metrics(readings=len(inr), **shares, **known)  # type: ignore[arg-type]


def rosendaal(day: NDArray[np.float64], inr: NDArray[np.float64]) -> dict[str, float | None]:
    """% of time in each band along straight lines from INR to INR (Rosendaal 1993, Thromb Haemost 69, 236-239); gaps of more than
    `LONGEST` days are left out. The ends of the range are in it."""
    whole, inside = 0.0, dict.fromkeys(BANDS, 0.0)
    for days, first, last in zip(np.diff(day), inr[:-1], inr[1:], strict=True):
        if not 0 < days <= LONGEST:
            continue
        whole += days
        for name, band in BANDS.items():
            inside[name] += days * _share(float(first), float(last), *band)
    return {name: 100.0 * part / whole if whole else None for name, part in inside.items()}


def _share(first: float, last: float, low: float, high: float) -> float:
    """Of a straight line from `first` to `last`, the share from low to high."""
    if first == last:
        above = first > low if low >= HIGH else first >= low
        return float(above and (first < high if high <= LOW else first <= high))
    bottom, top = min(first, last), max(first, last)
    return max(0.0, min(top, high) - max(bottom, low)) / (top - bottom)


def of_readings(readings: pd.DataFrame) -> tuple[float, Metrics]:
    """Days from the first to the last INR, and their metrics, of canonical events (columns `time`, `value`)."""
    ordered = readings.sort_values("time", kind="stable")
    times = ordered["time"]
    if times.empty:
        return 0.0, Metrics(readings=0)
    day = (times - times.iloc[0]).dt.total_seconds().to_numpy(dtype=np.float64) / 86400
    return float(day[-1]), inr_metrics(day, ordered["value"].to_numpy(dtype=np.float64))
