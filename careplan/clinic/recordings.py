"""Recordings read from the store."""

from dataclasses import replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from careplan.clinic import codec
from careplan.clinic.access_log import log_access
from careplan.clinic.courses import course_of, practice_of, targets_of
from careplan.clinic.errors import ClinicError
from careplan.clinic.experiments import signed_changes
from careplan.clinic.known import current_targets, current_version, require
from careplan.practice import Practice
from careplan.recording import Recording
from careplan.records.events import PatientRecord
from careplan.records.grid import to_series
from careplan.stages import stage
from careplan.store import Actor, Database, data_hash, read_hashed, schema
from careplan.store.schema import RegimenVersion, TargetsVersion
from careplan.targets import Targets
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
            targets, signed = targets_of(session, course), current_targets(session, patient, course.therapy)
            mandate, facts = _mandate_of(session, version, targets, practice), dict(course.covariates)
            changes = signed_changes(session, practice, patient)
        log_access(db, [patient], "planning", actor)
        if events.empty:
            raise ClinicError(f"patient {patient!r} has no events in the store")
        series = to_series(PatientRecord(patient=patient, zone=stored.zone, events=events), practice.therapy)
        series = replace(series, facts=facts)
        regimen = practice.estimate(series) if version is None else codec.load(practice.regimen, version.body)
        return Recording(series, course.group, regimen, _named(version, signed), data, mandate, changes, targets)


def _mandate_of(session: Session, version: RegimenVersion | None, targets: Targets, practice: Practice) -> Mandate | None:
    """The mandate of the suggestion whose signed review made this version; None where it was made for other targets."""
    if version is None:
        return None
    made = select(schema.Suggestion.payload).join(schema.Review, schema.Review.suggestion == schema.Suggestion.id)
    payload = session.scalar(made.where(schema.Review.regimen == version.id))
    if payload is None or payload.get("mandate") is None:
        return None
    made_for = practice.presets.of("") if payload.get("targets") is None else codec.load(Targets, payload["targets"])
    return codec.load(Mandate, payload["mandate"]) if made_for.same(targets) else None


def identity(db: Database, patient: str, therapy: str) -> tuple[str, str]:
    """`Recording.prescribed` and `Recording.data`, without the rest."""
    with stage("read"), db.read() as session:
        versions = current_version(session, patient, therapy), current_targets(session, patient, therapy)
        return _named(*versions), data_hash(session, patient)


def _named(version: RegimenVersion | None, targets: TargetsVersion | None) -> str:
    regimen = ESTIMATED if version is None or version.source == ESTIMATED else f"version {version.id}"
    return regimen if targets is None else f"{regimen}, targets {targets.id}"
