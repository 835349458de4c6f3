"""The patient's own days: those that show a pattern, and past moments like this one. Pure: a recording in, dates out."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from careplan.minutes import DAY
from careplan.series import PatientSeries, cadence
from careplan.suggestion import Line, Moment, Part, Pattern, Seen, Side
from careplan.targets import Targets
from careplan.therapies.glucose.bands import ABOVE_180_TARGET, ADULTS
from careplan.therapies.glucose.names import LEAST, SIDES, raises_insulin

LOW_MINUTES = 15.0  # a part of a day is low after as many minutes as make a hypoglycaemic event
HIGH_SHARE = ABOVE_180_TARGET / 100  # and high where more of it is above than the adults' target allows of a day
PRESENT = 0.7  # of the readings due, for a part of a day, or the hours after a moment, to be judged

HOUR = 12  # rows
AFTER, APART = 4 * HOUR, 2 * HOUR  # rows that are looked at after a moment, and between two moments
ALIKE = 1.0  # root mean square of the differences, each in its own unit of likeness
# mg/dL, mg/dL in half an hour, minutes of the day, g eaten in the last two hours, g eaten in the next hour: what still is alike.
UNITS = np.array([20.0, 15.0, 120.0, 20.0, 20.0])
BOARD = 0.05  # of a day's insulin: what still is alike of boluses on board


def outcomes_addressed(parts: Sequence[Part], lines: Sequence[Line]) -> list[tuple[Side, int, int]]:
    """The lows and highs that a change is about, and where: of what drove it, the most first, then of each line."""
    gains: dict[tuple[Side, int, int], float] = {}
    side: Side | None
    for part in parts:
        side = "low" if part.outcome.startswith("budget ") else SIDES.get(part.outcome)
        if side is not None:
            about = (side, part.start, part.end)
            gains[about] = gains.get(about, 0.0) + part.gain
    least = LEAST * sum(abs(part.gain) for part in parts)
    drove = [about for about, gain in sorted(gains.items(), key=lambda item: -item[1]) if gain > least]
    sides: list[tuple[Side, int, int]] = [
        ("high" if raises_insulin(line, line.proposed) else "low", line.start, line.end) for line in lines
    ]
    return list(dict.fromkeys([*drove, *sides])) if lines else []


def pattern_on_days(series: PatientSeries, side: Side, start: int, end: int, targets: Targets = ADULTS) -> Pattern:
    """The local days of a recording on which glucose was low, or high, between two minutes of the day, the oldest first."""
    glucose, minute = series.column(series.therapy.regulated), series.minute_of_day()
    inside = (minute >= start) & (minute < end) & ~np.isnan(glucose)
    rows = np.flatnonzero(inside)
    dates, day = np.unique(series.times.tz_convert(series.zone).normalize()[rows], return_inverse=True)
    due = (end - start) / cadence(series)
    judged, seen = 0, []
    for index, date in enumerate(pd.DatetimeIndex(dates)):
        here = rows[day == index]
        if len(here) < PRESENT * due:
            continue
        judged += 1
        levels = glucose[here]
        beyond = levels < targets.levels["low"] if side == "low" else levels > targets.levels["high"]
        minutes = float(beyond.mean()) * (end - start)
        if minutes < LOW_MINUTES if side == "low" else minutes <= HIGH_SHARE * (end - start):
            continue
        at = here[levels.argmin() if side == "low" else levels.argmax()]
        seen.append(Seen(date=f"{date:%Y-%m-%d}", minute=int(minute[at]), level=float(glucose[at]), minutes=round(minutes)))
    return Pattern(side=side, start=start, end=end, days=judged, seen=tuple(seen))


def similar_moments(series: PatientSeries, row: int, *, carbs: float = 0.0, count: int = 5) -> tuple[Moment, ...]:
    """The past moments most like the one that begins at `row`, the likest first, and what came after each.

    Alike in level, in where it was heading, in the time of day, in boluses on board, in what was just eaten and, within the hour,
    is about to be (`carbs` g now). At least two hours apart, with four hours of readings after each, and never later than `row`.
    """
    features, known = _features(series, row)
    if not known[-1:].any():
        return ()
    now = features[-1].copy()
    now[4] = carbs / UNITS[4]
    away = features - now
    clock = DAY / UNITS[2]
    away[:, 2] = (away[:, 2] + clock / 2) % clock - clock / 2
    distance = np.sqrt((away**2).mean(1))
    glucose = series.column(series.therapy.regulated)
    present = np.concatenate([[0.0], np.cumsum(~np.isnan(glucose))]) * cadence(series) / series.therapy.step
    rows = np.arange(1, row - AFTER + 1)  # moments begin after the reading before them
    fine = known[rows - 1] & (distance[rows - 1] <= ALIKE) & (present[rows + AFTER] - present[rows] >= PRESENT * AFTER)
    found: list[int] = []
    for candidate in rows[fine][np.argsort(distance[rows[fine] - 1], kind="stable")].tolist():
        if len(found) < count and all(abs(candidate - other) >= APART for other in found):
            found.append(candidate)
    return tuple(_moment(series, glucose, moment) for moment in found)


def _features(series: PatientSeries, rows: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """What a moment after each of the first rows is compared by, each over its unit, `[T, 6]`, and where it is known `[T]`."""

    def amounts(name: str) -> NDArray[np.float64]:
        return np.nan_to_num(series.column(name)[:rows]).astype(float)

    glucose = pd.Series(series.column(series.therapy.regulated)[:rows].astype(float)).ffill(limit=3)
    trend = glucose - glucose.shift(HOUR // 2)
    bolus, carbs = amounts("bolus"), amounts("carbs")
    insulin = bolus + amounts("basal") * series.therapy.step / 60.0 + amounts("long_acting")
    daily = max(1.0, float(insulin.mean()) * DAY / series.therapy.step)
    left = np.linspace(1.0, 0.0, AFTER, endpoint=False)  # what is on board of a bolus, falling evenly over four hours
    board = np.convolve(bolus, left)[:rows]
    eaten = np.convolve(carbs, np.ones(2 * HOUR))[:rows]
    ahead = np.append(np.convolve(carbs, np.ones(HOUR))[HOUR:], np.zeros(HOUR))[:rows]
    columns = np.stack([glucose, trend, series.minute_of_day()[:rows], eaten, ahead], 1) / UNITS
    whole = np.concatenate([columns, board[:, None] / (BOARD * daily)], 1)
    return whole, np.isfinite(whole).all(1)


def _moment(series: PatientSeries, glucose: NDArray[np.float32], row: int) -> Moment:
    local = (series.start + pd.Timedelta(minutes=series.therapy.step * row)).tz_convert(series.zone)
    recent = pd.Series(glucose[max(0, row - 4) : row]).dropna()
    after, hour = glucose[row : row + AFTER], slice(row, row + HOUR)
    return Moment(
        date=f"{local:%Y-%m-%d}",
        minute=local.hour * 60 + local.minute,
        level=float(recent.iloc[-1]),
        given={
            "bolus": round(float(np.nansum(series.column("bolus")[hour])), 3),
            "carbs": round(float(np.nansum(series.column("carbs")[hour])), 1),
        },
        lowest=float(np.nanmin(after)),
        highest=float(np.nanmax(after)),
    )
