"""Files on their way in: shown and questioned before anything is kept."""

from dataclasses import replace
from pathlib import Path

import pytest

from careplan.clinic import (
    ClinicError,
    UnknownPatient,
    import_previewed,
    imports,
    mismatches,
    patient_names,
    previewed_people,
    read_files,
    store_records,
)
from careplan.clinic.import_preview import PreviewedFiles
from careplan.store import Actor, Database

from .build import record

ADA = Actor(kind="local account", name="Ada", issuer="here", subject="ada")
TABLE = "time,glucose\n2024-03-01 08:00,120\n2024-03-01 08:05,125\nlater,130\n2024-03-01 08:10,131\n"


def test_files_are_shown_before_anything_is_kept(db: Database, tmp_path: Path) -> None:
    (tmp_path / "ann.csv").write_text(TABLE)
    (tmp_path / "letter.csv").write_bytes(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n")
    incoming = read_files(tmp_path, zone="Europe/Berlin")
    [arrival] = previewed_people(db, incoming)
    assert (arrival.name, arrival.zone, arrival.events, arrival.known) == ("ann", "Europe/Berlin", {"glucose": 3}, False)
    assert any(kind.action == "dropped" for kind in arrival.report.kinds)
    [(name, why)] = incoming.refused.items()
    assert name == "letter.csv" and "PDF" in why and str(tmp_path) not in why
    assert patient_names(db) == []
    report = import_previewed(db, incoming, {0: "Ann  B"}, actor=ADA, add=frozenset())
    assert report.failed == {} and patient_names(db) == ["Ann B"]
    [kept] = imports(db)
    assert kept.events == {"Ann B": 3}


def test_nothing_readable_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "letter.csv").write_bytes(b"%PDF-1.7\n")
    incoming = read_files(tmp_path)
    assert incoming.records == () and list(incoming.refused) == ["letter.csv"]


def test_a_zone_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "ann.csv").write_text(TABLE)
    assert "no time zone" in " ".join(read_files(tmp_path, zone="Mars/Base").refused.values())


def test_another_name_clock_or_readings_raise_a_doubt(db: Database) -> None:
    mine = record("ann", days=2)
    store_records(db, "table", [mine])
    other = replace(record("bob", days=2, level=220.0), zone="Europe/Berlin")
    incoming = PreviewedFiles((mine, other, record("ann", days=2, seed=0)), {})
    assert mismatches(db, incoming, 0, "ann") == []
    name, zone, readings = mismatches(db, incoming, 1, "ann")
    assert "'bob'" in name and "Europe/Berlin" in zone and "576 readings" in readings
    with pytest.raises(UnknownPatient):
        mismatches(db, incoming, 1, "eve")


def test_a_name_that_is_taken_is_not_joined_by_accident(db: Database) -> None:
    store_records(db, "table", [record("ann", days=1)])
    incoming = PreviewedFiles((record("ann", days=2), record("bob", days=1)), {})
    with pytest.raises(ClinicError, match="already"):
        import_previewed(db, incoming, {0: "ann"}, actor=ADA, add=frozenset())
    with pytest.raises(ClinicError, match="name"):
        import_previewed(db, incoming, {0: " "}, actor=ADA, add=frozenset())
    with pytest.raises(ClinicError, match="two records"):
        import_previewed(db, incoming, {0: "cyd", 1: "cyd"}, actor=ADA, add=frozenset())
    assert patient_names(db) == ["ann"]
    report = import_previewed(db, incoming, {0: "ann", 1: "bob"}, actor=ADA, add=frozenset({0}))
    [ann, bob] = report.patients
    assert 280 < ann.events_added["glucose"] <= 288  # the second day, but for readings that are within the first
    assert bob.patient == "bob" and patient_names(db) == ["ann", "bob"]
