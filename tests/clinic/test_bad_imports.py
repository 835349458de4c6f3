"""Bad files through the whole import: each is told by file, row and field, its patient is untouched, the others are kept."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from careplan.cli import app
from careplan.clinic.importing import ImportOptions, import_records
from careplan.clinic.known import patient_names
from careplan.clinic.stored_records import load_record
from careplan.records import RecordError
from careplan.store import Database
from tests.kept import verified

from .test_imports import contents

HEADER = "EventDateTime,BolusType,Basal,TotalBolusInsulinDelivered,CarbSize,CGM"


def subject(level: int = 150, *, change: Callable[[str], str] = str, day: str = "2024-01-08") -> str:
    """Six rows of AZT1D's layout; `change` spoils each."""
    rows = [f"{day} 10:{5 * step:02d}:00,Standard,0.8,{step % 2},{20 * (step % 2)},{level + step}" for step in range(6)]
    return "\n".join([HEADER, *map(change, rows)]) + "\n"


def glucose(level: str) -> Callable[[str], str]:
    return lambda row: f"{row.rsplit(',', 1)[0]},{level}"


BAD: dict[str, tuple[str | bytes, str]] = {
    "empty": (b"", "Subject 2.csv: the file is empty"),
    "only a header": (HEADER + "\n", "Subject 2.csv, row 1: a header and no row"),
    "not text": (subject().encode() + b"\xff\xfe\x00", "Subject 2.csv, row 8: expected UTF-8 text"),
    "truncated": (subject()[:-20], "Subject 2.csv, row 7: the file ends inside a row"),
    "mislabelled": (
        "a,b\n1,2\n",
        "Subject 2.csv, row 1, field 'eventdatetime': expected a column 'eventdatetime', found ['a', 'b']",
    ),
    "wrong unit": (subject(change=glucose("3000")), "Subject 2.csv, row 2, field 'CGM': 6 of 6 values have glucose outside"),
    "no numbers": (subject(change=glucose("sweet")), "Subject 2.csv, row 2, field 'CGM': 6 of"),
    "future": (
        subject(day="2087-01-08"),
        "Subject 2.csv, row 2, field 'EventDateTime': 18 of 18 values have dates outside 1980 to",
    ),
    "impossible date": (
        subject(day="2024-13-41"),
        "Subject 2.csv, row 2, field 'EventDateTime': 18 of 18 values have no possible date",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_leaves_its_patient_as_stored_and_the_others_are_kept(db: Database, tmp_path: Path, kind: str) -> None:
    content, says = BAD[kind]
    (tmp_path / "Subject 2.csv").write_text(subject(120))
    import_records(db, "azt1d", tmp_path)
    before = len(load_record(db, "azt1d-2").events)

    for name in (1, 3):
        (tmp_path / f"Subject {name}.csv").write_text(subject())
    (tmp_path / "Subject 2.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    report = import_records(db, "azt1d", tmp_path)
    assert [patient.patient for patient in report.patients] == ["azt1d-1", "azt1d-3"]
    assert list(report.failed) == ["azt1d-2"] and says in report.failed["azt1d-2"]
    assert patient_names(db) == ["azt1d-1", "azt1d-2", "azt1d-3"]
    assert len(load_record(db, "azt1d-2").events) == before
    assert verified(db).problem is None


def test_a_file_that_may_not_be_read_is_told_like_any_other(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (1, 2):
        (tmp_path / f"Subject {name}.csv").write_text(subject())
    sound = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path.stem.endswith("2"):
            raise PermissionError(13, "Permission denied")
        return sound(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    report = import_records(db, "azt1d", tmp_path)
    assert "Subject 2.csv: cannot be read: Permission denied" in report.failed["azt1d-2"]
    assert patient_names(db) == ["azt1d-1"]


def test_one_bad_file_of_a_person_leaves_out_all_of_theirs(db: Database, tmp_path: Path) -> None:
    for person in (1, 2, 3):
        rows = "".join(f"13/12/2023 08:{minute:02d},7.5\n" for minute in range(0, 60, 5))
        (tmp_path / f"UoMGlucose{person}.csv").write_text("bg_ts,value\n" + rows)
        (tmp_path / f"UoMBolus{person}.csv").write_text("bolus_ts,bolus_dose\n13/12/2023 08:10,4\n13/12/2023 08:20,2\n")
    (tmp_path / "UoMBolus2.csv").write_text("bolus_ts,bolus_dose\n13/12/2023 08:10,4\n13/12/2023\n")
    report = import_records(db, "t1d-uom", tmp_path)
    assert patient_names(db) == ["uom-1", "uom-3"]
    assert "UoMBolus2.csv, row 3: the file ends inside a row" in report.failed["uom-2"]


def test_a_person_left_out_still_owns_their_readings(db: Database, tmp_path: Path) -> None:
    copied = "".join(
        f"{day:02d}/12/2023 {m // 60:02d}:{m % 60:02d},{5 + m / 500:.3f}\n" for day in (13, 14) for m in range(0, 1440, 5)
    )
    own = "".join(f"20/12/2023 {m // 60:02d}:{m % 60:02d},{6 + m / 500:.3f}\n" for m in range(0, 1440, 5))
    (tmp_path / "UoMGlucose1.csv").write_text("bg_ts,value\n" + copied)
    (tmp_path / "UoMGlucose2.csv").write_text("bg_ts,value\n" + copied + own)
    (tmp_path / "UoMBolus1.csv").write_text("")
    import_records(db, "t1d-uom", tmp_path)
    assert patient_names(db) == ["uom-2"]
    assert load_record(db, "uom-2").events["time"].dt.strftime("%d").unique().tolist() == ["20"]


def test_a_bad_site_leaves_the_other_folders_sites(db: Database, tmp_path: Path) -> None:
    for name in ("ann", "bob"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "entries.json").write_text('[{"type": "sgv", "sgv": 151, "date": 1704672000000}]')
    (tmp_path / "bob" / "entries.json").write_text('[{"type": "sgv",\n "sgv": 151, "da')
    report = import_records(db, "nightscout", tmp_path)
    assert patient_names(db) == ["nightscout-ann"]
    assert "entries.json, row 2: not JSON" in report.failed["nightscout-bob"]


def test_a_bad_row_of_one_patient_of_a_table_leaves_the_others(db: Database, tmp_path: Path) -> None:
    path = tmp_path / "clinic.csv"
    rows = [
        f"{name},2024-03-01T08:{minute:02d},glucose,{100 + minute}" for minute in (0, 5, 10) for name in ("ann", "bob", "cid")
    ]
    rows[4] = "bob,2024-03-01T08:05,potassium,4"
    path.write_text("patient,time,channel,value\n" + "\n".join(rows) + "\n")
    report = import_records(db, "table", path, how=ImportOptions(zone="UTC"))
    assert patient_names(db) == ["ann", "cid"]
    assert "clinic.csv, row 6, field 'channel': expected a channel of" in report.failed["bob"]


def test_a_broken_table_whose_rows_may_be_anyones_stops_the_folder(db: Database, tmp_path: Path) -> None:
    (tmp_path / "january.csv").write_text("patient,time,glucose\nann,2024-01-01 08:00,100\nann,2024-01-01 08:05,101\n")
    (tmp_path / "february.csv").write_text("patient,time,glucose\nann,2024-02-01 08:00,100\nann,2024\n")
    with pytest.raises(RecordError, match=r"february\.csv, row 3"):
        import_records(db, "table", tmp_path)
    assert not any(count for table, count in contents(db).items() if table != "audit")


def test_a_broken_table_named_after_its_patient_leaves_the_others(db: Database, tmp_path: Path) -> None:
    (tmp_path / "ann.csv").write_text("time,glucose\n2024-01-01 08:00,100\n2024-01-01 08:05,101\n")
    (tmp_path / "bob.csv").write_text("time,glucose\n2024-01-01 08:00,100\n2024\n")
    report = import_records(db, "table", tmp_path)
    assert patient_names(db) == ["ann"] and "bob.csv, row 3" in report.failed["bob"]


def test_the_command_says_what_failed_and_what_was_kept(tmp_path: Path) -> None:
    folder = tmp_path / "people"
    folder.mkdir()
    (folder / "Subject 1.csv").write_text(subject())
    (folder / "Subject 2.csv").write_text(subject()[:-20])
    store = str(tmp_path / "store.db")
    result = CliRunner().invoke(app, ["--db", store, "import", "azt1d", str(folder)], env={"COLUMNS": "200"})
    assert result.exit_code == 1 and "azt1d-1" in result.stdout
    assert "azt1d-2: not imported" in result.stderr and "Subject 2.csv, row 7: the file ends inside a row" in result.stderr
    assert "Kept whole: azt1d-1; nothing of any other patient." in result.stderr
    alone = CliRunner().invoke(app, ["--db", store, "import", "azt1d", str(folder / "Subject 2.csv")], env={"COLUMNS": "200"})
    assert alone.exit_code == 1 and "Nothing was kept; the store is unchanged." in alone.stderr and alone.stdout == ""
