"""Triggers that keep the record, for migrations to put on a table. Alembic's batch mode drops triggers on SQLite: a migration
that alters a table in batch mode puts them on again."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import op

from careplan.store import guards


@contextmanager
def editable(table: str) -> Iterator[None]:
    """An append-only table without its triggers, so that a migration can fill a new column; with them again afterwards."""
    bind = op.get_bind()
    if bind.dialect.name == "postgresql":
        op.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        yield
        op.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
        return
    query = sa.text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :table")
    triggers = bind.execute(query, {"table": table}).all()
    for name, _ in triggers:
        op.execute(f"DROP TRIGGER {name}")
    yield
    for _, made in triggers:
        bind.exec_driver_sql(made)


def needs_entry(table: str, key: Sequence[str]) -> None:
    """Refuses a row that the newest entry of the audit trail does not name. key: the columns of the primary key."""
    for statement in guards.needs_entry(op.get_bind().dialect.name, table, key).statements:
        op.execute(statement)


def look_in_public(table: str, key: Sequence[str]) -> None:
    """PostgreSQL's function of `needs_entry` as it is now, in place of the one there is."""
    function, _ = guards.needs_entry("postgresql", table, key).statements
    op.execute(function.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1))


def append_only(table: str, keys: Sequence[str]) -> None:
    """Refuses to change or delete a row. keys: the unique keys by which INSERT OR REPLACE could delete one on SQLite."""
    for guard in guards.append_only(op.get_bind().dialect.name, table, keys):
        for statement in guard.statements:
            op.execute(statement)
