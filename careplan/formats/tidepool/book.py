"""Tidepool's workbook as the documents of its API: a sheet a type, a row a document, a column a field.

The site's export tool (npm @tidepool/data-tools, config.json) names the columns: `Zulu Time` is in UTC, a basal's and a bolus's
`Duration (mins)` in minutes, exercise's `Duration` a fraction of a day, glucose in the unit the person chose and `Units` states,
annotations and what else is nested as JSON text. A pump's settings are sheets of their own, a row a block of a schedule.
"""

import json
import re
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from careplan.records.events import RecordError
from careplan.records.workbook import Cell, as_text, open_workbook, sheet_rows

Document = dict[str, Any]

DATED = "Zulu Time"
TYPED = ("Tidepool Data Type", "Tidepool Wizard Type")
NAMES = {
    DATED: "time",
    **dict.fromkeys(TYPED, "type"),
    "Duration (mins)": "duration",
    "Expected Duration (mins)": "expectedDuration",
}
UNUSED = ("Local Time", "Device Time", "Computer Time", "Conversion Offset", "Clock Drift Offset", "Id", "Payload")
IN_MINUTES = ("basal", "bolus", "deviceEvent")
NESTED = ("annotations", "nutrition", "dose", "formulation", "insulinFormulation", "payload")
# Sheets of settings: the field of the API, the column of a block's start, and that of its value.
SETTINGS = {
    "pumpSettings.basalSchedules": ("basalSchedules", "basalScheduleStart", "basalScheduleRate", "rate"),
    "pumpSettings.carbRatio": ("carbRatio", "carbRatioStart", "carbRatioAmount", "amount"),
    "pumpSettings.carbRatios": ("carbRatios", "carbRatioStart", "carbRatioAmount", "amount"),
    "pumpSettings.insulinSensitivity": ("insulinSensitivity", "insulinSensitivityStart", "insulinSensitivityAmount", "amount"),
    "pumpSettings.insulinSensitivities": (
        "insulinSensitivities",
        "insulinSensitivityStart",
        "insulinSensitivityAmount",
        "amount",
    ),
    "pumpSettings.bgTarget": ("bgTarget", "bGTargetStart", "bGTargetSetting", "target"),
    "pumpSettings.bgTargets": ("bgTargets", "bGTargetStart", "bGTargetSetting", "target"),
}


def book_documents(path: Path) -> list[tuple[int, Document]]:
    """The documents of every sheet with the row each stands in; raises `RecordError` where no sheet is Tidepool's.

    All the blocks of a pump's settings of one time are in the document of the first of their rows.
    """
    workbook = open_workbook(path)
    found: list[tuple[int, Document]] = []
    settings: dict[str, Document] = {}
    for name in workbook.sheet_names:
        rows = sheet_rows(workbook, name, path)
        header = [as_text(cell) for cell in rows[0]] if rows else []
        if DATED not in header:
            continue
        fields = [(place, NAMES.get(text, key_of(text))) for place, text in enumerate(header) if text not in UNUSED]
        nests = [field for _, field in fields if field in NESTED]
        for line, row in enumerate(rows[1:], start=2):
            document: Document = {field: row[place] for place, field in fields if row[place] != ""}
            if not document:
                continue
            kind = str(document.get("type", ""))
            if kind in SETTINGS:
                when = stamp(document.get("time"))
                row_of: Document = {"type": "pumpSettings", "time": when}
                add_block(settings.setdefault(when, row_of), kind, document)
                found.append((line, row_of))
            else:
                found.append((line, as_document(document, kind, nests)))
    if not found:
        raise RecordError(f"no sheet with a column {DATED!r} and a row; found {', '.join(workbook.sheet_names[:12])}", file=path)
    return found


def key_of(header: str) -> str:
    """ "Delivery Type" is deliveryType."""
    words = re.findall(r"[A-Za-z0-9]+", header)
    return "".join(word if place else word[:1].lower() + word[1:] for place, word in enumerate(words))


def as_document(document: Document, kind: str, nests: Sequence[str]) -> Document:
    """A row in the API's units and forms. nests: the fields of its sheet that hold what the API nests."""
    document["time"] = stamp(document.get("time"))
    length = document.get("duration")
    if kind in IN_MINUTES and isinstance(length, (int, float)):
        document["duration"] = length * 60_000.0
    elif kind == "physicalActivity" and length is not None:
        document["duration"] = {"units": "days", "value": days(length)}
    for name in nests:
        if isinstance(document.get(name), str):
            document[name] = nested(str(document[name]))
    return document


def nested(text: str) -> object:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return text


def stamp(cell: object) -> str:
    """A time of a workbook, which is in UTC, as the API writes it."""
    if isinstance(cell, datetime) and not cell.microsecond:
        return f"{cell.isoformat()}.000Z"
    if isinstance(cell, datetime):
        return (cell + timedelta(milliseconds=0.5)).isoformat(timespec="milliseconds") + "Z"
    if isinstance(cell, date):
        return f"{cell.isoformat()}T00:00:00.000Z"
    text = "" if cell is None else str(cell).strip()
    return text if not text or text.endswith("Z") or "+" in text else text.replace(" ", "T", 1) + "Z"


def days(cell: Cell | object) -> float | None:
    """A length of time in days, however the workbook types it."""
    if isinstance(cell, timedelta):
        return cell.total_seconds() / 86_400.0
    if isinstance(cell, datetime):
        return (cell - datetime(1899, 12, 31)).total_seconds() / 86_400.0
    if isinstance(cell, time):
        return (cell.hour * 3600 + cell.minute * 60 + cell.second) / 86_400.0
    return float(cell) if isinstance(cell, (int, float)) else None


def milliseconds(cell: object) -> float | None:
    """The start of a block: a time of 1 January 1970, or of the day."""
    if isinstance(cell, (datetime, time)):
        return (cell.hour * 3600 + cell.minute * 60 + cell.second) * 1000.0
    if isinstance(cell, date):
        return 0.0
    length = days(cell) if isinstance(cell, (timedelta, int, float)) else None
    return None if length is None else (length % 1.0) * 86_400_000.0


def add_block(settings: Document, kind: str, row: Document) -> None:
    """One block of a schedule to the settings of its time."""
    field, start, value, name = SETTINGS[kind]
    block = {"start": milliseconds(row.get(start)), name: row.get(value)}
    settings["activeSchedule"] = row.get("activeSchedule", settings.get("activeSchedule"))
    if unit := row.get("bGUnits"):
        settings["units"] = {"bg": unit}
    if "scheduleName" in row:
        settings.setdefault(field, {}).setdefault(str(row["scheduleName"]), []).append(block)
    elif isinstance(settings.setdefault(field, []), list):
        settings[field].append(block)
