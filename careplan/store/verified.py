"""Up to where a database was verified, kept beside the checkpoints so that verifying can go on from there."""

import json
import os
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from .notary import identity
from .verification import Verification

VERIFIED = "verified.json"


def last_verified(folder: Path, connection: Connection) -> tuple[int, str] | None:
    """The entry up to which a database was verified last, and that entry's hash."""
    found = _read(folder).get(identity(connection))
    return None if found is None else (int(found["entry"]), str(found["head"]))


def note_verified(folder: Path, connection: Connection, found: Verification) -> None:
    """Remembers that nothing was found up to the newest entry."""
    told = _read(folder) | {identity(connection): {"entry": found.last, "head": found.head}}
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
