"""Opening, migrating and refusing databases."""

import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic import op
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from careplan.store import Database, StoreError, append, open_database, upgrade
from careplan.store.schema import Base
from careplan.store.seals import covered
from careplan.store.verification import APPEND_ONLY

from ..kept import actor, patient


def test_migrations_create_what_the_models_declare(db: Database) -> None:
    with db.engine.connect() as connection:
        assert set(inspect(connection).get_table_names()) == {*Base.metadata.tables, "alembic_version"}
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []


def test_every_append_only_table_has_its_triggers(db: Database) -> None:
    with db.engine.connect() as connection:
        names = set(connection.scalars(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")))
    expected = {f"{table}_no_{verb}" for table in APPEND_ONLY for verb in ("update", "delete", "replace")} | {
        f"{table.name}_needs_entry" for table in covered(Base.metadata)
    }
    assert names == expected


def test_sqlite_is_opened_with_wal_foreign_keys_and_patience(db: Database) -> None:
    with db.engine.connect() as connection:
        pragma = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "foreign_keys", "busy_timeout")
        }
    assert pragma == {"journal_mode": "wal", "foreign_keys": 1, "busy_timeout": 30_000}


def test_opening_again_migrates_nothing_and_upgrade_says_so(db: Database) -> None:
    before, after = upgrade(db)
    assert before == after


def test_a_folder_that_does_not_exist_is_made(tmp_path: Path) -> None:
    open_database(str(tmp_path / "a" / "b" / "store.db")).close()
    assert (tmp_path / "a" / "b" / "store.db").exists()


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("glucose, 5.5\n" * 200)
    with pytest.raises(StoreError, match=r"notes\.txt.*not a database"):
        open_database(str(path))
    assert path.read_text() == "glucose, 5.5\n" * 200


def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE recipe (name TEXT)")
    with pytest.raises(StoreError, match="not a careplan database; it holds recipe"):
        open_database(str(path))
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("recipe",)]


def test_a_newer_database_is_refused(db: Database) -> None:
    with db.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match="made by a newer careplan"):
        open_database(db.url)


@pytest.mark.parametrize("url", ["nonsense://x", "sqlite:////proc/none/store.db", "::://"])
def test_a_bad_url_is_named(url: str) -> None:
    with pytest.raises(StoreError, match=url.split("://")[0]):
        open_database(url)


def test_a_failed_migration_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create = op.create_index

    def fail(name: str, *arguments: Any) -> None:
        if name == "ix_audit_patient":
            raise RuntimeError("power cut")
        create(name, *arguments)

    monkeypatch.setattr(op, "create_index", fail)
    with pytest.raises(RuntimeError, match="power cut"):
        open_database(str(tmp_path / "store.db"))
    with sqlite3.connect(tmp_path / "store.db") as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []


def test_a_write_is_kept_whole_or_not_at_all(db: Database) -> None:
    with pytest.raises(KeyboardInterrupt), db.write() as session:
        append(session, actor(), "patient added", rows=[patient()])
        raise KeyboardInterrupt
    with db.read() as session:
        assert session.scalar(text("SELECT count(*) FROM patient")) == 0


def test_a_second_writer_gets_a_clear_error_when_the_first_does_not_finish(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    other = sqlite3.connect(db.engine.url.database or "", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr("careplan.store.database.BUSY_SECONDS", 0.1)
    impatient = open_database(db.url)
    with pytest.raises(StoreError, match="another process is writing"), impatient.write():
        pass
    other.rollback()
    with impatient.write():
        pass
    impatient.close()
    other.close()


def test_two_processes_may_open_a_new_database_at_once(tmp_path: Path) -> None:
    program = "import sys; from careplan.store import open_database; open_database(sys.argv[1])"
    arguments = [sys.executable, "-c", program, str(tmp_path / "store.db")]
    processes = [subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    assert [(process.communicate()[1], process.returncode) for process in processes] == [("", 0)] * 2
