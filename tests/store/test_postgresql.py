"""The same promises on PostgreSQL, where one is given: CAREPLAN_TEST_POSTGRESQL=postgresql+psycopg://user@host/empty_database."""

from threading import Thread

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from careplan.clinic.importing import store_records
from careplan.clinic.stored_records import load_record
from careplan.clinic.targets import sign_targets, targets_in_force
from careplan.store import Batch, Database, add_events, append, read_events
from careplan.store.schema import Base, Patient, table_of
from careplan.store.seals import read_rows

from ..clinic.build import record
from ..kept import DR_ADA, actor, patient, verified
from .test_events import table


def test_migrations_create_what_the_models_declare(postgresql: Database) -> None:
    with postgresql.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'x'", "DELETE FROM audit", "TRUNCATE audit"])
def test_the_trail_refuses_to_be_edited(postgresql: Database, statement: str) -> None:
    with postgresql.write() as session:
        append(session, actor(), "did", number=1.5)
    with pytest.raises(DatabaseError, match="append-only"), postgresql.write() as session:
        session.execute(text(statement))
    assert (verified(postgresql).entries, verified(postgresql).problem) == (2, None)


def test_a_row_is_read_by_its_key_as_the_database_holds_it(postgresql: Database) -> None:
    with postgresql.write() as session:
        append(session, actor(), "added", rows=[patient("p"), patient("q")])
    with postgresql.engine.connect() as connection:
        [row] = read_rows(connection, table_of(Patient), [("q",)])
        assert row["id"] == "q" and [each["id"] for each in read_rows(connection, table_of(Patient))] == ["p", "q"]


def test_writers_at_once_keep_one_chain(postgresql: Database) -> None:
    def write() -> None:
        for number in range(20):
            with postgresql.write() as session:
                append(session, actor(), "did", number=number)

    threads = [Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    result = verified(postgresql)
    assert (result.entries, result.problem) == (81, None)


def test_two_imports_at_once_keep_everything_once(postgresql: Database) -> None:
    failures: list[Exception] = []

    def importing() -> None:
        try:
            store_records(postgresql, "table", [record("ann", days=1), record("bob", days=1)])
        except Exception as error:
            failures.append(error)

    threads = [Thread(target=importing) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [len(load_record(postgresql, name).events) for name in ("ann", "bob")] == [len(record(days=1).events)] * 2
    assert verified(postgresql).problem is None


def test_events_come_back_and_are_kept_once(postgresql: Database) -> None:
    events = table([(0, "bolus", 2.0, 0.0), (0, "bolus", 2.0, 0.0), (5, "basal", 0.1, float("nan"))])
    with postgresql.write() as session:
        append(session, actor(), "patient added", rows=[patient()])
        assert add_events(session, "p", events, Batch(source="t"), actor=actor()) == {"basal": 1, "bolus": 2}
    with postgresql.write() as session:
        assert add_events(session, "p", events, Batch(source="t"), actor=actor()) == {}
    with postgresql.read() as session:
        assert read_events(session, "p")["value"].tolist() == [2.0, 2.0, 0.1]


def test_targets_that_were_signed_stay_as_they_are(postgresql: Database) -> None:
    store_records(postgresql, "table", [record("ann", days=1)])
    sign_targets(postgresql, "ann", preset="older", reason="falls", actor=DR_ADA)
    for statement in ("UPDATE targets SET preset = 'x'", "DELETE FROM targets", "TRUNCATE targets"):
        with pytest.raises(DatabaseError, match="append-only"), postgresql.write() as session:
            session.execute(text(statement))
    assert targets_in_force(postgresql, "ann").targets.preset == "older" and verified(postgresql).problem is None
