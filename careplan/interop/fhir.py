"""One patient of the store as a FHIR R4 Bundle: what is recorded, and what a suggestion proposes and a signature orders."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

from sqlalchemy.orm import Session

from careplan.clinic import decisions
from careplan.clinic.courses import course_of, targets_of
from careplan.clinic.errors import ClinicError
from careplan.clinic.known import current_targets, require
from careplan.clinic.reviews import judge_of, reviews_of
from careplan.clinic.stored_records import load_record
from careplan.clinic.suggestions import stored
from careplan.clinic.views import Review
from careplan.interop.aims import goal_resources
from careplan.interop.checks import problems
from careplan.interop.observed import WRITERS, event_resources, patient_resource, summary_resources
from careplan.interop.proposed import order_resources, proposal_resources
from careplan.interop.resources import Person, Resource, bundle
from careplan.interop.resources import to as to_resource
from careplan.records.events import PatientRecord
from careplan.store import Actor, Database, append, local_account
from careplan.suggestion import Suggestion
from careplan.therapies.glucose.declaration import GLUCOSE

THERAPY = GLUCOSE.name


class ExportError(ClinicError):
    """What was to be exported cannot be; nothing is written."""


def fhir_bundle(
    db: Database,
    patient: str,
    *,
    suggestion: int | None = None,
    days: float | None = None,
    subject: str | None = None,
    to: str | None = None,
    actor: Actor | None = None,
    note: Callable[[str], None] | None = None,
) -> Resource:
    """A transaction Bundle of one patient, checked against the required codes and the profiles of the CGM guide.

    suggestion: a stored suggestion that goes with it as proposals, and, where it was signed, as orders. days: only the last so
    many days of the recording. subject: a reference to a Patient of the receiving server ("Patient/123"), in place of ours.
    to: where it goes, for the audit trail, which says who exports whom. note: told which events have no place in FHIR. Raises
    `UnknownPatient`, `ClinicError` for a patient who is not treated for glucose, or `ExportError` for a suggestion of somebody
    else or of another therapy, or one whose lines or signature the limits in force do not allow.
    """
    record = load_record(db, patient, THERAPY, actor=actor)
    with db.read() as session:
        person = Person(patient, seed_of(session, patient), record.zone, subject)
        course = course_of(session, patient, THERAPY)
        targets = targets_of(session, course)
        goals = goal_resources(person, targets, signed=current_targets(session, patient, THERAPY) is not None)
        planned = [] if suggestion is None else planned_resources(session, person, suggestion)
        if suggestion is not None and (made_for := stored(session, suggestion).targets) is not None and made_for.same(targets):
            aims = {"goal": [to_resource(goal) for goal in goals]}
            planned = [{**each, **aims} if each["resourceType"] == "CarePlan" else each for each in planned]
    if days is not None and len(record.events):
        recent = record.events["time"] > record.events["time"].max() - timedelta(days=days)
        record = replace(record, events=record.events[recent].reset_index(drop=True))
    for channel, count in record.events["channel"].value_counts().items():
        if note is not None and channel not in WRITERS:
            note(f"{count:,} events of {channel} have no place in FHIR and are left out")
    made = record_bundle(person, record, [*goals, *planned])
    if wrong := problems(made):
        raise ExportError(f"patient {patient!r} cannot be exported as FHIR: {'; '.join(wrong[:5])}")
    note_export(db, patient, actor, format="fhir", suggestion=suggestion, resources=len(made["entry"]), to=to)
    return made


def record_bundle(person: Person, record: PatientRecord, planned: Sequence[Resource] = ()) -> Resource:
    """A record, and what is planned on it, as a transaction."""
    own = [] if person.subject else [patient_resource(person, record)]
    return bundle([*own, *planned, *summary_resources(person, record), *event_resources(person, record)], datetime.now(UTC))


def seed_of(session: Session, patient: str) -> str:
    """What makes the ids of a patient's resources: the same in one store for ever, and another's in another store."""
    return f"{patient}@{require(session, patient).created.astimezone(UTC).isoformat()}"


def planned_resources(session: Session, person: Person, number: int) -> list[Resource]:
    """The proposals of a suggestion, and the orders of its signed review. The limits are asked again before either leaves. Raises
    `ExportError` where the suggestion is another patient's or of a therapy that FHIR is not written for, or breaks a limit.
    """
    suggestion = stored(session, number)
    if suggestion.patient != person.name:
        raise ExportError(f"suggestion {number} is for patient {suggestion.patient!r}, not {person.name!r}")
    if suggestion.therapy not in ("", THERAPY):
        raise ExportError(f"suggestion {number} is of therapy {suggestion.therapy!r}; FHIR is written for {THERAPY!r} alone")
    signed = reviews_of(session, person.name, suggestion.kind, suggestion.therapy)
    review = next((each for each in signed if each.suggestion == number), None)
    wrong = beyond_limits(session, suggestion) if review is None else no_longer_allowed(session, suggestion, review)
    if wrong:
        raise ExportError(f"suggestion {number} cannot be exported: {'; '.join(wrong)}")
    software = f"careplan {version('careplan')} (research use)"
    ordered = [] if review is None else order_resources(person, suggestion, review)
    return [*proposal_resources(person, suggestion, software), *ordered]


def beyond_limits(session: Session, suggestion: Suggestion) -> list[str]:
    """The lines whose proposed value nobody could sign: beyond what they state, or what the therapy allows this patient now."""
    judge = judge_of(session, suggestion)
    found = []
    for line in suggestion.lines:
        judged = judge(line, line.proposed)
        low, high = max(line.absolute_low, judged.lowest), min(line.absolute_high, judged.highest)
        if not low <= line.proposed <= high:
            found.append(f"{line.key}: {line.proposed:g} {line.unit} is beyond the absolute limits {low:g} to {high:g}")
    return found


def no_longer_allowed(session: Session, suggestion: Suggestion, review: Review) -> list[str]:
    """Why a signed review could not be signed today, by the same rules."""
    return decisions.problems(suggestion.lines, review.decisions, judge_of(session, suggestion))


def note_export(db: Database, patient: str, actor: Actor | None, **detail: Any) -> None:
    """Says on the audit trail who exported whom."""
    with db.write() as session:
        append(session, actor or local_account(), "exported", patient=patient, **detail)
