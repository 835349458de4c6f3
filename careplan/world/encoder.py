"""The encoder: what a recording says of the patient's state, as one latent vector per patch of time. Causal."""

import math

import torch
from torch import Tensor, nn

from careplan.series import Window
from careplan.therapy import Therapy


def places(cycle: float | None) -> int:
    """How many numbers `clock` gives."""
    return 0 if cycle is None else 4


def clock(minute: Tensor, cycle: float | None) -> Tensor:
    """Minute of the cycle `[...]` -> its place on the circles of the whole and of half of it `[..., 4]`; nothing without one."""
    if cycle is None:
        return minute.new_zeros(*minute.shape, 0)
    angle = (minute % cycle).unsqueeze(-1) * (2 * math.pi / cycle) * torch.tensor([1.0, 2.0], device=minute.device)
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


class Encoder(nn.Module):
    """A gated recurrent network over patches of values and masks.

    A patch embeds `patch` rows of all channels with their masks, so gaps are seen, not filled.
    """

    def __init__(self, therapy: Therapy, *, latent: int, hidden: int, patch: int) -> None:
        super().__init__()
        self.patch, self.cycle = patch, therapy.clock.cycle
        channels = len(therapy.channels)
        self.embed = nn.Linear(2 * channels * patch + places(self.cycle), hidden)
        self.recur = nn.GRU(hidden, hidden, batch_first=True)
        self.recent = nn.Linear(2 * channels * patch * 4, hidden)  # the last four patches at full resolution, linearly
        self.out = nn.Linear(2 * hidden, latent)
        self.norm = nn.LayerNorm(latent, elementwise_affine=False)

    def forward(self, values: Tensor, window: Window) -> Tensor:
        """Scaled values `[B, T, C]`, 0 where unknown, with their window
        -> `[B, T / patch, latent]`, each seeing its past alone."""
        batch, rows = values.shape[:2]
        patches = torch.cat([values, window.mask.to(values.dtype)], dim=-1).reshape(batch, rows // self.patch, -1)
        time = clock(window.minute[:, self.patch - 1 :: self.patch], self.cycle)
        hidden, _ = self.recur(torch.nn.functional.silu(self.embed(torch.cat([patches, time], dim=-1))))
        past = torch.nn.functional.pad(patches, (0, 0, 3, 0)).unfold(1, 4, 1).flatten(2)
        return self.norm(self.out(torch.cat([hidden, self.recent(past)], dim=-1)))


class Evidence(nn.Module):
    """What a recorded plan shows of events that were not recorded: people and pumps dose for what they feel, see and are about to
    eat.

    The plan is read forwards and backwards, beginning from the state: the same dose says more where it was not expected. Evidence
    belongs to the plan as recorded, and never carries the effect of a dose. A plan that the search makes is no evidence.
    """

    def __init__(self, inputs: int, state: int, width: int, *, hidden: int = 64) -> None:
        super().__init__()
        self.begin = nn.Linear(state, 2 * hidden)
        self.read = nn.GRU(inputs, hidden, batch_first=True, bidirectional=True)
        self.out = nn.Linear(2 * hidden, width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, state: Tensor, plan: Tensor) -> Tensor:
        """`[B, state]`, `[B, H, inputs]` -> `[B, H, width]`."""
        begin = self.begin(state).tanh().unflatten(-1, (2, -1)).transpose(0, 1).contiguous()
        return self.out(self.read(plan, begin)[0])
