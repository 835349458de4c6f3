"""A whole clinic, block by block: read, personalise, check, encode, search, guard, explain, store.

A block is stored whole as it is done and then let go, so memory does not grow with the clinic and a kill loses no finished block.
The same run begun again skips whoever is answered already. Whoever fails is named, and costs nobody else a plan.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import TypeVar

import pandas as pd

from careplan.clinic.errors import ClinicError
from careplan.clinic.people import infer_people, stored_people
from careplan.clinic.planning import dose_planner, regimen_planner
from careplan.clinic.recordings import identity, read_recording
from careplan.clinic.suggestions import latest_provenance, save_suggestions
from careplan.clinic.views import Night, StageTime
from careplan.clinic.worklists import refresh
from careplan.recording import Recording, question
from careplan.stages import Stages, counted, peak_memory, stage
from careplan.store import Database, StoreError
from careplan.suggestion import Kind, Suggestion
from careplan.world.loaded import World
from careplan.world.personalise import Personalisation

BLOCK = 25  # patients read, personalised, planned and stored at once
SIMULATIONS = 128  # of each patient's search for doses
STAGES = ("read", "personalise", "check", "encode", "search", "guard", "explain", "store")

T = TypeVar("T")
R = TypeVar("R")
Progress = Callable[[int, int], None]  # patients done, of how many


@dataclass(frozen=True)
class Asked:
    """The same question, asked of everybody: doses from `at` on (None: each one's last reading), or a regimen."""

    kind: Kind = "doses"
    at: pd.Timestamp | None = None
    announced: tuple[str, ...] = ()
    seed: int = 0

    def question(self, prescribed: str) -> str:
        """As the suggestions that answer this say it."""
        simulations = SIMULATIONS if self.kind == "doses" else None
        return question(self.kind, prescribed, at=self.at, announced=self.announced, simulations=simulations)

    def answer(self, world: World, known: Sequence[tuple[Recording, Personalisation]]) -> list[Suggestion]:
        if self.kind == "regimen":
            plan = regimen_planner(world)
            return [plan(world, recording, person, seed=self.seed) for recording, person in known]
        recordings, people = zip(*known, strict=True)
        return dose_planner(world)(
            world, recordings, people, at=self.at, announced=self.announced, seed=self.seed, simulations=SIMULATIONS
        )


@dataclass
class Tally:
    """What a run has done so far; see `Night`."""

    skipped: int = 0
    personalised: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    memory: list[float] = field(default_factory=list)


def plan_everyone(
    db: Database,
    patients: Sequence[str],
    world: World,
    asked: Asked | None = None,
    *,
    block: int = BLOCK,
    progress: Progress | None = None,
) -> Night:
    """One stored suggestion for each of the patients whose newest is not the answer to this already."""
    asked, tally, began = asked or Asked(), Tally(), perf_counter()
    with counted() as stages:
        for start in range(0, len(patients), block):
            _plan_block(db, patients[start : start + block], world, asked, tally)
            tally.memory += [peak for peak in [peak_memory()] if peak is not None]
            if progress is not None:
                progress(min(start + block, len(patients)), len(patients))
    return _night(asked, len(patients), block, tally, stages, perf_counter() - began)


def _plan_block(db: Database, patients: Sequence[str], world: World, asked: Asked, tally: Tally) -> None:
    therapy = world.model.therapy.name
    due = _unanswered(db, patients, world, asked)
    tally.skipped += len(patients) - len(due)
    read: dict[str, Recording] = {}
    for patient in due:
        read |= leaving_out_failures(
            {patient: patient}, lambda some: [read_recording(db, each, therapy) for each in some], tally.failed
        )
    people = stored_people(db, list(read.values()), world)
    missing = {patient: recording for patient, recording in read.items() if patient not in people}
    fresh = leaving_out_failures(missing, lambda some: list(infer_people(db, some, world).values()), tally.failed)
    tally.personalised += len(fresh)
    people |= fresh
    known = {patient: (recording, people[patient]) for patient, recording in read.items() if patient in people}
    made = leaving_out_failures(known, partial(asked.answer, world), tally.failed)
    for kept in leaving_out_failures(made, partial(save_suggestions, db), tally.failed).values():
        tally.outcomes["abstained" if kept.abstained else "changed" if kept.lines else "unchanged"] += 1
    with stage("store"):
        refresh(db, due)


def _unanswered(db: Database, patients: Sequence[str], world: World, asked: Asked) -> list[str]:
    """Whoever's newest suggestion is not of this model, seed and code, or not of these data, this regimen and this question."""
    therapy = world.model.therapy.name
    found, due = latest_provenance(db, patients, asked.kind, therapy), []
    for patient in patients:
        provenance = found.get(patient, {})
        if all(provenance.get(name) == value for name, value in world.provenance(asked.seed, provenance.get("data", "")).items()):
            prescribed, data = identity(db, patient, therapy)
            if provenance == world.provenance(asked.seed, data, asked=asked.question(prescribed)):
                continue
        due.append(patient)
    return due


def leaving_out_failures(items: Mapping[str, T], work: Callable[[list[T]], Iterable[R]], failed: dict[str, str]) -> dict[str, R]:
    """`work` on all at once; where it fails, on each half, until whoever it fails on is alone, named in `failed` and left out.

    What is wrong with the store is nobody's in particular, and is raised.
    """
    if not items:
        return {}
    try:
        return dict(zip(items, work(list(items.values())), strict=True))
    except StoreError:
        raise
    except Exception as error:
        pairs = list(items.items())
        if len(pairs) == 1:
            failed[pairs[0][0]] = str(error) if isinstance(error, ClinicError) else f"{type(error).__name__}: {error}"
            return {}
        half = len(pairs) // 2
        return leaving_out_failures(dict(pairs[:half]), work, failed) | leaving_out_failures(dict(pairs[half:]), work, failed)


def _night(asked: Asked, patients: int, block: int, tally: Tally, stages: Stages, seconds: float) -> Night:
    planned = tally.outcomes.total()
    through = {"read": patients, "personalise": tally.personalised}
    times = {
        name: StageTime(
            wall=stages.wall[name],
            processor=stages.processor[name],
            patients_a_second=through.get(name, planned) / stages.wall[name],
        )
        for name in STAGES
        if name in stages.wall
    }
    return Night(
        kind=asked.kind,
        patients=patients,
        planned=planned,
        skipped=tally.skipped,
        failed=tally.failed,
        changed=tally.outcomes["changed"],
        unchanged=tally.outcomes["unchanged"],
        abstained=tally.outcomes["abstained"],
        personalised=tally.personalised,
        block=block,
        seconds=seconds,
        patients_a_second=planned / seconds if seconds else 0.0,
        stages=times,
        bound_by=max(times, key=lambda name: times[name].wall, default=None),
        memory=tuple(tally.memory),
    )
