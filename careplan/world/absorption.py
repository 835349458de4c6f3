"""From a dose to what it does: chains of compartments, and the shape of an effect; both with the patient's own numbers."""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from careplan.effects import Effect
from careplan.therapy import Therapy

# Where the structure of a body is the patient's own, so many numbers of the code follow the others that have a meaning: the log
# of the supply over the typical one, the log odds of the share of a dose that stops it beyond the typical ones, and how far a
# lowering effect goes with the level beyond what is typical. The number of the return is then all of its logarithm, and not half.
STRUCTURE = 3
ROOT = 1e-6  # beside a root or a power, whose slope at 0 has no end


@dataclass(frozen=True)
class Layout:
    """Which numbers of a patient code `[K]` have a meaning, in order; the rest are free.

    effects: the log of each effect's strength over the typical one. returning: of how fast each output returns. slowness: of one
    time constant a pool. halves: of where each saturating effect is half of the most. structure: see `STRUCTURE`.
    """

    therapy: Therapy
    own_structure: bool

    @cached_property
    def saturating(self) -> tuple[int, ...]:
        """The effects that saturate, in order."""
        return tuple(index for index, effect in enumerate(self.therapy.effects) if effect.half is not None)

    @property
    def effects(self) -> slice:
        return slice(0, len(self.therapy.effects))

    @property
    def returning(self) -> slice:
        return slice(self.effects.stop, self.effects.stop + len(self.therapy.outputs))

    @property
    def slowness(self) -> slice:
        return slice(self.returning.stop, self.returning.stop + len(self.therapy.pools))

    @property
    def halves(self) -> slice:
        return slice(self.slowness.stop, self.slowness.stop + len(self.saturating))

    @property
    def structure(self) -> slice | None:
        return slice(self.halves.stop, self.halves.stop + STRUCTURE) if self.own_structure else None

    @property
    def named(self) -> int:
        """How many numbers have a meaning."""
        return self.halves.stop + STRUCTURE * self.own_structure

    def half(self, effect: int, code: Tensor) -> Tensor:
        """Where a saturating effect is half of the most in patients of codes `[..., K]`, `[...]`."""
        own = code[..., self.halves.start + self.saturating.index(effect)]
        return (self.therapy.effects[effect].half or 1.0) * torch.exp(0.5 * own)

    def effect(self, name: str) -> int:
        """The place of an effect's strength; raises `KeyError` where there is none of that name."""
        names = [effect.name for effect in self.therapy.effects]
        if name not in names:
            raise KeyError(f"{self.therapy.name} has no effect {name!r}; it has {names}")
        return names.index(name)


class Absorption(nn.Module):
    """Chains of compartments from a dose to what acts: a linear system with the patient's own time constants."""

    structure: Tensor
    held: Tensor
    direct: Tensor

    def __init__(self, therapy: Therapy, layout: Layout) -> None:
        super().__init__()
        self.pools, self.layout = therapy.pools, layout
        self.sizes = [pool.stages for pool in therapy.pools]
        self.columns = [[therapy.index(name) for name in pool.channels] for pool in therapy.pools]
        waits = [math.log(pool.time_constant) if pool.stages else 0.0 for pool in therapy.pools]
        self.log_tau = nn.Parameter(torch.tensor(waits))
        self.holds, self.skips = any(pool.holds for pool in therapy.pools), 0 in self.sizes
        for name, part in zip(("structure", "held", "direct"), self._structure(therapy), strict=True):
            self.register_buffer(name, part, persistent=False)

    def _structure(self, therapy: Therapy) -> tuple[Tensor, Tensor, Tensor]:
        """`[S, S + E]` where what leaves each stage goes: on along its chain, and at its end to act in each effect; `[S, E]` what
        acts of what a stage holds, a minute; `[pools, E]` what acts as it is given."""
        total, effects = sum(self.sizes), therapy.effects
        structure, last = -torch.eye(total, total + len(effects)), -1
        held, direct = torch.zeros(total, len(effects)), torch.zeros(len(therapy.pools), len(effects))
        for place, pool in enumerate(therapy.pools):
            acts = torch.tensor([float(pool.name in effect.pools) for effect in effects])
            if not pool.stages:
                direct[place] = acts
                continue
            first, last = last + 1, last + pool.stages
            for stage in range(first, last):
                structure[stage, stage + 1] = 1.0
            if pool.holds:
                held[last] = acts / pool.time_constant
            else:
                structure[last, total:] = acts
        return structure, held, direct

    def time_constants(self, code: Tensor) -> Tensor:
        """`[..., pools]` minutes in a stage."""
        spread = 0.25 * code[..., self.layout.slowness]
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
        pairs = [pair for pair in zip(inflow.unbind(-1), self.sizes, strict=True) if pair[1]]
        if not pairs:
            return inflow[..., :0]
        return torch.cat([F.pad(part.unsqueeze(-1), (0, size - 1)) for part, size in pairs], dim=-1)

    def forward(self, pools: Tensor, rates: Tensor, inflow: Tensor) -> tuple[Tensor, Tensor]:
        """`[..., S]`, `[..., S]`, inflow by pool `[..., pools]` -> d pools / dt without what enters, `[..., S]`; what acts now in
        each effect, a minute, `[..., E]`."""
        moved = (pools * rates) @ self.structure
        size = pools.shape[-1]
        acts = moved[..., size:]
        if self.holds:
            acts = acts + pools @ self.held
        if self.skips:
            acts = acts + inflow @ self.direct
        return moved[..., :size], acts

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
        return torch.stack(parts, dim=-1) if parts else amounts.new_zeros(len(amounts), 0)


class Response(nn.Module):
    """From what acts to its effect: linear, linear-quadratic, saturating, or together with another; always monotone."""

    def __init__(self, therapy: Therapy, layout: Layout) -> None:
        super().__init__()
        self.effects, self.span, self.layout = therapy.effects, therapy.clock.span, layout
        self.with_ = [layout.effect(effect.with_) if effect.with_ else -1 for effect in therapy.effects]
        direct = [effect for effect in therapy.effects if not effect.synthesis]
        self.plain = all(effect.half is None and not effect.quadratic and not effect.together for effect in direct)

    def forward(self, acts: Tensor, code: Tensor) -> Tensor:
        """What acts `[..., E]`, shares of a usual amount a minute -> as the usual amount would count, `[..., E]`."""
        if self.plain:
            return acts
        alone = [self._alone(effect, acts[..., index], code, index) for index, effect in enumerate(self.effects)]
        parts = []
        for effect, own, other in zip(self.effects, alone, self.with_, strict=True):
            if effect.together:
                own = own + effect.together * ((own * alone[other]).clamp(min=0.0) + ROOT**2).sqrt() - effect.together * ROOT
            parts.append(own)
        return torch.stack(parts, -1)

    def _alone(self, effect: Effect, act: Tensor, code: Tensor, index: int) -> Tensor:
        if effect.synthesis:  # its shape is that of the output's own equation (`returning`)
            return act
        x = act * self.span
        if effect.quadratic:
            x = x * (1.0 + effect.quadratic * x) / (1.0 + effect.quadratic)
        if effect.half is not None:
            half = self.layout.half(index, code)
            if effect.steep == 1.0:
                x = x * (1.0 + half) / (half + x.clamp(min=0.0))
            else:
                powered, most = (x.clamp(min=0.0) + ROOT) ** effect.steep - ROOT**effect.steep, half**effect.steep
                x = powered * (1.0 + most) / (most + powered)
        return x / self.span


def returning(level: Tensor, made: Tensor, rate: Tensor, worth: Tensor, interval: float) -> Tensor:
    """How fast a level falls to where the making of a substance holds it, a minute, `[...]` (`Effect.synthesis`).

    Of the substance a share F is there, dF/dt = rate (made - F), and the level is -worth log F (indirect response: Dayneka 1993).
    Solved exactly over an interval of so many minutes, so that it is stable however fast the substance is made again.

    Args:
        level: `[...]`, above rest where the substance is lacking.
        made: `[...]` the share of its making that goes on, above 0.
        rate: `[...]` of its loss, a minute.
        worth: `[...]` what the level moves when a share of 1 / e is left.
        interval: Minutes.
    """
    kept = torch.exp(-rate * interval)
    return worth / interval * (kept + (1 - kept) * made * torch.exp(level / worth)).log()
