"""Insulins by the names people and devices write: how each acts, and what a premix is made of.

The table is `insulins.csv` beside this module: a row for each insulin with its names, its parts, its substance and where that is
stated. Sources are short:

- EU: product information of the European Medicines Agency
- US: United States prescribing information
- CA, UK, DE, PL, CN, IN, JP: that country's product monograph, summary of characteristics or package leaflet
- INN: the substance's international nonproprietary name, which the class of action follows from
- class: words for a class of insulins rather than a product

A premix's parts are written with the soluble, fast part first, whichever part its name puts first: NovoMix 30 and
NovoLog Mix 70/30 are both 30 % insulin aspart and 70 % insulin aspart protamine.
"""

import csv
import re
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.resources import files
from typing import Literal, cast, get_args

Kind = Literal["rapid", "short", "intermediate", "long", "ultra-long", "weekly"]
FAST: tuple[Kind, ...] = ("rapid", "short")  # what covers a meal; everything else is background insulin

# Strengths and volumes ("U-100", "100 IU/ml", "3 ml"; RxNorm's "100 UNT/ML", of which two digits are a part of a premix), and
# words that say nothing of the action.
STRENGTH = re.compile(
    r"\bu ?-? ?\d{2,3}\b|\b\d{2,3} ?(?:u|iu|ie|ui|e|units?|einheiten) ?/ ?ml\b|\b\d{3} ?unt ?/ ?ml\b|\b[\d.,]+ ?ml\b"
)
NEUTRAL = re.compile(
    "insulin[ae]?|insulinum|humane?|analog(?:ue)?|dose|pen|prefilled|disposable|vial|cartridge|penfill|flexpen|flextouch|flexpro"
    "|kwikpen|junior|tempo|solostar|doublestar|optiset|opticlik|optipen|innolet|novolet|hm|ge|relion|[1235]00"
)
MIXED = re.compile(
    "mix|mixed|mixture|mischung|misch(?:insulin)?|melange|mezcla|mistura|comb|comb[io]|profil|premix|bi(?:ph|f)asic.?"
)


# Words for how an insulin acts, without accents, in the languages of device exports.
SLOW = re.compile("long|lang|lunga|larga|basal|langsam|prolong|lente|retard")
FAST_WORDS = re.compile("rapid|fast|short|schnell|kurz|snel|kort|snabb|hurtig|bolus|meal")


def channel_said(text: str) -> Literal["bolus", "long_acting"] | None:
    """The channel of an insulin that is told by how it acts ("Fast-Acting", "Lang wirkend"); None where words say neither, or
    both."""
    plain = _plain(text)
    slow, fast = SLOW.search(plain) is not None, FAST_WORDS.search(plain) is not None
    return None if slow == fast else "long_acting" if slow else "bolus"


@dataclass(frozen=True)
class Insulin:
    """One insulin, by the name it was found under.

    parts: `(kind, share of the units)`, one for a plain insulin, the fast part first for a premix.
    """

    name: str
    parts: tuple[tuple[Kind, float], ...]
    substance: str
    source: str

    @property
    def weekly(self) -> bool:
        """Whether one dose is meant to last a week."""
        return self.parts[0][0] == "weekly"

    def split(self, units: float) -> tuple[tuple[str, float], ...]:
        """`(channel, units)` of a dose: rapid and short insulin count as `bolus`, all others as `long_acting`."""
        return tuple(("bolus" if kind in FAST else "long_acting", round(units * share, 4)) for kind, share in self.parts)


@lru_cache(maxsize=4096)
def find_insulin(name: str) -> Insulin | None:
    """The insulin a name means, whatever its case, spacing, strength or pen: "HUMALOG mix25 KwikPen", "Lantus U-100 (evening)".

    None where the name is not in the table, could mean several ("Humulin", "Lantus or Levemir"), or carries a word or a number
    that tells insulins apart and does not belong to the one found ("Humalog Mix", "Humalog 25"). Nothing is guessed.
    """
    words = _words(STRENGTH.sub(" ", _plain(name)))
    known = _known(words)
    if not known:
        return None
    start, end = max(known, key=lambda span: (_named(words, span).source not in ("INN", "class"), span[1] - span[0]))
    found = _named(words, (start, end))
    left = [*words[:start], *words[end:]]
    for span in _known(left):  # "Toujeo (glargine)" says the same twice
        if _named(left, span).source == "INN" and _named(left, span).parts == found.parts:
            left = [*left[: span[0]], *left[span[1] :]]
            break
    left = [word for word in left if not NEUTRAL.fullmatch(word)]
    harmless = found.source != "class" and all(
        len(word) > 2 and word.isalpha() and word not in TELLING and not MIXED.fullmatch(word) for word in left
    )
    return found if harmless or not left else None


@dataclass(frozen=True)
class Asked:
    """Who can be asked for the kind of an insulin, and what was answered: None where they do not know either."""

    ask: Callable[[str], Kind | None]
    answers: dict[str, Kind | None] = field(default_factory=dict)


_asked: ContextVar[Asked | None] = ContextVar("asked", default=None)


@contextmanager
def asking(ask: Callable[[str], Kind | None]) -> Iterator[None]:
    """Within it, `known_insulin` asks, once a name, for the kind of an insulin that the table does not have."""
    token = _asked.set(Asked(ask))
    try:
        yield
    finally:
        _asked.reset(token)


def known_insulin(name: str) -> Insulin | None:
    """The insulin a name means by the table, or else by who can be asked (`asking`); None where neither knows it."""
    found, asked, name = find_insulin(name), _asked.get(), name.strip()
    if found is not None or asked is None or not name:
        return found
    if name not in asked.answers:
        asked.answers[name] = asked.ask(name)
    kind = asked.answers[name]
    return None if kind is None else Insulin(name, ((kind, 1.0),), "", "as stated")


def as_stated() -> dict[str, Kind]:
    """The insulins whose kind was asked for and is known, by name."""
    asked = _asked.get()
    return {name: kind for name, kind in asked.answers.items() if kind is not None} if asked else {}


def _known(words: list[str]) -> list[tuple[int, int]]:
    """Where in the words a name of the table stands."""
    spans = ((start, end) for start in range(len(words)) for end in range(start + 1, min(start + LONGEST, len(words)) + 1))
    return [(start, end) for start, end in spans if "".join(words[start:end]) in BY_NAME]


def _named(words: list[str], span: tuple[int, int]) -> Insulin:
    return BY_NAME["".join(words[span[0] : span[1]])]


def _plain(name: str) -> str:
    """Lower case, without accents and trade marks."""
    text = unicodedata.normalize("NFKD", re.sub("[®™©]", " ", name)).casefold()
    return "".join(letter for letter in text if not unicodedata.combining(letter))


def _words(text: str) -> list[str]:
    """Words and numbers; "mix25" is two."""
    return re.findall(r"[^\W\d_]+|\d+", text)


def _parts(text: str) -> tuple[tuple[Kind, float], ...]:
    """ "long", or "rapid 30 + intermediate 70"."""
    parts = []
    for part in text.split(" + "):
        kind, _, percent = part.partition(" ")
        if kind not in get_args(Kind):
            raise ValueError(f"insulins.csv: expected one of {get_args(Kind)}, found {kind!r}")
        parts.append((cast(Kind, kind), float(percent or 100.0) / 100.0))
    return tuple(parts)


def _table() -> list[tuple[list[str], Insulin]]:
    """`(all names, insulin)` of every row."""
    text = files("careplan.records").joinpath("insulins.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines(), delimiter=";")
    return [
        (
            [row["name"], *filter(None, row["other names"].split("|"))],
            Insulin(row["name"], _parts(row["parts"]), row["substance"], row["source"]),
        )
        for row in rows
    ]


NAMED = _table()
INSULINS: tuple[Insulin, ...] = tuple(insulin for _, insulin in NAMED)
BY_NAME: dict[str, Insulin] = {
    "".join(_words(_plain(name))): replace(insulin, name=name) for names, insulin in NAMED for name in names
}
WEEKLY = frozenset(insulin.name for insulin in BY_NAME.values() if insulin.weekly)
LONGEST = max(len(_words(_plain(name))) for names, _ in NAMED for name in names)
# Words that tell one insulin from another: beside a known name they mean that something else was meant.
TELLING = {
    word
    for names, _ in NAMED
    for name in names
    for word in _words(_plain(name))
    if word.isalpha() and not NEUTRAL.fullmatch(word)
}
