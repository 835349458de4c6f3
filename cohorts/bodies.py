"""Bodies: what every family of equations has in common, and how any of them is lived through a row of five minutes.

A family is a frozen dataclass of parameters `[B]` that says which states it has and how they move. Doses enter in pmol/kg/min and
food in mg/min, so that policies, lives, replays and branches know nothing of the equations inside.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import ClassVar, Self

import torch
from torch import Tensor

PMOL_PER_UNIT = 6000.0
STEP = 5.0  # minutes between records
Amounts = tuple[Tensor, ...]  # one `[B]` a state: separate tensors, so that a compiler keeps each of them in a register


@dataclass(frozen=True, eq=False)
class Body:
    """The state now: amounts `[B, S]` in the order of the family's `states`; what the stomach held when the last meal began and
    all eaten since, mg `[B]`; whether that meal goes on `[B]`.
    """

    amounts: Tensor
    meal: Tensor
    eating: Tensor

    def glucose(self, who: "Equations") -> Tensor:
        """Plasma glucose, mg/dL `[B]`."""
        return who.glucose(self.amounts)

    def sensed(self, who: "Equations") -> Tensor:
        """Interstitial glucose, what a sensor without error would show, mg/dL `[B]`."""
        return who.sensed(self.amounts)


@dataclass(frozen=True, eq=False)
class Inputs:
    """What happens to each body in one row of five minutes, `[B]` each.

    carbs: g eaten; insulin: U of rapid insulin, bolus and basal; long_acting: U. Factors, 1 at rest: sensitivity on insulin's
    actions, uptake on uptake without insulin (exercise), pace on the stomach and the gut (a slow meal is below 1).
    """

    carbs: Tensor
    insulin: Tensor
    long_acting: Tensor
    sensitivity: Tensor
    uptake: Tensor
    pace: Tensor


@dataclass(frozen=True, eq=False)
class Equations(ABC):
    """A family of bodies: parameters `[B]`, one field each, all positive.

    states: the names of its states, in order; the first two are what the stomach holds, mg, and among the others are `long1` and
    `long2`, where long-acting insulin waits, pmol/kg. signed: those that may be negative. holding: those that rise and fall with
    glucose, for setting a level. depots: where rapid insulin waits under the skin. substeps: Runge-Kutta steps in a row.
    shares: parameters that are below 1; free: parameters that may be 0.
    """

    family: ClassVar[str]
    states: ClassVar[tuple[str, ...]]
    signed: ClassVar[tuple[int, ...]] = ()
    holding: ClassVar[tuple[str, ...]]
    depots: ClassVar[tuple[str, ...]]
    substeps: ClassVar[int]
    shares: ClassVar[tuple[str, ...]] = ()
    free: ClassVar[tuple[str, ...]] = ()

    weight: Tensor  # kg
    tlong: Tensor  # minutes in each of the two stages of the long-acting depot

    def __post_init__(self) -> None:
        count = len(self.weight)
        for field in fields(self):
            value = getattr(self, field.name)
            if value.shape != (count,):
                raise ValueError(f"physiology: {field.name} has shape {tuple(value.shape)}, expected [{count}]")
            most = 1.0 if field.name in self.shares else torch.inf
            enough = value >= 0 if field.name in self.free else value > 0
            bad = torch.nonzero(~(enough & (value < most)))
            if len(bad):
                row = int(bad[0])
                least = "a number from 0" if field.name in self.free else "a positive number"
                expected = f"expected {least} below {most:g}" if most == 1 else f"expected {least}"
                raise ValueError(f"physiology: {field.name} of person {row} is {float(value[row])}, {expected}")

    def __len__(self) -> int:
        return len(self.weight)

    def __getitem__(self, index: Tensor) -> Self:
        return type(self)(**{field.name: getattr(self, field.name)[index] for field in fields(self)})

    @property
    def limits(self) -> dict[str, float]:
        """The most that each rate, by name, may be, a minute, for the step to be stable."""
        return {}

    def refuse_unstable(self) -> None:
        """Raises ValueError for somebody whom rows of five minutes cannot follow."""
        for name, limit in self.limits.items():
            rate = getattr(self, name)
            bad = torch.nonzero(rate > limit)
            if len(bad):
                found = f"{name} of person {int(bad[0])} is {float(rate[bad[0]])}"
                raise ValueError(f"physiology: {found}, expected at most {limit:g} a minute: the step would be unstable")

    @abstractmethod
    def motion(self, meal: Tensor, given: Inputs) -> Callable[[Amounts], Amounts]:
        """d/dt of the states, a minute, while carbohydrate is given in mg/min and insulin in pmol/kg/min; meal as in `Body`."""

    @abstractmethod
    def glucose(self, amounts: Tensor) -> Tensor:
        """Plasma glucose, mg/dL `[B]`, of amounts `[B, S]`."""

    @abstractmethod
    def sensed(self, amounts: Tensor) -> Tensor:
        """Interstitial glucose, mg/dL `[B]`."""

    @abstractmethod
    def acting(self, amounts: Tensor) -> Tensor:
        """How much insulin acts now, `[B]` in any unit."""

    def place(self, *names: str) -> list[int]:
        """Where these states are."""
        return [self.states.index(name) for name in names]

    def scaled(self, body: Body, factor: Tensor) -> Body:
        """The same body with its glucose times a factor `[B]`."""
        amounts = body.amounts.clone()
        for column in self.place(*self.holding):
            amounts[:, column] *= factor
        return replace(body, amounts=amounts)


def advance(who: Equations, body: Body, given: Inputs, *, minutes: float = STEP, substeps: int | None = None) -> Body:
    """One row by the classical Runge-Kutta method in `substeps` (None: as many as such people need); what is given is spread
    evenly over it.
    """
    substeps = substeps or who.substeps
    x, eaten = body.amounts.unbind(1), given.carbs * 1000.0
    eating = eaten > 0
    meal = torch.where(eating, torch.where(body.eating, body.meal, x[0] + x[1]) + eaten, body.meal)
    dose = PMOL_PER_UNIT / minutes / who.weight
    given = replace(given, carbs=eaten / minutes, insulin=given.insulin * dose, long_acting=given.long_acting * dose)
    rate, h = who.motion(meal, given), minutes / substeps
    for _ in range(substeps):
        k1 = rate(x)
        k2 = rate(_along(x, k1, h / 2))
        k3 = rate(_along(x, k2, h / 2))
        k4 = rate(_along(x, k3, h))
        slope = _along(_along(k1, k4, 1.0), _along(k2, k3, 1.0), 2.0)
        x = tuple(a if state in who.signed else a.clamp(min=0) for state, a in enumerate(_along(x, slope, h / 6)))
    return Body(torch.stack(x).T, meal, eating)  # states first in memory: each of them is one contiguous row of people


def _along(x: Amounts, slope: Amounts, h: float) -> Amounts:
    return tuple(torch._foreach_add(x, slope, alpha=h))  # one call for all states


def resting(carbs: Tensor, insulin: Tensor) -> Inputs:
    """Nothing but carbohydrate g and rapid insulin U, `[B]` each."""
    ones = torch.ones_like(carbs)
    return Inputs(carbs, insulin, torch.zeros_like(carbs), ones, ones, ones)


def long_acting_steady(who: Equations, body: Body, daily: Tensor, since: float) -> Body:
    """The same body on pens: no rapid basal, long-acting insulin of `daily` U `[B]` once a day, `since` minutes after a dose."""
    day = 24 * 60.0
    # A dose leaves D e^(-t/T) in the first stage and D (t/T) e^(-t/T) in the second; those before it add up to these sums.
    gone, left = torch.exp(-day / who.tlong), torch.exp(-since / who.tlong)
    dose = daily * PMOL_PER_UNIT / who.weight
    amounts = body.amounts.clone()
    amounts[:, who.place(*who.depots)] = 0.0
    first, second = who.place("long1", "long2")
    amounts[:, first] = dose * left / (1 - gone)
    amounts[:, second] = dose * left * (since / who.tlong / (1 - gone) + day / who.tlong * gone / (1 - gone) ** 2)
    return replace(body, amounts=amounts)
