"""What a record says of the rows it was read from, for the tests that nothing vanishes."""

from collections import Counter
from collections.abc import Collection

import pandas as pd

from careplan.records import PatientRecord


def accounted(record: PatientRecord, beside: Collection[str] = ()) -> int:
    """How many rows ended as an event, as a correction, or in a named kind of no channel. A correction of the rules in `beside`
    speaks of a part of a row, and says nothing of where the row ended."""
    events = {tuple(origin.rsplit(":", 1)) for origin in record.events["origin"]}
    counted = {*record.ignored, *beside, "no time zone"}
    told = {(c.file, str(c.row)) for c in record.corrections if c.rule not in counted}
    return len(events | told) + sum(record.ignored.values())


def rules(record: PatientRecord) -> Counter[str]:
    return Counter(correction.rule for correction in record.corrections)


def of(record: PatientRecord, channel: str) -> pd.DataFrame:
    return record.events[record.events["channel"] == channel].reset_index(drop=True)


def at(record: PatientRecord, channel: str, flag: str | None = None) -> list[tuple[str, float]]:
    """(UTC, value) of a channel's events, of one flag where given."""
    events = of(record, channel)
    if flag is not None:
        events = events[events["flag"] == flag]
    return [(f"{time:%m-%d %H:%M}", round(value, 3)) for time, value in zip(events["time"], events["value"], strict=True)]


def spans(record: PatientRecord, channel: str) -> list[tuple[str, float, float]]:
    """(UTC, value, minutes) of a channel's events; -1 minutes where nothing says when it ended."""
    events = of(record, channel)
    return [
        (f"{time:%m-%d %H:%M}", round(value, 4), round(minutes, 2))
        for time, value, minutes in zip(events["time"], events["value"], events["duration"].fillna(-1.0), strict=True)
    ]
