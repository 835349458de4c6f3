"""What a reader dropped or changed, by row and rule; light, so that pages may show it without reading anything."""

from typing import Literal, NamedTuple

Action = Literal["dropped", "changed"]


class Correction(NamedTuple):
    """One row that a reader dropped or changed, and by which stated rule."""

    action: Action
    rule: str
    file: str
    row: int
    field: str
    detail: str
