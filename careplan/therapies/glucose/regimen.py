"""The regimen as the clinic handles it: from what a source states, with settings changed, and by setting."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from careplan.errors import AskError
from careplan.minutes import DAY
from careplan.practice import SettingChange
from careplan.records.settings import StatedSettings
from careplan.suggestion import Line
from careplan.therapies.glucose.declaration import Regimen

BY_BLOCK = ("basal", "carb_ratio", "correction_factor")
SINGLE = ("target", "delivery", "long_acting", "long_acting_at")


def stated(settings: StatedSettings) -> Regimen:
    """The regimen that a source states. Raises `ValueError` where a setting is missing, unknown or absurd."""
    blocks, single = dict(settings.blocks), dict(settings.single)
    missing, unknown = set(BY_BLOCK) - blocks.keys(), {*blocks, *single} - {*BY_BLOCK, *SINGLE}
    if missing or unknown:
        raise ValueError(f"regimen: settings {sorted(missing)} are missing, {sorted(unknown)} unknown")
    given: dict[str, Any] = {**blocks, **single}
    return Regimen(starts=settings.starts, **given)


def settings_of(regimen: Regimen) -> StatedSettings:
    """A regimen as a source would state it."""
    return StatedSettings(
        starts=regimen.starts,
        blocks={name: getattr(regimen, name) for name in BY_BLOCK},
        single={name: getattr(regimen, name) for name in SINGLE},
    )


def current(regimen: Regimen, line: Line) -> float:
    """What a line of a suggestion is now."""
    if line.setting == "long_acting":
        return regimen.long_acting
    return float(getattr(regimen, line.setting)[regimen.block(line.start)])


def listed(regimen: Regimen) -> dict[str, tuple[tuple[int, float], ...]]:
    """setting -> ((start minute, value), ...)"""
    found = {name: tuple(zip(regimen.starts, getattr(regimen, name), strict=True)) for name in BY_BLOCK}
    if regimen.delivery == "pen":
        found["long_acting"] = ((regimen.long_acting_at, regimen.long_acting),)
        del found["basal"]
    return found


def apply_changes(regimen: Regimen, changes: Iterable[SettingChange]) -> Regimen:
    """A new regimen with each setting changed between its start and end; blocks are split where a change needs it.

    Raises `AskError` for a setting a regimen has not, or a span outside the day.
    """
    changes = tuple(changes)
    for change in changes:
        if not 0 <= change.start < change.end <= DAY:
            raise AskError(f"{change.setting}: from minute {change.start} to {change.end} is not a span of one day")
    bounds = {*regimen.starts, *(c.start for c in changes), *(c.end for c in changes if c.end < DAY)}
    starts = tuple(sorted(bounds)) if any(c.setting != "long_acting" for c in changes) else regimen.starts
    values: dict[str, list[float]] = {
        name: [getattr(regimen, name)[regimen.block(start)] for start in starts] for name in BY_BLOCK
    }
    long_acting = regimen.long_acting
    for change in changes:
        if change.setting == "long_acting":
            long_acting = change.value
        elif change.setting in values:
            for index, start in enumerate(starts):
                if change.start <= start < change.end:
                    values[change.setting][index] = change.value
        else:
            raise AskError(f"{change.setting!r} is not a setting of a regimen")
    return replace(
        regimen,
        starts=starts,
        long_acting=long_acting,
        basal=tuple(values["basal"]),
        carb_ratio=tuple(values["carb_ratio"]),
        correction_factor=tuple(values["correction_factor"]),
    )
