"""What a pump's log says of basal insulin, gathered row by row, and the cells it makes."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from careplan.records.cells import CELLS
from careplan.records.correction import Correction
from careplan.records.delivery import Stretches, delivered, schedule, stretches
from careplan.records.export import Array, ExportRows, Mask
from careplan.records.stamps import impossible

SECONDS = 1e9


@dataclass(eq=False)
class PumpLog:
    """Rows that change basal insulin. Each list holds frames with `time` (UTC) and `row`, and what else is said."""

    file: str
    changes: list[pd.DataFrame] = field(default_factory=list)  # value: U/h, in force until the next
    temporary: list[pd.DataFrame] = field(default_factory=list)  # value, share (of the schedule, or U/h), minutes (0: cancelled)
    stops: list[pd.DataFrame] = field(default_factory=list)  # runs: whether the pump runs again
    automatic: list[pd.Series] = field(default_factory=list)  # times at which an algorithm set the rate
    whole_days: list[pd.DataFrame] = field(default_factory=list)  # start, end of days in which it did, at times not said

    def gather(self, into: list[pd.DataFrame], rows: ExportRows, where: Mask, **values: Array | Mask) -> None:
        """Notes the rows in `where` `[N]`; those without a possible time are reported."""
        dated = ~impossible(rows.time)
        rows.report_dates(where & ~dated)
        index = np.flatnonzero(where & dated)
        if len(index):
            said = {name: value[index] for name, value in values.items()}
            into.append(
                pd.DataFrame({"time": rows.time.iloc[index].reset_index(drop=True), "row": rows.block.row[index], **said})
            )
            rows.take(where & dated)

    def cells(self, last: pd.Timestamp | None) -> tuple[pd.DataFrame, list[Correction]]:
        """Basal cells, and by the rules "not in force" and "automatic mode" what is said of rows that never set the rate."""
        changes, temporary, stops = (joined(each) for each in (self.changes, self.temporary, self.stops))
        noted = pd.concat([each["row"] for each in (changes, temporary, stops)])
        if not len(noted) or last is None:
            return pd.DataFrame(columns=list(CELLS)), []
        began = seconds(temporary)
        ends = began + values(temporary, "minutes") * 60.0
        end = max(last.value / SECONDS, float(ends.max(initial=-np.inf)) + 1.0)  # the schedule comes back after a temporary rate
        base = schedule(seconds(changes), values(changes), rows(changes), end)
        over = stretches(began, ends, values(temporary), rows(temporary), mask(temporary, "share"))
        unknown = self.unknown(seconds(changes), end)
        found = delivered(base, over, stopped(stops, end), unknown, end)
        frame = pd.DataFrame(
            {
                "file": self.file,
                "row": found["row"].astype("int64"),
                "field": "basal",
                "raw": [f"{value:g}" for value in found["value"]],
                "time": pd.to_datetime(found["start"] * SECONDS, utc=True).astype("datetime64[ns, UTC]"),
                "channel": "basal",
                "value": found["value"].astype(float),
                "duration": found["duration"].astype(float),
                "flag": "",
            }
        )
        silent = sorted(set(noted.tolist()) - set(found["row"].tolist()))
        when = pd.concat([changes, temporary, stops]).drop_duplicates("row").set_index("row")["time"]
        moments = np.array([pd.Timestamp(when.loc[row]).value / SECONDS for row in silent], dtype=float)
        covered = unknown.at(moments)
        runs = set(stops.loc[mask(stops, "runs"), "row"].tolist())
        corrections = []
        for row, hidden in zip(silent, covered, strict=True):
            if hidden >= 0:
                rule, why = "automatic mode", "an algorithm set the rate, which is unknown"
            elif row in runs:
                rule, why = "not in force", "the pump runs again"
            else:
                rule, why = "not in force", "no time was left to it: another rate, a stop, or no known rate that it is a share of"
            corrections.append(Correction("dropped", rule, self.file, int(row), "basal", why))
        return frame, corrections

    def unknown(self, changes: Array, end: float) -> Stretches:
        """When an algorithm set the rate: from each sign of it to the next change of the schedule, and whole days told as
        such."""
        signs = np.sort(np.concatenate([np.array([])] + [each.astype("int64").to_numpy() / SECONDS for each in self.automatic]))
        following = np.append(np.sort(changes), end + 1.0)[np.searchsorted(np.sort(changes), signs, side="right")]
        days = joined(self.whole_days, ("start", "end"))
        start = np.concatenate([signs, days["start"].to_numpy(dtype=float)])
        stop = np.concatenate([following, days["end"].to_numpy(dtype=float)])
        return stretches(*union(start, stop))


def union(start: Array, end: Array) -> tuple[Array, Array]:
    """The disjoint stretches that cover the same times as `start`, `end` `[S]`."""
    order = np.argsort(start)
    start, end = start[order], end[order]
    if not len(start):
        return start, end
    reach = np.maximum.accumulate(end)
    first = np.append(True, start[1:] > reach[:-1])
    return start[first], reach[np.append(np.flatnonzero(first)[1:] - 1, len(start) - 1)]


def stopped(stops: pd.DataFrame, end: float) -> Stretches:
    """When the pump stood still: from the first stop to the next time it runs; to the end of the record, a day at most, without
    one."""
    stops = stops.sort_values("time", kind="stable")
    runs, time = mask(stops, "runs"), seconds(stops)
    begins = ~runs & np.append(True, runs[:-1])[: len(runs)]
    again = np.append(time[runs], np.inf)
    until = again[np.searchsorted(time[runs], time[begins], side="right")]
    return stretches(time[begins], np.minimum(until, np.minimum(time[begins] + 86_400.0, end + 1.0)), 0.0, rows(stops)[begins])


def joined(frames: list[pd.DataFrame], columns: tuple[str, ...] = ("time", "row")) -> pd.DataFrame:
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame({name: [] for name in columns})


def seconds(frame: pd.DataFrame) -> Array:
    return pd.to_datetime(frame["time"], utc=True).astype("datetime64[ns, UTC]").astype("int64").to_numpy() / SECONDS


def values(frame: pd.DataFrame, name: str = "value") -> Array:
    return frame[name].to_numpy(dtype=float) if name in frame else np.array([])


def rows(frame: pd.DataFrame) -> np.ndarray:
    return frame["row"].to_numpy(dtype=np.int64)


def mask(frame: pd.DataFrame, name: str) -> Mask:
    return frame[name].to_numpy(dtype=bool) if name in frame else np.zeros(len(frame), dtype=bool)
