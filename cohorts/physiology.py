"""Type 1 physiology: the UVA/Padova model in thirteen states, and two more for long-acting insulin, batched on any device.

Equations: Dalla Man, Rizza, Cobelli, "Meal simulation model of the glucose-insulin system", IEEE TBME 54(10), 2007 (DM07),
with the subcutaneous insulin chain and sensor delay of its type 1 simulator (Kovatchev 2009, J Diabetes Sci Technol 3(1)).
Not modelled: counter-regulation by glucagon (S2013), intravenous inputs, changes of weight.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

PMOL_PER_UNIT = 6000.0
STEP = 5.0  # minutes between records
SUBSTEPS = 2  # Runge-Kutta steps in each; stable while no rate constant exceeds FASTEST
FASTEST = 1.1  # a minute
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
PLASMA, ACTION, SENSED, LONG = (STATES.index(name) for name in ("plasma", "action", "sensed", "long1"))
Amounts = tuple[Tensor, ...]  # one `[B]` a state: separate tensors, so that a compiler keeps each of them in a register


@dataclass(frozen=True, eq=False)
class Physiology:
    """Parameters `[B]` under the published symbols. Units: minutes, mg/kg, pmol/kg, mg/dL, pmol/L."""

    weight: Tensor  # kg
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
    tlong: Tensor  # minutes in each stage of the long-acting depot

    def __post_init__(self) -> None:
        count = len(self.weight)
        for field in fields(self):
            value = getattr(self, field.name)
            if value.shape != (count,):
                raise ValueError(f"physiology: {field.name} has shape {tuple(value.shape)}, expected [{count}]")
            most = 1.0 if field.name in ("b", "d", "f") else torch.inf
            bad = torch.nonzero(~((value > 0) & (value < most)))
            if len(bad):
                row = int(bad[0])
                expected = f"expected a positive number below {most:g}" if most == 1 else "expected a positive number"
                raise ValueError(f"physiology: {field.name} of person {row} is {float(value[row])}, {expected}")

    def __len__(self) -> int:
        return len(self.weight)

    def refuse_unstable(self) -> None:
        """Raises ValueError for somebody whom rows of five minutes cannot follow."""
        rates = torch.stack([getattr(self, name) for name in RATES])
        bad = torch.nonzero(rates > FASTEST)
        if len(bad):
            place, row = bad[0].tolist()
            found = f"{RATES[place]} of person {row} is {float(rates[place, row])}"
            raise ValueError(f"physiology: {found}, expected at most {FASTEST} a minute: the step would be unstable")

    def __getitem__(self, index: Tensor) -> "Physiology":
        return Physiology(*(getattr(self, field.name)[index] for field in fields(self)))


@dataclass(frozen=True, eq=False)
class Body:
    """The state now: amounts `[B, 15]` in the order of `STATES`; what the stomach held when the last meal began and all eaten
    since, mg `[B]`; whether that meal goes on `[B]`.
    """

    amounts: Tensor
    meal: Tensor
    eating: Tensor

    def glucose(self, who: Physiology) -> Tensor:
        """Plasma glucose, mg/dL `[B]`."""
        return self.amounts[:, PLASMA] / who.Vg

    def sensed(self, who: Physiology) -> Tensor:
        """Interstitial glucose, what a sensor without error would show, mg/dL `[B]`."""
        return self.amounts[:, SENSED] / who.Vg


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


def vector_field(who: Physiology, meal: Tensor, given: Inputs) -> Callable[[Amounts], Amounts]:
    """d/dt of the states while carbohydrate is given in mg/min and insulin in pmol/kg/min. Equation numbers are DM07's."""
    kabs, kmax, kmin = who.kabs * given.pace, who.kmax * given.pace, who.kmin * given.pace
    Vm0, Vmx = who.Vm0 * given.uptake, who.Vmx * given.sensitivity  # noqa: N806, the published symbols
    kp3 = who.kp3 * (0.5 + 0.5 * given.sensitivity)
    # Emptying slows in the middle of a meal (A17-A18, with k_min + 2 (k_max - k_min) / 2 = k_max drawn together).
    rise, fall = 2.5 / (1 - who.b) / meal.clamp(min=1.0), 2.5 / who.d / meal.clamp(min=1.0)
    begins, slowing = 2.5 * who.b / (1 - who.b), torch.where(meal > 1.0, (kmax - kmin) / 2, 0.0)
    appearing, slow = who.f / who.weight, 1 / who.tlong
    cleared, extracted, left = who.m2 + who.m4, who.m1 + who.m30, who.ka1 + who.kd

    def rate(x: Amounts) -> Amounts:
        solid, liquid, gut, plasma, tissue, insulin, action, delayed, hepatic, liver, depot1, depot2, sensed, long1, long2 = x
        held = solid + liquid
        emptied = (kmax + slowing * (torch.tanh(rise * held - begins) - torch.tanh(fall * held - 2.5))) * liquid
        ground, absorbed = kmax * solid, kabs * gut
        production = (who.kp1 - who.kp2 * plasma - kp3 * hepatic).clamp(min=0)  # A8
        renal = who.ke1 * (plasma - who.ke2).clamp(min=0)  # A27
        uptake = (Vm0 + Vmx * action).clamp(min=0) * tissue / (who.Km0 + tissue)  # A13-A14
        leaving = who.k1 * plasma - who.k2 * tissue
        concentration = insulin / who.Vi
        passed, entered, late = slow * long1, who.ka2 * depot2, slow * long2
        return (
            given.carbs - ground,
            ground - emptied,
            emptied - absorbed,
            production + appearing * absorbed - who.Fsnc - renal - leaving,  # A1, A19
            leaving - uptake,
            who.m1 * liver + who.ka1 * depot1 + entered + late - cleared * insulin,  # A3
            who.p2u * (concentration - who.Ib - action),  # A15
            who.ki * (concentration - delayed),  # A11
            who.ki * (delayed - hepatic),
            who.m2 * insulin - extracted * liver,
            given.insulin - left * depot1,
            who.kd * depot1 - entered,
            who.ksc * (plasma - sensed),
            given.long_acting - passed,
            passed - late,
        )

    return rate


def advance(who: Physiology, body: Body, given: Inputs, *, minutes: float = STEP, substeps: int = SUBSTEPS) -> Body:
    """One row by the classical Runge-Kutta method; what is given is spread evenly over it."""
    x, eaten = body.amounts.unbind(1), given.carbs * 1000.0
    eating = eaten > 0
    meal = torch.where(eating, torch.where(body.eating, body.meal, x[0] + x[1]) + eaten, body.meal)
    dose = PMOL_PER_UNIT / minutes / who.weight
    given = replace(given, carbs=eaten / minutes, insulin=given.insulin * dose, long_acting=given.long_acting * dose)
    rate, h = vector_field(who, meal, given), minutes / substeps
    for _ in range(substeps):
        k1 = rate(x)
        k2 = rate(_along(x, k1, h / 2))
        k3 = rate(_along(x, k2, h / 2))
        k4 = rate(_along(x, k3, h))
        slope = _along(_along(k1, k4, 1.0), _along(k2, k3, 1.0), 2.0)
        # ACTION is a deviation from basal: the only state that may be negative.
        x = tuple(a if state == ACTION else a.clamp(min=0) for state, a in enumerate(_along(x, slope, h / 6)))
    return Body(torch.stack(x).T, meal, eating)  # states first in memory: each of them is one contiguous row of people


def _along(x: Amounts, slope: Amounts, h: float) -> Amounts:
    return tuple(torch._foreach_add(x, slope, alpha=h))  # one call for all states


def resting(carbs: Tensor, insulin: Tensor) -> Inputs:
    """Nothing but carbohydrate g and rapid insulin U, `[B]` each."""
    ones = torch.ones_like(carbs)
    return Inputs(carbs, insulin, torch.zeros_like(carbs), ones, ones, ones)


def fasting(who: Physiology, glucose: Tensor) -> tuple[Physiology, Body, Tensor]:
    """The model with the `kp1` that holds a fasting glucose `[B]` mg/dL at insulin `Ib`, that state, the basal rate U/h `[B]`."""
    plasma = glucose * who.Vg
    # k1 Gp - k2 Gt = Vm0 Gt / (Km0 + Gt): the positive root of a quadratic in Gt.
    linear = who.k2 * who.Km0 + who.Vm0 - who.k1 * plasma
    tissue = (-linear + torch.sqrt(linear**2 + 4 * who.k2 * who.k1 * plasma * who.Km0)) / (2 * who.k2)
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


def long_acting_steady(who: Physiology, body: Body, daily: Tensor, since: float) -> Body:
    """The same body on pens: no rapid basal, long-acting insulin of `daily` U `[B]` once a day, `since` minutes after a dose."""
    day = 24 * 60.0
    # A dose leaves D e^(-t/T) in the first stage and D (t/T) e^(-t/T) in the second; those before it add up to these sums.
    gone, left = torch.exp(-day / who.tlong), torch.exp(-since / who.tlong)
    dose = daily * PMOL_PER_UNIT / who.weight
    long1 = dose * left / (1 - gone)
    long2 = dose * left * (since / who.tlong / (1 - gone) + day / who.tlong * gone / (1 - gone) ** 2)
    amounts = body.amounts.clone()
    amounts[:, [STATES.index("depot1"), STATES.index("depot2")]] = 0.0
    amounts[:, LONG], amounts[:, LONG + 1] = long1, long2
    return replace(body, amounts=amounts)
