"""Bodies of random structure: no two alike in the number and kind of their compartments.

Not from one paper: what published models of the same disease disagree on is drawn here person by person, so that a model learns
what a body may be like instead of one family's habits. Drawn are: one to four stages in the gut and under the skin, and a share
of a dose that takes a slow way (Nucci & Cobelli 2000 review such chains); none to two stages between plasma and effect; whether a
meal's absorption saturates; whether insulin's effect saturates, multiplies glucose (Bergman 1981) or removes a constant amount
(Wilinska 2008), and how much of it stops a supply that runs out; the return that does not depend on insulin, from none to strong;
a second compartment of glucose or none; and how far sensitivity follows the rhythm of the day.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from careplan.therapies.glucose.declaration import Group
from cohorts.bodies import PMOL_PER_UNIT, Amounts, Body, Equations, Inputs
from cohorts.drawing import TYPICAL, Drawn, daily_rhythm, jointly

STAGES = 4
KIDNEY, THRESHOLD = 0.002, 180.0  # a minute of what is above, mg/dL


@dataclass(frozen=True, eq=False)
class Assorted(Equations):
    """Parameters `[B]`; effects in mg/dL/min at the insulin of a fasting body, whose effect counts as 1."""

    family: ClassVar[str] = "assorted"
    states: ClassVar[tuple[str, ...]] = (
        *("meal1", "meal2", "meal3", "meal4", "under1", "under2", "under3", "under4", "slow", "insulin", "effect1", "effect2"),
        *("plasma", "tissue", "sensed", "long1", "long2"),
    )
    holding: ClassVar[tuple[str, ...]] = ("plasma", "tissue", "sensed")
    depots: ClassVar[tuple[str, ...]] = ("under1", "under2", "under3", "under4", "slow")
    substeps: ClassVar[int] = 2
    shares: ClassVar[tuple[str, ...]] = ("slowly",)
    free: ClassVar[tuple[str, ...]] = ("slowly", "liver", "multiple", "back", "kout", "remote")

    meals: Tensor  # stages of a meal, 1 to 4
    skin: Tensor  # stages under the skin, 1 to 4
    remote: Tensor  # stages between plasma and effect, 0 to 2
    tmeal: Tensor  # minutes a meal takes, all stages
    tskin: Tensor  # minutes a dose takes
    tslow: Tensor  # minutes of the slow way
    tinsulin: Tensor  # minutes in plasma
    tremote: Tensor  # minutes in each remote stage
    slowly: Tensor  # share of a dose that goes the slow way
    most: Tensor  # of a meal's first stage, mg, at which emptying is halved
    basal: Tensor  # pmol/kg/min that a fasting body is given
    strength: Tensor  # insulin's effect at that, mg/dL/min
    ceiling: Tensor  # multiples of fasting insulin at which the effect is half of its most
    liver: Tensor  # share of the effect that stops the supply
    supply: Tensor  # at rest, over what of it fasting insulin stops
    multiple: Tensor  # 0 removes a constant amount, 1 a multiple of glucose
    back: Tensor  # return that needs no insulin, a minute
    level: Tensor  # fasting glucose, mg/dL
    VG: Tensor  # dL/kg
    kout: Tensor  # to the second compartment, a minute
    kin: Tensor  # back from it
    gain: Tensor  # power of sensitivity
    exercise: Tensor  # uptake at twice the effort of rest, mg/dL/min
    ksc: Tensor  # a minute: sensor

    def _effect(self, insulin: Tensor) -> Tensor:
        """Of insulin over its fasting value, 1 at 1."""
        return insulin * (1 + self.ceiling) / (insulin + self.ceiling)

    def motion(self, meal: Tensor, given: Inputs) -> Callable[[Amounts], Amounts]:
        eating, under = given.pace * self.meals / self.tmeal, self.skin / self.tskin
        late, slowest, plasma_rate, remote_rate = 1 / self.tslow, 1 / self.tlong, 1 / self.tinsulin, 1 / self.tremote
        sensitivity, distributed = given.sensitivity**self.gain, 1 / (self.VG * self.weight)
        stopped, removed = self.liver * self.strength, (1 - self.liver) * self.strength
        made = removed - stopped * self.supply  # what neither insulin nor glucose changes
        moving = (given.uptake - 1) * self.exercise
        last = [(self.meals == stage).to(eating) for stage in range(1, STAGES + 1)]
        through = [(self.skin == stage).to(under) for stage in range(1, STAGES + 1)]
        once, twice = (self.remote == 1).to(under), (self.remote == 2).to(under)
        instant = 1 - once - twice

        def chain(stages: Amounts, entering: Tensor, rate: Tensor, ends: list[Tensor]) -> tuple[list[Tensor], Tensor]:
            moved, out = [], torch.zeros_like(entering)
            for stage, end in zip(stages, ends, strict=True):
                leaving = rate * stage
                moved.append(entering - leaving)
                entering, out = leaving * (1 - end), out + leaving * end
            return moved, out

        def rate(x: Amounts) -> Amounts:
            slow, insulin, effect1, effect2, plasma, tissue, sensed, long1, long2 = x[8:]
            filling = eating / (1 + x[0] / self.most)
            leaving = filling * x[0]
            food, appearing = chain(x[1:4], leaving * (1 - last[0]), eating, last[1:])
            appearing = appearing + leaving * last[0]
            depots, arriving = chain(x[4:8], given.insulin * (1 - self.slowly), under, through)
            arriving = arriving + late * slow + slowest * long2
            acting = instant * insulin + once * effect1 + twice * effect2
            effect = sensitivity * self._effect(acting)
            relative = plasma / self.level
            bound = 1 + self.multiple * (relative - 1)
            scarce = (plasma / 40).clamp(max=1)  # nothing takes up glucose that is not there
            supplied = (stopped * (self.supply + 1) - stopped * effect).clamp(min=0)
            fixed = torch.where(made < 0, made * scarce, made)
            used = removed * effect * bound * scarce + self.back * (plasma - self.level) + moving * relative
            used = used + KIDNEY * (plasma - THRESHOLD).clamp(min=0)
            exchanged = self.kout * plasma - self.kin * tissue
            return (
                given.carbs - leaving,
                *food,
                *depots,
                given.insulin * self.slowly - late * slow,
                plasma_rate * (arriving / self.basal - insulin),
                remote_rate * (insulin - effect1),
                remote_rate * (effect1 - effect2),
                fixed + supplied - used - exchanged + 0.9 * appearing * distributed,
                exchanged,
                self.ksc * (plasma - sensed),
                given.long_acting - slowest * long1,
                slowest * (long1 - long2),
            )

        return rate

    def glucose(self, amounts: Tensor) -> Tensor:
        return amounts[:, 12]

    def sensed(self, amounts: Tensor) -> Tensor:
        return amounts[:, 14]

    def acting(self, amounts: Tensor) -> Tensor:
        effects = amounts[:, 9:12]
        return effects.gather(1, self.remote.long().unsqueeze(1)).squeeze(1)


# Median and spread of the logarithm of what every structure has. Strength and volume are such that carb ratios and correction
# factors come out near the rules of 500 and 1800.
SPREAD: dict[str, tuple[float | None, float]] = {
    "weight": (None, 0.18),
    "tmeal": (75.0, 0.30),
    "tskin": (95.0, 0.25),
    "tslow": (240.0, 0.25),
    "tinsulin": (12.0, 0.50),
    "tremote": (35.0, 0.45),
    "daily": (0.33, 0.20),
    "strength": (1.10, 0.25),
    "supply": (1.0, 0.50),
    "VG": (2.6, 0.15),
    "exercise": (0.5, 0.40),
    "gain": (1.0, 0.25),
    "kin": (0.03, 0.40),
    "ksc": (0.09, 0.25),
    "tlong": (480.0, 0.10),
    "carbs": (None, 0.18),
}
CORRELATION = {("weight", "carbs"): 0.5}


def rest(who: Assorted) -> tuple[Body, Tensor]:
    """The fasting body, and its basal rate, U/h `[B]`."""
    none, one = torch.zeros_like(who.level), torch.ones_like(who.level)
    filled = who.basal * (1 - who.slowly) * who.tskin / who.skin
    depots = [torch.where(who.skin >= stage, filled, 0.0) for stage in range(1, STAGES + 1)]
    slow, tissue = who.basal * who.slowly * who.tslow, who.level * who.kout / who.kin
    amounts = torch.stack([*4 * [none], *depots, slow, one, one, one, who.level, tissue, who.level, none, none])
    return Body(amounts.T, none, none > 0), who.basal * who.weight / PMOL_PER_UNIT * 60


def draw(group: Group, count: int, generator: torch.Generator) -> Drawn:
    """People each of a structure of their own."""
    usual = TYPICAL[group]
    drawn = jointly(SPREAD, CORRELATION, {"weight": usual.weight, "carbs": usual.carbs}, count, generator)
    carbs, daily = drawn.pop("carbs"), drawn.pop("daily")

    def uniform(low: float = 0.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=generator)

    def some(share: float, value: Tensor) -> Tensor:
        """`value` of a share of people, 0 of the others."""
        return torch.where(uniform() < share, value, 0.0)

    stages = [torch.randint(low, STAGES + 1, (count,), generator=generator).float() for low in (1, 2)]
    who = Assorted(
        meals=stages[0],
        skin=stages[1],
        remote=torch.randint(3, (count,), generator=generator).float(),
        slowly=some(0.4, uniform(0.1, 0.4)),
        most=torch.where(uniform() < 0.3, 1000 * carbs * uniform(0.1, 0.3), 1e9 * torch.ones(count)),
        basal=daily * PMOL_PER_UNIT / (24 * 60),
        ceiling=torch.where(uniform() < 0.5, uniform(2.0, 8.0), 1e3 * torch.ones(count)),
        liver=some(0.7, uniform(0.2, 0.9)),
        multiple=some(0.6, uniform()),
        back=some(0.65, 0.008 * uniform() ** 1.5),
        level=(125 + 11 * torch.randn(count, generator=generator)).clamp(100, 155),
        kout=some(0.5, drawn["kin"] * uniform(0.2, 0.8)),
        **drawn,
    )
    body, basal = rest(who)
    return Drawn(who, body, basal, who.level, carbs, daily_rhythm(count, generator, most=0.35))
