"""A suggestion in words: templates filled with its stored numbers, the same for every face. Pure; glucose is mg/dL inside."""

from collections.abc import Iterable, Mapping
from datetime import date
from itertools import groupby
from typing import NamedTuple

from careplan.breach import Breach
from careplan.display import Unit, clock, signed
from careplan.minutes import DAY
from careplan.suggestion import Interval, Kind, Line, Moment, Part, Pattern, Suggestion
from careplan.targets import Targets
from careplan.therapies.glucose.bands import ADULTS, LEVELS, LOW, VERY_HIGH
from careplan.therapies.glucose.decisions import raises_insulin
from careplan.therapies.glucose.evidence import LEAST, SIDES
from careplan.therapies.glucose.names import MG_DL as MG_DL
from careplan.therapies.glucose.names import MMOL_L as MMOL_L
from careplan.therapies.glucose.names import SETTINGS as SETTINGS
from careplan.therapies.glucose.rule_words import rule_in_words

SHOWN = 4  # drivers told one by one

LIMITS: Mapping[str, str] = {  # of those rules that are said otherwise beside a suggestion
    "max_dose": "the largest bolus allowed",
    "max_on_board": "the most insulin on board allowed",
    "min_spacing": "the least time between boluses",
    "floor": "glucose too low for more insulin",
    "max_rate": "the highest basal rate allowed",
    "max_rate_ratio": "the highest temporary basal allowed",
    "budget below_70": "the budget for time below {low} {unit}",
    "budget below_54": "the budget for time below {very_low} {unit}",
    "low-level target": "more insulin where lows already miss their target",
}

AIMS = {
    "low": "fewer lows",
    "high": "fewer highs",
    "in_range": "glucose nearer the middle of the range",
    "budget": "lows within budget",
}
MOVED = {"low": "below_70", "budget": "below_70", "high": "above_180", "in_range": "in_range"}
PRICES = {"below_70": 0.5, "above_180": 1.0}  # % points of time from which an effect is a price to name
OUTCOMES: Mapping[str, str] = {
    "in_range": "In range",
    "below_70": "Below {low}",
    "below_54": "Below {very_low}",
    "above_180": "Above {high}",
    "above_250": "Above {very_high}",
    "mean": "Mean",
    "risk": "Mean risk",
    "change": "Cost of a change",
    "budget below_70": "Beyond the budget below {low}",
    "budget below_54": "Beyond the budget below {very_low}",
}


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
    return [*found, Driver("rest", rest, "everything else", None, None)] if len(ordered) > len(told) else found


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
        return f"{word} {about}s {stretch(start, end, kind)}"
    return {
        "in_range": f"glucose {'nearer' if better else 'further from'} the middle of the range",
        "budget": f"{'less' if better else 'more'} time beyond the budgets for lows",
        "change": "the cost of a change",
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
    moved = "; ".join(f"{driver.text} {signed(driver.gain, 2)}" for driver in drivers(suggestion))
    found = [
        ("In short", headline(suggestion, unit)),
        ("What drove it", f"{moved}: {signed(sum(part.gain for part in why.parts), 2)} in risk" if moved else ""),
        ("How sure", sure(suggestion, unit)),
        ("Runner-up", runner_up(suggestion)),
        ("Limits that bound it", "; ".join(limits_in_words(suggestion.limits_bound, unit, aim(suggestion)))),
        ("Own days", "; ".join(days(pattern, unit) for pattern in why.patterns)),
        ("Like now", "; ".join([like_now(suggestion), *(moment(one, unit) for one in why.moments or ())])),
        ("Risk of a low", "" if why.low_risk is None else risk_of_low(why.low_risk, unit)),
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
        aims = {**AIMS, **{about: f"milder {about}s" for about in ("low", "high") if more.get(MOVED[about], -1.0) >= 0}}
        wins = [aims[about] for about in sorted(sums, key=lambda about: -sums[about]) if about in aims and sums[about] > 0][:2]
        price = [
            f"more time {outcome(key, unit, aim(suggestion)).lower()} {unit.name} ({signed(effect, 1)} points)"
            for key, effect in more.items()
            if effect >= PRICES[key]
        ]
        return f"proposed for {' and '.join(wins) or 'less risk'}" + (f", at the price of {' and '.join(price)}" if price else "")
    if why.runner_up is None:
        return "no change: nothing else was allowed"
    if why.runner_up <= 0:
        return "no change: the best alternative is predicted to be worse"
    return f"no change: the best alternative would gain {why.runner_up:.2f} in risk, where a change must gain {why.worth:g}"


def does(suggestion: Suggestion, option: str = "proposed") -> str:
    """What an option gives or changes."""
    return next((one.does for one in suggestion.options if one.name == option), "")


def sure(suggestion: Suggestion, unit: Unit) -> str:
    """In how many particles it is better (for doses each is also a draw of what may come), and its effect, 90 % interval."""
    found = None if suggestion.why is None else suggestion.why.sure
    if found is None:
        return ""
    subject = "" if suggestion.lines else "the best alternative is "
    names = {"in_range": "time in range", "below_70": f"below {unit.text(aim(suggestion).levels['low'])}"}
    effects = [f"{name} {_points(found.effects[key])}" for key, name in names.items() if key in found.effects]
    drawn = "futures drawn for this patient" if suggestion.kind == "doses" else "versions of this patient that fit the recording"
    return "; ".join([f"{subject}better than no change in {found.better} of {found.of} {drawn}", *effects])


def _points(effect: Interval) -> str:
    return f"{signed(effect.mid, 1)} points (90 %: {signed(effect.low, 1)} to {signed(effect.high, 1)})"


def runner_up(suggestion: Suggestion) -> str:
    """What the second best would do and give."""
    option = next((one for one in suggestion.options if one.name == "runner-up"), None)
    if suggestion.why is None or suggestion.why.runner_up is None or option is None:
        return ""
    names = {"in_range": "in range", "below_70": "low"}
    given = ", ".join(f"{option.outcomes[key].mid:.1f} % {name}" for key, name in names.items() if key in option.outcomes)
    beside = f", this {signed(suggestion.why.gain, 2)}" if suggestion.lines else ""
    return "; ".join(filter(None, (option.does, given, f"it gains {signed(suggestion.why.runner_up, 2)}{beside}")))


def days(pattern: Pattern, unit: Unit) -> str:
    """The patient's own days with a pattern, by date, and the worst of them."""
    where = f"{pattern.side} {stretch(pattern.start, pattern.end)}"
    if not pattern.days:
        return f"{where}: no day has enough readings to tell"
    if not pattern.seen:
        return f"{where} on none of {pattern.days} days"
    pick = min if pattern.side == "low" else max
    worst = pick(pattern.seen, key=lambda one: one.level)
    extreme = "lowest" if pattern.side == "low" else "highest"
    most = f"{extreme} {unit.text(worst.level)} at {clock(worst.minute)} on {dates([worst.date])}"
    return f"{where} on {len(pattern.seen)} of {pattern.days} days: {dates(one.date for one in pattern.seen)} ({most})"


def dates(days: Iterable[str]) -> str:
    """ISO dates as "3, 5, 9 May, 1 Jun"."""
    parsed = sorted(date.fromisoformat(day) for day in days)
    months = [(month, [str(day.day) for day in group]) for month, group in groupby(parsed, key=lambda day: f"{day:%b}")]
    return ", ".join(f"{', '.join(numbers)} {month}" for month, numbers in months)


def because(line: Line, suggestion: Suggestion, unit: Unit) -> str:
    """Why one line is proposed, with the patient's own days where they are stored."""
    if suggestion.kind == "doses":
        return line.why
    pattern = pattern_of(suggestion, "high" if raises_insulin(line, line.proposed) else "low", line.start, line.end)
    seen = f": {days(pattern, unit)}" if pattern else ""
    return f"{line.why}{seen}. {line.days} days of evidence"


def like_now(suggestion: Suggestion) -> str:
    """What followed the past moments most like this one, and what was given then beside what is proposed."""
    found = None if suggestion.why is None else suggestion.why.moments
    if found is None:
        return ""
    if not found:
        return "no past moment was like this one"
    levels = aim(suggestion).levels
    low, high = sum(one.lowest < levels["low"] for one in found), sum(one.highest > levels["high"] for one in found)
    which = "the one past moment" if len(found) == 1 else f"the {len(found)} past moments"
    given = sorted({min(one.given["bolus"] for one in found), max(one.given["bolus"] for one in found)})
    proposed = round(sum(line.proposed for line in suggestion.lines if line.setting == "bolus" and line.start < 60), 3)
    more = ", more than at any of them" if proposed > given[-1] else ""
    then = " to ".join(f"{units:g}" for units in given)
    return (
        f"of {which} most like this, {low} had a low and {high} a high within four hours; "
        f"{then} U were given in the hour then, {proposed:g} U are proposed for this one{more}"
    )


def moment(one: Moment, unit: Unit) -> str:
    bolus, carbs = one.given["bolus"], one.given["carbs"]
    given = " and ".join(filter(None, (f"{bolus:g} U" if bolus else "", f"{carbs:g} g" if carbs else "")))
    return (
        f"{dates([one.date])} {clock(one.minute)} at {unit.text(one.level)}: {given or 'nothing'} within the hour, "
        f"then {unit.text(one.lowest)} to {unit.text(one.highest)}"
    )


def risk_of_low(share: float, unit: Unit) -> str:
    return f"risk of a reading below {unit.text(LOW)} {AS_USUAL.format(unit.name, 100 * share)}"


def risk_of_high(share: float, unit: Unit) -> str:
    return f"risk of a reading above {unit.text(VERY_HIGH)} {AS_USUAL.format(unit.name, 100 * share)}"


AS_USUAL = "{} within two hours, everyone behaving as usual: {:.0f} %"


def limits_in_words(bound: Iterable[Breach], unit: Unit, targets: Targets = ADULTS) -> list[str]:
    """Each limit once, with the settings it bound: "3 days of evidence, 5 needed (carb ratio from 00:00, 06:00)"."""
    found: dict[str, dict[str, list[str]]] = {}
    for breach in bound:
        text = LIMITS[breach.rule].format(**marks(unit, targets)) if breach.rule in LIMITS else rule_in_words(breach)
        places = found.setdefault(text, {})
        setting, at, start = breach.key.partition("@")
        if at:
            places.setdefault(SETTINGS.get(setting, setting).lower(), []).append(clock(int(start)))
    said = []
    for rule, places in found.items():
        alike: dict[str, list[str]] = {}
        for setting, starts in places.items():
            alike.setdefault(", ".join(starts), []).append(setting)
        where = "; ".join(f"{', '.join(settings)} from {starts}" for starts, settings in alike.items())
        said.append(f"{rule} ({where})" if where else rule)
    return said


def aim(suggestion: Suggestion) -> Targets:
    """What was aimed at when a suggestion was made."""
    return suggestion.targets or ADULTS


def outcome(name: str, unit: Unit, targets: Targets = ADULTS) -> str:
    """An outcome or a charge, as a table names it."""
    return OUTCOMES.get(name, name.replace("_", " ").capitalize()).format(**marks(unit, targets))


def marks(unit: Unit, targets: Targets = ADULTS) -> dict[str, str]:
    return {**{name: unit.text(targets.levels[name]) for name in LEVELS}, "unit": unit.name}


# Times and numbers


def stretch(start: int, end: int, kind: Kind = "regimen") -> str:
    """Part of a day, or of the hours ahead."""
    if kind == "doses":
        return f"{start / 60:g} to {end / 60:g} h ahead"
    return "all day" if (start, end) == (0, DAY) else f"{clock(start)}-{clock(end)}"
