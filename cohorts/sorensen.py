"""Sorensen's body: glucose, insulin and glucagon in the circulation through brain, heart, gut, liver, kidney and periphery.

Equations and constants: J. T. Sorensen, "A physiologic model of glucose metabolism in man and its use to design and assess
improved insulin therapies for diabetes", thesis, MIT 1985 (S85), a man of 70 kg; its fasting state fixes most of them and is
checked in `tests/cohorts/test_families.py`. With type 1 the pancreas releases no insulin; glucagon answers lows. Everything by
weight is in proportion to it, so concentrations are those of 70 kg under doses and meals of 70 kg.
Ours: what is eaten (a stomach that empties at most so fast, after Lehmann & Deutsch 1992, then the gut), two stages under the
skin (Hovorka 2004, Physiol Meas 25, 905-920), how people differ, and that life's factors act: sensitivity on the arguments of
insulin's effects, half of it on the liver's, uptake on the periphery's, pace on stomach and gut.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from careplan.therapies.glucose.declaration import Group
from cohorts.bodies import PMOL_PER_UNIT, Amounts, Body, Equations, Inputs
from cohorts.drawing import TYPICAL, Drawn, daily_rhythm, jointly

SUBSTEPS = 10  # blood passes the heart in a third of a minute
MILLI_UNIT = 1e3 / PMOL_PER_UNIT  # in one pmol
MAN = 70.0  # kg

# Glucose: blood flow dL/min and volumes dL (v vascular, i interstitial), minutes of transcapillary diffusion.
FLOW = {"brain": 5.9, "liver": 12.6, "artery": 2.5, "gut": 10.1, "kidney": 10.1, "periphery": 15.1, "heart": 43.7}
VOLUME = {"brain": 3.5, "brain_i": 4.5, "heart": 13.8, "gut": 11.2, "liver": 25.1, "kidney": 6.6, "periphery": 10.4}
TISSUE, DIFFUSION = 67.4, {"brain": 2.1, "periphery": 5.0}
BRAIN, CELLS, GUT, PERIPHERY, PRODUCED, TAKEN = 70.0, 10.0, 20.0, 35.0, 155.0, 20.0  # mg/min used and made while fasting
# Insulin: blood flow L/min, volumes L, minutes of diffusion, shares cleared by liver, kidney and periphery.
PLASMA_FLOW = {"brain": 0.45, "liver": 0.90, "artery": 0.18, "gut": 0.72, "kidney": 0.72, "periphery": 1.05, "heart": 3.12}
PLASMA = {"brain": 0.265, "heart": 0.985, "gut": 0.945, "liver": 1.14, "kidney": 0.505, "periphery": 0.735}
INTERSTITIAL, ENTERING, LIVER, KIDNEY, TISSUES = 6.3, 20.0, 0.40, 0.30, 0.15
# The fasting concentrations by which effects are normalised, mg/dL and mU/L.
GLUCOSE = {"liver": 101.0, "heart": 91.89, "tissue": 86.81}
INSULIN = {"liver": 21.43, "heart": 15.15, "tissue": 5.304}
GLUCAGON = 0.910 / 9.93  # a minute: clearance over volume

SUGARS = ("brain", "brain_i", "heart", "gut_blood", "liver", "kidney", "periphery", "tissue")
HORMONES = tuple(f"insulin_{organ}" for organ in ("brain", "heart", "gut", "liver", "kidney", "periphery", "tissue"))
SLOW = ("producing", "taking", "adapted", "glucagon")  # effects of insulin on the liver, glucagon's fading effect, glucagon


def production(insulin: Tensor) -> Tensor:
    """What insulin in the liver, over its fasting value, makes of the liver's production, over its fasting value; S85."""
    return 1.21 - 1.14 * torch.tanh(1.66 * (insulin - 0.89))


def restrained(glucose: Tensor) -> Tensor:
    """What glucose in the liver, over its fasting value, makes of the liver's production; S85."""
    return 1.42 - 1.41 * torch.tanh(0.62 * (glucose - 0.497))


def stirred(glucagon: Tensor) -> Tensor:
    """What glucagon, over its fasting value, makes of the liver's production at once; S85."""
    return 2.7 * torch.tanh(0.39 * glucagon)


def stored(insulin: Tensor) -> Tensor:
    """What insulin in the liver makes of the liver's uptake; S85."""
    return 2.0 * torch.tanh(0.55 * insulin)


def offered(glucose: Tensor) -> Tensor:
    """What glucose in the liver makes of the liver's uptake; S85."""
    return 5.66 + 5.66 * torch.tanh(2.44 * (glucose - 1.48))


def taken_up(insulin: Tensor) -> Tensor:
    """What insulin in the periphery's interstitium makes of its uptake; S85."""
    return 7.03 + 6.52 * torch.tanh(0.338 * (insulin - 5.82))


def released(glucose: Tensor, insulin: Tensor) -> Tensor:
    """Glucagon's release, of arterial glucose and insulin over their fasting values; S85."""
    answer = 2.93 - 2.10 * torch.tanh(4.18 * (glucose - 0.61))
    return answer * (1.31 - 0.61 * torch.tanh(1.06 * (insulin - 0.47)))


def excreted(kidney: Tensor) -> Tensor:
    """Loss by the kidney, mg/min, at its glucose in mg/dL; S85."""
    return torch.where(kidney < 460, 71 + 71 * torch.tanh(0.011 * (kidney - 460)), -330 + 0.872 * kidney)


def _circulation() -> tuple[Tensor, Tensor]:
    """The linear parts, `[8, 8]` and `[7, 7]` a minute: d/dt of glucose and of insulin by flow, diffusion and clearance."""
    sugar, hormone = torch.zeros(8, 8, dtype=torch.float64), torch.zeros(7, 7, dtype=torch.float64)

    def join(matrix: Tensor, into: int, origin: int, rate: float) -> None:
        matrix[into, origin] += rate

    at = {name: place for place, name in enumerate(SUGARS)}
    flow, volume = FLOW, VOLUME
    for organ, place in (("brain", at["brain"]), ("kidney", at["kidney"]), ("periphery", at["periphery"])):
        join(sugar, place, at["heart"], flow[organ] / volume[organ])
        join(sugar, place, place, -flow[organ] / volume[organ])
        join(sugar, at["heart"], place, flow[organ] / volume["heart"])
    join(sugar, at["heart"], at["heart"], -flow["heart"] / volume["heart"])
    join(sugar, at["heart"], at["liver"], flow["liver"] / volume["heart"])
    join(sugar, at["gut_blood"], at["heart"], flow["gut"] / volume["gut"])
    join(sugar, at["gut_blood"], at["gut_blood"], -flow["gut"] / volume["gut"])
    join(sugar, at["liver"], at["heart"], flow["artery"] / volume["liver"])
    join(sugar, at["liver"], at["gut_blood"], flow["gut"] / volume["liver"])
    join(sugar, at["liver"], at["liver"], -flow["liver"] / volume["liver"])
    for vessel, inside, size, minutes in (
        ("brain", "brain_i", volume["brain_i"], DIFFUSION["brain"]),
        ("periphery", "tissue", TISSUE, DIFFUSION["periphery"]),
    ):
        join(sugar, at[vessel], at[inside], size / minutes / volume[vessel])
        join(sugar, at[vessel], at[vessel], -size / minutes / volume[vessel])
        join(sugar, at[inside], at[vessel], 1 / minutes)
        join(sugar, at[inside], at[inside], -1 / minutes)

    at = {name.removeprefix("insulin_"): place for place, name in enumerate(HORMONES)}
    flow, volume = PLASMA_FLOW, PLASMA
    for organ in ("brain", "kidney", "periphery"):
        left = 1 - KIDNEY if organ == "kidney" else 1.0  # of what arrives
        join(hormone, at[organ], at["heart"], left * flow[organ] / volume[organ])
        join(hormone, at[organ], at[organ], -flow[organ] / volume[organ])
        join(hormone, at["heart"], at[organ], flow[organ] / volume["heart"])
    join(hormone, at["heart"], at["heart"], -flow["heart"] / volume["heart"])
    join(hormone, at["heart"], at["liver"], flow["liver"] / volume["heart"])
    join(hormone, at["gut"], at["heart"], flow["gut"] / volume["gut"])
    join(hormone, at["gut"], at["gut"], -flow["gut"] / volume["gut"])
    join(hormone, at["liver"], at["heart"], (1 - LIVER) * flow["artery"] / volume["liver"])
    join(hormone, at["liver"], at["gut"], (1 - LIVER) * flow["gut"] / volume["liver"])
    join(hormone, at["liver"], at["liver"], -flow["liver"] / volume["liver"])
    join(hormone, at["periphery"], at["tissue"], INTERSTITIAL / ENTERING / volume["periphery"])
    join(hormone, at["periphery"], at["periphery"], -INTERSTITIAL / ENTERING / volume["periphery"])
    join(hormone, at["tissue"], at["periphery"], 1 / ENTERING)
    join(hormone, at["tissue"], at["tissue"], -1 / ENTERING)
    cleared = (1 - TISSUES) / TISSUES / flow["periphery"] - ENTERING / INTERSTITIAL  # min/L
    join(hormone, at["tissue"], at["tissue"], -1 / cleared / INTERSTITIAL)
    return sugar, hormone


CIRCULATION = _circulation()


@dataclass(frozen=True, eq=False)
class Sorensen(Equations):
    """How people differ from the man of S85, `[B]` each; 1 is that man."""

    family: ClassVar[str] = "sorensen"
    states: ClassVar[tuple[str, ...]] = (
        *("stomach", "bowel", *SUGARS, *HORMONES, *SLOW, "depot1", "depot2", "sensed", "long1", "long2"),
    )
    signed: ClassVar[tuple[int, ...]] = (states.index("adapted"),)
    holding: ClassVar[tuple[str, ...]] = (*SUGARS, "sensed")
    depots: ClassVar[tuple[str, ...]] = ("depot1", "depot2")
    substeps: ClassVar[int] = SUBSTEPS

    made: Tensor  # the liver's fasting production
    muscle: Tensor  # the periphery's sensitivity to insulin
    hepatic: Tensor  # the liver's
    uptake: Tensor  # the periphery's fasting uptake
    answer: Tensor  # strength of glucagon
    potency: Tensor  # concentration that a dose reaches
    emptying: Tensor  # of the stomach, a minute
    most: Tensor  # that it empties, mg/min
    kabs: Tensor  # from the gut, a minute
    tskin: Tensor  # minutes in each stage under the skin
    ksc: Tensor  # a minute: sensor

    def motion(self, meal: Tensor, given: Inputs) -> Callable[[Amounts], Amounts]:
        size, slow, under = MAN / self.weight, 1 / self.tlong, 1 / self.tskin
        emptying, absorbing = self.emptying * given.pace, self.kabs * given.pace
        most = self.most * given.pace
        muscle, hepatic = self.muscle * given.sensitivity, self.hepatic * (0.5 + 0.5 * given.sensitivity)
        dose = MAN * MILLI_UNIT * self.potency  # a man's mU for a pmol/kg
        sugars, hormones = (part.to(self.weight) for part in CIRCULATION)

        def rate(x: Amounts) -> Amounts:
            stomach, bowel, *blood = x
            sugar, hormone, rest = blood[:8], blood[8:15], blood[15:]
            producing, taking, adapted, glucagon, depot1, depot2, sensed, long1, long2 = rest
            heart, liver, kidney, tissue = sugar[2], sugar[4], sugar[5], sugar[7]
            within, moved, arriving = hormone[3] / INSULIN["liver"], under * depot1, under * depot2
            late, passed = slow * long2, slow * long1
            emptied = most * (1 - torch.exp(-emptying * stomach / most))
            absorbed = absorbing * bowel
            strength = 1 + self.answer * (stirred(glucagon) - 1)
            made = self.made * PRODUCED * producing * (strength - adapted).clamp(min=0) * restrained(liver / GLUCOSE["liver"])
            taken = TAKEN * taking * offered(liver / GLUCOSE["liver"])
            used = self.uptake * PERIPHERY * given.uptake * taken_up(muscle * hormone[6] / INSULIN["tissue"])
            flows = list((sugars @ torch.stack(sugar)).unbind())
            flows[1] = flows[1] - BRAIN / VOLUME["brain_i"]
            flows[2] = flows[2] - CELLS / VOLUME["heart"]
            flows[3] = flows[3] + (0.9 * size * absorbed - GUT) / VOLUME["gut"]
            flows[4] = flows[4] + (made - taken) / VOLUME["liver"]
            flows[5] = flows[5] - excreted(kidney) / VOLUME["kidney"]
            flows[7] = flows[7] - used * tissue / GLUCOSE["tissue"] / TISSUE
            passing = list((hormones @ torch.stack(hormone)).unbind())
            passing[1] = passing[1] + dose * (arriving + late) / PLASMA["heart"]
            return (
                given.carbs - emptied,
                emptied - absorbed,
                *flows,
                *passing,
                (production(hepatic * within) - producing) / 25,
                (stored(hepatic * within) - taking) / 25,
                ((strength - 1) / 2 - adapted) / 65,
                GLUCAGON * (released(heart / GLUCOSE["heart"], hormone[1] / INSULIN["heart"]) - glucagon),
                given.insulin - moved,
                moved - arriving,
                self.ksc * (tissue * GLUCOSE["heart"] / GLUCOSE["tissue"] - sensed),
                given.long_acting - passed,
                passed - late,
            )

        return rate

    def glucose(self, amounts: Tensor) -> Tensor:
        return amounts[:, self.states.index("heart")]

    def sensed(self, amounts: Tensor) -> Tensor:
        return amounts[:, self.states.index("sensed")]

    def acting(self, amounts: Tensor) -> Tensor:
        return amounts[:, self.states.index("insulin_tissue")]


# Median and spread of the logarithm, ours, but for the two stages under the skin (Hovorka 2004: 55 min). The stomach's most is
# twice that of Lehmann & Deutsch 1992 (360 mg/min), under which two meals of any size differ after an hour or more alone.
SPREAD: dict[str, tuple[float | None, float]] = {
    "weight": (None, 0.18),
    "made": (1.0, 0.13),
    "muscle": (1.0, 0.25),
    "hepatic": (1.0, 0.25),
    "uptake": (1.0, 0.20),
    "answer": (0.6, 0.40),
    "potency": (1.0, 0.15),
    "emptying": (0.04, 0.25),
    "most": (700.0, 0.35),
    "kabs": (0.025, 0.30),
    "tskin": (55.0, 0.20),
    "ksc": (0.12, 0.25),
    "tlong": (480.0, 0.10),
    "carbs": (None, 0.18),
}
CORRELATION = {("muscle", "hepatic"): 0.3, ("weight", "carbs"): 0.5, ("weight", "most"): 0.3}


def rest(who: Sorensen, level: Tensor, infused: Tensor) -> tuple[Tensor, Tensor]:
    """The state `[B, S]` of a body that is steady, but for its liver, at an arterial glucose `[B]` mg/dL while so much insulin
    appears, a man's mU/min `[B]`; and what the liver then makes beyond what leaves it, mg/min `[B]`."""
    hormones = CIRCULATION[1]
    source = torch.zeros(7, dtype=torch.float64)
    source[1] = 1 / PLASMA["heart"]
    insulin = -torch.linalg.solve(hormones, source).to(level).unsqueeze(1) * infused * who.potency  # [7, B]
    within, muscle = insulin[3] / INSULIN["liver"] * who.hepatic, who.muscle * insulin[6] / INSULIN["tissue"]
    taking_up = who.uptake * PERIPHERY * taken_up(muscle) / GLUCOSE["tissue"]
    tissue = level / (1 + taking_up * (1 / FLOW["periphery"] + DIFFUSION["periphery"] / TISSUE))
    periphery = level - taking_up * tissue / FLOW["periphery"]
    brain, gut, kidney = level - BRAIN / FLOW["brain"], level - GUT / FLOW["gut"], level
    for _ in range(3):
        kidney = level - excreted(kidney) / FLOW["kidney"]
    back = FLOW["brain"] * brain + FLOW["kidney"] * kidney + FLOW["periphery"] * periphery
    liver = (FLOW["heart"] * level + CELLS - back) / FLOW["liver"]
    glucagon = released(level / GLUCOSE["heart"], insulin[1] / INSULIN["heart"])
    strength = 1 + who.answer * (stirred(glucagon) - 1)
    made = who.made * PRODUCED * production(within) * (strength + 1) / 2 * restrained(liver / GLUCOSE["liver"])
    taken = TAKEN * stored(within) * offered(liver / GLUCOSE["liver"])
    excess = FLOW["artery"] * level + FLOW["gut"] * gut - FLOW["liver"] * liver + made - taken
    none, depot = torch.zeros_like(level), infused / (MAN * MILLI_UNIT) * who.tskin
    sugar = (brain, brain - BRAIN * DIFFUSION["brain"] / VOLUME["brain_i"], level, gut, liver, kidney, periphery, tissue)
    slow = (production(within), stored(within), (strength - 1) / 2, glucagon)
    sensed = tissue * GLUCOSE["heart"] / GLUCOSE["tissue"]
    return torch.stack([none, none, *sugar, *insulin, *slow, depot, depot, sensed, none, none]).T, excess


def draw(group: Group, count: int, generator: torch.Generator) -> Drawn:
    """People of S85's equations without secretion, at rest under the infusion that a bisection finds."""
    usual = TYPICAL[group]
    drawn = jointly(SPREAD, CORRELATION, {"weight": usual.weight, "carbs": usual.carbs}, count, generator)
    drawn["most"] = drawn["most"] * (usual.weight / MAN)
    carbs = drawn.pop("carbs")
    level = (125 + 11 * torch.randn(count, generator=generator)).clamp(100, 155)
    who = Sorensen(**drawn)
    low, high = torch.zeros(count), torch.full((count,), 100.0)
    for _ in range(40):
        middle = (low + high) / 2
        above = rest(who, level, middle)[1] > 0  # falls as insulin rises
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    infused = (low + high) / 2
    amounts, none = rest(who, level, infused)[0], torch.zeros(count)
    basal = infused / 1000 * 60 * who.weight / MAN
    return Drawn(who, Body(amounts, none, none > 0), basal, level, carbs, daily_rhythm(count, generator))
