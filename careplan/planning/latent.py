"""The learned world as a `PlanningModel`: what the search steps through."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from careplan.planning.menu import KEEP, Menu
from careplan.series import Window
from careplan.therapy import Therapy
from careplan.world.futures import Futures, contexts
from careplan.world.model import WorldModel


def initial_state(futures: Futures, pools: Tensor) -> Tensor:
    """Where the search begins, `[B, P, Q + S + 1]`: levels now `[B, P, Q]`, pools `[B, P, S]`, and the clock."""
    return torch.cat([futures.start, pools, torch.zeros_like(futures.start[..., :1])], dim=-1)


def _rows(state: Tensor) -> Tensor:
    """Whose each of the futures of a state `[B, W, ...]` is, `[B W]`."""
    return torch.arange(state.shape[0], device=state.device).repeat_interleave(state.shape[1])


def _stepped(
    futures: Futures, state: Tensor, rows: Tensor, steps: int, last: int, inflow: Callable[[int, Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """One decision of some integration steps: state `[B, W, P, S]` -> next state, levels `[B, W, P, M]`, in blocks by output.

    last: the last integration step that is known of the future, which goes on after it. inflow: the place of a step within the
    decision, and within the future `[B W]` -> what enters the pools, `[B W, P, pools]`.
    """
    flat, outputs = state.flatten(0, 1), futures.start.shape[-1]
    level, pools, clock = flat[..., :outputs], flat[..., outputs:-1], flat[:, 0, -1].long()
    levels = []
    for index in range(steps):
        step = (clock + index).clamp(max=last)
        level, pools = futures.advance(level, pools, inflow(index, step), step, rows)
        levels.append(futures.measured(level, step, rows))
    clock = (clock + steps).to(level.dtype).reshape(-1, 1, 1).expand(-1, level.shape[1], 1)
    fold = tuple(state.shape[:2])
    state = torch.cat([level, pools, clock], dim=-1)
    return state.unflatten(0, fold), torch.stack(levels, -1).flatten(-2).unflatten(0, fold)


@dataclass(frozen=True, eq=False)
class LatentModel:
    """B patients' futures under the treatment as it stands, to which an action adds an impulse and scales the rate.

    futures: rows are patients. rate, other: `[B, H, pools]` inflow of the standing rate, and of everything else that is planned.
    unit: `[B, pools]` inflow a minute of a unit of impulse given over one integration step. steps: integration steps a decision.
    strength: `[B, P]` what of an added dose counts in each particle; of a lower rate no more than the whole is ever credited.
    """

    futures: Futures
    rate: Tensor
    other: Tensor
    unit: Tensor
    steps: int
    strength: Tensor

    def step(self, state: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """One decision: state `[B, W, P, S]`, action `[B, W, 2]` -> next state, levels `[B, W, P, M]`, in blocks by output.

        An action is an impulse and a multiple of the standing rate.
        """
        rows = _rows(state)
        impulse, multiple = action.flatten(0, 1).unbind(-1)
        strength = self.strength[rows].unsqueeze(-1)  # [B W, P, 1]
        more = multiple[:, None, None] - 1.0
        scaled = 1.0 + torch.where(more > 0.0, more * strength, more)

        def inflow(index: int, step: Tensor) -> Tensor:
            standing = self.rate[rows, step].unsqueeze(1) * scaled + self.other[rows, step].unsqueeze(1)
            if index:
                return standing
            return standing + strength * (impulse.unsqueeze(-1) * self.unit[rows]).unsqueeze(1)

        return _stepped(self.futures, state, rows, self.steps, self.rate.shape[1] - 1, inflow)


@dataclass(frozen=True, eq=False)
class LatentCourse:
    """B patients' futures as they stand, of which an action moves what a therapy declares (`menu.Menu`).

    own: `[A, B, H, pools]` inflow of each action's channel as it stands; other `[B, H, pools]`: of everything else. unit: `[A, B,
    pools]` inflow a minute of a value of 1: of an impulse, given over one integration step. steps: integration steps a decision.
    """

    futures: Futures
    menu: Menu
    own: Tensor
    other: Tensor
    unit: Tensor
    steps: int

    def step(self, state: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """One decision: state `[B, W, P, S]`, action `[B, W, A]` -> next state, levels `[B, W, P, Q M]`, in blocks by output."""
        rows = _rows(state)
        values = action.flatten(0, 1).unsqueeze(-1).unbind(1)  # [B W, 1] each
        parts = list(zip(values, self.menu.therapy.actions, self.own, self.unit, self.menu.replaces, strict=True))

        def inflow(index: int, step: Tensor) -> Tensor:
            total = self.other[rows, step]
            for value, act, own, unit, replaces in parts:
                stands = own[rows, step]
                if act.of == "multiple":
                    total = total + value * stands
                elif replaces:
                    total = total + torch.where(value == KEEP, stands, value * unit[rows])
                else:
                    total = total + (stands + value * unit[rows] if index == 0 else stands)
            return total

        return _stepped(self.futures, state, rows, self.steps, self.other.shape[1] - 1, inflow)


@torch.no_grad()
def latent_course(
    model: WorldModel,
    past: Window,
    usual: Tensor,
    code: Tensor,
    values: Tensor,
    *,
    therapy: Therapy | None = None,
    interval_factor: Tensor | None = None,
    seed: int = 0,
) -> tuple[LatentCourse, Tensor]:
    """The futures of B patients, P particles each, and where they begin `[B, P, S]`.

    Args:
        model: The world model.
        past: What was recorded, as long as the model's context, `[B, T, C]`.
        usual: What is usual of the patients, `[B, C + Q + F]`.
        code: Particles of their codes, `[B, P, K]`, the first the mean.
        values: The future as it stands, all of it known, `[B, T, C]` for as long as `Clock.ahead`.
        therapy: As it is planned, where a decision lasts longer than the clock says; the model's own where None.
        interval_factor: `[B]` multiplies the predicted spread; 1 where None.
        seed: Of the draws.
    """
    mask = torch.ones_like(values, dtype=torch.bool)
    interval_factor = torch.ones(len(code)) if interval_factor is None else interval_factor
    futures, pools, inflow = latent_futures(model, past, usual, code, Known(values, mask), interval_factor, seed)
    menu = Menu(therapy or model.therapy, values, model.daily(usual))
    own, unit = _moved(model, menu, values, usual)
    steps = round(menu.therapy.clock.decision / model.shape.interval)
    course = LatentCourse(futures=futures, menu=menu, own=own, other=inflow - own.sum(0), unit=unit, steps=steps)
    return course, initial_state(futures, pools)


class Known(NamedTuple):
    """A future as it stands: `[B, T, C]` values where `mask`."""

    values: Tensor
    mask: Tensor


def latent_futures(
    model: WorldModel, past: Window, usual: Tensor, code: Tensor, ahead: Known, interval_factor: Tensor, seed: int
) -> tuple[Futures, Tensor, Tensor]:
    """The futures of B patients, P particles each, with their pools now `[B, P, S]` and what enters them as it stands
    `[B, H, pools]`; arguments as of `latent_course`.

    Each particle has a score of its own within the predicted spread. Where readings carry a noise, the level now differs between
    particles too, by as much as it is in doubt.
    """
    (batch, particles), device = code.shape[:2], model.center.device
    past, usual, code = past.to(device), usual.to(device), code.to(device)
    fold = (batch, particles)
    many = Window(*(part.repeat_interleave(particles, 0) for part in (past.values, past.mask, past.minute)))
    flat, mean = code.flatten(0, 1), usual.repeat_interleave(particles, 0)
    state = model.state(model.encode(past, usual)[:, -1].repeat_interleave(particles, 0), many, mean, flat)
    inflow, future = model.plan(ahead.values.to(device), ahead.mask.to(device), usual)
    features, spread = contexts(model, state.z, state.minute, flat, future.repeat_interleave(particles, 0))
    generator = torch.Generator().manual_seed(seed)
    even = torch.special.ndtri((torch.arange(particles) + 0.5) / particles)
    score, doubted = (even[torch.randperm(particles, generator=generator)].to(device) for _ in range(2))
    level = (state.level.unflatten(0, fold) + doubted.unsqueeze(-1) * state.doubt.unflatten(0, fold)).flatten(0, 1)
    futures = Futures(
        model=model,
        features=features.unflatten(0, fold),
        spread=spread.unflatten(0, fold),
        code=code,
        rates=model.dynamics.absorption.rates(flat).unflatten(0, fold),
        start=model.bounded(level).unflatten(0, fold),
        score=score,
        interval_factor=interval_factor.to(device),
        trend=state.trend.unflatten(0, fold),
    )
    return futures, state.pools.unflatten(0, fold), inflow


def _moved(model: WorldModel, menu: Menu, values: Tensor, usual: Tensor) -> tuple[Tensor, Tensor]:
    """`LatentCourse.own` and `unit` of a future as it stands `[B, T, C]`."""
    shares, own, unit = model.amounts(values, torch.ones_like(values, dtype=torch.bool), usual), [], []
    for act, column in zip(model.therapy.actions, menu.columns, strict=True):
        only = torch.zeros_like(shares)
        only[..., column] = shares[..., column]
        own.append(model.dynamics.absorption.inflow(only).unflatten(1, (-1, model.group)).mean(2))
        one = torch.zeros_like(values[:, :1])
        one[..., column] = 1.0
        given = model.dynamics.absorption.inflow(model.amounts(one, torch.ones_like(one, dtype=torch.bool), usual))[:, 0]
        impulse = model.therapy.channel(act.channel).form == "impulse"
        unit.append(given * model.therapy.step / model.shape.interval if impulse else given)
    return torch.stack(own), torch.stack(unit)
