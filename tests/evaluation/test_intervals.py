"""Coverage, width and risk are what they say on recordings whose answer is known."""

from dataclasses import replace

import numpy as np
import pytest

from careplan.evaluation.forecasts import forecast_rows, persistence, truths
from careplan.evaluation.intervals import adaptive, conformal, cover, happens, hazard_table, risk_rows
from tests.evaluation.build import series

HORIZONS = (30, 60)


def wandering(seed: int, days: int = 6):
    generator = np.random.default_rng(seed)
    level = np.clip(130 + np.cumsum(generator.normal(0, 4, 288 * days)) * 0.3, 45, 380)
    return series(level.tolist(), patient=f"p{seed}")


def test_conformal_intervals_cover_people_like_those_held_out() -> None:
    interval = conformal(lambda s, r: persistence(s, r, HORIZONS), [wandering(seed) for seed in range(6)], HORIZONS)
    table = cover({"flat": interval}, [wandering(seed) for seed in range(20, 26)], HORIZONS)
    assert table.groupby("horizon")["coverage"].mean().between(0.85, 0.95).all()
    assert table.groupby("horizon")["width"].first().is_monotonic_increasing


def test_nothing_is_covered_by_an_empty_interval_and_everything_by_an_endless_one() -> None:
    def wide(s, r):
        return truths(s, r, HORIZONS) - 1e6, truths(s, r, HORIZONS) + 1e6

    def empty(s, r):
        return truths(s, r, HORIZONS) + 1, truths(s, r, HORIZONS) + 2

    person = wandering(1)
    table = cover({"wide": wide, "empty": empty}, [person], HORIZONS, begin=0.5).set_index("model")
    assert (table.loc["wide", "coverage"] == 1).all() and (table.loc["empty", "coverage"] == 0).all()
    rows = forecast_rows(person, HORIZONS, stride=3)
    assert (table["n"] == (rows >= 0.5 * len(person)).sum()).all()


def test_an_interval_that_follows_the_patient_covers_whoever_differs() -> None:
    def flat(s, r):
        return persistence(s, r, HORIZONS)

    for width in (1.0, 12.0):  # too narrow, too wide

        def interval(s, r, width=width):
            return flat(s, r) - width, flat(s, r) + width

        people = [wandering(seed, days=20) for seed in (1, 2)]
        intervals = {"follows": adaptive(interval, flat, HORIZONS), "stays": interval}
        table = cover(intervals, people, HORIZONS, begin=0.2).groupby("model")["coverage"]
        assert (table.get_group("follows") - 0.9).abs().max() < 0.08 < (table.get_group("stays") - 0.9).abs().min()


def test_an_interval_that_follows_knows_nothing_of_what_comes() -> None:
    def flat(s, r):
        return persistence(s, r, HORIZONS)

    person = wandering(3)
    values = person.values.copy()
    values[1000:, 0] += 60
    interval = adaptive(lambda s, r: (flat(s, r) - 9, flat(s, r) + 9), flat, HORIZONS)
    rows = forecast_rows(person, HORIZONS, stride=3)
    before, after = (interval(one, rows)[0][rows <= 1000] for one in (person, replace(person, values=values)))
    assert np.array_equal(before, after) and not np.array_equal(
        interval(person, rows)[0], interval(replace(person, values=values), rows)[0]
    )


def test_going_high_counts_what_is_above_and_begins_below() -> None:
    level = [200.0] * 700
    level[400] = 251.0
    person = series(level, patient="one")
    assert happens(person, np.array([376, 377, 400, 401]), "high").tolist() == [False, True, True, False]
    assert 401 not in risk_rows(person, "high", stride=1) and 401 in risk_rows(person, "low", stride=1)


def test_going_low_counts_readings_ahead_alone() -> None:
    level = [100.0] * 700
    level[400] = 69.0
    person = series(level, patient="one")
    rows = np.array([376, 377, 400, 401])
    assert happens(person, rows, "low").tolist() == [False, True, True, False]
    assert 401 not in risk_rows(person, "low", stride=1)  # low already


def test_a_risk_that_knows_ranks_above_one_that_guesses() -> None:
    people = [wandering(seed, days=10) for seed in range(30, 36)]
    assert any(happens(person, risk_rows(person, "low"), "low").any() for person in people)

    def guess(s, r):
        return np.random.default_rng(0).random(len(r))

    def knows(s, r):
        return happens(s, r, "low").astype(float)

    table = hazard_table({"knows": knows, "guesses": guess}, people, "low").set_index("model")
    assert table.loc["knows", "auroc"] == 1.0 and table.loc["knows", "brier"] == 0.0
    assert table.loc["guesses", "auroc"] == pytest.approx(0.5, abs=0.1)
    assert table.loc["knows", "observed"][-1] >= table.loc["knows", "observed"][0]
