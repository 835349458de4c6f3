"""The patient's own days and moments: those named really are what they are named for."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from careplan.minutes import DAY
from careplan.series import PatientSeries
from careplan.suggestion import Part
from careplan.therapies.glucose.declaration import BLOCKS, GLUCOSE
from careplan.therapies.glucose.evidence import AFTER, APART, outcomes_addressed, pattern_on_days, similar_moments
from tests.clinic.build import line
from tests.reached import reached, reaches

PER_DAY = DAY // 5
CHANNEL = {name: GLUCOSE.index(name) for name in GLUCOSE.names}


def series(glucose: np.ndarray, *, start: str = "2024-03-01", zone: str = "UTC", **given: np.ndarray) -> PatientSeries:
    """A recording of glucose (NaN: none), and of boluses and meals, zero where not given."""
    values = np.zeros((len(glucose), len(GLUCOSE.channels)), np.float32)
    mask = np.ones_like(values, dtype=bool)
    for name, column in {"glucose": glucose, **given}.items():
        values[:, CHANNEL[name]], mask[:, CHANNEL[name]] = np.nan_to_num(column), ~np.isnan(column)
    return PatientSeries("ann", GLUCOSE, pd.Timestamp(start, tz=zone).tz_convert("UTC"), zone, values, mask)


@reaches(0.4)
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_days_named_are_the_days_with_the_pattern(data: st.DataObject) -> None:
    days = data.draw(st.integers(1, 6))
    zone = data.draw(st.sampled_from(["UTC", "America/Phoenix", "Asia/Kathmandu"]))
    level = data.draw(st.lists(st.sampled_from([45.0, 69.9, 70.0, 120.0, 180.0, 180.1, 300.0, np.nan]), min_size=4, max_size=40))
    random = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    glucose = np.repeat(random.choice(level, days * PER_DAY // 4), 4)  # twenty minutes at a level
    start, end = data.draw(st.sampled_from([*zip(BLOCKS, (*BLOCKS[1:], DAY), strict=True), (0, DAY)]))
    for side in ("low", "high"):
        found = pattern_on_days(series(glucose, zone=zone), side, start, end)
        for index in range(days):
            date = f"{pd.Timestamp('2024-03-01') + pd.Timedelta(days=index):%Y-%m-%d}"
            part = glucose[index * PER_DAY + start // 5 : index * PER_DAY + end // 5]
            known = part[~np.isnan(part)]
            seen = [one for one in found.seen if one.date == date]
            if seen:  # really a day with it, with the readings to say so
                reached()
                assert len(known) >= 0.7 * len(part) - 1e-9
                beyond = (known < 70).mean() if side == "low" else (known > 180).mean()
                assert beyond * (end - start) >= 15 if side == "low" else beyond > 0.25
                extreme = known.min() if side == "low" else known.max()
                assert seen[0].level == pytest.approx(extreme, abs=1e-3)
                assert part[seen[0].minute // 5 - start // 5] == pytest.approx(extreme)
            elif len(known) == len(part):  # and no day with it is left out
                beyond = (known < 70).mean() if side == "low" else (known > 180).mean()
                assert beyond * (end - start) < 15 if side == "low" else beyond <= 0.25
        assert len(found.seen) <= found.days <= days
        assert [one.date for one in found.seen] == sorted({one.date for one in found.seen})


def test_a_fifteen_minute_sensor_is_judged_by_its_own_cadence() -> None:
    glucose = np.full(2 * PER_DAY, np.nan)
    glucose[::3] = 120.0
    glucose[24:30:3] = 60.0  # 02:00 to 02:15 of the first day
    found = pattern_on_days(series(glucose), "low", 0, 360)
    assert (found.days, [one.date for one in found.seen]) == (2, ["2024-03-01"])
    assert found.seen[0].minute == 120


def test_nothing_recorded_names_no_day() -> None:
    found = pattern_on_days(series(np.full(PER_DAY, np.nan)), "low", 0, 360)
    assert (found.days, found.seen) == (0, ())


def test_what_drove_a_change_and_each_line_have_their_days() -> None:
    parts = [
        Part(outcome="above_180", start=360, end=660, gain=0.5),
        Part(outcome="above_250", start=360, end=660, gain=0.2),
        Part(outcome="below_70", start=0, end=360, gain=-0.3),
        Part(outcome="budget below_70", start=0, end=DAY, gain=0.9),
        Part(outcome="above_180", start=660, end=1020, gain=0.01),
        Part(outcome="change", start=0, end=DAY, gain=-0.1),
    ]
    assert outcomes_addressed(parts, [line("basal", 0, 0.9)]) == [("low", 0, DAY), ("high", 360, 660), ("low", 0, 360)]
    assert outcomes_addressed(parts, []) == []


def test_moments_like_now_are_found_and_what_came_of_them() -> None:
    """At noon of every other day glucose is 150 and rising, 60 g and 4 U follow, and it ends at 60; else it is flat at 100."""
    glucose, bolus, carbs = np.full(10 * PER_DAY, 100.0), np.zeros(10 * PER_DAY), np.zeros(10 * PER_DAY)
    for day in range(0, 10, 2):
        noon = day * PER_DAY + PER_DAY // 2
        glucose[noon - 12 : noon] = np.linspace(110, 150, 12)
        glucose[noon : noon + 48] = np.linspace(150, 60, 48)
        bolus[noon], carbs[noon + 2] = 4.0, 60.0
    recording = series(glucose, bolus=bolus, carbs=carbs)
    now = 8 * PER_DAY + PER_DAY // 2
    found = similar_moments(recording, now, carbs=60.0)
    assert sorted(one.date for one in found[:4]) == ["2024-03-01", "2024-03-03", "2024-03-05", "2024-03-07"]
    for one in found[:4]:
        assert (one.minute, one.given) == (720, {"bolus": 4.0, "carbs": 60.0})
        assert (one.level, one.lowest, one.highest) == pytest.approx((150.0, 60.0, 150.0))
    flat = similar_moments(recording, now - 60)
    assert flat and all(one.level == 100.0 for one in flat)


@reaches(0.4)
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**16), st.integers(PER_DAY, 3 * PER_DAY) | st.integers(1, 3 * PER_DAY))
def test_moments_are_past_apart_and_do_not_hear_of_what_came_later(seed: int, row: int) -> None:
    random = np.random.default_rng(seed)
    glucose = 140 + 40 * np.sin(np.arange(3 * PER_DAY) / 40) + random.normal(0, 5, 3 * PER_DAY)
    glucose[random.random(len(glucose)) < 0.05] = np.nan
    recording = series(glucose)
    found = similar_moments(recording, row)
    rows = [((pd.Timestamp(one.date) - pd.Timestamp("2024-03-01")).days * DAY + one.minute) // 5 for one in found]
    if len(rows) > 1:
        reached()
    assert all(one + AFTER <= row for one in rows)
    assert all(abs(one - other) >= APART for one in rows for other in rows if one != other)
    later = glucose.copy()
    later[row:] = 40.0
    assert similar_moments(series(later), row) == found


def test_without_a_reading_now_nothing_is_like_it() -> None:
    glucose = np.full(3 * PER_DAY, 100.0)
    glucose[-12:] = np.nan
    assert similar_moments(series(glucose), len(glucose)) == ()
