"""From events to the grid: nothing made up, nothing lost, nothing counted twice."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from careplan.records import PatientRecord, to_series
from careplan.records.events import events_frame
from careplan.series import PatientSeries
from careplan.therapies.glucose.declaration import GLUCOSE
from careplan.therapy import Channel
from tests.therapies.contract.pressures import PRESSURES
from tests.therapies.contract.thinning import THINNING

FIRST = pd.Timestamp("2024-01-08 00:00", tz="UTC")
CASES = settings(max_examples=60, deadline=None)
GLUCOSE_, BASAL, BOLUS, LONG, CARBS = range(5)
RAISER = PRESSURES.index("raiser")


def record(*rows: tuple[float, str, float, float], zone: str = "UTC") -> PatientRecord:
    """Events at minutes after `FIRST`."""
    frame = events_frame(
        (FIRST + pd.Timedelta(minutes=m), channel, value, duration, "", "f:1") for m, channel, value, duration in rows
    )
    return PatientRecord("p", zone, frame.sort_values("time", kind="stable", ignore_index=True))


def known(series: PatientSeries, channel: int) -> list[int]:
    return np.flatnonzero(series.mask[:, channel]).tolist()


def test_a_reading_stands_in_the_step_that_holds_it() -> None:
    series = to_series(record((2, "glucose", 100, 0), (9.9, "glucose", 110, 0), (30, "glucose", 120, 0)), GLUCOSE)
    assert len(series) == 7
    assert known(series, GLUCOSE_) == [0, 1, 6]  # the gap stays a gap
    assert series.values[[0, 1, 6], GLUCOSE_].tolist() == [100, 110, 120]
    assert not series.mask[:, 1:].any()
    assert not series.values[2:6].any()


def test_jitter_across_a_boundary_fills_the_neighbour() -> None:
    late = to_series(
        record((0, "glucose", 100, 0), (5.1, "glucose", 110, 0), (9.9, "glucose", 120, 0), (15, "glucose", 130, 0)), GLUCOSE
    )
    assert late.values[:, GLUCOSE_].tolist() == [100, 110, 120, 130]
    early = to_series(
        record((0, "glucose", 100, 0), (10.1, "glucose", 120, 0), (14.9, "glucose", 130, 0), (15, "glucose", 140, 0)), GLUCOSE
    )
    assert early.values[:, GLUCOSE_].tolist() == [100, 120, 130, 140]


def test_readings_that_share_a_step_are_averaged() -> None:
    series = to_series(record((0, "glucose", 100, 0), (1, "glucose", 120, 0), (5, "glucose", 130, 0)), GLUCOSE)
    assert series.values[:, GLUCOSE_].tolist() == [110, 130]


def test_rates_are_averaged_over_the_step() -> None:
    series = to_series(
        record((0, "basal", 1.0, 7.5), (7.5, "basal", 3.0, 7.5), (20, "basal", 2.0, 2.0), (25, "basal", 5.0, 5.0)), GLUCOSE
    )
    assert known(series, BASAL) == [0, 1, 2, 5]  # two of five minutes are not enough
    assert series.values[[0, 1, 2, 5], BASAL].tolist() == [1, 2, 3, 5]


def test_a_rate_with_no_end_holds_until_the_next() -> None:
    series = to_series(
        record((0, "basal", 1.0, np.nan), (60, "basal", 2.0, np.nan), (60, "basal", 3.0, np.nan), (120, "glucose", 90, 0)),
        GLUCOSE,
    )
    assert series.values[:12, BASAL].tolist() == [1.0] * 12
    assert series.values[12:24, BASAL].tolist() == [3.0] * 12
    days = to_series(record((0, "basal", 1.0, np.nan), (3 * 1440, "basal", 2.0, np.nan)), GLUCOSE)
    assert series.mask[:24, BASAL].all()
    assert known(days, BASAL)[287:289] == [287, 3 * 288]  # for a day at most


@pytest.mark.parametrize("changes", [((0, 4.0),), ((0, 4.0), (3, 8.0)), ((0, 4.0), (3, 8.0), (9.9, 6.0))])
def test_a_charted_rate_stands_until_the_next_and_to_the_end_of_the_record(changes: tuple[tuple[float, float], ...]) -> None:
    rows = [(minute, "raiser", value, np.nan) for minute, value in changes]
    series = to_series(record((0, "pressure", 80.0, 0.0), *rows, (9.9, "pressure", 82.0, 0.0)), PRESSURES)
    assert len(series) == 60, "the last rate adds nothing after the last event"
    assert series.mask[:, RAISER].all(), "steps of ten seconds, and minutes between changes are no samples"
    stands = [[value for minute, value in changes if minute <= at][-1] for at in (0.0, 2.9, 3.0, 9.7)]
    assert series.values[[0, 17, 18, 58], RAISER].tolist() == stands


def test_what_is_charted_is_known_until_the_record_ends() -> None:
    weekly = replace(THINNING.channel("tablet"), charted=True, silence=5 * 1440.0)
    on = Channel(name="on", unit="", role="disturbance", form="choice", low=0, high=1, charted=True, silence=1e9)
    charted = replace(THINNING, channels=(THINNING.channels[0], weekly, on))
    day = 1440.0
    rows = ((0, "tablet", 5.0, 0.0), (2 * day, "on", 1.0, 0.0), (6 * day, "on", 0.0, 0.0), (9 * day, "ratio", 2.0, 0.0))
    series = to_series(record(*rows), charted)
    assert known(series, 1) == [0, 1, 2, 3, 4] and series.values[:, 1].tolist() == [5.0, *[0.0] * 9]
    assert known(series, 2) == list(range(2, 10)) and series.values[2:, 2].tolist() == [1.0] * 4 + [0.0] * 4


def test_a_sampled_rate_does_not_bridge_a_gap() -> None:
    samples = [(5.0 * i, "basal", 1.0, np.nan) for i in range(12)] + [(300 + 5.0 * i, "basal", 1.0, np.nan) for i in range(12)]
    assert known(to_series(record(*samples), GLUCOSE), BASAL) == [*range(14), *range(60, 72)]


def test_impulses_are_zero_where_logged_and_unknown_where_not() -> None:
    series = to_series(
        record(
            (0, "bolus", 2, 0),
            (120, "bolus", 3, 0),
            (3 * 1440, "bolus", 4, 0),
            (3 * 1440 + 60, "bolus", 1, 0),
            (4 * 1440, "glucose", 90, 0),
        ),
        GLUCOSE,
    )
    assert known(series, BOLUS) == [*range(25), *range(3 * 288, 3 * 288 + 13)]
    assert not series.mask[:, CARBS].any()
    long_acting = to_series(
        record((0, "long_acting", 20, 0), (30 * 60, "long_acting", 20, 0), (67 * 60, "long_acting", 20, 0)), GLUCOSE
    )
    assert known(long_acting, LONG) == [*range(361), 67 * 12]


def test_an_extended_bolus_lasts() -> None:
    series = to_series(record((2.5, "bolus", 6.0, 60.0)), GLUCOSE)
    assert series.values[:, BOLUS].tolist() == pytest.approx([0.25, *[0.5] * 11, 0.25])
    assert known(series, BOLUS) == list(range(13))


def test_what_has_no_grid() -> None:
    with pytest.raises(ValueError, match="no events"):
        to_series(record(), GLUCOSE)
    with pytest.raises(ValueError, match="no channel 'ketones'"):
        to_series(record((0, "ketones", 1, 0)), GLUCOSE)


def test_the_clock_stays_the_patients() -> None:
    series = to_series(record((0, "glucose", 100, 0), zone="America/Phoenix"), GLUCOSE)
    assert isinstance(series, PatientSeries)
    assert series.therapy is GLUCOSE
    assert series.minute_of_day().tolist() == [17 * 60]


amounts = st.tuples(
    st.floats(0, 5000),
    st.sampled_from(["bolus", "carbs", "long_acting"]),
    st.floats(0, 50),
    st.sampled_from([0.0, 0.0, 7.0, 120.0]),
)


@CASES
@given(st.lists(amounts, min_size=1, max_size=30))
def test_no_impulse_is_made_or_lost(rows: list[tuple[float, str, float, float]]) -> None:
    series = to_series(record(*rows), GLUCOSE)
    for channel in ("bolus", "carbs", "long_acting"):
        column = series.values[:, GLUCOSE.index(channel)]
        assert column.sum() == pytest.approx(sum(row[2] for row in rows if row[1] == channel), rel=1e-4, abs=1e-4)
        assert not column[~series.mask[:, GLUCOSE.index(channel)]].any()
        assert (column >= -1e-6).all()


@CASES
@given(st.lists(st.floats(4.6, 5.4), min_size=1, max_size=300), st.floats(0, 5))
@example([4.75, 4.75, 5.25, 5.25, 5.0, 4.75, 5.0, 5.25], 0.0)  # runs of readings have to move by a row
@example([5.375, 5.375, 4.75, 4.625], 4.75)
def test_every_jittered_reading_keeps_its_row(gaps: list[float], phase: float) -> None:
    minutes = phase + np.concatenate([[0.0], np.cumsum(gaps)])
    values = 100.0 + np.arange(len(minutes))
    series = to_series(record(*[(m, "glucose", v, 0.0) for m, v in zip(minutes, values, strict=True)]), GLUCOSE)
    level = series.values[series.mask[:, GLUCOSE_], GLUCOSE_]
    assert (np.diff(level) > 0).all()  # in order
    shared = len(values) - len(level)
    assert shared <= abs(len(series) - len(values)) + 1  # they share a row only where there are more readings than rows
    rows = np.flatnonzero(series.mask[:, GLUCOSE_])
    for row, value in zip(rows, level, strict=True):
        nearest = minutes[np.abs(values - value).argmin()]
        assert row * 5.0 - 2.5 <= nearest - (phase // 5) * 5 <= row * 5.0 + 7.5  # at most half a step outside its row


spans = st.tuples(st.integers(0, 20_000).map(lambda n: n / 10), st.integers(0, 50).map(lambda n: n / 10), st.integers(1, 300))


@CASES
@given(st.lists(spans, min_size=1, max_size=20, unique_by=lambda r: r[0]))
def test_a_rate_delivers_what_it_says(rows: list[tuple[float, float, float]]) -> None:
    series = to_series(record(*[(m, "basal", rate, minutes) for m, rate, minutes in rows]), GLUCOSE)
    ordered = sorted(rows)
    ends = [min(m + d, following) for (m, _, d), following in zip(ordered, [r[0] for r in ordered[1:]] + [np.inf], strict=True)]
    said = sum(rate * (end - m) / 60 for (m, rate, _), end in zip(ordered, ends, strict=True))
    given = float(series.values[:, BASAL].sum()) * 5 / 60
    assert given == pytest.approx(said, abs=5.0 * 2 * len(rows) * 5 / 60)  # the edges of a stretch round to half a step
    assert series.values[:, BASAL].max() <= max(rate for _, rate, _ in rows) + 1e-4


def test_a_sensor_wins_over_a_finger_stick_near_it() -> None:
    rows = [(0, 100.0, ""), (1, 160.0, "fingerstick"), (5, 105.0, ""), (12, 150.0, "fingerstick low"), (40, 130.0, "fingerstick")]
    frame = events_frame((FIRST + pd.Timedelta(minutes=m), "glucose", value, 0.0, flag, "f:1") for m, value, flag in rows)
    series = to_series(PatientRecord("p", "UTC", frame), GLUCOSE)
    assert known(series, GLUCOSE_) == [0, 1, 8]  # the one at 40 min stands in a gap
    assert series.values[[0, 1, 8], GLUCOSE_].tolist() == [100, 105, 130]


def test_finger_sticks_alone_are_the_readings() -> None:
    frame = events_frame((FIRST + pd.Timedelta(hours=h), "glucose", 100.0 + h, 0.0, "fingerstick", "f:1") for h in (0, 5, 11))
    series = to_series(PatientRecord("p", "UTC", frame), GLUCOSE)
    assert known(series, GLUCOSE_) == [0, 60, 132]
    assert series.values[[0, 60, 132], GLUCOSE_].tolist() == [100, 105, 111]
