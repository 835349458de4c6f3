"""Courses: one patient under one therapy. What a patient is treated with decides how their record is read and what is planned."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from careplan import therapies
from careplan.clinic import codec
from careplan.clinic.errors import ClinicError
from careplan.clinic.known import current_targets
from careplan.practice import Practice
from careplan.store import Actor, append
from careplan.store.schema import Course
from careplan.targets import Targets

if TYPE_CHECKING:
    from careplan.records.events import PatientRecord

UNSTATED = "adult"  # the group of a record that states none


def courses_of(session: Session, patient: str) -> list[Course]:
    """All courses of a patient, by therapy."""
    return list(session.scalars(select(Course).where(Course.patient == patient).order_by(Course.therapy)))


def course_of(session: Session, patient: str, therapy: str | None = None) -> Course:
    """The course of a patient under a therapy; without one named, their only course.

    Raises `ClinicError` where there is none, or which of several is meant is not said.
    """
    found = courses_of(session, patient)
    chosen = [course for course in found if therapy is None or course.therapy == therapy]
    if len(chosen) == 1:
        return chosen[0]
    names = ", ".join(course.therapy for course in found) or "none"
    if chosen:
        raise ClinicError(f"patient {patient!r} is treated under {names}: say which therapy is meant")
    raise ClinicError(f"patient {patient!r} has no course{f' of {therapy!r}' if therapy else ''}; there are: {names}")


def practice_of(session: Session, patient: str, therapy: str | None = None) -> Practice:
    """The therapy of a course, at the patient's targets. Raises as `course_of`, and `NotInstalledError` where it is not installed
    here."""
    course = course_of(session, patient, therapy)
    return therapies.practice(course.therapy).at(targets_of(session, course))


def targets_of(session: Session, course: Course) -> Targets:
    """What a course aims at: what was signed last, else the default of the patient's group. Raises `NotInstalledError`."""
    signed = current_targets(session, course.patient, course.therapy)
    return therapies.practice(course.therapy).presets.of(course.group) if signed is None else codec.load(Targets, signed.body)


def practice_for(record: "PatientRecord") -> Practice:
    """The therapy that a new record is of: the first that regulates what it observes, else the first."""
    channels = set(record.events["channel"])
    working = [found.practice for found in therapies.installed().values() if found.practice is not None]
    return next((practice for practice in working if practice.therapy.regulated in channels), therapies.first())


def keep_course(session: Session, record: "PatientRecord", therapy: str | None, actor: Actor) -> Course:
    """The course that a record belongs to, begun where the patient is not treated so yet; with covariates that are new."""
    if therapy is None:
        known = courses_of(session, record.patient)
        therapy = known[0].therapy if len(known) == 1 else practice_for(record).name
    told: dict[str, Any] = {} if record.weight is None else {"weight": record.weight}
    practice = therapies.practice(therapy)
    told |= practice.known(record.facts) if record.facts else {}
    found = session.get(Course, (record.patient, therapy))
    if found is None:
        group = _group(practice, record.group)
        return begin_course(session, record.patient, therapy, group=group, covariates=told, actor=actor)
    new = {name: value for name, value in told.items() if name not in found.covariates}
    if new:
        found.covariates = {**found.covariates, **new}
        append(session, actor, "covariates recorded", patient=record.patient, rows=[found], therapy=therapy, covariates=new)
    return found


def _group(practice: Practice, stated: str) -> str:
    """The group that limits are by: as it is stated, the first where nothing was. `ClinicError` where it is none of them."""
    if stated in practice.groups:
        return stated
    if stated != UNSTATED:
        raise ClinicError(f"group {stated!r} is none of {practice.name}'s, which are {', '.join(practice.groups)}")
    return practice.groups[0]


def begin_course(
    session: Session, patient: str, therapy: str, *, group: str, covariates: Mapping[str, Any], actor: Actor
) -> Course:
    """A new course within a transaction, audited."""
    course = Course(patient=patient, therapy=therapy, group=group, covariates=dict(covariates), created=datetime.now(UTC))
    append(session, actor, "course begun", patient=patient, rows=[course], therapy=therapy, group=group)
    return course
