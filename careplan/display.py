"""How a level is shown, whatever the therapy: units, and the bands and targets that charts and tables mark. Pure and light."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from careplan.language import N_, _

MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Unit:
    """How a level is shown: `value in the therapy's own unit / per`, with so many decimals."""

    name: str
    per: float
    digits: int

    def of(self, level: float) -> float:
        """From the therapy's own unit."""
        return level / self.per

    def back(self, shown: float) -> float:
        """To the therapy's own unit."""
        return shown * self.per

    def text(self, level: float | None) -> str:
        return "-" if level is None else f"{self.of(level):.{self.digits}f}"

    def series(self, values: Iterable[float | None]) -> list[float | None]:
        return [None if value is None else round(self.of(value), 2) for value in values]


class Band(NamedTuple):
    """A stretch of the regulated level.

    name: as it is shown; field: as the therapy's summary calls the share of readings in it. low, high: its ends, in the therapy's
    own unit. far: how far from what is wanted, from -2 (much too low) over 0 to 2 (much too high).
    """

    name: str
    field: str
    low: float
    high: float
    far: Literal[-2, -1, 0, 1, 2]


@dataclass(frozen=True, kw_only=True)
class Marks:
    """What charts and tables of one therapy mark.

    bands: from the highest to the lowest. targets: % of readings by outcome: fewer where the outcome is below or above a level,
    more where it is in range. bottom, top: levels that a chart always shows.
    """

    bands: tuple[Band, ...]
    targets: Mapping[str, float]
    bottom: float
    top: float


def is_percent(outcome: str) -> bool:
    """Whether an outcome of an option is told in percent: all are but means, sums and the risk."""
    return re.split("[ _]", outcome)[0] not in ("mean", "sum", "risk")


def clock(minute: float) -> str:
    """Minutes after midnight as 06:30; the end of the day is 24:00."""
    return f"{int(minute) // 60:02d}:{int(minute) % 60:02d}"


def signed(value: float, digits: int) -> str:
    """With its sign; what is nothing at the precision shown has none."""
    text = f"{value:+.{digits}f}"
    return text.replace("-", MINUS) if float(text) else text[1:]


def sentence(text: str) -> str:
    """With a capital and a full stop, or whatever ends a sentence in the reader's language."""
    text, stop = text.strip(), _(".")
    return f"{text[:1].upper()}{text[1:].rstrip('.。')}{stop}" if text else ""


COMMA, SEMICOLON = N_(", "), N_("; ")
LENGTHS = (  # as `duration_in_words` makes them, for the catalogue
    *(N_("1 week"), N_("{count:g} weeks"), N_("1 day"), N_("{count:g} days")),
    *(N_("{count:g} h"), N_("{count:g} min"), N_("{count:g} s")),
)


def listed(parts: Iterable[str], between: str = COMMA) -> str:
    """Parts of a sentence after one another; those that say nothing are left out."""
    return _(between).join(filter(None, parts))
