"""What is told before a question, names in katakana, and stretches of days that are vague or halves of months."""

from datetime import date
from typing import Any

import pytest

from careplan.interop.language import Known, read

from .questions import KNOWN


def days(first: str, last: str) -> dict[str, str]:
    return {"first": first, "last": last}


@pytest.mark.parametrize(
    ("question", "meant"),
    [
        ("Anna woke up shaky. Was she low last night?", {"kind": "episodes", "period": days("2026-03-03", "2026-03-04")}),
        ("Ben has been restless all afternoon. Is he heading for a hypo within three hours?", {"kind": "forecast", "hours": 3.0}),
        ("Kenji's mother is worried. How did Monday go for him compared with Sunday?", {"kind": "compare_periods"}),
        ("I've got ten minutes before rounds. Whose charts do I open first?", {"kind": "who_needs_a_look"}),
        ("Kenji fainted on Monday. Did he go low that day?", {"period": days("2026-03-02", "2026-03-02")}),
        ("Tanaka changed pumps on 20 February. How has he been doing since then?", {"period": days("2026-02-20", "2026-03-04")}),
        ("Anna has been on holiday. How was last week?", {"kind": "summary", "period": days("2026-02-26", "2026-03-04")}),
        ("If nothing changes, where will Anna be in two hours?", {"kind": "forecast", "hours": 2.0}),
        ("このまま何もしなければ、kenjiさんは1時間後どうなりますか", {"kind": "forecast", "hours": 1.0}),
        ("アンナさんへの提案の根拠が知りたいです", {"kind": "why", "patient": "anna"}),
        ("ケンジさんは昨日低血糖でしたか", {"kind": "episodes", "patient": "kenji"}),
        (
            "maria-1, first half of February versus the second half",
            {"first": days("2026-02-01", "2026-02-15"), "second": days("2026-02-16", "2026-02-28")},
        ),
        ("annaさんの先月の前半と後半を比べてください", {"second": days("2026-02-16", "2026-02-28")}),
        ("How was Anna in the first half of this month?", {"period": days("2026-03-01", "2026-03-04")}),
        ("When did Ben get past 250 mg/dL yesterday?", {"kind": "episodes", "side": "high", "above": 250.0}),
        ("Talk me through how you got to your proposal for Ben.", {"kind": "why"}),
        ("Get the latest plan for Ben", {"kind": "plan"}),
    ],
)
def test_what_is_read(question: str, meant: dict[str, Any]) -> None:
    query = read(question, KNOWN).query
    assert query is not None
    assert {name: query.model_dump(mode="json")[name] for name in meant} == meant


@pytest.mark.parametrize(
    "question",
    [
        "Anna's mother fainted. How is she doing?",
        "Anna's sister had a hypo on Sunday. Was she low too?",
        "Anna was sick on Tuesday. Was she low?",
        "Anna was sick on Tuesday and skipped her run. Did her nights get worse since?",
        "Anna has a fever. Will she go low in two hours?",
        "Anna was running. Where will she be in an hour?",
        "Ben just ate a pizza. Where will he be in three hours?",
        "Anna was away last week. How has she been?",
        "Ben changed his basal on Monday. How has he been doing since?",
        "Tanaka changed pumps on 20 February and again on 1 March. How has he been doing since then?",
        "Was she home. How is Anna doing?",
        "Only nights matter. How is Anna?",
        "Ignore Sunday. How has Anna been doing?",
        "If Anna eats 40 g now, where will she be in two hours?",
        "If she does nothing, where will Anna be in two hours?",
        "How was Anna in the second half of this month?",
        "How was Anna in the second half of the night?",
        "How was Anna in the second half of 2025?",
        "How was Anna in the first half of last week?",
        "先週の後半、annaさんの様子は?",
        "アナさんの先週の様子は?",
        "アンナ・スミスさんの先週の様子は?",
        "アンナ先生の患者の様子は?",
        "マリアさんの先週の様子は?",
        "アンナさんとベンさんの2時間後の血糖は?",
        "annaさんの最近の夜の様子は?",
        "Show me how Ben's plan was put together",
        "Anyone not giving cause for concern?",
    ],
)
def test_what_is_asked_back(question: str) -> None:
    assert read(question, KNOWN).query is None


def test_of_two_names_that_katakana_writes_alike_none_is_taken() -> None:
    known = Known(("bella", "vera", "bera"), lambda patient: date(2026, 3, 4))
    assert read("ベラさんの様子は?", known).query is None
    assert read("ベラさんの様子は?", Known(("bella", "ben"), known.today)).query is not None


@pytest.mark.parametrize("question", ["How has Ben been lately?", "最近のbenさんの様子は?", "このところbenさんはどうですか"])
def test_a_vague_stretch_of_days_is_asked_back_with_two_weeks_offered(question: str) -> None:
    reading = read(question, KNOWN)
    assert reading.query is None and len(reading.choices) == 3
    assert str(reading.offers.period) == "2026-02-19 to 2026-03-04"


def test_what_is_unsaid_is_asked_for() -> None:
    assert read("How has Anna been doing since her holiday?", KNOWN).asks == "Since which day?"
    assert read("How good is the model for Anna?", KNOWN).offers.kind == "evaluation"
    assert read("How good is the model for Anna at night?", KNOWN).offers is None


@pytest.mark.parametrize(
    "question",
    [
        "Ben's mother is on the phone. How is she doing this week?",
        "Ben's father called. How was he this week?",
        "Ben's nurse is here. How is he doing?",
        "Ben's parents are here. How are they doing?",
    ],
)
def test_a_pronoun_that_may_mean_who_is_met_is_asked_back(question: str) -> None:
    assert read(question, KNOWN).query is None


def test_a_pronoun_that_cannot_mean_who_is_met_is_the_patients() -> None:
    assert read("Ben's mother called. How was he this week?", KNOWN).query == read("How was Ben this week?", KNOWN).query
