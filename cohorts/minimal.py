"""Bergman's minimal model with insulin under the skin and meals: the identifiable virtual patient.

Equations: Kanderian, Weinzimer, Voskanyan, Steil, "Identification of intraday metabolic profiles during closed-loop glucose
control in individuals with type 1 diabetes", J Diabetes Sci Technol 3(5), 1047-1057, 2009 (K09), whose glucose part is Bergman's
minimal model (Bergman, Phillips, Cobelli, J Clin Invest 68, 1456-1467, 1981). Insulin acts by a multiple of glucose, the body
returns by effectiveness of its own and by that multiple, production is constant and a meal is one chain of two stages.
Ours: that life's factors act (sensitivity on insulin's effect, uptake on effectiveness, pace on the meal), the sensor's delay,
and the depot of long-acting insulin, which opens into plasma insulin.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from careplan.therapies.glucose.declaration import Group
from cohorts.bodies import PMOL_PER_UNIT, Amounts, Body, Equations, Inputs
from cohorts.drawing import TYPICAL, Drawn, daily_rhythm, jointly

MICRO_UNIT = 1e6 / PMOL_PER_UNIT  # in one pmol


@dataclass(frozen=True, eq=False)
class Minimal(Equations):
    """Parameters `[B]` under the symbols of K09."""

    family: ClassVar[str] = "minimal"
    states: ClassVar[tuple[str, ...]] = ("meal", "gut", "under", "insulin", "effect", "plasma", "sensed", "long1", "long2")
    holding: ClassVar[tuple[str, ...]] = ("plasma", "sensed")
    depots: ClassVar[tuple[str, ...]] = ("under",)
    substeps: ClassVar[int] = 2

    SI: Tensor  # insulin sensitivity, mL/uU/min
    GEZI: Tensor  # glucose effectiveness at zero insulin, a minute
    EGP: Tensor  # production at zero insulin, mg/dL/min
    CI: Tensor  # clearance of insulin, mL/min
    tau1: Tensor  # minutes from the depot on
    tau2: Tensor  # minutes in plasma
    p2: Tensor  # a minute: how soon insulin's effect follows it
    tau_m: Tensor  # minutes to the peak of a meal's appearance
    VG: Tensor  # dL
    ksc: Tensor  # a minute: sensor

    def motion(self, meal: Tensor, given: Inputs) -> Callable[[Amounts], Amounts]:
        gut, passing, entering = given.pace / self.tau_m, 1 / self.tau1, self.weight * MICRO_UNIT / self.CI
        effectiveness, slow = self.GEZI * given.uptake, 1 / self.tlong

        def rate(x: Amounts) -> Amounts:
            first, second, under, insulin, effect, plasma, sensed, long1, long2 = x
            passed, late = passing * under, slow * long2
            appearing = gut * second / self.VG  # mg/dL/min
            return (
                given.carbs - gut * first,
                gut * first - gut * second,
                given.insulin - passed,
                (entering * (passed + late) - insulin) / self.tau2,
                self.p2 * (self.SI * insulin - effect),
                self.EGP + appearing - (effectiveness + given.sensitivity * effect) * plasma,
                self.ksc * (plasma - sensed),
                given.long_acting - slow * long1,
                slow * long1 - late,
            )

        return rate

    def glucose(self, amounts: Tensor) -> Tensor:
        return amounts[:, 5]

    def sensed(self, amounts: Tensor) -> Tensor:
        return amounts[:, 6]

    def acting(self, amounts: Tensor) -> Tensor:
        return amounts[:, 4]


# Median and spread of the logarithm. Medians are the mean subject of K09 as its equations are used since (Boiroux 2018, Control
# Eng Pract 81): 1.5 U/h hold 108 mg/dL. Clearance and volume there are of one adult, here by weight. Spreads are ours.
SPREAD: dict[str, tuple[float | None, float]] = {
    "weight": (None, 0.18),
    "SI": (8.11e-4, 0.35),
    "GEZI": (2.2e-3, 0.45),
    "EGP": (1.33, 0.18),
    "CI": (None, 0.15),
    "tau1": (49.0, 0.25),
    "tau2": (47.0, 0.25),
    "p2": (0.0106, 0.30),
    "tau_m": (47.0, 0.25),
    "VG": (None, 0.12),
    "ksc": (0.090, 0.25),
    "tlong": (480.0, 0.10),
    "carbs": (None, 0.18),
}
CLEARANCE, VOLUME = 25.4, 3.2  # mL/min and dL a kg: 2010 mL/min and 253 dL of 79 kg
CORRELATION = {("tau1", "tau2"): 0.4, ("SI", "EGP"): 0.3, ("weight", "carbs"): 0.5}


def rest(who: Minimal, level: Tensor) -> tuple[Body, Tensor]:
    """The body that holds a fasting glucose `[B]` mg/dL, and the basal rate U/h that it takes, not below 0."""
    insulin = ((who.EGP / level - who.GEZI) / who.SI).clamp(min=0)  # uU/mL
    rate = insulin * who.CI / 1e6  # U a minute
    none = torch.zeros_like(level)
    under = rate * PMOL_PER_UNIT / who.weight * who.tau1
    amounts = torch.stack([none, none, under, insulin, who.SI * insulin, level, level, none, none])
    return Body(amounts.T, none, none > 0), rate * 60


def draw(group: Group, count: int, generator: torch.Generator) -> Drawn:
    """People of K09's equations."""
    usual = TYPICAL[group]
    centre = {"weight": usual.weight, "carbs": usual.carbs, "CI": CLEARANCE, "VG": VOLUME}
    drawn = jointly(SPREAD, CORRELATION, centre, count, generator)
    carbs = drawn.pop("carbs")
    drawn["CI"], drawn["VG"] = drawn["CI"] * drawn["weight"], drawn["VG"] * drawn["weight"]
    level = (125 + 11 * torch.randn(count, generator=generator)).clamp(100, 155)
    who = Minimal(**drawn)
    body, basal = rest(who, level)
    return Drawn(who, body, basal, level, carbs, daily_rhythm(count, generator))
