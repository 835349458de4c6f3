"""The state from few and noisy readings: each reading updates the estimate in proportion to its precision.

An extended Kalman filter for each output by itself, along a recording whose doses are known. Between readings the equation of a
plan moves the level, and the doubt about it grows by a rate that is learned and shrinks as the level returns by itself.
"""

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from careplan.series import Window
from careplan.therapy import Therapy
from careplan.world.dynamics import StepInputs
from careplan.world.question import Given

if TYPE_CHECKING:
    from careplan.world.model import WorldModel

PROCESS, START = 0.1, 1.0  # scaled levels: of the doubt that a pace adds, until trained, and that everybody begins with


class Filtered(NamedTuple):
    """level, doubt `[B, Q]`: at the end, scaled, the doubt as a standard deviation. missed, variance `[B, N, Q]`: of each
    integration step, what was measured less what was foreseen, and how large that may be; seen `[B, N, Q]`: where anything was.
    """

    level: Tensor
    doubt: Tensor
    missed: Tensor
    variance: Tensor
    seen: Tensor

    def surprise(self) -> Tensor:
        """The mean negative log likelihood of the readings, but for a constant; 0 where there is none."""
        each = 0.5 * (self.variance.log() + self.missed.pow(2) / self.variance)
        return (each * self.seen).sum() / self.seen.sum().clamp(min=1)


class Filter(nn.Module):
    """noise: `[Q]` of one reading, scaled. which: `[Q]` the outputs whose readings have a declared noise."""

    noise: Tensor
    which: Tensor
    compounds: Tensor
    scale: Tensor

    def __init__(self, therapy: Therapy) -> None:
        super().__init__()
        channels = [therapy.channel(output.name) for output in therapy.outputs]
        self.log_process = nn.Parameter(torch.full((len(channels),), math.log(PROCESS)))
        self.register_buffer("noise", torch.tensor([(c.noise or 0.0) / c.scale for c in channels]), persistent=False)
        self.compounding = any(output.compounds for output in therapy.outputs)
        self.register_buffer("compounds", torch.tensor([output.compounds > 0 for output in therapy.outputs]), persistent=False)
        self.register_buffer("scale", torch.tensor([c.scale for c in channels]), persistent=False)
        self.register_buffer("which", torch.tensor(therapy.filtered), persistent=False)

    def forward(self, model: "WorldModel", z: Tensor, window: Window, usual: Tensor, code: Tensor) -> Filtered:
        """Along a window `[B, T, C]` from nothing known of the level; z `[B, M, L]`: the context in each of M equal stretches."""
        dynamics, interval = model.dynamics, model.shape.interval
        flow, outputs = dynamics.planned, model.therapy.outputs
        inflow, future = model.plan(window.values, window.mask, usual)
        steps = inflow.shape[1]
        read, count = self._readings(model, window)
        halves = torch.arange(2 * steps, device=inflow.device)
        given = Given.PLAN.codes(len(code), inflow.device)
        course = flow.course(window.minute[:, :1] + 0.5 * interval * halves, code, future[:, halves // 2], given)
        features = flow.features(z[:, halves // 2 * z.shape[1] // steps], course.situation)
        rates, enter = dynamics.absorption.rates(code), dynamics.absorption.enter(inflow)
        level = model.bounded(model.correct(z[:, 0]).unflatten(-1, (2, -1))[..., 1, :])
        variance, pools = torch.full_like(level, START**2), torch.zeros_like(enter[:, 0])
        returns = torch.tensor([output.returns for output in outputs], device=code.device) / model.therapy.clock.pace
        kept = torch.exp(-2.0 * interval * returns * torch.exp(0.5 * code[:, model.layout.returning]))
        grows = (2.0 * self.log_process).exp() * interval / model.therapy.clock.pace
        missed, variances = [], []
        for step in range(steps):
            begin = level
            both = (features[:, 2 * step], features[:, 2 * step + 1])
            inputs = StepInputs(code=code, rates=rates, inflow=inflow[:, step], enter=enter[:, step], features=both)
            level, pools = dynamics.advance(level, pools, inputs, 0.5 * interval)
            grown = grows if not self.compounding else grows * self._grown(level - begin)
            level, variance = model.bounded(level), kept * variance + grown
            of_reading = variance + self.noise**2 / count[:, step].clamp(min=1.0)
            gain = torch.where(count[:, step] > 0, variance / of_reading, 0.0)
            away = torch.where(count[:, step] > 0, read[:, step] - level, 0.0)
            missed.append(away)
            variances.append(of_reading)
            level, variance = level + gain * away, (1.0 - gain) * variance
        return Filtered(level, variance.sqrt(), torch.stack(missed, 1), torch.stack(variances, 1), count > 0)

    def _grown(self, moved: Tensor) -> Tensor:
        """How much more the process counts in the logarithm, by how far a step moved the levels `[B, Q]`, scaled: where an output
        compounds, what nobody foresees adds to the share that is left of it, and counts the more the less that is."""
        return torch.where(self.compounds, (-2.0 * self.scale * moved).exp(), 1.0)

    def _readings(self, model: "WorldModel", window: Window) -> tuple[Tensor, Tensor]:
        """The mean of the readings in each integration step, scaled, and how many there are, `[B, N, Q]` each."""
        known = window.mask[..., model.therapy.observed]
        levels = torch.where(known, model.standard(window.values), 0.0).unflatten(1, (-1, model.group)).sum(2)
        count = known.to(levels.dtype).unflatten(1, (-1, model.group)).sum(2)
        return levels / count.clamp(min=1.0), count


def filter_recording(model: "WorldModel", window: Window, usual: Tensor, code: Tensor) -> Filtered:
    """The filter along a whole recording `[B, T, C]`, T a whole number of patches, each patch read with the context that its past
    alone tells. Raises ValueError where no output has a declared noise."""
    if model.filter is None:
        raise ValueError(f"{model.therapy.name}: no observation has a declared noise")
    return model.filter(model, causal_encoding(model, window, usual), window, usual, code)


def causal_encoding(model: "WorldModel", window: Window, usual: Tensor) -> Tensor:
    """`[B, T / patch, L]` the encoding of what came before each patch of a window, the first of which nothing came before."""
    patch, pad = model.shape.patch, torch.nn.functional.pad
    early = window.minute[:, :patch] - patch * model.therapy.step
    values, mask = pad(window.values, (0, 0, patch, 0)), pad(window.mask, (0, 0, patch, 0))
    padded = Window(values, mask, torch.cat([early, window.minute], 1))
    return model.encoder(model.received.scaled(padded, usual, model.center, model.scale), padded)[:, :-1]
