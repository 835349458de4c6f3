"""What a disease looks like to the planner: channels, limits and objective, as pure data.

Nothing under `world/` or `planning/` knows which therapy it serves; it reads a `Therapy`. torch is imported by what computes with
it, so that whoever only reads a declaration waits for none of it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

Role = Literal["observation", "action", "disturbance"]
Form = Literal["level", "rate", "impulse"]


@dataclass(frozen=True, kw_only=True)
class Channel:
    """One column of a `PatientSeries`.

    role: an observation is measured, an action is ours to choose, a disturbance is what the patient does.
    form: a level is sampled, a rate holds until changed, an impulse is an amount given at once.
    low, high: values outside are errors in the record, not physiology.
    center, scale: the model sees `(value - center) / scale`.
    silence: of an impulse, the minutes without one after which it was not logged rather than not given.
    direction: sign of the effect of more of this channel on the regulated observation; 0 when it has no fixed sign.
    """

    name: str
    unit: str
    role: Role
    form: Form
    low: float
    high: float
    center: float = 0.0
    scale: float = 1.0
    direction: Literal[-1, 0, 1] = 0
    silence: float = 24 * 60.0


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Where doses wait before they act: a chain of `stages` equal compartments that empties into the regulated level.

    time_constant: minutes in each stage for a typical patient; the appearance of an impulse peaks at
    `(stages - 1) * time_constant`. Channels of one pool share a unit of amount; all must share a direction.
    """

    name: str
    channels: tuple[str, ...]
    time_constant: float
    stages: int


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Hard limits on one patient's doses. They mask actions at every node of a search and are checked again on its answer.

    max_dose: the largest single impulse, in its unit. `None` closes the gate: no dose at all.
    max_on_board: impulses plus rate above baseline not yet absorbed, after the dose.
    min_spacing: minutes between impulses.
    floor: no impulse, and no rate above baseline, while the measured or predicted level is below it.
    max_rate: the largest rate.
    max_rate_ratio: the largest rate as a multiple of the patient's own baseline rate.
    """

    max_dose: float
    max_on_board: float
    min_spacing: float
    floor: float
    max_rate: float
    max_rate_ratio: float = 4.0


@dataclass(frozen=True, kw_only=True)
class LineLimits:
    """Limits on one setting of a regimen.

    lowest, highest: absolute, nobody overrides them. low, high: recommended, beyond them a typed reason is needed.
    low_ratio, high_ratio: to the original setting. per_visit: the largest change in one visit, as a share of the current value;
    against_lows: the largest to less treatment where the low-level target is broken, of the current and of the original value;
    against_danger: the same where it is broken by far. least_days: of evidence, with fewer of which it is left alone.
    """

    lowest: float
    highest: float
    low: float
    high: float
    low_ratio: float = 0.7
    high_ratio: float = 1.2
    per_visit: float = 0.2
    against_lows: float = 0.3
    against_danger: float = 0.5
    least_days: float = 7.0


@dataclass(frozen=True, kw_only=True)
class Cost:
    """A constraint on the predicted level: `rate(level)` is 1 where violated; its mean over the horizon stays within `budget`."""

    name: str
    below: float
    budget: float

    def rate(self, level: "Tensor") -> "Tensor":
        """`[...]` levels -> `[...]` 1.0 where the level is below the threshold."""
        return (level < self.below).to(level.dtype)


@dataclass(frozen=True, kw_only=True)
class Mandate:
    """What a level of planning hands the one below, for one patient.

    target: the level to aim at. budgets: by cost of the therapy, the share of time that may be spent on it.
    """

    target: float
    budgets: tuple[float, ...]

    def after(self, spent: Sequence[float]) -> "Mandate":
        """What a plan that is predicted to spend so much leaves to the level below."""
        left = (max(0.0, budget - share) for budget, share in zip(self.budgets, spent, strict=True))
        return replace(self, budgets=tuple(left))


@dataclass(frozen=True, kw_only=True)
class Hazard:
    """A risk that is told: of an observation below (-1) or above (1) a level within so many minutes."""

    name: str
    side: Literal[-1, 1]
    level: float
    within: float


@dataclass(frozen=True, kw_only=True)
class Therapy:
    """A disease, declared.

    regulated: the name of the observation under control.
    pools: the absorption of every channel with a direction.
    daily: the usual amount a day of all lowering (-1) and all raising (+1) channels; the lowering one is replaced by the
        patient's own, so that doses are compared as fractions of a day's treatment.
    gain: how far a whole day's usual amount moves the level, by direction, in the level's unit: a prior, refined by training.
    risk: level `[...]` -> risk `[...]`, 0 at the best level, larger is worse; the reward is its negative. best: that level.
    slowest: minutes between readings of the slowest way to measure: rarer readings count as readings that are missing.
    """

    name: str
    channels: tuple[Channel, ...]
    regulated: str
    pools: tuple[Pool, ...]
    daily: tuple[float, float]
    gain: tuple[float, float]
    risk: "Callable[[Tensor], Tensor]"
    best: float
    costs: tuple[Cost, ...]
    step: float  # minutes between rows of a series
    hazards: tuple[Hazard, ...] = ()
    slowest: float = math.inf

    def __post_init__(self) -> None:
        names = self.names
        if len(set(names)) != len(names):
            raise ValueError(f"{self.name}: channel names repeat: {names}")
        if self.regulated not in names:
            raise ValueError(f"{self.name}: regulated channel {self.regulated!r} is not one of {names}")

        pooled = sorted(name for pool in self.pools for name in pool.channels)
        if pooled != sorted(channel.name for channel in self.channels if channel.direction):
            raise ValueError(f"{self.name}: every channel with a direction belongs to one pool, and no other: {pooled}")
        for pool in self.pools:
            if len({self.channel(name).direction for name in pool.channels}) != 1:
                raise ValueError(f"{self.name}: the channels of pool {pool.name!r} act in different directions")

    @property
    def mandate(self) -> Mandate:
        """What holds where nothing is handed down."""
        return Mandate(target=self.best, budgets=tuple(cost.budget for cost in self.costs))

    def aimed(self, mandates: Sequence[Mandate]) -> "Therapy":
        """This therapy with the least risk at each patient's target: its risk then takes levels `[B, ...]`."""
        import torch

        scale = torch.tensor([self.best / mandate.target for mandate in mandates])

        def risk(level: "Tensor") -> "Tensor":
            return self.risk(level * scale.to(level).reshape(-1, *(1,) * (level.ndim - 1)))

        return replace(self, risk=risk)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(channel.name for channel in self.channels)

    def index(self, name: str) -> int:
        """The column of a channel; `KeyError` when there is none."""
        try:
            return self.names.index(name)
        except ValueError:
            raise KeyError(f"{self.name} has no channel {name!r}; it has {self.names}") from None

    def channel(self, name: str) -> Channel:
        return self.channels[self.index(name)]

    def hazard(self, name: str) -> Hazard:
        """The hazard of a name; `KeyError` when there is none."""
        found = {hazard.name: hazard for hazard in self.hazards}
        if name not in found:
            raise KeyError(f"{self.name} has no hazard {name!r}; it has {tuple(found)}")
        return found[name]

    def of(self, role: Role) -> tuple[Channel, ...]:
        return tuple(channel for channel in self.channels if channel.role == role)

    def center(self) -> "Tensor":
        """`[C]`"""
        import torch

        return torch.tensor([channel.center for channel in self.channels])

    def scale(self) -> "Tensor":
        """`[C]`"""
        import torch

        return torch.tensor([channel.scale for channel in self.channels])
