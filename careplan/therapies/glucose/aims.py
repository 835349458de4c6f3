"""The glucose therapy as it is for somebody's targets: what a plan may cost, what it aims at, and what limits follow."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from careplan.practice import later
from careplan.targets import Targets
from careplan.therapies.glucose.bands import ADULTS, HIGH, LOW, marks_of, most_low
from careplan.therapies.glucose.declaration import BEST, GLUCOSE, harm, limits_of
from careplan.therapy import Cost, Limits, Therapy

if TYPE_CHECKING:
    from careplan.recording import Recording
    from careplan.therapies.glucose.decisions import caution, judge
    from careplan.therapies.glucose.pages import days_of, glance, stretches
else:
    HERE = "careplan.therapies.glucose"
    caution, judge = later(f"{HERE}.decisions", "caution", "judge")
    days_of, glance, stretches = later(f"{HERE}.pages", "days_of", "glance", "stretches")

ABOVE_LOW = 10.0  # mg/dL by which no insulin is added above the low edge, at least: 80 for the consensus's 70


def aims(targets: Targets) -> Mapping[str, Any]:
    """The fields of the practice that depend on targets."""
    return {
        "glance": partial(glance, targets=targets),
        "limits": lambda facts: limits_for(limits_of(facts), targets),
        "judge": partial(judge, targets=targets),
        "caution": partial(caution, targets=targets),
        "days": partial(days_of, targets=targets),
        "stretches": partial(stretches, targets=targets),
        "marks": marks_of(targets),
    }


def therapy_for(targets: Targets) -> Therapy:
    """What plans are searched with: the costs are the targets for lows, and the least risk lies as deep in the range as it does
    in the adults' (`BEST`), by the geometric middles of the two."""
    if targets.same(ADULTS):
        return GLUCOSE
    low, very_low = targets.levels["low"], targets.levels["very_low"]
    best = BEST * math.sqrt(low * targets.levels["high"] / (LOW * HIGH))
    budgets = most_low(targets)
    return replace(
        GLUCOSE,
        outputs=(replace(GLUCOSE.outputs[0], best=best, risk=lambda level: harm(level * (BEST / best))),),
        costs=(
            Cost(name="below_70", below=low, budget=budgets["below_70"] / 100),
            Cost(name="below_54", below=very_low, budget=budgets["below_54"] / 100),
        ),
    )


def limits_for(limits: Limits, targets: Targets) -> Limits:
    """A group's limits for somebody with these targets: a higher low edge lifts the level below which no insulin is added; a
    lower one moves it nowhere."""
    return replace(limits, floor=max(limits.floor, targets.levels["low"] + ABOVE_LOW))


def same_aims(recordings: "Sequence[Recording]") -> list[tuple[Targets, list[int]]]:
    """The places of recordings whose patients aim at the same, with what that is."""
    found: list[tuple[Targets, list[int]]] = []
    for place, recording in enumerate(recordings):
        targets = recording.targets or ADULTS
        places = next((places for other, places in found if other.same(targets)), None)
        if places is None:
            found.append((targets, [place]))
        else:
            places.append(place)
    return found
