"""Where records, regimens, suggestions, reviews and the audit trail are kept.

Stands alone: of careplan it knows nothing but the settings that say where the audit key is.
"""

from . import schema
from .actors import Actor, local_account
from .audit import append, number, put_on_record
from .backup import accept, backup, restore
from .checks import tampered
from .database import Database, existing_database, open_database, place_of, upgrade
from .errors import StoreError
from .events import add_events, count_events, data_hash, read_channel, read_events, read_hashed, remove_events
from .keys import new_key, open_signer
from .tenancy import CLINIC, hidden, visible
from .verification import Finding, Verification, verify
from .verified import last_verified, note_verified

__all__ = [
    "CLINIC",
    "Actor",
    "Database",
    "Finding",
    "StoreError",
    "Verification",
    "accept",
    "add_events",
    "append",
    "backup",
    "count_events",
    "data_hash",
    "existing_database",
    "hidden",
    "last_verified",
    "local_account",
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
    "upgrade",
    "verify",
    "visible",
]
