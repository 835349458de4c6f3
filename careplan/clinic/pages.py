"""What the app draws: the worklist, a patient's review page and the page of their next hours."""

from datetime import datetime, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from careplan.clinic.errors import Altered
from careplan.clinic.reading import on_record
from careplan.clinic.records import patient_names, record_of, require
from careplan.clinic.regimens import prescribed
from careplan.clinic.reviews import RECENT, exposure_of, recent_readings, reviews_of, work_on
from careplan.clinic.standing import out_of_date, set_aside
from careplan.clinic.suggestions import latest, newest
from careplan.clinic.summaries import glucose_of, summarise
from careplan.clinic.views import (
    AuditRecord,
    Day,
    DosePage,
    Kind,
    Metrics,
    Path,
    Profile,
    ReviewPage,
    Status,
    Suggestion,
    WorklistRow,
)
from careplan.records.events import PatientRecord
from careplan.records.grid import to_series
from careplan.series import PatientSeries
from careplan.store import Actor, Database, local_account, schema
from careplan.therapies.glucose.decisions import BELOW_54_TARGET, BELOW_70_TARGET
from careplan.therapies.glucose.declaration import GLUCOSE, Regimen
from careplan.therapies.glucose.metrics import daily_metrics, profile

ABOVE_180_TARGET, ABOVE_250_TARGET, IN_RANGE_TARGET = 25.0, 5.0, 70.0


def worklist(db: Database, *, actor: Actor | None = None) -> list[WorklistRow]:
    """Every patient by urgency: hypoglycaemia first, then glycaemia risk, judged on the last 14 days recorded."""
    on_record(db, patient_names(db), "worklist", actor)
    with db.read() as session:
        rows = [
            _worklist_row(session, patient) for patient in session.scalars(select(schema.Patient).order_by(schema.Patient.id))
        ]
    return sorted(rows, key=lambda row: -row.urgency)


def review_page(db: Database, patient: str, *, actor: Actor | None = None) -> ReviewPage:
    """Everything on one patient; the look is audited. Raises `UnknownPatient`."""
    actor = actor or local_account()
    stored, notices = _opened(db, patient, "regimen", actor)
    found = prescribed(db, patient)
    with db.read() as session:
        record = record_of(session, patient)
        suggestion, altered = _shown(session, patient, "regimen")
        late = () if suggestion is None else tuple(out_of_date(session, suggestion))
        work = work_on(session, suggestion, actor)
        history = reviews_of(session, patient, "regimen")
        metrics = glucose_of(recent_readings(session, patient))[1]
    recent = None if record.events.empty else recent_series(record)
    return ReviewPage(
        summary=summarise(record, stored.source),
        recent=metrics,
        profile=no_profile() if recent is None else profile(recent),
        days=() if recent is None else days_of(recent),
        regimen={} if found is None else settings_of(found.regimen),
        suggestion=suggestion,
        draft=work,
        history=history,
        out_of_date=late,
        notices=(*altered, *notices),
    )


def dose_page(db: Database, patient: str, *, actor: Actor | None = None) -> DosePage:
    """The newest dose suggestion beside what was recorded around its moment; the look is audited. Raises `UnknownPatient`."""
    actor = actor or local_account()
    stored, notices = _opened(db, patient, "doses", actor)
    with db.read() as session:
        record = record_of(session, patient)
        suggestion, altered = _shown(session, patient, "doses")
        caution = None
        if suggestion is not None and suggestion.lines:
            caution = exposure_of(session, suggestion)(suggestion.lines[0]).breach
        return DosePage(
            summary=summarise(record, stored.source),
            suggestion=suggestion,
            recorded=_around(record, None if suggestion is None else suggestion.at),
            caution=caution,
            draft=work_on(session, suggestion, actor),
            history=reviews_of(session, patient, "doses"),
            out_of_date=() if suggestion is None else tuple(out_of_date(session, suggestion)),
            notices=(*altered, *notices),
        )


def _opened(db: Database, patient: str, kind: Kind, actor: Actor) -> tuple[schema.Patient, tuple[str, ...]]:
    """The patient, whose page is opened on record; and messages on drafts that had to be set aside."""
    with db.read() as session:
        require(session, patient)
    on_record(db, [patient], "review" if kind == "regimen" else "doses", actor)
    with db.write() as session:
        stored, number = require(session, patient), newest(session, patient, kind)
        return stored, () if number is None else set_aside(session, number, patient, actor)


def _shown(session: Session, patient: str, kind: Kind) -> tuple[Suggestion | None, tuple[str, ...]]:
    """The newest suggestion, or why it is not shown."""
    try:
        return latest(session, patient, kind), ()
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


def urgency(metrics: Metrics) -> tuple[float, str]:
    """How soon to look, and why: 300 for too much below 54 mg/dL, 200 below 70, 100 for highs; plus the GRI, 0 to 100."""
    if (
        not metrics.readings
        or metrics.very_low is None
        or metrics.low is None
        or metrics.high is None
        or metrics.very_high is None
    ):
        return -1.0, "no glucose recorded"
    below, above, risk = metrics.low + metrics.very_low, metrics.high + metrics.very_high, metrics.gri or 0.0
    if metrics.very_low >= BELOW_54_TARGET:
        return 300 + risk, f"{metrics.very_low:.1f} % below 54 mg/dL (target < {BELOW_54_TARGET:g} %)"
    if below >= BELOW_70_TARGET:
        return 200 + risk, f"{below:.1f} % below 70 mg/dL (target < {BELOW_70_TARGET:g} %)"
    if metrics.very_high >= ABOVE_250_TARGET:
        return 100 + risk, f"{metrics.very_high:.1f} % above 250 mg/dL (target < {ABOVE_250_TARGET:g} %)"
    if above >= ABOVE_180_TARGET:
        return 100 + risk, f"{above:.1f} % above 180 mg/dL (target < {ABOVE_180_TARGET:g} %)"
    in_range = metrics.in_range or 0.0
    if in_range <= IN_RANGE_TARGET:
        return 100 + risk, f"{in_range:.1f} % in range (target > {IN_RANGE_TARGET:g} %)"
    return risk, f"{in_range:.1f} % in range: targets met"


def recent_series(record: PatientRecord) -> PatientSeries:
    """The last 14 days of a record on the grid."""
    series = to_series(record, GLUCOSE)
    return series.since(max(0, len(series) - round(RECENT / timedelta(minutes=GLUCOSE.step))))


def _around(record: PatientRecord, at: datetime | None) -> Path:
    """Readings from three hours before to four hours after, by minutes from then."""
    glucose = record.events[record.events["channel"] == "glucose"]
    if at is None:
        return Path(minutes=(), mid=(), low=(), high=())
    minutes = (glucose["time"] - pd.Timestamp(at)).dt.total_seconds() / 60
    near = minutes[(minutes >= -180) & (minutes <= 240)]
    levels = tuple(glucose["value"].loc[near.index].tolist())
    return Path(minutes=tuple(near.tolist()), mid=levels, low=levels, high=levels)


def no_profile() -> Profile:
    """The profile of a patient without readings."""
    none = (None,)
    return Profile(minute=(0,), p5=none, p25=none, p50=none, p75=none, p95=none)


def days_of(series: PatientSeries) -> tuple[Day, ...]:
    """Each local day of a recording, the oldest first."""
    date = series.times.tz_convert(series.zone).strftime("%Y-%m-%d").to_numpy()
    return tuple(_day(series, name, np.flatnonzero(date == name), metrics) for name, metrics in daily_metrics(series).items())


def settings_of(regimen: Regimen) -> dict[str, tuple[tuple[int, float], ...]]:
    """setting -> ((start minute, value), ...)"""
    found = {
        name: tuple(zip(regimen.starts, getattr(regimen, name), strict=True))
        for name in ("basal", "carb_ratio", "correction_factor")
    }
    if regimen.delivery == "pen":
        found["long_acting"] = ((regimen.long_acting_at, regimen.long_acting),)
        del found["basal"]
    return found


def _day(series: PatientSeries, date: str, rows: NDArray[np.int64], metrics: Metrics) -> Day:
    minute = tuple(int(value) for value in series.minute_of_day()[rows])
    glucose = series.column("glucose")[rows]
    given = {
        name: tuple((minute[i], float(value)) for i, value in enumerate(np.nan_to_num(series.column(name)[rows])) if value > 0)
        for name in ("bolus", "carbs")
    }
    return Day(
        date=date,
        minute=minute,
        glucose=tuple(float(value) if np.isfinite(value) else None for value in glucose),
        boluses=given["bolus"],
        carbs=given["carbs"],
        metrics=metrics,
    )


def _worklist_row(session: Session, patient: schema.Patient) -> WorklistRow:
    readings = recent_readings(session, patient.id)
    days, metrics = glucose_of(readings)
    suggestion, altered = _shown(session, patient.id, "regimen")
    score, headline = urgency(metrics)
    last = session.scalar(select(func.max(schema.Event.time)).where(schema.Event.patient == patient.id))
    return WorklistRow(
        patient=patient.id,
        group=patient.group,
        urgency=score,
        headline=headline,
        status="altered" if altered else _status(session, suggestion, metrics),
        metrics=metrics,
        days=days,
        last=None if last is None else pd.Timestamp(last, unit="us", tz=patient.zone).to_pydatetime(),
        suggestion=None if suggestion is None else suggestion.id,
    )


def _status(session: Session, suggestion: Suggestion | None, metrics: Metrics) -> Status:
    if not metrics.readings:
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
