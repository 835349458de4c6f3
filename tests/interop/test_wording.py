"""Words that ask nothing leave a question as it is; words that ask for something else are asked back; commands are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from careplan.interop.language import read
from careplan.interop.language.wording import ASIDES, ENDING

from .questions import KNOWN

OBJECTS = {
    "forecast": "the forecast for Anna",
    "counterfactual": "what would have happened if Anna had taken two units less at lunch yesterday",
    "compare_periods": "a comparison of Anna's last week with the week before",
    "why": "the reasons for the suggestion for Anna",
    "who_needs_a_look": "the patients who need a look",
    "limits": "the limits for Anna",
    "cohort_replay": "a simulation of 20 adults on oref",
    "summary": "a summary of Anna's last 14 days",
    "plan": "the current plan of Anna",
    "regimen": "Anna's carb ratio",
    "evaluation": "the accuracy of the model",
    "episodes": "Anna's lows in February",
}
BEGINNINGS = (
    "show me",
    "can you pull up",
    "could you please tell me",
    "would you mind showing me",
    "i was wondering about",
    "i'd like to see",
    "we need to know",
    "hi there, quick question:",
    "if you have a moment, give me",
    "walk me through",
    "fill me in on",
    "bring me up to speed on",
    "let's take a look at",
    "it would be good to see",
    "first of all, show me",
    "once more, please,",
    "according to the system, what is",
    "quick question from her mum: what is",
    "I'm writing her letter, so give me",
)
ENDS = (
    *("please", "many thanks", "if at all possible", "as soon as you can", "for the ward round", "for tomorrow's meeting"),
    *("in a nutshell", "in plain words", "on one page", "as a table", "step by step", "as far as you know", "just in case"),
)
OTHER = (
    *(
        "if she skips her snack",
        "except at night",
        "twice as often",
        "of her sister",
        "if she had not",
        "compared with last year",
    ),
    *("when she is ill", "for women over 65", "without the sensor gaps", "by weekday", "each night", "on rainy days", "per day"),
    *("after exercise", "that nobody accepted", "and sign it", "half of them", "unless she ate", "since the new pump"),
)


@pytest.mark.parametrize("kind", OBJECTS)
def test_how_politely_or_briefly_it_is_asked_changes_nothing(kind: str) -> None:
    meant = read(f"show me {OBJECTS[kind]}", KNOWN).query
    assert meant is not None and meant.kind == kind
    for beginning in BEGINNINGS:
        assert read(f"{beginning} {OBJECTS[kind]}", KNOWN).query == meant, beginning
    for end in ENDS:
        assert read(f"show me {OBJECTS[kind]}, {end}", KNOWN).query == meant, end


@pytest.mark.parametrize("kind", OBJECTS)
def test_a_part_that_asks_for_something_else_is_asked_back_however_it_is_asked(kind: str) -> None:
    for beginning in BEGINNINGS:
        for more in OTHER:
            assert read(f"{beginning} {OBJECTS[kind]} {more}", KNOWN).query is None, (beginning, more)


@pytest.mark.parametrize(
    ("question", "first"),
    [("How's Anna's week been?", "2026-02-26"), ("How was Anna over the weekend?", "2026-02-28")],
)
def test_a_week_and_a_weekend_that_no_word_names_are_the_last(question: str, first: str) -> None:
    query = read(question, KNOWN).query
    assert query is not None and query.kind == "summary" and str(query.period.first) == first


@given(st.sampled_from(BEGINNINGS), st.sampled_from(sorted(OBJECTS)), st.sampled_from(ENDS), st.sampled_from(OTHER))
def test_what_is_said_beside_a_question_hides_none_of_it(beginning: str, kind: str, end: str, more: str) -> None:
    assert read(f"{beginning} {OBJECTS[kind]} {more}, {end}", KNOWN).query is None


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("Where is Anna heading over the next couple of hours?", "forecast"),
        ("Is Anna about to go low?", "forecast"),
        ("Halving Anna's dinner bolus yesterday - what difference would it have made?", "counterfactual"),
        ("What would've happened had Kenji left out his dinner bolus last night?", "counterfactual"),
        ("How does Ben's March so far stack up against February?", "compare_periods"),
        ("Contrast maria-1's last three days with the three days preceding them", "compare_periods"),
        ("What is the suggestion for Anna based on?", "why"),
        ("Ben's proposal: talk me through how it came about", "why"),
        ("Anybody on my panel I should be worried about?", "who_needs_a_look"),
        ("Which safety limits are in force for Ben at present?", "limits"),
        ("Play back oref on 40 adolescents during 14 days", "cohort_replay"),
        ("Sum up Monday for azt1d-13", "summary"),
        ("What did we settle on for Ben?", "plan"),
        ("What is Anna taking at present?", "regimen"),
        ("What does calibration look like for the model?", "evaluation"),
        ("List every stretch below range for Kenji in the last two weeks", "episodes"),
        ("What would've happened if Anna hadn't had her lunchtime bolus yesterday?", "counterfactual"),
        ("anna, 2 more units with dinner yesterday - what then?", "counterfactual"),
        ("Which patients should I be keeping an eye on today?", "who_needs_a_look"),
        ("今日、注意して診るべき患者は誰ですか", "who_needs_a_look"),
        ("Did Anna spend any time below 54 mg/dL in the last week?", "episodes"),
        ("How many units of basal is Anna prescribed?", "regimen"),
        ("annaさんの基礎インスリンは何単位処方されていますか", "regimen"),
        ("Quick question from mum: what's Anna's glucose going to be like in three hours?", "forecast"),
        ("Do you think Anna will be alright over the next two hours?", "forecast"),
        ("Has Ben's control gone downhill this past week relative to the previous one?", "compare_periods"),
        ("Where does the new carb ratio for Ben come from?", "why"),
        ("How did you arrive at Kenji's suggestion?", "why"),
        ("Any of my patients I ought to be concerned about?", "who_needs_a_look"),
        ("What's the highest single dose Anna could ever be given?", "limits"),
        ("Did Kenji have any hypos over the weekend?", "episodes"),
        ("What would 50% more bolus at yesterday's lunch have meant for Kenji?", "counterfactual"),
        ("Assume Anna took half the bolus at lunch on Monday", "counterfactual"),
        ("Who signed Ben's plan?", "plan"),
        ("Do the predictions hold up?", "evaluation"),
        ("By how much may Kenji's settings be moved at a time?", "limits"),
        ("What if 15 teenagers were treated by the planner?", "cohort_replay"),
        ("kenjiさんの持効型は何単位に設定されていますか", "regimen"),
        ("benさんへの提案の理由がよくわからないので説明してもらえますか", "why"),
        ("今日見ておいたほうがいい患者さんは?", "who_needs_a_look"),
        ("Can you estimate Anna's glucose for the following three hours?", "forecast"),
        ("Was Anna better in January or in February?", "compare_periods"),
        ("How was the suggestion for Ben worked out?", "why"),
        ("What rules keep Kenji safe?", "limits"),
        ("Which changes are you recommending for Kenji?", "plan"),
        ("What's Anna's treatment?", "regimen"),
        ("How confident can I be in the forecasts?", "evaluation"),
        ("How frequently was Kenji low last week?", "episodes"),
        ("一番急ぐ患者さんは誰ですか", "who_needs_a_look"),
        ("annaさんの血糖は今後どう動きますか", "forecast"),
        ("I can't remember Anna's basal, what is it?", "regimen"),
        ("I'm trying to figure out what Anna's glucose will do in the three hours ahead", "forecast"),
        ("Does it look as though Ben might go low within 90 minutes?", "forecast"),
        ("Could you simulate Kenji's Monday with his dinner bolus halved?", "counterfactual"),
        ("Were Ben's sugars any steadier in February than in January?", "compare_periods"),
        ("What won't you let Kenji's basal go beyond?", "limits"),
        ("Ben yesterday - any good?", "summary"),
        ("Did the plan for Anna get the go-ahead?", "plan"),
        ("Are these forecasts worth anything?", "evaluation"),
        ("回診で先に見るべき人を教えてください", "who_needs_a_look"),
        ("モデルの予測はどこまで信じてよいですか", "evaluation"),
        ("Was February kinder to Anna than January?", "compare_periods"),
        ("Has Ben's average come down from January to February?", "compare_periods"),
        ("How would Anna have done yesterday with no lunch bolus?", "counterfactual"),
        ("How many grams of carbs per unit does Anna use?", "regimen"),
        ("What are the suggested changes for Anna?", "plan"),
        ("How much faith should I put in these forecasts?", "evaluation"),
        ("Who needs looking after today?", "who_needs_a_look"),
        ("これから2時間以内にbenさんが低血糖になる心配はないですか", "forecast"),
        ("調子の悪い患者さんはいますか", "who_needs_a_look"),
        ("benさんの糖質比が変わった理由は?", "why"),
        ("annaさんは今いくつ打てばいい?", "plan"),
        ("What's the largest bolus the planner may propose for Kenji?", "limits"),
        ("このモデルの予測はあてになりますか", "evaluation"),
        ("What have you got planned for Anna?", "plan"),
        ("How sure can I be of the predictions?", "evaluation"),
        ("Can you find every high Tanaka has had?", "episodes"),
        ("tanakaさんの計画に署名したのは誰ですか", "plan"),
        ("お母さんから質問です。annaさんの血糖は2時間後にどのあたりになりそうですか", "forecast"),
        ("今日はどの患者さんから診たらいいですか", "who_needs_a_look"),
        ("benさんの直近2週間のTIRを教えていただけますか", "summary"),
        ("今日優先して診るべき患者さんを挙げてほしい", "who_needs_a_look"),
        ("kenjiさんの1時間後の見通しを知りたいのですが", "forecast"),
        ("annaさんの低血糖のエピソードを列挙してください", "episodes"),
    ],
)
def test_everyday_words_of_each_kind_are_understood(question: str, kind: str) -> None:
    query = read(question, KNOWN).query
    assert query is not None and query.kind == kind


@pytest.mark.parametrize(
    "question",
    [
        "How many units of basal should be prescribed for Anna?",
        "annaさんに基礎インスリンを何単位処方すればいいですか",
        "annaさんの基礎インスリンは何単位処方されるべきですか",
        "annaさんの基礎インスリンは今後何単位処方されますか",
    ],
)
def test_what_is_still_to_be_prescribed_is_nobody_s_to_answer(question: str) -> None:
    query = read(question, KNOWN).query
    assert query is None or (query.kind == "plan" and query.dose)


@pytest.mark.parametrize(
    ("question", "first", "second"),
    [
        ("anna: past 14 days against the previous 14", ("2026-02-05", "2026-02-18"), ("2026-02-19", "2026-03-04")),
        ("Is Anna doing better this week than last?", ("2026-02-23", "2026-03-01"), ("2026-03-02", "2026-03-04")),
        ("Was Anna worse last week than this?", ("2026-02-23", "2026-03-01"), ("2026-03-02", "2026-03-04")),
        (
            "Compare the most recent fortnight of Anna with the one before that",
            ("2026-02-05", "2026-02-18"),
            ("2026-02-19", "2026-03-04"),
        ),
        (
            "Compare the first week of January with the last 10 days of February for Anna",
            ("2026-01-01", "2026-01-07"),
            ("2026-02-19", "2026-02-28"),
        ),
    ],
)
def test_the_second_of_two_periods_may_be_said_by_what_differs(
    question: str, first: tuple[str, str], second: tuple[str, str]
) -> None:
    query = read(question, KNOWN).query
    assert query is not None and query.kind == "compare_periods"
    assert [(str(each.first), str(each.last)) for each in (query.first, query.second)] == [first, second]


@pytest.mark.parametrize(
    "question",
    ["anna: past 14 days against the previous 14 nights", "Is Anna better this week than last at night?"],
)
def test_a_period_that_ends_in_other_words_is_not_filled_in(question: str) -> None:
    assert read(question, KNOWN).query is None


@pytest.mark.parametrize("question", ["TIR anna 2 wks", "14-day TIR for Anna", "annaさんの14日間のTIRは?"])
def test_a_figure_and_a_length_alone_are_of_the_last_days(question: str) -> None:
    query = read(question, KNOWN).query
    assert query is not None and query.kind == "summary" and query.period is not None
    assert (str(query.period.first), str(query.period.last)) == ("2026-02-19", "2026-03-04")


@pytest.mark.parametrize(
    "question",
    ["TIR anna in 2 wks", "TIR anna 2 wks ago", "14-day TIR goal for Anna", "annaさんの2週間前のTIRは?", "TIR anna 2 wks nights"],
)
def test_a_length_with_another_word_is_no_such_stretch(question: str) -> None:
    assert read(question, KNOWN).query is None


def test_the_next_hour_is_one_hour() -> None:
    query = read("Could Anna end up hypo in the next hour?", KNOWN).query
    assert query is not None and (query.hours, query.about) == (1.0, "low")


@pytest.mark.parametrize(
    "word",
    [
        "たくさん",
        "もっと",
        "いつも",
        "すこし",
        "ほとんど",
        "めったに",
        "まだ",
        "ずっと",
        "ときどき",
        "たまに",
        "あまり",
        "さらに",
        "ほぼ",
        "やや",
        "かなり",
        "とても",
        "よる",
        "あさ",
        "ひる",
        "ねる",
        "いもうと",
        "むすめ",
        "からだ",
        "くすり",
        "ねむり",
        "しごと",
        "つかれ",
        "さいご",
        "はじめて",
        "つぎ",
        "なし",
        "ぬき",
        "ほか",
    ],
)
def test_a_word_in_kana_that_means_something_is_no_ending(word: str) -> None:
    assert ENDING.fullmatch(word) is None
    assert read(f"annaさんの{word}の低血糖を挙げて", KNOWN).query is None


def test_each_aside_is_whole_words() -> None:
    for pattern in ASIDES.values():
        assert pattern.sub("", "") == "" and pattern.search("x") is None


@pytest.mark.parametrize(
    "command",
    [
        *("Sign it", "Set basal to 1.2", "Approve Anna's plan", "I'd like you to approve Anna's plan", "Let's raise Ben's basal"),
        *("We need to approve Anna's plan", "Would you mind signing Anna's plan?", "Can we lower Ben's carb ratio?"),
        *("Confirm Anna's plan", "Mark Anna's plan as approved", "Make Anna's basal 1.2", "Turn off Anna's basal"),
        *("Hold Anna's basal tonight", "夕食前の投与量を決めてください、annaさんです"),
        *(
            "Her mum asks: sign Anna's plan",
            "Give Anna's plan the nod",
            "Show Ben's plan, then put my signature on it",
            "Just the gist please, and approve Anna's plan",
        ),
        *("Draw up a plan for Anna", "Send Anna's plan to her doctor", "Show Anna's plan, then approve it"),
        *("annaさんの計画を承認していただけますか", "tanakaさんの提案、承認しといて", "annaさんの基礎を1.2にして"),
        *("annaさんの基礎を下げてもらえますか", "annaさんの計画にサインして", "annaさんの提案を承認したい", "署名して"),
    ],
)
def test_a_command_of_any_wording_is_told_that_a_person_signs_on_the_review_page(command: str) -> None:
    assert "by a person on the review page" in (read(command, KNOWN).asks or "")


@pytest.mark.parametrize(
    "question",
    ["Change in Anna from last week to this week?", "Bring up Anna's basal", "Start a simulation of 20 adults on oref"],
)
def test_what_only_looks_like_a_command_is_answered(question: str) -> None:
    assert read(question, KNOWN).query is not None
