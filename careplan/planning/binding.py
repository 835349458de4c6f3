"""Which limits bound an answer: those that something better would break, and not whatever closed any candidate.

Something better is one step away from the answer: for doses another first action with nothing after it, for settings one more
line moved. It scores more than the answer, and more than no change by what a change must be worth; and it keeps every limit but
those that are named.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from careplan.breach import Breach
from careplan.planning.doses import DoseProblem
from careplan.planning.safety import RegimenLine, guard_line, rounded
from careplan.planning.tree import tail_mean

if TYPE_CHECKING:
    from careplan.planning.regimen import RegimenProblem

BEYOND = 0.1  # how much further than the search goes a line is tried: its caps are named then, too
CLOSE = 1e-3  # in score: what is not better by more than this is as good


def limits_binding_doses(
    problem: DoseProblem, score: Tensor, budget: Tensor, risk_level: float, worth: float
) -> tuple[tuple[Breach, ...], ...]:
    """The hard limits and the budgets `[B, Q]` that bind answers of a score `[B]`, no change having the score of the root."""
    root, wide = problem.root(), problem.table.shape[1]
    alone = problem.expand(root.state.expand(-1, wide, -1), problem.table)
    outcome = alone.reward + alone.value  # [B, K, P, C]
    nothing = tail_mean(root.value[:, 0, :, 0], risk_level)
    wanted = (tail_mean(outcome[..., 0], risk_level) > _better(score, nothing, worth).unsqueeze(1)) & problem.exists
    over = outcome[..., 1:].mean(-2) > budget.unsqueeze(1)  # [B, K, Q]
    broken = problem.broken_now()
    within, free = ~(over.any(-1) & alone.raises), ~torch.stack(list(broken.values())).any(0)
    limits = {name: (mask & wanted & within).any(1).tolist() for name, mask in broken.items()}
    spent = (over & (wanted & free & alone.raises).unsqueeze(-1)).any(1).tolist()
    return tuple(
        (
            *(Breach(name) for name, hits in limits.items() if hits[row]),
            *(Breach(f"budget {cost.name}") for cost, hit in zip(problem.therapy.costs, spent[row], strict=True) if hit),
        )
        for row in range(len(score))
    )


def limits_binding_lines(problem: "RegimenProblem", multipliers: Tensor) -> tuple[tuple[Breach, ...], ...]:
    """The rules and the budgets that bind regimens `[B, L]`: each line is moved once more, by each factor and one beyond them."""
    lines, how = problem.asked.lines, problem.how
    factors = (min(how.factors) - BEYOND, *how.factors, max(how.factors) + BEYOND)
    tries = [_tries(each, factors, chosen) for each, chosen in zip(lines, multipliers.tolist(), strict=True)]
    most = max(map(len, tries))
    tried = torch.ones(len(lines), 2 + most, multipliers.shape[1])  # no change, the answer, and one step from it
    tried[:, 1] = multipliers
    tried[:, 2:] = multipliers.unsqueeze(1)
    for row, some in enumerate(tries):
        for place, (line, value, _) in enumerate(some):
            tried[row, 2 + place, line] = value
    outcome = problem.outcome(problem.evaluate(tried))  # [B, W, P, C]
    scores = tail_mean(outcome[..., 0], how.risk_level) - how.penalty * (tried != 1.0).any(-1)
    better = scores > _better(scores[:, 1], scores[:, 0], how.worth).unsqueeze(1)
    costs = problem.therapy.costs
    below = outcome[..., 1 : 1 + len(costs)].mean(2)
    over = below > torch.maximum(problem.budget.unsqueeze(1), below[:, :1]) + 1e-6  # a budget that is spent already may stay so
    found = []
    for row, some in enumerate(tries):
        bound: dict[Breach, None] = {}
        for place, (_, _, broken) in enumerate(some, start=2):
            if bool(better[row, place]):
                spent = [Breach(f"budget {cost.name}") for cost, hit in zip(costs, over[row, place].tolist(), strict=True) if hit]
                bound |= dict.fromkeys(() if broken and spent else broken or spent)  # what breaks both would not be let through
        found.append(tuple(bound))
    return tuple(found)


def _better(score: Tensor, nothing: Tensor, worth: float) -> Tensor:
    """What a score must exceed to be better than an answer."""
    return torch.maximum(score + CLOSE, nothing + worth)


def _tries(
    lines: Sequence[RegimenLine], factors: Sequence[float], chosen: Sequence[float]
) -> list[tuple[int, float, tuple[Breach, ...]]]:
    """One more step of each line from its value in the answer: its place, its multiplier, and the rules against it."""
    found = []
    for place, line in enumerate(lines):
        seen = {line.current}
        for factor in factors:
            value = rounded(line, factor if line.direction > 0 else 2.0 - factor)
            if not math.isfinite(value) or not line.current > 0 or value in seen:
                continue
            seen.add(value)
            multiplier = value / line.current
            if not math.isclose(multiplier, chosen[place], rel_tol=1e-6):
                found.append((place, multiplier, guard_line(line, value).breaches))
    return found
