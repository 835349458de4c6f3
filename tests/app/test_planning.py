"""Plans are made where they are needed: asked for, watched, cancelled, begun again."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import update

from careplan.clinic import Database, jobs, save_suggestion
from careplan.clinic.queue import SILENT, claim_next
from careplan.clinic.worker import run_next
from careplan.store import schema

from .build import suggestion
from .conftest import Start, checked, press, shown


@pytest.fixture
def planner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans at once, as the worker would."""
    monkeypatch.setattr(
        "careplan.clinic.worker.plan_regimens",
        lambda db, patients, world, actor: [save_suggestion(db, suggestion(patient), actor=actor) for patient in patients],
    )


def test_a_regimen_is_planned_from_the_review(review: Start, db: Database, planner: None) -> None:
    at = press(review("dan"), "plan:regimen")
    [asked] = jobs(db)
    assert (asked.kind, asked.patients, asked.state) == ("regimen", ("dan",), "waiting")
    assert "plan:regimen" not in [button.key for button in at.button]  # it is under way
    at = checked(at.run())
    assert f"cancel:{asked.id}" in [button.key for button in at.button]
    run_next(db, lambda therapy: None)  # type: ignore[arg-type, return-value]
    at = checked(at.run())
    assert "No suggestion yet" not in shown(at) and "careplan proposes no change" in shown(at)
    assert "Plan a regimen again" in [button.label for button in at.button]


def test_a_plan_goes_on_through_a_reload_and_another_page(review: Start, start: Start, db: Database) -> None:
    press(review("dan"), "plan:regimen")
    [asked] = jobs(db)
    for at in (start(), review("ann")):
        assert f"cancel:{asked.id}" in [button.key for button in at.button]
    press(at, f"cancel:{asked.id}")
    assert jobs(db)[0].state == "cancelled"
    assert "Planning was cancelled" in shown(review("dan"))


def test_a_job_that_died_says_so_and_is_started_again(review: Start, db: Database) -> None:
    press(review("dan"), "plan:regimen")
    claim_next(db)
    with db.write() as session:
        session.execute(update(schema.Job).values(beat=datetime.now(UTC) - 2 * SILENT))
    at = review("dan")
    assert "Planning ended early" in shown(at)
    press(at, f"again:{jobs(db)[0].id}")
    assert [job.state for job in jobs(db)] == ["waiting", "failed"]


def test_why_nothing_was_planned_is_told(review: Start, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("two hours are too little")

    monkeypatch.setattr("careplan.clinic.worker.plan_regimens", fail)
    press(review("dan"), "plan:regimen")
    run_next(db, lambda therapy: None)  # type: ignore[arg-type, return-value]
    assert "two hours are too little" in shown(review("dan"))


def test_a_database_that_is_gone_is_told_in_words(review: Start, db: Database) -> None:
    at = review("ann")
    name = db.engine.url.database
    assert name is not None
    Path(name).rename(f"{name}.away")
    at = checked(at.run())
    assert "cannot be used just now" in shown(at)
    Path(f"{name}.away").rename(name)
    assert "cannot be used just now" not in shown(checked(at.run()))
