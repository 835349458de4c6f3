"""A person decides: drafts, signatures, and what they change."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pandas as pd
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from careplan.clinic import codec, decisions
from careplan.clinic.courses import course_of, practice_of
from careplan.clinic.errors import ReviewError
from careplan.clinic.known import current_version, require
from careplan.clinic.regimens import add_regimen
from careplan.clinic.roles import DECIDES, allow
from careplan.clinic.standing import drafted_decisions as drafted
from careplan.clinic.standing import signed_already, stale
from careplan.clinic.suggestions import stored
from careplan.clinic.views import Review
from careplan.covariates import CourseFacts
from careplan.language import N_
from careplan.practice import Judged, Practice, SettingChange
from careplan.store import Actor, Database, append, number, read_channel, schema
from careplan.suggestion import Decision, Kind, Line, Meaning, Suggestion


def save_draft(db: Database, suggestion: int, decided: Sequence[Decision], reviewer: Actor) -> None:
    """Keeps a reviewer's work so far, in place of their last draft. Raises `ReviewError` for a line the suggestion has not, and
    `Forbidden`."""
    allow(reviewer, DECIDES)
    with db.write() as session:
        found = stored(session, suggestion)
        problems = decisions.draft_problems(found.lines, decided)
        if signed := signed_already(session, suggestion):
            problems.append(signed)
        if problems:
            raise ReviewError(problems)
        made = datetime.now(UTC)
        row = schema.Draft(suggestion=suggestion, reviewer=str(reviewer), updated=made, decisions=codec.dump(tuple(decided)))
        append(session, reviewer, "drafted", patient=found.patient, rows=[session.merge(row)], suggestion=suggestion)


def load_draft(db: Database, suggestion: int, reviewer: Actor | None = None) -> tuple[Decision, ...]:
    """The reviewer's draft (anyone's newest without a name), empty where there is none that is whole."""
    with db.read() as session:
        return drafted(session, suggestion, stored(session, suggestion).patient, reviewer)


def sign_review(db: Database, suggestion: int, decided: Sequence[Decision], reviewer: Actor, meaning: Meaning) -> Review:
    """Signs a decision on every line; what is accepted or edited becomes a new regimen version (the proposal stays as it was).

    Everything is decided anew: the suggestion is as it was put on record, in date and about the regimen in force; its limits are
    what the therapy allows this patient now; the meaning is the one that the decisions have. Raises `ReviewError` with every
    reason why it cannot be signed, `Altered` for a suggestion that was changed past careplan, and `Forbidden`; then nothing
    changes.
    """
    allow(reviewer, DECIDES)
    with db.write() as session:
        found = stored(session, suggestion)
        practice = practice_of(session, found.patient, found.therapy)
        problems = [*stale(session, found), *decisions.problems(found.lines, decided, judge_of(session, found))]
        if meaning != (means := decisions.meaning_of(found.lines, decided)):
            told = N_("the meaning {meaning} does not follow from the decisions, which mean {means}")
            problems.append(told.format(meaning=repr(meaning), means=repr(means)))
        if problems:
            raise ReviewError(problems)

        version = _apply(session, found, decided, reviewer, practice)
        row = schema.Review(
            suggestion=suggestion,
            patient=found.patient,
            reviewer=reviewer.name,
            signed=datetime.now(UTC),
            meaning=meaning,
            decisions=codec.dump(tuple(decided)),
            regimen=version,
            identity=reviewer.identity,
        )
        append(
            session,
            reviewer,
            "signed",
            patient=found.patient,
            rows=[number(session, row)],
            removed=session.scalars(select(schema.Draft).where(schema.Draft.suggestion == suggestion)).all(),
            checkpoint=True,
            suggestion=suggestion,
            review=row.id,
            regimen=version,
            meaning=row.meaning,
            decisions=row.decisions,
        )
        return review_view(row)


def reviews_of(session: Session, patient: str, kind: Kind, therapy: str) -> tuple[Review, ...]:
    """A patient's signed reviews of suggestions of one kind, the newest first."""
    query = select(schema.Review).join(schema.Suggestion, schema.Suggestion.id == schema.Review.suggestion)
    query = query.where(
        schema.Review.patient == patient, schema.Suggestion.kind == kind, schema.Suggestion.therapy == therapy
    ).order_by(schema.Review.id.desc())
    return tuple(review_view(row) for row in session.scalars(query))


def draft_of(session: Session, suggestion: Suggestion | None, reviewer: Actor) -> tuple[Decision, ...]:
    """The reviewer's draft of a suggestion, else anyone's newest."""
    if suggestion is None or suggestion.id is None:
        return ()
    return drafted(session, suggestion.id, suggestion.patient, reviewer) or drafted(session, suggestion.id, suggestion.patient)


def review_view(row: schema.Review) -> Review:
    return Review(
        id=row.id,
        suggestion=row.suggestion,
        patient=row.patient,
        reviewer=row.reviewer,
        signed=row.signed,
        meaning=row.meaning,
        decisions=tuple(codec.load(Decision, body) for body in row.decisions),
    )


def recent_readings(session: Session, patient: str, practice: Practice) -> pd.DataFrame:
    """Readings of what the therapy regulates: `time` on the patient's clock and `value`, of the last days that hold any."""
    channel = practice.therapy.regulated
    last = session.scalar(
        select(func.max(schema.Event.time)).where(schema.Event.patient == patient, schema.Event.channel == channel)
    )
    start = None if last is None else (pd.Timestamp(last, unit="us", tz="UTC") - practice.recent).to_pydatetime()
    readings = read_channel(session, patient, channel, start=start)
    return readings.assign(time=readings["time"].dt.tz_convert(require(session, patient).zone))


def judge_of(session: Session, suggestion: Suggestion) -> Callable[[Line, float], Judged]:
    """What the therapy's rules say today of a value of a line: by the recent readings, what is known of the patient, and what is
    in force."""
    course = course_of(session, suggestion.patient, suggestion.therapy)
    facts = CourseFacts(group=course.group, covariates=course.covariates)
    practice = practice_of(session, suggestion.patient, suggestion.therapy)
    version = current_version(session, suggestion.patient, suggestion.therapy)
    regimen = None if version is None else codec.load(practice.regimen, version.body)
    return practice.judge(suggestion, recent_readings(session, suggestion.patient, practice), facts, regimen)


def _apply(
    session: Session, suggestion: Suggestion, decided: Sequence[Decision], reviewer: Actor, practice: Practice
) -> int | None:
    """The regimen version that the kept lines make; `None` where a review changes no regimen."""
    by_key = {decision.key: decision for decision in decided}
    kept = [line for line in suggestion.lines if by_key[line.key].verdict != "reject"]
    version = current_version(session, suggestion.patient, suggestion.therapy)
    if suggestion.kind != "regimen" or not kept or version is None:
        return None
    changes = [SettingChange(line.setting, line.start, line.end, by_key[line.key].value) for line in kept]
    regimen = practice.changed(codec.load(practice.regimen, version.body), changes)
    now = max(datetime.now(UTC), version.valid_from)
    source = f"suggestion {suggestion.id}"
    made = add_regimen(session, suggestion.patient, practice.name, regimen, source=source, valid_from=now, actor=reviewer)
    return made.id
