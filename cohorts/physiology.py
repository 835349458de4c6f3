"""Physiology, batched on any device: the UVA/Padova model of type 1 in thirteen states, two more for long-acting insulin, and
two more in people of type 2, for what their beta cells still make.

Equations: Dalla Man, Rizza, Cobelli, "Meal simulation model of the glucose-insulin system", IEEE TBME 54(10), 2007 (DM07),
with the subcutaneous insulin chain and sensor delay of its type 1 simulator (Kovatchev 2009, J Diabetes Sci Technol 3(1)).
Secretion is DM07's own, of the normal and the type 2 body; its numbers there are in docs/experiments/virtual-people.md.
Not modelled: counter-regulation by glucagon (S2013), intravenous inputs, changes of weight.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from cohorts.bodies import PMOL_PER_UNIT, Amounts, Body, Equations, Inputs

SUBSTEPS = 2  # Runge-Kutta steps in each; stable while no rate exceeds FASTEST
FASTEST = 1.1  # a minute
SECRETING_SUBSTEPS = 4  # insulin that the liver takes at first pass comes and goes faster
SECRETING_FASTEST = FASTEST * SECRETING_SUBSTEPS / SUBSTEPS
RATES = (
    *("kabs", "kmax", "kmin", "k1", "k2", "m1", "m2", "m4", "m30", "kp2", "ki", "p2u"),
    *("ke1", "kd", "ka1", "ka2", "ksc"),
)

# The states, in order: the published thirteen, then what long-acting insulin waits in. Amounts a kg of body weight, except in
# the stomach and the gut, which hold milligrams; "action", "delayed" and "hepatic" are insulin signals in pmol/L.
STATES = (
    *("solid", "liquid", "gut", "plasma", "tissue", "insulin", "action", "delayed", "hepatic", "liver"),
    *("depot1", "depot2", "sensed", "long1", "long2"),
)
# Only in people who secrete: insulin on its way to the liver, pmol/kg, and the slow part of secretion above its fasting rate,
# pmol/kg/min, which may be negative.
SECRETION = ("portal", "response")
PLASMA, ACTION, SENSED = (STATES.index(name) for name in ("plasma", "action", "sensed"))


@dataclass(frozen=True, eq=False)
class Physiology(Equations):
    """Parameters `[B]` under the published symbols. Units: minutes, mg/kg, pmol/kg, mg/dL, pmol/L."""

    family: ClassVar[str] = "padova"
    states: ClassVar[tuple[str, ...]] = STATES
    signed: ClassVar[tuple[int, ...]] = (ACTION,)  # a deviation from the fasting state
    holding: ClassVar[tuple[str, ...]] = ("plasma", "tissue", "sensed")
    depots: ClassVar[tuple[str, ...]] = ("depot1", "depot2")
    substeps: ClassVar[int] = SUBSTEPS
    shares: ClassVar[tuple[str, ...]] = ("b", "d", "f", "m6")

    kabs: Tensor
    kmax: Tensor
    kmin: Tensor
    b: Tensor
    d: Tensor
    f: Tensor
    Vg: Tensor
    k1: Tensor
    k2: Tensor
    Vi: Tensor
    m1: Tensor
    m2: Tensor
    m4: Tensor
    m30: Tensor
    kp1: Tensor
    kp2: Tensor
    kp3: Tensor
    ki: Tensor
    Fsnc: Tensor
    Vm0: Tensor
    Vmx: Tensor
    Km0: Tensor
    p2u: Tensor
    ke1: Tensor
    ke2: Tensor
    kd: Tensor
    ka1: Tensor
    ka2: Tensor
    ksc: Tensor
    Ib: Tensor  # basal plasma insulin, pmol/L

    def motion(self, meal: Tensor, given: Inputs) -> Callable[[Amounts], Amounts]:
        return vector_field(self, meal, given)

    def glucose(self, amounts: Tensor) -> Tensor:
        return amounts[:, PLASMA] / self.Vg

    def sensed(self, amounts: Tensor) -> Tensor:
        return amounts[:, SENSED] / self.Vg

    def acting(self, amounts: Tensor) -> Tensor:
        return amounts[:, ACTION]

    @property
    def exchange(self) -> Tensor:
        """The fastest rate at which insulin settles between plasma and liver, `[B]` a minute, which exceeds each of its rate
        constants."""
        return self._settling(self.m1 + self.m30)

    def _settling(self, liver: Tensor) -> Tensor:
        """The larger eigenvalue of plasma and a liver that insulin leaves at so much a minute, `[B]`."""
        plasma = self.m2 + self.m4
        return (plasma + liver) / 2 + torch.sqrt(((plasma - liver) / 2) ** 2 + self.m1 * self.m2)

    @property
    def limits(self) -> dict[str, float]:
        """The most that each rate may be, a minute."""
        return dict.fromkeys(RATES, FASTEST) | {"exchange": FASTEST * self.substeps / SUBSTEPS}


@dataclass(frozen=True, eq=False)
class Secreting(Physiology):
    """Who still makes insulin, as in type 2: DM07's secretion and first pass through the liver, `[B]` each.

    `Ib` is then fasting insulin without any treatment, and `m30` follows from `m6 - m5 Sb`, the liver's extraction at that.
    """

    states: ClassVar[tuple[str, ...]] = (*STATES, *SECRETION)
    signed: ClassVar[tuple[int, ...]] = (ACTION, len(STATES) + SECRETION.index("response"))
    substeps: ClassVar[int] = SECRETING_SUBSTEPS

    Gb: Tensor  # fasting glucose without any treatment, mg/dL: DM07's h
    Sb: Tensor  # secretion at that, pmol/kg/min
    K: Tensor  # answer to the rate at which glucose rises, pmol/kg per mg/dL
    alpha: Tensor  # a minute: how soon the slow part follows glucose
    beta: Tensor  # answer to glucose above Gb, pmol/kg/min per mg/dL
    gamma: Tensor  # a minute: from the portal vein into the liver
    m5: Tensor  # how far extraction falls as secretion rises, kg min/pmol
    m6: Tensor  # the share extracted if nothing were secreted
    kp4: Tensor  # what portal insulin takes off production, mg/kg/min per pmol/kg

    @property
    def first_pass(self) -> Tensor:
        """Insulin's faster rate, liver and plasma together, while nothing is secreted and the liver extracts most; a minute."""
        return self._settling(self.m1 / (1 - self.m6))

    @property
    def limits(self) -> dict[str, float]:
        return super().limits | dict.fromkeys(("first_pass", "gamma", "alpha"), SECRETING_FASTEST)


def vector_field(who: Physiology, meal: Tensor, given: Inputs) -> Callable[[Amounts], Amounts]:
    """d/dt of the states while carbohydrate is given in mg/min and insulin in pmol/kg/min. Equation numbers are DM07's.

    People who secrete are the same but for the liver: it holds what the portal vein brings, extracts as `_secretion` says, and
    produces less by `kp4` of portal insulin.
    """
    kabs, kmax, kmin = who.kabs * given.pace, who.kmax * given.pace, who.kmin * given.pace
    Vm0, Vmx = who.Vm0 * given.uptake, who.Vmx * given.sensitivity  # noqa: N806, the published symbols
    of_liver = 0.5 + 0.5 * given.sensitivity
    kp3 = who.kp3 * of_liver
    # Emptying slows in the middle of a meal (A17-A18, with k_min + 2 (k_max - k_min) / 2 = k_max drawn together).
    rise, fall = 2.5 / (1 - who.b) / meal.clamp(min=1.0), 2.5 / who.d / meal.clamp(min=1.0)
    begins, slowing = 2.5 * who.b / (1 - who.b), torch.where(meal > 1.0, (kmax - kmin) / 2, 0.0)
    appearing, slow = who.f / who.weight, 1 / who.tlong
    cleared, extracted, left = who.m2 + who.m4, who.m1 + who.m30, who.ka1 + who.kd

    def rate(x: Amounts) -> Amounts:
        solid, liquid, gut, plasma, tissue, insulin, action, delayed, hepatic, liver, *rest = x
        depot1, depot2, sensed, long1, long2, *portal = rest
        held = solid + liquid
        emptied = (kmax + slowing * (torch.tanh(rise * held - begins) - torch.tanh(fall * held - 2.5))) * liquid
        ground, absorbed = kmax * solid, kabs * gut
        production = who.kp1 - who.kp2 * plasma - kp3 * hepatic  # A8
        if isinstance(who, Secreting):
            production = production - who.kp4 * of_liver * portal[0]  # (10), its last term
        production = production.clamp(min=0)
        renal = who.ke1 * (plasma - who.ke2).clamp(min=0)  # A27
        uptake = (Vm0 + Vmx * action).clamp(min=0) * tissue / (who.Km0 + tissue)  # A13-A14
        leaving = who.k1 * plasma - who.k2 * tissue
        concentration = insulin / who.Vi
        passed, entered, late = slow * long1, who.ka2 * depot2, slow * long2
        rising = production + appearing * absorbed - who.Fsnc - renal - leaving  # A1, A19
        into_liver = who.m2 * insulin - extracted * liver
        secretion: Amounts = ()
        if isinstance(who, Secreting):
            secreted, taken, secretion = _secretion(who, plasma / who.Vg, rising / who.Vg, *portal)
            into_liver = who.m2 * insulin + secreted - taken * liver  # (3)
        return (
            given.carbs - ground,
            ground - emptied,
            emptied - absorbed,
            rising,
            leaving - uptake,
            who.m1 * liver + who.ka1 * depot1 + entered + late - cleared * insulin,  # A3
            who.p2u * (concentration - who.Ib - action),  # A15
            who.ki * (concentration - delayed),  # A11
            who.ki * (delayed - hepatic),
            into_liver,
            given.insulin - left * depot1,
            who.kd * depot1 - entered,
            who.ksc * (plasma - sensed),
            given.long_acting - passed,
            passed - late,
            *secretion,
        )

    return rate


def _secretion(
    who: Secreting, glucose: Tensor, rising: Tensor, portal: Tensor, response: Tensor
) -> tuple[Tensor, Tensor, Amounts]:
    """From glucose mg/dL and its rate of change a minute: insulin secreted into the liver, pmol/kg/min, the rate a minute at
    which insulin leaves the liver, and d/dt of the two states of `SECRETION`, `[B]` each.
    """
    secreted = who.gamma * portal  # (23)
    extraction = (who.m6 - who.m5 * secreted).clamp(min=0)  # (4); not below none: ours
    made = who.Sb + response + who.K * rising.clamp(min=0)  # (25): the rate of change counts while glucose rises
    wanted = (who.beta * (glucose - who.Gb)).maximum(-who.Sb)  # (26): never less than no secretion at all
    return secreted, who.m1 / (1 - extraction), (made - secreted, who.alpha * (wanted - response))  # (5); (24)


def fasting(who: Physiology, glucose: Tensor) -> tuple[Physiology, Body, Tensor]:
    """The model with the `kp1` that holds a fasting glucose `[B]` mg/dL at insulin `Ib`, that state, the basal rate U/h `[B]`."""
    plasma = glucose * who.Vg
    tissue = tissue_at_rest(who, plasma, who.Vm0)
    production = who.Fsnc + who.Vm0 * tissue / (who.Km0 + tissue)
    closed = replace(who, kp1=production + who.kp2 * plasma + who.kp3 * who.Ib)
    free = who.Ib * who.Vi
    liver = who.m2 * free / (who.m1 + who.m30)
    appearance = (who.m2 + who.m4) * free - who.m1 * liver  # pmol/kg/min
    depot1 = appearance / (who.ka1 + who.kd)
    depot2 = who.kd * depot1 / who.ka2
    none = torch.zeros_like(glucose)
    insulin = (free, none, who.Ib, who.Ib, liver, depot1, depot2)
    amounts = torch.stack([none, none, none, plasma, tissue, *insulin, plasma, none, none])
    return closed, Body(amounts.T, none, none > 0), appearance * who.weight / PMOL_PER_UNIT * 60.0


def tissue_at_rest(who: Physiology, plasma: Tensor, uptake: Tensor) -> Tensor:
    """Glucose in tissue, mg/kg `[B]`, that `plasma` mg/kg and an `uptake` of at most so many mg/kg/min hold steady."""
    # k1 Gp - k2 Gt = Vm Gt / (Km0 + Gt): the positive root of a quadratic in Gt.
    linear = who.k2 * who.Km0 + uptake - who.k1 * plasma
    return (-linear + torch.sqrt(linear**2 + 4 * who.k2 * who.k1 * plasma * who.Km0)) / (2 * who.k2)
