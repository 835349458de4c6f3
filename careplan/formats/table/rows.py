"""Our table's files (delimited text, a workbook, Parquet) as rows of text under the table's own column names."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from careplan.records.events import RecordError
from careplan.records.raw import PARQUET, XLS, XLSX
from careplan.records.text import ABOVE, MOST_ABOVE, UNITS, Rows, normal, read_rows
from careplan.records.workbook import Cell, as_text, check_days, column_texts, open_workbook, sheet_rows, shown_sheets

ALIASES = {
    **dict.fromkeys(("timestamp", "datetime", "dateandtime", "localtime", "unixtime"), "time"),
    **dict.fromkeys(("day",), "date"),
    **dict.fromkeys(("clock", "timeofday"), "time"),
    **dict.fromkeys(("patientid", "subject", "subjectid", "id", "person"), "patient"),
    **dict.fromkeys(("timezone", "tz"), "zone"),
    **dict.fromkeys(("glucosemgdl", "bg", "gl", "cgm", "sgv", "sensorglucose", "sensorglucosemgdl", "cgmmgdl"), "glucose"),
    **{"mgdl": "glucose", "mmoll": "glucosemmol"},  # a unit alone
    **dict.fromkeys(("glucosemmoll", "bgmmol", "cgmmmol", "sensorglucosemmoll", "cgmmmoll"), "glucosemmol"),
    **dict.fromkeys(("fingerstickmgdl", "smbg", "bgm"), "fingerstick"),
    **dict.fromkeys(("fingerstickmmoll",), "fingerstickmmol"),
    **dict.fromkeys(("basaluh", "basalrate"), "basal"),
    **dict.fromkeys(("bolusu", "insulin", "insulininjectionunitspen"), "bolus"),
    **dict.fromkeys(("insulininjectionunitspump",), "pumpbolus"),
    **dict.fromkeys(("longactingu",), "longacting"),
    **dict.fromkeys(("carbsg", "carb", "carbohydrates"), "carbs"),
    **dict.fromkeys(("activitymet", "met"), "activity"),
    **dict.fromkeys(("weightkg",), "weight"),
    **dict.fromkeys(("durationmin", "durationminutes"), "duration"),
}
UNIT = re.compile(r"[(\[](?P<unit>[^()\[\]]*)[)\]]|\b(?:mmol/?l|mg/?dl|units?|grams?)\b", re.IGNORECASE)
AMOUNTS = (
    *("glucose", "glucosemmol", "fingerstick", "fingerstickmmol"),
    *("basal", "bolus", "pumpbolus", "longacting", "carbs", "activity"),
)
DOSE = frozenset(("u", "units", "unit", "ie", "iu", "ui", "e", "einheiten"))  # of a dose; a rate has "/h" as well
IN_UNITS = {"basal": "longacting", "insulin": "bolus"}  # what a header means that names a dose's unit
NO_GRAMS = frozenset(("be", "ke", "khe", "bu", "exchanges", "exchange", "portions", "servings", "raciones", "kcal"))

# What a header is called without its unit and accents, where the unit or the language says which column it is: English, German,
# French, Spanish, Italian, Dutch.
NAMES = {
    name: column
    for column, names in {
        "time": "zeitstempel datumuhrzeit zeitpunkt horodatage fechahora",
        "date": "datum fecha data",
        "timeofday": "uhrzeit zeit hora heure ora tijd",
        "glucose": "bg bloodglucose cgm sgv sensorglucose sensor glukose glucose bloodsugar blutzucker bz glukosewert glycemie "
        "glucemia glicemia glucosa glucosio glicose glukoz bloedglucose bloedsuiker blodsukker blodsocker glukos verensokeri",
        "fingerstick": "fingerstick smbg bgm meter capillaryglucose bloodsugarmeasurement bloodglucosemeasurement",
        "pumpbolus": "pumpbolus",
        "longacting": "basalinsulin longacting longactinginsulin backgroundinsulin langzeitinsulin insulinelente insulinalenta "
        "insulinabasal langwerkendeinsuline basalinjection",
        "bolus": "bolusinsulin bolus rapid rapidinsulin mealinsulin rapidacting rapidactinginsulin mahlzeiteninsulin "
        "insulinerapide insulinarapida",
        "carbs": "carbs carb carbohydrate carbohydrates mealcarbohydrates kh cho kohlenhydrate glucides carbohidratos hidratos "
        "carboidrati koolhydraten",
    }.items()
    for name in names.split()
}
FACTOR = re.compile(f"(?:{'|'.join(sorted(NO_GRAMS))})factor.*")  # mySugr's "(BE, Factor 12)"
HOURS, EPOCH = r"[+-]?\d{1,2}(?:\.\d+)?", r"\d{10,13}"
CELL = re.compile(r"(?P<amount>[<>]?\s*[\d.,]+)\s*(?P<unit>mg/dl|mmol/l|u|ie|iu|e|units?|g|grams?)\.?", re.IGNORECASE)
IS_UNIT = re.compile(
    r"\W*(?:mg/dl|mmol/l|u|ie|iu|e|units?|g|gr|grams?|u/h|ie/h|e/h|met|min|kg|utc|hh:mm(?::ss)?|[dmyjat./-]{8,10})\W*",
    re.IGNORECASE,
)


def column_of(header: str) -> str:
    """The table's own name of a column, by its header: "BG (mmol/L)" is glucosemmol, "Basal insulin" longacting."""
    name = normal(header) if header.strip() != "_id" else "databaseid"  # MongoDB's, of a document: nobody's name
    name = ALIASES.get(name, name)
    if name in AMOUNTS:
        return name
    stated = UNIT.search(header)
    unit = normal(stated["unit"] or "") if stated else ""
    bare = NAMES.get(normal(unicodedata.normalize("NFKD", UNIT.sub("", header))), "")
    if bare in ("glucose", "fingerstick"):
        return f"{bare}mmol" if "mmol" in header.lower() else bare
    if unit in DOSE and (dose := IN_UNITS.get(normal(UNIT.sub("", header)))):
        return dose
    if bare == "carbs" and (unit in NO_GRAMS or FACTOR.fullmatch(unit)):
        return name
    return "time" if bare == "timeofday" else bare or name


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
        return [one_time(bare_cells(with_units(rows))) for rows in read_workbook(path)]
    rows = read_rows(path, column_of=column_of, is_header=is_header, fallback="cp1252")
    return [one_time(bare_cells(with_units(rows)))]


def is_header(fields: Sequence[str]) -> bool:
    return recognise_header(fields) is not None


def with_units(rows: Rows) -> Rows:
    """The rows without a first one that holds nothing but the columns' units, which are taken as if they stood in the header."""
    said = {str(name): str(rows.cells[name].iloc[0]) for name in rows.cells}
    if not any(said.values()) or not all(IS_UNIT.fullmatch(text) for text in said.values() if text):
        return rows
    named = {name: column_of(f"{rows.fields[name]} ({unit})") if unit else name for name, unit in said.items()}
    if len(set(named.values())) < len(named):
        return rows
    cells = rows.cells.iloc[1:].rename(columns=named).reset_index(drop=True)
    fields = {named.get(name, name): text for name, text in rows.fields.items()}
    return replace(rows, cells=cells, row=rows.row[1:], fields=fields, left={**rows.left, int(rows.row[0]): UNITS})


def bare_cells(rows: Rows) -> Rows:
    """The rows with amounts that state their unit ("120 mg/dL", "2 U") as numbers, where a column states one unit throughout."""
    cells, fields = rows.cells, dict(rows.fields)
    for name in [str(name) for name in cells if name in AMOUNTS]:
        texts = list(cells[name])
        found = [CELL.fullmatch(text) if text and not text[-1].isdigit() else None for text in texts]
        units = {match["unit"].lower() for match in found if match}
        plain = [text for text, match in zip(texts, found, strict=True) if match is None and text[:1].isdigit()]
        if len(units) != 1 or plain:
            continue
        now = column_of(f"{name.removesuffix('mmol')} ({units.pop()})")
        bare = [match["amount"] if match else text for text, match in zip(texts, found, strict=True)]
        cells = cells.drop(columns=name).assign(**{now: bare})
        fields[now] = fields.pop(name)
    return rows if cells is rows.cells else replace(rows, cells=cells, fields=fields)


def one_time(rows: Rows) -> Rows:
    """Date and time of day in two columns are one time; hours beside an epoch are no zone. Raises `RecordError` where there is
    no column of times."""
    if "date" not in rows.cells and "time" not in rows.cells:
        raise RecordError(f"expected a column 'time', found {rows.header}", file=rows.file, row=1, field="time")
    if "zone" in rows.cells and rows.cells["zone"].str.fullmatch(HOURS).all() and rows.cells["time"].str.fullmatch(EPOCH).all():
        fields = {"offset" if name == "zone" else name: text for name, text in rows.fields.items()}
        rows = replace(rows, cells=rows.cells.rename(columns={"zone": "offset"}), fields=fields)
    if "date" not in rows.cells:
        return rows
    fields = {"time": rows.fields["date"], **{name: text for name, text in rows.fields.items() if name not in ("date", "time")}}
    if "time" not in rows.cells:
        return replace(rows, cells=rows.cells.rename(columns={"date": "time"}), fields=fields)
    day = rows.cells["date"].str.replace(r"[ T]0?0:00(?::00)?$", "", regex=True)  # a workbook's date is midnight of it
    both = (day + " " + rows.cells["time"]).str.strip()
    return replace(rows, cells=rows.cells.drop(columns="date").assign(time=both), fields=fields)


def read_parquet(path: Path) -> Rows:
    """A Parquet file as rows of text; rows count from 1. Raises `RecordError` where the file is not Parquet or has no row."""
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
    """The sheets of a workbook that are tables, as rows of text; rows count as the workbook numbers them. Raises `RecordError`
    where no sheet is a table, or a hidden one is, which nobody sees who looks at the workbook.
    """
    workbook = open_workbook(path)
    sheets = {name: sheet_rows(workbook, name, path) for name in workbook.sheet_names}
    tables = {name: place for name, rows in sheets.items() if (place := header_row(rows)) is not None}
    if not tables:
        found = {name: [as_text(cell) for cell in rows[0]][:10] for name, rows in sheets.items() if rows}
        raise RecordError(f"no sheet has a header with a time and a channel; found {found}", file=path, row=1)
    if hidden := tables.keys() - set(shown_sheets(workbook)):
        raise RecordError(f"the hidden sheet {min(hidden)!r} is a table: show it, or delete it", file=path)
    alone = len(sheets) == 1
    return [sheet(path if alone else f"{path}[{name}]", sheets[name], place) for name, place in tables.items()]


def header_row(rows: Sequence[Sequence[Cell]]) -> int | None:
    """Which of a sheet's first rows is the header; None where none is."""
    return next((at for at, row in enumerate(rows[: MOST_ABOVE + 1]) if is_header([as_text(cell) for cell in row])), None)


def sheet(file: object, rows: Sequence[Sequence[Cell]], place: int) -> Rows:
    """The rows beneath the header, which is the row at `place`. Raises `RecordError` where there is none."""
    fields = columns([as_text(cell) for cell in rows[place]], file)
    check_days(rows, file)
    filled = [(line, row) for line, row in enumerate(rows, start=1) if line != place + 1 and any(cell != "" for cell in row)]
    left = {line: ABOVE for line, _ in filled if line <= place}
    body = [(line, row) for line, row in filled if line > place]
    if not body:
        raise RecordError("a header and no row", file=file, row=place + 1)
    cells = {name: column_texts([row[at] for _, row in body]) for name, (at, _) in fields.items()}
    lines = np.array([line for line, _ in body], dtype=np.int64)
    written = {name: text for name, (_, text) in fields.items()}
    return Rows(str(file), pd.DataFrame(cells, dtype=object), lines, written, True, left)


def columns(header: Sequence[str], file: object) -> dict[str, tuple[int, str]]:
    """Column names -> where they stand and how they are written; raises `RecordError` where one repeats."""
    named = [(column_of(text), at, text) for at, text in enumerate(header)]
    found = {name: (at, text) for name, at, text in named if name}
    if len(found) != sum(bool(name) for name, _, _ in named):
        raise RecordError(f"a column repeats in the header: {list(header)[:20]}", file=file, row=1)
    return found
