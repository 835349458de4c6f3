"""Whether everything that is on record is as it was put there."""

from pathlib import Path

from careplan.settings import Settings
from careplan.store import Verification, existing_database, last_verified, note_verified, place_of, verify


def verify_audit(url: str, *, expect: str | None = None, since_last: bool = False, folder: Path | None = None) -> Verification:
    """Recomputes the audit trail of the database at an address or a path, and every row that it covers. Makes and writes nothing.

    expect: a head noted elsewhere, which must still be in the trail. since_last: only what came after the last time that nothing
    was found. folder: of the trusted keys and the checkpoints, where not the settings' own. Raises `StoreError` where there is
    no such database.
    """
    folder, engine = folder or Settings().audit_folder(), existing_database(url)
    try:
        with engine.connect() as connection:
            since = last_verified(folder, connection) if since_last else None
            found = verify(connection, folder, place=place_of(engine), expect=expect, since=since)
            if found.problem is None:
                note_verified(folder, connection, found)
        return found
    finally:
        engine.dispose()
