"""What may be decided of a suggestion's lines. Pure: the same rules for a draft, a signature and an export."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from careplan.clinic.views import Decision, Line, Meaning, Setting
from careplan.planning.safety import RegimenLine, guard_line
from careplan.therapies.glucose.declaration import DAY, LIMITS, LINE_LIMITS, Group, Regimen
from careplan.therapy import LineLimits

# Consensus targets for adults (% of readings); any breach forbids more insulin in that part of the day.
BELOW_70_TARGET, BELOW_54_TARGET = 4.0, 1.0
DANGER = 2.0  # times either target: settings are so strong that they may be cut by more at once
TYPED_REASON = 10  # characters at least, where a value is beyond its recommended range

PRESCRIBED: Mapping[str, LineLimits] = {str(setting): limits for setting, limits in LINE_LIMITS.items()}

# Whether a larger value means more insulin (1) or less (-1).
INSULIN: Mapping[Setting, int] = {
    "basal": 1,
    "long_acting": 1,
    "bolus": 1,
    "temp_basal": 1,
    "carb_ratio": -1,
    "correction_factor": -1,
}


class Exposure(NamedTuple):
    """Hypoglycaemia in one part of the day: readings, and % of them below 70 and 54 mg/dL."""

    readings: int
    below_70: float
    below_54: float

    @property
    def breach(self) -> str | None:
        """Which target is broken, in words; missing readings close the gate."""
        if not self.readings:
            return "there are no recent readings to tell"
        if self.below_54 >= BELOW_54_TARGET:
            return f"{self.below_54:.1f} % of readings are below 54 mg/dL (target under {BELOW_54_TARGET:g} %)"
        if self.below_70 >= BELOW_70_TARGET:
            return f"{self.below_70:.1f} % of readings are below 70 mg/dL (target under {BELOW_70_TARGET:g} %)"
        return None

    @property
    def burden(self) -> float:
        """Of the targets, how many times the one that is used most; NaN where nothing was measured."""
        return max(self.below_70 / BELOW_70_TARGET, self.below_54 / BELOW_54_TARGET)

    @property
    def danger(self) -> bool:
        """A target is broken by far."""
        return self.burden >= DANGER


def exposure(glucose: NDArray[np.floating], minute: NDArray[np.floating], start: int = 0, end: int = DAY) -> Exposure:
    """Of readings `[N]` mg/dL at minutes `[N]` of the day, those from `start` up to `end`, past midnight if `end` is earlier."""
    inside = (minute >= start) & (minute < end) if start < end else (minute >= start) | (minute < end)
    chosen = glucose[inside & np.isfinite(glucose)]
    if not len(chosen):
        return Exposure(0, math.nan, math.nan)
    return Exposure(len(chosen), 100.0 * float(np.mean(chosen < 70.0)), 100.0 * float(np.mean(chosen < 54.0)))


def exposure_at(glucose: NDArray[np.floating], minute: NDArray[np.floating], start: int, end: int) -> Exposure:
    """What a plan holds against a setting in one part of the day: that part, or the whole day where that is graver and the part
    was measured at all, since insulin acts on after it."""
    part, day = exposure(glucose, minute, start, end), exposure(glucose, minute)
    return day if part.readings and day.burden > part.burden and day.breach else part


def raises_insulin(line: Line, value: float) -> bool:
    """Whether deciding on `value` gives more insulin than now."""
    return (value - line.current) * INSULIN[line.setting] > 1e-9


def draft_problems(lines: Sequence[Line], decisions: Sequence[Decision]) -> list[str]:
    """What no draft may hold: a line decided twice, or a line that the suggestion has not."""
    keys = [decision.key for decision in decisions]
    known = {line.key for line in lines}
    problems = [f"{key}: decided twice" for key in sorted({key for key in keys if keys.count(key) > 1})]
    return problems + [f"{key}: the suggestion has no such line" for key in keys if key not in known]


def problems(
    lines: Sequence[Line],
    decisions: Sequence[Decision],
    exposed: Callable[[Line], Exposure],
    against: Callable[[Line], Exposure] | None = None,
    bounds: Callable[[Line], tuple[float, float]] | None = None,
) -> list[str]:
    """Why these decisions cannot be signed, a sentence each; empty when they can.

    exposed: the hypoglycaemia in a line's part of the day, which forbids more insulin there. against: what less insulin is meant
    against, and so how much less is allowed at once (`exposed` where None). bounds: what the therapy allows this patient now
    (`allowed`), whatever limits a line states; the narrowest of any group where None.
    """
    bounds = bounds or (lambda line: allowed(line, "child", None))
    found = draft_problems(lines, decisions)
    by_key = {decision.key: decision for decision in decisions}
    for line in lines:
        decision = by_key.get(line.key)
        if decision is None:
            found.append(f"{line.key}: not decided")
        else:
            found += _line_problems(line, decision, exposed, against or exposed, bounds(line))
    return found


def allowed(line: Line, group: Group, regimen: Regimen | None) -> tuple[float, float]:
    """The lowest and the highest that the therapy lets anybody sign for this patient now: of a setting, of one dose, or of a
    rate as a multiple of what is prescribed."""
    if (limits := PRESCRIBED.get(line.setting)) is not None:
        return limits.lowest, limits.highest
    doses = LIMITS[group]
    if line.setting == "bolus":
        return 0.0, doses.max_dose
    fastest = max(regimen.basal) if regimen is not None else 0.0
    return 0.0, min(doses.max_rate_ratio, doses.max_rate / fastest if fastest > 0 else doses.max_rate_ratio)


def meaning_of(lines: Sequence[Line], decisions: Sequence[Decision]) -> Meaning:
    """What a signature on these decisions means."""
    verdicts = {decision.key: decision.verdict for decision in decisions}
    kept = [verdicts[line.key] for line in lines if verdicts.get(line.key, "reject") != "reject"]
    if not kept:
        return "prescribe no change"
    return "prescribe as proposed" if kept == ["accept"] * len(lines) else "prescribe with changes"


def _line_problems(
    line: Line,
    decision: Decision,
    exposed: Callable[[Line], Exposure],
    against: Callable[[Line], Exposure],
    bounds: tuple[float, float],
) -> list[str]:
    key, value, reason = line.key, decision.value, decision.reason.strip()
    if decision.verdict == "reject":
        found = [] if reason else [f"{key}: a rejection needs a reason"]
        return found if _same(value, line.current) else [*found, f"{key}: a rejected line keeps {line.current:g} {line.unit}"]
    if not math.isfinite(value):
        return [f"{key}: {value} is not a number"]

    found = []
    if decision.verdict == "accept" and not _same(value, line.proposed):
        found.append(f"{key}: an accepted line is {line.proposed:g} {line.unit}, not {value:g}; edit it instead")
    if decision.verdict == "edit" and not reason:
        found.append(f"{key}: an edit needs a reason")
    low, high = max(line.absolute_low, bounds[0]), min(line.absolute_high, bounds[1])
    if not low <= value <= high:
        return [*found, f"{key}: {value:g} {line.unit} is beyond the absolute limits {low:g} to {high:g}, which nobody can sign"]
    guarded = _guarded(line, value, against(line))
    unusual = [] if line.lowest <= value <= line.highest else [f"beyond the recommended {line.lowest:g} to {line.highest:g}"]
    if decision.verdict == "accept" and guarded:
        found.append(f"{key}: the proposal is {'; '.join(guarded)}: edit or reject it")
    elif (unusual or guarded) and len(reason) < TYPED_REASON:
        told = "; ".join(unusual + guarded)
        found.append(f"{key}: {value:g} {line.unit} is {told}: type a reason of at least {TYPED_REASON} characters")
    if raises_insulin(line, value) and (breach := exposed(line).breach):
        # A setting acts for weeks; a dose was searched for these hours, within their own risk budget.
        if line.setting in PRESCRIBED:
            found.append(f"{key}: more insulin is not allowed here: {breach}")
        elif len(reason) < TYPED_REASON:
            found.append(f"{key}: {breach}: more insulin needs a reason of at least {TYPED_REASON} characters")
    return found


def _guarded(line: Line, value: float, exposed: Exposure) -> list[str]:
    """What the planner's own guardrail says of a value, once more; more insulin despite lows is judged apart."""
    limits = PRESCRIBED.get(line.setting)
    if limits is None:
        return []
    breach = bool(exposed.readings) and exposed.breach is not None and not raises_insulin(line, value)
    again = RegimenLine(
        key="it",
        current=line.current,
        direction=INSULIN[line.setting],
        limits=limits,
        increment=0.0,
        days=line.days,
        breach=breach,
        danger=breach and exposed.danger,
    )
    return [reason.removeprefix(f"it: {value:g} ") for reason in guard_line(again, value).reasons]


def _same(value: float, other: float) -> bool:
    return math.isclose(value, other, rel_tol=1e-6, abs_tol=1e-9)
