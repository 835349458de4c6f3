"""The learned world as a `PlanningModel`: what the search steps through."""

from dataclasses import dataclass

import torch
from torch import Tensor

from careplan.world.futures import Futures


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
