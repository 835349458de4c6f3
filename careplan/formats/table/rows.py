"""Our table's files (delimited text, a workbook, Parquet) as rows of text under the table's own column names."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from careplan.records.events import RecordError
from careplan.records.head import PARQUET, XLS, XLSX
from careplan.records.text import Rows, normal, read_rows
from careplan.records.workbook import Cell, as_text, open_workbook, sheet_rows

ALIASES = {
    **dict.fromkeys(("timestamp", "datetime", "dateandtime", "localtime"), "time"),
    **dict.fromkeys(("day",), "date"),
    **dict.fromkeys(("clock", "timeofday"), "time"),
    **dict.fromkeys(("patientid", "subject", "subjectid", "id", "person"), "patient"),
    **dict.fromkeys(("timezone", "tz"), "zone"),
    **dict.fromkeys(("glucosemgdl", "bg", "gl", "cgm", "sgv", "sensorglucose", "sensorglucosemgdl", "cgmmgdl"), "glucose"),
    **dict.fromkeys(("glucosemmoll", "bgmmol", "cgmmmol", "sensorglucosemmoll", "cgmmmoll"), "glucosemmol"),
    **dict.fromkeys(("fingerstickmgdl", "smbg", "bgm"), "fingerstick"),
    **dict.fromkeys(("fingerstickmmoll",), "fingerstickmmol"),
    **dict.fromkeys(("basaluh", "basalrate"), "basal"),
    **dict.fromkeys(("bolusu", "insulin"), "bolus"),
    **dict.fromkeys(("longactingu",), "longacting"),
    **dict.fromkeys(("carbsg", "carb", "carbohydrates"), "carbs"),
    **dict.fromkeys(("activitymet", "met"), "activity"),
    **dict.fromkeys(("weightkg",), "weight"),
    **dict.fromkeys(("durationmin", "durationminutes"), "duration"),
}
UNIT = re.compile(r"[(\[][^()\[\]]*[)\]]|\b(?:mmol/?l|mg/?dl|units?|grams?)\b", re.IGNORECASE)
AMOUNTS = ("glucose", "glucosemmol", "fingerstick", "fingerstickmmol", "basal", "bolus", "longacting", "carbs", "activity")


# What a header is called without its unit, where the unit or the language says which column it is.
NAMES = {
    name: column
    for column, names in {
        "glucose": "bg bloodglucose cgm sgv sensorglucose sensor glukose glucose bloodsugar",
        "fingerstick": "fingerstick smbg bgm meter capillaryglucose",
        "longacting": "basalinsulin longacting longactinginsulin backgroundinsulin",
        "bolus": "bolusinsulin bolus rapid rapidinsulin mealinsulin rapidacting rapidactinginsulin",
        "carbs": "carbs carb carbohydrate carbohydrates kh cho",
    }.items()
    for name in names.split()
}


def column_of(header: str) -> str:
    """The table's own name of a column, by its header: "BG (mmol/L)" is glucosemmol, "Basal insulin" longacting."""
    name = normal(header)
    name = ALIASES.get(name, name)
    if name in AMOUNTS:
        return name
    bare = NAMES.get(normal(UNIT.sub("", header)), "")
    if bare in ("glucose", "fingerstick"):
        return f"{bare}mmol" if "mmol" in header.lower() else bare
    return bare or name


def recognise_header(header: Sequence[str]) -> str | None:
    """Why a header is the table's: a time, and channels or a column of them; None where it is not."""
    names = {column_of(name) for name in header}
    if not names & {"time", "date"}:
        return None
    if {"channel", "value"} <= names:
        return "its header has a time, channel and value"
    found = [name for name in AMOUNTS if name in names]
    return f"its header has a time and {', '.join(found)}" if found else None


def table_rows(path: Path) -> list[Rows]:
    """The rows of a file, by what it holds; of a workbook, those of each sheet that is such a table.

    Raises `RecordError` where none is.
    """
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise RecordError(f"cannot be read: {error.strerror}", file=path) from error
    if start.startswith(PARQUET) or path.suffix.lower() == ".parquet":
        return [one_time(read_parquet(path))]
    if start.startswith((XLSX, XLS)):
        return [one_time(rows) for rows in read_workbook(path)]
    return [one_time(read_rows(path, column_of=column_of))]


def one_time(rows: Rows) -> Rows:
    """Date and time of day in two columns are one time."""
    if "date" not in rows.cells and "time" not in rows.cells:
        raise RecordError(f"expected a column 'time', found {rows.header}", file=rows.file, row=1, field="time")
    if "date" not in rows.cells:
        return rows
    fields = {"time": rows.fields["date"], **{name: text for name, text in rows.fields.items() if name not in ("date", "time")}}
    if "time" not in rows.cells:
        return replace(rows, cells=rows.cells.rename(columns={"date": "time"}), fields=fields)
    day = rows.cells["date"].str.replace(r"[ T]0?0:00(?::00)?$", "", regex=True)  # a workbook's date is midnight of it
    both = (day + " " + rows.cells["time"]).str.strip()
    return replace(rows, cells=rows.cells.drop(columns="date").assign(time=both), fields=fields)


def read_parquet(path: Path) -> Rows:
    """A Parquet file as rows of text; rows count from 1."""
    try:
        frame = pd.read_parquet(path)
    except Exception as error:  # pyarrow raises many kinds for a file that is none, or is cut short
        raise RecordError(f"not a Parquet file: {str(error).splitlines()[0][:200]}", file=path) from error
    if frame.empty:
        raise RecordError("no row", file=path)
    fields = columns([str(name) for name in frame.columns], path)
    cells = pd.DataFrame({name: texts(frame.iloc[:, at]) for name, (at, _) in fields.items()}, dtype=object)
    written = {name: text for name, (_, text) in fields.items()}
    return Rows(str(path), cells, np.arange(1, len(frame) + 1), written, False)


def texts(column: pd.Series) -> list[str]:
    return [
        "" if missing else value.isoformat() if hasattr(value, "isoformat") else str(value).strip()
        for value, missing in zip(column, column.isna(), strict=True)
    ]


def read_workbook(path: Path) -> list[Rows]:
    """The sheets of a workbook that are tables, as rows of text; rows count as the workbook numbers them."""
    workbook = open_workbook(path)
    sheets = {name: sheet_rows(workbook, name, path) for name in workbook.sheet_names}
    tables = {name: rows for name, rows in sheets.items() if rows and recognise_header([as_text(cell) for cell in rows[0]])}
    if not tables:
        found = {name: [as_text(cell) for cell in rows[0]][:10] for name, rows in sheets.items() if rows}
        raise RecordError(f"no sheet has a header with a time and a channel; found {found}", file=path, row=1)
    alone = len(sheets) == 1
    return [sheet(path if alone else f"{path}[{name}]", rows) for name, rows in tables.items()]


def sheet(file: object, rows: Sequence[Sequence[Cell]]) -> Rows:
    fields = columns([as_text(cell) for cell in rows[0]], file)
    body = [(line, row) for line, row in enumerate(rows[1:], start=2) if any(cell != "" for cell in row)]
    if not body:
        raise RecordError("a header and no row", file=file, row=1)
    cells = {name: [as_text(row[at]) for _, row in body] for name, (at, _) in fields.items()}
    lines = np.array([line for line, _ in body], dtype=np.int64)
    return Rows(str(file), pd.DataFrame(cells, dtype=object), lines, {name: text for name, (_, text) in fields.items()}, True)


def columns(header: Sequence[str], file: object) -> dict[str, tuple[int, str]]:
    """Column names -> where they stand and how they are written; `RecordError` where one repeats."""
    named = [(column_of(text), at, text) for at, text in enumerate(header)]
    found = {name: (at, text) for name, at, text in named if name}
    if len(found) != sum(bool(name) for name, _, _ in named):
        raise RecordError(f"a column repeats in the header: {list(header)[:20]}", file=file, row=1)
    return found
