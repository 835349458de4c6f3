"""The derivatives of a plan's predicted levels by the numbers of the code, at less cost than the whole model for each number."""

import torch
from torch import Tensor
from torch.nn import functional as F

from careplan.series import Window
from careplan.world.dynamics import StepInputs
from careplan.world.model import WorldModel
from careplan.world.question import Question

NUDGE = 0.05  # of a number of the code, for finite differences


def code_slopes(model: WorldModel, z: Tensor, past: Window, plan: Question) -> Tensor:
    """How the first output's level, in its unit, moves with each number of the code, `[K, R, H]` after every integration step.

    z: `[R, L]` the encodings of `past`. The context keeps the course that the code itself gives it, and the levels now are held,
    so that only levels and pools are integrated once for each number.
    """
    flow, dynamics, interval = model.dynamics.planned, model.dynamics, model.shape.interval
    state, code = model.state(z, past, plan.usual, plan.code), plan.code
    inflow, future = model.plan(plan.values, plan.mask, plan.usual)
    steps, halves = inflow.shape[1], torch.arange(2 * inflow.shape[1], device=code.device)
    course = flow.course(state.minute.unsqueeze(1) + 0.5 * interval * halves, code, future[:, halves // 2], plan.given)
    path = []
    for step in range(steps):
        half = z + 0.5 * interval / flow.pace * flow.context_rate(z, course.modulation[:, 2 * step])
        path += [z, half]
        z = z + interval / flow.pace * flow.context_rate(half, course.modulation[:, 2 * step + 1])
    nudges = F.pad(NUDGE * torch.eye(code.shape[1], device=code.device), (0, 0, 1, 0))  # first the code as it is
    codes = code.unsqueeze(1) + nudges
    place = flow.condition.clock
    nudged = F.pad(nudges, (place, flow.condition.width - place - code.shape[1]))
    moved = flow.situated(nudged) - flow.situated(torch.zeros_like(nudged))  # a condition enters linearly
    features = flow.features(torch.stack(path, 1).unsqueeze(1), course.situation.unsqueeze(1) + moved.unsqueeze(1))
    rates, heading = dynamics.absorption.rates(codes), state.trend.unsqueeze(1)
    level, pools, levels = state.level.unsqueeze(1).expand(-1, len(nudges), -1), _pools(model, past, state.pools, plan, codes), []
    for step in range(steps):
        given = inflow[:, step].unsqueeze(1)
        ahead = [dynamics.trend.at(heading, (step + part) * interval) for part in (0.0, 0.5)]
        inputs = StepInputs(
            code=codes,
            rates=rates,
            inflow=given,
            enter=dynamics.absorption.enter(given),
            features=(features[:, :, 2 * step], features[:, :, 2 * step + 1]),
            heading=(ahead[0], ahead[1]),
        )
        level, pools = dynamics.advance(level, pools, inputs, interval / 2)
        levels.append(model.natural_of(0, level[..., 0]))
    found = torch.stack(levels, -1)  # [R, 1 + K, H]
    return ((found[:, 1:] - found[:, :1]) / NUDGE).transpose(0, 1)


def _pools(model: WorldModel, past: Window, own: Tensor, plan: Question, codes: Tensor) -> Tensor:
    """The pools now of every code `[R, 1 + K, S]`: those of the code itself, `[R, S]`, but where a time constant is nudged."""
    pools, amounts = own.unsqueeze(1).repeat(1, codes.shape[1], 1), model.amounts(past.values, past.mask, plan.usual)
    slowness, absorption = model.layout.slowness, model.dynamics.absorption
    for place in range(1 + slowness.start, 1 + slowness.stop):
        pools[:, place] = absorption.fill(amounts, absorption.time_constants(codes[:, place]), model.therapy.step)
    return pools
