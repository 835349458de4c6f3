"""Files that mean harm: each is refused within bounds, by a `RecordError` that names the file, and none is waited for."""

import io
import json
import os
import resource
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from careplan.formats.table.reader import read_table
from careplan.interop.tables import guarded
from careplan.records import READERS, RecordError, read
from careplan.records.events import shown
from careplan.records.raw import MOST_BYTES
from tests.records.test_bad_input import SOUND, SUFFIX

DELIMITED = sorted(set(READERS) - {"fhir", "nightscout", "ohio", "shanghai", "tidepool"})
JSON = ("fhir", "nightscout", "tidepool")
MEBIBYTE = 2**20


def refused(name: str, path: Path, says: str = "") -> None:
    with pytest.raises(RecordError, match=says) as caught:
        READERS[name](path)
    assert path.name in str(caught.value) or path.parent.name in str(caught.value)
    assert len(str(caught.value)) < 4000


def place(folder: Path, name: str, content: bytes = b"") -> Path:
    path = folder / f"data-1{SUFFIX.get(name, '.csv')}"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", DELIMITED)
def test_ten_million_columns(tmp_path: Path, name: str) -> None:
    delimiter = b"\t" if name == "uci" else b";" if b";" in SOUND[name][:20] else b","
    first, _, rest = SOUND[name].partition(b"\n")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(name, place(tmp_path, name, first + delimiter * 10_000_000 + b"\n" + rest), "characters|columns|found none|expected")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1024 * 1024  # KiB: a GiB


@pytest.mark.parametrize("name", sorted(READERS))
def test_a_line_of_a_gigabyte(tmp_path: Path, name: str) -> None:
    path = place(tmp_path, name, SOUND[name])
    os.truncate(path, 1024 * MEBIBYTE)  # sparse: it takes no room
    refused(name, path, f"no recording has over {MOST_BYTES // MEBIBYTE}")
    with pytest.raises(RecordError, match=path.name):
        read(path)


@pytest.mark.parametrize("name", JSON)
@pytest.mark.parametrize("deep", [b"[" * 100_000, b'{"a":' * 100_000, b'[{"type": "cbg", "a": ' + b"[" * 100_000])
def test_json_a_hundred_thousand_deep(tmp_path: Path, name: str, deep: bytes) -> None:
    path = place(tmp_path, name, deep)
    refused(name, path, "nested|JSON")
    with pytest.raises(RecordError, match=path.name):
        read(path)


LAUGHS = "".join(f'<!ENTITY l{place} "{f"&l{place - 1};" * 10}">' for place in range(1, 12))
DOCTYPE = f'<!DOCTYPE patient [<!ENTITY l0 "ha">{LAUGHS}]>'


def test_entities_that_grow(tmp_path: Path) -> None:
    body = SOUND["ohio"].decode().replace("<patient", DOCTYPE + "<patient").replace('value="120"', 'value="&l11;"')
    refused("ohio", place(tmp_path, "ohio", body.encode()), "document type")


def workbook(sheet: str, folder: Path) -> Path:
    """The sound workbook with another sheet in it."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(SOUND["shanghai"])) as sound, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as spoilt:
        for entry in sound.namelist():
            spoilt.writestr(entry, sheet if entry.startswith("xl/worksheets/") else sound.read(entry))
    return place(folder, "shanghai", out.getvalue())


@pytest.mark.parametrize(
    ("sheet", "says"),
    [
        ("<worksheet>" + " " * (MOST_BYTES + 1) + "</worksheet>", "unpacks to over"),
        ('<worksheet><sheetData><row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData></worksheet>', "rows and"),
        ("<worksheet><sheetData><row><c  r\n=\n'CV900000'><v>1</v></c></row></sheetData></worksheet>", "rows and"),
        ('<worksheet><sheetData><row><c r="CV900000"><v>1</v></c></row></sheetData></worksheet>', "900,000 rows and 100 columns"),
        ('<worksheet><sheetData><row><c r="A99999"/><c r="XFD1"/></row></sheetData></worksheet>', "rows and 16,384 columns"),
        (DOCTYPE + "<worksheet><sheetData><row><c><v>&l11;</v></c></row></sheetData></worksheet>", ""),
    ],
    ids=["a bomb", "a cell far out", "in odd quotes", "in no row", "far out and wide", "entities"],
)
def test_workbooks_that_burst(tmp_path: Path, sheet: str, says: str) -> None:
    refused("shanghai", workbook(sheet, tmp_path), says)


@pytest.mark.parametrize("name", sorted(READERS))
def test_a_pipe_and_a_device(tmp_path: Path, name: str) -> None:
    pipe = tmp_path / "data-1.csv"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero")):
        refused(name, path, "pipe or a device")
        with pytest.raises(RecordError, match="pipe or a device"):
            read(path)


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    name = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.csv")
    Path(name).write_bytes(SOUND["table"])
    with pytest.raises(RecordError, match="no text"):
        read(name)


def test_texts_that_hide_what_they_say(tmp_path: Path) -> None:
    pens = json.dumps([{"insulin": "Fantasulin \ud800\u202egnol", "units": 5}, {"insulin": "Lantus\u202e", "units": 4}])
    site = [
        {"type": "sgv", "sgv": 120, "date": 1_709_625_600_000},
        {"eventType": "\u202eBolus\ud800", "created_at": "2024-03-05T08:00:00Z", "insulinInjections": pens},
        {"eventType": "\u202ewhat\ud800", "created_at": "2024-03-05T09:00:00Z"},
    ]
    path = tmp_path / "site.json"
    path.write_text(json.dumps(site))
    [record] = read(path)
    texts = [
        record.patient,
        *record.ignored,
        *record.events["product"],
        *(str(part) for each in record.corrections for part in each),
    ]
    for text in texts:
        text.encode()
        assert "\u202e" not in text
    assert shown("Zo\u00eb \u202eevil") == "Zo\u00eb \ufffdevil"


@pytest.mark.parametrize("cell", ["=cmd|' /C calc'!A0", "+1+1", "-1+1", "@SUM(1)", "\t=1", "\r=1"])
def test_a_formula_never_reaches_a_spreadsheet(tmp_path: Path, cell: str) -> None:
    written = guarded(pd.DataFrame({"product": [cell], "value": [-1.0]}))
    assert written["product"].tolist() == [f"'{cell}"] and written["value"].tolist() == [-1.0]


@pytest.mark.parametrize("year", ["1924", "2124", "0001", "9999", "99999"])
def test_a_clock_a_century_off(tmp_path: Path, year: str) -> None:
    rows = "".join(f"2024-01-08 {hour:02}:00,{100 + hour}\n" for hour in range(12))
    path = tmp_path / "x.csv"
    path.write_text(f"time,glucose\n{rows}{year}-01-08 08:03,151\n")
    [record] = read_table(path)
    assert set(record.events["time"].dt.year) == {2024}
    [told] = [correction.rule for correction in record.corrections if correction.rule != "no time zone"]
    assert told in ("impossible date", "year typo")
    path.write_text(f"time,glucose\n{rows.replace('2024', year)}")
    refused("table", path, "dates|date and time")
