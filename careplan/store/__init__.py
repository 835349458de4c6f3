"""Where records, regimens, suggestions, reviews and the audit trail are kept. Stands alone: it knows nothing else of careplan."""

from . import schema
from .audit import Verification, append, verify
from .database import Database, StoreError, open_database, upgrade
from .events import add_events, count_events, data_hash, read_channel, read_events, read_hashed

__all__ = [
    "Database",
    "StoreError",
    "Verification",
    "add_events",
    "append",
    "count_events",
    "data_hash",
    "open_database",
    "read_channel",
    "read_events",
    "read_hashed",
    "schema",
    "upgrade",
    "verify",
]
