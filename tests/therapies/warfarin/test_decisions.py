"""What may be signed: nothing more above the ceiling, a fifth a visit unless it is dangerous, only what tablets allow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from careplan.breach import rule_in_words
from careplan.suggestion import Line
from careplan.therapies.warfarin.decisions import judged
from careplan.therapies.warfarin.declaration import CEILING
from careplan.therapies.warfarin.words import WORDS


def line(setting: str = "weekly_dose", current: float = 35.0) -> Line:
    return Line(
        key=f"{setting}@0", setting=setting, start=0, end=1440, unit="", current=current, proposed=current, lowest=7, highest=70,
        absolute_low=0, absolute_high=105, days=5, why="",
    )  # fmt: skip


@given(st.floats(CEILING, 12.0), st.integers(71, 210))
def test_nobody_signs_more_above_the_ceiling(last: float, halves: int) -> None:
    told = judged(line(), halves / 2, last)
    assert told.forbidden is not None and "more warfarin is not allowed" in told.forbidden


@pytest.mark.parametrize(("value", "guarded"), [(42.0, False), (42.5, True), (28.0, False), (27.5, True)])
def test_a_fifth_a_visit_in_range(value: float, guarded: bool) -> None:
    found = judged(line(), value, 2.5)
    assert bool(found.guarded) == guarded and found.forbidden is None
    if guarded:
        said = " ".join(rule_in_words(breach, WORDS) for breach in found.guarded)
        assert "more than 20% of the weekly dose in one visit" in said


def test_less_at_once_where_it_is_dangerous() -> None:
    assert judged(line(), 24.5, 2.5).guarded and not judged(line(), 24.5, 4.2).guarded
    assert judged(line(), 17.5, 4.2).guarded and not judged(line(), 17.5, 5.5).guarded


def test_more_above_four_is_guarded_below_the_ceiling() -> None:
    assert judged(line(), 36.0, 4.1).guarded and judged(line(), 36.0, 4.1).forbidden is None


def test_a_week_that_cannot_be_halved_is_forbidden() -> None:
    assert "cannot be made of halves" in (judged(line(), 33.0, 2.5, (5.0,)).forbidden or "")
    assert judged(line(), 32.5, 2.5, (5.0,)).forbidden is None


def test_a_start_is_bound_by_the_absolute_limits_alone() -> None:
    told = judged(line(current=0.0), 49.0, None)
    assert not told.guarded and told.forbidden is None and (told.lowest, told.highest) == (0.0, 105.0)


def test_keeping_on_or_looking_late_needs_a_reason_where_the_inr_is_out() -> None:
    assert judged(line("hold"), 0.0, 5.0).caution and not judged(line("hold"), 1.0, 5.0).caution
    assert not judged(line("hold"), 0.0, 3.5).caution
    assert judged(line("next_inr"), 21.0, 1.7).caution and not judged(line("next_inr"), 14.0, 1.7).caution
    assert not judged(line("next_inr"), 28.0, 2.5).caution
