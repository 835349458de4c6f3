"""Whether one row is still as it was put on record: what a use case asks before it shows or signs something."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Table, or_, select
from sqlalchemy.orm import Session

from .audit import NOTARY, SEALED, digest
from .keys import signed_by, trusted
from .schema import AuditEntry, Base, Course, Event, ImportBatch, Patient, table_of
from .seals import differing, digests, plain, read_rows, seal


def tampered(session: Session, kind: type[Base], key: tuple[Any, ...], patient: str | None) -> str | None:
    """Why a row is not as it was put on record, in words; None where it is.

    patient: whose row it is, under whose entries it is looked for. The entry must have its hash and, where the database has a
    notary, a signature by a trusted key.
    """
    table = table_of(kind)
    row = next(read_rows(session.connection(), table, [key]), None)
    if row is None:
        return "it is not there"
    return _differs(session, table, row, *_newest(session, table.name, key, patient))


def tampered_record(session: Session, patient: str) -> str | None:
    """Why something of a patient that limits and rules are read from is not as it was put on record: who they are, their courses,
    batches or events; None where all of it is. One walk of their entries and one scan of their events."""
    newest: dict[tuple[str, tuple[Any, ...]], tuple[AuditEntry, dict[str, Any]]] = {}
    query = select(AuditEntry).where(AuditEntry.rows.is_not(None))
    for entry in session.scalars(
        query.where(or_(AuditEntry.patient == patient, AuditEntry.action == SEALED)).order_by(AuditEntry.id)
    ):
        newest |= {(known["table"], tuple(known["key"])): (entry, known) for known in entry.rows or []}
    connection, batches = session.connection(), dict[int, Any]()
    for kind, column in ((Patient, Patient.id), (Course, Course.patient), (ImportBatch, ImportBatch.patient)):
        table = table_of(kind)
        keys = [tuple(key) for key in connection.execute(select(*table.primary_key).where(column == patient))]
        for row in read_rows(connection, table, keys):
            key = tuple(row[part.name] for part in table.primary_key)
            if problem := _differs(session, table, row, *newest.get((table.name, key), (None, None))):
                return f"{table.name} {' '.join(map(str, key))}: {problem}"
            if kind is ImportBatch:
                batches[row["id"]] = plain(table.c.digest, row["digest"])
    found = _events_of(session, patient)
    altered = [number for number in sorted({*batches, *found}) if batches.get(number, {}) != found.get(number, {})]
    return f"events of batch {altered[0]} differ from its digest" if altered else None


def _events_of(session: Session, patient: str) -> dict[int, dict[str, str]]:
    """By batch, by channel: the digest of a patient's events."""
    table = table_of(Event)
    query = select(table).where(table.c.patient == patient).order_by(*table.primary_key)
    return digests(table, [[tuple(row) for row in session.connection().execute(query)]])


def forged(session: Session, entry: AuditEntry) -> str | None:
    """Why an entry is not one that careplan wrote, in words; None where it is. One without a signature is of nobody, where the
    database has a notary: whatever names rows or an identity has been signed since there were any."""
    notary = session.info.get(NOTARY)
    keys = {} if notary is None else trusted(notary.signer.folder)
    if digest(entry) != entry.hash:
        return "was changed"
    if keys and not signed_by(keys, entry.key, entry.hash, entry.signature):
        return "is forged, or signed by a key that is not trusted here"
    return None


def _differs(
    session: Session, table: Table, row: Mapping[str, Any], entry: AuditEntry | None, known: Mapping[str, Any] | None
) -> str | None:
    """Why a row is not as an entry put it on record, which is the newest that names it."""
    if entry is None or known is None:
        return "no entry of the audit trail made it"
    if problem := forged(session, entry):
        return f"entry {entry.id} of the audit trail, which made it, {problem}"
    now = seal(table, row, "made")
    if now["digest"] == known.get("digest"):
        return None
    return f"it differs from entry {entry.id} in {', '.join(differing(known, now))}"


def _newest(
    session: Session, table: str, key: tuple[Any, ...], patient: str | None
) -> tuple[AuditEntry | None, dict[str, Any] | None]:
    """The newest entry that names a row, and the row's seal in it."""
    query = select(AuditEntry).where(AuditEntry.rows.is_not(None))
    query = query.where(or_(AuditEntry.patient == patient, AuditEntry.action == SEALED)).order_by(AuditEntry.id.desc())
    for entry in session.scalars(query):
        for known in entry.rows or []:
            if known["table"] == table and tuple(known["key"]) == key:
                return entry, known
    return None, None
