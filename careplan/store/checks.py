"""Whether one row is still as it was put on record: what a use case asks before it shows or signs something."""

from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from .audit import NOTARY, SEALED, digest
from .keys import signed_by, trusted
from .schema import AuditEntry, Base, table_of
from .seals import differing, read_rows, seal


def tampered(session: Session, kind: type[Base], key: tuple[Any, ...], patient: str | None) -> str | None:
    """Why a row is not as it was put on record, in words; None where it is.

    patient: whose row it is, under whose entries it is looked for. The entry must have its hash and, where the database has a
    notary, a signature by a trusted key.
    """
    table = table_of(kind)
    row = next(read_rows(session.connection(), table, [key]), None)
    if row is None:
        return "it is not there"
    entry, known = _newest(session, table.name, key, patient)
    if entry is None or known is None:
        return "no entry of the audit trail made it"
    if problem := forged(session, entry):
        return f"entry {entry.id} of the audit trail, which made it, {problem}"
    now = seal(table, row, "made")
    return (
        None
        if now["digest"] == known.get("digest")
        else f"it differs from entry {entry.id} in {', '.join(differing(known, now))}"
    )


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
