"""An append-only trail of who did what, each entry chained to the one before by its hash.

Triggers refuse to change or delete an entry; the chain finds what a privileged user did in spite of them. On PostgreSQL the
application's role must not own the table, since an owner can disable triggers. Cutting off the newest entries leaves a
chain that is whole: note the head that `verify` returns elsewhere, and give it back as `expect`.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from .schema import AuditEntry

GENESIS = "0" * 64


@dataclass(frozen=True)
class Verification:
    """What walking the chain found: entries walked, the head hash, and the first bad entry in words (`None` when whole)."""

    entries: int
    head: str
    problem: str | None


def append(session: Session, actor: str, action: str, *, patient: str | None = None, **detail: Any) -> AuditEntry:
    """Adds an entry within a transaction of `Database.write`, whose writers take turns. `detail`: plain JSON values."""
    session.flush()
    last = session.execute(select(AuditEntry.id, AuditEntry.hash).order_by(AuditEntry.id.desc()).limit(1)).first()
    number, previous = last if last is not None else (0, GENESIS)
    detail = json.loads(json.dumps(detail, allow_nan=False))  # hash what will be read back
    entry = AuditEntry(
        id=number + 1, time=datetime.now(UTC), actor=actor, action=action, patient=patient, detail=detail, previous=previous
    )
    entry.hash = digest(entry)
    session.add(entry)
    session.flush()
    return entry


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
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def verify(session: Session, *, expect: str | None = None) -> Verification:
    """Walks the whole chain. `expect`: a head noted earlier, which must still be in it."""
    previous, count, seen = GENESIS, 0, expect is None or expect == GENESIS
    for entry in session.scalars(select(AuditEntry).order_by(AuditEntry.id).execution_options(yield_per=1000)):
        count += 1
        if entry.id != count:
            return Verification(count - 1, previous, f"entry {count} is missing: entry {entry.id} follows {count - 1}")
        if entry.previous != previous:
            return Verification(
                count - 1, previous, f"entry {count} does not follow entry {count - 1}: its previous hash differs"
            )
        try:
            intact = digest(entry) == entry.hash
        except (TypeError, ValueError, AttributeError):
            intact = False
        if not intact:
            return Verification(count - 1, previous, f"entry {count} was changed: its hash does not match")
        previous = entry.hash
        seen = seen or previous == expect
    return Verification(
        count, previous, None if seen else f"the noted head {expect} is not in the chain: entries were cut off or rewritten"
    )
