"""From a recording to a suggestion, for a therapy whose doses are planned as a course: what each contract therapy's `Practice`
calls."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import torch

from careplan.breach import in_words
from careplan.planning.choice import OPTIONS
from careplan.planning.course import CoursePlans, CourseSearch, plan_course
from careplan.planning.latent import latent_course
from careplan.planning.measuring import next_measurement
from careplan.recording import Recording
from careplan.series import PatientSeries, given_columns, windows
from careplan.suggestion import Interval, Line, Option, Path, Suggestion
from careplan.therapy import Limits
from careplan.world.corpus import usual
from careplan.world.loaded import World
from careplan.world.model import WorldModel
from careplan.world.personalise import Personalisation

PARTICLES = 6


def planned(
    model: WorldModel,
    series: PatientSeries,
    person: Personalisation,
    limits: Limits,
    *,
    how: CourseSearch | None = None,
    **changes: Any,
) -> CoursePlans:
    """A course for one patient from the end of a recording on: what was given last goes on where it is a rate, or given daily."""
    therapy, clock = model.therapy, model.therapy.clock
    rows = clock.rows(clock.ahead)
    values = torch.zeros(1, rows, len(therapy.channels))
    columns = given_columns(therapy)
    goes_on = [action.of == "multiple" or therapy.channel(action.channel).form == "rate" for action in therapy.actions]
    for column, again in zip(columns, goes_on, strict=True):
        values[..., column] = float(series.values[-1, column]) * again
    past = windows(series, [len(series)], model.shape.context)
    course, state = latent_course(model, past, person.usual.unsqueeze(0), person.particles(PARTICLES).unsqueeze(0), values)
    level = model.natural(course.futures.start.mean(1))
    history = torch.from_numpy(np.where(series.mask[:, columns], series.values[:, columns], np.nan)).unsqueeze(0)
    known = {"level": level, "history": history * course.menu.per_row, **changes}
    return plan_course(course, state, course.menu, limits, known["level"], known["history"], how=how or CourseSearch(depth=2))


def suggestions(
    limits: Limits, holds: timedelta, world: World, recordings: Sequence[Recording], people: Sequence[Personalisation]
) -> list[Suggestion]:
    """One suggestion a patient."""
    made = []
    for recording, person in zip(recordings, people, strict=True):
        plans = planned(world.model, recording.series, person, limits)
        made.append(_suggestion(world, recording, plans))
    return made


def _suggestion(world: World, recording: Recording, plans: CoursePlans) -> Suggestion:
    therapy = world.model.therapy
    grid = therapy.clock.interval
    reasons = [in_words(breach) for breach in (*plans.reasons[0], *plans.refused[0])]
    if therapy.measure is not None:
        gap, _ = next_measurement(therapy, plans.levels[:, 0], grid)
        reasons.append(f"look again in {float(gap) / 1440:g} days")
    made = datetime.now(UTC)
    return Suggestion(
        id=None,
        patient=recording.patient,
        kind="doses",
        created=made,
        at=made,
        abstained=bool(plans.abstained[0]),
        reasons=tuple(reasons),
        lines=tuple(_lines(therapy, plans)),
        options=tuple(_option(name, plans, place, grid) for place, name in enumerate(OPTIONS)),
        limits_bound=plans.bound[0],
        banners=(),
        provenance=world.provenance(0, recording.data),
    )


def _lines(therapy: Any, plans: CoursePlans) -> list[Line]:
    """What is proposed otherwise than it stands, a line for each decision and action."""
    lines, minutes = [], therapy.clock.decision
    for decision, (given, stands) in enumerate(zip(plans.amounts[0, 0].tolist(), plans.amounts[0, 2].tolist(), strict=True)):
        for action, amount, current in zip(therapy.actions, given, stands, strict=True):
            if amount != current:
                channel = therapy.channel(action.channel)
                lines.append(
                    Line(
                        key=f"{action.channel}@{decision}",
                        setting=action.channel,
                        start=round(decision * minutes),
                        end=round((decision + 1) * minutes),
                        unit=channel.unit,
                        current=current,
                        proposed=amount,
                        lowest=0.0,
                        highest=max(2 * current, amount),
                        absolute_low=0.0,
                        absolute_high=1e6,
                        days=1,
                        why="",
                    )
                )
    return lines


def _option(name: str, plans: CoursePlans, place: int, grid: float) -> Option:
    level = plans.levels[0, place, :, 0]  # [P, M]
    low, mid, high = (tuple(part.tolist()) for part in torch.quantile(level, torch.tensor([0.05, 0.5, 0.95]), dim=0))
    minutes = tuple(grid * (1 + index) for index in range(level.shape[-1]))
    risk = plans.risk[0, place]
    interval = Interval(mid=float(risk.mean()), low=float(risk.min()), high=float(risk.max()))
    return Option(name=name, path=Path(minutes=minutes, mid=mid, low=low, high=high), outcomes={"risk": interval})


def stranger(model: WorldModel, series: PatientSeries) -> Personalisation:
    """Somebody of whom nothing but the covariates is known."""
    from careplan.world.personalise import typical

    known = usual(series)
    known[: len(model.therapy.channels) + len(model.therapy.outputs)] = 0.0
    return typical(model, series.patient, known)
