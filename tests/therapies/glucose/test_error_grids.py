"""Error grids: points whose zone is published or follows from the corners, and what must hold everywhere."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from careplan.therapies.glucose.error_grids import ZONES, clarke, parkes, shares

LEVELS = st.floats(20, 600)


@pytest.mark.parametrize(
    ("reference", "predicted", "zone"),
    [
        (100, 120, "A"), (100, 120.1, "B"), (50, 69, "A"), (50, 70, "D"), (70, 180, "E"), (69, 179, "D"),
        (180, 70, "E"), (179, 68, "C"), (240, 180, "D"), (239, 180, "B"), (70, 181, "E"), (100, 210, "C"), (100, 209, "B"),
        (130, 0, "C"), (320, 430, "C"),
    ],
)  # fmt: skip
def test_clarke_at_its_borders(reference: float, predicted: float, zone: str) -> None:
    assert clarke(np.array(reference), np.array(predicted)) == zone


@pytest.mark.parametrize(
    ("reference", "predicted", "zone"),
    [
        (100, 100, "A"), (30, 50, "A"), (30, 50.1, "B"), (30, 60.1, "C"), (25, 100.1, "D"), (35, 155.1, "E"),
        (140, 170, "A"), (140, 170.1, "B"), (70, 110.1, "C"), (80, 215.1, "D"), (430, 551, "B"),
        (170, 145, "A"), (170.1, 145, "B"), (260.1, 130, "C"), (250.1, 40, "D"), (600, 150, "D"),
    ],
)  # fmt: skip
def test_parkes_at_its_corners(reference: float, predicted: float, zone: str) -> None:
    assert parkes(np.array(reference), np.array(predicted)) == zone


@given(level=LEVELS, other=LEVELS)
def test_the_truth_is_harmless_and_a_worse_error_never_less_harmful(level: float, other: float) -> None:
    for grid in (clarke, parkes):
        assert grid(np.array(level), np.array(level)) == "A"
    nearer = (level + other) / 2
    zones = parkes(np.array([level, level]), np.array([nearer, other]))
    assert ZONES.index(zones[0]) <= ZONES.index(zones[1])


def test_shares_add_up() -> None:
    generator = np.random.default_rng(0)
    found = shares(clarke(generator.uniform(40, 400, 1000), generator.uniform(40, 400, 1000)))
    assert sum(found.values()) == pytest.approx(1.0) and list(found) == list("ABCDE")
    assert np.isnan(shares(clarke(np.zeros(0), np.zeros(0)))["A"])
