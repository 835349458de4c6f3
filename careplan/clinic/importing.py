"""Files and records into the store: read, joined to what is stored, and kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pandas as pd
from sqlalchemy import select
from sqlalchemy.orm import Session

from careplan.clinic import codec
from careplan.clinic.courses import keep_course
from careplan.clinic.errors import ClinicError
from careplan.clinic.regimens import add_regimen
from careplan.clinic.summaries import GLANCE, glance_of
from careplan.clinic.views import ImportedPatient, ImportReport
from careplan.records.correction import Correction
from careplan.records.events import PatientRecord
from careplan.store import CLINIC, Actor, Batch, Database, add_events, append, hidden, local_account, read_events
from careplan.store.events import new_events
from careplan.store.schema import KEPT, ImportBatch, Patient, RegimenVersion
from careplan.therapies import practice

if TYPE_CHECKING:
    pass

Progress = Callable[[int, int, str], None]  # done, total, the patient just kept


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """How files are read, and how what they hold is kept.

    format: what all of them are; found by looking where None. zone: the clock of sources that do not say. day_first: of
    dates that do not say the order of their parts. token: for a server.
    patient: whose they are, where they are one person's. prefer: sources in the order in which they are believed where they hold
    the same. group: of patients that are new, whatever the source says. therapy, merge: as `store_records`.
    """

    format: str | None = None
    zone: str | None = None
    day_first: bool | None = None
    token: str | None = None
    patient: str | None = None
    prefer: Sequence[str] = ()
    group: str | None = None
    therapy: str | None = None
    merge: bool = False


BY_LOOKING = ImportOptions()


def import_records(
    db: Database,
    *paths: str | Path,
    how: ImportOptions = BY_LOOKING,
    progress: Progress | None = None,
    actor: Actor | None = None,
) -> ImportReport:
    """Reads the patients at the paths, finding each file's format by looking, and keeps what is new of each.

    A patient whose files cannot be trusted is left out, and named in `failed`.

    Args:
        db: The clinic's database.
        paths: Files, folders, ZIPs or addresses; a format's name may stand before them.
        how: How they are read and kept.
        progress: Called after each patient who was kept.
        actor: Who imports; this machine's account where None.

    Raises:
        RecordError: There is nothing to read, or whose rows they are cannot be told; nothing is kept.
        ClinicError: The format is unknown, or takes no token.
        StoreError: The store cannot be written; patients before that one are kept.
    """
    from careplan.records import READERS, Refused, join_people, read

    format, paths = named_format(paths, how.format)
    if format is not None and how.token is not None and "token" not in signature(READERS[format]).parameters:
        raise ClinicError(f"format {format!r} takes no token")
    refused: Refused = {}
    reading: dict[str, Any] = {
        "zone": how.zone,
        "day_first": how.day_first,
        "token": how.token,
        "patient": how.patient,
        "prefer": how.prefer,
    }
    found = [record for path in paths for record in read(path, format=format, refused=refused, **reading)]
    report = _kept(db, format or "", join_people(found, prefer=how.prefer), how, progress, actor)
    return replace(report, failed={**{name: str(error) for name, error in refused.items()}, **report.failed})


def import_declared(
    db: Database,
    *paths: str | Path,
    how: ImportOptions,
    progress: Progress | None = None,
    actor: Actor | None = None,
) -> ImportReport:
    """Reads what is there of an installed therapy, and keeps what is new of each patient: what a format of its own holds by that
    format (`door.is_of`), and other tables by the names of its channels and covariates (`formats.declared`). how: names that
    therapy; tables have no format, token or preference. Errors as `import_records`. Raises `ClinicError` where no therapy is
    named, too.
    """
    from careplan.formats.declared import read_declared
    from careplan.records import Refused, read
    from careplan.records.door import is_of

    if how.therapy is None:
        raise ClinicError("expected the therapy whose tables these are")
    refused: Refused = {}
    declared = practice(how.therapy).therapy
    reading: dict[str, Any] = {"zone": how.zone, "day_first": how.day_first, "patient": how.patient, "refused": refused}
    records = [
        each
        for path in map(Path, paths)
        for each in (read(path, **reading) if is_of(path, declared) else read_declared(path, declared, **reading))
    ]
    report = _kept(db, "declared", records, how, progress, actor)
    return replace(report, failed={**{name: str(error) for name, error in refused.items()}, **report.failed})


def _kept(
    db: Database,
    source: str,
    records: Sequence[PatientRecord],
    how: ImportOptions,
    progress: Progress | None,
    actor: Actor | None,
) -> ImportReport:
    if how.group is not None:
        records = [replace(record, group=how.group) for record in records]
    return store_records(db, source, records, therapy=how.therapy, progress=progress, actor=actor, merge=how.merge)


def named_format(paths: Sequence[str | Path], format: str | None = None) -> tuple[str | None, tuple[str | Path, ...]]:
    """The format and the paths, where a format's name may stand first: `("azt1d", "folder")`.

    Raises `ClinicError` for a format that is unknown, and where there is no path.
    """
    from careplan.records import READERS

    first, *rest = paths or [""]
    known = ", ".join(sorted(READERS))
    if format is None and str(first) in READERS and not Path(first).exists():
        format, paths = str(first), rest
    elif format is None and rest and "://" not in str(first) and not Path(first).exists():
        raise ClinicError(f"{str(first)!r} is no file, and as a format is not one of {known}: expected one of {known}")
    if format is not None and format not in READERS:
        raise ClinicError(f"format {format!r} is not one of {known}")
    if not paths:
        raise ClinicError("Missing argument: a file, a folder or an address after the format")
    return format, tuple(paths)


def store_records(
    db: Database,
    source: str,
    records: Sequence[PatientRecord],
    *,
    therapy: str | None = None,
    progress: Progress | None = None,
    actor: Actor | None = None,
    merge: bool = False,
) -> ImportReport:
    """Keeps what is new of each record, each in one transaction: a patient's record is kept whole or not at all.

    source: where the records come from, as far as they do not say themselves. therapy: that the records are of; where None, the
    patient's only course, or for somebody new the first therapy that regulates what was observed. merge: allow a record whose
    patient is already stored from another source, and join it to what is stored, which stays as it is; otherwise it fails, as
    people may share a name.
    """
    imported, failed, run = [], {}, uuid4().hex
    for done, record in enumerate(records, start=1):
        try:
            imported.append(_store(db, record.source or source, record, run, therapy, actor or local_account(), merge))
        except ValueError as error:
            failed[record.patient] = str(error)
            continue
        if progress is not None:
            progress(done, len(records), record.patient)
    sources = dict.fromkeys(record.source or source for record in records)
    return ImportReport(source=", ".join(sources) or source, patients=tuple(imported), failed=failed, run=run)


def _store(
    db: Database, source: str, record: PatientRecord, run: str, therapy: str | None, actor: Actor, merge: bool
) -> ImportedPatient:
    corrections = plain(record.corrections)
    with db.write() as session:
        stored = session.get(Patient, record.patient)
        if stored is not None and stored.source != source and not merge:
            raise ClinicError(
                f"patient {record.patient!r} is already stored from {stored.source!r}; if it is the same person, merge them"
            )
        if stored is not None and stored.zone != record.zone and not merge:
            raise ClinicError(
                f"patient {record.patient!r} is stored with the clock of {stored.zone}, this record has {record.zone}"
            )
        if stored is None:
            if hidden(session, record.patient):
                raise ClinicError(f"patient {record.patient!r} cannot be added under this name: choose another")
            clinic = session.info.get(CLINIC, "")
            stored = Patient(id=record.patient, zone=record.zone, source=source, created=datetime.now(UTC), clinic=clinic)
            append(session, actor, "patient added", patient=record.patient, rows=[stored], source=source)
        course = keep_course(session, record, therapy, actor)
        fresh, told = _joined(session, record, source, stored.zone)
        merged = [each for each in told if each.action == "dropped"]
        regimen, unusable = _stated_regimen(record, course.therapy)
        corrections += plain([*told, *unusable])
        glance = _glance(session, replace(record, events=fresh, group=course.group), stored, course.therapy)
        report = {"rows_read": record.rows_read, GLANCE: glance}
        batch = Batch(source=source, run=run, files=record.files, report=report, corrections=corrections)
        added = add_events(session, record.patient, fresh, batch, actor=actor)
        if regimen is not None:
            _add_stated_regimen(session, record, course.therapy, regimen, actor)
    return ImportedPatient(
        patient=record.patient,
        rows_read=record.rows_read,
        events_added=added,
        events_known=len(record.events) - len(merged) - sum(added.values()),
        corrections=corrections,
        ignored=dict(record.ignored),
        files=record.files,
        source=record.source or source,
        why=record.why,
    )


def _glance(session: Session, record: PatientRecord, stored: Patient, therapy: str) -> dict[str, Any] | None:
    """What is kept of the patient's whole record as it is once this part of it is added; None where nothing of it is new."""
    before = read_events(session, record.patient)
    fresh = record.events if before.empty else record.events.loc[new_events(session, record.patient, record.events).index]
    if fresh.empty:
        return None
    events = fresh if before.empty else pd.concat([before, fresh], ignore_index=True)
    whole = replace(record, events=events.sort_values("time", kind="stable", ignore_index=True), zone=stored.zone)
    return glance_of(whole, stored.source, practice(therapy))


def plain(corrections: Sequence[Correction]) -> tuple[Correction, ...]:
    """Corrections whose row is Python's own number, as JSON takes it."""
    return tuple(each._replace(row=int(each.row)) for each in corrections)


def _joined(session: Session, record: PatientRecord, source: str, zone: str) -> tuple[pd.DataFrame, Sequence[Correction]]:
    """What of a record is to be stored beside what other sources of the patient hold, and what is told of the rest."""
    others = select(ImportBatch.id).where(
        ImportBatch.patient == record.patient, ImportBatch.source != source, ImportBatch.state == KEPT
    )
    if record.events.empty or session.execute(others.limit(1)).first() is None:
        return record.events, ()
    from careplan.records.join import add_to  # only where there is something to join

    unknown = record.events.loc[new_events(session, record.patient, record.events).index].reset_index(drop=True)
    fresh, told = add_to(read_events(session, record.patient), replace(record, events=unknown), zone)
    return fresh, told


def _stated_regimen(record: PatientRecord, therapy: str) -> tuple[Any | None, tuple[Correction, ...]]:
    """The regimen that a source states, and what is told where its settings cannot be one."""
    if record.regimen is None:
        return None, ()
    try:
        return practice(therapy).stated(record.regimen), ()
    except ValueError as error:
        file = record.files[0] if record.files else record.source
        return None, (Correction("dropped", "settings that cannot be a regimen", str(file), 0, "regimen", str(error)),)


def _add_stated_regimen(session: Session, record: PatientRecord, therapy: str, regimen: Any, actor: Actor) -> None:
    """Keeps what the source says is prescribed, where it says something new; a later signed review stays in force."""
    valid_from = record.events["time"].max().to_pydatetime() if len(record.events) else datetime.now(UTC)
    before = select(RegimenVersion.body).where(
        RegimenVersion.patient == record.patient, RegimenVersion.therapy == therapy, RegimenVersion.source == "stated"
    )
    bodies = list(session.scalars(before))
    if codec.dump(regimen) not in bodies:
        add_regimen(session, record.patient, therapy, regimen, source="stated", valid_from=valid_from, actor=actor)
