"""Policies dose as they say: pens, loops, reviews and the oracle, on few people for few days."""

from dataclasses import replace as altered
from typing import Any

import pytest
import torch

from cohorts.catalogue import POLICIES, SOME_INSULIN, named
from cohorts.insulin import OnBoard, exponential
from cohorts.loops import Oref, Pid
from cohorts.oracle import Oracle, Twin
from cohorts.policies import Behaviour, Policy, Seen, Truth
from cohorts.population import LONG_ACTING_AT, Population, join, sample_population
from cohorts.replay import Replay, replay
from cohorts.scenarios import ROWS, Life, Meal, Scenario, scheduled
from cohorts.sensors import Sensor
from cohorts.titration import Titration, reviewed

CALM = Life(meal_time=0, meal_size=0, counting=0, unannounced=0, slow=0, circadian=0, daily=0, exercise=0, illness=0)
CLEAR = Sensor(noise=0, gain=0, dropout=0)


@pytest.fixture(scope="module")
def people() -> Population:
    return join([sample_population("adult", 6, seed=41), sample_population("child", 6, seed=42)])


@pytest.fixture(scope="module")
def on_pens() -> Population:
    return sample_population("adult", 6, seed=43, pens=1.0)


@pytest.fixture(scope="module")
def as_set(people: Population) -> Replay:
    return replay(people, Behaviour.as_set(), days=2, seed=44)


def share(lived: Replay, low: float, high: float) -> float:
    """Of all rows, true glucose from `low` to `high` mg/dL."""
    return float(((lived.glucose >= low) & (lived.glucose <= high)).float().mean())


def seen(row: int, reading: float, count: int, *, announced: float = 0.0) -> Seen:
    full = torch.full((count,), 1.0)
    return Seen(row, reading * full, announced * full, 0 * full, 1e4 * full)


def begun(policy: Policy, people: Population) -> Policy:
    policy.begin(people, ROWS, torch.Generator().manual_seed(1))
    return policy


def test_basal_bolus_on_pens_is_one_long_acting_dose_a_day_and_half_units_at_meals(on_pens: Population) -> None:
    lived = replay(on_pens, Behaviour.as_set(), days=2, seed=1)
    evening = torch.arange(2 * ROWS) % ROWS == LONG_ACTING_AT // 5
    assert (lived.basal == 0).all() and not lived.long_acting[:, ~evening].any()
    assert torch.equal(lived.long_acting[:, evening], (24 * on_pens.basal).round().unsqueeze(1).expand(-1, 2))
    assert torch.equal(lived.bolus * 2, (lived.bolus * 2).round())
    announced = lived.announced > lived.people.carb_ratio.unsqueeze(1) * 2
    calm = announced & (lived.glucose.roll(1, 1) > 100)  # nothing taken off for a low
    assert calm.any() and (lived.bolus[calm] > 0).float().mean() > 0.9
    assert share(lived, 70, 180) > 0.6


def test_a_dose_is_on_board_until_its_duration_and_all_of_it_acts() -> None:
    minutes = torch.arange(0.0, 400.0)
    left, activity = exponential(minutes, 75.0, 360.0)
    assert left[0] == 1 and left[360:].abs().max() < 1e-5 and (left.diff() <= 1e-6).all()
    assert int(activity.argmax()) == 75 and float(activity.sum()) == pytest.approx(1, abs=1e-3)
    assert torch.allclose(left[1:], 1 - activity.cumsum(0)[:-1], atol=5e-3)  # what has acted is no longer on board
    with pytest.raises(ValueError, match="below half the duration"):
        exponential(minutes, 180.0, 360.0)


def test_insulin_withheld_counts_against_what_is_on_board() -> None:
    board = OnBoard(2, peak=75.0, duration=360.0, ahead=12)
    for _ in range(72):
        board.deliver(torch.tensor([0.1, -0.1]))
    assert board.units[0] > 0.5 and torch.equal(board.units[0], -board.units[1])
    assert (board.activity[1:, 0] < board.activity[:-1, 0]).all()  # nothing more is given


@pytest.mark.parametrize("policy", [Pid, Oref])
def test_a_loop_doses_more_when_high_less_when_falling_and_nothing_when_low(policy: type[Policy], people: Population) -> None:
    basal, count = people.basal, len(people)

    def rate(*readings: float) -> torch.Tensor:
        loop = begun(policy(), people)
        for row, reading in enumerate(readings):
            doses = loop.decide(seen(row, reading, count))
        return doses.basal

    steady = [220.0] * 12
    assert (rate(*steady) > basal * 1.2).all() and (rate(*steady) <= 3.2 * people.daily_dose / 24).all()
    assert (rate(*steady[:-3], 200, 180, 160) < rate(*steady)).all()
    assert (rate(*[60.0] * 12) == 0).all()
    assert (rate(105, 99, 93, 87, 81) == 0).all()  # below the threshold within the half hour


@pytest.mark.parametrize("policy", [Pid, Oref])
def test_a_loop_takes_off_what_a_bolus_will_do(policy: type[Policy], people: Population) -> None:
    fed, fasted = begun(policy(), people), begun(policy(), people)
    for row in range(10):
        meal = fed.decide(seen(row, 160, len(people), announced=50.0 * (row == 0)))
        none = fasted.decide(seen(row, 160, len(people)))
    assert (meal.basal < none.basal).all()


@pytest.mark.parametrize("policy", [Pid, Oref])
def test_a_loop_spends_more_time_in_range_and_no_more_below(policy: type[Policy], people: Population, as_set: Replay) -> None:
    looped = replay(people, policy(), days=2, seed=44)
    assert torch.equal(looped.scenario.eaten, as_set.scenario.eaten)
    assert share(looped, 70, 180) > share(as_set, 70, 180) + 0.01
    assert share(looped, 0, 69.99) <= share(as_set, 0, 69.99)
    assert (looped.basal != as_set.basal).float().mean() > 0.5


@pytest.mark.parametrize("policy", [Pid, Oref])
def test_who_is_on_pens_has_no_loop(policy: type[Policy], on_pens: Population) -> None:
    looped, plain = (replay(on_pens, each, days=1, seed=2) for each in (policy(), Behaviour.as_set()))
    assert torch.equal(looped.glucose, plain.glucose) and (looped.basal == 0).all()


def test_a_loop_brings_a_weak_basal_rate_back(people: Population) -> None:
    weak = altered(people, prescribed=torch.tensor([0.7, 1.0, 1.0]).expand(len(people), 3))
    plain = replay(weak, Behaviour.as_set(), days=2, seed=3, life=CALM, sensor=CLEAR)
    pid, oref = (replay(weak, policy, days=2, seed=3, life=CALM, sensor=CLEAR) for policy in (Pid(), Oref()))
    level, of_pid, of_oref = (float(lived.glucose[:, ROWS:].mean()) for lived in (plain, pid, oref))
    assert of_pid < of_oref < level - 2 and of_pid < level - 15  # the integral finds what is missing


def test_the_oracle_bounds_what_basal_bolus_reaches(people: Population, as_set: Replay) -> None:
    few = torch.tensor([0, 1, 2, 6, 7, 8])
    best, plain = (replay(people[few], policy, days=1, seed=46) for policy in (Oracle(every=12), Behaviour.as_set()))
    assert torch.equal(best.scenario.eaten, plain.scenario.eaten)
    assert share(best, 70, 180) > share(plain, 70, 180) + 0.05 and share(best, 70, 180) > 0.95
    assert share(best, 0, 69.99) <= share(plain, 0, 69.99)
    assert (best.bolus >= 0).all() and (best.basal >= 0).all()


def test_the_oracle_doses_for_a_meal_nobody_announced() -> None:
    person = sample_population("adult", 1, seed=47)
    hidden = Life(unannounced=1.0, daily=0, exercise=0, illness=0)
    plain, best = (replay(person, policy, days=1, seed=3, life=hidden) for policy in (Behaviour.as_set(), Oracle(every=24)))
    assert not best.announced.any() and best.glucose.max() < plain.glucose.max() - 20


def test_without_foresight_the_oracle_doses_for_a_meal_as_it_is_announced_and_for_no_other() -> None:
    person = sample_population("adult", 1, seed=47)
    said, hidden = (
        replay(person, Oracle(every=24, foresight=False), days=1, seed=3, life=scheduled(1, 1, [meal]))
        for meal in (Meal(minute=610, carbs=60), Meal(minute=610, carbs=60, announced=0))
    )
    row = 610 // 5
    assert torch.equal(said.bolus[:, :row], hidden.bolus[:, :row]), "nothing that is to come is known"
    assert float(said.bolus[0, row]) > 1 and float(hidden.bolus[0, row]) == 0


def test_a_twin_knows_everybodys_body_but_not_how_sensitive_they_are_today() -> None:
    person = sample_population("adult", 1, seed=47)
    life = scheduled(1, 1, [Meal(minute=0, carbs=60)])
    usual, today = (altered(life, sensitivity=torch.full((1, ROWS), factor)) for factor in (1.0, 1.6))

    def boluses(kind: type[Oracle], life: Scenario) -> list[float]:
        policy = begun(kind(every=1, foresight=False), person)
        found = []
        for row, announced in enumerate((60.0, 0.0)):
            policy.learn(Truth(person.body, life))
            found.append(float(policy.decide(seen(row, 160, 1, announced=announced)).bolus))
        return found

    assert boluses(Twin, usual) == boluses(Twin, today)
    assert boluses(Oracle, usual)[0] > boluses(Oracle, today)[0] + 0.3
    assert boluses(Twin, usual)[0] > 1 and boluses(Twin, usual)[1] < 1, "it remembers what it gave"


def test_the_twin_of_who_makes_insulin_has_that_too() -> None:
    people = sample_population("type2", 2, seed=5)
    lived = replay(people, Twin(every=72, ahead=24), days=1, seed=3)
    assert lived.glucose.isfinite().all() and (lived.basal == 0).all()


def test_the_oracle_says_that_it_needs_the_truth(people: Population) -> None:
    for policy in (Oracle(), Twin()):
        with pytest.raises(ValueError, match="not learnt the truth"):
            begun(policy, people).decide(seen(0, 100, len(people)))


@pytest.fixture(scope="module")
def few() -> Population:
    return join([sample_population("child", 2, seed=48, mis_set=0.2), sample_population("adult", 2, seed=49, pens=1.0)])


@pytest.mark.parametrize("name", [name for name in POLICIES if name not in SOME_INSULIN])
def test_every_policy_answers_to_its_name_and_lives_a_day(name: str, few: Population) -> None:
    policy = named(name)
    assert policy.name == name
    if isinstance(policy, Oracle):
        policy.every, policy.ahead = 48, 24  # it takes its time
    one, same = (replay(few, policy, days=1, seed=5) for _ in range(2))  # a policy forgets the replay before
    assert torch.equal(one.glucose, same.glucose) and torch.equal(one.bolus, same.bolus)
    for given in (one.basal, one.bolus, one.long_acting):
        assert given.isfinite().all() and (given >= 0).all()
    assert (one.basal[few.pens] == 0).all() and (one.long_acting[~few.pens] == 0).all()
    assert torch.allclose(one.basal * 40, (one.basal * 40).round(), atol=1e-3)


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(ValueError, match="policy 'insulin': expected one of behaviour, basal-bolus"):
        named("insulin")


@pytest.mark.parametrize(
    ("policy", "name", "wrong", "expected"),
    [
        (Behaviour, "late", 1.5, "from 0 to 1"),
        (Behaviour, "notice", -0.1, "from 0 to 1"),
        (Behaviour, "explore", float("nan"), "0 or more"),
        (Behaviour, "target", 0.0, "above 0"),
        (Pid, "reset", 0.0, "above 0"),
        (Pid, "most", -1.0, "0 or more"),
        (Oref, "board", float("inf"), "0 or more"),
        (Oracle, "rates", 0, "above 0"),
    ],
)
def test_parameters_of_a_policy_out_of_range_are_named(policy: type[Any], name: str, wrong: float, expected: str) -> None:
    with pytest.raises(ValueError, match=f"{policy.name}: {name} is {wrong}, expected a finite number, {expected}"):
        policy(**{name: wrong})


def week(*, nights: float = 110, after: float = 110, corrected: float | None = None, lows: int = 0) -> tuple[torch.Tensor, ...]:
    """Readings, meals and boluses of seven days of one person, `[T, 1]` each: the level of the nights; how high four hours after
    a meal at noon; the same after a correction at 18:00; and on so many days an hour of 60 mg/dL two hours after noon.
    """
    reading, announced, bolus = (torch.full((7, ROWS), value) for value in (110.0, 0.0, 0.0))
    reading[:, :84] = nights
    announced[:, 144], bolus[:, 144] = 50.0, 5.0
    reading[:, 180:200] = after
    if corrected is not None:
        bolus[:, 216], reading[:, 210:220], reading[:, 220:275] = 2.0, 250.0, corrected
        announced[:, 144] = bolus[:, 144] = 0
    reading[:lows, 168:180] = 60.0
    return reading.reshape(-1, 1), announced.reshape(-1, 1), bolus.reshape(-1, 1)


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (week(), (1.0, 1.0, 1.0)),
        (week(nights=150.0), (1.1, 1.0, 1.0)),
        (week(nights=220.0), (1.2, 1.0, 1.0)),
        (week(nights=60.0), (0.8, 1.0, 1.0)),
        (week(after=170.0), (1.0, 1 / 1.1, 1.0)),
        (week(after=240.0), (1.0, 1 / 1.2, 1.0)),
        (week(after=170.0, nights=150.0), (1.1, 1.0, 1.0)),  # basal first
        (week(corrected=190.0), (1.0, 1.0, 1 / 1.1)),
        (week(corrected=60.0), (1.0, 1.0, 1.2)),
        (week(lows=1), (1.0, 1.0, 1.0)),
        (week(lows=2), (1.0, 1 / 0.9, 1.0)),
        (week(lows=5), (1.0, 1.2, 1.0)),
        (week(lows=2, nights=150.0), (1.1, 1 / 0.9, 1.0)),
        (week(lows=7, nights=150.0), (1.0, 1.2, 1.0)),  # 4.2 % of readings are low: nothing is made stronger
    ],
)
def test_a_review_changes_what_the_week_shows(days: tuple[torch.Tensor, ...], expected: tuple[float, ...]) -> None:
    settings = torch.tensor([[0.8, 10.0, 50.0]])
    assert torch.allclose(reviewed(settings, *days) / settings, torch.tensor(expected), atol=1e-5)


def test_lows_that_no_dose_explains_lower_basal() -> None:
    reading, announced, bolus = week()
    reading.view(7, ROWS)[:, 100:112] = 50.0
    changed = reviewed(torch.tensor([[0.8, 10.0, 50.0]]), reading, announced, bolus)
    assert torch.allclose(changed, torch.tensor([[0.72, 10.0, 50.0]]))


def test_a_review_stays_within_the_guardrails() -> None:
    tight = torch.tensor([[34.0, 2.1, 10.0]])
    changed = reviewed(tight, *week(nights=220.0))
    assert changed[0, 0] == 35.0
    assert reviewed(tight, *week(after=240.0))[0, 1] == 2.0


def test_titration_brings_basal_nearer_on_pumps_and_pens() -> None:
    people = join([sample_population("adult", 16, seed=50, pens=pens) for pens in (0.0, 1.0)])
    weak = torch.arange(32) % 2 == 0
    prescribed = torch.stack([torch.where(weak, 0.65, 1.6), torch.ones(32), torch.ones(32)], -1)
    policy = Titration(every=3)
    lived = replay(altered(people, prescribed=prescribed), policy, days=7, seed=6)  # two visits
    found, early, late = policy.person.settings[:, 0] / people.basal, slice(None, 3 * ROWS), slice(-ROWS, None)
    for pens in (False, True):
        low, high = weak & (people.pens == pens), ~weak & (people.pens == pens)
        assert float(found[low].mean()) > 0.68 and float(found[high].mean()) < 1.4
        given = lived.long_acting if pens else lived.basal
        assert float(given[high, late].mean()) < 0.95 * float(given[high, early].mean())
        below = lived.glucose[high] < 70
        assert below[:, late].float().mean() < below[:, early].float().mean()


def test_a_visit_every_no_days_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Titration(every=0)
