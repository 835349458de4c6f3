"""What is said of warfarin, to people: why a dose is proposed, in numbers of the search."""

from collections.abc import Mapping, Sequence

from careplan.breach import RULES, Breach, in_words
from careplan.display import Unit
from careplan.suggestion import Line, Option, Suggestion
from careplan.targets import Targets
from careplan.therapies.warfarin.aims import USUAL, marks_of
from careplan.therapies.warfarin.declaration import CEILING
from careplan.therapies.warfarin.protocols import HIGH, LOW
from careplan.therapies.warfarin.regimen import Regimen, tablets, week_of
from careplan.therapies.warfarin.search import Asked

SETTINGS = {"weekly_dose": "Weekly dose", "hold": "Evenings left out", "next_inr": "Next INR", "evening": "Evening dose"}
OUTCOMES = {
    "in_range": f"Days in range ({LOW:g} to {HIGH:g})",
    "above_4": "Days above 4",
    "below_2": f"Days below {LOW:g}",
    "mean": "Mean INR",
    "risk": "Risk",
}
INR = Unit("INR", 1.0, 1)
MARKS = marks_of(USUAL)
# What the guard's rules mean here.
WORDS: Mapping[str, str] = {
    **RULES,
    "low-level target": "more warfarin while the INR is above 4 or unknown",
    "change in one visit": "more than {most:.0%} of the weekly dose in one visit",
}
ANTAGONIST = (
    "warfarin keeps vitamin K from being used again, so that fewer clotting factors are made; those in the blood last from hours "
    "(VII) to days (prothrombin), so a change shows in part after 2 to 3 days and in full after 2 weeks"
)


def why_in_words(
    asked: Asked, regimen: Regimen, weekly: float, hold: int, due: int, options: Sequence[Option], suits: float,
    targets: Targets = USUAL,
) -> tuple[str, ...]:
    """Why the search answers what it does."""
    ours, still = options[0].outcomes, options[1].outcomes
    told = [_state(asked, targets)]
    if hold:
        told.append(f"no tablet on {hold} evening{'s' if hold > 1 else ''}: the INR falls by itself as factors are made again")
    if weekly == regimen.weekly:
        told.append(f"no other weekly dose is predicted to be better than {weekly:g} mg")
    else:
        each = tablets(week_of(weekly, regimen.strengths))
        told.append(
            f"{weekly:g} mg a week ({each}) is predicted to give {ours['in_range'].mid:.0f} % of the next 28 days in range, "
            f"{ours['above_4'].mid:.1f} % above 4; no change {still['in_range'].mid:.0f} and {still['above_4'].mid:.1f} %"
        )
    if weekly != suits:
        told.append(f"in the end about {suits:g} mg a week are expected to suit")
    low, high = targets.levels["low"], targets.levels["high"]
    calm = asked.last is not None and low <= asked.last <= high and not asked.starting
    until = "until then it is hardly expected to leave the range by far" if calm else "what it says decides how to go on"
    told.append(f"the INR is due in {due} days: {until}")
    return (*told, ANTAGONIST)


def _state(asked: Asked, targets: Targets) -> str:
    if asked.last is None:
        return "no INR yet: age, weight, genotype and other drugs are all that tells of the dose"
    low, high = targets.levels["low"], targets.levels["high"]
    where = "in range" if low <= asked.last <= high else "above the range" if asked.last > high else "below the range"
    ceiling = f", {CEILING:g} or more" if asked.last >= CEILING else ""
    return f"the last INR is {asked.last:g}, {where}{ceiling}, on day {asked.days} of treatment"


def said(suggestion: Suggestion, unit: Unit) -> list[tuple[str, str]]:
    """Everything there is to say of a suggestion, each under its heading, in the order to read it."""
    if suggestion.abstained:
        return [("Why careplan abstains", _sentences(suggestion.reasons))]
    found = [("In short", _sentences([each for each in suggestion.reasons if each != ANTAGONIST]))]
    found.append(("Why it takes days", _sentences([ANTAGONIST])))
    if suggestion.options:
        low = (suggestion.targets or USUAL).levels["low"]
        found.append(("Compared", _sentences([_compared(option, unit, low) for option in suggestion.options])))
    if suggestion.limits_bound:
        found.append(("Limits that bound it", _sentences(limits_in_words(suggestion.limits_bound, unit))))
    return found


def because(line: Line, suggestion: Suggestion, unit: Unit) -> str:
    """Why one line is proposed: the tablets, the evenings, or the day."""
    return line.why


def limits_in_words(bound: Sequence[Breach], unit: Unit) -> list[str]:
    """The rules that bound a suggestion, each once."""
    return list(dict.fromkeys(in_words(breach, WORDS).replace("weekly_dose@0: ", "") for breach in bound))


def _compared(option: Option, unit: Unit, low: float) -> str:
    outcomes = option.outcomes
    return (
        f"{option.name} ({option.does}): {outcomes['in_range'].mid:.0f} % of 28 days in range, "
        f"{outcomes['above_4'].mid:.1f} % above 4, {outcomes['below_2'].mid:.0f} % below {low:g}, "
        f"mean {unit.text(outcomes['mean'].mid)}"
    )


def _sentences(told: Sequence[str]) -> str:
    return " ".join(f"{each[:1].upper()}{each[1:]}." for each in told)
