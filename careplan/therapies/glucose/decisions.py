"""What a person may decide of a suggestion's lines: what lows hold against more insulin, and what the guard says. Pure."""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from careplan.breach import Breach
from careplan.covariates import CourseFacts
from careplan.language import N_
from careplan.minutes import DAY
from careplan.planning.safety import RegimenLine, guard_line
from careplan.practice import Judged
from careplan.suggestion import Line, Suggestion
from careplan.targets import Targets
from careplan.therapies.glucose.bands import ADULTS, most_low, outcomes
from careplan.therapies.glucose.declaration import LINE_LIMITS, Regimen, limits_of
from careplan.therapies.glucose.names import INSULIN, raises_insulin
from careplan.therapies.glucose.rule_words import rule_in_words
from careplan.therapy import LineLimits

DANGER = 2.0  # times either target: settings are so strong that they may be cut by more at once

PRESCRIBED: Mapping[str, LineLimits] = {str(setting): limits for setting, limits in LINE_LIMITS.items()}


class Exposure(NamedTuple):
    """Hypoglycaemia in one part of the day: readings, and % of them below the range and below the lowest edge of the targets that
    they are held against."""

    readings: int
    below_70: float
    below_54: float
    targets: Targets = ADULTS

    @property
    def breach(self) -> Breach | None:
        """Which target is broken; missing readings count as a breach."""
        if not self.readings:
            return Breach("no readings")
        return next((Breach("target for lows", numbers=each) for each in self.held if each["share"] >= each["target"]), None)

    @property
    def held(self) -> tuple[Mapping[str, float], ...]:
        """The share of readings, the level below which they lie and the target, of the lowest edge and of the range's."""
        levels, most = self.targets.levels, most_low(self.targets)
        return (
            {"share": self.below_54, "level": levels["very_low"], "target": most["below_54"]},
            {"share": self.below_70, "level": levels["low"], "target": most["below_70"]},
        )

    @property
    def burden(self) -> float:
        """Of the targets, how many times the one that is used most; NaN where nothing was measured."""
        very_low, low = (each["share"] / each["target"] for each in self.held)
        return max(low, very_low)

    @property
    def danger(self) -> bool:
        """A target is broken by far."""
        return self.burden >= DANGER


def exposure(
    glucose: NDArray[np.floating],
    minute: NDArray[np.floating],
    start: int = 0,
    end: int = DAY,
    targets: Targets = ADULTS,
) -> Exposure:
    """Of readings `[N]` mg/dL at minutes `[N]` of the day, those from `start` up to `end`, past midnight if `end` is earlier."""
    inside = (minute >= start) & (minute < end) if start < end else (minute >= start) | (minute < end)
    chosen = glucose[inside & np.isfinite(glucose)]
    if not len(chosen):
        return Exposure(0, math.nan, math.nan, targets)
    below = outcomes(chosen, targets)
    low, very_low = (100.0 * float(np.mean(below[name])) for name in ("below_70", "below_54"))
    return Exposure(len(chosen), low, very_low, targets)


def exposure_at(
    glucose: NDArray[np.floating], minute: NDArray[np.floating], start: int, end: int, targets: Targets = ADULTS
) -> Exposure:
    """What a plan holds against a setting in one part of the day: that part, or the whole day where that is graver and the part
    was measured at all, since insulin acts on after it."""
    part, day = exposure(glucose, minute, start, end, targets), exposure(glucose, minute, targets=targets)
    return day if part.readings and day.burden > part.burden and day.breach else part


def judge(
    suggestion: Suggestion, readings: pd.DataFrame, facts: CourseFacts, regimen: Regimen | None, targets: Targets = ADULTS
) -> Callable[[Line, float], Judged]:
    """What the rules say of a value of a line, given the recent readings: `time` on the patient's clock, `value` in mg/dL."""

    def judged_of(line: Line, value: float) -> Judged:
        return judged(line, value, *lows_against(suggestion, line, readings, targets), signable_bounds(line, facts, regimen))

    return judged_of


def lows_against(
    suggestion: Suggestion, line: Line, readings: pd.DataFrame, targets: Targets = ADULTS
) -> tuple[Exposure, Exposure]:
    """The lows in a line's part of the day, and the graver of those and the whole day's (`exposure_at`); the whole day for doses
    and long-acting insulin."""
    local = readings["time"].dt
    minute = (local.hour * 60 + local.minute).to_numpy(dtype=np.float64)
    glucose = readings["value"].to_numpy(dtype=np.float64)
    all_day = suggestion.kind == "doses" or line.setting == "long_acting"
    start, end = (0, DAY) if all_day else (line.start, line.end)
    return exposure(glucose, minute, start, end, targets), exposure_at(glucose, minute, start, end, targets)


def judged(line: Line, value: float, exposed: Exposure, against: Exposure, bounds: tuple[float, float] | None = None) -> Judged:
    """What the rules say of a value of a line.

    exposed: the lows that forbid more insulin. against: what less insulin is meant against, and so how much less is allowed at
    once. bounds: what the therapy allows this patient now (`signable_bounds`), whatever limits a line states; the narrowest of
    any group where None.
    """
    lowest, highest = bounds or signable_bounds(line, CourseFacts(group="child"), None)
    breach = exposed.breach if raises_insulin(line, value) else None
    limits = PRESCRIBED.get(line.setting)
    if limits is None:  # a dose was searched for these hours, within their own risk budget
        caution = CAUTION.format(why=rule_in_words(breach)) if breach else None
        return Judged(lowest=lowest, highest=highest, caution=caution)
    return Judged(
        lowest=lowest,
        highest=highest,
        guarded=_guarded(line, value, against, limits),
        forbidden=FORBIDDEN.format(why=rule_in_words(breach)) if breach else None,
    )


CAUTION, FORBIDDEN = N_("{why}: more insulin"), N_("more insulin is not allowed here: {why}")


def signable_bounds(line: Line, facts: CourseFacts, regimen: Regimen | None) -> tuple[float, float]:
    """The lowest and the highest that the therapy lets anybody sign for this patient now: of a setting, of one dose, or of a
    rate as a multiple of what is prescribed."""
    if (limits := PRESCRIBED.get(line.setting)) is not None:
        return limits.lowest, limits.highest
    doses = limits_of(facts)
    if line.setting == "bolus":
        return 0.0, doses.max_dose
    fastest = max(regimen.basal) if regimen is not None else 0.0
    return 0.0, min(doses.max_rate_ratio, doses.max_rate / fastest if fastest > 0 else doses.max_rate_ratio)


def caution(suggestion: Suggestion, readings: pd.DataFrame, targets: Targets = ADULTS) -> str | None:
    """Which target for lows the recent readings miss, beside doses that are suggested."""
    glucose = readings["value"].to_numpy(dtype=np.float64)
    breach = exposure(glucose, np.zeros(len(readings)), targets=targets).breach if suggestion.lines else None
    return None if breach is None else rule_in_words(breach)


def _guarded(line: Line, value: float, exposed: Exposure, limits: LineLimits) -> tuple[Breach, ...]:
    """What the planner's own guardrail says of a value, once more; more insulin despite lows is judged apart."""
    breach = bool(exposed.readings) and exposed.breach is not None and not raises_insulin(line, value)
    again = RegimenLine(
        key=line.key,
        current=line.current,
        direction=INSULIN[line.setting],
        limits=limits,
        increment=0.0,
        days=line.days,
        breach=breach,
        danger=breach and exposed.danger,
    )
    return guard_line(again, value).breaches
