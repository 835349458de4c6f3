"""The trail: whole when untouched, refusing to be edited, and telling where it was."""

import sqlite3
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from careplan.store import Database, append, open_database, verify
from careplan.store.audit import GENESIS

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def fill(db: Database, count: int = 5) -> None:
    for number in range(count):
        with db.write() as session:
            append(session, "dr", "did", patient="p", number=number)


def tamper(db: Database, statement: str, *values: Any) -> None:
    """What someone with the file and no scruples does: drops the triggers first."""
    with sqlite3.connect(db.engine.url.database or "") as connection:
        for verb in ("update", "delete", "replace"):
            connection.execute(f"DROP TRIGGER audit_no_{verb}")
        connection.execute(statement, values)


def problem(db: Database, expect: str | None = None) -> str | None:
    with db.read() as session:
        return verify(session, expect=expect).problem


def test_an_empty_trail_is_whole(db: Database) -> None:
    with db.read() as session:
        result = verify(session)
    assert (result.entries, result.head, result.problem) == (0, GENESIS, None)


@settings(max_examples=25, deadline=None)
@given(details=st.lists(st.dictionaries(st.text(), plain, max_size=3), max_size=5), actor=st.text(st.characters(codec="utf-8")))
def test_any_detail_survives_the_round_trip(details: list[dict[str, Any]], actor: str) -> None:
    db = open_database("sqlite://")
    with db.write() as session:
        for detail in details:
            append(session, actor, "did", detail=detail)
    with db.read() as session:
        result = verify(session)
    db.close()
    assert (result.entries, result.problem) == (len(details), None)


def test_a_number_json_cannot_hold_is_refused(db: Database) -> None:
    with pytest.raises(ValueError, match="JSON"), db.write() as session:
        append(session, "dr", "did", value=float("nan"))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = 'other' WHERE id = 2",
        "DELETE FROM audit WHERE id = 2",
        "DELETE FROM audit",
        "INSERT OR REPLACE INTO audit SELECT id, time, 'other', action, patient, detail, previous, hash FROM audit WHERE id = 2",
        "UPDATE OR REPLACE audit SET id = 1 WHERE id = 2",
        "INSERT INTO audit SELECT * FROM audit WHERE id = 2 ON CONFLICT (id) DO UPDATE SET actor = 'other'",
    ],
)
def test_the_trail_refuses_to_be_edited(db: Database, statement: str) -> None:
    fill(db)
    with sqlite3.connect(db.engine.url.database or "") as connection, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(statement)
    assert problem(db) is None


@pytest.mark.parametrize("table", ["suggestion", "regimen", "review"])
def test_what_was_proposed_prescribed_and_signed_is_never_edited(db: Database, table: str) -> None:
    now = datetime(2024, 1, 1, tzinfo=UTC).isoformat()
    with db.write() as session:
        session.execute(text("INSERT INTO patient VALUES ('p', 'adult', 'UTC', 'table', NULL, :now)"), {"now": now})
        session.execute(text("INSERT INTO regimen VALUES (1, 'p', :now, :now, 'stated', '{}')"), {"now": now})
        session.execute(text("INSERT INTO suggestion VALUES (1, 'p', 'regimen', :now, '{}', '{}')"), {"now": now})
        session.execute(text("INSERT INTO review VALUES (1, 1, 'p', 'dr', :now, 'I prescribe', '[]', 1)"), {"now": now})
    for statement in (
        f"UPDATE {table} SET patient = 'q'",
        f"DELETE FROM {table}",
        f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}",
        "INSERT OR REPLACE INTO review SELECT 2, 1, 'p', 'other', signed, meaning, decisions, 1 FROM review",
    ):
        with pytest.raises(IntegrityError, match="append-only"), db.write() as session:
            session.execute(text(statement))


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE audit SET actor = 'other' WHERE id = 3", "entry 3 was changed"),
        ("UPDATE audit SET detail = '{\"number\": 7}' WHERE id = 1", "entry 1 was changed"),
        ("UPDATE audit SET detail = '[]' WHERE id = 2", "entry 2 was changed"),
        ("UPDATE audit SET time = '2001-01-01 00:00:00' WHERE id = 5", "entry 5 was changed"),
        ("UPDATE audit SET patient = NULL WHERE id = 4", "entry 4 was changed"),
        ("DELETE FROM audit WHERE id = 3", "entry 3 is missing"),
        ("DELETE FROM audit WHERE id = 1", "entry 1 is missing"),
        ("UPDATE audit SET hash = previous WHERE id = 2", "entry 2 was changed"),
    ],
)
def test_verify_names_the_first_bad_entry(db: Database, statement: str, expected: str) -> None:
    fill(db)
    tamper(db, statement)
    assert expected in (problem(db) or "")


def test_cutting_off_the_end_is_found_by_a_noted_head(db: Database) -> None:
    fill(db)
    with db.read() as session:
        head = verify(session).head
    tamper(db, "DELETE FROM audit WHERE id > 3")
    assert problem(db) is None
    assert "cut off or rewritten" in (problem(db, expect=head) or "")


def test_a_noted_head_stays_in_the_chain_as_it_grows(db: Database) -> None:
    fill(db)
    with db.read() as session:
        head = verify(session).head
    fill(db)
    assert problem(db, expect=head) is None
    assert problem(db, expect="f" * 64) is not None
