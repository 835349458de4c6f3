"""The table of any declared therapy: its channels and covariates under their own names. See docs/how-to/therapy.md.

Wide: `time` (or `date` and `time`) and any of the therapy's channels, a row a time. Long: `time`, `channel`, `value`, and
optionally `duration` (minutes). Either may have patient, zone and group columns, and one for each covariate; a value a patient.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from careplan.formats.table.reader import Part, by_person, one_value, slug
from careplan.formats.table.rows import one_time
from careplan.records.events import PatientRecord, RecordError, Refused, events_frame, refusing
from careplan.records.sheet import unread
from careplan.records.text import Rows, Source, check_zone, find_files, is_missing, normal, numbers, read_rows
from careplan.therapy import Channel, Therapy

PATTERNS = ("*.csv", "*.tsv", "*.txt")
ALIASES = {"timestamp": "time", "datetime": "time", "patientid": "patient", "subject": "patient", "id": "patient", "tz": "zone"}


@dataclass(frozen=True)
class _Names:
    """The therapy's channels and covariates by what their columns are called, without case, spaces and punctuation."""

    channels: Mapping[str, Channel]
    facts: Mapping[str, str]

    def __call__(self, header: str) -> str:
        name = normal(header)
        return name if name in self.channels or name in self.facts else ALIASES.get(name, name)


def read_declared(
    path: Source,
    therapy: Therapy,
    *,
    zone: str | None = None,
    day_first: bool | None = None,
    patient: str | None = None,
    refused: Refused | None = None,
) -> list[PatientRecord]:
    """One record for each patient at a path: delimited text, or a folder of it.

    zone: the clock of times without an offset, where no column says; UTC by default. A date alone is its midnight. patient: whose
    it is, where it is one person's. Raises `RecordError`, naming file, row and field, for a channel that the therapy has not, a
    value that its channel cannot hold, and a patient of whom two things are said; with `refused`, such a patient is left out and
    noted there.
    """
    if zone is not None:
        check_zone(zone, file=path)
    channels = {normal(channel.name): channel for channel in therapy.channels}
    names = _Names(channels, {normal(covariate.name): covariate.name for covariate in therapy.covariates})
    people: dict[str, list[Part]] = {}
    for file in find_files(path, *PATTERNS):
        rows = one_time(read_rows(file, column_of=names))
        dated = rows.cells["time"].where(rows.cells["time"].str.contains(":"), rows.cells["time"] + " 00:00")
        rows = replace(rows, cells=rows.cells.assign(time=dated))
        if not ({"channel", "value"} <= set(rows.cells) or names.channels.keys() & set(rows.cells)):
            wanted = ", ".join(therapy.names)
            raise RecordError(f"expected columns of {wanted}, or channel and value; found {rows.header}", file=file, row=1)
        for name, part in by_person(rows, patient or file.stem, zone, day_first):
            people.setdefault(patient or name, []).append(part)
    records = []
    for name, parts in people.items():
        with refusing(refused, slug(name)):
            records.append(_record(name, parts, names, zone))
    return records


def _record(name: str, parts: Sequence[Part], names: _Names, zone: str | None) -> PatientRecord:
    events = sorted(event for part in parts for event in _events(*part[:2], names))
    if not events:
        raise RecordError(f"nothing is recorded of patient {name!r}", file=parts[0][0].file)
    frame = events_frame(events).drop_duplicates(["time", "channel", "value"], ignore_index=True)
    twice = frame[frame.duplicated(["time", "channel"], keep=False)]
    if len(twice):
        second = twice.iloc[1]
        file, _, row = str(second["origin"]).rpartition(":")
        channel = str(second["channel"])
        raise RecordError(f"two values of {channel} at {second['time']}", file=file, row=int(row), field=channel)
    every = [rows for rows, _, _ in parts]
    told = {name: one_value(every, column) for column, name in names.facts.items()}
    read = {"time", "date", "patient", "zone", "group", "channel", "value", "duration", *names.channels, *names.facts}
    strangers = tuple(correction for rows in every for correction in unread(rows, read))
    group, stated = one_value(every, "group"), one_value(every, "zone")
    clock = stated.text if stated else zone or "UTC"
    files = tuple(dict.fromkeys(rows.name for rows in every))
    record = PatientRecord(
        patient=slug(name), zone=clock, events=frame, corrections=strangers, rows_read=sum(rows.read for rows in every),
        facts={name: value.text for name, value in told.items() if value}, files=files,
    )  # fmt: skip
    return record if group is None else replace(record, group=group.text)


def _events(rows: Rows, time: pd.Series, names: _Names) -> Iterator[tuple[object, ...]]:
    if time.isna().any():
        index = int(np.flatnonzero(time.isna())[0])
        said = f"expected a time, found {rows.cells['time'].iloc[index]!r}"
        raise RecordError(said, file=rows.file, row=int(rows.row[index]), field=rows.fields["time"])
    if "channel" not in rows.cells:
        for name in [str(name) for name in rows.cells if name in names.channels]:
            yield from _column(rows, time, names.channels[name], name, np.arange(len(rows)))
        return
    called = rows.cells["channel"].map(normal)
    for name in called.unique():
        at = np.flatnonzero(called == name)
        if name not in names.channels:
            known = ", ".join(channel.name for channel in names.channels.values())
            said = f"expected a channel of {known}, found {rows.cells['channel'].iloc[at[0]]!r}"
            raise RecordError(said, file=rows.file, row=int(rows.row[at[0]]), field=rows.fields["channel"])
        yield from _column(rows, time, names.channels[name], "value", at)


def _column(
    rows: Rows, time: pd.Series, channel: Channel, field: str, at: "np.ndarray[tuple[int], np.dtype[np.int64]]"
) -> Iterator[tuple[object, ...]]:
    """The events of one channel in the rows `at`; empty cells say nothing."""
    texts = rows.cells[field].iloc[at]
    values, empty = numbers(texts, decimal_comma=rows.decimal_comma), is_missing(texts)
    lasts = numbers(rows.cells["duration"].iloc[at]) if "duration" in rows.cells else np.full(len(at), np.nan)
    usual = np.nan if channel.form == "rate" else 0.0
    for place, value, text, none, stated in zip(at.tolist(), values.tolist(), texts, empty, lasts.tolist(), strict=True):
        if none:
            continue
        if not channel.low <= value <= channel.high:  # written so that what is no number is refused
            said = f"expected {channel.name} of {channel.low:g} to {channel.high:g} {channel.unit}, found {text!r}"
            raise RecordError(said, file=rows.file, row=int(rows.row[place]), field=rows.fields[field])
        lasting = usual if stated != stated else stated
        yield time.iloc[place], channel.name, value, lasting, "", f"{rows.name}:{int(rows.row[place])}"
