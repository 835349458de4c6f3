"""What is asked of a patient's future, and what is answered."""

from dataclasses import dataclass, replace
from enum import StrEnum

import torch
from torch import Tensor


class Given(StrEnum):
    """What is given of a future: nothing (usual amounts are assumed), a plan as if careplan had made it, or a record of what was
    done.

    >>> Given("plan") is Given.PLAN, Given.RECORD.codes(2).tolist()
    (True, [2, 2])
    """

    NOTHING = "nothing"
    PLAN = "plan"
    RECORD = "record"

    @property
    def code(self) -> int:
        """How tensors hold it."""
        return tuple(Given).index(self)

    def codes(self, count: int, device: torch.device | str = "cpu") -> Tensor:
        """`[count]` of its code: the same is given of all."""
        return torch.full((count,), self.code, device=device)


@dataclass(frozen=True, eq=False)
class Question:
    """B futures of doses and disturbances, `[B, T, C]` values where `mask`, `T` rows of the therapy's step.

    given: `[B]` codes of what is `Given` of each. usual, code: of the patients. evidence: `[B, H, E]` what a record shows beside
    its doses (`WorldModel.recorded_evidence`). frozen: `[B]` rows that teach nothing about the effects of doses under a plan. The
    level of the future itself, where given, is not looked at.
    """

    values: Tensor
    mask: Tensor
    given: Tensor
    usual: Tensor
    code: Tensor
    evidence: Tensor | None = None
    frozen: Tensor | None = None

    @classmethod
    def plan(cls, values: Tensor, mask: Tensor, usual: Tensor, code: Tensor) -> "Question":
        """What a plan would do."""
        return cls(values, mask, Given.PLAN.codes(len(values), values.device), usual, code)

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
