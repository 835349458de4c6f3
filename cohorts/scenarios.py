"""Life: what virtual people eat, do and are like from day to day, drawn before anyone is treated.

Every source can be switched off.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from cohorts.population import Population

ROWS = 288  # five-minute rows a day

# Usual hour, grams for a 75 kg adult, and how often: breakfast, snack, lunch, snack, dinner, snack.
MEALS = ((7.5, 45.0, 0.96), (10.5, 15.0, 0.35), (12.75, 65.0, 0.96), (16.0, 18.0, 0.40), (19.0, 75.0, 0.97), (21.5, 20.0, 0.30))


@dataclass(frozen=True, kw_only=True)
class Life:
    """How variable life is; 0 switches a source off. Spreads are of the logarithm unless a unit is said."""

    meal_time: float = 0.7  # hours
    meal_size: float = 0.35
    counting: float = 0.20  # error in the carbohydrate people announce
    unannounced: float = 0.07  # share of meals not announced
    circadian: float = 0.18  # largest swing of insulin sensitivity over the day
    daily: float = 0.10  # sensitivity from day to day
    exercise: float = 0.25  # bouts a day
    illness: float = 0.01  # share of days ill


@dataclass(frozen=True, eq=False)
class Scenario:
    """`[B, T]` on the five-minute grid: g eaten, g announced, activity MET, factor on insulin's actions."""

    eaten: Tensor
    announced: Tensor
    activity: Tensor
    sensitivity: Tensor


def draw_life(people: Population, days: int, life: Life, generator: torch.Generator) -> Scenario:
    """`days` days of everyone's life."""
    count, rows = len(people), days * ROWS

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    def chance(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    eaten, announced = torch.zeros(count, rows), torch.zeros(count, rows)
    appetite = (people.physiology.weight / 75.0).sqrt() * torch.exp(0.15 * normal(count))
    who = torch.arange(count)
    for day in range(days):
        for hour, grams, often in MEALS:
            at = ((hour + life.meal_time * normal(count)) * 12).long().clamp(0, ROWS - 1) + day * ROWS
            size = grams * appetite * torch.exp(life.meal_size * normal(count)) * (chance(count) < often)
            said = size * torch.exp(life.counting * normal(count)) * (chance(count) >= life.unannounced)
            eaten[who, at] += size.round()
            announced[who, at] += said.round()

    # Sensitivity: a daily rhythm with its trough where a person's dawn is, days that differ, illness and exercise.
    clock = torch.arange(rows) % ROWS / ROWS
    day_of = torch.arange(rows) // ROWS
    swing, dawn = life.circadian * chance(count, 1), 0.2 + 0.1 * chance(count, 1)
    rhythm = 1 - swing * torch.cos(2 * math.pi * (clock - dawn))
    ill = (chance(count, days) < life.illness).float()
    daily = torch.exp(life.daily * normal(count, days)) * (1 - 0.35 * ill)
    activity = torch.ones(count, rows)
    for day in range(days):
        bout = chance(count) < life.exercise
        start = ((9 + 10 * chance(count)) * 12).long() + day * ROWS
        length, effort = (6 + 6 * chance(count)).long(), 3 + 5 * chance(count)
        offset = torch.arange(rows) - start.unsqueeze(1)
        inside = (offset >= 0) & (offset < length.unsqueeze(1)) & bout.unsqueeze(1)
        activity = torch.where(inside, effort.unsqueeze(1), activity)
    return Scenario(eaten, announced, activity, rhythm * daily[:, day_of] * _exertion(activity))


def _exertion(activity: Tensor) -> Tensor:
    """Activity MET `[B, T]` -> factor on insulin's actions: up while moving, fading over hours after (Breton 2008's shape)."""
    effect, trail = torch.zeros_like(activity[:, 0]), []
    for row in range(activity.shape[1]):
        effect = effect + (activity[:, row] - 1).clamp(min=0) * 0.012 - effect * (5.0 / 180.0)
        trail.append(effect)
    return 1 + torch.stack(trail, 1)
