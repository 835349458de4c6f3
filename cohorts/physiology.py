"""Type 1 physiology: the UVA/Padova meal model in thirteen states, batched.

Equations: Dalla Man, Rizza, Cobelli, "Meal simulation model of the glucose-insulin system", IEEE TBME 54(10), 2007 (DM07),
with the subcutaneous insulin chain and sensor delay of its type 1 simulator (Kovatchev 2009; Dalla Man 2014, S2013).
"""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

PMOL_PER_UNIT = 6000.0
STEP = 5.0  # minutes between records
SUBSTEPS = 2  # Runge-Kutta steps in each

# The states, in order. Amounts a kg of body weight except in the gut, which holds milligrams.
STATES = (
    "solid",
    "liquid",
    "gut",
    "plasma",
    "tissue",
    "insulin",
    "action",
    "delayed",
    "hepatic",
    "liver",
    "depot1",
    "depot2",
    "sensed",
)


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

    def __len__(self) -> int:
        return len(self.weight)

    def __getitem__(self, index: Tensor) -> "Physiology":
        return Physiology(*(getattr(self, field.name)[index] for field in fields(self)))


@dataclass(frozen=True, eq=False)
class Body:
    """The state now: amounts `[B, 13]` in the order of `STATES`, and what the stomach held after the last mouthful, mg `[B]`."""

    amounts: Tensor
    meal: Tensor

    def glucose(self, who: Physiology) -> Tensor:
        """Plasma glucose, mg/dL `[B]`."""
        return self.amounts[:, STATES.index("plasma")] / who.Vg

    def sensed(self, who: Physiology) -> Tensor:
        """Interstitial glucose, what a sensor without error would show, mg/dL `[B]`."""
        return self.amounts[:, STATES.index("sensed")] / who.Vg


def derivative(who: Physiology, x: Tensor, meal: Tensor, carbs: Tensor, insulin: Tensor, sensitivity: Tensor) -> Tensor:
    """d/dt of `[B, 13]` under carbohydrate mg/min, insulin pmol/kg/min and a factor on insulin's actions, `[B]` each."""
    solid, liquid, gut, plasma, tissue, free, action, delayed, hepatic, liver, depot1, depot2, sensed = x.unbind(-1)
    # Gastric emptying slows in the middle of a meal (DM07 eq. A17-A18).
    held, size = solid + liquid, meal.clamp(min=1.0)
    rise, fall = 2.5 / (1 - who.b) / size, 2.5 / who.d / size
    bend = torch.tanh(rise * (held - who.b * size)) - torch.tanh(fall * (held - who.d * size)) + 2
    empty = torch.where(meal > 1.0, who.kmin + (who.kmax - who.kmin) / 2 * bend, who.kmax)
    appearance = who.f * who.kabs * gut / who.weight  # eq. A19
    production = (who.kp1 - who.kp2 * plasma - who.kp3 * hepatic * (0.5 + 0.5 * sensitivity)).clamp(min=0)  # A8
    renal = who.ke1 * (plasma - who.ke2).clamp(min=0)  # A27
    concentration = free / who.Vi
    uptake = (who.Vm0 + who.Vmx * action * sensitivity).clamp(min=0) * tissue / (who.Km0 + tissue)  # A13-A14
    return torch.stack(
        [
            carbs - who.kmax * solid,
            who.kmax * solid - empty * liquid,
            empty * liquid - who.kabs * gut,
            production + appearance - who.Fsnc - renal - who.k1 * plasma + who.k2 * tissue,  # A1
            who.k1 * plasma - who.k2 * tissue - uptake,
            who.m1 * liver + who.ka1 * depot1 + who.ka2 * depot2 - (who.m2 + who.m4) * free,  # A3
            who.p2u * (concentration - who.Ib - action),  # A15
            who.ki * (concentration - delayed),  # A9
            who.ki * (delayed - hepatic),
            who.m2 * free - (who.m1 + who.m30) * liver,
            insulin - (who.ka1 + who.kd) * depot1,
            who.kd * depot1 - who.ka2 * depot2,
            who.ksc * (plasma - sensed),
        ],
        dim=-1,
    )


def advance(who: Physiology, body: Body, carbs: Tensor, insulin: Tensor, sensitivity: Tensor) -> Body:
    """Five minutes: carbohydrate eaten g `[B]`, insulin given U `[B]`, sensitivity `[B]`. Classical Runge-Kutta."""
    x, eaten = body.amounts, carbs * 1000.0
    meal = torch.where(eaten > 0, x[:, 0] + x[:, 1] + eaten, body.meal)
    per_minute, dose = eaten / STEP, insulin / STEP * PMOL_PER_UNIT / who.weight
    h = STEP / SUBSTEPS

    def rate(state: Tensor) -> Tensor:
        return derivative(who, state, meal, per_minute, dose, sensitivity)

    for _ in range(SUBSTEPS):
        k1 = rate(x)
        k2 = rate(x + h / 2 * k1)
        k3 = rate(x + h / 2 * k2)
        k4 = rate(x + h * k3)
        x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        action = STATES.index("action")  # a deviation from basal: the only state that may be negative
        x = torch.cat([x[:, :action].clamp(min=0), x[:, action : action + 1], x[:, action + 1 :].clamp(min=0)], dim=1)
    return Body(x, meal)


def fasting(who: Physiology, glucose: Tensor) -> tuple[Physiology, Body, Tensor]:
    """Close the model at a fasting glucose `[B]` mg/dL and `Ib`: the `kp1` that holds it, the state, and the basal rate,
    U/h `[B]`."""
    plasma = glucose * who.Vg
    # k1 Gp - k2 Gt = Vm0 Gt / (Km0 + Gt): the positive root of a quadratic in Gt.
    linear = who.k2 * who.Km0 + who.Vm0 - who.k1 * plasma
    tissue = (-linear + torch.sqrt(linear**2 + 4 * who.k2 * who.k1 * plasma * who.Km0)) / (2 * who.k2)
    production = who.Fsnc + who.Vm0 * tissue / (who.Km0 + tissue)
    closed = {field.name: getattr(who, field.name) for field in fields(who)}
    closed["kp1"] = production + who.kp2 * plasma + who.kp3 * who.Ib
    free = who.Ib * who.Vi
    liver = who.m2 * free / (who.m1 + who.m30)
    appearance = (who.m2 + who.m4) * free - who.m1 * liver  # pmol/kg/min
    depot1 = appearance / (who.ka1 + who.kd)
    depot2 = who.kd * depot1 / who.ka2
    none = torch.zeros_like(glucose)
    amounts = torch.stack([none, none, none, plasma, tissue, free, none, who.Ib, who.Ib, liver, depot1, depot2, plasma], dim=-1)
    return Physiology(**closed), Body(amounts, none), appearance * who.weight / PMOL_PER_UNIT * 60.0
