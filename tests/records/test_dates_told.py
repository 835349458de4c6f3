"""An impossible date is told by its own field and text, whatever the format: not by the value that stood beside it."""

import json
from pathlib import Path

import pytest

from careplan.records import PatientRecord, RecordError, read
from tests.records.test_carelink import HEADER as CARELINK

MINUTES = range(0, 60, 5)
CLARITY = (
    "Index,Timestamp (YYYY-MM-DDThh:mm:ss),Event Type,Event Subtype,Patient Info,Device Info,Source Device ID,"
    "Glucose Value (mg/dL),Insulin Value (u),Carb Value (grams),Duration (hh:mm:ss)"
)
LIBRE = (
    "Device,Serial Number,Device Timestamp,Record Type,Historic Glucose mg/dL,Scan Glucose mg/dL,"
    "Non-numeric Rapid-Acting Insulin,Rapid-Acting Insulin (units),Non-numeric Food,Carbohydrates (grams),"
    "Carbohydrates (servings),Non-numeric Long-Acting Insulin,Long-Acting Insulin (units),Notes,Strip Glucose mg/dL,Ketone mmol/L"
)


def table(stamps: list[str]) -> str:
    return "\n".join(["Timestamp,glucose", *(f"{stamp},100" for stamp in stamps)]) + "\n"


def clarity(stamps: list[str]) -> str:
    return "\n".join([CLARITY, *(f"{n},{stamp},EGV,,,,G6,100,,," for n, stamp in enumerate(stamps, start=1))]) + "\n"


def libreview(stamps: list[str]) -> str:
    rows = (f"Libre,5B2E,{stamp.replace('T', ' ')},0,100,,,,,,,,,,," for stamp in stamps)
    return "\n".join(["Glucose Data,Generated on,2024-02-01 08:00 UTC", LIBRE, *rows]) + "\n"


def carelink(stamps: list[str]) -> str:
    lines = ["Last Name,First Name", "-------,MiniMed 670G,Sensor,N1", CARELINK]
    for number, stamp in enumerate(stamps):
        day, clock = stamp.replace("-", "/").split("T")
        cells = [str(number), day, clock, *[""] * (CARELINK.count(",") - 2)]
        cells[CARELINK.split(",").index("Sensor Glucose (mg/dL)")] = "100"
        lines.append(",".join(cells))
    return "\n".join(lines) + "\n"


def tandem(stamps: list[str]) -> str:
    head = "t:connect Therapy Timeline Data Export\nPatient Name,Jo\n\nDeviceType,SerialNumber,Description,EventDateTime,"
    return head + "Readings (CGM / BGM)\n" + "".join(f"t:slim,1,EGV,{stamp},100\n" for stamp in stamps)


def glooko(stamps: list[str]) -> str:
    head = "Name:Jo,Date Range:2024-01-01 - 2024-02-01\nTimestamp,CGM Glucose Value (mg/dl),Serial Number\n"
    return head + "".join(f"{stamp.replace('T', ' ')},100,1\n" for stamp in stamps)


def sidiary(stamps: list[str]) -> str:
    return "DAY;TIME;BG_LEVEL;REMARK\n" + "".join(f"{stamp.replace('T', ';')};100;\n" for stamp in stamps)


def ohio(stamps: list[str]) -> str:
    def turned(stamp: str) -> str:
        return "-".join(reversed(stamp[:10].split("-"))) + stamp[10:].replace("T", " ")

    events = "".join(f'<event ts="{turned(stamp)}" value="100"/>' for stamp in stamps)
    return f'<patient id="599" insulin_type="Novolog"><glucose_level>{events}</glucose_level></patient>'


def tidepool(stamps: list[str]) -> str:
    reading = {"type": "cbg", "units": "mmol/L", "value": 5.5, "timezoneOffset": 0, "deviceId": "a"}
    return json.dumps([{**reading, "time": f"{stamp}Z"} for stamp in stamps])


def entries(stamps: list[str]) -> str:
    return json.dumps([{"type": "sgv", "sgv": 100, "dateString": f"{stamp}Z"} for stamp in stamps])


def treatments(stamps: list[str]) -> str:
    return json.dumps([{"eventType": "Meal Bolus", "insulin": 2, "created_at": f"{stamp}Z"} for stamp in stamps])


def rates(stamps: list[str]) -> str:
    sound = {"eventType": "Meal Bolus", "insulin": 2, "created_at": "2024-01-08T07:00:00Z"}
    rate = {"eventType": "Temp Basal", "rate": 1, "duration": 5}
    return json.dumps([sound, *({**rate, "created_at": f"{stamp}Z"} for stamp in stamps)])


def fhir(stamps: list[str]) -> str:
    code = {"coding": [{"system": "http://loinc.org", "code": "99504-3"}]}
    quantity = {"value": 100, "unit": "mg/dL", "system": "http://unitsofmeasure.org", "code": "mg/dL"}
    reading = {"resourceType": "Observation", "status": "final", "code": code, "valueQuantity": quantity}
    reading["subject"] = {"reference": "Patient/a"}
    entry = [{"resource": {**reading, "id": str(n), "effectiveDateTime": f"{stamp}Z"}} for n, stamp in enumerate(stamps)]
    return json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entry})


SOURCES = {
    "table": (table, "csv", "Timestamp"),
    "clarity": (clarity, "csv", "Timestamp (YYYY-MM-DDThh:mm:ss)"),
    "libreview": (libreview, "csv", "Device Timestamp"),
    "carelink": (carelink, "csv", "Date"),
    "tandem": (tandem, "csv", "EventDateTime"),
    "glooko": (glooko, "csv", "Timestamp"),
    "sidiary": (sidiary, "csv", "DAY"),
    "ohio": (ohio, "xml", "glucose_level ts"),
    "tidepool": (tidepool, "json", "time"),
    "entries": (entries, "json", "dateString"),
    "treatments": (treatments, "json", "created_at"),
    "rates": (rates, "json", "created_at"),
    "fhir": (fhir, "json", "effectiveDateTime"),
}


def read_one(folder: Path, source: str, stamps: list[str]) -> PatientRecord:
    write, kind, _ = SOURCES[source]
    file = folder / f"jo.{kind}"
    file.write_text(write(stamps), encoding="utf-8")
    [record] = read(file, zone="UTC")
    return record


@pytest.mark.parametrize("bad", ["2024-02-31T08:00:00", "2093-01-08T08:00:00", "1971-01-08T08:00:00"])
@pytest.mark.parametrize("source", SOURCES)
def test_an_impossible_date_is_told_by_its_field_and_text(tmp_path: Path, source: str, bad: str) -> None:
    sound = [f"2024-01-08T08:{minute:02}:00" for minute in MINUTES]
    record = read_one(tmp_path, source, [*sound, bad])
    [told] = [each for each in record.corrections if each.rule in ("impossible date", "year typo")]
    assert told.field == SOURCES[source][2] or told.rule == "year typo"
    parts = bad[:10].split("-")
    assert any(day in told.detail for day in ("-".join(parts), "/".join(parts), "-".join(reversed(parts))))
    assert told.row > len(sound)
    assert record.events["time"].dt.year.unique().tolist() == [2024]


def test_a_time_of_day_that_is_none_is_told_by_its_own_column(tmp_path: Path) -> None:
    sound = [f"2024-01-08T08:{minute:02}:00" for minute in MINUTES]
    record = read_one(tmp_path, "sidiary", [*sound, "2024-01-08T25:10:00"])
    [told] = [each for each in record.corrections if each.rule == "impossible date"]
    assert (told.field, told.row) == ("TIME", len(sound) + 2)
    assert "25:10" in told.detail


def test_a_file_of_impossible_dates_is_refused_by_their_field_and_text(tmp_path: Path) -> None:
    sound = [f"2024-01-08T08:{minute:02}:00" for minute in MINUTES]
    with pytest.raises(RecordError, match=r"row 17, field 'EventDateTime': 4 of 16 values .*'2024-02-31T08:00:00'") as caught:
        read_one(tmp_path, "tandem", [*sound, *["2024-02-31T08:00:00"] * 4])
    assert caught.value.field == "EventDateTime"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("time,glucose,zone\n2024-01-08 08:00,100,UTC\n2024-01-08 08:05,100,Mars/Base\n", "row 3, field 'zone': no time zone"),
        ("time,glucose,Weight (kg)\n2024-01-08 08:00,100,\n2024-01-08 08:05,100,x\n", "row 3, field 'Weight .kg.': expected a w"),
        ("time,glucose,group\n2024-01-08 08:00,100,\n2024-01-08 08:05,100,horse\n", "row 3, field 'group': expected one of"),
        ("time,glucose,zone\n2024-01-08 08:00,100,UTC\n2024-01-08 08:05,100,Asia/Tokyo\n", "row 3, field 'zone': one patient"),
        ("time,glucose,Glucose\n2024-01-08 08:00,100,100\n", "row 1, field 'glucose': a column repeats"),
    ],
)
def test_what_is_said_of_a_patient_is_refused_where_it_stands(tmp_path: Path, text: str, place: str) -> None:
    (tmp_path / "jo.csv").write_text(text, encoding="utf-8")
    with pytest.raises(RecordError, match=place):
        read(tmp_path / "jo.csv")
