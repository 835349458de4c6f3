"""A person decides: accept, edit, reject; drafts outlive the session; signing follows the rules."""

from pathlib import Path

import pytest

from careplan.clinic import (
    Database,
    audit_trail,
    load_draft,
    load_regimen,
    local_account,
    review_page,
    save_draft,
    save_suggestion,
)
from careplan.store import StoreError
from careplan.suggestion import Decision

from .build import line, suggestion
from .conftest import ADA, Start, checked, choose, press, say, shown, sign

BASAL, RATIO, FACTOR = "basal@360", "carb_ratio@360", "correction_factor@660"


def kept(db: Database) -> dict[str, Decision]:
    return {decision.key: decision for decision in load_draft(db, 1, ADA)}


def test_a_choice_is_in_the_database_at_once(review: Start, db: Database) -> None:
    choose(review(), {BASAL: "accept"})
    assert kept(db) == {BASAL: Decision(key=BASAL, verdict="accept", value=0.9)}


def test_a_rejected_line_keeps_what_is_prescribed(review: Start, db: Database) -> None:
    at = choose(review(), {RATIO: "reject"})
    say(at, f"reason:1:{RATIO}", "she carries snacks now")
    assert kept(db)[RATIO] == Decision(key=RATIO, verdict="reject", value=9.0, reason="she carries snacks now")


def test_an_edit_keeps_its_value_and_reason(review: Start, db: Database) -> None:
    at = choose(review(), {BASAL: "edit"})
    at = checked(at.number_input(key=f"value:mg/dL:1:{BASAL}").set_value(0.95).run())
    say(at, f"reason:1:{BASAL}", "a smaller step first")
    assert kept(db)[BASAL] == Decision(key=BASAL, verdict="edit", value=pytest.approx(0.95), reason="a smaller step first")


def test_an_edit_in_mmol_is_kept_in_mg(review: Start, db: Database) -> None:
    at = choose(review(unit="mmol/L"), {FACTOR: "edit"})
    checked(at.number_input(key=f"value:mmol/L:1:{FACTOR}").set_value(3.0).run())
    assert kept(db)[FACTOR].value == pytest.approx(3.0 * 18.01559)


def test_looking_at_an_edit_in_another_unit_changes_nothing(review: Start, db: Database) -> None:
    at = choose(review(), {FACTOR: "edit"})
    checked(at.number_input(key=f"value:mg/dL:1:{FACTOR}").set_value(57.0).run())
    at = checked(at.button_group(key="unit_choice").set_value("mmol/L").run())
    assert at.number_input(key=f"value:mmol/L:1:{FACTOR}").value == pytest.approx(57 / 18.01559, abs=0.051)
    assert kept(db)[FACTOR].value == 57.0


def test_a_choice_can_be_taken_back(review: Start, db: Database) -> None:
    at = choose(review(), {BASAL: "accept"})
    checked(at.button_group(key=f"verdict:1:{BASAL}").set_value(None).run())
    assert kept(db) == {}


def test_a_choice_in_a_run_that_was_broken_off_is_not_lost(review: Start, db: Database) -> None:
    """The page read the decisions anew and was broken off before it drew its lines: these still belong to the run before."""
    at = choose(review(), {BASAL: "accept"})
    at.session_state["remembered"]["decided:1"] = dict(at.session_state["remembered"]["decided:1"])
    at = choose(at, {RATIO: "accept"})
    at = choose(at, {FACTOR: "accept"})
    assert set(kept(db)) == {BASAL, RATIO, FACTOR}
    assert "3 of 3 lines decided" in shown(at)


def test_the_lines_left_are_accepted_at_once_and_what_was_decided_stays(review: Start, db: Database) -> None:
    at = say(choose(review(), {RATIO: "reject"}), f"reason:1:{RATIO}", "she carries snacks now")
    at = press(at, "accept_left")
    assert {key: each.verdict for key, each in kept(db).items()} == {BASAL: "accept", RATIO: "reject", FACTOR: "accept"}
    assert kept(db)[RATIO].reason == "she carries snacks now" and kept(db)[BASAL].value == 0.9
    assert at.button_group(key=f"verdict:1:{BASAL}").value == "accept" and "accept_left" not in {each.key for each in at.button}


def test_a_reload_loses_nothing(review: Start) -> None:
    at = choose(review(), {BASAL: "accept", RATIO: "edit"})
    at = checked(at.number_input(key=f"value:mg/dL:1:{RATIO}").set_value(9.5).run())
    say(at, f"reason:1:{RATIO}", "half way")

    again = review()
    assert again.button_group(key=f"verdict:1:{BASAL}").value == "accept"
    assert again.button_group(key=f"verdict:1:{RATIO}").value == "edit"
    assert again.button_group(key=f"verdict:1:{FACTOR}").value is None
    assert again.number_input(key=f"value:mg/dL:1:{RATIO}").value == 9.5
    assert again.text_input(key=f"reason:1:{RATIO}").value == "half way"
    assert "2 of 3 lines decided" in shown(again)


def test_changing_to_edit_and_back_leaves_no_stale_value(review: Start, db: Database) -> None:
    at = choose(review(), {BASAL: "edit"})
    at = checked(at.number_input(key=f"value:mg/dL:1:{BASAL}").set_value(0.95).run())
    choose(at, {BASAL: "accept"})
    assert kept(db)[BASAL] == Decision(key=BASAL, verdict="accept", value=0.9)


def test_a_draft_that_cannot_be_kept_says_so(review: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise StoreError("no space to write")

    at = review()
    monkeypatch.setattr("app.screens.decide.save_draft", full)
    assert "not kept: no space to write" in shown(choose(at, {BASAL: "accept"}))


def test_undecided_lines_cannot_be_signed(review: Start) -> None:
    at = choose(review(), {BASAL: "accept"})
    assert next(button for button in at.button if button.label == "Sign").disabled
    assert "2 of 3 lines are still to decide" in shown(at)


def test_a_rejection_without_a_reason_is_not_signed(review: Start, db: Database) -> None:
    at = choose(review(), {BASAL: "accept", RATIO: "reject", FACTOR: "accept"})
    at = sign(at)
    assert "Carb ratio, 06:00-11:00: a rejection needs a reason" in shown(at)
    assert review_page(db, "ann").history == ()


def test_an_edit_beyond_the_recommended_needs_a_typed_reason(review: Start, db: Database) -> None:
    at = choose(review(), {BASAL: "edit", RATIO: "accept", FACTOR: "accept"})
    at = checked(at.number_input(key=f"value:mg/dL:1:{BASAL}").set_value(0.7).run())
    assert "Beyond the recommended" in shown(at)
    at = sign(say(at, f"reason:1:{BASAL}", "lows"))
    assert "beyond the recommended" in shown(at)
    assert review_page(db, "ann").history == ()


def test_more_insulin_where_there_are_lows_is_refused(review: Start, db: Database) -> None:
    at = choose(review(), {BASAL: "edit", RATIO: "accept", FACTOR: "accept"})
    at = checked(at.number_input(key=f"value:mg/dL:1:{BASAL}").set_value(1.1).run())
    at = sign(say(at, f"reason:1:{BASAL}", "she asked for more"))
    assert "more insulin is not allowed here" in shown(at)
    assert review_page(db, "ann").history == ()


def test_another_name_does_not_sign(review: Start, db: Database) -> None:
    at = choose(review(), {BASAL: "accept", RATIO: "accept", FACTOR: "accept"})
    at = sign(at, "Charles Babbage")
    assert f"the name typed is not {ADA.name}" in shown(at)
    assert review_page(db, "ann").history == ()


def test_signing_prescribes_and_shows_it_from_the_database(review: Start, db: Database) -> None:
    at = choose(review(), {BASAL: "accept", RATIO: "reject", FACTOR: "accept"})
    at = sign(say(at, f"reason:1:{RATIO}", "she carries snacks now"), ADA.name.upper())
    text = shown(at)
    assert "“prescribe with changes”" in text
    assert "was 1.00, proposed 0.90, prescribed **0.90 U/h**" in text
    assert "she carries snacks now" in text
    regimen = load_regimen(db, "ann")
    assert regimen is not None
    assert regimen.basal == (0.8, 0.9, 0.9, 0.7)
    assert regimen.carb_ratio == (10.0, 9.0, 11.0, 12.0)
    assert regimen.correction_factor[2] == 60.0
    assert ("signed", ADA.name) in [(entry.action, entry.actor) for entry in audit_trail(db, "ann")]

    again = shown(review())
    assert "prescribed **0.90 U/h**" in again
    assert "Your decision" not in again


def test_no_change_can_be_signed_too(review: Start, db: Database) -> None:
    at = sign(review("cyd"))
    assert "“prescribe no change”" in shown(at)
    assert len(review_page(db, "cyd").history) == 1


def test_what_another_replaced_meanwhile_is_not_signed_over(review: Start, db: Database) -> None:
    first = choose(review(), {BASAL: "accept", RATIO: "accept", FACTOR: "accept"})
    second = review()
    sign(second)
    assert "already signed by" in shown(sign(first))
    assert len(review_page(db, "ann").history) == 1


def test_a_choice_that_the_database_did_not_take_is_told_and_made_again(review: Start, db: Database) -> None:
    at = review()
    name = str(db.engine.url.database)
    Path(name).rename(f"{name}.away")
    at = choose(at, {BASAL: "accept"})
    assert "The draft was not kept" in shown(at) or "cannot be used just now" in shown(at)
    Path(f"{name}.away").rename(name)
    assert load_draft(db, 1, ADA) == ()
    at = choose(review(), {BASAL: "accept"})
    assert "1 of 3 lines decided" in shown(at) and len(load_draft(db, 1, ADA)) == 1


def test_the_draft_of_another_is_taken_up(review: Start, db: Database) -> None:
    save_draft(db, 1, (Decision(key=BASAL, verdict="accept", value=0.9),), local_account("Grace Hopper"))
    at = review()
    assert at.button_group(key=f"verdict:1:{BASAL}").value == "accept"
    assert press(at, "Sign off").title[0].value == "careplan"


def test_accepting_what_is_beyond_the_recommended_asks_for_a_reason(review: Start, db: Database) -> None:
    unusual = save_suggestion(db, suggestion("ann", line("basal", 1, 0.9, lowest=0.95)))
    at = review()
    at.button_group(key=f"verdict:{unusual.id}:{BASAL}").set_value("accept")
    at = say(checked(at.run()), f"reason:{unusual.id}:{BASAL}", "lows on most mornings")
    sign(at)
    [signed] = review_page(db, "ann").history
    assert signed.decisions == (Decision(key=BASAL, verdict="accept", value=0.9, reason="lows on most mornings"),)
