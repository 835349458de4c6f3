"""`PatientSeries`: one patient's recording on a regular grid, and `Window`, a batch of pieces of such recordings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from careplan.covariates import Fact
from careplan.minutes import DAY
from careplan.therapy import Therapy

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class PatientSeries:
    """A regular grid of values and masks.

    patient: its identifier. start: UTC time of the first row. zone: IANA name of the patient's clock.
    values: `[T, C]` float32 in the channels' units, 0 where unknown; mask: `[T, C]` bool, True where known.
    A rate is the rate over the step that begins at the row; an impulse is the sum given within it.
    Unlogged impulses in a logged channel are known zeros; a channel never logged is masked throughout. What is given in a row
    acts before the level in it is read: a level is that at the end of its row. facts: covariates, by name.
    """

    patient: str
    therapy: Therapy
    start: pd.Timestamp
    zone: str
    values: NDArray[np.float32]
    mask: NDArray[np.bool_]
    facts: Mapping[str, Fact] = field(default_factory=dict)

    def __post_init__(self) -> None:
        channels = len(self.therapy.channels)
        if self.values.ndim != 2 or self.values.shape[1] != channels or self.values.shape != self.mask.shape:
            raise ValueError(
                f"series of {self.patient}: values {self.values.shape} and mask {self.mask.shape}, expected [T, {channels}]"
            )
        if self.start.tzinfo is None:
            raise ValueError(f"series of {self.patient}: start {self.start} has no time zone")

    def __len__(self) -> int:
        return len(self.values)

    @property
    def times(self) -> pd.DatetimeIndex:
        """`[T]` UTC."""
        return pd.date_range(self.start, periods=len(self), freq=pd.Timedelta(minutes=self.therapy.step))

    def minute_of_day(self) -> NDArray[np.float32]:
        """`[T]` minutes after the patient's local midnight, with the fraction that seconds are."""
        local = self.times.tz_convert(self.zone)
        return np.asarray(local.hour * 60 + local.minute + local.second / 60, dtype=np.float32)

    def minute(self) -> NDArray[np.float32]:
        """`[T]` minutes of the therapy's cycle: since local midnight, or since Monday's where it is longer than a day; since the
        recording's start where there is no cycle."""
        cycle = self.therapy.clock.cycle
        if cycle is None:
            return (self.therapy.step * np.arange(len(self))).astype(np.float32)
        if cycle <= DAY:
            return self.minute_of_day() if cycle == DAY else self.minute_of_day() % np.float32(cycle)
        days = np.asarray(self.times.tz_convert(self.zone).day_of_week, dtype=np.float32)
        return (days * np.float32(DAY) + self.minute_of_day()) % np.float32(cycle)

    def row(self, time: pd.Timestamp) -> int:
        """The row whose step holds `time`; raises `IndexError` when the recording does not."""
        row = int((time - self.start) // pd.Timedelta(minutes=self.therapy.step))
        if not 0 <= row < len(self):
            raise IndexError(f"series of {self.patient}: {time} is outside {self.times[0]} .. {self.times[-1]}")
        return row

    def since(self, row: int) -> "PatientSeries":
        """The recording from a row on."""
        start = self.start + pd.Timedelta(minutes=self.therapy.step * row)
        return replace(self, start=start, values=self.values[row:], mask=self.mask[row:])

    def until(self, row: int) -> "PatientSeries":
        """The recording up to a row."""
        return replace(self, values=self.values[:row], mask=self.mask[:row])

    def column(self, name: str) -> NDArray[np.float32]:
        """`[T]` one channel, NaN where unknown."""
        index = self.therapy.index(name)
        return np.where(self.mask[:, index], self.values[:, index], np.float32(np.nan))


def cadence(series: PatientSeries) -> float:
    """Minutes between readings, as is usual in the series: the median over neighbours; the grid's step where too few."""
    known = np.flatnonzero(series.mask[:, series.therapy.index(series.therapy.regulated)])
    return float(np.median(np.diff(known))) * series.therapy.step if len(known) > 1 else series.therapy.step


def usual_spacing(times: pd.Series) -> float:
    """Minutes between readings as a rule, 0 with fewer than two: a 15-min sensor is not missing two readings in three."""
    between = np.diff(np.unique(times.astype("int64").to_numpy()))  # nanoseconds
    return float(np.median(between)) / 60e9 if len(between) else 0.0


@dataclass(frozen=True, eq=False)
class Window:
    """A batch of equally long pieces: values `[B, T, C]`, mask `[B, T, C]`, minute of the cycle `[B, T]`."""

    values: "Tensor"
    mask: "Tensor"
    minute: "Tensor"

    def __len__(self) -> int:
        return len(self.values)

    def to(self, device: "torch.device | str") -> "Window":
        return Window(self.values.to(device), self.mask.to(device), self.minute.to(device))


def given_columns(therapy: Therapy) -> list[int]:
    """The columns of the actions."""
    return [therapy.index(channel.name) for channel in therapy.of("action")]


def windows(series: PatientSeries, ends: Sequence[int], length: int) -> Window:
    """The `length` rows before each row in `ends` (exclusive), padded as unknown where the recording has not begun or
    has ended; where the therapy says that nothing was given before, that is known."""
    before, after = length, max(0, max(ends, default=0) - len(series))
    pad = ((before, after), (0, 0))
    values, mask = np.pad(series.values, pad), np.pad(series.mask, pad)
    if series.therapy.before == "nothing":
        mask[:before, given_columns(series.therapy)] = True
    own = series.minute()
    first, cycle = float(own[0]) if len(own) else 0.0, series.therapy.clock.cycle
    minute = first + series.therapy.step * np.arange(-before, len(series) + after)
    minute = minute if cycle is None else minute % cycle
    minute[before : before + len(series)] = own
    rows = np.asarray(ends)[:, None] - length + np.arange(length) + before
    import torch  # a recording is read and shown without tensors

    return Window(torch.from_numpy(values[rows]), torch.from_numpy(mask[rows]), torch.from_numpy(minute[rows].astype(np.float32)))


def split(window: Window, row: int) -> tuple[Window, Window]:
    """A window before and from a row."""
    return (
        Window(window.values[:, :row], window.mask[:, :row], window.minute[:, :row]),
        Window(window.values[:, row:], window.mask[:, row:], window.minute[:, row:]),
    )
