"""Delimited files of several blocks: lines above, a header, rows beneath it, and perhaps another header further down."""

import csv
import io
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from careplan.records.events import RecordError
from careplan.records.text import DELIMITERS, Rows, normal, read_text

IsHeader = Callable[[Sequence[str]], bool]
SECTION = "-----"  # how a line between two sections begins


@dataclass(frozen=True, eq=False)
class Block:
    """A header, the rows beneath it, and the lines between the block before and it."""

    rows: Rows
    above: tuple[tuple[str, ...], ...]
    long: tuple[int, ...] = ()  # rows with more filled fields than the header, left out

    @property
    def names(self) -> list[str]:
        """The normalised headers of the columns that were kept."""
        return list(self.rows.fields)

    def has(self, name: str) -> bool:
        return name in self.rows.fields

    def column(self, *names: str) -> str:
        """The first normalised header that begins with one of the names, in their order; the first name where there is none."""
        return next((header for name in names for header in self.rows.fields if header.startswith(name)), names[0])

    def written(self, name: str) -> str:
        """A header as the file has it."""
        return self.rows.fields.get(name, name)

    def texts(self, name: str) -> NDArray[np.object_]:
        """`[N]` a column's texts; empty where the column is not there."""
        if not self.has(name):
            return np.full(len(self.rows), "", dtype=object)
        return self.rows.cells[name].to_numpy(dtype=object)


def read_blocks(
    path: Path,
    is_header: IsHeader,
    expected: str,
    *,
    keep: Callable[[int, str], bool] = lambda place, name: True,
    fallback: str | None = None,
) -> list[Block]:
    """The blocks of a delimited file: each begins at a line that `is_header`, and ends at the next or at a line of dashes.

    keep: which columns to keep, by place and normalised header. A header that repeats, or is empty, is named by its place.
    fallback: the encoding of older files that are not UTF-8.
    Raises `RecordError` where there is no such header (expected: what was looked for), or the file ends inside a row.
    """
    text = read_text(path, fallback=fallback)
    blocks: list[Block] = []
    above: list[tuple[str, ...]] = []
    lines = io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8", newline="")  # a fifth of a StringIO's memory
    reader = csv.reader(lines, delimiter=delimiter_of(text, is_header))
    gathering: Gathering | None = None
    try:
        for fields in reader:
            if not fields or not any(fields):
                continue
            if is_header(fields):
                blocks += [gathering.block(path)] if gathering else []
                gathering = Gathering([name.strip() for name in fields], tuple(above), keep)
                above = []
            elif fields[0].startswith(SECTION):
                blocks += [gathering.block(path)] if gathering else []
                gathering = None
                above.append(tuple(fields))
            elif gathering is not None:
                gathering.add(fields, reader.line_num)
            else:
                above.append(tuple(fields))
    except csv.Error as error:
        raise RecordError(f"not delimited text: {error}", file=path, row=reader.line_num) from error
    if gathering is not None:
        gathering.check_end(path, text)
        blocks.append(gathering.block(path))
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

    def __init__(self, header: list[str], above: tuple[tuple[str, ...], ...], keep: Callable[[int, str], bool]) -> None:
        names = [normal(name) for name in header]
        counts = Counter(names)
        unique = [name if name and counts[name] == 1 else f"{name}{place}" for place, name in enumerate(names)]
        self.places = [place for place, name in enumerate(unique) if keep(place, name)]
        self.names = [unique[place] for place in self.places]
        self.header, self.above, self.width = header, above, len(header)
        self.get = itemgetter(*self.places, *self.places[:1])  # twice the first: always a tuple
        self.rows: list[tuple[str, ...]] = []
        self.lines: list[int] = []
        self.long: list[int] = []
        self.shortest, self.last = self.width, self.width

    def add(self, fields: list[str], line: int) -> None:
        if len(fields) > self.width and any(fields[self.width :]):
            self.long.append(line)
            return
        self.shortest, self.last = min(self.shortest, self.last), len(fields)
        if len(fields) < self.width:
            fields = fields + [""] * (self.width - len(fields))
        self.rows.append(self.get(fields))
        self.lines.append(line)

    def check_end(self, path: Path, text: str) -> None:
        """`RecordError` where the last row has fewer fields than every other, and no line end."""
        if self.last < self.shortest and not text.endswith(("\n", "\r")):
            problem = f"the file ends inside a row: {self.last} fields, expected {self.shortest}"
            raise RecordError(problem, file=path, row=self.lines[-1])

    def block(self, path: Path) -> Block:
        if len(self.long) > 0.05 * (len(self.rows) + len(self.long)):
            problem = f"{len(self.long)} rows have more than {self.width} fields (a decimal comma between commas?)"
            raise RecordError(problem, file=path, row=self.long[0])
        columns = list(zip(*self.rows, strict=True)) or [()] * len(self.names)
        stripped = {name: list(map(str.strip, texts)) for name, texts in zip(self.names, columns, strict=False)}
        cells = pd.DataFrame(stripped, dtype=object)
        written = {name: self.header[place] for name, place in zip(self.names, self.places, strict=True)}
        rows = Rows(str(path), cells, np.array(self.lines, dtype=np.int64), written, True)
        return Block(rows, self.above, tuple(self.long))
