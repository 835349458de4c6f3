"""One door: what a file is, is found by looking; what is unknown, damaged or may be two things is told."""

import io
import json
import os
import zipfile
from pathlib import Path

import openpyxl
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from careplan.records import RecordError, Refused, door, read
from careplan.records.door import FORMATS, Format, recognise

TABLE = "time,glucose,carbs\n2024-03-05 08:00,120,\n2024-03-05 08:05,121,30\n"
AZT1D = "EventDateTime,BolusType,Basal,TotalBolusInsulinDelivered,CarbSize,CGM\n2023-12-08 00:04:00,,,,,151\n"
UOM = "bg_ts,value\n06/11/2023 00:01,4.9\n13/11/2023 00:06,5.0\n"
ENTRIES = json.dumps([{"type": "sgv", "sgv": 110, "date": 1709625600000 + 300_000 * n} for n in range(3)])
WRITTEN = {"table": TABLE, "azt1d": AZT1D, "t1d-uom": UOM, "nightscout": ENTRIES}


def zipped(path: Path, **files: str | bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("name", sorted(WRITTEN))
def test_a_format_is_found_whatever_the_file_is_called(tmp_path: Path, name: str) -> None:
    path = tmp_path / "export 2024.dat"
    path.write_text(WRITTEN[name])
    [record] = read(path)
    assert record.source == name and record.why
    assert len(record.events) > 0


def test_a_folder_of_several_formats_people_and_zips(tmp_path: Path) -> None:
    (tmp_path / "anna.csv").write_text(TABLE)
    (tmp_path / "Subject 8.csv").write_text(AZT1D)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "entries.json").write_text(ENTRIES)
    zipped(tmp_path / "more.zip", **{"bob.csv": TABLE, "__MACOSX/._bob.csv": b"\x00\x01"})
    (tmp_path / ".DS_Store").write_bytes(b"\x00")
    (tmp_path / "letter.pdf").write_bytes(b"%PDF-1.7\n\x00\x00binary")
    (tmp_path / "notes.txt").write_text("Anna is on holiday.\n")
    records = read(tmp_path)
    assert sorted((record.source, record.patient) for record in records) == [
        ("azt1d", "azt1d-8"),
        ("nightscout", "nightscout-site"),
        ("table", "anna"),
        ("table", "bob"),
    ]
    told = {c.file: c.detail for record in records for c in record.corrections if c.rule == "unknown file"}
    assert set(told) == {"letter.pdf", "notes.txt"}
    assert "PDF" in told["letter.pdf"] and "Anna is on holiday" in told["notes.txt"]


def test_an_unknown_file_says_what_was_seen(tmp_path: Path) -> None:
    for content, seen in (
        ('{"steps": 3, "heart": 60}', "JSON with the keys heart, steps"),
        ("a,b,c\n1,2,3\n", "a table with the columns a, b, c"),
        ("<gpx><trk/></gpx>", "XML with the elements gpx, trk"),
    ):
        path = tmp_path / "unknown"
        path.write_text(content)
        with pytest.raises(RecordError, match=seen):
            read(path)
    (tmp_path / "unknown").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00")
    with pytest.raises(RecordError, match="a PNG picture"):
        read(tmp_path / "unknown")
    (tmp_path / "unknown").write_bytes(b"")
    with pytest.raises(RecordError, match="empty"):
        read(tmp_path / "unknown")


def test_two_formats_that_fit_are_asked_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = (
        Format(name, lambda head: "it has carbs" if "carbs" in head else None, FORMATS[-1].read) for name in ("one", "twin")
    )
    monkeypatch.setattr(door, "FORMATS", (*FORMATS, one, other))  # a table is what no other format claims
    path = tmp_path / "anna.csv"
    path.write_text(TABLE)
    with pytest.raises(RecordError, match=r"fits one \(it has carbs\) and twin \(.*\): say which") as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert read(path, format="table")[0].source == "table"
    with pytest.raises(RecordError, match="expected a format of azt1d"):
        read(path, format="excel")


def test_errors_and_origins_name_the_file_in_the_zip(tmp_path: Path) -> None:
    path = zipped(tmp_path / "export.zip", **{"deep/anna.csv": TABLE + "2024-03-05 08:10,1,2,3,4\n"})
    with pytest.raises(RecordError, match=r"export\.zip/deep/anna\.csv, row 4"):
        read(path)
    refused: Refused = {}
    zipped(path, **{"anna.csv": TABLE, "bob.csv": TABLE + "2024-03-05 08:10,1,2,3,4\n"})
    [record] = read(path, refused=refused)
    assert record.patient == "anna" and record.events["origin"].tolist()[0] == "anna.csv:2"
    assert "export.zip/bob.csv" in str(refused["bob"])


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ({"../anna.csv": TABLE}, "leads out of it"),
        ({"/etc/anna.csv": TABLE}, "leads out of it"),
        ({"big.csv": b"0" * (64 * 1024**2)}, "unpacks to more"),
        ({f"{n}.csv": "" for n in range(5001)}, "more than 5000 files"),
    ],
    ids=["parent", "root", "bomb", "many"],
)
def test_a_zip_that_would_do_harm_is_refused(tmp_path: Path, entries: dict[str, str], says: str) -> None:
    path = zipped(tmp_path / "export.zip", **entries)
    with pytest.raises(RecordError, match=says):
        read(path)
    assert sorted(os.listdir(tmp_path)) == ["export.zip"]


def test_a_damaged_zip_is_told_and_in_a_folder_stops_nobody_else(tmp_path: Path) -> None:
    whole = zipped(tmp_path / "export.zip", **{"anna.csv": TABLE}).read_bytes()
    for damaged in (whole[:40], whole[:-30], b"PK\x03\x04" + b"x" * 100):
        (tmp_path / "export.zip").write_bytes(damaged)
        with pytest.raises(RecordError, match="damaged ZIP"):
            read(tmp_path / "export.zip")
    (tmp_path / "bob.csv").write_text(TABLE)
    refused: Refused = {}
    [record] = read(tmp_path, refused=refused)
    assert record.patient == "bob" and "damaged ZIP" in str(refused[str(tmp_path / "export.zip")])


def test_zips_in_a_zip(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("anna.csv", TABLE)
    [record] = read(zipped(tmp_path / "all.zip", **{"a.zip": inner.getvalue()}))
    assert record.patient == "anna"
    content = inner.getvalue()
    for _ in range(4):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr("a.zip", content)
        content = out.getvalue()
    (tmp_path / "deep.zip").write_bytes(content)
    with pytest.raises(RecordError, match="deeper than"):
        read(tmp_path / "deep.zip")


def test_a_workbook_and_parquet_are_known_by_what_they_hold(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.append(["What this is"])
    sheet = book.create_sheet("Readings")
    for row in (["Date", "Time", "Glucose (mmol/L)"], [pd.Timestamp("2024-03-05"), pd.Timestamp("2024-03-05 08:05").time(), 6.5]):
        sheet.append(row)
    book.save(tmp_path / "anna.bin")
    [record] = read(tmp_path / "anna.bin", zone="Europe/Berlin")
    assert record.source == "table"
    assert record.events["time"].tolist() == [pd.Timestamp("2024-03-05 07:05", tz="UTC")]
    assert record.events["value"].tolist() == pytest.approx([6.5 * 18.01559])
    frame = pd.DataFrame({"time": ["2024-03-05T08:00Z"], "glucose": [100]})
    frame.to_parquet(tmp_path / "bob.bin")
    assert read(tmp_path / "bob.bin")[0].patient == "bob"
    (tmp_path / "anna.bin").write_bytes((tmp_path / "anna.bin").read_bytes()[:3000])
    with pytest.raises(RecordError):
        read(tmp_path / "anna.bin")


def test_a_name_is_one_persons(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(TABLE)
    assert read(tmp_path, patient="kim")[0].patient == "kim"
    (tmp_path / "b.csv").write_text(TABLE)
    with pytest.raises(RecordError, match=r"2 people \(a, b\) cannot all be 'kim'"):
        read(tmp_path, patient="kim")


@settings(max_examples=200, deadline=None)
@given(
    st.text(max_size=300)
    | st.sampled_from([*WRITTEN.values()]).flatmap(lambda text: st.integers(0, len(text)).map(lambda cut: text[:cut]))
    | st.recursive(
        st.none() | st.text(max_size=9), lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=9), inner)
    ).map(json.dumps)
)
def test_recognising_never_fails(head: str) -> None:
    fits = recognise(head)
    assert all(isinstance(why, str) for why in fits.values())
