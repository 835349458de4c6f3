"""What if: settings that a person moves, lived on the patient's own days; and another dose or meal on a past day."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import pandas as pd

from careplan.clinic.courses import course_of, practice_of
from careplan.clinic.errors import ClinicError
from careplan.clinic.forecasts import NO_CHANGE, forecast_patient
from careplan.clinic.people import people_of
from careplan.clinic.recordings import read_recording
from careplan.clinic.worker import world_of
from careplan.practice import Rehearsal, Rehearsed
from careplan.store import Actor, Database
from careplan.suggestion import Line, Path
from careplan.world.loaded import World

NOW, PROPOSED, TRIED = "as now", "as proposed", "as tried"
WAS, AGAIN, IF = "what was", "as it was given", "what if"
BEFORE = 15.0  # minutes before an event from which its counterfactual is forecast
HOURS = 6.0


class Bench(NamedTuple):
    """One patient's settings on the bench: the lines that can be moved, and what trying them gives."""

    lines: tuple[Line, ...]
    rehearse: Rehearsal

    def tried(self, proposed: Mapping[str, float], values: Mapping[str, float]) -> dict[str, Rehearsed]:
        """The regimen in force, the one that is proposed, where it is another, and the one that is tried."""
        named: dict[str, Mapping[str, float]] = {NOW: {}}
        if proposed:
            named[PROPOSED] = proposed
        return self.rehearse({**named, TRIED: values})


def open_bench(
    db: Database,
    patient: str,
    *,
    therapy: str | None = None,
    actor: Actor | None = None,
    world: Callable[[str], World] = world_of,
) -> Bench:
    """Everything that trying settings needs, read and computed once. Raises `ClinicError` where this patient's days do not say,
    with the reasons, and where the therapy rehearses nothing."""
    with db.read() as session:
        practice = practice_of(session, patient, therapy)
    if practice.rehearse is None:
        raise ClinicError(f"therapy {practice.name!r} tries no settings")
    model = world(practice.name)
    recording = read_recording(db, patient, practice.name, actor=actor)
    person = people_of(db, [recording], model)[patient]
    found = practice.rehearse(model, recording, person)
    if isinstance(found, tuple):
        raise ClinicError("; ".join(found))
    return Bench(found.lines, found)


def another_day(
    db: Database,
    patient: str,
    at: pd.Timestamp,
    channel: str,
    value: float,
    *,
    therapy: str | None = None,
    actor: Actor | None = None,
    world: Callable[[str], World] = world_of,
) -> dict[str, Path]:
    """Another amount of what was given or taken at a moment of the recording, everything else as it was: paths by name of
    what was (where it was recorded), what the model says of it, and what it says of the other amount; minutes from `BEFORE` on.

    Raises as `forecast_patient`.
    """
    with db.read() as session:
        name = course_of(session, patient, therapy).therapy
    asked, start = f"{channel} {value:g} at {at:%H:%M}", at - pd.Timedelta(minutes=BEFORE)
    found = forecast_patient(db, patient, world(name), at=start, what_if=[asked], ahead=HOURS * 60, actor=actor)
    was = {} if found.observed is None else {WAS: found.observed}
    return {**was, AGAIN: found.paths[NO_CHANGE], IF: found.paths[asked]}
