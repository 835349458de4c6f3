"""What a pump's settings in Tidepool say is prescribed."""

from collections.abc import Iterable, Mapping
from typing import Any

from careplan.records.settings import StatedSettings, pump_settings
from careplan.records.units import MG_PER_MMOL

MS = 60_000.0
HIGHEST_MMOL = 22.0  # mmol/L a unit lowers at the most; a larger number is mg/dL whatever the unit says
Schedule = list[tuple[int, float]]  # minutes after midnight, and the value from there


def settings_of(settings: Mapping[str, Any], *, mmol: bool) -> StatedSettings | None:
    """What is stated by the active schedules; None where one is missing or absurd.

    mmol: glucose is in mmol/L, as in the API, where `units.bg` only says what the pump shows. Else `units.bg` is meant.
    """
    active = settings.get("activeSchedule")
    basal = schedule(chosen(settings.get("basalSchedules"), active), "rate")
    ratio = schedule(chosen(settings.get("carbRatios") or settings.get("carbRatio"), active), "amount")
    factor = schedule(chosen(settings.get("insulinSensitivities") or settings.get("insulinSensitivity"), active), "amount")
    if not basal or not ratio or not factor:
        return None
    units = settings.get("units")
    stated = str(units.get("bg")) if isinstance(units, Mapping) else ""
    in_mmol = (mmol or stated == "mmol/L") and max(value for _, value in factor) <= HIGHEST_MMOL
    scale = MG_PER_MMOL if in_mmol else 1.0
    target = scale * aim(chosen(settings.get("bgTargets") or settings.get("bgTarget"), active))
    starts = tuple(sorted({start for each in (basal, ratio, factor) for start, _ in each}))
    return pump_settings(
        starts=starts,
        basal=tuple(at(basal, start) for start in starts),
        carb_ratio=tuple(at(ratio, start) for start in starts),
        correction_factor=tuple(scale * at(factor, start) for start in starts),
        target=target,
    )


def chosen(schedules: object, active: object) -> list[Any]:
    """The blocks in force: a list as it is, or of several named lists the active one, or the only one."""
    if isinstance(schedules, Mapping):
        one = next(iter(schedules.values())) if len(schedules) == 1 else None
        schedules = schedules.get(str(active), one)
    return schedules if isinstance(schedules, list) else []


def schedule(blocks: Iterable[Any], name: str) -> Schedule:
    """Blocks that start in milliseconds of the day, in order; empty where one says nothing, or none starts at midnight."""
    found: Schedule = []
    for block in blocks:
        start, value = (block.get("start"), block.get(name)) if isinstance(block, Mapping) else (None, None)
        if not isinstance(start, (int, float)) or not isinstance(value, (int, float)):
            return []
        found.append((int(start / MS) % (24 * 60), float(value)))
    found.sort()
    return found if found and found[0][0] == 0 else []


def at(blocks: Schedule, minute: int) -> float:
    return next(value for start, value in reversed(blocks) if start <= minute)


def aim(blocks: list[Any]) -> float:
    """The target of the first block, or the middle of its range; 0 where it has none."""
    first = blocks[0] if blocks and isinstance(blocks[0], Mapping) else {}
    low, high, target = (first.get(name) for name in ("low", "high", "target"))
    if isinstance(target, (int, float)):
        return float(target)
    return (low + high) / 2.0 if isinstance(low, (int, float)) and isinstance(high, (int, float)) else 0.0
