"""What is exported and read again is the same record."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from careplan.clinic import Database, audit_trail, load_record, store_records
from careplan.formats.fhir.reader import read_fhir
from careplan.formats.table.reader import read_table
from careplan.interop import ExportError, export_table, fhir_bundle
from careplan.interop.checks import problems
from careplan.interop.fhir import record_bundle
from careplan.interop.observed import WRITERS
from careplan.interop.resources import Person
from careplan.interop.tables import guarded, table_of
from careplan.records.events import PatientRecord, events_frame
from tests.clinic import build
from tests.reached import reached, reaches

SAME = ["time", "channel", "value", "duration", "flag", "product"]
MANY = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def same(one: PatientRecord, other: PatientRecord) -> None:
    left, right = (each.events[SAME].sort_values(SAME, kind="stable", ignore_index=True) for each in (one, other))
    pd.testing.assert_frame_equal(left, right)
    assert (one.patient, one.zone, one.group) == (other.patient, other.zone, other.group)


amounts = st.integers(1, 160).map(lambda tenths: tenths / 10)
minutes = st.sampled_from([0.0, 30.0, 47.5, 1 / 3])
EVENTS = {
    "glucose": st.tuples(
        st.floats(41, 399).map(lambda value: round(value, 3)), st.just(0.0), st.sampled_from(["", "", "fingerstick"])
    )
    | st.sampled_from([(40.0, 0.0, "low"), (400.0, 0.0, "high"), (20.0, 0.0, "low fingerstick")]),
    "bolus": st.tuples(amounts, minutes, st.sampled_from(["", "automatic"])),
    "long_acting": st.tuples(amounts, st.just(0.0), st.just("")),
    "carbs": st.tuples(amounts, minutes, st.just("")),
    "basal": st.tuples(amounts, st.sampled_from([0.5, 60.0, np.nan]), st.sampled_from(["", "automatic"])),
    "activity": st.tuples(amounts, st.sampled_from([30.0, np.nan]), st.just("")),
}
steps = st.lists(
    st.sampled_from(list(EVENTS)).flatmap(lambda name: st.tuples(st.just(name), EVENTS[name], st.integers(5, 400))),
    min_size=1,
    max_size=40,
)


def record_from(drawn: list[tuple[str, tuple[float, float, str], int]], **whole: object) -> PatientRecord:
    """Events at distinct times, to the second and one to the microsecond, over summer's end in Europe."""
    time = pd.Timestamp("2024-10-26 20:00:00.123456", tz="UTC")
    rows: list[tuple[object, ...]] = []
    for name, (value, duration, flag), ahead in drawn:
        brand = "NovoMix 30" if name in ("bolus", "long_acting") and ahead % 2 else ""
        rows.append((time, name, value, duration, flag, "x:1", brand))
        time = (time + pd.Timedelta(seconds=61 * ahead)).floor("s")
    given_whole = {"patient": "ann", "zone": "Europe/Berlin", "group": "child", **whole}
    return PatientRecord(events=events_frame(rows), **given_whole)  # type: ignore[arg-type]


@reaches(0.7)
@MANY
@given(drawn=steps.filter(lambda drawn: any(name in WRITERS for name, *_ in drawn)))
def test_fhir_there_and_back(tmp_path: Path, drawn: list[tuple[str, tuple[float, float, str], int]]) -> None:
    record = record_from(drawn)
    bundle = record_bundle(Person("ann", "ann@now", record.zone), record)
    assert problems(bundle) == []
    path = tmp_path / "ann.json"
    path.write_text(json.dumps(bundle, allow_nan=False))
    carried = record.events[record.events["channel"].isin(list(WRITERS))].reset_index(drop=True)
    if carried.empty:
        return  # nothing that FHIR carries
    reached()
    [again] = read_fhir(path)
    same(again, replace(record, events=carried))
    assert {correction.rule for correction in again.corrections} <= {"summary"}


@pytest.mark.parametrize("format", ["csv", "parquet"])
@MANY
@given(drawn=steps)
def test_a_table_there_and_back(tmp_path: Path, format: str, drawn: list[tuple[str, tuple[float, float, str], int]]) -> None:
    record = record_from(drawn, weight=61.5)
    path = tmp_path / f"ann.{format}"
    if format == "csv":
        guarded(table_of(record)).to_csv(path, index=False)
    else:
        table_of(record).to_parquet(path, index=False)
    [again] = read_table(path)
    same(again, record)
    assert again.weight == 61.5
    assert again.corrections == ()


def test_a_stored_patient_there_and_back_by_every_way(db: Database, tmp_path: Path) -> None:
    stored = load_record(db, "ann")
    path = tmp_path / "ann.json"
    path.write_text(json.dumps(fhir_bundle(db, "ann")))
    [by_fhir] = read_fhir(path)
    same(by_fhir, stored)
    for format in ("csv", "parquet"):
        rows = export_table(db, "ann", tmp_path / f"x.{format}", format=format)  # type: ignore[arg-type]
        [by_table] = read_table(tmp_path / f"x.{format}")
        same(by_table, stored)
        assert rows == len(stored.events)
    report = store_records(db, "fhir", [by_fhir], merge=True)
    assert sum(report.patients[0].events_added.values()) == 0  # importing what was exported adds nothing
    assert [entry.detail["format"] for entry in audit_trail(db) if entry.action == "exported"][::-1] in (
        ["parquet", "csv", "fhir"],
        ["fhir", "csv", "parquet"],
    )


def test_a_cell_that_a_spreadsheet_would_run_is_guarded(tmp_path: Path) -> None:
    table = pd.DataFrame({"patient": ["=1+1", "+x", "-x", "@x", "\tx", "ann", "x=1"], "value": [-1.5] * 7})
    assert guarded(table)["patient"].tolist() == ["'=1+1", "'+x", "'-x", "'@x", "'\tx", "ann", "x=1"]
    assert guarded(table)["value"].tolist() == [-1.5] * 7  # a negative number is a number


def test_a_named_formula_leaves_as_text(db: Database, tmp_path: Path) -> None:
    store_records(db, "table", [build.record("=cmd|' /C calc'!A0", days=1)])
    export_table(db, "=cmd|' /C calc'!A0", tmp_path / "x.csv")
    assert "\n=cmd" not in (tmp_path / "x.csv").read_text().replace(",=cmd", "\n=cmd")
    assert ",'=cmd" in (tmp_path / "x.csv").read_text()


def test_a_table_that_cannot_be_written_says_so(db: Database, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="cannot be written"):
        export_table(db, "ann", tmp_path / "nowhere" / "x.csv")
    store_records(db, "table", [PatientRecord("eve", "UTC", events_frame())])
    with pytest.raises(ExportError, match="no events to export"):
        export_table(db, "eve", tmp_path / "x.csv")


def test_a_day_of_readings_below_a_meter_says_nothing_of_the_unit(tmp_path: Path) -> None:
    record = record_from([("glucose", (20.0, 0.0, "low fingerstick"), 60)] * 3)
    path = tmp_path / "ann.json"
    path.write_text(json.dumps(record_bundle(Person("ann", "ann@now", record.zone), record)))
    [again] = read_fhir(path)
    same(again, record)
