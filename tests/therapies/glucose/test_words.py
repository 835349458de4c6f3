"""A suggestion in words: every case has its sentence, in either unit, and every number is the stored one."""

from dataclasses import replace
from typing import Any

import pytest

from careplan.breach import Breach
from careplan.minutes import DAY
from careplan.suggestion import Interval, Moment, Option, Part, Path, Pattern, Seen, Suggestion, Sureness, Why
from careplan.therapies.glucose import words
from careplan.therapies.glucose.words import MG_DL, MMOL_L
from tests.clinic.build import line, suggestion

MOMENT = Moment(date="2024-03-04", minute=725, level=164.0, given={"bolus": 3.5, "carbs": 60.0}, lowest=62.0, highest=212.0)


def seen(*dates: str, level: float = 61.0) -> tuple[Seen, ...]:
    return tuple(Seen(date=date, minute=200, level=level - index, minutes=40) for index, date in enumerate(dates))


def low(*dates: str, days: int = 13) -> Pattern:
    return Pattern(side="low", start=0, end=360, days=days, seen=seen(*dates))


def why(**changes: Any) -> Why:
    effects = {"in_range": Interval(mid=4.1, low=1.0, high=7.3), "below_70": Interval(mid=-1.6, low=-2.6, high=-0.8)}
    given: dict[str, Any] = {
        "gain": 0.9,
        "runner_up": 0.6,
        "worth": 0.2,
        "parts": (
            Part(outcome="below_70", start=0, end=360, gain=0.7, before=9.0, after=4.0),
            Part(outcome="below_54", start=0, end=360, gain=0.3, before=2.0, after=0.5),
            Part(outcome="above_180", start=360, end=660, gain=-0.05, before=20.0, after=22.0),
            Part(outcome="in_range", start=0, end=360, gain=0.05, before=80.0, after=84.0),
            Part(outcome="in_range", start=360, end=DAY, gain=-0.01, before=70.0, after=69.0),
            Part(outcome="change", start=0, end=DAY, gain=-0.09),
        ),
        "sure": Sureness(better=7, of=8, effects=effects),
        "low_risk": 0.12,
        "patterns": (low("2024-05-03", "2024-05-05", "2024-06-01"),),
        "moments": None,
        **changes,
    }
    return Why(**given)


def explained(**changes: Any) -> Suggestion:
    path = Path(minutes=(0.0,), mid=(120.0,), low=(110.0,), high=(130.0,))
    outcomes = {"in_range": Interval(mid=72.1, low=65.0, high=79.0), "below_70": Interval(mid=2.9, low=1.0, high=5.0)}
    runner_up = Option(name="runner-up", path=path, outcomes=outcomes, does="basal -10 % all day")
    made = suggestion(line("basal", 0, 0.9), options=(runner_up,), why=why())
    return replace(made, **changes)


def test_everything_is_said_from_the_stored_numbers() -> None:
    told = dict(words.said(explained(), MG_DL))
    assert told["In short"] == "proposed for fewer lows and glucose nearer the middle of the range"
    assert told["What drove it"].startswith("fewer lows 00:00-06:00 +1.00; the cost of a change \N{MINUS SIGN}0.09")
    assert told["What drove it"].endswith("+0.90 in risk")
    assert "better than no change in 7 of 8 versions" in told["How sure"]
    assert "time in range +4.1 points (90 %: +1.0 to +7.3)" in told["How sure"]
    assert told["Runner-up"] == "basal -10 % all day; 72.1 % in range, 2.9 % low; it gains +0.60, this +0.90"
    assert told["Own days"] == "low 00:00-06:00 on 3 of 13 days: 3, 5 May, 1 Jun (lowest 59 at 03:20 on 1 Jun)"
    assert told["Risk of a low"].endswith("12 %") and "below 70 mg/dL" in told["Risk of a low"]
    assert "below 3.9 mmol/L" in dict(words.said(explained(), MMOL_L))["Risk of a low"]


def test_the_drivers_with_the_rest_sum_to_the_gain_and_lows_have_their_days() -> None:
    found = words.drivers(explained())
    assert sum(driver.gain for driver in found) == pytest.approx(0.9)
    assert found[0].pattern == low("2024-05-03", "2024-05-05", "2024-06-01")
    assert found[0].moved == (9.0, 4.0)
    assert found[-1].about == "rest"


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (low(), "low 00:00-06:00 on none of 13 days"),
        (low(days=0), "low 00:00-06:00: no day has enough readings to tell"),
        (low("2024-05-03", days=1), "low 00:00-06:00 on 1 of 1 day: 3 May (lowest 61 at 03:20 on 3 May)"),
        (
            Pattern(side="high", start=0, end=DAY, days=2, seen=seen("2024-05-03", "2024-05-04", level=301.0)),
            "high at some time of the day on 2 of 2 days: 3, 4 May (highest 301 at 03:20 on 3 May)",
        ),
    ],
)
def test_own_days_in_every_number(pattern: Pattern, text: str) -> None:
    assert words.days(pattern, MG_DL) == text


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"runner_up": None, "parts": (), "sure": None}, "no change: nothing else was allowed"),
        ({"runner_up": -0.4}, "no change: the best alternative is predicted to be worse"),
        ({"runner_up": 0.05}, "no change: the best alternative would gain 0.05 in risk, where a change must gain 0.2"),
    ],
)
def test_no_change_says_why_not(changes: dict[str, Any], text: str) -> None:
    made = explained(lines=(), why=why(gain=0.0, **changes))
    assert words.headline(made, MG_DL) == text
    assert all(said for _, said in words.said(made, MG_DL))


def test_the_price_of_a_change_is_named() -> None:
    effects = {"below_70": Interval(mid=3.5, low=0.0, high=14.1), "above_180": Interval(mid=0.4, low=0.0, high=1.0)}
    made = explained(why=why(sure=Sureness(better=12, of=16, effects=effects)))
    assert words.headline(made, MG_DL).endswith("at the price of more time below 70 mg/dL (+3.5 points)")
    assert words.headline(made, MMOL_L).endswith("at the price of more time below 3.9 mmol/L (+3.5 points)")


@pytest.mark.parametrize("made", [suggestion(line()), explained(abstained=True, lines=(), why=None)])
def test_what_is_not_explained_says_nothing(made: Suggestion) -> None:
    assert words.said(made, MG_DL) == [] and words.headline(made, MG_DL) == ""
    assert words.because(line(), suggestion(line()), MG_DL) == "lows in the morning. 14 days of evidence"


def test_a_line_names_its_own_days() -> None:
    made = explained()
    assert words.because(made.lines[0], made, MG_DL).startswith("lows in the morning: low 00:00-06:00 on 3 of 13 days: 3, 5 May")


@pytest.mark.parametrize(
    ("moments", "proposed", "text"),
    [
        ((), 4.0, "no past moment was like this one"),
        (
            (MOMENT,),
            3.0,
            "of the one past moment most like this, 1 had a low and 1 a high within four hours; "
            "3.5 U were given in the hour then, 3 U are proposed for this one",
        ),
        (
            (MOMENT, replace(MOMENT, given={**MOMENT.given, "bolus": 0.0}, lowest=80.0, highest=170.0)),
            4.0,
            "of the 2 past moments most like this, 1 had a low and 1 a high within four hours; "
            "0 to 3.5 U were given in the hour then, 4 U are proposed for this one, more than at any of them",
        ),
    ],
)
def test_moments_like_now_in_every_number(moments: tuple[Moment, ...], proposed: float, text: str) -> None:
    bolus = replace(line(), key="bolus@0", setting="bolus", start=0, end=0, unit="U", current=0.0, proposed=proposed)
    later = replace(bolus, key="bolus@60", start=60, end=60)  # beyond the hour, so it does not count
    made = replace(explained(why=why(moments=moments)), kind="doses", lines=(bolus, later))
    assert words.moments_in_words(made) == text
    assert words.moment(MOMENT, MG_DL) == "4 Mar 12:05 at 164: 3.5 U and 60 g within the hour, then 62 to 212"
    assert words.moments_in_words(explained()) == ""


def test_limits_of_several_settings_at_the_same_times_are_said_once() -> None:
    few, settings = {"days": 0, "needed": 5}, ("carb_ratio", "correction_factor")
    bound = [Breach("evidence", f"{setting}@{start}", few) for setting in settings for start in (0, 360)]
    assert words.limits_in_words(bound, MG_DL) == [
        "0 days of evidence, 5 needed (carb ratio, correction factor from 00:00, 06:00)"
    ]
