"""Where each level was heading when it was last read."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from careplan.therapy import Therapy

HEADING = 3.0  # scaled levels a pace that one of a network's numbers is worth


class Trend(nn.Module):
    """Where each level was heading: two rates, linear in the last readings, that fade with time constants of their own."""

    ROWS = 24  # readings looked at

    def __init__(self, therapy: Therapy) -> None:
        super().__init__()
        pace = therapy.clock.pace
        self.outputs, self.unit = len(therapy.outputs), HEADING / pace
        self.rates = nn.Linear(2 * self.ROWS * self.outputs, 2 * self.outputs, bias=False)
        self.log_tau = nn.Parameter(torch.tensor([math.log(0.25 * pace), math.log(pace)]))
        nn.init.zeros_(self.rates.weight)

    def forward(self, level: Tensor, mask: Tensor, last: Tensor) -> Tensor:
        """Scaled levels `[B, T, Q]` where `mask`, and the last of them `[B, Q]` -> the rates now, `[B, Q, 2]`."""
        if (missing := self.ROWS - level.shape[1]) > 0:  # of a context that is shorter
            level, mask = F.pad(level, (0, 0, missing, 0)), F.pad(mask, (0, 0, missing, 0))
        recent, seen = level[:, -self.ROWS :], mask[:, -self.ROWS :]
        away = torch.where(seen, recent - last.unsqueeze(1), torch.zeros_like(recent))
        parts = torch.cat([away, seen.to(away.dtype)], dim=1)
        return self.unit * self.rates(parts.transpose(1, 2).flatten(1)).unflatten(-1, (self.outputs, 2))

    def at(self, trend: Tensor, minutes: Tensor | float) -> Tensor:
        """Trend `[..., 2]` -> its sum after so many minutes, `[...]`."""
        return (trend * torch.exp(-minutes / self.log_tau.exp())).sum(-1)
