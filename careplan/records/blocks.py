"""Delimited files of several blocks: lines above, a header, rows beneath it, and perhaps another header further down."""

import csv
from array import array
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from careplan.records.columns import Columns, Held, Texts, empty
from careplan.records.events import RecordError
from careplan.records.raw import DELIMITERS, lines_of
from careplan.records.text import AGAIN, LONG, normal, read_text, seems_cut

IsHeader = Callable[[Sequence[str]], bool]
SECTION = "-----"  # how a line between two sections begins


@dataclass(frozen=True, eq=False)
class Block:
    """A header, the rows beneath it, and the lines between the block before and it."""

    file: Path
    above: tuple[tuple[str, ...], ...]
    fields: Mapping[str, str]  # normalised header -> as written, of the columns that were kept
    places: tuple[int, ...]  # where in the file each of them stands
    columns: Mapping[str, Held]  # normalised header -> stripped texts [N]
    row: NDArray[np.int64]  # [N] lines of the file, counted from 1
    delimiter: str
    left: Mapping[int, str] = field(default_factory=dict)  # rows left out, and by which rule
    cut: int | None = None  # the last row, where it has no end and its last field is shorter than all others of the column

    def __len__(self) -> int:
        return len(self.row)

    @property
    def read(self) -> int:
        """How many rows there are, with those that are left out."""
        return len(self.row) + len(self.left)

    @property
    def names(self) -> list[str]:
        """The normalised headers of the columns that were kept."""
        return list(self.fields)

    def at(self, place: int) -> str:
        """The normalised header of the column at a place; empty where it was not kept."""
        return self.names[self.places.index(place)] if place in self.places else ""

    def has(self, name: str) -> bool:
        return name in self.fields

    def column(self, *names: str) -> str:
        """The first normalised header that begins with one of the names, in their order; the first name where there is none."""
        return next((header for name in names for header in self.fields if header.startswith(name)), names[0])

    def written(self, name: str) -> str:
        """A header as the file has it."""
        return self.fields.get(name, name)

    def texts(self, name: str) -> Texts:
        """`[N]` a column's texts; empty where the column is not there."""
        return np.asarray(self.columns[name], dtype=object) if name in self.columns else empty(len(self))

    def text(self, name: str, index: int) -> str:
        """What one row has in a column."""
        return str(self.columns[name][index]) if name in self.columns else ""


def read_blocks(
    path: Path,
    is_header: IsHeader,
    expected: str,
    *,
    keep: Callable[[int, str], bool] = lambda place, name: True,
    fallback: str | None = "cp1252",
) -> list[Block]:
    """The blocks of a delimited file: each begins at a line that `is_header`, at the top or after a blank line or one of dashes.

    keep: which columns to keep, by place and normalised header. A header that repeats, or is empty, is named by its place.
    A header that stands in its block once more is left out. fallback: the encoding of files that are not UTF-8.
    Raises `RecordError` where there is no such header (expected: what was looked for), or the file ends inside a row.
    """
    text = read_text(path, fallback=fallback)
    if "\n" not in text.rstrip("\n"):
        text = text.replace("\r", "\n")
    blocks: list[Block] = []
    above: list[tuple[str, ...]] = []
    gathering: Gathering | None = None
    may_begin = True
    delimiter = delimiter_of(text, is_header)
    reader = csv.reader(lines_of(text), delimiter=delimiter)
    try:
        for fields in reader:
            if not any(fields):
                may_begin = True
            elif gathering is not None and gathering.repeats(fields):
                gathering.left[reader.line_num], may_begin = AGAIN, False
            elif may_begin and is_header(fields):
                blocks += [gathering.block(path)] if gathering else []
                gathering, above, may_begin = Gathering(fields, tuple(above), keep, delimiter), [], False
            elif fields[0].startswith(SECTION):
                blocks += [gathering.block(path)] if gathering else []
                gathering, may_begin = None, True
                above.append(tuple(fields))
            elif gathering is not None:
                gathering.add(fields, reader.line_num)
                may_begin = False
            else:
                above.append(tuple(fields))
    except csv.Error as error:
        raise RecordError(f"not delimited text: {error}", file=path, row=reader.line_num) from error
    whole = text.endswith(("\n", "\r"))
    del text, reader  # a quarter of what is held
    if gathering is not None:
        blocks.append(gathering.block(path, ended=whole))
    if not blocks:
        raise RecordError(f"expected {expected}, found none", file=path, row=1)
    return blocks


def delimiter_of(text: str, is_header: IsHeader) -> str:
    """The delimiter under which one of the first lines is a header; else the commonest in them."""
    lines = text[: 1 << 16].splitlines()[:100]
    for delimiter in DELIMITERS:
        try:
            if any(is_header(fields) for fields in csv.reader(lines, delimiter=delimiter) if fields):
                return delimiter
        except csv.Error:
            continue
    return max(DELIMITERS, key="".join(lines).count)


class Gathering:
    """A block while its rows are read: the kept columns of each row, and its line."""

    def __init__(
        self, header: list[str], above: tuple[tuple[str, ...], ...], keep: Callable[[int, str], bool], delimiter: str
    ) -> None:
        names = [normal(name) for name in header]
        counts = Counter(names)
        unique = [name if name and counts[name] == 1 else f"{name}{place}" for place, name in enumerate(names)]
        self.places = [place for place, name in enumerate(unique) if keep(place, name)]
        self.names = [unique[place] for place in self.places]
        self.header = [name.strip() for name in header]
        self.above, self.width, self.delimiter = above, len(header), delimiter
        self.remarked = names[-1:] == ["remark"] and delimiter == ";"  # a decimal comma cannot have moved what follows
        self.get = itemgetter(*self.places, *self.places[:1])  # twice the first: always a tuple
        self.columns = Columns(len(self.places))
        self.lines = array("q")
        self.left: dict[int, str] = {}
        self.shortest, self.last = self.width, self.width

    def repeats(self, fields: list[str]) -> bool:
        """Whether a row is the header once more."""
        return fields[0].strip() == self.header[0] and [text.strip() for text in fields[: self.width]] == self.header

    def add(self, fields: list[str], line: int) -> None:
        if len(fields) > self.width and self.remarked:
            fields = [*fields[: self.width - 1], self.delimiter.join(fields[self.width - 1 :])]
        if len(fields) > self.width and any(fields[self.width :]):
            self.left[line] = LONG
            return
        if self.last < self.shortest:
            self.shortest = self.last
        self.last = len(fields)
        if self.last < self.width:
            fields = fields + [""] * (self.width - self.last)
        self.columns.add(self.get(fields))
        self.lines.append(line)

    def block(self, path: Path, *, ended: bool = True) -> Block:
        """The rows as a table of text. ended: whether the last row has a line end. Raises `RecordError` where many rows have more
        fields than the header, or the last, which has no line end, has fewer than every other.
        """
        if not ended and self.last < self.shortest:
            problem = f"the file ends inside a row: {self.last} fields, expected {self.shortest}"
            raise RecordError(problem, file=path, row=self.lines[-1])
        long = [line for line, rule in self.left.items() if rule == LONG]
        if len(long) > 0.05 * (len(self.lines) + len(long)):
            problem = f"{len(long)} rows have more than {self.width} fields (a decimal comma between commas?)"
            raise RecordError(problem, file=path, row=long[0])
        columns = dict(zip(self.names, self.columns.take(), strict=True))
        last = columns[self.names[-1]].tolist() if self.names and not ended else []
        cut = self.lines[-1] if last and seems_cut(last) else None
        written = {name: self.header[place] for name, place in zip(self.names, self.places, strict=True)}
        lines = np.array(self.lines, dtype=np.int64)
        return Block(path, self.above, written, tuple(self.places), columns, lines, self.delimiter, self.left, cut)


def each(texts: Texts, function: Callable[[str], object]) -> Texts:
    """`[N]` what a function makes of each text, asked once a different text."""
    code, uniques = pd.factorize(texts)
    found = np.empty(len(uniques), dtype=object)
    for index, text in enumerate(uniques):
        found[index] = function(text)
    return found[code]


def where(texts: Texts, holds: Callable[[str], bool]) -> NDArray[np.bool_]:
    """`[N]` where a text is such, asked once a different text."""
    return each(texts, holds).astype(bool)
