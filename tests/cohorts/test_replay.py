"""Replays are seeded, branches exact, and what they record is what happened."""

from dataclasses import replace as altered

import numpy as np
import pandas as pd
import pytest
import torch

from careplan.records import PatientRecord, to_series
from careplan.therapies.glucose.declaration import GLUCOSE
from cohorts.policies import Behaviour
from cohorts.population import join, sample_population
from cohorts.replay import KEEP, Change, Replay, branch, replay
from cohorts.scenarios import ROWS, Life, draw_life
from cohorts.sensors import HIGH, LOW, Sensor

CALM, CLEAR = Life.none(), Sensor.none()


@pytest.fixture(scope="module")
def lived() -> Replay:
    people = join([sample_population("adult", 4, seed=1, mis_set=0.2), sample_population("child", 3, seed=2, pens=1.0)])
    start = pd.Timestamp("2026-03-02", tz="Europe/Madrid")
    return replay(people, Behaviour(explore=0.3), days=3, seed=5, start=start, life=Life(exercise=1.0, slow=0.5, illness=0.2))


@pytest.fixture(scope="module")
def calm() -> Replay:
    return replay(sample_population("adult", 8, seed=4), Behaviour.as_set(), days=1, seed=1, life=CALM, sensor=CLEAR)


def with_life(calm: Replay, **life: float) -> Replay:
    return replay(calm.people, Behaviour.as_set(), days=1, seed=1, life=altered(CALM, **life), sensor=CLEAR)


def test_the_same_seed_gives_the_same_life(lived: Replay) -> None:
    life = Life(exercise=1.0, slow=0.5, illness=0.2)
    one, again = (replay(lived.people, Behaviour(explore=0.3), days=1, seed=5, life=life) for _ in range(2))
    other = draw_life(lived.people, 1, life, torch.Generator().manual_seed(6))
    for name in ("glucose", "bolus", "basal", "long_acting", "eaten", "announced"):
        assert torch.equal(getattr(one, name), getattr(again, name)), name
    assert torch.equal(one.reading.nan_to_num(), again.reading.nan_to_num())
    assert not torch.equal(one.scenario.eaten, other.eaten)


def test_a_branch_without_a_change_is_what_happened_to_the_bit(lived: Replay) -> None:
    person = torch.arange(7).repeat_interleave(80)
    row = KEEP * torch.arange(80).repeat(7)
    levels, values = branch(lived, person, row, 72, Change.none(560))
    for step in (5, 35, 71):
        given = values[:, step, GLUCOSE.index("bolus")]
        assert torch.equal(given, lived.bolus[person, row + step])
    kept = lived.bodies.amounts[person, row // KEEP + 12, 12]  # the state kept 72 rows later
    assert torch.equal(levels[:, -1], kept / lived.people.physiology.Vg[person])
    for tensor in (levels, values, lived.glucose, lived.bodies.amounts):
        assert not tensor.is_inference()  # what is trained on may be saved for the backward pass


def test_branches_differ_as_treatment_does(lived: Replay) -> None:
    count = len(lived.people)
    basal, bolus, meals, extra = torch.ones(4, 5, count).unbind()  # five futures of everyone
    extra = 0 * extra
    extra[1], basal[2], bolus[3], meals[4] = 2.0, 0.5, 0.0, 0.0
    change = Change(basal.flatten(), bolus.flatten(), meals.flatten(), extra.flatten())
    futures = branch(lived, torch.arange(count).repeat(5), torch.full((5 * count,), 60), 288, change)[0]
    factual, more, less, none, hungry = futures.unflatten(0, (5, count))
    assert (more <= factual + 0.05).all() and (more.amin(1) < factual.amin(1)).all()
    assert (less >= factual - 0.05).all() and (less[:, -1] > factual[:, -1] + 3).all()  # pens too: their evening dose is halved
    assert (none >= factual - 0.05).all() and (none.amax(1) > factual.amax(1)).all()
    assert (hungry.mean(1) < factual.mean(1)).all()


def test_bad_branches_are_refused(lived: Replay) -> None:
    with pytest.raises(ValueError, match="multiples of 6"):
        branch(lived, torch.tensor([0]), torch.tensor([7]), 12, Change.none(1))
    with pytest.raises(ValueError, match="end within the replay's 864"):
        branch(lived, torch.tensor([0]), torch.tensor([858]), 12, Change.none(1))
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="extra"):
            altered(Change.none(1), extra=torch.tensor([wrong]))
    for person in (7, -1):
        with pytest.raises(ValueError, match=f"persons {person} to {person}: expected from 0 to 6"):
            branch(lived, torch.tensor([person]), torch.tensor([6]), 12, Change.none(1))
    with pytest.raises(ValueError, match=r"basal of shape \(2,\), expected \(1,\)"):
        branch(lived, torch.tensor([0]), torch.tensor([6]), 12, Change.none(2))


@pytest.mark.parametrize(("index", "channel"), [(2, "basal"), (5, "long_acting")])
def test_the_events_of_a_person_make_the_same_series(lived: Replay, index: int, channel: str) -> None:
    series, events = lived.series(index), lived.events(index)
    assert series.zone == "Europe/Madrid" and series.minute_of_day()[0] == 0
    pens = channel == "long_acting"
    assert series.mask[:, GLUCOSE.index("long_acting")].all() == pens
    assert series.mask[:, GLUCOSE.index("basal")].all() != pens
    assert events["time"].is_monotonic_increasing and not events[["time", "value", "duration"]].isna().any(axis=None)
    record = PatientRecord(patient=series.patient, zone=series.zone, events=events, rows_read=1)
    again = to_series(record, GLUCOSE)
    assert again.start == series.start
    rows = min(len(series), len(again))
    for name in ("glucose", "bolus", "carbs", channel):
        column = GLUCOSE.index(name)
        known = again.mask[:rows, column] & series.mask[:rows, column]
        assert known.mean() > (0.3 if name == "long_acting" else 0.8)
        assert np.allclose(again.values[:rows, column][known], series.values[:rows, column][known], atol=0.01), name
        assert np.isclose(again.values[:, column].sum(), series.values[:, column].sum(), rtol=1e-3)


def test_readings_beyond_the_ends_of_the_sensor_are_flagged() -> None:
    people = altered(sample_population("child", 4, seed=8), prescribed=torch.full((4, 3), 0.5) * torch.tensor([1.0, 8.0, 8.0]))
    starved = replay(people, Behaviour(), days=1, seed=1)
    events = pd.concat([starved.events(index) for index in range(4)])
    high = events[(events["channel"] == "glucose") & (events["flag"] == "high")]
    assert len(high) and (high["value"] == HIGH).all()
    readings = events.loc[(events["channel"] == "glucose") & (events["flag"] == ""), "value"]
    assert readings.between(LOW, HIGH, inclusive="neither").all()


@pytest.mark.parametrize(
    ("life", "name"),
    [
        ({"slow": 0.5}, "pace"),
        ({"circadian": 1.0}, "sensitivity"),
        ({"daily": 0.2}, "sensitivity"),
        ({"exercise": 1.0}, "uptake"),
        ({"illness": 0.5}, "ill"),
    ],
)
def test_each_source_is_on_record(calm: Replay, life: dict[str, float], name: str) -> None:
    on = with_life(calm, **life)
    assert not torch.equal(getattr(on.scenario, name), getattr(calm.scenario, name))
    assert (on.glucose - calm.glucose).abs().max() > 3


def test_exercise_lowers_glucose_and_illness_raises_it(calm: Replay) -> None:
    assert with_life(calm, exercise=1.0).glucose.mean() < calm.glucose.mean() < with_life(calm, illness=1.0).glucose.mean()


def test_sensor_error_has_the_correlation_and_gaps_it_states() -> None:
    sensor = Sensor(noise=8.0, dropout=1.0, gap=12)
    worn = sensor.draw(200, 4 * ROWS, torch.Generator().manual_seed(1))
    gain, error, shown = worn.gain, worn.error, worn.shown
    centred = error - error.mean()
    assert float(error.std()) == pytest.approx(8.0, rel=0.05)
    assert float((centred[:, 3:] * centred[:, :-3]).mean() / centred.var()) == pytest.approx(0.7, abs=0.03)
    assert float(gain.std()) == pytest.approx(sensor.gain, rel=0.2) and (gain[:, 0] == gain[:, -1]).all()
    assert float(1 - shown.float().mean()) == pytest.approx(6.5 / 288, rel=0.15)  # one gap a day of 6.5 rows on average


def test_people_on_pens_dose_once_a_day_in_half_units(lived: Replay) -> None:
    pens = lived.people.pens
    assert (lived.basal[pens] == 0).all() and (lived.long_acting[~pens] == 0).all()
    given = lived.long_acting[pens] > 0
    assert (given.sum(1) >= 1).all() and not given[:, torch.arange(3 * ROWS) % ROWS != 264].any()
    assert torch.equal(lived.bolus[pens] * 2, (lived.bolus[pens] * 2).round())


def test_a_late_bolus_comes_for_all_that_was_eaten() -> None:
    people = sample_population("adult", 6, seed=3)
    late = Behaviour(late=1.0, missed=0, notice=0, size=0, rescue=0)
    lived = replay(people, late, days=1, seed=2, life=CALM, sensor=CLEAR)
    meals, boluses = lived.announced > 0, lived.bolus > 0
    assert (lived.bolus[meals] == 0).all() and (boluses.sum(1) > 0).all()
    assert not boluses[:, torch.arange(ROWS) % 6 != 0].any()


def test_the_wrong_start_of_a_replay_is_refused() -> None:
    people = sample_population("adult", 1, seed=1)
    for start in (pd.Timestamp("2026-01-05"), pd.Timestamp("2026-01-05 08:00", tz="UTC")):
        with pytest.raises(ValueError, match="expected midnight"):
            replay(people, Behaviour(), days=1, seed=1, start=start)
    with pytest.raises(ValueError, match="at least one"):
        replay(people, Behaviour(), days=0, seed=1)


def test_people_whom_the_step_cannot_follow_are_not_begun() -> None:
    people = sample_population("adult", 1, seed=1)
    fast = altered(people, physiology=altered(people.physiology, kabs=torch.tensor([2.0])))
    with pytest.raises(ValueError, match=r"kabs of person 0 is 2\.0, expected at most 1\.1 a minute"):
        replay(fast, Behaviour(), days=1, seed=1)
