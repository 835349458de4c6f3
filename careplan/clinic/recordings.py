"""Recordings read from the store."""


from sqlalchemy import select
from sqlalchemy.orm import Session

from careplan.clinic import codec
from careplan.clinic.courses import practice_of
from careplan.clinic.errors import ClinicError
from careplan.clinic.records import current_version, require
from careplan.recording import Recording
from careplan.records.events import PatientRecord
from careplan.records.grid import to_series
from careplan.stages import stage
from careplan.store import Database, data_hash, read_hashed, schema
from careplan.store.schema import RegimenVersion
from careplan.suggestion import Suggestion
from careplan.therapy import Mandate

ESTIMATED = "estimated"


def read_recording(db: Database, patient: str) -> Recording:
    """Raises `UnknownPatient`, or `ClinicError` without events."""
    with stage("read"):
        with db.read() as session:
            stored, version = require(session, patient), current_version(session, patient)
            events, data = read_hashed(session, patient)
            mandate, practice = _handed_down(session, version), practice_of(session, patient)
        if events.empty:
            raise ClinicError(f"patient {patient!r} has no events in the store")
        series = to_series(PatientRecord(patient=patient, zone=stored.zone, events=events), practice.therapy)
        regimen = practice.estimate(series) if version is None else codec.load(practice.regimen, version.body)
        return Recording(series, stored.group, regimen, _named(version), data, mandate)


def _handed_down(session: Session, version: RegimenVersion | None) -> Mandate | None:
    """The mandate of the suggestion whose signed review made this version."""
    if version is None:
        return None
    made = select(schema.Suggestion.payload).join(schema.Review, schema.Review.suggestion == schema.Suggestion.id)
    payload = session.scalar(made.where(schema.Review.regimen == version.id))
    return None if payload is None else codec.load(Suggestion, payload).mandate


def identity(db: Database, patient: str) -> tuple[str, str]:
    """`Recording.prescribed` and `Recording.data`, without the rest."""
    with stage("read"), db.read() as session:
        return _named(current_version(session, patient)), data_hash(session, patient)


def _named(version: RegimenVersion | None) -> str:
    return ESTIMATED if version is None or version.source == ESTIMATED else f"version {version.id}"
