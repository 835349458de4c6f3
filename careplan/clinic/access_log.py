"""Who read whose record is on record, too: one entry for each patient, day (UTC), actor and purpose."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from careplan.clinic.known import require
from careplan.store import Actor, Database, append, local_account, schema

Purpose = Literal["worklist", "review", "doses", "summary", "record", "planning", "question", "tool"]
READ = "read"  # the action


def log_access(db: Database, patients: Sequence[str], purpose: Purpose, actor: Actor | None = None) -> None:
    """Says that these patients are read, where it is not said of today already. actor: this machine's account where None."""
    actor = actor or local_account()
    with db.read() as session:
        if not _unsaid(session, patients, purpose, actor):
            return
    with db.write() as session:  # looked again, since another may have said it meanwhile
        for patient in _unsaid(session, patients, purpose, actor):
            append(session, actor, READ, patient=patient, purpose=purpose)


def log_record_view(db: Database, patient: str, actor: Actor | None = None) -> None:
    """Says that one patient's record is read. Raises `UnknownPatient`, and then says nothing."""
    with db.read() as session:
        require(session, patient)
    log_access(db, [patient], "record", actor)


def _unsaid(session: Session, patients: Sequence[str], purpose: Purpose, actor: Actor) -> list[str]:
    """Those of the patients whom no entry of today, this actor and this purpose names."""
    entry = schema.AuditEntry
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    query = select(entry.patient, entry.identity, entry.detail).where(entry.action == READ, entry.actor == actor.name)
    query = query.where(entry.time >= today)
    if len(patients) == 1:
        query = query.where(entry.patient == patients[0])
    said = {
        patient
        for patient, identity, detail in session.execute(query)
        if identity == actor.identity and detail.get("purpose") == purpose
    }
    return [patient for patient in patients if patient not in said]
