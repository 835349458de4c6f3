"""What signed reviews changed, and what became of it: predicted against lived."""

from itertools import pairwise
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.orm import Session

from careplan.clinic import codec
from careplan.clinic.courses import course_of, practice_of
from careplan.clinic.errors import Altered
from careplan.clinic.known import require
from careplan.store import Database, schema
from careplan.store.schema import RegimenVersion
from careplan.suggestion import Experiment, predicted
from careplan.targets import Targets

if TYPE_CHECKING:
    from careplan.practice import Practice
    from careplan.recording import Signed


def lived_changes(db: Database, patient: str, therapy: str | None = None) -> tuple[Experiment, ...]:
    """The signed changes that a patient has lived with, predicted against lived, the oldest first. therapy: where they have
    several. Raises `UnknownPatient`, and as `course_of`."""
    with db.read() as session:
        require(session, patient)
        practice = practice_of(session, patient, course_of(session, patient, therapy).therapy)
        changes = signed_changes(session, practice, patient)
        if not changes or practice.experiments is None:
            return ()
        from careplan.clinic.stored_records import record_of  # a patient without signed changes waits for nothing heavy
        from careplan.records.grid import to_series

        record = record_of(session, patient, practice.name)
    return () if record.events.empty else practice.experiments(to_series(record, practice.therapy), changes)


def signed_changes(session: Session, practice: "Practice", patient: str) -> "tuple[Signed, ...]":
    """What signed reviews changed of a patient's regimen, the oldest first. What was predicted is of what was signed as it was
    proposed; of an edited change nothing was."""
    query = select(RegimenVersion).where(RegimenVersion.patient == patient, RegimenVersion.therapy == practice.name)
    versions = session.scalars(query.order_by(RegimenVersion.valid_from, RegimenVersion.id)).all()
    reviews = {
        review.regimen: review
        for review in session.scalars(select(schema.Review).where(schema.Review.patient == patient))
        if review.regimen is not None
    }
    if not reviews:
        return ()
    import pandas as pd

    from careplan.recording import Signed

    return tuple(
        Signed(
            since=pd.Timestamp(after.valid_from),
            before=codec.load(practice.regimen, before.body),
            after=codec.load(practice.regimen, after.body),
            predicted=said,
            targets=targets,
        )
        for before, after in pairwise(versions)
        if after.id in reviews
        for said, targets in [_predicted(session, reviews[after.id])]
    )


def _predicted(session: Session, review: schema.Review) -> tuple[dict[str, tuple[float, float]], Targets | None]:
    """What was said of a change that was signed, and the targets that it was said by."""
    from careplan.clinic.suggestions import stored

    try:
        suggestion = stored(session, review.suggestion)
    except Altered:
        return {}, None
    return predicted(suggestion) if review.meaning == "prescribe as proposed" else {}, suggestion.targets
