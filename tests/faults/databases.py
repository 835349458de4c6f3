"""Work on a database that is broken off at any point loses nothing and doubles nothing, and goes on when it is begun again.

A point is a statement that the work sends to the database, counted; there the process is killed, the disk is full, or the server
has ended the connection.
"""

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, event, func, select, text
from sqlalchemy.exc import DatabaseError

from careplan.clinic import overnight, verify_audit
from careplan.clinic.errors import ReviewError
from careplan.clinic.importing import store_records
from careplan.clinic.people import personalised
from careplan.clinic.reviews import sign_review
from careplan.clinic.suggestions import save_suggestion
from careplan.clinic.views import Decision
from careplan.store import StoreError, open_database
from careplan.store.backup import backup, restore
from careplan.store.database import MIGRATIONS, make_engine
from careplan.store.keys import default_signer
from careplan.store.schema import Base
from careplan.therapies.glucose.world import open_world
from careplan.world.loaded import World

from ..clinic.build import line, record, suggestion
from ..kept import DR_ADA

Fault = Literal["kill", "full", "lost"]
PEOPLE = ("ann", "bob", "cyd")


@dataclass(frozen=True)
class Work:
    """Something to break off. before: makes what it starts from. do: begun again, it goes on. rows: of tables, in the end."""

    name: str
    before: Callable[[str], None]
    do: Callable[[str], None]
    rows: dict[str, int]
    slow: bool = False


def _nothing(url: str) -> None:
    open_database(url).close()


def _import(url: str) -> None:
    db = open_database(url)
    report = store_records(db, "table", [record(name, days=1) for name in PEOPLE])
    db.close()
    assert not report.failed, report.failed


def _suggested(url: str) -> None:
    _import(url)
    db = open_database(url)
    save_suggestion(db, suggestion(line()))
    db.close()


def _sign(url: str) -> None:
    db = open_database(url)
    with suppress(ReviewError):  # signed already: the fault came after
        sign_review(db, 1, [Decision(key=line().key, verdict="accept", value=line().proposed)], DR_ADA, "prescribe as proposed")
    db.close()


@cache
def _world() -> World:
    return open_world()


def _personalise(url: str) -> None:
    db = open_database(url)
    personalised(db, PEOPLE, _world())
    db.close()


def _plan(url: str) -> None:
    """Everybody, in blocks of two; the search is short, for what it finds is stored like any other."""
    db = open_database(url)
    with patch.object(overnight, "SIMULATIONS", 2):
        night = overnight.plan_everyone(db, PEOPLE, _world(), block=2)
    db.close()
    assert not night.failed, night.failed


def _old(url: str) -> None:
    """A database of the revision before rows were covered, with rows to seal."""
    engine, config = make_engine(url), Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.execution_options(writer=True).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        now = "2024-03-01 00:00:00"
        connection.execute(text(f"INSERT INTO patient VALUES ('ann', 'adult', 'UTC', 't', NULL, '{now}')"))
        connection.execute(text(f"INSERT INTO regimen VALUES (1, 'ann', '{now}', '{now}', 'stated', '{{}}')"))
    engine.dispose()


def _backup(url: str) -> None:
    file = Path(os.environ["CAREPLAN_AUDIT"]).parent / "work.bak"
    file.unlink(missing_ok=True)
    backup(url, file)


EVENTS = len(record(days=1).events)
NOBODY = {"patient": 3, "event": 3 * EVENTS, "import_batch": 3, "suggestion": 0, "review": 0, "personalisation": 0}
WORKS = {
    work.name: work
    for work in (
        Work("import", _nothing, _import, NOBODY),
        Work("sign", _suggested, _sign, NOBODY | {"suggestion": 1, "review": 1}),
        Work("personalise", _import, _personalise, NOBODY | {"personalisation": 3}, slow=True),
        Work("plan", _import, _plan, NOBODY | {"personalisation": 3, "suggestion": 3}, slow=True),
        Work("migrate", _old, _nothing, {"patient": 1, "suggestion": 0, "review": 0}),
        Work("backup", _import, _backup, NOBODY),
    )
}


@contextmanager
def breaking(fault: Fault, at: int | None) -> Iterator[list[str]]:
    """Breaks statement number `at` of those sent within (none where None); gives those that were sent."""
    sent: list[str] = []

    def before(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)
        if len(sent) != at:
            return
        if fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif fault == "full":
            pages = cursor.connection.execute("PRAGMA page_count").fetchone()[0]
            cursor.connection.execute(f"PRAGMA max_page_count = {max(1, pages)}")
        else:
            number = connection.connection.driver_connection.info.backend_pid
            other = make_engine(os.environ["CAREPLAN_TEST_POSTGRESQL"])
            with other.connect() as killer:
                killer.execute(text(f"SELECT pg_terminate_backend({number})"))
            other.dispose()

    event.listen(Engine, "before_cursor_execute", before)
    try:
        yield sent
    finally:
        event.remove(Engine, "before_cursor_execute", before)


def broken_off(work: Work, url: str, fault: Fault, at: int) -> int | None:
    """Runs the work in a process of its own, which breaks; returns its exit code."""

    def child() -> None:
        with breaking(fault, at):
            try:
                work.do(url)
            except (StoreError, DatabaseError, OSError):
                os._exit(3)
        os._exit(0)

    _world()  # once, for every process that is begun from this one
    process = get_context("fork").Process(target=child)
    process.start()
    process.join(120)
    return process.exitcode


def contents(url: str) -> dict[str, int]:
    """How many rows each table holds, but the trail: reading and sealing make entries, too."""
    db = open_database(url)
    tables = {name: table for name, table in Base.metadata.tables.items() if name != "audit"}
    with db.read() as session:
        found = {name: session.scalar(select(func.count()).select_from(table)) or 0 for name, table in tables.items()}
    db.close()
    return found


def try_point(work: Work, fault: Fault, at: int, place: Callable[[], str]) -> str:
    """Breaks the work off at one point and begins it again. Raises AssertionError where something is lost, doubled or differs."""
    url = place()
    work.before(url)
    code = broken_off(work, url, fault, at)
    told = f"{work.name}, {fault} at statement {at}: exit code {code}"
    assert code in {"kill": (-signal.SIGKILL, 0), "full": (0, 3), "lost": (0, 3)}[fault], told
    open_database(url).close()  # what a killed process left without a checkpoint gets one
    found = verify_audit(url)
    assert found.problem is None, f"{told}: {found.problem}"
    partly = contents(url)
    assert all(partly[table] <= count for table, count in work.rows.items()), f"{told}: {partly}"
    assert partly["event"] == partly["import_batch"] * EVENTS, f"{told}: part of a patient"
    work.do(url)
    found = verify_audit(url)
    assert found.problem is None, f"{told}, begun again: {found.problem}"
    if work.name == "backup":
        folder = Path(os.environ["CAREPLAN_AUDIT"]).parent
        if "sqlite" in url or "://" not in url:
            restore(str(folder / "again.db"), folder / "work.bak", default_signer(), reason="a test")
        assert not list(folder.glob(".*.part*")), f"{told}: scratch files are left"
    found_rows = contents(url)
    assert {table: found_rows[table] for table in work.rows} == work.rows, told
    return told


def statements(work: Work, place: Callable[[], str]) -> int:
    """How many statements the work sends where nothing breaks."""
    url = place()
    work.before(url)
    with breaking("kill", None) as sent:
        work.do(url)
    return len(sent)


@contextmanager
def sqlite_places() -> Iterator[Callable[[], str]]:
    """A new folder for each database, its audit key beside it."""
    folders: list[Path] = []

    def place() -> str:
        folder = Path(tempfile.mkdtemp(prefix="careplan-faults-"))
        folders.append(folder)
        os.environ["CAREPLAN_AUDIT"] = str(folder / "audit")
        return str(folder / "store.db")

    before = os.environ.get("CAREPLAN_AUDIT")
    try:
        yield place
    finally:
        for folder in folders:
            shutil.rmtree(folder)
        if before is not None:
            os.environ["CAREPLAN_AUDIT"] = before


@contextmanager
def postgresql_places(url: str) -> Iterator[Callable[[], str]]:
    """The one database, emptied each time."""
    with sqlite_places() as folder:

        def place() -> str:
            folder()
            engine = make_engine(url)
            with engine.begin() as connection:
                connection.execute(text("DROP SCHEMA public CASCADE"))
                connection.execute(text("CREATE SCHEMA public"))
            engine.dispose()
            return url

        yield place
        place()
