"""The dynamics: a controlled ordinary differential equation of the whole state, of which only three kinds of number move.

    context  z  [L]   dz/dt = f(z, clock, c)                     what the doses do not decide: sensitivity, habits, trend
    pools    s  [S]   ds/dt = inflow(u) + K s                    doses on their way, the patient's own time constants
    level    g  []    dg/dt = drift + trend(t) - lower x_low + raise x_high,   lower, raise > 0

x_low, x_high: what of the doses acts now.

A record is not an experiment: doses are given because the level is expected to move, and much that moves it is not logged.
So two flows are kept apart, of the same state. Under a plan of our own a dose has its full effect. Where the future is only
foreseen (nothing is given, or a record of what was done), a dose counts as far as it foretells: drift, lower and raise are
functions of context and level.

    under a plan      drift(z) - return g,      lower, raise (g, clock, c);      + supply(p - return g - stop x_low)

There they are not: what a treatment changes depends on the patient code, the clock and the level alone, so no strange context,
and nobody's habits, can make a dose look harmless. Part of what lowers a level does so by stopping what the body itself supplies,
of which nothing can stop more than all: `supply` is a softplus (what the liver produces, Dalla Man 2007, A8, is at least 0).

Doses act through the pools alone, pools are non-negative and `g` is a scalar whose rate falls with `x_low` and rises with
`x_high`. By the comparison theorem for scalar equations (Walter 1970, ch. II), more of a lowering dose then never predicts
a higher level at any later time, whatever the weights; neither does less of a raising one.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from careplan.minutes import DAY
from careplan.therapy import Therapy
from careplan.world.encoder import clock

# The first numbers of a patient code have a meaning; the rest are free.
SENSITIVITY, RAISING, RETURNING, SLOWNESS = 0, 1, 2, 3  # logs of lower, raise, return, then of one time constant a pool
NOTHING, PLAN, RECORD = 0, 1, 2  # what is given of the future: nothing, a plan of our own, a record of what was done
LOWEST, HIGHEST = -3.0, 8.0  # scaled levels outside are not predicted
RETURN = 0.0024  # a minute: of a level's distance to the usual, what goes by itself; as virtual patients show when it is free
# As virtual patients show when it is free: the supply over what a level at rest needs of it, how gradually it runs out over the
# same, and the share of a lowering dose that acts on it.
SUPPLY, SOFTNESS, STOPPING = 2.5, 0.75, 0.43
# Where the structure of a body is the patient's own, so many numbers of the code follow the time constants: the log of the supply
# over the typical one, the log odds of the share of a dose that stops it beyond the typical ones, and how far a lowering effect
# goes with the level beyond what is typical. The number of the return is then all of its logarithm, and not half.
STRUCTURE = 3


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

    structure: Tensor

    def __init__(self, therapy: Therapy) -> None:
        super().__init__()
        self.pools = therapy.pools
        self.sizes = [pool.stages for pool in therapy.pools]
        self.columns = [[therapy.index(name) for name in pool.channels] for pool in therapy.pools]
        self.log_tau = nn.Parameter(torch.tensor([math.log(pool.time_constant) for pool in therapy.pools]))
        self.register_buffer("structure", self._structure(therapy), persistent=False)

    def _structure(self, therapy: Therapy) -> Tensor:
        """`[S, S + 2]` where what leaves each stage goes: on along its chain, and at its end to act, lowering or raising."""
        total = sum(self.sizes)
        structure, last = -torch.eye(total, total + 2), -1
        for pool in therapy.pools:
            first, last = last + 1, last + pool.stages
            for stage in range(first, last):
                structure[stage, stage + 1] = 1.0
            structure[last, total if therapy.channel(pool.channels[0]).direction < 0 else total + 1] = 1.0
        return structure

    def time_constants(self, code: Tensor) -> Tensor:
        """`[..., pools]` minutes in a stage."""
        spread = 0.25 * code[..., SLOWNESS : SLOWNESS + len(self.sizes)]
        return torch.exp(self.log_tau + spread)

    def rates(self, code: Tensor) -> Tensor:
        """`[..., S]` share of each stage that leaves it in a minute."""
        sizes = torch.tensor(self.sizes, device=code.device)
        return (1.0 / self.time_constants(code)).repeat_interleave(sizes, -1, output_size=sum(self.sizes))

    def inflow(self, amounts: Tensor) -> Tensor:
        """Amounts a minute by channel `[..., C]` -> by pool `[..., pools]`."""
        return torch.stack([amounts[..., columns].sum(-1) for columns in self.columns], dim=-1)

    def enter(self, inflow: Tensor) -> Tensor:
        """By pool `[..., pools]` -> by stage `[..., S]`: a dose enters the first of its chain."""
        parts = [F.pad(part.unsqueeze(-1), (0, size - 1)) for part, size in zip(inflow.unbind(-1), self.sizes, strict=True)]
        return torch.cat(parts, dim=-1)

    def forward(self, pools: Tensor, rates: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`[..., S]`, `[..., S]` -> d pools / dt without what enters, `[..., S]`; what acts now, a minute, of lowering and of
        raising doses, `[...]` each."""
        moved = (pools * rates) @ self.structure
        return moved[..., :-2], moved[..., -2], moved[..., -1]

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

    def forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        """`[B, width]` and `self.modulate(condition)` `[B, 3 width]` -> `[B, width]`, the residual alone."""
        shift, scale, gate = modulation.chunk(3, -1)
        return gate * self.block(torch.addcmul(shift, self.norm(x), 1 + scale))


@dataclass(frozen=True, eq=False)
class Course:
    """What the rates of the context and of the level need of everything but the state, at `N` instants: `[B, N, ...]` each."""

    modulation: Tensor  # of the context's own motion
    situation: Tensor  # [B, N, hidden] added to the features

    def at(self, index: int) -> tuple[Tensor, Tensor]:
        return self.modulation[:, index], self.situation[:, index]


class Flow(nn.Module):
    """The right-hand sides of context and level. Time in minutes; amounts as shares of a day's treatment."""

    def __init__(self, therapy: Therapy, *, latent: int, hidden: int, code: int, evidence: int) -> None:
        super().__init__()
        self.evidence = evidence
        disturbances = [c for c in therapy.of("disturbance") if c.direction == 0]
        self.disturbances = [therapy.index(c.name) for c in disturbances]
        condition = 4 + code + len(disturbances) + 2 + evidence
        self.drift = AdaLN(latent, condition, hidden)
        self.context = nn.Linear(latent, hidden)
        self.situation = nn.Linear(condition, hidden, bias=False)
        scale = therapy.channel(therapy.regulated).scale
        self.gains = [gain / scale for gain in therapy.gain]  # scaled levels a whole day's amount
        self.rest = self.gains[0] / DAY * 0.5  # what holds a level against half a day's lowering treatment spread evenly

    def course(self, minute: Tensor, code: Tensor, values: Tensor, asked: Tensor, evidence: Tensor | None = None) -> Course:
        """What is the case at each instant: minute `[B, N]`, code `[B, K]`, disturbances without a direction in scaled values
        `[B, N, C]`, the question asked `[B]`, and where it is of a record, its evidence `[B, N, E]`."""
        instants, record = minute.shape[1], (asked == RECORD).to(minute.dtype)
        if evidence is None:
            evidence = minute.new_zeros(*minute.shape, self.evidence)
        evidence = evidence * record[:, None, None]
        still = torch.cat([code, (asked != NOTHING).to(minute.dtype).unsqueeze(-1), record.unsqueeze(-1)], dim=-1)
        still = still.unsqueeze(1).expand(-1, instants, -1)
        condition = torch.cat([clock(minute % DAY), still, values[..., self.disturbances], evidence], dim=-1)
        return Course(self.drift.modulate(condition), self.situated(condition))

    def context_rate(self, z: Tensor, modulation: Tensor) -> Tensor:
        """dz/dt an hour, `[B, L]`."""
        return self.drift(z, modulation)

    def situated(self, condition: Tensor) -> Tensor:
        """What the level's rate needs of the condition `[..., conditions]`, `[..., F]`."""
        raise NotImplementedError

    def features(self, z: Tensor, situation: Tensor) -> Tensor:
        """What it needs of the context too, `[B, F]`; the same for every treatment compared."""
        raise NotImplementedError

    def level_rate(
        self, features: Tensor, code: Tensor, level: Tensor, low: Tensor, high: Tensor, frozen: Tensor | None = None
    ) -> Tensor:
        """d level / dt a minute `[B]`, decreasing in `low` and increasing in `high`, which act now `[B]` (shares of a day a
        minute). frozen: `[B]` where no gradient reaches the gains."""
        raise NotImplementedError


def bent(level: Tensor) -> Tensor:
    """A level `[...]` as networks see it, with bends where it is low and where it is high: `[..., 3]`."""
    return torch.stack([level, F.relu(-level - 0.8), F.relu(level - 1.0)], dim=-1)


class Foreseen(Flow):
    """As things usually go: what doses foretell depends on everything."""

    def __init__(
        self, therapy: Therapy, *, latent: int, hidden: int, code: int, evidence: int, structure: bool = False
    ) -> None:
        super().__init__(therapy, latent=latent, hidden=hidden, code=code, evidence=evidence)
        self.returning = 1.0 if structure else 0.5
        self.from_level = nn.Linear(3, hidden, bias=False)
        self.out = nn.Linear(hidden, 3)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def situated(self, condition: Tensor) -> Tensor:
        return self.situation(condition)

    def features(self, z: Tensor, situation: Tensor) -> Tensor:
        return self.context(z) + situation

    def level_rate(
        self, features: Tensor, code: Tensor, level: Tensor, low: Tensor, high: Tensor, frozen: Tensor | None = None
    ) -> Tensor:
        level = level.clamp(LOWEST, HIGHEST)
        drift, lower, raises = self.out(F.silu(features + self.from_level(bent(level)))).unbind(-1)
        lower = self.gains[0] * torch.exp(0.5 * code[..., SENSITIVITY] + lower.clamp(-2.5, 1.5))
        raises = self.gains[1] * torch.exp(0.5 * code[..., RAISING] + raises.clamp(-2.5, 1.5))
        back = RETURN * torch.exp(self.returning * code[..., RETURNING]) * level
        if frozen is not None:
            lower, raises, back = (torch.where(frozen, part.detach(), part) for part in (lower, raises, back))
        return self.rest - back + 0.02 * drift - lower * low + raises * high


class Planned(Flow):
    """Under a plan of our own: what doses do depends on clock, disturbances, level, and those numbers of the code that have a
    meaning; on the context depends the drift alone, which every treatment shares."""

    WIDTH = 32  # of the gains

    def __init__(
        self, therapy: Therapy, *, latent: int, hidden: int, code: int, evidence: int, structure: bool = False
    ) -> None:
        super().__init__(therapy, latent=latent, hidden=hidden, code=code, evidence=evidence)
        first = SLOWNESS + len(therapy.pools)
        self.structure = slice(first, first + STRUCTURE) if structure else None
        named = first + STRUCTURE * structure
        channel = therapy.channel(therapy.regulated)
        self.relative = channel.scale / max(channel.center, channel.scale)  # of a level by one, over the level that counts as 0
        self.causes = [*range(4 + named), *range(4 + code + 2, 4 + code + 2 + len(self.disturbances))]
        self.cause = nn.Linear(len(self.causes), self.WIDTH)
        self.from_level = nn.Linear(3, self.WIDTH, bias=False)
        self.out, self.gain = nn.Linear(hidden, 1), nn.Linear(self.WIDTH, 4)
        for layer in (self.out, self.gain):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def situated(self, condition: Tensor) -> Tensor:
        return torch.cat([self.situation(condition), self.cause(condition[..., self.causes])], dim=-1)

    def features(self, z: Tensor, situation: Tensor) -> Tensor:
        drift = self.out(F.silu(self.context(z) + situation[..., : -self.WIDTH]))
        return torch.cat([drift, situation[..., -self.WIDTH :]], dim=-1)

    def level_rate(
        self, features: Tensor, code: Tensor, level: Tensor, low: Tensor, high: Tensor, frozen: Tensor | None = None
    ) -> Tensor:
        level, drift = level.clamp(LOWEST, HIGHEST), features[..., 0]
        gains = self.gain(F.silu(features[..., 1:] + self.from_level(bent(level)))).clamp(-2.5, 1.5)
        lower, raises, supply, stop = gains.exp().unbind(-1)
        whole = self.gains[0] * torch.exp(0.5 * code[..., SENSITIVITY])
        stopping: Tensor | float = STOPPING
        running: Tensor | float = SUPPLY
        returning = 0.5 * code[..., RETURNING]
        if self.structure is not None:
            of_supply, of_share, of_level = code[..., self.structure].unbind(-1)
            stopping = torch.sigmoid(math.log(STOPPING / (1 - STOPPING)) + of_share)
            running, returning = SUPPLY * torch.exp(0.5 * of_supply), code[..., RETURNING]
            whole = whole * (1 + 0.5 * of_level * self.relative * level).clamp(min=0.1)
        lower, stop = (1 - stopping) * whole * lower, stopping * whole * stop
        raises = self.gains[1] * torch.exp(0.5 * code[..., RAISING]) * raises
        back = RETURN * torch.exp(returning) * level
        soft = SOFTNESS * self.rest
        supplied = soft * F.softplus((running * self.rest * supply - back - stop * low) / soft)
        if frozen is not None:
            parts = (lower, raises, back, supplied)
            lower, raises, back, supplied = (torch.where(frozen, part.detach(), part) for part in parts)
        used = (1 - running) * self.rest - 0.5 * back  # by the body itself, of what it supplies
        return used + 0.02 * drift + supplied - lower * low + raises * high


class Dynamics(nn.Module):
    """Pools, trend, and the two flows: under a plan of our own, and as foreseen."""

    def __init__(
        self, therapy: Therapy, *, latent: int, hidden: int, code: int, evidence: int, structure: bool = False
    ) -> None:
        super().__init__()
        self.absorption = Absorption(therapy)
        self.trend = Trend()
        self.planned = Planned(
            therapy, latent=latent, hidden=hidden, code=code, evidence=evidence, structure=structure
        )
        self.foreseen = Foreseen(
            therapy, latent=latent, hidden=hidden, code=code, evidence=evidence, structure=structure
        )
