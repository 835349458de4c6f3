"""Statistics of a cohort, on tables small enough to reckon by hand."""

import numpy as np
import pandas as pd
import pytest

from careplan.studies.cohorts import COMPARED, EVERYONE, MANY, SETTINGS, bootstrap, compare, judged, summarise


def people(policy: str, group: str, **measures: list[float]) -> pd.DataFrame:
    """A table of people who differ in these measures alone."""
    count = len(next(iter(measures.values())))
    table = pd.DataFrame({name: [1.0] * count for name in (*COMPARED, *SETTINGS, *(f"suits_{name}" for name in SETTINGS))})
    names = [f"{group}-{index}" for index in range(count)]
    return table.assign(policy=policy, group=group, person=names, **measures)


def test_bands_of_truth_and_of_readings_at_their_edges() -> None:
    glucose = np.array([[53.9, 54.0, 69.9, 70.0, 180.0, 180.1, 250.0, 250.1]])
    reading = np.array([[100.0, np.nan, np.nan, np.nan, 300.0, 300.0, 300.0, np.nan]])
    row = judged(glucose, reading).iloc[0]
    assert row["true_very_low"] == 12.5 and row["true_below_70"] == 37.5
    assert row["true_in_range"] == 25.0 and row["true_above_180"] == 37.5 and row["true_very_high"] == 12.5
    assert row["read_in_range"] == 25.0 and row["read_active"] == 50.0
    assert (row["lowest"], row["highest"]) == (53.9, 250.1)


def test_someone_without_a_reading_has_true_metrics_alone() -> None:
    table = judged(np.full((2, 4), 100.0), np.array([[100.0] * 4, [np.nan] * 4]))
    assert table["true_in_range"].tolist() == [100.0, 100.0]
    assert np.isnan(table["read_in_range"][1]) and table["read_active"][1] == 0.0


def test_differences_are_person_by_person_whatever_the_order() -> None:
    before = people("a", "adult", true_in_range=[50.0, 60.0, 70.0, 80.0])
    after = people("b", "adult", true_in_range=[52.0, 63.0, 69.0, 80.0]).iloc[::-1]
    found = {row.measure: row for row in compare(pd.concat([before, after]), "b", "a", group="adult", seed=1)}
    change = found["true_in_range"]
    assert change.mean == pytest.approx(1.0) and change.people == 4
    assert (change.higher, change.lower) == (50.0, 25.0)
    assert change.low is not None and change.high is not None and -1.0 <= change.low < 1.0 < change.high <= 3.0
    assert (found["true_cv"].mean, found["true_cv"].low, found["true_cv"].high) == (0.0, 0.0, 0.0)


def test_other_people_are_not_compared() -> None:
    table = pd.concat([people("a", "adult", true_in_range=[50.0, 60.0]), people("b", "adult", true_in_range=[50.0])])
    with pytest.raises(ValueError, match="same people"):
        summarise(table, seed=1)


def test_one_person_has_no_interval() -> None:
    table = pd.concat([people("a", "adult", true_in_range=[50.0]), people("b", "adult", true_in_range=[55.0])])
    change = next(row for row in summarise(table, seed=1).differences if row.measure == "true_in_range")
    assert (change.mean, change.low, change.high) == (5.0, None, None)


def test_the_bootstrap_is_seeded_and_as_wide_as_theory() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, (400, 1))
    low, high = bootstrap(values, seed=1)[:, 0]
    assert np.array_equal(bootstrap(values, seed=1)[:, 0], [low, high])
    assert not np.array_equal(bootstrap(values, seed=2)[:, 0], [low, high])
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)
    assert low < values.mean() < high


def test_many_people_have_the_interval_that_the_bootstrap_would_give() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, (MANY, 1))
    assert bootstrap(values, seed=1) == pytest.approx(bootstrap(values[:-1], seed=1), abs=0.006)


def test_a_summary_has_each_group_and_everyone_under_each_policy() -> None:
    parts = [people(policy, group, true_in_range=[10.0, 20.0, 30.0]) for policy in "ab" for group in ("adult", "child")]
    summary = summarise(pd.concat(parts), seed=1)
    rows = [(row.group, row.policy, row.people) for row in summary.outcomes]
    counts = {"adult": 3, "child": 3, EVERYONE: 6}
    assert rows == [(group, policy, count) for group, count in counts.items() for policy in "ab"]
    spread = summary.outcomes[0].spreads["true_in_range"]
    assert (spread.mean, spread.p5, spread.p50, spread.p95) == pytest.approx((20.0, 11.0, 20.0, 29.0))
    assert {row.group for row in summary.differences} == {"adult", "child", EVERYONE}


def test_a_group_alone_is_not_told_twice() -> None:
    summary = summarise(people("a", "adult", true_in_range=[10.0]), seed=1)
    assert [row.group for row in summary.outcomes] == ["adult"] and summary.differences == ()


def test_who_did_worst_comes_first_with_how_far_their_settings_are_off() -> None:
    table = people("a", "adult", true_gri=[20.0, 100.0, 100.0], true_very_low=[0.0, 3.0, 9.0], basal=[1.0, 2.0, 3.0])
    worst = summarise(table, seed=1).worst
    assert [row.person for row in worst] == ["adult-2", "adult-1", "adult-0"]
    assert worst[0].factors["basal"] == 3.0 and worst[0].below_54 == 9.0
