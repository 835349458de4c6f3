"""A rule that is broken is a value; what it says is made where it is shown."""

import doctest
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from careplan import breach
from careplan.breach import RULES, Breach, in_words, rule_in_words
from careplan.clinic import codec
from careplan.therapies.glucose.rule_words import RULES as OF_GLUCOSE

anything = st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.integers(-5, 500).map(float))


def test_the_examples_run() -> None:
    assert doctest.testmod(breach).failed == 0


@given(
    st.sampled_from(sorted({*RULES, *OF_GLUCOSE})),
    st.text(),
    st.dictionaries(st.sampled_from(["days", "low", "most", "x"]), anything),
)
def test_any_breach_is_stored_as_it_was_and_says_something(rule: str, key: str, numbers: dict[str, float]) -> None:
    made = Breach(rule, key, numbers)
    assert codec.load(Breach, codec.dump(made)) == made
    assert all(math.isfinite(value) for value in made.numbers.values())
    assert {made: 1}[Breach(rule, key, dict(reversed(numbers.items())))] == 1
    for rules in (RULES, OF_GLUCOSE):
        assert rule_in_words(made, rules) and in_words(made, rules).endswith(rule_in_words(made, rules))


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (Breach("evidence", "basal@0", {"days": math.nan, "needed": 5}), "basal@0: unknown days of evidence, 5 needed"),
        (Breach("change in one visit", "tablet@0", {"most": 0.2}), "tablet@0: more than 20% in one visit"),
        (Breach("3 days {of} evidence"), "3 days {of} evidence"),
        (Breach("too thick", numbers={"haematocrit": 0.6}), "too thick (haematocrit 0.6)"),
    ],
)
def test_a_breach_in_words(made: Breach, said: str) -> None:
    assert in_words(made) == said
