"""The replay as a `gymnasium.vector` environment: one sub-environment a person, five minutes a step. Needs `careplan[gym]`."""

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from torch import Tensor

from careplan.therapies.glucose.declaration import risk
from cohorts.policies import Behaviour, Doses, Policy
from cohorts.population import Population
from cohorts.replay import Living
from cohorts.scenarios import ROWS, Life, Scenario
from cohorts.sensors import HIGH, LOW, Sensor

Array = NDArray[Any]
MOST_BASAL, MOST_BOLUS = 10.0, 30.0  # U/h, and U at once: no pump gives more


class ReplayEnv(VectorEnv[Array, Array, Array]):
    """`len(people)` virtual people who live `days` days side by side, from midnight.

    Observation `[B, 5]` float32, what a person or a pump knows: last reading mg/dL, g of carbohydrate announced now, U of boluses
    on board, minutes since the last bolus, minutes since midnight. Action `[B, 2]`: basal U/h for the next five minutes and bolus
    U now; people on pens have no basal rate, so theirs is 0. Everything else people do is decided by `habits`: their long-acting
    insulin and what they eat when low.

    Reward `[B]`: minus the blood-glucose risk of the true glucose at the end of the step (Kovatchev 1997; 0 at 112.5 mg/dL). An
    episode is never terminated; it is truncated after `days` days, for everyone at once. Autoreset is `NEXT_STEP`: the step after
    ignores its actions, begins another episode of the same people and gives no reward.

    `reset(seed=s)` begins the very life of `replay(people, habits, days=days, seed=s, ...)`; later episodes draw their seeds
    from it. Infos: the truth, `[B]` each (glucose mg/dL, delivered U, eaten g; absent on a reset), and "habitual" `[B, 2]`, what
    `habits` would do next: stepping with that is the replay, to the bit.
    """

    def __init__(
        self,
        people: Population,
        *,
        days: int,
        habits: Policy | None = None,
        life: Life | Scenario | None = None,
        sensor: Sensor | None = None,
    ) -> None:
        self.people, self.days, self.habits, self.life, self.sensor = people, days, habits or Behaviour(), life, sensor
        self.num_envs = len(people)
        self.metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}
        self.render_mode = None
        most = np.array([HIGH, np.inf, np.inf, np.inf, 1435], np.float32)
        self.single_observation_space = Box(np.array([LOW, 0, 0, 0, 0], np.float32), most, dtype=np.float32)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.single_action_space = Box(0.0, np.array([MOST_BASAL, MOST_BOLUS], np.float32), dtype=np.float32)
        highest = np.tile(self.single_action_space.high, (self.num_envs, 1))
        highest[people.pens.numpy(), 0] = 0.0
        self.action_space = self._possible = Box(0.0, highest, dtype=np.float32)
        self._living: Living | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """The first observation `[B, 5]`. seed: one for everyone; options: none are known. Raises `ValueError` where the seed is
        not one whole number or options are given.
        """
        if not (seed is None or isinstance(seed, int | np.integer)) or options:
            raise ValueError(f"seed {seed!r}, options {options!r}: expected one whole number or None, and no options")
        super().reset(seed=seed)
        begins = int(self.np_random.integers(2**31) if seed is None else seed)
        self._living = Living(self.people, self.habits, days=self.days, seed=begins, life=self.life, sensor=self.sensor)
        return self._observed(self._living), self._infos()

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """Five minutes under `actions` `[B, 2]`: observation `[B, 5]`, reward, terminated, truncated `[B]` each, infos. Raises
        `gymnasium.error.ResetNeeded` before the first `reset`.
        """
        living = self._living
        if living is None:
            raise gymnasium.error.ResetNeeded("step before reset")
        never = np.zeros(self.num_envs, bool)
        if living.row == living.rows:
            observed, infos = self.reset()
            return observed, np.zeros(self.num_envs, np.float32), never, never.copy(), infos
        given = self._checked(actions)
        with torch.inference_mode():
            lived = living.live(Doses(given[:, 0], given[:, 1], self._next.long_acting, self._next.rescue))
        truth = {"glucose": lived.glucose, "delivered": lived.delivered, "eaten": lived.eaten}
        ended = np.full(self.num_envs, living.row == living.rows)
        return self._observed(living), (-risk(lived.glucose)).numpy(), never, ended, self._infos(**truth)

    def _observed(self, living: Living) -> Array:
        seen, none = living.seen(), torch.zeros(self.num_envs)
        with torch.inference_mode():
            self._next = living.decide() if living.row < living.rows else Doses(none, none, none, none)
        minute = torch.full((self.num_envs,), 5.0 * (seen.row % ROWS))
        columns = [seen.reading, seen.announced, seen.on_board, seen.since_bolus, minute]
        return torch.stack(columns, 1).numpy()

    def _infos(self, **truth: Tensor) -> dict[str, Any]:
        everyone = np.ones(self.num_envs, bool)
        habitual = torch.stack([self._next.basal, self._next.bolus], 1)
        infos = {name: value.numpy() for name, value in {**truth, "habitual": habitual}.items()}
        return infos | {f"_{name}": everyone for name in infos}  # gymnasium's masks of whose infos are there

    def _checked(self, actions: Array) -> Tensor:
        given = np.asarray(actions, np.float32)
        possible = self._possible
        if given.shape != possible.shape:
            raise ValueError(f"actions of shape {given.shape}, expected {possible.shape}: basal U/h and bolus U a person")
        wrong = np.argwhere(~((given >= possible.low) & (given <= possible.high)))
        if len(wrong):
            person, place = wrong[0]
            name, most = ("basal", "bolus")[place], possible.high[person, place]
            raise ValueError(f"{name} of {self.people.names[person]} is {given[person, place]}, expected from 0 to {most:g}")
        return torch.tensor(given)
