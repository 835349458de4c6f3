"""Dates and times of day as people and programs write them: numbers in any of the usual orders, months in words, spreadsheets'
day numbers, epochs."""

import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import chain

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.extensions import ExtensionArray

from careplan.records.columns import TOGETHER
from careplan.records.events import RecordError

DAY = re.compile(r"(\d{1,4})[/.\-](\d{1,2})[/.\-](\d{1,4})")
CLOCK = re.compile(
    r"(\d{1,2})[:.h](\d{2})(?:[:.](\d{2}(?:[.,]\d{1,9})?)\d*)?\s*"
    r"(Z|(?:UTC|GMT)?[+-]\d{2}(?::?\d{2})?|(?:UTC|GMT)(?:[+-]\d)?)?"
)
# The words for the half of the day, in the languages of `LANGUAGES`, with dots and spaces between letters or without.
MORNINGS = "am öö πμ дп fm ap dop dopoldne de fh priekšp priekšpusdienā priešpiet ص صباحًا 午前 上午 오전"
AFTERNOONS = "pm ös μμ пп em ip odp pop popoldne du eh pēcp pēcpusdienā popiet م مساءً 午後 下午 오후"
HALF = re.compile(
    r"(?<![^\W\d_])(?:(?P<am>{})|(?P<pm>{}))(?![^\W\d_])\.?".format(
        *("|".join(r"\.?\s*".join(word) for word in words.split()) for words in (MORNINGS, AFTERNOONS))
    ),
    re.IGNORECASE,
)
DATE = re.compile(DAY.pattern + r"[ T]+\d{1,2}:\d{2}.*")
SPLIT = re.compile(r"[ T]+")
OCLOCK = re.compile(r"\s*(?:uhr|h)\.?$", re.IGNORECASE)

# Languages that devices are sold in, and whose names of months are read.
LANGUAGES = "en de es fr it pt nl sv nb da fi pl cs sk hu tr ru uk el ja zh ko he ar ro bg ca is et lv lt sl"
PLAIN_LETTERS = frozenset("TZtzAaPpMm")  # of an ISO date and of AM and PM
OTHER = re.compile(r"\d{1,4}\.\s+\d|\d{4,13}(?:[.,]\d+)?(?:\s|$)")  # parts apart, or a number that counts days or seconds
FIRST = 100  # stamps of a column that tell whether it is of such
ASIAN = re.compile(r"(\d{4})\s*[年년]\s*(\d{1,2})\s*[月월]\s*(\d{1,2})\s*[日일]?")
SPACED = re.compile(r"(\d{1,4})\.\s+(\d{1,2})\.\s+(\d{1,4})\.?(?=\s|$)")
_WORD = r"(?P<month>[^\W\d_]{3,})\.?,?"
_WEEKDAY = r"(?:[^\W\d_]+\.?,?\s+)?"
_OF = r"[\s\-/.]*(?:(?:de|del|of)\s+|d['\u2019])?"
SPOKEN = (  # "3. März 2024", "18 de enero de 2024", "12-sept-2023", "2024. január 18."; "Jan 18, 2024"
    re.compile(
        rf"{_WEEKDAY}(?P<first>\d{{1,4}})(?:st|nd|rd|th|er|º)?\.?{_OF}{_WORD}{_OF}(?P<second>\d{{1,4}})\.?(?:\s*[\u0433\u0440]\.)?"
    ),
    re.compile(rf"{_WEEKDAY}{_WORD}\s+(?P<first>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<second>\d{{4}})"),
)
NUMBER = re.compile(r"(\d{4,13}(?:[.,]\d+)?)(?:\s+0?([.,]\d+))?")
SHEET_DAY = re.compile(r"(\d{5})(?=\s+\d{1,2}[:.])")
SHEET_DAYS = (20_000.0, 80_000.0)  # the years 1954 to 2119, in days since 1899-12-30, as spreadsheets count
SECONDS = (6e8, 8e9)  # the years 1989 to 2223, in seconds since 1970; a thousand times as many are milliseconds


def plain(stamps: Sequence[str] | ExtensionArray) -> Iterable[str]:
    """`[N]` dates, with a time of day or without, in numbers: a month in words by its number, a spreadsheet's day number and an
    epoch as the date they mean. What is none of these stays as it is."""
    letters = {letter for piece in pieces(stamps) for letter in set().union(*piece) if letter.isalpha()} - PLAIN_LETTERS
    every = chain.from_iterable(pieces(stamps))
    if not letters and not any(OTHER.match(text) for text in stamps[:FIRST]):
        return every
    once: dict[str, str] = {}
    return (once[text] if text in once else once.setdefault(text, numeric(text)) for text in every)


def pieces(texts: Sequence[str] | ExtensionArray) -> Iterator[list[str]]:
    """The texts, some thousand at a time: all at once, those of an array would be objects of Python that are most of what is
    held."""
    starts = range(0, len(texts), TOGETHER)
    return (np.asarray(texts[start : start + TOGETHER], dtype=object).tolist() for start in starts)


def numeric(text: str) -> str:
    """One such date."""
    if (found := NUMBER.fullmatch(text)) is not None:
        return counted(float(found[1].replace(",", ".")) + float(f"0{found[2] or ''}".replace(",", "."))) or text
    if (found := SHEET_DAY.match(text)) is not None:
        return (counted(float(found[1])) or found[1]) + text[found.end() :]
    if (found := ASIAN.match(text) or SPACED.match(text)) is not None:
        return "-".join(found.groups()) + text[found.end() :]
    for pattern in SPOKEN:
        if (found := pattern.match(text)) is not None and (month := month_of(found["month"])):
            day, year = found["first"], found["second"]
            if len(day) > 2:
                day, year = year, day
            year = year if len(year) > 2 else f"20{year:0>2}"
            return f"{year}-{month:02}-{int(day):02} {text[found.end() :].lstrip(' ,T')}".strip()
    return text


def counted(number: float) -> str | None:
    """The date that a spreadsheet's day number or an epoch means; None where the number is neither."""
    if SHEET_DAYS[0] <= number <= SHEET_DAYS[1]:
        moment = datetime(1899, 12, 30) + timedelta(seconds=round(number * 86_400))
        return moment.isoformat(sep=" ") if number % 1 else moment.date().isoformat()
    for scale in (1.0, 1000.0):
        if SECONDS[0] * scale <= number <= SECONDS[1] * scale:
            return datetime.fromtimestamp(number / scale, UTC).isoformat(sep=" ", timespec="seconds")
    return None


def month_of(word: str) -> int:
    """The month that a name or its beginning means in one of `LANGUAGES`; 0 where it means none, or several."""
    word = word.casefold()
    if word in (names := months()):
        return names[word]
    begun = {month for name, month in names.items() if name.startswith(word)}
    return begun.pop() if len(begun) == 1 else 0


@lru_cache(maxsize=1)
def months() -> dict[str, int]:
    """Names of months and their usual abbreviations -> 1 to 12, by the Unicode Common Locale Data Repository."""
    from babel.dates import get_month_names

    found: dict[str, int] = {}
    for language in LANGUAGES.split():
        for context in ("format", "stand-alone"):
            for width in ("wide", "abbreviated"):
                names = get_month_names(width, context, locale=language)  # type: ignore[arg-type]
                found |= {name.casefold().replace(".", ""): month for month, name in names.items()}
    return found


def dates(
    texts: Sequence[str] | ExtensionArray, *, file: str, row: NDArray[np.int64], field: str, day_first: bool | None = None
) -> pd.DataFrame:
    """`[N]` parsed dates: `time` (naive, NaT where impossible or missing) and `offset` (minutes from UTC, NaN where not said).

    The order of day and month is read from the whole column: a first part above 12 makes it DD/MM, a second MM/DD. Where no
    row tells, `day_first`, or else the order under which the column is in time order.
    Days and times of day are few, so each is read once.

    Raises `RecordError` where dates mix two orders, or no evidence tells the order.
    """
    days: dict[str, int] = {}  # in the order in which they come
    clocks: dict[str, int] = {}
    places = array("q")
    for text in plain(texts):
        date, _, clocked = text.partition("T" if "T" in text[:11] else " ")
        places.append(days.setdefault(date.rstrip(","), len(days)))
        places.append(clocks.setdefault(clocked.lstrip(), len(clocks)))
    day, clock = np.array(places, dtype=np.int64).reshape(-1, 2).T
    parts, after, offset = [DAY.fullmatch(text) for text in days], *times_of_day(list(clocks))
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
            problem = "dates may be DD/MM or MM/DD and nothing in the file tells which: say --day-first or --month-first"
            raise RecordError(problem, file=file, row=int(row[0]), field=field)
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
    read = np.array([clock_of(text) for text in texts], dtype=float).reshape(-1, 2)
    sound = ~np.isnan(read[:, 0])
    after = np.full(len(texts), np.timedelta64("NaT", "ns"))
    after[sound] = np.round(read[sound, 0] * 1e9).astype("int64").astype("timedelta64[ns]")
    return after, read[:, 1]


def clock_of(text: str) -> tuple[float, float]:
    """Seconds after midnight of a time of day (NaN where it is none), and minutes from UTC (NaN where not said)."""
    half = HALF.search(text)
    bare = text[: half.start()] + text[half.end() :] if half else OCLOCK.sub("", text)
    found = CLOCK.fullmatch(bare.strip())
    if found is None:
        return np.nan, np.nan
    hour, minute, second = int(found[1]), int(found[2]), float((found[3] or "0").replace(",", "."))
    if half:
        hour = hour % 12 + (12 if half["pm"] else 0) if 1 <= hour <= 12 else 99
    seconds = 3600.0 * hour + 60.0 * minute + second
    if not (minute < 60 and second < 60 and (hour < 24 or seconds == 86_400.0)):  # 24:00 ends a day
        seconds = np.nan
    return seconds, offset_of(found[4]) if found[4] else np.nan


def offset_of(zone: str) -> float:
    """Minutes from UTC of "Z", "UTC+1", "+01", "-0600" or "GMT+05:30"."""
    said = zone.strip("ZUTCGM").replace(":", "")
    return (-1 if said[0] == "-" else 1) * (int(said[1:3]) * 60.0 + int(said[3:] or 0)) if said else 0.0
