"""From the plans that a search evaluated to the three that are shown: proposed, runner-up, no change."""

from dataclasses import dataclass

import torch
from torch import Tensor

from careplan.planning.search import Plans

OPTIONS = ("proposed", "runner-up", "no change")


@dataclass(frozen=True, eq=False)
class Chosen:
    """nodes, scores `[B, 3]`: of `OPTIONS`, no change where there is no runner-up. has_other `[B]`: whether there is one."""

    nodes: Tensor
    scores: Tensor
    has_other: Tensor


def choose(plans: Plans, risk_level: float, worth: float) -> Chosen:
    """The best plan where it scores by `worth` more than no change, the best with another first action, and no change."""
    rows = torch.arange(len(plans.parent), device=plans.parent.device)
    scores = plans.scores(risk_level)
    node, score = plans.best(risk_level)
    node = torch.where(score > scores[:, 0] + worth, node, torch.zeros_like(node))
    other, second = plans.best(risk_level, excluding=plans.first[rows, node])
    has_other = torch.isfinite(second)
    other = torch.where(has_other, other, torch.zeros_like(other))
    nodes = torch.stack([node, other, torch.zeros_like(node)], dim=1)
    return Chosen(nodes, scores.gather(1, nodes), has_other)
