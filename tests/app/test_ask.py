"""The screen that asks in one's own words: shown as understood, corrected, answered; never a dose."""

import json

import pytest
from streamlit.testing.v1 import AppTest

from careplan.clinic import Database
from careplan.interop.language.answers import WHO_DECIDES

from .conftest import ADA, checked

PROGRAM = "from app.screens import ask\nask.draw()"


@pytest.fixture
def screen(db: Database) -> AppTest:
    at = AppTest.from_string(PROGRAM, default_timeout=60)
    at.session_state["reviewer"] = ADA
    at.session_state["seen"] = float("inf")
    return checked(at.run())


def texts(at: AppTest) -> str:
    return "\n".join(str(each.value) for each in (*at.markdown, *at.info, *at.caption, *at.subheader, *at.error))


def test_a_question_is_shown_as_understood_and_answered(screen: AppTest) -> None:
    at = checked(screen.text_input(key="question").set_value("How is Ann doing?").run())
    assert "Understood:** ann: summary of the whole recording" in texts(at)
    at = checked(at.button(key="answer").click().run())
    assert "In range 70 to 180" in texts(at)


def test_what_was_understood_can_be_corrected(screen: AppTest) -> None:
    at = checked(screen.text_input(key="question").set_value("How is Ann doing?").run())
    at = checked(at.text_area(key="query").set_value(json.dumps({"kind": "limits", "patient": "bea"})).run())
    assert "bea: the limits that hold" in texts(at)
    at = at.text_area(key="query").set_value('{"kind": "prescribe"}').run()
    assert at.error and not any(button.key == "answer" for button in at.button)


def test_what_is_not_clear_is_asked_back(screen: AppTest) -> None:
    at = checked(screen.text_input(key="question").set_value("How is Zoltan doing?").run())
    assert "Nobody in the store is called 'Zoltan'" in texts(at)


def test_what_may_be_meant_is_offered_and_answered_only_when_somebody_says_so(screen: AppTest) -> None:
    at = checked(screen.text_input(key="question").set_value("How is Ann doing after swimming?").run())
    assert "'after', 'swimming'" in texts(at) and not any(button.key == "answer" for button in at.button)
    assert at.button(key="offered").label == "Did you mean: ann: summary of the whole recording"
    at = checked(at.button(key="offered").click().run())
    assert "Understood:** ann: summary of the whole recording" in texts(at) and "In range" not in texts(at)
    at = checked(at.button(key="answer").click().run())
    assert "In range 70 to 180" in texts(at)
    at = checked(at.text_input(key="question").set_value("How is Ann doing after football?").run())
    assert at.button(key="offered") and not any(button.key == "answer" for button in at.button)


def test_a_dose_is_not_decided(screen: AppTest) -> None:
    at = checked(screen.text_input(key="question").set_value("How much should Ann take now?").run())
    at = checked(at.button(key="answer").click().run())
    assert WHO_DECIDES in texts(at)
