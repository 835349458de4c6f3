"""How far one source's clock is from another's: found from doses of the same amount, or from the course of glucose.

A device's clock drifts by minutes a month, is set an hour off by a clock change it does not know of, or stays at home while its
wearer travels. Two sources that hold the same doses show it: the differences in time between doses of equal amounts gather at the
clock's offset, while those of chance are scattered.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from careplan.minutes import DAY
from careplan.records.events import flagged

Array = NDArray[np.float64]

FARTHEST = 15 * 60.0  # minutes: between the earliest and the latest clock on Earth are 26 h, between most homes and trips 15
WINDOW = 3.0  # days before and after a day that say what its offset is
FEWEST = 4  # doses that must agree
MAJORITY = 0.5  # of the source's doses in the window
BIN = 3.0  # minutes: doses logged by hand or by a phone are this far off
TRAVEL = 15.0  # minutes: no zone is nearer to another; a smaller offset is drift
MARGIN = pd.Timedelta(days=WINDOW)  # how far from a stretch its offset still holds
SHIFT = 5.0  # minutes: a smaller offset is left as it is, and doses still match
CURVE = 5.0  # mg/dL: two records of one sensor differ by less, on average
GRID = 5.0  # minutes


@dataclass(frozen=True)
class Stretch:
    """From `start` to `end` (UTC, by the source's clock) the source is `offset` minutes late (early where negative)."""

    start: pd.Timestamp
    end: pd.Timestamp
    offset: float
    matched: int  # doses, or readings, that show it


def stretches(known: pd.DataFrame, events: pd.DataFrame) -> list[Stretch]:
    """The source's clock against the known one, by stretches of days of one offset; empty where nothing shows it."""
    days = by_doses(known, events) or by_glucose(known, events)
    found: list[Stretch] = []
    for day, offset, matched in days:
        start = pd.Timestamp(day * 86_400_000_000_000, tz="UTC")
        last = found[-1] if found else None
        if last is not None and abs(last.offset - offset) <= BIN and start - last.end <= pd.Timedelta(days=2 * WINDOW):
            weight = last.matched + matched
            offset = (last.offset * last.matched + offset * matched) / weight
            found[-1] = Stretch(last.start, start + pd.Timedelta(days=1), offset, weight)
        else:
            found.append(Stretch(start, start + pd.Timedelta(days=1), offset, matched))
    return found


def moved(events: pd.DataFrame, away: Sequence[Stretch]) -> pd.DataFrame:
    """The events on the known clock, sorted by time: each moved by its stretch's offset, or by the usual one outside of any."""
    if all(abs(each.offset) < SHIFT for each in away):
        return events
    offset = np.full(len(events), max(away, key=lambda each: each.matched).offset)
    for each in away:
        inside = (events["time"] >= each.start - MARGIN) & (events["time"] < each.end + MARGIN)
        offset[inside.to_numpy(dtype=bool)] = each.offset
    for each in away:
        inside = (events["time"] >= each.start) & (events["time"] < each.end)
        offset[inside.to_numpy(dtype=bool)] = each.offset
    offset[np.abs(offset) < SHIFT] = 0.0
    times = events["time"] - pd.to_timedelta(np.round(offset * 60.0), unit="s")
    return events.assign(time=times).sort_values(["time", "channel"], kind="stable", ignore_index=True)


def stretches_in_words(away: Sequence[Stretch]) -> list[str]:
    """What is told of a source's clock: travel, or a clock set otherwise, stretch by stretch; and drift."""
    texts = []
    for each in away:
        if abs(each.offset) >= SHIFT:
            late = "late" if each.offset > 0 else "early"
            kind = "travel, or a clock set otherwise" if abs(each.offset) >= TRAVEL else "drift"
            span = f"{each.start:%Y-%m-%d} to {each.end:%Y-%m-%d}"
            texts.append(f"{span}: {abs(each.offset):.0f} min {late} by {each.matched:,} matches ({kind}); moved by as much")
    small = [each for each in away if abs(each.offset) < TRAVEL]
    if len(small) > 1:
        days = np.array([(each.start + (each.end - each.start) / 2).value / 86.4e12 for each in small])
        slope = np.polyfit(days, [each.offset for each in small], 1)[0] * 30.0
        if abs(slope) >= 1.0:
            texts.append(f"it drifts by {slope:+.1f} min a month")
    return texts


def by_doses(known: pd.DataFrame, events: pd.DataFrame) -> list[tuple[int, float, int]]:
    """`(day, offset, doses that show it)` for each UTC day of the source where a majority of its doses agree on one."""
    ours, theirs = (dose_table(each) for each in (known, events))
    if not len(ours) or not len(theirs):
        return []
    pairs = []  # day, difference, which dose of the source
    for amount in np.unique(theirs[:, 1]):
        mine, other = theirs[theirs[:, 1] == amount], ours[np.abs(ours[:, 1] - amount) <= 1]
        for minute in mine[:, 0]:
            low, high = np.searchsorted(other[:, 0], [minute - FARTHEST, minute + FARTHEST])
            pairs += [(minute / DAY, minute - at, minute) for at in other[low:high, 0]]
    if not pairs:
        return []
    table = np.array(pairs)
    spanned = (theirs[:, 0] >= ours[0, 0] - FARTHEST) & (theirs[:, 0] <= ours[-1, 0] + FARTHEST)
    held = theirs[spanned, 0] / DAY
    found = []
    for day in np.unique(np.floor(held)).astype(int):
        window = np.abs(table[:, 0] - day - 0.5) <= WINDOW + 0.5
        count = int((np.abs(held - day - 0.5) <= WINDOW + 0.5).sum())
        offset, agreeing = mode(table[window, 1], table[window, 2])
        if agreeing >= max(FEWEST, MAJORITY * count):
            found.append((int(day), offset, agreeing))
    return found


def dose_table(events: pd.DataFrame) -> Array:
    """`[D, 2]` minutes since 1970 and the amount, in twentieths of a unit of insulin (negative) or in grams, sorted by time."""
    parts = []
    for channel, scale in (("bolus", -20.0), ("carbs", 1.0)):
        mine = events[(events["channel"] == channel) & ~flagged(events["flag"], "automatic")]
        amounts = np.round(mine["value"].to_numpy(dtype=float) * scale)
        parts.append(np.column_stack([mine["time"].astype("int64").to_numpy() / 60e9, amounts]))
    table = np.concatenate(parts)
    return table[np.argsort(table[:, 0], kind="stable")]


def mode(differences: Array, doses: Array) -> tuple[float, int]:
    """The offset at which the most doses have a partner within `BIN`, the nearest to 0 of equals, and how many those are."""
    if not len(differences):
        return 0.0, 0
    order = np.argsort(differences, kind="stable")
    sorted_differences, sorted_doses = differences[order], doses[order]
    candidates = np.unique(np.append(np.round(sorted_differences), 0.0))
    low = np.searchsorted(sorted_differences, candidates - BIN)
    high = np.searchsorted(sorted_differences, candidates + BIN, side="right")
    best, count = 0.0, 0
    for place in np.lexsort((np.abs(candidates), low - high)):  # the most partners first, of equals the nearest to 0
        if high[place] - low[place] <= count:
            break
        agreeing = len(np.unique(sorted_doses[low[place] : high[place]]))
        if agreeing > count:
            best, count = float(np.median(sorted_differences[low[place] : high[place]])), agreeing
    return best, count


def by_glucose(known: pd.DataFrame, events: pd.DataFrame) -> list[tuple[int, float, int]]:
    """`(day, offset, readings)` where the course of glucose fits at one shift of the clock and does not at none."""
    grids = [curve(each) for each in (known, events)]
    if any(grid is None for grid in grids):
        return []
    (first, ours), (start, theirs) = (grid for grid in grids if grid is not None)
    steps, far = int(DAY / GRID), int(FARTHEST / GRID)
    found = []
    padded = np.full(len(ours) + 2 * far + 2 * steps, np.nan)
    padded[far + steps : far + steps + len(ours)] = ours
    for at in range(0, len(theirs), steps):
        piece = theirs[at : at + steps]
        place = start + at - first + far + steps
        if np.isfinite(piece).sum() < steps // 3 or place - far < 0 or place + far + len(piece) > len(padded):
            continue
        window = np.lib.stride_tricks.sliding_window_view(padded[place - far : place + far + len(piece)], len(piece))
        apart = np.abs(window - piece)
        seen = np.isfinite(apart).sum(axis=1)
        error = np.where(seen >= steps // 4, np.nansum(apart, axis=1) / np.maximum(seen, 1), np.inf)
        best = int(np.argmin(error))
        if error[best] <= CURVE and (best == far or error[best] < 0.5 * error[far]):
            found.append((int((start + at) * GRID // DAY), (far - best) * GRID, int(seen[best])))
    return found


def curve(events: pd.DataFrame) -> tuple[int, Array] | None:
    """The first step since 1970 and the sensor's mean in each step of 5 min; NaN where it has none."""
    mine = events[(events["channel"] == "glucose") & ~flagged(events["flag"], "fingerstick")]
    if mine.empty:
        return None
    step = (mine["time"].astype("int64").to_numpy() // int(GRID * 60e9)).astype(np.int64)
    first = int(step.min() // int(DAY / GRID) * int(DAY / GRID))
    count = np.bincount(step - first)
    total = np.bincount(step - first, weights=mine["value"].to_numpy(dtype=float))
    return first, np.where(count > 0, total / np.maximum(count, 1), np.nan)
