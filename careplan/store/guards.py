"""The triggers that keep the record: what migrations make, and what verifying holds a database's own to."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, MetaData

from .schema import Base, keys_of
from .seals import TRAIL, covered

APPEND_ONLY = (TRAIL, "suggestion", "regimen", "review", "targets")  # whose rows no entry may change or remove
# Bits of `pg_trigger.tgtype`, which say when a trigger runs.
EACH_ROW, BEFORE, INSERT, DELETE, UPDATE, TRUNCATE = 1, 2, 4, 8, 16, 32


@dataclass(frozen=True)
class Guard:
    """One trigger. text: what the database keeps of it, SQLite the statement, PostgreSQL the body of its function. when:
    PostgreSQL's `tgtype`. statements: what makes it."""

    name: str
    table: str
    text: str
    statements: tuple[str, ...]
    when: int = 0


def needs_entry(dialect: str, table: str, key: Sequence[str]) -> Guard:
    """Refuses a row that the newest entry of the audit trail does not name, on PostgreSQL one of this very transaction.

    key: the columns of the primary key. SQLite looks before each row: the entry comes first. PostgreSQL looks when the
    transaction is committed, in the schema that it is in: a temporary table of its name would come first.
    """
    name, values = f"{table}_needs_entry", ", ".join(f'NEW."{column}"' for column in key)
    if dialect == "sqlite":
        text = (
            f"CREATE TRIGGER {name} BEFORE INSERT ON {table} WHEN NOT EXISTS ("
            f"SELECT 1 FROM audit, json_each(audit.rows) AS named WHERE audit.id = (SELECT max(id) FROM audit) "
            f"AND json_extract(named.value, '$.table') = '{table}' "
            f"AND json_extract(named.value, '$.key') = json_array({values})) "
            f"BEGIN SELECT RAISE(ABORT, '{table}: this row is not in the newest entry of the audit trail'); END"
        )
        return Guard(name, table, text, (text,))
    text = (
        f" BEGIN IF NOT EXISTS (SELECT 1 FROM public.audit, json_array_elements(audit.rows) AS named "
        f"WHERE audit.xmin::text = (txid_current() % 4294967296)::text AND named->>'table' = '{table}' "
        f"AND (named->'key')::jsonb = jsonb_build_array({values})) "
        f"THEN RAISE EXCEPTION '{table}: no entry of the audit trail in this transaction names this row'; END IF; "
        f"RETURN NULL; END "
    )
    trigger = f"CREATE CONSTRAINT TRIGGER {name} AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
    return Guard(name, table, text, _with_function(name, text, trigger), EACH_ROW | INSERT)


def append_only(dialect: str, table: str, keys: Sequence[str]) -> list[Guard]:
    """Refuses to change or delete a row. keys: the unique keys by which INSERT OR REPLACE could delete one on SQLite."""
    if dialect != "sqlite":
        name, text = f"{table}_append_only", f" BEGIN RAISE EXCEPTION '{table} is append-only'; END "
        trigger = f"CREATE TRIGGER {name} BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} FOR EACH STATEMENT"
        return [Guard(name, table, text, _with_function(name, text, trigger), BEFORE | DELETE | UPDATE | TRUNCATE)]
    refused = f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
    texts = {
        verb: f"CREATE TRIGGER {table}_no_{verb} BEFORE {verb.upper()} ON {table} {refused}" for verb in ("update", "delete")
    }
    # INSERT OR REPLACE deletes the old row without firing the DELETE trigger: refuse a key that exists.
    exists = " OR ".join(f"{key} = NEW.{key}" for key in keys)
    texts["replace"] = (
        f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} "
        f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {exists}) "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only: this row exists'); END"
    )
    return [Guard(f"{table}_no_{verb}", table, text, (text,)) for verb, text in texts.items()]


def guards(dialect: str, metadata: MetaData = Base.metadata) -> list[Guard]:
    """Every trigger that the newest schema has."""
    found = [needs_entry(dialect, table.name, [column.name for column in table.primary_key]) for table in covered(metadata)]
    for name in APPEND_ONLY:
        found += append_only(dialect, name, [column for key in keys_of(metadata.tables[name]) for column in key])
    return found


def broken_guards(connection: Connection) -> Iterator[tuple[str, str]]:
    """By table, what is wrong with a trigger that keeps the record, or that careplan did not make."""
    sqlite = connection.dialect.name == "sqlite"
    there = _on_sqlite(connection) if sqlite else _on_postgresql(connection)
    for guard in guards(connection.dialect.name):
        table, text, when = there.pop(guard.name, ("", "", 0))
        if not table:
            yield guard.table, f"its trigger {guard.name} is missing or disabled: rows can be written past the trail"
        elif (table, " ".join(text.split()), when) != (guard.table, " ".join(guard.text.split()), guard.when):
            yield guard.table, f"its trigger {guard.name} is not the one that careplan makes: rows can be written past the trail"
    for name, (table, _, _) in sorted(there.items()):
        yield table, f"has a trigger {name} that careplan did not make"


def _on_sqlite(connection: Connection) -> dict[str, tuple[str, str, int]]:
    rows = connection.exec_driver_sql("SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger'")
    return {name: (table, text, 0) for name, table, text in rows}


def _on_postgresql(connection: Connection) -> dict[str, tuple[str, str, int]]:
    """Those that are enabled. One that has a condition counts as another."""
    rows = connection.exec_driver_sql(
        "SELECT tgname, relname, CASE WHEN tgqual IS NULL THEN prosrc ELSE '' END, tgtype FROM pg_trigger "
        "JOIN pg_class ON pg_class.oid = tgrelid JOIN pg_proc ON pg_proc.oid = tgfoid "
        "WHERE NOT tgisinternal AND tgenabled IN ('O', 'A') AND relnamespace = current_schema()::regnamespace"
    )
    return {name: (table, text, when) for name, table, text, when in rows}


def _with_function(name: str, body: str, trigger: str) -> tuple[str, str]:
    """The statements of PostgreSQL that make a trigger with a function of its own."""
    made = f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $${body}$$"
    return made, f"{trigger} EXECUTE FUNCTION {name}()"
