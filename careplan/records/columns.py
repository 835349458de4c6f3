"""Rows of text on their way into columns: a list a row would be most of what is held of a file."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.extensions import ExtensionArray

Texts = NDArray[np.object_]
Held = NDArray[np.object_] | ExtensionArray  # long texts are one piece of memory, where pandas has such
TOGETHER = 4096  # rows that are moved into the columns at a time
KNOWN = 5_000  # texts that repeat are kept once, among so many


class Columns:
    """Columns of stripped texts, filled row by row."""

    def __init__(self, width: int) -> None:
        self.rows: list[Sequence[str]] = []  # the last of them, on their way into the columns
        self.pieces: list[list[Held]] = [[] for _ in range(width)]
        self.known: dict[str, str] = {}

    def add(self, fields: Sequence[str]) -> None:
        """One more row, of as many fields as there are columns, or more."""
        self.rows.append(fields)
        if len(self.rows) == TOGETHER:
            self.gather()

    def gather(self) -> None:
        """Moves the rows into the columns: of a wide file most fields are empty."""
        for index, pieces in enumerate(self.pieces):
            pieces.append(self.held([fields[index] for fields in self.rows]))
        self.rows.clear()

    def held(self, texts: list[str]) -> Held:
        """`[N]` the texts, stripped: where few repeat, as with dates, they are no objects of Python, each of which takes 50 bytes
        more."""
        different = set(texts)
        if 2 * len(different) > len(texts):
            return pd.Series([text.strip() for text in texts], dtype="str").array
        if different == {""}:
            return empty(len(texts))
        if len(self.known) > KNOWN:
            self.known.clear()
        once = {text: self.known.setdefault(text.strip(), text.strip()) for text in different}
        return np.array([*map(once.__getitem__, texts), None], dtype=object)[:-1]

    def take(self) -> list[Held]:
        """`[N]` texts of each column, which are then no longer held here."""
        self.gather()
        self.known.clear()
        found = []
        for pieces in self.pieces:
            found.append(whole(pieces))
            pieces.clear()
        return found


def whole(pieces: Sequence[Held]) -> Held:
    """`[N]` the texts of the pieces of a column, held as most of them are."""
    few = [each for each in pieces if isinstance(each, np.ndarray)]
    if 2 * sum(map(len, few)) < sum(map(len, pieces)):
        return pd.concat([pd.Series(each, dtype="str") for each in pieces], ignore_index=True).array
    filled = len(few) < len(pieces) or any(each.strides[0] for each in few)
    return np.concatenate([np.asarray(each, dtype=object) for each in pieces]) if filled else empty(sum(map(len, few)))


def empty(length: int) -> Texts:
    """`[N]` empty texts, held once: not to be written to."""
    return np.broadcast_to(np.array("", dtype=object), (length,))
