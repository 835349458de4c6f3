"""What is said of warfarin, to people: why a dose is proposed, in numbers of the search."""

from collections.abc import Mapping, Sequence

from careplan.breach import RULES
from careplan.suggestion import Option
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
LEVEL = "INR"
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
    asked: Asked, regimen: Regimen, weekly: float, hold: int, due: int, options: Sequence[Option]
) -> tuple[str, ...]:
    """Why the search answers what it does."""
    ours, still = options[0].outcomes, options[1].outcomes
    told = [_state(asked)]
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
    told.append(f"the INR is due in {due} days: until then it is hardly expected to leave the range by far")
    return (*told, ANTAGONIST)


def _state(asked: Asked) -> str:
    if asked.last is None:
        return "no INR yet: age, weight, genotype and other drugs are all that tells of the dose"
    where = "in range" if LOW <= asked.last <= HIGH else "above the range" if asked.last > HIGH else "below the range"
    ceiling = f", {CEILING:g} or more" if asked.last >= CEILING else ""
    return f"the last INR is {asked.last:g}, {where}{ceiling}, on day {asked.days} of treatment"
