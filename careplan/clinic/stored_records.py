"""What is stored of a patient, read: without the tensors that a plan begins from, which `recordings` makes of it."""

from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from careplan.clinic.access_log import Purpose, log_access
from careplan.clinic.courses import course_of, practice_of
from careplan.clinic.errors import ClinicError
from careplan.clinic.known import require
from careplan.records.events import PatientRecord
from careplan.store import Actor, Database, data_hash, read_events

if TYPE_CHECKING:
    from careplan.series import PatientSeries


def load_record(
    db: Database, patient: str, therapy: str | None = None, *, purpose: Purpose = "record", actor: Actor | None = None
) -> PatientRecord:
    """All events of a patient, with the group and the covariates of a course; this is on record.

    Raises `UnknownPatient`, and as `course_of`.
    """
    with db.read() as session:
        found = record_of(session, patient, therapy)
    log_access(db, [patient], purpose, actor)
    return found


def record_of(session: Session, patient: str, therapy: str | None = None) -> PatientRecord:
    """What `load_record` gives, for a use case that has put its reading on record itself."""
    stored, course = require(session, patient), course_of(session, patient, therapy)
    return PatientRecord(
        patient=patient,
        zone=stored.zone,
        events=read_events(session, patient),
        weight=course.covariates.get("weight"),
        group=course.group,
    )


def load_series(db: Database, patient: str, therapy: str | None = None) -> "PatientSeries":
    """A patient's recording on the grid of their therapy. Raises `UnknownPatient`, and `ClinicError` without events."""
    from careplan.records.grid import to_series  # with the tensors that it is made of

    record = load_record(db, patient, therapy)
    if record.events.empty:
        raise ClinicError(f"patient {patient!r} has no events in the store")
    with db.read() as session:
        return to_series(record, practice_of(session, patient, therapy).therapy)


def patient_data_hash(db: Database, patient: str) -> str:
    """Changes whenever the patient's events do; the key under which a personalisation is kept."""
    with db.read() as session:
        require(session, patient)
        return data_hash(session, patient)
