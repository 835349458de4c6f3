"""`practice_of`: what a clinic needs of a therapy beside its declaration, made of the declaration."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path

import pandas as pd

from careplan.breach import RULES, Breach, in_words
from careplan.covariates import CourseFacts
from careplan.declared import standing
from careplan.declared.plans import Planner, as_it_stands
from careplan.display import Marks, Unit, sentence
from careplan.planning.rules import rules_of
from careplan.practice import Glance, Judged, Practice, Words
from careplan.rules import Hold, Keep
from careplan.suggestion import Kind, Line, Option, Suggestion
from careplan.therapy import Cost, Limits, Therapy

SPENT, BEYOND = 100.0, 200.0  # of urgency: a cost's budget is spent; the last reading is where a rule holds or keeps


def practice_of(
    therapy: Therapy,
    limits: Mapping[str, Limits] | Callable[[CourseFacts], Limits],
    *,
    groups: tuple[str, ...] = (),
    plans: Kind,
    recent: timedelta,
    holds: timedelta,
    digits: int = 1,
    marks: Marks | None = None,
    clinic: str | None = None,
    weights: Path | None = None,
) -> Practice:
    """A therapy in use, of which nothing is said but its declaration.

    What stands is the regimen; plans are searched over the actions; what channels hold and rules allow now may be signed.

    Args:
        therapy: With at least one action.
        limits: By group of patients, the first being everybody's where none is stated; or by what is known of one patient.
        groups: Of patients, where limits are not by group alone.
        plans: Whether it plans what should stand, or doses from now on.
        recent: How long readings count at a glance.
        holds: How long a suggestion may be signed.
        digits: Decimals of the first output, as it is shown.
        marks: What charts mark; without it no bands are drawn.
        clinic: Where its virtual clinic lies, "package.module:NAME".
        weights: The folder with the weights of its world model.

    Raises:
        ValueError: The therapy declares no action, no limits are given, or they say what a course cannot keep.
    """
    groups, of = (tuple(limits), _by_group(therapy, limits)) if isinstance(limits, Mapping) else (groups, limits)
    if not therapy.actions or not groups:
        raise ValueError(f"{therapy.name}: a practice needs actions and groups with limits")
    planner = Planner(of, plans)
    return Practice(
        therapy=therapy,
        groups=groups,
        limits=of,
        recent=recent,
        holds={"regimen": holds, "doses": holds},
        regimen=standing.Standing,
        stated=partial(standing.stated, therapy),
        estimate=partial(standing.estimate, therapy),
        changed=partial(standing.changed, therapy),
        current=standing.current,
        listed=standing.listed,
        plan_regimen=planner.regimen if plans == "regimen" else None,
        plan_doses=planner.doses if plans == "doses" else None,
        carried_on=as_it_stands,
        judge=partial(judge, therapy, of),
        glance=partial(glance, therapy, digits),
        known=partial(known, therapy),
        units=(Unit(therapy.channel(therapy.regulated).unit, 1.0, digits),),
        marks=marks,
        words=_words(therapy),
        weights=weights,
        clinic=clinic,
    )


def _words(therapy: Therapy) -> Words:
    """A setting is called as its channel is, and measured in its unit."""
    names = {channel.name: channel.name.replace("_", " ") for channel in therapy.channels}
    units = {channel.name: channel.unit for channel in therapy.channels if channel.unit}
    return Words(settings=names, said=said, because=because, limits=bound, units=units)


def _by_group(therapy: Therapy, limits: Mapping[str, Limits]) -> Callable[[CourseFacts], Limits]:
    """Those of a patient's group; `ValueError` for a group that is none of them, and for limits that a course cannot keep."""
    for each in limits.values():
        rules_of(each, therapy)

    def of(facts: CourseFacts) -> Limits:
        if facts.group not in limits:
            raise ValueError(f"group {facts.group!r} is none of {', '.join(limits)}")
        return limits[facts.group]

    return of


def known(therapy: Therapy, facts: Mapping[str, float | str]) -> dict[str, float | str]:
    """What a source says of a patient, as the therapy's covariates; what it does not ask for is passed over."""
    found: dict[str, float | str] = {}
    for covariate in therapy.covariates:
        value = facts.get(covariate.name)
        if value is None or value == "" or value != value:
            continue
        found[covariate.name] = str(value) if covariate.levels else float(value)
    therapy.facts(found)
    return found


def glance(therapy: Therapy, digits: int, readings: pd.DataFrame) -> Glance:
    """The last reading of the first output, and the share of readings that each of its costs counts."""
    ordered = readings.sort_values("time", kind="stable")
    channel, values = therapy.channel(therapy.regulated), ordered["value"].to_numpy(dtype=float)
    if not len(values):
        return Glance(
            days=0.0, metrics={}, measured=False, sufficient=False, urgency=-1.0, headline=f"no {channel.name} recorded"
        )
    days = float((ordered["time"].iloc[-1] - ordered["time"].iloc[0]).total_seconds()) / 86400.0
    own = [cost for cost in therapy.costs if cost.of == "share" and cost.on in ("", therapy.regulated)]
    shares = {cost.name: 100.0 * float(((values < cost.below) | (values > cost.above)).mean()) for cost in own}
    unmet = tuple(cost.name for cost in own if shares[cost.name] > 100.0 * cost.budget)
    over = [f"{shares[name]:.0f} % {name.replace('_', ' ')}" for name in unmet]
    last = float(values[-1])
    beyond = any(_beyond(cost, last) for cost in own)
    headline = f"last {channel.name} {last:.{digits}f} {channel.unit}"
    return Glance(
        days=days,
        metrics={"readings": float(len(values)), "last": last, **shares},
        measured=True,
        sufficient=days >= therapy.gate.days,
        urgency=BEYOND * beyond + (SPENT if unmet else 0.0) + max(shares.values(), default=0.0),
        headline="; ".join([headline, *over]),
        unmet=unmet,
    )


def _beyond(cost: Cost, level: float) -> bool:
    return level < cost.below or level > cost.above


def judge(
    therapy: Therapy,
    limits: Callable[[CourseFacts], Limits],
    suggestion: Suggestion,
    readings: pd.DataFrame,
    facts: CourseFacts,
    regimen: standing.Standing | None,
) -> Callable[[Line, float], Judged]:
    """What the channel can hold, and what the rules say by the last reading: more, or less, that they forbid nobody can sign."""
    ordered = readings.sort_values("time", kind="stable")["value"]
    last = float(ordered.iloc[-1]) if len(ordered) else None
    own = limits(facts)
    rules = [rule for rule in rules_of(own, therapy) if isinstance(rule, Hold | Keep) and rule.on == therapy.regulated]

    def judged(line: Line, value: float) -> Judged:
        channel = therapy.channel(line.setting)
        most = {"impulse": own.max_dose, "rate": own.max_rate}.get(channel.form, channel.high)
        forbidden = None
        for rule in rules:
            moved = value > line.current if isinstance(rule, Hold) else value < line.current
            wrong = last is None or rule.side * (last - rule.level) > 0
            if moved and wrong and line.setting in rule.channels:
                told, what = "unknown" if last is None else f"{last:g}", "more" if isinstance(rule, Hold) else "less"
                forbidden = f"{rule.name}: {what} is not allowed, the last {rule.on} is {told}"
        return Judged(lowest=channel.low, highest=min(channel.high, most), forbidden=forbidden)

    return judged


def said(suggestion: Suggestion, unit: Unit) -> list[tuple[str, str]]:
    """Everything there is to say of a suggestion, each under its heading."""
    if suggestion.abstained:
        return [("Why careplan abstains", " ".join(map(sentence, suggestion.reasons)))]
    found = [("In short", " ".join(map(sentence, (*(line.why for line in suggestion.lines), *suggestion.reasons))))]
    if suggestion.options:
        found.append(("Compared", " ".join(sentence(_compared(option, unit)) for option in suggestion.options)))
    if suggestion.limits_bound:
        found.append(("Limits that bound it", " ".join(map(sentence, bound(suggestion.limits_bound, unit)))))
    return found


def _compared(option: Option, unit: Unit) -> str:
    mean, risk = option.outcomes["mean"], option.outcomes["risk"]
    return f"{option.name}: mean {unit.text(mean.mid)} {unit.name}, risk {risk.mid:.3g}"


def because(line: Line, suggestion: Suggestion, unit: Unit) -> str:
    """Why one line is proposed."""
    return line.why


def bound(breaches: Sequence[Breach], unit: Unit) -> list[str]:
    """The rules that bound a suggestion, each once."""
    return list(dict.fromkeys(in_words(breach, RULES) for breach in breaches))
