"""Time in range by Rosendaal's lines, at the edges; and how soon to look at whom."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from careplan.therapies.warfarin.metrics import inr_metrics, rosendaal
from careplan.therapies.warfarin.pages import glance


def course(*inrs: float, every: float = 7.0) -> dict[str, float | None]:
    return rosendaal(every * np.arange(len(inrs)), np.array(inrs))


def test_a_worked_example() -> None:
    """From 1.5 to 3.5 in a line: a quarter below 2, half in range, a quarter above."""
    assert course(1.5, 3.5) == {"very_low": 0.0, "low": 25.0, "in_range": 50.0, "high": 25.0, "very_high": 0.0}
    assert course(3.0, 5.0)["very_high"] == 50.0


@pytest.mark.parametrize(
    ("inr", "band"),
    [
        *((1.49, "very_low"), (1.5, "low"), (1.99, "low"), (2.0, "in_range"), (3.0, "in_range")),
        *((3.01, "high"), (4.0, "high"), (4.01, "very_high")),
    ],
)
def test_every_inr_is_in_one_band(inr: float, band: str) -> None:
    assert {name: share for name, share in course(inr, inr).items() if share} == {band: 100.0}


def test_long_gaps_tell_nothing() -> None:
    assert rosendaal(np.array([0.0, 57.0]), np.array([2.5, 2.5]))["in_range"] is None
    assert rosendaal(np.array([0.0, 56.0]), np.array([2.5, 2.5]))["in_range"] == 100.0
    assert inr_metrics(np.array([0.0]), np.array([2.5])).in_range is None
    assert inr_metrics(np.zeros(0), np.zeros(0)).readings == 0


@given(st.lists(st.floats(0.8, 9.0), min_size=2, max_size=12))
def test_it_agrees_with_many_days_in_between(inrs: list[float]) -> None:
    fine = np.interp(np.linspace(0, len(inrs) - 1, 40 * (len(inrs) - 1) + 1), np.arange(len(inrs)), inrs)
    middle = (fine[1:] + fine[:-1]) / 2
    assert course(*inrs)["in_range"] == pytest.approx(100 * np.mean((middle >= 2) & (middle <= 3)), abs=6.0)


def readings(*inrs: float) -> pd.DataFrame:
    times = pd.date_range("2026-01-05", periods=len(inrs), freq="7D", tz="UTC")
    return pd.DataFrame({"time": times, "value": list(inrs)})


def test_the_most_dangerous_come_first() -> None:
    order = [(2.5, 5.2), (2.5, 4.2), (2.5, 1.3), (2.5, 3.4), (1.2, 2.5), (2.5, 2.4)]
    scores = [glance(readings(*inrs)).urgency for inrs in order]
    assert scores[0] >= 300 > scores[1] >= 200 and 200 <= scores[2] < 300 and 100 <= scores[3] < 200
    assert 100 <= scores[4] < 200 and scores[5] < 100
    assert glance(readings()).urgency < 0 and glance(readings()).headline == "no INR recorded"
    assert glance(readings(2.5, 5.2)).headline == "last INR 5.2: hold, 4.5 or more"


def test_the_last_inr_is_the_newest_whatever_the_order_of_rows() -> None:
    assert glance(readings(2.5, 5.2).iloc[::-1]).metrics.last == 5.2
