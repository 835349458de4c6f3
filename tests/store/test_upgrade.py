"""A database of the release before courses is upgraded without losing anything, on SQLite and on PostgreSQL."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import JSON, DateTime, MetaData, insert, text

from careplan import therapies
from careplan.breach import Breach
from careplan.clinic import (
    load_record,
    load_suggestion,
    patient_names,
    prescribed,
    review_page,
    show,
    sign_review,
    worklist,
)
from careplan.clinic.courses import begin_course
from careplan.clinic.planning import plan_regimens
from careplan.clinic.recordings import read_recording
from careplan.clinic.regimens import save_regimen
from careplan.clinic.reviews import load_draft
from careplan.clinic.stored_records import load_series
from careplan.errors import AskError
from careplan.store import Database, open_database
from careplan.store.database import MIGRATIONS, make_engine
from careplan.store.schema import Course, Event, RegimenVersion, Review
from careplan.store.schema import Suggestion as Kept
from careplan.suggestion import Decision
from careplan.therapies import NotInstalledError
from careplan.therapies.glucose.declaration import Regimen
from careplan.therapies.glucose.words import MG_DL, limits_in_words
from careplan.therapies.glucose.world import open_world

from ..kept import DR_ADA, actor, verified

RELEASE = Path(__file__).parents[1] / "golden" / "release_0001.sql"
TABLES = (
    "patient",
    "import_batch",
    "event",
    "regimen",
    "suggestion",
    "draft",
    "review",
    "audit",
)  # each after those it refers to
OURS = (
    "import_batch",
    "event",
    "regimen",
    "suggestion",
    "draft",
    "review",
)  # that are the same before and after, but for columns


def released() -> sqlite3.Connection:
    """The database as that release left it."""
    connection = sqlite3.connect(":memory:")
    connection.executescript(RELEASE.read_text())
    connection.row_factory = sqlite3.Row
    return connection


def rows_of(connection: sqlite3.Connection, table: str) -> list[dict[str, object]]:
    return [dict(row) for row in connection.execute(f'SELECT * FROM "{table}"')]


def fill(url: str) -> None:
    """The same database on PostgreSQL: that release's schema, and its rows."""
    engine, config = make_engine(url), Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with engine.execution_options(writer=True).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        found = MetaData()
        found.reflect(connection)
        with closing(released()) as kept:
            for name in TABLES:
                table = found.tables[name]
                for row in rows_of(kept, name):
                    for column in table.columns:
                        value = row[column.name]
                        if isinstance(column.type, JSON):
                            row[column.name] = json.loads(str(value))
                        elif isinstance(column.type, DateTime):
                            row[column.name] = datetime.fromisoformat(str(value)).replace(tzinfo=UTC)
                    connection.execute(insert(table).values(row))
    engine.dispose()


def emptied(url: str) -> None:
    engine = make_engine(url)
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def upgraded(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.setenv("CAREPLAN_AUDIT", str(tmp_path / "audit"))
    if request.param == "sqlite":
        with closing(released()) as kept, closing(sqlite3.connect(tmp_path / "old.db")) as file:
            kept.backup(file)
        url = str(tmp_path / "old.db")
    else:
        url = request.getfixturevalue("postgresql_url")
        emptied(url)
        fill(url)
    db = open_database(url)
    assert [str(finding) for finding in verified(db).findings] == [], "what that release left is signed at its first opening"
    yield db
    db.close()
    if request.param == "postgresql":
        emptied(url)


def test_nothing_is_lost(upgraded: Database) -> None:
    with closing(released()) as kept, upgraded.read() as session:
        before = {table: rows_of(kept, table) for table in (*OURS, "patient")}
        assert session.query(Event).count() == len(before["event"]) > 500
        for kind, table, column in (
            (RegimenVersion, "regimen", "body"),
            (Kept, "suggestion", "payload"),
            (Review, "review", "decisions"),
        ):
            now = {row.id: (row.patient, getattr(row, column)) for row in session.query(kind)}
            assert now == {row["id"]: (row["patient"], json.loads(str(row[column]))) for row in before[table]}
        assert {row.therapy for kind in (RegimenVersion, Kept) for row in session.query(kind)} == {"glucose"}
        courses = {course.patient: course for course in session.query(Course)}
        assert {name: (course.therapy, course.group, course.covariates.get("weight")) for name, course in courses.items()} == {
            row["id"]: ("glucose", row["group"], row["weight"]) for row in before["patient"]
        }


def test_the_audit_trail_verifies_as_before(upgraded: Database) -> None:
    with closing(released()) as kept:
        [old] = kept.execute("SELECT count(*) FROM audit").fetchone()
    result = verified(upgraded)
    assert result.problem is None
    assert result.entries == old + 3, "what was there is sealed by three migrations"


def test_what_was_stored_is_read_as_it_was_meant(upgraded: Database) -> None:
    assert patient_names(upgraded) == ["adult-3-001", "adult-3-002", "ann"]
    ann = load_record(upgraded, "ann")
    assert (ann.zone, ann.group, ann.weight, len(ann.events)) == ("Europe/London", "adult", 70.0, 10)
    found = prescribed(upgraded, "ann")
    assert found is not None and found.source == "suggestion 3" and found.regimen.basal == (0.8, 0.9, 0.9, 0.7)
    signed = load_suggestion(upgraded, 3)
    assert signed.therapy == "glucose" and signed.why is not None and signed.why.moments is not None
    assert signed.why.moments[0].given == {"bolus": 4.5, "carbs": 45.0}
    assert signed.limits_bound == (Breach("3 days of evidence, 5 needed", "basal@0"),)
    assert limits_in_words(signed.limits_bound, MG_DL) == ["3 days of evidence, 5 needed (basal rate from 00:00)"]
    page = review_page(upgraded, "ann")
    assert page.suggestion is not None and page.suggestion.id == 4 and [review.suggestion for review in page.history] == [3]
    assert [decision.value for decision in load_draft(upgraded, 4)] == [0.8]
    assert {row.patient: row.status for row in worklist(upgraded).rows}["ann"] == "draft"


def test_a_therapy_that_is_not_installed_is_not_readable_here_and_changes_nothing(upgraded: Database) -> None:
    """A course of a therapy from a package that is not here: everybody else works on, and what is theirs stays as it is."""
    with upgraded.write() as session:
        begin_course(session, "ann", "thyroid", group="adult", covariates={"age": 61}, actor=actor())
    rows = {(row.patient, row.therapy): row for row in worklist(upgraded).rows}
    other = rows["ann", "thyroid"]
    assert other.status == "not readable" and "'thyroid' is not installed" in other.headline and other.metrics is None
    assert rows["ann", "glucose"].status == "draft" and min(rows.values(), key=lambda row: row.urgency) is other
    assert show(upgraded, "ann", "thyroid").problem.startswith("not readable here: therapy 'thyroid'")
    for asked in (
        lambda: review_page(upgraded, "ann", therapy="thyroid"),
        lambda: load_series(upgraded, "ann", "thyroid"),
        lambda: read_recording(upgraded, "ann", "thyroid"),
        lambda: prescribed(upgraded, "ann", "thyroid"),
    ):
        with pytest.raises(NotInstalledError, match="'thyroid' is not installed"):
            asked()
    with pytest.raises(AskError, match="treated under glucose, thyroid: say which"):
        load_series(upgraded, "ann")
    assert load_series(upgraded, "ann", "glucose").therapy.name == "glucose"
    with upgraded.read() as session:
        course = session.get(Course, ("ann", "thyroid"))
        assert course is not None and course.covariates == {"age": 61}
    assert verified(upgraded).problem is None


def test_regimens_and_suggestions_belong_to_a_course(upgraded: Database) -> None:
    with upgraded.write() as session:
        begin_course(session, "ann", "thyroid", group="adult", covariates={}, actor=actor())
    stronger = Regimen(basal=(1.0,) * 4, carb_ratio=(9.0,) * 4, correction_factor=(40.0,) * 4)
    save_regimen(upgraded, "ann", stronger, therapy="glucose")
    found = prescribed(upgraded, "ann", "glucose")
    assert found is not None and found.regimen == stronger
    with upgraded.read() as session:
        assert [row.therapy for row in session.query(RegimenVersion).where(RegimenVersion.patient == "ann")] == ["glucose"] * 3


def test_a_plan_and_a_signature_after_the_upgrade(upgraded: Database) -> None:
    made = plan_regimens(upgraded, ["adult-3-001"], open_world())[0]
    assert made.abstained and made.therapy == "glucose"
    assert therapies.first().name == "glucose"
    with pytest.raises(AskError, match="already signed"):
        accept = Decision(key="basal@360", verdict="accept", value=0.9)
        sign_review(upgraded, 3, [accept], DR_ADA, "prescribe as proposed")
    assert verified(upgraded).problem is None
