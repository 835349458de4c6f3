"""The T1D-UOM layout: one CSV a person and kind, local UK times (Alsuhaymi 2025, doi 10.5281/zenodo.15806142).

Glucose in mmol/L; basal of kind R is a pump rate in U/h and of kind L a long-acting dose in U; activity in MET by window,
with its own UTC clock. Sleep files have no channel and are not read.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from careplan.records.cells import by_time, column, stacked
from careplan.records.clock import stamped
from careplan.records.correction import Correction
from careplan.records.events import PatientRecord, RecordError, Refused, refusing
from careplan.records.head import head_of, header_of
from careplan.records.sheet import (
    Sheet,
    check_dates,
    check_ranges,
    drop_duplicates,
    drop_unreadable,
    glucose_unit,
    milliunits,
    one_stream,
    report_left,
    year_typos,
)
from careplan.records.stamps import stamps_in
from careplan.records.text import Rows, Source, check_zone, find_files, normal, numbers, read_rows, read_text
from careplan.records.units import MG_PER_MMOL

BESIDE = {
    **{"bgts": "value", "bolusts": "bolusdose", "basalts": "basaldose", "mealts": "carbsg", "activityts": "met"},
    **{"sleepts": "sleeplevel", "calendardate": "startdatets"},
}
SLEEP = {"sleepts", "sleeplevel", "calendardate"}
SENSOR = (40.0 / MG_PER_MMOL, 400.0 / MG_PER_MMOL)  # what "Low" and "High" mean, in mmol/L
OVERCLAIM = 1.5  # activities that fill their window more than this often are not one person's


def recognise(head: str) -> str | None:
    """Why a file is of the layout, by its first lines; None where it is not."""
    names = {normal(name) for name in header_of(head)}
    kind = next((name for name, beside in BESIDE.items() if {name, beside} <= names), None)
    return None if kind is None else f"its header has the columns {kind} and {BESIDE[kind]}, but for underscores"


def read_t1d_uom(path: Source, *, zone: str = "Europe/London", refused: Refused | None = None) -> list[PatientRecord]:
    """One record for each person in a folder of the layout, or in one of its files.

    Args:
        path: The folder, or one of its files.
        zone: The clock of the set's people.
        refused: Takes, by name, what is wrong with a person whose files cannot be trusted, who is then left out.

    Returns:
        A record a person.

    Raises:
        RecordError: A file cannot be trusted, and there is no `refused`.
    """
    check_zone(zone, file=path)
    people: dict[str, list[Path]] = {}
    for file in find_files(path, "*.csv"):
        match = re.search(r"\d+", file.stem)
        people.setdefault(match[0] if match else file.stem.lower(), []).append(file)
    sheets = {person: read_person(person, files, zone, refused) for person, files in people.items()}
    drop_strangers([sheet for sheet, *_ in sheets.values()])  # readable files of a person left out tell whose readings are whose
    records = []
    for person, (sheet, rows_read, files, asleep) in sheets.items():
        if not files or f"uom-{person}" in (refused or ()):
            continue
        with refusing(refused, f"uom-{person}"):
            one_stream(sheet)
            check_ranges(sheet)
            sheet.require(people[person][0])
            record = sheet.record(f"uom-{person}", zone, rows_read=rows_read, files=files)
            records.append(replace(record, ignored={"sleep": asleep} if asleep else {}))
    if not records and not refused:
        raise RecordError("no file of glucose, insulin, meals or activity", file=path)
    return records


def read_person(person: str, files: list[Path], zone: str, refused: Refused | None) -> tuple[Sheet, int, list[str], int]:
    """All of one person's files on one sheet, with the rows read, the files that have a channel, and the rows of sleep, which has
    none."""
    whole = Sheet(pd.DataFrame())
    cells: list[pd.DataFrame] = []
    rows_read, named, asleep = 0, [], 0
    for file in files:
        with refusing(refused, f"uom-{person}"):
            if SLEEP & set(map(normal, header_of(head_of(file)))):
                count = sum(bool(line.strip(" ,")) for line in read_text(file).splitlines()) - 1
                if count:
                    whole.corrections.append(Correction("dropped", "sleep", file.name, 2, "", f"{count:,} rows of no channel"))
                rows_read, asleep = rows_read + count, asleep + count
                continue
            sheet, rows = read_file(file, zone)
            cells.append(sheet.cells)
            whole.corrections += sheet.corrections
            rows_read += rows.read
            named.append(file.name)
    if named:
        with refusing(refused, f"uom-{person}"):
            whole.cells = by_time(stacked(cells))
            milliunits(whole)
            glucose_unit(whole, "mmol/L")
            drop_duplicates(whole)
    return whole, rows_read, named, asleep


def read_file(file: Path, zone: str) -> tuple[Sheet, Rows]:
    """The cells of one file, and its rows as they are read. Raises `RecordError` where its header is none of T1D-UOM's."""
    rows = read_rows(file)
    kind = next((name for name in KINDS if name in rows.cells), None)
    if kind is None:
        raise RecordError(f"not a T1D-UOM file: expected one of {sorted(KINDS)}, found {rows.header}", file=file, row=1)
    sheet = Sheet(KINDS[kind](rows, zone))
    report_left(sheet, rows)
    sheet.stamps = stamps_in(rows, "starttimes" if kind == "activityts" else kind, sheet.cells["time"])
    drop_unreadable(sheet)
    year_typos(sheet)
    check_dates(sheet)
    if kind == "activityts":
        lay_end_to_end(sheet)
    return sheet, rows


def local_time(rows: Rows, name: str, zone: str) -> pd.Series:
    """UTC times of a column of local DD/MM/YYYY times."""
    return stamped(rows, name, zone, day_first=True)[0]


def need(rows: Rows, *names: str) -> None:
    """Raises `RecordError` where a column is missing."""
    for name in names:
        if name not in rows.cells:
            raise RecordError(f"expected a column {name!r}, found {rows.header}", file=rows.file, row=1, field=name)


def glucose(rows: Rows, zone: str) -> pd.DataFrame:
    need(rows, "value")
    return column(rows, "value", "glucose", local_time(rows, "bgts", zone), limits=SENSOR, blank=True)


def bolus(rows: Rows, zone: str) -> pd.DataFrame:
    need(rows, "bolusdose")
    return column(rows, "bolusdose", "bolus", local_time(rows, "bolusts", zone), blank=True)


def basal(rows: Rows, zone: str) -> pd.DataFrame:
    """The basal rates and long-acting doses. Raises `RecordError` where a row is neither."""
    need(rows, "basaldose", "insulinkind")
    cells = column(rows, "basaldose", "basal", local_time(rows, "basalts", zone), blank=True)
    kind = cells["row"].map(dict(zip(rows.row, rows.cells["insulinkind"].str.upper(), strict=True)))
    if not kind.isin(["R", "L"]).all():
        first = cells[~kind.isin(["R", "L"])].iloc[0]
        raise RecordError(
            "expected R (a rate) or L (a long-acting dose)",
            file=rows.file,
            row=int(first["row"]),
            field=rows.fields["insulinkind"],
        )
    cells["channel"] = kind.map({"R": "basal", "L": "long_acting"})
    cells["duration"] = kind.map({"R": np.nan, "L": 0.0})
    return cells


def carbs(rows: Rows, zone: str) -> pd.DataFrame:
    need(rows, "carbsg")
    return column(rows, "carbsg", "carbs", local_time(rows, "mealts", zone), blank=True)


def activity(rows: Rows, zone: str) -> pd.DataFrame:
    """The window's start in `time` and the minutes active in `duration`; `lay_end_to_end` places them."""
    need(rows, "met", "activetimes", "durations", "starttimes")
    start = numbers(rows.cells["starttimes"])
    time = pd.Series(pd.to_datetime(np.where((start > 0) & (start < 9e9), start, np.nan), unit="s", utc=True))
    cells = column(rows, "met", "activity", time.astype("datetime64[ns, UTC]"), blank=True)
    active = dict(zip(rows.row, numbers(rows.cells["activetimes"]) / 60.0, strict=True))
    window = dict(zip(rows.row, numbers(rows.cells["durations"]) / 60.0, strict=True))
    cells["duration"], cells["window"] = cells["row"].map(active).fillna(0.0), cells["row"].map(window).fillna(0.0)
    return cells


def lay_end_to_end(sheet: Sheet) -> None:
    """Place the activities of one window one after the other: the source says how long each took, not when.

    Rules "duplicate" and "impossible activity": activities that together fill their window more than 1.5 times are dropped.
    """
    sheet.drop(sheet.cells.duplicated(["time", "raw", "duration"]).to_numpy(dtype=bool), "duplicate")
    cells = sheet.cells
    claimed = cells.groupby("time")["duration"].transform("sum")
    window = cells.groupby("time")["window"].transform("max")
    sheet.drop((claimed > OVERCLAIM * window).to_numpy(dtype=bool), "impossible activity")
    cells = sheet.cells
    placed = cells.groupby("time")["duration"].cumsum() - cells["duration"]
    sheet.cells = cells.assign(time=cells["time"] + pd.to_timedelta(placed, unit="m")).drop(columns="window")


def drop_strangers(sheets: list[Sheet]) -> None:
    """Rule "another person's stream": readings of which most of another person's file is a copy belong to that person.

    Of two files that share at least a day of readings, and at least half of the smaller, the larger holds the copy.
    """
    if len(sheets) < 2:
        return
    keys = [readings(sheet) for sheet in sheets]
    for mine, sheet in zip(keys, sheets, strict=True):
        for other in keys:
            shared = mine & other
            if len(other) < len(mine) and len(shared) >= 288 and len(shared) >= len(other) / 2:
                copied = [key in shared for key in zip(sheet.cells["time"].astype("int64"), sheet.cells["raw"], strict=True)]
                sheet.drop(sheet.of("glucose") & np.array(copied, dtype=bool), "another person's stream")


def readings(sheet: Sheet) -> set[tuple[object, object]]:
    """When (ns) and what each reading of glucose was."""
    if sheet.cells.empty:
        return set()
    cells = sheet.cells[sheet.of("glucose")]
    return set(zip(cells["time"].astype("int64"), cells["raw"], strict=True))


KINDS: dict[str, Callable[[Rows, str], pd.DataFrame]] = {
    "bgts": glucose,
    "bolusts": bolus,
    "basalts": basal,
    "mealts": carbs,
    "activityts": activity,
}
