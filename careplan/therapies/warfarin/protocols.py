"""What published protocols do: equations that start a patient, and tables that go by the last INR. Pure functions.

Doses are mg a week, as the protocols state them, before they are made into tablets.
"""

import math
from dataclasses import dataclass

from careplan.therapies.warfarin.covariates import Covariates, Cyp2c9

LOW, HIGH = 2.0, 3.0  # INR: the therapeutic range (Holbrook 2012, doi 10.1378/chest.11-2295)

# IWPC 2009 (N Engl J Med 360, 753-764; doi 10.1056/NEJMoa0809329), supplementary appendix: the square root of mg a week.
_CYP2C9: dict[Cyp2c9 | None, float] = {
    "*1/*1": 0.0, "*1/*2": 0.5211, "*1/*3": 0.9357, "*2/*2": 1.0616, "*2/*3": 1.9206, "*3/*3": 2.3312, None: 0.2188
}  # fmt: skip
_VKORC1 = {"G/G": 0.0, "G/A": 0.8677, "A/A": 1.6974, None: 0.4854}


def iwpc_clinical(known: Covariates) -> float:
    """Mg a week by the IWPC's equation without genotype."""
    root = 4.0376 - 0.2546 * (known.age // 10) + 0.0118 * known.height + 0.0134 * known.weight
    root += {"asian": -0.6752, "black": 0.4060, "other": 0.0443, "white": 0.0}[known.race]
    return (root + 1.2799 * known.inducer - 0.5695 * known.amiodarone) ** 2


def iwpc_pharmacogenetic(known: Covariates) -> float:
    """Mg a week by the IWPC's equation with genotype; an unknown one has a term of its own."""
    root = 5.6044 - 0.2614 * (known.age // 10) + 0.0087 * known.height + 0.0128 * known.weight
    root -= _VKORC1[known.vkorc1] + _CYP2C9[known.cyp2c9]
    root -= {"asian": 0.1092, "black": 0.2760, "other": 0.1032, "white": 0.0}[known.race]
    return (root + 1.1816 * known.inducer - 0.5503 * known.amiodarone) ** 2


@dataclass(frozen=True)
class Table:
    """What a protocol's table says after an INR: how many doses to leave out (`first`: what is given instead of each, as a share
    of the daily dose), by what the weekly dose is multiplied, and in how many days the next INR is due."""

    factor: float
    days: int
    hold: int = 0
    first: float = 0.0


def aurora(inr: float, stable: int = 0) -> Table:
    """The maintenance table of Aurora Health Care, as printed by Ravvaz 2017 (Circ Cardiovasc Genet 10, e001804).

    stable: days in range on this dose, which decide how soon the next INR is due.
    """
    inr = round(inr, 2)
    if LOW <= inr <= HIGH:
        return Table(1.0, max((days for days in (1, 5, 7, 14, 28) if (2 if days == 5 else days) <= stable), default=1))
    if inr < LOW:
        return Table(1.15 if inr < 1.5 else 1.10 if inr < 1.8 else 1.075, 7)
    if inr < 4.0:
        return Table(0.925 if inr < 3.4 else 0.9, 7)
    return Table(0.875, 2, hold=2) if inr <= 5.0 else Table(0.85, 2, hold=2)


def intermountain(inr: float, before: float | None = None) -> Table:
    """The table of Intermountain Healthcare (Anderson 2007, Circulation 116, 2563-2570), as the open package ReiL states it.

    before: the INR of the visit before, which tells a second one in the same zone.
    """
    zone, last = _zone(inr), None if before is None else _zone(before)
    again = zone == last
    if last == 6 and zone != 6:
        return Table(0.85, 7)
    factor = (1.10, 1.05, 1.05 if again else 1.0, 1.0, 0.95 if again else 1.0, 0.90, 1.0)[zone]
    days = ((5, 14), (7, 14), (14, 14), (14, 28), (14, 14), (7, 14), (2, 2))[zone][again]
    hold = {0: 1, 1: 1, 5: 1, 6: 2}.get(zone, 0)
    first = {0: 2.0, 1: 1.5, 5: 0.5 if inr < 4.0 else 0.0}.get(zone, 0.0)
    return Table(factor, days, hold, first)


def _zone(inr: float) -> int:
    """0 to 6, from an INR that asks for action because it is low to one that asks for action because it is high; 3 is range."""
    return sum(inr >= bound for bound in (1.6, 1.8, 2.0, math.nextafter(HIGH, 4.0), 3.4, 5.0))
