"""What INRs say of a course: time in the therapeutic range by linear interpolation, and how far it was left."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from careplan.therapies.warfarin.protocols import HIGH, LOW

if TYPE_CHECKING:
    import pandas as pd

TOO_HIGH = 4.0  # INR above which bleeding is more than twice as likely (Holbrook 2012)
FAR_BELOW = 1.5  # INR below which a clot is several times as likely (Holbrook 2012)
POOR = 65.0  # % of time in range below which control is poor (NICE NG196, 2021)
FAR = {"very_low": -2, "low": -1, "in_range": 0, "high": 1, "very_high": 2}  # each band, by how far from the range it lies
LONGEST = 56.0  # days between two INRs across which nothing is interpolated (Rosendaal 1993)


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """readings: how many INRs. very_low (below 1.5), low (below the range), in_range, high (above it), very_high (above 4): % of
    the days between them, None where no two are near enough. last: the newest INR; gap: days from the one before to it."""

    readings: int
    very_low: float | None = None
    low: float | None = None
    in_range: float | None = None
    high: float | None = None
    very_high: float | None = None
    last: float | None = None
    gap: float | None = None


def inr_metrics(day: NDArray[np.float64], inr: NDArray[np.float64], low: float = LOW, high: float = HIGH) -> Metrics:
    """Of INRs `[N]` on days `[N]`, increasing; low, high: the range."""
    if not len(inr):
        return Metrics(readings=0)
    known = {"last": float(inr[-1]), "gap": float(day[-1] - day[-2]) if len(inr) > 1 else None}
    shares = rosendaal(day, inr, low, high)
    return Metrics(readings=len(inr), **shares, **known)  # type: ignore[arg-type]


def rosendaal(
    day: NDArray[np.float64], inr: NDArray[np.float64], low: float = LOW, high: float = HIGH
) -> dict[str, float | None]:
    """% of time in each band along straight lines from INR to INR (Rosendaal 1993, Thromb Haemost 69, 236-239); gaps of more than
    `LONGEST` days are left out. The ends of the range are in it."""
    bands: dict[str, tuple[float, float]] = {
        "very_low": (-np.inf, FAR_BELOW),
        "low": (FAR_BELOW, low),
        "in_range": (low, high),
        "high": (high, TOO_HIGH),
        "very_high": (TOO_HIGH, np.inf),
    }
    whole, inside = 0.0, dict.fromkeys(bands, 0.0)
    for days, first, last in zip(np.diff(day), inr[:-1], inr[1:], strict=True):
        if not 0 < days <= LONGEST:
            continue
        whole += days
        for name, band in bands.items():
            inside[name] += days * _share(float(first), float(last), *band, FAR[name])
    return {name: 100.0 * part / whole if whole else None for name, part in inside.items()}


def _share(first: float, last: float, low: float, high: float, side: int) -> float:
    """Of a straight line from `first` to `last`, the share from low to high. side: of the range, whose ends are in it."""
    if first == last:
        above, under = first > low if side > 0 else first >= low, first < high if side < 0 else first <= high
        return float(above and under)
    bottom, top = min(first, last), max(first, last)
    return max(0.0, min(top, high) - max(bottom, low)) / (top - bottom)


def of_readings(readings: "pd.DataFrame", low: float = LOW, high: float = HIGH) -> tuple[float, Metrics]:
    """Days from the first to the last INR, and their metrics, of canonical events (columns `time`, `value`)."""
    ordered = readings.sort_values("time", kind="stable")
    times = ordered["time"]
    if times.empty:
        return 0.0, Metrics(readings=0)
    day = (times - times.iloc[0]).dt.total_seconds().to_numpy(dtype=np.float64) / 86400
    return float(day[-1]), inr_metrics(day, ordered["value"].to_numpy(dtype=np.float64), low, high)
