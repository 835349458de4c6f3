"""Rows of text on their way into columns: a list a row would be most of what is held of a file."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Texts = NDArray[np.object_]
TOGETHER = 4096  # rows that are moved into the columns at a time
BRIEF, KNOWN = 12, 5_000  # texts up to this long that repeat are kept once, among so many


class Columns:
    """Columns of stripped texts, filled row by row."""

    def __init__(self, width: int) -> None:
        self.rows: list[Sequence[str]] = []  # the last of them, on their way into the columns
        self.pieces: list[list[Texts]] = [[] for _ in range(width)]
        self.known: dict[str, str] = {}

    def add(self, fields: Sequence[str]) -> None:
        """One more row, of as many fields as there are columns, or more."""
        if len(self.known) > KNOWN:
            self.known.clear()
        once = self.known.setdefault
        self.rows.append([once(text, text) if text and len(text) <= BRIEF else text for text in fields])
        if len(self.rows) == TOGETHER:
            self.gather()

    def gather(self) -> None:
        """Moves the rows into the columns: of a wide file most fields are empty."""
        for index, pieces in enumerate(self.pieces):
            texts = [fields[index] for fields in self.rows]
            if any(texts):
                pieces.append(np.array([text.strip() if text else text for text in texts] + [None], dtype=object)[:-1])
            else:
                pieces.append(empty(len(texts)))
        self.rows.clear()

    def take(self) -> list[Texts]:
        """`[N]` texts of each column, which are then no longer held here."""
        self.gather()
        self.known.clear()
        found = []
        for pieces in self.pieces:
            filled = any(each.strides[0] for each in pieces)
            found.append(np.concatenate(pieces) if filled else empty(sum(map(len, pieces))))
            pieces.clear()
        return found


def empty(length: int) -> Texts:
    """`[N]` empty texts, held once: not to be written to."""
    return np.broadcast_to(np.array("", dtype=object), (length,))
