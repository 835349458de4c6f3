"""Recordings read from the store."""

from dataclasses import replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from careplan.clinic import codec
from careplan.clinic.courses import course_of, practice_of
from careplan.clinic.errors import ClinicError
from careplan.clinic.experiments import signed_changes
from careplan.clinic.known import current_version, require
from careplan.clinic.reading import on_record
from careplan.recording import Recording
from careplan.records.events import PatientRecord
from careplan.records.grid import to_series
from careplan.stages import stage
from careplan.store import Actor, Database, data_hash, read_hashed, schema
from careplan.store.schema import RegimenVersion
from careplan.therapy import Mandate

ESTIMATED = "estimated"


def read_recording(db: Database, patient: str, therapy: str | None = None, *, actor: Actor | None = None) -> Recording:
    """The reading is on record. therapy: where the patient is treated under several.

    Raises `UnknownPatient`, or `ClinicError` without events.
    """
    with stage("read"):
        with db.read() as session:
            stored = require(session, patient)
            course = course_of(session, patient, therapy)
            practice = practice_of(session, patient, course.therapy)
            version = current_version(session, patient, course.therapy)
            events, data = read_hashed(session, patient)
            mandate, facts = _handed_down(session, version), dict(course.covariates)
            changes = signed_changes(session, practice, patient)
        on_record(db, [patient], "planning", actor)
        if events.empty:
            raise ClinicError(f"patient {patient!r} has no events in the store")
        series = to_series(PatientRecord(patient=patient, zone=stored.zone, events=events), practice.therapy)
        series = replace(series, facts=facts)
        regimen = practice.estimate(series) if version is None else codec.load(practice.regimen, version.body)
        return Recording(series, course.group, regimen, _named(version), data, mandate, changes)


def _handed_down(session: Session, version: RegimenVersion | None) -> Mandate | None:
    """The mandate of the suggestion whose signed review made this version."""
    if version is None:
        return None
    made = select(schema.Suggestion.payload).join(schema.Review, schema.Review.suggestion == schema.Suggestion.id)
    payload = session.scalar(made.where(schema.Review.regimen == version.id))
    handed = None if payload is None else payload.get("mandate")
    return None if handed is None else codec.load(Mandate, handed)


def identity(db: Database, patient: str, therapy: str) -> tuple[str, str]:
    """`Recording.prescribed` and `Recording.data`, without the rest."""
    with stage("read"), db.read() as session:
        return _named(current_version(session, patient, therapy)), data_hash(session, patient)


def _named(version: RegimenVersion | None) -> str:
    return ESTIMATED if version is None or version.source == ESTIMATED else f"version {version.id}"
