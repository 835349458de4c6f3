"""A whole clinic, block by block: a kill loses no finished block, one bad patient costs nobody else, memory holds one block."""

import gc
import json
import sqlite3
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sqlalchemy.orm import Session
from typer.testing import CliRunner

from careplan import stages
from careplan.cli import app
from careplan.clinic import overnight, suggestions
from careplan.clinic.courses import begin_course
from careplan.clinic.errors import ClinicError
from careplan.clinic.importing import store_records
from careplan.clinic.known import patient_names
from careplan.clinic.overnight import STAGES, Asked, leaving_out_failures, plan_everyone
from careplan.clinic.people import personalised
from careplan.clinic.regimens import save_regimen
from careplan.clinic.suggestions import latest_suggestion
from careplan.store import Database, StoreError, accept, append, open_database
from careplan.store.schema import Patient
from careplan.studies.demo import demo_records
from careplan.suggestion import Suggestion
from careplan.therapies.glucose.world import open_world
from careplan.world.loaded import World

from ..kept import actor, verified
from .build import REGIMEN

NAMES = ["ann", "bea", "cyd", "dan", "eve"]
Copy = Callable[..., Database]


@pytest.fixture(scope="module")
def world() -> World:
    return open_world()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, world: World) -> dict[str, Path]:
    """Five stored people, as imported and as personalised; the last has logged no doses."""
    folder = tmp_path_factory.mktemp("clinic")
    found = {name: folder / f"{name}.db" for name in ("imported", "personalised")}
    records = [replace(lived, patient=name) for name, lived in zip(NAMES, demo_records(len(NAMES), 15, 3), strict=True)]
    dry = records[-1].events[records[-1].events["channel"] == "glucose"].reset_index(drop=True)
    db = open_database(str(found["imported"]))
    assert not store_records(db, "table", [*records[:-1], replace(records[-1], events=dry)]).failed
    db.close()
    copy(found["imported"], found["personalised"])
    db = opened_copy(found["personalised"])
    personalised(db, NAMES, world)
    db.close()
    return found


def copy(path: Path, to: Path) -> None:
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(to)) as target:
        source.backup(target)


def opened_copy(path: Path) -> Database:
    """A copy of a database of which more has been signed elsewhere, accepted as it is."""
    db = open_database(str(path))
    accept(db, "a copy for a test")
    return db


@pytest.fixture
def clinic(files: dict[str, Path], tmp_path: Path) -> Iterator[Copy]:
    opened: list[Database] = []

    def give(name: str = "personalised", path: Path = tmp_path / "clinic.db") -> Database:
        copy(files[name], path)
        opened.append(opened_copy(path))
        return opened[-1]

    yield give
    for db in opened:
        db.close()


@pytest.fixture(scope="module")
def whole(files: dict[str, Path], world: World, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Suggestion]]:
    """What an uninterrupted run stores, by what it begins from."""
    stored = {}
    for start, path in files.items():
        target = tmp_path_factory.mktemp("whole") / "clinic.db"
        copy(path, target)
        db = opened_copy(target)
        night = plan_everyone(db, NAMES, world, block=2)
        assert (night.planned, night.personalised, night.failed) == (5, 5 if start == "imported" else 0, {})
        stored[start] = planned(db)
        db.close()
    return stored


def planned(db: Database) -> dict[str, Suggestion]:
    """The newest suggestion of whoever has one, but for what differs between equal runs."""
    found = {name: latest_suggestion(db, name, "doses") for name in patient_names(db)}
    return {name: replace(one, id=None, created=datetime(2026, 1, 1, tzinfo=UTC)) for name, one in found.items() if one}


def added_without_events(session: Session, name: str) -> None:
    append(
        session,
        actor(),
        "added",
        patient=name,
        rows=[Patient(id=name, zone="UTC", source="table", created=datetime.now(UTC), clinic="")],
    )
    begin_course(session, name, "glucose", group="adult", covariates={}, actor=actor())


def interrupting(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, at: int) -> None:
    """Ctrl-C at the call of that number."""
    original, calls = getattr(module, name), [0]

    def interrupted(*arguments: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] == at:
            raise KeyboardInterrupt
        return original(*arguments, **named)

    monkeypatch.setattr(module, name, interrupted)


@pytest.mark.parametrize(
    ("start", "module", "name", "at"),
    [
        ("imported", overnight, "dose_planner", 2),  # its people are personalised, and nothing is searched
        ("personalised", suggestions, "append", 4),  # half of the block is written
    ],
)
def test_a_kill_in_the_second_block_loses_nothing_and_the_same_run_does_the_rest(
    clinic: Copy,
    world: World,
    whole: dict[str, dict[str, Suggestion]],
    monkeypatch: pytest.MonkeyPatch,
    start: str,
    module: Any,
    name: str,
    at: int,
) -> None:
    db = clinic(start)
    with monkeypatch.context() as patched:
        interrupting(patched, module, name, at)
        with pytest.raises(KeyboardInterrupt):
            plan_everyone(db, NAMES, world, block=2)
    assert list(planned(db)) == NAMES[:2], "a block is stored whole or not at all"
    rest = plan_everyone(db, NAMES, world, block=2)
    assert (rest.skipped, rest.planned, rest.failed) == (2, 3, {})
    assert planned(db) == whole[start]
    assert verified(db).problem is None


def test_one_bad_patient_is_named_and_the_others_are_planned_for(
    clinic: Copy, world: World, whole: dict[str, dict[str, Suggestion]], monkeypatch: pytest.MonkeyPatch
) -> None:
    db = clinic()
    with db.write() as session:
        added_without_events(session, "abe")
    original = overnight.dose_planner(world)

    def fails_on_bea(world: World, recordings: Any, people: Any, **named: Any) -> Any:
        if any(recording.patient == "bea" for recording in recordings):
            raise ZeroDivisionError("a bug")
        return original(world, recordings, people, **named)

    monkeypatch.setattr(overnight, "dose_planner", lambda world: fails_on_bea)
    night = plan_everyone(db, [*patient_names(db), "zoe"], world, block=3)
    assert list(night.failed) == ["abe", "bea", "zoe"]
    assert "has no events" in night.failed["abe"] and night.failed["bea"] == "ZeroDivisionError: a bug"
    assert (night.patients, night.planned, night.skipped) == (7, 4, 0)
    assert (night.planned, night.abstained) == (night.changed + night.unchanged + night.abstained, 1)
    found = planned(db)
    assert list(found) == ["ann", "cyd", "dan", "eve"]
    for name, one in found.items():
        assert [line.key for line in one.lines] == [line.key for line in whole["personalised"][name].lines]


def test_what_is_wrong_with_the_store_is_nobodys_in_particular() -> None:
    def full(some: list[str]) -> list[str]:
        raise StoreError("no space")

    with pytest.raises(StoreError):
        leaving_out_failures({"ann": "ann"}, full, {})


def test_who_fails_is_found_by_halves() -> None:
    batches: list[list[int]] = []

    def work(some: list[int]) -> list[int]:
        batches.append(some)
        if 5 in some:
            raise ClinicError("five")
        return [10 * each for each in some]

    failed: dict[str, str] = {}
    found = leaving_out_failures({str(each): each for each in range(8)}, work, failed)
    assert found == {str(each): 10 * each for each in range(8) if each != 5} and failed == {"5": "five"}
    assert len(batches) == 7


def test_no_more_than_a_block_is_ever_held(clinic: Copy, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    db, alive, most, searched = clinic(), weakref.WeakSet(), [0], []  # type: ignore[var-annotated]
    read, doses = overnight.read_recording, overnight.dose_planner(world)

    def reading(*arguments: Any) -> Any:
        found = read(*arguments)
        alive.add(found)
        gc.collect()
        most[0] = max(most[0], len(alive))
        return found

    def searching(world: World, recordings: Any, people: Any, **named: Any) -> Any:
        searched.append(len(recordings))
        return doses(world, recordings, people, **named)

    monkeypatch.setattr(overnight, "read_recording", reading)
    monkeypatch.setattr(overnight, "dose_planner", lambda world: searching)
    night = plan_everyone(db, NAMES, world, block=2)
    assert most[0] == 2 and searched == [2, 2, 1]
    assert night.block == 2 and len(night.memory) == 3


def test_only_what_was_not_asked_of_these_data_before_is_planned_for(clinic: Copy, world: World) -> None:
    db, two = clinic(), NAMES[:2]

    def due(**asked: Any) -> int:
        night = plan_everyone(db, two, world, Asked(**asked))
        assert night.planned + night.skipped == 2 and not night.failed
        return night.planned

    assert due() == 2 and due() == 0
    assert due(seed=1) == 2
    assert due(at=pd.Timestamp("2026-09-20T12:00")) == 2
    assert due(at=pd.Timestamp("2026-09-20T12:00"), announced=("carbs 60 at 12:30",)) == 2
    assert due(at=pd.Timestamp("2026-09-20T12:00"), announced=("carbs 60 at 12:30",)) == 0
    save_regimen(db, "ann", replace(REGIMEN, basal=(0.9, 1.0, 0.9, 0.7)))
    assert due(at=pd.Timestamp("2026-09-20T12:00"), announced=("carbs 60 at 12:30",)) == 1, "another regimen is in force"


def test_what_cannot_be_asked_fails_before_anything_is_computed(
    clinic: Copy, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("careplan.therapies.glucose.dosing.reasons_to_abstain", lambda *_, **__: pytest.fail("computed"))
    night = plan_everyone(clinic(), NAMES, world, Asked(announced=("bolus 5 at 01:30",)))
    assert list(night.failed) == NAMES and "what the patient will do" in night.failed["ann"]


def test_the_command_reports_each_stage_and_who_failed(clinic: Copy, tmp_path: Path) -> None:
    db = clinic()
    with db.write() as session:
        added_without_events(session, "abe")
    command = ["--db", str(tmp_path / "clinic.db"), "plan", "--all"]
    first = CliRunner().invoke(app, [*command, "--json"])
    assert first.exit_code == 1 and "Not planned: abe" in first.stderr
    night = json.loads(first.stdout)
    assert list(night["stages"]) == [name for name in STAGES if name != "personalise"], "everybody was personalised before"
    assert night["bound_by"] in night["stages"] and night["seconds"] > 0 and night["patients_a_second"] > 0
    for time in night["stages"].values():
        assert time["wall"] >= 0 and time["processor"] >= 0 and time["patients_a_second"] > 0
    assert (night["patients"], night["planned"], night["skipped"], night["personalised"]) == (6, 5, 0, 0)
    assert list(night["failed"]) == ["abe"] and night["memory"]
    again = CliRunner().invoke(app, command, env={"COLUMNS": "200"})
    assert again.exit_code == 1 and "5 answered already" in again.stdout


def test_a_stage_within_a_stage_counts_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr(stages, "perf_counter", lambda: float(next(clock)))
    monkeypatch.setattr(stages, "process_time", lambda: 0.0)
    with stages.counted() as found:
        with stages.stage("search"), stages.stage("guard"):
            pass
        with stages.stage("search"):
            pass
    with stages.stage("search"):
        pass
    assert found.wall == {"search": 3.0, "guard": 1.0}
