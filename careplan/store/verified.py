"""Up to where a database was verified, kept beside the checkpoints so that verifying can go on from there."""

import json
import os
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from .notary import identity
from .schema import Base
from .seals import batched, covered
from .verification import Since, Verification, count

VERIFIED = "verified.json"


def last_verified(folder: Path, connection: Connection) -> Since | None:
    """Up to where a database was verified last; None where that is not known."""
    match _read(folder).get(identity(connection)):
        case {"entry": int(entry), "head": str(head), "rows": dict(rows)}:
            return Since(entry, head, {name: many for name, many in rows.items() if isinstance(many, int)})
    return None


def note_verified(folder: Path, connection: Connection, found: Verification) -> None:
    """Remembers that nothing was found up to the newest entry."""
    rows = {table.name: count(connection, table) for table in (*covered(Base.metadata), *batched(Base.metadata))}
    told = _read(folder) | {identity(connection): {"entry": found.last, "head": found.head, "rows": rows}}
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    scratch = folder / f"{VERIFIED}.{os.getpid()}"
    scratch.write_text(json.dumps(told, indent=1))
    scratch.replace(folder / VERIFIED)


def _read(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / VERIFIED).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
