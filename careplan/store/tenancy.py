"""Patients belong to clinics: a database that is opened for some clinics shows no row of any other.

Every query of mapped classes is narrowed here, so that no use case can forget to; the few that read a patient's events by other
means ask `visible` first.
"""

from collections.abc import Sequence

from sqlalchemy import or_, select
from sqlalchemy.orm import ORMExecuteState, Session, with_loader_criteria

from .errors import StoreError
from .schema import (
    AuditEntry,
    Course,
    Draft,
    Event,
    ImportBatch,
    Patient,
    Personalisation,
    RegimenVersion,
    Review,
    Source,
    Suggestion,
    TargetsVersion,
    WorklistEntry,
    table_of,
)

CLINIC = "clinic"  # of `Session.info`: the one clinic that the session sees; absent where it sees every one
OF_A_PATIENT = (
    *(Course, ImportBatch, Event, RegimenVersion, TargetsVersion, Personalisation, Suggestion, Review, Source),
    WorklistEntry,
)


def only_own(state: ORMExecuteState) -> None:
    """Before a query runs: only what belongs to a patient of the session's clinic."""
    if not state.is_select:
        return
    patient, suggestion = table_of(Patient), table_of(Suggestion)
    own = select(patient.c.id).where(patient.c.clinic == state.session.info[CLINIC])
    theirs = select(suggestion.c.id).where(suggestion.c.patient.in_(own))
    state.statement = state.statement.options(
        with_loader_criteria(Patient, Patient.clinic == state.session.info[CLINIC]),
        *(with_loader_criteria(kind, kind.patient.in_(own)) for kind in OF_A_PATIENT),
        with_loader_criteria(Draft, Draft.suggestion.in_(theirs)),
        with_loader_criteria(AuditEntry, or_(AuditEntry.patient.is_(None), AuditEntry.patient.in_(own))),
    )


def visible(session: Session, patients: Sequence[str]) -> set[str]:
    """Those of the patients whom a session may see; all who are stored, where it sees every clinic."""
    return set(session.scalars(select(Patient.id).where(Patient.id.in_(patients))))


def require_visible(session: Session, patient: str) -> None:
    """Raises `StoreError` where the session may not see a patient."""
    if CLINIC in session.info and not visible(session, [patient]):
        raise StoreError(f"patient {patient!r} is not in the store")


def hidden(session: Session, patient: str) -> bool:
    """Whether there is a patient of that name whom the session may not see."""
    table = table_of(Patient)
    there = session.connection().execute(select(table.c.id).where(table.c.id == patient)).first() is not None
    return there and not visible(session, [patient])
