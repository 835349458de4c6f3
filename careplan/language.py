"""The language that people are spoken to in: one catalogue of whole sentences, numbers and dates as its readers write them.

English is the language of the source and of everything that is stored. `_` says a message in the reader's language; `N_` marks
one that is stored, or kept in a table, in English, and `retold` says such a text when it is shown. A message holds its numbers
and names as `{placeholders}`, so that a translation may put them in another order.

The catalogues are `careplan/locale/<language>/LC_MESSAGES/careplan.po`, compiled when a language is first spoken.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date, datetime
from functools import cache, lru_cache
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

ENGLISH = "en"
LANGUAGES: Mapping[str, str] = {ENGLISH: "English", "ja": "日本語"}
LOCALE = Path(__file__).parent / "locale"

# As Babel's patterns (Unicode TR 35): a day, and a day of a week that is looked at.
DAYS: Mapping[str, str] = {ENGLISH: "dd MMM y", "ja": "y年M月d日"}
WEEKDAYS: Mapping[str, str] = {ENGLISH: "EEE dd MMM", "ja": "M月d日(EEE)"}
MONTHS: Mapping[str, str] = {ENGLISH: "MMM", "ja": "M月"}

PLACEHOLDER = re.compile(r"\{(\w+)(?::([^{}]*))?\}")
NUMERAL = "[+\N{MINUS SIGN}-]?\\d[\\d.,]*%?|unknown"
LEAST = 6  # letters of its own that a message with placeholders for words needs to be told from any other text

_chosen: ContextVar[str | None] = ContextVar("language", default=None)
_asked: list[Callable[[], str | None]] = []


def current() -> str:
    """The language of whoever is spoken to now: of `using`, else of whom `asking` knows, else English."""
    if (chosen := _chosen.get()) is not None:
        return chosen
    for ask in _asked:
        if (found := ask()) in LANGUAGES:
            return str(found)
    return ENGLISH


@contextmanager
def using(language: str) -> Iterator[None]:
    """Everything within is said in a language. Raises ValueError for one without a catalogue."""
    if language not in LANGUAGES:
        raise ValueError(f"language {language!r}: expected one of {', '.join(LANGUAGES)}")
    before = _chosen.set(language)
    try:
        yield
    finally:
        _chosen.reset(before)


def asking(ask: Callable[[], str | None]) -> None:
    """Whom to ask which language is spoken where nobody has said it by `using`: a server with many readers at once."""
    _asked[:] = [ask]


def preferred(locale: str | None) -> str:
    """The language that serves a reader of a locale ("ja-JP"); English where none does."""
    language = (locale or "").replace("_", "-").partition("-")[0].lower()
    return language if language in LANGUAGES else ENGLISH


def _(message: str, /, **values: Any) -> str:
    """A message in the reader's language, with its placeholders filled."""
    said = _spoken(current()).gettext(message) if message else ""  # to gettext the empty message is the catalogue's head
    return said.format(**values) if values else said


def ngettext(one: str, many: str, count: int, /, **values: Any) -> str:
    """As `_`, of a count; `{count}` is it."""
    return _spoken(current()).ngettext(one, many, count).format(count=count, **values)


def N_(message: str) -> str:  # noqa: N802, gettext's own name
    """Marks a message for the catalogue and leaves it in English."""
    return message


def retold(text: str, *also: str) -> str:
    """A text that was made in English, in the reader's language: by the message that it was made from, found by its pattern. A
    text of several parts is retold part by part; one that no message made stays as it is.

    Args:
        text: What was made.
        also: Messages with too few letters of their own to be told from any text, of which this may have been made.
    """
    language = current()
    return text if language == ENGLISH else _retold(text, language, also)


def number(value: float, digits: int = 0) -> str:
    """A number with so many decimals, grouped as readers of the language group them."""
    if current() == ENGLISH:
        return f"{value:,.{digits}f}"
    from babel.numbers import format_decimal

    return format_decimal(value, f"#,##0.{'0' * digits}" if digits else "#,##0", locale=current())


def day(when: date) -> str:
    """A day with its year: "04 Mar 2026", "2026年3月4日"."""
    return _dated(when, DAYS)


def weekday(when: date) -> str:
    """A day of a week that is looked at: "Wed 04 Mar"."""
    return _dated(when, WEEKDAYS)


def month(when: date) -> str:
    """The month of a day, short."""
    return _dated(when, MONTHS)


def moment(when: datetime, zone: str = "UTC") -> str:
    """A time on the clock of a zone: "04 Mar 2026 12:05"."""
    local = when.astimezone(ZoneInfo(zone))
    return f"{day(local)} {local:%H:%M}"


def _dated(when: date, patterns: Mapping[str, str]) -> str:
    from babel.dates import format_date

    return format_date(when, patterns[current()], locale=current())


@cache
def _spoken(language: str) -> NullTranslations:
    if language == ENGLISH:
        return NullTranslations()
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import read_po

    compiled = BytesIO()
    with (LOCALE / language / "LC_MESSAGES" / "careplan.po").open("rb") as file:
        write_mo(compiled, read_po(file, locale=language))
    compiled.seek(0)
    return GNUTranslations(compiled)


@cache
def _patterns(language: str) -> list[tuple[re.Pattern[str], str]]:
    """How the text of each message with placeholders looks, and its translation; those with the most text of their own first."""
    catalogue: Mapping[Any, str] = getattr(_spoken(language), "_catalog", {})
    found = []
    for key, said in catalogue.items():
        message = key if isinstance(key, str) else key[0]
        own = PLACEHOLDER.sub("", message)
        letters, forms = len(re.sub(r"[^A-Za-z]", "", own)), [form for _name, form in PLACEHOLDER.findall(message)]
        if forms and (letters >= LEAST or (letters and all(forms))):
            found.append((len(own), _pattern(message), PLACEHOLDER.sub(r"{\1}", said)))
    return [(pattern, said) for _own, pattern, said in sorted(found, key=lambda each: -each[0])]


def _pattern(message: str) -> re.Pattern[str]:
    parts, seen, end = [], set[str](), 0
    for found in PLACEHOLDER.finditer(message):
        name, form = found[1], found[2]
        value = f"(?P={name})" if name in seen else f"(?P<{name}>{NUMERAL if form else '.+?'})"
        parts += [re.escape(message[end : found.start()]), value]
        seen.add(name)
        end = found.end()
    return re.compile("".join([*parts, re.escape(message[end:])]), re.DOTALL)


@lru_cache(maxsize=4096)
def _retold(text: str, language: str, also: tuple[str, ...] = ()) -> str:
    if (whole := _whole(text, language, also)) is not None:
        return whole
    if found := ASIDE.fullmatch(text):
        told = [_retold(part, language, also) for part in found.groups()]
        if told != [*found.groups()]:
            return _spoken(language).gettext(N_("{rule} ({where})")).format(rule=told[0], where=told[1])
    for between in BETWEEN:
        parts = text.split(between)
        for end in range(len(parts) - 1, 0, -1):  # the longest beginning that a message made
            head, rest = between.join(parts[:end]), between.join(parts[end:])
            whole, after = _whole(head, language, also), _retold(rest, language, also)
            if whole is not None or (end == 1 and after != rest):
                return _spoken(language).gettext(between).join((whole or head, after))
    return text


BETWEEN = (N_("; "), N_(": "), N_(", "), N_(" and "), N_(" or "))
ASIDE = re.compile(r"(.+) \(([^()]+)\)", re.DOTALL)


def _whole(text: str, language: str, also: tuple[str, ...]) -> str | None:
    """A text that one message made; None where none did."""
    known = _spoken(language).gettext(text) if text else text
    if known != text:
        return known
    short = [(_pattern(message), PLACEHOLDER.sub(r"{\1}", _spoken(language).gettext(message))) for message in also]
    for pattern, said in (*short, *_patterns(language)):
        if found := pattern.fullmatch(text):
            return said.format(**{name: _retold(value, language, also) for name, value in found.groupdict().items()})
    return None
