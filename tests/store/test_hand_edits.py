"""What somebody does by hand to the file of a database, beside editing a column: to its triggers, keys and indices, to what an
entry says, to bytes that are no text; and to the files beside the key. Each is found and named, and nothing is a traceback."""

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from careplan.clinic import ReviewError, latest_suggestion, sign_review, verify_audit
from careplan.clinic.importing import store_records
from careplan.settings import Settings
from careplan.store import Database, StoreError, Verification, open_database, tampered, verify
from careplan.store.audit import digest
from careplan.store.schema import AuditEntry, Base, Suggestion
from careplan.store.seals import seal
from careplan.store.verification import _entry
from careplan.suggestion import Decision

from ..clinic.build import line, record
from ..kept import DR_ADA
from .test_attacks import fill


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes, dict[str, bytes]]:
    """A database as it was left, and the folder of its key and checkpoints."""
    path = tmp_path_factory.mktemp("by-hand") / "store.db"
    db = open_database(str(path))
    fill(db)
    db.close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    folder = Settings().audit_folder()
    return path, path.read_bytes(), {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture
def path(pristine: tuple[Path, bytes, dict[str, bytes]]) -> Iterator[Path]:
    path, content, beside = pristine
    shutil.rmtree(path.parent)
    path.parent.mkdir()
    path.write_bytes(content)
    yield path
    folder = Settings().audit_folder()
    for file in folder.iterdir():
        file.unlink()
    for name, kept in beside.items():
        (folder / name).write_bytes(kept)
        (folder / name).chmod(0o600)


def by_hand(path: Path, *statements: str | Callable[[sqlite3.Connection], None], schema: bool = False) -> None:
    """Statements with the triggers out of the way, and back afterwards; schema: of the schema itself, past SQLite's own care."""
    connection = sqlite3.connect(path, isolation_level=None)
    triggers = [] if schema else connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute(f"PRAGMA writable_schema = {'ON' if schema else 'OFF'}")
    for statement in statements:
        if isinstance(statement, str):
            connection.execute(statement)
        else:
            statement(connection)
    for _, made in triggers:
        connection.execute(made)
    connection.close()


def told(found: Verification) -> str:
    return "\n".join(map(str, found.findings))


def test_the_database_as_it_was_left_is_whole(path: Path) -> None:
    assert verify_audit(str(path)).problem is None


OTHER_TRIGGER = "BEGIN SELECT 1; END"
TWICE = "CREATE TABLE other AS SELECT * FROM draft UNION ALL SELECT * FROM draft"


@pytest.mark.parametrize(
    ("statements", "problem"),
    [
        (("DROP TRIGGER review_no_update",), "trigger review_no_update is missing"),
        (
            ("DROP TRIGGER review_no_update", f"CREATE TRIGGER review_no_update BEFORE UPDATE ON review {OTHER_TRIGGER}"),
            "review: its trigger review_no_update is not the one that careplan makes",
        ),
        (
            ("DROP TRIGGER audit_no_delete", f"CREATE TRIGGER audit_no_delete BEFORE DELETE ON draft {OTHER_TRIGGER}"),
            "audit: its trigger audit_no_delete is not the one",
        ),
        (
            ("UPDATE sqlite_master SET sql = replace(sql, 'RAISE(ABORT', 'coalesce(0') WHERE name = 'targets_needs_entry'",),
            "targets: its trigger targets_needs_entry is not the one",
        ),
        (
            (f"CREATE TRIGGER more AFTER INSERT ON review {OTHER_TRIGGER}",),
            "review: has a trigger more that careplan did not make",
        ),
        (("DROP TABLE draft", "CREATE VIEW draft AS SELECT 1 AS suggestion"), "draft: the table is missing"),
        (
            (
                "UPDATE sqlite_master SET sql = 'CREATE INDEX ix_regimen_patient_valid_from ON regimen (valid_from, patient)' "
                "WHERE name = 'ix_regimen_patient_valid_from'",
            ),
            "database: SQLite finds its file damaged",
        ),
    ],
)
def test_triggers_tables_and_indices_that_are_others_are_found(path: Path, statements: tuple[str, ...], problem: str) -> None:
    by_hand(path, *statements, schema=True)
    assert problem in told(verify_audit(str(path)))


def test_a_row_that_is_there_twice_is_found(path: Path) -> None:
    by_hand(path, TWICE, "DROP TABLE draft", "ALTER TABLE other RENAME TO draft")
    found = told(verify_audit(str(path)))
    assert "draft 2" in found and "is there more than once" in found
    assert "draft: the table has lost a key, so that a row may be there more than once in suggestion, reviewer" in found


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE audit SET rows = '[{\"x\": 1}]' WHERE id = 3", "entry 3 was changed"),
        ("UPDATE audit SET rows = '[1]' WHERE id = 3", "entry 3 was changed"),
        ('UPDATE audit SET rows = \'[{"table": "patient", "key": [[1]], "op": "made"}]\' WHERE id = 3', "entry 3 was changed"),
        ("UPDATE audit SET rows = replace(hex(zeroblob(100000)), '0', '[') WHERE id = 3", "entry 3 was changed"),
        ("UPDATE audit SET detail = '{\"differed\": [1]}' WHERE id = 1", "entry 1 was changed"),
        ("UPDATE audit SET actor = CAST(x'ff' AS TEXT) WHERE id = 3", "entry 3 was changed"),
        ("UPDATE audit SET hash = x'00', signature = x'01', key = x'02' WHERE id = 3", "entry 3 was changed"),
        ("UPDATE patient SET zone = CAST(x'ff' AS TEXT) WHERE id = 'ann'", "patient ann: differs from entry 2 in zone"),
        ("UPDATE patient SET created = 'soon' WHERE id = 'ann'", "patient ann: differs from entry 2 in created"),
        ("UPDATE event SET origin = CAST(x'ff' AS TEXT) WHERE channel = 'carbs'", "differ from its digest by channel in carbs"),
        ("UPDATE event SET value = 'x' || value WHERE channel = 'carbs'", "differ from its digest by channel in carbs"),
        ("UPDATE course SET covariates = replace(hex(zeroblob(9000)), '0', '[')", "course ann glucose of patient ann: differs"),
        ("UPDATE course SET covariates = replace(covariates, '}', ', \"weight\": NaN}')", "differs from entry 3 in covariates"),
    ],
)
def test_what_is_no_entry_no_text_and_no_number_is_found_and_named(path: Path, statement: str, problem: str) -> None:
    by_hand(path, statement)
    found = told(verify_audit(str(path)))
    assert problem in found and "cannot be read" not in found


def test_a_file_that_cannot_be_read_through_is_found(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        [(page,)] = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'event'")
        [(size,)] = connection.execute("PRAGMA page_size")
    content = bytearray(path.read_bytes())
    content[(page - 1) * size : page * size] = b"\xff" * size
    path.write_bytes(content)
    assert "event: cannot be read" in told(verify_audit(str(path)))


@pytest.mark.parametrize("statement", ["DELETE FROM alembic_version", "DROP TABLE alembic_version"])
def test_a_database_without_its_revision_is_said_to_be(path: Path, statement: str) -> None:
    by_hand(path, statement)
    with pytest.raises(StoreError, match="its revision is gone"):
        verify_audit(str(path))


# Somebody who takes all signatures away, so that an entry without one is like the others.


def forge(connection: sqlite3.Connection) -> None:
    """A suggestion with an entry that has all but a signature."""
    connection.execute("UPDATE audit SET key = NULL, signature = NULL")
    connection.row_factory = sqlite3.Row
    table = Base.metadata.tables["suggestion"]
    row = dict(connection.execute("SELECT * FROM suggestion WHERE patient = 'bob'").fetchone()) | {"id": 9}
    last = dict(connection.execute("SELECT * FROM audit ORDER BY id DESC").fetchone())
    rows = json.dumps([seal(table, row, "made")])
    entry: dict[str, Any] = last | {"id": last["id"] + 1, "previous": last["hash"], "patient": "bob", "rows": rows}
    read = _entry(entry)
    assert read is not None
    for name, values in (("suggestion", row), ("audit", entry | {"hash": digest(read)})):
        marks = ", ".join("?" * len(values))
        connection.execute(f"INSERT INTO {name} ({', '.join(values)}) VALUES ({marks})", tuple(values.values()))


def test_entries_whose_signatures_were_taken_away_are_found(path: Path) -> None:
    by_hand(path, "UPDATE audit SET key = NULL, signature = NULL")
    assert "entry 1 is not signed: it was forged" in told(verify_audit(str(path)))


def test_a_forged_entry_without_a_signature_vouches_for_nothing(path: Path) -> None:
    by_hand(path, forge)
    newest = len(verify_audit(str(path)).findings)
    assert f"entry {newest} is not signed: it was forged" in told(verify_audit(str(path)))
    db = open_database(str(path))
    with db.read() as session:
        assert tampered(session, Suggestion, (9,), "bob") == f"entry {newest} of the audit trail, which made it, " + (
            "is forged, or signed by a key that is not trusted here"
        )
        assert session.scalar(select(AuditEntry.id).order_by(AuditEntry.id.desc()).limit(1)) == newest
    decided = Decision(key=line().key, verdict="accept", value=line().proposed)
    with pytest.raises((ReviewError, ValueError), match="forged"):
        sign_review(db, 9, [decided], DR_ADA, "prescribe as proposed")
    with pytest.raises(ValueError, match="forged"):
        latest_suggestion(db, "bob")
    db.engine.dispose()


# Since the last time: what came after is recomputed, and of what was there only that it is as much.


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        (
            "INSERT INTO regimen SELECT 99, patient, valid_from, created, source, body, therapy FROM regimen WHERE id = 1",
            "regimen: has 1 rows more than the entries since 17 tell of",
        ),
        ("DELETE FROM targets", "targets: has 1 rows fewer"),
        ("DELETE FROM event WHERE channel = 'carbs' AND patient = 'ann'", "event: has 3 rows fewer"),
        ("DELETE FROM audit WHERE id > 15", "entry 17 is not what was verified before"),
    ],
)
def test_rows_added_and_deleted_are_found_since_the_last_time(path: Path, statement: str, problem: str) -> None:
    assert verify_audit(str(path)).last == 17
    by_hand(path, statement)
    assert problem in told(verify_audit(str(path), since_last=True))


def test_what_careplan_added_and_removed_since_is_as_much_as_it_should_be(path: Path) -> None:
    verify_audit(str(path))
    db = open_database(str(path))
    store_records(db, "table", [record("cyd", days=2)])
    db.close()
    found = verify_audit(str(path), since_last=True)
    assert (found.problem, found.batches) == (None, 1)


@pytest.mark.parametrize("kept", ["5", "{}", '{"entry": "x"}', '{"entry": 3}'])
def test_a_note_of_the_last_time_that_is_none_is_passed_over(path: Path, kept: str) -> None:
    verify_audit(str(path))
    note = Settings().audit_folder() / "verified.json"
    note.write_text(json.dumps(dict.fromkeys(json.loads(note.read_text()), json.loads(kept))))
    assert verify_audit(str(path), since_last=True).entries == 17


@pytest.mark.parametrize(("name", "problem"), [("checkpoints.jsonl", "its signature is not valid"), ("trusted.keys", None)])
def test_a_file_beside_the_key_that_is_no_text_is_said_to_be(path: Path, name: str, problem: str | None) -> None:
    (Settings().audit_folder() / name).write_bytes(b"\xff\xfe\x00\n")
    if problem is None:
        with pytest.raises(StoreError, match=r"trusted\.keys line 1: expected an Ed25519 public key"):
            verify_audit(str(path))
    else:
        assert problem in told(verify_audit(str(path)))


def test_a_key_that_others_may_read_is_found(path: Path) -> None:
    (Settings().audit_folder() / "audit.key").chmod(0o644)
    assert "others than its owner may read the audit key" in told(verify_audit(str(path)))


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("ALTER TABLE review DISABLE TRIGGER review_append_only", "its trigger review_append_only is missing or disabled"),
        ("ALTER TABLE review ENABLE REPLICA TRIGGER review_append_only", "its trigger review_append_only is missing or disabled"),
        (
            "CREATE OR REPLACE FUNCTION review_append_only() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
            "review: its trigger review_append_only is not the one that careplan makes",
        ),
        (
            "CREATE OR REPLACE FUNCTION targets_needs_entry() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
            "targets: its trigger targets_needs_entry is not the one that careplan makes",
        ),
        (
            "CREATE TRIGGER more AFTER INSERT ON review FOR EACH ROW EXECUTE FUNCTION review_append_only()",
            "review: has a trigger more that careplan did not make",
        ),
        ("ALTER TABLE review DROP CONSTRAINT uq_review_suggestion", "review: the table has lost a key"),
    ],
)
def test_triggers_and_keys_of_postgresql_that_are_others_are_found(postgresql: Database, statement: str, problem: str) -> None:
    with postgresql.engine.connect() as connection:
        connection.exec_driver_sql(statement)
        found = told(verify(connection, Settings().audit_folder(), place=postgresql.place))
        connection.rollback()
    assert problem in found
