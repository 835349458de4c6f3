"""A person decides: drafts, signatures, and what they change."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import numpy as np
import pandas as pd
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from careplan.clinic import codec, decisions
from careplan.clinic.courses import practice_of
from careplan.clinic.errors import ReviewError
from careplan.clinic.records import add_regimen, current_version, require
from careplan.clinic.suggestions import latest, stored
from careplan.clinic.views import Review
from careplan.practice import Change, Judged, Practice
from careplan.store import Actor, Database, append, number, read_channel, schema
from careplan.suggestion import Decision, Kind, Line, Suggestion

SAME = 0.01  # a line's current value may be rounded: this much of it


def save_draft(db: Database, suggestion: int, decided: Sequence[Decision], reviewer: Actor) -> None:
    """Keeps a reviewer's work so far, in place of their last draft. Raises `ReviewError` for a line the suggestion has not."""
    with db.write() as session:
        found = stored(session, suggestion)
        problems = decisions.draft_problems(found.lines, decided)
        if signed := _signed(session, suggestion):
            problems.append(signed)
        if problems:
            raise ReviewError(problems)
        made = datetime.now(UTC)
        row = schema.Draft(suggestion=suggestion, reviewer=str(reviewer), updated=made, decisions=codec.dump(tuple(decided)))
        append(session, reviewer, "drafted", patient=found.patient, rows=[session.merge(row)], suggestion=suggestion)


def load_draft(db: Database, suggestion: int, reviewer: Actor | None = None) -> tuple[Decision, ...]:
    """The reviewer's draft (anyone's newest without a name), empty where there is none."""
    with db.read() as session:
        return draft(session, suggestion, reviewer)


def sign_review(db: Database, suggestion: int, decided: Sequence[Decision], reviewer: Actor, meaning: str) -> Review:
    """Signs a decision on every line; what is accepted or edited becomes a new regimen version (the proposal stays as it was).

    Raises `ReviewError` with every reason why it cannot be signed; then nothing changes.
    """
    with db.write() as session:
        found = stored(session, suggestion)
        practice = practice_of(session, found.patient, found.therapy)
        problems = [*_stale(session, found, practice), *decisions.problems(found.lines, decided, judge_of(session, found))]
        if not meaning.strip():
            problems.append("a signature needs its meaning")
        if problems:
            raise ReviewError(problems)

        version = _apply(session, found, decided, reviewer, practice)
        row = schema.Review(
            suggestion=suggestion,
            patient=found.patient,
            reviewer=reviewer.name,
            signed=datetime.now(UTC),
            meaning=meaning.strip(),
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


def work_on(session: Session, suggestion: Suggestion | None, reviewer: Actor) -> tuple[Decision, ...]:
    """The reviewer's draft of a suggestion, else anyone's newest."""
    if suggestion is None or suggestion.id is None:
        return ()
    return draft(session, suggestion.id, reviewer) or draft(session, suggestion.id)


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


def draft(session: Session, suggestion: int, reviewer: Actor | None = None) -> tuple[Decision, ...]:
    query = select(schema.Draft).where(schema.Draft.suggestion == suggestion)
    if reviewer is not None:
        query = query.where(schema.Draft.reviewer == str(reviewer))
    row = session.scalars(query.order_by(schema.Draft.updated.desc()).limit(1)).first()
    return () if row is None else tuple(codec.load(Decision, body) for body in row.decisions)


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
    """What the therapy's rules say today of a value of a line, by the recent readings."""
    practice = practice_of(session, suggestion.patient, suggestion.therapy)
    return practice.judge(suggestion, recent_readings(session, suggestion.patient, practice))


def _signed(session: Session, suggestion: int) -> str | None:
    row = session.scalars(select(schema.Review).where(schema.Review.suggestion == suggestion)).first()
    return None if row is None else f"already signed by {row.reviewer} at {row.signed:%Y-%m-%d %H:%M} UTC"


def _stale(session: Session, suggestion: Suggestion, practice: Practice) -> list[str]:
    """Why this suggestion can no longer be signed: signed already, nothing to sign, replaced, or the regimen moved on."""
    found = [signed] if suggestion.id is not None and (signed := _signed(session, suggestion.id)) else []
    if suggestion.abstained:
        found.append("careplan abstained: there is nothing to sign")
    newest = latest(session, suggestion.patient, suggestion.kind, suggestion.therapy)
    if newest is not None and newest.id != suggestion.id:
        found.append(f"suggestion {newest.id} has replaced this one")
    if suggestion.kind == "regimen":
        version = current_version(session, suggestion.patient, suggestion.therapy)
        if version is None:
            found.append("there is no regimen to change")
        else:
            regimen = codec.load(practice.regimen, version.body)
            found += [_moved(line, practice.current(regimen, line)) for line in suggestion.lines]
    return [problem for problem in found if problem]


def _moved(line: Line, now: float) -> str:
    same = np.isclose(now, line.current, rtol=SAME, atol=SAME / 2)
    return "" if same else f"{line.key}: the regimen is now {now:g} {line.unit}, no longer {line.current:g}"


def _apply(
    session: Session, suggestion: Suggestion, decided: Sequence[Decision], reviewer: Actor, practice: Practice
) -> int | None:
    """The regimen version that the kept lines make; `None` where a review changes no regimen."""
    by_key = {decision.key: decision for decision in decided}
    kept = [line for line in suggestion.lines if by_key[line.key].verdict != "reject"]
    version = current_version(session, suggestion.patient, suggestion.therapy)
    if suggestion.kind != "regimen" or not kept or version is None:
        return None
    changes = [Change(line.setting, line.start, line.end, by_key[line.key].value) for line in kept]
    regimen = practice.changed(codec.load(practice.regimen, version.body), changes)
    now = max(datetime.now(UTC), version.valid_from)
    source = f"suggestion {suggestion.id}"
    made = add_regimen(session, suggestion.patient, practice.name, regimen, source=source, valid_from=now, actor=reviewer)
    return made.id
