"""Triggers that keep the record, for migrations to put on a table. Alembic's batch mode drops triggers on SQLite: a migration
that alters a table in batch mode puts them on again."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import op


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
    """Refuses a row that the newest entry of the audit trail does not name, on PostgreSQL one of this very transaction.

    key: the columns of the primary key. SQLite looks before each row: the entry comes first. PostgreSQL looks when the
    transaction is committed.
    """
    if op.get_bind().dialect.name == "sqlite":
        values = ", ".join(f'NEW."{column}"' for column in key)
        op.execute(
            f"CREATE TRIGGER {table}_needs_entry BEFORE INSERT ON {table} WHEN NOT EXISTS ("
            f"SELECT 1 FROM audit, json_each(audit.rows) AS named WHERE audit.id = (SELECT max(id) FROM audit) "
            f"AND json_extract(named.value, '$.table') = '{table}' "
            f"AND json_extract(named.value, '$.key') = json_array({values})) "
            f"BEGIN SELECT RAISE(ABORT, '{table}: this row is not in the newest entry of the audit trail'); END"
        )
        return
    values = ", ".join(f'NEW."{column}"' for column in key)
    op.execute(
        f"CREATE FUNCTION {table}_needs_entry() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF NOT EXISTS (SELECT 1 FROM audit, json_array_elements(audit.rows) AS named "
        f"WHERE audit.xmin::text = (txid_current() % 4294967296)::text AND named->>'table' = '{table}' "
        f"AND (named->'key')::jsonb = jsonb_build_array({values})) "
        f"THEN RAISE EXCEPTION '{table}: no entry of the audit trail in this transaction names this row'; END IF; "
        f"RETURN NULL; END $$"
    )
    op.execute(
        f"CREATE CONSTRAINT TRIGGER {table}_needs_entry AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED "
        f"FOR EACH ROW EXECUTE FUNCTION {table}_needs_entry()"
    )


def append_only(table: str, keys: Sequence[str]) -> None:
    """Refuses to change or delete a row. keys: the unique keys by which INSERT OR REPLACE could delete one on SQLite."""
    if op.get_bind().dialect.name != "sqlite":
        op.execute(
            f"CREATE FUNCTION {table}_append_only() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '{table} is append-only'; END $$"
        )
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_append_only()"
        )
        return
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )
    # INSERT OR REPLACE deletes the old row without firing the DELETE trigger: refuse a key that exists.
    exists = " OR ".join(f"{key} = NEW.{key}" for key in keys)
    op.execute(
        f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} "
        f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {exists}) "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only: this row exists'); END"
    )
