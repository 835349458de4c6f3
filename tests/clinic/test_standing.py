"""Whether a suggestion still stands, and what becomes of a draft that was changed past careplan: each reason by its words."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from careplan.clinic import codec, standing
from careplan.clinic.importing import store_records
from careplan.clinic.reviews import load_draft, save_draft, sign_review
from careplan.clinic.suggestions import load_suggestion, save_suggestion
from careplan.clinic.targets import sign_targets
from careplan.store import Database
from careplan.store.schema import AuditEntry
from careplan.suggestion import MEANINGS, Decision

from ..kept import DR_ADA, DR_BEA, edit
from .build import line, record, suggestion

NOW = datetime(2024, 3, 20, 12, tzinfo=UTC)
ACCEPTED = Decision(key=line().key, verdict="accept", value=line().proposed)


@pytest.fixture
def ann(db: Database) -> Database:
    store_records(db, "table", [record()])
    return db


def out_of_date(db: Database, **changes: object) -> list[str]:
    with db.read() as session:
        return standing.out_of_date(session, suggestion(line(), therapy="glucose", **changes), NOW)


@pytest.mark.parametrize(
    ("kind", "began"), [("regimen", "it was made at 2024-01-01 08:30"), ("doses", "it begins at 2024-02-01 09:15")]
)
def test_an_old_suggestion_says_since_when_it_holds(ann: Database, kind: str, began: str) -> None:
    """Settings hold from when they were made, doses from when they begin."""
    made, begins = datetime(2024, 1, 1, 8, 30, tzinfo=UTC), datetime(2024, 2, 1, 9, 15, tzinfo=UTC)
    [told] = out_of_date(ann, kind=kind, created=made, at=begins)
    assert told.startswith(f"{began} UTC and holds for ")


def test_other_targets_and_targets_changed_past_careplan_are_told(ann: Database) -> None:
    recent = NOW - timedelta(days=1)
    assert out_of_date(ann, created=recent) == []
    sign_targets(ann, "ann", preset="older", reason="falls", actor=DR_ADA)
    assert out_of_date(ann, created=recent) == ["the patient's targets have changed since it was made: plan again"]
    edit(ann, "UPDATE targets SET body = replace(body, '50', '40')")
    [told] = out_of_date(ann, created=recent)
    assert told.startswith("the patient's targets, version 1, were changed past careplan: it differs from entry ")


def test_what_was_signed_says_by_whom_and_when(ann: Database) -> None:
    number = save_suggestion(ann, suggestion(line())).id
    assert number is not None
    with ann.read() as session:
        assert standing.signed_already(session, number) is None
    review = sign_review(ann, number, [ACCEPTED], DR_ADA, MEANINGS[0])
    told = f"already signed by {DR_ADA.name} at {review.signed:%Y-%m-%d %H:%M} UTC"
    with ann.read() as session:
        assert standing.signed_already(session, number) == told
        assert standing.stale(session, load_suggestion(ann, number))[0] == told
        assert standing.signed_already(session, number + 1) is None


def test_damaged_drafts_alone_are_set_aside_and_kept_on_the_trail(ann: Database) -> None:
    """Of two reviewers and two suggestions, the one draft that was changed goes; what it held is on record."""
    first, second = (save_suggestion(ann, suggestion(line(), kind=kind)).id for kind in ("regimen", "doses"))
    assert first is not None and second is not None
    for number, reviewer in ((first, DR_ADA), (first, DR_BEA), (second, DR_BEA)):
        save_draft(ann, number, [ACCEPTED], reviewer)
    with ann.write() as session:
        assert standing.set_aside_damaged(session, first, "ann", DR_ADA) == ()
    edit(ann, f"UPDATE draft SET decisions = '[7]' WHERE suggestion = {first} AND reviewer LIKE '%Bea%'")

    with ann.write() as session:
        work = {draft.reviewer: draft for draft in standing.stored_drafts(session, first, "ann")}
        assert work[str(DR_ADA)].damage is None and work[str(DR_ADA)].decisions == (ACCEPTED,)
        damage = work[str(DR_BEA)].damage
        assert damage is not None and damage.startswith("it differs from entry ") and work[str(DR_BEA)].decisions == ()
        [told] = standing.set_aside_damaged(session, first, "ann", DR_ADA)
    assert told == f"The draft of {DR_BEA} is damaged and was set aside: {damage}. It is kept in the audit trail."

    with ann.read() as session:
        entry = session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc()).limit(1)).one()
    assert (entry.action, entry.actor, entry.patient) == ("draft set aside", DR_ADA.name, "ann")
    assert entry.detail == {"suggestion": first, "reviewer": str(DR_BEA), "damage": damage, "decisions": "[7]"}
    assert load_draft(ann, first, DR_BEA) == () and load_draft(ann, first, DR_ADA) == (ACCEPTED,)
    assert load_draft(ann, second, DR_BEA) == (ACCEPTED,), "another suggestion's draft stays"
    with ann.write() as session:
        assert standing.set_aside_damaged(session, first, "ann", DR_ADA) == ()


def test_a_draft_as_it_was_kept_that_cannot_be_read_says_so(ann: Database) -> None:
    number = save_suggestion(ann, suggestion(line())).id
    assert number is not None
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(codec, "dump", lambda _: {"line": "basal@360"})
        save_draft(ann, number, [ACCEPTED], DR_ADA)
    with ann.read() as session:
        [work] = standing.stored_drafts(session, number, "ann")
    assert work.damage is not None and work.damage.startswith("it cannot be read (")
