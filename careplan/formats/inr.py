"""INR and tablet tables: a row a day or a visit, with what is known of the patient beside it. See docs/reference/inr.md.

Columns: date, and any of inr, dose (mg that evening) and weekly_dose (mg a week, from that day on); patient; strengths (mg of the
tablets at hand); age, weight, height, race, cyp2c9, vkorc1, amiodarone and inducer, once or in every row.
A day ends with its tablet: the INR of a date is of its morning, the tablet is stamped at the midnight that ends it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from careplan.records.dates import SPLIT, dates, plain
from careplan.records.events import PatientRecord, RecordError, Refused, events_frame, refusing
from careplan.records.head import header_of
from careplan.records.raw import XLS, XLSX
from careplan.records.settings import StatedSettings
from careplan.records.sheet import unread
from careplan.records.text import Rows, Source, find_files, is_missing, normal, numbers, read_rows
from careplan.records.workbook import as_text, open_workbook, sheet_rows

PATTERNS = ("*.csv", "*.tsv", "*.txt", "*.xlsx", "*.xls", "*.ods")
FACTS = ("age", "weight", "height", "race", "cyp2c9", "vkorc1", "amiodarone", "inducer")
ALIASES = {
    **dict.fromkeys(("day", "time", "datetime", "visit", "visitdate"), "date"),
    **dict.fromkeys(("patientid", "subject", "subjectid", "id", "person"), "patient"),
    **dict.fromkeys(("dosemg", "mg", "warfarin", "warfarinmg", "dailydose", "dailydosemg"), "dose"),
    **dict.fromkeys(("weeklydose", "weeklydosemg", "mgaweek", "mgperweek"), "weekly"),
    **dict.fromkeys(("tablets", "tabletstrengths", "strengthsmg"), "strengths"),
    **dict.fromkeys(("weightkg",), "weight"),
    **dict.fromkeys(("heightcm",), "height"),
    **dict.fromkeys(("ageyears",), "age"),
    **dict.fromkeys(("enzymeinducer",), "inducer"),
}
COLUMNS = {"date", "inr", "dose", "weekly", "patient", "strengths", *FACTS}
LOWEST, HIGHEST = 0.7, 12.0  # INR: what a laboratory can report; docs/reference/clinical.md
QUICK = 130.0  # % of normal: a prothrombin time as Quick states it lies below
MOST = 30.0  # mg in one evening: more is an error in the record
LONGEST = 60  # days for which a weekly dose holds where no row says otherwise
ZONE = "UTC"  # dates have no clock


@dataclass(frozen=True)
class _Person:
    """One patient's rows of one file, their dates at midnight."""

    rows: Rows
    date: pd.Series


def recognise(head: str) -> str | None:
    """Why a file is such a table, by its first lines (of a workbook, those of each sheet); None where it is not."""
    firsts = [part.split("\n")[1:2] for part in head.split("[sheet ")[1:]] if "[sheet " in head else [head.split("\n")[:1]]
    for first in firsts:
        names = {_named(name) for name in header_of(first[0])} if first else set()
        if "inr" in names and "date" in names:
            return "its header has a date and an INR"
    return None


def read_inr(path: Source, *, day_first: bool | None = None, refused: Refused | None = None) -> list[PatientRecord]:
    """One record for each patient at `path`.

    day_first: the order of numeric dates where the file cannot tell. Raises `RecordError`, naming file, row and field, for an INR
    that no laboratory reports (a Quick percentage), a dose that nobody takes, and patients of whom two things are said; with
    `refused`, such a patient is left out and noted there.
    """
    people: dict[str, list[_Person]] = {}
    for file in find_files(path, *PATTERNS):
        for name, person in _people(_rows_of(file), file.stem, day_first):
            people.setdefault(name, []).append(person)
    records = []
    for name, parts in people.items():
        with refusing(refused, name):
            records.append(_record(name, parts))
    return records


def _named(header: str) -> str:
    return ALIASES.get(normal(header), normal(header))


def _rows_of(path: Path) -> Rows:
    with path.open("rb") as file:
        start = file.read(8)
    if not start.startswith((XLSX, XLS)):
        return read_rows(path, ("date", "inr"), column_of=_named)
    workbook = open_workbook(path)
    for sheet in workbook.sheet_names:
        whole = [[as_text(cell) for cell in row] for row in sheet_rows(workbook, sheet, path)]
        names = [_named(cell) for cell in whole[0]] if whole else []
        if {"date", "inr"} <= set(names):
            body = [(line, row) for line, row in enumerate(whole[1:], start=2) if any(row)]
            cells = {name: [row[at] for _, row in body] for at, name in enumerate(names) if name}
            fields = dict(zip(names, whole[0], strict=True))
            return Rows(str(path), pd.DataFrame(cells, dtype=object), np.array([line for line, _ in body]), fields, True)
    raise RecordError("no sheet has a header with a date and an INR", file=path, row=1)


def _people(rows: Rows, usual: str, day_first: bool | None) -> Iterator[tuple[str, _Person]]:
    days = plain([str(text).strip() for text in rows.cells["date"]])
    texts = [f"{SPLIT.split(day, maxsplit=1)[0]} 00:00" for day in days]  # a time of day is not used
    parsed = dates(texts, file=rows.file, row=rows.row, field=rows.fields["date"], day_first=day_first)
    if parsed["time"].isna().any():
        index = int(np.flatnonzero(parsed["time"].isna())[0])
        said = f"expected a date, found {rows.cells['date'].iloc[index]!r}"
        raise RecordError(said, file=rows.file, row=int(rows.row[index]), field=rows.fields["date"])
    date = parsed["time"].dt.tz_localize(ZONE)
    names = rows.cells["patient"].replace("", usual) if "patient" in rows.cells else pd.Series(usual, index=rows.cells.index)
    for name in names.unique():
        mine = (names == name).to_numpy(dtype=bool)
        part = Rows(rows.file, rows.cells[mine].reset_index(drop=True), rows.row[mine], rows.fields, rows.decimal_comma)
        yield str(name), _Person(part, date[mine].reset_index(drop=True))


def _record(name: str, parts: Sequence[_Person]) -> PatientRecord:
    events: list[tuple[object, ...]] = []
    for part in parts:
        events += _events(part)
    frame = events_frame(events).sort_values("time", kind="stable").reset_index(drop=True)
    twice = frame[frame.duplicated(["time", "channel"], keep=False)]
    for _, same in twice.groupby(["time", "channel"]):
        if same["value"].nunique() > 1:
            file, _, row = str(same["origin"].iloc[-1]).rpartition(":")
            channel = str(same["channel"].iloc[0])
            raise RecordError(f"two values of {channel} on one day", file=file, row=int(row), field=channel)
    return PatientRecord(
        patient=name,
        zone=ZONE,
        events=frame.drop_duplicates(["time", "channel"]).reset_index(drop=True),
        rows_read=sum(len(part.rows) for part in parts),
        weight=None,
        regimen=_settings(parts),
        files=tuple(dict.fromkeys(part.rows.name for part in parts)),
        facts=_facts(parts),
        corrections=tuple(correction for part in parts for correction in unread(part.rows, COLUMNS)),
    )


def _events(part: _Person) -> list[tuple[object, ...]]:
    rows, evening = part.rows, part.date + pd.Timedelta(days=1)
    found: list[tuple[object, ...]] = []
    for index, value in _values(rows, "inr", LOWEST, HIGHEST, _of_inr):
        found.append((part.date[index] + pd.Timedelta(hours=8), "inr", value, 0.0, "", f"{rows.name}:{rows.row[index]}"))
    dosed = dict(_values(rows, "dose", 0.0, MOST, lambda _: f"expected 0 to {MOST:g} mg in one evening"))
    for index, value in dosed.items():
        found.append((evening[index], "warfarin", value, 0.0, "", f"{rows.name}:{rows.row[index]}"))
    weekly = dict(_values(rows, "weekly", 0.0, 7 * MOST, lambda _: f"expected 0 to {7 * MOST:g} mg a week"))
    stated = {evening[index] for index in dosed}
    last = part.date.max()
    for index, value in weekly.items():
        later = [part.date[other] for other in weekly if part.date[other] > part.date[index]]
        until = min([*later, last, part.date[index] + pd.Timedelta(days=LONGEST)])
        for when in pd.date_range(evening[index], until, freq="D"):
            if when not in stated:
                found.append((when, "warfarin", value / 7, 0.0, "", f"{rows.name}:{rows.row[index]}"))
    return found


def _values(rows: Rows, name: str, low: float, high: float, problem: object) -> Iterator[tuple[int, float]]:
    """Row by row the numbers of a column, each of which can be true."""
    if name not in rows.cells:
        return
    texts = rows.cells[name]
    value, missing = numbers(texts, decimal_comma=rows.decimal_comma), is_missing(texts)
    for index in np.flatnonzero(~missing):
        if not low <= value[index] <= high:
            said = f"expected a number, found {texts[index]!r}" if np.isnan(value[index]) else problem(float(value[index]))  # type: ignore[operator]
            raise RecordError(said, file=rows.file, row=int(rows.row[index]), field=rows.fields[name])
        yield int(index), float(value[index])


def _of_inr(value: float) -> str:
    doubt = ": is it a Quick percentage?" if HIGHEST < value <= QUICK else ""
    return f"an INR of {value:g} is impossible, expected {LOWEST:g} to {HIGHEST:g}{doubt}"


def _settings(parts: Sequence[_Person]) -> StatedSettings | None:
    """The weekly dose that the last row states, with the tablets at hand."""
    stated = [
        (part.date[index], value, part)
        for part in parts
        for index, value in _values(part.rows, "weekly", 0.0, 7 * MOST, lambda _: f"expected 0 to {7 * MOST:g} mg a week")
    ]
    if not stated:
        return None
    _, weekly, _ = max(stated, key=lambda each: each[0])
    single: dict[str, float | str] = {"weekly_dose": weekly}
    if strengths := _one_of(parts, "strengths"):
        single["strengths"] = strengths
    return StatedSettings(starts=(0,), blocks={}, single=single)


def _facts(parts: Sequence[_Person]) -> Mapping[str, str]:
    return {name: value for name in FACTS if (value := _one_of(parts, name))}


def _one_of(parts: Sequence[_Person], name: str) -> str:
    """What all rows say, empty where none does; `RecordError` where two say different things."""
    said: dict[str, tuple[Rows, int]] = {}
    for part in parts:
        if name in part.rows.cells:
            texts = part.rows.cells[name]
            for index in np.flatnonzero(~is_missing(texts)):
                said.setdefault(str(texts[index]).strip(), (part.rows, int(part.rows.row[index])))
    if len(said) > 1:
        one, other, *_ = said
        rows, row = said[other]
        raise RecordError(f"said to be {one} and {other}", file=rows.file, row=row, field=rows.fields[name])
    return next(iter(said), "")
