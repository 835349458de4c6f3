"""Series for the tests of evaluation."""

import numpy as np
import pandas as pd

from careplan.series import PatientSeries
from careplan.therapies.glucose.declaration import GLUCOSE


def series(
    glucose: list[float] | np.ndarray, *, start: str = "2024-01-08", zone: str = "UTC", patient: str = "p", **columns: np.ndarray
) -> PatientSeries:
    """A series of 5-min rows; NaN is unknown, and so are channels not given."""
    level = np.asarray(glucose, dtype=np.float32)
    values = np.zeros((len(level), len(GLUCOSE.channels)), dtype=np.float32)
    mask = np.zeros(values.shape, dtype=bool)
    for name, column in {"glucose": level, **columns}.items():
        index = GLUCOSE.index(name)
        values[:, index], mask[:, index] = np.nan_to_num(column), ~np.isnan(column)
    return PatientSeries(patient, GLUCOSE, pd.Timestamp(start, tz="UTC"), zone, values, mask)
