"""A review after oref0 autotune: every night each setting moves a fifth of the way to what the day's deviations ask for.

Rules as its documentation tells them ("How Autotune works"; the carb ratio as of oref0 0.6, pull request 644); the rest
is ours: a rise that nothing explains is no evidence, and hours without any follow their neighbours.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from cohorts.insulin import ROW, exponential
from cohorts.scenarios import ROWS

SHARE = 0.2  # of the change that a day asks for
LEAST, MOST = 0.7, 1.2  # times the insulin of the settings in force, so far and no further
PEAK, DURATION = 75.0, 360.0  # minutes, of the insulin curve
SLOPE = 4  # rows over which a change of glucose is taken
IMPACT = 8.0  # mg/dL a row that carbohydrate on board adds at least
UNEXPLAINED = 6.0  # mg/dL a row above which a rise without a meal is left out until it ends
REBOUND = 80.0  # mg/dL, below which a rise says nothing of settings
FEWEST = 10  # rows before a day says anything of the correction factor
BEFORE = 3  # hours before a deviation in which the basal rate is to blame


@dataclass(frozen=True, eq=False)
class TunedSettings:
    """Basal U/h by hour `[24, B]`, carb ratio g/U and correction factor mg/dL/U `[B]`."""

    basal: Tensor
    ratio: Tensor
    factor: Tensor


@dataclass(frozen=True, eq=False)
class _Day:
    """A day's deviations, mg/dL a row `[288, B]`, which setting each speaks of, what insulin explains, and what meals took."""

    deviation: Tensor
    explained: Tensor
    of_basal: Tensor
    of_factor: Tensor
    carbs: Tensor  # g `[B]` of the meals that ended
    insulin: Tensor  # U `[B]` that would have covered them


@dataclass
class _Meal:
    """Where everybody stands in a meal, `[B]` each; it may last past midnight."""

    on_board: Tensor  # g
    absorbing: Tensor
    rising: Tensor  # for no known reason
    open: Tensor
    carbs: Tensor  # g since it began
    insulin: Tensor  # U since then, less what was on board and what the level then asked for


def autotuned(current: TunedSettings, reading: Tensor, announced: Tensor, bolus: Tensor, extra: Tensor) -> TunedSettings:
    """The settings after a run a night over whole days from midnight, `[T, B]` each: readings before each row mg/dL, g announced
    and U of boluses in it, U of basal beyond or below what is set.
    """
    left, active = exponential(ROW * (torch.arange(DURATION / ROW) + 0.5), PEAK, DURATION)
    net = bolus + extra
    on_board, activity = _spread(net, left), _spread(net, active)
    slope = (reading - torch.cat([reading[:1].expand(SLOPE, -1), reading[:-SLOPE]])) / SLOPE
    none = torch.zeros_like(current.ratio)
    meal, tuned = _Meal(none, none > 0, none > 0, none > 0, none, none), current
    for first in range(0, len(reading), ROWS):
        rows = slice(first, first + ROWS)
        day = _attributed(tuned, meal, reading[rows], announced[rows], net[rows], on_board[rows], activity[rows], slope[rows])
        tuned = _tuned(tuned, current, day)
    return tuned


def _spread(net: Tensor, weight: Tensor) -> Tensor:
    """What insulin `[T, B]` of earlier rows amounts to in each row."""
    before = torch.cat([net.new_zeros(len(weight), net.shape[1]), net])[:-1]
    return before.unfold(0, len(weight), 1) @ weight.flip(0)


def _attributed(
    now: TunedSettings,
    meal: _Meal,
    reading: Tensor,
    announced: Tensor,
    net: Tensor,
    on_board: Tensor,
    activity: Tensor,
    slope: Tensor,
) -> _Day:
    """A day `[288, B]`, row by row: carbohydrate on board decays by what is seen; what is no meal is of basal or the factor."""
    explained = -ROW * activity * now.factor
    deviation = slope - explained
    deviation = torch.where((reading < REBOUND) & (deviation > 0), 0.0, deviation)
    usual = now.basal.repeat_interleave(ROWS // 24, 0) / 60 * ROW * now.factor  # mg/dL that a row of basal is worth
    free, carbs, insulin = [], torch.zeros_like(now.ratio), torch.zeros_like(now.ratio)
    for row in range(len(reading)):
        off, level, board = deviation[row], reading[row] / now.factor, on_board[row]
        begins = (announced[row] > 0) & ~meal.open
        meal.carbs = torch.where(begins, 0.0, meal.carbs) + announced[row]
        meal.insulin = torch.where(begins, board - level, meal.insulin) + net[row]
        meal.open = meal.open | begins
        impact = off.clamp(min=IMPACT) * now.ratio / now.factor
        meal.absorbing = (meal.absorbing & ((meal.on_board > 0) | (off > 0))) | (announced[row] > 0)
        meal.on_board = (meal.on_board + announced[row] - impact).clamp(min=0)
        ends = meal.open & ~meal.absorbing & (board < now.basal[row * 24 // ROWS] / 2)
        needed = meal.insulin - board + level
        fine = ends & (needed > 0)
        carbs, insulin = carbs + torch.where(fine, meal.carbs, 0.0), insulin + torch.where(fine, needed, 0.0)
        meal.open = meal.open & ~ends
        meal.rising = ~meal.absorbing & ((off > UNEXPLAINED) | (meal.rising & (off > 0)))
        free.append(~meal.absorbing & ~meal.rising)
    alone = torch.stack(free)
    of_basal = (-explained < usual / 4) | (slope > 0)
    return _Day(deviation, explained, alone & of_basal, alone & ~of_basal, carbs, insulin)


def _tuned(now: TunedSettings, current: TunedSettings, day: _Day) -> TunedSettings:
    """A fifth of the way to what a day asks for, within the caps on the settings in force."""
    asked = torch.where(day.of_factor, 1 + day.deviation / day.explained, torch.nan).nanmedian(0).values
    asked = torch.where(day.of_factor.sum(0) >= FEWEST, now.factor * asked, now.factor)
    ratio = torch.where(day.insulin > 0, day.carbs / day.insulin.clamp(min=1e-6), now.ratio)
    return TunedSettings(
        _basal(now, current, day), _nearer(now.ratio, ratio, current.ratio), _nearer(now.factor, asked, current.factor)
    )


def _nearer(now: Tensor, asked: Tensor, current: Tensor) -> Tensor:
    """Of a setting of which more is less insulin."""
    lowest, highest = current / MOST, current / LEAST
    return now.lerp(asked.maximum(lowest).minimum(highest), SHARE).maximum(lowest).minimum(highest)


def _basal(now: TunedSettings, current: TunedSettings, day: _Day) -> Tensor:
    """Rates by hour: each hour's deviations blame the hours before it; more is spread evenly, less in proportion."""
    basal, judged = now.basal.clone(), torch.zeros_like(now.basal, dtype=torch.bool)
    off = torch.where(day.of_basal, day.deviation, 0.0).unflatten(0, (24, -1)).sum(1)
    seen = day.of_basal.unflatten(0, (24, -1)).any(1)
    for hour in range(24):
        blamed = [(hour - back) % 24 for back in range(1, BEFORE + 1)]
        units, rates = SHARE * off[hour] / now.factor, basal[blamed]
        share = rates / rates.sum(0).clamp(min=1e-6)
        basal[blamed] = (
            (rates + units * torch.where(units > 0, 1 / BEFORE, share))
            .maximum(LEAST * current.basal[blamed])
            .minimum(MOST * current.basal[blamed])
        )
        judged[blamed] |= seen[hour]
    before, after = basal.clone(), basal.clone()
    for _ in range(2):  # twice round the clock
        for hour in range(24):
            before[hour] = torch.where(judged[hour], basal[hour], before[hour - 1])
            after[-hour] = torch.where(judged[-hour], basal[-hour], after[1 - hour])
    followed = (1 - SHARE) * basal + SHARE * (before + after) / 2
    return torch.where(judged, basal, followed).maximum(LEAST * current.basal).minimum(MOST * current.basal)
