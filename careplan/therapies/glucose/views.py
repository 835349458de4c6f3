"""Consensus metrics and profiles of a glucose recording, as plain values to draw, print or keep; `metrics` computes them."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """Consensus metrics of a recording; percentages of readings. `None` where the data cannot say."""

    readings: int
    active: float  # % of expected readings present
    mean: float | None
    gmi: float | None
    cv: float | None
    very_low: float | None
    low: float | None
    in_range: float | None
    tight_range: float | None
    high: float | None
    very_high: float | None
    gri: float | None
    lbgi: float | None
    hbgi: float | None


@dataclass(frozen=True, kw_only=True)
class Profile:
    """AGP-style: percentiles of glucose by minute of the local day, each `[N]`, None where no reading."""

    minute: tuple[int, ...]
    p5: tuple[float | None, ...]
    p25: tuple[float | None, ...]
    p50: tuple[float | None, ...]
    p75: tuple[float | None, ...]
    p95: tuple[float | None, ...]
