"""Occasions: decisions to dose, in episodes of people, as off-policy evaluation takes them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Index = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Occasions:
    """N decisions of E episodes; those of an episode stand together, in the order of time.

    episode `[N]`: which episode a decision belongs to. person `[E]`: whose an episode is. state `[N, F]`: what was known as the
    decision was taken. terms `[N, K]`: of the state, what a person adds up to a dose, each times a factor of their own.
    dose `[N]`: the natural logarithm of the dose. reward `[N]`: from the decision until the next of the episode or its end.
    before `[E]`: the reward of an episode before its first decision. An episode's value is their sum.
    """

    episode: Index
    person: Index
    state: Values
    terms: Values
    dose: Values
    reward: Values
    before: Values

    def __post_init__(self) -> None:
        decisions, episodes = len(self.episode), len(self.person)
        for name, each in (("state", self.state), ("terms", self.terms), ("dose", self.dose), ("reward", self.reward)):
            if len(each) != decisions:
                raise ValueError(f"occasions: {len(each)} rows of {name}, expected {decisions} decisions")
        if self.before.shape != (episodes,) or (decisions and not 0 <= self.episode.min() <= self.episode.max() < episodes):
            raise ValueError(f"occasions: {episodes} episodes, but before {self.before.shape} or an episode beyond them")
        if (np.diff(self.episode) < 0).any():
            raise ValueError("occasions: the decisions of an episode do not stand together in order")
        for name in ("state", "terms", "dose", "reward", "before"):
            if not np.isfinite(getattr(self, name)).all():
                raise ValueError(f"occasions: {name} holds a number that is not finite")

    @property
    def value(self) -> Values:
        """`[E]` what each episode came to."""
        return self.before + np.bincount(self.episode, self.reward, len(self.person))

    @property
    def last(self) -> NDArray[np.bool_]:
        """`[N]` whether a decision is the last of its episode."""
        return np.append(self.episode[1:] != self.episode[:-1], True)[: len(self.episode)]

    @property
    def first(self) -> NDArray[np.bool_]:
        """`[N]` whether a decision is the first of its episode."""
        return np.append(True, self.episode[1:] != self.episode[:-1])[: len(self.episode)]

    @property
    def place(self) -> Index:
        """`[N]` how many decisions of the episode came before."""
        index = np.arange(len(self.episode))
        return index - np.maximum.accumulate(np.where(self.first, index, 0))
