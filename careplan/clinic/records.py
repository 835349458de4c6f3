"""Records into the store and out of it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pandas as pd
from sqlalchemy import select
from sqlalchemy.orm import Session

from careplan.clinic import codec
from careplan.clinic.courses import course_of, keep_course, practice_of
from careplan.clinic.errors import ClinicError
from careplan.clinic.known import require
from careplan.clinic.reading import Purpose, on_record
from careplan.clinic.summaries import GLANCE, glance_of
from careplan.clinic.views import ImportedPatient, ImportReport
from careplan.records.correction import Correction
from careplan.records.events import PatientRecord
from careplan.store import CLINIC, Actor, Database, add_events, append, data_hash, hidden, local_account, number, read_events
from careplan.store.events import new_events
from careplan.store.schema import KEPT, ImportBatch, Patient, RegimenVersion
from careplan.therapies import practice

if TYPE_CHECKING:
    from careplan.series import PatientSeries

Progress = Callable[[int, int, str], None]  # done, total, the patient just kept


def import_records(
    db: Database,
    *paths: str | Path,
    format: str | None = None,
    zone: str | None = None,
    day_first: bool | None = None,
    token: str | None = None,
    patient: str | None = None,
    group: str | None = None,
    therapy: str | None = None,
    prefer: Sequence[str] = (),
    progress: Progress | None = None,
    actor: Actor | None = None,
    merge: bool = False,
) -> ImportReport:
    """Reads the patients at the paths, finding each file's format by looking, and keeps what is new of each.

    paths: files, folders, ZIPs or addresses; a format's name may stand before them. format: what all of them are. zone: the clock
    of sources that do not say. day_first: the order of numeric dates where nothing in a file tells. token: for a server. patient:
    whose they are, where they are one person's. group: of patients that are new, whatever the source says. therapy: as
    `store_records`. prefer: sources in the order in which they are believed where they hold the same.
    A patient whose files cannot be trusted is left out and told of in `failed`. Raises `RecordError` (nothing kept) where there
    is nothing to read or whose rows they are cannot be told, `ClinicError` for an unknown format or one that takes no such
    option, and `StoreError` when the store cannot be written (patients before that one are kept).
    """
    from careplan.records import READERS, Refused, join_people, read

    format, paths = named_format(paths, format)
    if format is not None and token is not None and "token" not in signature(READERS[format]).parameters:
        raise ClinicError(f"format {format!r} takes no token")
    refused: Refused = {}
    options = {"format": format, "zone": zone, "token": token, "patient": patient}
    found = [record for path in paths for record in read(path, prefer=prefer, refused=refused, day_first=day_first, **options)]
    records = join_people(found, prefer=prefer)
    if group is not None:
        records = [replace(record, group=group) for record in records]
    report = store_records(db, format or "", records, therapy=therapy, progress=progress, actor=actor, merge=merge)
    return replace(report, failed={**{name: str(error) for name, error in refused.items()}, **report.failed})


def import_declared(
    db: Database,
    *paths: str | Path,
    therapy: str,
    zone: str | None = None,
    day_first: bool | None = None,
    patient: str | None = None,
    group: str | None = None,
    progress: Progress | None = None,
    actor: Actor | None = None,
    merge: bool = False,
) -> ImportReport:
    """Reads tables whose columns are the channels and covariates of an installed therapy (`formats.declared`), and keeps what is
    new of each patient. Options and errors as `import_records`."""
    from careplan.formats.declared import read_declared
    from careplan.records import Refused

    refused: Refused = {}
    declared = practice(therapy).therapy
    records = [
        each
        for path in paths
        for each in read_declared(Path(path), declared, zone=zone, day_first=day_first, patient=patient, refused=refused)
    ]
    if group is not None:
        records = [replace(record, group=group) for record in records]
    report = store_records(db, "declared", records, therapy=therapy, progress=progress, actor=actor, merge=merge)
    return replace(report, failed={**{name: str(error) for name, error in refused.items()}, **report.failed})


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
        added = add_events(
            session,
            record.patient,
            fresh,
            actor=actor,
            source=source,
            run=run,
            files=record.files,
            report={"rows_read": record.rows_read, GLANCE: glance},
            corrections=corrections,
        )
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


def add_regimen(
    session: Session, patient: str, therapy: str, regimen: Any, *, source: str, valid_from: datetime, actor: Actor
) -> RegimenVersion:
    """A new version within a transaction, audited. Versions are never edited."""
    version = RegimenVersion(
        patient=patient,
        therapy=therapy,
        valid_from=valid_from,
        created=datetime.now(UTC),
        source=source,
        body=codec.dump(regimen),
    )
    number(session, version)
    append(session, actor, "regimen added", patient=patient, rows=[version], regimen=version.id, source=source, body=version.body)
    return version


def save_regimen(
    db: Database,
    patient: str,
    regimen: Any,
    *,
    therapy: str | None = None,
    source: str = "stated",
    valid_from: datetime | None = None,
    actor: Actor | None = None,
) -> int:
    """Prescribes a regimen from a time on (now); returns its version. therapy: where the patient has several.

    Raises `UnknownPatient`, and as `course_of`.
    """
    with db.write() as session:
        require(session, patient)
        course, when = course_of(session, patient, therapy), valid_from or datetime.now(UTC)
        version = add_regimen(
            session, patient, course.therapy, regimen, source=source, valid_from=when, actor=actor or local_account()
        )
        return version.id


def load_record(
    db: Database, patient: str, therapy: str | None = None, *, purpose: Purpose = "record", actor: Actor | None = None
) -> PatientRecord:
    """All events of a patient, with the group and the covariates of a course; this is on record.

    Raises `UnknownPatient`, and as `course_of`.
    """
    with db.read() as session:
        found = record_of(session, patient, therapy)
    on_record(db, [patient], purpose, actor)
    return found


def record_of(session: Session, patient: str, therapy: str | None = None) -> PatientRecord:
    """What `load_record` gives, for a use case that has put its reading on record itself."""
    stored, course = require(session, patient), course_of(session, patient, therapy)
    return PatientRecord(
        patient=patient,
        zone=stored.zone,
        events=read_events(session, patient),
        weight=course.covariates.get("weight"),
        group=course.group,
    )


def load_series(db: Database, patient: str, therapy: str | None = None) -> "PatientSeries":
    """A patient's recording on the grid of their therapy. Raises `UnknownPatient`, and `ClinicError` without events."""
    from careplan.records.grid import to_series  # with the tensors that it is made of

    record = load_record(db, patient, therapy)
    if record.events.empty:
        raise ClinicError(f"patient {patient!r} has no events in the store")
    with db.read() as session:
        return to_series(record, practice_of(session, patient, therapy).therapy)


def patient_data_hash(db: Database, patient: str) -> str:
    """Changes whenever the patient's events do; the key under which a personalisation is kept."""
    with db.read() as session:
        require(session, patient)
        return data_hash(session, patient)
