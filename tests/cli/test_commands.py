"""The command line: what it prints, what it refuses, and how it ends."""

import csv
import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from careplan import cli
from careplan.cli import app
from careplan.records import Format
from careplan.records.correction import Correction
from careplan.records.events import PatientRecord, RecordError
from careplan.store import open_database
from careplan.studies import bodies

from ..clinic.build import record

Run = Callable[..., Result]
CORRECTION = Correction("dropped", "duplicate", "ann.csv", 7, "Bolus", "2 U at 08:00")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def call(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["--db", str(tmp_path / "store.db"), *arguments], env={"COLUMNS": "200"})

    return call


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes `careplan import table` read these records."""

    def give(*records: PatientRecord, error: BaseException | None = None) -> None:
        def reader(path: str, *, zone: str = "UTC", refused: object = None) -> list[PatientRecord]:
            if error is not None:
                raise error
            return [replace(given, zone=zone) for given in records]

        monkeypatch.setattr("careplan.records.door.FORMATS", (Format("table", lambda head: "it is made up", reader),))

    return give


def test_import_reports_what_it_did_and_lists_every_correction(run: Run, reads: Callable[..., None], tmp_path: Path) -> None:
    reads(replace(record(days=1), corrections=(CORRECTION, CORRECTION)))
    result = run("import", "table", "ann.csv", "--report", str(tmp_path / "report.csv"))
    assert result.exit_code == 0, result.output
    assert "288 glucose" in result.output and "duplicate" in result.output
    with (tmp_path / "report.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == 2 * [
        {
            "patient": "ann",
            "action": "dropped",
            "rule": "duplicate",
            "file": "ann.csv",
            "row": "7",
            "field": "Bolus",
            "detail": "2 U at 08:00",
        }
    ]
    assert "nothing new" in run("import", "table", "ann.csv").output


def test_a_thousand_duplicates_are_one_line_with_an_example(run: Run, reads: Callable[..., None], tmp_path: Path) -> None:
    many = tuple(CORRECTION._replace(row=row) for row in range(7, 3894))
    reads(replace(record(days=1), corrections=many))
    lines = [line for line in run("import", "table", "ann.csv").output.splitlines() if "duplicate" in line]
    assert len(lines) == 1 and "3,887" in lines[0] and "ann.csv, row 7: 2 U at 08:00" in lines[0]


def test_files_need_no_format_and_a_look_keeps_nothing(run: Run, tmp_path: Path) -> None:
    (tmp_path / "ann.csv").write_text(
        "time,glucose,bolus\n2024-03-05 08:00,100,2\n2024-03-05 08:05,LOW,\n2024-03-06 08:00,120,3\n"
    )
    (tmp_path / "bob.csv").write_text("EventDateTime,TotalBolusInsulinDelivered,Basal,CarbSize,CGM\n2023-12-08 00:04:00,,,,151\n")
    looked = run("look", str(tmp_path / "ann.csv"))
    assert looked.exit_code == 0, looked.output
    assert "Taken for table" in looked.output and "2 (70)" in looked.output and "1 low" in looked.output
    found = json.loads(run("look", str(tmp_path), "--json").stdout)["records"]
    assert [(each["source"], each["patient"]) for each in found] == [("table", "ann"), ("azt1d", "azt1d-bob")]
    assert found[0]["days"][1] == {
        "date": "2024-03-06",
        "counts": {"bolus": 1, "glucose": 1},
        "amounts": {"bolus": 3.0, "glucose": 120.0},
    }
    assert "there is no database" in run("patients", "--json").output and not (tmp_path / "store.db").exists()
    imported = run("import", str(tmp_path / "ann.csv"), str(tmp_path / "bob.csv"))
    assert imported.exit_code == 0 and "Taken for table: its header has a time and glucose, bolus." in imported.output
    assert [row["patient"] for row in json.loads(run("patients", "--json").stdout)] == ["ann", "azt1d-bob"]
    assert "nothing new" in run("import", "--format", "table", str(tmp_path / "ann.csv")).output


def test_patients_and_show_as_text_and_json(run: Run, reads: Callable[..., None]) -> None:
    run("db", "upgrade")
    assert "No patients yet" in run("patients").output
    reads(record("ann", days=2), record("bob", days=2))
    run("import", "table", "x", "--zone", "Europe/London")
    listed = run("patients").output
    assert "ann" in listed and "bob" in listed
    assert [row["patient"] for row in json.loads(run("patients", "--json").stdout)] == ["ann", "bob"]
    shown = run("show", "ann")
    assert "Europe/London" in shown.output and "in range, 70 to 180" in shown.output and "Carb ratio" in shown.output
    found: dict[str, Any] = json.loads(run("show", "ann", "--json").stdout)
    assert found["events"] == {"basal": 48, "bolus": 6, "carbs": 6, "glucose": 576}


def test_targets_are_shown_and_signed_and_the_metrics_follow(run: Run, reads: Callable[..., None]) -> None:
    reads(record("ann", days=1))
    run("import", "table", "x")
    assert "ann, glucose: adults: Adults, type 1 or 2 (default of group adult)." in run("targets", "ann").output
    signed = run("targets", "ann", "--preset", "pregnancy", "--reason", "expecting")
    assert signed.exit_code == 0 and "pregnancy: Pregnancy, type 1 (signed by" in signed.output
    assert json.loads(run("targets", "ann", "--json").stdout)["targets"]["levels"]["low"] == 63.0
    assert "in range, 63 to 140" in run("show", "ann").output
    custom = run("targets", "ann", "--set", "in_range=65", "--set", "above_180=none", "--reason", "step by step")
    assert "ann, glucose: custom (signed by" in custom.output
    for given, says in (
        (("--set", "low=20", "--reason", "x"), "low: 20 is beyond what anybody may aim at, 60 to 110"),
        (("--preset", "older"), "expected a reason"),
        (("--set", "low"), "expected NAME=NUMBER"),
    ):
        refused = run("targets", "ann", *given)
        assert refused.exit_code in (1, 2) and says in " ".join(refused.output.split())


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (("show", "eve"), 1, "'eve' is not in the store; it holds no patients yet"),
        (("import", "excel", "x"), 2, "is not one of"),
        (("import", "table"), 2, "Missing argument"),
        (("import", "table", "x", "--report", "/nowhere/at/all.csv"), 2, "no folder"),
        (("fly",), 2, "No such command"),
        (("evaluate", "effects", "--family", "hovorka"), 1, "'hovorka': expected one of padova, minimal"),
    ],
)
def test_a_bad_request_is_one_clear_error(
    run: Run, reads: Callable[..., None], arguments: tuple[str, ...], code: int, expected: str
) -> None:
    reads()
    run("db", "upgrade")
    result = run(*arguments)
    assert result.exit_code == code
    assert expected in result.output and "Traceback" not in result.output


def test_effects_as_json_keep_their_keys_and_tell_of_every_family(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def judged(world: object, *, family: str, **_: object) -> tuple[pd.DataFrame, dict[str, float]]:
        figures = {"error": 0.3, "slope": 0.9, "coverage": 0.95, "width": 14.0, "sign_right": 1.0}
        rows = [
            {"told": told, "estimator": f"careplan, {days} days", "kind": "all", "hours": hours, "family": family, **figures}
            for told in (bodies.EXACTLY, bodies.COUNTED)
            for days in bodies.DAYS
            for hours in ("all", 1, 2, 4, 8)
        ]
        return pd.DataFrame(rows), bodies.headline(pd.DataFrame(rows))

    monkeypatch.setattr(bodies, "evaluate_effects", judged)
    result = run("evaluate", "effects", "--family", "padova", "--family", "minimal", "--people", "2", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    kept = {f"effect_{name}_{days}d" for name in ("error", "slope", "coverage", "width", "slope_8h") for days in (1, 14)}
    kept |= {"effect_error_14d_counted", "effect_error_1d_counted", "sign_right", "sign_right_counted"}
    assert set(found) == kept | {"families", "people", "seed", "table"}
    assert set(found["families"]) == {"padova", "minimal"} and all(set(each) == kept for each in found["families"].values())
    assert found["people"] == 6 and len(found["table"]) == 60


def test_a_file_that_cannot_be_trusted_is_one_line_and_changes_nothing(run: Run, reads: Callable[..., None]) -> None:
    reads(error=RecordError("expected a number", file="ann.csv", row=3, field="CGM"))
    result = run("import", "table", "ann.csv")
    assert result.exit_code == 1
    assert "ann.csv, row 3, field 'CGM': expected a number" in result.stderr and "Nothing was kept" in result.stderr
    assert json.loads(run("patients", "--json").stdout) == []


def test_a_bug_is_not_hidden(run: Run, reads: Callable[..., None]) -> None:
    reads(error=ZeroDivisionError("a bug"))
    assert isinstance(run("import", "table", "x").exception, ZeroDivisionError)


def test_a_patient_that_fails_is_named_and_the_exit_says_so(run: Run, reads: Callable[..., None]) -> None:
    bad = record("bob", days=1)
    bad.events.loc[0, "value"] = float("inf")
    reads(record("ann", days=1), bad)
    result = run("import", "table", "x")
    assert result.exit_code == 1 and "bob: not imported" in result.stderr
    assert "Kept whole: ann; nothing of any other patient." in result.stderr
    assert [row["patient"] for row in json.loads(run("patients", "--json").stdout)] == ["ann"]


def test_a_database_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, just notes " * 50)
    result = CliRunner().invoke(app, ["--db", str(path), "patients"])
    assert result.exit_code == 1 and "not a database" in result.stderr


def test_db_upgrade_says_where_the_database_is(run: Run, tmp_path: Path) -> None:
    for _ in range(2):
        told = run("db", "upgrade").output
        assert "at revision" in told and str(tmp_path / "store.db") in told


def test_the_settings_name_the_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAREPLAN_DATABASE", str(tmp_path / "mine.db"))
    assert CliRunner().invoke(app, ["patients"]).exit_code == 0
    assert (tmp_path / "mine.db").exists()


def test_audit_verify_finds_what_was_changed(run: Run, reads: Callable[..., None], tmp_path: Path) -> None:
    reads(record(days=1))
    run("import", "table", "x")
    whole = json.loads(run("audit", "verify", "--json").stdout)
    assert whole["entries"] == 5 and whole["problem"] is None
    assert run("audit", "verify", "--expect", whole["head"]).exit_code == 0
    database = open_database(str(tmp_path / "store.db"))
    with database.write() as session:
        session.execute(text("DROP TRIGGER audit_no_update"))
        session.execute(text("UPDATE audit SET actor = 'someone else' WHERE id = 2"))
    database.close()
    result = run("audit", "verify")
    assert result.exit_code == 1 and "entry 2 was changed" in result.stderr


def test_audit_verify_makes_nothing_where_there_is_nothing(run: Run, tmp_path: Path) -> None:
    result = run("audit", "verify")
    assert result.exit_code == 1 and "there is no database" in result.stderr and "Traceback" not in result.stderr
    assert not (tmp_path / "store.db").exists()


def test_a_backup_is_restored_and_the_key_replaced(run: Run, reads: Callable[..., None], tmp_path: Path) -> None:
    reads(record(days=1))
    run("import", "table", "x")
    assert "Keep the audit key" in run("db", "backup", str(tmp_path / "store.bak")).output
    (tmp_path / "store.db").unlink()
    assert "Restored and verified: 5 entries" in run("db", "restore", str(tmp_path / "store.bak")).output
    assert "signs from now on" in run("audit", "new-key").output
    assert json.loads(run("audit", "verify", "--json").stdout)["problem"] is None
    assert json.loads(run("audit", "verify", "--since-last", "--json").stdout)["entries"] == 0


def test_help_is_quick_to_load() -> None:
    heavy = ("torch", "pandas", "sqlalchemy", "rich.table")
    program = f"import sys, careplan.cli; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"


SLOW = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job starts with it ignored
sys.path.insert(0, {root!r})
import careplan.records
from tests.clinic.build import record
def reader(path, refused):
    return [record("ann", days=1), record("bob", days=1)]
careplan.records.door.FORMATS = (careplan.records.Format("table", lambda head: None, reader),)
from careplan.clinic import importing
original, calls = importing.add_events, []
def add_events(*given, **told):
    calls.append(1)
    added = original(*given, **told)
    if len(calls) == 2:
        print("second", flush=True)
        time.sleep(60)
    return added
importing.add_events = add_events
from careplan.cli import app
app(["--db", sys.argv[1], "import", "table", "x"])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX interrupt")
def test_ctrl_c_says_what_was_kept(tmp_path: Path, run: Run) -> None:
    program = SLOW.format(root=str(Path(__file__).parents[2]))
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "store.db")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "second\n"
    time.sleep(0.1)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == cli.INTERRUPTED, errors
    assert "Kept whole: ann; nothing of any other patient." in errors and "Interrupted." in errors and "Traceback" not in errors
    assert [row["patient"] for row in json.loads(run("patients", "--json").stdout)] == ["ann"]


def test_a_disk_that_is_full_while_training_is_one_line_and_keeps_what_there_is(run: Run, tmp_path: Path, monkeypatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "last.ckpt"))

    monkeypatch.setattr("careplan.studies.training.train_world", full)
    result = run("train", str(tmp_path / "weights"))
    assert result.exit_code == 1 and "Traceback" not in result.output
    assert "last.ckpt: No space left on device. The last checkpoint is kept; --resume goes on" in result.output
