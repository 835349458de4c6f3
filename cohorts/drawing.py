"""What drawing people has in common for every family of bodies: how large each group is, and parameters that vary together."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from careplan.therapies.glucose.declaration import Group
from cohorts.bodies import Body, Equations


@dataclass(frozen=True, kw_only=True)
class Typical:
    """A group's centre. weight kg; production mg/kg/min: fasting production of glucose; clearance of insulin L/min/kg;
    Vmx, kp3, p2u as in `Physiology`; carbs: g a day.
    """

    weight: float
    production: float
    clearance: float
    Vmx: float
    kp3: float
    p2u: float
    carbs: float


# After the means of the type 1 simulator's published subjects, ten a group (Kovatchev 2009). Weights, production and p2u are near
# theirs; Vmx and kp3 are ours, set so that time in range, insulin a day and variability come out as in clinics
# (docs/experiments/virtual-people.md).
TYPICAL: dict[Group, Typical] = {
    "adult": Typical(weight=79.0, production=2.5, clearance=0.0137, Vmx=0.046, kp3=0.0090, p2u=0.032, carbs=230.0),
    "adolescent": Typical(weight=52.0, production=3.0, clearance=0.0154, Vmx=0.048, kp3=0.0090, p2u=0.033, carbs=190.0),
    "child": Typical(weight=32.0, production=2.9, clearance=0.0125, Vmx=0.060, kp3=0.0095, p2u=0.042, carbs=130.0),
}


@dataclass(frozen=True, eq=False)
class Drawn:
    """People before their settings are found, `[B]` each: their equations, their body at rest, and the rapid insulin U/h that
    holds it there; fasting glucose mg/dL; carbohydrate g a day; rhythm `[B, 2]` as in `Population`.
    """

    who: Equations
    body: Body
    basal: Tensor
    level: Tensor
    carbs: Tensor
    rhythm: Tensor


def jointly(
    spread: Mapping[str, tuple[float | None, float]],
    correlations: Mapping[tuple[str, str], float],
    centre: Mapping[str, float],
    count: int,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """Log-normal parameters by name, `[B]` each; a median of None is that of `centre`."""
    names = list(spread)
    correlation = torch.eye(len(names))
    for (first, second), value in correlations.items():
        row, column = names.index(first), names.index(second)
        correlation[row, column] = correlation[column, row] = value
    steps = torch.randn(count, len(names), generator=generator) @ torch.linalg.cholesky(correlation).T
    return {
        name: (centre[name] if median is None else median) * torch.exp(width * steps[:, place].clamp(-2.5, 2.5))
        for place, (name, (median, width)) in enumerate(spread.items())
    }


def daily_rhythm(count: int, generator: torch.Generator, *, most: float = 0.25) -> Tensor:
    """How far insulin sensitivity swings over the day, from 0.05 to `most`, and the hour it is lowest, `[B, 2]`."""
    least = torch.tensor([0.05, 4.5])
    return least + torch.tensor([most - 0.05, 3.0]) * torch.rand(count, 2, generator=generator)
