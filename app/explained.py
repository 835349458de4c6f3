"""Why a suggestion is what it is, as HTML: what drove it, how sure it is, and the patient's own days behind it."""

from html import escape

from app.drawings import scrolled
from app.palette import AGAINST, COLORS, HIGH_TEXT, PROPOSED
from app.wording import percent
from careplan.breach import Breach
from careplan.display import MINUS, SEMICOLON, Unit, clock, listed, sentence, signed
from careplan.language import _
from careplan.suggestion import Part, Pattern, Suggestion
from careplan.targets import Targets
from careplan.therapies.glucose import words
from careplan.therapies.glucose.words import Driver, time_span


def point(suggestion: Suggestion, unit: Unit) -> str:
    """The suggestion in one glance: what to do, what for, at what price, and how sure."""
    text = words.headline(suggestion, unit)
    if not text:
        return ""
    does = words.option_in_words(suggestion) if suggestion.lines else ""
    sure = words.sureness_in_words(suggestion, unit)
    first = f"<b>{escape(sentence(does))}</b>" if does else ""
    return f"<div class='cp-point'>{first}<span>{escape(sentence(text))}</span><small>{escape(sentence(sure))}</small></div>"


def panel(suggestion: Suggestion, unit: Unit) -> str:
    """What drives it, on which days, the runner-up and the limits by name: each on a line of its own."""
    why = suggestion.why
    if why is None:
        return ""
    bound = words.limits_in_words(
        (Breach(one.rule, "", one.numbers) for one in suggestion.limits_bound), unit, words.aim(suggestion)
    )
    rows = [
        (_("What drives it") if suggestion.lines else _("For and against the best alternative"), _drivers(suggestion, unit)),
        (_("Moments like now"), _moments(suggestion, unit)),
        (_("Together"), escape(sentence(words.together(suggestion)))),
        (
            _("Two hours ahead") if suggestion.kind == "doses" else _("After the last reading"),
            "" if why.low_risk is None else escape(sentence(words.risk_of_low(why.low_risk, unit))),
        ),
        (_("Runner-up") if suggestion.lines else _("Best alternative"), escape(sentence(words.runner_up(suggestion)))),
        (
            _("Limits that bound it"),
            escape(sentence(listed(bound, SEMICOLON))),
        ),
    ]
    told = "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in rows if text)
    return f"<div class='cp-why'><dl>{told}</dl></div>"


def limits(suggestion: Suggestion, unit: Unit) -> str:
    """Every limit that bound it, with the settings where it did."""
    bound = words.limits_in_words(suggestion.limits_bound, unit, words.aim(suggestion))
    told = "".join(f"<li>{escape(sentence(each))}</li>" for each in bound)
    return f"<p><b>{_('Limits that bound it')}</b></p><ul class='cp-said'>{told}</ul>" if bound else ""


def table(suggestion: Suggestion, unit: Unit) -> str:
    """Every part of the gain, outcome by stretch, with its sums; what is charged over the whole has a sum alone."""
    parts = () if suggestion.why is None else suggestion.why.parts
    if not parts:
        return ""
    charged = {part.outcome for part in parts if part.outcome == "change" or part.outcome.startswith("budget ")}
    spans = sorted({(part.start, part.end) for part in parts if part.outcome not in charged})

    def row(title: str, chosen: list[Part]) -> str:
        by_span = [
            [part.gain for part in chosen if (part.start, part.end) == span and part.outcome not in charged] for span in spans
        ]
        cells = "".join(f"<td>{_gain(sum(gains)) if gains else ''}</td>" for gains in by_span)
        return f"<tr><th>{title}</th>{cells}<td><b>{_gain(sum(part.gain for part in chosen))}</b></td></tr>"

    every, summed = _("All"), _("In all")
    head = "".join(f"<th>{time_span(start, end, suggestion.kind)}</th>" for start, end in spans)
    outcomes = dict.fromkeys(part.outcome for part in parts)
    titles = {name: words.outcome(name, unit, words.aim(suggestion)) for name in outcomes}
    rows = "".join(row(title, [part for part in parts if part.outcome == name]) for name, title in titles.items())
    return scrolled(
        f"<table class='cp-regimen'><thead><tr><td></td>{head}<th>{summed}</th></tr></thead>"
        f"<tbody>{rows}{row(every, list(parts))}</tbody></table>",
        _("Every part of the gain"),
    )


def days(suggestion: Suggestion, unit: Unit) -> str:
    """The days with each pattern, by date."""
    patterns = () if suggestion.why is None else suggestion.why.patterns
    told = "".join(f"<li>{escape(sentence(words.days(pattern, unit)))}</li>" for pattern in patterns)
    return f"<ul class='cp-said'>{told}</ul>" if told else ""


def _drivers(suggestion: Suggestion, unit: Unit) -> str:
    """A bar for each, to the right for the change and to the left against it; what it moves, and the days that show it."""
    found = [driver for driver in words.drivers(suggestion) if driver.about != "rest"]
    most = max((abs(driver.gain) for driver in found), default=0.0)
    if not most:
        return ""
    change = _("proposed") if suggestion.lines else _("alternative")
    own = _("own days with it") if any(driver.pattern for driver in found) else ""
    still = _("no change")
    names = ("", _("against | for"), f"{still} \N{RIGHTWARDS ARROW} {change}", own)
    head = "".join(f"<small>{name}</small>" for name in names)
    each = "".join(_driver(driver, most, unit, words.aim(suggestion)) for driver in found)
    return f"<div class='cp-drivers'>{head}{each}</div>"


def _driver(driver: Driver, most: float, unit: Unit, targets: Targets) -> str:
    width = 50 * abs(driver.gain) / most
    color = PROPOSED if driver.gain > 0 else AGAINST
    side = "left:50%" if driver.gain > 0 else f"left:{50 - width:.1f}%"
    bar = f"<i style='{side};width:{width:.1f}%;background:{color}'></i>"
    seen = "" if driver.pattern is None else _seen(driver.pattern, unit)
    risk = _("{gain} in risk", gain=_gain(driver.gain))
    return (
        f"<span>{escape(driver.text[:1].upper() + driver.text[1:])}</span>"
        f"<span class='cp-bar' title='{risk}'>{bar}</span>"
        f"<span class='n'>{_moved(driver, unit, targets)}</span><span>{seen}</span>"
    )


def _moved(driver: Driver, unit: Unit, targets: Targets) -> str:
    """From what to what share of that time."""
    if driver.moved is None:
        return ""
    before, after = driver.moved
    digits = 1 if max(before, after) < 10 or round(before) == round(after) else 0
    name = words.outcome(words.MOVED[driver.about], unit, targets).lower()
    return f"{before:.{digits}f} \N{RIGHTWARDS ARROW} <b>{percent(after, digits)}</b> <small>{name}</small>"


def _seen(pattern: Pattern, unit: Unit) -> str:
    """How many of the patient's days show it, and which."""
    if not pattern.seen:
        none = _("none of {days}", days=pattern.days) if pattern.days else _("none with enough readings")
        return f"<small>{none}</small>"
    dates, told = words.dates_in_words(one.date for one in pattern.seen), escape(words.days(pattern, unit))
    count = _("{seen} of {days}", seen=len(pattern.seen), days=pattern.days)
    return f"<b>{count}</b> <small title='{told}'>{dates}</small>"


def _moments(suggestion: Suggestion, unit: Unit) -> str:
    """What followed the past moments most like now, each in a row."""
    found, aims = () if suggestion.why is None else suggestion.why.moments or (), words.aim(suggestion)
    said = escape(sentence(words.moments_in_words(suggestion)))
    if not found:
        return said
    rows = "".join(
        f"<tr><td>{words.dates_in_words([one.date])} {clock(one.minute)}</td><td>{unit.text(one.level)}</td>"
        f"<td>{one.given['bolus']:g} U</td><td>{one.given['carbs']:g} g</td>"
        f"<td>{_level(one.lowest, unit, aims)}</td><td>{_level(one.highest, unit, aims)}</td></tr>"
        for one in found
    )
    names = (_("Then"), unit.name, _("bolus, 1 h"), _("carbs, 1 h"), _("lowest, 4 h"), _("highest, 4 h"))
    head = "".join(f"<th>{name}</th>" for name in names)
    return said + scrolled(f"<table class='cp-moments'><tr>{head}</tr>{rows}</table>", _("Moments like now"))


def _level(glucose: float, unit: Unit, targets: Targets) -> str:
    low, high = targets.levels["low"], targets.levels["high"]
    color = COLORS["low"] if glucose < low else HIGH_TEXT if glucose > high else ""
    return f"<b style='color:{color}'>{unit.text(glucose)}</b>" if color else unit.text(glucose)


def _gain(gain: float) -> str:
    text = signed(gain, 2)
    return "0" if text in ("+0.00", f"{MINUS}0.00") else text
