"""Days, stretches of days, times of day and lengths of time in a question that is plain already (`wording.plain`).

Relative days count from the last recorded day: what "yesterday" is follows the recording, not the calendar on the wall.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from careplan.interop.language.queries import Period
from careplan.interop.language.wording import MONTHS
from careplan.minutes import DAY

DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
SHORT_DAYS = {day[:3]: number for number, day in enumerate(DAYS)} | {"tues": 1, "thurs": 3, "thur": 3}
MONTH = "|".join([*MONTHS, *(month[:3] for month in MONTHS), "sept"])
ISO = r"\d{4}-\d{2}-\d{2}"
WEEKDAY = "|".join([*DAYS, *SHORT_DAYS])
NUMBER = r"\d{1,2}(?:st|nd|rd|th)?"
NAMED = rf"{ISO}|(?:the )?{NUMBER}(?: of)? (?:{MONTH})\b(?: \d{{4}})?|(?:{MONTH})\.? {NUMBER}\b(?!:)"
RELATIVE = rf"day before yesterday|yesterday|today|this morning|\d+ days? ago|\b(?:last |on )?(?:{WEEKDAY})\b"
ONE = rf"{NAMED}|\d{{1,2}}/\d{{1,2}}\b|{RELATIVE}"
UNITS = {"minute": 1, "min": 1, "hour": 60, "hr": 60, "h": 60, "day": DAY, "d": DAY, "month": 30 * DAY}
UNITS |= dict.fromkeys(("week", "wk", "w"), 7 * DAY)
TO = r"\s*(?:to|until|till|-|through|~)\s*"
LENGTH = r"(\d+(?:\.\d+)?)\s*(minutes?|mins?|hours?|hrs?|h|days?|d|weeks?|wks?|w|months?)\b"
FIGURE = r"(?:tir|ttr|time in range|gmi|cv|(?:mean|average)(?: glucose)?|stats|statistics|summary)(?: for| of)?"
STRETCH = r"(\d+) ?(days?|d|weeks?|wks?|w|months?)"
CLOCK = r"(?<![\d/-])(\d{1,2})(?::(\d{2}))(?: o'clock)?(?:\s*(am|pm))?\b"
CLOCK += r"|(?<![\d/:-])(\d{1,2})\s*(am|pm)\b|\b(am|pm) (\d{1,2}):(\d{2})"


VAGUE = re.compile(
    r"\b(?:lately|recently|of late|in recent (?:days|weeks|times)|(?:(?:over|during|in|for) )?the (?:last|past) (?:little )?while"
    r"|(?:(?:over|during|in|for) )?(?:the|these) (?:last|past) (?:few|several) (?:days|weeks)|in the recent past)\b"
)
TWELVE = r"(?<!\d)(?:[1-9]|1[0-2]):\d{2} o'clock"  # an hour in words, which may be of the morning or of the evening


@dataclass(frozen=True)
class Found:
    """Where something stands in the text, and what it is."""

    start: int
    end: int
    value: Period
    before: bool = False  # it is the stretch before another one


def day_of(text: str, today: date) -> date | None:
    """One day in words, None where it is none that exists."""
    text = re.sub(r"^(?:the|last|on) ", "", text.strip())
    if text in ("today", "this morning"):
        return today
    if text == "yesterday":
        return today - timedelta(days=1)
    if text == "day before yesterday":
        return today - timedelta(days=2)
    if match := re.fullmatch(r"(\d+) days? ago", text):
        return today - timedelta(days=int(match[1]))
    if text in DAYS or text in SHORT_DAYS:
        return today - timedelta(days=(today.weekday() - _weekday(text)) % 7)
    try:
        if re.fullmatch(ISO, text):
            return date.fromisoformat(text)
        if match := re.fullmatch(r"(\d{1,2})/(\d{1,2})", text):
            return _past(int(match[1]), int(match[2]), today)
        if match := re.fullmatch(rf"(\d{{1,2}})(?:st|nd|rd|th)?(?: of)? ({MONTH})(?: (\d{{4}}))?", text):
            return _past(int(match[1]), _month(match[2]), today, match[3])
        if match := re.fullmatch(rf"({MONTH})\.? (\d{{1,2}})(?:st|nd|rd|th)?", text):
            return _past(int(match[2]), _month(match[1]), today)
    except ValueError:  # 31 February
        return None
    return None


def either_order(text: str) -> str | None:
    """A date in numbers that may be day and month or month and day; None where there is none."""
    found = re.finditer(r"(?<![\d/.-])(\d{1,2})/(\d{1,2})(?![\d/.-])", text)
    return next((each[0] for each in found if each[1] != each[2] and max(int(each[1]), int(each[2])) <= 12), None)


def _past(day: int, month: int, today: date, year: str | None = None) -> date:
    """The last such day until today."""
    if year is not None:
        return date(int(year), month, day)
    found = date(today.year, month, day)
    return found if found <= today else date(today.year - 1, month, day)


def _month(name: str) -> int:
    return next(number for number, month in enumerate(MONTHS, start=1) if month.startswith(name[:3]))


def periods(text: str, today: date) -> list[Found]:
    """The stretches of days in a text, in the order in which they stand; none overlaps another."""
    taken: list[Found] = []
    for found in _candidates(text, today):
        if all(found.end <= other.start or found.start >= other.end for other in taken):
            taken.append(found)
    taken.sort(key=lambda found: found.start)
    for place, found in enumerate(taken):
        if found.before:
            other = next((each for each in taken if each is not found and not each.before), None)
            if other is None:
                return []
            length = found.value.last - found.value.first
            last = other.value.first - timedelta(days=1)
            taken[place] = Found(found.start, found.end, Period(first=last - length, last=last))
    return taken


def _candidates(text: str, today: date) -> Iterator[Found]:
    """From the longest way to say a stretch to the shortest."""
    for match in re.finditer(rf"({ONE}){TO}({ONE})", text):
        first, last = day_of(match[1], today), day_of(match[2], today)
        if first is not None and last is not None and first <= last:
            yield Found(*match.span(), Period(first=first, last=last))
    for match in re.finditer(rf"\bsince ({ONE})", text):
        if (first := day_of(match[1], today)) is not None and first <= today:
            yield Found(*match.span(), Period(first=first, last=today))
    for match in re.finditer(rf"\bbetween (\d{{1,2}}|{ONE}) and ({ONE})", text):
        last = day_of(match[2], today)
        first = _in_month_of(last, int(match[1])) if match[1].isdigit() else day_of(match[1], today)
        if first is not None and last is not None and first <= last:
            yield Found(*match.span(), Period(first=first, last=last))
    for match in re.finditer(rf"\blast weeks? (?:on )?({WEEKDAY})\b|\b({WEEKDAY}) (?:of )?last week\b", text):
        there = _week_of(today - timedelta(days=7)).first + timedelta(days=_weekday(match[1] or match[2]))
        yield Found(*match.span(), Period(first=there, last=there))
    for match in re.finditer(r"\b(?:the )?(last|past|before)? ?weekends?( before)?\b", text):
        if match[1] or match[2]:
            saturday = today - timedelta(days=(today.weekday() - 5) % 7 or 7)
            saturday -= timedelta(days=7 * (saturday + timedelta(days=1) >= today))
            if match[2] or match[1] == "before":
                saturday -= timedelta(days=7)
            yield Found(*match.span(), Period(first=saturday, last=saturday + timedelta(days=1)))
    if re.search(r"\bthis week\b", text):  # then the last one is of the calendar, too
        for match in re.finditer(r"\blast week\b", text):
            yield Found(*match.span(), _week_of(today - timedelta(days=7)))
    for match in re.finditer(rf"\b(?:the )?(first|second|latter|other) half of (?:({MONTH})\b(?! \d)|(last|this) month\b)", text):
        if (half := _half_of_month(match, today)) is not None:
            yield Found(*match.span(), half)
    for match in re.finditer(r"\blast month\b", text):
        before = today.replace(day=1) - timedelta(days=1)
        yield Found(*match.span(), Period(first=before.replace(day=1), last=before))
    for match in re.finditer(rf"\b(\d{{1,2}}){TO}(\d{{1,2}}) ({MONTH})\b", text):
        first, last = (day_of(f"{match[place]} {match[3]}", today) for place in (1, 2))
        if first is not None and last is not None and first <= last:
            yield Found(*match.span(), Period(first=first, last=last))
    for match in re.finditer(rf"\b(\d{{1,2}}) and (\d{{1,2}}) ({MONTH})\b", text):  # two days that follow each other
        first, last = (day_of(f"{match[place]} {match[3]}", today) for place in (1, 2))
        if first is not None and last is not None and last - first == timedelta(days=1):
            yield Found(*match.span(), Period(first=first, last=last))
    for match in re.finditer(
        rf"(?<!each )(?<!every )\b(?:the )?(first|last) (?:(\d+) )?(days?|weeks?) (?:of|in) ({MONTH})\b(?! \d)", text
    ):
        yield Found(*match.span(), _part_of_month(match, today))
    yield from _ending_now_or_before(text, today)
    for match in re.finditer(ONE, text):
        day = day_of(match[0], today)
        if day is not None:
            yield Found(*match.span(), Period(first=day, last=day))
    for match in re.finditer(rf"\b({MONTH})\b(?! \d)", text):
        if match[1] != "may" or re.search(r"\b(?:in|of|with|and|than) $", text[: match.start()]):
            yield Found(*match.span(), _whole_month(_month(match[1]), today))


def _ending_now_or_before(text: str, today: date) -> Iterator[Found]:
    """Stretches that end on the last recorded day, and those before another one."""
    for match in re.finditer(r"\b(?:the )?(?:(\d+) )?(days?|weeks?|months?) (?:before|previous|earlier)\b(?! yesterday)", text):
        yield Found(*match.span(), _ending(today, match[1], match[2]), before=True)
    numbered = r"\b(?:the )?(\d+) before (?:that|those|them)\b|\bthe (\d+) before\b(?! yesterday)|\bthe previous (\d+)(?=\W*$)"
    for match in re.finditer(numbered, text):
        unit, number = re.search(r"(?:\b(\d+) )?\b(days?|weeks?|months?)\b", text), match[1] or match[2] or match[3]
        if number == "1" and unit:  # "the last two weeks against the one before": as long as the other
            number = unit[1]
        yield Found(*match.span(), _ending(today, number, unit[2] if unit else "days"), before=True)
    for match in re.finditer(r"\b(?:the )?(?:previous|(?<=the )before) (?:(\d+) )?(days?|weeks?|months?)\b", text):
        yield Found(*match.span(), _ending(today, match[1], match[2]), before=True)
    for match in re.finditer(
        r"\b(?:the |these )?(?:last|past|most recent|this (?=\d)) ?(?:(\d+) )?(days?|weeks?|months?|wks?)\b", text
    ):
        yield Found(*match.span(), _ending(today, match[1], match[2]))
    if alone := re.match(rf"\W*{FIGURE}\W+({STRETCH})\W*$|\W*({STRETCH})\W+{FIGURE}\W*$", text):  # "TIR 14 d", and nothing else
        place = 1 if alone[1] else 4
        yield Found(*alone.span(place), _ending(today, alone[place + 1], alone[place + 2]))
    for match in re.finditer(r"\bthis (week|month)\b", text):
        first = today - timedelta(days=today.weekday()) if match[1] == "week" else today.replace(day=1)
        yield Found(*match.span(), Period(first=first, last=today))
    for match in re.finditer(r"\blast night\b", text):
        yield Found(*match.span(), Period(first=today - timedelta(days=1), last=today))


def _ending(today: date, count: str | None, unit: str) -> Period:
    length = int(count or 1) * {"d": 1, "w": 7, "m": 30}[unit[0]]
    return Period(first=today - timedelta(days=length - 1), last=today)


def _week_of(day: date) -> Period:
    """The week of a day, from Monday on."""
    monday = day - timedelta(days=day.weekday())
    return Period(first=monday, last=monday + timedelta(days=6))


def _in_month_of(day: date | None, number: int) -> date | None:
    """The day of that number in the same month, None where it has none."""
    try:
        return None if day is None else day.replace(day=number)
    except ValueError:
        return None


def _weekday(name: str) -> int:
    return DAYS.index(name) if name in DAYS else SHORT_DAYS[name]


def _whole_month(month: int, today: date) -> Period:
    """The last such month until today, as far as it has gone."""
    first = _past(1, month, today)
    following = (first + timedelta(days=31)).replace(day=1)
    return Period(first=first, last=min(today, following - timedelta(days=1)))


def _part_of_month(match: re.Match[str], today: date) -> Period:
    """The first or the last days or weeks of the last such month until today, as far as it has gone."""
    month = _whole_month(_month(match[4]), today)
    others = timedelta(days=int(match[2] or 1) * {"d": 1, "w": 7}[match[3][0]] - 1)
    if match[1] == "first":
        return Period(first=month.first, last=min(month.last, month.first + others))
    return Period(first=max(month.first, month.last - others), last=month.last)


def _half_of_month(match: re.Match[str], today: date) -> Period | None:
    """Until the fifteenth or from the sixteenth on, as far as the month has gone; None where it has not gone so far."""
    before = today.replace(day=1) - timedelta(days=1)
    day = today if match[3] == "this" else before
    month = _whole_month(_month(match[2]) if match[2] else day.month, today)
    first, last = (month.first, month.first.replace(day=15)) if match[1] == "first" else (month.first.replace(day=16), month.last)
    return Period(first=first, last=min(last, month.last)) if first <= min(last, month.last) else None


def clocks(text: str) -> list[str]:
    """The times of day in a text, as HH:MM, in their order. "From 2 to 4 am" is two times in the morning."""
    text = re.sub(rf"\b(?:between (\d{{1,2}}) and |(\d{{1,2}}){TO})(\d{{1,2}})\s*(am|pm)\b", r"\1\2 \4 to \3 \4", text)
    found = []
    for match in re.finditer(CLOCK, text):
        hour, minute, half = match[1] or match[4] or match[7], match[2] or match[8] or "00", match[3] or match[5] or match[6]
        value = int(hour) % 12 + (12 if half == "pm" else 0) if half else int(hour)
        if value < 24 and int(minute) < 60:
            found.append(f"{value:02d}:{minute}")
    if not found and (bare := re.search(r"\bat (\d{1,2})(?= (?:yesterday|today|on)\b|$| ?\?)", text)) and int(bare[1]) < 24:
        found.append(f"{int(bare[1]):02d}:00")
    return found


def lengths(text: str) -> set[float]:
    """The lengths of time in a text, in minutes."""
    return {float(match[1]) * _minutes(match[2]) for match in re.finditer(LENGTH, text)}


def _minutes(unit: str) -> int:
    return UNITS[unit] if unit in UNITS else UNITS[unit.rstrip("s")]
