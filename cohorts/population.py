"""Virtual people: distinct, plausible, each with the settings a careful clinic would have arrived at, or not quite."""

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from careplan.glucose import BLOCKS, Group, Regimen
from cohorts.physiology import ACTION, STATES, Body, Physiology, advance, fasting, long_acting_steady, resting

GROUPS: tuple[Group, ...] = ("adult", "adolescent", "child")
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
# theirs; Vmx and kp3 are ours, set so that time in range, insulin a day and variability come out as in clinics (docs/cohorts.md).
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


@dataclass(frozen=True, eq=False)
class Population:
    """B virtual people: physiology, their body after a night's fast, and what suits them.

    fasting mg/dL, basal U/h, carb_ratio g/U, correction_factor mg/dL/U, duration h (until 90 % of a bolus has acted),
    carbs g a day, `[B]` each. rhythm `[B, 2]`: how far insulin sensitivity swings over the day, and the hour it is lowest.
    prescribed: `[B, 3]` factors by which the settings in force differ from what suits (1: well set). pens `[B]`: no pump.
    """

    names: tuple[str, ...]
    groups: tuple[Group, ...]
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


def sample_population(group: Group, count: int, seed: int, *, mis_set: float = 0.0, pens: float = 0.0) -> Population:
    """`count` people of one group. mis_set: spread of the logarithm of the error in each setting in force; pens: share on pens.

    Parameters are jointly log-normal. People whose insulin need is absurd, or whom their own settings cannot carry through a
    quiet day of three meals between 60 and 300 mg/dL, are drawn again.
    """
    if count < 1:
        raise ValueError(f"population of {count}: expected at least one person")
    if group not in TYPICAL:
        raise ValueError(f"group {group!r}: expected one of {', '.join(TYPICAL)}")
    if not 0 <= mis_set < 2 or not 0 <= pens <= 1:
        raise ValueError(f"mis_set {mis_set}, pens {pens}: expected a spread from 0 to 2, and a share from 0 to 1")
    generator = torch.Generator().manual_seed(seed)
    kept: list[Population] = []
    while sum(map(len, kept)) < count:
        drawn = _draw(group, count + count // 2 + 8, generator)
        kept.append(drawn[torch.nonzero(_plausible(drawn)).squeeze(1)])
    people = join(kept)[torch.arange(count)]
    names = tuple(f"{group}-{seed}-{index + 1:03d}" for index in range(count))
    prescribed = torch.exp(mis_set * torch.randn(count, 3, generator=generator)).clamp(0.5, 2.0)
    on_pens = torch.rand(count, generator=generator) < pens
    daily = (24 * people.basal * prescribed[:, 0]).round()
    depot = long_acting_steady(people.physiology, people.body, daily, since=24 * 60.0 - LONG_ACTING_AT)
    body = replace(people.body, amounts=torch.where(on_pens.unsqueeze(1), depot.amounts, people.body.amounts))
    return replace(people, names=names, prescribed=prescribed, pens=on_pens, body=body)


def join(populations: list[Population]) -> Population:
    """Several populations as one."""
    bodies = zip(*(vars(people.body).values() for people in populations), strict=True)
    physiologies = zip(*(vars(people.physiology).values() for people in populations), strict=True)
    return Population(
        tuple(name for people in populations for name in people.names),
        tuple(group for people in populations for group in people.groups),
        Physiology(*map(torch.cat, physiologies)),
        Body(*map(torch.cat, bodies)),
        *map(torch.cat, zip(*(people._numbers() for people in populations), strict=True)),
    )


def _draw(group: Group, count: int, generator: torch.Generator) -> Population:
    """People, well set and on pumps, not yet judged."""

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    names, centre = list(SPREAD), vars(TYPICAL[group])
    correlation = torch.eye(len(names))
    for (first, second), value in CORRELATION.items():
        row, column = names.index(first), names.index(second)
        correlation[row, column] = correlation[column, row] = value
    steps = normal(count, len(names)) @ torch.linalg.cholesky(correlation).T
    drawn: dict[str, Tensor] = {}
    for place, (name, (median, spread)) in enumerate(SPREAD.items()):
        drawn[name] = (centre[name] if median is None else median) * torch.exp(spread * steps[:, place].clamp(-2.5, 2.5))
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
    settings = (basal, *_settings(who, body, basal, level), _duration(who, body, basal))
    unset = (torch.ones(count, 3), torch.zeros(count, dtype=torch.bool))
    return Population(("",) * count, (group,) * count, who, body, level, *settings, carbs, rhythm, *unset)


def _needed(who: Physiology, body: Body, basal: Tensor, lowest: Tensor, carbs: Tensor, doses: Tensor) -> Tensor:
    """The bolus `[B]` that takes people from `body`, and a meal, down to `lowest` mg/dL, between rising `doses` `[B, K]`."""
    tried = doses.shape[1]
    everyone = torch.arange(len(basal)).repeat_interleave(tried)
    people, now = who[everyone], Body(*(part[everyone] for part in vars(body).values()))
    reached = now.glucose(people)
    for row in range(72):
        first = float(row == 0)
        now = advance(people, now, resting(carbs[everyone] * first, basal[everyone] / 12 + doses.flatten() * first))
        reached = now.glucose(people) if row == 5 else torch.minimum(reached, now.glucose(people))  # not the level it began at
    above = (reached - lowest[everyone]).view(-1, tried)  # falls with the dose
    upper = (above > 0).sum(1, keepdim=True).clamp(1, tried - 1)
    low, high = above.gather(1, upper - 1), above.gather(1, upper)
    share = (low / (low - high).clamp(min=1e-6)).clamp(0, 1)
    return doses.gather(1, upper - 1).lerp(doses.gather(1, upper), share).squeeze(1)


def _settings(who: Physiology, body: Body, basal: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
    """Carb ratio, of a meal of 0.6 g/kg, and correction factor, from 100 mg/dL above fasting: as strong as leaves them no lower
    than 15 mg/dL below fasting in the six hours after.
    """
    meal, excess, lowest = 0.6 * who.weight, 100.0, level - 15
    ratio = meal / _needed(who, body, basal, lowest, meal, meal.unsqueeze(1) / torch.logspace(1.9, 0.3, 12))
    high = body.amounts.clone()
    for state in ("plasma", "tissue", "sensed"):
        high[:, STATES.index(state)] *= 1 + excess / level
    doses = excess / torch.logspace(2.6, 0.7, 12).expand(len(level), -1)
    return ratio, excess / _needed(who, replace(body, amounts=high), basal, lowest, 0 * meal, doses)


def _duration(who: Physiology, body: Body, basal: Tensor) -> Tensor:
    """Hours until 90 % of a bolus has acted, `[B]`."""
    actions = []
    for row in range(96):
        body = advance(who, body, resting(0 * basal, basal / 12 + basal * float(row == 0)))
        actions.append(body.amounts[:, ACTION])
    course = torch.stack(actions)
    return (course.cumsum(0) / course.sum(0) < 0.9).sum(0) / 12.0


def _plausible(people: Population) -> Tensor:
    """Whose needs are those of a person, and whose own settings carry them through a quiet day, `[B]`."""
    daily = people.daily_dose / people.physiology.weight
    share = 24 * people.basal / people.daily_dose
    good = (daily > 0.25) & (daily < 1.3) & (share > 0.25) & (share < 0.75)
    good &= (people.carb_ratio > 3) & (people.carb_ratio < 60) & (people.correction_factor < 300)
    body, lowest, highest = people.body, people.fasting, people.fasting
    for row in range(240):
        meal = people.carbs / 3 * float(row in (0, 60, 140))
        body = advance(people.physiology, body, resting(meal, meal / people.carb_ratio + people.basal / 12))
        level = body.glucose(people.physiology)
        lowest, highest = torch.minimum(lowest, level), torch.maximum(highest, level)
    return good & (lowest > 60) & (highest < 300)
