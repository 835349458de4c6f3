"""One patient as stored, read once: what everything that is computed of a patient begins from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import pandas as pd
from sqlalchemy import select
from sqlalchemy.orm import Session

from careplan.clinic import codec
from careplan.clinic.errors import ClinicError
from careplan.clinic.reading import on_record
from careplan.clinic.records import current_version, require
from careplan.clinic.views import Kind, Suggestion
from careplan.records.events import PatientRecord
from careplan.records.grid import to_series
from careplan.series import PatientSeries
from careplan.stages import stage
from careplan.store import Actor, Database, data_hash, read_hashed, schema
from careplan.store.schema import RegimenVersion
from careplan.therapies.glucose.declaration import GLUCOSE, Group, Regimen
from careplan.therapies.glucose.estimates import estimate_regimen
from careplan.therapy import Mandate

ESTIMATED = "estimated"


@dataclass(frozen=True, eq=False)
class Recording:
    """A series on the grid; the regimen in force, else one estimated, else None; which that is, in words; the data hash; and what
    that regimen, where it came from a suggestion that was signed, hands to the planning of doses."""

    series: PatientSeries
    group: Group
    regimen: Regimen | None
    prescribed: str
    data: str
    mandate: Mandate | None = None

    @property
    def patient(self) -> str:
        return self.series.patient


def read_recording(db: Database, patient: str, *, actor: Actor | None = None) -> Recording:
    """The reading is on record. Raises `UnknownPatient`, or `ClinicError` without events."""
    with stage("read"):
        with db.read() as session:
            stored, version = require(session, patient), current_version(session, patient)
            events, data = read_hashed(session, patient)
            mandate = _handed_down(session, version)
        on_record(db, [patient], "planning", actor)
        if events.empty:
            raise ClinicError(f"patient {patient!r} has no events in the store")
        series = to_series(PatientRecord(patient=patient, zone=stored.zone, events=events), GLUCOSE)
        regimen = estimate_regimen(series) if version is None else codec.load(Regimen, version.body)
        return Recording(series, cast(Group, stored.group), regimen, _named(version), data, mandate)


def _handed_down(session: Session, version: RegimenVersion | None) -> Mandate | None:
    """The mandate of the suggestion whose signed review made this version."""
    if version is None:
        return None
    made = select(schema.Suggestion.payload).join(schema.Review, schema.Review.suggestion == schema.Suggestion.id)
    payload = session.scalar(made.where(schema.Review.regimen == version.id))
    return None if payload is None else codec.load(Suggestion, payload).mandate


def identity(db: Database, patient: str) -> tuple[str, str]:
    """`Recording.prescribed` and `Recording.data`, without the rest."""
    with stage("read"), db.read() as session:
        return _named(current_version(session, patient)), data_hash(session, patient)


def _named(version: RegimenVersion | None) -> str:
    return ESTIMATED if version is None or version.source == ESTIMATED else f"version {version.id}"


def question(
    kind: Kind,
    prescribed: str,
    *,
    at: pd.Timestamp | None = None,
    announced: Sequence[str] = (),
    simulations: int | None = None,
) -> str:
    """What a suggestion answers, in words that are the same whenever the same is asked of the same prescription."""
    when = "after the last reading" if at is None else f"at {at.isoformat()}"
    ahead = f", announced {'; '.join(announced)}" if announced else ""
    effort = "" if simulations is None else f"; {simulations} simulations"
    return f"{kind} {when}{ahead}; regimen {prescribed}{effort}"
