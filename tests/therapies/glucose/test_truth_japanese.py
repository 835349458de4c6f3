"""What the product says is true in Japanese too: every sentence is held against the same numbers as in English.

The suggestions are those of `test_truth`, and so is how many are drawn; the readers here find the numbers where it has them.
"""

import re
from collections.abc import Callable

import hypothesis.strategies as st
from hypothesis import given, settings

from app import explained, wording
from careplan.display import Unit
from careplan.language import _, using
from careplan.suggestion import Line, Suggestion
from careplan.therapies.glucose import words
from careplan.therapies.glucose.bands import BELOW_54_TARGET, BELOW_70_TARGET, LOW
from careplan.therapies.glucose.decisions import Exposure
from careplan.therapies.glucose.lines import NEAR, _near_target
from careplan.therapies.glucose.rule_words import rule_in_words
from careplan.therapies.glucose.words import MG_DL, MMOL_L

from .test_truth import DRAWN, NUMBER, close, number, suggestions

NAMES = {"low": "低血糖", "high": "高血糖"}


@given(made=suggestions(), unit=st.sampled_from((MG_DL, MMOL_L)))
@settings(max_examples=DRAWN, deadline=None)
def test_every_sentence_agrees_with_its_numbers(made: Suggestion, unit: Unit) -> None:
    with using("ja"):
        said = words.said(made, unit)
        assert len({text for _, text in said}) == len(said), "nothing is said twice"
        for name, text in said:
            READERS[name](text, made, unit)
            japanese(text)
        for line in made.lines:
            because(words.because(line, made, unit), line, made)
            moved(wording.change(line.setting, line.current, line.proposed, unit), line)
            more = (line.proposed > line.current) == (line.setting in ("basal", "bolus", "temp_basal"))
            assert wording.direction(line.setting, line.current, line.proposed) == f"インスリンを{'増やす' if more else '減らす'}"
        drawn = explained.panel(made, unit) + explained.point(made, unit) + explained.table(made, unit)
        for driver in words.drivers(made):
            assert driver.about == "rest" or driver.text in drawn


def japanese(text: str) -> None:
    """Nothing but units is left in another language."""
    assert set(re.findall(r"[A-Za-z]{2,}", text)) <= {"mg", "dL", "mmol"}, text


def headline(text: str, made: Suggestion, unit: Unit) -> None:
    why = made.why
    assert why is not None
    if text.startswith("変更なし"):
        assert not made.lines
        if found := re.search(rf"リスクの改善は ({NUMBER}) で、変更に必要な ({NUMBER}) に達しません", text):
            assert why.runner_up is not None and why.runner_up > 0
            assert close(found[1], why.runner_up, 2) and number(found[2]) == why.worth
        else:
            assert (why.runner_up is None) == text.endswith("ほかに許容される案がありません")
            assert why.runner_up is None or (why.runner_up <= 0 and text.endswith("悪化すると予測されます"))
        return
    assert made.lines and why.sure is not None and text.startswith("提案の目的：")
    gains = dict.fromkeys(("low", "high", "in_range"), 0.0)
    for part in why.parts:
        side = "low" if "below" in part.outcome else "high" if "above" in part.outcome else part.outcome
        if side in gains:
            gains[side] += part.gain
    aims, _, price = text.partition("。その代わり、")
    for side, outcome in (("low", "below_70"), ("high", "above_180")):
        effect = why.sure.effects[outcome].mid
        if f"{NAMES[side]}を減らす" in aims:
            assert gains[side] > 0 and effect < 0
        if f"{NAMES[side]}を軽くする" in aims:
            assert gains[side] > 0 and effect >= 0
        mark, beyond = unit.text(words.aim(made).levels[side]), "未満" if side == "low" else "超"
        found = re.search(rf"{re.escape(mark)} {unit.name} {beyond}の時間が増えます（({NUMBER}) ポイント）", price)
        assert (found is not None) == (effect >= words.PRICES[outcome])
        assert found is None or close(found[1], effect, 1)
    within = why.sure.effects["in_range"].mid
    if "範囲の中央に近づける" in aims:
        assert gains["in_range"] > 0 and within >= 0
    found = re.search(rf"目標範囲内の時間が減ります（({NUMBER}) ポイント）", price)
    assert (found is not None) == (within <= -words.LESS_IN_RANGE)
    assert found is None or close(found[1], within, 1)


def drove(text: str, made: Suggestion, unit: Unit) -> None:
    assert made.why is not None
    total = sum(part.gain for part in made.why.parts)
    drivers, _, summed = text.rpartition("：リスク ")
    gains = [number(found) for found in re.findall(rf" ({NUMBER})(?:／|$)", drivers)]
    assert close(summed, total, 2) and abs(sum(gains) - total) <= 0.005 * (len(gains) + 1) + 1e-9
    for driver in words.drivers(made):
        if driver.about not in NAMES:
            continue
        name = NAMES[driver.about]
        better = driver.text.endswith((f"{name}が減る", f"{name}が軽くなる"))
        assert better == (driver.gain > 0) and better != driver.text.endswith((f"{name}が増える", f"{name}が重くなる"))
        if driver.moved is not None:
            assert driver.text.endswith("減る") <= (driver.moved[1] < driver.moved[0])
            assert driver.text.endswith("増える") <= (driver.moved[1] > driver.moved[0])


def sure(text: str, made: Suggestion, unit: Unit) -> None:
    assert made.why is not None and made.why.sure is not None
    found = re.search(r"(\d+) 通りの(?:将来の)?うち (\d+) 通りで、変更なしより良い結果", text)
    assert found and (int(found[1]), int(found[2])) == (made.why.sure.of, made.why.sure.better)
    assert text.startswith("最良の代替案は") == (not made.lines)
    for name, key in (("目標範囲内時間", "in_range"), (f"{unit.text(words.aim(made).levels['low'])} 未満", "below_70")):
        effect = made.why.sure.effects[key]
        found = re.search(rf"{re.escape(name)} ({NUMBER}) ポイント（90 %：({NUMBER})～({NUMBER})）", text)
        values = (effect.mid, effect.low, effect.high)
        assert found and all(close(found[place], value, 1) for place, value in enumerate(values, 1))


def runner_up(text: str, made: Suggestion, unit: Unit) -> None:
    assert made.why is not None and made.why.runner_up is not None
    assert text.startswith("基礎 +10 %（終日）／")
    found = re.search(rf"改善 ({NUMBER})(?:、この案は ({NUMBER}))?$", text)
    assert found and close(found[1], made.why.runner_up, 2) and (found[2] is not None) == bool(made.lines)
    assert found[2] is None or close(found[2], made.why.gain, 2)


def limits(text: str, made: Suggestion, unit: Unit) -> None:
    rules = {words.limits_in_words([breach], unit, words.aim(made))[0] for breach in made.limits_bound}
    rules = {rule.partition("（基礎")[0].partition("（糖質比")[0] for rule in rules}
    assert all(text.count(rule) == 1 for rule in rules), "each limit once"


def own_days(text: str, made: Suggestion, unit: Unit) -> None:
    assert made.why is not None
    for told, pattern in zip(text.split("／"), made.why.patterns, strict=True):
        assert told.startswith(NAMES[pattern.side])
        if not pattern.days:
            assert told.endswith("判断できるだけの測定値がある日がありません")
            continue
        assert f"{pattern.days} 日間で {len(pattern.seen)} 日" in told
        if pattern.seen:
            worst = (min if pattern.side == "low" else max)(one.level for one in pattern.seen)
            assert f"（{'最低' if pattern.side == 'low' else '最高'} {unit.text(worst)}、" in told


def like_now(text: str, made: Suggestion, unit: Unit) -> None:
    assert made.why is not None and made.why.moments is not None
    if not made.why.moments:
        assert text == "今と似た過去の状況はありません"
        return
    found = re.match(r"今と最も似た過去の (\d+) 回のうち、4 時間以内に低血糖 (\d+) 回、高血糖 (\d+) 回", text)
    given, levels = [one.given["bolus"] for one in made.why.moments], words.aim(made).levels
    assert found and int(found[1]) == len(given)
    assert int(found[2]) == sum(one.lowest < levels["low"] for one in made.why.moments)
    assert int(found[3]) == sum(one.highest > levels["high"] for one in made.why.moments)
    proposed = sum(line.proposed for line in made.lines if line.setting == "bolus" and line.start < 60)
    assert ("いずれよりも多い量" in text) == (round(proposed, 3) > max(given))


def risk(text: str, made: Suggestion, unit: Unit) -> None:
    assert made.why is not None and made.why.low_risk is not None
    found = re.search(rf"2 時間以内の測定値が {re.escape(unit.text(LOW))} {unit.name} 未満となるリスク：(\d+) %$", text)
    assert found and close(found[1], 100 * made.why.low_risk, 0)


def together(text: str, made: Suggestion, unit: Unit) -> None:
    kinds = {line.setting for line in made.lines}
    assert made.kind == "regimen" and len(kinds) > 1
    with using("ja"):
        assert text.startswith("、".join(_(words.SETTINGS[kind]) for kind in dict.fromkeys(line.setting for line in made.lines)))


READERS: dict[str, Callable[[str, Suggestion, Unit], None]] = {
    "要点": headline,
    "根拠": drove,
    "確からしさ": sure,
    "同時の変更": together,
    "次点案": runner_up,
    "適用された制限": limits,
    "患者自身の日々": own_days,
    "今と似た状況": like_now,
    "低血糖のリスク": risk,
}


def because(text: str, line: Line, made: Suggestion) -> None:
    if made.kind == "doses":
        return
    more = (line.proposed > line.current) == (line.setting == "basal")
    assert text.startswith("高血糖に対してインスリンを増やす" if more else "低血糖に対してインスリンを減らす")
    assert f"根拠となる日数 {line.days} 日" in text


def moved(text: str, line: Line) -> None:
    if text == "変更なし":
        return
    assert text.startswith("+" if line.proposed > line.current else "\N{MINUS SIGN}")
    found = re.search(rf"\(({NUMBER}) %\)", text)
    assert (found is None) == (line.current == 0)
    assert found is None or close(found[1], 100 * (line.proposed / line.current - 1), 0)


@given(below_70=st.floats(0, 30), below_54=st.floats(0, 10))
@settings(max_examples=DRAWN, deadline=None)
def test_near_a_target_is_near_and_beyond_it_is_beyond(below_70: float, below_54: float) -> None:
    exposed, targets = Exposure(1000, below_70, below_54), {54: BELOW_54_TARGET, 70: BELOW_70_TARGET}
    near, breach = _near_target(exposed), exposed.breach
    with using("ja"):
        if near is not None:
            told = rule_in_words(near)
            found = re.search(rf"測定値の ({NUMBER}) % が (54|70) mg/dL 未満で、目標の ({NUMBER}) % に近い値です", told)
            assert found and float(found[3]) == targets[int(found[2])]
            value = below_54 if found[2] == "54" else below_70
            assert close(found[1], value, 1) and NEAR * float(found[3]) < value < float(found[3])
        if breach is not None:
            told = rule_in_words(breach)
            found = re.search(rf"測定値の ({NUMBER}) % が (54|70) mg/dL 未満です（目標 ({NUMBER}) % 未満）", told)
            assert found and (below_54 if found[2] == "54" else below_70) >= float(found[3]) == targets[int(found[2])]
