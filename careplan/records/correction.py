"""What a reader dropped or changed, by row and rule; light, so that pages may show it without reading anything."""

from collections.abc import Iterable, Iterator, Mapping
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


def rows_told(corrections: Iterable[Correction], ignored: Mapping[str, int]) -> Iterator[tuple[Correction, int]]:
    """Each correction, and how many rows it stands for. Rows of no channel are counted by kind (`PatientRecord.ignored`) over all
    files: the first correction of such a kind stands for all of them, and those that follow for none."""
    told: set[str] = set()
    for each in corrections:
        kind = each.rule if each.action == "dropped" and each.rule in ignored else None
        yield each, 1 if kind is None else 0 if kind in told else ignored[kind]
        if kind is not None:
            told.add(kind)
