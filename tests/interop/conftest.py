"""A store with one patient, a suggestion and its signature."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from careplan.clinic import Database, open_database, save_suggestion, sign_review, store_records
from careplan.suggestion import Decision, Line, Suggestion
from tests.clinic import build
from tests.kept import actor

LINES: tuple[Line, ...] = (
    build.line(),
    build.line("carb_ratio", 2, 1.1, unit="g/U"),
    build.line("correction_factor", 0, 1.1, unit="mg/dL/U"),
)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = open_database(str(tmp_path / "clinic.db"))
    store_records(database, "table", [build.record(days=3, zone="Europe/Berlin"), build.record("bob", days=1)])
    yield database
    database.close()


@pytest.fixture
def proposed(db: Database) -> Suggestion:
    return save_suggestion(db, build.suggestion(*LINES, banners=("unlike those it learned from",)))


@pytest.fixture
def signed(db: Database, proposed: Suggestion) -> Suggestion:
    """The first line accepted, the second edited, the third rejected."""
    assert proposed.id is not None
    first, second, third = LINES
    decided = [
        Decision(key=first.key, verdict="accept", value=first.proposed),
        Decision(key=second.key, verdict="edit", value=11.5, reason="a rounder number"),
        Decision(key=third.key, verdict="reject", value=third.current, reason="not now"),
    ]
    sign_review(db, proposed.id, decided, actor("Dr Grey"), "prescribe with changes")
    return proposed
