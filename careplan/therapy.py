"""What a disease looks like to the planner: channels, effects, limits and objective, as pure data.

Nothing under `world/` or `planning/` knows which therapy it serves; it reads a `Therapy`. Every word that it reads is here,
in `careplan.clock` (how time is divided), `careplan.gate` (what must hold before anything is suggested), `careplan.effects`
(what treatment does), `careplan.covariates` (what a patient is known by) or `careplan.rules` (what a plan may do and must keep).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from careplan.clock import Clock
from careplan.covariates import Covariate, Fact
from careplan.effects import Effect, Output
from careplan.gate import Gate, Watch
from careplan.rules import Action, End, Measure, Rule, Side

if TYPE_CHECKING:
    from torch import Tensor

Role = Literal["observation", "action", "disturbance"]
Form = Literal["level", "rate", "impulse", "choice"]
Link = Literal["identity", "log", "logit"]


@dataclass(frozen=True, kw_only=True)
class Channel:
    """One column of a `PatientSeries`.

    role: an observation is measured, an action is ours to choose, a disturbance is what the patient does.
    form: a level is sampled, a rate holds until changed, an impulse is an amount given at once, a choice is on (1) or off (0), or
    one of several numbered ones, for as long as a row lasts.
    low, high: values outside are errors in the record, not physiology.
    link: of a level, the scale on which it is additive and its errors are alike: as it is, its logarithm (a level that is
    positive), or its log odds between `low` and `high`.
    center, scale: the model sees `(link(value) - link(center)) / scale`: center is in the channel's unit, scale in its link's.
    noise: of an observation, the standard deviation of one measurement in its link (with the log: a relative error). The state
    is then what all readings say of it, each by its noise. None: the last reading is the level, as with a sensor.
    per: of a rate, the minutes that its unit counts in (60 of a unit an hour).
    silence: of an impulse, the minutes without one after which it was not logged rather than not given; of what stands, the
    minutes that it holds without another. Two steps at least.
    charted: whether all of it is logged, as on a ward's chart, until the record ends: a rate or a choice stands until the next,
    and an impulse not logged was not given. Else rates are samples, and a choice is for its row. None: rates are charted.
    direction: sign of the effect of more of this channel on the first regulated observation; 0 when it has no fixed sign.
    """

    name: str
    unit: str
    role: Role
    form: Form
    low: float
    high: float
    center: float = 0.0
    scale: float = 1.0
    link: Link = "identity"
    noise: float | None = None
    direction: Literal[-1, 0, 1] = 0
    per: float = 60.0
    silence: float = 24 * 60.0
    charted: bool | None = None

    def linked(self, values: "Tensor") -> "Tensor":
        """Values `[...]` in the channel's unit -> in its link."""
        import torch

        if self.link == "log":
            return values.clamp(min=max(self.low, 1e-9)).log()
        if self.link == "logit":
            share = (values - self.low) / (self.high - self.low)
            return torch.logit(share, eps=1e-6)
        return values

    def unlinked(self, linked: "Tensor") -> "Tensor":
        """The inverse of `linked`; what it gives is positive under the log, and within `low` and `high` under the logit."""
        import torch

        if self.link == "log":
            return linked.exp()
        if self.link == "logit":
            return self.low + (self.high - self.low) * torch.sigmoid(linked)
        return linked

    @property
    def middle(self) -> float:
        """`center` in the link."""
        if self.link == "identity":
            return self.center
        import torch

        return float(self.linked(torch.tensor(self.center, dtype=torch.float64)))


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Where doses wait before they act: a chain of `stages` equal compartments.

    time_constant: minutes in each stage for a typical patient, more than half of `Clock.interval`; the appearance of an impulse
    peaks at `(stages - 1) * time_constant`. Without a stage a dose acts as it is given, whatever the time constant. Channels of
    one pool share a unit of amount; all must share a direction.
    holds: whether the last stage holds a concentration, which acts for as long as it is there and leaves by elimination, instead
    of emptying into what it acts on (as a meal into the blood). Its time constant is then the drug's (half-life / ln 2).
    """

    name: str
    channels: tuple[str, ...]
    time_constant: float
    stages: int
    holds: bool = False


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Hard limits on one patient's doses. They mask actions at every node of a search and are checked again on its answer.

    max_dose: the largest single impulse, in its unit. `None`: no dose at all may be planned.
    max_on_board: impulses plus rate above baseline not yet absorbed, after the dose.
    min_spacing: minutes between impulses.
    floor: no impulse, and no rate above baseline, while the measured or predicted level is below it.
    max_rate: the largest rate.
    max_rate_ratio: the largest rate as a multiple of the patient's own baseline rate.
    rules: what else is kept: ceilings, floors on giving less, caps on what accumulates, lock-out, rules between drugs.
    """

    max_dose: float
    max_on_board: float
    min_spacing: float
    floor: float
    max_rate: float
    max_rate_ratio: float = 4.0
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LineLimits:
    """Limits on one setting of a regimen.

    lowest, highest: absolute, nobody overrides them. low, high: recommended, beyond them a typed reason is needed.
    low_ratio, high_ratio: to the original setting. per_visit: the largest change in one visit, as a share of the current value;
    against_harm: the largest to less treatment where the target on the side that harms is broken, of the current and of the
    original value; against_danger: the same where it is broken by far. least_days: of evidence, with fewer of which it is left
    alone.
    """

    lowest: float
    highest: float
    low: float
    high: float
    low_ratio: float
    high_ratio: float
    per_visit: float
    against_harm: float
    against_danger: float
    least_days: float


@dataclass(frozen=True, kw_only=True)
class Cost:
    """A constraint on a predicted observation: the mean of `rate(level)` over the horizon stays within `budget`.

    below, above: `rate` is 1 where the level is below the one or above the other: outside a band where both are set.
    on: the observation; the first regulated one where empty. of: a `share` of time, or the `sum` of how far the level is beyond,
    in its unit, over the course.
    """

    name: str
    budget: float
    below: float = -math.inf
    above: float = math.inf
    on: str = ""
    of: Literal["share", "sum"] = "share"

    def rate(self, level: "Tensor") -> "Tensor":
        """`[...]` levels -> `[...]` what each spends: 1.0 beyond a threshold; of a sum, how far beyond."""
        if self.of == "sum":
            return (self.below - level).clamp(min=0.0) + (level - self.above).clamp(min=0.0)
        if self.above == math.inf:
            return (level < self.below).to(level.dtype)
        return ((level < self.below) | (level > self.above)).to(level.dtype)


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
    side: Side
    level: float
    within: float


@dataclass(frozen=True, kw_only=True)
class Therapy:
    """A disease, declared.

    outputs: the observations under control, the first of which targets, hazards and the clinic's pages speak of.
    pools: where doses wait; effects: what they do. Every channel with a direction belongs to one pool, every pool to an effect.
    covariates: what a patient is known by before anything was measured.
    before: what was given before a recording begins: the usual amounts (of people long treated), or nothing (a first course).
    actions: what a plan chooses from; none where plans scale a regimen instead. combined: whether one decision may move several
    of them at once. measure: when to look next, where that is a choice. ends: ends that absorb.
    gate: what must hold before anything is suggested. watch: how a recording is watched for breaks; None where it is not.
    slowest: minutes between readings of the slowest way to measure: rarer readings count as readings that are missing.
    sampled: of readings with a noise, whether what is known of a patient's code is a weighed sample of the posterior, and not the
    Gaussian at its mode: where plans follow the first few readings, which leave it far from one.
    """

    name: str
    channels: tuple[Channel, ...]
    outputs: tuple[Output, ...]
    pools: tuple[Pool, ...]
    effects: tuple[Effect, ...]
    costs: tuple[Cost, ...]
    clock: Clock
    gate: Gate
    covariates: tuple[Covariate, ...] = ()
    before: Literal["usual", "nothing"] = "usual"
    actions: tuple[Action, ...] = ()
    combined: bool = False
    measure: Measure | None = None
    ends: tuple[End, ...] = ()
    watch: Watch | None = None
    hazards: tuple[Hazard, ...] = ()
    slowest: float = math.inf
    sampled: bool = False

    def __post_init__(self) -> None:
        names = self.names
        if len(set(names)) != len(names):
            raise ValueError(f"{self.name}: channel names repeat: {names}")
        if not self.outputs:
            raise ValueError(f"{self.name}: no observation is under control")
        for output in self.outputs:
            if output.name not in names or self.channel(output.name).role != "observation":
                raise ValueError(f"{self.name}: regulated channel {output.name!r} is not an observation of {names}")
            if output.compounds and self.channel(output.name).link != "log":
                raise ValueError(f"{self.name}: {output.name!r} compounds, which a level with the log link alone can")
        first = self.channel(self.regulated)
        if self.clock.knots and (first.link != "identity" or first.noise is not None):
            raise ValueError(f"{self.name}: knots correct a level as it is read, not {self.regulated} by its link or its noise")
        self._check_effects()
        for action in self.actions:
            if action.channel not in names or self.channel(action.channel).role != "action":
                raise ValueError(f"{self.name}: action on {action.channel!r}, which is not an action of {names}")
        spoken = {*(cost.on for cost in self.costs), *(end.on for end in self.ends)} - {""}
        if unknown := spoken - {output.name for output in self.outputs}:
            raise ValueError(f"{self.name}: costs or ends on {sorted(unknown)}, which are not under control")

    def _check_effects(self) -> None:
        pooled = sorted(name for pool in self.pools for name in pool.channels)
        acting = sorted(channel.name for channel in self.channels if channel.direction)
        missing, twice = set(acting) - set(pooled), len(set(pooled)) != len(pooled)
        if missing or twice or set(pooled) - set(self.names):
            raise ValueError(f"{self.name}: every channel with a direction belongs to one pool, and no other: {pooled}")
        for pool in self.pools:
            if len({self.channel(name).direction for name in pool.channels}) != 1:
                raise ValueError(f"{self.name}: the channels of pool {pool.name!r} act in different directions")
        for pool in self.pools:
            if pool.stages and not pool.time_constant > 0.5 * self.clock.interval:
                raise ValueError(
                    f"{self.name}: pool {pool.name!r} of {pool.time_constant:g} min is faster than half an integration step "
                    f"({self.clock.interval:g} min): declare it without stages, or a smaller interval"
                )
            shared = {(effect.usual, effect.own) for effect in self.effects if pool.name in effect.pools}
            if len(shared) > 1:
                raise ValueError(f"{self.name}: the effects of pool {pool.name!r} count other usual amounts: {sorted(shared)}")
        used = {name for effect in self.effects for name in effect.pools}
        if used != {pool.name for pool in self.pools}:
            raise ValueError(f"{self.name}: effects speak of the pools {sorted(used)}, and there are others, or none of some")
        first = self.regulated
        for effect in self.effects:
            on = effect.on or first
            if on not in {output.name for output in self.outputs}:
                raise ValueError(f"{self.name}: effect {effect.name!r} on {on!r}, which is not under control")
            if not (effect.usual > 0 and effect.size > 0):
                raise ValueError(f"{self.name}: effect {effect.name!r}: a usual amount or size that is not above 0")
            told = {self.channel(name).direction for pool in self.pools if pool.name in effect.pools for name in pool.channels}
            if on == first and told != {effect.direction}:
                raise ValueError(f"{self.name}: effect {effect.name!r} has another direction than its channels, {told}")
            if effect.with_ and effect.with_ not in {other.name for other in self.effects}:
                raise ValueError(f"{self.name}: effect {effect.name!r} with {effect.with_!r}, which there is not")

    @property
    def filtered(self) -> tuple[bool, ...]:
        """By output, whether its state is what all readings say of it, each by its declared noise."""
        return tuple(self.channel(output.name).noise is not None for output in self.outputs)

    @property
    def observed(self) -> list[int]:
        """The columns of the outputs."""
        return [self.index(output.name) for output in self.outputs]

    @property
    def regulated(self) -> str:
        """The name of the first observation under control."""
        return self.outputs[0].name

    @property
    def best(self) -> float:
        """The first output's level of no risk."""
        return self.outputs[0].best

    @property
    def step(self) -> float:
        """Minutes between rows of a series."""
        return self.clock.step

    def risk(self, level: "Tensor") -> "Tensor":
        """The first output's risk, `[...]` levels -> `[...]`."""
        return self.outputs[0].risk(level)

    @property
    def mandate(self) -> Mandate:
        """What holds where nothing is handed down."""
        return Mandate(target=self.best, budgets=tuple(cost.budget for cost in self.costs))

    def aimed(self, mandates: Sequence[Mandate]) -> "Therapy":
        """This therapy with the least risk at each patient's target: its first risk then takes levels `[B, ...]`.

        Levels are taken in proportion to the target; where the best or a target is not above 0, by their distance from it.
        """
        import torch

        first, *others = self.outputs
        positive = first.best > 0 and all(mandate.target > 0 for mandate in mandates)
        moved = torch.tensor([first.best / m.target if positive else first.best - m.target for m in mandates])

        def risk(level: "Tensor") -> "Tensor":
            by = moved.to(level).reshape(-1, *(1,) * (level.ndim - 1))
            return first.risk(level * by if positive else level + by)

        return replace(self, outputs=(replace(first, risk=risk), *others))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(channel.name for channel in self.channels)

    def index(self, name: str) -> int:
        """The column of a channel; raises `KeyError` when there is none."""
        try:
            return self.names.index(name)
        except ValueError:
            raise KeyError(f"{self.name} has no channel {name!r}; it has {self.names}") from None

    def channel(self, name: str) -> Channel:
        return self.channels[self.index(name)]

    def hazard(self, name: str) -> Hazard:
        """The hazard of a name; raises `KeyError` when there is none."""
        found = {hazard.name: hazard for hazard in self.hazards}
        if name not in found:
            raise KeyError(f"{self.name} has no hazard {name!r}; it has {tuple(found)}")
        return found[name]

    def of(self, role: Role) -> tuple[Channel, ...]:
        return tuple(channel for channel in self.channels if channel.role == role)

    def columns(self, effect: Effect) -> list[int]:
        """The columns of the channels whose doses have an effect."""
        pooled = {name for pool in self.pools if pool.name in effect.pools for name in pool.channels}
        return [index for index, name in enumerate(self.names) if name in pooled]

    def facts(self, known: Mapping[str, Fact], whose: str = "") -> "Tensor":
        """`[F]` what is known of a patient by covariate, as the model sees it; zeros where unknown.

        Raises ValueError for a value that cannot be, naming `whose` and the covariate. Facts that this therapy does not ask for
        are passed over.
        """
        import torch

        whose = f"{whose}: " if whose else ""
        return torch.tensor([number for each in self.covariates for number in each.encoded(known.get(each.name), whose)])

    def center(self) -> "Tensor":
        """`[C]` in each channel's link."""
        import torch

        return torch.tensor([channel.middle for channel in self.channels])

    def scale(self) -> "Tensor":
        """`[C]` in each channel's link."""
        import torch

        return torch.tensor([channel.scale for channel in self.channels])
