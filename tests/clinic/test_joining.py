"""A patient's sources joined in the store, and an import taken back as a whole."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from careplan.clinic import ClinicError, Database, imports, load_record, take_back
from careplan.clinic.importing import ImportOptions, import_records, store_records
from careplan.records.events import PatientRecord
from careplan.store.schema import AuditEntry, Event, ImportBatch
from tests.clinic.build import record


def from_source(source: str, given: PatientRecord, *, late: float = 0.0) -> PatientRecord:
    """The record as another source holds it, on a clock that is late by so many minutes."""
    events = given.events.assign(time=given.events["time"] + pd.Timedelta(minutes=late))
    origin = [f"{source}.csv:{row}" for row in range(2, len(events) + 2)]
    return replace(given, events=events.assign(origin=origin), source=source, files=(f"{source}.csv",), regimen=None)


def test_a_second_source_adds_only_what_is_new_and_again_nothing(db: Database) -> None:
    pump = from_source("glooko", record(days=2))
    site = from_source("nightscout", record(days=3), late=2)
    store_records(db, "", [pump])
    assert "merge" in store_records(db, "", [site]).failed["ann"]
    report = store_records(db, "", [site], merge=True)
    [added] = report.patients
    assert added.events_added["bolus"] == 3 and added.events_added["carbs"] == 3
    same = [kind for kind in report.kinds if kind.rule == "same dose"]
    assert [(kind.field, kind.rows) for kind in same] == [("bolus", 6), ("carbs", 6)]
    assert " is glooko.csv:" in same[0].example
    events = load_record(db, "ann").events
    assert (events["channel"] == "bolus").sum() == 9
    assert store_records(db, "", [site], merge=True).patients[0].events_added == {}
    assert len(load_record(db, "ann").events) == len(events)


def test_taking_an_import_back_removes_it_whole_and_tells_what_to_import_again(db: Database) -> None:
    store_records(db, "", [record("bob", days=1)])
    first = store_records(db, "", [from_source("glooko", record(days=2)), record("cid", days=1)])
    second = store_records(db, "", [from_source("nightscout", record(days=3), late=2)], merge=True)
    assert [each.state for each in imports(db)] == ["kept"] * 3 and len(imports(db, patient="ann")) == 2
    before = load_record(db, "bob").events
    done = take_back(db, first.run[:8], reason="the wrong person's pump")
    assert set(done.events) == {"ann", "cid"} and done.again == ("nightscout.csv",)
    left = load_record(db, "ann").events["origin"].str.split(":").str[0].unique().tolist()
    assert left == ["nightscout.csv"] and load_record(db, "cid").events.empty
    pd.testing.assert_frame_equal(load_record(db, "bob").events, before)
    again = store_records(db, "", [from_source("nightscout", record(days=3), late=2)], merge=True)
    assert again.patients[0].events_added["bolus"] == 6 and again.run != second.run
    with db.read() as session:
        taken = [entry for entry in session.query(AuditEntry) if entry.action == "taken back"]
        assert [(entry.patient, entry.detail["reason"]) for entry in taken] == [
            ("ann", "the wrong person's pump"),
            ("cid", "the wrong person's pump"),
        ]
        assert session.query(ImportBatch).count() == 5 and session.query(Event).count() > 0
    assert {each.run: each.state for each in imports(db)}[first.run] == "taken back"


def test_what_cannot_be_taken_back_says_why(db: Database) -> None:
    run = store_records(db, "", [record(days=1)]).run
    for name, reason, says in ((run, " ", "reason"), ("abc", "x", "at least 6"), ("zzzzzzzz", "x", "no imports begin")):
        with pytest.raises(ClinicError, match=says):
            take_back(db, name, reason=reason)
    take_back(db, run, reason="a trial")
    with pytest.raises(ClinicError, match="already"):
        take_back(db, run, reason="a trial")


def test_one_import_of_several_sources_of_one_person(db: Database, tmp_path: Path) -> None:
    folder = tmp_path / "kim"
    (folder / "pump").mkdir(parents=True)
    (folder / "pump" / "bolus_data_1.csv").write_text(
        "Name:Kim,Date Range:2024-03-01 - 2024-03-31\nTimestamp,Insulin Type,Carbs Input (g),Insulin Delivered (U)\n"
        "2024-03-05 08:00:00,Normal,40,4.0\n2024-03-05 12:00:00,Normal,0,1.5\n"
    )
    (folder / "treatments.json").write_text(
        '[{"eventType": "Meal Bolus", "created_at": "2024-03-05T07:01:00Z", "insulin": 4, "carbs": 40},'
        ' {"eventType": "Correction Bolus", "created_at": "2024-03-05T18:00:00Z", "insulin": 2}]'
    )
    report = import_records(db, folder, how=ImportOptions(patient="kim", zone="Europe/Berlin"))
    assert report.failed == {} and report.source == "glooko + nightscout"
    events = load_record(db, "kim").events
    assert events[events["channel"] == "bolus"]["value"].tolist() == [4.0, 1.5, 2.0]
    assert events[events["channel"] == "carbs"]["value"].tolist() == [40.0]
    assert {kind.rule for kind in report.kinds} == {"same dose"}
