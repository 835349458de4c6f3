"""The dynamics: a controlled ordinary differential equation of the whole state, of which only three kinds of number move.

    context  z  [L]   dz/dt = f(z, clock, c)                     what the doses do not decide: sensitivity, habits, trend
    pools    s  [S]   ds/dt = inflow(u) + K s                    doses on their way, the patient's own time constants
    level    g  []    dg/dt = drift(z, g) + trend(t) - lower(z, g) x_low + raise(z, g) x_high,   lower, raise > 0

Doses act through the pools alone, pools are non-negative and `g` is a scalar whose rate falls with `x_low` and rises with
`x_high`. By the comparison theorem for scalar equations (Walter 1970, ch. II), more of a lowering dose then never predicts
a higher level at any later time, whatever the weights; neither does less of a raising one.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from careplan.therapy import Therapy
from careplan.world.encoder import DAY, clock

# The first numbers of a patient code have a meaning; the rest are free.
SENSITIVITY, RAISING, SLOWNESS = 0, 1, 2  # log lower, log raise, then one log time constant a pool
LOWEST, HIGHEST = -3.0, 8.0  # scaled levels outside are not predicted


@dataclass(frozen=True, eq=False)
class State:
    """A batch of patient states: context z `[B, L]`, level `[B]` (scaled), pools `[B, S]` (shares of a day), minute `[B]`.

    trend: `[B, 2]` where the level was heading, scaled levels a minute; it fades as `Trend` says.
    """

    z: Tensor
    level: Tensor
    pools: Tensor
    minute: Tensor
    trend: Tensor

    def repeat(self, count: int) -> "State":
        """Each row `count` times in a row."""
        return State(*(part.repeat_interleave(count, 0) for part in vars(self).values()))


class Absorption(nn.Module):
    """Chains of compartments from a dose to its appearance: a linear system with the patient's own time constants."""

    rates: Tensor

    def __init__(self, therapy: Therapy) -> None:
        super().__init__()
        self.pools = therapy.pools
        self.sizes = [pool.stages for pool in therapy.pools]
        self.signs = [therapy.channel(pool.channels[0]).direction for pool in therapy.pools]
        self.columns = [[therapy.index(name) for name in pool.channels] for pool in therapy.pools]
        self.log_tau = nn.Parameter(torch.tensor([math.log(pool.time_constant) for pool in therapy.pools]))

    def time_constants(self, code: Tensor) -> Tensor:
        """`[B, pools]` minutes in a stage."""
        spread = 0.25 * code[:, SLOWNESS : SLOWNESS + len(self.sizes)]
        return torch.exp(self.log_tau + spread)

    def inflow(self, amounts: Tensor) -> Tensor:
        """Amounts a minute by channel `[..., C]` -> by pool `[..., pools]`."""
        return torch.stack([amounts[..., columns].sum(-1) for columns in self.columns], dim=-1)

    def forward(self, pools: Tensor, inflow: Tensor, tau: Tensor) -> Tensor:
        """`[B, S]`, `[B, pools]`, `[B, pools]` -> d pools / dt `[B, S]`."""
        parts = []
        for chain, enter, wait in zip(pools.split(self.sizes, -1), inflow.unbind(-1), tau.unbind(-1), strict=True):
            out = chain / wait.unsqueeze(-1)
            parts.append(torch.cat([enter.unsqueeze(-1), out[..., :-1]], dim=-1) - out)
        return torch.cat(parts, dim=-1)

    def appearance(self, pools: Tensor, tau: Tensor) -> tuple[Tensor, Tensor]:
        """`[B, S]`, `[B, pools]` -> what acts now, a minute, of lowering and of raising doses, `[B]` each."""
        last = [chain[..., -1] for chain in pools.split(self.sizes, -1)]
        acting = [part / wait for part, wait in zip(last, tau.unbind(-1), strict=True)]
        low = sum((part for part, sign in zip(acting, self.signs, strict=True) if sign < 0), torch.zeros_like(acting[0]))
        high = sum((part for part, sign in zip(acting, self.signs, strict=True) if sign > 0), torch.zeros_like(acting[0]))
        return low, high

    def fill(self, amounts: Tensor, tau: Tensor, step: float) -> Tensor:
        """The pools after a history of amounts a minute `[B, T, C]`: each stage of an Erlang chain in closed form, `[B, S]`."""
        rows = amounts.shape[1]
        age = step * (torch.arange(rows, 0, -1, device=amounts.device, dtype=amounts.dtype) - 0.5)  # [T]
        parts = []
        for size, enter, wait in zip(self.sizes, self.inflow(amounts).unbind(-1), tau.unbind(-1), strict=True):
            ratio = age / wait.unsqueeze(-1)  # [B, T]
            weight = torch.exp(-ratio) * step
            for stage in range(size):
                parts.append((enter * weight * ratio**stage / math.factorial(stage)).sum(-1))
        return torch.stack(parts, dim=-1)


class Trend(nn.Module):
    """Where the level was heading: two rates, linear in the last readings, that fade with time constants of their own."""

    ROWS = 24  # readings looked at

    def __init__(self) -> None:
        super().__init__()
        self.rates = nn.Linear(2 * self.ROWS, 2, bias=False)
        self.log_tau = nn.Parameter(torch.tensor([math.log(15.0), math.log(60.0)]))
        nn.init.zeros_(self.rates.weight)

    def forward(self, level: Tensor, mask: Tensor, last: Tensor) -> Tensor:
        """Scaled levels `[B, T]` where `mask`, and the last of them `[B]` -> the rates now, `[B, 2]`."""
        recent, seen = level[:, -self.ROWS :], mask[:, -self.ROWS :]
        away = torch.where(seen, recent - last.unsqueeze(1), torch.zeros_like(recent))
        return 0.05 * self.rates(torch.cat([away, seen.to(away.dtype)], dim=-1))

    def at(self, trend: Tensor, minutes: Tensor | float) -> Tensor:
        """Trend `[..., 2]` -> its sum after so many minutes, `[...]`."""
        return (trend * torch.exp(-minutes / self.log_tau.exp())).sum(-1)


class AdaLN(nn.Module):
    """A residual block whose normalisation is set by the condition and which starts as the identity (DiT's AdaLN-Zero)."""

    def __init__(self, width: int, condition: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulate = nn.Linear(condition, 3 * width)
        self.block = nn.Sequential(nn.Linear(width, hidden), nn.SiLU(), nn.Linear(hidden, width))
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """`[B, width]`, `[B, condition]` -> `[B, width]`, the residual alone."""
        shift, scale, gate = self.modulate(condition).chunk(3, -1)
        return gate * self.block(self.norm(x) * (1 + scale) + shift)


class Dynamics(nn.Module):
    """The right-hand sides. Time in minutes; amounts as shares of a day's treatment."""

    def __init__(self, therapy: Therapy, *, latent: int, hidden: int, code: int, evidence: int) -> None:
        super().__init__()
        self.absorption = Absorption(therapy)
        self.trend = Trend()
        self.free = SLOWNESS + len(therapy.pools)  # where the code's free numbers begin
        disturbances = [c for c in therapy.of("disturbance") if c.direction == 0]
        self.disturbances = [therapy.index(c.name) for c in disturbances]
        condition = 4 + code + len(disturbances) + 1 + evidence
        self.drift = AdaLN(latent, condition, hidden)
        self.context = nn.Linear(latent + condition, hidden)
        self.from_level = nn.Linear(3, hidden, bias=False)
        self.rates = nn.Linear(hidden, 3)
        nn.init.zeros_(self.rates.weight)
        nn.init.zeros_(self.rates.bias)
        scale = therapy.channel(therapy.regulated).scale
        self.gains = [gain / scale for gain in therapy.gain]  # scaled levels a whole day's amount

    def condition(self, minute: Tensor, code: Tensor, values: Tensor, known: Tensor, evidence: Tensor) -> Tensor:
        """What is the case now: clock, code, disturbances without a direction `[B, C]`, whether the future is known `[B]`,
        evidence."""
        return torch.cat([clock(minute % DAY), code, values[..., self.disturbances], known.unsqueeze(-1), evidence], dim=-1)

    def context_rate(self, z: Tensor, condition: Tensor) -> Tensor:
        """dz/dt an hour, `[B, L]`."""
        return self.drift(z, condition)

    def features(self, z: Tensor, condition: Tensor) -> Tensor:
        """What the level's rate needs of the context, `[B, hidden]`; the same for every treatment compared."""
        return self.context(torch.cat([z, condition], dim=-1))

    def level_rate(self, features: Tensor, code: Tensor, level: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """d level / dt a minute `[B]`, decreasing in `low` and increasing in `high`, which act now `[B]` (shares of a day a
        minute)."""
        g = level.clamp(LOWEST, HIGHEST).unsqueeze(-1)
        shape = torch.cat([g, F.relu(-g - 0.8), F.relu(g - 1.0)], dim=-1)
        drift, lower, raises = self.rates(F.silu(features + self.from_level(shape))).unbind(-1)
        lower = self.gains[0] * torch.exp(0.5 * code[..., SENSITIVITY] + lower.clamp(-1.5, 1.5))
        raises = self.gains[1] * torch.exp(0.5 * code[..., RAISING] + raises.clamp(-1.5, 1.5))
        rest = self.gains[0] / DAY * 0.5  # what holds a level against half a day's lowering treatment spread evenly
        return rest - 0.003 * g.squeeze(-1) + 0.02 * drift - lower * low + raises * high
