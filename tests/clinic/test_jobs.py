"""Planning that goes on by itself: asked for, run, cancelled, died and begun again."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from careplan.clinic import ClinicError, UnknownPatient, jobs, latest_suggestion, save_suggestion, store_records
from careplan.clinic import jobs as list_jobs
from careplan.clinic.keeper import Worker
from careplan.clinic.queue import DIED, SILENT, Job, ask, ask_again, cancel, claim_next, job
from careplan.clinic.worker import run_next
from careplan.stages import stage
from careplan.store import Actor, Database, schema

from ..kept import verified
from .build import record, suggestion

ADA = Actor(kind="local account", name="Ada", issuer="here", subject="ada")
Planned = Callable[..., None]


@pytest.fixture
def planned(db: Database, monkeypatch: pytest.MonkeyPatch) -> dict[str, Planned]:
    """ann and bob; a planner that takes two stages, and whose work for a patient a test may replace."""
    store_records(db, "table", [record("ann", days=1), record("bob", days=1)])
    doing: dict[str, Planned] = {}

    def plan(db: Database, patients: list[str], world: object, *, actor: Actor) -> None:
        for patient in patients:
            with stage("search"):
                doing.get(patient, lambda: None)()
            save_suggestion(db, suggestion(patient=patient), actor=actor)

    monkeypatch.setattr("careplan.clinic.worker.plan_regimens", plan)
    monkeypatch.setattr("careplan.clinic.worker.REPORT", 0.0)
    return doing


def run(db: Database) -> Job | None:
    return run_next(db, lambda therapy: None)  # type: ignore[arg-type, return-value]


def test_a_job_plans_for_each_and_says_who_asked(db: Database, planned: dict[str, Planned]) -> None:
    asked = ask(db, ["ann", "bob", "ann"], "regimen", actor=ADA)
    assert (asked.state, asked.patients, asked.by) == ("waiting", ("ann", "bob"), "Ada")
    assert run(db) is not None and run(db) is None
    now = job(db, asked.id)
    assert (now.state, now.done, now.next, now.failed) == ("done", 2, None, {})
    with db.read() as session:
        made = session.query(schema.AuditEntry).filter_by(action="suggested").all()
    assert {(entry.patient, entry.actor) for entry in made} == {("ann", "Ada"), ("bob", "Ada")}
    assert verified(db).problem is None


def test_what_is_being_done_is_told_while_it_is(db: Database, planned: dict[str, Planned]) -> None:
    seen: list[Job] = []
    planned["bob"] = lambda: seen.append(jobs(db)[0])
    ask(db, ["ann", "bob"], "regimen", actor=ADA)
    run(db)
    assert [(one.state, one.done, one.next, one.doing) for one in seen] == [("running", 1, "bob", "search")]


def test_who_fails_is_named_and_costs_nobody_else_a_plan(db: Database, planned: dict[str, Planned]) -> None:
    def fail() -> None:
        raise ClinicError("patient 'ann' has no events in the store")

    planned["ann"] = fail
    asked = ask(db, ["ann", "bob"], "regimen", actor=ADA)
    run(db)
    now = job(db, asked.id)
    assert (now.state, now.failed) == ("done", {"ann": "patient 'ann' has no events in the store"})
    assert latest_suggestion(db, "ann") is None and latest_suggestion(db, "bob") is not None
    assert ask_again(db, asked.id, actor=ADA).patients == ("ann",)


def test_a_bug_ends_the_job_and_says_so(db: Database, planned: dict[str, Planned]) -> None:
    def fail() -> None:
        raise RuntimeError("out of memory")

    planned["ann"] = fail
    asked = ask(db, ["ann", "bob"], "regimen", actor=ADA)
    run(db)
    now = job(db, asked.id)
    assert now.state == "failed" and "out of memory" in now.problem
    assert ask_again(db, asked.id, actor=ADA).patients == ("ann", "bob")


def test_cancelling_keeps_what_is_planned_and_stops_at_the_next_step(db: Database, planned: dict[str, Planned]) -> None:
    planned["ann"] = lambda: cancel(db, asked.id)
    asked = ask(db, ["ann", "bob"], "regimen", actor=ADA)
    run(db)
    now = job(db, asked.id)
    assert (now.state, now.done) == ("cancelled", 1)
    assert latest_suggestion(db, "ann") is not None and latest_suggestion(db, "bob") is None
    waiting = ask(db, ["bob"], "regimen", actor=ADA)
    cancel(db, waiting.id)
    assert job(db, waiting.id).state == "cancelled" and run(db) is None


def test_the_same_is_not_planned_twice_at_once(db: Database, planned: dict[str, Planned]) -> None:
    ask(db, ["ann"], "regimen", actor=ADA)
    assert ask(db, ["ann", "bob"], "regimen", actor=ADA).patients == ("bob",)
    assert ask(db, ["ann"], "doses", actor=ADA).patients == ("ann",)
    with pytest.raises(ClinicError, match="under way"):
        ask(db, ["ann"], "regimen", actor=ADA)
    with pytest.raises(ClinicError, match="nobody"):
        ask(db, [], "regimen", actor=ADA)
    with pytest.raises(UnknownPatient):
        ask(db, ["eve"], "regimen", actor=ADA)
    assert [len(list_jobs(db, patient=name)) for name in ("ann", "bob")] == [2, 1]


def test_a_job_whose_worker_is_silent_has_died_and_is_begun_again(db: Database, planned: dict[str, Planned]) -> None:
    asked = ask(db, ["ann", "bob"], "regimen", actor=ADA)
    claimed = claim_next(db)
    assert claimed is not None and claim_next(db) is None and job(db, asked.id).state == "running"
    with db.write() as session:
        session.execute(update(schema.Job).values(beat=datetime.now(UTC) - 2 * SILENT, done=1))
    died = job(db, asked.id)
    assert (died.state, died.active, died.problem) == ("died", False, DIED)
    anew = ask_again(db, asked.id, actor=ADA)
    assert anew.patients == ("bob",) and job(db, asked.id).state == "failed"
    run(db)
    assert job(db, anew.id).state == "done"


def test_old_jobs_are_forgotten(db: Database, planned: dict[str, Planned]) -> None:
    ask(db, ["ann"], "regimen", actor=ADA)
    run(db)
    with db.write() as session:
        session.execute(update(schema.Job).values(asked=datetime.now(UTC) - timedelta(days=15)))
    ask(db, ["bob"], "regimen", actor=ADA)
    assert [one.patients for one in jobs(db)] == [("bob",)]


@pytest.mark.timeout(400)
def test_a_worker_plans_in_a_process_of_its_own_and_is_begun_again_when_it_died(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_records(db, "table", [record("ann", days=3)])
    worker = Worker(str(tmp_path / "store.db"))
    try:
        worker.ensure()
        first = worker._process
        worker.ensure()
        assert first is not None and worker._process is first  # one is enough
        first.kill()
        first.wait()
        asked = ask(db, ["ann"], "regimen", actor=ADA)
        worker.ensure()
        until = time.monotonic() + 300
        while job(db, asked.id).active and time.monotonic() < until:
            time.sleep(0.2)
        now = job(db, asked.id)
        assert (now.state, now.failed) == ("done", {}), now
        found = latest_suggestion(db, "ann")
        assert found is not None and found.abstained  # three days are too little
    finally:
        worker.stop()


@pytest.mark.parametrize("what", ["inserted", "its actor", "its patients", "its kind", "its entry without a signature"])
def test_nothing_is_planned_in_the_name_of_somebody_who_did_not_ask(db: Database, planned: dict[str, Planned], what: str) -> None:
    asked = ask(db, ["ann"], "regimen", actor=ADA)
    eve = {**ADA.plain, "subject": "eve"}
    changed = {
        "inserted": "UPDATE job SET id = 9",
        "its actor": f"UPDATE job SET actor = '{json.dumps(eve)}'",
        "its patients": 'UPDATE job SET patients = \'["ann", "bob"]\'',
        "its kind": "UPDATE job SET kind = 'doses'",
        "its entry without a signature": "UPDATE audit SET key = NULL, signature = NULL",
    }
    with db.engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER audit_no_update")
        connection.exec_driver_sql(changed[what])
    assert run(db) is None
    now = job(db, 9 if what == "inserted" else asked.id)
    assert now.state == "failed" and ("no entry of the audit trail" in now.problem or "is forged" in now.problem)
    assert latest_suggestion(db, "ann") is None and run(db) is None


def test_that_planning_was_asked_for_is_on_record(db: Database, planned: dict[str, Planned]) -> None:
    ask(db, ["ann", "bob"], "regimen", actor=ADA)
    with db.read() as session:
        [entry] = session.query(schema.AuditEntry).filter_by(action="planning asked for").all()
        assert (entry.actor, entry.identity, entry.detail["patients"]) == ("Ada", ADA.identity, ["ann", "bob"])
