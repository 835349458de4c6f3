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

from careplan.series import Window
from careplan.therapy import Therapy
from careplan.world.dynamics import HIGHEST, LOWEST, Dynamics, State
from careplan.world.encoder import DAY, Encoder, Evidence
from careplan.world.heads import Spread

WEIGHTS = Path(__file__).parent / "weights"


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Sizes. context: rows before now that the pools are filled from, of which the encoder reads the last `memory`.

    patch: rows a patch; interval: minutes an integration step.
    """

    latent: int = 64
    hidden: int = 128
    code: int = 8
    evidence: int = 16
    patch: int = 6
    context: int = 288
    memory: int = 144
    interval: float = 15.0


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

    usual: `[B, C]`, what this patient receives on average in one row of each channel; it stands in where a channel is unknown
    and tells how large a day's treatment is. code: `[B, K]`, the patient code, `code_mean` for the typical patient.
    """

    center: Tensor
    scale: Tensor
    code_mean: Tensor
    code_covariance: Tensor
    z_mean: Tensor
    z_covariance: Tensor

    def __init__(self, therapy: Therapy, shape: Shape | None = None) -> None:
        super().__init__()
        self.therapy, self.shape = therapy, shape or Shape()
        sizes = self.shape
        self.encoder = Encoder(therapy, latent=sizes.latent, hidden=sizes.hidden, patch=sizes.patch)
        self.dynamics = Dynamics(therapy, latent=sizes.latent, hidden=sizes.hidden, code=sizes.code, evidence=sizes.evidence)
        self.correct = nn.Linear(sizes.latent, 2)  # the level now: where unmeasured, and what the last reading missed
        self.evidence = Evidence(len(therapy.pools) + len(therapy.channels), sizes.evidence)
        pools = sum(pool.stages for pool in therapy.pools)
        self.imagine = nn.Sequential(
            nn.Linear(sizes.latent + 1 + pools, sizes.hidden), nn.SiLU(), nn.Linear(sizes.hidden, sizes.latent)
        )
        self.spread = Spread(sizes.latent, sizes.hidden // 2)
        nn.init.zeros_(self.correct.weight)
        nn.init.zeros_(self.correct.bias)
        self.register_buffer("center", therapy.center())
        self.register_buffer("scale", therapy.scale())
        # Across the training patients: the code, and the encoding of the present.
        self.register_buffer("code_mean", torch.zeros(sizes.code))
        self.register_buffer("code_covariance", torch.eye(sizes.code))
        self.register_buffer("z_mean", torch.zeros(sizes.latent))
        self.register_buffer("z_covariance", torch.eye(sizes.latent))

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
        own = (usual * self._per_minute())[:, lowering].sum(-1) * DAY
        own = torch.where(own > 0.05 * self.therapy.daily[0], own, torch.full_like(own, self.therapy.daily[0]))
        one, high = torch.ones_like(own), torch.full_like(own, self.therapy.daily[1])
        return torch.stack([{-1: own, 0: one, 1: high}[direction] for direction in self._directions], dim=-1)

    def amounts(self, values: Tensor, mask: Tensor, usual: Tensor) -> Tensor:
        """Shares of a day's treatment a minute, `[B, T, C]`, the usual amount where unknown."""
        filled = torch.where(mask, values, usual.unsqueeze(1))
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

    def told(self, values: Tensor, mask: Tensor, usual: Tensor) -> Tensor:
        """The evidence in a recorded future `[B, T, C]`, `[B, H, evidence]`; its levels are not looked at."""
        inflow, future = self.plan(values, mask, usual)
        hidden = torch.ones(len(self.therapy.channels), device=values.device)
        hidden[self.therapy.index(self.therapy.regulated)] = 0.0
        return self.evidence(torch.cat([inflow * DAY / 4, future * hidden], dim=-1))

    def rollout(
        self,
        state: State,
        values: Tensor,
        mask: Tensor,
        known: Tensor,
        usual: Tensor,
        code: Tensor,
        evidence: Tensor | None = None,
    ) -> Rollout:
        """Integrate the state under a future of doses and disturbances `[B, T, C]`, `T` rows of the therapy's step.

        known: `[B]` 1 where the future holds everything that will happen, 0 where it holds only what is decided, and the
        model expects the rest. The level of the future itself, where given, is not looked at. evidence: `told` of the future
        as recorded, also when its doses are then changed; none for a plan of our own.
        """
        inflow, future = self.plan(values, mask, usual)
        steps, interval = inflow.shape[1], self.shape.interval
        dynamics, tau = self.dynamics, self.dynamics.absorption.time_constants(code)
        hints = inflow.new_zeros(*inflow.shape[:2], self.shape.evidence) if evidence is None else evidence

        def rate(t: Tensor, y: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
            z, level, pools = y
            row = min(int(t / interval), steps - 1)
            condition = dynamics.condition(state.minute + t, code, future[:, row], known, hints[:, row])
            low, high = dynamics.absorption.appearance(pools, tau)
            return (
                dynamics.context_rate(z, condition) / 60.0,
                dynamics.level_rate(dynamics.features(z, condition), code, level, low, high) + dynamics.trend.at(state.trend, t),
                dynamics.absorption(pools, inflow[:, row], tau),
            )

        minutes = torch.arange(steps + 1, device=inflow.device) * interval
        z, level, pools = odeint(rate, (state.z, state.level, state.pools), minutes, method="midpoint", options={"perturb": True})
        z, level, pools = z.transpose(0, 1), level.transpose(0, 1), pools.transpose(0, 1)
        column = self.therapy.index(self.therapy.regulated)
        shape = level.shape
        offsets = self.spread(
            self.spread.context(z.detach()),
            level[:, :1].expand(shape),
            level,
            minutes.expand(shape),
            known.unsqueeze(1).expand(shape),
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


def load_card(therapy: Therapy, folder: Path = WEIGHTS) -> dict[str, Any]:
    """The card beside the weights: data, seeds, metrics, calibration."""
    path = folder / f"{therapy.name}.json"
    if not path.exists():
        raise FileNotFoundError(f"{path}: no card of a trained model; `careplan train` makes one")
    return json.loads(path.read_text())  # type: ignore[no-any-return]


def load_model(therapy: Therapy, folder: Path = WEIGHTS, device: str | torch.device = "cpu") -> WorldModel:
    """The shipped model, or one that `careplan train` wrote to `folder`."""
    from safetensors.torch import load_file

    card = load_card(therapy, folder)
    model = WorldModel(therapy, replace(Shape(), **card["shape"]))
    model.load_state_dict(load_file(folder / f"{therapy.name}.safetensors"))
    if model.fingerprint() != card["hash"]:
        raise ValueError(f"{folder / therapy.name}.safetensors: weights do not match their card")
    return model.to(device).eval()
