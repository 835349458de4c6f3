"""A suggestion in words: templates filled with its stored numbers, the same for every face. Pure; glucose is mg/dL inside."""

import re
from collections.abc import Iterable, Mapping
from datetime import date
from functools import reduce
from itertools import groupby
from typing import NamedTuple

from careplan.breach import Breach
from careplan.display import SEMICOLON, Unit, clock, listed, signed
from careplan.language import N_, _, month, ngettext, retold
from careplan.minutes import DAY
from careplan.suggestion import Interval, Kind, Line, Moment, Part, Pattern, Suggestion
from careplan.targets import Targets
from careplan.therapies.glucose.bands import ADULTS, LEVELS, LOW, VERY_HIGH
from careplan.therapies.glucose.names import LEAST, SIDES, raises_insulin
from careplan.therapies.glucose.names import MG_DL as MG_DL
from careplan.therapies.glucose.names import MMOL_L as MMOL_L
from careplan.therapies.glucose.names import SETTINGS as SETTINGS
from careplan.therapies.glucose.phrases import AIMS, DOES, DRIVERS, LIMIT_WORDS, MILDER, OF_SETTINGS, OUTCOMES, SURE
from careplan.therapies.glucose.rule_words import rule_in_words

SHOWN = 4  # drivers told one by one
MOVED = {"low": "below_70", "budget": "below_70", "high": "above_180", "in_range": "in_range"}
PRICES = {"below_70": 0.5, "above_180": 1.0}  # % points of time from which an effect is a price to name
LESS_IN_RANGE = 1.0  # the same of what is lost in range

CHANGE = re.compile(r"(basal|carb ratio|correction factor|long acting) (.+?) %(?:( all day)| from (.+))?")  # as `DOES` says it


class Driver(NamedTuple):
    """What moved the score in one stretch, the largest first: positive for the change. about: "low" or "high", or what else."""

    about: str
    gain: float
    text: str
    moved: tuple[float, float] | None  # % of it in `MOVED[about]`, under no change and under the change
    pattern: Pattern | None  # the patient's own days


def drivers(suggestion: Suggestion) -> list[Driver]:
    """The parts of the gain, lows and highs by stretch and the rest over the whole; the smallest together at the end."""
    parts = () if suggestion.why is None else suggestion.why.parts
    whole = (min((part.start for part in parts), default=0), max((part.end for part in parts), default=0))
    sums: dict[tuple[str, int, int], float] = {}
    time: dict[tuple[str, int, int], list[Part]] = {}
    for part in parts:
        side = SIDES.get(part.outcome)
        key = (side, part.start, part.end) if side else (part.outcome.partition(" ")[0], *whole)
        sums[key] = sums.get(key, 0.0) + part.gain
        if part.outcome.removeprefix("budget ") == MOVED.get(key[0]):
            time.setdefault(key, []).append(part)
    ordered = sorted(sums.items(), key=lambda item: -abs(item[1]))
    least = LEAST * sum(abs(gain) for gain in sums.values())
    told = [(key, gain) for key, gain in ordered[:SHOWN] if abs(gain) > least]
    moved = {key: _moved(time.get(key, [])) for key, _ in told}
    found = [
        Driver(key[0], gain, _driver(*key, gain, moved[key], suggestion.kind), moved[key], pattern_of(suggestion, *key))
        for key, gain in told
    ]
    rest = sum(gain for _, gain in ordered[len(told) :])
    return [*found, Driver("rest", rest, _("everything else"), None, None)] if len(ordered) > len(told) else found


def _moved(parts: list[Part]) -> tuple[float, float] | None:
    """The mean over stretches, each by its length."""
    known = [(part.end - part.start, part.before, part.after) for part in parts if part.before is not None]
    minutes = sum(length for length, _, _ in known)
    if not minutes:
        return None
    before, after = (sum(part[0] * (part[place] or 0.0) for part in known) / minutes for place in (1, 2))
    return before, after


def _driver(about: str, start: int, end: int, gain: float, moved: tuple[float, float] | None, kind: Kind) -> str:
    """A gain is in risk: where there is no less time of it, what is better is milder, and what is worse is graver."""
    better = gain > 0
    if about in ("low", "high"):
        as_said = moved is None or (moved[1] < moved[0] if better else moved[1] > moved[0])
        word = ("fewer" if better else "more") if as_said else ("milder" if better else "graver")
        return _(DRIVERS[word, about], where=time_span(start, end, kind))
    nearer, further = _("glucose nearer the middle of the range"), _("glucose further from the middle of the range")
    less, more = _("less time beyond the budgets for lows"), _("more time beyond the budgets for lows")
    return {
        "in_range": nearer if better else further,
        "budget": less if better else more,
        "change": _("the cost of a change"),
    }[about]


def pattern_of(suggestion: Suggestion, about: str, start: int, end: int) -> Pattern | None:
    patterns = () if suggestion.why is None else suggestion.why.patterns
    side = "low" if about == "budget" else about
    return next((one for one in patterns if (one.side, one.start, one.end) == (side, start, end)), None)


# The sentences


def said(suggestion: Suggestion, unit: Unit) -> list[tuple[str, str]]:
    """Everything there is to say, each under its heading, in the order to read it."""
    why = suggestion.why
    if why is None:
        return []
    moved = listed((f"{driver.text} {signed(driver.gain, 2)}" for driver in drivers(suggestion)), SEMICOLON)
    gain = signed(sum(part.gain for part in why.parts), 2)
    found = [
        (_("In short"), headline(suggestion, unit)),
        (_("What drove it"), _("{drivers}: {gain} in risk", drivers=moved, gain=gain) if moved else ""),
        (_("How sure"), sureness_in_words(suggestion, unit)),
        (_("Together"), together(suggestion)),
        (_("Runner-up"), runner_up(suggestion)),
        (_("Limits that bound it"), listed(limits_in_words(suggestion.limits_bound, unit, aim(suggestion)), SEMICOLON)),
        (_("Own days"), listed((days(pattern, unit) for pattern in why.patterns), SEMICOLON)),
        (_("Like now"), listed([moments_in_words(suggestion), *(moment(one, unit) for one in why.moments or ())], SEMICOLON)),
        (_("Risk of a low"), "" if why.low_risk is None else risk_of_low(why.low_risk, unit)),
    ]
    return [(name, text) for name, text in found if text]


def headline(suggestion: Suggestion, unit: Unit) -> str:
    """The point, in one sentence: what it is for, and its price where glucose is lower, or higher, for longer."""
    why = suggestion.why
    if suggestion.abstained or why is None:
        return ""
    if suggestion.lines:
        sums: dict[str, float] = {}
        for part in why.parts:
            about = "low" if part.outcome.startswith("budget ") else SIDES.get(part.outcome, part.outcome)
            sums[about] = sums.get(about, 0.0) + part.gain
        more = {} if why.sure is None else {key: why.sure.effects[key].mid for key in PRICES if key in why.sure.effects}
        aims = {**AIMS, **{about: text for about, text in MILDER.items() if more.get(MOVED[about], -1.0) >= 0}}
        within = 0.0 if why.sure is None or "in_range" not in why.sure.effects else why.sure.effects["in_range"].mid
        if within < 0:  # nobody would call it nearer the middle of the range
            del aims["in_range"]
        wins = [_(aims[about]) for about in sorted(sums, key=lambda about: -sums[about]) if about in aims and sums[about] > 0]
        levels = aim(suggestion).levels
        prices = [_price(key, effect, unit, levels) for key, effect in more.items() if effect >= PRICES[key]]
        prices += [_("less time in range ({points} points)", points=signed(within, 1))] if within <= -LESS_IN_RANGE else []
        price = _both(prices)
        goal = _both(wins[:2]) or _("less risk")
        if price:
            return _("proposed for {aim}, at the price of {price}", aim=goal, price=price)
        return _("proposed for {aim}", aim=goal)
    if why.runner_up is None:
        return _("no change: nothing else was allowed")
    if why.runner_up <= 0:
        return _("no change: the best alternative is predicted to be worse")
    return _(
        "no change: the best alternative would gain {gain:.2f} in risk, where a change must gain {worth:g}",
        gain=why.runner_up,
        worth=why.worth,
    )


def _price(key: str, effect: float, unit: Unit, levels: Mapping[str, float]) -> str:
    told, edge = N_("more time below {level} {unit} ({points} points)"), "low"
    if key == "above_180":
        told, edge = N_("more time above {level} {unit} ({points} points)"), "high"
    return _(told, level=unit.text(levels[edge]), unit=unit.name, points=signed(effect, 1))


def _both(parts: list[str]) -> str:
    return reduce(lambda one, other: _("{one} and {other}", one=one, other=other), parts) if parts else ""


def option_in_words(suggestion: Suggestion, option: str = "proposed") -> str:
    """What an option gives or changes."""
    return next((option_retold(one.does) for one in suggestion.options if one.name == option), "")


def option_retold(text: str) -> str:
    """What an option does, as it is stored, in the reader's language."""
    return listed(_part(part) for part in re.split(r", (?=[a-z]|[\d.]+ U )", text))


def _part(text: str) -> str:
    """A dose, or how a setting changes: its name may be two words, so it is found by its name."""
    if (found := CHANGE.fullmatch(text)) is None:
        return retold(text, *DOES)
    setting, percent, everywhere, starts = found.groups()
    told = DOES[0] if everywhere else DOES[1] if starts else DOES[2]
    return _(told, setting=_(setting), percent=retold(percent, *OF_SETTINGS), times=starts)


def sureness_in_words(suggestion: Suggestion, unit: Unit) -> str:
    """In how many particles it is better (for doses each is also a draw of what may come), and its effect, 90 % interval."""
    found = None if suggestion.why is None else suggestion.why.sure
    if found is None:
        return ""
    names = {"in_range": _("time in range"), "below_70": _("below {level}", level=unit.text(aim(suggestion).levels["low"]))}
    effects = [_points(name, found.effects[key]) for key, name in names.items() if key in found.effects]
    better = _(SURE[suggestion.kind == "doses", bool(suggestion.lines)], better=found.better, of=found.of)
    return listed([better, *effects], SEMICOLON)


def _points(name: str, effect: Interval) -> str:
    mid, low, high = (signed(value, 1) for value in (effect.mid, effect.low, effect.high))
    return _("{name} {mid} points (90 %: {low} to {high})", name=name, mid=mid, low=low, high=high)


def runner_up(suggestion: Suggestion) -> str:
    """What the second best would do and give."""
    option = next((one for one in suggestion.options if one.name == "runner-up"), None)
    if suggestion.why is None or suggestion.why.runner_up is None or option is None:
        return ""
    names = {"in_range": N_("{share:.1f} % in range"), "below_70": N_("{share:.1f} % low")}
    given = listed(_(name, share=option.outcomes[key].mid) for key, name in names.items() if key in option.outcomes)
    gain, own = signed(suggestion.why.runner_up, 2), signed(suggestion.why.gain, 2)
    gains = _("it gains {gain}, this {own}", gain=gain, own=own) if suggestion.lines else _("it gains {gain}", gain=gain)
    return listed([option_retold(option.does), given, gains], SEMICOLON)


def days(pattern: Pattern, unit: Unit) -> str:
    """The patient's own days with a pattern, by date, and the worst of them."""
    low, whole = pattern.side == "low", (pattern.start, pattern.end) == (0, DAY)
    where = _("at some time of the day") if whole else time_span(pattern.start, pattern.end)
    if not pattern.days:
        unknown = N_("low {where}: no day has enough readings to tell"), N_("high {where}: no day has enough readings to tell")
        return _(unknown[0 if low else 1], where=where)
    count = pattern.days
    if not pattern.seen:
        if low:
            return ngettext("low {where} on none of {count} day", "low {where} on none of {count} days", count, where=where)
        return ngettext("high {where} on none of {count} day", "high {where} on none of {count} days", count, where=where)
    worst = (min if low else max)(pattern.seen, key=lambda one: one.level)
    told = (
        ngettext(
            "low {where} on {seen} of {count} day",
            "low {where} on {seen} of {count} days",
            count,
            where=where,
            seen=len(pattern.seen),
        )
        if low
        else ngettext(
            "high {where} on {seen} of {count} day",
            "high {where} on {seen} of {count} days",
            count,
            where=where,
            seen=len(pattern.seen),
        )
    )
    return _(
        N_("{told}: {dates} (lowest {level} at {time} on {date})")
        if low
        else N_("{told}: {dates} (highest {level} at {time} on {date})"),
        told=told,
        dates=dates_in_words(one.date for one in pattern.seen),
        level=unit.text(worst.level),
        time=clock(worst.minute),
        date=dates_in_words([worst.date]),
    )


def dates_in_words(days: Iterable[str]) -> str:
    """ISO dates as "3, 5, 9 May, 1 Jun"."""
    parsed = sorted(date.fromisoformat(day) for day in days)
    months = [(name, [str(day.day) for day in group]) for name, group in groupby(parsed, key=month)]
    return listed(_("{days} {month}", days=listed(numbers), month=name) for name, numbers in months)


def because(line: Line, suggestion: Suggestion, unit: Unit) -> str:
    """Why one line is proposed, with the patient's own days where they are stored."""
    if suggestion.kind == "doses":
        return retold(line.why)
    pattern = pattern_of(suggestion, "high" if raises_insulin(line, line.proposed) else "low", line.start, line.end)
    why, evidence = retold(line.why), ngettext("{count} day of evidence", "{count} days of evidence", line.days)
    if pattern is None:
        return _("{why}. {evidence}", why=why, evidence=evidence)
    if pattern.days and not pattern.seen:  # they are predicted, or lie in other hours that the setting reaches
        return _(
            "{why}, though there were none in these hours: {seen}. {evidence}",
            why=why,
            seen=days(pattern, unit),
            evidence=evidence,
        )
    return _("{why}: {seen}. {evidence}", why=why, seen=days(pattern, unit), evidence=evidence)


def together(suggestion: Suggestion) -> str:
    """That several kinds of setting change at once, and what that costs who judges what follows; empty of one kind."""
    kinds = list(dict.fromkeys(line.setting for line in suggestion.lines))
    if suggestion.kind != "regimen" or len(kinds) < 2:
        return ""
    *others, last = [_(SETTINGS[kind]).lower() for kind in kinds]
    names = _("{one} and {other}", one=listed(others), other=last)
    return _("{settings} change together, so what follows cannot be put down to one of them", settings=names)


def moments_in_words(suggestion: Suggestion) -> str:
    """What followed the past moments most like this one, and what was given then beside what is proposed."""
    found = None if suggestion.why is None else suggestion.why.moments
    if found is None:
        return ""
    if not found:
        return _("no past moment was like this one")
    levels = aim(suggestion).levels
    low, high = sum(one.lowest < levels["low"] for one in found), sum(one.highest > levels["high"] for one in found)
    given = sorted({min(one.given["bolus"] for one in found), max(one.given["bolus"] for one in found)})
    proposed = round(sum(line.proposed for line in suggestion.lines if line.setting == "bolus" and line.start < 60), 3)
    followed = (
        N_("of the one past moment most like this, {low} had a low and {high} a high within four hours")
        if len(found) == 1
        else N_("of the {count} past moments most like this, {low} had a low and {high} a high within four hours")
    )
    then = f"{given[0]:g}" if len(given) == 1 else _("{least:g} to {most:g}", least=given[0], most=given[-1])
    beside = (
        N_("{then} U were given in the hour then, {proposed:g} U are proposed for this one, more than at any of them")
        if proposed > given[-1]
        else N_("{then} U were given in the hour then, {proposed:g} U are proposed for this one")
    )
    return listed([_(followed, count=len(found), low=low, high=high), _(beside, then=then, proposed=proposed)], SEMICOLON)


def moment(one: Moment, unit: Unit) -> str:
    bolus, carbs = one.given["bolus"], one.given["carbs"]
    given = _both([f"{bolus:g} U"] * bool(bolus) + [f"{carbs:g} g"] * bool(carbs))
    return _(
        "{date} {time} at {level}: {given} within the hour, then {lowest} to {highest}",
        date=dates_in_words([one.date]),
        time=clock(one.minute),
        level=unit.text(one.level),
        given=given or _("nothing"),
        lowest=unit.text(one.lowest),
        highest=unit.text(one.highest),
    )


def risk_of_low(share: float, unit: Unit) -> str:
    return _(
        "risk of a reading below {level} {unit} within two hours, everyone behaving as usual: {share:.0f} %",
        level=unit.text(LOW),
        unit=unit.name,
        share=100 * share,
    )


def risk_of_high(share: float, unit: Unit) -> str:
    return _(
        "risk of a reading above {level} {unit} within two hours, everyone behaving as usual: {share:.0f} %",
        level=unit.text(VERY_HIGH),
        unit=unit.name,
        share=100 * share,
    )


def limits_in_words(bound: Iterable[Breach], unit: Unit, targets: Targets = ADULTS) -> list[str]:
    """Each limit once, with the settings it bound: "3 days of evidence, 5 needed (carb ratio from 00:00, 06:00)"."""
    found: dict[str, dict[str, list[str]]] = {}
    for breach in bound:
        text = _(LIMIT_WORDS[breach.rule], **marks(unit, targets)) if breach.rule in LIMIT_WORDS else rule_in_words(breach)
        places = found.setdefault(text, {})
        setting, at, start = breach.key.partition("@")
        if at:
            places.setdefault(_(SETTINGS.get(setting, setting)).lower(), []).append(clock(int(start)))
    said = []
    for rule, places in found.items():
        alike: dict[str, list[str]] = {}
        for setting, starts in places.items():
            alike.setdefault(listed(starts), []).append(setting)
        where = listed(
            (_("{settings} from {times}", settings=listed(some), times=starts) for starts, some in alike.items()), SEMICOLON
        )
        said.append(_("{rule} ({where})", rule=rule, where=where) if where else rule)
    return said


def aim(suggestion: Suggestion) -> Targets:
    """What was aimed at when a suggestion was made."""
    return suggestion.targets or ADULTS


def outcome(name: str, unit: Unit, targets: Targets = ADULTS) -> str:
    """An outcome or a charge, as a table names it."""
    return _(OUTCOMES.get(name, name.replace("_", " ").capitalize()), **marks(unit, targets))


def marks(unit: Unit, targets: Targets = ADULTS) -> dict[str, str]:
    return {**{name: unit.text(targets.levels[name]) for name in LEVELS}, "unit": unit.name}


# Times and numbers


def time_span(start: int, end: int, kind: Kind = "regimen") -> str:
    """Part of a day, or of the hours ahead."""
    if kind == "doses":
        return _("{start:g} to {end:g} h ahead", start=start / 60, end=end / 60)
    return _("all day") if (start, end) == (0, DAY) else f"{clock(start)}-{clock(end)}"
