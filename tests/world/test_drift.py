"""Alarms sound when a recording changes in a way that a patient's days do not, and are silent otherwise."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from careplan.series import PatientSeries
from careplan.world.corpus import usual
from careplan.world.drift import (
    ALARMS,
    DayStatistics,
    Expected,
    Reference,
    alarms,
    checkpoints,
    describe,
    given,
    latest,
    measure,
    names,
    scores,
    unchanged,
)
from careplan.world.personalise import Personalisation, typical
from tests.world.toy import PRESSURE, random_model

DAY, MODEL = 288, random_model(1)


def days(seed: int, count: int = 14, *, tablets: int = 8, size: float = 6.0) -> PatientSeries:
    """A person whose days are alike but for chance."""
    draw = np.random.default_rng(seed)
    values, rows = np.zeros((count * DAY, 5), np.float32), np.arange(count * DAY)
    wander = pd.Series(draw.normal(0, 8, len(rows))).ewm(span=12).mean()
    values[:, 0] = 120 + 20 * np.sin(rows / 30) + 3 * wander + draw.normal(0, 2, len(rows))
    values[:, 1] = 1.5
    for day in range(count):
        values[day * DAY + draw.choice(DAY, tablets, replace=False), 2] = draw.uniform(0.5, 1.5, tablets) * size
        values[day * DAY + draw.choice(DAY, 4, replace=False), 3] = draw.uniform(1, 6, 4)
    return PatientSeries(f"p{seed}", PRESSURE, pd.Timestamp("2026-03-01", tz="UTC"), "UTC", values, np.ones(values.shape, bool))


def known(series: PatientSeries) -> Personalisation:
    return typical(MODEL, series.patient, usual(series))


def described(series: PatientSeries) -> DayStatistics:
    return describe(MODEL, series, known(series), checkpoints(series))


@pytest.fixture(scope="module")
def reference() -> Reference:
    people = [days(seed, tablets=4 + 7 * seed % 24, size=1 + seed % 7) for seed in range(20, 44)]  # people differ
    return measure(PRESSURE, [described(one) for one in people])


def spoilt(series: PatientSeries, kind: str) -> PatientSeries:
    """Its last day changed."""
    values, last = series.values.copy(), slice(len(series) - DAY, len(series))
    if kind == "larger unit":
        values[last.stop - DAY // 4 :, 0] *= 7.5
    elif kind == "smaller unit":
        values[last.stop - DAY // 4 :, 0] /= 7.5
    elif kind == "stuck":
        values[last.stop - 80 : last.stop - 10, 0] = values[last.stop - 80, 0]
    elif kind == "unlogged":
        values[last, 2] = 0
    elif kind == "another":
        values[last] = days(99, 1, tablets=25, size=1.0).values
        values[last, 0] = 180 + 2 * (values[last, 0] - 120)
    return replace(series, values=values)


@pytest.mark.parametrize(
    ("kind", "alarm"),
    [("larger unit", "unit"), ("smaller unit", "unit"), ("stuck", "still"), ("unlogged", "doses"), ("another", "other")],
)
def test_each_change_sets_off_its_alarm(reference: Reference, kind: str, alarm: str) -> None:
    for seed in (1, 2, 3):
        series = days(seed)
        assert alarm in latest(MODEL, spoilt(series, kind), known(series), reference)


def test_days_like_those_before_set_off_nothing(reference: Reference) -> None:
    people = [described(days(seed)) for seed in range(4, 12)]
    fired = [bool(alarms(reference, score)) for one in people for score in scores(PRESSURE, one, reference)]
    assert np.mean(fired) <= 0.05


def test_people_it_was_measured_on_set_off_as_much_as_was_asked() -> None:
    people = [described(days(seed)) for seed in range(50, 56)]
    reference = measure(PRESSURE, people)
    fired = [bool(alarms(reference, score)) for one in people for score in scores(PRESSURE, one, reference)]
    assert np.mean(fired) <= 1 / 50
    assert all(np.isfinite(value) for value in reference.threshold.values())


def test_a_strange_day_is_another_person_only_where_people_are_so(reference: Reference) -> None:
    series = days(2)
    strange = describe(MODEL, spoilt(series, "another"), known(series), checkpoints(series))
    alike = replace(reference, people={name: (center, 0.3 * apart) for name, (center, apart) in reference.people.items()})
    assert scores(PRESSURE, strange, alike)[-1, 2] < scores(PRESSURE, strange, reference)[-1, 2]


def test_half_of_the_usual_doses_is_no_missing_log(reference: Reference) -> None:
    series = days(4)
    values = series.values.copy()
    values[-DAY:, 2] = 0
    given_half, given_none = values.copy(), values
    given_half[-DAY::72, 2] = 6.0  # four of the usual eight
    for changed, fires in ((given_half, False), (given_none, True)):
        assert ("doses" in latest(MODEL, replace(series, values=changed), known(series), reference)) == fires


def test_a_log_that_stops_is_a_log_without_doses(reference: Reference) -> None:
    series = days(1)
    mask = series.mask.copy()
    mask[-DAY:, 2] = False
    assert "doses" in latest(MODEL, replace(series, mask=mask, values=np.where(mask, series.values, 0)), known(series), reference)


def test_a_usual_dose_a_little_larger_is_no_other_person(reference: Reference) -> None:
    series = days(3)
    values = series.values.copy()
    values[-DAY:, 1:3] *= 1.15
    assert latest(MODEL, replace(series, values=values), known(series), reference) == ()


def test_nothing_is_said_of_the_first_week(reference: Reference) -> None:
    for rows in (0, 50, DAY, 6 * DAY):
        series = spoilt(days(5), "another")
        short = replace(series, values=series.values[-rows or len(series) :], mask=series.mask[-rows or len(series) :])
        assert not {"unit", "other", "doses", "fit"} & set(latest(MODEL, short, known(series), reference))


def test_days_without_readings_or_doses_are_not_judged(reference: Reference) -> None:
    series = days(6)
    mask = series.mask.copy()
    mask[-DAY:, 0] = False
    empty = describe(MODEL, replace(series, mask=mask), known(series), checkpoints(series))
    assert np.isnan(empty.statistics[-1]).all() and np.isnan(empty.still[-1])
    assert latest(MODEL, replace(series, mask=mask), known(series), reference) == ()


def test_what_comes_later_changes_no_earlier_score(reference: Reference) -> None:
    series, changed = days(7), spoilt(days(7), "larger unit")
    before, after = (
        scores(PRESSURE, describe(MODEL, one, known(series), checkpoints(one)), reference) for one in (series, changed)
    )
    until = checkpoints(series) <= len(series) - DAY
    np.testing.assert_allclose(before[until], after[until], rtol=1e-4, atol=1e-4)


def test_the_longest_stretch_within_a_tolerance() -> None:
    minutes = np.arange(8) * 5.0
    assert unchanged(minutes, np.array([1, 5, 5, 6, 5, 9, 9, 9.5]), 1.0) == 15.0
    assert unchanged(minutes, np.full(8, 3.0), 0.0) == 35.0
    assert unchanged(minutes[:1], np.array([4.0]), 1.0) == 0.0


def test_what_was_given_in_a_day() -> None:
    doses = np.array([0, 4.0, np.nan, 9.0, 0, 0])
    count, size = given(doses, True)
    assert count == pytest.approx(2 * np.sqrt(2)) and size == pytest.approx(np.log(6.5))
    assert given(np.zeros(4), True)[0] == 0 and np.isnan(given(np.zeros(4), True)[1])
    assert np.isnan(given(np.array([1.0, np.nan, np.nan]), False)[0])
    assert len(names(PRESSURE)) == 4 + 1 + 2 + 2 + 1 + 4 and len(ALARMS) == 5


def test_a_change_that_was_prescribed_is_not_another_person(reference: Reference) -> None:
    """Doses cut to a quarter and the level up, as predicted: an alarm where nobody told, none where somebody did."""
    series = days(3, 16)
    values, row = series.values.copy(), 15 * DAY
    values[row:, 2] *= 0.25
    values[row:, 0] *= 1.7
    changed = replace(series, values=values)
    ends = checkpoints(changed)
    told = describe(MODEL, changed, known(series), ends)
    shift = {"tablet size": float(np.log(0.25)), "level": float(np.log(1.7)), "step": float(np.log(1.7))}
    change = Expected(row=row, shift=shift, doubt={name: abs(value) / 2 + 0.1 for name, value in shift.items()})
    names_of = [name for name in ("unit", "other") if name in alarms(reference, scores(PRESSURE, told, reference)[-1])]
    assert "unit" in names_of
    assert "unit" not in alarms(reference, scores(PRESSURE, told, reference, [change])[-1])
    late = Expected(row=len(series), shift=shift, doubt={})
    np.testing.assert_array_equal(scores(PRESSURE, told, reference, [late]), scores(PRESSURE, told, reference))


def test_somebody_elses_days_are_found_after_a_change_too(reference: Reference) -> None:
    series, other = days(3, 16), days(4, 16, tablets=20, size=1.0)
    values = series.values.copy()
    values[15 * DAY :] = other.values[15 * DAY :]
    values[15 * DAY :, 0] += 70.0
    mixed = replace(series, values=values)
    change = Expected(row=8 * DAY, shift={"level": 0.1}, doubt={"level": 0.05})
    told = scores(PRESSURE, describe(MODEL, mixed, known(series), checkpoints(mixed)), reference, [change])[-1]
    assert alarms(reference, told), told


def test_a_sensor_at_its_limit_is_not_stuck() -> None:
    minutes = 5.0 * np.arange(12)
    level = np.array([200.0, 300.0, *[400.0] * 8, 300.0, 200.0])
    assert unchanged(minutes, level, 2.0) == 35.0
    assert unchanged(minutes, level, 2.0, (200.0, 400.0)) == 0.0
    assert unchanged(minutes, np.where(level == 400.0, 250.0, level), 2.0, (200.0, 400.0)) == 35.0
