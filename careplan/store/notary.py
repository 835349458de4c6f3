"""Keeps the checkpoints of one database: what was signed stays in its trail, and what is new is signed in time."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, select

from .errors import StoreError
from .keys import CHECKPOINTS, DAILY, Checkpoint, Signer, last_checkpoint
from .schema import AuditEntry


@dataclass
class Notary:
    """place: the database's address. behind: whether entries were written since the last checkpoint. last: when that was."""

    signer: Signer
    place: str
    behind: bool = False
    last: datetime | None = None

    @property
    def due(self) -> bool:
        """Whether a day has passed."""
        return self.last is None or datetime.now(UTC) - self.last > DAILY

    def refuse_if_broken(self, connection: Connection) -> None:
        """Raises `StoreError` where the trail does not hold what was signed last: nothing may be built upon it."""
        if problem := broken(connection, self._known(connection)):
            raise StoreError(f"{self.place}: {problem}; `careplan audit verify` tells more")

    def note(self, connection: Connection, *, new: bool = False) -> None:
        """Signs the head as it is. new: this database was made just now, whatever was at its place before."""
        if not new:
            self.refuse_if_broken(connection)
        head = connection.execute(select(AuditEntry.id, AuditEntry.hash).order_by(AuditEntry.id.desc()).limit(1)).first()
        if head is not None:
            self.signer.note("checkpoint", identity(connection), self.place, *head)
            self.behind, self.last = False, datetime.now(UTC)

    def resume(self, connection: Connection) -> None:
        """Learns of the last checkpoint when a database is opened, and whether a killed process left entries without one.

        Where nothing is known of it, as of one that comes from elsewhere, what is there is signed and trusted from now on.
        """
        known = self._known(connection)
        if known is None:
            self.note(connection, new=True)
        if known is not None and broken(connection, known) is None:
            self.last = datetime.fromisoformat(known.time)
            newest = connection.scalar(select(AuditEntry.id).order_by(AuditEntry.id.desc()).limit(1))
            self.behind = newest != known.entries

    def _known(self, connection: Connection) -> Checkpoint | None:
        return last_checkpoint(self.signer.folder, identity(connection), self.place)


def identity(connection: Connection) -> str:
    """Which database this is, wherever it lies: the hash of its first entry; empty where it has none."""
    return connection.scalar(select(AuditEntry.hash).where(AuditEntry.id == 1)) or ""


def broken(connection: Connection, known: Checkpoint | None) -> str | None:
    """Why the trail does not continue from a checkpoint, in words."""
    if known is None:
        return None
    if known.database != identity(connection):
        return f"this is another database than the one signed here at {known.time}, or its whole trail was rewritten"
    hash = connection.scalar(select(AuditEntry.hash).where(AuditEntry.id == known.entries))
    if hash == known.head:
        return None
    told = "entries were cut off" if hash is None else "entries were rewritten"
    return f"{told}: the audit trail no longer holds entry {known.entries} as it was signed at {known.time} ({CHECKPOINTS})"
