"""Delimited text as rows of strings: encodings, delimiters, headers, numbers, dates and clocks."""

import csv
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from careplan.records.events import RecordError

DECIMAL_COMMA = re.compile(r',"-?\d+,\d{1,2}"')  # in a file that commas separate, quoted
MISSING = {"", "nan", "na", "n/a", "null", "none", "nat", "-", "--"}
MOST_BYTES = 256 * 2**20  # of a file: a year of five-minute readings with all else that a pump logs takes 40 MiB
DELIMITERS = ",;\t|"

Source = str | Path | Sequence[Path]  # what a reader takes: a file, a folder, or files of its format


@dataclass(frozen=True, eq=False)
class Rows:
    """A delimited file: `cells` are stripped strings under normalised headers; `row` `[N]` counts lines from 1, the header."""

    file: str
    cells: pd.DataFrame
    row: NDArray[np.int64]
    fields: Mapping[str, str]  # normalised header -> as written
    decimal_comma: bool
    short: tuple[int, ...] = ()  # rows with too few fields, left out

    def __len__(self) -> int:
        return len(self.row)

    @property
    def header(self) -> list[str]:
        """The first columns as written, for errors."""
        return list(self.fields.values())[:20]

    @property
    def name(self) -> str:
        """The file's name, as corrections and origins give it: the same wherever the folder stands."""
        return Path(self.file).name


def find_files(path: Source, *patterns: str) -> list[Path]:
    """The file itself, or those in a folder and below that match one of the patterns; `RecordError` when there is none.

    Several files are taken as they are: whoever lists them has looked into them.
    """
    if not isinstance(path, (str, Path)):
        return sorted(path, key=natural)
    path = Path(path)
    try:
        if path.is_dir():
            found = sorted((p for pattern in patterns for p in path.rglob(pattern) if p.is_file()), key=natural)
            if not found:
                raise RecordError(f"no {' or '.join(patterns)} file in this folder", file=path)
            return found
        if path.exists():
            return [path]
    except OSError as error:
        raise RecordError(f"cannot be read: {error.strerror}", file=path) from error
    raise RecordError("no such file or folder", file=path)


def natural(path: Path) -> list[object]:
    """Sort key under which "Subject 2" comes before "Subject 10"."""
    return [(int(part), "") if part.isdigit() else (0, part.lower()) for part in re.split(r"(\d+)", str(path))]


def normal(header: str) -> str:
    """A header as compared: lower case, letters and digits only."""
    return re.sub(r"[^0-9a-z]", "", header.lower())


def read_bytes(path: Path) -> bytes:
    """The bytes of a file; `RecordError` where it cannot be read, is empty, a pipe or a device, or has over `MOST_BYTES`."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise RecordError("expected a file, found a folder, a pipe or a device", file=path)
        if status.st_size > MOST_BYTES:
            raise RecordError(f"{status.st_size / 2**20:,.0f} MiB; no recording has over {MOST_BYTES / 2**20:g}", file=path)
        data = path.read_bytes()
    except OSError as error:
        raise RecordError(f"cannot be read: {error.strerror}", file=path) from error
    if not data.strip():
        raise RecordError("the file is empty", file=path)
    return data


def read_text(path: Path, *, fallback: str | None = None) -> str:
    """The file's text (UTF-8, or UTF-16 with a byte order mark); `RecordError` where it is neither, or is empty.

    fallback: the encoding that a format's older files have where they are not UTF-8.
    """
    data = read_bytes(path)
    try:
        text = data.decode("utf-16") if data[:2] in (b"\xff\xfe", b"\xfe\xff") else data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        problem = RecordError(f"expected UTF-8 text, found byte 0x{data[error.start]:02x}", file=path, row=line)
        if fallback is None:
            raise problem from error
        try:
            text = data.decode(fallback)
        except UnicodeDecodeError:
            raise problem from error
    if not text.strip():
        raise RecordError("the file is empty", file=path)
    if "\x00" in text:
        raise RecordError("expected text, found binary data", file=path, row=text[: text.index("\x00")].count("\n") + 1)
    return text


def read_header(path: Path) -> list[str]:
    """The normalised headers of a delimited file, without reading the rest; empty where it is not text."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            line = file.readline()
    except (OSError, UnicodeDecodeError):
        return []
    return [normal(name) for name in line.split(max(DELIMITERS, key=line.count))]


def lines_of(text: str) -> Iterator[str]:
    """The lines with their ends, without a copy of the whole."""
    begin = 0
    while begin < len(text):
        end = text.find("\n", begin) + 1 or len(text)
        yield text[begin:end]
        begin = end


def read_rows(path: Path, required: Iterable[str] = (), *, aliases: Mapping[str, str] | None = None) -> Rows:
    """Read a delimited file. `required` are normalised headers; `aliases` maps other normalised headers to those.

    Raises `RecordError` on a missing column (a mislabelled file), rows that do not fit the header, or a file cut short.
    """
    text = read_text(path)
    if "\n" not in text:
        text = text.replace("\r", "\n")
    header_line = text.split("\n", 1)[0]
    delimiter = max(DELIMITERS, key=header_line.count)
    reader = csv.reader(lines_of(text), delimiter=delimiter)
    try:
        header = [name.strip() for name in next(reader)]
        names = [(aliases or {}).get(normal(name), normal(name)) for name in header]
        missing = [name for name in required if name not in names]
        if missing:
            raise RecordError(f"expected a column {missing[0]!r}, found {header[:20]}", file=path, row=1, field=missing[0])
        named = [name for name in names if name]
        if len(set(named)) != len(named):
            raise RecordError(f"a column repeats in the header: {header[:20]}", file=path, row=1)
        lines, body = [], []
        for fields in reader:
            if "".join(fields).strip():
                lines.append(reader.line_num)
                body.append(fields)
    except csv.Error as error:
        raise RecordError(f"not delimited text: {error}", file=path, row=reader.line_num) from error
    if not lines:
        raise RecordError("a header and no row", file=path, row=1)

    width = max(index for index, name in enumerate(names) if name) + 1 if named else 0
    short = tuple(line for line, fields in zip(lines, body, strict=True) if len(fields) < width)
    if lines[-1] in short:
        raise RecordError(f"the file ends inside a row: {len(body[-1])} fields, expected {width}", file=path, row=lines[-1])
    if len(short) > 0.05 * len(body):
        raise RecordError(f"{len(short)} rows have fewer than {width} fields", file=path, row=short[0])
    for line, fields in zip(lines, body, strict=True):
        if len(fields) > len(names) and "".join(fields[len(names) :]).strip():
            raise RecordError(f"{len(fields)} fields, expected {len(names)}", file=path, row=line)
    if short:
        lines = [line for line, fields in zip(lines, body, strict=True) if len(fields) >= width]
        body = [fields for fields in body if len(fields) >= width]
    columns = zip(*body, strict=False)  # up to the shortest row, which is at least `width` wide
    cells = pd.DataFrame(
        {name: np.array(list(map(str.strip, texts)), dtype=object) for name, texts in zip(names, columns, strict=False) if name}
    )
    return Rows(
        str(path),
        cells,
        np.array(lines, dtype=np.int64),
        dict(zip(names, header, strict=True)),
        delimiter != "," or DECIMAL_COMMA.search(text) is not None,
        short,
    )


def is_missing(texts: Iterable[str]) -> NDArray[np.bool_]:
    """`[N]` where a field says nothing."""
    every = list(texts)
    says_nothing = {text: text.lower() in MISSING for text in set(every)}
    return np.fromiter(map(says_nothing.__getitem__, every), dtype=bool, count=len(every))


def numbers(texts: Sequence[str], *, decimal_comma: bool = False) -> NDArray[np.float64]:
    """`[N]` finite numbers, NaN where missing or not a number."""
    plain = [text.replace(",", ".") if decimal_comma else text for text in texts]
    values = pd.to_numeric(pd.Series(plain, dtype=object), errors="coerce").to_numpy(dtype=float)
    return np.where(np.isfinite(values), values, np.nan)


LIMIT = re.compile(r"(?P<low>low?|<)|(?P<high>hi(?:gh)?|>)")  # the words and signs of what a device could not measure
NUMBER = re.compile(r"\d+(?:\.\d+)?")


def beyond(text: str) -> tuple[Literal["low", "high"], float] | None:
    """What "Low", "HI", "<40" or "> 22,2" say: which way, and the limit where they state one, else NaN. None for others."""
    plain = text.strip().lower().replace(",", ".")
    sign = LIMIT.match(plain)
    if sign is None:
        return None
    rest = plain[sign.end() :].strip().lstrip("=").strip()
    if rest and not NUMBER.fullmatch(rest):
        return None
    if not rest and sign[0] in "<>":
        return None
    return ("low" if sign["low"] else "high"), float(rest) if rest else np.nan


DAY = re.compile(r"(\d{1,4})[/.\-](\d{1,2})[/.\-](\d{1,4})")
CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}(?:\.\d{1,9})?)\d*)?\s*([AaPp][Mm])?\s*(Z|[+-]\d{2}:?\d{2})?")
DATE = re.compile(f"{DAY.pattern}[ T]+{CLOCK.pattern}")
SPLIT = re.compile(r"[ T]+")


def dates(texts: Sequence[str], *, file: str, row: NDArray[np.int64], field: str, day_first: bool | None = None) -> pd.DataFrame:
    """`[N]` parsed dates: `time` (naive, NaT where impossible or missing) and `offset` (minutes from UTC, NaN where not said).

    The order of day and month is read from the whole column: a first part above 12 makes it DD/MM, a second MM/DD. Where no
    row tells, `day_first`, or else the order under which the column is in time order; where both or neither are, `RecordError`.
    Days and times of day are few, so each is read once.
    """
    pairs = [SPLIT.split(text, maxsplit=1) for text in texts]
    day, days = pd.factorize(np.array([pair[0] for pair in pairs], dtype=object))
    clock, clocks = pd.factorize(np.array([pair[1] if len(pair) > 1 else "" for pair in pairs], dtype=object))
    del pairs
    parts, after, offset = [DAY.fullmatch(str(text)) for text in days], *times_of_day([str(text) for text in clocks])
    counts = np.bincount(day[~np.isnat(after)[clock]], minlength=len(days))  # of rows with a date and a time of day
    slashed = [
        (int(m[1]), int(m[2]), int(count)) for m, count in zip(parts, counts, strict=True) if m and len(m[1]) <= 2 and count
    ]
    day_evidence = sum(count for first, _, count in slashed if first > 12)
    month_evidence = sum(count for _, second, count in slashed if second > 12)

    def times(order: bool) -> pd.Series:
        return pd.Series(midnights(parts, order)[day] + after[clock])

    if slashed and not day_evidence and not month_evidence and day_first is None:
        orders = {order: times(order).dropna().is_monotonic_increasing for order in (True, False)}
        same = all(first == second for first, second, _ in slashed)
        if orders[True] == orders[False] and not same:
            raise RecordError(
                "dates may be DD/MM or MM/DD and nothing in the file tells which", file=file, row=int(row[0]), field=field
            )
        day_first = orders[True]
    elif day_evidence or month_evidence:
        if min(day_evidence, month_evidence) > 0.05 * sum(count for _, _, count in slashed):
            raise RecordError("dates mix DD/MM and MM/DD", file=file, row=int(row[0]), field=field)
        day_first = day_evidence > month_evidence
    time = times(bool(day_first))
    return pd.DataFrame({"time": time, "offset": np.where(time.isna(), np.nan, offset[clock])})


def midnights(parts: Sequence[re.Match[str] | None], day_first: bool) -> NDArray[np.datetime64]:
    """`[D]` midnight of each day; NaT where there is none."""
    texts: list[str] = []
    for m in parts:
        year, month, day = ("", "", "")
        if m is not None and len(m[1]) == 4:
            year, month, day = m[1], m[2], m[3]
        elif m is not None:
            day, month = (m[1], m[2]) if day_first else (m[2], m[1])
            year = m[3] if len(m[3]) == 4 else f"20{m[3]:0>2}"
        sound = year and 1700 <= int(year) <= 2250  # what a nanosecond clock can hold
        texts.append(f"{year}-{int(month):02}-{int(day):02}" if sound else "")
    found = pd.to_datetime(pd.Series(texts, dtype=object), format="%Y-%m-%d", errors="coerce")
    return found.astype("datetime64[ns]").to_numpy()


def times_of_day(texts: Sequence[str]) -> tuple[NDArray[np.timedelta64], NDArray[np.float64]]:
    """`[C]` how long after midnight (NaT where that is none), and minutes from UTC (NaN where not said)."""
    after = np.full(len(texts), np.timedelta64("NaT", "ns"))
    offset = np.full(len(texts), np.nan)
    for place, text in enumerate(texts):
        m = CLOCK.fullmatch(text)
        if m is None:
            continue
        hour, minute, second = int(m[1]), int(m[2]), float(m[3] or 0)
        if m[4]:
            hour = hour % 12 + (12 if m[4].lower() == "pm" else 0) if 1 <= hour <= 12 else 99
        if hour < 24 and minute < 60 and second < 60:
            after[place] = np.timedelta64((hour * 60 + minute) * 60_000_000_000 + round(second * 1e9), "ns")
        if m[5]:
            zone = m[5]
            offset[place] = 0.0 if zone == "Z" else (-1 if zone[0] == "-" else 1) * (int(zone[1:3]) * 60 + int(zone[-2:]))
    return after, offset


def check_zone(zone: str, *, file: object) -> ZoneInfo:
    """The zone; `RecordError` when there is none of that name."""
    try:
        return ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise RecordError(f"no time zone named {zone!r}; expected an IANA name such as 'Europe/London'", file=file) from error


def to_utc(local: pd.Series, zone: str, *, file: object) -> tuple[pd.Series, NDArray[np.bool_]]:
    """Local clock times `[N]` in file order to UTC, and where `[N]` the clock change skipped that time.

    A skipped time is read on the clock before the change. A time that comes twice is the first pass until the file steps
    back within the hour, the second pass from there on.
    """
    check_zone(zone, file=file)
    first = local.dt.tz_localize(zone, ambiguous=np.ones(len(local), dtype=bool), nonexistent=pd.Timedelta(hours=1))
    second = local.dt.tz_localize(zone, ambiguous=np.zeros(len(local), dtype=bool), nonexistent=pd.Timedelta(hours=1))
    skipped = (first.dt.tz_localize(None) != local).to_numpy(dtype=bool) & local.notna().to_numpy(dtype=bool)
    twice = (first != second).to_numpy(dtype=bool) & local.notna().to_numpy(dtype=bool)
    utc = first.dt.tz_convert("UTC")
    if twice.any():
        times = local[twice]
        back = times.diff() < pd.Timedelta(minutes=-30)
        later = back.groupby(times.dt.date).cummax().to_numpy(dtype=bool)
        rows = np.flatnonzero(twice)[later]
        utc.iloc[rows] = second.iloc[rows].dt.tz_convert("UTC")
    return utc.astype("datetime64[ns, UTC]"), skipped
