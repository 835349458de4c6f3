"""Whatever is changed in a database past careplan is found, and named: one edit a column and a deletion a table, over every table
of the schema, on SQLite and on PostgreSQL; and what somebody does who knows how the trail is made, but has not the key.

Each edit is made with triggers and foreign keys out of the way, inside a transaction that is verified and then rolled back.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    JSON,
    Column,
    Connection,
    DateTime,
    Float,
    Integer,
    Table,
    TypeDecorator,
    delete,
    insert,
    select,
    text,
    update,
)

from careplan.clinic.importing import store_records
from careplan.clinic.reviews import save_draft, sign_review
from careplan.clinic.suggestions import save_suggestion
from careplan.clinic.targets import sign_targets
from careplan.settings import Settings
from careplan.store import Database, Finding, StoreError, append, open_database, verify
from careplan.store.audit import digest
from careplan.store.schema import BATCHED, AuditEntry, Base, Personalisation, Source, table_of
from careplan.store.seals import TRAIL, batched, covered, read_rows, seal
from careplan.suggestion import Decision

from ..clinic.build import line, record, suggestion
from ..kept import DR_ADA, actor, drop_triggers

TABLES = [*covered(Base.metadata), *batched(Base.metadata), table_of(AuditEntry)]
DERIVED = {"job", "worklist"}  # what is to be done, and what is computed: nobody decides by them
EDITS = [(table, column) for table in TABLES for column in table.columns]
AUDIT = table_of(AuditEntry)


def fill(db: Database) -> None:
    """Rows in every table."""
    store_records(db, "table", [record("ann", days=1), record("bob", days=1)])
    for patient in ("ann", "bob"):
        number = save_suggestion(db, suggestion(line(), patient=patient)).id
        assert number is not None
        decided = Decision(key=line().key, verdict="accept", value=line().proposed)
        if patient == "ann":
            sign_review(db, number, [decided], DR_ADA, "prescribe as proposed")
        else:
            save_draft(db, number, [decided], DR_ADA)
    sign_targets(db, "ann", preset="older", reason="falls", actor=DR_ADA)
    with db.write() as session:
        now = datetime(2024, 3, 2, tzinfo=UTC)
        person = Personalisation(patient="ann", model_hash="m", data_hash="d", created=now, code={"mean": [0.1, None]})
        append(session, actor(), "personalised", patient="ann", rows=[person])
        source = Source(patient="ann", address="https://ann.example", token="k:c2VjcmV0", added=now, last=now)
        append(session, actor(), "source kept", patient="ann", rows=[source])


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql_url")
    else:
        url = str(tmp_path_factory.mktemp("attacked") / "store.db")
    db = open_database(url)
    fill(db)
    db.close()
    yield db
    if request.param == "postgresql":
        with db.engine.begin() as connection:
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
    db.engine.dispose()


@pytest.fixture
def attacked(filled: Database) -> Iterator[Connection]:
    """A connection to do anything with; what it does is undone."""
    with filled.engine.connect() as connection:
        if filled.engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
            drop_triggers(connection)
        else:
            connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        yield connection
        connection.rollback()


def found(db: Database, connection: Connection) -> list[Finding]:
    """What verifying finds, but that the triggers were dropped."""
    findings = verify(connection, Settings().audit_folder(), place=db.place).findings
    return [finding for finding in findings if "its trigger" not in finding.problem]


def other(column: Column[Any], value: Any) -> Any:
    """Another value of a column's kind."""
    kind = column.type.impl_instance if isinstance(column.type, TypeDecorator) else column.type
    if isinstance(kind, JSON):
        return {"edited": 1}
    if isinstance(kind, DateTime):
        return value + timedelta(seconds=1)
    if isinstance(kind, Integer):
        return 1000 if value is None else value + 1000
    if isinstance(kind, Float):
        return 0.5 if value is None else value + 0.5
    return "edited" if value is None else value + "x"


def test_an_untouched_database_is_found_whole(filled: Database, attacked: Connection) -> None:
    assert found(filled, attacked) == []
    for table in TABLES:
        assert attacked.execute(select(table)).first() is not None, f"no row of {table.name} to attack"


@pytest.mark.parametrize(("table", "column"), EDITS, ids=lambda value: value.name)
def test_every_edit_of_a_column_is_found(filled: Database, attacked: Connection, table: Table, column: Column[Any]) -> None:
    order = [each.desc() for each in table.primary_key.columns]
    row = attacked.execute(select(table).order_by(*order).limit(1)).mappings().one()
    this = [each == row[each.name] for each in table.primary_key.columns]
    attacked.execute(update(table).where(*this).values({column.name: other(column, row[column.name])}))
    findings = found(filled, attacked)
    key = row[table.info[BATCHED][0]] if BATCHED in table.info else row[next(iter(table.primary_key.columns)).name]
    named = [finding for finding in findings if finding.table == table.name]
    assert named, f"{table.name}.{column.name} was edited unseen"
    if table.name == TRAIL:
        assert any(finding.entry in (row["id"], row["id"] + 1) for finding in named) or column.primary_key
        return
    assert any(finding.key[0] == key for finding in named)
    assert column.primary_key or BATCHED in table.info or column.name in named[0].fields
    assert "patient" not in table.columns or column.name == "patient" or row["patient"] in {each.patient for each in named}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
@pytest.mark.parametrize("which", ["one", "all"])
def test_every_deletion_is_found(filled: Database, attacked: Connection, table: Table, which: str) -> None:
    order = [each.desc() for each in table.primary_key.columns]
    row = attacked.execute(select(table).order_by(*order).limit(1)).mappings().one()
    this = [each == row[each.name] for each in table.primary_key.columns] if which == "one" else []
    attacked.execute(delete(table).where(*this))
    findings = found(filled, attacked)
    assert [finding for finding in findings if finding.table == table.name], f"rows of {table.name} were deleted unseen"


@pytest.mark.parametrize("table", [*covered(Base.metadata), *batched(Base.metadata)], ids=lambda table: table.name)
def test_every_forged_row_is_found(filled: Database, attacked: Connection, table: Table) -> None:
    row = dict(attacked.execute(select(table).limit(1)).mappings().one())
    for column in table.primary_key.columns:
        row[column.name] = other(column, row[column.name])
    if table.name == "review":
        row["suggestion"] = 2
    attacked.execute(insert(table).values(**row))
    assert [finding for finding in found(filled, attacked) if finding.table == table.name]


# Somebody who knows how an entry is made, and has not the key.


def entries(connection: Connection) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(select(AUDIT).order_by(AUDIT.c.id)).mappings()]


def forged(connection: Connection, **changes: Any) -> dict[str, Any]:
    """The newest entry once more as the next, with a valid hash and the signature of the last."""
    last = entries(connection)[-1]
    entry = last | {"id": last["id"] + 1, "previous": last["hash"], "rows": None, **changes}
    return entry | {"hash": digest(AuditEntry(**{name: entry[name] for name in entry if name != "hash"}))}


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_newest_entries_deleted_are_found_without_a_noted_head(filled: Database, attacked: Connection, count: int) -> None:
    newest = entries(attacked)[-1]["id"]
    attacked.execute(delete(AUDIT).where(AUDIT.c.id > newest - count))
    assert any("cut off" in finding.problem for finding in found(filled, attacked))


def test_the_newest_entry_deleted_with_its_row_is_found(filled: Database, attacked: Connection) -> None:
    newest = entries(attacked)[-1]
    [row] = newest["rows"]
    attacked.execute(delete(AUDIT).where(AUDIT.c.id == newest["id"]))
    attacked.execute(delete(Base.metadata.tables[row["table"]]))
    [finding] = found(filled, attacked)
    assert "entries were cut off" in finding.problem


@pytest.mark.parametrize("signature", ["of another entry", "none"])
def test_a_forged_entry_that_is_appended_is_found(filled: Database, attacked: Connection, signature: str) -> None:
    entry = forged(attacked) | ({} if signature == "of another entry" else {"key": None, "signature": None})
    attacked.execute(insert(AUDIT).values(**entry))
    [finding] = found(filled, attacked)
    assert finding.entry == entry["id"] and "signed" in finding.problem


def test_a_forged_review_with_a_forged_entry_is_found(filled: Database, attacked: Connection) -> None:
    review = Base.metadata.tables["review"]
    row = dict(attacked.execute(select(review)).mappings().one()) | {"id": 7, "suggestion": 2, "reviewer": "Dr Mallory"}
    attacked.execute(insert(review).values(**row))
    made = next(each for each in read_rows(attacked, review) if each["id"] == 7)
    entry = forged(attacked, action="signed", rows=[seal(review, made, "made")])
    attacked.execute(insert(AUDIT).values(**entry))
    assert [finding.entry for finding in found(filled, attacked)] == [entry["id"]]


@pytest.mark.parametrize("whole", [True, False])
def test_a_chain_rewritten_with_valid_hashes_is_found(filled: Database, attacked: Connection, whole: bool) -> None:
    """From the first entry on, or from the third; signatures are dropped, as nobody can make them."""
    previous = "0" * 64
    for entry in entries(attacked):
        if whole or entry["id"] >= 3:
            entry |= {"actor": "Mallory", "previous": previous, "key": None, "signature": None}
            entry["hash"] = digest(AuditEntry(**{name: entry[name] for name in entry if name != "hash"}))
            attacked.execute(update(AUDIT).where(AUDIT.c.id == entry["id"]).values(**entry))
        previous = entry["hash"]
    findings = found(filled, attacked)
    assert any("not signed" in finding.problem or "rewritten" in finding.problem for finding in findings)


def test_entries_whose_times_run_backwards_are_found(filled: Database, attacked: Connection) -> None:
    entry = forged(attacked, time=datetime(2001, 1, 1, tzinfo=UTC))
    attacked.execute(insert(AUDIT).values(**entry))
    assert any("earlier than the one before" in finding.problem for finding in found(filled, attacked))


def test_a_row_deleted_and_made_again_by_careplan_is_found(tmp_path: Path) -> None:
    db = open_database(str(tmp_path / "store.db"))
    fill(db)
    with db.engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER regimen_no_delete")
        connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        newest = connection.exec_driver_sql("SELECT max(id) FROM regimen").scalar()
        connection.exec_driver_sql("DROP TRIGGER review_no_update")
        connection.exec_driver_sql(f"UPDATE review SET regimen = NULL WHERE regimen = {newest}")
        connection.exec_driver_sql(f"DELETE FROM regimen WHERE id = {newest}")
    store_records(db, "table", [record("cyd", days=1)])
    with db.engine.connect() as connection:
        assert any(finding.key == (newest,) and "made this row anew" in finding.problem for finding in found(db, connection))
    db.close()


def test_another_database_in_the_place_of_one_that_was_signed_is_found_and_not_written_to(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.db", tmp_path / "theirs.db"
    for path in (ours, theirs):
        db = open_database(str(path))
        fill(db)
        db.close()
    ours.unlink()
    theirs.rename(ours)
    db = open_database(str(ours))
    with db.engine.connect() as connection:
        assert any("another database" in finding.problem for finding in found(db, connection))
    with pytest.raises(StoreError, match="another database"):
        store_records(db, "table", [record("eve", days=1)])
    db.engine.dispose()


def test_a_forged_row_is_refused(filled: Database) -> None:
    """The triggers of either database refuse a row that is in no entry of its transaction."""
    for name in ("review", "regimen", "suggestion", "patient", "import_batch", "personalisation", "draft", "targets"):
        table = Base.metadata.tables[name]
        with filled.engine.connect() as connection:
            row = dict(connection.execute(select(table).limit(1)).mappings().one())
        for column in table.primary_key.columns:
            row[column.name] = other(column, row[column.name]) if not column.foreign_keys else row[column.name]
        if name == "review":
            row["suggestion"] = 2
        if name == "draft":
            row["reviewer"] = "Mallory"
        with pytest.raises(Exception, match="entry of the audit trail"), filled.engine.begin() as connection:
            connection.execute(insert(table).values(**row))


def test_the_covering_follows_the_schema() -> None:
    """So many single edits are tried above: one a column and a deletion a table."""
    tables = {name: table for name, table in Base.metadata.tables.items() if name not in DERIVED}
    assert len(EDITS) == sum(len(table.columns) for table in tables.values())
    assert len(EDITS) + len(TABLES) >= 56
    assert {table.name for table in TABLES} == set(tables)
