"""Coverage, width and risk are what they say on recordings whose answer is known."""

import numpy as np
import pytest

from careplan.evaluation.forecasts import forecast_rows, persistence, truths
from careplan.evaluation.intervals import conformal, cover, goes_low, risk_rows, told
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


def test_going_low_counts_readings_ahead_alone() -> None:
    level = [100.0] * 700
    level[400] = 69.0
    person = series(level, patient="one")
    rows = np.array([376, 377, 400, 401])
    assert goes_low(person, rows).tolist() == [False, True, True, False]
    assert 401 not in risk_rows(person, stride=1)  # low already


def test_a_risk_that_knows_ranks_above_one_that_guesses() -> None:
    people = [wandering(seed, days=10) for seed in range(30, 36)]
    assert any(goes_low(person, risk_rows(person)).any() for person in people)

    def guess(s, r):
        return np.random.default_rng(0).random(len(r))

    table = told({"knows": lambda s, r: goes_low(s, r).astype(float), "guesses": guess}, people).set_index("model")
    assert table.loc["knows", "auroc"] == 1.0 and table.loc["knows", "brier"] == 0.0
    assert table.loc["guesses", "auroc"] == pytest.approx(0.5, abs=0.1)
    assert table.loc["knows", "observed"][-1] >= table.loc["knows", "observed"][0]
