"""Replays are seeded, branches exact, and what they record is what happened."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from careplan.glucose import GLUCOSE
from careplan.records import PatientRecord, to_series
from cohorts.policies import Behaviour
from cohorts.population import join, sample_population
from cohorts.replay import KEEP, Change, branch, replay
from cohorts.scenarios import Life
from cohorts.sensors import Sensor


@pytest.fixture(scope="module")
def lived():
    people = join([sample_population("adult", 4, seed=1, mis_set=0.2), sample_population("child", 3, seed=2)])
    return replay(people, Behaviour(explore=0.3), days=3, seed=5)


def test_the_same_seed_gives_the_same_life(lived) -> None:
    again = replay(lived.people, Behaviour(explore=0.3), days=3, seed=5)
    other = replay(lived.people, Behaviour(explore=0.3), days=3, seed=6)
    assert torch.equal(lived.glucose, again.glucose)
    assert not torch.equal(lived.glucose, other.glucose)


@settings(deadline=None, max_examples=10)
@given(person=st.integers(0, 6), row=st.integers(0, 120))
def test_a_branch_without_a_change_is_what_happened(lived, person: int, row: int) -> None:
    levels, values = branch(lived, torch.tensor([person]), torch.tensor([row * KEEP]), 72, Change.none(1))
    rows = slice(row * KEEP, row * KEEP + 72)
    assert torch.equal(values[0, :, GLUCOSE.index("bolus")], lived.bolus[person, rows])
    ends = lived.amounts[person, (row * KEEP) // KEEP + 12]  # the state kept 72 rows later
    sensed = ends[12] / lived.people.physiology.Vg[person]
    assert float((levels[0, -1] - sensed).abs()) < 1e-3


def test_branches_differ_as_treatment_does(lived) -> None:
    count = len(lived.people)
    person, row = torch.arange(count), torch.full((count,), 60)
    factual, _ = branch(lived, person, row, 72, Change.none(count))
    ones = torch.ones(count)
    more, _ = branch(lived, person, row, 72, Change(ones, ones, ones, 2 * ones))
    less, _ = branch(lived, person, row, 72, Change(0.5 * ones, ones, ones, 0 * ones))
    assert (more[:, -1] <= factual[:, -1] + 1e-3).all() and (more[:, 30] < factual[:, 30]).all()
    assert (less[:, -1] >= factual[:, -1] - 1e-3).all()


def test_branches_off_the_kept_states_are_refused(lived) -> None:
    with pytest.raises(ValueError, match="multiples of 6"):
        branch(lived, torch.tensor([0]), torch.tensor([7]), 12, Change.none(1))


def test_the_events_of_a_person_make_the_same_series(lived) -> None:
    series = lived.series(2)
    record = PatientRecord(patient=series.patient, zone="UTC", events=lived.events(2), rows_read=1)
    again = to_series(record, GLUCOSE)
    assert again.start == series.start
    rows = min(len(series), len(again))
    for name in ("bolus", "carbs"):
        column = GLUCOSE.index(name)
        assert np.isclose(again.values[:rows, column].sum(), series.values[:rows, column].sum(), atol=0.01)
    seen = series.mask[:rows, 0] & again.mask[:rows, 0]
    assert seen.mean() > 0.8
    assert np.allclose(series.values[:rows, 0][seen], again.values[:rows, 0][seen], atol=0.01)
    assert np.allclose(series.values[:rows, 1], again.values[:rows, 1], atol=0.01)


def test_every_source_of_variability_can_be_switched_off() -> None:
    people = sample_population("adult", 3, seed=4)
    calm = Life(meal_time=0, meal_size=0, counting=0, unannounced=0, circadian=0, daily=0, exercise=0, illness=0)
    quiet = replay(people, Behaviour(), days=1, seed=1, life=calm, sensor=Sensor(noise=0, gain=0, dropout=0))
    assert torch.equal(quiet.scenario.sensitivity, torch.ones_like(quiet.scenario.sensitivity))
    assert torch.equal(quiet.scenario.eaten, quiet.scenario.announced)
    assert not quiet.reading.isnan().any()


def test_groups_live_plausibly() -> None:
    """Wide bounds on what a fortnight looks like; the figures themselves are in docs/cohorts.md."""
    for group in ("adult", "adolescent", "child"):
        people = sample_population(group, 24, seed=11)
        week = replay(people, Behaviour(), days=2, seed=3)
        inside = ((week.glucose >= 70) & (week.glucose <= 180)).float().mean()
        low = (week.glucose < 54).float().mean()
        daily = (week.bolus.sum(1) / 2 + week.basal.mean(1) * 24) / people.physiology.weight
        assert 0.5 < float(inside) < 0.95, group
        assert float(low) < 0.06, group
        assert 0.2 < float(daily.median()) < 1.1, group


def test_absurd_requests_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one person"):
        sample_population("adult", 0, seed=1)
    with pytest.raises(ValueError, match="expected one of adult"):
        sample_population("cat", 1, seed=1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one"):
        replay(sample_population("adult", 1, seed=1), Behaviour(), days=0, seed=1)
