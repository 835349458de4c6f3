"""Virtual people: distinct, plausible, each with the settings a careful clinic would have arrived at, or not quite."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from careplan.therapies.glucose.declaration import BLOCKS, Group, Regimen
from cohorts.physiology import (
    FASTEST,
    SECRETING_FASTEST,
    Body,
    Physiology,
    Secreting,
    advance,
    fasting,
    long_acting_steady,
    resting,
)
from cohorts.secretion import insulin_for, resting_under, secreted_at, untreated
from cohorts.settings import duration, settings_that_suit

Cohort = Literal[Group, "type2"]
GROUPS: tuple[Group, ...] = get_args(Group)  # of type 1: what the world model is trained and judged on
COHORTS: tuple[Cohort, ...] = (*GROUPS, "type2")
LONG_ACTING_AT = 22 * 60  # minutes after midnight


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
# theirs; Vmx and kp3 are ours, set so that time in range, insulin a day and variability come out as in clinics (docs/explanation/cohorts.md).
TYPICAL: dict[Group, Typical] = {
    "adult": Typical(weight=79.0, production=2.5, clearance=0.0137, Vmx=0.046, kp3=0.0090, p2u=0.032, carbs=230.0),
    "adolescent": Typical(weight=52.0, production=3.0, clearance=0.0154, Vmx=0.048, kp3=0.0090, p2u=0.033, carbs=190.0),
    "child": Typical(weight=32.0, production=2.9, clearance=0.0125, Vmx=0.060, kp3=0.0095, p2u=0.042, carbs=130.0),
}

# Median and spread of the logarithm, for everyone; a median of None is the group's. Medians and spreads are near the published
# subjects', whose gut and liver vary more than this (kabs 1.05, kp2 0.60, ki 0.52): with people's own behaviour that gives
# excursions nobody records.
SPREAD: dict[str, tuple[float | None, float]] = {
    "weight": (None, 0.18),
    "production": (None, 0.13),
    "clearance": (None, 0.10),
    "kabs": (0.080, 0.35),
    "kmax": (0.037, 0.30),
    "kmin": (0.0080, 0.35),
    "Vg": (1.84, 0.07),
    "k1": (0.063, 0.20),
    "k2": (0.095, 0.25),
    "Vi": (0.051, 0.20),
    "m1": (0.19, 0.25),
    "kp2": (0.0047, 0.35),
    "kp3": (None, 0.30),
    "ki": (0.0085, 0.30),
    "Vmx": (None, 0.30),
    "Km0": (231.0, 0.10),
    "p2u": (None, 0.25),
    "kd": (0.0162, 0.11),
    "ka1": (0.0034, 0.30),
    "ka2": (0.0165, 0.30),
    "ksc": (0.090, 0.25),
    "Ib": (106.0, 0.13),
    "carbs": (None, 0.18),
    # Two stages of eight hours reach the swing of glargine U100 at steady state, (peak - trough) / trough = 1.8 (Becker 2015).
    "tlong": (480.0, 0.10),
}

# Adults with type 2 who have come to need basal insulin; as `SPREAD`. Medians are those of the mean subject with type 2 of Dalla
# Man 2007, but for these of ours: weight, `Gb` and carbs (people of treat-to-target trials), beta-cell function (a share of that
# subject's K and beta) and clearance (that subject's would take twice the insulin that people take). Spreads are ours.
TYPE2: dict[str, tuple[float, float]] = {
    "weight": (94.0, 0.18),
    "production": (2.1, 0.10),
    "clearance": (0.0160, 0.15),
    "kabs": (0.023, 0.25),
    "kmax": (0.0465, 0.25),
    "kmin": (0.0076, 0.30),
    "Vg": (1.49, 0.07),
    "k1": (0.042, 0.15),
    "k2": (0.071, 0.15),
    "Vi": (0.040, 0.15),
    "m1": (0.379, 0.15),
    "kp2": (0.0007, 0.30),
    "kp3": (0.0050, 0.25),
    "kp4": (0.0786, 0.25),
    "ki": (0.0066, 0.25),
    "Vmx": (0.034, 0.30),
    "Km0": (466.0, 0.10),
    "p2u": (0.084, 0.25),
    "alpha": (0.013, 0.30),
    "m5": (0.0526, 0.15),
    "function": (0.6, 0.40),
    "Gb": (200.0, 0.15),
    "Ib": (60.0, 0.30),
    "carbs": (215.0, 0.18),
    **{name: (median, spread) for name in ("kd", "ka1", "ka2", "ksc", "tlong") for median, spread in [SPREAD[name]] if median},
}
FASTED = 120.0  # mg/dL, which the basal insulin that suits brings people of type 2 to: below the 130 of guidelines

# Correlations of the logarithms, after the published subjects; Vmx with kp3 is ours: sensitive muscle, sensitive liver.
CORRELATION: dict[tuple[str, str], float] = {
    ("ka1", "ka2"): 0.8,
    ("kabs", "kmin"): 0.4,
    ("Vi", "m1"): 0.5,
    ("k1", "k2"): -0.4,
    ("k1", "p2u"): 0.4,
    ("kp2", "kp3"): 0.5,
    ("kp2", "production"): 0.4,
    ("Vmx", "kp3"): 0.3,
    ("weight", "Vg"): -0.4,
    ("weight", "carbs"): 0.5,
}
# In type 2 also, ours: who resists insulin makes more of it, and the worse the beta cells the higher is fasting glucose.
TYPE2_CORRELATION = CORRELATION | {
    ("Vmx", "Ib"): -0.5,
    ("weight", "Ib"): 0.3,
    ("function", "Gb"): -0.5,
    ("function", "Ib"): 0.3,
}


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
    physiology: Physiology
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


def sample_population(group: Cohort, count: int, seed: int, *, mis_set: float = 0.0, pens: float = 0.0) -> Population:
    """`count` people of one group. mis_set: spread of the logarithm of the error in each setting in force; pens: share on pens,
    which with type 2 is everybody.

    Parameters are jointly log-normal. People whose insulin need is absurd, or whom their own settings cannot carry through a
    quiet day of three meals between 60 and 300 mg/dL (type 2: 350), are drawn again.
    """
    if count < 1:
        raise ValueError(f"population of {count}: expected at least one person")
    if group not in COHORTS:
        raise ValueError(f"group {group!r}: expected one of {', '.join(COHORTS)}")
    if not 0 <= mis_set < 2 or not 0 <= pens <= 1:
        raise ValueError(f"mis_set {mis_set}, pens {pens}: expected a spread from 0 to 2, and a share from 0 to 1")
    generator = torch.Generator().manual_seed(seed)
    kept: list[Population] = []
    while sum(map(len, kept)) < count:
        many = count + count // 2 + 8
        drawn = _draw_type2(many, generator) if group == "type2" else _draw(group, many, generator)
        kept.append(drawn[torch.nonzero(_plausible(drawn)).squeeze(1)])
    people = join(kept)[torch.arange(count)]
    names = tuple(f"{group}-{seed}-{index + 1:03d}" for index in range(count))
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
    """Several populations as one. Raises ValueError for people of type 1 beside type 2, whose bodies have more states."""
    kinds = {type(people.physiology) for people in populations}
    if len(kinds) > 1:
        raise ValueError("population: people of type 1 and of type 2 cannot live side by side; replay each by itself")
    bodies = zip(*(vars(people.body).values() for people in populations), strict=True)
    physiologies = zip(*(vars(people.physiology).values() for people in populations), strict=True)
    return Population(
        tuple(name for people in populations for name in people.names),
        tuple(group for people in populations for group in people.groups),
        kinds.pop()(*map(torch.cat, physiologies)),
        Body(*map(torch.cat, bodies)),
        *map(torch.cat, zip(*(people._numbers() for people in populations), strict=True)),
    )


def _draw(group: Group, count: int, generator: torch.Generator) -> Population:
    """People, well set and on pumps, not yet judged."""

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    drawn = _jointly(SPREAD, CORRELATION, vars(TYPICAL[group]), count, generator)
    drawn["kmin"] = drawn["kmin"].minimum(0.6 * drawn["kmax"])
    production, clearance, carbs = (drawn.pop(name) for name in ("production", "clearance", "carbs"))
    level = (125 + 11 * normal(count)).clamp(100, 155)
    one, extraction = torch.ones(count), 0.6  # of insulin by the liver, DM07
    # Fasting uptake follows from production: k1 Gp - k2 Gt = production - Fsnc = Vm0 Gt / (Km0 + Gt).
    tissue = ((drawn["k1"] * level * drawn["Vg"] - (production - one)) / drawn["k2"]).clamp(min=40.0)
    drawn["Vm0"] = (production - one).clamp(min=0.5) * (drawn["Km0"] + tissue) / tissue
    who = Physiology(
        b=(0.77 + 0.08 * normal(count)).clamp(0.56, 0.95),
        d=(0.17 + 0.05 * normal(count)).clamp(0.08, 0.34),
        f=0.9 * one,
        m2=clearance / drawn["Vi"],
        m4=0.4 * clearance / drawn["Vi"],
        m30=extraction / (1 - extraction) * drawn["m1"],
        kp1=one,  # follows from the fasting state
        Fsnc=one,
        ke1=0.0005 * one,
        ke2=339.0 * one,
        **drawn,
    )
    who, body, basal = fasting(who, level)
    rhythm = torch.tensor([0.05, 4.5]) + torch.tensor([0.2, 3.0]) * torch.rand(count, 2, generator=generator)
    return _suited(group, who, body, basal, level, carbs, rhythm)


def _draw_type2(count: int, generator: torch.Generator) -> Population:
    """The same of type 2, whose fasting state follows from what they make: first without insulin, then under what suits."""

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    drawn = _jointly(TYPE2, TYPE2_CORRELATION, {}, count, generator)
    drawn["kmin"] = drawn["kmin"].minimum(0.6 * drawn["kmax"])
    production, clearance, carbs, function = (drawn.pop(name) for name in ("production", "clearance", "carbs", "function"))
    one, extraction = torch.ones(count), 0.6  # of insulin by the liver, untreated, DM07
    plasma = drawn["Gb"] * drawn["Vg"]
    ke1, ke2 = 0.0007 * one, 269.0 * one
    used = (production - one - ke1 * (plasma - ke2).clamp(min=0)).clamp(min=0.4)
    tissue = ((drawn["k1"] * plasma - used) / drawn["k2"]).clamp(min=40.0)
    who = Secreting(
        b=(0.68 + 0.08 * normal(count)).clamp(0.5, 0.9),
        d=(0.09 + 0.02 * normal(count)).clamp(0.05, 0.15),
        f=0.9 * one,
        m2=clearance / drawn["Vi"],
        m4=0.4 * clearance / drawn["Vi"],
        m30=extraction / (1 - extraction) * drawn["m1"],
        kp1=one,  # follows from the fasting state, as do Sb and m6
        Sb=one,
        m6=0.5 * one,
        Fsnc=one,
        ke1=ke1,
        ke2=ke2,
        Vm0=used * (drawn["Km0"] + tissue) / tissue,
        K=0.99 * function,
        beta=0.05 * function,
        gamma=0.5 * one,
        **drawn,
    )
    secreted = secreted_at(who, who.Ib, extraction)
    who = untreated(replace(who, Sb=secreted, m6=extraction + who.m5 * secreted))
    basal = insulin_for(who, FASTED * one)
    body = resting_under(who, basal)
    rhythm = torch.tensor([0.05, 4.5]) + torch.tensor([0.2, 3.0]) * torch.rand(count, 2, generator=generator)
    return _suited("type2", who, body, basal, body.glucose(who), carbs, rhythm)


def _jointly(
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


def _suited(
    group: Cohort, who: Physiology, body: Body, basal: Tensor, level: Tensor, carbs: Tensor, rhythm: Tensor
) -> Population:
    """These bodies, whose basal rate is known, with the other settings that suit them."""
    count, settings = len(who), (basal, *settings_that_suit(who, body, basal, level), duration(who, body, basal))
    unset = (torch.ones(count, 3), torch.zeros(count, dtype=torch.bool))
    return Population(("",) * count, (group,) * count, who, body, level, *settings, carbs, rhythm, *unset)


def _plausible(people: Population) -> Tensor:
    """Whose needs are those of a person, and whose own settings carry them through a quiet day, `[B]`."""
    who, daily, most = people.physiology, people.daily_dose / people.physiology.weight, 300.0
    share = 24 * people.basal / people.daily_dose
    if isinstance(who, Secreting):  # resistant to insulin, and still making some
        slow, most = 24 * people.basal / who.weight, 350.0
        good = (slow > 0.1) & (slow < 1.2) & (daily < 2.2) & (people.carb_ratio > 2.05) & (who.first_pass < SECRETING_FASTEST)
    else:
        good = (daily > 0.25) & (daily < 1.3) & (share > 0.25) & (share < 0.75)
        good &= (people.carb_ratio > 3) & (people.carb_ratio < 60) & (who.exchange < FASTEST)
    good &= people.correction_factor < 300
    body, lowest, highest = people.body, people.fasting, people.fasting
    for row in range(240):
        meal = people.carbs / 3 * float(row in (0, 60, 140))
        body = advance(who, body, resting(meal, meal / people.carb_ratio + people.basal / 12))
        level = body.glucose(who)
        lowest, highest = torch.minimum(lowest, level), torch.maximum(highest, level)
    return good & (lowest > 60) & (highest < most)
