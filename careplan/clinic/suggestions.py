"""Suggestions as they are stored: made once, never edited."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from careplan.breach import RULES, Breach
from careplan.clinic import codec
from careplan.clinic.courses import course_of
from careplan.clinic.errors import Altered, ClinicError
from careplan.clinic.known import require
from careplan.clinic.regimens import keep_estimate
from careplan.stages import stage
from careplan.store import Actor, Database, append, local_account, number, schema, tampered
from careplan.suggestion import Kind, Moment, Suggestion


def save_suggestion(db: Database, suggestion: Suggestion, *, actor: Actor | None = None) -> Suggestion:
    """Keeps a new suggestion; returns it with its id. Raises `UnknownPatient`, or `ClinicError` for one that is already kept."""
    return save_suggestions(db, [suggestion], actor=actor)[0]


def save_suggestions(db: Database, suggestions: Sequence[Suggestion], *, actor: Actor | None = None) -> list[Suggestion]:
    """Keeps new suggestions, all or none; returns them with their ids. Raises as `save_suggestion`.

    Where a patient's regimen is only estimated, that estimate is stored as a version, so that `current` stays what it was.
    """
    for suggestion in suggestions:
        if suggestion.id is not None:
            raise ClinicError(f"suggestion {suggestion.id} is already stored; a proposal is never edited")
        keys = [line.key for line in suggestion.lines]
        if len(set(keys)) != len(keys):
            raise ClinicError(f"suggestion for {suggestion.patient}: line keys repeat: {keys}")
    with db.read() as session:
        named = [_of_a_course(session, suggestion) for suggestion in suggestions]
    actor = actor or local_account()
    with stage("store"):
        for suggestion in named:
            if suggestion.kind == "regimen":
                keep_estimate(db, suggestion.patient, suggestion.therapy, actor=actor)
        with db.write() as session:
            return [replace(each, id=_add(session, each, actor)) for each in named]


def _of_a_course(session: Session, suggestion: Suggestion) -> Suggestion:
    """The suggestion with the therapy of the course that it is for."""
    require(session, suggestion.patient)
    return replace(suggestion, therapy=course_of(session, suggestion.patient, suggestion.therapy or None).therapy)


def _add(session: Session, suggestion: Suggestion, actor: Actor) -> int:
    row = schema.Suggestion(
        patient=suggestion.patient,
        therapy=suggestion.therapy,
        kind=suggestion.kind,
        created=suggestion.created,
        payload=codec.dump(suggestion),
        provenance=dict(suggestion.provenance),
    )
    number(session, row)
    append(
        session,
        actor,
        "suggested",
        patient=suggestion.patient,
        rows=[row],
        suggestion=row.id,
        kind=suggestion.kind,
        abstained=suggestion.abstained,
        lines={line.key: [line.current, line.proposed] for line in suggestion.lines},
        limits_bound=codec.dump(suggestion.limits_bound),
        provenance=dict(suggestion.provenance),
    )
    return row.id


def latest_provenance(db: Database, patients: Sequence[str], kind: Kind, therapy: str) -> dict[str, dict[str, str]]:
    """Where the newest suggestion of a kind comes from, by patient; without those who have none."""
    newest = (
        select(func.max(schema.Suggestion.id))
        .where(schema.Suggestion.patient.in_(patients), schema.Suggestion.kind == kind, schema.Suggestion.therapy == therapy)
        .group_by(schema.Suggestion.patient)
    )
    with db.read() as session:
        rows = session.execute(
            select(schema.Suggestion.patient, schema.Suggestion.provenance).where(schema.Suggestion.id.in_(newest))
        )
        return {patient: provenance for patient, provenance in rows}


def latest_suggestion(db: Database, patient: str, kind: Kind = "regimen", *, therapy: str | None = None) -> Suggestion | None:
    """The newest suggestion of a kind. therapy: where the patient has several. Raises `UnknownPatient`, and as `course_of`."""
    with db.read() as session:
        require(session, patient)
        return latest(session, patient, kind, course_of(session, patient, therapy).therapy)


def load_suggestion(db: Database, suggestion: int) -> Suggestion:
    """Raises `ClinicError` where there is none by that number."""
    with db.read() as session:
        return stored(session, suggestion)


def newest(session: Session, patient: str, kind: str, therapy: str) -> int | None:
    """The number of the newest suggestion of a kind under a therapy."""
    query = select(func.max(schema.Suggestion.id)).where(schema.Suggestion.patient == patient)
    return session.scalar(query.where(schema.Suggestion.kind == kind, schema.Suggestion.therapy == therapy))


def latest(session: Session, patient: str, kind: str, therapy: str) -> Suggestion | None:
    """The newest suggestion of a kind under a therapy. Raises `Altered` where it is not as it was put on record."""
    number = newest(session, patient, kind, therapy)
    return None if number is None else stored(session, number)


def stored(session: Session, suggestion: int) -> Suggestion:
    """The suggestion by that number. Raises `ClinicError` where there is none, `Altered` where it is not as put on record."""
    patient = session.scalar(select(schema.Suggestion.patient).where(schema.Suggestion.id == suggestion))
    if patient is None:
        raise ClinicError(f"suggestion {suggestion} is not in the store")
    if problem := tampered(session, schema.Suggestion, (suggestion,), patient):
        raise Altered(f"suggestion {suggestion} was changed past careplan and is not shown: {problem}")
    return _view(session.get_one(schema.Suggestion, suggestion))


def _view(row: schema.Suggestion) -> Suggestion:
    return replace(codec.load(Suggestion, _as_now(row.payload)), id=row.id, therapy=row.therapy)


def _as_now(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """A payload as it would be written now. Of older ones, moments name what was given beside their other fields, and each limit
    is a sentence, which stands as a rule of that name."""
    bound = [codec.dump(_limit(each)) if isinstance(each, str) else each for each in payload.get("limits_bound") or ()]
    payload = {**payload, "limits_bound": bound}
    why = payload.get("why") or {}
    own = {field.name for field in fields(Moment)}
    moments = [
        each
        if "given" in each
        else {name: value for name, value in each.items() if name in own}
        | {"given": {name: value for name, value in each.items() if name not in own}}
        for each in why.get("moments") or ()
    ]
    return {**payload, "why": {**why, "moments": moments}} if moments else payload


def _limit(sentence: str) -> Breach:
    """ "basal@360: 3 days of evidence, 5 needed" as a rule about a line; "max_dose", and what has no line, as a rule alone."""
    key, colon, said = sentence.partition(": ")
    if not (colon and "@" in key):
        return Breach(sentence)
    return Breach("low-level target" if said == RULES["low-level target"] else said, key)
