"""What Nightscout's documents write for numbers, moments, lengths of time and yes or no; it differs by uploader and version."""

import re
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from careplan.records.dates import DATE, dates
from careplan.records.events import RecordError

LONGEST = 7 * 24 * 60.0  # minutes: a longer "duration" is in milliseconds
NO_MOMENT = np.datetime64("NaT", "ns")

# Hours from UTC of the names that Java and JavaScript write into dates. Names of several zones (IST, CST of China) mean the one
# that such dates were seen with.
ABBREVIATIONS = {
    **{"UTC": 0.0, "GMT": 0.0, "Z": 0.0, "WET": 0.0, "WEST": 1.0, "BST": 1.0, "CET": 1.0, "CEST": 2.0, "EET": 2.0, "EEST": 3.0},
    **{"MSK": 3.0, "IST": 5.5, "AWST": 8.0, "JST": 9.0, "KST": 9.0, "ACST": 9.5, "ACDT": 10.5, "AEST": 10.0, "AEDT": 11.0},
    **{"NZST": 12.0, "NZDT": 13.0, "NST": -3.5, "NDT": -2.5, "AST": -4.0, "ADT": -3.0, "EST": -5.0, "EDT": -4.0},
    **{"CST": -6.0, "CDT": -5.0, "MST": -7.0, "MDT": -6.0, "PST": -8.0, "PDT": -7.0, "AKST": -9.0, "AKDT": -8.0, "HST": -10.0},
}
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_CLOCK = r"(?P<clock>\d{1,2}:\d{2}:\d{2}(?:\.\d+)?)"
_ZONE = r"(?P<zone>(?:GMT|UTC)?[+-]\d{1,2}:?\d{2}|[A-Z]{1,5})"
_DAY = r"(?:[A-Za-z]{3},? +)?"
SPOKEN = (  # "Tue Feb 13 00:50:20 AEDT 2018", "Tue Feb 13 2018 00:50:20 GMT+1100 (AEDT)", "Tue, 13 Feb 2018 00:50:20 +1100"
    re.compile(rf"{_DAY}(?P<month>[A-Za-z]{{3}}) +(?P<day>\d{{1,2}}) +{_CLOCK} +{_ZONE} +(?P<year>\d{{4}})"),
    re.compile(rf"{_DAY}(?P<month>[A-Za-z]{{3}}) +(?P<day>\d{{1,2}}),? +(?P<year>\d{{4}}) +{_CLOCK} +{_ZONE}(?: +\(.*\))?"),
    re.compile(rf"{_DAY}(?P<day>\d{{1,2}}) +(?P<month>[A-Za-z]{{3}}) +(?P<year>\d{{4}}) +{_CLOCK} +{_ZONE}"),
    re.compile(rf"(?P<year>\d{{4}})-(?P<month>\d{{2}})-(?P<day>\d{{2}})[T ]+{_CLOCK} *{_ZONE}"),
)


def number(value: object, default: float = np.nan) -> float:
    """A finite number, or text that is one, with a point or a comma; the default for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return default
    try:
        found = float(value.strip().replace(",", ".") if isinstance(value, str) else value)
    except (ValueError, OverflowError):
        return default
    return found if np.isfinite(found) and not (isinstance(value, str) and "_" in value) else default


def numbers_of(values: Sequence[object]) -> NDArray[np.float64]:
    """`[N]` numbers as `number` reads them, NaN where there is none."""
    if set(map(type, values)) <= {int, float, type(None)}:
        try:
            found = np.array(values, dtype=float)
            return np.where(np.isfinite(found), found, np.nan)
        except OverflowError:
            pass
    return np.array([number(value) for value in values], dtype=float)


def filled(value: object) -> bool:
    """Whether an amount is stated; nothing and 0 only fill a form."""
    return value not in (None, "", False, 0, "0", "0.0", [], {})


def denied(value: object) -> bool:
    """Whether a yes or no is an outspoken no."""
    return value is False or (value is not None and str(value).strip().lower() in ("false", "0"))


def affirmed(value: object) -> bool:
    """Whether a yes or no is an outspoken yes."""
    return value is True or str(value).strip().lower() in ("true", "1")


def minutes_of(document: dict[str, object]) -> tuple[float, bool]:
    """How long a treatment lasts, minutes (0 where it does not say), and whether a `duration` was taken for milliseconds.

    `durationInMilliseconds` is exact where there is one; `duration` is in minutes, and in milliseconds on AndroidAPS 3's carbs.
    """
    exact = number(document.get("durationInMilliseconds"))
    if not np.isnan(exact):
        return max(0.0, exact / 60_000.0), False
    stated = number(document.get("duration"), 0.0)
    return (stated / 60_000.0, True) if stated > LONGEST else (max(0.0, stated), False)


def moments(*columns: Sequence[object]) -> pd.Series:
    """`[N]` moments in UTC, each from the first of the columns `[N]` that holds a usable one; NaT where none does.

    A moment is an epoch after 1973 (milliseconds or seconds; a number or text), an ISO text (UTC where it says no offset), or one
    of the texts that Java and JavaScript print.
    """
    found = np.full(len(columns[0]), NO_MOMENT)
    for column in columns:
        missing = np.flatnonzero(np.isnat(found)).tolist()
        if not missing:
            break
        found[missing] = instants(column if len(missing) == len(found) else [column[index] for index in missing])
    return pd.Series(found).dt.tz_localize("UTC")


def stamp_of(names: Sequence[str], said: Callable[[str], object]) -> tuple[str, str]:
    """The first of the fields of a moment that says something, and what; `said` gives what a field says."""
    name = next((name for name in names if said(name) not in (None, "")), names[0])
    return name, "" if said(name) is None else str(said(name))[:40]


def instants(stamps: Sequence[object]) -> NDArray[np.datetime64]:
    """`[N]` nanosecond moments in UTC of stamps as written."""
    epochs = numbers_of(stamps)
    milliseconds = np.where(epochs > 1e11, epochs, epochs * 1000.0)  # seconds reach 1e11 in the year 5138
    usable = (milliseconds > 1e11) & (milliseconds < 8e12)  # to 2223, within what nanoseconds can count
    found = np.full(len(stamps), NO_MOMENT)
    found[usable] = np.round(milliseconds[usable]).astype("int64").astype("datetime64[ms]")
    texts = [index for index in np.flatnonzero(np.isnan(epochs)).tolist() if isinstance(stamps[index], str)]
    if texts:
        found[texts] = written([str(stamps[index]).strip() for index in texts])
    return found


def written(texts: Sequence[str]) -> NDArray[np.datetime64]:
    """`[N]` moments of texts that are not numbers."""
    read = pd.to_datetime(pd.Series(texts, dtype=object), format="ISO8601", utc=True, errors="coerce")
    inside = (read.dt.year > 1700) & (read.dt.year < 2250)
    found: NDArray[np.datetime64] = read.where(inside).dt.tz_localize(None).astype("datetime64[ns]").to_numpy().copy()
    rest = [index for index in np.flatnonzero(np.isnat(found)).tolist() if texts[index]]
    for index in rest:
        found[index] = spoken(texts[index])
    rest = [index for index in rest if np.isnat(found[index]) and DATE.fullmatch(texts[index])]
    if rest:
        try:
            parsed = dates([texts[index] for index in rest], file="", row=np.zeros(len(rest), dtype=np.int64), field="")
        except RecordError:  # DD/MM or MM/DD: nobody knows
            return found
        utc = parsed["time"] - pd.to_timedelta(parsed["offset"].fillna(0.0), unit="m")
        found[rest] = utc.to_numpy().astype("datetime64[ns]")
    return found


def spoken(text: str) -> np.datetime64:
    """The moment of a date with a month's name or a zone's abbreviation; NaT where it is none, or the zone is not known."""
    for pattern in SPOKEN:
        if match := pattern.fullmatch(text):
            month = match["month"].lower()
            number = int(month) if month.isdigit() else MONTHS.index(month) + 1 if month in MONTHS else 0
            offset = hours_from_utc(match["zone"])
            day = f"{match['year']}-{number:02}-{int(match['day']):02} {match['clock'].zfill(8)}"
            time = pd.to_datetime(day, format="ISO8601", errors="coerce")
            if np.isnan(offset) or pd.isna(time) or not 1700 < time.year < 2250:
                return NO_MOMENT
            return (time - pd.Timedelta(hours=offset)).to_datetime64().astype("datetime64[ns]")
    return NO_MOMENT


def hours_from_utc(zone: str) -> float:
    """Hours that "GMT+1100", "+11:00" or "AEDT" are ahead of UTC; NaN where it is not known."""
    if match := re.fullmatch(r"(?:GMT|UTC)?([+-])(\d{1,2}):?(\d{2})", zone):
        return (-1.0 if match[1] == "-" else 1.0) * (int(match[2]) + int(match[3]) / 60.0)
    return ABBREVIATIONS.get(zone, np.nan)
