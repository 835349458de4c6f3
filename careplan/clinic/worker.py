"""The process that runs jobs, one at a time: `python -m careplan.clinic.worker DATABASE`, kept by whoever asks for plans.

It opens the world model before the first job, so that a plan need not wait for it, and ends with the process that began it.
"""

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from threading import Event, Thread
from time import monotonic, sleep

from careplan import therapies
from careplan.clinic.courses import course_of
from careplan.clinic.errors import ClinicError
from careplan.clinic.planning import plan_regimens, suggest_doses
from careplan.clinic.queue import Job, claim_next, note_progress
from careplan.errors import AskError
from careplan.stages import watched
from careplan.store import Actor, Database, StoreError, existing_database, open_database
from careplan.world.loaded import World, open_world

POLL, REPORT, HEARTBEAT = 0.2, 0.5, 5.0  # seconds: between looks for a job, between what is told of one, between signs of life

Open = Callable[[str], World]


class Cancelled(Exception):  # noqa: N818
    """Somebody asked to stop the job."""


@cache
def world_of(therapy: str) -> World:
    """The world model that a therapy ships, read once. Raises `ClinicError` where it ships none."""
    practice = therapies.practice(therapy)
    if practice.weights is None:
        raise ClinicError(f"therapy {therapy!r} ships no world model to plan with: name trained weights")
    return open_world(practice.therapy, practice.weights)


def run_next(db: Database, open: Open = world_of) -> Job | None:
    """Runs the job that has waited longest; None where none waits. Whoever fails is named, and costs nobody else a plan."""
    claimed = claim_next(db)
    if claimed is None:
        return None
    job, actor = claimed
    failed: dict[str, str] = {}
    try:
        with _alive(db, job.id), watched(_Progress(db, job)):
            for done, patient in enumerate(job.patients):
                _tell(db, job, done=done, doing="", failed=failed)
                try:
                    _plan(db, patient, job, actor, open)
                except AskError as error:
                    failed[patient] = str(error)
                except ValueError as error:
                    failed[patient] = f"{type(error).__name__}: {error}"
    except Cancelled:
        note_progress(db, job.id, state="cancelled", failed=failed)
    except Exception as error:
        note_progress(db, job.id, state="failed", failed=failed, problem=f"{type(error).__name__}: {error}")
        traceback.print_exc()
    else:
        note_progress(db, job.id, state="done", done=len(job.patients), doing="", failed=failed)
    return job


def work(db: Database, *, parent: int | None = None) -> None:
    """Runs jobs as they come, until the parent process is gone. Without one, until it is stopped."""
    for name, found in therapies.installed().items():
        if found.practice is not None and found.practice.weights is not None:
            world_of(name)
    while parent is None or os.getppid() == parent:
        if run_next(db) is None:
            sleep(POLL)


def _plan(db: Database, patient: str, job: Job, actor: Actor, open: Open) -> None:
    with db.read() as session:
        therapy = course_of(session, patient).therapy
    world = open(therapy)
    if job.kind == "regimen":
        plan_regimens(db, [patient], world, actor=actor)
    else:
        suggest_doses(db, [patient], world, actor=actor)


def _tell(db: Database, job: Job, **changed: object) -> None:
    if not note_progress(db, job.id, **changed):
        raise Cancelled


@dataclass
class _Progress:
    """Tells what is being done, not more often than anybody could read it."""

    db: Database
    job: Job
    last: float = 0.0

    def __call__(self, stage: str) -> None:
        if stage != "store" and monotonic() - self.last >= REPORT:
            self.last = monotonic()
            _tell(self.db, self.job, doing=stage)


@contextmanager
def _alive(db: Database, job: int) -> Iterator[None]:
    """Says every few seconds that whoever runs the job is alive."""
    over = Event()

    def beat() -> None:
        while not over.wait(HEARTBEAT):
            with suppress(StoreError):  # the work itself will meet it
                note_progress(db, job)

    thread = Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def main() -> None:
    """Runs the jobs of the database that the settings name, for the process whose number is the argument."""
    from careplan.settings import Settings

    existing_database(Settings().database).dispose()  # a worker makes none
    database = open_database(Settings().database)
    try:
        work(database, parent=int(sys.argv[1]) if len(sys.argv) > 1 else None)
    finally:
        database.close()


if __name__ == "__main__":
    try:
        main()
    except StoreError as error:
        sys.exit(f"careplan worker: {error}")
