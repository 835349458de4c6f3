"""The families of bodies, by name: structurally different equations of the same disease, each with its own population.

A body here is never a real one; what a model learned from one family it must show on another (docs/explanation/cohorts.md).
"""

from collections.abc import Callable
from typing import Literal, cast, get_args

import torch

from careplan.therapies.glucose.declaration import Group
from cohorts import assorted, minimal, padova, sorensen
from cohorts.drawing import Drawn

Family = Literal["padova", "minimal", "sorensen", "assorted"]
FAMILIES: tuple[Family, ...] = get_args(Family)
DRAWN: dict[Family, Callable[[Group, int, torch.Generator], Drawn]] = {
    "padova": padova.draw,
    "minimal": minimal.draw,
    "sorensen": sorensen.draw,
    "assorted": assorted.draw,
}


def draw(family: Family, group: str, count: int, generator: torch.Generator) -> Drawn:
    """`count` people of one family and group (of type 2 too, who have the UVA/Padova model's equations alone)."""
    if group == "type2":
        return padova.draw_type2(count, generator)
    return DRAWN[family](cast(Group, group), count, generator)
