"""The environment keeps gymnasium's rules, and is the replay."""

from dataclasses import replace as altered

import numpy as np
import pytest
import torch
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers.vector import RecordEpisodeStatistics

from careplan.therapies.glucose.declaration import risk
from cohorts.gym import ReplayEnv
from cohorts.policies import Behaviour, Doses, Seen
from cohorts.population import Population, join, sample_population
from cohorts.replay import replay
from cohorts.scenarios import ROWS, Life
from cohorts.sensors import Sensor


@pytest.fixture(scope="module")
def people() -> Population:
    return join([sample_population("adult", 3, seed=4), sample_population("child", 2, seed=5, pens=1.0)])


class Proportional:
    """A policy that knows no more than an observation says."""

    name = "proportional"

    def begin(self, people: Population, rows: int, generator: torch.Generator) -> None:
        self.people = people

    def decide(self, seen: Seen) -> Doses:
        none, settings = torch.zeros_like(seen.reading), self.people.settings
        high = (seen.reading - 150).clamp(min=0) * (seen.since_bolus > 120)
        bolus = (seen.announced / settings[:, 1] + high / settings[:, 2] - seen.on_board / 4).clamp(0, 20)
        return Doses(torch.where(self.people.pens | (seen.row % 12 == 0), none, settings[:, 0]), bolus, none, none)


def test_the_spaces_hold_what_they_should_and_an_episode_ends_in_time(people: Population) -> None:
    env = ReplayEnv(people, days=1, life=Life.full(), sensor=Sensor.dexcom())
    assert env.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    assert env.single_observation_space.shape == (5,) and env.single_action_space.shape == (2,)
    env.action_space.seed(3)
    observed, infos = env.reset(seed=7)
    assert observed in env.observation_space and infos["habitual"].shape == (5, 2)
    for row in range(1, ROWS + 1):
        observed, reward, terminated, truncated, infos = env.step(env.action_space.sample() * [0.1, 0.001])
        assert observed in env.observation_space and observed.dtype == np.float32
        assert reward.shape == (5,) and reward.dtype == np.float32 and (reward <= 0).all()
        assert reward == pytest.approx(-risk(torch.from_numpy(infos["glucose"])).numpy())
        assert not terminated.any() and truncated.all() == truncated.any() == (row == ROWS)
        assert (observed[:, 4] == 5 * row % 1440).all()
    begun, reward, terminated, truncated, infos = env.step(np.full((5, 2), np.nan))  # actions of this step are ignored
    assert begun in env.observation_space and not reward.any() and not terminated.any() and not truncated.any()
    assert (begun[:, 4] == 0).all() and "glucose" not in infos
    assert env.step(np.zeros((5, 2)))[0][0, 4] == 5


@pytest.mark.parametrize("habits", [Behaviour(explore=0.3), Proportional()])
def test_what_habits_would_do_is_the_replay_to_the_bit(people: Population, habits: Behaviour | Proportional) -> None:
    kinds = {"life": Life.full(), "sensor": Sensor.libre()}
    lived = replay(people, habits, days=1, seed=11, **kinds)  # type: ignore[arg-type]
    env = ReplayEnv(people, days=1, habits=habits, life=Life.full(), sensor=Sensor.libre())
    _, infos = env.reset(seed=11)
    course = []
    for _ in range(ROWS):
        *_, infos = env.step(infos["habitual"])
        course.append(infos)
    for name in ("glucose", "delivered", "eaten"):
        stacked = np.stack([row[name] for row in course], 1)
        assert np.array_equal(stacked, getattr(lived, name).numpy()), name


def test_a_policy_that_reads_observations_is_the_replay_to_the_bit(people: Population) -> None:
    lived = replay(people, Proportional(), days=1, seed=5)
    agent, env = Proportional(), ReplayEnv(people, days=1, habits=Proportional())
    agent.begin(people, ROWS, torch.Generator())
    observed, _ = env.reset(seed=5)
    course = []
    for row in range(ROWS):
        reading, announced, on_board, since, _ = torch.from_numpy(observed).unbind(1)
        doses = agent.decide(Seen(row, reading, announced, on_board, since))
        observed, *_, infos = env.step(torch.stack([doses.basal, doses.bolus], 1).numpy())
        course.append(infos["glucose"])
    assert np.array_equal(np.stack(course, 1), lived.glucose.numpy())


def test_seeds_reproduce_episodes_and_the_ones_after(people: Population) -> None:
    def episodes(env: ReplayEnv, seed: int) -> list[np.ndarray]:
        course, infos = [], env.reset(seed=seed)[1]
        for _ in range(ROWS + 20):
            observed, *_, infos = env.step(infos["habitual"])
            course.append(observed)
        return course

    pumps, calm = people[torch.arange(2)], Life.none()
    one, same, other = (episodes(ReplayEnv(pumps, days=1, life=calm), seed) for seed in (3, 3, 4))
    assert all(np.array_equal(mine, theirs) for mine, theirs in zip(one, same, strict=True))
    assert not np.array_equal(one[9], other[9])
    assert not np.array_equal(one[9], one[ROWS + 10])  # another episode
    env = ReplayEnv(pumps, days=1)
    first, _ = env.reset(seed=1)
    again, _ = env.reset()
    assert np.array_equal(first[:, 0], again[:, 0])  # the same people, at rest


def test_more_insulin_lowers_glucose_and_a_wrapper_of_gymnasium_runs(people: Population) -> None:
    returns = []
    for factor in (0.0, 1.0):
        env = RecordEpisodeStatistics(ReplayEnv(people[torch.arange(3)], days=1, life=Life.none()))
        infos = env.reset(seed=1)[1]
        for _ in range(ROWS):
            *_, infos = env.step(infos["habitual"] * np.float32(factor))
        assert (infos["episode"]["l"] == ROWS).all()
        returns.append(infos["episode"]["r"])
    assert (returns[0] < returns[1]).all()


def test_actions_that_cannot_be_are_refused(people: Population) -> None:
    env = ReplayEnv(people, days=1)
    with pytest.raises(ResetNeeded):
        env.step(np.zeros((5, 2)))
    env.reset(seed=1)
    for place, wrong in ((1, np.nan), (1, -0.1), (1, 31.0), (0, np.inf), (0, -1.0)):
        actions = np.zeros((5, 2))
        actions[2, place] = wrong
        with pytest.raises(ValueError, match=f"{('basal', 'bolus')[place]} of adult-4-003 is .*expected from 0 to"):
            env.step(actions)
    with pytest.raises(ValueError, match=r"basal of child-5-001 is 0\.5, expected from 0 to 0"):
        env.step(np.array([[0.5, 0.0]] * 5))
    with pytest.raises(ValueError, match=r"shape \(5,\), expected \(5, 2\)"):
        env.step(np.zeros(5))
    with pytest.raises(ValueError, match="expected one whole number"):
        env.reset(seed=[1, 2, 3, 4, 5])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one"):
        ReplayEnv(people, days=0).reset()
    observed, *_ = env.step(np.zeros((5, 2)))  # what was refused has not been lived
    assert (observed[:, 4] == 5).all()


def test_late_boluses_wait_for_their_time(people: Population) -> None:
    """Habits are asked once a step: what they postpone is not postponed twice."""
    late = altered(Behaviour(), late=1.0, missed=0.0, notice=0.0)
    env = ReplayEnv(people, days=1, habits=late, life=Life.none())
    infos = env.reset(seed=2)[1]
    given = []
    for _ in range(ROWS):
        given.append(infos["habitual"][:, 1])
        *_, infos = env.step(infos["habitual"])
    assert (np.stack(given)[np.arange(ROWS) % 6 != 0] == 0).all() and np.stack(given).any()
