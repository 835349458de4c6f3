"""People of the UVA/Padova equations: type 1 of three ages, and adults with type 2."""

from dataclasses import replace

import torch
from torch import Tensor

from careplan.therapies.glucose.declaration import Group
from cohorts.drawing import TYPICAL, Drawn, daily_rhythm, jointly
from cohorts.physiology import Physiology, Secreting, fasting
from cohorts.secretion import insulin_for, resting_under, secreted_at, untreated

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


def draw(group: Group, count: int, generator: torch.Generator) -> Drawn:
    """People of type 1."""

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    drawn = jointly(SPREAD, CORRELATION, vars(TYPICAL[group]), count, generator)
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
    return Drawn(who, body, basal, level, carbs, daily_rhythm(count, generator))


def draw_type2(count: int, generator: torch.Generator) -> Drawn:
    """People of type 2, whose fasting state follows from what they make: first without insulin, then under what suits."""

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    drawn = jointly(TYPE2, TYPE2_CORRELATION, {}, count, generator)
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
    return Drawn(who, body, basal, body.glucose(who), carbs, daily_rhythm(count, generator))
