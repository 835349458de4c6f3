"""Fasting states of people who still make insulin: untreated, under insulin, and the insulin that a fasting glucose takes.

At rest the two states of secretion follow from glucose, plasma and liver insulin from them and from what is injected, and
glucose from all of it: one balance, which falls both with glucose and with insulin, so bisection finds either.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cohorts.bodies import PMOL_PER_UNIT, Body
from cohorts.physiology import Secreting, tissue_at_rest

HIGHEST = 800.0  # mg/dL: where the search for a fasting glucose ends


@dataclass(frozen=True, eq=False)
class _Rest:
    """What is steady at one glucose and one injected rate, `[B]` each; excess: production less all that leaves, mg/kg/min."""

    response: Tensor  # of secretion, pmol/kg/min above Sb
    liver: Tensor  # insulin, pmol/kg
    insulin: Tensor  # in plasma, pmol/kg
    tissue: Tensor  # glucose, mg/kg
    excess: Tensor


def untreated(who: Secreting) -> Secreting:
    """The same people with the `kp1` that holds fasting glucose at `Gb` and fasting insulin at `Ib` (Dalla Man 2007, 12)."""
    none = torch.zeros_like(who.Gb)
    return replace(who, kp1=who.kp1 - _rest(who, who.Gb, none).excess)


def secreted_at(who: Secreting, insulin: Tensor, extraction: float) -> Tensor:
    """The secretion, pmol/kg/min, that holds fasting insulin `[B]` pmol/L where the liver extracts that share of it."""
    plasma, taken = insulin * who.Vi, who.m1 / (1 - extraction)
    liver = (who.m2 + who.m4) * plasma / who.m1  # (3) at rest
    return taken * liver - who.m2 * plasma


def insulin_for(who: Secreting, glucose: Tensor) -> Tensor:
    """The steady rate of injected insulin, U/h `[B]`, under which fasting glucose is `glucose` mg/dL; 0 where none is needed."""
    most = torch.full_like(glucose, 100.0)  # pmol/kg/min, far more than anybody takes
    rate = _crossing(lambda rate: _rest(who, glucose, rate).excess, 0 * most, most)
    return rate * who.weight / PMOL_PER_UNIT * 60


def resting_under(who: Secreting, basal: Tensor) -> Body:
    """Everyone's body at rest, fasted, under so much injected insulin, U/h `[B]`, all of it as a pump's basal rate."""
    rate, none = basal * PMOL_PER_UNIT / 60 / who.weight, torch.zeros_like(basal)
    glucose = _crossing(lambda level: _rest(who, level, rate).excess, none + 1.0, none + HIGHEST)
    rest = _rest(who, glucose, rate)
    plasma, concentration = glucose * who.Vg, rest.insulin / who.Vi
    depot1 = rate / (who.ka1 + who.kd)
    states = (
        *(none, none, none, plasma, rest.tissue, rest.insulin, concentration - who.Ib, concentration, concentration, rest.liver),
        *(depot1, who.kd * depot1 / who.ka2, plasma, none, none),
        *((who.Sb + rest.response) / who.gamma, rest.response),
    )
    return Body(torch.stack(states).T, none, none > 0)


def _rest(who: Secreting, glucose: Tensor, injected: Tensor) -> _Rest:
    """At rest at `glucose` mg/dL while so much insulin appears, pmol/kg/min. Equations of Dalla Man 2007 with d/dt = 0."""
    response = (who.beta * (glucose - who.Gb)).maximum(-who.Sb)  # (26)
    secreted = who.Sb + response  # (23)-(25)
    taken = who.m1 / (1 - (who.m6 - who.m5 * secreted).clamp(min=0))  # (4), (5)
    insulin = (injected + who.m1 * secreted / taken) / (who.m2 + who.m4 - who.m1 * who.m2 / taken)  # (3)
    concentration, plasma = insulin / who.Vi, glucose * who.Vg
    production = who.kp1 - who.kp2 * plasma - who.kp3 * concentration - who.kp4 * secreted / who.gamma  # (10)
    renal = who.ke1 * (plasma - who.ke2).clamp(min=0)  # (27)
    most = (who.Vm0 + who.Vmx * (concentration - who.Ib)).clamp(min=0)
    tissue = tissue_at_rest(who, plasma, most)
    uptake = most * tissue / (who.Km0 + tissue)  # (15)
    return _Rest(response, (who.m2 * insulin + secreted) / taken, insulin, tissue, production - who.Fsnc - renal - uptake)


def _crossing(excess: Callable[[Tensor], Tensor], low: Tensor, high: Tensor) -> Tensor:
    """Where a falling function is zero between `low` and `high`, or the end it is nearer to, `[B]`."""
    for _ in range(40):
        middle = (low + high) / 2
        above = excess(middle) > 0
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    return (low + high) / 2
