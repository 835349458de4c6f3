"""The canonical events table: what every reader produces and the store keeps."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from careplan.records.correction import Correction
from careplan.records.settings import StatedSettings

COLUMNS = {
    "time": "datetime64[ns, UTC]",  # when it was measured, or began
    "channel": "object",  # a channel of the therapy
    "value": "float64",  # in the channel's unit; for a rate, the rate
    "duration": "float64",  # minutes a rate or extended impulse lasts; 0 for a point; NaN: until the next event of the channel
    "flag": "object",  # none, one or several of FLAGS, separated by a space
    "origin": "str",  # "file:row" it was read from: each another, so held in one piece
    "product": "object",  # the insulin's brand where the source names one; mostly ""
}

FLAGS = {
    "low": "below what the device can measure; the value is that limit",
    "high": "above what the device can measure; the value is that limit",
    "fingerstick": "a blood glucose meter's reading, not a sensor's",
    "automatic": "dosed by a pump's algorithm, not by a person",
}


class RecordError(ValueError):
    """Bad input. Says which file, row and field, and what was expected."""

    def __init__(self, problem: str, *, file: object, row: int | None = None, field: str | None = None) -> None:
        where = str(file)
        if row is not None:
            where += f", row {row}"
        if field is not None:
            where += f", field {field!r}"
        super().__init__(f"{where}: {problem}")
        self.file, self.row, self.field, self.problem = str(file), row, field, problem


Refused = dict[str, RecordError]  # patient -> the first thing wrong with what is theirs


@contextmanager
def refusing(refused: Refused | None, patient: str) -> Iterator[None]:
    """Leaves a patient out whose record cannot be trusted, noting why in `refused`; without that, raises as ever."""
    try:
        yield
    except RecordError as error:
        if refused is None:
            raise
        refused.setdefault(patient, error)


@dataclass(frozen=True, eq=False)
class PatientRecord:
    """What one source says of one patient: the canonical events, sorted by time, and how they came to be."""

    patient: str
    zone: str
    events: pd.DataFrame
    corrections: tuple[Correction, ...] = ()
    rows_read: int = 0
    weight: float | None = None  # kg
    facts: Mapping[str, str | float] = field(default_factory=dict)  # what else is said of the patient, as it is written
    group: str = "adult"  # of the groups that the therapy's limits are by
    regimen: StatedSettings | None = None  # where the source states one
    files: tuple[str, ...] = field(default=())
    ignored: Mapping[str, int] = field(default_factory=dict)  # rows of no channel, by the rule that names their kind
    source: str = ""  # the format it was read from
    why: str = ""  # what in the files told the format


# Half of a character, marks that turn the direction of what follows them, and control characters.
HIDDEN = re.compile("[\ud800-\udfff\u200e\u200f\u202a-\u202e\u2066-\u2069\x00-\x08\x0b-\x1f\x7f]")


def shown(text: str) -> str:
    """A text from outside as it may be shown and kept: without what hides, or reads as something else than, what is there."""
    return text if text.isascii() and text.isprintable() else HIDDEN.sub("\ufffd", text)


def flagged(flags: pd.Series, word: str) -> NDArray[np.bool_]:
    """`[N]` where one of the words of `flags` `[N]` is `word`."""
    with_word = [flag for flag in flags.unique() if word in flag.split()]
    return flags.isin(with_word).to_numpy(dtype=bool)


def events_frame(rows: Iterable[tuple[object, ...]] = ()) -> pd.DataFrame:
    """A canonical table from `(time, channel, value, duration, flag, origin[, product])` rows."""
    whole = [(*row, *("",) * (len(COLUMNS) - len(row))) for row in rows]
    return pd.DataFrame(whole, columns=list(COLUMNS)).astype(COLUMNS)


def join_flags(*flags: str) -> str:
    """One flag that holds the words of all, each once, in the order of `FLAGS`."""
    words = {word for flag in flags for word in flag.split()}
    return " ".join(word for word in FLAGS if word in words)
