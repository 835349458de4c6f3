"""What the app draws: the worklist, a patient's review page and the page of their next hours."""

from datetime import datetime, timedelta
from typing import cast

import pandas as pd
from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from careplan import therapies
from careplan.clinic.courses import course_of, courses_of
from careplan.clinic.errors import Altered
from careplan.clinic.glances import summarise
from careplan.clinic.known import patient_names, require
from careplan.clinic.reading import on_record
from careplan.clinic.records import record_of
from careplan.clinic.regimens import prescribed
from careplan.clinic.reviews import recent_readings, reviews_of, work_on
from careplan.clinic.standing import out_of_date, set_aside
from careplan.clinic.suggestions import latest, newest
from careplan.clinic.views import AuditRecord, DosePage, ReviewPage, Status, WorklistRow
from careplan.practice import Glance, Practice
from careplan.records.events import PatientRecord
from careplan.records.grid import to_series
from careplan.series import PatientSeries
from careplan.store import Actor, Database, local_account, schema
from careplan.suggestion import Kind, Path, Suggestion
from careplan.therapies import NotInstalledError

UNREADABLE = -2.0  # urgency of a patient whose therapy is not installed here: behind everybody else


def worklist(db: Database, *, actor: Actor | None = None) -> list[WorklistRow]:
    """Every course by urgency, judged on the last days recorded; those whose therapy is not installed here come last."""
    on_record(db, patient_names(db), "worklist", actor)
    with db.read() as session:
        rows = [
            _worklist_row(session, patient, course)
            for patient in session.scalars(select(schema.Patient).order_by(schema.Patient.id))
            for course in courses_of(session, patient.id)
        ]
    return sorted(rows, key=lambda row: -row.urgency)


def review_page(db: Database, patient: str, *, therapy: str | None = None, actor: Actor | None = None) -> ReviewPage:
    """Everything on one patient; the look is audited. therapy: where they have several.

    Raises `UnknownPatient`, as `course_of`, and `NotInstalledError` for a therapy that is not here.
    """
    actor = actor or local_account()
    stored, practice, notices = _opened(db, patient, therapy, "regimen", actor)
    found = prescribed(db, patient, practice.name)
    with db.read() as session:
        record = record_of(session, patient, practice.name)
        suggestion, altered = _shown(session, patient, "regimen", practice.name)
        late = () if suggestion is None else tuple(out_of_date(session, suggestion))
        work = work_on(session, suggestion, actor)
        history = reviews_of(session, patient, "regimen", practice.name)
        recent = practice.glance(recent_readings(session, patient, practice))
    series = None if record.events.empty else recent_series(record, practice)
    return ReviewPage(
        summary=summarise(record, stored.source, practice),
        recent=recent.metrics,
        profile=practice.profile(series),
        days=() if series is None else practice.days(series),
        regimen={} if found is None else practice.listed(found.regimen),
        suggestion=suggestion,
        draft=work,
        history=history,
        out_of_date=late,
        notices=(*altered, *notices),
    )


def dose_page(db: Database, patient: str, *, therapy: str | None = None, actor: Actor | None = None) -> DosePage:
    """The newest dose suggestion beside what was recorded around its moment; the look is audited. Else as `review_page`."""
    actor = actor or local_account()
    stored, practice, notices = _opened(db, patient, therapy, "doses", actor)
    with db.read() as session:
        record = record_of(session, patient, practice.name)
        suggestion, altered = _shown(session, patient, "doses", practice.name)
        caution = None
        if suggestion is not None and suggestion.lines:
            caution = practice.caution(suggestion, recent_readings(session, patient, practice))
        return DosePage(
            summary=summarise(record, stored.source, practice),
            suggestion=suggestion,
            recorded=_around(record, practice.therapy.regulated, None if suggestion is None else suggestion.at),
            caution=caution,
            draft=work_on(session, suggestion, actor),
            history=reviews_of(session, patient, "doses", practice.name),
            out_of_date=() if suggestion is None else tuple(out_of_date(session, suggestion)),
            notices=(*altered, *notices),
        )


def _opened(
    db: Database, patient: str, therapy: str | None, kind: Kind, actor: Actor
) -> tuple[schema.Patient, Practice, tuple[str, ...]]:
    """The patient, whose page is opened on record, and their therapy; and messages on drafts that had to be set aside."""
    with db.read() as session:
        require(session, patient)
        practice = therapies.practice(course_of(session, patient, therapy).therapy)
    on_record(db, [patient], "review" if kind == "regimen" else "doses", actor)
    with db.write() as session:
        stored, number = require(session, patient), newest(session, patient, kind, practice.name)
        return stored, practice, () if number is None else set_aside(session, number, patient, actor)


def _shown(session: Session, patient: str, kind: Kind, therapy: str) -> tuple[Suggestion | None, tuple[str, ...]]:
    """The newest suggestion, or why it is not shown."""
    try:
        return latest(session, patient, kind, therapy), ()
    except Altered as error:
        return None, (f"{error}.",)


def audit_trail(db: Database, patient: str | None = None, *, limit: int = 200) -> list[AuditRecord]:
    """The newest entries of the audit trail, of one patient or all."""
    query = select(schema.AuditEntry).order_by(schema.AuditEntry.id.desc()).limit(limit)
    if patient is not None:
        query = query.where(schema.AuditEntry.patient == patient)
    with db.read() as session:
        return [
            AuditRecord(id=row.id, time=row.time, actor=row.actor, action=row.action, patient=row.patient, detail=row.detail)
            for row in session.scalars(query)
        ]


def recent_series(record: PatientRecord, practice: Practice) -> PatientSeries:
    """The last days of a record on the grid, as many as targets are judged on."""
    series = to_series(record, practice.therapy)
    return series.since(max(0, len(series) - round(practice.recent / timedelta(minutes=practice.therapy.step))))


def _around(record: PatientRecord, channel: str, at: datetime | None) -> Path:
    """Readings from three hours before to four hours after, by minutes from then."""
    readings = record.events[record.events["channel"] == channel]
    if at is None:
        return Path(minutes=(), mid=(), low=(), high=())
    minutes = (readings["time"] - pd.Timestamp(at)).dt.total_seconds() / 60
    near = minutes[(minutes >= -180) & (minutes <= 240)]
    levels = tuple(readings["value"].loc[near.index].tolist())
    return Path(minutes=tuple(near.tolist()), mid=levels, low=levels, high=levels)


def _worklist_row(session: Session, patient: schema.Patient, course: schema.Course) -> WorklistRow:
    suggestion, altered = _shown(session, patient.id, "regimen", course.therapy)
    try:
        practice = therapies.practice(course.therapy)
    except NotInstalledError as error:
        glance, status = _unreadable(error), "not readable"
    else:
        glance = practice.glance(recent_readings(session, patient.id, practice))
        status = "altered" if altered else _status(session, suggestion, glance.measured)
    last = session.scalar(select(func.max(schema.Event.time)).where(schema.Event.patient == patient.id))
    return WorklistRow(
        patient=patient.id,
        group=course.group,
        urgency=glance.urgency,
        headline=glance.headline,
        status=cast(Status, status),
        metrics=glance.metrics,
        days=glance.days,
        last=None if last is None else pd.Timestamp(last, unit="us", tz=patient.zone).to_pydatetime(),
        suggestion=None if suggestion is None else suggestion.id,
        therapy=course.therapy,
    )


def _unreadable(error: NotInstalledError) -> Glance:
    told = f"not readable here: {error}"
    return Glance(days=0.0, metrics=None, measured=False, sufficient=False, urgency=UNREADABLE, headline=told)


def _status(session: Session, suggestion: Suggestion | None, measured: bool) -> Status:
    if not measured:
        return "no data"
    if suggestion is None:
        return "not planned"
    if session.scalar(select(exists().where(schema.Review.suggestion == suggestion.id))):
        return "signed"
    if session.scalar(select(exists().where(schema.Draft.suggestion == suggestion.id))):
        return "draft"
    if suggestion.abstained:
        return "abstained"
    return "suggested" if suggestion.lines else "no change"
