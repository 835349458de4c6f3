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
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from careplan.therapy import Therapy
from careplan.world.absorption import Absorption, Layout, Response, returning
from careplan.world.encoder import clock, places
from careplan.world.question import Given
from careplan.world.trend import Trend

GAIN = -2.5, 1.5  # within which the logarithm of what multiplies an effect's strength stays
LEFT = 1e-3  # of a level that compounds, whatever acts on it
DRIFT = 1.2  # scaled levels a pace that one of a network's numbers is worth


@dataclass(frozen=True, eq=False)
class State:
    """A batch of patient states: context z `[B, L]`, level `[B, Q]` of each output (scaled), pools `[B, S]` (shares of a usual
    amount), minute of the cycle `[B]`.

    trend: `[B, Q, 2]` where the level was heading, scaled levels a minute; it fades as `Trend` says. doubt: `[B, Q]` the standard
    deviation of the level, scaled; 0 where readings carry no declared noise.
    """

    z: Tensor
    level: Tensor
    pools: Tensor
    minute: Tensor
    trend: Tensor
    doubt: Tensor

    def repeat(self, count: int) -> "State":
        """Each row `count` times in a row."""
        return State(*(part.repeat_interleave(count, 0) for part in vars(self).values()))

    def tiled(self, count: int) -> "State":
        """All rows, `count` times one after the other."""
        return State(*(part.repeat(count, *[1] * (part.dim() - 1)) for part in vars(self).values()))

    def chosen(self, rows: Tensor | slice) -> "State":
        """Some rows."""
        return State(*(part[rows] for part in vars(self).values()))


def as_particles(state: State, seed: int) -> State:
    """The same states `[P]` as particles: each level drawn from its distribution, that of the first particle being the mean.

    Where readings carry no declared noise nothing moves.
    """
    if not bool((state.doubt > 0).any()):
        return state
    generator = torch.Generator().manual_seed(seed + 1)
    normal = torch.randn(state.level.shape, generator=generator).to(state.level)
    normal[0] = 0.0
    return replace(state, level=state.level + state.doubt * normal, doubt=torch.zeros_like(state.doubt))


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


@dataclass(frozen=True)
class Condition:
    """Where each part of a condition `[..., N]` lies: what is the case at an instant beside the state."""

    clock: int
    code: int
    disturbances: int
    evidence: int
    FLAGS = 2  # whether anything is given of the future, and whether it is a record

    @property
    def width(self) -> int:
        return self.clock + self.code + self.FLAGS + self.disturbances + self.evidence

    def causes(self, named: int) -> list[int]:
        """What the effects of doses may depend on: the clock, the first `named` numbers of the code, the disturbances."""
        others = self.clock + self.code + self.FLAGS
        return [*range(self.clock + named), *range(others, others + self.disturbances)]


class Flow(nn.Module):
    """The right-hand sides of context and levels. Time in minutes; amounts as shares of a usual amount.

    Every output has an equation of its own, so that each stays monotone in what acts on it; a network that serves several outputs
    is evaluated once for each, with that output's level.
    """

    def __init__(self, therapy: Therapy, layout: Layout, *, latent: int, hidden: int, code: int, evidence: int) -> None:
        super().__init__()
        disturbances = [c for c in therapy.of("disturbance") if c.direction == 0]
        self.disturbances = [therapy.index(c.name) for c in disturbances]
        self.condition = Condition(places(therapy.clock.cycle), code, len(disturbances), evidence)
        self.outputs, self.effects, self.layout = therapy.outputs, therapy.effects, layout
        self.cycle, self.pace, self.evidence = therapy.clock.cycle, therapy.clock.pace, evidence
        self.drift = AdaLN(latent, self.condition.width, hidden)
        self.context = nn.Linear(latent, hidden)
        self.situation = nn.Linear(self.condition.width, hidden, bias=False)
        places_of = {output.name: place for place, output in enumerate(therapy.outputs)}
        self.on = [places_of[effect.on or therapy.regulated] for effect in therapy.effects]
        scales = [therapy.channel(therapy.outputs[place].name).scale for place in self.on]
        # Scaled levels that a usual amount moves.
        self.gains = [effect.size / scale for effect, scale in zip(therapy.effects, scales, strict=True)]
        self.rest = [self._rest(place) / therapy.clock.span for place in range(len(therapy.outputs))]
        self.returns = [output.returns / therapy.clock.pace for output in therapy.outputs]
        # Of each output, the scaled levels that its rate is worth in the time over which it compounds.
        self.compounding = [therapy.channel(output.name).scale * output.compounds for output in therapy.outputs]
        self.response = Response(therapy, layout)
        self.span, self.interval = therapy.clock.span, therapy.clock.interval
        making = {on: place for place, on in enumerate(self.on) if therapy.effects[place].synthesis}
        self.made = [making.get(place) for place in range(len(therapy.outputs))]  # the effect that stops what holds it at rest

    def _rest(self, output: int) -> float:
        """What holds a level against its output's `rest`, scaled levels a span."""
        each = zip(self.gains, self.on, self.effects, strict=True)
        lowering = [gain for gain, on, effect in each if on == output and effect.direction < 0]
        return lowering[0] * self.outputs[output].rest if lowering else 0.0

    def course(self, minute: Tensor, code: Tensor, values: Tensor, given: Tensor, evidence: Tensor | None = None) -> Course:
        """What is the case at each instant: minute `[B, N]`, code `[B, K]`, disturbances without a direction in scaled values
        `[B, N, C]`, the codes of what is `Given` `[B]`, and where it is a record, its evidence `[B, N, E]`."""
        instants, record = minute.shape[1], (given == Given.RECORD.code).to(minute.dtype)
        if evidence is None:
            evidence = minute.new_zeros(*minute.shape, self.evidence)
        evidence = evidence * record[:, None, None]
        still = torch.cat([code, (given != Given.NOTHING.code).to(minute.dtype).unsqueeze(-1), record.unsqueeze(-1)], dim=-1)
        still = still.unsqueeze(1).expand(-1, instants, -1)
        condition = torch.cat([clock(minute, self.cycle), still, values[..., self.disturbances], evidence], dim=-1)
        return Course(self.drift.modulate(condition), self.situated(condition))

    def context_rate(self, z: Tensor, modulation: Tensor) -> Tensor:
        """dz/dt a pace, `[B, L]`."""
        return self.drift(z, modulation)

    def situated(self, condition: Tensor) -> Tensor:
        """What the levels' rates need of the condition `[..., conditions]`, `[..., F]`."""
        raise NotImplementedError

    def features(self, z: Tensor, situation: Tensor) -> Tensor:
        """What they need of the context too, `[B, F]`; the same for every treatment compared."""
        raise NotImplementedError

    def level_rate(self, features: Tensor, code: Tensor, level: Tensor, acts: Tensor, frozen: Tensor | None = None) -> Tensor:
        """d level / dt a minute `[B, Q]` of levels `[B, Q]`, each monotone in what acts on it now, `[B, E]` (shares of a usual
        amount a minute). frozen: `[B]` where no gradient reaches the gains."""
        acts = self.response(acts, code)
        parts = [self._rate(place, features, code, level[..., place], acts, frozen) for place in range(len(self.outputs))]
        return torch.stack(parts, -1)

    def _rate(self, output: int, features: Tensor, code: Tensor, level: Tensor, acts: Tensor, frozen: Tensor | None) -> Tensor:
        """Of one output, `[B]`."""
        raise NotImplementedError

    def back(self, output: int, code: Tensor, level: Tensor, acts: Tensor, gains: tuple[Tensor, ...]) -> Tensor:
        """What takes a level `[B]` to rest, scaled levels a minute, `[B]`; gains: logarithms `[B]` of what multiplies effects."""
        own, place = code[..., self.layout.returning.start + output], self.made[output]
        rate = self.returns[output] * torch.exp(own if self.layout.own_structure else 0.5 * own)
        if place is None:
            return rate * level
        effect, half = self.effects[place], self.layout.half(place, code)
        worth = self.gains[place] / math.log(1 + 1 / (effect.half or 1.0)) * torch.exp(0.5 * code[..., place])
        made = 1 / (1 + gains[place].clamp(*GAIN).exp() * self.span * acts[..., place].clamp(min=0.0) / half)
        return effect.direction * returning(effect.direction * level, made, rate, worth, self.interval)

    def bounded(self, output: int, level: Tensor) -> Tensor:
        """A level within what is predicted of its output."""
        return level.clamp(self.outputs[output].lowest, self.outputs[output].highest)

    def acted(self, output: int, rate: Tensor, gains: list[Tensor], acts: Tensor) -> Tensor:
        """A rate with what acts on its output, by the strengths `[B]` of all effects, as it compounds."""
        for effect, on, gain, act in zip(self.effects, self.on, gains, acts.unbind(-1), strict=True):
            if on == output and not effect.synthesis:
                rate = rate - gain * act if effect.direction < 0 else rate + gain * act
        over = self.compounding[output]
        return rate if not over else (1.0 + over * rate).clamp(min=LEFT).log() / over


def bent_level(level: Tensor, bends: tuple[float, float]) -> Tensor:
    """A level `[...]` as networks see it, with bends where it is low and where it is high: `[..., 3]`."""
    return torch.stack([level, F.relu(bends[0] - level), F.relu(level - bends[1])], dim=-1)


def stopping_gradient(frozen: Tensor | None, *parts: Tensor) -> tuple[Tensor, ...]:
    """The parts `[B]` or `[B, P]`, without gradient where `frozen` `[B]`."""
    return parts if frozen is None else tuple(torch.where(frozen, part.detach(), part) for part in parts)


class Foreseen(Flow):
    """The flow of forecasts: how doses predict the level depends on the whole condition and the context."""

    def __init__(self, therapy: Therapy, layout: Layout, *, latent: int, hidden: int, code: int, evidence: int) -> None:
        super().__init__(therapy, layout, latent=latent, hidden=hidden, code=code, evidence=evidence)
        self.from_level = nn.Linear(3, hidden, bias=False)
        self.out = nn.Linear(hidden, len(therapy.outputs) + len(therapy.effects))
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def situated(self, condition: Tensor) -> Tensor:
        return self.situation(condition)

    def features(self, z: Tensor, situation: Tensor) -> Tensor:
        return self.context(z) + situation

    def _rate(self, output: int, features: Tensor, code: Tensor, level: Tensor, acts: Tensor, frozen: Tensor | None) -> Tensor:
        level = self.bounded(output, level)
        read = self.out(F.silu(features + self.from_level(bent_level(level, self.outputs[output].bends)))).unbind(-1)
        drift, gains = read[output], read[len(self.outputs) :]
        strengths = code[..., self.layout.effects].unbind(-1)
        scaled = [g * torch.exp(0.5 * own + by.clamp(*GAIN)) for g, own, by in zip(self.gains, strengths, gains, strict=True)]
        back = self.back(output, code, level, acts, gains)
        back, *scaled = stopping_gradient(frozen, back, *scaled)
        return self.acted(output, self.rest[output] - back + DRIFT / self.pace * drift, scaled, acts)


class Planned(Flow):
    """The flow under a plan: the effect of doses depends on the clock, the disturbances, the level, and those numbers of the code
    that have a meaning. The context moves the drift alone, which is the same under every treatment.
    """

    WIDTH = 32  # of the gains
    drifts: Tensor

    def __init__(self, therapy: Therapy, layout: Layout, *, latent: int, hidden: int, code: int, evidence: int) -> None:
        super().__init__(therapy, layout, latent=latent, hidden=hidden, code=code, evidence=evidence)
        channels = [therapy.channel(output.name) for output in therapy.outputs]
        # Of a level by one, over the level that counts as 0.
        self.relative = [channel.scale / max(channel.middle, channel.scale) for channel in channels]
        self.supplied = [place for place, output in enumerate(therapy.outputs) if output.supply is not None]
        self.stopping = [place for place, effect in enumerate(therapy.effects) if effect.stops]
        self.causes = self.condition.causes(layout.named)
        self.cause = nn.Linear(len(self.causes), self.WIDTH)
        self.from_level = nn.Linear(3, self.WIDTH, bias=False)
        self.out = nn.Linear(hidden, len(therapy.outputs))
        self.gain = nn.Linear(self.WIDTH, len(therapy.effects) + len(self.supplied) + len(self.stopping))
        self.register_buffer("drifts", torch.tensor([float(output.drifts) for output in therapy.outputs]), persistent=False)
        for layer in (self.out, self.gain):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def situated(self, condition: Tensor) -> Tensor:
        return torch.cat([self.situation(condition), self.cause(condition[..., self.causes])], dim=-1)

    def features(self, z: Tensor, situation: Tensor) -> Tensor:
        drift = self.out(F.silu(self.context(z) + situation[..., : -self.WIDTH])) * self.drifts
        return torch.cat([drift, situation[..., -self.WIDTH :]], dim=-1)

    def _rate(self, output: int, features: Tensor, code: Tensor, level: Tensor, acts: Tensor, frozen: Tensor | None) -> Tensor:
        level, drift = self.bounded(output, level), features[..., output]
        hidden = features[..., len(self.outputs) :] + self.from_level(bent_level(level, self.outputs[output].bends))
        by = self.gain(F.silu(hidden))
        factors = by.clamp(*GAIN).exp().unbind(-1)
        structure = None if self.layout.structure is None else code[..., self.layout.structure].unbind(-1)
        gains, stops = self._strengths(output, factors, code, level, structure)
        back = self.back(output, code, level, acts, by.unbind(-1))
        rest, share = self.rest[output], DRIFT / self.pace
        if output not in self.supplied:
            back, *gains = stopping_gradient(frozen, back, *gains)
            return self.acted(output, rest - back + share * drift, gains, acts)
        most, soft = self.outputs[output].supply or 0.0, self.outputs[output].softness * rest
        running: Tensor | float = most * torch.exp(0.5 * structure[0]) if structure else most
        supply = factors[len(self.effects) + self.supplied.index(output)]
        stopped = torch.stack([stop * acts[..., place] for place, stop in stops.items()]).sum(0) if stops else 0.0
        supplied = soft * F.softplus((running * rest * supply - back - stopped) / soft)
        back, supplied, *gains = stopping_gradient(frozen, back, supplied, *gains)
        used = (1 - running) * rest - 0.5 * back  # by the body itself, of what it supplies
        return self.acted(output, used + share * drift + supplied, gains, acts)

    def _strengths(
        self, output: int, factors: tuple[Tensor, ...], code: Tensor, level: Tensor, structure: tuple[Tensor, ...] | None
    ) -> tuple[list[Tensor], dict[int, Tensor]]:
        """The strength of every effect, and by effect of what of it stops the output's supply."""
        gains, stops = [], {}
        strengths = code[..., self.layout.effects].unbind(-1)
        for place, (effect, gain, own) in enumerate(zip(self.effects, self.gains, strengths, strict=True)):
            whole = gain * torch.exp(0.5 * own)
            if not (effect.stops and output in self.supplied and self.on[place] == output):
                gains.append(whole * factors[place])
                continue
            share: Tensor | float = effect.stops
            if structure:
                share = torch.sigmoid(math.log(effect.stops / (1 - effect.stops)) + structure[1])
                whole = whole * (1 + 0.5 * structure[2] * self.relative[output] * level).clamp(min=0.1)
            stop = factors[len(self.effects) + len(self.supplied) + self.stopping.index(place)]
            gains.append((1 - share) * whole * factors[place])
            stops[place] = share * whole * stop
        return gains, stops


class StepInputs(NamedTuple):
    """What levels and pools follow during one integration step.

    code `[..., K]` and rates `[..., S]`: of the patient. inflow `[..., pools]` and enter `[..., S]`: what is given, by pool and
    by stage. features: what the rate needs of the context, at the start and the middle of the step; heading: the trend at both,
    none when None.
    """

    code: Tensor
    rates: Tensor
    inflow: Tensor
    enter: Tensor
    features: tuple[Tensor, Tensor]
    heading: tuple[Tensor, Tensor] | None = None


class Dynamics(nn.Module):
    """Pools, trend, and the two flows: under a plan of our own, and as foreseen."""

    def __init__(self, therapy: Therapy, layout: Layout, *, latent: int, hidden: int, code: int, evidence: int) -> None:
        super().__init__()
        if code < layout.named:
            raise ValueError(f"{therapy.name}: a code of {code} numbers, of which {layout.named} have a meaning")
        sizes = {"latent": latent, "hidden": hidden, "code": code, "evidence": evidence}
        self.absorption = Absorption(therapy, layout)
        self.trend = Trend(therapy)
        self.planned = Planned(therapy, layout, **sizes)
        self.foreseen = Foreseen(therapy, layout, **sizes)

    def advance(self, level: Tensor, pools: Tensor, given: StepInputs, half: float) -> tuple[Tensor, Tensor]:
        """One integration step of `2 * half` minutes (midpoint) of levels `[..., Q]` and pools `[..., S]` under a plan."""
        flow, (code, rates, inflow, enter, features, heading) = self.planned, given
        leaves, acts = self.absorption(pools, rates, inflow)
        rate = flow.level_rate(features[0], code, level, acts)
        midway = level + half * (rate if heading is None else rate + heading[0])
        leaves, acts = self.absorption(pools + half * (leaves + enter), rates, inflow)
        rate = flow.level_rate(features[1], code, midway, acts)
        level = level + 2 * half * (rate if heading is None else rate + heading[1])
        return level, pools + 2 * half * (leaves + enter)
