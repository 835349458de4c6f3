"""Cells: one row for each amount that a source states, on its way to becoming an event."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import union_categoricals

from careplan.records.text import Rows, beyond, is_missing, numbered, numbers

CELLS = ("file", "row", "field", "raw", "time", "channel", "value", "duration", "flag")  # and perhaps "product"
REPEATED = ("file", "field", "raw", "channel")  # columns of few different texts: held and compared as numbers
SIGNS = ("", "low", "high")  # flags of what a device could measure, and of what is beyond it


def cells_of(rows: Sequence[tuple[object, ...]], names: Sequence[str]) -> pd.DataFrame:
    """Cells from a tuple each, whose parts are in the order of `names`: made column by column, of the types that they have."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    made = {name: pd.Series(np.array(column, dtype=object)) for name, column in zip(names, columns, strict=True)}
    return pd.DataFrame(made, columns=list(names), dtype=object).astype({"row": "int64", "value": float, "duration": float})


def column(
    rows: Rows, name: str, channel: str, time: pd.Series, *, limits: tuple[float, float] | None = None, blank: bool = False
) -> pd.DataFrame:
    """The filled cells of one column of a file; `limits` are what "Low" and "High" mean where they give no number, in its unit.

    blank: empty cells too, where a row stands for nothing else and must be accounted for.
    """
    every = rows.cells[name].to_numpy(dtype=object)
    index = np.arange(len(every)) if blank else np.flatnonzero(~is_missing(every))
    texts = every[index]
    value = numbers(texts, decimal_comma=rows.decimal_comma)
    sign = np.zeros(len(texts), dtype=np.int8)
    if limits is not None:
        for place in np.flatnonzero(np.isnan(value)):
            if said := beyond(texts[place]):
                sign[place], stated = SIGNS.index(said[0]), said[1]
                value[place] = limits[said[0] == "high"] if np.isnan(stated) else stated
    return pd.DataFrame(
        {
            "file": alike(rows.name, len(index)),
            "row": rows.row[index],
            "field": alike(rows.fields.get(name, name), len(index)),
            "raw": coded(texts),
            "time": time.iloc[index].reset_index(drop=True),
            "channel": alike(channel, len(index)),
            "value": value,
            "duration": 0.0,
            "flag": pd.Series(SIGNS, dtype="str").array.take(sign),
        },
        copy=False,
    )


def alike(text: str, length: int) -> "pd.Categorical[str]":
    """A text `[N]` times, held once."""
    return pd.Categorical.from_codes(np.zeros(length, dtype=np.int8), pd.Index([text]))


def coded(texts: NDArray[np.object_]) -> "pd.Categorical[str]":
    """`[N]` texts of which few differ, each of them held once."""
    codes, different = numbered(texts.tolist())
    return pd.Categorical.from_codes(codes, pd.Index(different, dtype=object))


def stacked(every: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The cells of several one after the other, moved out of them; their columns of few texts are held as numbers, which are in
    the order of the texts where the texts of each differ."""
    if len(every) == 1:
        return every[0].reset_index(drop=True)
    whole: dict[str, object] = {}
    for name in dict.fromkeys(str(name) for cells in every for name in cells):
        parts = [cells.pop(name) if name in cells else pd.Series(np.nan, index=cells.index, dtype=object) for cells in every]
        if name in REPEATED:
            each_one = [part.astype("category").cat for part in parts]
            texts = [one.rename_categories(one.categories.astype(object)) for one in each_one]  # type: ignore[arg-type]
            whole[name] = union_categoricals(texts, sort_categories=len({frozenset(each.cat.categories) for each in texts}) > 1)
        else:
            whole[name] = pd.concat(parts, ignore_index=True)
    return pd.DataFrame(whole, copy=False)


def taken(cells: pd.DataFrame, places: NDArray[np.intp]) -> pd.DataFrame:
    """The cells at so many places, in that order, moved column by column out of `cells`: they are most of what is held."""
    return pd.DataFrame({name: cells.pop(name).array.take(places) for name in map(str, cells.columns)}, copy=False)


def by_time(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells, moved out of `cells`, by time, file and row."""
    file = cells["file"].astype("category").cat.codes.to_numpy()
    order = np.lexsort((cells["row"].to_numpy(), file, cells["time"].dt.tz_localize(None).to_numpy()))
    return taken(cells, order)
