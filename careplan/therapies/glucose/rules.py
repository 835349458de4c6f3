"""The rules of insulin and glucose in words, over those of the planner; glucose is mg/dL."""

from collections.abc import Iterable, Mapping

from careplan.breach import RULES as PLANNERS
from careplan.breach import Breach, in_words, rule_in_words

RULES: Mapping[str, str] = {
    **PLANNERS,
    "level": "{level:g} mg/dL, expected {low:g} to {high:g}",
    "floor within range": "limit {limit:g}, expected between {low:g} and {high:g} mg/dL",
    "target for lows": "{share:.1f} % of readings are below {level:g} mg/dL (target under {target:g} %)",
    "no readings": "there are no recent readings to tell",
    "near the target for lows": (
        "more treatment: {share:.1f} % of readings were below {level:g} mg/dL, near the target of {target:g} %"
    ),
    "corrections apart from meals": ("more treatment: {days:g} days with a correction apart from meals, {needed:g} needed"),
}


def told(breach: Breach) -> str:
    """A rule that is broken, and what it is about."""
    return in_words(breach, RULES)


def rule_told(breach: Breach) -> str:
    """A rule that is broken, without what it is about."""
    return rule_in_words(breach, RULES)


def reasons_told(reasons: Iterable[Breach], refused: Iterable[Breach], bound: Iterable[Breach] = ()) -> tuple[str, ...]:
    """Why a plan abstains.

    Args:
        reasons: What closed the gate.
        refused: What the guard has against the proposal.
        bound: The rules that closed every change, told where no line may be changed.
    """
    closed = "; ".join(told(breach) for breach in bound)
    return (
        *(f"{told(each)}: {closed}" if each.rule == "no open line" and closed else told(each) for each in reasons),
        *(f"the guard refused the proposal: {told(each)}" for each in refused),
    )
