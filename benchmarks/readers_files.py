"""A synthetic person's days as AZT1D, T1D-UOM, Glooko, Tidepool (documents and workbook) and spreadsheets write them.

For `readers.py`: each function writes into a folder, given `(minute, mg/dL)` readings and `(minute, U, g)` doses, and returns what
to read there.
"""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

Readings = Sequence[tuple[float, int]]
Doses = Sequence[tuple[float, float, int]]
Writer = Callable[[Path, Readings, Doses], Path]

BEGIN = datetime(2023, 1, 1, tzinfo=UTC)


def moment(minutes: float) -> datetime:
    return BEGIN + timedelta(minutes=minutes)


def rate(minute: float) -> float:
    """U/h: higher in the morning."""
    return round(0.7 + 0.3 * (300 <= minute % 1440 < 720), 2)


def azt1d(folder: Path, readings: Readings, doses: Doses) -> Path:
    given = {round(minute / 5) * 5: (units, grams) for minute, units, grams in doses}
    lines = ["EventDateTime,DeviceMode,BolusType,Basal,CorrectionDelivered,TotalBolusInsulinDelivered,FoodDelivered,CarbSize,CGM"]
    for minute, level in readings:
        units, grams = given.get(minute, ("", ""))
        kind = "Standard" if units else ""
        lines.append(f"{moment(minute):%Y-%m-%d %H:%M:%S},,{kind},{rate(minute)},,{units},,{grams},{level}")
    return written(folder / "Subject 1.csv", lines)


def t1d_uom(folder: Path, readings: Readings, doses: Doses) -> Path:
    stamp = "%d/%m/%Y %H:%M"
    tables = {
        "UoMGlucose1": ["bg_ts,value", *(f"{moment(m):{stamp}},{level / 18.01559:.1f}" for m, level in readings)],
        "UoMBolus1": ["bolus_ts,bolus_dose", *(f"{moment(m):{stamp}},{units}" for m, units, _ in doses)],
        "UoMNutrition1": ["meal_ts,meal_type,meal_tag,carbs_g", *(f"{moment(m):{stamp}},Meal,,{grams}" for m, _, grams in doses)],
        "UoMBasal1": [
            "basal_ts,basal_dose,insulin_kind",
            *(f"{moment(m):{stamp}},{rate(m)},R" for m, _ in readings if m % 60 == 0),
        ],
    }
    for name, lines in tables.items():
        written(folder / f"{name}.csv", lines)
    return folder


def glooko(folder: Path, readings: Readings, doses: Doses) -> Path:
    above = "Name:Anna\tDate Range:2023-01-01 - 2023-12-31"
    stamp = "%Y-%m-%d %H:%M:%S"
    cgm = [f"{moment(minute):{stamp}}\t{level}\tDX" for minute, level in readings]
    basal = [f"{moment(m):{stamp}}\tScheduled\t5\t100\t{rate(m)}\t{rate(m) / 12:.3f}\tP" for m, _ in readings]
    bolus = [f"{moment(m):{stamp}}\tNormal\t0\t{grams}\t10\t{units}\t{units}\t0.0\tP" for m, units, grams in doses]
    headers = {
        "cgm": "Timestamp\tCGM Glucose Value (mg/dl)\tSerial Number",
        "basal": "Timestamp\tInsulin Type\tDuration (minutes)\tPercentage (%)\tRate\tInsulin Delivered (U)\tSerial Number",
        "bolus": "Timestamp\tInsulin Type\tBlood Glucose Input (mg/dl)\tCarbs Input (g)\tCarbs Ratio\tInsulin Delivered (U)"
        "\tInitial Delivery (U)\tExtended Delivery (U)\tSerial Number",
    }
    for name, rows in (("cgm", cgm), ("basal", basal), ("bolus", bolus)):
        for part, start in enumerate(range(0, len(rows), 5000), start=1):
            written(folder / f"{name}_data_{part}.csv", [above, headers[name], *rows[start : start + 5000]])
    return folder


def documents(readings: Readings, doses: Doses) -> list[dict[str, Any]]:
    """Tidepool's documents, with what every one of them carries."""

    def document(minute: float, number: int, **fields: Any) -> dict[str, Any]:
        at = moment(minute)
        times = {"time": f"{at:%Y-%m-%dT%H:%M:%S}.000Z", "deviceTime": f"{at:%Y-%m-%dT%H:%M:%S}", "timezoneOffset": 60}
        ids = {"id": f"{number:032x}", "uploadId": "upid_6badc63b6313", "deviceId": "InsOmn-130346997", "conversionOffset": 0}
        return {**times, **ids, "clockDriftOffset": 0, "payload": {"logIndices": [number]}, **fields}

    found = [
        document(minute, number, type="cbg", units="mmol/L", value=level / 18.01559)
        for number, (minute, level) in enumerate(readings)
    ]
    for number, (minute, units, grams) in enumerate(doses, start=len(found)):
        found.append(document(minute, number, type="bolus", subType="normal", normal=units))
        found.append(document(minute, number, type="wizard", carbInput=grams, bolus=f"{number:032x}", units="mmol/L"))
    hours = [minute for minute, _ in readings if minute % 60 == 0]
    for number, minute in enumerate(hours, start=len(found)):
        found.append(document(minute, number, type="basal", deliveryType="scheduled", rate=rate(minute), duration=3_600_000))
    found.append({"type": "upload", "time": f"{moment(readings[-1][0]):%Y-%m-%dT%H:%M:%S}.000Z", "timezone": "Europe/Paris"})
    return found


def tidepool(folder: Path, readings: Readings, doses: Doses) -> Path:
    path = folder / "anna.json"
    path.write_text(json.dumps(documents(readings, doses)), encoding="utf-8")
    return path


def tidepool_book(folder: Path, readings: Readings, doses: Doses) -> Path:
    import openpyxl

    book = openpyxl.Workbook(write_only=True)
    book.create_sheet("EXPORT ERROR").append(["An error occurred"])
    head = ["Zulu Time", "Local Time", "Device Time", "Tidepool Data Type"]
    tail = ["Timezone Offset", "Conversion Offset", "Clock Drift Offset", "Device Id", "Id", "Upload Id"]
    names = {"cbg": "CGM", "bolus": "Bolus", "wizard": "Bolus Calculator", "basal": "Basal", "upload": "Upload"}
    columns = {
        "cbg": ["value", "units"], "bolus": ["subType", "normal"], "wizard": ["carbInput"], "upload": ["timezone"],
        "basal": ["deliveryType", "rate", "duration"],
    }  # fmt: skip
    titles = {"subType": "Sub Type", "carbInput": "Carb Input", "deliveryType": "Delivery Type", "duration": "Duration (mins)"}
    sheets = {}
    for kind, fields in columns.items():
        sheets[kind] = book.create_sheet(names[kind])
        sheets[kind].append([*head, *(titles.get(field, field.title()) for field in fields), *tail])
    for each in documents(readings, doses):
        at = datetime.fromisoformat(each["time"].removesuffix("Z"))
        values = [each[field] / 60_000 if field == "duration" else each[field] for field in columns[each["type"]]]
        rest = [
            each.get(name) for name in ("timezoneOffset", "conversionOffset", "clockDriftOffset", "deviceId", "id", "uploadId")
        ]
        sheets[each["type"]].append([at, at, at, each["type"], *values, *rest])
    path = folder / "anna.xlsx"
    book.save(path)
    return path


def table_book(folder: Path, readings: Readings, doses: Doses) -> Path:
    """Our own wide table, as a workbook with date and time of day apart."""
    import openpyxl

    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("Sheet1")
    sheet.append(["Date", "Time", "Glucose", "Bolus", "Carbs"])
    rows = [(minute, level, None, None) for minute, level in readings] + [(m, None, units, grams) for m, units, grams in doses]
    for minute, *values in sorted(rows, key=lambda row: row[0]):
        at = moment(minute).replace(tzinfo=None, second=0, microsecond=0)
        sheet.append([at.date(), at.time(), *values])
    path = folder / "anna.xlsx"
    book.save(path)
    return path


def written(path: Path, lines: Sequence[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


WRITERS: dict[str, Writer] = {
    "azt1d": azt1d,
    "t1d-uom": t1d_uom,
    "glooko": glooko,
    "tidepool": tidepool,
    "tidepool (xlsx)": tidepool_book,
    "table (xlsx)": table_book,
}
