"""Dates that cannot be true, and where they stand as they are written: what a report names of them."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from careplan.records.text import Rows

FIRST_DATE = pd.Timestamp("1980-01-01", tz="UTC")  # no glucose meter kept a dated memory before

Written = tuple[str, str]  # a field, and what is written there
Stamps = dict[tuple[str, int], Written]  # (file, row) -> its date


def latest_date() -> pd.Timestamp:
    """A day from now: nothing after it can be recorded yet, wherever on Earth."""
    return pd.Timestamp.now("UTC") + pd.Timedelta(days=1)


def impossible(time: pd.Series) -> NDArray[np.bool_]:
    """`[N]` where there is no time, or none that can be true: before 1980, or more than a day in the future."""
    return ~((time >= FIRST_DATE) & (time <= latest_date())).to_numpy(dtype=bool)


def stamps_of(time: pd.Series, at: Callable[[int], tuple[str, int]], written: Callable[[int], Written]) -> Stamps:
    """Where the impossible ones of times `[N]` stand: `at` gives the file and row of each by its index, `written` its field and
    text."""
    return {at(index): written(index) for index in np.flatnonzero(impossible(time)).tolist()}


def stamps_in(rows: Rows, name: str, time: pd.Series) -> Stamps:
    """Where the impossible times of a column stand."""
    texts = rows.cells[name]
    return stamps_of(
        time, lambda index: (rows.name, int(rows.row[index])), lambda index: (rows.fields.get(name, name), str(texts.iloc[index]))
    )
