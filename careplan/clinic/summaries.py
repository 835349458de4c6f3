"""What is stored of a patient, at a glance: as it was kept with the last import, or computed anew where there is no such glance.

A glance of the whole record is kept in the report of each import batch, so that a list of hundreds reads a row a patient. It is
believed while nothing of the patient was taken back; what a course says of the patient is read with it.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from careplan import therapies
from careplan.clinic import codec
from careplan.clinic.access_log import log_access
from careplan.clinic.courses import course_of, courses_of, targets_of
from careplan.clinic.known import require
from careplan.clinic.views import PatientSummary
from careplan.practice import Practice
from careplan.store import Database
from careplan.store.schema import KEPT, Course, ImportBatch, Patient, TargetsVersion, table_of
from careplan.therapies import NotInstalledError

if TYPE_CHECKING:
    from careplan.records.events import PatientRecord

GLANCE = "glance"  # the key of a batch's report


def patients(db: Database) -> list[PatientSummary]:
    """Everyone in the store, by name, once a course."""
    with db.read() as session:
        courses = list(session.scalars(select(Course).order_by(*table_of(Course).primary_key)))
        names = list(dict.fromkeys(course.patient for course in courses))
        sources = {name: source for name, source in session.execute(select(Patient.id, Patient.source))}
        glances = _kept(session)
        practices = _practices(session, courses)
    log_access(db, names, "summary")
    return [
        _summary_of(db, course, sources[course.patient], practice, glances.get(course.patient, {}))
        for course, practice in zip(courses, practices.values(), strict=True)
    ]


def therapies_of(db: Database, patients: Sequence[str]) -> list[str]:
    """The therapies under which patients are treated, by name. Raises `UnknownPatient`."""
    with db.read() as session:
        for patient in patients:
            require(session, patient)
        return sorted({course.therapy for patient in patients for course in courses_of(session, patient)})


def show(db: Database, patient: str, therapy: str | None = None) -> PatientSummary:
    """One patient. therapy: where they have several. Raises `UnknownPatient`, and as `course_of`."""
    with db.read() as session:
        source, course = require(session, patient).source, course_of(session, patient, therapy)
        glances = _kept(session, [patient])
        [practice] = _practices(session, [course]).values()
    log_access(db, [patient], "summary")
    return _summary_of(db, course, source, practice, glances.get(patient, {}))


def kept_estimate(session: Session, patient: str, practice: Practice) -> Any | None:
    """The regimen estimated from the record when it was last imported, None where there is none or it cannot be believed."""
    glance = _kept(session, [patient]).get(patient, {})
    if glance.get("therapy") != practice.name or glance.get("estimate") is None:
        return None
    try:
        return codec.load(practice.regimen, glance["estimate"])
    except ValueError:  # kept by another version of the therapy
        return None


def glance_of(record: "PatientRecord", source: str, practice: Practice) -> dict[str, Any] | None:
    """What an import keeps of a patient's whole record; None where the therapy says no type of its metrics."""
    from careplan.clinic.glances import summarise
    from careplan.records.grid import to_series

    if record.events.empty:
        return None
    series = to_series(record, practice.therapy)
    estimate = practice.estimate(series)
    return {
        "therapy": practice.name,
        "summary": codec.dump(summarise(record, source, practice, series)),
        "estimate": None if estimate is None else codec.dump(estimate),
    }


def _kept(session: Session, only: Sequence[str] | None = None) -> dict[str, dict[str, Any]]:
    """The newest glance of each patient of whom nothing was taken back."""
    newest = select(func.max(ImportBatch.id)).group_by(ImportBatch.patient).having(func.max(ImportBatch.state) == KEPT)
    if only is not None:
        newest = newest.where(ImportBatch.patient.in_(only))
    rows = session.execute(select(ImportBatch.patient, ImportBatch.report).where(ImportBatch.id.in_(newest)))
    return {patient: report.get(GLANCE) or {} for patient, report in rows}


def _practices(session: Session, courses: Sequence[Course]) -> "dict[tuple[str, str], Found | NotInstalledError]":
    """The therapy of each course, at its targets, or why it is not here; by patient and therapy."""
    signed = {(patient, therapy) for patient, therapy in session.execute(select(TargetsVersion.patient, TargetsVersion.therapy))}
    found: dict[tuple[str, str], Found | NotInstalledError] = {}
    for course in courses:
        key = (course.patient, course.therapy)
        try:
            practice = therapies.practice(course.therapy)
            targets = targets_of(session, course) if key in signed else practice.presets.of(course.group)
        except NotInstalledError as error:
            found[key] = error
        else:
            usual = practice.presets.of("").levels
            found[key] = Found(practice.at(targets), usual=dict(targets.levels) == dict(usual))
    return found


class Found(NamedTuple):
    """A therapy at a patient's targets. usual: whether its bands have the edges that a kept glance counts by."""

    practice: Practice
    usual: bool


def _summary_of(
    db: Database, course: Course, source: str, found: Found | NotInstalledError, glance: dict[str, Any]
) -> PatientSummary:
    practice = found.practice if isinstance(found, Found) else found
    if isinstance(found, Found) and found.usual and glance.get("therapy") == course.therapy:
        try:
            summary = codec.load(PatientSummary, glance["summary"])
            metrics = codec.load(found.practice.measures, summary.metrics)
            now: dict[str, Any] = {"group": course.group, "weight": course.covariates.get("weight"), "source": source}
            return replace(summary, metrics=metrics, **now)
        except (ValueError, TypeError):  # kept by another version
            pass
    return _computed(db, course, source, practice)


def _computed(db: Database, course: Course, source: str, practice: Practice | NotInstalledError) -> PatientSummary:
    from careplan.clinic.glances import summarise, unreadable
    from careplan.clinic.stored_records import record_of

    with db.read() as session:
        record = record_of(session, course.patient, course.therapy)
    if isinstance(practice, NotInstalledError):
        return unreadable(record, source, course.therapy, f"not readable here: {practice}")
    return summarise(record, source, practice)
