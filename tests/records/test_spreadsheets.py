"""Tables as people keep them in spreadsheets, and what is brought instead of a recording: read as meant, or refused in words."""

import gzip
import io
import zipfile
from datetime import datetime, timedelta
from pathlib import Path

import openpyxl
import pytest

from careplan.records import PatientRecord, RecordError, read
from tests.records.accounting import accounted, at, rules

READINGS = [("01-18 10:00", 120.0), ("01-18 10:05", 121.0)]
PLAIN = "time,glucose\n2024-01-18 10:00,120\n2024-01-18 10:05,121\n"


def one(folder: Path, content: str | bytes, name: str = "x.csv") -> PatientRecord:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    [record] = read(folder / name, zone="UTC")
    assert accounted(record) == record.rows_read
    return record


def book(**sheets: list[list[object]]) -> bytes:
    workbook = openpyxl.Workbook()
    workbook.remove(workbook.active)
    for name, rows in sheets.items():
        sheet = workbook.create_sheet(name)
        for row in rows:
            sheet.append(row)
    out = io.BytesIO()
    workbook.save(out)
    return out.getvalue()


ROWS: list[list[object]] = [["time", "glucose"], ["2024-01-18 10:00", 120], ["2024-01-18 10:05", 121]]
MEANT: dict[str, tuple[str | bytes, str, dict[str, int]]] = {
    "a title above": ("My log\nof January\n\n" + PLAIN, "x.csv", {"above the header": 2}),
    "groups of columns above": ("Sensor,\n" + PLAIN, "x.csv", {"above the header": 1}),
    "a row of units": ("time,glucose\n,mg/dL\n" + PLAIN.partition("\n")[2], "x.csv", {"units": 1}),
    "a row of units in mmol/L": (
        "time,glucose\n,mmol/L\n2024-01-18 10:00,6.6609\n2024-01-18 10:05,6.7164\n",
        "x.csv",
        {"units": 1},
    ),
    "units in the cells": ("time,glucose\n2024-01-18 10:00,120 mg/dL\n2024-01-18 10:05,121 mg/dL\n", "x.csv", {}),
    "mmol/L in the cells": ("time;glucose\n2024-01-18 10:00;6,6609 mmol/L\n2024-01-18 10:05;6,7164 mmol/L\n", "x.csv", {}),
    "Windows' letters": (
        PLAIN.replace("glucose", "M\u00fcdigkeit,glucose").replace(",12", ",sehr,12").encode("cp1252"),
        "x.csv",
        {},
    ),
    "the second sheet": (book(Notes=[["made by hand"]], Data=ROWS), "x.xlsx", {}),
    "lines below": (PLAIN + "\nTotal\nWritten by a program\n", "x.csv", {}),
    "a sheet with a title": (book(Data=[["My log"], [], *ROWS]), "x.xlsx", {"above the header": 1}),
}


@pytest.mark.parametrize("how", MEANT)
def test_it_is_read_as_it_is_meant(tmp_path: Path, how: str) -> None:
    content, name, reported = MEANT[how]
    record = one(tmp_path, content, name)
    assert [(time, round(value)) for time, value in at(record, "glucose")] == READINGS
    assert {rule: count for rule, count in rules(record).items() if rule not in ("unknown column", "short row")} == reported


def test_german_names_of_columns(tmp_path: Path) -> None:
    record = one(tmp_path, "Datum;Uhrzeit;Blutzucker (mg/dl);Bolus;Basalinsulin;KH\n18.01.2024;10:00;120;2,5;14;30\n")
    found = {channel: at(record, channel)[0][1] for channel in ("glucose", "bolus", "long_acting", "carbs")}
    assert found == {"glucose": 120.0, "bolus": 2.5, "long_acting": 14.0, "carbs": 30.0}


def test_a_pens_dose_is_no_rate(tmp_path: Path) -> None:
    rows = "".join(f"2024-01-{day} 22:00,120,18\n" for day in (18, 19, 20))
    with pytest.raises(RecordError, match=r"row 2, field 'Basal': 18 U/h\? Call a pen's background insulin long_acting"):
        one(tmp_path, "time,glucose,Basal\n" + rows)
    for header, channel in (("Basal (U)", "long_acting"), ("Basal [IE]", "long_acting"), ("basal (U/h)", "basal")):
        assert len(at(one(tmp_path, f"time,glucose,{header}\n" + rows), channel)) == 3


DIARY = (
    "Date,Time,Tags,Blood Sugar Measurement (mg/dL),Insulin Injection Units (Pen),Basal Injection Units,"
    'Insulin Injection Units (pump),Insulin (Meal),Insulin (Correction),"Meal Carbohydrates (Grams, Factor 1)"\n'
    '"Jan 18, 2024","10:00:00 PM",,,,18,,,,\n'
    '"Jan 18, 2024","12:30:00 PM","Lunch, at home",95,,,1.5,1.5,,\n'
    '"Jan 18, 2024","8:02:10 AM",,142,6.0,,,5.0,1.0,60\n'
)


def test_a_diary_whose_doses_are_told_whole_and_in_parts(tmp_path: Path) -> None:
    record = one(tmp_path, DIARY)
    assert at(record, "glucose", "fingerstick") == [("01-18 08:02", 142.0), ("01-18 12:30", 95.0)]
    assert at(record, "bolus") == [("01-18 08:02", 6.0), ("01-18 12:30", 1.5)]
    assert at(record, "long_acting") == [("01-18 22:00", 18.0)]
    assert at(record, "carbs") == [("01-18 08:02", 60.0)]
    assert [each.field for each in record.corrections] == ["Tags", "Insulin (Meal)", "Insulin (Correction)"]
    exchanges = one(tmp_path, DIARY.replace("Grams, Factor 1", "BE, Factor 12"))
    assert at(exchanges, "carbs") == [] and rules(exchanges) == {"unknown column": 4}


def test_an_epoch_is_believed_and_hours_beside_it_are_no_zone(tmp_path: Path) -> None:
    header = "Sensorid\tnr\tUnixTime\tYYYY-mm-ddTHH:MM:SS\tTZ\tMin\t{}\n"
    rows = "X\t13\t1705572000\t2024-01-18T11:00:00\t1\t60\t{}\nX\t14\t1705572300\t2024-01-18T12:05:00\t2\t65\t{}\n"
    assert at(one(tmp_path, header.format("mg/dL") + rows.format(120, 121), "x.tsv"), "glucose") == READINGS
    record = one(tmp_path, header.format("mmol/L") + rows.format("6.7", "7.0"), "x.tsv")
    assert at(record, "glucose") == [("01-18 10:00", 120.704), ("01-18 10:05", 126.109)]
    assert rules(record) == {"unknown column": 5}


@pytest.mark.parametrize("header", ["Carbs (BE)", "KH (KE)", "Carbs [exchanges]"])
def test_exchanges_are_no_grams(tmp_path: Path, header: str) -> None:
    record = one(tmp_path, f"time,glucose,{header}\n2024-01-18 10:00,120,3\n2024-01-18 10:05,121,\n")
    assert at(record, "carbs") == []
    assert rules(record) == {"unknown column": 1}


def zipped(**files: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


WORD = zipped(**{"[Content_Types].xml": "<Types/>", "word/document.xml": "<w/>"})
LOCKED = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512) + "EncryptedPackage".encode("utf-16-le") + bytes(512)
REFUSED: dict[str, tuple[str, str | bytes]] = {
    "a PDF document": ("x.csv", "%PDF-1.4\n1 0 obj\n<< /Type /Catalog >>\nendobj\n"),
    "a web page": ("x.xls", "<html><body><table><tr><td>time</td><td>glucose</td></tr></table></body></html>"),
    "a web page (HTML)": ("x.csv", "<!DOCTYPE html>\n<html lang='en'>\n<body>Please log in</body></html>"),
    "a table with no header": ("x.csv", "2024-01-18 10:00,120,3\n2024-01-18 10:05,121,2\n"),
    "locked by a password": ("x.xlsx", LOCKED),
    "it is a Word document": ("x.docx", WORD),
    "JSON with nothing in it": ("x.json", "[]"),
    "an SQLite database": ("x.sqlite", b"SQLite format 3\x00" + bytes(512)),
    "the file is empty": ("x.csv", ""),
    "a header and no row": ("x.csv", "time,glucose\n"),
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_is_no_recording_is_refused_in_words(tmp_path: Path, words: str) -> None:
    name, content = REFUSED[words]
    with pytest.raises(RecordError) as refused:
        one(tmp_path, content, name)
    assert words in refused.value.problem and name in str(refused.value)


def test_what_systems_leave_in_folders_is_passed_over(tmp_path: Path) -> None:
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "~$log.xlsx"):
        (tmp_path / name).write_bytes(b"\x00\x01Bud1")
    (tmp_path / "a.zip").write_bytes(zipped(**{"__MACOSX/._log.csv": "\x00", "inner/log.csv": PLAIN}))
    [record] = read(tmp_path, zone="UTC")
    assert at(record, "glucose") == READINGS


def test_a_workbooks_midnight_is_no_date_alone(tmp_path: Path) -> None:
    rows = [["time", "glucose"], *([datetime(2024, 1, 17, 23, 55) + timedelta(minutes=5 * at), 120 + at] for at in range(3))]
    found = at(one(tmp_path, book(Data=rows), "x.xlsx"), "glucose")
    assert found == [("01-17 23:55", 120.0), ("01-18 00:00", 121.0), ("01-18 00:05", 122.0)]


def test_24_oclock_ends_a_day(tmp_path: Path) -> None:
    found = at(one(tmp_path, "time,glucose\n2024-01-17 23:55,120\n2024-01-17 24:00,121\n2024-01-18 00:05,122\n"), "glucose")
    assert found == [("01-17 23:55", 120.0), ("01-18 00:00", 121.0), ("01-18 00:05", 122.0)]


def test_days_that_a_spreadsheet_took_for_others_are_refused(tmp_path: Path) -> None:
    rows = [["time", "glucose", "bolus"], [datetime(2024, 5, 3, 10), 120, 1], ["25/03/2024 10:05", 121, 1]]
    with pytest.raises(RecordError, match="row 3: the spreadsheet changed dates on opening, but not '25/03/2024 10:05'"):
        one(tmp_path, book(Data=rows), "x.xlsx")


@pytest.mark.parametrize(("mmol", "read_so"), [("6.7", True), ("7.9", False)])
def test_glucose_in_both_units(tmp_path: Path, mmol: str, read_so: bool) -> None:
    text = f"time,glucose (mg/dL),glucose (mmol/L)\n2024-01-18 10:00,120,{mmol}\n2024-01-18 10:05,121,6.7\n"
    if read_so:
        assert at(one(tmp_path, text), "glucose") == READINGS
    else:
        with pytest.raises(RecordError, match="glucose in two units, which differ"):
            one(tmp_path, text)


def test_a_documents_identifier_is_nobodys_name(tmp_path: Path) -> None:
    rows = [f"5f{place},{120 + place},{1705572000000 + 300_000 * place},sgv" for place in range(2)]
    assert at(one(tmp_path, "_id,sgv,date,type\n" + "\n".join(rows) + "\n"), "glucose") == READINGS


def test_a_number_a_row_is_nobodys_name(tmp_path: Path) -> None:
    rows = [f"{place},2024-01-18 10:0{place},120" for place in range(5)]
    with pytest.raises(RecordError, match="field 'id': names another patient in each of 5 rows"):
        one(tmp_path, "id,time,glucose\n" + "\n".join(rows) + "\n")


def test_a_gzip_is_one_file(tmp_path: Path) -> None:
    assert at(one(tmp_path, gzip.compress(PLAIN.encode()), "x.csv.gz"), "glucose") == READINGS


def test_a_hidden_table_is_refused(tmp_path: Path) -> None:
    workbook = openpyxl.load_workbook(io.BytesIO(book(Data=ROWS, Old=ROWS, Notes=[["made by hand"]])))
    workbook["Notes"].sheet_state = "hidden"
    workbook.save(tmp_path / "x.xlsx")
    [record] = read(tmp_path / "x.xlsx", zone="UTC")
    assert at(record, "glucose") == READINGS
    workbook["Old"].sheet_state = "veryHidden"
    workbook.save(tmp_path / "x.xlsx")
    with pytest.raises(RecordError, match="the hidden sheet 'Old' is a table"):
        read(tmp_path / "x.xlsx", zone="UTC")


@pytest.mark.parametrize(("header", "channel"), [("Insulin (U)", "bolus"), ("Insulin [IE]", "bolus"), ("Insulin (long)", None)])
def test_what_a_column_of_insulin_holds(tmp_path: Path, header: str, channel: str | None) -> None:
    record = one(tmp_path, f"time,glucose,{header}\n2024-01-18 10:00,120,3\n2024-01-18 10:05,121,\n")
    given = {name: at(record, name) for name in ("bolus", "long_acting")}
    assert given == {name: [("01-18 10:00", 3.0)] if name == channel else [] for name in given}
    assert rules(record)["unknown column"] == (channel is None)
