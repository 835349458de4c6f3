"""Futures that share a patient and a context and differ in treatment: what a search steps through, and what a day replayed is.

The context does not hear of doses, so it is integrated once a particle; only the level and the pools move with the treatment.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from careplan.world.heads import spread_at
from careplan.world.model import WorldModel


@dataclass(frozen=True, eq=False)
class Futures:
    """The context of `R` rows (patients, days) and `P` particles along `H` integration steps.

    features: `[R, P, H, 2, hidden]` what the level's rate needs at the start and the middle of each step.
    spread: `[R, P, H, hidden]`; code `[R, P, K]`; tau `[R, P, pools]`.
    score: `[P]` the standard normal score at which each particle reads the predicted spread; widen `[R]` multiplies it.
    start: `[R, P]` the level at the beginning (scaled).
    trend: `[R, P, 2]` where it was heading. forcing: `[R, P, H]` what was measured beyond what was predicted.
    """

    model: WorldModel
    features: Tensor
    spread: Tensor
    code: Tensor
    tau: Tensor
    start: Tensor
    score: Tensor
    widen: Tensor
    trend: Tensor
    forcing: Tensor | None = None

    def advance(self, level: Tensor, pools: Tensor, inflow: Tensor, step: Tensor | int, rows: Tensor) -> tuple[Tensor, Tensor]:
        """One integration step (midpoint) of level `[N, P]`, pools `[N, P, S]` under inflow `[N, pools]`; `rows` `[N]` of `R`."""
        dynamics, half = self.model.dynamics, self.model.shape.interval / 2
        code, tau, inflow = self.code[rows], self.tau[rows], inflow.unsqueeze(1).expand(-1, self.code.shape[1], -1)
        now, middle = self.features[rows, :, step].unbind(-2)
        flat = (-1, pools.shape[-1])

        def flow(p: Tensor) -> Tensor:
            return dynamics.absorption(p.reshape(flat), inflow.flatten(0, 1), tau.flatten(0, 1)).view_as(p)

        def acting(p: Tensor) -> tuple[Tensor, Tensor]:
            low, high = dynamics.absorption.appearance(p.reshape(flat), tau.flatten(0, 1))
            return low.view_as(level), high.view_as(level)

        minutes = torch.as_tensor(step, device=level.device).reshape(-1, 1, 1) * (2 * half)
        heading = self.trend[rows]
        drift, later = dynamics.trend.at(heading, minutes), dynamics.trend.at(heading, minutes + half)
        half_level = level + half * (dynamics.level_rate(now, code, level, *acting(pools)) + drift)
        half_pools = pools + half * flow(pools)
        level = level + 2 * half * (dynamics.level_rate(middle, code, half_level, *acting(half_pools)) + later)
        pools = pools + 2 * half * flow(half_pools)
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
    dynamics, interval = model.dynamics, model.shape.interval
    features, spread = [], []
    known, nothing = torch.ones(len(z), device=z.device), z.new_zeros(len(z), model.shape.evidence)
    for step in range(future.shape[1]):
        start = dynamics.condition(minute + step * interval, code, future[:, step], known, nothing)
        middle = dynamics.condition(minute + (step + 0.5) * interval, code, future[:, step], known, nothing)
        half = z + interval / 120.0 * dynamics.context_rate(z, start)
        features.append(torch.stack([dynamics.features(z, start), dynamics.features(half, middle)], dim=1))
        z = z + interval / 60.0 * dynamics.context_rate(half, middle)
        spread.append(model.spread.context(z))
    return torch.stack(features, 1), torch.stack(spread, 1)


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
