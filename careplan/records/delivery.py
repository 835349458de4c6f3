"""Basal insulin as delivered: scheduled rates, the temporary ones over them, the times the pump stood still, and those nobody
knows."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from careplan.records.grid import LONGEST_HOLD

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Stretches:
    """Disjoint stretches of time `[S]` by their start: seconds, with a value and the row of the file each was read from."""

    start: Array
    end: Array
    value: Array
    row: NDArray[np.int64]
    share: NDArray[np.bool_]  # whether the value is a share of the scheduled rate, rather than a rate (U/h)

    def at(self, moments: Array) -> NDArray[np.intp]:
        """`[M]` the stretch that holds each moment; -1 where none does."""
        place = np.searchsorted(self.start, moments, side="right") - 1
        held = (place >= 0) & (moments < np.append(self.end, -np.inf)[place])
        return np.where(held, place, -1)


def stretches(
    start: Array,
    end: Array,
    value: Array | float = 0.0,
    row: NDArray[np.int64] | int = 0,
    share: NDArray[np.bool_] | bool = False,
) -> Stretches:
    """Stretches from starts and ends `[S]` in any order: each ends where the next begins; an empty one only ends the one
    before."""
    order = np.argsort(start, kind="stable")
    start, end = np.asarray(start, dtype=float)[order], np.asarray(end, dtype=float)[order]
    every = [np.broadcast_to(np.asarray(each), (len(order),))[order] for each in (value, row, share)]
    end = np.minimum(end, np.append(start[1:], np.inf))
    kept = end > start
    return Stretches(
        start[kept], end[kept], every[0][kept].astype(float), every[1][kept].astype(np.int64), every[2][kept].astype(bool)
    )


def schedule(time: Array, rate: Array, row: NDArray[np.int64], last: float) -> Stretches:
    """The rates `[S]` in force from changes at `time` `[S]` (seconds) each until the next, a day at most, and not beyond
    `last`."""
    return stretches(time, np.minimum(time + LONGEST_HOLD * 60.0, max(last, float(time.max(initial=-np.inf)) + 1.0)), rate, row)


def delivered(base: Stretches, temporary: Stretches, stopped: Stretches, unknown: Stretches, last: float) -> pd.DataFrame:
    """`start` (seconds), `duration` (minutes), `value` (U/h) and `row` of what was delivered, wherever known.

    A stop is 0 U/h whatever was scheduled; a temporary rate wins over the schedule, and a share of it is known only where that
    is. The last that reaches `last`, the end of the record, has no duration: nothing says when it ended.
    """
    every = (base, temporary, stopped, unknown)
    edges = np.unique(np.concatenate([edge for each in every for edge in (each.start, each.end)]))
    if len(edges) < 2:
        return pd.DataFrame({"start": [], "duration": [], "value": [], "row": []})
    begin, end = edges[:-1], edges[1:]
    b, t, s, u = (each.at(begin) for each in every)
    rate, row = np.append(base.value, np.nan)[b], np.append(base.row, -1)[b]
    over = t >= 0
    amount, share = np.append(temporary.value, np.nan)[t], np.append(temporary.share, False)[t]
    rate = np.where(over, np.where(share, rate * amount, amount), rate)
    row = np.where(over, np.append(temporary.row, -1)[t], row)
    rate, row = np.where(s >= 0, 0.0, rate), np.where(s >= 0, np.append(stopped.row, -1)[s], row)
    known = (u < 0) & ~np.isnan(rate)
    found = pd.DataFrame({"start": begin, "end": end, "value": rate, "row": row})[known]
    joined = (
        (found["start"] == found["end"].shift())
        & (found["value"] == found["value"].shift())
        & (found["row"] == found["row"].shift())
    )
    runs = found.groupby((~joined).cumsum()).agg(
        start=("start", "first"), end=("end", "last"), value=("value", "first"), row=("row", "first")
    )
    runs["duration"] = (runs["end"] - runs["start"]) / 60.0
    if len(runs) and runs["end"].iloc[-1] >= last:
        runs.loc[runs.index[-1], "duration"] = np.nan
    return pd.DataFrame(runs.reset_index(drop=True)[["start", "duration", "value", "row"]])
