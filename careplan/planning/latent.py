"""The learned world as a `PlanningModel`: what the search steps through."""

from dataclasses import dataclass

import torch
from torch import Tensor

from careplan.planning.menu import KEEP, Menu
from careplan.series import Window
from careplan.therapy import Therapy
from careplan.world.futures import Futures, contexts
from careplan.world.model import WorldModel


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

    def initial(self, level: Tensor, pools: Tensor) -> Tensor:
        """Scaled levels `[B, P, Q]` and pools `[B, P, S]` -> state `[B, P, Q + S + 1]`; the clock is last."""
        return torch.cat([level, pools, torch.zeros_like(level[..., :1])], dim=-1)

    def step(self, state: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """One decision: state `[B, W, P, S]`, action `[B, W, 2]` -> next state, levels `[B, W, P, M]`, in blocks by output.

        An action is an impulse and a multiple of the standing rate.
        """
        batch, wide = state.shape[:2]
        rows = torch.arange(batch, device=state.device).repeat_interleave(wide)
        flat = state.flatten(0, 1)
        outputs = self.futures.start.shape[-1]
        level, pools, clock = flat[..., :outputs], flat[..., outputs:-1], flat[:, 0, -1].long()
        impulse, multiple = action.flatten(0, 1).unbind(-1)
        strength = self.strength[rows].unsqueeze(-1)  # [B W, P, 1]
        more = multiple[:, None, None] - 1.0
        scaled = 1.0 + torch.where(more > 0.0, more * strength, more)
        last = self.rate.shape[1] - 1
        levels = []
        for index in range(self.steps):
            step = (clock + index).clamp(max=last)
            inflow = self.rate[rows, step].unsqueeze(1) * scaled + self.other[rows, step].unsqueeze(1)
            if index == 0:
                inflow = inflow + strength * (impulse.unsqueeze(-1) * self.unit[rows]).unsqueeze(1)
            level, pools = self.futures.advance(level, pools, inflow, step, rows)
            levels.append(self.futures.measured(level, step, rows))
        clock = (clock + self.steps).to(level.dtype).reshape(-1, 1, 1).expand(-1, level.shape[1], 1)
        state = torch.cat([level, pools, clock], dim=-1)
        return state.unflatten(0, (batch, wide)), torch.stack(levels, -1).flatten(-2).unflatten(0, (batch, wide))


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

    def initial(self, level: Tensor, pools: Tensor) -> Tensor:
        """Scaled levels `[B, P, Q]` and pools `[B, P, S]` -> state `[B, P, Q + S + 1]`; the clock is last."""
        return torch.cat([level, pools, torch.zeros_like(level[..., :1])], dim=-1)

    def step(self, state: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """One decision: state `[B, W, P, S]`, action `[B, W, A]` -> next state, levels `[B, W, P, Q M]`, in blocks by output."""
        batch, wide = state.shape[:2]
        rows = torch.arange(batch, device=state.device).repeat_interleave(wide)
        flat, outputs = state.flatten(0, 1), self.futures.start.shape[-1]
        level, pools, clock = flat[..., :outputs], flat[..., outputs:-1], flat[:, 0, -1].long()
        values = action.flatten(0, 1).unsqueeze(-1).unbind(1)  # [B W, 1] each
        last, levels = self.other.shape[1] - 1, []
        for index in range(self.steps):
            step = (clock + index).clamp(max=last)
            inflow = self.other[rows, step]
            for value, act, own, unit, replaces in zip(
                values, self.menu.therapy.actions, self.own, self.unit, self.menu.replaces, strict=True
            ):
                stands = own[rows, step]
                if act.of == "multiple":
                    inflow = inflow + value * stands
                elif replaces:
                    inflow = inflow + torch.where(value == KEEP, stands, value * unit[rows])
                else:
                    inflow = inflow + (stands + value * unit[rows] if index == 0 else stands)
            level, pools = self.futures.advance(level, pools, inflow, step, rows)
            levels.append(self.futures.measured(level, step, rows))
        clock = (clock + self.steps).to(level.dtype).reshape(-1, 1, 1).expand(-1, level.shape[1], 1)
        state = torch.cat([level, pools, clock], dim=-1)
        return state.unflatten(0, (batch, wide)), torch.stack(levels, -1).flatten(-2).unflatten(0, (batch, wide))


@torch.no_grad()
def latent_course(
    model: WorldModel,
    past: Window,
    usual: Tensor,
    code: Tensor,
    values: Tensor,
    *,
    therapy: Therapy | None = None,
    widen: Tensor | None = None,
    seed: int = 0,
) -> tuple[LatentCourse, Tensor]:
    """The futures of B patients, P particles each, and where they begin `[B, P, S]`.

    Args:
        model: The world model.
        past: What was recorded, as long as the model's context, `[B, T, C]`.
        usual: What is usual of the patients, `[B, C + Q + F]`.
        code: Particles of their codes, `[B, P, K]`, the first the mean. Where readings carry a noise, the level now differs
        between
            particles too, by as much as it is in doubt.
        values: The future as it stands, all of it known, `[B, T, C]` for as long as `Clock.ahead`.
        therapy: As it is planned, where a decision lasts longer than the clock says; the model's own where None.
        widen: `[B]` multiplies the predicted spread; 1 where None.
        seed: Of the draws.
    """
    (batch, particles), device = code.shape[:2], model.center.device
    fold, mask = (batch, particles), torch.ones_like(values, dtype=torch.bool)
    many = Window(*(part.repeat_interleave(particles, 0) for part in (past.values, past.mask, past.minute)))
    flat, mean = code.flatten(0, 1), usual.repeat_interleave(particles, 0)
    state = model.state(model.encode(past, usual)[:, -1].repeat_interleave(particles, 0), many, mean, flat)
    inflow, future = model.plan(values, mask, usual)
    features, spread = contexts(model, state.z, state.minute, flat, future.repeat_interleave(particles, 0))
    generator = torch.Generator().manual_seed(seed)
    even = torch.special.ndtri((torch.arange(particles) + 0.5) / particles)
    order, doubted = (even[torch.randperm(particles, generator=generator)].to(device) for _ in range(2))
    level = (state.level.unflatten(0, fold) + doubted.unsqueeze(-1) * state.doubt.unflatten(0, fold)).flatten(0, 1)
    level = model.bounded(level).unflatten(0, fold)
    futures = Futures(
        model=model,
        features=features.unflatten(0, fold),
        spread=spread.unflatten(0, fold),
        code=code,
        rates=model.dynamics.absorption.rates(flat).unflatten(0, fold),
        start=level,
        score=order,
        widen=torch.ones(batch, device=device) if widen is None else widen,
        trend=state.trend.unflatten(0, fold),
    )
    menu = Menu(therapy or model.therapy, values, model.daily(usual))
    own, unit = _moved(model, menu, values, usual)
    steps = round(menu.therapy.clock.decision / model.shape.interval)
    course = LatentCourse(futures=futures, menu=menu, own=own, other=inflow - own.sum(0), unit=unit, steps=steps)
    return course, course.initial(level, state.pools.unflatten(0, fold))


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
