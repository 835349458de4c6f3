"""What the product says is true: every sentence it can say of a suggestion is held against the numbers that it speaks of.

Suggestions of every kind are drawn; each sentence, in each language, is read by its own reader here, which finds the numbers in
the text (`sentences`) and compares them with the suggestion, and a sentence that no reader knows fails. A sample is drawn; with
`CAREPLAN_SENTENCES=1000` in the environment, as many.
"""

import math
import os
import re
from collections.abc import Callable

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from app import explained, wording
from careplan.display import Unit
from careplan.language import _, using
from careplan.suggestion import Line, Side, Suggestion
from careplan.therapies.glucose import words
from careplan.therapies.glucose.bands import BELOW_54_TARGET, BELOW_70_TARGET, LOW
from careplan.therapies.glucose.decisions import Exposure
from careplan.therapies.glucose.lines import NEAR, _near_target
from careplan.therapies.glucose.rule_words import rule_in_words
from careplan.therapies.glucose.words import MG_DL, MMOL_L
from tests.therapies.glucose.drawn import suggestions
from tests.therapies.glucose.sentences import ENGLISH, JAPANESE, Sentences

DRAWN = int(os.environ.get("CAREPLAN_SENTENCES", "100"))
SIDES: tuple[Side, Side] = ("low", "high")
LANGUAGES = {"en": ENGLISH, "ja": JAPANESE}
in_each_language = pytest.mark.parametrize("language", LANGUAGES)


def number(text: str) -> float:
    return float(text.replace("\N{MINUS SIGN}", "-"))


def close(said: str, value: float, digits: int) -> bool:
    return math.isclose(number(said), round(value, digits), abs_tol=0.51 * 10**-digits)


@in_each_language
@given(made=suggestions(), unit=st.sampled_from((MG_DL, MMOL_L)))
@settings(max_examples=DRAWN, deadline=None)
def test_every_sentence_agrees_with_its_numbers(language: str, made: Suggestion, unit: Unit) -> None:
    words_of = LANGUAGES[language]
    readers = dict(zip(words_of.headings, READERS, strict=True))
    with using(language):
        said = words.said(made, unit)
        assert len({text for _, text in said}) == len(said), "nothing is said twice"
        for name, text in said:
            readers[name](text, made, unit, words_of)
            assert not re.search(r"\b1 days\b", text)
            assert language == "en" or set(re.findall(r"[A-Za-z]{2,}", text)) <= {"mg", "dL", "mmol"}, text
        for line in made.lines:
            because(words.because(line, made, unit), line, made, words_of)
            moved(wording.change(line.setting, line.current, line.proposed, unit), line, words_of)
            more = (line.proposed > line.current) == (line.setting in ("basal", "bolus", "temp_basal"))
            direction = wording.direction(line.setting, line.current, line.proposed)
            assert direction == (words_of.more_insulin if more else words_of.less_insulin)
        drawn = explained.panel(made, unit) + explained.point(made, unit) + explained.table(made, unit)
        drawn += explained.days(made, unit)
        for driver in words.drivers(made):
            assert driver.about == "rest" or driver.text[1:] in drawn  # a sentence begins with a capital


def headline(text: str, made: Suggestion, unit: Unit, of: Sentences) -> None:
    why = made.why
    assert why is not None
    if text.startswith(of.no_change):
        assert not made.lines
        if found := re.search(of.too_little, text):
            assert why.runner_up is not None and why.runner_up > 0
            assert close(found[1], why.runner_up, 2) and number(found[2]) == why.worth
        else:
            assert (why.runner_up is None) == text.endswith(of.nothing_else)
            assert why.runner_up is None or (why.runner_up <= 0 and text.endswith(of.worse))
        return
    assert made.lines and why.sure is not None
    gains = dict.fromkeys((*SIDES, "in_range"), 0.0)
    for part in why.parts:
        side = "low" if "below" in part.outcome else "high" if "above" in part.outcome else part.outcome
        if side in gains:
            gains[side] += part.gain
    aims, _, price = text.partition(of.price)
    for aimed, outcome in zip(SIDES, ("below_70", "above_180"), strict=True):
        effect, level = why.sure.effects[outcome].mid, unit.text(words.aim(made).levels[aimed])
        if of.fewer[aimed] in aims:
            assert gains[aimed] > 0 and effect < 0
        if of.milder[aimed] in aims:
            assert gains[aimed] > 0 and effect >= 0
        found = re.search(of.more_time(aimed, re.escape(level), re.escape(unit.name)), price)
        assert (found is not None) == (effect >= words.PRICES[outcome])
        assert found is None or close(found[1], effect, 1)
    within = why.sure.effects["in_range"].mid
    if of.middle in aims:
        assert gains["in_range"] > 0 and within >= 0
    found = re.search(of.less_in_range, price)
    assert (found is not None) == (within <= -words.LESS_IN_RANGE)
    assert found is None or close(found[1], within, 1)


def drove(text: str, made: Suggestion, unit: Unit, of: Sentences) -> None:
    assert made.why is not None
    total = sum(part.gain for part in made.why.parts)
    found = re.match(of.total, text)
    assert found and close(found[2], total, 2)
    gains = [number(each) for each in re.findall(of.each_gain, found[1])]
    assert abs(sum(gains) - total) <= 0.005 * (len(gains) + 1) + 1e-9
    for driver in words.drivers(made):
        if driver.about not in SIDES:
            continue
        side: Side = "low" if driver.about == "low" else "high"
        better, graver = (bool(re.search(each(side), driver.text)) for each in (of.better, of.graver))
        assert better == (driver.gain > 0) and graver != better
        if driver.moved is not None:
            assert bool(re.search(of.less, driver.text)) <= (driver.moved[1] < driver.moved[0])
            assert bool(re.search(of.more, driver.text)) <= (driver.moved[1] > driver.moved[0])


def sure(text: str, made: Suggestion, unit: Unit, of: Sentences) -> None:
    assert made.why is not None and made.why.sure is not None
    found = re.search(of.surely, text)
    assert found and (int(found["better"]), int(found["of"])) == (made.why.sure.better, made.why.sure.of)
    assert text.startswith(of.alternative) == (not made.lines)
    below = of.below.format(level=unit.text(words.aim(made).levels["low"]))
    for name, key in ((of.in_range, "in_range"), (below, "below_70")):
        effect = made.why.sure.effects[key]
        found = re.search(re.escape(name) + of.effect, text)
        values = (effect.mid, effect.low, effect.high)
        assert found and all(close(found[place], value, 1) for place, value in enumerate(values, 1))


def runner_up(text: str, made: Suggestion, unit: Unit, of: Sentences) -> None:
    assert made.why is not None and made.why.runner_up is not None
    assert text.startswith(of.runner_up)
    found = re.search(of.gains, text)
    assert found and close(found[1], made.why.runner_up, 2) and (found[2] is not None) == bool(made.lines)
    assert found[2] is None or close(found[2], made.why.gain, 2)


def limits(text: str, made: Suggestion, unit: Unit, of: Sentences) -> None:
    rules = {words.limits_in_words([breach], unit, words.aim(made))[0] for breach in made.limits_bound}
    for end in of.rule_ends:
        rules = {rule.partition(end)[0] for rule in rules}
    assert all(text.count(rule) == 1 for rule in rules), "each limit once"


def own_days(text: str, made: Suggestion, unit: Unit, of: Sentences) -> None:
    assert made.why is not None
    for told, pattern in zip(text.split(of.between), made.why.patterns, strict=True):
        assert told.startswith(of.own_days[pattern.side])
        if not pattern.days:
            assert told.endswith(of.too_few_readings)
            continue
        assert of.seen(len(pattern.seen), pattern.days) in told
        if pattern.seen:
            worst = (min if pattern.side == "low" else max)(one.level for one in pattern.seen)
            assert of.extreme(pattern.side, unit.text(worst)) in told


def like_now(text: str, made: Suggestion, unit: Unit, of: Sentences) -> None:
    assert made.why is not None and made.why.moments is not None
    if not made.why.moments:
        assert text == of.no_moment
        return
    found, levels = re.match(of.moments, text), words.aim(made).levels
    given = [one.given["bolus"] for one in made.why.moments]
    assert found and int(found[1] or 1) == len(given)
    assert int(found[2]) == sum(one.lowest < levels["low"] for one in made.why.moments)
    assert int(found[3]) == sum(one.highest > levels["high"] for one in made.why.moments)
    proposed = sum(line.proposed for line in made.lines if line.setting == "bolus" and line.start < 60)
    assert (of.more_than_ever in text) == (round(proposed, 3) > max(given))


def risk(text: str, made: Suggestion, unit: Unit, of: Sentences) -> None:
    assert made.why is not None and made.why.low_risk is not None
    found = re.search(of.risk(re.escape(unit.text(LOW)), re.escape(unit.name)), text)
    assert found and close(found[1], 100 * made.why.low_risk, 0)


def together(text: str, made: Suggestion, unit: Unit, of: Sentences) -> None:
    kinds = {line.setting for line in made.lines}
    assert made.kind == "regimen" and len(kinds) > 1
    assert all(_(words.SETTINGS[kind]).lower() in text for kind in kinds)


Reader = Callable[[str, Suggestion, Unit, Sentences], None]
READERS: tuple[Reader, ...] = (headline, drove, sure, runner_up, limits, own_days, like_now, risk, together)  # by heading


def because(text: str, line: Line, made: Suggestion, of: Sentences) -> None:
    if made.kind == "doses":
        return
    assert text.startswith(of.against[(line.proposed > line.current) == (line.setting == "basal")])
    assert of.evidence(line.days) in text
    assert ("on none of" in text) == ("though there were none in these hours" in text)


def moved(text: str, line: Line, of: Sentences) -> None:
    """A change says its sign and its percent; none where none can be seen at the precision shown."""
    if text == of.no_change:
        return
    assert text.startswith("+" if line.proposed > line.current else "\N{MINUS SIGN}")
    found = re.search(r"\(([+\N{MINUS SIGN}-]?\d+(?:\.\d+)?) %\)", text)
    assert (found is None) == (line.current == 0)
    assert found is None or close(found[1], 100 * (line.proposed / line.current - 1), 0)


@in_each_language
@given(below_70=st.floats(0, 30), below_54=st.floats(0, 10))
@settings(max_examples=DRAWN, deadline=None)
def test_near_a_target_is_near_and_beyond_it_is_beyond(language: str, below_70: float, below_54: float) -> None:
    exposed, targets = Exposure(1000, below_70, below_54), {54: BELOW_54_TARGET, 70: BELOW_70_TARGET}
    near, breach, of = _near_target(exposed), exposed.breach, LANGUAGES[language]
    assert near is None or breach is None, "a target is either nearly broken or broken, and it is said once"
    with using(language):
        if near is not None:
            found = re.search(of.near, rule_in_words(near))
            assert found and float(found[3]) == targets[int(found[2])]
            value = below_54 if found[2] == "54" else below_70
            assert close(found[1], value, 1) and NEAR * float(found[3]) < value < float(found[3])
        if breach is not None:
            found = re.search(of.broken, rule_in_words(breach))
            assert found and (below_54 if found[2] == "54" else below_70) >= float(found[3]) == targets[int(found[2])]
