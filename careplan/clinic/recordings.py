"""Recordings read from the store."""

from itertools import pairwise

import pandas as pd
from sqlalchemy import select
from sqlalchemy.orm import Session

from careplan.clinic import codec
from careplan.clinic.courses import course_of, practice_of
from careplan.clinic.errors import Altered, ClinicError
from careplan.clinic.reading import on_record
from careplan.clinic.records import current_version, require
from careplan.clinic.suggestions import stored
from careplan.practice import Practice
from careplan.recording import Recording, Signed
from careplan.records.events import PatientRecord
from careplan.records.grid import to_series
from careplan.stages import stage
from careplan.store import Actor, Database, data_hash, read_hashed, schema
from careplan.store.schema import RegimenVersion
from careplan.suggestion import predicted
from careplan.therapy import Mandate

ESTIMATED = "estimated"


def read_recording(db: Database, patient: str, therapy: str | None = None, *, actor: Actor | None = None) -> Recording:
    """The reading is on record. therapy: where the patient is treated under several.

    Raises `UnknownPatient`, or `ClinicError` without events.
    """
    with stage("read"):
        with db.read() as session:
            known = require(session, patient)
            course = course_of(session, patient, therapy)
            practice = practice_of(session, patient, course.therapy)
            version = current_version(session, patient, course.therapy)
            events, data = read_hashed(session, patient)
            mandate = _handed_down(session, version)
            changes = signed_changes(session, practice, patient)
        on_record(db, [patient], "planning", actor)
        if events.empty:
            raise ClinicError(f"patient {patient!r} has no events in the store")
        series = to_series(PatientRecord(patient=patient, zone=known.zone, events=events), practice.therapy)
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


def signed_changes(session: Session, practice: Practice, patient: str) -> tuple[Signed, ...]:
    """What signed reviews changed of a patient's regimen, the oldest first. What was predicted is of what was signed as it was
    proposed; of an edited change nothing was."""
    query = select(RegimenVersion).where(RegimenVersion.patient == patient, RegimenVersion.therapy == practice.name)
    versions = session.scalars(query.order_by(RegimenVersion.valid_from, RegimenVersion.id)).all()
    reviews = {
        review.regimen: review
        for review in session.scalars(select(schema.Review).where(schema.Review.patient == patient))
        if review.regimen is not None
    }
    return tuple(
        Signed(
            since=pd.Timestamp(after.valid_from),
            before=codec.load(practice.regimen, before.body),
            after=codec.load(practice.regimen, after.body),
            predicted=_predicted(session, reviews[after.id]),
        )
        for before, after in pairwise(versions)
        if after.id in reviews
    )


def _predicted(session: Session, review: schema.Review) -> dict[str, tuple[float, float]]:
    if review.meaning != "prescribe as proposed":
        return {}
    try:
        return predicted(stored(session, review.suggestion))
    except Altered:
        return {}


def identity(db: Database, patient: str, therapy: str) -> tuple[str, str]:
    """`Recording.prescribed` and `Recording.data`, without the rest."""
    with stage("read"), db.read() as session:
        return _named(current_version(session, patient, therapy)), data_hash(session, patient)


def _named(version: RegimenVersion | None) -> str:
    return ESTIMATED if version is None or version.source == ESTIMATED else f"version {version.id}"
