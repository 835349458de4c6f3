"""Insulin on board as devices reckon it, from what was delivered beyond the set rate."""

import torch
from torch import Tensor

ROW = 5.0  # minutes


def exponential(minutes: Tensor, peak: float, duration: float) -> tuple[Tensor, Tensor]:
    """Share of a dose on board, and its activity a minute, so long after it; of the shape of `minutes`.

    The exponential curve of oref0 and Loop: activity rises to its peak and falls to none at the end of the duration, both in
    minutes (oref0 documentation, "Understanding insulin on board (IOB) calculations"). peak: below half the duration.

    Raises `ValueError` where the peak is not above 0 and below half the duration.
    """
    if not 0 < peak < duration / 2:
        raise ValueError(f"insulin curve: peak {peak}, expected above 0 and below half the duration {duration}")
    decay = peak * (1 - peak / duration) / (1 - 2 * peak / duration)
    rise = 2 * decay / duration
    scale = 1 / (1 - rise + (1 + rise) * torch.exp(torch.tensor(-duration / decay)))
    t = minutes.clamp(0.0, duration)
    fading = torch.exp(-t / decay)
    activity = scale / decay**2 * t * (1 - t / duration) * fading
    gone = scale * (1 - rise) * ((t**2 / (decay * duration * (1 - rise)) - t / decay - 1) * fading + 1)
    return 1 - gone, activity


class OnBoard:
    """What `count` people had in the last `duration` minutes beyond their set basal, U a row: negative where they had less."""

    def __init__(self, count: int, *, peak: float, duration: float, ahead: int = 0) -> None:
        rows = int(duration / ROW)
        self.net = torch.zeros(rows, count)  # newest first
        age = torch.arange(ahead + 1).unsqueeze(1) + torch.arange(rows) + 0.5  # delivered, on average, mid-row
        self._left, self._active = exponential(ROW * age, peak, duration)

    def deliver(self, net: Tensor) -> None:
        """Another row, U `[B]`."""
        self.net = torch.cat([net.unsqueeze(0), self.net[:-1]])

    @property
    def units(self) -> Tensor:
        """On board now, U `[B]`."""
        return self._left[0] @ self.net

    @property
    def activity(self) -> Tensor:
        """U a minute used up now and in each of the coming rows, if nothing but the set basal is given, `[ahead + 1, B]`."""
        return self._active @ self.net
