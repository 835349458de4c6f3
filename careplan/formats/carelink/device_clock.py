"""A device's clock that its owner sets: it does not follow summer time by itself, and it travels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from careplan.records.clock import to_utc
from careplan.records.text import check_zone

STEP = pd.Timedelta(minutes=15)  # clocks of two zones differ by a multiple; a clock that only drifted is set by less
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Setting:
    """The clock read `old` when it was set to `new`."""

    old: pd.Timestamp
    new: pd.Timestamp

    @property
    def jump(self) -> pd.Timedelta:
        """By how much, in whole steps of zones."""
        return round((self.new - self.old) / STEP) * STEP


def set_clock_to_utc(
    local: pd.Series, settings: Sequence[Setting], zone: str, *, latest: pd.Timestamp, file: object
) -> tuple[pd.Series, Mask, Mask]:
    """As `to_utc`, of a clock on which the settings happened.

    A clock that was ever set is the zone's after the last time, at `latest`, the latest it read, and before each setting as far
    off as that says: so it is right after a journey, and when summer time began days before somebody thought of the device.
    Without a setting the clock is the zone's throughout.
    """
    jumps = sorted((each for each in settings if each.jump), key=lambda each: each.old)
    if not jumps or local.isna().all():
        return to_utc(local, zone, file=file)
    check_zone(zone, file=file)
    zoned = latest.tz_localize(zone, ambiguous=False, nonexistent="shift_forward")
    offset = np.full(len(local), (zoned.tz_localize(None) - zoned.tz_convert("UTC").tz_localize(None)).total_seconds())
    for each in jumps:
        offset -= np.where(behind(local, each), 0.0, each.jump.total_seconds())
    nowhere = np.zeros(len(local), dtype=bool)
    utc = (local - pd.to_timedelta(pd.Series(offset, index=local.index), unit="s")).dt.tz_localize("UTC")
    return utc.astype("datetime64[ns, UTC]"), nowhere, nowhere.copy()


def behind(local: pd.Series, setting: Setting) -> Mask:
    """`[N]` the rows after a setting. Where it was set back, times come twice: those after the log steps back are the later
    ones."""
    low, high = min(setting.old, setting.new), max(setting.old, setting.new)
    later = (local >= high).to_numpy(dtype=bool, copy=True)
    twice = np.flatnonzero(((local >= low) & (local < high)).to_numpy(dtype=bool))
    if setting.jump > pd.Timedelta(0) or len(twice) < 2:
        return later
    times = local.to_numpy()
    steps = np.diff(times[~np.isnat(times)])
    if (steps < np.timedelta64(0, "ns")).sum() > (steps > np.timedelta64(0, "ns")).sum():
        twice = twice[::-1]
    step = np.diff(times[twice])
    back = np.flatnonzero(step < np.timedelta64(0, "ns"))
    if len(back) != 1:
        back = np.flatnonzero(step < -np.timedelta64(abs(setting.jump)) / 2)
    if len(back) == 1:
        later[twice[back[0] + 1 :]] = True
    return later
