"""A signature decides anew: what was changed, is out of date or beyond today's limits is not signed, whatever is stored."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from careplan.clinic import codec
from careplan.clinic.errors import Altered, ReviewError
from careplan.clinic.importing import store_records
from careplan.clinic.pages import dose_page, review_page
from careplan.clinic.regimens import prescribed, save_regimen
from careplan.clinic.reviews import save_draft, sign_review
from careplan.clinic.stored_records import patient_data_hash
from careplan.clinic.suggestions import load_suggestion, save_suggestion
from careplan.clinic.worklists import worklist
from careplan.store import Database
from careplan.suggestion import Decision, Line, Suggestion
from careplan.therapies.glucose.declaration import HOLDS

from ..kept import DR_ADA, edit, verified
from .build import REGIMEN, line, record, suggestion

MEANING = "prescribe as proposed"
BOLUS = Line(
    key="bolus@0",
    setting="bolus",
    start=0,
    end=0,
    unit="U",
    current=0.0,
    proposed=4.0,
    lowest=0.0,
    highest=4.0,
    absolute_low=0.0,
    absolute_high=4.0,
    days=14,
    why="an edit can only give less",
)


def accept(of: Line) -> Decision:
    return Decision(key=of.key, verdict="accept", value=of.proposed)


def kept(db: Database, *lines: Line, group: Any = "adult", **changes: Any) -> int:
    store_records(db, "table", [record(group=group)])
    saved = save_suggestion(db, suggestion(*lines, **changes))
    assert saved.id is not None
    return saved.id


def doses(**changes: Any) -> dict[str, Any]:
    return {"kind": "doses", "at": datetime.now(UTC) - timedelta(minutes=5), **changes}


# The payload.


def test_a_suggestion_whose_limits_were_edited_is_neither_shown_nor_signed(db: Database) -> None:
    number = kept(db, BOLUS, **doses())
    edited = "'$.lines[0].proposed', 80.0, '$.lines[0].highest', 80.0, '$.lines[0].absolute_high', 80.0"
    edit(db, f"UPDATE suggestion SET payload = json_set(payload, {edited})")
    for use in (
        lambda: load_suggestion(db, number),
        lambda: sign_review(db, number, [replace(accept(BOLUS), value=80.0)], DR_ADA, MEANING),
        lambda: save_draft(db, number, [accept(BOLUS)], DR_ADA),
    ):
        with pytest.raises(Altered, match="changed past careplan and is not shown: it differs from entry 6 in payload"):
            use()
    page = dose_page(db, "ann", actor=DR_ADA)
    assert page.suggestion is None and "suggestion 1 was changed past careplan" in page.notices[0]


def test_the_worklist_and_the_review_page_open_and_tell_of_it(db: Database) -> None:
    kept(db, line())
    edit(db, "UPDATE suggestion SET payload = json_set(payload, '$.abstained', 'true')")
    assert [row.status for row in worklist(db).rows] == ["altered"]
    page = review_page(db, "ann", actor=DR_ADA)
    assert page.suggestion is None and "differs from entry" in page.notices[0]


def test_a_suggestion_that_no_entry_made_is_not_shown(db: Database) -> None:
    number = kept(db, line())
    edit(db, "INSERT INTO suggestion SELECT 2, patient, kind, created, payload, provenance, therapy FROM suggestion")
    with pytest.raises(Altered, match="no entry of the audit trail made it"):
        load_suggestion(db, number + 1)


def test_an_edited_entry_does_not_vouch_for_an_edited_suggestion(db: Database) -> None:
    number = kept(db, line())
    edit(
        db,
        "UPDATE suggestion SET kind = 'doses'",
        "UPDATE audit SET rows = replace(rows, '\"kind\"', '\"king\"') WHERE action = 'suggested'",
    )
    with pytest.raises(Altered, match="entry 6 of the audit trail, which made it, was changed"):
        load_suggestion(db, number)


# The limits.


@pytest.mark.parametrize(("group", "dose", "fine"), [("adult", 17.0, True), ("adult", 17.05, False), ("child", 5.05, False)])
def test_a_dose_is_held_to_what_the_therapy_allows_this_patient_now(db: Database, group: str, dose: float, fine: bool) -> None:
    """A payload that was stored with wider limits than the therapy's."""
    wide = replace(BOLUS, proposed=dose, highest=80.0, absolute_high=80.0)
    number = kept(db, wide, group=group, **doses())
    if fine:
        sign_review(db, number, [accept(wide)], DR_ADA, MEANING)
        return
    with pytest.raises(ReviewError, match=f"{dose:g} U is beyond the absolute limits 0 to"):
        sign_review(db, number, [accept(wide)], DR_ADA, MEANING)


def test_a_rate_is_held_to_the_fastest_of_the_group(db: Database) -> None:
    """A child's basal of 1 U/h and at most 3 U/h: no more than three times what is prescribed."""
    common = {
        "setting": "temp_basal",
        "unit": "x basal",
        "current": 1.0,
        "absolute_high": 9.0,
        "highest": 9.0,
        "key": "temp_basal@0",
    }
    for number, (multiple, fine) in enumerate(((3.05, False), (3.0, True)), start=1):
        rate = replace(BOLUS, proposed=multiple, **common)
        assert kept(db, rate, group="child", **doses()) == number
        if fine:
            sign_review(db, number, [accept(rate)], DR_ADA, MEANING)
        else:
            with pytest.raises(ReviewError, match="absolute limits 0 to 3,"):
                sign_review(db, number, [accept(rate)], DR_ADA, MEANING)


# Time and data.


@pytest.mark.parametrize(
    ("lines", "changes", "late"),
    [
        ((line(),), lambda age: {"created": datetime.now(UTC) - age}, HOLDS["regimen"]),
        ((BOLUS,), lambda age: {"kind": "doses", "at": datetime.now(UTC) - age}, HOLDS["doses"]),
    ],
)
def test_what_is_older_than_its_therapy_allows_is_shown_as_out_of_date_and_not_signed(
    db: Database, lines: tuple[Line, ...], changes: Callable[[timedelta], dict[str, Any]], late: timedelta
) -> None:
    old = kept(db, *lines, **changes(late + timedelta(minutes=1)))
    with pytest.raises(ReviewError, match=r"holds for (14 days|30 minutes): plan again"):
        sign_review(db, old, [accept(lines[0])], DR_ADA, MEANING)
    shown = (review_page if lines[0].setting == "basal" else dose_page)(db, "ann", actor=DR_ADA)
    assert shown.suggestion is not None and "holds for" in shown.out_of_date[0]
    new = kept(db, *lines, **changes(late - timedelta(minutes=1)))
    sign_review(db, new, [accept(lines[0])], DR_ADA, MEANING)


def test_what_was_made_from_data_that_changed_since_is_not_signed(db: Database) -> None:
    store_records(db, "table", [record(days=14)])
    made = {"provenance": {"data": patient_data_hash(db, "ann")}}
    number = save_suggestion(db, suggestion(line(), **made)).id
    assert number is not None and review_page(db, "ann").out_of_date == ()
    store_records(db, "table", [record(days=15)])
    assert "recordings have changed" in review_page(db, "ann").out_of_date[0]
    with pytest.raises(ReviewError, match="recordings have changed since it was made"):
        sign_review(db, number, [accept(line())], DR_ADA, MEANING)


def test_a_suggestion_about_a_regimen_that_was_edited_past_careplan_is_not_signed(db: Database) -> None:
    number = kept(db, line())
    edit(db, "UPDATE regimen SET body = json_set(body, '$.target', 90)")
    with pytest.raises(ReviewError, match="version 1, was changed past careplan: it differs from entry 5 in body"):
        sign_review(db, number, [accept(line())], DR_ADA, MEANING)


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE course SET \"group\" = 'adult'", "course ann glucose: it differs from entry 3 in group"),
        ("UPDATE course SET covariates = '{\"weight\": 200}'", "course ann glucose: it differs from entry 3 in covariates"),
        ("UPDATE patient SET zone = 'Asia/Tokyo'", "patient ann: it differs from entry 2 in zone"),
        ("UPDATE import_batch SET digest = '{}'", "import_batch 1: it differs from entry 4 in digest"),
        ("UPDATE event SET value = 180 WHERE value < 130", "events of batch 1 differ from its digest"),
        ("DELETE FROM event WHERE value < 130", "events of batch 1 differ from its digest"),
    ],
)
def test_what_limits_and_rules_are_read_from_is_as_it_was_put_on_record(db: Database, statement: str, problem: str) -> None:
    """Limits come from the group, the guard from the readings: whoever edits those could have anything signed."""
    number = kept(db, line(), group="child")
    edit(db, statement)
    with pytest.raises(ReviewError, match=f"what is on record of the patient was changed past careplan: {problem}"):
        sign_review(db, number, [accept(line())], DR_ADA, MEANING)


def test_a_regimen_holds_from_its_time_on_and_not_before(db: Database) -> None:
    store_records(db, "table", [record()])
    later = replace(REGIMEN, basal=(2.0, 2.0, 2.0, 2.0))
    save_regimen(db, "ann", later, valid_from=datetime(2099, 1, 1, tzinfo=UTC), actor=DR_ADA)
    found = prescribed(db, "ann")
    assert found is not None and found.regimen == REGIMEN
    save_regimen(db, "ann", later, valid_from=datetime.now(UTC), actor=DR_ADA)
    found = prescribed(db, "ann")
    assert found is not None and found.regimen == later


# Drafts.


@pytest.mark.parametrize("damaged", ['[{"key": 1}]', "no JSON", "{}", "[]"])
def test_a_damaged_draft_is_set_aside_with_a_message_and_the_page_opens(db: Database, damaged: str) -> None:
    number = kept(db, line())
    save_draft(db, number, [accept(line())], DR_ADA)
    edit(db, f"UPDATE draft SET decisions = '{damaged}'")
    page = review_page(db, "ann", actor=DR_ADA)
    assert page.draft == () and "is damaged and was set aside: it differs from entry" in page.notices[0]
    assert review_page(db, "ann", actor=DR_ADA).notices == ()
    assert [finding for finding in verified(db).findings if finding.table == "draft" and "trigger" not in finding.problem] == []
    save_draft(db, number, [accept(line())], DR_ADA)
    assert review_page(db, "ann", actor=DR_ADA).draft == (accept(line()),)


def test_a_draft_that_this_version_cannot_read_is_set_aside(db: Database) -> None:
    """On record as it is, but not of the shape that is read now."""
    number = kept(db, line())
    save_draft(db, number, [accept(line())], DR_ADA)
    body = codec.dump(accept(line()))
    assert set(body) == {"key", "verdict", "value", "reason"}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(codec, "dump", lambda _: [{"line": "basal@360"}])
        save_draft(db, number, [accept(line())], DR_ADA)
    page = review_page(db, "ann", actor=DR_ADA)
    assert page.draft == () and "it cannot be read" in page.notices[0]
    assert isinstance(page.suggestion, Suggestion)
