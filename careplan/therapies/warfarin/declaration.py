"""The warfarin therapy: the INR in range by a weekly pattern of tablets, dosed at visits days to weeks apart.

Doses in mg, of a tablet taken in the evening; the INR is measured in the morning after. Every constant is a default that the
clinician owns; docs/reference/clinical.md has their sources.
"""

import math
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from careplan.clock import Clock
from careplan.covariates import CourseFacts, Covariate
from careplan.effects import Effect, Output
from careplan.gate import Gate
from careplan.minutes import DAY
from careplan.rules import Hold
from careplan.therapies.warfarin.covariates import BOUNDS, CYP2C9, RACES, USUAL, VKORC1
from careplan.therapies.warfarin.protocols import HIGH, LOW
from careplan.therapy import Channel, Cost, Hazard, Limits, LineLimits, Pool, Therapy

if TYPE_CHECKING:
    from torch import Tensor

WEEK = 7.0 * DAY
BEST = math.sqrt(LOW * HIGH)  # INR, the middle of the range on its logarithm
EDGE = 0.06  # how sharply leaving the range counts, on the logarithm: a laboratory's error
HIGHEST_INR = 12.0  # more than a laboratory measures: a Quick percentage, or an error

CLOCK = Clock(
    step=float(DAY),
    interval=float(DAY),
    pace=float(DAY),
    span=WEEK,
    look=float(DAY),
    judged=7.0 * DAY,
    horizon=14.0 * DAY,
    decision=float(DAY),
    ahead=28.0 * DAY,
    context=28,
    memory=28,
    patch=7,
)
GATE = Gate(days=0.0, active=0.0, recent=WEEK, windows=0, strange=3.0, error_ratio=math.inf, dosed=0.0)


def risk(inr: "Tensor") -> "Tensor":
    """What plans minimise where the range is 2 to 3, as `risk_within`. `[...]`."""
    return risk_within(inr, LOW, HIGH)


def risk_within(inr: "Tensor", low: float, high: float) -> "Tensor":
    """Time outside a range, with soft edges, and how far from its middle on the logarithm. `[...]`."""
    best, half = math.sqrt(low * high), 0.5 * math.log(high / low)
    away = (inr.clamp(min=0.5, max=20.0) / best).log().abs()
    outside = ((away - half) / EDGE).sigmoid() - 1 / (1 + math.exp(half / EDGE))
    return 10.0 * (outside + 2.0 * away**2)


WARFARIN = Therapy(
    name="warfarin",
    channels=(
        # A repeated INR differs by some 6 % (a laboratory by 3, a strip by 8).
        Channel(
            name="inr",
            unit="INR",
            role="observation",
            form="level",
            low=0.7,
            high=HIGHEST_INR,
            center=1.0,
            scale=0.35,
            link="log",
            noise=0.06,
        ),
        Channel(
            name="warfarin",
            unit="mg",
            role="action",
            form="impulse",
            low=0.0,
            high=30.0,
            scale=5.0,
            direction=1,
            silence=3 * DAY,
        ),
        Channel(name="inhibitor", unit="", role="disturbance", form="choice", low=0.0, high=1.0),
        Channel(name="inducer", unit="", role="disturbance", form="choice", low=0.0, high=1.0),
    ),
    outputs=(
        # Free, the INR falls back to 1 as factors are made again: prothrombin, the slowest, has a half-life of some 60 h.
        Output(
            name="inr",
            risk=risk,
            best=BEST,
            returns=0.3,
            drifts=False,
            bends=(2.0, 3.1),
            lowest=-1.0,
            highest=8.0,
            harm=1,
        ),
    ),
    pools=(Pool(name="warfarin", channels=("warfarin",), time_constant=45 * 60.0, stages=1, holds=True),),  # S-warfarin, 31 h
    effects=(
        # 35 mg a week hold an INR of 2.5, by stopping half of the making of factors.
        Effect(name="warfarin", pools=("warfarin",), direction=1, usual=35.0, size=0.916, half=1.0, synthesis=True),
    ),
    costs=(Cost(name="above_4", above=4.0, budget=0.02),),
    clock=CLOCK,
    gate=GATE,
    covariates=(
        *(
            Covariate(name=name, unit=unit, center=USUAL[name], scale=scale, low=BOUNDS[name][0], high=BOUNDS[name][1])
            for name, unit, scale in (("age", "years", 13.0), ("weight", "kg", 22.0), ("height", "cm", 11.0))
        ),
        Covariate(name="race", levels=RACES),
        Covariate(name="cyp2c9", levels=CYP2C9),
        Covariate(name="vkorc1", levels=VKORC1),
        Covariate(name="amiodarone", levels=("no", "yes")),
        Covariate(name="inducer", levels=("no", "yes")),
    ),
    before="nothing",
    hazards=(
        Hazard(name="low", side=-1, level=LOW, within=WEEK),
        Hazard(name="high", side=1, level=4.0, within=WEEK),
    ),
    slowest=12 * WEEK,
)

MOST_A_DAY = 15.0  # mg: the most that the published protocols' simulations give (Ravvaz 2017)
CEILING = 4.5  # INR from which a dose is left out (NPS MedicineWise 2013; Holbrook 2012 leaves out 1 or 2 above 4.5)
DANGER = 5.0  # INR from which the weekly dose may be halved at once

LIMITS: dict[str, Limits] = {
    "adult": Limits(
        max_dose=MOST_A_DAY, max_on_board=math.inf, min_spacing=0.0, floor=0.0, max_rate=0.0,
        rules=(Hold(name="ceiling", channels=("warfarin",), on="inr", side=1, level=CEILING),),
    )
}  # fmt: skip


def limits_of(facts: CourseFacts) -> Limits:
    """The limits on one patient's doses: everybody's, whatever is known of them.

    Raises:
        ValueError: The group is none of the therapy's.
    """
    if facts.group not in LIMITS:
        raise ValueError(f"{WARFARIN.name}: {facts.group!r} is no group, expected one of {', '.join(LIMITS)}")
    return LIMITS[facts.group]


# Mg a week. Absolute: seven times the most a day. Recommended: what nearly all of the IWPC's people took. A change of 5 to 20 % a
# visit is what Holbrook 2012 and NPS MedicineWise advise; above 4 less may be given at once, and half from `DANGER` on. In the
# first fortnight doses follow every INR, so that steps may be larger.
RANGE: dict[str, float] = {"lowest": 0.0, "highest": 7 * MOST_A_DAY, "low": 7.0, "high": 70.0}
RANGE |= {"against_harm": 0.3, "against_danger": 0.5, "least_days": 0.0}
LINE_LIMITS: dict[str, LineLimits] = {
    "weekly_dose": LineLimits(**RANGE, low_ratio=0.8, high_ratio=1.2, per_visit=0.2),
}
STARTS = 14  # days of treatment in which doses follow every INR
STARTING = LineLimits(**RANGE, low_ratio=0.4, high_ratio=1.7, per_visit=0.7)
HOLDS: dict[Literal["regimen", "doses"], timedelta] = {"regimen": timedelta(days=7), "doses": timedelta(hours=12)}
RECENT = timedelta(days=90)  # over which an INR course is judged
