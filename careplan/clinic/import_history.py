"""Imports as they lie in the store, and taking one back as a whole."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from careplan.clinic.errors import ClinicError
from careplan.clinic.roles import BRINGS_IN, allow
from careplan.store import Actor, Database, local_account
from careplan.store.schema import KEPT, ImportBatch

MERGED = ("same dose", "same reading", "overlapping sensor", "rate known")  # rules of `careplan.records.join`
SHORTEST = 6  # letters of an import's name that are enough


@dataclass(frozen=True, kw_only=True)
class Import:
    """One import: its name, when, from what, and what is kept of it, by patient. state: "kept", "taken back" or "partly"."""

    run: str
    created: datetime
    sources: tuple[str, ...]
    files: tuple[str, ...]
    events: Mapping[str, int]
    state: str


@dataclass(frozen=True, kw_only=True)
class TakenBack:
    """What taking an import back removed, by patient, and what to import again because it was left out as the same."""

    run: str
    events: Mapping[str, int]
    again: tuple[str, ...]


def imports(db: Database, *, patient: str | None = None) -> list[Import]:
    """Every import that has a name, the newest first; those that hold something of one patient."""
    with db.read() as session:
        query = select(ImportBatch).where(ImportBatch.run.is_not(None)).order_by(ImportBatch.id.desc())
        runs: dict[str, list[ImportBatch]] = {}
        for batch in session.scalars(query):
            runs.setdefault(str(batch.run), []).append(batch)
    found = (_import(run, batches) for run, batches in runs.items())
    return [each for each in found if patient is None or patient in each.events]


def _import(run: str, batches: Sequence[ImportBatch]) -> Import:
    states = {batch.state for batch in batches}
    return Import(
        run=run,
        created=min(batch.created for batch in batches),
        sources=tuple(dict.fromkeys(batch.source for batch in batches)),
        files=tuple(dict.fromkeys(str(file) for batch in reversed(batches) for file in batch.files)),
        events={batch.patient: sum(batch.report.get("events_added", {}).values()) for batch in reversed(batches)},
        state=states.pop() if len(states) == 1 else "partly",
    )


def take_back(db: Database, run: str, *, reason: str, actor: Actor | None = None) -> TakenBack:
    """Removes what one import added, of every patient at once, and puts that on record; what was imported stays on record too.

    run: the import's name, or enough of its first letters. Events that another source held as well were kept from the import
    that brought them first: where that is this one, `again` names the files that bring them back. What a source stated of
    settings stays a regimen version. Raises `ClinicError` for an unknown name, one that several imports begin with, no reason,
    and an import that is taken back already.
    """
    from careplan.store import remove_events

    allow(actor, BRINGS_IN)
    if not reason.strip():
        raise ClinicError("expected a reason for taking an import back")
    with db.write() as session:
        batches = _batches(session, run)
        kept = [batch for batch in batches if batch.state == KEPT]
        if not kept:
            raise ClinicError(f"import {batches[0].run} is taken back already")
        again = [file for batch in kept for file in _left_out(session, batch)]
        removed = {
            batch.patient: remove_events(session, batch, actor=actor or local_account(), reason=reason.strip()) for batch in kept
        }
        return TakenBack(run=str(kept[0].run), events=removed, again=tuple(dict.fromkeys(again)))


def _batches(session: Session, run: str) -> list[ImportBatch]:
    if len(run) < SHORTEST:
        raise ClinicError(f"expected an import's name, at least {SHORTEST} letters of it; `careplan imports` lists them")
    found = list(session.scalars(select(ImportBatch).where(ImportBatch.run.startswith(run, autoescape=True))))
    names = {batch.run for batch in found}
    if len(names) != 1:
        raise ClinicError(f"{len(names) or 'no'} imports begin with {run!r}; `careplan imports` lists them")
    return found


def _left_out(session: Session, taken: ImportBatch) -> list[str]:
    """The files of the patient's other imports that held what this one brought."""
    mine = {str(file) for file in taken.files}
    query = select(ImportBatch).where(ImportBatch.patient == taken.patient, ImportBatch.state == KEPT, ImportBatch.id != taken.id)
    files: list[str] = []
    for batch in session.scalars(query):
        merged = any(
            correction[1] in MERGED and any(f" {file}:" in str(correction[5]) for file in mine)
            for correction in batch.corrections
        )
        known = batch.id > taken.id and batch.report.get("events_known", 0) > 0
        if merged or known:
            files += [str(file) for file in batch.files]
    return files
