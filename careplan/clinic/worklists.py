"""Who to look at first: every course in a table of its own, computed when something of the patient is put on record.

The table is a cache and is not trusted: what a page of it shows is held to the audit trail again, and nothing is decided by it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, exists, func, or_, select
from sqlalchemy.orm import Session

from careplan import therapies
from careplan.clinic import codec
from careplan.clinic.access_log import log_access
from careplan.clinic.courses import targets_of
from careplan.clinic.errors import Altered
from careplan.clinic.suggestions import latest
from careplan.clinic.views import Status, WorklistPage, WorklistQuery, WorklistRow
from careplan.practice import Glance, Practice
from careplan.store import Actor, Database, schema
from careplan.store.schema import Course, Patient, WorklistEntry
from careplan.suggestion import Kind, Suggestion
from careplan.therapies import NotInstalledError

UNREADABLE = -2.0  # urgency of a patient whose therapy is not installed here: behind everybody else
BLOCK = 50  # courses computed in one transaction: others wait for less than a second
WAITING: tuple[Status, ...] = ("suggested", "draft")


def worklist(db: Database, query: WorklistQuery | None = None, *, actor: Actor | None = None) -> WorklistPage:
    """One page of the courses that a query asks for, judged on the last days recorded; those shown are read on record.

    By urgency those whose therapy is not installed here come last.
    """
    query = query or WorklistQuery()
    refresh(db)
    entry = WorklistEntry
    with db.read() as session:
        wanted = _wanted(query)
        found = session.scalar(select(func.count()).select_from(entry).where(*wanted)) or 0
        statuses: dict[Status, int] = {
            cast(Status, status): count
            for status, count in session.execute(select(entry.status, func.count()).group_by(entry.status))
        }
        groups = tuple(session.scalars(select(entry.group).distinct().order_by(entry.group)))
        missed = session.scalars(select(entry.unmet).distinct())
        unmet = tuple(dict.fromkeys(name for each in missed for name in each.split("|") if name))
        due = session.scalar(select(func.count()).select_from(entry).where(entry.due)) or 0
        first = (max(1, query.page) - 1) * query.size
        shown = session.scalars(select(entry).where(*wanted).order_by(*_order(query)).offset(first).limit(query.size)).all()
        rows = tuple(_row(session, each) for each in shown)
    log_access(db, [row.patient for row in rows], "worklist", actor)
    return WorklistPage(rows=rows, found=found, statuses=statuses, groups=groups, unmet=unmet, due=due)


def refresh(db: Database, patients: Sequence[str] | None = None) -> int:
    """Computes anew whatever of the worklist is stale or missing, of these patients or of all; returns how many courses."""
    done = 0
    while due := _stale(db, patients):
        with db.write() as session:
            for patient, therapy in due[:BLOCK]:
                session.merge(_entry(session, session.get_one(Patient, patient), session.get_one(Course, (patient, therapy))))
        done += len(due[:BLOCK])
        if len(due) <= BLOCK:
            break
    return done


def shown_suggestion(session: Session, patient: str, kind: Kind, therapy: str) -> tuple[Suggestion | None, tuple[str, ...]]:
    """The newest suggestion, or why it is not shown."""
    try:
        return latest(session, patient, kind, therapy), ()
    except Altered as error:
        return None, (f"{error}.",)


def _stale(db: Database, patients: Sequence[str] | None) -> list[tuple[str, str]]:
    """Courses whose entry is missing or stale, or could not be read by any therapy that was here."""
    entry, key = WorklistEntry, (WorklistEntry.patient == Course.patient) & (WorklistEntry.therapy == Course.therapy)
    with db.read() as session:
        found = session.execute(select(Course.patient, Course.therapy).outerjoin(entry, key).where(entry.patient.is_(None)))
        due = [(patient, therapy) for patient, therapy in found]
        readable = [name for name, one in therapies.installed().items() if one.practice is not None]
        again = or_(entry.stale, (entry.urgency == UNREADABLE) & entry.therapy.in_(readable))
        due += [(patient, therapy) for patient, therapy in session.execute(select(entry.patient, entry.therapy).where(again))]
    wanted = None if patients is None else set(patients)
    return [course for course in due if wanted is None or course[0] in wanted]


def _wanted(query: WorklistQuery) -> list[ColumnElement[bool]]:
    entry, wanted = WorklistEntry, []
    if text := query.find.strip().lower():
        wanted.append(func.lower(entry.patient).contains(text, autoescape=True))
    if query.statuses:
        wanted.append(entry.status.in_(query.statuses))
    if query.group is not None:
        wanted.append(entry.group == query.group)
    if query.unmet:
        wanted.append(or_(*(entry.unmet.contains(f"|{name}|", autoescape=True) for name in query.unmet)))
    if query.due:
        wanted.append(entry.due.is_(True))
    return wanted


def _order(query: WorklistQuery) -> tuple[ColumnElement[Any], ...]:
    entry = WorklistEntry
    by: dict[str, ColumnElement[Any]] = {"urgency": entry.urgency.desc(), "last": entry.last.desc().nulls_last()}
    key = by.get(query.sort)
    names = (entry.patient.asc(), entry.therapy.asc())
    return names if key is None else (key, *names)


def _entry(session: Session, patient: Patient, course: Course) -> WorklistEntry:
    from careplan.clinic.reviews import recent_readings

    suggestion, altered = shown_suggestion(session, patient.id, "regimen", course.therapy)
    last = session.scalar(select(func.max(schema.Event.time)).where(schema.Event.patient == patient.id))
    try:
        practice = therapies.practice(course.therapy).at(targets_of(session, course))
    except NotInstalledError as error:
        glance, status, due = _unreadable(error), "not readable", False
    else:
        glance = practice.glance(recent_readings(session, patient.id, practice))
        status = "altered" if altered else _status(session, suggestion, glance.measured)
        due = status == "signed" and _due(session, suggestion, last, practice)
    return WorklistEntry(
        patient=patient.id,
        therapy=course.therapy,
        group=course.group,
        urgency=glance.urgency,
        headline=glance.headline,
        status=status,
        metrics=None if glance.metrics is None else codec.dump(glance.metrics),
        days=glance.days,
        last=last,
        suggestion=None if suggestion is None else suggestion.id,
        unmet="".join(f"|{name}|" for name in glance.unmet),
        due=due,
        stale=False,
    )


def _row(session: Session, entry: WorklistEntry) -> WorklistRow:
    """An entry as it is shown; a suggestion that was changed past careplan since is told of."""
    patient = session.get_one(Patient, entry.patient)
    try:
        measures = therapies.practice(entry.therapy).measures
        metrics = None if entry.metrics is None else codec.load(measures, entry.metrics)
    except (NotInstalledError, ValueError):
        metrics = None
    status = entry.status
    if entry.suggestion is not None and status != "not readable":
        status = "altered" if shown_suggestion(session, entry.patient, "regimen", entry.therapy)[1] else status
    last = None if entry.last is None else datetime.fromtimestamp(entry.last / 1e6, ZoneInfo(patient.zone))
    return WorklistRow(
        patient=entry.patient,
        group=entry.group,
        urgency=entry.urgency,
        headline=entry.headline,
        status=cast(Status, status),
        metrics=metrics,
        days=entry.days,
        last=last,
        suggestion=entry.suggestion,
        therapy=entry.therapy,
        due=entry.due,
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


def _due(session: Session, suggestion: Suggestion | None, last: int | None, practice: Practice) -> bool:
    """Whether the newest suggestion changed the regimen, and readings enough to judge by have come in since."""
    if suggestion is None or last is None:
        return False
    changed = select(schema.RegimenVersion.valid_from).join(schema.Review, schema.Review.regimen == schema.RegimenVersion.id)
    since = session.scalar(changed.where(schema.Review.suggestion == suggestion.id))
    return since is not None and datetime.fromtimestamp(last / 1e6, UTC) >= since + practice.recent
