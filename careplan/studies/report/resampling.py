"""Figures over people with 95 % intervals by resampling them (Efron 1979), in little memory however many people there are."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from careplan.studies.report.protocol import Protocol

AT_ONCE = 25  # resamples whose weights are numbers of eight bytes at one time
Values = NDArray[np.float64]
Counts = NDArray[np.uint8]
Figure = dict[str, Any]


def resampled(count: int, protocol: Protocol) -> Counts:
    """How often each person is drawn in each resample, `[R, P]`; the first row is everybody once.

    A byte a person is enough: that somebody of more than 255 is drawn over 255 times has a chance below 1e-500.
    """
    random = np.random.default_rng(protocol.seed)
    found, each = np.ones((protocol.resamples + 1, count), np.uint8), np.full(count, 1 / count)
    for row in found[1:]:
        row[:] = random.multinomial(count, each)
    return found


def added(weights: Counts, values: Values) -> Values:
    """What values of people `[P, V]` add up to in each resample, `[R, V]`."""
    rows = range(0, len(weights), AT_ONCE)
    return np.concatenate([weights[row : row + AT_ONCE].astype(float) @ values for row in rows])


def summary(values: Values, weights: Counts) -> Figure:
    """Mean over the people who have a value, `[P]`, its 95 % interval, and how many they are."""
    known = np.isfinite(values)
    if not known.any():
        return {"mean": None, "low": None, "high": None, "people": 0}
    total, people = added(weights, np.column_stack([np.where(known, values, 0.0), known])).T
    with np.errstate(invalid="ignore", divide="ignore"):
        means = total / people
    return {"mean": means[0], **bounds(means[1:]), "people": int(known.sum())}


def bounds(drawn_again: Values) -> Figure:
    """The middle 95 % of a figure over resamples."""
    known = drawn_again[np.isfinite(drawn_again)]
    if len(known) < 2:
        return {"low": None, "high": None}
    low, high = np.quantile(known, [0.025, 0.975])
    return {"low": float(low), "high": float(high)}
