"""What is in a file, by channel and day, without keeping any of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

import pandas as pd

from careplan.records.channels import DEVICE_CHANNELS
from careplan.records.correction import rows_told
from careplan.records.door import read
from careplan.records.events import PatientRecord, Refused

LEVEL = {channel.name: channel.form for channel in DEVICE_CHANNELS}


@dataclass(frozen=True, kw_only=True)
class DaySeen:
    """One local day of a record. counts: events by channel. amounts: by channel, the mean of a level or rate, or the sum."""

    date: str
    counts: Mapping[str, int]
    amounts: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class RecordSeen:
    """One person's record as it was read.

    source, why: the format and what it was recognised by. flags: events by word of their flag. corrected: rows dropped or
    changed, by rule.
    """

    patient: str
    source: str
    why: str
    files: tuple[str, ...]
    zone: str
    rows_read: int
    first: datetime | None
    last: datetime | None
    counts: Mapping[str, int]
    flags: Mapping[str, int]
    corrected: Mapping[str, int]
    regimen: bool
    days: tuple[DaySeen, ...]


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What was found at some paths. failed: person or file -> why it cannot be read."""

    records: tuple[RecordSeen, ...]
    failed: Mapping[str, str] = field(default_factory=dict)


def look(
    paths: Sequence[str | Path],
    *,
    format: str | None = None,
    zone: str | None = None,
    day_first: bool | None = None,
    token: str | None = None,
    patient: str | None = None,
) -> Looked:
    """What is in the files, folders, ZIPs or servers, as `read` finds it. Raises `RecordError` where nothing can be read."""
    refused: Refused = {}
    told = partial(read, format=format, zone=zone, day_first=day_first, token=token, patient=patient, refused=refused)
    records = [record for path in paths for record in told(path)]
    return Looked(records=tuple(map(seen_of, records)), failed={name: str(problem) for name, problem in refused.items()})


def seen_of(record: PatientRecord) -> RecordSeen:
    events = record.events
    counts = {str(name): int(count) for name, count in events["channel"].value_counts().sort_index().items()}
    flags: dict[str, int] = {}
    for text, count in events["flag"].value_counts().items():
        for word in str(text).split():
            flags[word] = flags.get(word, 0) + int(count)
    corrected: dict[str, int] = {}
    for correction, rows in rows_told(record.corrections, record.ignored):
        corrected[correction.rule] = corrected.get(correction.rule, 0) + rows
    times = events["time"]
    return RecordSeen(
        patient=record.patient,
        source=record.source,
        why=record.why,
        files=record.files,
        zone=record.zone,
        rows_read=record.rows_read,
        first=times.min().to_pydatetime() if len(times) else None,
        last=times.max().to_pydatetime() if len(times) else None,
        counts=counts,
        flags=flags,
        corrected=corrected,
        regimen=record.regimen is not None,
        days=tuple(days_of(events, record.zone)),
    )


def days_of(events: pd.DataFrame, zone: str) -> list[DaySeen]:
    """The local days of a canonical table, in order."""
    date = events["time"].dt.tz_convert(zone).dt.strftime("%Y-%m-%d")
    table = events.assign(date=date).groupby(["date", "channel"])["value"].agg(["size", "sum", "mean"])
    found: dict[str, tuple[dict[str, int], dict[str, float]]] = {}
    columns = (table.index.get_level_values(0), table.index.get_level_values(1), table["size"], table["sum"], table["mean"])
    for day, channel, size, total, mean in zip(*columns, strict=True):
        counts, amounts = found.setdefault(str(day), ({}, {}))
        counts[str(channel)] = int(size)
        amounts[str(channel)] = round(float(total if LEVEL.get(str(channel)) == "impulse" else mean), 2)
    return [DaySeen(date=day, counts=counts, amounts=amounts) for day, (counts, amounts) in sorted(found.items())]
