"""Dosing occasions in recordings of glucose: when people dosed, what they could know, and how the day went on from there."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.signal import lfilter

from careplan.evaluation.occasions import Occasions, Values
from careplan.minutes import DAY
from careplan.series import PatientSeries, cadence
from careplan.therapies.glucose.bands import HIGH, LOW
from careplan.therapies.glucose.days import recent_days
from careplan.therapies.glucose.estimates import estimate_regimen
from careplan.world.loaded import World
from careplan.world.personalise import Personalisation

BEGINS = 4 * 60  # minute of the local day at which an episode begins: the fewest doses act across it
ROWS = 288  # five-minute rows of an episode, a day
BOLUS = 0.3  # U: less is no dose
TOGETHER = 6  # rows within which boluses are one decision
EARLIER, WITH_MEAL = 9, 3  # rows before a dose, since the dose before, and after it, whose carbohydrate it is for
USUAL_RATIO, USUAL_FACTOR, AIM = 10.0, 50.0, 120.0  # g/U, mg/dL per U and mg/dL: the usual settings of an adult, to scale by
BEFORE = 12  # rows before a dose within which a reading must stand
MEASURED, LOGGED = 0.7, 0.9  # shares of a day's readings and of its rows with a dose log
STATE, TERMS = 14, 8  # columns of the state, and of what adds up to a dose
BENDS = (80.0, 120.0, 160.0, 200.0)  # mg/dL at which people may begin to correct more or less
ACTING = 90.0  # minutes: what is left of a bolus falls by a factor e, as people reckon it
DIGESTING = 60.0  # the same of carbohydrate


def dosing_table(series: PatientSeries) -> pd.DataFrame:
    """Whole days of one recording, from 04:00 to 04:00: a row a decision, which is a bolus of at least `BOLUS`, or one for a day
    that is left out.

    Columns: day (a number), reason (why the day is left out; ""), before (points of the day within 70-180 mg/dL before its first
    decision), dose (log U), reward (points from there to the next decision), state_0 ..., term_0 ...
    """
    names = [f"state_{index}" for index in range(STATE)] + [f"term_{index}" for index in range(TERMS)]
    labels, numbers, minute = [], [], series.minute_of_day()
    for day, rows in enumerate(_days(series, minute)):
        reason, found = _day(series, rows, minute)
        before, decisions = found or (np.nan, np.full((1, 2 + len(names)), np.nan))
        labels += [(day, reason, before)] * len(decisions)
        numbers.append(decisions)
    days = pd.DataFrame(labels, columns=["day", "reason", "before"])
    decided = np.concatenate(numbers) if numbers else np.empty((0, 2 + len(names)))
    return pd.concat([days, pd.DataFrame(decided, columns=["dose", "reward", *names])], axis=1)


def occasions_of(table: pd.DataFrame, person: Sequence[str]) -> Occasions | None:
    """The days of many people's tables, those that are left out apart; None where no two people have one. person: the columns
    that name one."""
    kept = table[table["reason"] == ""]
    who = kept.groupby(list(person), sort=True).ngroup().to_numpy()
    if len(np.unique(who)) < 2:
        return None
    episode = pd.Series(list(zip(who, kept["day"], strict=True)))
    number, _ = pd.factorize(episode)
    first = np.flatnonzero(np.append(True, np.diff(number) != 0))
    return Occasions(
        episode=number.astype(np.int64),
        person=who[first].astype(np.int64),
        state=kept[[f"state_{index}" for index in range(STATE)]].to_numpy(float),
        terms=kept[[f"term_{index}" for index in range(TERMS)]].to_numpy(float),
        dose=kept["dose"].to_numpy(float),
        reward=kept["reward"].to_numpy(float),
        before=kept["before"].to_numpy(float)[first],
    )


def with_meals(table: pd.DataFrame) -> float:
    """The share of the decisions of a table beside which carbohydrate is logged; 0 without a decision."""
    meals = table.loc[table["reason"] == "", "term_0"]
    return float((meals > 0).mean()) if len(meals) else 0.0


def replayed_worth(world: World, series: PatientSeries, person: Personalisation, factors: Sequence[float]) -> Values | None:
    """What each factor on every bolus changes in a person's time in range, points `[F]`, by replaying their last days in the
    world model: the direct method. None where no regimen or no day can be told from the recording."""
    regimen = estimate_regimen(series)
    days = None if regimen is None else recent_days(world.model, series, person, regimen)
    if regimen is None or days is None:
        return None
    blocks = len(regimen.starts)
    settings = [[1.0] * blocks + [1.0 / factor] * (2 * blocks) + [1.0] for factor in (1.0, *factors)]
    level = days.replay(torch.tensor(settings))
    inside = 100.0 * ((level >= LOW) & (level <= HIGH)).double().mean((1, 2, 3))
    return np.asarray((inside[1:] - inside[0]).cpu())


def _days(series: PatientSeries, minute: NDArray[np.float32]) -> list[slice]:
    """Every whole day of a recording."""
    begins = np.flatnonzero((minute >= BEGINS) & (minute < BEGINS + series.therapy.step))
    return [slice(int(row), int(row) + ROWS) for row in begins if row >= BEFORE and row + ROWS <= len(series)]


def _day(series: PatientSeries, rows: slice, minute: NDArray[np.float32]) -> tuple[str, tuple[float, NDArray[np.float64]] | None]:
    """Why a day is left out, or its reward before the first decision and its decisions `[n, 2 + F]`: log dose, reward, state."""
    therapy = series.therapy
    wide = slice(rows.start - BEFORE, rows.stop)
    level = series.column(therapy.regulated)[wide].astype(float)
    known = ~np.isnan(level[BEFORE:])
    due = ROWS * therapy.step / max(cadence(series), therapy.step)
    if known.sum() < MEASURED * due:
        return "too few readings", None
    if series.mask[rows, therapy.index("bolus")].mean() < LOGGED:
        return "doses not logged", None
    bolus = np.nan_to_num(series.column("bolus")[wide]).astype(float)
    carbs = np.nan_to_num(series.column("carbs")[wide]).astype(float)
    at = _decisions(bolus)
    if not len(at):
        return "no bolus", None
    filled = _carried(level)
    if np.isnan(filled[at - 1]).any():
        return "a dose without a reading in the hour before", None
    inside = np.where(known, (level[BEFORE:] >= LOW) & (level[BEFORE:] <= HIGH), np.nan)
    usual = float(np.nanmean(inside))
    edges = np.append(at - BEFORE, ROWS)
    reward = np.array([_share(inside[first:last], usual) for first, last in pairwise(edges)])
    state = _state(minute[wide], filled, bolus, carbs, at)
    dose = np.log([bolus[row : row + TOGETHER].sum() for row in at])
    return "", (_share(inside[: edges[0]], usual), np.column_stack([dose, reward, state]))


def _decisions(bolus: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rows at which a decision to dose begins: boluses within half an hour are one."""
    rows: list[int] = []
    for row in np.flatnonzero(bolus >= BOLUS):
        if row >= BEFORE and (not rows or row - rows[-1] >= TOGETHER):
            rows.append(int(row))
    return np.array(rows, dtype=np.int64)


def _carried(level: NDArray[np.float64]) -> NDArray[np.float64]:
    """Levels with the last reading in place of a missing one for at most `BEFORE` rows."""
    index = np.arange(len(level))
    last = np.maximum.accumulate(np.where(np.isnan(level), -1, index))
    return np.where((last >= 0) & (index - last < BEFORE), level[np.maximum(last, 0)], np.nan)


def _share(inside: NDArray[np.float64], usual: float) -> float:
    """Percentage points of a day within range in a part of it; as on the whole day where nothing was measured."""
    if not len(inside):
        return 0.0
    known = inside[~np.isnan(inside)]
    return 100.0 * len(inside) / ROWS * (float(known.mean()) if len(known) else usual)


def _state(
    minute: NDArray[np.float32],
    level: NDArray[np.float64],
    bolus: NDArray[np.float64],
    carbs: NDArray[np.float64],
    at: NDArray[np.int64],
) -> NDArray[np.float64]:
    """`[n, STATE + TERMS]` what could be known at each decision, and the terms of a dose: level and its change, the carbohydrate
    that it is for and what was eaten before that, insulin on board, what a usual calculator would give, the time of day and what
    is left of the day."""
    now = level[at - 1]

    def change(rows: int) -> NDArray[np.float64]:
        return np.nan_to_num(now - level[np.maximum(at - 1 - rows, 0)])

    begins = np.maximum(at - EARLIER, np.append(0, at[:-1] + 1))
    total = np.append(0.0, np.cumsum(carbs))
    meal = total[np.minimum(at + WITH_MEAL + 1, len(carbs))] - total[begins]
    on_board, digesting = _remaining(bolus, ACTING)[at], _remaining(carbs, DIGESTING)[begins]
    calculated = meal / USUAL_RATIO + (now - AIM) / USUAL_FACTOR - on_board
    angle = 2 * np.pi * minute[at] / DAY
    left = (len(level) - at) / ROWS
    columns = [now, change(3), change(9), np.log1p(meal), meal > 0, on_board, digesting, np.log(np.maximum(calculated, BOLUS))]
    columns += [(now - AIM) / USUAL_FACTOR * (meal > 0) / (1 + meal / USUAL_RATIO), np.sin(angle), np.cos(angle)]
    columns += [np.sin(2 * angle), np.cos(2 * angle), left]
    bends = [np.maximum(now - bend, 0.0) for bend in BENDS]
    terms = [meal, on_board, np.maximum(BENDS[0] - now, 0.0), *bends, np.ones(len(at))]
    return np.column_stack([*columns, *terms]).astype(float)


def _remaining(amounts: NDArray[np.float64], minutes: float) -> NDArray[np.float64]:
    """What is left at the start of each row of all that was given before it."""
    kept = float(np.exp(-5.0 / minutes))
    return np.asarray(lfilter([0.0, kept], [1.0, -kept], amounts))
