"""The rules of insulin and glucose in words, over those of the planner; glucose is mg/dL."""

from collections.abc import Iterable, Mapping

from careplan import breach as breaches
from careplan.breach import RULES as PLANNERS
from careplan.breach import Breach
from careplan.language import N_, _

RULES: Mapping[str, str] = {
    **PLANNERS,
    "level": N_("{level:g} mg/dL, expected {low:g} to {high:g}"),
    "floor within range": N_("limit {limit:g}, expected between {low:g} and {high:g} mg/dL"),
    "target for lows": N_("{share:.1f} % of readings are below {level:g} mg/dL (target under {target:g} %)"),
    "no readings": N_("there are no recent readings to tell"),
    "near the target for lows": N_(
        "more treatment: {share:.1f} % of readings were below {level:g} mg/dL, near the target of {target:g} %"
    ),
    "corrections apart from meals": N_("more treatment: {days:g} days with a correction apart from meals, {needed:g} needed"),
    "corrections apart from meals of one day": N_(
        "more treatment: {days:g} day with a correction apart from meals, {needed:g} needed"
    ),
}


def breach_in_words(breach: Breach) -> str:
    """A rule that is broken, and what it is about."""
    return breaches.in_words(breach, RULES)


def rule_in_words(breach: Breach) -> str:
    """A rule that is broken, without what it is about."""
    return breaches.rule_in_words(breach, RULES)


def reasons_in_words(reasons: Iterable[Breach], refused: Iterable[Breach], bound: Iterable[Breach] = ()) -> tuple[str, ...]:
    """Why a plan abstains.

    Args:
        reasons: Why only no change may be answered.
        refused: What the guard has against the proposal.
        bound: The rules that closed every change, told where no line may be changed.
    """
    closed = "; ".join(breach_in_words(breach) for breach in bound)
    why = {each: breach_in_words(each) for each in reasons}
    return (
        *(f"{said}: {closed}" if each.rule == "no open line" and closed else said for each, said in why.items()),
        *(_("the guard refused the proposal: {why}", why=breach_in_words(each)) for each in refused),
    )
