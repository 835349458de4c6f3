"""The consensus bands of glucose and the targets for adults: the one home of 54, 70, 180 and 250 mg/dL and of 4 % and 1 %.

Very low < 54 <= low < 70 <= in range <= 180 < high <= 250 < very high; tight range 70-140 inclusive (Battelino 2019; 2023). All
are clinicians' to own; docs/reference/clinical.md has the sources.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from careplan.display import Band, Marks
from careplan.language import N_

VERY_LOW, LOW, TIGHT, HIGH, VERY_HIGH = 54.0, 70.0, 140.0, 180.0, 250.0  # mg/dL

# % of readings: fewer than these below and above, more than that in range.
TARGETS: Mapping[str, float] = {"below_54": 1.0, "below_70": 4.0, "in_range": 70.0, "above_180": 25.0, "above_250": 5.0}
BELOW_54_TARGET, BELOW_70_TARGET, IN_RANGE_TARGET, ABOVE_180_TARGET, ABOVE_250_TARGET = TARGETS.values()
CV_TARGET = 36.0  # %: variation is stable up to it

MARKS = Marks(
    bands=(
        Band(N_("Very high"), "very_high", VERY_HIGH, 400.0, 2),
        Band(N_("High"), "high", HIGH, VERY_HIGH, 1),
        Band(N_("In range"), "in_range", LOW, HIGH, 0),
        Band(N_("Low"), "low", VERY_LOW, LOW, -1),
        Band(N_("Very low"), "very_low", 40.0, VERY_LOW, -2),
    ),
    targets=TARGETS,
    bottom=40.0,
    top=300.0,
)

Levels = TypeVar("Levels", bound=Any)  # a tensor, an array or a column


def outcomes(level: Levels) -> dict[str, Levels]:
    """Which of the levels `[...]` mg/dL count for each outcome: booleans `[...]` by name; a missing level counts for none."""
    return {
        "in_range": (level >= LOW) & (level <= HIGH),
        "below_70": level < LOW,
        "below_54": level < VERY_LOW,
        "above_180": level > HIGH,
        "above_250": level > VERY_HIGH,
    }
