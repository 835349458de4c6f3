"""What is asked of a patient's future, and what is answered."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from careplan.world.dynamics import PLAN


@dataclass(frozen=True, eq=False)
class Question:
    """B futures of doses and disturbances, `[B, T, C]` values where `mask`, `T` rows of the therapy's step.

    asked: `[B]` whether NOTHING is given but what is usual, a PLAN of our own, or a RECORD of what was done. usual, code: of the
    patients. evidence: `[B, H, E]` what a record tells (`WorldModel.told`). frozen: `[B]` rows that teach nothing about the
    effects of doses under a plan. The level of the future itself, where given, is not looked at.
    """

    values: Tensor
    mask: Tensor
    asked: Tensor
    usual: Tensor
    code: Tensor
    evidence: Tensor | None = None
    frozen: Tensor | None = None

    @classmethod
    def plan(cls, values: Tensor, mask: Tensor, usual: Tensor, code: Tensor) -> "Question":
        """What a plan would do."""
        return cls(values, mask, torch.full((len(values),), PLAN, device=values.device), usual, code)

    def chosen(self, rows: Tensor) -> "Question":
        """Some rows."""
        return Question(*(None if part is None else part[rows] for part in vars(self).values()))  # type: ignore[arg-type]

    def of(self, code: Tensor) -> "Question":
        """The same asked of other codes."""
        return replace(self, code=code)


@dataclass(frozen=True, eq=False)
class Rollout:
    """Predicted futures at `minutes` `[H]` ahead, the first being now.

    level `[B, H]` and offsets `[B, H, 4]`, the distance to the QUANTILES of what will be measured: of the first output, in its
    unit. levels `[B, H, Q]`, spreads `[B, H, Q, 4]`: of every output, scaled. z, pools: context and pools, `[B, H, L]`,
    `[B, H, S]`.
    """

    minutes: Tensor
    level: Tensor
    offsets: Tensor
    z: Tensor
    pools: Tensor
    levels: Tensor
    spreads: Tensor
