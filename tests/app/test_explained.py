"""The explanation as HTML, in the cases that a made-up clinic does not show."""

from dataclasses import replace

import pytest

from app.explained import days, panel, point, table
from careplan.breach import Breach
from careplan.suggestion import Pattern, Suggestion
from careplan.therapies.glucose.words import MG_DL, MMOL_L

from .build import doses, line, suggestion, why


def no_change(**changes: object) -> Suggestion:
    return suggestion("ann", why=replace(why(gain=0.0, runner_up=0.05), **changes))


def test_no_change_shows_what_speaks_for_and_against_the_best_alternative() -> None:
    made = no_change()
    assert "No change: the best alternative would gain 0.05 in risk, where a change must gain 0.2." in point(made, MG_DL)
    assert "For and against the best alternative" in panel(made, MG_DL)
    assert "no change \N{RIGHTWARDS ARROW} alternative" in panel(made, MG_DL)


def test_without_an_alternative_there_are_no_bars_and_no_table() -> None:
    made = no_change(parts=(), sure=None, runner_up=None, patterns=())
    assert "nothing else was allowed" in point(made, MG_DL)
    assert "cp-bar" not in panel(made, MG_DL)
    assert table(made, MG_DL) == days(made, MG_DL) == ""


def test_bars_point_for_or_against_and_the_longest_is_half_the_track() -> None:
    text = panel(suggestion("ann", line("basal", 1, 0.9), why=why()), MG_DL)
    assert "left:50%;width:50.0%" in text
    assert "left:42.5%;width:7.5%" in text  # 0.3 of 2.0, against


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        (Pattern(side="low", start=360, end=660, days=14, seen=()), "none of 14"),
        (Pattern(side="low", start=360, end=660, days=0, seen=()), "none with enough readings"),
    ],
)
def test_a_driver_without_own_days_says_so(pattern: Pattern, said: str) -> None:
    assert said in panel(suggestion("ann", line("basal", 1, 0.9), why=why(patterns=(pattern,))), MG_DL)


def test_the_table_sums_by_row_by_column_and_in_all() -> None:
    text = table(suggestion("ann", line("basal", 1, 0.9), why=why()), MG_DL)
    assert "<th>Above 180</th><td></td><td>\N{MINUS SIGN}0.30</td><td><b>\N{MINUS SIGN}0.30</b></td>" in text
    assert "<th>All</th><td>+2.00</td><td>\N{MINUS SIGN}0.30</td><td><b>+1.60</b></td>" in text


def test_moments_are_in_the_readers_unit_and_none_is_said() -> None:
    text = panel(doses("cyd"), MMOL_L)
    assert "<td>9.1</td>" in text and ">3.4</b>" in text and ">11.8</b>" in text
    alone = doses("cyd")
    assert alone.why is not None
    assert "No past moment was like this one." in panel(replace(alone, why=replace(alone.why, moments=())), MG_DL)


def test_what_is_typed_into_a_suggestion_cannot_become_html() -> None:
    made = suggestion("ann", line("basal", 1, 0.9), why=why(), limits_bound=(Breach("<script>"),))
    assert "<script>" not in panel(made, MG_DL)
