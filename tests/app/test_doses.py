"""The screen of the next hours: what is proposed from a moment on, beside no change, and the decision on record."""

from datetime import timedelta

import pytest
from streamlit.testing.v1 import AppTest

from app import charts
from app.wording import scale
from careplan.breach import Breach
from careplan.clinic import Database, audit_trail, dose_page, review_page
from careplan.suggestion import Decision
from careplan.therapies.glucose.declaration import HOLDS
from careplan.therapies.glucose.words import MG_DL, MMOL_L, limits_in_words

from .conftest import ADA, checked, say, shown, sign
from .test_screens import screen


def doses(patient: str) -> AppTest:
    at = screen("doses")
    return checked(at.selectbox(key="choose_patient").set_value(patient).run())


def decide(at: AppTest, db: Database, verdicts: dict[str, str]) -> AppTest:
    number = dose_page(db, "cyd").suggestion.id
    for line, verdict in verdicts.items():
        at.button_group(key=f"verdict:{number}:{line}").set_value(verdict)
    return checked(at.run())


def test_the_doses_their_effect_and_what_bound_them(db: Database) -> None:
    text = shown(doses("cyd"))
    assert "**Bolus, now** &nbsp; **5.5** U" in text
    assert "**Temporary basal, in 60 min, for 30 min** &nbsp; **0.5** \N{MULTIPLICATION SIGN} basal" in text
    assert "<th>Runner-up<small>4 U now</small></th><th>No change<small>as prescribed</small></th>" in text
    assert "The most insulin on board allowed; the budget for time below 70 mg/dL." in text
    assert "14 Mar 2024 12:00" in text and "Out of date: this suggestion cannot be signed" in text


def test_moments_like_now_stand_beside_the_dose(db: Database) -> None:
    text = shown(doses("cyd"))
    assert "5.5 U now, basal x0.5 from 60 to 90 min." in text and "Proposed for fewer highs." in text
    assert "1 had a low and 1 a high within four hours" in text
    assert "3.5 U were given in the hour then, 5.5 U are proposed for this one, more than at any of them." in text
    assert "<td>4 Mar 12:05</td><td>164</td><td>3.5 U</td><td>60 g</td>" in text
    assert "Fewer highs 1 to 2 h ahead" in text


def test_abstention_has_nothing_to_sign(db: Database) -> None:
    at = doses("bea")
    assert "what is on board is unknown" in shown(at)
    assert not [button for button in at.button if button.label == "Sign"]


def test_without_a_suggestion_it_says_how_to_get_one(db: Database) -> None:
    at = doses("dan")
    assert "No doses are suggested yet" in shown(at) and "plan:doses" in [button.key for button in at.button]


@pytest.fixture
def in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan of the tests begins in 2024: it may be signed for as long."""
    monkeypatch.setitem(HOLDS, "doses", timedelta(days=36_500))


@pytest.mark.usefixtures("in_time")
def test_a_decision_is_signed_and_on_record(db: Database) -> None:
    at = decide(doses("cyd"), db, {"bolus@0": "edit", "temp_basal@60": "reject"})
    suggestion = dose_page(db, "cyd").suggestion
    assert suggestion is not None
    at = checked(at.number_input(key=f"value:mg/dL:{suggestion.id}:bolus@0").set_value(4.0).run())
    at = say(at, f"reason:{suggestion.id}:bolus@0", "she will walk home")
    at = say(at, f"reason:{suggestion.id}:temp_basal@60", "no need then")
    at = sign(at)
    assert "prescribed **4 U**" in shown(at) and "prescribed **1 \N{MULTIPLICATION SIGN} basal**" in shown(at)
    [signed] = dose_page(db, "cyd").history
    assert signed.decisions == (
        Decision(key="bolus@0", verdict="edit", value=4.0, reason="she will walk home"),
        Decision(key="temp_basal@60", verdict="reject", value=1.0, reason="no need then"),
    )
    assert signed.meaning == "prescribe with changes"
    assert (audit_trail(db, "cyd")[0].action, audit_trail(db, "cyd")[0].actor) == ("signed", ADA.name)
    assert review_page(db, "cyd").history == ()  # a review of settings is another thing


@pytest.mark.usefixtures("in_time")
def test_more_insulin_needs_a_typed_reason_where_lows_miss_their_target_and_that_is_said_first(db: Database) -> None:
    at = doses("ann")
    assert "More insulin needs a typed reason" in shown(at)
    suggestion = dose_page(db, "ann").suggestion
    assert suggestion is not None
    for line in suggestion.lines:
        at.button_group(key=f"verdict:{suggestion.id}:{line.key}").set_value("accept")
    at = sign(checked(at.run()))
    assert "more insulin needs a reason of at least 10 characters" in shown(at)
    assert dose_page(db, "ann").history == ()


def test_what_was_recorded_is_drawn_around_the_moment(db: Database) -> None:
    page = dose_page(db, "cyd")
    assert page.suggestion is not None
    assert (page.recorded.minutes[0], page.recorded.minutes[-1], len(page.recorded.minutes)) == (-180, 240, 85)
    figure = charts.prediction_figure(page.suggestion.options, MG_DL, "doses", page.recorded)
    assert list(figure.layout.xaxis.range) == [-180, 240]
    assert next(trace for trace in figure.data if trace.name == "Recorded").y[0] == pytest.approx(page.recorded.mid[0], abs=0.01)


@pytest.mark.parametrize(
    ("setting", "value", "text"),
    [
        ("bolus", 5.0, "5"),
        ("bolus", 10.0, "10"),
        ("bolus", 0.15, "0.15"),
        ("basal", 1.625, "1.625"),
        ("basal", 0.8, "0.80"),
        ("temp_basal", 0.5, "0.5"),
        ("carb_ratio", 12.0, "12.0"),
    ],
)
def test_a_dose_is_written_as_it_is_given(setting: str, value: float, text: str) -> None:
    assert scale(setting, MG_DL).text(value) == text


def test_limits_are_said_once_in_words_and_in_the_readers_unit() -> None:
    bound = tuple(Breach("low-level target", key) for key in ("basal@0", "basal@360", "carb_ratio@660"))
    bound = (*bound, Breach("budget below_54"), Breach("at most 20 % a visit"))
    assert limits_in_words(bound, MMOL_L) == [
        "more insulin where lows already miss their target (basal rate from 00:00, 06:00; carb ratio from 11:00)",
        "the budget for time below 3.0 mmol/L",
        "at most 20 % a visit",
    ]
