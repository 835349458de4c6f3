"""What a question may read of the store, and nothing else: nothing here keeps, plans, drafts or signs.

Questions in words and tools of other programs go through here; import rules keep them from every use case that changes something.
"""

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from sqlalchemy import func, select

from careplan import therapies
from careplan.clinic.access_log import READ, log_access
from careplan.clinic.courses import course_of, practice_of, targets_of
from careplan.clinic.errors import ClinicError
from careplan.clinic.known import patient_names, require
from careplan.clinic.regimens import Prescribed, prescribed
from careplan.clinic.summaries import show, therapies_of
from careplan.clinic.views import PatientSummary, Review, WorklistQuery, WorklistRow
from careplan.covariates import CourseFacts
from careplan.practice import Glance, Practice
from careplan.store import Actor, Database, append, local_account
from careplan.store.schema import Event, Patient
from careplan.suggestion import Suggestion
from careplan.targets import Targets
from careplan.therapy import Therapy

if TYPE_CHECKING:
    import pandas as pd

    from careplan.clinic.views import Forecast
    from careplan.world.loaded import World

__all__ = ["Database", "all_patients", "local_account"]


def all_patients(db: Database) -> list[str]:
    """The patients' names."""
    return patient_names(db)


def last_day(db: Database, patient: str) -> date:
    """The last recorded day on the patient's clock; today for a patient of whom nothing is recorded."""
    with db.read() as session:
        zone = ZoneInfo(require(session, patient).zone)
        last = session.scalar(select(func.max(Event.time)).where(Event.patient == patient))
    return datetime.fromtimestamp(last / 1e6, zone).date() if last is not None else datetime.now(zone).date()


def practice_and_facts(db: Database, patient: str) -> tuple[Practice, CourseFacts]:
    """The therapy of a patient and what their limits are by. Raises as `course_of`."""
    with db.read() as session:
        require(session, patient)
        course = course_of(session, patient)
        return practice_of(session, patient), CourseFacts(group=course.group, covariates=course.covariates)


def spoken_of(db: Database, patient: str, own: str) -> Practice | None:
    """The practice of a patient who is not treated under the therapy `own`; None for one who is. Raises as
    `practice_and_facts`."""
    return None if own in therapies_of(db, [patient]) else practice_and_facts(db, patient)[0]


def aims(db: Database, patient: str) -> Targets:
    """What a patient is treated to. Raises as `course_of`."""
    with db.read() as session:
        require(session, patient)
        return targets_of(session, course_of(session, patient))


def summary(db: Database, patient: str, actor: Actor) -> PatientSummary:
    """What is stored of a patient, at a glance; the reading is on record."""
    log_access(db, [patient], "question", actor)
    return show(db, patient)


def readings(db: Database, patient: str, first: date | None, last: date | None, actor: Actor) -> "pd.DataFrame":
    """Readings of what the therapy regulates on whole local days: `time` on the patient's clock and `value`."""
    practice, _ = practice_and_facts(db, patient)
    return events_of(db, patient, practice.therapy.regulated, first, last, actor)


def events_of(db: Database, patient: str, channel: str, first: date | None, last: date | None, actor: Actor) -> "pd.DataFrame":
    """Events of a channel on whole local days: `time` on the patient's clock and `value`; the reading is on record."""
    from careplan.store import read_channel

    log_access(db, [patient], "question", actor)
    with db.read() as session:
        zone = ZoneInfo(require(session, patient).zone)
        start = None if first is None else datetime(first.year, first.month, first.day, tzinfo=zone)
        found = read_channel(session, patient, channel, start=start)
    found = found.assign(time=found["time"].dt.tz_convert(str(zone)))
    if last is None:
        return found
    end = datetime(last.year, last.month, last.day, tzinfo=zone) + timedelta(days=1)
    return found[found["time"] < end].reset_index(drop=True)


def glance_of(db: Database, patient: str, first: date | None, last: date | None, actor: Actor) -> Glance:
    """What the readings of a stretch of days say. Raises `ClinicError` where there are none."""
    found = readings(db, patient, first, last, actor)
    if found.empty:
        raise ClinicError(f"patient {patient!r} has no reading from {first} to {last}")
    return practice_and_facts(db, patient)[0].glance(found)


def in_force(db: Database, patient: str, actor: Actor) -> Prescribed | None:
    """What is prescribed; the reading is on record."""
    log_access(db, [patient], "question", actor)
    return prescribed(db, patient)


def suggestions_with_reviews(db: Database, patient: str, actor: Actor) -> list[tuple[Suggestion, Review | None]]:
    """The newest suggestion of each kind with the review that a person signed, if one did; the reading is on record."""
    from careplan.clinic.reviews import reviews_of
    from careplan.clinic.suggestions import latest

    log_access(db, [patient], "question", actor)
    found: list[tuple[Suggestion, Review | None]] = []
    with db.read() as session:
        require(session, patient)
        therapy = course_of(session, patient).therapy
        for kind in ("regimen", "doses"):
            suggestion = latest(session, patient, kind, therapy)
            if suggestion is not None:
                reviews = reviews_of(session, patient, suggestion.kind, therapy)
                found.append((suggestion, next((each for each in reviews if each.suggestion == suggestion.id), None)))
    return found


def most_urgent(db: Database, count: int, actor: Actor) -> tuple[WorklistRow, ...]:
    """The head of the worklist; whoever is shown is read on record."""
    from careplan.clinic.worklists import worklist

    return worklist(db, WorklistQuery(size=count), actor=actor).rows


def forecast_of(
    db: Database,
    patient: str,
    world: "World",
    actor: Actor,
    *,
    at: datetime | None = None,
    what_if: tuple[str, ...] = (),
    ahead: float | None = None,
) -> "Forecast":
    """`careplan.clinic.forecasts.forecast_patient`, the reading on record as this actor's. at: on the patient's clock."""
    import pandas as pd

    from careplan.clinic.forecasts import forecast_patient

    log_access(db, [patient], "question", actor)
    when = None if at is None else pd.Timestamp(at)
    return forecast_patient(db, patient, world, at=when, what_if=what_if, ahead=ahead)


def farthest(therapy: Therapy) -> float:
    """Minutes that a forecast reaches at most."""
    from careplan.clinic.forecasts import FARTHEST

    return FARTHEST * therapy.clock.horizon


def model_card(db: Database, patient: str | None = None) -> dict[str, Any]:
    """What is written beside the weights in use: of a patient's therapy, or of the first that is installed. Raises `ClinicError`
    where that therapy ships no weights.
    """
    practice = therapies.first() if patient is None else practice_and_facts(db, patient)[0]
    if practice.card is None:
        raise ClinicError(f"therapy {practice.name!r} ships no weights")
    return dict(practice.card)


def log_tool_call(db: Database, tool: str, patient: str | None, actor: Actor) -> None:
    """Puts one call of a tool on record, as a read by the user it is made for."""
    with db.read() as session:
        known = patient is not None and session.get(Patient, patient) is not None
    with db.write() as session:
        append(session, actor, READ, patient=patient if known else None, purpose="tool", tool=tool)
