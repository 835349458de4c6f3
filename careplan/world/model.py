"""`WorldModel`: a recording in, a latent state, and what each sequence of treatments would do to it."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchdiffeq import odeint

from careplan.minutes import DAY
from careplan.series import Window
from careplan.therapy import Therapy
from careplan.world.dynamics import HIGHEST, LOWEST, NOTHING, PLAN, SLOWNESS, STRUCTURE, Dynamics, Flow, State
from careplan.world.encoder import Encoder, Evidence
from careplan.world.heads import Spread

HABITS = 7  # what `WorldModel.typical` looks at: both totals and whether they are known, a rate, the level and its spread
SOLVER = {"method": "dopri5", "rtol": 1e-4, "atol": 1e-6}  # at arbitrary times; scaled levels, shares of a day


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Sizes. context: rows before now that the pools are filled from, of which the encoder reads the last `memory`.

    patch: rows a patch; interval: minutes an integration step. structure: whether the patient code holds the structure of the
    body too (`dynamics.STRUCTURE` more of its numbers have a meaning).
    """

    latent: int = 64
    hidden: int = 128
    code: int = 8
    evidence: int = 16
    patch: int = 6
    context: int = 288
    memory: int = 144
    interval: float = 15.0
    structure: bool = False


@dataclass(frozen=True, eq=False)
class Rollout:
    """Predicted futures at `minutes` `[H]` ahead, the first being now: level and context `[B, H]`, `[B, H, L]`, pools
    `[B, H, S]`."""

    minutes: Tensor
    level: Tensor  # in the observation's unit
    offsets: Tensor  # [B, H, 4] distance to the QUANTILES of what will be measured
    z: Tensor
    pools: Tensor


class WorldModel(nn.Module):
    """Encoder, dynamics and heads of one therapy.

    usual: `[B, C + 1]`, what this patient receives on average in one row of each channel, and how far the level spreads; it
    stands in where a channel is unknown, tells how large a day's treatment is, and what code to expect (`typical`). code:
    `[B, K]`, the patient code.
    """

    center: Tensor
    scale: Tensor
    code_covariance: Tensor
    z_mean: Tensor
    z_covariance: Tensor

    def __init__(self, therapy: Therapy, shape: Shape | None = None) -> None:
        super().__init__()
        self.therapy, self.shape = therapy, shape or Shape()
        sizes = self.shape
        self.encoder = Encoder(therapy, latent=sizes.latent, hidden=sizes.hidden, patch=sizes.patch)
        sides = {"latent": sizes.latent, "hidden": sizes.hidden, "code": sizes.code, "evidence": sizes.evidence}
        self.dynamics = Dynamics(therapy, **sides, structure=sizes.structure)
        self.habits = nn.Linear(HABITS, sizes.code)
        self.correct = nn.Linear(sizes.latent, 2)  # the level now: where unmeasured, and what the last reading missed
        self.evidence = Evidence(len(therapy.pools) + len(therapy.channels), sizes.latent + 1, sizes.evidence)
        pools = sum(pool.stages for pool in therapy.pools)
        self.imagine = nn.Sequential(
            nn.Linear(sizes.latent + 1 + pools, sizes.hidden), nn.SiLU(), nn.Linear(sizes.hidden, sizes.latent)
        )
        self.spread = Spread(sizes.latent, sizes.hidden // 2)
        nn.init.zeros_(self.habits.weight)
        nn.init.zeros_(self.habits.bias)
        nn.init.zeros_(self.correct.weight)
        nn.init.zeros_(self.correct.bias)
        self.register_buffer("center", therapy.center())
        self.register_buffer("scale", therapy.scale())
        # Across the training patients: what of the code `typical` does not tell, and the encoding of the present.
        self.register_buffer("code_covariance", torch.eye(sizes.code))
        self.register_buffer("z_mean", torch.zeros(sizes.latent))
        self.register_buffer("z_covariance", torch.eye(sizes.latent))

    @property
    def named(self) -> int:
        """How many numbers of the code say what doses do; the rest are free."""
        return SLOWNESS + len(self.therapy.pools) + STRUCTURE * self.shape.structure

    # What the patient received, as shares of a day's treatment.

    @cached_property
    def _directions(self) -> list[int]:
        return [channel.direction for channel in self.therapy.channels]

    def _per_minute(self) -> Tensor:
        """`[C]` from a row's value to an amount a minute."""
        hours = [1 / 60 if channel.form == "rate" else 1 / self.therapy.step for channel in self.therapy.channels]
        return torch.tensor(hours, device=self.center.device)

    def daily(self, usual: Tensor) -> Tensor:
        """The amount that counts as a day's treatment, by channel `[B, C]`; 1 for channels without a direction."""
        lowering = [index for index, direction in enumerate(self._directions) if direction < 0]
        own = (usual[:, :-1] * self._per_minute())[:, lowering].sum(-1) * DAY
        own = torch.where(own > 0.05 * self.therapy.daily[0], own, torch.full_like(own, self.therapy.daily[0]))
        one, high = torch.ones_like(own), torch.full_like(own, self.therapy.daily[1])
        return torch.stack([{-1: own, 0: one, 1: high}[direction] for direction in self._directions], dim=-1)

    def typical(self, usual: Tensor) -> Tensor:
        """The code of somebody of whom only what is usual is known, `[B, K]`: a labile level, or small doses, tell of strong
        effects before any dose was seen to act."""
        day, column = usual[:, :-1] * self._per_minute() * DAY, self.therapy.index(self.therapy.regulated)
        totals = []
        for direction, whole in zip((-1, 1), self.therapy.daily, strict=True):
            total = day[:, [index for index, own in enumerate(self._directions) if own == direction]].sum(-1) / whole
            known = total > 0.05
            totals += [known, torch.where(known, total.clamp(0.05, 4.0).log(), 0.0)]
        rates = [index for index, channel in enumerate(self.therapy.channels) if channel.form == "rate" and channel.direction]
        level, spread = usual[:, column], usual[:, -1] / self.scale[column]
        away = torch.where(level > 0, (level - self.center[column]) / self.scale[column], 0.0)
        wide = torch.where(spread > 0, spread.clamp(0.1, 4.0).log(), 0.0)
        parts = [*totals, (day[:, rates] > 0).any(1), away, wide]
        return self.habits(torch.stack([part.to(usual.dtype) for part in parts], dim=-1))

    def amounts(self, values: Tensor, mask: Tensor, usual: Tensor) -> Tensor:
        """Shares of a day's treatment a minute, `[B, T, C]`, the usual amount where unknown."""
        filled = torch.where(mask, values, usual[:, None, :-1])
        return filled * self._per_minute() / self.daily(usual).unsqueeze(1)

    def scaled(self, window: Window, usual: Tensor) -> Tensor:
        """`[B, T, C]` values as the encoder sees them; doses relative to the patient's own day, 0 where unknown."""
        relative = torch.tensor([self.therapy.daily[0] if d < 0 else 1.0 for d in self._directions], device=usual.device)
        lowering = torch.tensor([d < 0 for d in self._directions], device=usual.device)
        factor = torch.where(lowering, relative / self.daily(usual), torch.ones_like(relative)).unsqueeze(1)
        return torch.where(window.mask, (window.values * factor - self.center) / self.scale, torch.zeros_like(window.values))

    # The state now.

    def encode(self, window: Window, usual: Tensor) -> Tensor:
        """A context and what follows `[B, T, C]`
        -> the latent state at the end of each patch of its memory and after, `[B, N, L]`."""
        first = self.shape.context - self.shape.memory
        window = Window(window.values[:, first:], window.mask[:, first:], window.minute[:, first:])
        return self.encoder(self.scaled(window, usual), window)

    def state(self, z: Tensor, window: Window, usual: Tensor, code: Tensor) -> State:
        """The whole state at the end of a window, from its encoding `[B, L]`."""
        column = self.therapy.index(self.therapy.regulated)
        recent, known = window.values[:, -4:, column], window.mask[:, -4:, column]
        place = torch.arange(1, 5, device=recent.device) * known
        last = recent.gather(1, place.argmax(1, keepdim=True)).squeeze(1)
        missed, unmeasured = self.correct(z).unbind(-1)
        scaled = (last - self.center[column]) / self.scale[column]
        measured = known.any(1)
        level = torch.where(measured, scaled + missed, unmeasured)
        history = (window.values[..., column] - self.center[column]) / self.scale[column]
        trend = self.dynamics.trend(history, window.mask[..., column], scaled) * measured.unsqueeze(1)
        pools = self.dynamics.absorption.fill(
            self.amounts(window.values, window.mask, usual), self.dynamics.absorption.time_constants(code), self.therapy.step
        )
        minute = window.minute[:, -1] + self.therapy.step
        return State(z, level.clamp(LOWEST, HIGHEST), pools, minute, trend)

    # Its futures.

    def plan(self, values: Tensor, mask: Tensor, usual: Tensor) -> tuple[Tensor, Tensor]:
        """A future `[B, T, C]` on the integration grid: inflow to the pools `[B, H, pools]` and scaled values `[B, H, C]`."""
        group = round(self.shape.interval / self.therapy.step)
        inflow = self.dynamics.absorption.inflow(self.amounts(values, mask, usual))
        values = torch.where(mask, (values - self.center) / self.scale, torch.zeros_like(values))
        return tuple(part.unflatten(1, (-1, group)).mean(2) for part in (inflow, values))  # type: ignore[return-value]

    def told(self, state: State, values: Tensor, mask: Tensor, usual: Tensor) -> Tensor:
        """The evidence in a recorded future `[B, T, C]`, `[B, H, evidence]`; its levels are not looked at."""
        inflow, future = self.plan(values, mask, usual)
        hidden = torch.ones(len(self.therapy.channels), device=values.device)
        hidden[self.therapy.index(self.therapy.regulated)] = 0.0
        begin = torch.cat([state.z, state.level.unsqueeze(1)], dim=1)
        return self.evidence(begin, torch.cat([inflow * DAY / 4, future * hidden], dim=-1))

    def rollout(
        self,
        state: State,
        values: Tensor,
        mask: Tensor,
        asked: Tensor,
        usual: Tensor,
        code: Tensor,
        evidence: Tensor | None = None,
        frozen: Tensor | None = None,
        *,
        at: Tensor | None = None,
    ) -> Rollout:
        """Integrate the state under a future of doses and disturbances `[B, T, C]`, `T` rows of the therapy's step.

        asked: `[B]` whether NOTHING is given but what is usual, a PLAN of our own, or a RECORD of what was done, whose `told` is
        the evidence. The level of the future itself, where given, is not looked at. frozen: `[B]` rows that teach nothing about
        the effects of doses under a plan. at: `[M]` minutes within the future, increasing: the state now and then, by an adaptive
        solver (`SOLVER`) that stops where inflow jumps, instead of on the grid.
        """
        planned = asked == PLAN
        if planned.all() or not planned.any():
            flow = self.dynamics.planned if bool(planned.all()) else self.dynamics.foreseen
            return self._integrate(flow, state, values, mask, asked, usual, code, evidence, frozen, at)
        rows = [torch.nonzero(part).squeeze(1) for part in (planned, ~planned)]
        parts = []
        for index in rows:
            some = State(*(part[index] for part in vars(state).values()))
            extra = (None if part is None else part[index] for part in (evidence, frozen))
            parts.append(self.rollout(some, values[index], mask[index], asked[index], usual[index], code[index], *extra, at=at))
        back = torch.cat(rows).argsort()
        whole = (torch.cat([getattr(part, name) for part in parts])[back] for name in ("level", "offsets", "z", "pools"))
        return Rollout(parts[0].minutes, *whole)

    def _integrate(
        self,
        flow: Flow,
        state: State,
        values: Tensor,
        mask: Tensor,
        asked: Tensor,
        usual: Tensor,
        code: Tensor,
        evidence: Tensor | None,
        frozen: Tensor | None,
        at: Tensor | None,
    ) -> Rollout:
        inflow, future = self.plan(values, mask, usual)
        steps, interval = inflow.shape[1], self.shape.interval
        dynamics, latent = self.dynamics, self.shape.latent
        rates, pools = dynamics.absorption.rates(code), state.pools
        if frozen is not None:
            rates, pools = (torch.where(frozen.unsqueeze(1), part.detach(), part) for part in (rates, pools))
            frozen = frozen if flow is dynamics.planned else None
        start, enter = torch.cat([state.z, state.level.unsqueeze(1), pools], dim=1), dynamics.absorption.enter(inflow)

        def motion(y: Tensor, course: tuple[Tensor, Tensor], heading: Tensor, enter: Tensor) -> Tensor:
            z, level, pools = y[:, :latent], y[:, latent], y[:, latent + 1 :]
            modulation, situation = course
            leaves, low, high = dynamics.absorption(pools, rates)
            climb = flow.level_rate(flow.features(z, situation), code, level, low, high, frozen) + heading
            return torch.cat([flow.context_rate(z, modulation) / 60.0, climb.unsqueeze(1), leaves + enter], dim=1)

        if at is not None:
            times = torch.cat([torch.zeros(1), at.cpu().double()])
            if not bool((times.diff() > 0).all()) or float(times[-1]) > steps * interval:
                raise ValueError(f"minutes must increase from above 0 to {steps * interval:g} at most: {at.tolist()}")

            def anytime(t: Tensor, y: Tensor) -> Tensor:
                now, step = float(t), min(int(float(t) // interval), steps - 1)
                hint = None if evidence is None else evidence[:, step : step + 1]
                course = flow.course(state.minute.unsqueeze(1) + now, code, future[:, step : step + 1], asked, hint)
                return motion(y, course.at(0), dynamics.trend.at(state.trend, now), enter[:, step])

            jumps = interval * torch.arange(1, steps, dtype=times.dtype)
            path = odeint(anytime, start, times, **SOLVER, options={"jump_t": jumps[jumps < times[-1]]})
            return self._read(path.transpose(0, 1), times.to(inflow), asked)

        # Only the state makes the equation sequential: everything else is known at the start and the middle of every step.
        halves = torch.arange(2 * steps, device=inflow.device)
        clock = state.minute.unsqueeze(1) + 0.5 * interval * halves
        hints = None if evidence is None else evidence[:, halves // 2]
        course = flow.course(clock, code, future[:, halves // 2], asked, hints)
        heading = dynamics.trend.at(state.trend.unsqueeze(1), 0.5 * interval * halves.unsqueeze(1))

        def rate(t: Tensor, y: Tensor) -> Tensor:
            index = min(round(2 * float(t) / interval), 2 * steps - 1)
            return motion(y, course.at(index), heading[:, index], enter[:, index // 2])

        minutes = torch.arange(steps + 1, device=inflow.device) * interval
        return self._read(odeint(rate, start, minutes, method="midpoint").transpose(0, 1), minutes, asked)

    def _read(self, path: Tensor, minutes: Tensor, asked: Tensor) -> Rollout:
        """Context, level and pools `[B, H, L + 1 + S]` at `minutes` `[H]`, with what is read out of them."""
        latent = self.shape.latent
        z, level, pools = path[..., :latent], path[..., latent], path[..., latent + 1 :]
        column = self.therapy.index(self.therapy.regulated)
        shape = level.shape
        offsets = self.spread(
            self.spread.context(z.detach()),
            level[:, :1].expand(shape),
            level,
            minutes.expand(shape),
            (asked != NOTHING).to(level.dtype).unsqueeze(1).expand(shape),
        )
        return Rollout(minutes, level * self.scale[column] + self.center[column], offsets * self.scale[column], z, pools)

    def imagined(self, rollout: Rollout) -> Tensor:
        """The predicted encoding of the future, `[B, H, L]`: the context, and what the doses made of the level."""
        column = self.therapy.index(self.therapy.regulated)
        level = (rollout.level - self.center[column]) / self.scale[column]
        return rollout.z + self.imagine(torch.cat([rollout.z, level.unsqueeze(-1), rollout.pools], dim=-1))

    # On disk.

    def save(self, folder: Path, card: dict[str, Any]) -> None:
        """Weights as safetensors with their JSON card."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: tensor.contiguous() for name, tensor in self.state_dict().items()}
        save_file(weights, folder / f"{self.therapy.name}.safetensors")
        card = {"therapy": self.therapy.name, "shape": asdict(self.shape), "hash": self.fingerprint(), **card}
        (folder / f"{self.therapy.name}.json").write_text(json.dumps(card, indent=1) + "\n")

    def fingerprint(self) -> str:
        """A hash of the weights, stored with every result they produce."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.state_dict().items()):
            digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]


def load_card(therapy: Therapy, folder: Path) -> dict[str, Any]:
    """The card beside the weights: data, seeds, metrics, calibration."""
    path = folder / f"{therapy.name}.json"
    if not path.exists():
        raise FileNotFoundError(f"{path}: no card of a trained model; `careplan train` makes one")
    return json.loads(path.read_text())  # type: ignore[no-any-return]


def load_model(therapy: Therapy, folder: Path, device: str | torch.device = "cpu") -> WorldModel:
    """The model in a folder, a therapy's own or one that was trained. Raises `ValueError` where weights and card differ."""
    from safetensors.torch import load_file

    card = load_card(therapy, folder)
    model = WorldModel(therapy, replace(Shape(), **card["shape"]))
    model.load_state_dict(load_file(folder / f"{therapy.name}.safetensors"))
    if model.fingerprint() != card["hash"]:
        raise ValueError(f"{folder / therapy.name}.safetensors: weights do not match their card")
    return model.to(device).eval()
