"""The five bands, and the lines of one chart, stay apart with any colour vision."""

from itertools import combinations
from math import cos, exp, hypot, radians, sin

import numpy as np
import pytest

from app.palette import AGAINST, BANDS, PROPOSED, RUNNER_UP, TRIED, UNCHANGED

# Severe protanopia, deuteranopia and tritanopia on linear RGB (Machado, Oliveira and Fernandes 2009, severity 1.0).
VISION = {
    "usual": np.eye(3),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
    "tritanopia": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]),
}
APART = 12.0  # CIEDE2000 distance of areas; about 2 can just be told apart side by side
LINES_APART = 8.0  # of lines, which differ in their dashes as well
# Pairs of the test data of Sharma, Wu and Dalal (2005, table 1), with their distance.
KNOWN = (
    ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
    ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
)


def lab(color: str, vision: np.ndarray) -> np.ndarray:
    srgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(vision @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ seen
    x, y, z = np.cbrt(np.maximum(xyz / np.array([0.9505, 1.0, 1.089]), 0.008856))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """CIEDE2000 (Sharma, Wu and Dalal 2005) of two colours in CIELAB."""
    (l1, a1, b1), (l2, a2, b2) = one, other
    c7 = ((hypot(a1, b1) + hypot(a2, b2)) / 2) ** 7
    stretch = 1 + 0.5 * (1 - (c7 / (c7 + 25**7)) ** 0.5)
    c1, c2 = hypot(a1 * stretch, b1), hypot(a2 * stretch, b2)
    h1, h2 = (float(np.degrees(np.arctan2(b, a * stretch))) % 360 for a, b in ((a1, b1), (a2, b2)))
    turn = 0.0 if c1 * c2 == 0 else (h2 - h1 + 180) % 360 - 180
    hue = h1 + h2 if c1 * c2 == 0 else (h1 + turn / 2) % 360
    light, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    angles = ((0.17, 1, 30), (-0.24, 2, 0), (-0.32, 3, -6), (0.2, 4, 63))
    weight = 1 - sum(part * cos(radians(times * hue - off)) for part, times, off in angles)
    sl = 1 + 0.015 * (light - 50) ** 2 / (20 + (light - 50) ** 2) ** 0.5
    sc, sh = 1 + 0.045 * chroma, 1 + 0.015 * chroma * weight
    m7 = chroma**7
    rotation = -sin(radians(60 * exp(-(((hue - 275) / 25) ** 2)))) * 2 * (m7 / (m7 + 25**7)) ** 0.5
    dl, dc, dh = (l2 - l1) / sl, (c2 - c1) / sc, 2 * (c1 * c2) ** 0.5 * sin(radians(turn / 2)) / sh
    return float((dl**2 + dc**2 + dh**2 + rotation * dc * dh) ** 0.5)


@pytest.mark.parametrize(("one", "other", "apart"), KNOWN)
def test_the_distance_is_the_published_one(one: tuple[float, ...], other: tuple[float, ...], apart: float) -> None:
    assert distance(np.array(one), np.array(other)) == pytest.approx(apart, abs=1e-4)


def nearest(colors: dict[str, str], vision: str) -> tuple[float, tuple[str, str]]:
    seen = {name: lab(color, VISION[vision]) for name, color in colors.items()}
    return min((distance(seen[a], seen[b]), (a, b)) for a, b in combinations(seen, 2))


@pytest.mark.parametrize("vision", VISION)
def test_no_two_bands_look_alike(vision: str) -> None:
    apart, pair = nearest({band.name: band.color for band in BANDS}, vision)
    assert apart > APART, pair


@pytest.mark.parametrize("vision", VISION)
def test_no_two_lines_of_a_chart_look_alike(vision: str) -> None:
    effect = {"proposed": PROPOSED, "no change": UNCHANGED, "runner-up": RUNNER_UP}
    for chart in (
        effect,
        {"as tried": TRIED, "as now": UNCHANGED, "as proposed": PROPOSED},
        {"for": PROPOSED, "against": AGAINST},
    ):
        apart, pair = nearest(chart, vision)
        assert apart > LINES_APART, pair
