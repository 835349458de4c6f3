"""Continuous glucose monitors: what is shown of the interstitial glucose."""

from dataclasses import dataclass

import torch
from torch import Tensor

LOW, HIGH = 39.0, 401.0  # what a sensor shows at its ends


@dataclass(frozen=True, kw_only=True)
class Sensor:
    """Error: a gain that drifts slowly and an autoregressive part of order 1 (the form of Breton & Kovatchev 2008).

    noise: mg/dL, stationary; memory: its correlation over five minutes; gain: spread of the relative error of one wear of
    `wear` days; dropout: gaps a day, of up to `gap` rows.
    """

    noise: float = 6.0
    memory: float = 0.85
    gain: float = 0.05
    wear: int = 10
    dropout: float = 0.4
    gap: int = 36

    def draw(self, count: int, rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Relative gain, additive error mg/dL, and whether a reading is shown, `[B, T]` each, drawn in advance."""
        fresh = torch.randn(count, rows, generator=generator) * self.noise * (1 - self.memory**2) ** 0.5
        error, trail = torch.zeros(count), []
        for row in range(rows):
            error = self.memory * error + fresh[:, row]
            trail.append(error)
        wears = rows // (288 * self.wear) + 1
        gain = 1 + self.gain * torch.randn(count, wears, generator=generator)
        gain = gain[:, torch.arange(rows) // (288 * self.wear)]
        starts = torch.rand(count, rows, generator=generator) < self.dropout / 288
        length = (torch.rand(count, rows, generator=generator) * self.gap + 1).long() * starts
        left, shown = torch.zeros(count, dtype=torch.long), []
        for row in range(rows):
            left = torch.maximum(left - 1, length[:, row])
            shown.append(left <= 0)
        return gain, torch.stack(trail, 1), torch.stack(shown, 1)
