"""What is prescribed: stored versions, and the estimate where no source states one."""

from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from careplan.clinic import codec
from careplan.clinic.courses import course_of, practice_of
from careplan.clinic.known import current_version, require
from careplan.clinic.summaries import kept_estimate
from careplan.practice import Practice
from careplan.store import Actor, Database, append, local_account, number
from careplan.store.schema import RegimenVersion


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
    from careplan.clinic.stored_records import record_of
    from careplan.records.grid import to_series

    record = record_of(session, patient, practice.name)
    return None if record.events.empty else practice.estimate(to_series(record, practice.therapy))


def keep_estimate(db: Database, patient: str, therapy: str, *, actor: Actor) -> None:
    """Stores the estimate as a version where nothing else is stored, so that a suggestion refers to something that stays."""
    from careplan.clinic.stored_records import record_of

    found = prescribed(db, patient, therapy)
    if found is None or found.valid_from is not None:
        return
    with db.write() as session:
        last = record_of(session, patient, therapy).events["time"].max().to_pydatetime()
        if current_version(session, patient, therapy) is None:
            add_regimen(session, patient, therapy, found.regimen, source="estimated", valid_from=last, actor=actor)


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
