"""The bands of glucose and what is aimed at: the one home of 54, 70, 180 and 250 mg/dL, of 4 % and 1 %, and of every preset.

Very low < 54 <= low < 70 <= in range <= 180 < high <= 250 < very high; tight range 70-140 inclusive (Battelino 2019; 2023). All
are clinicians' to own; docs/reference/clinical.md has the sources. A patient's own targets move the edges and the shares; an
outcome keeps the name that it has with the adults' edges ("below_70" is below the range).
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from careplan.display import Band, Marks
from careplan.language import N_
from careplan.targets import Preset, Presets, Targets

VERY_LOW, LOW, TIGHT, HIGH, VERY_HIGH = 54.0, 70.0, 140.0, 180.0, 250.0  # mg/dL

# % of readings: fewer than these below and above, more than that in range.
TARGETS: Mapping[str, float] = {"below_54": 1.0, "below_70": 4.0, "in_range": 70.0, "above_180": 25.0, "above_250": 5.0}
BELOW_54_TARGET, BELOW_70_TARGET, ABOVE_180_TARGET = (TARGETS[name] for name in ("below_54", "below_70", "above_180"))
CV_TARGET = 36.0  # %: variation is stable up to it

LEVELS: Mapping[str, float] = {"very_low": VERY_LOW, "low": LOW, "high": HIGH, "very_high": VERY_HIGH}
ADULTS = Targets(preset="adults", levels=LEVELS, shares={**TARGETS, "cv": CV_TARGET})
CHILDREN = Targets(preset="children", levels=LEVELS, shares=ADULTS.shares)
OLDER = Targets(preset="older", levels=LEVELS, shares={"below_70": 1.0, "in_range": 50.0, "above_180": 50.0, "above_250": 10.0})
PREGNANCY = Targets(
    preset="pregnancy",
    levels={**LEVELS, "low": 63.0, "high": 140.0},
    shares={"below_54": 1.0, "below_70": 4.0, "in_range": 70.0, "above_180": 25.0},
)
CONSENSUS = "International consensus on time in range (Battelino et al. 2019, Diabetes Care 42, 1593)"
PRESETS = Presets(
    known=(
        Preset(targets=ADULTS, whom=N_("Adults, type 1 or 2"), source=CONSENSUS),
        Preset(targets=OLDER, whom=N_("Older, or at high risk of hypoglycaemia"), source=CONSENSUS),
        Preset(targets=PREGNANCY, whom=N_("Pregnancy, type 1"), source=CONSENSUS),
        Preset(
            targets=CHILDREN,
            whom=N_("Children, adolescents and young adults"),
            source="ISPAD consensus guidelines on glycaemic targets (de Bock et al. 2022, Pediatr Diabetes 23, 1270)",
        ),
    ),
    groups={"adult": "adults", "adolescent": "children", "child": "children"},
    # Ours, about what the presets and LoopKit's guardrails span: beyond them nobody is treated to, whoever signs.
    bounds={
        "very_low": (45.0, 70.0),
        "low": (60.0, 110.0),
        "high": (120.0, 250.0),
        "very_high": (180.0, 400.0),
        "below_54": (0.1, 5.0),
        "below_70": (0.5, 10.0),
        "in_range": (10.0, 100.0),
        "above_180": (1.0, 90.0),
        "above_250": (0.5, 60.0),
        "cv": (15.0, 60.0),
    },
    needed=("below_70", "in_range"),
    nested=(("below_54", "below_70"), ("above_250", "above_180")),
    apart=5.0,
)


def marks_of(targets: Targets) -> Marks:
    """What charts and tables mark for somebody with these targets."""
    very_low, low, high, very_high = (targets.levels[name] for name in LEVELS)
    return Marks(
        bands=(
            Band(N_("Very high"), "very_high", very_high, 400.0, 2),
            Band(N_("High"), "high", high, very_high, 1),
            Band(N_("In range"), "in_range", low, high, 0),
            Band(N_("Low"), "low", very_low, low, -1),
            Band(N_("Very low"), "very_low", 40.0, very_low, -2),
        ),
        targets=targets.shares,
        bottom=40.0,
        top=300.0,
    )


MARKS = marks_of(ADULTS)

Levels = TypeVar("Levels", bound=Any)  # a tensor, an array or a column


def outcomes(level: Levels, targets: Targets = ADULTS) -> dict[str, Levels]:
    """Which of the levels `[...]` mg/dL count for each outcome: booleans `[...]` by name; a missing level counts for none."""
    very_low, low, high, very_high = (targets.levels[name] for name in LEVELS)
    return {
        "in_range": (level >= low) & (level <= high),
        "below_70": level < low,
        "below_54": level < very_low,
        "above_180": level > high,
        "above_250": level > very_high,
    }


def most_low(targets: Targets) -> dict[str, float]:
    """The shares for lows that nobody may reach, in %: where none is set for the lowest, that of all lows, of which they are a
    part."""
    below = targets.shares["below_70"]
    return {"below_54": min(below, targets.shares.get("below_54", below)), "below_70": below}
