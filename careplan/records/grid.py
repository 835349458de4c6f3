"""From a record's events to a regular grid."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from careplan.records.events import PatientRecord, flagged
from careplan.series import PatientSeries
from careplan.therapy import Channel, Therapy

CHANGE_LOG = 15.0  # minutes: rates further apart than this are changes that hold until the next; closer ones are samples
LONGEST_HOLD = 24 * 60.0  # minutes a rate change holds without another
NEAR_SENSOR = pd.Timedelta(minutes=15)  # a finger stick this near a sensor's reading says nothing of a gap

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def to_series(record: PatientRecord, therapy: Therapy) -> PatientSeries:
    """A record's events on the therapy's grid.

    Levels: a reading falls in the step that holds it, the next one over where jitter put two readings in one step and left one
    nearby empty, with those between that are nearer there, and readings that still share a step are averaged. Nothing is
    interpolated. Finger sticks stand only where no sensor reads within a quarter of an hour.
    Impulses sum into their step, extended ones over the steps they last. A step without one is a known zero between two
    logged impulses no further apart than the channel may be silent, and, of one that is charted, as long after the last; else
    unknown.
    Rates are averaged over the step where at least half of it is known. What stands (`stands`), a rate or a choice, holds
    where no end is stated until the next or to the end of the record, for as long as the channel may be silent at most; a choice
    is then what stands at the end of a step. A rate that is logged in samples ends as `until` says. A channel may be silent for
    two steps whatever it says.

    Args:
        record: One person's events, in UTC.
        therapy: Whose channels and step the grid has.

    Returns:
        `[T, C]` values and masks from the first event's step to the last one's.

    Raises:
        ValueError: A record without events, or with a channel that the therapy has not.
    """
    events = record.events[~beside_sensor(record.events)]
    if events.empty:
        raise ValueError(f"record of {record.patient}: no events")
    unknown = set(events["channel"]) - set(therapy.names)
    if unknown:
        raise ValueError(f"record of {record.patient}: {therapy.name} has no channel {min(unknown)!r}; it has {therapy.names}")

    step = pd.Timedelta(minutes=therapy.step)
    start = events["time"].min().floor(step)
    frames = {
        channel.name: events[events["channel"] == channel.name].sort_values("time", kind="stable") for channel in therapy.channels
    }
    minutes = {name: (frame["time"] - start).dt.total_seconds().to_numpy() / 60.0 for name, frame in frames.items()}
    latest = max(float(each.max()) for each in minutes.values() if len(each))
    over = (latest // therapy.step + 1) * therapy.step
    last = {
        name: _ends(therapy.channel(name), minutes[name], frame["duration"].to_numpy(), over, therapy.step)
        for name, frame in frames.items()
        if len(frame)
    }
    end = max(float(ends.max()) for ends in last.values())
    length = max(int(latest // therapy.step) + 1, int(np.ceil(end / therapy.step)))

    values = np.zeros((length, len(therapy.channels)), dtype=np.float32)
    mask = np.zeros(values.shape, dtype=bool)
    for index, channel in enumerate(therapy.channels):
        if channel.name not in last:
            continue
        begin, amount = minutes[channel.name], frames[channel.name]["value"].to_numpy()
        column, known = _column(channel, begin, last[channel.name], amount, length, therapy.step)
        if channel.form == "impulse" and channel.charted:
            until_then = min(begin[-1] + _silence(channel, therapy.step), over)
            known[int(begin[-1] // therapy.step) : int(until_then // therapy.step)] = True
        values[:, index], mask[:, index] = column, known

    return PatientSeries(record.patient, therapy, start, record.zone, values, mask)


def stands(channel: Channel) -> bool:
    """Whether one value of a channel in a record stands until the next."""
    return bool(channel.charted) if channel.form == "choice" else channel.form == "rate" and channel.charted is not False


def _silence(channel: Channel, step: float) -> float:
    """Minutes: on a grid of weeks, what is logged once a step goes on."""
    return max(channel.silence, 2.0 * step)


def _ends(channel: Channel, begin: Array, duration: Array, over: float, step: float) -> Array:
    """`[N]` when each event of a channel ends, in minutes; over: when the record does."""
    if stands(channel):
        return held(begin, duration, over, _silence(channel, step))
    return until(begin, duration, channel.form, _silence(channel, step))


def _column(channel: Channel, begin: Array, end: Array, value: Array, length: int, step: float) -> tuple[Array, Mask]:
    """One channel's events on the grid, `[T]`, and where it is known."""
    if channel.form == "level":
        return levels(begin, value, length, step)
    if channel.form == "rate":
        return rates(begin, end, value, length, step)
    if stands(channel):
        return choices(begin, end, value, length, step)
    return impulses(begin, end, value, length, step, _silence(channel, step))


def beside_sensor(events: pd.DataFrame) -> Mask:
    """`[N]` the finger sticks that have a sensor's reading near them. events: sorted by time."""
    stick = flagged(events["flag"], "fingerstick")
    if not stick.any():
        return stick
    sensor = events["time"][(events["channel"] == events["channel"][stick].iloc[0]) & ~stick]
    near = pd.merge_asof(
        events[["time"]], pd.DataFrame({"time": sensor, "read": sensor}), on="time", direction="nearest", tolerance=NEAR_SENSOR
    )
    return stick & near["read"].notna().to_numpy(dtype=bool)


def until(begin: Array, duration: Array, form: str, most: float = LONGEST_HOLD) -> Array:
    """`[N]` when each event ends, in the unit of `begin` `[N]` (sorted); rates end at the next at the latest, and where none is
    stated hold for `most` minutes at most."""
    if form != "rate":
        return begin + np.nan_to_num(duration)
    spacing = np.diff(begin)
    usual = float(np.median(spacing[spacing > 0])) if (spacing > 0).any() else 0.0
    longest = most if usual > CHANGE_LOG else 3 * usual
    following = np.append(begin[1:], begin[-1] + usual)
    stated = np.where(np.isnan(duration), np.minimum(following, begin + longest), begin + duration)
    return np.minimum(stated, np.append(begin[1:], np.inf))


def held(begin: Array, duration: Array, over: float, most: float) -> Array:
    """`[N]` when each of what stands ends, in the unit of `begin` `[N]` (sorted): as stated, else `most` minutes later or when
    the record is over; at the next at the latest. A duration of 0 states no end."""
    stated = np.isfinite(duration) & (duration > 0)
    ends = np.where(stated, begin + duration, np.minimum(begin + most, over))
    return np.minimum(ends, np.append(begin[1:], np.inf))


def choices(begin: Array, end: Array, value: Array, length: int, step: float) -> tuple[Array, Mask]:
    """Choices `[N]` that stand from `begin` to `end` `[N]` without overlap -> what stands last in each step `[T]`."""
    column, mask = np.zeros(length), np.zeros(length, dtype=bool)
    for first, last, chosen in zip(begin, end, value, strict=True):
        rows = slice(int(first // step), int(np.ceil(last / step)))
        column[rows], mask[rows] = chosen, True
    return column, mask


def levels(begin: Array, value: Array, length: int, step: float) -> tuple[Array, Mask]:
    """Readings `[N]` at minutes `begin` `[N]` -> column `[T]` and whether it is known."""
    row = (begin // step).astype(np.int64)
    taken = np.bincount(row, minlength=length) > 0
    late = begin % step >= step / 2
    for first in np.flatnonzero((np.diff(row) == 0) & (np.diff(begin) >= step / 2)):
        for begins, along, nearer in ((first + 1, 1, late), (first, -1, ~late)):
            ends = begins  # the run of readings that are all nearer to the next row; none is left behind in its own
            while 0 <= ends + along < len(row):
                further = row[ends + along] - row[ends]
                if further != 0 and not (further == along and nearer[ends + along]):
                    break
                ends += along
            empty = row[ends] + along
            if 0 <= empty < length and not taken[empty]:
                row[min(begins, ends) : max(begins, ends) + 1] += along
                taken[empty] = True
                break
    count = np.bincount(row, minlength=length)[:length]
    total = np.bincount(row, weights=value, minlength=length)[:length]
    return np.divide(total, count, out=np.zeros(length), where=count > 0), count > 0


def rates(begin: Array, end: Array, value: Array, length: int, step: float) -> tuple[Array, Mask]:
    """Rates `[N]` that hold from `begin` to `end` `[N]` without overlap -> their average in each step `[T]`."""
    amount, known = spread(begin, end, value * (end - begin), length, step), spread(begin, end, end - begin, length, step)
    mask = known >= step / 2 - 1e-6
    return np.divide(amount, known, out=np.zeros(length), where=mask), mask


def impulses(begin: Array, end: Array, value: Array, length: int, step: float, silence: float) -> tuple[Array, Mask]:
    """Amounts `[N]` given between `begin` and `end` `[N]` -> their sum in each step `[T]`, known wherever they are logged."""
    at_once = end <= begin
    column: Array = np.bincount((begin[at_once] // step).astype(np.int64), weights=value[at_once], minlength=length).astype(float)
    for first, last, amount in zip(begin[~at_once], end[~at_once], value[~at_once], strict=True):
        low, high = int(first // step), min(length, int(np.ceil(last / step)))
        column[low:high] += spread(
            np.array([first - low * step]), np.array([last - low * step]), np.array([amount]), high - low, step
        )

    mask = np.zeros(length, dtype=bool)
    breaks = np.flatnonzero(np.diff(begin) > silence) + 1
    for run in np.split(np.arange(len(begin)), breaks):
        mask[int(begin[run[0]] // step) : max(int(begin[run[-1]] // step) + 1, int(np.ceil(end[run].max() / step)))] = True
    return column, mask


def spread(begin: Array, end: Array, amount: Array, length: int, step: float) -> Array:
    """Amounts `[N]` spread evenly from `begin` to `end` `[N]` (sorted, without overlap) -> their sum in each step `[T]`."""
    bounds = np.stack([begin, end], axis=1).ravel()
    total = np.concatenate([[0.0], np.cumsum(amount)])
    reached = np.stack([total[:-1], total[1:]], axis=1).ravel()
    return np.diff(np.interp(np.arange(length + 1) * step, bounds, reached, left=0.0, right=total[-1]))
