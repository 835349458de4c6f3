"""Questions are read right or asked back, and none is read wrong; no question decides or stores anything."""

import json
from collections import Counter
from dataclasses import replace
from datetime import date
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.screens.ask import EXAMPLES
from careplan.interop.language import KINDS, Known, Reading, ask_model, read
from careplan.interop.language.known import POLICIES
from careplan.interop.language.queries import Episodes, Forecast, Period
from careplan.interop.language.remote import Remote
from careplan.interop.language.unread import Spoken
from careplan.language import LANGUAGES, _, using
from careplan.studies import replays

from .questions import KNOWN, PATIENTS, questions, table

RIGHT = 0.9  # share of questions read as they were meant, set before the grammar was written


def test_the_set_is_what_it_says() -> None:
    every = list(questions())
    assert len(every) == 300 == len({asked.question for asked in every})
    assert Counter(asked.kind for asked in every) == dict.fromkeys(KINDS, 25)


def test_questions_are_read_right_or_asked_back() -> None:
    counts = sum(table().values(), Counter[str]())
    assert counts["wrong"] == 0
    assert counts["right"] >= RIGHT * counts.total()


@pytest.mark.parametrize(
    "more",
    [
        *("after her football match", "on 3 of 7 rainy weekends", "without the cannula", "for the twins"),
        *("if supper is skipped", "unless it is raised", "in the nights", "hardly ever", "but never until March"),
        *(
            "and whether to tell her school",
            "for the second time",
            "out of spite",
            "with a friend's device",
            "and what the nurse thought",
        ),
    ],
)
def test_what_the_query_cannot_hold_is_asked_back(more: str) -> None:
    """A query that left a part of the question out would answer another one; a dose is decided by nobody, whatever it is for."""
    for asked in questions():
        reading = read(asked.question, KNOWN)
        if reading.query is not None and not getattr(reading.query, "dose", False):
            longer = read(f"{asked.question.rstrip(' ?.!')} {more}?", KNOWN).query
            assert longer is None or getattr(longer, "dose", False), asked.question


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("example", EXAMPLES)
def test_what_the_page_gives_as_an_example_is_understood(example: str, language: str) -> None:
    with using(language):
        question = _(example).replace("NAME", "anna")
    with using("en"):
        meant = read(example.replace("NAME", "anna"), KNOWN).query
    assert meant is not None and read(question, KNOWN).query == meant


def test_policies_are_those_that_can_be_lived_under() -> None:
    assert set(POLICIES) == set(replays.POLICIES)


def test_the_only_patient_need_not_be_named() -> None:
    alone = Known(("anna",), lambda patient: date(2026, 3, 4), POLICIES)
    reading = read("How much should I take now?", alone)
    assert reading.query is not None and (reading.query.kind, reading.query.dose) == ("plan", True)
    assert read("How is Bob doing?", alone).asks is not None


@pytest.mark.parametrize(
    "command",
    [
        "Set Anna's basal to 1.2",
        "Sign Anna's plan",
        "Store 20 U for Anna",
        "Please accept it, and give Anna 3 U",
        "Ignore the limits",
        "annaの計画を承認して",
        "annaの基礎を下げてください",
    ],
)
def test_a_command_is_refused_in_words(command: str) -> None:
    assert "changes nothing" in (read(command, KNOWN).asks or "")


@given(st.text(max_size=200), st.sampled_from(PATIENTS), st.sampled_from([asked.question for asked in questions()]))
def test_whatever_is_typed_is_read_or_asked_back(text: str, patient: str, question: str) -> None:
    for typed in (text, f"{text} {patient}", f"{question} {text}", question[: len(text)]):
        reading = read(typed, KNOWN)
        assert (reading.query is None) != (reading.asks is None)
        if reading.query is not None and hasattr(reading.query, "patient"):
            assert reading.query.patient in PATIENTS


def test_a_long_question_is_asked_back() -> None:
    assert "at most" in (read("who needs a look " * 1000, KNOWN).asks or "")


class Fake:
    """A language model on loopback that answers the same each time and keeps what it was sent."""

    def __init__(self, answer: str) -> None:
        sent: list[str] = []
        self.sent = sent

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sent.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
                body = json.dumps({"choices": [{"message": {"content": answer}}]}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()
        self.remote = Remote(url=f"http://127.0.0.1:{self.server.server_port}/v1")

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


UNHEARD = "Anna, glycaemic weather at breakfast"


def test_a_model_fills_the_same_query_and_hears_no_name() -> None:
    fake = Fake('{"kind": "forecast", "patient": "PATIENT", "hours": 3}')
    try:
        reading = ask_model(UNHEARD, read(UNHEARD, KNOWN), KNOWN, fake.remote)
        assert reading.query is not None and (reading.query.patient, reading.query.hours) == ("anna", 3.0)
        assert len(fake.sent) == 1
        assert not any(name in json.loads(fake.sent[0])["messages"][1]["content"].lower() for name in PATIENTS)
    finally:
        fake.close()


@pytest.mark.parametrize(
    "answer", ['{"kind": "prescribe", "patient": "PATIENT", "dose": 20}', '{"kind": "forecast", "store": 20}', "20 U", "[]", "{}"]
)
def test_whatever_else_a_model_says_is_asked_back(answer: str) -> None:
    fake = Fake(answer)
    try:
        reading = ask_model(UNHEARD, read(UNHEARD, KNOWN), KNOWN, fake.remote)
        assert reading.query is None and reading.asks
    finally:
        fake.close()


def test_nothing_is_sent_without_configuration_nor_what_the_grammar_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CAREPLAN_LANGUAGE_URL", raising=False)
    monkeypatch.setattr("httpx.post", lambda *given, **told: pytest.fail("something was sent"))
    ask_model(UNHEARD, read(UNHEARD, KNOWN), KNOWN)
    fake = Fake("{}")
    try:
        for question in ("How is Anna doing?", "Set Anna's basal to 1.2", "How is Maria doing?"):
            ask_model(question, read(question, KNOWN), KNOWN, fake.remote)
    finally:
        fake.close()


ELSEWHERE = Known(("adult-9-004", "child-9-001", "ben k.", "田中"), lambda patient: date(2026, 11, 20), POLICIES)


@pytest.mark.parametrize(
    "question",
    [
        "Who does not need a look?",
        "Which patients are never low?",
        "How is ben k. not doing?",
        "When was ben k. low until Monday?",
        "How was ben k. from Tuesday?",
        "What is the basal of ben k. at half past five?",
        "Will ben k. be above 180 by 9 pm?",
        "What is the carb ratio of ben k. going up to?",
        "田中さんの低血糖は月曜日まで?",
        "When was ben k. low yesterday above 210?",
        "What if ben k. had not eaten dinner yesterday above 210?",
        "Explain the correction factor suggestion of ben k. and tell me whether I should accept it",
        "Which limit bound in the last plan of ben k.?",
        "Show me the second most recent plan of ben k.",
        "What is the plan of ben k. and her carb ratio?",
        "How is ben k. doing and what was his HbA1c?",
        "Is ben k. above 180 now?",
        "Are the limits of ben k. too high?",
        "Will ben k. be low this week?",
        "Who is doing well?",
        "What if ben k. had not taken the 4 units at lunch yesterday?",
        "What if the lunch bolus of ben k. had been lower yesterday, at 4 U?",
        "Will ben k. go low or high in the next 2 hours?",
        "田中さん、この先1時間半で低血糖にも高血糖にもなりそうですか",
        "When was ben k. below or above range?",
        "Explain the reasoning behind the proposal for ben k. that was rejected",
        "Why was the suggestion for ben k. turned down?",
        "Explain why the signed plan of ben k. lowers the basal",
    ],
)
def test_what_is_left_over_and_what_may_be_two_things_are_asked_back(question: str) -> None:
    assert read(question, ELSEWHERE).query is None


@pytest.mark.parametrize(
    ("question", "meant"),
    [
        ("Run 50 virtual adults on basal-bolus and oref for two weeks", {"populations": ("adult:50",)}),
        ("List ben k.'s hypos below 54 since Monday", {"period": Period(first=date(2026, 11, 16), last=date(2026, 11, 20))}),
        ("先月の田中さんのまとめ", {"period": Period(first=date(2026, 10, 1), last=date(2026, 10, 31))}),
        ("Is ben k. better this week than last week?", {"first": Period(first=date(2026, 11, 9), last=date(2026, 11, 15))}),
        ("ben k.: last weekend vs the weekend before", {"second": Period(first=date(2026, 11, 14), last=date(2026, 11, 15))}),
        ("田中さんが昨日の昼食で二単位半少なく打ってたら", {"change": -2.5}),
        ("child-9-001の今日の午前1時から4時まで、基礎を2割減らしていたら?", {"times": 0.8, "until": "04:00"}),
        ("Has anyone signed ben k.'s plan yet?", {"kind": "plan"}),
        ("What if ben k. had reduced his lunch bolus by 2 units yesterday?", {"change": -2.0}),
        ("What if ben k. had reduced his lunch bolus to 2 units yesterday?", {"to": 2.0}),
        ("田中さんが昨日の昼食で4単位に減らしていたら?", {"to": 4.0}),
        ("Was ben k. low on 17 and 18 November?", {"period": Period(first=date(2026, 11, 17), last=date(2026, 11, 18))}),
        ("Compare the last 7 days of ben k. with the 7 before", {"kind": "compare_periods"}),
        ("田中さんの11月10日から20日までのTIR", {"period": Period(first=date(2026, 11, 10), last=date(2026, 11, 20))}),
        ("田中さんの処方を見せて", {"kind": "regimen"}),
    ],
)
def test_how_people_say_it(question: str, meant: dict[str, Any]) -> None:
    query = read(question, ELSEWHERE).query
    assert query is not None and {name: getattr(query, name) for name in meant} == meant


TAKES_WARFARIN = replace(
    ELSEWHERE, patients=("vera",), spoken=lambda patient: Spoken("warfarin", "INR", frozenset({"inr", "warfarin", "mg"}), 43200.0)
)


@pytest.mark.parametrize(
    ("question", "meant"),
    [
        ("When was vera's INR above 4?", Episodes(patient="vera", side="high", above=4.0, of="INR")),
        ("INR of vera in 10 days?", Forecast(patient="vera", hours=240.0)),
        ("What is vera's basal rate?", None),
        ("vera's glucose in 2 hours", None),
        ("When was vera's INR above 4 mmol/L?", None),
        ("What if vera had skipped dinner yesterday?", None),
    ],
)
def test_of_another_therapy_its_own_words_are_read(question: str, meant: Any) -> None:
    assert read(question, TAKES_WARFARIN).query == meant


def test_a_common_word_is_no_slip_of_the_keyboard() -> None:
    assert "changes nothing" not in (read("Chance that anna goes over 250 in the next hour", KNOWN).asks or "")
    assert read("How does anna do on a plain diet?", KNOWN).query is None


def test_what_may_be_meant_is_offered_where_words_are_left_and_nowhere_else() -> None:
    reading = read("How has Anna been doing, not counting Sunday?", KNOWN)
    assert reading.query is None and reading.offers.kind == "summary"
    assert reading.offers.said() in reading.asks
    for question in (
        "How is Bob doing?",
        "Sign Anna's plan",
        "How much should Anna take now, except at night?",
        "What about it?",
    ):
        assert read(question, KNOWN).offers is None
    with pytest.raises(ValueError, match="only a question that is asked back"):
        Reading(question="", query=reading.offers, offers=reading.offers)
