"""What Nightscout's profiles, profile switches and temporary rates say of basal insulin, and the regimen they state."""

import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from careplan.records.events import Correction
from careplan.records.nightscout_api import Document, Placed, Site, moment, number
from careplan.records.settings import Settings, pump_settings
from careplan.records.sheet import CELLS, Sheet
from careplan.records.units import MG_PER_MMOL

DAY = 24 * 60  # minutes
SILENCE = pd.Timedelta(hours=6)  # nothing at all recorded for longer: nobody knows what the pump did
Schedule = tuple[tuple[int, float], ...]  # (minutes after midnight, value), the first at 0, increasing
FOREVER = pd.Timestamp("2262-01-01", tz="UTC")


@dataclass(frozen=True)
class Stretch:
    """A rate or a schedule in force from `start` until `end`; where several overlap, the one that started last holds."""

    start: pd.Timestamp
    end: pd.Timestamp
    origin: tuple[str, int]  # file, row
    schedule: Schedule | None = None
    rate: float | None = None  # U/h
    factor: float = 1.0  # of the schedule beneath


@dataclass
class Timeline:
    """Schedules (profiles and switches) and the temporary rates over them."""

    zone: str
    schedules: list[Stretch] = field(default_factory=list)
    temporary: list[Stretch] = field(default_factory=list)

    def rates(
        self, stretches: Sequence[tuple[pd.Timestamp, pd.Timestamp]]
    ) -> Iterator[tuple[pd.Timestamp, float, float, tuple[str, int]]]:
        """`(start, minutes, U/h, origin)` wherever known within `stretches` (sorted, disjoint)."""
        schedules, temporary = Stack(self.schedules), Stack(self.temporary)
        edges = {edge for stretch in (*self.schedules, *self.temporary) for edge in (stretch.start, stretch.end)}
        if stretches:
            edges.update(self.block_edges(stretches[0][0], stretches[-1][1]))
        changes = sorted(edges)
        for first, last in stretches:
            inside = changes[bisect_right(changes, first) : bisect_left(changes, last)]
            for start, end in pairwise([first, *inside, last]):
                base, over = schedules.at(start), temporary.at(start)
                scheduled = None if base is None or base.schedule is None else self.scheduled(base, start)
                if over is not None and over.rate is not None:
                    yield start, minutes(start, end), over.rate, over.origin
                elif scheduled is not None and base is not None:
                    factor, origin = (over.factor, over.origin) if over is not None else (1.0, base.origin)
                    yield start, minutes(start, end), max(0.0, scheduled * factor), origin

    def scheduled(self, base: Stretch, time: pd.Timestamp) -> float:
        local = time.tz_convert(self.zone)
        return base.factor * at_minute(base.schedule or (), local.hour * 60 + local.minute)

    def block_edges(self, first: pd.Timestamp, last: pd.Timestamp) -> Iterator[pd.Timestamp]:
        """Where a schedule's blocks begin, on the patient's clock."""
        starts = sorted({start for stretch in self.schedules for start, _ in stretch.schedule or ()})
        begin, finish = (time.tz_convert(self.zone).tz_localize(None).normalize() for time in (first, last))
        days = pd.date_range(begin, finish, freq="D")
        first_pass = np.ones(len(days), dtype=bool)
        for start in starts:
            local = days + pd.Timedelta(minutes=start)
            yield from local.tz_localize(self.zone, ambiguous=first_pass, nonexistent="shift_forward").tz_convert("UTC")


class Stack:
    """Which of the stretches holds at a time: the last to start of those that have not ended."""

    def __init__(self, stretches: Sequence[Stretch]) -> None:
        self.stretches = sorted(stretches, key=lambda stretch: stretch.start)
        self.starts = [stretch.start for stretch in self.stretches]

    def at(self, time: pd.Timestamp) -> Stretch | None:
        for index in range(bisect_right(self.starts, time) - 1, -1, -1):
            if self.stretches[index].end > time:
                return self.stretches[index]
            if self.stretches[index].rate is not None or self.stretches[index].schedule is None:
                return None  # a temporary rate that has ended does not bring back the one before it
        return None


def minutes(start: pd.Timestamp, end: pd.Timestamp) -> float:
    return (end - start).total_seconds() / 60.0


def at_minute(schedule: Schedule, minute: float) -> float:
    """The value in force at a minute of the day."""
    return schedule[max(0, bisect_right([start for start, _ in schedule], minute) - 1)][1]


def schedule_of(blocks: Any) -> Schedule | None:
    """Nightscout's `[{"time": "06:00", "timeAsSeconds": 21600, "value": 0.8}, ...]`; nothing where it cannot be trusted."""
    if not isinstance(blocks, list) or not blocks:
        return None
    found: dict[int, float] = {}
    for block in blocks:
        try:
            if isinstance(block.get("time"), str) and ":" in block["time"]:
                hour, _, rest = block["time"].partition(":")
                start = int(hour) * 60 + int(rest[:2])
            else:
                start = round(float(block["timeAsSeconds"]) / 60)
            value = float(block["value"])
        except (AttributeError, KeyError, TypeError, ValueError):
            return None
        if not 0 <= start < DAY or not 0 <= value < 1e4:
            return None
        found[start] = value
    first = found.pop(0, None)
    if first is None:
        return None
    return ((0, first), *sorted(found.items()))


def settings_of(profile: Document) -> Settings | None:
    """The settings a profile states, on blocks that hold all of its schedules; nothing where one is missing or absurd."""
    basal, ratio = schedule_of(profile.get("basal")), schedule_of(profile.get("carbratio"))
    factor = schedule_of(profile.get("sens"))
    if basal is None or ratio is None or factor is None:
        return None
    scale = MG_PER_MMOL if in_mmol(profile) else 1.0
    starts = tuple(sorted({start for schedule in (basal, ratio, factor) for start, _ in schedule}))
    low, high = schedule_of(profile.get("target_low")), schedule_of(profile.get("target_high"))
    stated = scale * (low[0][1] + high[0][1]) / 2 if low and high else 0.0
    return pump_settings(
        starts=starts,
        basal=tuple(at_minute(basal, start) for start in starts),
        carb_ratio=tuple(at_minute(ratio, start) for start in starts),
        correction_factor=tuple(scale * at_minute(factor, start) for start in starts),
        target=stated,
    )


def in_mmol(profile: Document) -> bool:
    """Whether a profile's glucose is in mmol/L: as it says, or by the size of its correction factor (never 10 mg/dL or less)."""
    units = str(profile.get("units", "")).lower()
    factor = schedule_of(profile.get("sens"))
    return units.startswith("mmol") or (not units and factor is not None and max(value for _, value in factor) <= 10.0)


def default_profiles(site: Site) -> list[tuple[pd.Timestamp, Placed, Document]]:
    """`(in force from, document, its default profile)` in order of time."""
    found = []
    for placed in site.profiles:
        store = placed.document.get("store")
        if not isinstance(store, dict):
            continue
        default = store.get(str(placed.document.get("defaultProfile")))
        start = moment(placed.document.get("startDate", placed.document.get("created_at")))
        if isinstance(default, dict) and not pd.isna(start):
            found.append((start, placed, default))
    return sorted(found, key=lambda item: item[0])


def basal_cells(site: Site, zone: str, sheet: Sheet) -> pd.DataFrame:
    """Basal rates wherever a profile is in force and anything at all was recorded within six hours.

    Whichever of profile and profile switch started last holds; a switch with a duration gives way again. `percent` is the
    change from the schedule, as Nightscout draws it (-100: off), `absolute` a rate; the next temporary rate ends the one before.
    """
    profiles = default_profiles(site)
    timeline = Timeline(zone)
    for start, placed, profile in profiles:
        schedule = schedule_of(profile.get("basal"))
        if schedule is not None:
            timeline.schedules.append(Stretch(start, FOREVER, (placed.file, placed.row), schedule=schedule))
    for placed in site.treatments:
        kind = str(placed.document.get("eventType", "")).lower().replace(" ", "")
        if kind in ("tempbasal", "tempbasalstart", "tempbasalend", "suspendpump", "resumepump", "profileswitch"):
            add_override(timeline, placed, kind, profiles, sheet)

    recorded = sheet.cells["time"]
    overrides = [stretch.start for stretch in timeline.temporary]
    times = pd.Series([*recorded, *overrides], dtype="datetime64[ns, UTC]").sort_values(ignore_index=True)
    runs = times.groupby((times.diff() > SILENCE).cumsum()).agg(["min", "max"])
    rows = [
        (file, row, "basal", f"{rate:g}", start, "basal", rate, minutes, "")
        for start, minutes, rate, (file, row) in timeline.rates(list(runs.itertuples(index=False, name=None)))
    ]
    return pd.DataFrame(rows, columns=list(CELLS)).astype({"time": "datetime64[ns, UTC]", "value": float, "duration": float})


def add_override(
    timeline: Timeline, placed: Placed, kind: str, profiles: list[tuple[pd.Timestamp, Placed, Document]], sheet: Sheet
) -> None:
    document, origin = placed.document, (placed.file, placed.row)

    def refuse(rule: str, field: str) -> None:
        sheet.corrections.append(Correction("dropped", rule, placed.file, placed.row, field, f"{kind} {document.get(field)!r}"))

    start = moment(next((document[name] for name in ("created_at", "timestamp", "mills") if document.get(name)), None))
    if pd.isna(start):
        return refuse("impossible date", "created_at")
    lasts = number(document.get("durationInMilliseconds"), np.nan) / 60_000
    lasts = number(document.get("duration"), 0.0) if np.isnan(lasts) else lasts
    end = start + pd.Timedelta(minutes=min(max(lasts, 0.0), 1e7))
    if kind == "suspendpump":
        timeline.temporary.append(Stretch(start, start + pd.Timedelta(days=1) if lasts <= 0 else end, origin, rate=0.0))
    elif kind == "resumepump" or (kind != "profileswitch" and lasts <= 0):
        timeline.temporary.append(Stretch(start, start, origin))
    elif kind == "profileswitch":
        schedule = switched_schedule(document, start, profiles)
        if schedule is None:
            return refuse("unknown profile", "profile")
        factor = number(document.get("percentage"), 100.0) / 100.0
        timeline.schedules.append(Stretch(start, end if lasts > 0 else FOREVER, origin, schedule=schedule, factor=factor))
    elif filled_or_zero(document, "absolute") or filled_or_zero(document, "rate"):
        field = "absolute" if filled_or_zero(document, "absolute") else "rate"
        rate = number(document[field])
        if np.isnan(rate) or rate < 0:
            return refuse("negative" if rate < 0 else "not a number", field)
        timeline.temporary.append(Stretch(start, end, origin, rate=rate))
    elif filled_or_zero(document, "percent"):
        change = number(document["percent"])
        if np.isnan(change):
            return refuse("not a number", "percent")
        timeline.temporary.append(Stretch(start, end, origin, factor=max(0.0, 1.0 + change / 100.0)))
    else:
        refuse("no amount", "absolute")
    return None


def filled_or_zero(document: Document, field: str) -> bool:
    return document.get(field) not in (None, "")


def switched_schedule(document: Document, start: pd.Timestamp, profiles: list[tuple[pd.Timestamp, Placed, Document]]) -> Any:
    """The basal schedule a profile switch names or carries."""
    carried = document.get("profileJson")
    if isinstance(carried, str):
        try:
            carried = json.loads(carried)
        except (json.JSONDecodeError, RecursionError):
            return None
    if isinstance(carried, dict):
        return schedule_of(carried.get("basal"))
    before = [placed for begin, placed, _ in profiles if begin <= start] or [placed for _, placed, _ in profiles[:1]]
    if not before:
        return None
    store = before[-1].document["store"].get(str(document.get("profile")))
    return schedule_of(store.get("basal")) if isinstance(store, dict) else None
