"""Who is in the store, and what is in force for them."""

from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from careplan.clinic.errors import UnknownPatient
from careplan.store import Database
from careplan.store.schema import Patient, RegimenVersion, TargetsVersion


def require(session: Session, patient: str) -> Patient:
    """The stored patient; raises `UnknownPatient`, naming those there are."""
    found = session.get(Patient, patient)
    if found is None:
        raise UnknownPatient(patient, list(session.scalars(select(Patient.id).order_by(Patient.id))))
    return found


def patient_names(db: Database) -> list[str]:
    """Everyone in the store, by name."""
    with db.read() as session:
        return list(session.scalars(select(Patient.id).order_by(Patient.id)))


def current_version(session: Session, patient: str, therapy: str, at: datetime | None = None) -> RegimenVersion | None:
    """The regimen version in force under a therapy at a time (now): the latest that holds by then, the newest of equals."""
    query = select(RegimenVersion).where(
        RegimenVersion.patient == patient,
        RegimenVersion.therapy == therapy,
        RegimenVersion.valid_from <= (at or datetime.now(UTC)),
    )
    return session.scalars(query.order_by(RegimenVersion.valid_from.desc(), RegimenVersion.id.desc()).limit(1)).first()


def current_targets(session: Session, patient: str, therapy: str) -> TargetsVersion | None:
    """The targets version in force under a therapy; None where nobody signed any."""
    query = select(TargetsVersion).where(TargetsVersion.patient == patient, TargetsVersion.therapy == therapy)
    return session.scalars(query.order_by(TargetsVersion.id.desc()).limit(1)).first()
