"""What is stored of a patient, at a glance."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sqlalchemy import select

from careplan import therapies
from careplan.clinic.courses import course_of, courses_of
from careplan.clinic.reading import on_record
from careplan.clinic.records import load_record, require
from careplan.clinic.views import PatientSummary
from careplan.practice import Practice
from careplan.records.events import PatientRecord
from careplan.records.grid import to_series
from careplan.series import usual_spacing
from careplan.store import Database
from careplan.store.schema import Course, table_of
from careplan.therapies import NotInstalledError

GAP = 15.0  # minutes without a reading, or 1.5 of the sensor's usual spacing where that is longer
GAPS_SHOWN = 10
MINUTE = 60_000_000_000  # nanoseconds


def patients(db: Database) -> list[PatientSummary]:
    """Everyone in the store, by name, once a course."""
    with db.read() as session:
        found = session.scalars(select(Course).order_by(*table_of(Course).primary_key))
        courses = [(course.patient, course.therapy) for course in found]
    on_record(db, list(dict.fromkeys(patient for patient, _ in courses)), "summary")
    return [show(db, *course) for course in courses]


def therapies_of(db: Database, patients: Sequence[str]) -> list[str]:
    """The therapies under which patients are treated, by name. Raises `UnknownPatient`."""
    with db.read() as session:
        for patient in patients:
            require(session, patient)
        return sorted({course.therapy for patient in patients for course in courses_of(session, patient)})


def show(db: Database, patient: str, therapy: str | None = None) -> PatientSummary:
    """One patient. therapy: where they have several. Raises `UnknownPatient`, and as `course_of`."""
    with db.read() as session:
        source, course = require(session, patient).source, course_of(session, patient, therapy)
        therapy = course.therapy
    record = load_record(db, patient, therapy, purpose="summary")
    try:
        return summarise(record, source, therapies.practice(therapy))
    except NotInstalledError as error:
        return unreadable(record, source, therapy, f"not readable here: {error}")


def unreadable(record: PatientRecord, source: str, therapy: str, problem: str) -> PatientSummary:
    """A record of a therapy that is not installed here: what is stored, and nothing of what it means."""
    return _summary(record, source, therapy, days=0.0, metrics=None, sufficient=False, problem=problem)


def summarise(record: PatientRecord, source: str, practice: Practice) -> PatientSummary:
    """A record at a glance; days and metrics are those of what the therapy regulates, over the whole recording."""
    readings = record.events[record.events["channel"] == practice.therapy.regulated]
    glance, gaps = practice.glance(readings), gaps_of(readings["time"])
    return _summary(
        record,
        source,
        practice.name,
        days=glance.days,
        gaps=gaps[:GAPS_SHOWN],
        gap_count=len(gaps),
        metrics=glance.metrics,
        sufficient=glance.sufficient,
        total_daily_dose=None if record.events.empty else practice.daily_dose(to_series(record, practice.therapy)),
    )


def _summary(record: PatientRecord, source: str, therapy: str, **told: Any) -> PatientSummary:
    events = record.events
    given: dict[str, Any] = {"gaps": (), "gap_count": 0, "total_daily_dose": None, **told}
    return PatientSummary(
        patient=record.patient,
        group=record.group,
        zone=record.zone,
        source=source,
        weight=record.weight,
        first=None if events.empty else events["time"].min().to_pydatetime(),
        last=None if events.empty else events["time"].max().to_pydatetime(),
        events={str(name): int(count) for name, count in events["channel"].value_counts().sort_index().items()},
        therapy=therapy,
        **given,
    )


def gaps_of(times: pd.Series) -> tuple[tuple[datetime, float], ...]:
    """(start, minutes) of each stretch without a reading, the longest first."""
    instants = _instants(times)
    between = np.diff(instants) / MINUTE
    rows = np.flatnonzero(between > max(GAP, 1.5 * usual_spacing(times)))
    rows = rows[np.argsort(-between[rows], kind="stable")]
    return tuple((pd.Timestamp(instants[row] // 1000, unit="us", tz="UTC").to_pydatetime(), float(between[row])) for row in rows)


def _instants(times: pd.Series) -> NDArray[np.int64]:
    """Distinct UTC times in order, in nanoseconds since 1970."""
    return np.unique(times.astype("int64").to_numpy())
