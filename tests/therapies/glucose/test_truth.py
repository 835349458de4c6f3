"""What the product says is true: every sentence it can say of a suggestion is held against the numbers that it speaks of.

Suggestions of every kind are drawn; each sentence is read by its own reader here, which finds the numbers in the text and
compares them with the suggestion, and a sentence that no reader knows fails. A sample is drawn; with `CAREPLAN_SENTENCES=1000`
in the environment, as many.
"""

import math
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime

import hypothesis.strategies as st
from hypothesis import given, settings

from app import explained, wording
from careplan.breach import Breach
from careplan.display import Unit
from careplan.minutes import DAY
from careplan.suggestion import Interval, Line, Moment, Option, Part, Path, Pattern, Seen, Suggestion, Sureness, Why
from careplan.therapies.glucose import words
from careplan.therapies.glucose.bands import BELOW_54_TARGET, BELOW_70_TARGET, OLDER, PREGNANCY
from careplan.therapies.glucose.decisions import Exposure
from careplan.therapies.glucose.declaration import BLOCKS
from careplan.therapies.glucose.lines import NEAR, _near_target
from careplan.therapies.glucose.rule_words import rule_in_words
from careplan.therapies.glucose.words import MG_DL, MMOL_L

DRAWN = int(os.environ.get("CAREPLAN_SENTENCES", "100"))
NUMBER = r"[+\N{MINUS SIGN}-]?\d+(?:\.\d+)?"
SPANS = list(zip(BLOCKS, (*BLOCKS[1:], DAY), strict=True))
LAYERS = ("below_54", "below_70", "in_range", "above_180", "above_250")

small = st.floats(-3, 3).map(lambda value: round(value, 4))
share = st.floats(0, 100).map(lambda value: round(value, 2))


@st.composite
def intervals(draw: st.DrawFn, low: float = 0.0, high: float = 100.0) -> Interval:
    least, mid, most = sorted(draw(st.lists(st.floats(low, high), min_size=3, max_size=3)))
    return Interval(mid=mid, low=least, high=most)


@st.composite
def patterns(draw: st.DrawFn) -> Pattern:
    start, end = draw(st.sampled_from(SPANS))
    days = draw(st.integers(0, 14))
    count = draw(st.integers(0, days))
    side = draw(st.sampled_from(("low", "high")))
    level = st.floats(40, 69) if side == "low" else st.floats(181, 400)
    seen = tuple(
        Seen(date=f"2024-0{3 + day % 2}-{1 + day:02d}", minute=draw(st.integers(start, end - 1)), level=draw(level), minutes=30.0)
        for day in range(count)
    )
    return Pattern(side=side, start=start, end=end, days=days, seen=seen)  # type: ignore[arg-type]


@st.composite
def lines(draw: st.DrawFn, kind: str) -> tuple[Line, ...]:
    common = {"lowest": 0.0, "highest": 100.0, "absolute_low": 0.0, "absolute_high": 500.0, "days": draw(st.integers(1, 14))}
    if kind == "doses":
        units = draw(st.floats(0.05, 15)) if draw(st.booleans()) else 0.0
        rate = draw(st.sampled_from((0.0, 0.5, 1.0, 2.0)))
        bolus = Line(
            key="bolus@0", setting="bolus", start=0, end=0, unit="U", current=0.0, proposed=round(units, 2), why="w", **common
        )
        basal = Line(
            key="temp_basal@30", setting="temp_basal", start=30, end=60, unit="x", current=1.0, proposed=rate, why="w", **common
        )
        return (*((bolus,) if bolus.proposed else ()), *((basal,) if rate != 1.0 else ()))
    made = []
    for setting in draw(st.sets(st.sampled_from(("basal", "carb_ratio", "correction_factor")), max_size=3)):
        start, end = draw(st.sampled_from(SPANS))
        current = draw(st.floats(0.3, 60))
        proposed = current * draw(st.sampled_from((0.7, 0.8, 0.9, 1.1, 1.2)))
        more = (proposed > current) == (setting == "basal")
        why = f"{'more' if more else 'less'} insulin against {'highs' if more else 'lows'}"
        key = f"{setting}@{start}"
        made.append(
            Line(key=key, setting=setting, start=start, end=end, unit="", current=current, proposed=proposed, why=why, **common)
        )
    return tuple(made)


@st.composite
def suggestions(draw: st.DrawFn) -> Suggestion:
    kind = draw(st.sampled_from(("regimen", "doses")))
    changed = draw(lines(kind))
    spans = SPANS if kind == "regimen" else [(60 * hour, 60 * (hour + 1)) for hour in range(4)]
    parts = [
        Part(outcome=outcome, start=start, end=end, gain=draw(small), before=draw(share), after=draw(share))
        for start, end in draw(st.lists(st.sampled_from(spans), unique=True, max_size=3))
        for outcome in LAYERS
    ]
    whole = (spans[0][0], spans[-1][1])
    parts.append(Part(outcome="change", start=whole[0], end=whole[1], gain=-abs(draw(small))))
    parts.append(
        Part(outcome="budget below_70", start=whole[0], end=whole[1], gain=draw(small), before=draw(share), after=draw(share))
    )
    gain = sum(part.gain for part in parts)
    of = draw(st.integers(1, 16))
    effects = {name: draw(intervals(-20, 20)) for name in ("in_range", "below_70", "above_180", "mean")}
    runner_up = draw(st.none() | small)
    moments = None
    if kind == "doses":
        moments = tuple(
            Moment(
                date=f"2024-03-{1 + place:02d}",
                minute=draw(st.integers(0, DAY - 1)),
                level=draw(st.floats(60, 300)),
                given={"bolus": round(draw(st.floats(0, 10)), 2), "carbs": float(draw(st.integers(0, 90)))},
                lowest=draw(st.floats(40, 120)),
                highest=draw(st.floats(121, 400)),
            )
            for place in range(draw(st.integers(0, 5)))
        )
    why = Why(
        gain=gain if changed else 0.0,
        runner_up=runner_up,
        worth=0.2,
        parts=tuple(parts) if changed or runner_up is not None else (),
        sure=Sureness(better=draw(st.integers(0, of)), of=of, effects=effects) if changed or runner_up is not None else None,
        low_risk=draw(st.none() | st.floats(0, 1)),
        patterns=tuple(draw(st.lists(patterns(), max_size=3))) if kind == "regimen" else (),
        moments=moments,
    )
    path = Path(minutes=(15.0,), mid=(120.0,), low=(100.0,), high=(150.0,))
    names = (["proposed"] if changed else []) + (["runner-up"] if runner_up is not None else []) + ["no change"]
    options = tuple(
        Option(
            name=name,
            path=path,
            outcomes={key: draw(intervals()) for key in ("in_range", "below_70")},
            does="basal +10 % all day",
        )
        for name in names
    )
    return Suggestion(
        id=1,
        patient="ann",
        kind=kind,  # type: ignore[arg-type]
        created=datetime(2024, 3, 16, tzinfo=UTC),
        at=datetime(2024, 3, 16, tzinfo=UTC),
        abstained=False,
        reasons=(),
        lines=changed,
        options=options,
        limits_bound=tuple(draw(st.lists(breaches(), max_size=4))),
        banners=(),
        provenance={},
        why=why,
        targets=draw(st.sampled_from((None, OLDER, PREGNANCY))),
    )


@st.composite
def breaches(draw: st.DrawFn) -> Breach:
    rule = draw(st.sampled_from(("evidence", "change in one visit", "low-level target", "budget below_70", "max_dose", "floor")))
    key = f"{draw(st.sampled_from(('basal', 'carb_ratio')))}@{draw(st.sampled_from(BLOCKS))}"
    numbers = {"evidence": {"days": float(draw(st.integers(0, 3))), "needed": 7.0}, "change in one visit": {"most": 0.2}}.get(
        rule, {}
    )
    return Breach(rule, key if numbers or rule == "low-level target" else "", numbers)


def number(text: str) -> float:
    return float(text.replace("\N{MINUS SIGN}", "-"))


def close(said: str, value: float, digits: int) -> bool:
    return math.isclose(number(said), round(value, digits), abs_tol=0.51 * 10**-digits)


@given(made=suggestions(), unit=st.sampled_from((MG_DL, MMOL_L)))
@settings(max_examples=DRAWN, deadline=None)
def test_every_sentence_agrees_with_its_numbers(made: Suggestion, unit: Unit) -> None:
    said = words.said(made, unit)
    assert len({text for _, text in said}) == len(said), "nothing is said twice"
    for name, text in said:
        READERS[name](text, made, unit)
    for line in made.lines:
        because(words.because(line, made, unit), line, made, unit)
        moved(wording.change(line.setting, line.current, line.proposed, unit), line)
        assert wording.direction(line.setting, line.current, line.proposed) in ("more insulin", "less insulin")
    drawn = explained.panel(made, unit) + explained.point(made, unit) + explained.table(made, unit) + explained.days(made, unit)
    for driver in words.drivers(made):
        assert driver.about == "rest" or driver.text[1:] in drawn


def headline(text: str, made: Suggestion, unit: Unit) -> None:
    why = made.why
    assert why is not None
    if text.startswith("no change"):
        assert not made.lines
        if found := re.search(rf"would gain ({NUMBER}) in risk, where a change must gain ({NUMBER})", text):
            assert why.runner_up is not None and why.runner_up > 0
            assert close(found[1], why.runner_up, 2) and number(found[2]) == why.worth
        else:
            assert (why.runner_up is None) == text.endswith("nothing else was allowed")
            assert why.runner_up is None or (why.runner_up <= 0 and text.endswith("is predicted to be worse"))
        return
    assert made.lines and why.sure is not None
    sums = {side: 0.0 for side in ("low", "high", "in_range")}
    for part in why.parts:
        side = {"below_54": "low", "below_70": "low", "budget below_70": "low", "above_180": "high", "above_250": "high"}.get(
            part.outcome
        )
        if (side or part.outcome) in sums:
            sums[side or part.outcome] += part.gain
    aims, _, price = text.partition(", at the price of ")
    for side, outcome in (("low", "below_70"), ("high", "above_180")):
        if f"fewer {side}s" in aims:
            assert sums[side] > 0 and why.sure.effects[outcome].mid < 0
        if f"milder {side}s" in aims:
            assert sums[side] > 0 and why.sure.effects[outcome].mid >= 0
    within = why.sure.effects["in_range"].mid
    if "nearer the middle" in aims:
        assert sums["in_range"] > 0 and within >= 0
    found = re.search(rf"less time in range \(({NUMBER}) points\)", price)
    assert (found is not None) == (within <= -words.LESS_IN_RANGE)
    assert found is None or close(found[1], within, 1)
    for side, outcome in (("below", "below_70"), ("above", "above_180")):
        mark = unit.text(words.aim(made).levels["low" if side == "below" else "high"])
        found = re.search(rf"more time {side} {re.escape(mark)} {re.escape(unit.name)} \(({NUMBER}) points\)", price)
        effect = why.sure.effects[outcome].mid
        assert (found is not None) == (effect >= words.PRICES[outcome])
        assert found is None or close(found[1], effect, 1)


def drove(text: str, made: Suggestion, unit: Unit) -> None:
    assert made.why is not None
    drivers, _, total = text.rpartition(": ")
    gains = [number(found) for found in re.findall(rf"({NUMBER})(?:;|$)", drivers)]
    found = re.match(rf"({NUMBER}) in risk$", total)
    assert found and close(found[1], sum(part.gain for part in made.why.parts), 2)
    assert math.isclose(sum(gains), sum(part.gain for part in made.why.parts), abs_tol=0.005 * (len(gains) + 1) + 1e-9)
    for driver in words.drivers(made):
        for side in ("low", "high"):
            if driver.text.startswith((f"fewer {side}s", f"milder {side}s")):
                assert driver.gain > 0
            if driver.text.startswith((f"more {side}s", f"graver {side}s")):
                assert driver.gain <= 0
        if driver.moved is not None and driver.about in ("low", "high"):
            assert driver.text.startswith("fewer") <= (driver.moved[1] < driver.moved[0])
            assert driver.text.startswith("more") <= (driver.moved[1] > driver.moved[0])


def sure(text: str, made: Suggestion, unit: Unit) -> None:
    assert made.why is not None and made.why.sure is not None
    found = re.search(r"better than no change in (\d+) of (\d+)", text)
    assert found and (int(found[1]), int(found[2])) == (made.why.sure.better, made.why.sure.of)
    assert text.startswith("the best alternative is") == (not made.lines)
    for name, key in (("time in range", "in_range"), (f"below {unit.text(words.aim(made).levels['low'])}", "below_70")):
        effect = made.why.sure.effects[key]
        found = re.search(rf"{re.escape(name)} ({NUMBER}) points \(90 %: ({NUMBER}) to ({NUMBER})\)", text)
        assert found and all(
            close(found[place], value, 1) for place, value in enumerate((effect.mid, effect.low, effect.high), 1)
        )


def runner_up(text: str, made: Suggestion, unit: Unit) -> None:
    assert made.why is not None and made.why.runner_up is not None
    found = re.search(rf"it gains ({NUMBER})(?:, this ({NUMBER}))?$", text)
    assert found and close(found[1], made.why.runner_up, 2) and (found[2] is not None) == bool(made.lines)
    assert found[2] is None or close(found[2], made.why.gain, 2)


def limits(text: str, made: Suggestion, unit: Unit) -> None:
    rules = {words.limits_in_words([breach], unit, words.aim(made))[0].partition(" (")[0] for breach in made.limits_bound}
    assert all(text.count(rule) == 1 for rule in rules), "each limit once"
    assert not re.search(r"\b1 days\b", text)


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def own_days(text: str, made: Suggestion, unit: Unit) -> None:
    assert made.why is not None
    for told, pattern in zip(text.split("; "), made.why.patterns, strict=True):
        if not pattern.days:
            assert told.endswith("no day has enough readings to tell")
            continue
        many = counted(pattern.days, "day")
        if not pattern.seen:
            assert told.endswith(f"on none of {many}")
        else:
            assert f"on {len(pattern.seen)} of {many}:" in told
            worst = (min if pattern.side == "low" else max)(one.level for one in pattern.seen)
            extreme = "lowest" if pattern.side == "low" else "highest"
            assert f"({extreme} {unit.text(worst)} at" in told


def like_now(text: str, made: Suggestion, unit: Unit) -> None:
    assert made.why is not None and made.why.moments is not None
    if not made.why.moments:
        assert text == "no past moment was like this one"
        return
    found = re.match(r"of the (?:one|(\d+)) past moments? most like this, (\d+) had a low and (\d+) a high", text)
    given = [one.given["bolus"] for one in made.why.moments]
    assert found and int(found[1] or 1) == len(given)
    assert int(found[2]) == sum(one.lowest < words.aim(made).levels["low"] for one in made.why.moments)
    assert int(found[3]) == sum(one.highest > words.aim(made).levels["high"] for one in made.why.moments)
    proposed = sum(line.proposed for line in made.lines if line.setting == "bolus" and line.start < 60)
    assert ("more than at any of them" in text) == (round(proposed, 3) > max(given))


def risk(text: str, made: Suggestion, unit: Unit) -> None:
    assert made.why is not None and made.why.low_risk is not None
    found = re.search(rf"below {re.escape(unit.text(70))} {re.escape(unit.name)} within two hours, .*: (\d+) %$", text)
    assert found and close(found[1], 100 * made.why.low_risk, 0)


def together(text: str, made: Suggestion, unit: Unit) -> None:
    kinds = {line.setting for line in made.lines}
    assert made.kind == "regimen" and len(kinds) > 1
    assert all(words.SETTINGS[kind].lower() in text for kind in kinds)


READERS: dict[str, Callable[[str, Suggestion, Unit], None]] = {
    "In short": headline,
    "What drove it": drove,
    "How sure": sure,
    "Together": together,
    "Runner-up": runner_up,
    "Limits that bound it": limits,
    "Own days": own_days,
    "Like now": like_now,
    "Risk of a low": risk,
}


def because(text: str, line: Line, made: Suggestion, unit: Unit) -> None:
    if made.kind == "doses":
        return
    more = (line.proposed > line.current) == (line.setting == "basal")
    assert text.startswith("more insulin against highs" if more else "less insulin against lows")
    assert text.endswith(f". {counted(line.days, 'day')} of evidence")
    assert ("on none of" in text) == ("though there were none in these hours" in text)


def moved(text: str, line: Line) -> None:
    """A change says its sign and its percent; none where none can be seen at the precision shown."""
    if text == "no change":
        return
    assert text.startswith("+" if line.proposed > line.current else "\N{MINUS SIGN}")
    found = re.search(rf"\(({NUMBER}) %\)", text)
    assert (found is None) == (line.current == 0)
    assert found is None or close(found[1], 100 * (line.proposed / line.current - 1), 0)


@given(below_70=st.floats(0, 30), below_54=st.floats(0, 10))
@settings(max_examples=DRAWN, deadline=None)
def test_near_a_target_is_near_and_beyond_it_is_beyond(below_70: float, below_54: float) -> None:
    exposed = Exposure(1000, below_70, below_54)
    near, breach = _near_target(exposed), exposed.breach
    assert near is None or breach is None, "a target is either nearly broken or broken, and it is said once"
    if near is not None:
        found = re.search(
            rf"({NUMBER}) % of readings were below (54|70) mg/dL, near the target of ({NUMBER}) %", rule_in_words(near)
        )
        assert found and float(found[3]) == {54: BELOW_54_TARGET, 70: BELOW_70_TARGET}[int(found[2])]
        value = below_54 if found[2] == "54" else below_70
        assert close(found[1], value, 1) and NEAR * float(found[3]) < value < float(found[3])
    if breach is not None:
        found = re.search(
            rf"({NUMBER}) % of readings are below (54|70) mg/dL \(target under ({NUMBER}) %\)", rule_in_words(breach)
        )
        assert found and (below_54 if found[2] == "54" else below_70) >= float(found[3])
