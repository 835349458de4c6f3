"""Nightscout's profiles: what they state of a day's basal rates, ratios and targets, in today's form and the older flat one."""

import json
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from careplan.formats.nightscout.documents import Account, Document, Placed
from careplan.formats.nightscout.values import denied, moments, number
from careplan.minutes import DAY
from careplan.records.settings import StatedSettings, pump_settings
from careplan.records.units import MG_PER_MMOL

Schedule = tuple[tuple[int, float], ...]  # (minutes after midnight, value), the first at 0, increasing
FIRST = pd.Timestamp("1980-01-01", tz="UTC")  # Nightscout takes a profile without a date to be in force since then
HOURS = 24.0  # a larger time shift is in milliseconds
SWITCH_NAME = re.compile(r"@@@@@.*$|\s*\(\d+(?:\.\d+)?%.*\)\s*$")  # what uploaders append to a profile's name


@dataclass(frozen=True, eq=False)
class Profile:
    """A profile in force from `start`. others: all of its document's, by name."""

    start: pd.Timestamp
    placed: Placed
    settings: Document
    others: dict[str, Document]


@dataclass(frozen=True)
class Switch:
    """How a profile switch changes the profile it names: basal times `factor`, sensitivity and ratio divided by it, all of it
    `shift` hours later in the day."""

    factor: float = 1.0
    shift: int = 0


def profiles_of(documents: Sequence[Placed], account: Account) -> list[Profile]:
    """The default profile of each document, in order of time."""
    kept = []
    for placed in documents:
        if denied(placed.document.get("isValid", True)):
            account.drop("deleted", placed, "isValid", "profile marked as deleted")
        else:
            kept.append(placed)
    if not kept:
        return []
    starts = moments(*([each.document.get(name) for each in kept] for name in ("startDate", "created_at", "mills")))
    made = moments(*([each.document.get(name) for each in kept] for name in ("created_at", "srvModified", "mills")))
    found = []
    for placed, start, later in zip(kept, starts, made, strict=True):
        others = store_of(placed.document)
        units = placed.document.get("units")
        others = {name: {"units": units, **settings} for name, settings in others.items()} if units else others
        name = str(placed.document.get("defaultProfile", ""))
        settings = others.get(name) or (next(iter(others.values())) if len(others) == 1 else None)
        if settings is None:
            account.drop("unknown profile", placed, "defaultProfile", f"{name!r} is none of {sorted(others)[:8]}")
            continue
        if pd.isna(start):
            account.change("profile without a date", placed, "startDate", "taken to be in force from the beginning")
        found.append(
            (FIRST if pd.isna(start) else start, FIRST if pd.isna(later) else later, Profile(start, placed, settings, others))
        )
    found.sort(key=lambda each: each[:2])
    return [Profile(start, each.placed, each.settings, each.others) for start, _, each in found]


def store_of(document: Document) -> dict[str, Document]:
    """The profiles of a document by name; an older flat one is its own."""
    store = document.get("store")
    if isinstance(store, dict):
        return {str(name): settings for name, settings in store.items() if isinstance(settings, dict)}
    return {"Default": document}


def named_profile(name: str, start: pd.Timestamp, profiles: Sequence[Profile]) -> Document | None:
    """The profile of a name as the document in force at `start` has it, else as any does, with what uploaders append left off."""
    before = [profile for profile in profiles if profile.start <= start]
    after = [profile for profile in profiles if profile.start > start]
    for each in (name, SWITCH_NAME.sub("", name)):
        for profile in (*reversed(before), *after):
            if each in profile.others:
                return profile.others[each]
    return None


def carried_profile(document: Document) -> Document | None:
    """The profile that a switch carries along, as JSON or as JSON in a text."""
    carried = document.get("profileJson")
    if isinstance(carried, str):
        try:
            carried = json.loads(carried)
        except (ValueError, RecursionError):
            return None
    return carried if isinstance(carried, dict) else None


def switch_of(document: Document) -> Switch | None:
    """The percentage and time shift of a profile switch; None where they cannot be meant.

    `timeshift` is in hours up to AndroidAPS 2 and in milliseconds from 3 on; whole hours count.
    """
    percentage = number(document.get("percentage"), 100.0)
    shift = number(document.get("timeshift"), 0.0)
    hours = shift if abs(shift) <= HOURS else shift / 3_600_000.0
    if not 0.0 <= percentage <= 1000.0 or abs(hours) > HOURS or (abs(shift) > HOURS and abs(shift) < 60_000.0):
        return None
    return Switch((percentage or 100.0) / 100.0, int(hours))


def schedule_of(blocks: Any, shift: int = 0) -> Schedule | None:
    """Nightscout's `[{"time": "06:00", "timeAsSeconds": 21600, "value": 0.8}, ...]`, or one number for the whole day, `shift`
    hours later in the day; nothing where it cannot be trusted. The first block's value holds from midnight, as on the site.
    """
    if isinstance(blocks, int | float | str) and not np.isnan(number(blocks)):
        blocks = [{"time": "00:00", "value": blocks}]
    if not isinstance(blocks, list) or not blocks:
        return None
    found: dict[int, float] = {}
    for block in blocks:
        if not isinstance(block, dict):
            return None
        start, value = minute_of(block), number(block.get("value"))
        if start is None or not 0 <= value < 1e4:
            return None
        found[start] = value
    found.setdefault(0, next(iter(found.values())))
    return shifted(tuple(sorted(found.items())), shift)


def minute_of(block: Document) -> int | None:
    """When a block begins, minutes after midnight."""
    time = block.get("time")
    if isinstance(time, str) and (match := re.match(r"\s*(\d{1,2}):(\d{2})", time)):
        start = int(match[1]) * 60 + int(match[2])
    else:
        seconds = number(block.get("timeAsSeconds"))
        if np.isnan(seconds):
            return None
        start = round(seconds / 60)
    return start if 0 <= start < DAY else None


def shifted(schedule: Schedule, hours: int) -> Schedule:
    """The schedule so many hours later in the day: value(t) = schedule(t - hours)."""
    minutes = hours * 60 % DAY
    if not minutes:
        return schedule
    moved = {(start + minutes) % DAY: value for start, value in schedule}
    moved.setdefault(0, at_minute(schedule, DAY - minutes))
    return tuple(sorted(moved.items()))


def at_minute(schedule: Schedule, minute: float) -> float:
    """The value in force at a minute of the day."""
    return schedule[max(0, bisect_right([start for start, _ in schedule], minute) - 1)][1]


def settings_of(profile: Document, switch: Switch | None = None) -> StatedSettings | None:
    """The regimen a profile states, as a switch changes it, on blocks that hold all of its schedules; nothing where one is
    missing or absurd."""
    by = switch or Switch()
    basal, ratio = (schedule_of(profile.get(name), by.shift) for name in ("basal", "carbratio"))
    factor = schedule_of(profile.get("sens"), by.shift)
    if basal is None or ratio is None or factor is None:
        return None
    scale = MG_PER_MMOL if in_mmol(profile) else 1.0
    starts = tuple(sorted({start for schedule in (basal, ratio, factor) for start, _ in schedule}))
    low, high = schedule_of(profile.get("target_low")), schedule_of(profile.get("target_high"))
    stated = scale * (low[0][1] + high[0][1]) / 2 if low and high else 0.0
    return pump_settings(
        starts=starts,
        basal=tuple(at_minute(basal, start) * by.factor for start in starts),
        carb_ratio=tuple(at_minute(ratio, start) / by.factor for start in starts),
        correction_factor=tuple(scale * at_minute(factor, start) / by.factor for start in starts),
        target=stated,
    )


def in_mmol(profile: Document) -> bool:
    """Whether a profile's glucose is in mmol/L: as it says, or by the size of its correction factor (never 10 mg/dL or less)."""
    units = str(profile.get("units", "")).lower()
    factor = schedule_of(profile.get("sens"))
    return units.startswith("mmol") or (not units and factor is not None and max(value for _, value in factor) <= 10.0)
