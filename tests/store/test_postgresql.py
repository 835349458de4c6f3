"""The same promises on PostgreSQL, where one is given: CAREPLAN_TEST_POSTGRESQL=postgresql+psycopg://user@host/empty_database."""

import os
from collections.abc import Iterator
from threading import Thread

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import MetaData, text
from sqlalchemy.exc import DatabaseError

from careplan.clinic.records import load_record, store_records
from careplan.store import Database, add_events, append, open_database, read_events, verify
from careplan.store.schema import Base, Patient

from ..clinic.build import record
from .test_events import START, table


@pytest.fixture
def db() -> Iterator[Database]:
    url = os.environ.get("CAREPLAN_TEST_POSTGRESQL")
    if url is None:
        reason = "CAREPLAN_TEST_POSTGRESQL does not name an empty database"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    database = open_database(url)
    yield database
    with database.engine.begin() as connection:
        found = MetaData()
        found.reflect(connection)
        found.drop_all(connection)
        for name in ("audit", "suggestion", "regimen", "review"):
            connection.execute(text(f"DROP FUNCTION {name}_append_only"))
    database.close()


def test_migrations_create_what_the_models_declare(db: Database) -> None:
    with db.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'x'", "DELETE FROM audit", "TRUNCATE audit"])
def test_the_trail_refuses_to_be_edited(db: Database, statement: str) -> None:
    with db.write() as session:
        append(session, "dr", "did", number=1.5)
    with pytest.raises(DatabaseError, match="append-only"), db.write() as session:
        session.execute(text(statement))
    with db.read() as session:
        assert (verify(session).entries, verify(session).problem) == (1, None)


def test_writers_at_once_keep_one_chain(db: Database) -> None:
    def write() -> None:
        for number in range(20):
            with db.write() as session:
                append(session, "dr", "did", number=number)

    threads = [Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with db.read() as session:
        result = verify(session)
    assert (result.entries, result.problem) == (80, None)


def test_two_imports_at_once_keep_everything_once(db: Database) -> None:
    failures: list[Exception] = []

    def importing() -> None:
        try:
            store_records(db, "table", [record("ann", days=1), record("bob", days=1)])
        except Exception as error:
            failures.append(error)

    threads = [Thread(target=importing) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [len(load_record(db, name).events) for name in ("ann", "bob")] == [len(record(days=1).events)] * 2
    with db.read() as session:
        assert verify(session).problem is None


def test_events_come_back_and_are_kept_once(db: Database) -> None:
    events = table([(0, "bolus", 2.0, 0.0), (0, "bolus", 2.0, 0.0), (5, "basal", 0.1, float("nan"))])
    with db.write() as session:
        session.add(Patient(id="p", group="adult", zone="UTC", source="t", weight=None, created=START.to_pydatetime()))
        session.flush()
        assert add_events(session, "p", events, source="t") == {"basal": 1, "bolus": 2}
    with db.write() as session:
        assert add_events(session, "p", events, source="t") == {}
    with db.read() as session:
        assert read_events(session, "p")["value"].tolist() == [2.0, 2.0, 0.1]
