"""Targets on the app's page: what is in force, a preset signed, custom ones refused or signed, and every page follows."""

from io import BytesIO

import pytest
from pypdf import PdfReader
from streamlit.testing.v1 import AppTest

from app import paper
from app.chart_note import note
from careplan.clinic import Database, review_page, sign_targets, targets_in_force
from careplan.therapies.glucose.bands import PREGNANCY
from careplan.therapies.glucose.words import MG_DL

from .conftest import ADA, Start, checked, press, shown


def opened(patient: str = "cyd", unit: str = "mg/dL") -> AppTest:
    """The page of a patient's targets."""

    def draw() -> None:
        from app.screens import targets

        targets.draw()

    at = AppTest.from_function(draw, default_timeout=60)
    at.session_state["patient"], at.session_state["unit"] = patient, unit
    return checked(at.run())


def test_a_preset_is_signed_with_a_reason_and_a_name(db: Database) -> None:
    at = opened()
    assert "the default of the group Adult" in shown(at) and "> 70 %" in shown(at) and "63 mg/dL" in shown(at)
    at = checked(at.selectbox(key="targets_of:cyd").set_value("pregnancy").run())
    at.text_input(key="targets_reason").set_value("expecting")
    at = checked(at.run())
    refused = press(at, "sign_targets")
    assert "the name typed is not" in shown(refused) and targets_in_force(db, "cyd").signed is None
    at.text_input(key="targets_name").set_value(ADA.name)
    at = press(checked(at.run()), "sign_targets")
    found = targets_in_force(db, "cyd")
    assert found.targets == PREGNANCY and found.signed is not None and found.signed.reason == "expecting"
    assert f"signed by {ADA.name}" in shown(at) and "Signed: cyd is treated to: Pregnancy, type 1." in shown(at)


def test_custom_targets_move_only_what_was_moved(db: Database) -> None:
    at = checked(opened(unit="mmol/L").selectbox(key="targets_of:cyd").set_value("custom").run())
    at.number_input(key="target:cyd:mmol/L:low").set_value(4.4)
    at.text_input(key="targets_reason").set_value("does not feel lows")
    at.text_input(key="targets_name").set_value(ADA.name)
    press(checked(at.run()), "sign_targets")
    found = targets_in_force(db, "cyd").targets
    assert found.levels["low"] == pytest.approx(4.4 * 18.01559) and found.levels["high"] == 180.0


def test_the_review_the_paper_and_the_note_follow(review: Start, db: Database) -> None:
    before = shown(review("cyd"))
    assert "In range 70-180" in before
    sign_targets(db, "cyd", preset="pregnancy", reason="expecting", actor=ADA)
    after = review("cyd")
    assert "In range 63-140" in shown(after) and "Above 140" in shown(after) and "In range 70-180" not in shown(after)
    assert "targets have changed since it was made" in shown(after)
    found = review_page(db, "cyd", actor=ADA)
    assert "In range 63-140" in note(found, MG_DL)
    text = PdfReader(BytesIO(paper.review_pdf(found, MG_DL, by="x"))).pages[0].extract_text()
    assert "In range 63-140" in text and "70-180" not in text
