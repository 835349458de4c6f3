"""The lines of a regimen: what may change, by which evidence and under which lows, and what a search found, line by line."""

from collections.abc import Sequence
from datetime import timedelta

import numpy as np

from careplan.breach import Breach
from careplan.display import clock, signed
from careplan.language import N_
from careplan.minutes import DAY
from careplan.planning.regimen import RegimenPlans
from careplan.planning.safety import RegimenLine
from careplan.series import PatientSeries
from careplan.suggestion import Line
from careplan.targets import Targets
from careplan.therapies.glucose.bands import ADULTS
from careplan.therapies.glucose.days import SETTINGS, Days
from careplan.therapies.glucose.decisions import Exposure, exposure, exposure_at
from careplan.therapies.glucose.declaration import GLUCOSE, LINE_LIMITS, RECENT, Regimen, Setting
from careplan.therapies.glucose.names import INSULIN, UNITS

INCREMENT: dict[Setting, float] = {"basal": 0.025, "carb_ratio": 0.5, "correction_factor": 1.0, "long_acting": 0.5}
NEAR = 0.5  # of the targets for lows: whoever had more than this of them in the last fortnight is given nothing more


def recent_readings(series: PatientSeries) -> PatientSeries:
    """The readings by which lows are held against a change, here as when it is signed: `RECENT` before the last one."""
    last = np.flatnonzero(series.mask[:, GLUCOSE.index(GLUCOSE.regulated)])
    end = int(last[-1]) + 1 if len(last) else len(series)
    return series.until(end).since(max(0, end - 1 - round(RECENT / timedelta(minutes=GLUCOSE.step))))


def regimen_lines(series: PatientSeries, regimen: Regimen, days: Days, targets: Targets = ADULTS) -> list[RegimenLine]:
    """Every setting by block, in the order `Days.replay` expects, with its evidence and whether lows forbid more insulin."""
    recent = recent_readings(series)
    glucose, minute = recent.column("glucose"), recent.minute_of_day()
    whole_day = exposure(glucose, minute, targets=targets)
    near, lines = _near_target(whole_day), []
    alone = int(((days.correction > 0) & (days.meal == 0)).any(1).sum())
    few, least = None, LINE_LIMITS["correction_factor"].least_days
    if alone < least:
        few = Breach("corrections apart from meals", numbers={"days": alone, "needed": least})
    kinds: tuple[Setting, ...] = SETTINGS  # type: ignore[assignment]
    for setting in kinds:
        evidence = {"basal": days.basal > 0, "carb_ratio": days.meal > 0, "correction_factor": days.correction > 0}[setting]
        held = near or (few if setting == "correction_factor" else None)
        for block, (start, end) in enumerate(regimen.spans):
            exposed = exposure_at(glucose, minute, start, end, targets)
            seen = float((evidence[:, days.block == block].any(1)).sum())
            lines.append(regimen_line(setting, start, getattr(regimen, setting)[block], exposed, days=seen, held=held))
    daily = float(len(days)) if regimen.long_acting > 0 else 0.0
    lines.append(regimen_line("long_acting", 0, regimen.long_acting, whole_day, days=daily, held=near))
    return lines


def regimen_line(
    setting: Setting, start: int, current: float, exposed: Exposure, *, days: float, held: Breach | None = None
) -> RegimenLine:
    """One setting from a minute of the day on, with its limits, under the lows of that part of the day. days, held: as
    `RegimenLine`."""
    return RegimenLine(
        key=f"{setting}@{start}",
        current=current,
        direction=INSULIN[setting],
        limits=LINE_LIMITS[setting],
        increment=INCREMENT[setting],
        days=days,
        breach=_breach(exposed),
        danger=exposed.danger,
        held=held,
    )


def proposed_lines(plans: RegimenPlans, lines: Sequence[RegimenLine], regimen: Regimen) -> tuple[Line, ...]:
    """What the search answered, line by line."""
    return tuple(as_line(line, value, regimen) for line, value in _changed(plans, 0, lines))


def changes_in_words(plans: RegimenPlans, option: int, lines: Sequence[RegimenLine], regimen: Regimen) -> str:
    """ "basal +9 to +10 % all day, carb ratio +19 % from 06:00, 11:00"; "as prescribed" where nothing changes."""
    by_setting: dict[str, list[tuple[int, float]]] = {}
    for line, value in _changed(plans, option, lines):
        by_setting.setdefault(line.kind, []).append((_span(line, regimen)[0], 100 * (value / line.current - 1)))
    said = []
    for setting, changes in by_setting.items():
        least, most = (signed(pick((change for _, change in changes), key=abs), 0) for pick in (min, max))
        where = "all day" if len(changes) == len(regimen.starts) else f"from {', '.join(clock(start) for start, _ in changes)}"
        percent = least if least == most else f"{least} to {most}"
        said.append(f"{setting.replace('_', ' ')} {percent} %{'' if setting == 'long_acting' else f' {where}'}")
    return ", ".join(said) or "as prescribed"


def _changed(plans: RegimenPlans, option: int, lines: Sequence[RegimenLine]) -> list[tuple[RegimenLine, float]]:
    """The lines that an option changes, each with its new value."""
    values = plans.values[0, option].tolist()
    return [(line, value) for line, value in zip(lines, values, strict=True) if value != line.current]


def _span(line: RegimenLine, regimen: Regimen) -> tuple[int, int]:
    """From which minute to which of the local day a line of a regimen holds."""
    return (0, DAY) if line.kind == "long_acting" else regimen.spans[regimen.starts.index(int(line.key.partition("@")[2]))]


def as_line(line: RegimenLine, value: float, regimen: Regimen) -> Line:
    """A line at a value. Recommended is what one visit may change, and more where that is less insulin against lows."""
    limit = line.limits
    more = (value - line.current) * line.direction > 0
    rescue = limit.against_danger if line.danger else limit.against_harm if line.breach else limit.per_visit
    down, up = (rescue, limit.per_visit) if line.direction > 0 else (limit.per_visit, rescue)
    recommended = max(limit.low, line.current * (1 - down)), min(limit.high, line.current * (1 + up))
    why = N_("more insulin against highs") if more else N_("less insulin against lows")
    return line_of(line, value, regimen, recommended=recommended, why=why)


def line_of(line: RegimenLine, value: float, regimen: Regimen, *, recommended: tuple[float, float], why: str) -> Line:
    """A line at a value, with the lowest and the highest value that are recommended, its absolute limits and its evidence."""
    setting: Setting = line.kind  # type: ignore[assignment]
    start, end = _span(line, regimen)
    return Line(
        key=line.key,
        setting=setting,
        start=start,
        end=end,
        unit=UNITS[setting],
        current=line.current,
        proposed=value,
        lowest=recommended[0],
        highest=recommended[1],
        absolute_low=line.limits.lowest,
        absolute_high=line.limits.highest,
        days=int(line.days),
        why=why,
    )


def _breach(exposed: Exposure) -> bool | None:
    """Whether a target for lows is broken, `None` where nothing was measured."""
    return exposed.breach is not None if exposed.readings else None


def _near_target(exposed: Exposure) -> Breach | None:
    """Why nothing may give more where the targets for lows were nearly broken."""
    if not NEAR < exposed.burden < 1.0:  # what breaks a target says so itself
        return None
    nearest = max(exposed.held, key=lambda each: each["share"] / each["target"])
    return Breach("near the target for lows", numbers=nearest)
