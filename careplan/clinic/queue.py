"""Planning that goes on by itself: asked for on one page, run by a worker, looked at from any other.

A job is a row of the store, so that it outlives a reload, another page and whoever asked. Who asked for it is on record: a worker
plans in nobody's name without that entry. It says every few seconds that it is alive; a running job whose worker has gone silent
has died, and can be started again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, cast

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from careplan.clinic.errors import ClinicError
from careplan.clinic.known import require
from careplan.clinic.roles import DECIDES, allow
from careplan.store import Actor, Database, append, forged, number, schema, visible
from careplan.suggestion import Kind

State = Literal["waiting", "running", "done", "failed", "cancelled", "died"]
ACTIVE: tuple[State, ...] = ("waiting", "running")
SILENT = timedelta(seconds=20)  # a worker that was not heard of for so long has died
KEPT = timedelta(days=14)  # a finished job is forgotten then
ASKED = "planning asked for"  # the action of the entry
DIED = "the program that was planning stopped before it was done"


@dataclass(frozen=True, kw_only=True)
class Job:
    """What was asked, by whom, and how far it is. done: of `patients`, in order; doing: what with the next of them, in a word.
    failed: patient -> why nothing was planned for them. problem: why nothing more is done, where it failed or died.
    """

    id: int
    kind: Kind
    patients: tuple[str, ...]
    by: str
    asked: datetime
    state: State
    done: int
    doing: str
    failed: Mapping[str, str]
    problem: str

    @property
    def active(self) -> bool:
        """Whether it waits or runs."""
        return self.state in ACTIVE

    @property
    def next(self) -> str | None:
        """The patient whom it is planning for, or will plan for next."""
        return self.patients[self.done] if self.done < len(self.patients) else None


def ask(db: Database, patients: Sequence[str], kind: Kind, *, actor: Actor) -> Job:
    """Asks for one suggestion of a kind for each patient; those whom an active job is planning the same for are left out.

    Raises `UnknownPatient`, `Forbidden`, and `ClinicError` where nobody is left to plan for.
    """
    allow(actor, DECIDES)
    with db.write() as session:
        for patient in patients:
            require(session, patient)
        busy = {patient for job in _active(session) if job.kind == kind for patient in job.patients[job.done :]}
        wanted = [patient for patient in dict.fromkeys(patients) if patient not in busy]
        if not wanted:
            raise ClinicError("planning for the same is under way" if patients else "nobody is chosen to plan for")
        now = datetime.now(UTC)
        session.execute(delete(schema.Job).where(schema.Job.state.not_in(ACTIVE), schema.Job.asked < now - KEPT))
        row = schema.Job(
            kind=kind,
            patients=wanted,
            actor=actor.plain,
            asked=now,
            state="waiting",
            done=0,
            doing="",
            failed={},
            problem="",
            beat=now,
            cancel=False,
        )
        _on_record(session, number(session, row), actor)
        session.add(row)
        session.flush()
        return _view(row)


def job(db: Database, id: int) -> Job:
    """One job as it is now. Raises `ClinicError` where there is none by that number."""
    with db.read() as session:
        return _view(_required(session, id))


def jobs(db: Database, *, patient: str | None = None, kind: Kind | None = None) -> list[Job]:
    """The jobs that are remembered, the newest first; those of one patient, or of one kind."""
    query = select(schema.Job).order_by(schema.Job.id.desc())
    if kind is not None:
        query = query.where(schema.Job.kind == kind)
    with db.read() as session:
        found = [_view(row) for row in session.scalars(query)]
        own = visible(session, sorted({name for each in found for name in each.patients})) if found else set()
    return [each for each in found if own.issuperset(each.patients) and (patient is None or patient in each.patients)]


def cancel(db: Database, id: int) -> None:
    """Asks a job to stop: one that waits at once, one that runs at its next step. What it has planned is kept."""
    with db.write() as session:
        row = _required(session, id)
        if row.state == "waiting" or _view(row).state == "died":
            row.state = "cancelled"
        row.cancel = True


def ask_again(db: Database, id: int, *, actor: Actor) -> Job:
    """Asks anew for those whom a job that died, failed or was cancelled has not planned for. Raises as `ask`."""
    before = job(db, id)
    left = [*before.failed, *before.patients[before.done :]]
    with db.write() as session:
        row = _required(session, id)
        if _view(row).state == "died":
            row.state, row.problem = "failed", DIED
    return ask(db, left, before.kind, actor=actor)


def claim_next(db: Database) -> tuple[Job, Actor] | None:
    """The job that has waited longest, now running and ours, and who asked for it; None where none waits, or the one that does
    is not as it was asked for on record: that has failed then."""
    with db.read() as session:
        if not session.scalar(select(schema.Job.id).where(schema.Job.state == "waiting").limit(1)):
            return None
    with db.write() as session:
        row = session.scalar(select(schema.Job).where(schema.Job.state == "waiting").order_by(schema.Job.id).limit(1))
        if row is None:
            return None
        row.beat = datetime.now(UTC)
        if problem := _forged(session, row):
            row.state, row.problem = "failed", f"nothing is planned: {problem}"
            return None
        row.state = "running"
        return _view(row), Actor(**row.actor)


def note_progress(db: Database, id: int, **changed: Any) -> bool:
    """Writes how far a running job is, and that its worker is alive; returns whether it may go on: nobody asked to cancel it."""
    with db.write() as session:
        mine = update(schema.Job).where(schema.Job.id == id, schema.Job.state == "running")
        session.execute(mine.values(beat=datetime.now(UTC), **changed))
        found = session.execute(select(schema.Job.state, schema.Job.cancel).where(schema.Job.id == id)).first()
        return found is not None and found.state not in ("cancelled", "failed") and not found.cancel


def _on_record(session: Session, row: schema.Job, actor: Actor) -> None:
    [patient, *others] = row.patients
    append(session, actor, ASKED, patient=None if others else patient, **_asked(row))


def _asked(row: schema.Job) -> dict[str, Any]:
    """What of a job is on record: all that its worker does not write."""
    return {"job": row.id, "kind": row.kind, "patients": list(row.patients), "asked": row.asked.isoformat()}


def _forged(session: Session, row: schema.Job) -> str | None:
    """Why a job is not one that its actor asked for, in words; None where it is."""
    query = select(schema.AuditEntry).where(schema.AuditEntry.action == ASKED).order_by(schema.AuditEntry.id.desc())
    entry = session.scalars(query.where(schema.AuditEntry.detail["job"].as_integer() == row.id)).first()
    if entry is None or entry.detail != _asked(row) or {"name": entry.actor, **(entry.identity or {})} != row.actor:
        return "no entry of the audit trail says that this was asked for"
    problem = forged(session, entry)
    return None if problem is None else f"entry {entry.id} of the audit trail, which says that this was asked for, {problem}"


def _active(session: Session) -> list[Job]:
    found = [_view(row) for row in session.scalars(select(schema.Job).where(schema.Job.state.in_(ACTIVE)))]
    return [each for each in found if each.active]


def _required(session: Session, id: int) -> schema.Job:
    row = session.get(schema.Job, id)
    if row is None or not visible(session, row.patients).issuperset(row.patients):
        raise ClinicError(f"job {id} is not in the store")
    return row


def _view(row: schema.Job) -> Job:
    died = row.state == "running" and datetime.now(UTC) - row.beat > SILENT
    return Job(
        id=row.id,
        kind=cast(Kind, row.kind),
        patients=tuple(row.patients),
        by=row.actor["name"],
        asked=row.asked,
        state="died" if died else cast(State, row.state),
        done=row.done,
        doing=row.doing,
        failed=row.failed,
        problem=DIED if died else row.problem,
    )
