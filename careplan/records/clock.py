"""A device's wall clock: dates in any of the usual orders, read by the column, and from there to UTC."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from careplan.records.cells import alike
from careplan.records.dates import DAY, clock_of, dates, plain
from careplan.records.events import RecordError
from careplan.records.text import Rows, check_zone

DURATION = re.compile(r"(\d+):(\d{1,2})(?::(\d{1,2})(?:[.,]\d+)?)?")
AROUND = 12  # rows before and after an hour that comes twice which say whether the log runs in order there
HOUR = pd.Timedelta(hours=1)

Mask = NDArray[np.bool_]
Array = NDArray[np.float64]


def split_stamps(stamps: Sequence[str]) -> tuple[list[str], list[str]]:
    """Dates `[N]` and times of day `[N]` of stamps such as "2024-03-31T01:50:00" or "6/2/20 8:02 PM"."""
    once: dict[str, str] = {}
    days, clocks = [], []
    for stamp in plain(stamps):
        day, _, clock = stamp.partition("T" if stamp[10:11] == "T" else " ")
        day = day.rstrip(",")
        days.append(once.setdefault(day, day))  # a day's name is kept once, and so is a time of day
        clocks.append(once.setdefault(clock, clock))
    return days, clocks


@dataclass(frozen=True, kw_only=True)
class DateOrder:
    """What tells whether the day or the month comes first in a column's dates, where the dates themselves do not.

    stamped: the text that says when the file was written: its own parts, or else no date may lie after it. day_first: as
    somebody asked. usual: the order where nothing else tells. always: the order that the format has, whatever a column says.
    """

    day_first: bool | None = None
    stamped: str = ""
    usual: bool | None = None
    always: bool | None = None


UNTOLD = DateOrder()


def local_times(
    days: Sequence[str], clocks: Sequence[str], order: DateOrder = UNTOLD, *, file: object, row: int, field: str
) -> pd.Series:
    """`[N]` naive times from dates `[N]` and times of day `[N]`; NaT where there is none, or no such day or hour.

    The order of a date's parts is read from the whole column: a year first is year, month, day; elsewhere a first part above 12
    makes it day first, a second above 12 month first. Where no date tells, `order.stamped` does, then `order.day_first`, then the
    one order under which the column runs one way through time, then `order.usual`. row and
    field: what the error names.

    Raises `RecordError` where nothing in the column is a date, its dates mix two orders, no evidence tells the order, or a time
    states how far from UTC it is.
    """
    code, texts = pd.factorize(np.asarray(days, dtype=object))
    parts = day_parts(plain([str(text) for text in texts]))
    seconds = seconds_of_day(clocks, file=file, row=row, field=field)
    filled = [str(text) for text in texts if str(text).strip()]
    if field and filled and not parts.any():
        raise RecordError(f"expected dates, found {filled[0]!r:.60}", file=file, row=row, field=field)
    short = (parts[:, 0] <= 99) & (parts[:, 0] > 0)
    day_first = order.day_first
    if order.always is not None:
        day_first = order.always
    elif short.any():
        first, second = parts[short, 0] > 12, parts[short, 1] > 12
        if first.any() and second.any():
            counts = np.bincount(code[code >= 0], minlength=len(texts))[short]
            if min(counts[first].sum(), counts[second].sum()) > 0.05 * counts.sum():
                raise RecordError("dates mix day first and month first", file=file, row=row, field=field)
            day_first = bool(counts[first].sum() > counts[second].sum())
        elif first.any() or second.any():
            day_first = bool(first.any())
        else:
            found = order_of(parts, code, seconds, day_first, order.stamped)
            day_first = order.usual if found is None else found
            if day_first is None:
                problem = (
                    f"dates such as {texts[np.flatnonzero(short)[0]]!r} may be day first or month first, and nothing tells: "
                    "say --day-first or --month-first"
                )
                raise RecordError(problem, file=file, row=row, field=field)
    return pd.Series(assemble(parts, code, seconds, bool(day_first)))


def order_of(
    parts: NDArray[np.int64], code: NDArray[np.intp], seconds: Array, day_first: bool | None, stamped: str
) -> bool | None:
    """Whether the day comes first where no date of the column tells; None where nothing does."""
    if (parts[:, 0] == parts[:, 1]).all():
        return True  # the same either way
    times = {order: pd.Series(assemble(parts, code, seconds, order)) for order in (True, False)}
    written = day_parts([split_stamps([stamped])[0][0]])[0]
    if 0 < written[0] <= 99:
        if written[0] > 12 or written[1] > 12:
            return bool(written[0] > 12)
        by = {order: ordinal(written[None], order)[0] + np.timedelta64(1, "D") for order in (True, False)}
    else:
        by = dict.fromkeys((True, False), ordinal(written[None], False)[0] + np.timedelta64(1, "D"))
    late = {order: not np.isnat(by[order]) and bool((times[order].dt.normalize() > by[order]).any()) for order in (True, False)}
    if late[True] != late[False]:
        return late[False]
    if day_first is not None:
        return day_first
    one_way = {
        order: bool(each.dropna().is_monotonic_increasing or each.dropna().is_monotonic_decreasing)
        for order, each in times.items()
    }
    return one_way[True] if one_way[True] != one_way[False] else None


def day_parts(texts: Iterable[str]) -> NDArray[np.int64]:
    """`[D, 3]` the three numbers of each date; zeros where it is none."""
    found = [DAY.fullmatch(text) for text in texts]
    return np.array([[int(m[1]), int(m[2]), int(m[3])] if m else [0, 0, 0] for m in found], dtype=np.int64).reshape(-1, 3)


def ordinal(parts: NDArray[np.int64], day_first: bool) -> NDArray[np.datetime64]:
    """`[D]` midnight of each date; NaT where there is no such day."""
    year_leads = parts[:, 0] > 99
    year = np.where(year_leads, parts[:, 0], parts[:, 2])
    month = np.where(year_leads, parts[:, 1], parts[:, 1 if day_first else 0])
    day = np.where(year_leads, parts[:, 2], parts[:, 0 if day_first else 1])
    year = np.where(year <= 99, year + 2000, year)
    sound = (parts.sum(axis=1) > 0) & (year >= 1700) & (year <= 2250)  # what a nanosecond clock can hold
    texts = [f"{y:04}-{m:02}-{d:02}" if ok else "" for y, m, d, ok in zip(year, month, day, sound, strict=True)]
    found = pd.to_datetime(pd.Series(texts, dtype=object), format="%Y-%m-%d", errors="coerce").astype("datetime64[ns]")
    return found.to_numpy()


def assemble(parts: NDArray[np.int64], code: NDArray[np.intp], seconds: Array, day_first: bool) -> NDArray[np.datetime64]:
    midnight = np.append(ordinal(parts, day_first), np.datetime64("NaT", "ns"))[code]
    sound = ~np.isnan(seconds)
    after = np.where(sound, seconds, 0.0).astype("int64").astype("timedelta64[s]").astype("timedelta64[ns]")
    return np.where(sound, midnight + after, np.datetime64("NaT", "ns"))


def seconds_of_day(clocks: Sequence[str], *, file: object, row: int, field: str) -> Array:
    """`[N]` seconds since midnight; NaN where the text is no time of day. Raises `RecordError` where a field that somebody can be
    told of holds a time with an offset."""
    code, texts = pd.factorize(np.asarray(clocks, dtype=object))
    read = np.array([clock_of(str(text)) for text in texts], dtype=float).reshape(-1, 2)
    if field and not np.isnan(read[:, 1]).all():
        said = texts[np.flatnonzero(~np.isnan(read[:, 1]))[0]]
        problem = (
            f"{said!r} says how far from UTC it is, where this format has its device's clock: leave that out, or bring a table"
        )
        raise RecordError(problem, file=file, row=row, field=field)
    return np.append(read[:, 0], np.nan)[code]


def minutes_of(texts: Sequence[str]) -> Array:
    """`[N]` minutes of durations such as "0:30:00" or "1:30"; NaN where the text is none."""
    code, uniques = pd.factorize(np.asarray(texts, dtype=object))
    found = [DURATION.fullmatch(str(text).strip()) for text in uniques]
    minutes = [60.0 * int(m[1]) + int(m[2]) + int(m[3] or 0) / 60.0 if m else np.nan for m in found]
    return np.append(np.array(minutes, dtype=float), np.nan)[code]


def passes(local: pd.Series, zone: str, *, file: object) -> tuple[pd.Series, pd.Series, Mask]:
    """UTC of local times `[N]` under the first and the second pass of an hour that comes twice, and where `[N]` the clock change
    skipped the time: such a time is read on the clock before the change."""
    check_zone(zone, file=file)
    both = [local.dt.tz_localize(zone, ambiguous=np.full(len(local), first), nonexistent=HOUR) for first in (True, False)]
    known = local.notna().to_numpy(dtype=bool)
    skipped = (both[0].dt.tz_localize(None) != local).to_numpy(dtype=bool) & known
    first, second = (each.dt.tz_convert("UTC").astype("datetime64[ns, UTC]") for each in both)
    return first, second, skipped


def to_utc(local: pd.Series, zone: str, *, file: object, log: Sequence[object] | None = None) -> tuple[pd.Series, Mask, Mask]:
    """Local times `[N]` to UTC, where `[N]` the clock change skipped that time, and where `[N]` it came twice and nothing tells
    which.

    A time that comes twice is the first pass until its log steps back, the second from there on. log `[N]`: which log a row
    belongs to (a device, a kind of row); each runs either way through time. In a log that runs neither way, or does not step
    back, such a time is taken as the first pass, and said to be unsure.
    """
    first, second, skipped = passes(local, zone, file=file)
    twice = (first != second).to_numpy(dtype=bool) & local.notna().to_numpy(dtype=bool)
    unsure = twice.copy()
    if not twice.any():
        return first, skipped, unsure
    later = np.zeros(len(local), dtype=bool)
    logs = pd.factorize(np.asarray(log, dtype=object))[0] if log is not None else np.zeros(len(local), dtype=int)
    for code in np.unique(logs[twice]):
        mine = np.flatnonzero((logs == code) & local.notna().to_numpy(dtype=bool))
        step = np.diff(local.iloc[mine].to_numpy()) / np.timedelta64(1, "m")
        if (step < 0).sum() > (step > 0).sum():
            mine = mine[::-1]
            step = -step[::-1]
        inside = twice[mine]
        day = local.iloc[mine].dt.normalize().to_numpy()
        for date in np.unique(day[inside]):
            places = np.flatnonzero(inside & (day == date))
            around = slice(max(0, places[0] - AROUND), places[-1] + AROUND)
            if (step[around][~(inside[1:] & inside[:-1])[around]] < 0).any():
                continue  # no log in order: a step back says nothing
            block = mine[places]
            back = np.flatnonzero(np.diff(local.iloc[block].to_numpy()) < np.timedelta64(0, "ns"))
            if len(back) == 1:
                later[block[back[0] + 1 :]] = True
                unsure[block] = False
    return first.where(~later, second), skipped, unsure


def stamped(
    rows: Rows, name: str, zone: str, *, day_first: bool | None = None, zones: pd.Series | None = None
) -> tuple[pd.Series, Mask, Mask]:
    """UTC of a column `[N]` of dates with times of day, where `[N]` they had no offset and were read on the clock of `zone` (or
    of each row's, `zones` `[N]`), and where of these the hour came twice and nothing tells which it was."""
    parsed = dates(rows.cells[name].array, file=rows.file, row=rows.row, field=rows.fields[name], day_first=day_first)
    offset = parsed["offset"]
    utc = (parsed["time"] - pd.to_timedelta(offset.fillna(0.0), unit="m")).dt.tz_localize("UTC").astype("datetime64[ns, UTC]")
    local, unsure = offset.isna().to_numpy(dtype=bool), np.zeros(len(rows), dtype=bool)
    clocks = pd.Series(alike(zone, len(rows))) if zones is None else zones
    for clock in clocks.unique():
        on_it = (clocks == clock).to_numpy(dtype=bool)
        check_zone(str(clock), file=rows.file, row=int(rows.row[on_it.argmax()]), field=rows.fields.get("zone", "zone"))
        mine = local & on_it
        utc[mine], _, unsure[mine] = to_utc(parsed["time"][mine], str(clock), file=rows.file)
    return utc, local, unsure
