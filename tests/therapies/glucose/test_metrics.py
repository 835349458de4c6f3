"""Consensus metrics: at the boundaries, and against numbers worked out by hand from the published definitions."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from careplan.therapies.glucose.metrics import (
    Metrics,
    daily_metrics,
    expected_readings,
    glucose_metrics,
    gri_zone,
    hypoglycaemic_events,
    profile,
    recorded_days,
    sufficient,
)
from careplan.therapies.glucose.metrics import Metrics as ViewsMetrics
from tests.evaluation.build import series


@pytest.mark.parametrize(
    ("value", "band"),
    [
        (40, "very_low"),
        (53.9, "very_low"),
        (54, "low"),
        (69.9, "low"),
        (70, "in_range"),
        (180, "in_range"),
        (180.1, "high"),
        (250, "high"),
        (250.1, "very_high"),
        (400, "very_high"),
    ],
)
def test_bands_at_their_edges(value: float, band: str) -> None:
    metrics = glucose_metrics([value])
    shares = {name: getattr(metrics, name) for name in ("very_low", "low", "in_range", "high", "very_high")}
    assert shares == {name: 100.0 * (name == band) for name in shares}


@pytest.mark.parametrize(("value", "inside"), [(69.9, 0), (70, 100), (140, 100), (140.1, 0)])
def test_the_tight_range_includes_its_edges(value: float, inside: float) -> None:
    assert glucose_metrics([value]).tight_range == inside


def test_worked_by_hand() -> None:
    metrics = glucose_metrics([50, 60, 100, 120, 150, 170, 200, 240, 260, 300], expected=20)
    assert metrics.readings == 10
    assert metrics.active == 50.0
    assert metrics.mean == pytest.approx(165.0)
    assert metrics.gmi == pytest.approx(3.31 + 0.02392 * 165.0)
    assert metrics.cv == pytest.approx(100 * (64850 / 9) ** 0.5 / 165)  # squared distances from 165 add up to 64,850
    assert (metrics.very_low, metrics.low, metrics.in_range, metrics.high, metrics.very_high) == (10, 10, 40, 20, 20)
    assert metrics.tight_range == 20
    assert metrics.gri == 100.0  # 3.0 x 10 + 2.4 x 10 + 1.6 x 20 + 0.8 x 20 = 102, capped


def test_risk_indices_by_hand() -> None:
    # f(50) = 1.509 (ln(50)^1.084 - 5.381) = -1.50001; f(112.5) = 0 to three places; f(300) = 1.84261
    low, middle, high = glucose_metrics([50]), glucose_metrics([112.5]), glucose_metrics([300])
    assert low.lbgi == pytest.approx(22.5004, abs=1e-3)
    assert low.hbgi == 0
    assert middle.lbgi == pytest.approx(0, abs=1e-3)
    assert middle.hbgi == pytest.approx(0, abs=1e-3)
    assert high.lbgi == 0
    assert high.hbgi == pytest.approx(33.952, abs=1e-3)
    both = glucose_metrics([50, 300])  # each index is a mean over all readings
    assert both.lbgi == pytest.approx((low.lbgi or 0) / 2)
    assert both.hbgi == pytest.approx((high.hbgi or 0) / 2)


def test_the_glycaemia_risk_index_and_its_zones() -> None:
    assert glucose_metrics([50] + [100] * 99).gri == pytest.approx(3.0)
    assert glucose_metrics([60] + [100] * 99).gri == pytest.approx(2.4)
    assert glucose_metrics([300] + [100] * 99).gri == pytest.approx(1.6)
    assert glucose_metrics([200] + [100] * 99).gri == pytest.approx(0.8)
    assert [gri_zone(gri) for gri in (0, 20, 20.1, 40, 60, 80, 80.1, 100)] == list("AABBCDEE")


@pytest.mark.parametrize("readings", [[], [np.nan, np.nan]])
def test_no_reading_says_nothing(readings: list[float]) -> None:
    metrics = glucose_metrics(readings, expected=288)
    assert (metrics.readings, metrics.active) == (0, 0.0)
    assert metrics.mean is metrics.in_range is metrics.gri is metrics.lbgi is None
    assert glucose_metrics([120]).cv is None  # one reading has a mean and no spread


@given(st.lists(st.floats(20, 600), min_size=1, max_size=50))
def test_the_bands_cover_everything_once(readings: list[float]) -> None:
    metrics = glucose_metrics(readings)
    shares = [metrics.very_low, metrics.low, metrics.in_range, metrics.high, metrics.very_high]
    assert sum(share or 0.0 for share in shares) == pytest.approx(100.0)
    assert 0 <= (metrics.gri or 0) <= 100
    assert (metrics.tight_range or 0) <= (metrics.in_range or 0)


def test_views_re_export_the_same_class() -> None:
    assert ViewsMetrics is Metrics


def test_a_series_is_held_against_its_own_cadence() -> None:
    every_5, every_15 = np.full(288, 120.0), np.full(288, np.nan)
    every_15[::3] = 120.0
    assert glucose_metrics(series(every_5)).active == pytest.approx(100.0)
    assert glucose_metrics(series(every_15)).active == pytest.approx(100.0)
    assert expected_readings(series(every_15)) == pytest.approx(96.0)
    every_5[100:244] = np.nan
    assert glucose_metrics(series(every_5)).active == pytest.approx(50.0)


def test_fourteen_days_and_seventy_percent() -> None:
    full = glucose_metrics(np.full(14 * 288, 120.0))
    assert sufficient(full, 14.0)
    assert not sufficient(full, 13.9)
    assert sufficient(glucose_metrics(np.full(70, 120.0), expected=100), 14.0)
    assert not sufficient(glucose_metrics(np.full(69, 120.0), expected=100), 14.0)
    assert recorded_days(series(np.full(288 * 14, 120.0))) == pytest.approx(14.0)


def test_days_are_local() -> None:
    level = np.concatenate([np.full(12 * 5, 300.0), np.full(288, 100.0)])  # New York is five hours behind
    days = daily_metrics(series(level, zone="America/New_York"))
    assert list(days) == ["2024-01-07", "2024-01-08"]
    assert days["2024-01-07"].very_high == 100.0
    assert days["2024-01-07"].active == pytest.approx(100 * 60 / 288)
    assert days["2024-01-08"].in_range == 100.0
    assert days["2024-01-08"].active == pytest.approx(100.0)


def test_profile_percentiles_by_time_of_day() -> None:
    days = [np.full(288, value) for value in (100.0, 110.0, 120.0, 130.0, 140.0)]
    level = np.concatenate(days)
    level.reshape(5, 288)[:, 36:39] = np.nan  # nothing was read at three in the morning
    result = profile(series(level))
    assert result.minute[:3] == (0, 15, 30)
    assert result.p50[0] == 120.0
    assert result.p25[0] == 110.0
    assert result.p5[0] == pytest.approx(np.percentile(np.repeat([100, 110, 120, 130, 140], 3), 5))
    assert result.p50[12] is None
    with pytest.raises(ValueError, match="do not divide"):
        profile(series(level), every=7)


def test_hypoglycaemic_events() -> None:
    level = np.full(288, 110.0)
    level[10:12] = 60.0  # ten minutes: none
    level[20:23] = [69.0, 52.0, 69.0]  # fifteen minutes: one
    level[23:25] = 75.0  # ten minutes above do not end it
    level[25:27] = 65.0
    level[60:90] = 65.0  # two and a half hours
    level[100:103] = 70.0  # exactly 70 is not below
    events = hypoglycaemic_events(series(level))
    assert [(event.start, event.minutes, event.lowest, event.prolonged) for event in events] == [
        (pd.Timestamp("2024-01-08 01:40", tz="UTC"), 35.0, 52.0, False),
        (pd.Timestamp("2024-01-08 05:00", tz="UTC"), 150.0, 65.0, True),
    ]
    assert len(hypoglycaemic_events(series(level), below=54.0)) == 0


def test_an_event_does_not_cross_a_gap() -> None:
    level = np.full(60, np.nan)
    level[0:3], level[30:33] = 60.0, 60.0
    events = hypoglycaemic_events(series(level))
    assert [event.minutes for event in events] == [15.0, 15.0]
    assert hypoglycaemic_events(series(np.full(10, np.nan))) == []
