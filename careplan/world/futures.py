"""Futures that share a patient and a context and differ in treatment: what a search steps through, and what a day replayed is.

The context does not hear of doses, so it is integrated once a particle; only the level and the pools move with the treatment.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from careplan.series import Window
from careplan.world.dynamics import CLOCK, PLAN, SLOWNESS
from careplan.world.heads import spread_at
from careplan.world.model import WorldModel

NUDGE = 0.05  # of each number of the code, for slopes


@dataclass(frozen=True, eq=False)
class Futures:
    """The context of `R` rows (patients, days) and `P` particles along `H` integration steps.

    features: `[R, P, H, 2, hidden]` what the level's rate needs at the start and the middle of each step.
    spread: `[R, P, H, hidden]`; code `[R, P, K]`; rates `[R, P, S]` at which the pools empty.
    score: `[P]` the standard normal score at which each particle reads the predicted spread; widen `[R]` multiplies it.
    start: `[R, P]` the level at the beginning (scaled).
    trend: `[R, P, 2]` where it was heading. forcing: `[R, P, H]` what was measured beyond what was predicted.
    """

    model: WorldModel
    features: Tensor
    spread: Tensor
    code: Tensor
    rates: Tensor
    start: Tensor
    score: Tensor
    widen: Tensor
    trend: Tensor
    forcing: Tensor | None = None

    def advance(self, level: Tensor, pools: Tensor, inflow: Tensor, step: Tensor | int, rows: Tensor) -> tuple[Tensor, Tensor]:
        """One integration step (midpoint) of level `[N, P]`, pools `[N, P, S]` under inflow `[N, pools]` (`[N, P, pools]` where
        particles differ in it); `rows` `[N]` of `R`."""
        dynamics, half = self.model.dynamics, self.model.shape.interval / 2
        inflow = inflow if inflow.ndim == 3 else inflow.unsqueeze(1)
        code, rates, enter = self.code[rows], self.rates[rows], dynamics.absorption.enter(inflow)
        now, middle = self.features[rows, :, step].unbind(-2)
        minutes = torch.as_tensor(step, device=level.device).reshape(-1, 1, 1) * (2 * half)
        heading = self.trend[rows]
        drift, later = dynamics.trend.at(heading, minutes), dynamics.trend.at(heading, minutes + half)
        flow, low, high = dynamics.absorption(pools, rates)
        half_level = level + half * (dynamics.planned.level_rate(now, code, level, low, high) + drift)
        flow, low, high = dynamics.absorption(pools + half * (flow + enter), rates)
        level = level + 2 * half * (dynamics.planned.level_rate(middle, code, half_level, low, high) + later)
        pools = pools + 2 * half * (flow + enter)
        if self.forcing is not None:
            level = level + self.forcing[rows, :, step]
        return level, pools

    def measured(self, level: Tensor, step: Tensor | int, rows: Tensor) -> Tensor:
        """The level each particle would measure after `step`, in its unit: predicted, and its share of the spread; `[N, P]`."""
        model = self.model
        column = model.therapy.index(model.therapy.regulated)
        elapsed = torch.as_tensor(step, device=level.device) + 1.0
        minutes = (elapsed * model.shape.interval).reshape(-1, 1).expand_as(level)
        start = self.start[rows]
        offsets = model.spread(self.spread[rows, :, step], start, level, minutes, torch.ones_like(level))
        away = spread_at(offsets, self.score.expand_as(level)) * self.widen[rows].unsqueeze(1)
        return (level + away) * model.scale[column] + model.center[column]


def contexts(model: WorldModel, z: Tensor, minute: Tensor, code: Tensor, future: Tensor) -> tuple[Tensor, Tensor]:
    """Integrate the context alone: z `[N, L]`, minute `[N]`, code `[N, K]`, scaled future `[N, H, C]`
    -> features, spread context."""
    flow, interval, steps = model.dynamics.planned, model.shape.interval, future.shape[1]
    halves = torch.arange(2 * steps, device=z.device)
    asked = torch.full((len(z),), PLAN, device=z.device)
    course = flow.course(minute.unsqueeze(1) + 0.5 * interval * halves, code, future[:, halves // 2], asked)
    features, spread = [], []
    for step in range(steps):
        (first, start), (second, middle) = course.at(2 * step), course.at(2 * step + 1)
        half = z + interval / 120.0 * flow.context_rate(z, first)
        features.append(torch.stack([flow.features(z, start), flow.features(half, middle)], dim=1))
        z = z + interval / 60.0 * flow.context_rate(half, second)
        spread.append(model.spread.context(z))
    return torch.stack(features, 1), torch.stack(spread, 1)


def slopes(model: WorldModel, z: Tensor, past: Window, future: Window, usual: Tensor, code: Tensor) -> Tensor:
    """How scaled levels under a plan move with each number of the code `[R, K]`, by finite differences: `[K, R, H]` after every
    integration step. z: `[R, L]` the encoding of `past`.

    The context keeps the course that the code itself gives it, so it is integrated once for all numbers.
    """
    flow, absorption, interval, size = model.dynamics.planned, model.dynamics.absorption, model.shape.interval, code.shape[1]
    state = model.state(z, past, usual, code)
    inflow, scaled = model.plan(future.values, future.mask, usual)
    steps, halves = inflow.shape[1], torch.arange(2 * inflow.shape[1], device=code.device)
    asked = torch.full((len(code),), PLAN, device=code.device)
    course = flow.course(state.minute.unsqueeze(1) + 0.5 * interval * halves, code, scaled[:, halves // 2], asked)
    path = []
    for step in range(steps):
        half = z + interval / 120.0 * flow.context_rate(z, course.modulation[:, 2 * step])
        path += [z, half]
        z = z + interval / 60.0 * flow.context_rate(half, course.modulation[:, 2 * step + 1])
    nudges = NUDGE * torch.eye(size, device=code.device)
    nudged = F.pad(nudges, (CLOCK, flow.situation.in_features - CLOCK - size))
    moved = F.pad(flow.situated(nudged) - flow.situated(torch.zeros_like(nudged)), (0, 0, 1, 0))  # first the code as it is
    features = flow.features(torch.stack(path, 1).unsqueeze(1), course.situation.unsqueeze(1) + moved.unsqueeze(1))
    codes = code.unsqueeze(1) + F.pad(nudges, (0, 0, 1, 0))
    count, many = codes.shape[:2]
    waits = range(1 + SLOWNESS, 1 + SLOWNESS + len(model.therapy.pools))
    pools = state.pools.unsqueeze(1).repeat(1, many, 1)
    amounts = model.amounts(past.values, past.mask, usual)
    for place in waits:  # of the others nothing enters the pools
        pools[:, place] = absorption.fill(amounts, absorption.time_constants(codes[:, place]), model.therapy.step)
    futures = Futures(
        model=model,
        features=features.unflatten(2, (steps, 2)),
        spread=features[:, :, :0],
        code=codes,
        rates=absorption.rates(codes),
        start=state.level.unsqueeze(1).expand(-1, many),
        score=code.new_zeros(many),
        widen=code.new_ones(count),
        trend=state.trend.unsqueeze(1).expand(-1, many, -1),
    )
    level, levels, rows = futures.start, [], torch.arange(count, device=code.device)
    for step in range(steps):
        level, pools = futures.advance(level, pools, inflow[:, step], step, rows)
        levels.append(level)
    found = torch.stack(levels, -1)  # [R, 1 + K, H]
    return ((found[:, 1:] - found[:, :1]) / NUDGE).transpose(0, 1)


def abduct(futures: Futures, level: Tensor, pools: Tensor, inflow: Tensor, truth: Tensor, mask: Tensor) -> Futures:
    """The same futures with the forcing that makes them pass through what was measured: `[R, H]` scaled levels where `mask`.

    Counterfactuals then change the treatment and keep the forcing (abduction, action, prediction; Pearl 2009, sec. 7.1).
    """
    rows = torch.arange(len(level), device=level.device)
    forcing = []
    free = replace(futures, forcing=None)
    for step in range(inflow.shape[1]):
        level, pools = free.advance(level, pools, inflow[:, step], step, rows)
        missed = torch.where(mask[:, step, None], truth[:, step, None] - level, torch.zeros_like(level))
        level = level + missed
        forcing.append(missed)
    return replace(futures, forcing=torch.stack(forcing, -1))
