"""Where records, regimens, suggestions, reviews and the audit trail are kept.

Stands alone: of careplan it knows nothing but the settings that say where the audit key is. What a name needs is imported when it
is asked for: a list of patients waits neither for data frames nor for migrations.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import schema
    from .actors import Actor, local_account
    from .audit import append, number, put_on_record
    from .backup import accept, restore
    from .checks import forged, tampered, tampered_record
    from .database import Database, existing_database, open_database, place_of, upgrade
    from .errors import StoreError
    from .events import Batch, add_events, data_hash, read_channel, read_events, read_hashed, remove_events
    from .keys import Signer, new_key, open_signer
    from .secrets import lock, unlock
    from .tenancy import CLINIC, hidden, visible
    from .verification import Finding, Verification, verify
    from .verified import last_verified, note_verified

_HOME = {
    **dict.fromkeys(("Actor", "local_account"), "actors"),
    **dict.fromkeys(("append", "number", "put_on_record"), "audit"),
    **dict.fromkeys(("accept", "restore"), "backup"),
    **dict.fromkeys(("forged", "tampered", "tampered_record"), "checks"),
    **dict.fromkeys(("Database", "existing_database", "open_database", "place_of", "upgrade"), "database"),
    "StoreError": "errors",
    **dict.fromkeys(("Batch", "add_events", "data_hash", "read_channel", "read_events"), "events"),
    **dict.fromkeys(("read_hashed", "remove_events"), "events"),
    **dict.fromkeys(("Signer", "new_key", "open_signer"), "keys"),
    **dict.fromkeys(("lock", "unlock"), "secrets"),
    **dict.fromkeys(("CLINIC", "hidden", "visible"), "tenancy"),
    **dict.fromkeys(("Finding", "Verification", "verify"), "verification"),
    **dict.fromkeys(("last_verified", "note_verified"), "verified"),
}

__all__ = [
    "CLINIC",
    "Actor",
    "Batch",
    "Database",
    "Finding",
    "Signer",
    "StoreError",
    "Verification",
    "accept",
    "add_events",
    "append",
    "data_hash",
    "existing_database",
    "forged",
    "hidden",
    "last_verified",
    "local_account",
    "lock",
    "new_key",
    "note_verified",
    "number",
    "open_database",
    "open_signer",
    "place_of",
    "put_on_record",
    "read_channel",
    "read_events",
    "read_hashed",
    "remove_events",
    "restore",
    "schema",
    "tampered",
    "tampered_record",
    "unlock",
    "upgrade",
    "verify",
    "visible",
]


def __getattr__(name: str) -> Any:
    if name == "schema":
        return import_module(".schema", __name__)
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
