"""From the plans that a search evaluated to the three that are shown: proposed, runner-up, no change."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from careplan.breach import Breach
from careplan.planning.score_terms import ScoreTerms
from careplan.planning.search import Plans

OPTIONS = ("proposed", "runner-up", "no change")


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """What every search tells of B patients, whatever it searched: three options each (`OPTIONS`), P particles.

    risk `[B, 3, P]`: the mean risk. changed, abstained, has_runner_up `[B]`. reasons: why it abstains; refused: the guard's
    objections to a proposal that it did not let pass. bound: hard limits and rules that forbade a first action. pruned: costs
    whose budget forbade one. evaluated `[B]`: plans that were allowed and compared. terms: what the options were scored by; it
    says nothing of those who abstain.
    """

    risk: Tensor
    changed: Tensor
    abstained: Tensor
    has_runner_up: Tensor
    reasons: tuple[tuple[Breach, ...], ...]
    refused: tuple[tuple[Breach, ...], ...]
    bound: tuple[tuple[Breach, ...], ...]
    pruned: tuple[tuple[str, ...], ...]
    evaluated: Tensor
    terms: ScoreTerms


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


@dataclass(frozen=True, eq=False)
class Refused:
    """What the guard does not let pass, for B patients: where the search and the guard disagree, the guard decides.

    options `[B, 3]`: which of `OPTIONS` become no change. proposals: by patient, what the guard has against the proposal.
    """

    options: Tensor
    proposals: tuple[tuple[Breach, ...], ...]

    def instead(self, part: Tensor) -> Tensor:
        """A part of the answer `[B, 3, ...]`, with that of no change in place of what is refused."""
        return torch.where(self.options.view(*self.options.shape, *[1] * (part.ndim - 2)), part[:, 2:], part)


def refused_by(guard: Callable[[int, int], tuple[Breach, ...]], batch: int, device: torch.device) -> Refused:
    """Ask a guard, by patient and option, of what was chosen for B patients."""
    against = [[guard(row, option) for option in (0, 1)] for row in range(batch)]
    options = torch.tensor([[*map(bool, each), False] for each in against], dtype=torch.bool, device=device).view(batch, 3)
    return Refused(options, tuple(proposal for proposal, _ in against))
