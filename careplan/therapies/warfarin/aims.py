"""What an INR is to be held to: the presets, and the therapy as it is for one of them."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from careplan.display import Band, Marks
from careplan.language import N_
from careplan.targets import Preset, Presets, Targets
from careplan.therapies.warfarin.declaration import WARFARIN, risk_within
from careplan.therapies.warfarin.metrics import FAR_BELOW, POOR, TOO_HIGH
from careplan.therapies.warfarin.protocols import HIGH, LOW
from careplan.therapy import Therapy

if TYPE_CHECKING:
    from torch import Tensor

ABOVE_4 = 100.0 * WARFARIN.costs[0].budget  # %
USUAL = Targets(preset="2 to 3", levels={"low": LOW, "high": HIGH}, shares={"in_range": POOR, "above_4": ABOVE_4})
VALVE = Targets(preset="2.5 to 3.5", levels={"low": 2.5, "high": 3.5}, shares=USUAL.shares)
PRESETS = Presets(
    known=(
        Preset(
            targets=USUAL,
            whom=N_("Atrial fibrillation, venous thrombosis, most aortic valves"),
            source="Holbrook et al. 2012, Chest 141 (2 suppl.), e152S",
        ),
        Preset(
            targets=VALVE,
            whom=N_("A mechanical mitral valve, or an aortic one at high risk"),
            source="Whitlock et al. 2012, Chest 141 (2 suppl.), e576S; ACC/AHA 2020 (Otto et al., Circulation 143, e72)",
        ),
    ),
    # Ours: what trials of ranges have gone by, from 1.5 for some aortic valves to 4, above which bleeding is told apart.
    bounds={"low": (1.5, 3.0), "high": (2.0, 3.9), "in_range": (20.0, 100.0), "above_4": (0.5, 20.0)},
    needed=("in_range", "above_4"),
    apart=0.5,
)


def aims(targets: Targets) -> Mapping[str, Any]:
    """The fields of the practice that depend on targets."""
    from careplan.therapies.warfarin.decisions import judge
    from careplan.therapies.warfarin.pages import glance, stretches

    return {
        "glance": partial(glance, targets=targets),
        "judge": partial(judge, targets=targets),
        "stretches": partial(stretches, targets=targets),
        "marks": marks_of(targets),
    }


def marks_of(targets: Targets) -> Marks:
    """What charts and tables mark: far below and above 4 are where harm begins, whatever is aimed at."""
    low, high = targets.levels["low"], targets.levels["high"]
    return Marks(
        bands=(
            Band(N_("above 4"), "very_high", TOO_HIGH, float("inf"), 2),
            Band(N_("above the range"), "high", high, TOO_HIGH, 1),
            Band(N_("in range"), "in_range", low, high, 0),
            Band(N_("below the range"), "low", FAR_BELOW, low, -1),
            Band(N_("below 1.5"), "very_low", 0.0, FAR_BELOW, -2),
        ),
        targets=targets.shares,
        bottom=1.0,
        top=5.0,
    )


def risk_for(targets: Targets) -> "Callable[[Tensor], Tensor]":
    """What plans minimise for somebody with these targets."""
    return partial(risk_within, low=targets.levels["low"], high=targets.levels["high"])


def therapy_for(targets: Targets) -> Therapy:
    """What plans are searched with: the least risk in the middle of the range on its logarithm, and the budget above 4."""
    if targets.same(USUAL):
        return WARFARIN
    low, high = targets.levels["low"], targets.levels["high"]
    [cost] = WARFARIN.costs
    return replace(
        WARFARIN,
        outputs=(replace(WARFARIN.outputs[0], best=math.sqrt(low * high), risk=risk_for(targets)),),
        costs=(replace(cost, budget=targets.shares["above_4"] / 100),),
    )
