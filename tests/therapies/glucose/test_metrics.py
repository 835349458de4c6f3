"""Consensus metrics: at the boundaries, and against numbers worked out by hand from the published definitions."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from careplan.series import cadence
from careplan.therapies.glucose.metrics import (
    Metrics,
    daily_metrics,
    expected_readings,
    glucose_metrics,
    profile,
    sufficient,
)
from careplan.therapies.glucose.views import Metrics as ViewsMetrics
from tests.evaluation.build import series
from tests.limits_table import BANDS, GMI, GRI, SUFFICIENT


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


def test_the_glycaemia_risk_index() -> None:
    assert glucose_metrics([50] + [100] * 99).gri == pytest.approx(3.0)
    assert glucose_metrics([60] + [100] * 99).gri == pytest.approx(2.4)
    assert glucose_metrics([300] + [100] * 99).gri == pytest.approx(1.6)
    assert glucose_metrics([200] + [100] * 99).gri == pytest.approx(0.8)


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


# Every boundary and number against the table of what was read.


def test_the_bands_are_those_of_the_consensus() -> None:
    for name, (low, high) in BANDS.items():
        for value in (low, high):
            for near in (value - 0.01, value, value + 0.01):
                if 20 < near < 600:
                    inside = low <= near < high if name in ("very_low", "low") else low <= near <= high
                    inside = low < near <= high if name in ("high", "very_high") else inside
                    assert getattr(glucose_metrics([near]), name) == 100.0 * inside, (name, near)
    for near, inside in ((69.99, 0), (70, 100), (140, 100), (140.01, 0)):
        assert glucose_metrics([near]).tight_range == inside


def test_numbers_as_published() -> None:
    level = np.array([50.0, 62.0, 150.0, 151.0, 220.0, 220.0, 300.0, 100.0, 100.0, 100.0])
    found = glucose_metrics(level)
    assert found.gmi == pytest.approx(GMI[0] + GMI[1] * level.mean(), abs=1e-12)
    shares = {name: 10.0 * count for name, count in (("very_low", 1), ("low", 1), ("very_high", 1), ("high", 2))}
    assert found.gri == pytest.approx(sum(weight * shares[name] for name, weight in GRI.items()))
    risk = 1.509 * (np.log(level) ** 1.084 - 5.381)
    assert found.lbgi == pytest.approx((10 * np.minimum(risk, 0) ** 2).mean())
    assert found.hbgi == pytest.approx((10 * np.maximum(risk, 0) ** 2).mean())
    assert found.cv == pytest.approx(100 * level.std(ddof=1) / level.mean())
    assert glucose_metrics([100.0, 140.0]).cv == pytest.approx(100 * 800**0.5 / 120)
    assert glucose_metrics([0.0]).lbgi == pytest.approx(10 * (1.509 * 5.381) ** 2), "less than 1 mg/dL is as 1"
    assert glucose_metrics([1.05]).lbgi < 10 * (1.509 * 5.381) ** 2
    assert glucose_metrics([100.0] * 100 + [0.0] * 100).gri == 100.0


def test_sufficiency_at_its_edges() -> None:
    days, active = SUFFICIENT
    for share, long, enough in (
        (active, days, True),
        (active - 0.1, days, False),
        (active, days - 0.01, False),
        (99.0, 99.0, True),
    ):
        assert sufficient(replace(glucose_metrics([100.0]), active=share), long) is enough


def test_what_is_active_is_a_share_of_what_was_due() -> None:
    assert glucose_metrics([100.0, np.nan, 100.0, np.nan]).active == 50.0
    assert glucose_metrics([100.0] * 3, expected=2).active == 100.0, "never more than all"
    assert glucose_metrics([100.0], expected=0.5).active == 100.0
    assert glucose_metrics([100.0], expected=0).active == glucose_metrics([100.0], expected=-1).active == 0.0
    assert glucose_metrics([], expected=0.5).readings == 0
    level = series([100.0, np.nan, 100.0, 100.0, 100.0])
    assert glucose_metrics(level, expected=8).active == 50.0
    assert glucose_metrics(level).active == pytest.approx(80.0), "four of the five due"


def test_the_cadence_is_the_usual_distance_of_readings() -> None:
    nan = np.nan
    assert cadence(series([100.0, nan, nan, 100.0, nan, nan, 100.0, 100.0])) == 15.0
    assert cadence(series([nan, 100.0])) == cadence(series([nan, nan])) == 5.0
    assert cadence(series([100.0, nan, 100.0])) == 10.0
    assert expected_readings(series([nan, nan])) == 0.0
    assert expected_readings(series([nan, 100.0, nan])) == 1.0
    assert expected_readings(series([nan, 100.0, 100.0, nan, nan, 100.0, 100.0])) == 6.0


def test_a_profile_has_its_percentiles_in_every_block() -> None:
    level = np.full(4 * 288, np.nan)
    level.reshape(4, 288)[:, 12] = [100.0, 200.0, 300.0, 400.0]  # 01:00 of four days
    level.reshape(4, 288)[:, 287] = 90.0
    found = profile(series(level, zone="Europe/Paris"), every=60)  # an hour ahead of UTC
    assert found.minute == tuple(range(0, 1440, 60))
    assert (found.p5[2], found.p25[2], found.p50[2], found.p75[2], found.p95[2]) == pytest.approx((115, 175, 250, 325, 385))
    assert (found.p50[0], found.p5[1], found.p95[23]) == (90.0, None, None)
    assert len(profile(series(level)).minute) == 96
    assert len(profile(series(level), every=1440).p50) == 1 and len(profile(series(level), every=1).p50) == 1440
    for every in (0, -15, 7):
        with pytest.raises(ValueError, match="do not divide"):
            profile(series(level), every=every)


NONE = math.nan


def test_a_profile_pools_what_is_read_between_two_of_its_minutes() -> None:
    level = np.full(288, np.nan)
    level[13] = 90.0  # 01:05 is of the hour that begins at 01:00
    assert profile(series(level), every=60).p50[:3] == (None, 90.0, None)
    off = profile(series(level, start="2024-01-08T00:58"), every=60)  # 02:03 and no whole number of steps
    assert off.p50[1:4] == (None, 90.0, None)
