"""What figures are made from, read some parts at a time: a few numbers of each person; of risks what each resample adds up to."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from careplan.studies.report import parts
from careplan.studies.report.judge import BINS
from careplan.studies.report.resampling import Counts, Values, added

PERSON = ["unit", "patient"]
Named = dict[Any, dict[str, Values]]  # by what a table is divided by, columns by person


def by_person(folders: list[Path], name: str, people: pd.DataFrame) -> Iterator[tuple[pd.DataFrame, NDArray[np.intp]]]:
    """One table of every part that has it, and where in `people` the person of each of its rows stands, `[n]`."""
    places = pd.MultiIndex.from_frame(people[PERSON])
    for table in parts.tables_of(folders, name):
        yield table, places.get_indexer(pd.MultiIndex.from_frame(table[PERSON]))


def values_of(folders: list[Path], name: str, by: str | list[str], columns: list[str], people: pd.DataFrame) -> Named:
    """Columns of a table by person, `[P]`, NaN for those without a value: by what stands in `by`, in the order met."""
    found: Named = {}
    for table, who in by_person(folders, name, people):
        for key, part in table.groupby(by, sort=False):
            if key not in found:
                found[key] = {column: np.full(len(people), np.nan) for column in columns}
            for column, values in found[key].items():
                values[who[part.index]] = part[column].to_numpy(float)
    return found


def risks_by_bin(folders: list[Path], people: pd.DataFrame, weights: Counts) -> dict[str, Values]:
    """By hazard, in every resample, the moments of each bin of the risk after which it did not come, and did: `[R, BINS, 2]`."""
    found: dict[str, Values] = {}
    for table, who in by_person(folders, "risks", people):
        some = np.unique(who)
        for hazard, part in table.groupby("hazard"):
            counts = np.zeros((len(some), BINS, 2))
            at = np.searchsorted(some, who[part.index]), part["bin"]
            counts[*at, 0], counts[*at, 1] = part["n"] - part["events"], part["events"]
            total = added(weights[:, some], counts.reshape(len(some), -1)).reshape(len(weights), BINS, 2)
            found[str(hazard)] = found.get(str(hazard), 0.0) + total
    return dict(sorted(found.items()))
