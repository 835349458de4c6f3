"""The trail: whole when untouched, refusing to be edited, and telling where it was."""

import sqlite3
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from careplan.store import Database, append, audit, number, open_database
from careplan.store.schema import AuditEntry, Course, Draft, RegimenVersion, Review, Suggestion

from ..kept import DR_ADA, actor, patient, verified

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
NOW = datetime(2024, 1, 1, tzinfo=UTC)


def fill(db: Database, count: int = 4) -> None:
    """Entries 2 to 5: the first is the migration's."""
    for index in range(count):
        with db.write() as session:
            append(session, actor(), "did", patient="p", number=index)


def tamper(db: Database, statement: str, *values: Any) -> None:
    """What someone with the file and no scruples does: drops the triggers first."""
    with sqlite3.connect(db.engine.url.database or "") as connection:
        for verb in ("update", "delete", "replace"):
            connection.execute(f"DROP TRIGGER audit_no_{verb}")
        connection.execute(statement, values)


def test_a_new_trail_is_whole_and_begins_with_what_the_migration_found(db: Database) -> None:
    found = verified(db)
    assert (found.entries, found.checkpoints, found.problem) == (1, 1, None)


@settings(max_examples=25, deadline=None)
@given(details=st.lists(st.dictionaries(st.text(), plain, max_size=3), max_size=5), name=st.text(st.characters(codec="utf-8")))
def test_any_detail_survives_the_round_trip(details: list[dict[str, Any]], name: str) -> None:
    db = open_database("sqlite://")
    with db.write() as session:
        for detail in details:
            append(session, actor(f"dr{name}"), "did", detail=detail)
    found = verified(db)
    db.close()
    assert (found.entries, found.problem) == (len(details) + 1, None)


def test_a_number_json_or_the_database_cannot_hold_is_refused(db: Database) -> None:
    with pytest.raises(ValueError, match="JSON"), db.write() as session:
        append(session, actor(), "did", value=float("nan"))
    heavy = Course(patient="p", therapy="glucose", group="adult", covariates={"weight": float("inf")}, created=NOW)
    with pytest.raises(ValueError, match=r"covariates is .* expected a finite number"), db.write() as session:
        append(session, actor(), "course begun", rows=[patient(), heavy])


def test_a_row_without_an_entry_is_not_written(db: Database) -> None:
    with pytest.raises(RuntimeError, match="patient is written without an entry"), db.write() as session:
        session.add(patient())
    with db.write() as session:
        append(session, actor(), "patient added", rows=[patient()])
    with pytest.raises(RuntimeError, match="without an entry"), db.write() as session:
        session.get(type(patient()), "p").zone = "Europe/London"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = 'other' WHERE id = 2",
        "DELETE FROM audit WHERE id = 2",
        "DELETE FROM audit",
        "INSERT OR REPLACE INTO audit SELECT * FROM audit WHERE id = 2",
        "UPDATE OR REPLACE audit SET id = 1 WHERE id = 2",
        "INSERT INTO audit SELECT * FROM audit WHERE id = 2 ON CONFLICT (id) DO UPDATE SET actor = 'other'",
    ],
)
def test_the_trail_refuses_to_be_edited(db: Database, statement: str) -> None:
    fill(db)
    with sqlite3.connect(db.engine.url.database or "") as connection, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(statement)
    assert verified(db).problem is None


@pytest.mark.parametrize("table", ["suggestion", "regimen", "review"])
def test_what_was_proposed_prescribed_and_signed_is_never_edited(db: Database, table: str) -> None:
    signed(db)
    for statement in (
        f"UPDATE {table} SET patient = 'q'",
        f"DELETE FROM {table}",
        f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}",
        "INSERT OR REPLACE INTO review SELECT 2, 1, 'p', 'other', signed, meaning, decisions, 1, identity FROM review",
    ):
        with pytest.raises(IntegrityError, match=r"append-only|newest entry"), db.write() as session:
            session.execute(text(statement))


def signed(db: Database) -> None:
    with db.write() as session:
        append(session, actor(), "patient added", rows=[patient()])
        regimen = RegimenVersion(patient="p", therapy="glucose", valid_from=NOW, created=NOW, source="stated", body={})
        proposal = Suggestion(patient="p", therapy="glucose", kind="regimen", created=NOW, payload={}, provenance={})
        review = Review(patient="p", reviewer="dr", signed=NOW, meaning="yes", decisions=[], identity=None)
        append(session, actor(), "regimen added", rows=[number(session, regimen)])
        append(session, actor(), "suggested", rows=[number(session, proposal)])
        review.suggestion, review.regimen = proposal.id, regimen.id
        append(session, actor(), "signed", rows=[review])


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE audit SET actor = 'other' WHERE id = 3", "entry 3 was changed"),
        ("UPDATE audit SET detail = '{\"number\": 7}' WHERE id = 2", "entry 2 was changed"),
        ("UPDATE audit SET detail = '[]' WHERE id = 2", "entry 2 was changed"),
        ("UPDATE audit SET detail = 'no JSON' WHERE id = 2", "entry 2 was changed"),
        ("UPDATE audit SET time = '2001-01-01 00:00:00' WHERE id = 5", "entry 5 was changed"),
        ("UPDATE audit SET time = 'noon' WHERE id = 5", "entry 5 was changed"),
        ("UPDATE audit SET patient = NULL WHERE id = 4", "entry 4 was changed"),
        ("DELETE FROM audit WHERE id = 3", "entry 3 is missing"),
        ("DELETE FROM audit WHERE id = 1", "entry 1 is missing"),
        ("UPDATE audit SET hash = previous WHERE id = 2", "entry 2 was changed"),
    ],
)
def test_verify_names_the_first_bad_entry(db: Database, statement: str, expected: str) -> None:
    fill(db)
    tamper(db, statement)
    assert expected in (verified(db).problem or "")


def test_a_noted_head_stays_in_the_chain_as_it_grows(db: Database) -> None:
    fill(db)
    head = verified(db).head
    fill(db)
    assert verified(db, expect=head).problem is None
    assert "the noted head" in (verified(db, expect="f" * 64).problem or "")


def test_a_clock_that_is_set_back_is_told_of_and_the_trail_stays_in_order(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(db, 1)

    class Back(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) - timedelta(days=400)

    monkeypatch.setattr(audit, "datetime", Back)
    fill(db, 1)
    with db.read() as session:
        entries = list(session.scalars(select(AuditEntry).order_by(AuditEntry.id)))
    assert entries[2].time == entries[1].time and entries[2].detail.keys() == {"number", "clock"}
    assert verified(db).problem is None


def test_every_entry_says_who_and_how_that_is_known(db: Database) -> None:
    with db.write() as session:
        append(session, DR_ADA, "did")
    with db.read() as session:
        entry = session.get(AuditEntry, 2)
    assert entry is not None and entry.actor == "Dr Ada"
    assert entry.identity == {"kind": "identity provider", "issuer": "https://clinic.example", "subject": "dr-ada"}


def test_a_changed_and_a_removed_row_are_as_their_newest_entry_says(db: Database) -> None:
    signed(db)
    for decisions in ([], [1]):
        with db.write() as session:
            draft = session.merge(Draft(suggestion=1, reviewer="dr", updated=NOW, decisions=decisions))
            append(session, actor(), "drafted", rows=[draft])
        assert verified(db).problem is None
    with db.write() as session:
        append(session, actor(), "signed", removed=[session.get(Draft, (1, "dr"))])  # type: ignore[list-item]
    assert verified(db).problem is None
