"""Futures that share a patient and a context and differ in treatment, as in a search or in a replayed day.

The context does not depend on doses, so it is integrated once for each particle; only the level and the pools move with the
treatment.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from careplan.world.dynamics import StepInputs
from careplan.world.heads import spread_at
from careplan.world.model import WorldModel
from careplan.world.question import Given


@dataclass(frozen=True, eq=False)
class Futures:
    """The context of `R` rows (patients, days) and `P` particles along `H` integration steps.

    features: `[R, P, H, 2, hidden]` what the levels' rates need at the start and the middle of each step.
    spread: `[R, P, H, hidden]`; code `[R, P, K]`; rates `[R, P, S]` at which the pools empty.
    score: `[P]` the standard normal score at which each particle reads the predicted spread; interval_factor `[R]` multiplies it.
    start: `[R, P, Q]` the levels at the beginning (scaled).
    trend: `[R, P, Q, 2]` where they were heading, nowhere when None. forcing: `[R, P, H, Q]` what was measured beyond what was
    predicted.
    """

    model: WorldModel
    features: Tensor
    spread: Tensor
    code: Tensor
    rates: Tensor
    start: Tensor
    score: Tensor
    interval_factor: Tensor
    trend: Tensor | None = None
    forcing: Tensor | None = None

    def advance(
        self, level: Tensor, pools: Tensor, inflow: Tensor, step: Tensor | int, rows: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """One integration step (midpoint) of levels `[N, P, Q]`, pools `[N, P, S]` under inflow `[N, pools]` (`[N, P, pools]`
        where particles differ in it); `rows` `[N]` of `R`. Without rows these are of all `R` at one step: `[..., R, P, Q]`."""
        dynamics, half = self.model.dynamics, self.model.shape.interval / 2
        inflow = inflow if inflow.ndim == level.ndim else inflow.unsqueeze(-2)
        every = slice(None) if rows is None else rows
        now, middle = self.features[every, :, step].unbind(-2)
        given = StepInputs(
            code=self.code[every],
            rates=self.rates[every],
            inflow=inflow,
            enter=dynamics.absorption.enter(inflow),
            features=(now, middle),
            heading=None if self.trend is None else self._heading(self.trend[every], step),
        )
        level, pools = dynamics.advance(level, pools, given, half)
        if self.forcing is not None:
            level = level + self.forcing[every, :, step]
        return level, pools

    def _heading(self, trend: Tensor, step: Tensor | int) -> tuple[Tensor, Tensor]:
        """What a trend `[N, P, Q, 2]` adds at the start and the middle of a step, `[N, P, Q]` each."""
        interval, at = self.model.shape.interval, self.model.dynamics.trend.at
        minutes = torch.as_tensor(step, device=trend.device).reshape(-1, 1, 1, 1) * interval
        return at(trend, minutes), at(trend, minutes + interval / 2)

    def measured(self, level: Tensor, step: Tensor | int, rows: Tensor) -> Tensor:
        """The levels that each particle would measure after `step`, in their units: predicted, and its share of the spread,
        `[N, P, Q]`."""
        model = self.model
        elapsed = torch.as_tensor(step, device=level.device) + 1.0
        minutes = (elapsed * model.shape.interval).reshape(-1, 1).expand(level.shape[:2])
        known = torch.ones_like(minutes)
        offsets = model.spread(self.spread[rows, :, step], self.start[rows], level, minutes, known)
        away = spread_at(offsets, self.score.unsqueeze(-1).expand(level.shape)) * self.interval_factor[rows].reshape(-1, 1, 1)
        return model.natural(level + away)


def contexts(model: WorldModel, z: Tensor, minute: Tensor, code: Tensor, future: Tensor) -> tuple[Tensor, Tensor]:
    """Integrate the context alone: z `[N, L]`, minute `[N]`, code `[N, K]`, scaled future `[N, H, C]`
    -> features, spread context."""
    flow, interval, steps = model.dynamics.planned, model.shape.interval, future.shape[1]
    halves = torch.arange(2 * steps, device=z.device)
    given = Given.PLAN.codes(len(z), z.device)
    course = flow.course(minute.unsqueeze(1) + 0.5 * interval * halves, code, future[:, halves // 2], given)
    features, spread = [], []
    for step in range(steps):
        (first, start), (second, middle) = course.at(2 * step), course.at(2 * step + 1)
        half = z + 0.5 * interval / flow.pace * flow.context_rate(z, first)
        features.append(torch.stack([flow.features(z, start), flow.features(half, middle)], dim=1))
        z = z + interval / flow.pace * flow.context_rate(half, second)
        spread.append(model.spread.context(z))
    return torch.stack(features, 1), torch.stack(spread, 1)


def abduct(futures: Futures, level: Tensor, pools: Tensor, inflow: Tensor, truth: Tensor, mask: Tensor) -> Futures:
    """The same futures with the forcing that makes them pass through what was measured: `[R, H, Q]` scaled levels where `mask`.

    Counterfactuals then change the treatment and keep the forcing (abduction, action, prediction; Pearl 2009, sec. 7.1).
    """
    forcing = []
    free = replace(futures, forcing=None)
    for step in range(inflow.shape[1]):
        level, pools = free.advance(level, pools, inflow[:, step], step)
        missed = torch.where(mask[:, step, None], truth[:, step, None] - level, torch.zeros_like(level))
        level = level + missed
        forcing.append(missed)
    return replace(futures, forcing=torch.stack(forcing, 2))
