"""Records into the store: idempotent, whole or not at all, and safe when things go wrong."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import func, select

from careplan.clinic.errors import ClinicError, UnknownPatient
from careplan.clinic.importing import ImportOptions, import_records, store_records
from careplan.clinic.known import patient_names
from careplan.clinic.regimens import load_regimen, prescribed
from careplan.clinic.stored_records import load_record, load_series
from careplan.records.correction import Correction
from careplan.records.events import COLUMNS
from careplan.records.settings import StatedSettings
from careplan.store import Database, StoreError, add_events, local_account, open_database
from careplan.store.schema import AuditEntry, Base

from ..kept import actor, verified
from .build import REGIMEN, START, record

ROWS = ["time", "channel", "value", "duration"]


def contents(db: Database) -> dict[str, int]:
    """How many rows each table holds."""
    with db.read() as session:
        return {
            name: session.scalar(select(func.count()).select_from(table)) or 0 for name, table in Base.metadata.tables.items()
        }


def test_what_went_in_comes_out(db: Database) -> None:
    given = record()
    report = store_records(db, "table", [given])
    back = load_record(db, "ann")
    order = [*ROWS, "origin"]
    pd.testing.assert_frame_equal(
        back.events.sort_values(order, ignore_index=True), given.events.sort_values(order, ignore_index=True), check_exact=True
    )
    assert back.events.dtypes.astype(str).to_dict() == COLUMNS
    assert (back.zone, back.group, load_regimen(db, "ann")) == ("UTC", "adult", REGIMEN)
    assert report.patients[0].events_added == {"basal": 360, "bolus": 45, "carbs": 45, "glucose": 4320}


@pytest.mark.parametrize("name", ["田中", "Renée O'Neil", 'a "b" \\ c', "Ἀσκληπιός", "e\u0301 \u200d x"])
def test_a_patient_is_called_as_they_are(db: Database, name: str) -> None:
    report = store_records(db, "table", [record(name, days=1)])
    assert report.failed == {} and patient_names(db) == [name]
    assert verified(db).problem is None


def test_importing_twice_adds_nothing(db: Database) -> None:
    store_records(db, "table", [record()])
    before = contents(db)
    report = store_records(db, "table", [record()])
    assert contents(db) == before
    assert report.patients[0].events_added == {}
    assert report.patients[0].events_known == len(record().events)


def test_a_newer_export_adds_only_what_is_new(db: Database) -> None:
    store_records(db, "table", [record(days=3)])
    report = store_records(db, "table", [record(days=4)])
    assert report.patients[0].events_added == {"basal": 24, "bolus": 3, "carbs": 3, "glucose": 288}
    assert len(load_record(db, "ann").events) == len(record(days=4).events)


def test_every_correction_is_reported_and_kept(db: Database) -> None:
    corrections = (Correction("dropped", "duplicate", "ann.csv", 7, "Bolus", "2 U at 08:00"),)
    report = store_records(db, "table", [replace(record(days=1), corrections=corrections)])
    assert report.patients[0].corrections == (("dropped", "duplicate", "ann.csv", 7, "Bolus", "2 U at 08:00"),)


def test_one_patients_bad_record_does_not_stop_the_others(db: Database) -> None:
    bad = record("bob", days=1)
    bad.events.loc[5, "value"] = np.inf
    report = store_records(db, "table", [record("ann", days=1), bad, record("cid", days=1)])
    assert patient_names(db) == ["ann", "cid"]
    assert list(report.failed) == ["bob"]
    assert "finite" in report.failed["bob"]


def test_two_sources_of_one_name_are_not_mixed_unasked(db: Database) -> None:
    store_records(db, "table", [record(days=1)])
    report = store_records(db, "azt1d", [record(days=2)])
    assert "already stored from 'table'" in report.failed["ann"]
    assert len(load_record(db, "ann").events) == len(record(days=1).events)
    assert store_records(db, "azt1d", [record(days=2)], merge=True).failed == {}


def test_a_record_on_another_clock_is_refused(db: Database) -> None:
    store_records(db, "table", [record(days=1)])
    report = store_records(db, "table", [record(days=2, zone="Europe/London")])
    assert "Europe/London" in report.failed["ann"]


def test_an_unknown_format_and_an_unknown_patient_say_what_there_is(db: Database, tmp_path: Path) -> None:
    with pytest.raises(ClinicError, match="expected one of azt1d"):
        import_records(db, "excel", tmp_path)
    with pytest.raises(ClinicError, match="'excel' is not one of azt1d"):
        import_records(db, tmp_path, how=ImportOptions(format="excel"))
    store_records(db, "table", [record(days=1)])
    with pytest.raises(UnknownPatient, match="'eve' is not in the store; it holds ann"):
        load_series(db, "eve")


def test_the_audit_tells_of_the_import(db: Database) -> None:
    store_records(db, "table", [record(days=1)], actor=actor("dr"))
    with db.read() as session:
        entries = [(entry.actor, entry.action) for entry in session.scalars(select(AuditEntry).order_by(AuditEntry.id))]
    assert verified(db).problem is None
    theirs = ("patient added", "course begun", "imported", "regimen added")
    assert entries == [(local_account().name, "sealed"), *(("dr", action) for action in theirs)]


def test_a_later_statement_of_the_source_is_a_new_version_and_an_older_export_is_not_in_force(db: Database) -> None:
    stronger = replace(REGIMEN, basal=(1.0, 1.0, 1.0, 1.0))
    store_records(db, "table", [record(days=3, regimen=stronger)])
    store_records(db, "table", [record(days=2)])
    found = prescribed(db, "ann")
    assert found is not None and found.regimen == stronger


def test_ctrl_c_leaves_that_patient_out_and_the_earlier_ones_in(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = add_events

    def interrupted(*given: Any, **told: Any) -> None:
        whole(*given, **told)
        raise KeyboardInterrupt

    def after_first(done: int, *_: object) -> None:
        if done == 1:
            # after the events went in, before the commit
            monkeypatch.setattr("careplan.clinic.importing.add_events", interrupted)

    with pytest.raises(KeyboardInterrupt):
        store_records(db, "table", [record("ann", days=1), record("bob", days=1)], progress=after_first)
    assert patient_names(db) == ["ann"]
    monkeypatch.setattr("careplan.clinic.importing.add_events", whole)
    store_records(db, "table", [record("ann", days=1), record("bob", days=1)])
    assert len(load_record(db, "bob").events) == len(record("bob", days=1).events)


def test_a_full_disk_leaves_the_store_as_it_was(db: Database) -> None:
    store_records(db, "table", [record("ann", days=1)])
    before = contents(db)
    with db.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
    full = open_database(db.url)
    from sqlalchemy import event

    event.listen(full.engine, "checkout", lambda connection, *_: connection.execute(f"PRAGMA max_page_count = {pages + 10}"))
    with pytest.raises(StoreError, match="no space"):
        store_records(full, "table", [record("bob", days=5)])
    full.close()
    assert contents(db) == before
    assert verified(db).problem is None
    store_records(db, "table", [record("bob", days=5)])
    assert patient_names(db) == ["ann", "bob"]


CHILD = """
import sys
sys.path.insert(0, {root!r})
from careplan.clinic.importing import store_records
from careplan.store import open_database
from tests.clinic.build import record
people = [record(name, days=2) for name in ("ann", "bob", "cid")]
database = open_database(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
{action}
"""
ROOT = Path(__file__).parents[2]


def child(db: Database, action: str) -> subprocess.Popen[str]:
    program = CHILD.format(root=str(ROOT), action=action)
    arguments = [sys.executable, "-c", program, db.engine.url.database or ""]
    return subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_importing_at_once_keep_everything_once(db: Database) -> None:
    processes = [child(db, "store_records(database, 'table', people)") for _ in range(2)]
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    results = []
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        results.append((process.communicate()[1], process.returncode))
    assert results == [("", 0)] * 2
    assert contents(db)["event"] == 3 * len(record(days=2).events)
    assert contents(db)["import_batch"] == 3
    assert verified(db).problem is None


def test_a_killed_import_leaves_nothing_of_its_patient(db: Database) -> None:
    action = (
        "from careplan.clinic import importing\n"
        "whole = importing.add_events\n"
        "def hang(*given, **told):\n"
        "    whole(*given, **told)\n"
        "    print('inside', flush=True)\n"
        "    import time; time.sleep(60)\n"
        "importing.add_events = hang\n"
        "store_records(database, 'table', people)"
    )
    process = child(db, action)
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    assert [process.stdout.readline() for _ in range(2)] == ["ready\n", "inside\n"]
    time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert contents(db) == {**dict.fromkeys(Base.metadata.tables, 0), "audit": 1}


@pytest.mark.parametrize(("format", "place"), [("azt1d", "azt1d/Subject 8"), ("nightscout", "device_exports/nightscout")])
def test_a_real_recording_twice(db: Database, format: str, place: str) -> None:
    path = Path(os.environ.get("CAREPLAN_DATA", ROOT.parent / "shared" / "data")) / place
    if not path.exists():
        pytest.skip(f"no recordings at CAREPLAN_DATA or ../shared/data: {place}")
    first = import_records(db, format, path).patients[0]
    before = contents(db)
    second = import_records(db, format, path).patients[0]
    assert contents(db) == before
    assert second.events_known == sum(first.events_added.values()) == len(load_record(db, first.patient).events)


def test_the_readers_options_and_the_age_group(db: Database, tmp_path: Path) -> None:
    path = tmp_path / "kim.csv"
    path.write_text("patient,time,channel,value\nkim,2024-03-01T08:00,glucose,100\nkim,2024-03-01T08:05,glucose,101\n")
    assert import_records(db, "table", path, how=ImportOptions(zone="Europe/London", group="child")).failed == {}
    found = load_record(db, "kim")
    assert (found.group, found.zone) == ("child", "Europe/London")
    with pytest.raises(ClinicError, match="'table' takes no token"):
        import_records(db, "table", path, how=ImportOptions(token="secret"))


def test_series_of_what_is_stored(db: Database) -> None:
    store_records(db, "table", [record(days=2)])
    series = load_series(db, "ann")
    assert series.start == START
    assert float(np.nansum(series.column("carbs"))) == 2 * 3 * 60.0


def test_settings_that_cannot_be_a_regimen_are_told_and_the_record_is_kept(db: Database) -> None:
    told = store_records(db, "table", [replace(record(), regimen=StatedSettings(starts=(0,), blocks={"basal": (1.0,)}))])
    [ann] = told.patients
    assert told.failed == {} and sum(ann.events_added.values()) > 0
    rules = [(rule, detail) for _, rule, _, _, _, detail in ann.corrections]
    assert [rule for rule, _ in rules] == ["settings that cannot be a regimen"]
    assert "carb_ratio" in rules[0][1]
    found = prescribed(db, "ann")
    assert found is not None and found.source == "estimated"
