"""Whether a suggestion may still be decided, and whether a draft of it is whole."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from careplan.clinic import codec
from careplan.clinic.courses import course_of, practice_of, targets_of
from careplan.clinic.known import current_targets, current_version
from careplan.clinic.suggestions import newest
from careplan.language import N_
from careplan.practice import Practice
from careplan.store import Actor, data_hash, put_on_record, schema, tampered, tampered_record
from careplan.store.schema import table_of
from careplan.store.seals import plain, read_rows, seal
from careplan.suggestion import Decision, Line, Suggestion

SAME = 0.01  # a line's current value may be rounded: this much of it


class StoredDraft(NamedTuple):
    """What a draft holds, whose it is, and why it cannot be used, if it is damaged."""

    decisions: tuple[Decision, ...]
    reviewer: str
    updated: str
    damage: str | None


def stale(session: Session, suggestion: Suggestion) -> list[str]:
    """Why this suggestion can no longer be signed: signed already, nothing to sign, replaced, about a record that was changed
    past careplan, or out of date."""
    found = [signed] if suggestion.id is not None and (signed := signed_already(session, suggestion.id)) else []
    if suggestion.abstained:
        found.append(N_("careplan abstained: there is nothing to sign"))
    number = newest(session, suggestion.patient, suggestion.kind, suggestion.therapy)
    if number is not None and number != suggestion.id:
        found.append(N_("suggestion {number} has replaced this one").format(number=number))
    if problem := tampered_record(session, suggestion.patient):
        found.append(N_("what is on record of the patient was changed past careplan: {problem}").format(problem=problem))
    return found + out_of_date(session, suggestion)


def out_of_date(session: Session, suggestion: Suggestion, now: datetime | None = None) -> list[str]:
    """Why a suggestion that nobody signed is out of date: it is too old, or what it was made from has changed since."""
    practice = practice_of(session, suggestion.patient, suggestion.therapy)
    now, found, holds = now or datetime.now(UTC), [], practice.holds[suggestion.kind]
    since = suggestion.at if suggestion.kind == "doses" else suggestion.created
    if now - since > holds:
        began = N_("it begins at {time} UTC and holds for {holds}: plan again")
        made = N_("it was made at {time} UTC and holds for {holds}: plan again")
        told = began if suggestion.kind == "doses" else made
        found.append(told.format(time=f"{since:%Y-%m-%d %H:%M}", holds=_said(holds)))
    data = suggestion.provenance.get("data")
    if data is not None and data != data_hash(session, suggestion.patient):
        found.append(N_("the patient's recordings have changed since it was made: plan again"))
    found += _other_targets(session, suggestion, practice)
    if suggestion.kind == "regimen" and suggestion.lines:
        version = current_version(session, suggestion.patient, suggestion.therapy)
        if version is None:
            found.append(N_("there is no regimen in force to change"))
        elif problem := tampered(session, schema.RegimenVersion, (version.id,), suggestion.patient):
            told = N_("the regimen in force, version {version}, was changed past careplan: {problem}")
            found.append(told.format(version=version.id, problem=problem))
        else:
            regimen = codec.load(practice.regimen, version.body)
            found += [_moved(line, practice.current(regimen, line)) for line in suggestion.lines]
    return [problem for problem in found if problem]


def _other_targets(session: Session, suggestion: Suggestion, practice: Practice) -> list[str]:
    """Why the patient's targets forbid to sign a suggestion: it was made for others, or they were changed past careplan."""
    course = course_of(session, suggestion.patient, suggestion.therapy)
    signed = current_targets(session, course.patient, course.therapy)
    if signed is not None and (problem := tampered(session, schema.TargetsVersion, (signed.id,), course.patient)):
        told = N_("the patient's targets, version {version}, were changed past careplan: {problem}")
        return [told.format(version=signed.id, problem=problem)]
    made_for = suggestion.targets or practice.presets.of(course.group)
    same = made_for.same(targets_of(session, course))
    return [] if same else [N_("the patient's targets have changed since it was made: plan again")]


def signed_already(session: Session, suggestion: int) -> str | None:
    row = session.scalars(select(schema.Review).where(schema.Review.suggestion == suggestion)).first()
    told = N_("already signed by {reviewer} at {time} UTC")
    return None if row is None else told.format(reviewer=row.reviewer, time=f"{row.signed:%Y-%m-%d %H:%M}")


def stored_drafts(session: Session, suggestion: int, patient: str) -> list[StoredDraft]:
    """Every draft of a suggestion, the newest first, read without trusting it."""
    table, keys = table_of(schema.Draft), select(schema.Draft.suggestion, schema.Draft.reviewer)
    found = []
    chosen = [tuple(key) for key in session.execute(keys.where(schema.Draft.suggestion == suggestion))]
    for row in read_rows(session.connection(), table, chosen):
        decisions: tuple[Decision, ...] = ()
        damage = tampered(session, schema.Draft, (suggestion, row["reviewer"]), patient)
        try:
            decisions = tuple(codec.load(Decision, body) for body in plain(table.c.decisions, row["decisions"]))
        except (ValueError, TypeError) as error:
            damage = damage or f"it cannot be read ({' '.join(str(error).split())[:120]})"
        found.append(StoredDraft(decisions, row["reviewer"], str(plain(table.c.updated, row["updated"])), damage))
    return sorted(found, key=lambda work: work.updated, reverse=True)


def set_aside_damaged(session: Session, suggestion: int, patient: str, actor: Actor) -> tuple[str, ...]:
    """Moves damaged drafts of a suggestion out of the way, into the entry that says so; returns a message each."""
    told, table = [], table_of(schema.Draft)
    for work in stored_drafts(session, suggestion, patient):
        if work.damage is None:
            continue
        [row] = read_rows(session.connection(), table, [(suggestion, work.reviewer)])
        removed = seal(table, row, "removed")
        kept = {"suggestion": suggestion, "reviewer": work.reviewer, "damage": work.damage, "decisions": str(row["decisions"])}
        put_on_record(session, actor, "draft set aside", [removed], patient=patient, **kept)
        this = (table.c.suggestion == suggestion) & (table.c.reviewer == work.reviewer)
        session.connection().execute(table.delete().where(this))
        said = N_("The draft of {reviewer} is damaged and was set aside: {damage}. It is kept in the audit trail.")
        told.append(said.format(reviewer=work.reviewer, damage=work.damage))
    return tuple(told)


def drafted_decisions(session: Session, suggestion: int, patient: str, reviewer: Actor | None = None) -> tuple[Decision, ...]:
    """The decisions of the reviewer's draft, or without a reviewer of anyone's newest; damaged ones are passed over."""
    whole = [work for work in stored_drafts(session, suggestion, patient) if work.damage is None]
    return next((work.decisions for work in whole if reviewer is None or work.reviewer == str(reviewer)), ())


def _moved(line: Line, now: float) -> str:
    same = np.isclose(now, line.current, rtol=SAME, atol=SAME / 2)
    told = N_("the regimen is now {now:g} {unit}, no longer {before:g}").format(now=now, unit=line.unit, before=line.current)
    return "" if same else f"{line.key}: {told}"


def _said(time: timedelta) -> str:
    return N_("{days} days").format(days=time.days) if time.days else N_("{minutes} minutes").format(minutes=time.seconds // 60)
