"""Life: what virtual people eat, do and are like from day to day, drawn before anyone is treated; any of it can be off."""

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from cohorts.population import Population

ROWS = 288  # five-minute rows a day

# Usual hour, share of the day's carbohydrate, how often: breakfast, snack, lunch, snack, dinner, snack.
MEALS = ((7.5, 0.22, 0.95), (10.5, 0.09, 0.35), (12.75, 0.30, 0.96), (16.0, 0.10, 0.45), (19.0, 0.33, 0.97), (21.5, 0.09, 0.25))
SMALLEST = 3.0  # g: less is not a meal

# Exercise, after the two actions of Breton 2008 (J Diabetes Sci Technol 2(1), 169-174): uptake without insulin while moving, and
# insulin's actions stronger for hours after. The sizes a MET are ours.
UPTAKE = 0.20
SENSITISED = 0.007
FADING = 360.0  # minutes


@dataclass(frozen=True, kw_only=True)
class Life:
    """How variable life is; 0 switches a source off. Spreads are of the logarithm unless a unit is said."""

    meal_time: float = 0.7  # hours
    meal_size: float = 0.35
    counting: float = 0.30  # error in the carbohydrate people announce
    unannounced: float = 0.12  # share of meals not announced
    slow: float = 0.15  # share of meals absorbed at `pace`
    pace: float = 0.6
    circadian: float = 1.0  # times each person's own rhythm
    daily: float = 0.20  # sensitivity from day to day, in part carried over to the next
    exercise: float = 0.25  # bouts a day
    illness: float = 0.01  # share of days ill, insulin a third weaker

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 <= value < math.inf:
                raise ValueError(f"life: {field.name} is {value}, expected a finite number, 0 or more")
        if not 0 < self.pace <= 1:
            raise ValueError(f"life: pace is {self.pace}, expected above 0 and at most 1")


@dataclass(frozen=True, eq=False)
class Scenario:
    """The truth of a life, `[B, T]` on the five-minute grid: g eaten, g announced, activity MET, whether ill, and factors on
    insulin's actions (sensitivity), on uptake without insulin (uptake), and on the stomach and the gut (pace).
    """

    eaten: Tensor
    announced: Tensor
    activity: Tensor
    ill: Tensor
    sensitivity: Tensor
    uptake: Tensor
    pace: Tensor


def draw_life(people: Population, days: int, life: Life, generator: torch.Generator) -> Scenario:
    """`days` days of everyone's life, from midnight on. Times come first in memory, since a replay reads a row at a time."""
    count, rows = len(people), days * ROWS

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    def chance(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    eaten, announced, pace = torch.zeros(rows, count), torch.zeros(rows, count), torch.ones(rows, count)
    activity = torch.ones(rows, count)
    who, clock = torch.arange(count), torch.arange(rows).unsqueeze(1)
    for day in range(days):
        for hour, share, often in MEALS:
            at = ((hour + life.meal_time * normal(count)) * 12).long().clamp(0, ROWS - 1) + day * ROWS
            size = (people.carbs * share * torch.exp(life.meal_size * normal(count).clamp(-2, 2))).round()
            size = size * (chance(count) < often) * (size >= SMALLEST)
            said = (size * torch.exp(life.counting * normal(count).clamp(-2, 2))).round() * (chance(count) >= life.unannounced)
            slowly = (size > 0) & (chance(count) < life.slow)
            eaten[at, who] += size
            announced[at, who] += said
            lasting = slowly & (clock[day * ROWS :] >= at) & (clock[day * ROWS :] < at + 48)
            pace[day * ROWS :][lasting] = life.pace
        bout = chance(count) < life.exercise
        start = ((9 + 10 * chance(count)) * 12).long() + day * ROWS
        end, effort = start + (6 + 6 * chance(count)).long(), 3 + 5 * chance(count)
        today = slice(day * ROWS, (day + 1) * ROWS)
        activity[today] = torch.where((clock[today] >= start) & (clock[today] < end) & bout, effort, 1.0)

    # A daily rhythm that is each person's own, days that resemble the day before, illness.
    swing, dawn = life.circadian * people.rhythm[:, 0], people.rhythm[:, 1] / 24
    rhythm = 1 - swing * torch.cos(2 * math.pi * (clock % ROWS / ROWS - dawn))
    ill = chance(days, count) < life.illness
    drift, daily = normal(count), []
    for _ in range(days):
        drift = 0.5 * drift + math.sqrt(0.75) * normal(count)
        daily.append(torch.exp(life.daily * drift))
    of_day = (torch.stack(daily) * (1 - 0.33 * ill.float())).repeat_interleave(ROWS, 0)
    effort = activity - 1
    return Scenario(
        eaten.T,
        announced.T,
        activity.T,
        ill.repeat_interleave(ROWS, 0).T,
        (rhythm * of_day * (1 + _fading(effort * SENSITISED))).T,
        (1 + UPTAKE * effort).T,
        pace.T,
    )


def _fading(added: Tensor) -> Tensor:
    """What has been added `[T, B]` and not yet faded, `[T, B]`."""
    left, trail = torch.zeros_like(added[0]), []
    for row in added:
        left = left * math.exp(-5.0 / FADING) + row
        trail.append(left)
    return torch.stack(trail)
