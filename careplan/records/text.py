"""Delimited text as rows of strings: encodings, delimiters, headers, numbers, dates and clocks."""

import csv
import re
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from careplan.records.columns import Columns
from careplan.records.events import RecordError
from careplan.records.raw import DELIMITERS, MOST_LINE, XLS, XLSX, bare, encoding_of, lines_of, read_bytes
from careplan.records.workbook import workbook_text

DECIMAL_COMMA = re.compile(r',"-?\d+,\d{1,2}"')  # in a file that commas separate, quoted
MISSING = {"", "nan", "na", "n/a", "null", "none", "nat", "-", "--"}
SHORT, LONG, AGAIN, ABOVE, UNITS = "short row", "long row", "header again", "above the header", "units"  # rules: rows left out
OUT_OF_ROOM = {
    SHORT: "fewer fields than the header",
    LONG: "more fields than the header",
    AGAIN: "the header once more",
    ABOVE: "a line above the header",
    UNITS: "a row of units: taken as those of the columns",
}
MOST_ABOVE = 20  # lines that may stand above a table's header
CUT = "the file has no end of line, and this value is shorter than all others: perhaps cut short"
FEW_SHORT = 2  # rows that may be short whatever their share: a total below the table

Source = str | Path | Sequence[Path]  # what a reader takes: a file, a folder, or files of its format


@dataclass(frozen=True, eq=False)
class Rows:
    """A delimited file: `cells` are stripped strings under normalised headers; `row` `[N]` counts lines from 1, the header."""

    file: str
    cells: pd.DataFrame
    row: NDArray[np.int64]
    fields: Mapping[str, str]  # normalised header -> as written
    decimal_comma: bool
    left: Mapping[int, str] = field(default_factory=dict)  # rows left out, and by which rule
    cut: int | None = None  # the last row, where it has no end and its last field is shorter than all others of the column

    def __len__(self) -> int:
        return len(self.row)

    @property
    def read(self) -> int:
        """How many rows there are, with those that are left out."""
        return len(self.row) + len(self.left)

    @property
    def header(self) -> list[str]:
        """The first columns as written, for errors."""
        return list(self.fields.values())[:20]

    @property
    def name(self) -> str:
        """The file's name, as corrections and origins give it: the same wherever the folder stands."""
        return Path(self.file).name


def find_files(path: Source, *patterns: str) -> list[Path]:
    """The file itself, or those in a folder and below that match one of the patterns; raises `RecordError` when there is none.

    Several files are taken as they are: whoever lists them has looked into them.
    """
    if not isinstance(path, (str, Path)):
        return sorted(path, key=natural)
    path = Path(path)
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise RecordError("its name is no text: give it another", file=ascii(str(path))) from error
    try:
        if path.is_dir():
            found = sorted((p for pattern in patterns for p in path.rglob(pattern) if p.is_file()), key=natural)
            if not found:
                raise RecordError(f"no {' or '.join(patterns)} file in this folder", file=path)
            return found
        if path.is_file():
            return [path]
        if path.exists():
            raise RecordError("expected a file or a folder, found a pipe or a device", file=path)
    except (OSError, ValueError) as error:
        raise RecordError(f"cannot be read: {getattr(error, 'strerror', error)}", file=path) from error
    raise RecordError("no such file or folder", file=path)


def natural(path: Path) -> list[object]:
    """Sort key under which "Subject 2" comes before "Subject 10"."""
    return [(int(part), "") if part.isdigit() else (0, part.lower()) for part in re.split(r"(\d+)", str(path))]


def normal(header: str) -> str:
    """A header as compared: lower case, letters and digits only."""
    return re.sub(r"[^0-9a-z]", "", header.lower())


def read_text(path: Path, *, fallback: str | None = None) -> str:
    """The file's text (UTF-8 or UTF-16), a workbook's as if its sheet had been saved as text; raises `RecordError` where it
    is none of these, or is empty.

    fallback: the encoding that a format's older files have where they are not UTF-8.
    """
    data = read_bytes(path)
    if data.startswith((XLSX, XLS)):
        return workbook_text(path)
    try:
        text = bare(data.decode(encoding_of(data)))
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        problem = RecordError(f"expected UTF-8 text, found byte 0x{data[error.start]:02x}", file=path, row=line)
        if fallback is None:
            raise problem from error
        try:
            text = bare(data.decode(fallback))
        except UnicodeDecodeError:
            raise problem from error
    if not text.strip():
        raise RecordError("the file is empty", file=path)
    if "\x00" in text:
        raise RecordError("expected text, found binary data", file=path, row=text[: text.index("\x00")].count("\n") + 1)
    return text


def check_lines(text: str, file: object) -> None:
    """Raises `RecordError` where a line has more than `MOST_LINE` characters: before it is split."""
    for line, content in enumerate(text.splitlines(), start=1):
        if len(content) > MOST_LINE:
            raise RecordError(f"a line of {len(content):,} characters", file=file, row=line)


def read_rows(
    path: Path,
    required: Iterable[str] = (),
    *,
    column_of: Callable[[str], str] | None = None,
    is_header: Callable[[Sequence[str]], bool] | None = None,
    fallback: str | None = None,
) -> Rows:
    """Read a delimited file. `required` are normalised headers; `column_of` gives the column's name of a header, which is the
    normalised header where it is not given. is_header: which of the first lines is the header, where others may stand above it;
    by default it is the first. fallback: as for `read_text`.

    Raises `RecordError` on a missing column (a mislabelled file), rows that do not fit the header, or a file cut short.
    """
    text = read_text(path, fallback=fallback)
    if "\n" not in text.rstrip("\n"):
        text = text.replace("\r", "\n")
    above, delimiter = header_place(text, is_header)
    header, body = split_rows(text, delimiter, above, path)
    ended, comma = text.endswith(("\n", "\r")), delimiter != "," or DECIMAL_COMMA.search(text) is not None
    del text
    names = [(column_of or normal)(name) for name in header]
    missing = [name for name in required if name not in names]
    if missing:
        raise RecordError(f"expected a column {missing[0]!r}, found {header[:20]}", file=path, row=1, field=missing[0])
    named = [name for name in names if name]
    if len(set(named)) != len(named):
        again = next(name for place, name in enumerate(names) if name in names[:place])
        raise RecordError(f"a column repeats in the header: {header[:20]}", file=path, row=1, field=header[names.index(again)])
    if not body.lines:
        raise RecordError("a header and no row", file=path, row=1)

    width = max(index for index, name in enumerate(names) if name) + 1 if named else 0
    lines, wide = np.array(body.lines, dtype=np.int64), np.array(body.lengths) >= width
    check_widths(body, lines[~wide], width, len(names), ended, path)
    columns = body.columns.take()
    if not wide.all():
        columns = [texts[wide] for texts in columns]
    series = (pd.Series(texts, dtype=texts.dtype, copy=False) for texts in columns)
    cells = pd.DataFrame({name: texts for name, texts in zip(names, series, strict=True) if name}, copy=False)
    return Rows(
        str(path),
        cells,
        lines[wide],
        dict(zip(names, header, strict=True)),
        comma,
        body.left | dict.fromkeys(lines[~wide].tolist(), SHORT),
        None if ended or not width or not seems_cut(columns[width - 1].tolist()) else int(lines[wide][-1]),
    )


def header_place(text: str, is_header: Callable[[Sequence[str]], bool] | None) -> tuple[int, str]:
    """How many filled lines stand above the header, and the delimiter: the one under which one of the first lines is the header,
    else the commonest in the first line."""
    first = [line for line in text[: 1 << 16].splitlines() if line.strip(f"{DELIMITERS} \t")][: MOST_ABOVE + 1]
    for place, line in enumerate(first) if is_header is not None else ():
        if line.startswith("-----"):
            break  # sections follow: a device's export, not a table
        for delimiter in sorted(DELIMITERS, key=line.count, reverse=True):
            if is_header is not None and is_header(next(csv.reader([line], delimiter=delimiter), [])):
                return place, delimiter
    return 0, max(DELIMITERS, key=text.lstrip().split("\n", 1)[0].count)


@dataclass(eq=False)
class Body:
    """The rows beneath a header, column by column."""

    columns: Columns
    lines: "array[int]" = field(default_factory=lambda: array("q"))
    lengths: "array[int]" = field(default_factory=lambda: array("q"))  # how many fields each row has
    first: list[str] = field(default_factory=list)  # the fields of the first row
    last: list[str] = field(default_factory=list)  # and of the last
    beyond: tuple[int, int] | None = None  # the first row with something beyond the header: its line, and how many fields it has
    left: dict[int, str] = field(default_factory=dict)  # lines left out, and by which rule

    def add(self, fields: list[str], line: int, width: int) -> None:
        """One more row beneath a header of so many columns."""
        self.lines.append(line)
        self.lengths.append(len(fields))
        self.first, self.last = self.first or fields, fields
        if self.beyond is None and len(fields) > width and "".join(fields[width:]).strip():
            self.beyond = (line, len(fields))
        self.columns.add(fields if len(fields) >= width else fields + [""] * (width - len(fields)))


def split_rows(text: str, delimiter: str, above: int, path: Path) -> tuple[list[str], Body]:
    """The header and the rows beneath it. above: how many filled lines stand above the header. Raises `RecordError` where the
    text is not delimited.
    """
    reader = csv.reader(lines_of(text), delimiter=delimiter)
    header: list[str] = []
    body = Body(Columns(0))
    try:
        for fields in reader:
            if not "".join(fields).strip():
                continue
            if not header and len(body.left) < above:
                body.left[reader.line_num] = ABOVE
            elif not header:
                header = [name.strip() for name in fields]
                body.columns = Columns(len(header))
            elif fields[0].strip() == header[0] and [name.strip() for name in fields[: len(header)]] == header:
                body.left[reader.line_num] = AGAIN
            else:
                body.add(fields, reader.line_num, len(header))
    except csv.Error as error:
        raise RecordError(f"not delimited text: {error}", file=path, row=reader.line_num) from error
    return header, body


def check_widths(body: Body, short: NDArray[np.int64], width: int, most: int, ended: bool, path: Path) -> None:
    """Raises `RecordError` where rows do not fit a header that fills `width` of `most` columns, or the file stops inside one.
    short: the lines with fewer fields. ended: whether the last line has an end.
    """
    if body.beyond is not None:
        line, count = body.beyond
        raise RecordError(f"{count} fields, expected {most}", file=path, row=line)
    if not len(short):
        return
    alone = len(body.lines) < 2
    if body.lines[-1] == short[-1] and (not ended or alone or begins_alike(body.last, body.first)):
        raise RecordError(f"the file ends inside a row: {len(body.last)} fields, expected {width}", file=path, row=body.lines[-1])
    if len(short) > max(FEW_SHORT, 0.05 * len(body.lines)):
        raise RecordError(f"{len(short)} rows have fewer than {width} fields", file=path, row=int(short[0]))
    if len(short) == len(body.lines):
        raise RecordError(f"no row has the {width} fields of the header", file=path, row=int(short[0]))


def begins_alike(fields: Sequence[str], first: Sequence[str]) -> bool:
    """Whether a row that is short has numbers where the first row has them, so that it is the beginning of one and no footer."""
    pairs = [(one.strip(), other.strip()) for one, other in zip(fields, first, strict=False)]
    return all(one[:1].isdigit() == other[:1].isdigit() for one, other in pairs if one and other)


def seems_cut(texts: Sequence[str]) -> bool:
    """Whether the last text of a column is shorter than every other that is filled, as a number cut short is."""
    lengths = [len(text.strip()) for text in texts[:-1] if text.strip()]
    return bool(lengths) and 0 < len(texts[-1].strip()) < min(lengths)


def is_missing(texts: Iterable[str]) -> NDArray[np.bool_]:
    """`[N]` where a field says nothing."""
    if isinstance(texts, pd.Series) and isinstance(texts.dtype, pd.CategoricalDtype):
        return is_missing(texts.cat.categories)[texts.cat.codes]
    code, different = numbered(list(texts))
    return np.array([text.lower() in MISSING for text in different], dtype=bool)[code]


def numbered(texts: Sequence[str]) -> tuple[NDArray[np.int32], list[str]]:
    """Which of the different texts each `[N]` is, and these in the order in which they come: pandas would hold room for as many
    different ones as there are texts."""
    different = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    return np.fromiter(map(different.__getitem__, texts), dtype=np.int32, count=len(texts)), list(different)


def numbers(texts: ArrayLike, *, decimal_comma: bool = False) -> NDArray[np.float64]:
    """`[N]` finite numbers of texts `[N]`, NaN where missing or not a number; each text is read once, however often it stands."""
    code, different = numbered(np.asarray(texts, dtype=object).tolist())
    plain = [text.replace(",", ".") for text in different] if decimal_comma else different
    values = pd.to_numeric(pd.Series(plain, dtype=object), errors="coerce").to_numpy(dtype=float)
    return np.where(np.isfinite(values), values, np.nan)[code]


# The words for what a device could not measure, in the languages that devices are sold in.
LOWS = (
    "lo low below niedrig tief unter bajo baja bas basse faible basso bassa baixo baixa laag låg lågt lav lavt matala niski "
    "niska niskie nízká nízký nízka alacsony düşük низкий низкая низкое низко χαμηλή χαμηλό 低 低值 低値 낮음 נמוך منخفض"
)
HIGHS = (
    "hi high above hoch über alto alta haut haute élevé élevée elevado elevada hoog hög högt høj højt høy høyt korkea wysoki "
    "wysoka wysokie vysoká vysoký magas yüksek высокий высокая высокое высоко υψηλή υψηλό 高 高值 高値 높음 גבוה مرتفع"
)
BEYOND: dict[str, Literal["low", "high"]] = {
    **dict.fromkeys(LOWS.split(), "low"),
    **dict.fromkeys(HIGHS.split(), "high"),
    **dict.fromkeys(("<", "≤", "<="), "low"),
    **dict.fromkeys((">", "≥", ">="), "high"),
}
STATED = re.compile(r"(?P<word>[^\d\s]+?)\s*(?P<limit>\d+(?:\.\d+)?)?")


def beyond(text: str) -> tuple[Literal["low", "high"], float] | None:
    """What "Low", "HI", "Niedrig", "<40" or "> 22,2" say: which way, and the limit where they state one, else NaN. None for
    others."""
    found = STATED.fullmatch(text.strip().casefold().replace(",", "."))
    if found is None or found["word"] not in BEYOND or (found["limit"] is None and not found["word"].isalpha()):
        return None
    return BEYOND[found["word"]], float(found["limit"]) if found["limit"] else np.nan


def check_zone(zone: str, *, file: object, row: int | None = None, field: str | None = None) -> ZoneInfo:
    """The zone; raises `RecordError`, by where the name stands, when there is none of that name."""
    try:
        return ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        problem = f"no time zone named {zone!r}; expected an IANA name such as 'Europe/London'"
        raise RecordError(problem, file=file, row=row, field=field) from error
