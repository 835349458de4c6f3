"""Error grids: how much harm an error would do, as zones "A" (none) to "E" (grave). Levels in mg/dL."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Zones = NDArray[np.str_]
ZONES = "ABCDE"

# Parkes consensus grid for type 1 diabetes: the borders as corners (reference, predicted), from Pfützner et al., J Diabetes Sci
# Technol 2013;7(5):1275, table 1. Beyond the last corner a border goes on straight.
UPPER = {
    "E": ((0, 150), (35, 155), (50, 550)),
    "D": ((0, 100), (25, 100), (50, 125), (80, 215), (125, 550)),
    "C": ((0, 60), (30, 60), (50, 80), (70, 110), (260, 550)),
    "B": ((0, 50), (30, 50), (140, 170), (280, 380), (430, 550)),
}
LOWER = {  # (predicted, reference) mirrored: corners by the predicted level
    "D": ((0, 250), (40, 250), (150, 550)),
    "C": ((0, 120), (30, 120), (130, 260), (250, 550)),
    "B": ((0, 50), (30, 50), (145, 170), (300, 385), (450, 550)),
}


def clarke(reference: Array, predicted: Array) -> Zones:
    """Clarke's grid (Clarke et al., Diabetes Care 1987;10(5):622), `[...]` zones."""
    r, p = np.broadcast_arrays(np.asarray(reference, float), np.asarray(predicted, float))
    accurate = (np.abs(p - r) <= 0.2 * r) | ((r < 70) & (p < 70))
    opposite = ((r >= 180) & (p <= 70)) | ((r <= 70) & (p >= 180))
    overcorrected = ((r >= 70) & (p >= r + 110)) | ((r >= 130) & (r <= 180) & (p <= 7 / 5 * r - 182))
    unnoticed = ((r >= 240) & (p >= 70) & (p <= 180)) | ((r < 70) & (p >= 70) & (p <= 180))
    return np.select([accurate, opposite, overcorrected, unnoticed], ["A", "E", "C", "D"], "B")


def parkes(reference: Array, predicted: Array) -> Zones:
    """The consensus grid for type 1 diabetes (Parkes et al., Diabetes Care 2000;23(8):1143), `[...]` zones."""
    r, p = np.broadcast_arrays(np.asarray(reference, float), np.asarray(predicted, float))
    above = [p > _border(corners, r) for corners in UPPER.values()]
    below = [r > _border(corners, p) for corners in LOWER.values()]
    worst = {zone: above[index] for index, zone in enumerate(UPPER)}
    for index, zone in enumerate(LOWER):
        worst[zone] = worst[zone] | below[index]
    return np.select([worst[zone] for zone in "EDCB"], list("EDCB"), "A")


def _border(corners: tuple[tuple[int, int], ...], at: Array) -> Array:
    """The border's height at each abscissa; past its last corner it keeps its last slope."""
    x, y = np.array(corners, float).T
    slope = (y[-1] - y[-2]) / (x[-1] - x[-2])
    return np.where(at > x[-1], y[-1] + slope * (at - x[-1]), np.interp(at, x, y))


def shares(zones: Zones) -> dict[str, float]:
    """Share of each zone; NaN where there is no point."""
    return {zone: float(np.mean(zones == zone)) if zones.size else float("nan") for zone in ZONES}
