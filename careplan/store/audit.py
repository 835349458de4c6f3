"""An append-only trail of who did what, and what of the database each entry covers.

Each entry is chained to the one before by its hash, and signed with a key that is not in the database. It holds a digest of every
row that it made, changed or removed, so that a row which nobody put on record, or which differs from what was, is found
(`verification`). Triggers refuse to change or delete an entry, and refuse a row that the newest entry does not name.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import func, insert, inspect, select, update
from sqlalchemy.orm import Session

from .actors import Actor
from .notary import Notary
from .schema import DERIVED, AuditEntry, Base, WorklistEntry, table_of
from .seals import Op, seal, unstorable

GENESIS = "0" * 64
SEALED = "sealed"  # the action of an entry that covers rows as a migration found them
DIFFERED = "differed"  # in its detail: the rows that were not as they had been put on record
NOTARY, CHECKPOINT = "notary", "checkpoint"  # of `Session.info`: who signs, and whether a checkpoint is due once it is committed
RECORDED, NUMBERED = "recorded", "numbered"  # of `Session.info`: the rows of the newest entry, and by table the last number given
BEHIND = timedelta(minutes=1)  # a clock that is set back further than this is on record

Row = TypeVar("Row", bound=Base)


def append(
    session: Session,
    actor: Actor,
    action: str,
    *,
    patient: str | None = None,
    rows: Sequence[Base] = (),
    removed: Sequence[Base] = (),
    checkpoint: bool = False,
    **detail: Any,
) -> AuditEntry:
    """Adds an entry, and then the rows it covers, within a transaction of `Database.write`, whose writers take turns.

    rows: new or changed mapped objects, written by this; a new one without a number gets the next. removed: objects, deleted by
    this. What the worklist shows of the patient is stale from then on. checkpoint: sign the head outside the database, too, once
    this is committed. detail: plain JSON values. An entry is never earlier than the one before: a clock that was set back is told
    of in the detail. Raises `ValueError` for a value that JSON or the database cannot hold.
    """
    covers = [_seal(row, "made" if new else "changed") for row, new in _told(session, rows)]
    covers += [_seal(row, "removed") for row in removed]
    if checkpoint and (notary := session.info.get(NOTARY)) is not None:
        notary.refuse_if_broken(session.connection())
    entry = put_on_record(session, actor, action, covers, patient=patient, **detail)
    session.info[CHECKPOINT] = session.info[CHECKPOINT] or checkpoint
    session.add_all(rows)
    for row in removed:
        session.delete(row)
    session.info[RECORDED] = {*rows, *removed}
    session.flush()
    session.info[RECORDED] = set()
    if covers and patient is not None:
        mine = update(WorklistEntry).where(WorklistEntry.patient == patient, WorklistEntry.stale.is_(False))
        session.connection().execute(mine.values(stale=True))
    return entry


def put_on_record(
    session: Session, actor: Actor, action: str, seals: Sequence[Mapping[str, Any]], *, patient: str | None = None, **detail: Any
) -> AuditEntry:
    """Adds an entry alone, with the seals of rows that are written otherwise: by a migration."""
    connection = session.connection()
    query = select(AuditEntry.id, AuditEntry.hash, AuditEntry.time).order_by(AuditEntry.id.desc()).limit(1)
    number, previous, last = connection.execute(query).first() or (0, GENESIS, None)
    now = datetime.now(UTC)
    if last is not None and now < last:
        if last - now > BEHIND:
            detail["clock"] = now.isoformat(timespec="seconds")
        now = last
    entry = AuditEntry(
        id=number + 1,
        time=now,
        actor=actor.name,
        action=action,
        patient=patient,
        detail=json.loads(json.dumps(detail, allow_nan=False)),  # hash what will be read back
        previous=previous,
        identity=actor.identity,
        rows=json.loads(json.dumps(seals)) or None,
        key=None,
        signature=None,
    )
    entry.hash = digest(entry)
    notary: Notary | None = session.info.get(NOTARY)
    if notary is not None:
        entry.key, entry.signature = notary.signer.fingerprint, notary.signer.sign(entry.hash)
    connection.execute(insert(AuditEntry).values(_values(entry)))
    session.info.setdefault(CHECKPOINT, False)
    return entry


def number(session: Session, row: Row) -> Row:
    """The row with the next number of its table, where it has none and its key is one. Writers take turns, so it stays free."""
    table = table_of(type(row))
    [*key] = table.primary_key.columns
    if len(key) == 1 and getattr(row, key[0].name) is None:
        given = session.info.setdefault(NUMBERED, {})
        highest = session.connection().execute(select(func.max(key[0]))).scalar() or 0
        given[table.name] = max(highest, given.get(table.name, 0)) + 1
        setattr(row, key[0].name, given[table.name])
    return row


def only_recorded(session: Session, *_: Any) -> None:
    """Before a flush: every row in it is covered by an entry. Raises `RuntimeError` for one that is not, which is a bug."""
    recorded = session.info.get(RECORDED, set())
    for row in (*session.new, *session.deleted, *(row for row in session.dirty if session.is_modified(row))):
        if row not in recorded and DERIVED not in table_of(type(row)).info:
            raise RuntimeError(f"a row of {type(row).__tablename__} is written without an entry of the audit trail: use append")


def digest(entry: AuditEntry) -> str:
    """SHA-256 of the entry as canonical JSON, the previous hash included."""
    body = {
        "id": entry.id,
        "time": entry.time.astimezone(UTC).isoformat(timespec="microseconds"),
        "actor": entry.actor,
        "action": entry.action,
        "patient": entry.patient,
        "detail": entry.detail,
        "previous": entry.previous,
    }
    body |= {name: value for name in ("identity", "rows") if (value := getattr(entry, name)) is not None}
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _told(session: Session, rows: Sequence[Base]) -> list[tuple[Base, bool]]:
    """Each row, numbered, and whether it is new."""
    return [(number(session, row), not inspect(row).persistent) for row in rows]


def _seal(row: Base, op: Op) -> dict[str, Any]:
    table, values = table_of(type(row)), _values(row)
    if op != "removed" and (bad := unstorable(values)):
        raise ValueError(f"{table.name}: {bad} is {values[bad]}, expected a finite number")
    return seal(table, values, op)


def _values(row: Base) -> dict[str, Any]:
    return {column.name: getattr(row, column.name) for column in table_of(type(row)).columns}
