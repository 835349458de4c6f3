"""What a person may decide of a suggestion's lines: what a high INR forbids, tablets allow, the guard says. Pure."""

from collections.abc import Callable

import pandas as pd

from careplan.covariates import CourseFacts
from careplan.errors import AskError
from careplan.language import N_
from careplan.planning.safety import RegimenLine, guard_line
from careplan.practice import Judged
from careplan.suggestion import Line, Suggestion
from careplan.targets import Targets
from careplan.therapies.warfarin.aims import USUAL
from careplan.therapies.warfarin.declaration import CEILING, DANGER, LINE_LIMITS, STARTING, STARTS
from careplan.therapies.warfarin.metrics import TOO_HIGH
from careplan.therapies.warfarin.regimen import STRENGTHS, Regimen, increment, week_of

SOON = 14  # days: an INR that is out of range is looked at again before

NO_EVENING = N_("the last INR is {last:g}, {ceiling:g} or more: no evening is left out")
LATE = N_("the last INR is {last:g}, out of range: the next is due within {days} days")
FORBIDDEN = N_("more warfarin is not allowed: the last INR is {last:g}, {ceiling:g} or more")
HIGH_INR = N_("the last INR is {last:g}, {ceiling:g} or more")


def judge(
    suggestion: Suggestion, readings: pd.DataFrame, facts: CourseFacts, regimen: Regimen | None, targets: Targets = USUAL
) -> Callable[[Line, float], Judged]:
    """What the rules say of a value of a line, given the recent INRs: `time` on the patient's clock and `value`."""
    values = readings.sort_values("time", kind="stable")["value"]
    last = float(values.iloc[-1]) if len(values) else None
    strengths = STRENGTHS if regimen is None else regimen.strengths
    first = readings["time"].min() if len(values) else None
    starting = first is None or (pd.Timestamp(suggestion.at) - first).days < STARTS

    def judged_of(line: Line, value: float) -> Judged:
        return judged(line, value, last, strengths, starting=starting, targets=targets)

    return judged_of


def judged(
    line: Line,
    value: float,
    last: float | None,
    strengths: tuple[float, ...] = STRENGTHS,
    *,
    starting: bool = False,
    targets: Targets = USUAL,
) -> Judged:
    """What the rules say of a value of a line, by the last INR. starting: within a fortnight of the first INR."""
    if line.setting == "hold":
        none_left_out = _high(last) and value < 1
        caution = NO_EVENING.format(last=last, ceiling=CEILING) if none_left_out else None
        return Judged(lowest=0.0, highest=7.0, caution=caution)
    if line.setting == "next_inr":
        out = last is not None and not targets.levels["low"] <= last <= targets.levels["high"]
        caution = LATE.format(last=last, days=SOON) if out and value > SOON else None
        return Judged(lowest=1.0, highest=84.0, caution=caution)
    limits = STARTING if starting or line.current <= 0 else LINE_LIMITS["weekly_dose"]
    forbidden = None
    try:
        week_of(value, strengths)
    except AskError as error:
        forbidden = str(error)
    if value > line.current and _high(last):
        forbidden = FORBIDDEN.format(last=last, ceiling=CEILING)
    seen = regimen_line(line.current, last, strengths, starting=starting)
    guarded = guard_line(seen, value).breaches if line.current > 0 else ()
    return Judged(lowest=limits.lowest, highest=limits.highest, guarded=tuple(guarded), forbidden=forbidden)


def regimen_line(
    current: float, last: float | None, strengths: tuple[float, ...] = STRENGTHS, *, starting: bool = False
) -> RegimenLine:
    """The weekly dose as the guard sees it: more is forbidden above 4, and much less is allowed from there on. starting: within
    the first fortnight, or of somebody who takes none yet, when doses follow every INR."""
    high = last is not None and last > TOO_HIGH
    return RegimenLine(
        key="weekly_dose@0",
        current=current,
        direction=1,
        limits=STARTING if starting else LINE_LIMITS["weekly_dose"],
        increment=increment(strengths),
        days=float("inf"),
        breach=high,
        danger=last is not None and last >= DANGER,
    )


def caution(suggestion: Suggestion, readings: pd.DataFrame) -> str | None:
    """What the last INR warns of."""
    values = readings.sort_values("time", kind="stable")["value"]
    last = float(values.iloc[-1]) if len(values) else None
    return HIGH_INR.format(last=last, ceiling=CEILING) if suggestion.lines and _high(last) else None


def _high(last: float | None) -> bool:
    return last is not None and last >= CEILING
