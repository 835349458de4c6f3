"""What each screen shows, from a real database."""

import re
from dataclasses import replace

import plotly.graph_objects as go
import pytest
from streamlit.testing.v1 import AppTest

from app import access, charts
from careplan.clinic import Database, audit_trail, open_database, review_page
from careplan.display import Unit
from careplan.suggestion import Path
from careplan.therapies.glucose.views import Profile
from careplan.therapies.glucose.words import MG_DL, MMOL_L

from ..kept import edit
from .build import option
from .conftest import ADA, Start, checked, press, shown


def test_local_mode_acts_as_the_machines_account_and_says_so(start: Start, review: Start) -> None:
    for at in (start(), review("ann")):
        assert f"**Local mode**: this computer alone, as its account **{ADA.subject}**" in shown(at)


def test_someone_idle_is_signed_off_and_a_new_session_shows_nothing(start: Start) -> None:
    at = start()
    access.activity().seen[f"{ADA.kind} {ADA.issuer} {ADA.subject}"] -= 60 * access.activity().minutes + 1
    at = checked(at.run())
    assert "Signed off after 15 minutes" in shown(at) and patients(at) == []
    again = start()  # a reload, or another tab
    assert "Signed off" in shown(again) and patients(again) == []
    again = press(again, "continue")
    assert patients(again)[:2] == ["ann", "bea"]


def test_signing_off_shows_nothing_until_somebody_continues(start: Start) -> None:
    at = press(start(), "Sign off")
    assert "Signed off." in shown(at) and patients(at) == [] and patients(start()) == []


def test_research_use_is_said_on_every_screen(start: Start, review: Start) -> None:
    for at in (start(), review("ann"), review("bea"), review("dan")):
        assert access.NOTICE in shown(at)  # the browser test looks at the other screens


def test_the_worklist_puts_hypoglycaemia_first(start: Start) -> None:
    at = start()
    assert patients(at)[:2] == ["ann", "bea"]
    text = shown(at)
    assert "below 54 mg/dL" in text
    assert "4 patients, 1 waiting" in text
    assert "only 2.0 h recorded" in text


def test_the_worklist_is_filtered(start: Start) -> None:
    at = start()
    at = checked(at.text_input(key="worklist_find").set_value("BE").run())
    assert patients(at) == ["bea"]
    at = checked(at.text_input(key="worklist_find").set_value("nobody").run())
    assert "No patient matches." in shown(at)


def test_an_empty_store_says_what_to_do(tmp_path: object, monkeypatch: pytest.MonkeyPatch, start: Start) -> None:
    path = f"{tmp_path}/empty.db"
    open_database(path).close()
    monkeypatch.setenv("CAREPLAN_DATABASE", path)
    at = start()
    assert "There are no patients yet. Drop the files of their devices" in shown(at)
    assert "bring_in" in [button.key for button in at.button]


def test_the_review_shows_current_against_proposed(review: Start) -> None:
    text = shown(review("ann"))
    assert "1.00 → <b>0.90</b>" in text
    assert "\N{MINUS SIGN}0.10 U/h (\N{MINUS SIGN}10 %)" in text
    assert "less insulin" in text
    assert "13 days of evidence" in text
    assert "More than 20% in one visit" in text


def test_the_point_comes_first_then_what_drives_it_and_the_days(review: Start) -> None:
    text = shown(review("ann"))
    assert "Proposed for fewer lows." in text
    assert text.index("class='cp-point'") < text.index("class='cp-tiles'") < text.index("class='cp-drivers'")
    assert "Fewer lows 06:00-11:00" in text and "14 \N{RIGHTWARDS ARROW} <b>5 %</b> <small>below 70</small>" in text
    assert "<b>3 of 14</b> <small title='low 06:00-11:00 on 3 of 14 days: 3, 5, 9 Mar (lowest 53 at 10:20 on 3 Mar)'>" in text
    assert "Better than no change in 7 of 8 versions of this patient" in text
    assert "within two hours, everyone behaving as usual: 12 %" in text
    assert "<td>+2.00</td>" in text and "<td><b>+1.60</b></td>" in text  # every part, and their sum
    assert "Low 06:00-11:00 on 3 of 14 days" in text
    assert "lowest 2.9" in shown(review("ann", unit="mmol/L"))


def test_a_suggestion_from_before_explanations_is_shown_as_it_was(review: Start) -> None:
    text = shown(review("cyd"))
    assert "**Why.** No change within the limits is predicted to be worth making." in text
    assert "class='cp-point'" not in text and "class='cp-drivers'" not in text


def test_the_effect_is_beside_no_change_with_intervals(review: Start) -> None:
    text = shown(review("ann"))
    assert re.search(r"<th>Below 70</th><td><b>2\.1 %</b><small>0\.1 to 4\.6 %</small></td><td><b>6\.4 %</b>", text)


def test_abstention_says_why_and_offers_nothing_to_sign(review: Start) -> None:
    at = review("bea")
    text = shown(at)
    assert "abstains" in text
    assert "is 61, staying as it is 48" in text
    assert "2.1 is outside the recommended 0.1 to 1.5" in text
    assert not [button for button in at.button if button.label == "Sign"]


def test_too_little_data_is_said(review: Start) -> None:
    at = review("dan")
    assert "Too little data" in shown(at)
    assert "No suggestion yet" in shown(at)


def test_mmol_changes_what_is_shown_and_nothing_else(review: Start, db: Database) -> None:
    text = shown(review("ann", unit="mmol/L"))
    assert "2.8 → <b>3.3</b>" in text  # 50 -> 60 mg/dL per U
    assert "+0.6 mmol/L per U (+20 %)" in text
    assert "1.00 → <b>0.90</b>" in text  # insulin has one unit
    page = review_page(db, "ann")
    assert page.suggestion is not None
    assert page.suggestion.lines[2].proposed == 60.0


def test_opening_a_patient_is_audited_once(review: Start, db: Database) -> None:
    at = review("ann")
    checked(at.run())
    entries = [(entry.actor, entry.action) for entry in audit_trail(db, "ann")]
    assert entries.count((ADA.name, "read")) == 2  # in the worklist, and on the page


def test_the_record_lists_channels_and_a_day(db: Database) -> None:
    at = screen("record")
    assert "Glucose readings" in at.table[0].value.to_string()
    assert "boluses" in shown(at)


def test_the_audit_screen_sees_a_broken_chain(db: Database) -> None:
    assert "the trail is whole" in shown(screen("audit"))
    edit(db, "UPDATE audit SET actor = 'nobody' WHERE id = 1")
    assert "What is on record was changed" in shown(screen("audit"))


@pytest.mark.parametrize("unit", [MG_DL, MMOL_L], ids=lambda unit: unit.name)
def test_the_profile_keeps_gaps_open(unit: Unit) -> None:
    minute = tuple(range(0, 1440, 15))
    known: list[float | None] = [120.0 if index not in range(20, 30) else None for index in range(96)]
    columns = {name: tuple(known) for name in ("p5", "p25", "p50", "p75", "p95")}
    figure = charts.profile_figure(Profile(minute=minute, **columns), unit)
    drawn = [x for trace in medians(figure) for x in trace.x]
    assert 20 * 15 not in drawn
    assert 30 * 15 in drawn
    assert drawn[-1] == 1440  # the day ends where it began
    assert len(medians(figure)) == 2


def test_an_empty_profile_draws_an_empty_chart() -> None:
    nothing = {name: (None,) * 96 for name in ("p5", "p25", "p50", "p75", "p95")}
    assert medians(charts.profile_figure(Profile(minute=tuple(range(0, 1440, 15)), **nothing), MG_DL)) == []


def test_the_prediction_has_bands_for_proposed_and_no_change() -> None:
    options = (option("proposed", 0, 71, 2), option("no change", -14, 69, 6), option("runner-up", -5, 70, 3))
    figure = charts.prediction_figure(options, MMOL_L)
    lines = {trace.name: trace for trace in figure.data if trace.showlegend is not False}
    assert set(lines) == {"Proposed", "No change", "Runner-up"}
    assert sum(trace.fill == "toself" for trace in figure.data) == 2
    assert lines["Proposed"].y[0] == pytest.approx(options[0].path.mid[0] / 18.01559, abs=0.006)


def test_a_dose_prediction_counts_from_now() -> None:
    path = Path(minutes=(0.0, 30.0, 240.0), mid=(100.0,) * 3, low=(90.0,) * 3, high=(110.0,) * 3)
    figure = charts.prediction_figure([replace(option("proposed", 0, 70, 2), path=path)], MG_DL, "doses")
    assert list(figure.layout.xaxis.ticktext) == ["now", "+1 h", "+2 h", "+3 h", "+4 h"]


def patients(at: AppTest) -> list[str]:
    """Those the worklist offers to open, in its order."""
    return [str(button.key).removeprefix("open:") for button in at.button if str(button.key).startswith("open:")]


def medians(figure: go.Figure) -> list[go.Scatter]:
    return [trace for trace in figure.data if trace.name == "Median"]


def screen(name: str) -> AppTest:
    """One screen by itself, for those that are reached only through the menu."""

    def draw(name: str) -> None:
        import importlib

        importlib.import_module(f"app.screens.{name}").draw()

    at = AppTest.from_function(draw, args=(name,), default_timeout=60)
    return checked(at.run())
