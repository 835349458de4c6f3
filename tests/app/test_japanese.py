"""Every screen in Japanese: no English is left but names, units and identifiers."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from streamlit.testing.v1 import AppTest

from careplan.clinic import Database, import_records, plan_regimens
from careplan.language import _, using
from careplan.suggestion import Suggestion
from tests.therapies.warfarin.build import world

from .conftest import ADA, MAIN, checked, press
from .test_cohort import made as replay  # noqa: F401, a fixture
from .test_patients import TABLE, Upload
from .test_what_if import Asked, asked  # noqa: F401, a fixture

# What stays as it is: units, abbreviations that Japanese clinics use, the product and its commands, formats, identifiers.
KEPT = {
    *("mg", "dL", "mmol", "kg", "INR", "VII", "GMI", "AGP", "TIR", "UTC", "CSV", "PDF", "zip", "csv", "FHIR"),
    *("careplan", "Aurora", "Clarity", "LibreView", "Glooko", "CareLink", "Tandem", "Tidepool", "Nightscout", "xDrip"),
    *("ann", "bea", "cyd", "dan", "eva", "NAME", "vera", "seed", "model", "version", "English", ADA.subject),
}
SHOWN = {"label", "body", "help", "placeholder", "options", "text", "caption", "alt", "title"}
MARKUP = re.compile(  # and code, and careplan's commands
    r"`[^`]*`|careplan evaluate \w+|:material/\w+:|data:image[^'\"]*|&nbsp;|<style.*?</style>"
    r"|(class|style|role|scope)='[^']*'|</?\w+|\b\w+='|[\w./]+\.csv",
    re.S,
)


def texts(value: Any, key: str = "") -> Iterator[str]:
    """The strings of an element that a reader sees."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from texts(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner, key)
    elif isinstance(value, str) and key in SHOWN:
        yield value


def drawn(spec: Any, key: str = "") -> Iterator[str]:
    """The texts of a Plotly figure."""
    if isinstance(spec, dict):
        for name, inner in spec.items():
            yield from drawn(inner, name)
    elif isinstance(spec, list):
        for inner in spec:
            yield from drawn(inner, key)
    elif isinstance(spec, str) and key in {"name", "text", "ticktext", "hovertemplate", "ticksuffix", "customdata"}:
        yield re.sub(r"%\{[^}]*\}|<extra></extra>", "", spec)


def seen(at: AppTest) -> Iterator[str]:
    for block in (at.main, at.sidebar):
        for element in block:
            proto = getattr(element, "proto", None)
            if hasattr(element, "value") and hasattr(element.value, "columns"):  # a table
                yield from map(str, element.value.columns)
                yield from (str(value) for column in element.value for value in element.value[column] if isinstance(value, str))
            elif element.type == "plotly_chart":
                yield from drawn(json.loads(element.proto.spec))
            elif proto is not None:
                yield from texts(MessageToDict(proto))


def left_over(at: AppTest, *kept: str) -> set[str]:
    """English words, with the texts they are in."""
    found = set()
    for text in seen(at):
        words = set(re.findall(r"(?<![\w/-])[A-Za-z]{3,}(?![\w/-])", MARKUP.sub(" ", text))) - KEPT - {*kept}
        if words:
            found.add(f"{' '.join(sorted(words))}: {text[:300]}")
    return found


def spoken(program: str, **state: object) -> AppTest:
    at = AppTest.from_string(program, default_timeout=60)
    at.session_state["language"] = "ja"
    for name, value in state.items():
        at.session_state[name] = value
    return checked(at.run())


@pytest.fixture(autouse=True)
def outside() -> Iterator[None]:
    """AppTest asks what an option is called outside of the session's run."""
    with using("ja"):
        yield


@pytest.fixture
def japanese(db: Database) -> AppTest:
    at = AppTest.from_file(str(MAIN), default_timeout=60)
    at.session_state["language"] = "ja"
    return checked(at.run())


def test_the_worklist(japanese: AppTest) -> None:
    assert japanese.title[0].value == "患者一覧"
    assert left_over(japanese) == set()


@pytest.mark.parametrize("patient", ["ann", "bea", "cyd", "dan"])
def test_the_review(japanese: AppTest, patient: str) -> None:
    at = press(japanese, f"open:{patient}")
    assert left_over(at) == set()
    assert {"典型的な 1 日", "印刷とカルテへの記載"} <= {header.value for header in at.header}


def test_trying_settings(japanese: AppTest, asked: Asked) -> None:  # noqa: F811
    at = checked(press(japanese, "open:ann").toggle(key="try:ann").set_value(True).run())
    moved = next(box for box in at.number_input if "basal@0" in str(box.key))
    at = checked(moved.set_value(1.2).run())
    assert asked.tried and left_over(at) == set()


@pytest.mark.parametrize("patient", ["ann", "bea", "cyd", "dan"])
def test_the_next_hours(db: Database, patient: str) -> None:
    assert left_over(spoken("from app.screens import doses\ndoses.draw()", patient=patient)) == set()


@pytest.mark.parametrize("name", ["record", "audit", "ask", "history"])
def test_the_other_screens(db: Database, name: str) -> None:
    assert left_over(spoken(f"from app.screens import {name}\n{name}.draw()", patient="ann")) == set()


def test_targets(db: Database) -> None:
    left = left_over(spoken("from app.screens import targets\ntargets.draw()", patient="ann"))
    assert [each for each in left if "出典" not in each] == []  # sources are quoted as they were published


def test_recordings_come_in(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamlit.file_uploader", lambda *_, **__: [Upload("eva.csv", TABLE.encode())])
    monkeypatch.setattr("app.screens.patients.available_timezones", lambda: {"UTC"})
    at = spoken("from app.screens import patients\npatients.draw()")
    reader_says = ("its", "header", "has", "time", "and", "glucose", "zone", "row", "read")
    assert left_over(at, *reader_says) == set()


def test_a_cohort(replay: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setenv("CAREPLAN_REPLAYS", str(replay.parent))
    at = spoken("from app.screens import cohort\ncohort.draw()")
    assert left_over(at, "basal-bolus", "behaviour", "usual", "first", "GRI") == set()


WARFARIN = (
    "patient,date,INR,weekly dose,age,weight,cyp2c9,vkorc1\n"
    "vera,2026-03-01,1.0,35,71,80,*1/*2,G/A\nvera,2026-03-09,1.7,,,,,\nvera,2026-03-20,3.0,,,,,\nvera,2026-03-31,{last},,,,,\n"
)


@pytest.fixture
def treated(request: pytest.FixtureRequest, db: Database, tmp_path: Path) -> Suggestion:
    """Somebody treated with warfarin, whose last INR is too high, in range or far too low, with a suggestion."""
    file = tmp_path / "inr.csv"
    file.write_text(WARFARIN.format(last=request.param))
    assert not import_records(db, file).failed
    with using("en"):
        return plan_regimens(db, ["vera"], world())[0]


@pytest.mark.parametrize("treated", ["5.2", "2.4", "1.3"], indirect=True)
def test_a_course_of_warfarin(treated: Suggestion, japanese: AppTest) -> None:
    at = press(japanese, "open:vera")
    assert left_over(at) == set()
    for line in treated.lines:
        at.button_group(key=f"verdict:{treated.id}:{line.key}").set_value("accept")
    at = checked(at.run())
    at.text_input(key="sign_name").set_value(ADA.name)
    at = press(at, _("Sign"))
    assert any(header.value == _("Signed") for header in at.header) and left_over(at) == set()


@pytest.mark.parametrize("treated", ["5.2"], indirect=True)
def test_the_other_screens_of_warfarin(treated: Suggestion) -> None:
    for name in ("doses", "record", "audit", "history", "targets"):
        left = left_over(spoken(f"from app.screens import {name}\n{name}.draw()", patient="vera"))
        assert [each for each in left if "出典" not in each] == [], name


ABOUT_WARFARIN = {  # what is understood of a question, and a word of its answer
    "veraさんのINRは1週間後どうなりますか": ("INRの予測", "1 週間後、現状のまま"),
    "veraさんの制限は": ("適用される制限", "ワルファリンは現状より増やしません"),
    "veraさんの提案の理由は": ("提案の理由", "現在 35、提案"),
    "veraさんの調子はどうですか": ("記録全体 の要約", "測定値"),
    "veraさんの処方は": ("処方の内容", "週あたりの用量"),
    "veraさんの計画を見せて": ("人が確認した計画", "週あたりの用量"),
    "veraさんの3月9日と3月20日を比べて": ("の比較", "1.7 から 3.0"),
}


@pytest.mark.parametrize("treated", ["5.2"], indirect=True)
def test_a_question_about_warfarin_is_answered_in_japanese(treated: Suggestion) -> None:
    for question, (understood, told) in ABOUT_WARFARIN.items():
        at = checked(spoken("from app.screens import ask\nask.draw()", question=question).button(key="answer").click().run())
        assert understood in "".join(each.value for each in at.subheader), question
        assert told in "".join(each.value for each in at.markdown), question
        assert left_over(at, *re.findall("[a-z]+", question), "kind", "patient") == set(), question


def test_nobody_is_here_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAREPLAN_AUDIT", str(tmp_path / "audit"))
    monkeypatch.setenv("CAREPLAN_DATABASE", str(tmp_path / "store.db"))
    monkeypatch.setattr("careplan.clinic.keeper.Worker.ensure", lambda worker: None)
    at = AppTest.from_file(str(MAIN), default_timeout=60)
    at.session_state["language"] = "ja"
    at = checked(at.run())
    assert [each.label for each in at.button if each.key == "bring_in"] == ["記録の取り込み"] and left_over(at) == set()


QUESTIONS = {  # each kind that is answered without a world model, and what is asked back
    "annさんの調子はどうですか": "記録全体 の要約",
    "annさんの基礎レートは": "処方の内容",
    "annさんの制限は": "適用される制限",
    "annさんの提案の理由は": "提案の理由",
    "annさんの計画を見せて": "人が確認した計画",
    "annさんは今何単位打てばいいですか": "careplan は投与量を決めません",
    "annさんの低血糖はいつですか": "目標範囲未満の血糖",
    "誰を見るべきですか": "優先度の高い 10 人",
    "annさんの3月10日と3月12日を比べて": "の比較",
    "予測の精度はどのくらいですか": "使用中のモデルの精度",
}
ASKED_BACK = ("2時間後の血糖は", "zoltanさんの調子はどうですか", "annさんの調子と予測は", "天気は")


@pytest.mark.parametrize("question", [*QUESTIONS, *ASKED_BACK])
def test_a_question_is_answered_in_japanese(db: Database, question: str) -> None:
    at = spoken("from app.screens import ask\nask.draw()", question=question)
    if question in QUESTIONS:
        at = checked(at.button(key="answer").click().run())
        assert QUESTIONS[question] in "".join(each.value for each in at.subheader), "understood and answered"
    reader_says = (*re.findall("[a-z]+", question), "kind", "patient", "RMSE", "adult")
    named = {each for each in left_over(at, *reader_says) if not each.startswith("Research")}
    assert named == set()
