"""Suggestions for stored patients: read, personalise, ask the therapy, store."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial

import pandas as pd

from careplan import therapies
from careplan.clinic.errors import ClinicError
from careplan.clinic.people import people_of
from careplan.clinic.recordings import read_recording
from careplan.clinic.suggestions import save_suggestion, save_suggestions
from careplan.practice import PlanDoses, PlanRegimen
from careplan.recording import Recording
from careplan.store import Actor, Database
from careplan.suggestion import Suggestion
from careplan.therapy import Limits
from careplan.world.loaded import World
from careplan.world.personalise import Personalisation


def plan_regimens(
    db: Database,
    patients: Sequence[str],
    world: World,
    *,
    seed: int = 0,
    progress: Callable[[int, int, Suggestion], None] | None = None,
    actor: Actor | None = None,
    pool: Executor | None = None,
) -> list[Suggestion]:
    """One regimen suggestion a patient, stored: lines to change, no change, or why it abstains. progress: told of each as it is
    made. actor: who asked for it. pool: processes to plan in, of `careplan.clinic.planners`; None: here.

    Raises `ClinicError` where the therapy of the world model plans no regimens.
    """
    regimen_planner(world)
    recordings = [read_recording(db, patient, world.model.therapy.name, actor=actor) for patient in patients]
    known = people_of(db, recordings, world)
    pairs, each = [(recording, known[recording.patient]) for recording in recordings], partial(_planned, world, seed)
    made = []
    for suggestion in map(each, pairs) if pool is None else pool.map(each, pairs):
        made.append(save_suggestion(db, suggestion, actor=actor))
        if progress is not None:
            progress(len(made), len(patients), made[-1])
    return made


def _planned(world: World, seed: int, pair: tuple[Recording, Personalisation]) -> Suggestion:
    return regimen_planner(world)(world, *pair, seed=seed)


def suggest_doses(
    db: Database,
    patients: Sequence[str],
    world: World,
    *,
    at: pd.Timestamp | None = None,
    announced: Sequence[str] = (),
    seed: int = 0,
    limits: Mapping[str, Limits] | None = None,
    actor: Actor | None = None,
) -> list[Suggestion]:
    """The doses of the next hours for each patient from `at` (default: after the last reading), searched in one batch, stored.

    announced: what patients will do, in words. limits: by patient; the group's where absent. actor: who asked for it. Raises
    `ClinicError` where the therapy of the world model plans no doses.
    """
    plan = dose_planner(world)
    recordings = [read_recording(db, patient, world.model.therapy.name, actor=actor) for patient in patients]
    known = people_of(db, recordings, world)
    people = [known[patient] for patient in patients]
    made = plan(world, recordings, people, at=at, announced=announced, seed=seed, limits=limits)
    return save_suggestions(db, made, actor=actor)


def regimen_planner(world: World) -> PlanRegimen:
    """What suggests regimens under the therapy of a world model. Raises `ClinicError` where nothing does."""
    practice = therapies.practice(world.model.therapy.name)
    if practice.plan_regimen is None:
        raise ClinicError(f"therapy {practice.name!r} plans no regimens, but doses")
    return practice.plan_regimen


def dose_planner(world: World) -> PlanDoses:
    """What suggests doses under the therapy of a world model. Raises `ClinicError` where nothing does."""
    practice = therapies.practice(world.model.therapy.name)
    if practice.plan_doses is None:
        raise ClinicError(f"therapy {practice.name!r} plans no doses, but regimens (--regimen)")
    return practice.plan_doses
