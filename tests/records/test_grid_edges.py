"""The grid's own pieces at their edges: how long an event lasts, which step holds it, and when a channel was logged at all."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from careplan.records import to_series
from careplan.records.events import events_frame
from careplan.records.grid import (
    CHANGE_LOG,
    LONGEST_HOLD,
    NEAR_SENSOR,
    beside_sensor,
    choices,
    held,
    impulses,
    levels,
    rates,
    spread,
    until,
)
from careplan.therapies.glucose.declaration import GLUCOSE
from tests.reached import reached, reaches
from tests.records.test_grid import BOLUS, FIRST, GLUCOSE_, known, record
from tests.therapies.contract.thinning import THINNING

DAY, WEEK, NAN = 1440.0, 7 * 1440.0, np.nan


def array(*values: float) -> np.ndarray:
    return np.array(values, dtype=float)


def test_what_is_silence_and_how_long_a_change_holds() -> None:
    silences = {channel.name: channel.silence for channel in GLUCOSE.channels if channel.form == "impulse"}
    assert silences == {"bolus": 24 * 60.0, "long_acting": 36 * 60.0, "carbs": 24 * 60.0}
    assert (CHANGE_LOG, LONGEST_HOLD) == (15.0, 24 * 60.0)


# When an event ends.


@pytest.mark.parametrize(
    ("begin", "duration", "ends"),
    [
        ([0, 60], [NAN, NAN], [60, 120]),  # the last holds as long as is usual
        ([0, 60, 100], [NAN, NAN, NAN], [60, 100, 150]),  # usual: the median of 60 and 40
        ([0, 60], [30, 10], [30, 70]),
        ([0, 60], [90, 90], [60, 150]),  # the next ends it
        ([0, 0, 60], [NAN, NAN, NAN], [0, 60, 120]),  # two at once: the later holds, and how far apart they are is not usual
        ([0], [NAN], [0]),
        ([0, 0], [NAN, NAN], [0, 0]),
        ([0, 0.5, 1], [NAN, NAN, NAN], [0.5, 1, 1.5]),
        ([7], [30], [37]),
        # Samples, 5 min apart, hold for 15 min without another; changes, hours apart, for a day.
        ([0, 5, 10, 100], [NAN] * 4, [5, 10, 25, 105]),
        ([0, 15, 30, 200], [NAN] * 4, [15, 30, 75, 215]),
        ([0, 16, 32, 200], [NAN] * 4, [16, 32, 200, 216]),
        ([0, 2 * DAY], [NAN, NAN], [DAY, 3 * DAY]),
        ([0, DAY - 1], [NAN, NAN], [DAY - 1, 2 * DAY - 2]),
    ],
)
def test_when_a_rate_ends(begin: list[float], duration: list[float], ends: list[float]) -> None:
    assert until(array(*begin), array(*duration), "rate").tolist() == ends


@pytest.mark.parametrize("form", ["level", "impulse"])
def test_when_anything_else_ends(form: str) -> None:
    assert until(array(0, 5, 9), array(NAN, 30, 0), form).tolist() == [0, 35, 9]


@pytest.mark.parametrize(
    ("begin", "duration", "ends"),
    [
        ([0], [NAN], [60]),  # at most
        ([50], [NAN], [100]),  # when the record is over
        ([0], [0], [60]),  # a duration of 0 states no end
        ([0], [0.5], [0.5]),
        ([0], [1], [1]),
        ([30], [40], [70]),
        ([0], [90], [90]),  # as stated, however long
        ([50], [90], [140]),
        ([0, 20], [NAN, NAN], [20, 80]),  # the next ends it
        ([0, 20], [30, 10], [20, 30]),
        ([0, 70], [NAN, NAN], [60, 100]),
        ([0, 0], [NAN, NAN], [0, 60]),
    ],
)
def test_when_what_stands_ends(begin: list[float], duration: list[float], ends: list[float]) -> None:
    assert held(array(*begin), array(*duration), over=100.0, most=60.0).tolist() == ends


# What falls in which step.


@pytest.mark.parametrize(
    ("begin", "end", "column", "mask"),
    [
        ([0], [10], [1, 1, 0, 0, 0], [1, 1, 0, 0, 0]),
        ([5], [10.1], [0, 1, 1, 0, 0], [0, 1, 1, 0, 0]),
        ([4.9], [5], [1, 0, 0, 0, 0], [1, 0, 0, 0, 0]),
        ([0, 12], [12, 15], [1, 1, 2, 0, 0], [1, 1, 1, 0, 0]),  # the last of a step is what stands
        ([0, 15], [5, 20], [1, 0, 0, 2, 0], [1, 0, 0, 1, 0]),
        ([15], [100], [0, 0, 0, 1, 1], [0, 0, 0, 1, 1]),  # the rest is beyond the grid
    ],
)
def test_a_choice_stands_in_every_step_it_reaches(begin: Any, end: Any, column: Any, mask: Any) -> None:
    found, seen = choices(array(*begin), array(*end), np.arange(1.0, len(begin) + 1), 5, 5.0)
    assert (found.tolist(), seen.tolist()) == (column, [bool(one) for one in mask])


@pytest.mark.parametrize(
    ("begin", "end", "amount", "column"),
    [
        ([0], [5], [1], [1, 0, 0, 0]),
        ([2.5], [12.5], [4], [1, 2, 1, 0]),
        ([0, 5], [5, 20], [1, 3], [1, 1, 1, 1]),
        ([0, 10], [5, 15], [2, 3], [2, 0, 3, 0]),
        ([4], [6], [2], [1, 1, 0, 0]),
        ([15], [25], [2], [0, 0, 0, 1]),  # the rest is beyond the grid
        ([], [], [], [0, 0, 0, 0]),
    ],
)
def test_amounts_are_spread_evenly(begin: list[float], end: list[float], amount: list[float], column: list[float]) -> None:
    if begin:
        assert spread(array(*begin), array(*end), array(*amount), 4, 5.0).tolist() == pytest.approx(column)


@pytest.mark.parametrize(
    ("begin", "end", "value", "column", "mask"),
    [
        ([0], [20], [2], [2, 2, 2, 2], [1, 1, 1, 1]),
        ([0], [2.5], [2], [2, 0, 0, 0], [1, 0, 0, 0]),  # half of a step is enough
        ([0], [2.4], [2], [0, 0, 0, 0], [0, 0, 0, 0]),
        ([0, 2.5], [2.5, 5], [1, 3], [2, 0, 0, 0], [1, 0, 0, 0]),
        ([1, 8], [4, 20], [6, 3], [6, 0, 3, 3], [1, 0, 1, 1]),
        ([4, 8], [7, 20], [6, 3], [0, 4.5, 3, 3], [0, 1, 1, 1]),
    ],
)
def test_rates_are_averaged_where_half_is_known(begin: Any, end: Any, value: Any, column: Any, mask: Any) -> None:
    found, seen = rates(array(*begin), array(*end), array(*value), 4, 5.0)
    assert (found.tolist(), seen.tolist()) == (pytest.approx(column), [bool(one) for one in mask])


def test_half_a_step_is_half_to_a_millionth_of_a_minute() -> None:
    for short, seen in ((0.5e-6, True), (3e-6, False)):
        assert rates(array(0), array(2.5 - short), array(2), 1, 5.0)[1].tolist() == [seen]
    third = 5.0 / 3 + 5.0 / 6  # adds up to half a step, not quite in floating point
    assert rates(array(0), array(third), array(2), 1, 5.0)[1].tolist() == [True]
    edge = 2.5 - 1e-6
    assert rates(array(0), array(edge), array(2), 1, 5.0)[1].tolist() == [True]


@pytest.mark.parametrize(
    ("begin", "end", "value", "column", "mask"),
    [
        ([0, 4.9, 5], [0, 4.9, 5], [1, 2, 4], [3, 4, 0, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0, 0]),
        ([0, 20], [0, 20], [1, 2], [1, 0, 0, 0, 2, 0, 0, 0], [1, 1, 1, 1, 1, 0, 0, 0]),  # zero between two
        ([0, 21], [0, 21], [1, 2], [1, 0, 0, 0, 2, 0, 0, 0], [1, 0, 0, 0, 1, 0, 0, 0]),  # silent for longer: not logged
        ([2.5], [12.5], [4], [1, 2, 1, 0, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0, 0, 0]),
        ([5], [10], [4], [0, 4, 0, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0, 0, 0]),
        ([5, 7], [5, 17], [1, 4], [0, 2.2, 2, 0.8, 0, 0, 0, 0], [0, 1, 1, 1, 0, 0, 0, 0]),
        ([5, 25], [35, 25], [6, 1], [0, 1, 1, 1, 1, 2, 1, 0], [0, 1, 1, 1, 1, 1, 1, 0]),  # what lasts is logged to its end
        ([5], [100], [19], [0, 1, 1, 1, 1, 1, 1, 1], [0, 1, 1, 1, 1, 1, 1, 1]),  # beyond the grid
        ([0, 30], [15, 30], [3, 1], [1, 1, 1, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 0, 1, 0]),
    ],
)
def test_impulses_are_known_where_they_are_logged(begin: Any, end: Any, value: Any, column: Any, mask: Any) -> None:
    found, seen = impulses(array(*begin), array(*end), array(*value), 8, 5.0, 20.0)
    assert (found.tolist(), seen.tolist()) == (pytest.approx(column), [bool(one) for one in mask])


def placed(*begin: float, length: int = 0) -> list[float]:
    """Where readings 1, 2, 3, .. at these minutes come to stand; 0 where none does."""
    column, seen = levels(array(*begin), np.arange(1.0, len(begin) + 1), length or int(max(begin) // 5) + 1, 5.0)
    assert (seen == (column > 0)).all()
    return column.tolist()


@pytest.mark.parametrize(
    ("begin", "column"),
    [
        ([0, 5, 10], [1, 2, 3]),
        ([0, 1, 5], [1.5, 3]),  # no step beside them is empty
        ([0, 2.4, 10], [1.5, 0, 3]),  # too near each other to be two of a sensor
        ([0, 2.5, 10], [1, 2, 3]),  # half a step apart, the later one nearer to the next step
        ([0, 3, 10], [1, 2, 3]),
        ([0, 2.5, 4, 10], [1, 2.5, 4]),
        ([5, 7.4, 12.4, 15], [0, 1.5, 3, 4]),
        ([1, 5.1, 9.9, 15], [1, 2, 3, 4]),
        ([0, 10.1, 14.9, 15], [1, 2, 3, 4]),
        ([0, 10, 12.4, 15], [1, 0, 2.5, 4]),
        ([0, 12.4, 14.9, 15], [1, 2, 3, 4]),
        ([0, 12.5, 15, 20], [1, 0, 2, 3, 4][:5]),
        ([0, 4.9, 9.9, 14.9, 20], [1, 2, 3, 4, 5]),  # a whole run moves by a step
        ([0, 5.1, 10.1, 15.1, 19.9], [1, 2, 3, 4.5]),
        # What is in the next step makes room only where it is nearer to the one after.
        ([0, 3, 6, 15], [1.5, 3, 0, 4]),
        ([0, 3, 7, 15], [1.5, 3, 0, 4]),
        ([0, 2.5, 7.5, 15], [1, 2, 3, 4]),
        ([6, 10.5, 13.5, 16], [1, 2, 3, 4]),  # and backwards
        ([8, 10.5, 13.5, 16], [0, 1, 2.5, 4]),
        ([0, 3, 10.5, 13.5, 16], [1, 2, 3.5, 5]),  # a step that was filled is empty no longer
    ],
)
def test_readings_that_share_a_step_make_room(begin: list[float], column: list[float]) -> None:
    assert placed(*begin) == column


@reaches(0.1)
@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(3.0, 7.0) | st.floats(0.2, 8.0), min_size=2, max_size=60), st.floats(0, 5))
def test_readings_stay_in_order_whatever_their_cadence(gaps: list[float], phase: float) -> None:
    minutes = phase + np.concatenate([[0.0], np.cumsum(gaps)])
    length = int(minutes[-1] // 5) + 2
    column, seen = levels(minutes, np.arange(1.0, len(minutes) + 1), length, 5.0)
    plain = np.bincount((minutes // 5).astype(int), minlength=length) > 0
    if not np.array_equal(seen, plain):
        reached()  # some made room
    assert (np.diff(column[seen]) > 0).all()
    assert seen.sum() >= plain.sum()


# A finger stick beside a sensor.


@pytest.mark.parametrize(
    ("stick", "others", "beside"),
    [(15.0, [0.0, 45.0], True), (-15.0, [0.0, 45.0], True), (16.0, [0.0, 45.0], False), (15.0, [], False)],
)
def test_a_finger_stick_within_a_quarter_of_an_hour_of_a_sensor_says_nothing_of_its_own(
    stick: float, others: list[float], beside: bool
) -> None:
    rows = [(FIRST + pd.Timedelta(minutes=20 + m), "glucose", 100.0, 0.0, "", "f:1") for m in others]
    rows += [(FIRST + pd.Timedelta(minutes=20 + m), "bolus", 1.0, 0.0, "", "f:2") for m in (0.0, 16.0)]
    rows.append((FIRST + pd.Timedelta(minutes=20 + stick), "glucose", 100.0, 0.0, "fingerstick", "f:3"))
    events = events_frame(rows).sort_values("time", kind="stable", ignore_index=True)
    assert beside_sensor(events).tolist() == [bool(flag) and beside for flag in events["flag"].astype(str)]
    assert pd.Timedelta(minutes=15) == NEAR_SENSOR


# The whole of it.


def test_a_grid_begins_with_the_first_event_and_ends_with_the_last() -> None:
    series = to_series(record((7, "glucose", 100, 0), (12, "bolus", 1, 0)), GLUCOSE)
    assert series.start == FIRST + pd.Timedelta(minutes=5) and len(series) == 2
    assert len(to_series(record((0, "glucose", 100, 0), (4.9, "glucose", 100, 0)), GLUCOSE)) == 1
    assert len(to_series(record((0, "glucose", 100, 0), (5, "glucose", 100, 0)), GLUCOSE)) == 2
    lasting = to_series(record((0, "bolus", 6, 30), (0, "glucose", 100, 0)), GLUCOSE)
    assert len(lasting) == 6 and known(lasting, BOLUS) == [0, 1, 2, 3, 4, 5]
    assert len(to_series(record((0, "bolus", 6, 31)), GLUCOSE)) == 7
    assert len(to_series(record((0, "basal", 1, 12), (2, "glucose", 100, 0)), GLUCOSE)) == 3
    assert series.values.dtype == np.float32 and series.mask.shape == series.values.shape


def test_long_acting_insulin_may_be_silent_for_longer_than_a_bolus() -> None:
    for name, minutes in (("bolus", DAY), ("carbs", DAY), ("long_acting", 1.5 * DAY)):
        column = GLUCOSE.index(name)
        for more, whole in ((0.0, True), (5.0, False)):
            series = to_series(record((0, name, 1, 0), (minutes + more, name, 1, 0)), GLUCOSE)
            assert bool(series.mask[:, column].all()) is whole


@pytest.mark.parametrize(("weeks", "whole"), [(1, True), (2, True), (2.1, False), (3, False)])
def test_on_a_grid_of_weeks_what_is_logged_every_other_week_goes_on(weeks: float, whole: bool) -> None:
    clock = replace(THINNING.clock, step=WEEK, interval=WEEK, pace=WEEK, look=WEEK)
    weekly = replace(THINNING, clock=clock, pools=(replace(THINNING.pools[0], time_constant=WEEK),))
    series = to_series(record((0, "tablet", 5, 0), (weeks * WEEK, "tablet", 5, 0)), weekly)
    column = THINNING.index("tablet")
    assert series.mask[[0, -1], column].all() and len(series) == int(weeks) + 1
    assert bool(series.mask[:, column].all()) is whole


@pytest.mark.parametrize(("last", "until_then"), [(3.0, 4), (5.0, 6), (6.0, 7), (7.0, 7), (20.0, 7)])
def test_a_charted_impulse_was_not_given_until_the_channel_is_silent_or_the_record_ends(last: float, until_then: int) -> None:
    chart = replace(THINNING, channels=(THINNING.channels[0], replace(THINNING.channel("tablet"), charted=True, silence=5 * DAY)))
    rows = ((0, "ratio", 2, 0), (2 * DAY, "tablet", 5, 0), (last * DAY, "ratio", 2, 0))
    assert known(to_series(record(*rows), chart), 1) == list(range(2, until_then))
    assert known(to_series(record(*rows), THINNING), 1) == [2]  # one that is not charted is known where it is logged


def test_events_in_any_order_give_the_same_grid() -> None:
    rows = [(0, "basal", 1, NAN), (60, "basal", 2, NAN), (61, "glucose", 100, 0), (3, "glucose", 90, 0)]
    one, frame = to_series(record(*rows), GLUCOSE), record(*rows)
    other = to_series(replace(frame, events=frame.events.iloc[::-1]), GLUCOSE)
    assert np.array_equal(one.values, other.values) and np.array_equal(one.mask, other.mask)
    assert one.values[[0, 12], GLUCOSE_].tolist() == [90.0, 100.0]
