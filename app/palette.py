"""Colours. The five bands keep the order and meaning of the consensus report, in tones that differ in lightness as well as hue,
so that they stay apart with any colour vision (`tests/app/test_palette.py`); each is also labelled wherever it is used.
"""

from collections.abc import Mapping
from typing import NamedTuple

from careplan.therapies.glucose.bands import MARKS
from careplan.therapies.glucose.views import Metrics

INK, MUTED, LINE = "#1c2733", "#5c6b7a", "#d5dce3"
PROPOSED, UNCHANGED, RUNNER_UP, TRIED = "#1f5a8c", "#7a8794", "#9a5fb0", "#b3542a"
AGAINST = "#b3722a"  # what speaks against a change
HIGH_TEXT = "#8f5b07"  # of "very high", dark enough for text
INSULIN, CARBS = "#1f5a8c", "#b3722a"


class Band(NamedTuple):
    """One of the therapy's bands with its colour, from the top of the bar down; low and high in the therapy's own unit."""

    name: str
    field: str
    color: str
    low: float
    high: float


FAR = {2: "#c97f10", 1: "#f8da52", 0: "#379f80", -1: "#c23e3d", -2: "#540a10"}  # by how far from what is wanted
BANDS = tuple(Band(band.name, band.field, FAR[band.far], band.low, band.high) for band in MARKS.bands)
COLORS: Mapping[str, str] = {band.field: band.color for band in BANDS}


def share(metrics: Metrics, field: str) -> float | None:
    """% of readings in one band; `None` where there are none."""
    value = getattr(metrics, field)
    return None if value is None else float(value)


def translucent(color: str, alpha: float) -> str:
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"
