"""Whether everything that is on record is as it was put there, and who vouches for it."""

from pathlib import Path
from typing import NamedTuple

from careplan.settings import Settings
from careplan.store import (
    Actor,
    Database,
    StoreError,
    Verification,
    accept,
    append,
    existing_database,
    last_verified,
    local_account,
    new_key,
    note_verified,
    open_database,
    open_signer,
    place_of,
    verify,
)


class Replaced(NamedTuple):
    """The fingerprints of an old key (None where it was lost) and of the new one.

    shut: how many tokens of sources must be given again.
    """

    old: str | None
    new: str
    shut: int = 0


def verify_audit(url: str, *, expect: str | None = None, since_last: bool = False, folder: Path | None = None) -> Verification:
    """Recomputes the audit trail of the database at an address or a path, and every row that it covers. Makes and writes nothing.

    expect: a head noted elsewhere, which must still be in the trail. since_last: only what came after the last time that nothing
    was found, and of what was there then only that it is as much. folder: of the trusted keys and the checkpoints, where not the
    settings' own. Raises `StoreError` where there is no such database.
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


def accept_trail(db: Database, reason: str, *, actor: Actor | None = None) -> None:
    """Vouches for a trail as it is, though it lacks what was signed before; who and why is on record. Raises `StoreError`."""
    accept(db, reason)
    with db.write() as session:
        append(session, actor or local_account(), "trail accepted", checkpoint=True, reason=reason)


def replace_key(url: str, *, lost: str | None = None, actor: Actor | None = None) -> Replaced:
    """Signs the database's trail with a new key from now on, on record. lost: why the old key is gone.

    What the old key signed before stays valid, and what it signs later is found. Tokens of sources are kept under the new key;
    of a lost key they do not open any more, and must be given again. Raises `StoreError`, also where the key is given
    by a setting and is not careplan's to replace.
    """
    from careplan.clinic.sites import sources, under_new_key

    settings = Settings()
    if settings.audit_key:
        raise StoreError("CAREPLAN_AUDIT_KEY gives the audit key: give another one there; the old one stays trusted")
    folder = settings.audit_folder()
    old = None if lost is not None else open_signer(folder)
    known = None if old is None else old.fingerprint
    new = new_key(folder, lost=lost)
    db = open_database(url)
    with db.write() as session:
        who = actor or local_account()
        append(session, who, "audit key replaced", checkpoint=True, old=known, new=new.fingerprint, lost=lost)
        moved = 0 if old is None else under_new_key(session, old, new, who)
    shut = sum(source.secret for source in sources(db)) - moved
    db.close()
    return Replaced(known, new.fingerprint, shut)
