"""Recordings without doses: what was done is inferred from what it did, through a channel too narrow to carry the future itself.

An inverse model reads two encodings of the level alone, a patch apart, and names a latent action `a = m + n`, `|m_i| < RADIUS`,
with unit noise `n`. However it is trained, it passes at most `1/2 log(1 + RADIUS^2)` nats a number, Shannon's bound for a
Gaussian channel of that power; the rate it takes, `|m|^2 / 2` (the divergence from an action that tells nothing), has a price
besides. The action enters foresight where the evidence of a logged plan does, so its zero is "no evidence".

Where doses are logged both spaces are tied: the action is decoded to what entered the pools, and the evidence that
`WorldModel.recorded_evidence` reads in the logged plan is drawn to the evidence of the action.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from careplan.series import PatientSeries, Window, split
from careplan.therapy import Therapy
from careplan.world import losses
from careplan.world.corpus import Branches, Corpus
from careplan.world.dynamics import State
from careplan.world.model import Shape
from careplan.world.question import Given
from careplan.world.training import Recipe, Training

RADIUS = 2.0


@dataclass(frozen=True, kw_only=True)
class Ties:
    """The size of a latent action, and the weights of its loss terms."""

    width: int = 4
    rate: float = 0.01  # the price of a nat
    decode: float = 0.1
    agree: float = 0.1


class LatentActions(nn.Module):
    """The inverse model, what an action tells foresight, and which doses it stands for."""

    def __init__(self, latent: int, pools: int, evidence: int, *, width: int, hidden: int = 64) -> None:
        super().__init__()
        self.inverse = nn.Sequential(nn.Linear(2 * latent, hidden), nn.SiLU(), nn.Linear(hidden, width))
        self.act = nn.Linear(width, evidence, bias=False)
        self.decode = nn.Linear(width, pools)

    def infer(self, encoded: Tensor) -> Tensor:
        """Encodings `[B, N + 1, L]` -> the means `[B, N, width]` of what was done between them."""
        return RADIUS * torch.tanh(self.inverse(torch.cat([encoded[:, :-1], encoded[:, 1:]], dim=-1)))

    def evidence(self, action: Tensor, every: int) -> Tensor:
        """`[B, N, width]` -> `[B, N every, evidence]`, none for the action 0; `every` integration steps an action."""
        return self.act(action).repeat_interleave(every, dim=1)

    def doses(self, action: Tensor) -> Tensor:
        """`[B, N, width]` -> what entered each pool meanwhile, tenths of a day's treatment, `[B, N, pools]`."""
        return F.softplus(self.decode(action))


def rate(mean: Tensor) -> Tensor:
    """Nats that actions of means `[..., width]` take, on average: their divergence from pure noise."""
    return 0.5 * mean.pow(2).sum(-1).mean()


def noisy(mean: Tensor, generator: torch.Generator) -> Tensor:
    """Actions after the noise of the channel."""
    return mean + torch.randn(mean.shape, generator=generator).to(mean)


def unlabelled(therapy: Therapy, window: Window) -> Window:
    """A window of which only the level was recorded."""
    keep = torch.zeros_like(window.mask)
    keep[..., therapy.observed] = window.mask[..., therapy.observed]
    return Window(torch.where(keep, window.values, 0.0), keep, window.minute)


def without_doses(series: PatientSeries) -> PatientSeries:
    """A recording of which only the level was recorded."""
    mask = series.mask.copy()
    mask[:, [index for index in range(mask.shape[1]) if index not in series.therapy.observed]] = False
    return replace(series, values=series.values * mask, mask=mask)


class InferringTraining(Training):
    """Training with latent actions; what they are used for is the subclass's."""

    def __init__(
        self,
        therapy: Therapy,
        recipe: Recipe,
        corpus: Corpus,
        branches: Branches,
        *,
        real: int,
        shape: Shape | None = None,
        ties: Ties | None = None,
    ) -> None:
        super().__init__(therapy, recipe, corpus, branches, real=real, shape=shape)
        sizes, self.ties = self.model.shape, ties or Ties()
        self.actions = LatentActions(sizes.latent, len(therapy.pools), sizes.evidence, width=self.ties.width)

    def inferred(self, encoded: Tensor, whole: Window, usual: Tensor) -> Tensor:
        """The means of what was done, told from the level alone, in each patch of the memory but the first and of what follows:
        `[B, N, width]`; `encoded` `[B, N + 1, L]` serves where nothing else was recorded."""
        bare = unlabelled(self.model.therapy, whole)
        if bool((bare.mask != whole.mask).any()):
            kept = torch.zeros_like(usual)
            kept[:, self.kept] = usual[:, self.kept]
            encoded = self.model.encode(bare, kept)
        return self.actions.infer(encoded)

    def decoded(self, action: Tensor, window: Window, usual: Tensor) -> tuple[Tensor, Tensor]:
        """How far the doses that actions `[B, N, width]` stand for are from those logged, `[]`, and which pools' were, patch by
        patch, `[B, N, pools]`."""
        model, patch = self.model, self.model.shape.patch
        absorption = model.dynamics.absorption
        inflow = absorption.inflow(model.amounts(window.values, window.mask, usual))
        known = torch.stack([window.mask[..., columns].any(-1) for columns in absorption.columns], dim=-1)
        logged = known.unflatten(1, (-1, patch)).all(2)
        given = inflow.unflatten(1, (-1, patch)).sum(2) * model.therapy.step * 10.0
        return losses.masked_mean(F.smooth_l1_loss(self.actions.doses(action), given, reduction="none"), logged), logged


class LatentTraining(InferringTraining):
    """A window without doses is foreseen by its latent actions, and one with doses ties them to its doses."""

    def evidence(
        self,
        encoded: Tensor,
        state: State,
        whole: Window,
        mask: Tensor,
        usual: Tensor,
        given: Tensor,
        generator: torch.Generator,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        evidence, _ = super().evidence(encoded, state, whole, mask, usual, given, generator)
        ties, future = self.ties, split(whole, self.model.shape.context)[1]
        mean = self.inferred(encoded, whole, usual)[:, -(future.values.shape[1] // self.model.shape.patch) :]
        action, every = noisy(mean, generator), evidence.shape[1] // mean.shape[1]
        missed, logged = self.decoded(action, future, usual)
        labelled = logged.flatten(1).any(1)
        seen = (labelled & (given == Given.RECORD.code))[:, None, None].expand_as(evidence)
        apart = F.mse_loss(evidence, self.actions.evidence(mean, every).detach(), reduction="none")
        terms = {"rate": ties.rate * rate(mean), "decode": ties.decode * missed}
        terms["agree"] = ties.agree * losses.masked_mean(apart, seen)
        return torch.where(labelled[:, None, None], evidence, self.actions.evidence(action, every)), terms


class DoseTraining(InferringTraining):
    """A latent action acts as the doses that it is decoded to do: through the pools, before now and after."""

    def __init__(self, *given: Any, **named: Any) -> None:
        """As `InferringTraining`."""
        super().__init__(*given, **named)
        nn.init.constant_(self.actions.decode.bias, -1.5)  # about a day's treatment a day

    def completed(
        self, encoded: Tensor, whole: Window, usual: Tensor, generator: torch.Generator
    ) -> tuple[Window, dict[str, Tensor]]:
        model, ties, sizes = self.model, self.ties, self.model.shape
        mean = self.inferred(encoded, whole, usual)
        first = sizes.context - sizes.memory + sizes.patch
        missed, logged = self.decoded(mean, split(whole, first)[1], usual)
        terms = {"rate": ties.rate * rate(mean), "decode": ties.decode * missed}
        values, mask, bare = whole.values.clone(), whole.mask.clone(), ~logged.flatten(1).any(1).unsqueeze(1)
        amounts = self.actions.doses(noisy(mean, generator)) / 10 / sizes.patch  # shares of a day in each row
        for columns, amount in zip(model.dynamics.absorption.columns, amounts.unbind(-1), strict=True):
            column = columns[-1]  # the one of single doses
            dose = amount.repeat_interleave(sizes.patch, dim=1) * model.daily(usual)[:, column, None]
            values[:, first:, column] = torch.where(bare, dose, values[:, first:, column])
            mask[:, first:, column] |= bare
        return Window(values, mask, whole.minute), terms


def carry_over(before: Training, after: Training) -> None:
    """The weights of a run, for another that goes on from it with other people; latent actions where both have them."""
    after.model.load_state_dict(before.model.state_dict())
    if isinstance(before, InferringTraining) and isinstance(after, InferringTraining):
        after.actions.load_state_dict(before.actions.state_dict())
