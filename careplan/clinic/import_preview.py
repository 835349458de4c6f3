"""Files on their way in: read, shown and questioned before anything of them is kept."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from careplan.clinic.courses import practice_of
from careplan.clinic.errors import ClinicError
from careplan.clinic.importing import plain, store_records
from careplan.clinic.known import require
from careplan.clinic.roles import BRINGS_IN, allow
from careplan.clinic.views import ImportedPatient, ImportReport
from careplan.clinic.worklists import refresh
from careplan.errors import AskError
from careplan.language import N_
from careplan.records.events import PatientRecord
from careplan.store import Actor, Database, read_channel, schema

DIFFERS = 0.1  # of a reading: sensors that agree differ by less
ENOUGH = 12  # readings of one time that tell whether two sources are of one person


@dataclass(frozen=True)
class PreviewedFiles:
    """What was read of some files. records: a person each; refused: file or person -> why nothing of it can be kept."""

    records: tuple[PatientRecord, ...] = field(repr=False)
    refused: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class PreviewedPerson:
    """One person of what was read. name: as the files have it. report: what an import would say of it. known: whether the store
    has somebody of that name. clock: whether the files say what zone their clock is in.
    """

    name: str
    zone: str
    clock: bool
    first: datetime | None
    last: datetime | None
    report: ImportReport
    events: Mapping[str, int]
    known: bool


def read_files(folder: Path, *, zone: str | None = None) -> PreviewedFiles:
    """Reads the files of a folder, finding each one's format by looking; nothing is kept. zone: the clock of files that do not
    say. What cannot be read is in `refused`, in words.
    """
    from careplan.records import RecordError, Refused, join_people, read

    broken: Refused = {}
    try:
        found = join_people(read(folder, zone=zone, refused=broken))
    except (AskError, RecordError) as error:
        whole = error if isinstance(error, RecordError) else RecordError(str(error), file=folder)
        found, broken = [], {Path(whole.file).name: whole, **broken}
    refused = {Path(name).name: str(error).replace(f"{folder}/", "") for name, error in broken.items()}
    return PreviewedFiles(tuple(found), MappingProxyType(refused))


def previewed_people(db: Database, incoming: PreviewedFiles) -> list[PreviewedPerson]:
    """Each person of what was read, as it would be kept."""
    with db.read() as session:
        return [_arrival(record, known=session.get(schema.Patient, record.patient) is not None) for record in incoming.records]


def mismatches(db: Database, incoming: PreviewedFiles, place: int, patient: str) -> list[str]:
    """Why the record at a place may not be the stored patient's: another name, another clock, other readings at the same times.

    Readings that agree are told, too. Raises `UnknownPatient`.
    """
    record, found = incoming.records[place], []
    with db.read() as session:
        stored = require(session, patient)
        regulated = practice_of(session, patient).therapy.regulated
        mine = read_channel(session, patient, regulated)
    if record.patient != patient:
        told = N_("the files are of {person}, not of {patient}")
        found.append(told.format(person=repr(record.patient), patient=repr(patient)))
    if record.zone != stored.zone:
        told = N_("the files' clock is that of {zone}, the patient's is that of {stored}")
        found.append(told.format(zone=record.zone, stored=stored.zone))
    theirs = record.events[record.events["channel"] == regulated][["time", "value"]]
    both, differ = _compared(mine, theirs)
    if both >= ENOUGH and differ > both / 4:
        told = N_("{differ} of {both} readings at the same times differ by more than {percent:g} %")
        found.append(told.format(differ=f"{differ:,}", both=f"{both:,}", percent=100 * DIFFERS))
    return found


def import_previewed(
    db: Database, incoming: PreviewedFiles, names: Mapping[int, str], *, actor: Actor, add: frozenset[int]
) -> ImportReport:
    """Keeps the records at the places that `names` gives a patient's name, each whole or not at all; one import in all.

    add: the places that are added to a patient who is stored already; the others are new, and fail where somebody has the name.

    Raises `ClinicError` where a new patient has no name or one that somebody has, or two places are given the same name.
    """
    allow(actor, BRINGS_IN)
    chosen: list[PatientRecord] = []
    with db.read() as session:
        for place, name in names.items():
            name = " ".join(name.split())
            there = session.get(schema.Patient, name) is not None
            if not name:
                raise ClinicError(N_("a new patient needs a name"))
            if there and place not in add:
                told = N_("patient {patient} is in the store already: add the files to them, or give another name")
                raise ClinicError(told.format(patient=repr(name)))
            if not there and place in add:
                require(session, name)
            chosen.append(replace(incoming.records[place], patient=name))
    if twice := {record.patient for record in chosen if [each.patient for each in chosen].count(record.patient) > 1}:
        told = N_("two records cannot be kept under one name at once")
        raise ClinicError(f"{', '.join(sorted(twice))}: {told}")
    report = store_records(db, "", chosen, actor=actor, merge=True)
    refresh(db, [person.patient for person in report.patients])
    return report


def _arrival(record: PatientRecord, *, known: bool) -> PreviewedPerson:
    times = record.events["time"]
    counts = {str(name): int(count) for name, count in record.events["channel"].value_counts().sort_index().items()}
    would = ImportedPatient(
        patient=record.patient,
        rows_read=record.rows_read,
        events_added=counts,
        events_known=0,
        corrections=plain(record.corrections),
        ignored=dict(record.ignored),
        files=record.files,
        source=record.source,
        why=record.why,
    )
    return PreviewedPerson(
        name=record.patient,
        zone=record.zone,
        clock=all(c.rule != "no time zone" for c in record.corrections),
        first=None if record.events.empty else times.min().to_pydatetime(),
        last=None if record.events.empty else times.max().to_pydatetime(),
        report=ImportReport(source=record.source, patients=(would,)),
        events=counts,
        known=known,
    )


def _compared(mine: pd.DataFrame, theirs: pd.DataFrame) -> tuple[int, int]:
    """How many readings both have of one time, within two and a half minutes, and how many of those differ."""
    if mine.empty or theirs.empty:
        return 0, 0
    ours: Any = mine.assign(time=mine["time"].astype("datetime64[ns, UTC]"))
    other: Any = theirs.assign(time=theirs["time"].astype("datetime64[ns, UTC]")).sort_values("time")
    paired = pd.merge_asof(
        other, ours, on="time", direction="nearest", tolerance=pd.Timedelta(minutes=2.5), suffixes=("", "_mine")
    ).dropna()
    apart = np.abs(paired["value"] - paired["value_mine"]) > DIFFERS * np.maximum(paired["value"], paired["value_mine"])
    return len(paired), int(apart.sum())
