"""Opening a database: engine, sessions, and the schema brought up to date by the package's own migrations."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from .audit import CHECKPOINT, NOTARY, only_recorded
from .errors import StoreError
from .keys import Signer, default_signer
from .notary import Notary
from .tenancy import CLINIC, only_own

MIGRATIONS = Path(__file__).parents[2] / "migrations"  # beside the package, in a checkout and in a wheel alike
BUSY_SECONDS = 30.0
WRITE_LOCK = 7_391_001  # PostgreSQL's advisory lock, held until the transaction ends


@dataclass(frozen=True)
class Database:
    """An open database. `read` and `write` give sessions; a write is one transaction, kept whole or not at all.

    notary: signs what is written; None where nothing can be kept beside the database, which is in memory then. clinic: whose
    patients it shows, and new ones belong to; None is every clinic's, new patients belonging to the one without a name.
    """

    engine: Engine
    notary: Notary | None = None
    clinic: str | None = None

    def of(self, clinic: str) -> "Database":
        """The same database as one clinic sees it."""
        return replace(self, clinic=clinic)

    @property
    def url(self) -> str:
        return self.engine.url.render_as_string(hide_password=True)

    @property
    def place(self) -> str:
        """The address without a password, the same from whichever folder it is named."""
        return place_of(self.engine)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session on one consistent state of the database."""
        with explained(self.url), Session(self._there(), expire_on_commit=False) as session:
            session.info[NOTARY] = self.notary
            self._narrow(session)
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session committed at the end, rolled back on any error. Writers take turns: a second one waits.

        Every row is written by `append`, with its entry. Raises `StoreError` when the disk is full, another writer does not
        finish within `BUSY_SECONDS`, or a checkpoint is due and the trail no longer holds what was signed.
        """
        writer, notary = self._there().execution_options(writer=True), self.notary
        with explained(self.url), Session(writer, expire_on_commit=False, autoflush=False) as session, session.begin():
            session.info[NOTARY] = notary
            self._narrow(session)
            event.listen(session, "before_flush", only_recorded)
            _take_turn(session.connection())
            if notary is not None and notary.due:
                notary.refuse_if_broken(session.connection())
            yield session
        if notary is not None and CHECKPOINT in session.info:
            notary.behind = True
            if session.info[CHECKPOINT] or notary.due:
                self.note()

    def _narrow(self, session: Session) -> None:
        if self.clinic is not None:
            session.info[CLINIC] = self.clinic
            event.listen(session, "do_orm_execute", only_own)

    def _there(self) -> Engine:
        """The engine. A connection to an SQLite file that was deleted goes on as if nothing had happened: that is looked for."""
        name = self.engine.url.database
        if self.engine.dialect.name == "sqlite" and name not in (None, "", ":memory:") and not Path(str(name)).exists():
            raise StoreError(f"{self.url}: the database is no longer there")
        return self.engine

    def note(self) -> None:
        """Signs a checkpoint of what is committed."""
        if self.notary is not None:
            with explained(self.url), self.engine.connect() as connection:
                self.notary.note(connection)

    def close(self) -> None:
        """Lets go of the database, with a checkpoint where something was written since the last."""
        try:
            if self.notary is not None and self.notary.behind:
                self.note()
        finally:
            self.engine.dispose()


def open_database(url: str, *, signer: Callable[[], Signer] = default_signer, make: bool = True) -> Database:
    """The database at an SQLAlchemy URL, or at a path (SQLite), created if new and migrated to this version's schema.

    make: a file that is not there is made; else it is an error. signer: who signs the audit trail; by default the key that the
    settings name, made where there is none. Raises `StoreError` when it is not a careplan database, was made by a newer careplan,
    cannot be reached, or the key cannot be read.
    """
    database = Database(make_engine(url, make=make))
    try:
        if database.engine.url.get_backend_name() != "sqlite" or database.engine.url.database not in (None, "", ":memory:"):
            database = replace(database, notary=Notary(signer(), database.place))
        with explained(database.url):
            before = None if _up_to_date(database.engine) else upgrade(database)
        if database.notary is not None:
            with explained(database.url), database.engine.connect() as connection:
                if before is not None and before[0] is None:
                    database.notary.note(connection, new=True)
                else:
                    database.notary.resume(connection)
    except StoreError:
        database.engine.dispose()
        raise
    return database


def place_of(engine: Engine) -> str:
    """An engine's address without user and password, the same from whichever folder it is named and for every role."""
    name = engine.url.database
    if engine.dialect.name == "sqlite" and name:
        return f"sqlite:///{Path(name).resolve()}"
    at = engine.url
    return URL.create(at.drivername, host=at.host, port=at.port, database=name, query=at.query).render_as_string()


def existing_database(url: str) -> Engine:
    """An engine for a database that is there and of this version's schema. Makes and migrates nothing.

    Raises `StoreError` where there is none, it is not careplan's, or its schema is another.
    """
    engine = make_engine(url, make=False)
    place = engine.url.render_as_string(hide_password=True)
    try:
        with explained(place), engine.connect() as connection:
            tables, found = inspect(connection).get_table_names(), revision(connection)
        if "audit" not in tables and found is None:
            raise StoreError(f"{place}: not a careplan database; it holds {', '.join(tables[:5]) or 'no tables'}")
        if found is None:
            raise StoreError(f"{place}: its revision is gone: somebody emptied alembic_version past careplan")
        if found != (head := newest()):
            raise StoreError(f"{place}: is at revision {found}, this careplan expects {head}: run `careplan db upgrade`")
    except StoreError:
        engine.dispose()
        raise
    return engine


def upgrade(database: Database) -> tuple[str | None, str]:
    """Migrates to the newest schema in one transaction; returns the revision before and after. Raises `StoreError` where the
    database is not careplan's, or a newer careplan made it.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.attributes["notary"] = database.notary
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with explained(database.url), database.engine.execution_options(writer=True).begin() as connection:
        _take_turn(connection)
        before = revision(connection)
        if before is None and (tables := inspect(connection).get_table_names()):
            raise StoreError(f"{database.url}: not a careplan database; it holds {', '.join(tables[:5])}")
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise StoreError(
                f"{database.url}: is at revision {before}, made by a newer careplan: upgrade careplan ({error})"
            ) from error
        after = revision(connection) or ""
    return before, after


def revision(connection: Connection) -> str | None:
    """The schema revision of the database, `None` where it has none."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()


def newest() -> str:
    """The revision of this version's schema: migrations are files that begin with their number."""
    return max(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def _up_to_date(engine: Engine) -> bool:
    with engine.connect() as connection:
        return revision(connection) == newest()


def make_engine(url: str, *, make: bool = True) -> Engine:
    """An engine for a URL or a path; connections with the execution option `writer` take SQLite's write lock at once.

    make: SQLite makes a file that is not there. Raises `StoreError` for what is no address, or a file that should be there.
    """
    if "://" not in url:
        url = f"sqlite:///{Path(url).expanduser()}"
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            if parsed.database and parsed.database != ":memory:":
                if not make and not Path(parsed.database).is_file():
                    raise StoreError(f"{parsed.database}: there is no database; `careplan import` and `careplan demo` make one")
                Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
            engine = create_engine(parsed, connect_args={"timeout": BUSY_SECONDS}, json_serializer=_json)
            event.listen(engine, "connect", _configure_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
            return engine
        return create_engine(parsed, pool_pre_ping=True, json_serializer=_json)
    except ArgumentError as error:
        raise StoreError(f"database {url!r}: expected a path or a URL such as sqlite:///careplan.db") from error
    except ImportError as error:
        raise StoreError(
            f"database {url!r}: its driver is not installed ({error.name}): pip install 'careplan[postgresql]'"
        ) from error
    except OSError as error:
        raise StoreError(f"database {url!r}: {error}") from error


def _take_turn(connection: Connection) -> None:
    """Waits for other writers. On SQLite the connection's BEGIN IMMEDIATE did so already."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITE_LOCK})")


def _json(value: Any) -> str:
    """Letters as they are: SQLite's triggers compare keys as text, and SQLite escapes none."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False)


def _configure_sqlite(connection: Any, _: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves: the driver's own leaves DDL outside the transaction
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA recursive_triggers = ON")
    deadline = monotonic() + BUSY_SECONDS
    while True:  # turning WAL on does not wait for a lock by itself
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or monotonic() > deadline:
                raise
            sleep(0.05)


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes the lock before it reads, so that what it read still holds when it writes.
    writer = connection.get_execution_options().get("writer", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writer else "BEGIN")


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Raises `StoreError`, which says in words what went wrong, in place of the database's own error; programming errors pass
    through.
    """
    try:
        yield
    except DatabaseError as error:
        reason = str(error.orig).strip()
        if "locked" in reason:
            reason = f"another process is writing to it and did not finish within {BUSY_SECONDS:.0f} s; try again ({reason})"
        elif "full" in reason or "disk I/O" in reason:
            reason = f"no space to write; this change was not kept ({reason})"
        elif not isinstance(error, OperationalError) and "not a database" not in reason and "malformed" not in reason:
            raise
        raise StoreError(f"{url}: {reason}") from error
