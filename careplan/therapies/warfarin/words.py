"""What is said of warfarin, to people: why a dose is proposed, in numbers of the search."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from careplan.breach import RULES, Breach, in_words
from careplan.display import Unit
from careplan.language import N_, _, retold
from careplan.suggestion import Line, Option, Suggestion
from careplan.targets import Targets
from careplan.therapies.warfarin.aims import USUAL, marks_of
from careplan.therapies.warfarin.declaration import CEILING
from careplan.therapies.warfarin.protocols import HIGH, LOW
from careplan.therapies.warfarin.regimen import Regimen, tablets, week_of

if TYPE_CHECKING:
    from careplan.therapies.warfarin.search import Asked

SETTINGS = {
    "weekly_dose": N_("Weekly dose"),
    "hold": N_("Evenings left out"),
    "next_inr": N_("Next INR"),
    "evening": N_("Evening dose"),
    "inr": N_("INR"),
    "warfarin": N_("Warfarin"),
    "inhibitor": N_("Drug that slows its breakdown"),
    "inducer": N_("Drug that speeds its breakdown"),
}
IN_SENTENCES = (N_("weekly dose"), N_("evenings left out"), N_("next INR"), N_("evening dose"), N_("Ceiling"))
UNITS = {"weekly_dose": N_("mg a week"), "hold": N_("evenings"), "next_inr": N_("days"), "evening": "mg"}
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
    "low-level target": N_("more warfarin while the INR is above 4 or unknown"),
    "change in one visit": N_("more than {most:.0%} of the weekly dose in one visit"),
}
TABLETS = N_("{days} {dose:g} mg")
WEEKDAYS = (N_("Mon"), N_("Tue"), N_("Wed"), N_("Thu"), N_("Fri"), N_("Sat"), N_("Sun"))
# Reasons as they are stored, in English; `said` tells them in the reader's language.
HOLD_ONE = N_("no tablet on 1 evening: the INR falls by itself as factors are made again")
HOLD = N_("no tablet on {evenings} evenings: the INR falls by itself as factors are made again")
NOTHING_BETTER = N_("no other weekly dose is predicted to be better than {weekly:g} mg")
PREDICTED = N_(
    "{weekly:g} mg a week ({tablets}) is predicted to give {in_range:.0f} % of the next 28 days in range, {above:.1f} % above 4; "
    "no change {in_range_still:.0f} and {above_still:.1f} %"
)
PREDICTED_FOR_NOW = N_(
    "{weekly:g} mg a week ({tablets}) until the next INR, and then the {suits:g} mg that are expected to suit, are predicted to "
    "give {in_range:.0f} % of the next 28 days in range, {above:.1f} % above 4; no change {in_range_still:.0f} and "
    "{above_still:.1f} %"
)
SUITS = N_("in the end about {suits:g} mg a week are expected to suit")
DUE_CALM = N_("the INR is due in {days} days: until then it is hardly expected to leave the range by far")
DUE = N_("the INR is due in {days} days: what it says decides how to go on")
NO_INR = N_("no INR yet: age, weight, genotype and other drugs are all that tells of the dose")
STATES = {
    "in": N_("the last INR is {last:g}, in range, on day {day} of treatment"),
    "above": N_("the last INR is {last:g}, above the range, on day {day} of treatment"),
    "below": N_("the last INR is {last:g}, below the range, on day {day} of treatment"),
    "ceiling": N_("the last INR is {last:g}, above the range, {ceiling:g} or more, on day {day} of treatment"),
}
ANTAGONIST = N_(
    "warfarin keeps vitamin K from being used again, so that fewer clotting factors are made; those in the blood last from hours "
    "(VII) to days (prothrombin), so a change shows in part after 2 to 3 days and in full after 2 weeks"
)


def why_in_words(
    asked: "Asked",
    regimen: Regimen,
    weekly: float,
    hold: int,
    due: int,
    options: Sequence[Option],
    suits: float,
    targets: Targets = USUAL,
) -> tuple[str, ...]:
    """Why the search answers what it does."""
    ours, still = options[0].outcomes, options[1].outcomes
    told = [_state(asked, targets)]
    if hold:
        told.append(HOLD.format(evenings=hold) if hold > 1 else HOLD_ONE)
    for_now = asked.for_now(weekly, suits)
    if weekly == regimen.weekly:
        told.append(NOTHING_BETTER.format(weekly=weekly))
    else:
        predicted = (PREDICTED_FOR_NOW if for_now else PREDICTED).format(
            weekly=weekly,
            suits=suits,
            tablets=tablets(week_of(weekly, regimen.strengths)),
            in_range=ours["in_range"].mid,
            above=ours["above_4"].mid,
            in_range_still=still["in_range"].mid,
            above_still=still["above_4"].mid,
        )
        told.append(predicted)
    if weekly != suits and not for_now:
        told.append(SUITS.format(suits=suits))
    low, high = targets.levels["low"], targets.levels["high"]
    calm = asked.last is not None and low <= asked.last <= high and not asked.starting
    told.append((DUE_CALM if calm else DUE).format(days=due))
    return (*told, ANTAGONIST)


def _state(asked: "Asked", targets: Targets) -> str:
    if asked.last is None:
        return NO_INR
    low, high = targets.levels["low"], targets.levels["high"]
    where = "in" if low <= asked.last <= high else "below" if asked.last < low else "above"
    told = STATES["ceiling" if asked.last >= CEILING else where]
    return told.format(last=asked.last, day=asked.days, ceiling=CEILING)


def said(suggestion: Suggestion, unit: Unit) -> list[tuple[str, str]]:
    """Everything there is to say of a suggestion, each under its heading, in the order to read it."""
    if suggestion.abstained:
        return [(_("Why careplan abstains"), _sentences([retold(each) for each in suggestion.reasons]))]
    found = [(_("In short"), _sentences([retold(each) for each in suggestion.reasons if each != ANTAGONIST]))]
    found.append((_("Why it takes days"), _sentences([_(ANTAGONIST)])))
    if suggestion.options:
        low = (suggestion.targets or USUAL).levels["low"]
        found.append((_("Compared"), _sentences([_compared(option, unit, low) for option in suggestion.options])))
    if suggestion.limits_bound:
        found.append((_("Limits that bound it"), _sentences(limits_in_words(suggestion.limits_bound, unit))))
    return found


def because(line: Line, suggestion: Suggestion, unit: Unit) -> str:
    """Why one line is proposed: the tablets, the evenings, or the day."""
    return retold(line.why, TABLETS)


def limits_in_words(bound: Sequence[Breach], unit: Unit) -> list[str]:
    """The rules that bound a suggestion, each once."""
    return list(dict.fromkeys(in_words(breach, WORDS).replace("weekly_dose@0: ", "") for breach in bound))


def _compared(option: Option, unit: Unit, low: float) -> str:
    outcomes = option.outcomes
    return _(
        N_(
            "{option} ({does}): {in_range:.0f} % of 28 days in range, {above:.1f} % above 4, {below:.0f} % below {low:g}, "
            "mean {mean}"
        ),
        option=_(option.name),
        does=retold(option.does),
        in_range=outcomes["in_range"].mid,
        above=outcomes["above_4"].mid,
        below=outcomes["below_2"].mid,
        low=low,
        mean=unit.text(outcomes["mean"].mid),
    )


def _sentences(told: Sequence[str]) -> str:
    stop = _(".")
    return " ".join(f"{each[:1].upper()}{each[1:]}{stop}" for each in told)
