"""PostgreSQL's application role does careplan's work, and can neither write past the audit trail nor disable what keeps it."""

from collections.abc import Iterator

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from careplan.clinic.importing import store_records
from careplan.clinic.reviews import load_draft, save_draft, sign_review
from careplan.clinic.suggestions import save_suggestion
from careplan.store import Database, StoreError, open_database
from careplan.store.grants import grant
from careplan.suggestion import Decision

from ..clinic.build import line, record, suggestion
from ..kept import DR_ADA, verified

ROLE = "careplan_app"


@pytest.fixture
def application(postgresql: Database) -> Iterator[Database]:
    """The database as the application's role has it: it owns nothing."""
    with postgresql.engine.begin() as connection:
        connection.execute(text(f"CREATE ROLE {ROLE} LOGIN"))
        connection.execute(text(f"GRANT USAGE ON SCHEMA public TO {ROLE}"))
    grant(postgresql, ROLE)
    database = open_database(postgresql.engine.url.set(username=ROLE).render_as_string(hide_password=False))
    yield database
    database.engine.dispose()
    with postgresql.engine.begin() as connection:
        connection.execute(text(f"DROP OWNED BY {ROLE}"))
        connection.execute(text(f"DROP ROLE {ROLE}"))


def work(db: Database) -> None:
    """What careplan does in a day."""
    store_records(db, "table", [record("ann", days=1, weight=None), record("bob", days=1)])
    store_records(db, "table", [record("ann", days=2, weight=70.0)])
    number = save_suggestion(db, suggestion(line())).id
    assert number is not None
    decided = [Decision(key=line().key, verdict="accept", value=line().proposed)]
    for _ in range(2):
        save_draft(db, number, decided, DR_ADA)
    assert load_draft(db, number, DR_ADA) == tuple(decided)
    sign_review(db, number, decided, DR_ADA, "prescribe as proposed")


def test_the_role_can_do_what_careplan_does(application: Database, postgresql: Database) -> None:
    work(application)
    assert verified(application).problem is None and verified(postgresql).problem is None


FORGED = [
    "INSERT INTO review SELECT 9, 2, patient, 'Mallory', signed, meaning, decisions, regimen, identity FROM review",
    "INSERT INTO regimen SELECT 99, patient, valid_from, created, source, body, therapy FROM regimen LIMIT 1",
    "INSERT INTO suggestion SELECT 99, patient, kind, created, payload, provenance, therapy FROM suggestion LIMIT 1",
    "INSERT INTO patient SELECT 'eve', zone, source, created, clinic FROM patient LIMIT 1",
]
REFUSED = [
    "UPDATE review SET reviewer = 'Mallory'",
    "DELETE FROM review",
    "TRUNCATE review CASCADE",
    "UPDATE regimen SET source = 'stated'",
    "UPDATE suggestion SET kind = 'doses'",
    "UPDATE event SET value = 1",
    "UPDATE audit SET actor = 'Mallory'",
    "DELETE FROM audit",
    "ALTER TABLE review DISABLE TRIGGER ALL",
    "DROP TRIGGER review_needs_entry ON review",
    "DROP FUNCTION review_needs_entry() CASCADE",
    "CREATE OR REPLACE FUNCTION review_needs_entry() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    "SET session_replication_role = replica",
    "ALTER TABLE review OWNER TO careplan_app",
    "UPDATE alembic_version SET version_num = '0001'",
    "CREATE TABLE audit2 AS SELECT * FROM audit",
]


def test_the_role_cannot_write_without_an_entry_in_the_same_transaction(application: Database) -> None:
    work(application)
    save_suggestion(application, suggestion(line(), patient="bob"))
    for statement in FORGED:
        refused = pytest.raises(DatabaseError, match="no entry of the audit trail in this transaction names this row")
        with refused, application.engine.begin() as connection:
            connection.execute(text(statement))
    with pytest.raises(DatabaseError, match="no entry of the audit trail"), application.engine.begin() as connection:
        connection.execute(text("SET CONSTRAINTS ALL DEFERRED"))
        connection.execute(text(FORGED[1]))
    assert verified(application).problem is None


def test_a_temporary_table_in_the_place_of_the_trail_vouches_for_nothing(application: Database) -> None:
    """A role may make temporary tables, and their names come before those of the schema."""
    work(application)
    with pytest.raises(DatabaseError, match="in this transaction"), application.engine.begin() as connection:
        connection.execute(text("CREATE TEMPORARY TABLE audit AS SELECT * FROM public.audit LIMIT 0"))
        named = '[{"table": "regimen", "key": [99], "op": "made"}]'
        connection.execute(text("INSERT INTO audit (id, rows) VALUES (1, :rows)"), {"rows": named})
        connection.execute(text(FORGED[1]))
    assert verified(application).problem is None


def test_an_entry_of_an_earlier_transaction_does_not_do(application: Database, postgresql: Database) -> None:
    """A row that an entry names, but which was written later."""
    work(application)
    with postgresql.engine.begin() as connection:  # the owner makes room
        connection.execute(text("ALTER TABLE review DISABLE TRIGGER ALL"))
        kept = dict(connection.execute(text("SELECT * FROM review")).mappings().one())
        connection.execute(text("DELETE FROM review"))
        connection.execute(text("ALTER TABLE review ENABLE TRIGGER ALL"))
    with pytest.raises(DatabaseError, match="in this transaction"), application.engine.begin() as connection:
        values = {**kept, "decisions": "[]", "identity": "{}"}
        connection.execute(text(f"INSERT INTO review VALUES ({', '.join(f':{name}' for name in kept)})"), values)


def test_the_role_can_neither_change_what_is_on_record_nor_disable_what_keeps_it(application: Database) -> None:
    work(application)
    for statement in REFUSED:
        refused = pytest.raises(DatabaseError, match=r"permission denied|must be owner|append-only")
        with refused, application.engine.begin() as connection:
            connection.execute(text(statement))
    assert verified(application).problem is None


def test_rights_are_given_only_to_a_role_that_owns_nothing(postgresql: Database) -> None:
    with pytest.raises(StoreError, match="is a superuser or owns tables"):
        grant(postgresql, "postgres")
    with pytest.raises(StoreError, match="there is no role 'nobody'"):
        grant(postgresql, "nobody")


def test_roles_are_of_postgresql(db: Database) -> None:
    with pytest.raises(StoreError, match="an SQLite file belongs to whoever may write it"):
        grant(db, ROLE)
