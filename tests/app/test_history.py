"""What became of a change on the app's page: two periods side by side, the prediction, and the time line."""

from datetime import datetime

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from careplan.clinic import Database, reviews, save_suggestion, sign_review, sign_targets, store_records, worklist
from careplan.suggestion import Decision, Interval, Option, Path

from ..clinic.build import START, line, record, suggestion
from .conftest import ADA, Start, checked, press, shown

SINCE = START + pd.Timedelta(days=5)


def opened(patient: str) -> AppTest:
    """The page of a patient's history."""

    def draw() -> None:
        from app.screens import history

        history.draw()

    at = AppTest.from_function(draw, default_timeout=60)
    at.session_state["patient"] = patient
    return checked(at.run())


def option(name: str, mean: float) -> Option:
    outcomes = {"mean": Interval(mid=mean, low=mean, high=mean)}
    return Option(name=name, path=Path(minutes=(), mid=(), low=(), high=()), outcomes=outcomes)


@pytest.fixture
def changed(db: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """eve: five days around 160 mg/dL, a change that was signed, and fifteen around 140."""

    class Then(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return SINCE.to_pydatetime()

    store_records(db, "table", [record("eve", days=5, level=160.0)])
    cut = line("basal", block=1, factor=1.1)
    options = (option("proposed", 138.0), option("no change", 158.0))
    made = save_suggestion(db, suggestion(cut, patient="eve", options=options, created=SINCE.to_pydatetime()), actor=ADA)
    with monkeypatch.context() as patched:
        patched.setattr(reviews, "datetime", Then)
        patched.setattr("careplan.clinic.standing.datetime", Then)
        assert made.id is not None
        decided = [Decision(key=cut.key, verdict="accept", value=cut.proposed)]
        sign_review(db, made.id, decided, ADA, "prescribe as proposed")
    later = record("eve", days=20, level=140.0)
    events = later.events[later.events["time"] >= SINCE].reset_index(drop=True)
    store_records(db, "table", [type(later)(patient="eve", zone="UTC", rows_read=len(events), events=events)])
    return db


def test_before_and_after_with_what_was_predicted(changed: Database) -> None:
    sign_targets(changed, "eve", preset="older", reason="falls", actor=ADA)
    text = shown(opened("eve"))
    assert "Basal rate, 06:00: 1.00 \N{RIGHTWARDS ARROW} <b>1.10</b> U/h" in text
    assert "\N{CHECK MARK} as predicted" in text and "<b>\N{MINUS SIGN}20</b>" in text
    assert "Intervals: the 5 days before and 14 after" in text
    assert "targets adults to older: falls" in text and "regimen as the source states it" in text and ADA.name in text


def test_any_two_periods_can_be_chosen(changed: Database) -> None:
    at = checked(opened("eve").selectbox(key="change:eve").set_value(0).run())
    text = shown(at)
    assert "Change, 90 % interval" in text and "Did it come true?" not in text
    assert len(at.get("date_input")) == 2


def test_a_patient_without_a_change_is_told_of_periods_alone(db: Database) -> None:
    assert "recordings came in from table" in shown(opened("cyd"))


def test_the_worklist_leads_to_what_became_of_a_change(changed: Database, start: Start) -> None:
    assert worklist(changed).due == 1
    at = press(start(), "open:eve")
    assert "History of patient eve" in shown(at)
