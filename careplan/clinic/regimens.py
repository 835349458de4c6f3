"""What is prescribed: stored versions, and the estimate where no source states one."""

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from careplan.clinic import codec
from careplan.clinic.courses import practice_of
from careplan.clinic.known import current_version, require
from careplan.clinic.summaries import kept_estimate
from careplan.practice import Practice
from careplan.store import Actor, Database


class Prescribed(NamedTuple):
    """A regimen of the patient's therapy and where it comes from: "stated", "estimated", "suggestion 12"."""

    regimen: Any
    source: str
    valid_from: datetime | None


def load_regimen(db: Database, patient: str, therapy: str | None = None) -> Any | None:
    """What the patient is on: the version in force, else an estimate from the records, else `None`."""
    found = prescribed(db, patient, therapy)
    return None if found is None else found.regimen


def prescribed(db: Database, patient: str, therapy: str | None = None) -> Prescribed | None:
    """What the patient is on and where that is from. therapy: where they have several. Raises `UnknownPatient`."""
    with db.read() as session:
        require(session, patient)
        practice = practice_of(session, patient, therapy)
        version = current_version(session, patient, practice.name)
        if version is not None:
            return Prescribed(codec.load(practice.regimen, version.body), version.source, version.valid_from)
        estimate = kept_estimate(session, patient, practice)
        estimate = _estimate(session, patient, practice) if estimate is None else estimate
    return None if estimate is None else Prescribed(estimate, "estimated", None)


def _estimate(session: Session, patient: str, practice: Practice) -> Any | None:
    from careplan.clinic.records import record_of
    from careplan.records.grid import to_series

    record = record_of(session, patient, practice.name)
    return None if record.events.empty else practice.estimate(to_series(record, practice.therapy))


def keep_estimate(db: Database, patient: str, therapy: str, *, actor: Actor) -> None:
    """Stores the estimate as a version where nothing else is stored, so that a suggestion refers to something that stays."""
    from careplan.clinic.records import add_regimen, record_of

    found = prescribed(db, patient, therapy)
    if found is None or found.valid_from is not None:
        return
    with db.write() as session:
        last = record_of(session, patient, therapy).events["time"].max().to_pydatetime()
        if current_version(session, patient, therapy) is None:
            add_regimen(session, patient, therapy, found.regimen, source="estimated", valid_from=last, actor=actor)
