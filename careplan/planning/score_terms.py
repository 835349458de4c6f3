"""The terms of an answer's score, so that it can be explained by the search's own numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from careplan.planning.tree import tail_weights


@dataclass(frozen=True, eq=False)
class ScoreTerms:
    """B patients, O options, P particles. Score = -(weights * (mean risk + what is charged beside it)).sum(-1).

    score `[B, O]`: as the search had it. weights, risk `[B, O, P]`: a particle's weight in the tail mean, and its mean risk.
    charges: `[B, O, P]` in risk, by what is charged. worth: by how much a plan must score more than no change.
    """

    score: Tensor
    weights: Tensor
    risk: Tensor
    charges: Mapping[str, Tensor]
    worth: float

    def total(self) -> Tensor:
        """`[B, O, P]` what each particle would count for: risk and charges."""
        return self.risk + torch.stack([*self.charges.values()]).sum(0)


def score_terms(score: Tensor, risk: Tensor, charges: Mapping[str, Tensor], *, risk_level: float, worth: float) -> ScoreTerms:
    """The terms of scores `[B, O]` from mean risk `[B, O, P]` and charges by name, `[B, O, P]` each."""
    plain = ScoreTerms(score, torch.ones_like(risk), risk, charges, worth)
    return replace(plain, weights=tail_weights(-plain.total(), risk_level))
