"""What the app draws: a patient's review page and the page of their next hours."""

from datetime import datetime, timedelta

import pandas as pd
from sqlalchemy import select

from careplan.clinic.access_log import log_access
from careplan.clinic.courses import course_of, practice_of, targets_of
from careplan.clinic.glances import summarise
from careplan.clinic.known import require
from careplan.clinic.regimens import prescribed
from careplan.clinic.reviews import draft_of, recent_readings, reviews_of
from careplan.clinic.standing import out_of_date, set_aside_damaged
from careplan.clinic.stored_records import record_of
from careplan.clinic.suggestions import newest
from careplan.clinic.views import AuditRecord, DosePage, ReviewPage
from careplan.clinic.worklists import shown_suggestion
from careplan.practice import Practice
from careplan.records.events import PatientRecord
from careplan.records.grid import to_series
from careplan.series import PatientSeries
from careplan.store import Actor, Database, local_account, schema
from careplan.suggestion import Kind, Path


def review_page(db: Database, patient: str, *, therapy: str | None = None, actor: Actor | None = None) -> ReviewPage:
    """Everything on one patient; the look is audited. therapy: where they have several.

    Raises `UnknownPatient`, as `course_of`, and `NotInstalledError` for a therapy that is not here.
    """
    actor = actor or local_account()
    stored, practice, notices = _opened(db, patient, therapy, "regimen", actor)
    found = prescribed(db, patient, practice.name)
    with db.read() as session:
        record = record_of(session, patient, practice.name)
        suggestion, altered = shown_suggestion(session, patient, "regimen", practice.name)
        late = () if suggestion is None else tuple(out_of_date(session, suggestion))
        work = draft_of(session, suggestion, actor)
        history = reviews_of(session, patient, "regimen", practice.name)
        recent = practice.glance(recent_readings(session, patient, practice))
        targets = targets_of(session, course_of(session, patient, practice.name))
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
        targets=targets,
    )


def dose_page(db: Database, patient: str, *, therapy: str | None = None, actor: Actor | None = None) -> DosePage:
    """The newest dose suggestion beside what was recorded around its moment; the look is audited. Else as `review_page`."""
    actor = actor or local_account()
    stored, practice, notices = _opened(db, patient, therapy, "doses", actor)
    with db.read() as session:
        record = record_of(session, patient, practice.name)
        suggestion, altered = shown_suggestion(session, patient, "doses", practice.name)
        caution = None
        if suggestion is not None and suggestion.lines:
            caution = practice.caution(suggestion, recent_readings(session, patient, practice))
        return DosePage(
            summary=summarise(record, stored.source, practice),
            suggestion=suggestion,
            recorded=_around(record, practice.therapy.regulated, None if suggestion is None else suggestion.at),
            caution=caution,
            draft=draft_of(session, suggestion, actor),
            history=reviews_of(session, patient, "doses", practice.name),
            out_of_date=() if suggestion is None else tuple(out_of_date(session, suggestion)),
            notices=(*altered, *notices),
            targets=targets_of(session, course_of(session, patient, practice.name)),
        )


def _opened(
    db: Database, patient: str, therapy: str | None, kind: Kind, actor: Actor
) -> tuple[schema.Patient, Practice, tuple[str, ...]]:
    """The patient, whose page is opened on record, and their therapy; and messages on drafts that had to be set aside."""
    with db.read() as session:
        require(session, patient)
        practice = practice_of(session, patient, therapy)
    log_access(db, [patient], "review" if kind == "regimen" else "doses", actor)
    with db.write() as session:
        stored, number = require(session, patient), newest(session, patient, kind, practice.name)
        return stored, practice, () if number is None else set_aside_damaged(session, number, patient, actor)


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
