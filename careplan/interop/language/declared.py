"""Questions about a patient of any therapy but the one whose words the grammar knows: answered in the therapy's own words, from
its practice, or refused plainly."""

import math
from collections.abc import Callable, Mapping
from datetime import datetime, time
from typing import Any

from careplan.clinic import asking
from careplan.clinic.codec import dump
from careplan.clock import duration_in_words
from careplan.display import Unit, clock, sentence, signed
from careplan.interop.language import queries as asked
from careplan.interop.language.basis import DAYS_IN, THEN, Answer, Sources
from careplan.language import N_, _, retold
from careplan.minutes import DAY
from careplan.practice import Practice
from careplan.rules import Cap, Exclusive, Hold, Keep, Lockout, Rule
from careplan.therapy import Limits

# What answers are made of, in English; a screen retells them in its reader's language.
AHEAD = N_("In {length}, {stands}: {level} {unit}, 90 % interval {low} to {high}.")
STANDS, LAST = N_("as it stands"), N_("the last reading")
UNTIL, HOLD = N_("the recording until {moment} UTC, personalised"), N_("intervals hold 90 % of what comes")
RISK = {
    "low": N_("The risk of a low is {risk:.0f} %, everyone behaving as usual."),
    "high": N_("The risk of a high is {risk:.0f} %, everyone behaving as usual."),
}
NO_RISK = {
    "low": N_("No risk of a low is told under {therapy}."),
    "high": N_("No risk of a high is told under {therapy}."),
}
UNDER, NO_LIMIT = N_("As {group}, under {therapy}:"), N_("No question changes a limit.")
OF_THERAPY = N_("the limits of the therapy")
AT_MOST, AT_ONCE = N_("{what}: at most {most:g} {unit}."), N_("{what}: at most {most:g} {unit} at once.")
APART = N_("At least {length} between single doses.")
FLOOR = N_("No more of what lowers {level} below {floor}, measured or predicted.")
BEYOND = {  # by whether more or less is barred, and on which side of the level
    (Hold, -1): N_("no more {what} than stands while {on} is below {level}, measured or predicted."),
    (Hold, 1): N_("no more {what} than stands while {on} is above {level}, measured or predicted."),
    (Keep, -1): N_("no less {what} than stands while {on} is below {level}, measured or predicted."),
    (Keep, 1): N_("no less {what} than stands while {on} is above {level}, measured or predicted."),
}
WITHIN = N_("at most {most:g} {unit} of {what} within {length}.")
COURSE = N_("at most {most:g} {unit} of {what} over the course.")
LOCKED, ONE = N_("at least {length} from one {what} to the next."), N_("at most one of {what} at a time.")
NO_SUGGESTION = {
    "regimen": N_("There is no suggestion for {patient}: careplan plan {patient} --regimen makes one."),
    "doses": N_("There is no suggestion for {patient}: careplan plan {patient} makes one."),
}
LINE = N_("{setting}: now {current:g}, proposed {proposed:g} {unit}: {why}")
NO_RANGE = N_("No range is aimed at: a level has to be named.")
BELOW, ABOVE = N_("{count} of {all} readings are below {level}."), N_("{count} of {all} readings are above {level}.")
NO_REGIMEN, OVER = N_("No regimen is stated, and the record tells of none."), N_("readings over {days:.1f} days")
FIGURES = (N_("Readings"), N_("Very low"), N_("Low"), N_("In range"), N_("High"), N_("Very high"), N_("Last"), N_("Gap"))


def answer(query: Any, sources: Sources, practice: Practice) -> Answer | None:
    """The answer to a query about a patient of this therapy; None where it is answered alike for all."""
    if query.kind in SAME:
        return None
    if query.kind not in ANSWERS:
        why = asked.NO_WHAT_IF.format(patient=query.patient, therapy=practice.name)
        return Answer(understood=query.said(), text=(why,), abstains=(why,))
    return ANSWERS[query.kind](query, sources, practice)


def unit_of(practice: Practice) -> Unit:
    """The first unit in which the therapy's level is shown."""
    return practice.units[0] if practice.units else Unit(practice.therapy.channel(practice.therapy.regulated).unit, 1.0, 1)


def _forecast(query: asked.Forecast, sources: Sources, practice: Practice) -> Answer:
    at = None if query.day is None or query.time is None else datetime.combine(query.day, time.fromisoformat(query.time))
    ahead = 60.0 * query.hours if "hours" in query.model_fields_set else practice.therapy.clock.horizon
    world = sources.open_world(practice.name)
    found = asking.forecast_of(sources.db, query.patient, world, sources.actor, at=at, ahead=ahead)
    [(name, path)], unit = found.paths.items() if len(found.paths) == 1 else list(found.paths.items())[:1], unit_of(practice)
    start, length = _(LAST) if at is None else f"{at:%Y-%m-%d %H:%M}", duration_in_words(ahead)
    mid, low, high = (unit.text(each[-1]) for each in (path.mid, path.low, path.high))
    stands = STANDS if name == "no change" else name
    text = [AHEAD.format(length=length, stands=stands, level=mid, unit=unit.name, low=low, high=high)]
    risk = {"low": found.low_risk, "high": found.high_risk}.get(query.about or "")
    if query.about is not None:
        none = NO_RISK[query.about].format(therapy=practice.name)
        text.insert(0, none if risk is None else RISK[query.about].format(risk=100 * risk))
    level = retold(_named(practice.therapy.regulated, practice))
    understood = _("{patient}: forecast of {level} {length} from {start}")
    return Answer(
        understood=understood.format(patient=query.patient, level=level, length=retold(length), start=start),
        text=(*text, *(sentence(retold(banner)) for banner in found.banners)),
        unit=found.unit,
        figures={"at": found.at.isoformat(), "paths": {name: dump(path)}},
        basis=(UNTIL.format(moment=f"{found.at:%Y-%m-%d %H:%M}"), HOLD),
        model=found.provenance.get("model"),
    )


def _limits(query: asked.Limits, sources: Sources, practice: Practice) -> Answer:
    _, facts = asking.practice_and_facts(sources.db, query.patient)
    limits = practice.limits(facts)
    text = (UNDER.format(group=facts.group, therapy=practice.name), *limits_in_words(limits, practice), NO_LIMIT)
    figures = {"group": facts.group, "doses": _finite(dump(limits))}
    return Answer(understood=query.said(), text=text, unit=unit_of(practice).name, figures=figures, basis=(OF_THERAPY,))


def limits_in_words(limits: Limits, practice: Practice) -> list[str]:
    """A sentence for each limit that bears on a channel of the therapy, and for each rule."""
    found, therapy = [], practice.therapy
    for action in therapy.of("action"):
        most = {"impulse": limits.max_dose, "rate": limits.max_rate}.get(action.form)
        if most is not None and math.isfinite(most):
            said = AT_ONCE if action.form == "impulse" else AT_MOST
            found.append(said.format(what=_named(action.name, practice), most=most, unit=action.unit))
    if limits.min_spacing > 0:
        found.append(APART.format(length=duration_in_words(limits.min_spacing)))
    level = therapy.channel(therapy.regulated)
    if limits.floor > level.low:
        found.append(FLOOR.format(level=_named(level.name, practice), floor=_level(limits.floor, level.name, practice)))
    return [*found, *(f"{rule.name[:1].upper()}{rule.name[1:]}: {_rule(rule, practice)}" for rule in limits.rules)]


def _rule(rule: Rule, practice: Practice) -> str:
    what = " and ".join(_named(name, practice) for name in rule.channels)
    unit = practice.therapy.channel(rule.channels[0]).unit
    if isinstance(rule, Hold | Keep):
        on, level = _named(rule.on, practice), _level(rule.level, rule.on, practice)
        return BEYOND[type(rule), rule.side].format(what=what, on=on, level=level)
    if isinstance(rule, Cap):
        if math.isinf(rule.within):
            return COURSE.format(most=rule.most, unit=unit, what=what)
        return WITHIN.format(most=rule.most, unit=unit, what=what, length=duration_in_words(rule.within))
    if isinstance(rule, Lockout):
        return LOCKED.format(length=duration_in_words(rule.minutes), what=what)
    assert isinstance(rule, Exclusive)
    return ONE.format(what=what)


def _named(name: str, practice: Practice) -> str:
    """A channel or a setting as it stands within a sentence."""
    named = name.replace("_", " ") if practice.words is None else practice.words.settings.get(name, name.replace("_", " "))
    return named if named[:2].isupper() else named[:1].lower() + named[1:]


def _level(value: float, channel: str, practice: Practice) -> str:
    """A level with its unit, which is left out where it is the channel's own name: an INR of 4.5."""
    unit = practice.therapy.channel(channel).unit
    return f"{value:g}" if unit == _named(channel, practice) else f"{value:g} {unit}"


def _finite(values: Any) -> Any:
    """Plain values in which what has no end is left out, as JSON has no word for it."""
    if isinstance(values, dict):
        return {name: _finite(value) for name, value in values.items() if not (isinstance(value, float) and math.isinf(value))}
    return [_finite(value) for value in values] if isinstance(values, list) else values


def _why(query: asked.Why, sources: Sources, practice: Practice) -> Answer:
    decided, unit = asking.suggestions_with_reviews(sources.db, query.patient, sources.actor), unit_of(practice)
    if not decided:
        why = NO_SUGGESTION["regimen" if practice.plan_doses is None else "doses"].format(patient=query.patient)
        return Answer(understood=query.said(), text=(why,), abstains=(why,))
    suggestion = decided[0][0]
    model = suggestion.provenance.get("model")
    if suggestion.abstained:
        return Answer(understood=query.said(), text=suggestion.reasons, abstains=suggestion.reasons, model=model)
    words = practice.words
    text = [
        LINE.format(
            setting=_named(line.setting, practice),
            current=line.current,
            proposed=line.proposed,
            unit=line.unit,
            why=line.why if words is None else words.because(line, suggestion, unit),
        )
        for line in suggestion.lines
    ]
    told = [] if words is None else [f"{name}: {sentence(each)}" for name, each in words.said(suggestion, unit)]
    figures = {"lines": [dump(line) for line in suggestion.lines], "why": None}
    return Answer(understood=query.said(), text=(*map(sentence, text), *told), figures=figures, model=model)


def _summary(query: asked.Summary, sources: Sources, practice: Practice) -> Answer:
    if query.period is None:
        whole = asking.summary(sources.db, query.patient, sources.actor)
        metrics, days, headline = whole.metrics, whole.days, ""
    else:
        glance = asking.glance_of(sources.db, query.patient, query.period.first, query.period.last, sources.actor)
        metrics, days, headline = glance.metrics, glance.days, sentence(glance.headline)
    figures = dump(metrics)
    text = [f"{label}: {value:.4g}{' %' * share}" for label, value, share in _told(figures, practice)]
    return Answer(
        understood=query.said(),
        text=(*filter(None, [headline]), *text),
        unit=unit_of(practice).name,
        figures=figures,
        basis=(OVER.format(days=days),),
    )


def _told(figures: Mapping[str, Any], practice: Practice) -> list[tuple[str, float, bool]]:
    """The numbers of a glance: what each is called, its value, and whether it is a share in %."""
    shares = {cost.name for cost in practice.therapy.costs if cost.of == "share"}
    shares |= {band.field for band in practice.marks.bands} if practice.marks else set()
    return [
        (f"{name[:1].upper()}{name[1:].replace('_', ' ')}", float(value), name in shares)
        for name, value in figures.items()
        if isinstance(value, int | float)
    ]


def _compare(query: asked.ComparePeriods, sources: Sources, practice: Practice) -> Answer:
    periods = (query.first, query.second)
    both = [asking.glance_of(sources.db, query.patient, each.first, each.last, sources.actor) for each in periods]
    first, second = (dump(each.metrics) for each in both)
    after = {label: value for label, value, _share in _told(second, practice)}
    text = []
    for label, before, share in _told(first, practice):
        if label in after:
            name, moved = f"{label}, %" if share else label, signed(after[label] - before, 1)
            text.append(THEN.format(name=name, before=before, after=after[label], change=moved))
    basis = tuple(DAYS_IN.format(days=each.days, period=period) for each, period in zip(both, periods, strict=True))
    return Answer(understood=query.said(), text=tuple(text), figures={"first": first, "second": second}, basis=basis)


def _episodes(query: asked.Episodes, sources: Sources, practice: Practice) -> Answer:
    first, last = (None, None) if query.period is None else (query.period.first, query.period.last)
    found, low = asking.readings(sources.db, query.patient, first, last, sources.actor), query.side == "low"
    named = query.below if low else query.above
    bound = asking.aims(sources.db, query.patient).levels.get(query.side) if named is None else named
    if bound is None:
        return Answer(understood=query.said(), text=(NO_RANGE,), abstains=(NO_RANGE,))
    beyond = found[found["value"] < bound if low else found["value"] > bound]
    rows = list(zip(beyond["time"], beyond["value"], strict=True))
    level, unit = _level(bound, practice.therapy.regulated, practice), unit_of(practice)
    text = [(BELOW if low else ABOVE).format(count=len(rows), all=len(found), level=level)]
    text += [f"{time:%Y-%m-%d %H:%M}: {unit.text(value)} {unit.name}" for time, value in rows[-10:]]
    figures = [{"at": time.isoformat(), "value": float(value)} for time, value in rows]
    return Answer(understood=query.said(), text=tuple(text), unit=unit.name, figures={"beyond": figures})


def _regimen(query: asked.RegimenInForce, sources: Sources, practice: Practice) -> Answer:
    found = asking.in_force(sources.db, query.patient, sources.actor)
    if found is None:
        return Answer(understood=query.said(), text=(NO_REGIMEN,), abstains=(NO_REGIMEN,))
    units = {} if practice.words is None else practice.words.units
    text = []
    for setting, values in practice.listed(found.regimen).items():
        of_day = len(values) > 1 and values[-1][0] < DAY  # a week of days is told without their times
        each = ", ".join((f"{clock(minute)} " if of_day else "") + f"{value:g}" for minute, value in values)
        unit = _(units[setting]) if setting in units else ""
        text.append(f"{_named(setting, practice)}: {each} {unit}".rstrip())
    figures = {setting: [list(each) for each in values] for setting, values in practice.listed(found.regimen).items()}
    return Answer(understood=query.said(), text=tuple(text), figures=figures, basis=(found.source,))


SAME = ("plan",)  # of which every answer is made alike
ANSWERS: dict[str, Callable[[Any, Sources, Practice], Answer]] = {
    "forecast": _forecast,
    "limits": _limits,
    "why": _why,
    "compare_periods": _compare,
    "episodes": _episodes,
    "summary": _summary,
    "regimen": _regimen,
}
