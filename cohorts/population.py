"""Virtual people: distinct, plausible, each with the settings a careful clinic would have arrived at, or not quite."""

from dataclasses import dataclass, fields, replace
from numbers import Integral
from typing import Literal, get_args

import torch
from torch import Tensor

from careplan.therapies.glucose.declaration import BLOCKS, Group, Regimen
from cohorts import expected, families
from cohorts.bodies import Body, Equations, advance, long_acting_steady, resting
from cohorts.drawing import Drawn
from cohorts.families import Family
from cohorts.physiology import Secreting
from cohorts.secretion import resting_under
from cohorts.settings import duration, settings_that_suit

Cohort = Literal[Group, "type2"]
GROUPS: tuple[Group, ...] = get_args(Group)  # of type 1: what the world model is trained and judged on
COHORTS: tuple[Cohort, ...] = (*GROUPS, "type2")
# Every cohort there is, by the name it is asked for: of other families of equations than UVA/Padova, "minimal-adult" and so on.
NAMED: dict[str, tuple[Family, Cohort]] = {group: ("padova", group) for group in COHORTS} | {
    f"{family}-{group}": (family, group) for family in families.FAMILIES[1:] for group in GROUPS
}
LONG_ACTING_AT = 22 * 60  # minutes after midnight


@dataclass(frozen=True, eq=False)
class Population:
    """B virtual people: physiology, their body after a night's fast, and what suits them.

    fasting mg/dL, basal U/h, carb_ratio g/U, correction_factor mg/dL/U, duration h (until 90 % of a bolus has acted),
    carbs g a day, `[B]` each. Of type 2, basal is a day's long-acting insulin by the hour, and fasting is under the dose in
    force. rhythm `[B, 2]`: how far insulin sensitivity swings over the day, and the hour it is lowest.
    prescribed: `[B, 3]` factors by which the settings in force differ from what suits (1: well set). pens `[B]`: no pump.
    """

    names: tuple[str, ...]
    groups: tuple[Cohort, ...]
    physiology: Equations
    body: Body
    fasting: Tensor
    basal: Tensor
    carb_ratio: Tensor
    correction_factor: Tensor
    duration: Tensor
    carbs: Tensor
    rhythm: Tensor
    prescribed: Tensor
    pens: Tensor

    def __post_init__(self) -> None:
        for field in fields(self)[4:]:
            value: Tensor = getattr(self, field.name)
            if value.shape[:1] != (len(self.names),):
                raise ValueError(f"population: {field.name} has shape {tuple(value.shape)}, expected {len(self.names)} people")
            fine = (value >= 0) & (value < torch.inf) if field.name in ("rhythm", "pens") else (value > 0) & (value < torch.inf)
            if not bool(fine.all()):
                row = int(torch.nonzero(~fine)[0, 0])
                raise ValueError(f"population: {field.name} of person {row} is {value[row].tolist()}, expected positive numbers")

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: Tensor) -> "Population":
        """The people at `index` `[N]`, in that order."""
        rows = index.tolist()
        return Population(
            tuple(self.names[row] for row in rows),
            tuple(self.groups[row] for row in rows),
            self.physiology[index],
            Body(*(part[index] for part in vars(self.body).values())),
            *(part[index] for part in self._numbers()),
        )

    def _numbers(self) -> tuple[Tensor, ...]:
        return tuple(getattr(self, field.name) for field in fields(self)[4:])

    @property
    def settings(self) -> Tensor:
        """Basal, carb ratio and correction factor in force, `[B, 3]`."""
        return torch.stack([self.basal, self.carb_ratio, self.correction_factor], -1) * self.prescribed

    @property
    def daily_dose(self) -> Tensor:
        """Insulin that suits an ordinary day, U `[B]`."""
        return 24 * self.basal + self.carbs / self.carb_ratio

    def regimen(self, index: int) -> Regimen:
        """The settings in force for one person."""
        basal, ratio, factor = self.settings[index].tolist()
        blocks, pens = len(BLOCKS), bool(self.pens[index])
        return Regimen(
            basal=(0.0 if pens else round(basal, 2),) * blocks,
            carb_ratio=(round(ratio, 1),) * blocks,
            correction_factor=(round(factor, 1),) * blocks,
            delivery="pen" if pens else "pump",
            long_acting=float(round(24 * basal)) if pens else 0.0,
            long_acting_at=LONG_ACTING_AT,
        )


def sample_population(
    group: Cohort, count: int, seed: int, *, mis_set: float = 0.0, pens: float = 0.0, family: Family = "padova"
) -> Population:
    """People of one group, drawn from a seed.

    Parameters are jointly log-normal. People whose insulin need is absurd, or whom their own settings cannot carry through a
    quiet day of three meals between 60 and 300 mg/dL (type 2: 350), are drawn again.

    Args:
        group: One of `COHORTS`.
        count: How many people.
        seed: Of all draws; the same arguments give the same people.
        mis_set: The spread of the logarithm of the error in each setting in force, from 0 to below 2.
        pens: The share of people on pens, 0 to 1; with type 2 it is everybody.
        family: The equations of their bodies; type 2 has the UVA/Padova model's alone.

    Returns:
        The people at rest under the dose in force, named by group, seed and number.

    Raises:
        TypeError: `count` or `seed` is not a whole number.
        ValueError: A group or family that there is not, or a number out of its range.

    >>> people = sample_population("adult", 2, seed=1)
    >>> people.names, len(people)
    (('adult-1-001', 'adult-1-002'), 2)
    """
    expected.is_a("sample_population: count", count, Integral, "a whole number")
    expected.is_a("sample_population: seed", seed, Integral, "a whole number")
    if count < 1:
        raise ValueError(f"population of {count}: expected at least one person")
    if group not in COHORTS:
        raise ValueError(f"group {group!r}: expected one of {', '.join(COHORTS)}")
    if family not in families.FAMILIES or (group == "type2" and family != "padova"):
        known = "padova" if group == "type2" else ", ".join(families.FAMILIES)
        raise ValueError(f"family {family!r} of group {group}: expected one of {known}")
    if not 0 <= mis_set < 2 or not 0 <= pens <= 1:
        raise ValueError(f"mis_set {mis_set}, pens {pens}: expected a spread from 0 to 2, and a share from 0 to 1")
    generator = torch.Generator().manual_seed(int(seed))
    kept: list[Population] = []
    while sum(map(len, kept)) < count:
        many = count + count // 2 + 8
        drawn = _suited(group, families.draw(family, group, many, generator))
        kept.append(drawn[torch.nonzero(_plausible(drawn)).squeeze(1)])
    people = join(kept)[torch.arange(count)]
    kind = group if family == "padova" else f"{family}-{group}"
    names = tuple(f"{kind}-{seed}-{index + 1:03d}" for index in range(count))
    prescribed = torch.exp(mis_set * torch.randn(count, 3, generator=generator)).clamp(0.5, 2.0)
    on_pens = torch.rand(count, generator=generator) < (1.0 if group == "type2" else pens)
    daily = (24 * people.basal * prescribed[:, 0]).round()
    if isinstance(people.physiology, Secreting):  # what they still make depends on the dose in force
        body = resting_under(people.physiology, daily / 24)
        people = replace(people, body=body, fasting=body.glucose(people.physiology))
    depot = long_acting_steady(people.physiology, people.body, daily, since=24 * 60.0 - LONG_ACTING_AT)
    body = replace(people.body, amounts=torch.where(on_pens.unsqueeze(1), depot.amounts, people.body.amounts))
    return replace(people, names=names, prescribed=prescribed, pens=on_pens, body=body)


def join(populations: list[Population]) -> Population:
    """Several populations as one, in their order.

    Args:
        populations: At least one, of the same equations.

    Returns:
        Everybody, as one population.

    Raises:
        ValueError: People of other equations, or of type 1 beside type 2, whose bodies have other states.
    """
    kinds = {type(people.physiology) for people in populations}
    if len(kinds) > 1:
        who = "people of type 1 and of type 2" if Secreting in kinds else "people of different families of equations"
        raise ValueError(f"population: {who} cannot live side by side; replay each by itself")
    bodies = zip(*(vars(people.body).values() for people in populations), strict=True)
    physiologies = zip(*(vars(people.physiology).values() for people in populations), strict=True)
    return Population(
        tuple(name for people in populations for name in people.names),
        tuple(group for people in populations for group in people.groups),
        kinds.pop()(*map(torch.cat, physiologies)),
        Body(*map(torch.cat, bodies)),
        *map(torch.cat, zip(*(people._numbers() for people in populations), strict=True)),
    )


def _suited(group: Cohort, drawn: Drawn) -> Population:
    """These bodies, whose basal rate is known, with the other settings that suit them."""
    who, body, basal, level = drawn.who, drawn.body, drawn.basal, drawn.level
    count, settings = len(who), (basal, *settings_that_suit(who, body, basal, level), duration(who, body, basal))
    unset = (torch.ones(count, 3), torch.zeros(count, dtype=torch.bool))
    return Population(("",) * count, (group,) * count, who, body, level, *settings, drawn.carbs, drawn.rhythm, *unset)


def _plausible(people: Population) -> Tensor:
    """Whose needs are those of a person, and whose own settings carry them through a quiet day, `[B]`."""
    who, daily, most = people.physiology, people.daily_dose / people.physiology.weight, 300.0
    share = 24 * people.basal / people.daily_dose
    if isinstance(who, Secreting):  # resistant to insulin, and still making some
        slow, most = 24 * people.basal / who.weight, 350.0
        good = (slow > 0.1) & (slow < 1.2) & (daily < 2.2) & (people.carb_ratio > 2.05)
    else:
        good = (daily > 0.25) & (daily < 1.3) & (share > 0.25) & (share < 0.75)
        good &= (people.carb_ratio > 3) & (people.carb_ratio < 60)
    for name, limit in who.limits.items():
        good &= getattr(who, name) < limit
    good &= people.correction_factor < 300
    body, lowest, highest = people.body, people.fasting, people.fasting
    for row in range(240):
        meal = people.carbs / 3 * float(row in (0, 60, 140))
        body = advance(who, body, resting(meal, meal / people.carb_ratio + people.basal / 12))
        level = body.glucose(who)
        lowest, highest = torch.minimum(lowest, level), torch.maximum(highest, level)
    return good & (lowest > 60) & (highest < most)
