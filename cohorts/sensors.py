"""Continuous glucose monitors: what is shown of the interstitial glucose."""

from dataclasses import dataclass

import torch
from torch import Tensor

LOW, HIGH = 39.0, 401.0  # what a sensor shows at its ends: below 40, above 400


@dataclass(frozen=True, kw_only=True)
class Sensor:
    """Error: a gain that belongs to each wear, and an autoregressive part of order 1, 0.7 over a quarter of an hour
    (Breton & Kovatchev 2008, J Diabetes Sci Technol 2(5), 853-862; theirs is bent by a Johnson transform, ours is normal).

    noise: its spread, mg/dL; memory: its correlation over five minutes; gain: spread of the relative error of one wear of `wear`
    days; dropout: gaps a day, of up to `gap` rows. `Sensor(noise=0, gain=0, dropout=0)` shows the interstitial glucose.
    """

    noise: float = 7.0
    memory: float = 0.7 ** (1 / 3)
    gain: float = 0.06
    wear: int = 10
    dropout: float = 0.4
    gap: int = 36

    def __post_init__(self) -> None:
        spreads = min(self.noise, self.gain, self.dropout) >= 0
        if not (spreads and 0 <= self.memory < 1 and self.wear >= 1 and self.gap >= 1):
            raise ValueError(f"{self}: expected spreads of 0 or more, memory from 0 to below 1, wear and gap of at least 1")

    def draw(self, count: int, rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Relative gain, additive error mg/dL, and whether a reading is shown, `[B, T]` each, drawn in advance."""
        fresh = torch.randn(rows, count, generator=generator) * self.noise
        error, trail = fresh[0], [fresh[0]]
        for row in fresh[1:]:
            error = self.memory * error + (1 - self.memory**2) ** 0.5 * row
            trail.append(error)
        wear = 288 * self.wear
        gain = 1 + self.gain * torch.randn(rows // wear + 1, count, generator=generator)
        starts = torch.rand(rows, count, generator=generator) < self.dropout / 288
        length = (torch.rand(rows, count, generator=generator) * self.gap + 1).long() * starts
        ends = (torch.arange(rows).unsqueeze(1) + length).cummax(0).values  # of the gaps begun so far
        shown = torch.arange(rows).unsqueeze(1) >= ends
        return gain[torch.arange(rows) // wear].T, torch.stack(trail).T, shown.T
