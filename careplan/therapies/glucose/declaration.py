"""The glucose therapy: type 1 diabetes (and insulin-treated type 2) on pumps or pens.

Glucose in mg/dL, insulin in U and U/h, carbohydrate in g, activity in MET. Every constant is a default that the clinician owns.
"""

import math
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from careplan.clock import Clock
from careplan.covariates import ADOLESCENT, ADULT, CourseFacts
from careplan.effects import Effect, Output
from careplan.gate import Gate, Watch
from careplan.minutes import DAY
from careplan.records.channels import DEVICE_CHANNELS
from careplan.rules import MULTIPLES, SHARES, Action, Remains
from careplan.therapies.glucose.bands import BELOW_54_TARGET, BELOW_70_TARGET, LOW, VERY_HIGH, VERY_LOW
from careplan.therapy import Cost, Hazard, Limits, LineLimits, Pool, Therapy

if TYPE_CHECKING:
    from torch import Tensor

STEP = 5.0  # minutes
ROWS_A_DAY = round(DAY / STEP)
CLOCK = Clock(
    step=STEP,
    interval=15.0,
    pace=60.0,
    span=DAY,
    cycle=DAY,
    look=30.0,
    knots=(30.0, 60.0, 120.0, 240.0),
    judged=120.0,
    horizon=240.0,
    decision=30.0,
    ahead=240.0,
    context=288,
    memory=144,
    patch=6,
)
RECENT = timedelta(days=14)  # up to the last reading: what tells of targets, when a regimen is planned and when it is signed
GATE = Gate(days=14.0, active=70.0, recent=RECENT / timedelta(minutes=1), windows=20, strange=2.0, error_ratio=0.95, dosed=0.3)
WATCH = Watch(
    day=DAY,
    every=6 * 60.0,
    stride=60.0,
    ahead=(60.0, 120.0),
    history=7,
    memory=28,
    readings=48,
    forecasts=8,
    doses=3.0,
)
RAPID = Remains(peak=75.0, duration=360.0)  # rapid analogues, as LoopKit and oref0 count them

Delivery = Literal["pump", "pen"]
Group = Literal["adult", "adolescent", "child"]
Setting = Literal["basal", "carb_ratio", "correction_factor", "long_acting"]


def risk(glucose: "Tensor") -> "Tensor":
    """Blood-glucose risk 10 f^2, f = 1.509 (ln(G)^1.084 - 5.381) (Kovatchev 1997); 0 at 112.5 mg/dL. `[...]` -> `[...]`."""
    return 10.0 * (1.509 * (glucose.clamp(20.0, 600.0).log() ** 1.084 - 5.381)) ** 2


BEST = 112.5  # mg/dL of no risk
LOWS = 2.0  # how often risk below the best level counts in a plan; docs/explanation/planner.md has what it buys


def harm(glucose: "Tensor") -> "Tensor":
    """What plans minimise: `risk`, that of lows counted `LOWS` times. `[...]` mg/dL -> `[...]`."""
    import torch

    return risk(glucose) * torch.where(glucose < BEST, LOWS, 1.0)


GLUCOSE = Therapy(
    name="glucose",
    channels=DEVICE_CHANNELS,
    outputs=(
        # Return, supply and softness as virtual patients show them when they are free; see docs/explanation/world-model.md.
        Output(name="glucose", risk=harm, best=BEST, returns=0.144, rest=0.5, supply=2.5, softness=0.75),
    ),
    pools=(
        # Rapid analogues peak 75-90 min after a dose; U100 glargine acts for about a day; a mixed meal peaks near 40 min.
        Pool(name="insulin", channels=("basal", "bolus"), time_constant=38.0, stages=3),
        Pool(name="long_acting", channels=("long_acting",), time_constant=480.0, stages=2),
        Pool(name="carbs", channels=("carbs",), time_constant=35.0, stages=2),
    ),
    effects=(
        # The 1800 rule for sensitivity with the 500 rule for carbohydrate: 3.6 mg/dL a gram. 40 U and 200 g a day are usual.
        Effect(
            name="insulin",
            pools=("insulin", "long_acting"),
            direction=-1,
            usual=40.0,
            size=1800.0,
            own=True,
            stops=0.43,  # the share that acts on what the liver supplies, as virtual patients show when it is free
        ),
        Effect(name="carbs", pools=("carbs",), direction=1, usual=200.0, size=720.0),
    ),
    costs=(
        Cost(name="below_70", below=LOW, budget=BELOW_70_TARGET / 100),
        Cost(name="below_54", below=VERY_LOW, budget=BELOW_54_TARGET / 100),
    ),
    clock=CLOCK,
    gate=GATE,
    actions=(
        Action(channel="bolus", values=SHARES, of="share", remains=RAPID),
        Action(channel="basal", values=MULTIPLES, of="multiple"),
    ),
    watch=WATCH,
    hazards=(
        Hazard(name="low", side=-1, level=LOW, within=120.0),
        Hazard(name="high", side=1, level=VERY_HIGH, within=120.0),
    ),
    slowest=15.0,  # continuous sensors; who reads less often reads fingers, and most of the day is unseen
)

# AndroidAPS maximum bolus and insulin on board by group (U); oref0 rate caps. See docs/reference/clinical.md.
LIMITS: dict[Group, Limits] = {
    "adult": Limits(max_dose=17.0, max_on_board=13.0, min_spacing=30.0, floor=80.0, max_rate=10.0),
    "adolescent": Limits(max_dose=10.0, max_on_board=13.0, min_spacing=30.0, floor=80.0, max_rate=6.0),
    "child": Limits(max_dose=5.0, max_on_board=7.0, min_spacing=30.0, floor=80.0, max_rate=3.0),
}


def limits_of(facts: CourseFacts) -> Limits:
    """The limits on one patient's doses: their group's, or where their age is known and says that they are younger, that age's.

    Args:
        facts: The group and, where it is known, the covariate "age" in years.

    Raises:
        ValueError: The group is none of the therapy's.

    >>> limits_of(CourseFacts(group="adult")).max_dose, limits_of(CourseFacts(group="adult", covariates={"age": 9})).max_dose
    (17.0, 5.0)
    """
    order: tuple[Group, ...] = ("child", "adolescent", "adult")
    if facts.group not in order:
        raise ValueError(f"{GLUCOSE.name}: {facts.group!r} is no group, expected one of {', '.join(LIMITS)}")
    age = float(facts.covariates.get("age", math.nan))
    by_age = 0 if age < ADOLESCENT else 1 if age < ADULT else 2
    return LIMITS[order[min(order.index(facts.group), by_age)]]


# Absolute limits of the ratios are LoopKit's guardrails, of basal and long-acting their channels' bounds; the recommended carb
# ratio is LoopKit's, the other recommended ranges are ours. See docs/reference/clinical.md.
RANGES: dict[Setting, dict[str, float]] = {
    "basal": {"lowest": 0.0, "highest": 35.0, "low": 0.05, "high": 5.0},
    "carb_ratio": {"lowest": 2.0, "highest": 150.0, "low": 4.0, "high": 28.0},
    "correction_factor": {"lowest": 10.0, "highest": 500.0, "low": 16.0, "high": 400.0},
    "long_acting": {"lowest": 0.0, "highest": 150.0, "low": 1.0, "high": 80.0},
}
# How far any of them may move: from the original and at a visit as oref0 autotune's caps; against lows further, which is ours.
CHANGES = {"low_ratio": 0.7, "high_ratio": 1.2, "per_visit": 0.2, "against_harm": 0.3, "against_danger": 0.5}
LINE_LIMITS: dict[Setting, LineLimits] = {
    setting: LineLimits(**limits, **CHANGES, least_days=7.0) for setting, limits in RANGES.items()
}

# For how long a suggestion may be signed: settings from when it was made, doses from the moment that they begin at.
HOLDS: dict[Literal["regimen", "doses"], timedelta] = {"regimen": timedelta(days=14), "doses": timedelta(minutes=30)}

BLOCKS: tuple[int, ...] = (0, 6 * 60, 11 * 60, 17 * 60)  # night, morning, midday, evening: minutes after midnight


@dataclass(frozen=True, kw_only=True)
class Regimen:
    """The settings a clinician prescribes, by time block.

    starts: minutes after local midnight at which each block begins; the first is 0, increasing.
    basal: U/h per block. carb_ratio: g of carbohydrate one unit covers. correction_factor: mg/dL one unit lowers.
    target: mg/dL that corrections aim for. long_acting: U a day, given at `long_acting_at` (pens; basal is then 0).
    """

    starts: tuple[int, ...] = BLOCKS
    basal: tuple[float, ...]
    carb_ratio: tuple[float, ...]
    correction_factor: tuple[float, ...]
    target: float = 110.0
    delivery: Delivery = "pump"
    long_acting: float = 0.0
    long_acting_at: int = 22 * 60

    def __post_init__(self) -> None:
        count = len(self.starts)
        if not count or self.starts[0] != 0 or any(a >= b for a, b in pairwise((*self.starts, DAY))):
            raise ValueError(f"regimen: block starts must begin at 0 and increase below {DAY}: {self.starts}")
        for name, positive in (("basal", False), ("carb_ratio", True), ("correction_factor", True)):
            values = getattr(self, name)
            if len(values) != count:
                raise ValueError(f"regimen: {name} has {len(values)} values for {count} blocks")
            if not all(value == value and (value > 0 if positive else value >= 0) and value < 1e4 for value in values):
                raise ValueError(f"regimen: {name} must be {'positive' if positive else 'non-negative'} and finite: {values}")

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """From which minute to which of the local day each block goes."""
        return tuple(zip(self.starts, (*self.starts[1:], DAY), strict=True))

    def block(self, minute: int) -> int:
        """The block that holds a minute of the local day."""
        return max(index for index, start in enumerate(self.starts) if start <= minute % DAY)

    def scaled(self, name: Literal["basal", "carb_ratio", "correction_factor"], block: int, factor: float) -> "Regimen":
        """This regimen with one line multiplied."""
        values = list(getattr(self, name))
        values[block] *= factor
        changed: dict[str, Any] = {name: tuple(values)}
        return replace(self, **changed)
