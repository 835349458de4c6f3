"""What is read out of a state: the spread of the level, and the hazards. Both on a detached state."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

QUANTILES = (0.05, 0.25, 0.75, 0.95)


class Spread(nn.Module):
    """How far from each predicted level the measured one will be found: offsets at `QUANTILES`, never crossing.

    outputs: how many there are; pace: minutes that times are counted in; doubting: whether the level now may be in doubt, which
    then is one more thing that the spread depends on.
    """

    def __init__(self, latent: int, hidden: int, *, outputs: int, pace: float, doubting: bool) -> None:
        super().__init__()
        self.outputs, self.pace, self.doubting = outputs, pace, doubting
        self.context = nn.Linear(latent, hidden)
        self.situation = nn.Linear(4 + doubting, hidden)
        self.out = nn.Linear(hidden, 4 * outputs)

    def forward(
        self, context: Tensor, start: Tensor, level: Tensor, elapsed: Tensor, known: Tensor, doubt: Tensor | None = None
    ) -> Tensor:
        """`self.context(z)` `[..., hidden]`; first and predicted levels `[..., Q]`; minutes ahead, known `[...]` each; doubt of
        the first levels `[..., Q]`, none where None -> `[..., Q, 4]`."""
        ahead = elapsed / self.pace
        pairs = enumerate(zip(start.unbind(-1), level.unbind(-1), strict=True))
        return torch.stack([self._one(place, context, *pair, ahead, known, doubt) for place, pair in pairs], -2)

    def _one(
        self, place: int, context: Tensor, start: Tensor, level: Tensor, ahead: Tensor, known: Tensor, doubt: Tensor | None
    ) -> Tensor:
        inputs = [start, level, ahead, known]
        if self.doubting:
            inputs.append(torch.zeros_like(level) if doubt is None else doubt[..., place])
        hidden = F.silu(context + self.situation(torch.stack(inputs, dim=-1).detach()))
        raw = self.out(hidden)[..., 4 * place : 4 * place + 4] if self.outputs > 1 else self.out(hidden)
        width = F.softplus(raw) * 0.5 * torch.sqrt(ahead + 0.02).unsqueeze(-1)
        inner_low, outer_low, inner_high, outer_high = width.unbind(-1)
        return torch.stack([-(inner_low + outer_low), -inner_low, inner_high, inner_high + outer_high], dim=-1)


KNOTS = (-1.6449, -0.6745, 0.0, 0.6745, 1.6449)  # standard normal scores of QUANTILES and of the middle


def spread_at(offsets: Tensor, normal: Tensor) -> Tensor:
    """Offsets at `QUANTILES` `[..., 4]`, read at standard normal scores `[...]`: linear between, proportional beyond."""
    knots = torch.tensor(KNOTS, device=offsets.device, dtype=offsets.dtype)
    known = torch.cat([offsets[..., :2], torch.zeros_like(offsets[..., :1]), offsets[..., 2:]], dim=-1)
    place = torch.bucketize(normal.contiguous(), knots).clamp(1, 4)
    left, right = (known.gather(-1, at.unsqueeze(-1)).squeeze(-1) for at in (place - 1, place))
    share = (normal - knots[place - 1]) / (knots[place] - knots[place - 1])
    return left + share * (right - left)


def score_at(offsets: Tensor, away: Tensor) -> Tensor:
    """The inverse of `spread_at`: the standard normal score of a distance `[...]` from the predicted level."""
    knots = torch.tensor(KNOTS, device=offsets.device, dtype=offsets.dtype)
    known = torch.cat([offsets[..., :2], torch.zeros_like(offsets[..., :1]), offsets[..., 2:]], dim=-1)
    place = (away.unsqueeze(-1) > known).sum(-1).clamp(1, 4)
    left, right = (known.gather(-1, at.unsqueeze(-1)).squeeze(-1) for at in (place - 1, place))
    share = (away - left) / (right - left)
    return knots[place - 1] + share * (knots[place] - knots[place - 1])


def relative_residual(residual: Tensor, offsets: Tensor) -> Tensor:
    """How far a residual `[...]` lies towards the edge of its 90 % interval, offsets `[..., 4]`: 1 at the edge."""
    return torch.where(residual < 0, residual / offsets[..., 0], residual / offsets[..., 3])
