"""`WorldModel`: a recording in, a latent state, and what each sequence of treatments would do to it."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchdiffeq import odeint

from careplan.files import in_one_move
from careplan.series import Window
from careplan.therapy import Therapy
from careplan.world.absorption import Layout
from careplan.world.amounts import Amounts
from careplan.world.dynamics import Dynamics, State
from careplan.world.encoder import Encoder, Evidence
from careplan.world.filter import Filter
from careplan.world.heads import Spread
from careplan.world.question import Given, Question, Rollout

SOLVER = {"method": "dopri5", "rtol": 1e-4, "atol": 1e-6}  # at arbitrary times; scaled levels, shares of a usual amount


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Sizes. context: rows before now that the pools are filled from, of which the encoder reads the last `memory`.

    patch: rows a patch; interval: minutes an integration step; each is as the therapy's clock says where 0. structure: whether
    the patient code holds the structure of the body too (`absorption.STRUCTURE` more of its numbers have a meaning).
    """

    latent: int = 64
    hidden: int = 128
    code: int = 8
    evidence: int = 16
    patch: int = 0
    context: int = 0
    memory: int = 0
    interval: float = 0.0
    structure: bool = False

    def on(self, therapy: Therapy) -> "Shape":
        """With what the therapy's clock says."""
        clock = therapy.clock
        return replace(
            self,
            patch=self.patch or clock.patch,
            context=self.context or clock.context,
            memory=self.memory or clock.memory,
            interval=self.interval or clock.interval,
        )


class WorldModel(nn.Module):
    """Encoder, dynamics and heads of one therapy.

    usual: `[B, C + Q + F]`, a patient's usual amounts (`Amounts`). They replace a channel that is unknown, set the size of a
    usual amount, and predict the code (`typical`). code: `[B, K]`, the patient code.
    """

    center: Tensor
    scale: Tensor
    code_covariance: Tensor
    z_mean: Tensor
    z_covariance: Tensor

    def __init__(self, therapy: Therapy, shape: Shape | None = None) -> None:
        super().__init__()
        self.therapy, self.shape = therapy, (shape or Shape()).on(therapy)
        sizes = self.shape
        self.received, self.layout = Amounts(therapy), Layout(therapy, sizes.structure)
        self.encoder = Encoder(therapy, latent=sizes.latent, hidden=sizes.hidden, patch=sizes.patch)
        self.dynamics = Dynamics(
            therapy, self.layout, latent=sizes.latent, hidden=sizes.hidden, code=sizes.code, evidence=sizes.evidence
        )
        outputs, filtered = len(therapy.outputs), any(therapy.filtered)
        self.habits = nn.Linear(self.received.habits, sizes.code)
        self.correct = nn.Linear(sizes.latent, 2 * outputs)  # each level now: what its last reading missed, and unmeasured
        self.evidence = Evidence(len(therapy.pools) + len(therapy.channels), sizes.latent + outputs, sizes.evidence)
        pools = sum(pool.stages for pool in therapy.pools)
        self.imagine = nn.Sequential(
            nn.Linear(sizes.latent + outputs + pools, sizes.hidden), nn.SiLU(), nn.Linear(sizes.hidden, sizes.latent)
        )
        self.spread = Spread(sizes.latent, sizes.hidden // 2, outputs=outputs, pace=therapy.clock.pace, doubting=filtered)
        self.filter = Filter(therapy) if filtered else None
        for layer in (self.habits, self.correct):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.register_buffer("center", therapy.center())
        self.register_buffer("scale", therapy.scale())
        # Across the training patients: what of the code `typical` does not tell, and the encoding of the present.
        self.register_buffer("code_covariance", torch.eye(sizes.code))
        self.register_buffer("z_mean", torch.zeros(sizes.latent))
        self.register_buffer("z_covariance", torch.eye(sizes.latent))

    @property
    def named(self) -> int:
        """How many numbers of the code say what doses do; the rest are free."""
        return self.layout.named

    @property
    def group(self) -> int:
        """Rows an integration step."""
        return round(self.shape.interval / self.therapy.step)

    # What the patient received.

    def daily(self, usual: Tensor) -> Tensor:
        """The amount that counts as 1, by channel `[B, C]` (`Amounts.counted`)."""
        return self.received.counted(usual)

    def typical(self, usual: Tensor) -> Tensor:
        """The code of a patient of whom only the usual amounts are known, `[B, K]`."""
        return self.habits(self.received.stranger(usual, self.center, self.scale))

    def amounts(self, values: Tensor, mask: Tensor, usual: Tensor) -> Tensor:
        """Shares of a usual amount a minute, `[B, T, C]`, the usual amount where unknown."""
        return self.received.shares(values, mask, usual)

    # Levels, scaled and in their units.

    def standard(self, values: Tensor) -> Tensor:
        """`[..., C]` in the channels' units -> `[..., Q]` the outputs' levels, scaled."""
        return torch.stack([self._standard(place, values[..., column]) for place, column in enumerate(self.therapy.observed)], -1)

    def _standard(self, place: int, values: Tensor) -> Tensor:
        column = self.therapy.observed[place]
        return (self.therapy.channels[column].linked(values) - self.center[column]) / self.scale[column]

    def natural(self, levels: Tensor) -> Tensor:
        """`[..., Q]` scaled levels -> in the outputs' units."""
        return torch.stack([self.natural_of(place, level) for place, level in enumerate(levels.unbind(-1))], -1)

    def natural_of(self, place: int, level: Tensor) -> Tensor:
        """One output's scaled level `[...]` -> in its unit."""
        column = self.therapy.observed[place]
        return self.therapy.channels[column].unlinked(level * self.scale[column] + self.center[column])

    def natural_offsets(self, place: int, level: Tensor, offsets: Tensor) -> Tensor:
        """One output's scaled level `[...]` and offsets `[..., 4]` -> the offsets in its unit."""
        column = self.therapy.observed[place]
        if self.therapy.channels[column].link == "identity":
            return offsets * self.scale[column]
        level = level.unsqueeze(-1)
        return self.natural_of(place, level + offsets) - self.natural_of(place, level)

    # The state now.

    def encode(self, window: Window, usual: Tensor) -> Tensor:
        """A context and what follows `[B, T, C]`
        -> the latent state at the end of each patch of its memory and after, `[B, N, L]`."""
        first = self.shape.context - self.shape.memory
        window = Window(window.values[:, first:], window.mask[:, first:], window.minute[:, first:])
        return self.encoder(self.received.scaled(window, usual, self.center, self.scale), window)

    def state(self, z: Tensor, window: Window, usual: Tensor, code: Tensor) -> State:
        """The whole state at the end of a window, from its encoding `[B, L]`.

        Each level is its last reading, if that is as recent as the clock asks for; where readings have a declared noise, it is
        the filter's estimate from all of them.
        """
        columns, fresh = self.therapy.observed, self.therapy.clock.fresh
        recent, known = window.values[:, -fresh:, columns], window.mask[:, -fresh:, columns]
        place = torch.arange(1, recent.shape[1] + 1, device=recent.device).unsqueeze(1) * known
        last = recent.gather(1, place.argmax(1, keepdim=True)).squeeze(1)
        missed, unmeasured = self.correct(z).unflatten(-1, (2, -1)).unbind(-2)
        scaled = torch.stack([self._standard(output, last[..., output]) for output in range(len(columns))], -1)
        measured = known.any(1)
        level = torch.where(measured, scaled + missed, unmeasured)
        trend = self.dynamics.trend(self.standard(window.values), window.mask[..., columns], scaled) * measured.unsqueeze(-1)
        pools = self.dynamics.absorption.fill(
            self.amounts(window.values, window.mask, usual), self.dynamics.absorption.time_constants(code), self.therapy.step
        )
        minute, doubt = window.minute[:, -1] + self.therapy.step, torch.zeros_like(level)
        if self.filter is not None:
            filtered = self.filter(self, z.unsqueeze(1), window, usual, code)
            which = self.filter.which
            level, doubt = torch.where(which, filtered.level, level), torch.where(which, filtered.doubt, doubt)
            trend = torch.where(which.unsqueeze(-1), 0.0, trend)
        return State(z, self.bounded(level), pools, minute, trend, doubt)

    def bounded(self, level: Tensor) -> Tensor:
        """Levels `[..., Q]` within what is predicted of each output."""
        outputs = self.therapy.outputs
        return torch.stack([x.clamp(o.lowest, o.highest) for x, o in zip(level.unbind(-1), outputs, strict=True)], -1)

    # Its futures.

    def plan(self, values: Tensor, mask: Tensor, usual: Tensor) -> tuple[Tensor, Tensor]:
        """A future `[B, T, C]` on the integration grid: inflow to the pools `[B, H, pools]` and scaled values `[B, H, C]`."""
        inflow = self.dynamics.absorption.inflow(self.amounts(values, mask, usual))
        scaled = (self.received.linked_values(values) - self.center) / self.scale
        values = torch.where(mask, scaled, torch.zeros_like(values))
        return tuple(part.unflatten(1, (-1, self.group)).mean(2) for part in (inflow, values))  # type: ignore[return-value]

    def recorded_evidence(self, state: State, values: Tensor, mask: Tensor, usual: Tensor) -> Tensor:
        """What the choice of doses in a recorded future `[B, T, C]` shows of events that were not logged, `[B, H, evidence]`.

        Its levels are not looked at."""
        inflow, future = self.plan(values, mask, usual)
        hidden = torch.ones(len(self.therapy.channels), device=values.device)
        hidden[self.therapy.observed] = 0.0
        begin = torch.cat([state.z, state.level], dim=1)
        return self.evidence(begin, torch.cat([inflow * self.therapy.clock.span / 4, future * hidden], dim=-1))

    def rollout(self, state: State, question: Question, *, at: Tensor | None = None) -> Rollout:
        """Integrate the state under a question's future.

        at: `[M]` minutes within the future, increasing: the state now and then, by an adaptive solver (`SOLVER`) that stops where
        inflow jumps, instead of on the grid.
        """
        planned = question.given == Given.PLAN.code
        if planned.all() or not planned.any():
            return self._integrate(bool(planned.all()), state, question, at)
        rows = [torch.nonzero(part).squeeze(1) for part in (planned, ~planned)]
        parts = [self.rollout(state.chosen(index), question.chosen(index), at=at) for index in rows]
        back = torch.cat(rows).argsort()
        names = ("level", "offsets", "z", "pools", "levels", "spreads")
        whole = {name: torch.cat([getattr(part, name) for part in parts])[back] for name in names}
        return Rollout(parts[0].minutes, **whole)

    def _integrate(self, planned: bool, state: State, question: Question, at: Tensor | None) -> Rollout:
        dynamics, latent, outputs = self.dynamics, self.shape.latent, len(self.therapy.outputs)
        flow, code, evidence = dynamics.planned if planned else dynamics.foreseen, question.code, question.evidence
        inflow, future = self.plan(question.values, question.mask, question.usual)
        steps, interval = inflow.shape[1], self.shape.interval
        rates, pools, frozen = dynamics.absorption.rates(code), state.pools, question.frozen
        if frozen is not None:
            rates, pools = (torch.where(frozen.unsqueeze(1), part.detach(), part) for part in (rates, pools))
            frozen = frozen if planned else None
        start, enter = torch.cat([state.z, state.level, pools], dim=1), dynamics.absorption.enter(inflow)

        def motion(y: Tensor, course: tuple[Tensor, Tensor], heading: Tensor, step: int) -> Tensor:
            z, level, pools = y[:, :latent], y[:, latent : latent + outputs], y[:, latent + outputs :]
            modulation, situation = course
            leaves, acts = dynamics.absorption(pools, rates, inflow[:, step])
            climb = flow.level_rate(flow.features(z, situation), code, level, acts, frozen) + heading
            return torch.cat([flow.context_rate(z, modulation) / flow.pace, climb, leaves + enter[:, step]], dim=1)

        if at is not None:
            times = torch.cat([torch.zeros(1), at.cpu().double()])
            if not bool((times.diff() > 0).all()) or float(times[-1]) > steps * interval:
                raise ValueError(f"minutes must increase from above 0 to {steps * interval:g} at most: {at.tolist()}")

            def anytime(t: Tensor, y: Tensor) -> Tensor:
                now, step = float(t), min(int(float(t) // interval), steps - 1)
                hint = None if evidence is None else evidence[:, step : step + 1]
                course = flow.course(state.minute.unsqueeze(1) + now, code, future[:, step : step + 1], question.given, hint)
                return motion(y, course.at(0), dynamics.trend.at(state.trend, now), step)

            jumps = interval * torch.arange(1, steps, dtype=times.dtype)
            path = odeint(anytime, start, times, **SOLVER, options={"jump_t": jumps[jumps < times[-1]]})
            return self._read(path.transpose(0, 1), times.to(inflow), question.given, state.doubt)

        # Only the state makes the equation sequential: everything else is known at the start and the middle of every step.
        halves = torch.arange(2 * steps, device=inflow.device)
        clock = state.minute.unsqueeze(1) + 0.5 * interval * halves
        hints = None if evidence is None else evidence[:, halves // 2]
        course = flow.course(clock, code, future[:, halves // 2], question.given, hints)
        heading = dynamics.trend.at(state.trend.unsqueeze(1), 0.5 * interval * halves[:, None, None])

        def rate(t: Tensor, y: Tensor) -> Tensor:
            index = min(round(2 * float(t) / interval), 2 * steps - 1)
            return motion(y, course.at(index), heading[:, index], index // 2)

        minutes = torch.arange(steps + 1, device=inflow.device, dtype=inflow.dtype) * interval
        return self._read(odeint(rate, start, minutes, method="midpoint").transpose(0, 1), minutes, question.given, state.doubt)

    def _read(self, path: Tensor, minutes: Tensor, given: Tensor, doubt: Tensor) -> Rollout:
        """Context, levels and pools `[B, H, L + Q + S]` at `minutes` `[H]`, with what is read out of them."""
        latent, outputs = self.shape.latent, len(self.therapy.outputs)
        z, levels, pools = path[..., :latent], path[..., latent : latent + outputs], path[..., latent + outputs :]
        spreads = self.spread(
            self.spread.context(z.detach()),
            levels[:, :1].expand_as(levels),
            levels,
            minutes.expand(levels.shape[:2]),
            (given != Given.NOTHING.code).to(levels.dtype).unsqueeze(1).expand(levels.shape[:2]),
            doubt.unsqueeze(1).expand_as(levels),
        )
        first, offsets = self.natural_of(0, levels[..., 0]), self.natural_offsets(0, levels[..., 0], spreads[..., 0, :])
        return Rollout(minutes, first, offsets, z, pools, levels, spreads)

    def imagined(self, rollout: Rollout) -> Tensor:
        """The predicted encoding of the future, `[B, H, L]`: the context, and what the doses made of the levels."""
        return rollout.z + self.imagine(torch.cat([rollout.z, rollout.levels, rollout.pools], dim=-1))

    # On disk.

    def save(self, folder: Path, card: dict[str, Any]) -> None:
        """Weights as safetensors with their JSON card, each in one move. Raises OSError where the disk refuses."""
        from safetensors.torch import save

        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: tensor.contiguous() for name, tensor in self.state_dict().items()}
        in_one_move(folder / f"{self.therapy.name}.safetensors", lambda part: part.write_bytes(save(weights)))
        card = {"therapy": self.therapy.name, "shape": asdict(self.shape), "hash": self.fingerprint(), **card}
        in_one_move(folder / f"{self.therapy.name}.json", lambda part: part.write_text(json.dumps(card, indent=1) + "\n"))

    def fingerprint(self) -> str:
        """A hash of the weights, stored with every result they produce."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.state_dict().items()):
            digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]


def load_card(therapy: Therapy, folder: Path) -> dict[str, Any]:
    """What is written beside the weights of a therapy in a folder: data, seeds, metrics, calibration, limits.

    Args:
        therapy: Whose weights they are.
        folder: Where they lie.

    Returns:
        The card, as `WorldModel.save` wrote it.

    Raises:
        FileNotFoundError: The folder has no card of this therapy.
    """
    path = folder / f"{therapy.name}.json"
    if not path.exists():
        raise FileNotFoundError(f"{path}: no card of a trained model; `careplan train` makes one")
    return json.loads(path.read_text())  # type: ignore[no-any-return]


def load_model(therapy: Therapy, folder: Path, device: str | torch.device = "cpu") -> WorldModel:
    """The model in a folder, a therapy's own or one that was trained.

    Args:
        therapy: What it was trained on.
        folder: Where its weights and their card lie.
        device: Where it computes.

    Returns:
        The model, ready to predict.

    Raises:
        FileNotFoundError: The folder has no model of this therapy.
        ValueError: The weights are not those that the card tells of.
    """
    from safetensors.torch import load_file

    card = load_card(therapy, folder)
    model = WorldModel(therapy, replace(Shape(), **card["shape"]))
    model.load_state_dict(load_file(folder / f"{therapy.name}.safetensors"))
    if model.fingerprint() != card["hash"]:
        raise ValueError(f"{folder / therapy.name}.safetensors: weights do not match their card")
    return model.to(device).eval()
