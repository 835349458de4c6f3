"""A whole database into one file, while others write to it, and back into an empty place."""

import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import Engine, inspect
from sqlalchemy.engine import URL

from .database import Database, existing_database, explained, make_engine, place_of
from .errors import StoreError
from .keys import Signer, What
from .notary import identity
from .verification import Verification, verify

CUT_OFF = "entries were cut off"  # how verifying begins to say that what was signed later is not there


def backup(url: str, file: Path) -> int:
    """Writes the database to a file that is not there yet; returns its size in bytes.

    SQLite's own online backup, or PostgreSQL's `pg_dump`: one state of the database, whatever is written meanwhile. The file
    appears when it is whole. Raises `StoreError` where there is no such database, a file by that name, or no room.
    """
    if file.exists():
        raise StoreError(f"{file}: exists; a backup is never written over")
    engine = existing_database(url)
    try:
        with _whole(file) as scratch, explained(place_of(engine)):
            if engine.dialect.name == "sqlite":
                with engine.connect() as connection, closing(sqlite3.connect(scratch)) as target:
                    source = connection.connection.driver_connection
                    assert isinstance(source, sqlite3.Connection)
                    source.backup(target)
                    target.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
            else:
                _run("pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={scratch}", _libpq(engine.url))
    finally:
        engine.dispose()
    return file.stat().st_size


def restore(url: str, file: Path, signer: Signer, *, reason: str | None = None) -> Verification:
    """Puts a backup into an empty place, and verifies it before anybody can use it.

    reason: accepts, on record, that entries which were signed after the backup are lost. Raises `StoreError` where the place is
    not empty, the file is no backup, something in it differs from its audit trail, or later entries are lost and there is no
    reason given; then SQLite's place is left empty, and PostgreSQL's is to be emptied.
    """
    if not file.is_file():
        raise StoreError(f"{file}: there is no such backup")
    target = make_engine(url)
    place = place_of(target)
    if target.dialect.name == "sqlite":
        path = Path(target.url.database or "")
        if path.exists():
            raise StoreError(f"{path}: exists; a backup is restored into an empty place")
        target.dispose()
        with _whole(path) as scratch:
            shutil.copyfile(file, scratch)
            return _verified(existing_database(str(scratch)), signer, place, reason)
    try:
        with explained(place), target.connect() as connection:
            if tables := inspect(connection).get_table_names():
                raise StoreError(f"{place}: holds {', '.join(tables[:5])}; a backup is restored into an empty place")
        _run("pg_restore", "--no-owner", "--exit-on-error", "--single-transaction", f"--dbname={_libpq(target.url)}", str(file))
    finally:
        target.dispose()
    return _verified(existing_database(url), signer, place, reason)


def _verified(engine: Engine, signer: Signer, place: str, reason: str | None) -> Verification:
    """What verifying found, where nothing was but what is accepted; then the head is signed for its new place."""
    try:
        with explained(place), engine.connect() as connection:
            found = verify(connection, signer.folder, place="")
            lost = [finding for finding in found.findings if finding.problem.startswith(CUT_OFF)]
            wrong = [finding for finding in found.findings if finding not in lost]
            if wrong:
                told = "; ".join(str(finding) for finding in wrong[:5])
                raise StoreError(f"{place}: not restored: the backup differs from its audit trail in {len(wrong)} places: {told}")
            if lost and not reason:
                raise StoreError(
                    f"{place}: not restored: the backup is older than what was signed, {lost[-1]}; give a reason to accept it"
                )
            what: What = "accepted" if lost else "checkpoint"
            signer.note(what, identity(connection), place, found.last, found.head, reason or "restored from a backup")
            return found
    finally:
        engine.dispose()


def accept(database: Database, reason: str) -> None:
    """Signs the trail as it is, though it lacks or contradicts what was signed before: a person vouches for it, on record. Raises
    `StoreError` for a database in memory, of which nothing outside keeps a record.
    """
    if database.notary is None:
        raise StoreError(f"{database.url}: is in memory, and nothing outside vouches for it")
    with explained(database.url), database.engine.connect() as connection:
        found = verify(connection, database.notary.signer.folder, place=database.place)
        database.notary.signer.note("accepted", identity(connection), database.place, found.last, found.head, reason)
        database.notary.resume(connection)


@contextmanager
def _whole(file: Path) -> Iterator[Path]:
    """A place beside a file, which becomes the file at the end; nothing is left of it where something goes wrong."""
    scratch = file.with_name(f".{file.name}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        yield scratch
        scratch.replace(file)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{file}: cannot be written ({error})") from error
    finally:
        for left in scratch.parent.glob(f"{scratch.name}*"):
            left.unlink()


def _run(name: str, *arguments: str) -> None:
    """One of PostgreSQL's own programs, from the path or where Debian keeps them."""
    found = shutil.which(name) or next(
        (str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))[-1:]), None
    )
    if found is None:
        raise StoreError(f"{name} is not installed: it comes with PostgreSQL's client programs")
    done = subprocess.run([found, *arguments], capture_output=True, text=True)
    if done.returncode:
        raise StoreError(f"{name} failed: {' '.join(done.stderr.split())[:500]}")


def _libpq(url: URL) -> str:
    """An address as PostgreSQL's programs take it."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)
