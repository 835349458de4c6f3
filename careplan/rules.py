"""What a plan may do, and the rules that it keeps whatever it gains: pure data.

`planning` masks with the rules at every node of a search and checks its answer anew.
"""

import math
from dataclasses import dataclass
from typing import Literal

Side = Literal[-1, 1]

# Candidates of doses that have served: shares of a usual amount, and multiples of what stands, beside 1.
SHARES = (0.01, 0.02, 0.04, 0.07, 0.11, 0.16, 0.22, 0.30)
MULTIPLES = (0.0, 0.5, 1.5, 2.0)


@dataclass(frozen=True, kw_only=True)
class Hold:
    """No more than what stands of these channels while an observation, measured or predicted, is beyond a level.

    side: -1 below it, 1 above it. A floor holds a drug that lowers while the level is low; a ceiling holds one that raises
    while it is high, or a toxic one while a count of cells is low.
    """

    name: str
    channels: tuple[str, ...]
    on: str
    side: Side
    level: float


@dataclass(frozen=True, kw_only=True)
class Keep:
    """No less than what stands of these channels while an observation is beyond a level: where giving less is the danger."""

    name: str
    channels: tuple[str, ...]
    on: str
    side: Side
    level: float


@dataclass(frozen=True, kw_only=True)
class Cap:
    """At most so much of these channels together, within a time: Gy or mg/m2 over a course, tablets a week.

    most: in the channels' unit. within: minutes back from any moment; the whole course where infinite.
    """

    name: str
    channels: tuple[str, ...]
    most: float
    within: float = math.inf


@dataclass(frozen=True, kw_only=True)
class Lockout:
    """At least so many minutes from one giving of these channels to the next."""

    name: str
    channels: tuple[str, ...]
    minutes: float


@dataclass(frozen=True, kw_only=True)
class Exclusive:
    """At most one of these channels in one decision: drugs that may not be given together."""

    name: str
    channels: tuple[str, ...]


Rule = Hold | Keep | Cap | Lockout | Exclusive


@dataclass(frozen=True, kw_only=True)
class Remains:
    """What is left of an impulse: activity rises to `peak` minutes and ends at `duration` (the exponential model of LoopKit)."""

    peak: float
    duration: float


@dataclass(frozen=True, kw_only=True)
class Action:
    """What a plan may do with one channel at each decision. Beside these candidates, what stands is always one.

    values: the candidates. of: what they are: an `amount` in the channel's unit, a `share` of a usual amount (`Effect.usual`), or
    a `multiple` of what stands (a pump's rate, a daily tablet as prescribed). increment: what amounts are rounded to.
    remains: how an impulse is counted as on board; None where what counts is what was given (`rules.Cap`).
    burden: in risk, what a unit given costs the patient, beside what it does to the level.
    """

    channel: str
    values: tuple[float, ...]
    of: Literal["amount", "share", "multiple"] = "amount"
    increment: float = 0.0
    remains: Remains | None = None
    burden: float = 0.0

    @property
    def stands(self) -> float:
        """The value that changes nothing: once what stands, or nothing given."""
        return 1.0 if self.of == "multiple" else 0.0


@dataclass(frozen=True, kw_only=True)
class Measure:
    """When to look next, as an action with a cost. gaps: minutes to the next look, increasing. cost: of one look, in risk times
    `Clock.span`."""

    gaps: tuple[float, ...]
    cost: float


@dataclass(frozen=True, kw_only=True)
class End:
    """An end that absorbs: death, cure, remission. Once an observation is beyond a level, every later moment counts `risk`."""

    name: str
    on: str
    side: Side
    level: float
    risk: float
