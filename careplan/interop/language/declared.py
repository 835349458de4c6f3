"""Questions about a patient of any therapy but the one whose words the grammar knows: answered in the therapy's own words, from
its practice, or refused plainly."""

import math
from collections.abc import Callable
from datetime import datetime, time
from typing import Any

from careplan.clinic import asking
from careplan.clinic.codec import dump
from careplan.clock import duration_in_words
from careplan.display import Unit, clock, sentence
from careplan.interop.language import queries as asked
from careplan.interop.language.basis import Answer, Sources
from careplan.practice import Practice
from careplan.rules import Cap, Exclusive, Hold, Keep, Lockout, Rule
from careplan.therapy import Limits, Therapy


def answer(query: Any, sources: Sources, practice: Practice) -> Answer | None:
    """The answer to a query about a patient of this therapy; None where it is answered alike for all."""
    if query.kind in SAME:
        return None
    if query.kind not in ANSWERS:
        why = (
            f"{query.patient} is treated under {practice.name}: this kind of question is not answered there. A forecast, the "
            "limits, why, a summary, what is prescribed, the plan, and who needs a look are."
        )
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
    start = "the last reading" if at is None else f"{at:%Y-%m-%d %H:%M}"
    length = duration_in_words(ahead)
    text = [
        f"In {length}, {'as it stands' if name == 'no change' else name}: {unit.text(path.mid[-1])} {unit.name}, "
        f"90 % interval {unit.text(path.low[-1])} to {unit.text(path.high[-1])}."
    ]
    risk = {"low": found.low_risk, "high": found.high_risk}.get(query.about or "")
    if query.about is not None:
        text.insert(
            0, f"No risk of a {query.about} is told under {practice.name}." if risk is None else
            f"The risk of a {query.about} is {100 * risk:.0f} %, everyone behaving as usual.",
        )  # fmt: skip
    return Answer(
        understood=f"{query.patient}: forecast of {practice.therapy.regulated} {duration_in_words(ahead)} from {start}",
        text=(*text, *(sentence(banner) for banner in found.banners)),
        unit=found.unit,
        figures={"at": found.at.isoformat(), "paths": {name: dump(path)}},
        basis=(f"the recording until {found.at:%Y-%m-%d %H:%M} UTC, personalised", "intervals hold 90 % of what comes"),
        model=found.provenance.get("model"),
    )


def _limits(query: asked.Limits, sources: Sources, practice: Practice) -> Answer:
    _, facts = asking.practice_and_facts(sources.db, query.patient)
    limits = practice.limits(facts)
    told = limits_in_words(limits, practice.therapy)
    text = (f"As {facts.group}, under {practice.name}:", *told, "No question changes a limit.")
    figures = {"group": facts.group, "doses": _finite(dump(limits))}
    return Answer(
        understood=query.said(), text=text, unit=unit_of(practice).name, figures=figures, basis=("the limits of the therapy",)
    )


def limits_in_words(limits: Limits, therapy: Therapy) -> list[str]:
    """A sentence for each limit that bears on a channel of the therapy, and for each rule."""
    found = []
    for action in therapy.of("action"):
        most = {"impulse": limits.max_dose, "rate": limits.max_rate}.get(action.form)
        if most is not None and math.isfinite(most):
            found.append(f"{_named(action.name)}: at most {most:g} {action.unit}{' at once' * (action.form == 'impulse')}.")
    if limits.min_spacing > 0:
        found.append(f"At least {duration_in_words(limits.min_spacing)} between single doses.")
    level = therapy.channel(therapy.regulated)
    if limits.floor > level.low:
        found.append(f"No more of what lowers {_named(level.name)} below {limits.floor:g} {level.unit}, measured or predicted.")
    return [*found, *(f"{sentence(rule.name).rstrip('.')}: {_rule(rule, therapy)}." for rule in limits.rules)]


def _rule(rule: Rule, therapy: Therapy) -> str:
    what = " and ".join(_named(name) for name in rule.channels)
    unit = therapy.channel(rule.channels[0]).unit
    if isinstance(rule, Hold | Keep):
        beyond = f"{_named(rule.on)} is {'below' if rule.side < 0 else 'above'} {rule.level:g} {therapy.channel(rule.on).unit}"
        return f"no {'more' if isinstance(rule, Hold) else 'less'} {what} than stands while {beyond}, measured or predicted"
    if isinstance(rule, Cap):
        within = f"within {duration_in_words(rule.within)}" if math.isfinite(rule.within) else "over the course"
        return f"at most {rule.most:g} {unit} of {what} {within}"
    if isinstance(rule, Lockout):
        return f"at least {duration_in_words(rule.minutes)} from one {what} to the next"
    assert isinstance(rule, Exclusive)
    return f"at most one of {what} at a time"


def _named(channel: str) -> str:
    return channel.replace("_", " ")


def _finite(values: Any) -> Any:
    """Plain values in which what has no end is left out, as JSON has no word for it."""
    if isinstance(values, dict):
        return {name: _finite(value) for name, value in values.items() if not (isinstance(value, float) and math.isinf(value))}
    return [_finite(value) for value in values] if isinstance(values, list) else values


def _why(query: asked.Why, sources: Sources, practice: Practice) -> Answer:
    decided, unit = asking.suggestions_with_reviews(sources.db, query.patient, sources.actor), unit_of(practice)
    if not decided:
        kind = " --regimen" if practice.plan_doses is None else ""
        why = f"There is no suggestion for {query.patient}: careplan plan {query.patient}{kind} makes one."
        return Answer(understood=query.said(), text=(why,), abstains=(why,))
    suggestion = decided[0][0]
    model = suggestion.provenance.get("model")
    if suggestion.abstained:
        return Answer(understood=query.said(), text=suggestion.reasons, abstains=suggestion.reasons, model=model)
    words = practice.words
    text = [
        f"{_named(line.setting)}, {line.current:g} to {line.proposed:g} {line.unit}: "
        f"{line.why if words is None else words.because(line, suggestion, unit)}"
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
    shares = {cost.name for cost in practice.therapy.costs if cost.of == "share"}
    text = [
        f"{sentence(_named(name)).rstrip('.')}: {value:.4g}{' %' * (name in shares)}."
        for name, value in figures.items()
        if isinstance(value, int | float)
    ]
    return Answer(
        understood=query.said(),
        text=(*filter(None, [headline]), *text),
        unit=unit_of(practice).name,
        figures=figures,
        basis=(f"readings over {days:.1f} days",),
    )


def _regimen(query: asked.RegimenInForce, sources: Sources, practice: Practice) -> Answer:
    found = asking.in_force(sources.db, query.patient, sources.actor)
    if found is None:
        why = "No regimen is stated, and the record tells of none."
        return Answer(understood=query.said(), text=(why,), abstains=(why,))
    units = {channel.name: channel.unit for channel in practice.therapy.channels}
    text = []
    for setting, values in practice.listed(found.regimen).items():
        each = ", ".join((f"{clock(minute)} " if len(values) > 1 else "") + f"{value:g}" for minute, value in values)
        text.append(f"{_named(setting)}: {each} {units.get(setting, '')}".rstrip() + ".")
    figures = {setting: [list(each) for each in values] for setting, values in practice.listed(found.regimen).items()}
    return Answer(understood=query.said(), text=tuple(text), figures=figures, basis=(found.source,))


SAME = ("plan",)  # of which every answer is made alike
ANSWERS: dict[str, Callable[[Any, Sources, Practice], Answer]] = {
    "forecast": _forecast,
    "limits": _limits,
    "why": _why,
    "summary": _summary,
    "regimen": _regimen,
}
