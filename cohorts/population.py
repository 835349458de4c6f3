"""Virtual people: distinct, plausible, each with the settings a careful clinic would have arrived at, or not quite."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from careplan.glucose import BLOCKS, Group, Regimen
from cohorts.physiology import Body, Physiology, advance, fasting

GROUPS: tuple[Group, ...] = ("adult", "adolescent", "child")


@dataclass(frozen=True, kw_only=True)
class Typical:
    """A group's centre: weight kg, and insulin's effect on uptake and on the liver relative to an adult's."""

    weight: float
    sensitivity: float


# Centres of the three groups of the type 1 simulator (Kovatchev 2009): weights and insulin needs; adolescents are resistant.
TYPICAL: dict[Group, Typical] = {
    "adult": Typical(weight=78.0, sensitivity=1.0),
    "adolescent": Typical(weight=52.0, sensitivity=0.75),
    "child": Typical(weight=32.0, sensitivity=1.2),
}

# Median and spread of the logarithm. Medians: DM07 table 1 (normal subjects), moved where type 1 differs (Vm0, Vmx, kp2, kp3,
# gut, subcutaneous chain: values of the order published for the type 1 simulator). The spreads are ours.
SPREAD: dict[str, tuple[float, float]] = {
    "kabs": (0.060, 0.30),
    "kmax": (0.050, 0.22),
    "kmin": (0.0080, 0.28),
    "Vg": (1.86, 0.07),
    "k1": (0.066, 0.15),
    "k2": (0.085, 0.22),
    "Vi": (0.051, 0.15),
    "m1": (0.19, 0.20),
    "kp2": (0.0045, 0.35),
    "kp3": (0.0110, 0.30),
    "ki": (0.0085, 0.28),
    "Vm0": (4.0, 0.28),
    "Vmx": (0.058, 0.30),
    "Km0": (230.0, 0.08),
    "p2u": (0.030, 0.28),
    "kd": (0.0164, 0.12),
    "ka1": (0.0022, 0.35),
    "ka2": (0.0160, 0.20),
    "ksc": (0.095, 0.20),
}


@dataclass(frozen=True, eq=False)
class Population:
    """B virtual people: physiology, fasting state, and what suits them: basal U/h, carb ratio g/U, correction factor
    mg/dL/U `[B]`.

    prescribed: `[B, 3]` factors by which the settings in force differ from those (1: well set).
    """

    names: tuple[str, ...]
    groups: tuple[Group, ...]
    physiology: Physiology
    body: Body
    fasting: Tensor
    basal: Tensor
    carb_ratio: Tensor
    correction_factor: Tensor
    prescribed: Tensor

    def __len__(self) -> int:
        return len(self.names)

    @property
    def settings(self) -> Tensor:
        """Basal, carb ratio and correction factor in force, `[B, 3]`."""
        return torch.stack([self.basal, self.carb_ratio, self.correction_factor], -1) * self.prescribed

    def regimen(self, index: int) -> Regimen:
        """The settings in force for one person."""
        basal, ratio, factor = self.settings[index].tolist()
        blocks = len(BLOCKS)
        return Regimen(
            basal=(round(basal, 2),) * blocks,
            carb_ratio=(round(ratio, 1),) * blocks,
            correction_factor=(round(factor, 1),) * blocks,
        )


def sample_population(group: Group, count: int, seed: int, *, mis_set: float = 0.0) -> Population:
    """`count` people of one group. mis_set: spread of the logarithm of the error in each setting in force.

    Insulin's actions on uptake and on the liver are correlated, as are its absorption rates; people whose fasting insulin
    need or meal response is absurd are drawn again.
    """
    if count < 1:
        raise ValueError(f"population of {count}: expected at least one person")
    if group not in TYPICAL:
        raise ValueError(f"group {group!r}: expected one of {', '.join(TYPICAL)}")
    generator = torch.Generator().manual_seed(seed)
    kept: list[Population] = []
    total = 0
    while total < count:
        drawn = _draw(group, 2 * count, generator, mis_set)
        daily = 24 * drawn.basal / drawn.physiology.weight
        good = (
            (daily > 0.12) & (daily < 0.9) & (drawn.carb_ratio > 2.5) & (drawn.carb_ratio < 60) & (drawn.correction_factor < 300)
        )
        kept.append(_take(drawn, torch.nonzero(good).squeeze(1)))
        total += len(kept[-1])
    people = _take(join(kept), torch.arange(count))
    return replace(people, names=tuple(f"{group}-{seed}-{index + 1:03d}" for index in range(count)))


def join(populations: list[Population]) -> Population:
    """Several populations as one."""
    bodies = Body(torch.cat([p.body.amounts for p in populations]), torch.cat([p.body.meal for p in populations]))
    return Population(
        tuple(name for p in populations for name in p.names),
        tuple(group for p in populations for group in p.groups),
        Physiology(*(torch.cat(parts) for parts in zip(*(vars(p.physiology).values() for p in populations), strict=True))),
        bodies,
        *(torch.cat(parts) for parts in zip(*(_numbers(p) for p in populations), strict=True)),
    )


def _numbers(people: Population) -> tuple[Tensor, ...]:
    return people.fasting, people.basal, people.carb_ratio, people.correction_factor, people.prescribed


def _take(people: Population, index: Tensor) -> Population:
    rows = index.tolist()
    return Population(
        tuple(people.names[row] for row in rows),
        tuple(people.groups[row] for row in rows),
        people.physiology[index],
        Body(people.body.amounts[index], people.body.meal[index]),
        *(part[index] for part in _numbers(people)),
    )


def _draw(group: Group, count: int, generator: torch.Generator, mis_set: float) -> Population:
    def normal() -> Tensor:
        return torch.randn(count, generator=generator)

    typical = TYPICAL[group]
    drawn = {name: median * torch.exp(spread * normal()) for name, (median, spread) in SPREAD.items()}
    shared, speed = normal(), normal()
    for name in ("Vmx", "kp3"):
        drawn[name] = drawn[name] * typical.sensitivity * torch.exp(0.25 * shared)
    for name in ("ka1", "ka2", "kd"):
        drawn[name] = drawn[name] * torch.exp(0.12 * speed)
    weight = typical.weight * torch.exp(0.17 * normal())
    drawn["kmin"] = drawn["kmin"].minimum(0.6 * drawn["kmax"])
    extraction = 0.6  # hepatic, DM07
    clearance = torch.exp(0.18 * normal()) / 80.0  # L/min/kg
    ones = torch.ones(count)
    who = Physiology(
        weight=weight,
        b=(0.76 + 0.07 * normal()).clamp(0.55, 0.93),
        d=(0.16 + 0.05 * normal()).clamp(0.04, 0.35),
        f=0.9 * ones,
        m2=0.6 * clearance / extraction / drawn["Vi"],
        m4=0.4 * clearance / drawn["Vi"],
        m30=extraction / (1 - extraction) * drawn["m1"],
        kp1=ones,
        Fsnc=ones,
        ke1=0.0005 * ones,
        ke2=339.0 * ones,
        Ib=100.0 * torch.exp(0.2 * normal()),
        **drawn,
    )
    level = (124 + 11 * normal()).clamp(100, 155)
    who, body, basal = fasting(who, level)
    ratio, factor = _settings(who, body, basal, level)
    prescribed = torch.exp(mis_set * torch.randn(count, 3, generator=generator)).clamp(0.5, 2.0)
    names = ("",) * count
    return Population(names, (group,) * count, who, body, level, basal, ratio, factor, prescribed)


def _settings(who: Physiology, body: Body, basal: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
    """Carb ratio and correction factor from two experiments on the model: a small bolus, and a snack."""
    dose, snack = 0.5 * basal, 0.25 * who.weight

    def extreme(carbs: Tensor, bolus: Tensor, hours: int, *, top: bool) -> Tensor:
        now, course = body, []
        for step in range(12 * hours):
            given = float(step == 0)
            now = advance(who, now, carbs * given, basal / 12 + bolus * given, torch.ones_like(basal))
            course.append(now.glucose(who))
        levels = torch.stack(course)
        return levels.amax(0) if top else levels.amin(0)

    factor = (level - extreme(0 * snack, dose, 6, top=False)) / dose
    rise = (extreme(snack, 0 * dose, 4, top=True) - level) / snack  # mg/dL a gram
    return factor / rise.clamp(min=math.exp(-3)), factor
