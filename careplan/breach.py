"""A rule that something breaks, as a value that guards, searches and stored suggestions hold. Prose is made where it is shown."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from careplan.language import N_, _, retold

# The rules of the planner in words, by name. A therapy has its own for what it adds or says better.
RULES: Mapping[str, str] = {
    # of a setting
    "current value": N_("current value {current:g}, expected above 0"),
    "original value": N_("original value {original:g}, expected above 0"),
    "evidence": N_("{days:g} days of evidence, {needed:g} needed"),
    "evidence of one day": N_("{days:g} day of evidence, {needed:g} needed"),
    "absolute limits": N_("beyond the absolute limits {lowest:g} to {highest:g}"),
    "change in one visit": N_("more than {most:.0%} in one visit"),
    "change from the original": N_("beyond {low:g} to {high:g} times the original {original:g}"),
    "low-level target": N_("more treatment where the low-level target is broken or unknown"),
    "recommended range": N_("{proposed:g} is outside the recommended {low:g} to {high:g}"),
    # of what is known at the moment of planning
    "level": N_("{level:g}, expected {low:g} to {high:g}"),
    "age": N_("measured {minutes:g} min ago, expected at most {most:g}"),
    "baseline rate": N_("baseline rate {rate:g}, expected 0 to {most:g}"),
    "on board": N_("doses of the last hours are unknown, so what is on board is unknown"),
    "last dose": N_("the time of the last dose is unknown"),
    "limit": N_("limit {limit:g}, expected a number from 0 up"),
    "floor within range": N_("limit {limit:g}, expected between {low:g} and {high:g}"),
    # of a dose
    "max_dose": N_("a dose above the largest allowed"),
    "lowest rate": N_("a rate below 0"),
    "max_rate": N_("a rate above the highest allowed"),
    "max_rate_ratio": N_("a rate that is too many times the baseline"),
    "min_spacing": N_("a dose too soon after the last"),
    "max_on_board": N_("more on board than allowed"),
    "floor": N_("more treatment at a level that is too low for it"),
    # of an answer
    "finite": N_("the model's prediction is not finite"),
    "no open line": N_("no line may be changed"),
}


@dataclass(frozen=True)
class Breach:
    """A rule that a value, a dose or a record breaks.

    Args:
        rule: The name of the rule; a rule without words of its own is shown by its name.
        key: What it is about, as a line of a regimen is named ("basal@360"); empty for what is about the whole.
        numbers: What was found and what is allowed, by name. A number that is not finite is unknown, and is left out.
    """

    rule: str
    key: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        known = {name: value for name, value in self.numbers.items() if math.isfinite(value)}
        object.__setattr__(self, "numbers", known)


class _Unknown:
    """A number that a rule speaks of and that is not known."""

    def __format__(self, spec: str) -> str:
        return _("unknown")


class _Numbers(dict[str, Any]):
    def __missing__(self, name: str) -> _Unknown:
        return _Unknown()


def rule_in_words(breach: Breach, rules: Mapping[str, str] = RULES) -> str:
    """What a rule says of the numbers that break it, without what it is about.

    Args:
        breach: The rule and the numbers.
        rules: Sentences by rule, with `{name:g}` where a number belongs; the planner's own stand for those it lacks.

    >>> rule_in_words(Breach("evidence", "basal@360", {"days": 3, "needed": 5}))
    '3 days of evidence, 5 needed'
    >>> rule_in_words(Breach("a rule without words", "", {"impulse": 12.0}))
    'a rule without words (impulse 12)'
    """
    template = rules.get(breach.rule, RULES.get(breach.rule))
    if breach.numbers.get("days") == 1:
        one = f"{breach.rule} of one day"
        template = rules.get(one, RULES.get(one, template))
    if template is not None:
        said = _(template).format_map(_Numbers(breach.numbers))
        ahead = breach.numbers.get("minutes ahead")
        return said if ahead is None else _("{rule}, {minutes:g} min from now", rule=said, minutes=ahead)
    numbers = ", ".join(f"{name} {value:g}" for name, value in breach.numbers.items())
    return f"{breach.rule} ({numbers})" if numbers else retold(breach.rule)


def in_words(breach: Breach, rules: Mapping[str, str] = RULES) -> str:
    """What is about what: "basal@360: 3 days of evidence, 5 needed".

    Args:
        breach: The rule, what it is about, and the numbers.
        rules: Sentences by rule, as in `rule_in_words`.
    """
    said = rule_in_words(breach, rules)
    return f"{breach.key}: {said}" if breach.key else said
