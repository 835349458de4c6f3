"""A regimen for the coming weeks: search over which lines to change, by the same machinery that plans doses.

A plan takes a few steps: each changes a line, or lines that may move together, by a capped factor, and no line twice. It is
scored by the levels that a given evaluator predicts under the whole regimen. Cuts in treatment come before increases along a
path, so that an increase may rest on a cut but never the other way round.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from careplan.breach import Breach
from careplan.planning.binding import limits_binding_lines
from careplan.planning.choice import Answer, choose, refused_by
from careplan.planning.model import Expansion
from careplan.planning.moves import Moves, directions, moves_of, value_of
from careplan.planning.safety import RegimenLine, guard_line
from careplan.planning.score_terms import score_terms
from careplan.planning.search import Plans, TreeSearch, search
from careplan.planning.tree import prior_of, tail_mean
from careplan.therapy import Therapy

STRONGEST = 0.25  # the share of particles, those with the most of a cost, that plans which give more of several kinds are held by
FACTORS = (0.7, 0.8, 0.9, 1.1, 1.2)  # of treatment: a line of which more is less treatment moves by as much the other way
Evaluate = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True, eq=False)
class RegimenPlans(Answer):
    """The answer in settings: L lines, M levels, Q costs.

    values, multipliers `[B, 3, L]`; levels `[B, 3, P, M]`; below `[B, 3, P, Q]`; objective `[B, 3]`. binding: the rules and the
    budgets that a better regimen would break; empty where nobody asked, and where it abstains. advice: values beyond the
    recommended range.
    """

    values: Tensor
    multipliers: Tensor
    levels: Tensor
    below: Tensor
    objective: Tensor
    binding: tuple[tuple[Breach, ...], ...]
    advice: tuple[tuple[Breach, ...], ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class RegimenQuestion:
    """What is asked of the coming weeks of B patients.

    lines: L for each patient, in the evaluator's order; those without evidence are left alone. together: places of lines that may
    also move as one, by the same factor, those that the guard allows. parts: `[M]` the part of the day of each level: an increase
    may not bring any part beyond the budget, nor make one worse that already is. budget, margin: `[B, Q]`, as in
    `planner.DoseQuestion`.
    """

    lines: Sequence[Sequence[RegimenLine]]
    therapy: Therapy
    together: Sequence[Sequence[int]] = ()
    parts: Tensor | None = None
    budget: Tensor | None = None
    margin: Tensor | None = None

    def __post_init__(self) -> None:
        count = len(self.lines[0]) if self.lines else 0
        if not count or any(len(each) != count for each in self.lines):
            numbers = [len(each) for each in self.lines]
            raise ValueError(f"plan_regimen: {numbers} lines by patient, expected the same number of each, above 0")

    def budgets(self) -> tuple[Tensor, Tensor]:
        """`[B, Q]` each: the budgets less their margins, and whole; where one is unknown it allows nothing."""
        full = torch.tensor([cost.budget for cost in self.therapy.costs]).expand(len(self.lines), -1)
        full = full if self.budget is None else self.budget
        less = full if self.margin is None else full - self.margin
        return torch.nan_to_num(less, nan=-1.0), torch.nan_to_num(full, nan=-1.0)


@dataclass(frozen=True, kw_only=True)
class RegimenSearch:
    """How a regimen is searched.

    risk_level: the objective is the mean risk of this share of the worst particles. worth: how much less risk than no change a
    plan must have; penalty: in risk, for each step; excess: for each percent of time beyond a budget, so that what is unsafe goes
    first. changes: the most steps; strengthened: of how many kinds of setting (`RegimenLine.kind`) they may give more, since what
    each does alone is better known than what they do together; apart: of how many kinds they may move lines at all (any where
    None), where all together by one factor count as one. factors: of treatment, that are tried. simulations: of the tree search,
    beside one evaluation of every single change, from which its prior comes. binding: find which rules and budgets bind, by one
    more evaluation.
    """

    risk_level: float = 0.5
    worth: float = 0.2
    penalty: float = 0.05
    excess: float = 0.3
    changes: int = 3
    strengthened: int = 1
    apart: int | None = None
    factors: Sequence[float] = FACTORS
    simulations: int = 64
    binding: bool = False


@dataclass(frozen=True, eq=False)
class RegimenProblem:
    """Which lines to change. A node's state: multipliers `[L]`, the rank of the last change, the number of changes.

    logits `[B, K]`: prior, of each change alone. budget: `[B, Q]`; costs count for the whole and for each part. direction
    `[B, L]`; kinds `[L, G]`: which kind of setting each line is.
    """

    evaluate: Evaluate
    asked: RegimenQuestion
    how: RegimenSearch
    moves: Moves
    logits: Tensor
    budget: Tensor
    direction: Tensor
    kinds: Tensor

    @property
    def therapy(self) -> Therapy:
        return self.asked.therapy

    @cached_property
    def numbered(self) -> Tensor:
        """`[B, K, L + 1]` the candidates, each with its place: what a step of the search is."""
        place = torch.arange(self.moves.table.shape[1], dtype=self.moves.table.dtype).expand(len(self.moves.table), -1)
        return torch.cat([self.moves.table, place.unsqueeze(-1)], -1)

    def root(self) -> Expansion:
        """The regimen as it stands."""
        batch, _, lines = self.moves.table.shape
        multipliers = self.moves.table.new_ones(batch, 1, lines)
        clock = multipliers.new_zeros(batch, 1)
        return self._look(multipliers, clock - 1.0, clock, clock > 0)

    def expand(self, state: Tensor, action: Tensor) -> Expansion:
        """Multiply a line, and evaluate the whole regimen."""
        multipliers, last, count = state[..., :-2] * action[..., :-1], state[..., -2], state[..., -1]
        chosen = action[..., -1].long()
        last = torch.maximum(last, self.moves.rank.gather(1, chosen))
        return self._look(multipliers, last, count + (chosen > 0), self.moves.raises.gather(1, chosen))

    def _look(self, multipliers: Tensor, last: Tensor, count: Tensor, raises: Tensor) -> Expansion:
        value = self.judged(multipliers)
        value[..., 0] -= self.how.penalty * count.unsqueeze(-1)
        later = self.moves.rank.unsqueeze(1) > last.unsqueeze(-1)
        untouched = ~((self.moves.table != 1.0).unsqueeze(1) & (multipliers != 1.0).unsqueeze(2)).any(-1)
        more = self._more(multipliers).unsqueeze(2) | self._more(self.moves.table).unsqueeze(1)  # [B, W, K, G]
        few = ~self.moves.raises.unsqueeze(1) | (more.sum(-1) <= self.how.strengthened)
        apart = self.kinds.shape[0] if self.how.apart is None else self.how.apart
        kinds = self._moved(multipliers).unsqueeze(2) | self._moved(self.moves.table).unsqueeze(1)
        few &= (kinds.sum(-1) <= apart) | (self.moves.whole & (count == 0).unsqueeze(-1))
        valid = self.moves.open.unsqueeze(1) & later & untouched & few & (count < self.how.changes).unsqueeze(-1)
        valid[..., 0] = ~valid[..., 1:].any(-1)  # every node is already the plan that stops there
        return Expansion(
            state=torch.cat([multipliers, last.unsqueeze(-1), count.unsqueeze(-1)], dim=-1),
            reward=torch.zeros_like(value),
            value=value,
            table=self.numbered.unsqueeze(1).expand(-1, last.shape[1], -1, -1),
            valid=valid,
            logits=self.logits.unsqueeze(1).expand_as(valid),
            raises=raises,
        )

    def _more(self, multipliers: Tensor) -> Tensor:
        """Multipliers `[B, W, L]` -> of which kinds they give more `[B, W, G]`."""
        return (((multipliers - 1.0) * self.direction.unsqueeze(1) > 0).unsqueeze(-1) & self.kinds).any(-2)

    def _moved(self, multipliers: Tensor) -> Tensor:
        """Multipliers `[B, W, L]` -> of which kinds they move lines `[B, W, G]`."""
        return ((multipliers != 1.0).unsqueeze(-1) & self.kinds).any(-2)

    def judged(self, multipliers: Tensor) -> Tensor:
        """The outcome of regimens `[B, W, L]`. Of those that give more of several kinds at once, costs are what they are in the
        particles that answer most strongly, since what the kinds do together is known the least."""
        found = self.outcome(self.evaluate(multipliers))
        several = (self._more(multipliers).sum(-1) > 1)[..., None, None]
        strongest = -tail_mean(-found[..., 1:].transpose(-1, -2), STRONGEST).unsqueeze(-2)
        return torch.cat([found[..., :1], torch.where(several, strongest, found[..., 1:])], -1)

    def outcome(self, levels: Tensor) -> Tensor:
        """Levels `[B, W, P, M]` -> minus mean risk, each cost over the whole, and over each part: `[B, W, P, C]`."""
        rates = [cost.rate(levels) for cost in self.therapy.costs]
        reward = -self.therapy.risk(levels).mean(-1) - torch.stack([*self.charges(levels).values()]).sum(0)
        channels = [reward, *(rate.mean(-1) for rate in rates)]
        if self.asked.parts is not None:
            channels += [rate[..., self.asked.parts == part].mean(-1) for part in self.asked.parts.unique() for rate in rates]
        outcome = torch.stack(channels, -1)
        return torch.where(torch.isfinite(levels).all(-1, keepdim=True), outcome, torch.full_like(outcome, torch.nan))

    def charges(self, levels: Tensor) -> dict[str, Tensor]:
        """What time beyond each cost's budget counts, in risk: levels `[B, W, P, M]` -> `[B, W, P]` by cost."""
        charged = {}
        for cost, allowed in zip(self.therapy.costs, self.budget.T, strict=True):
            over = (cost.rate(levels).mean(-1) - allowed[:, None, None]).clamp(min=0)
            charged[f"budget {cost.name}"] = self.how.excess * 100.0 * over
        return charged


@torch.no_grad()
def plan_regimen(evaluate: Evaluate, asked: RegimenQuestion, how: RegimenSearch | None = None) -> RegimenPlans:
    """The best few changes to the regimens of B patients, a runner-up with another first change, and no change.

    Args:
        evaluate: Multipliers `[B, W, L]` -> predicted levels `[B, W, P, M]` under each regimen; may be called with any W.
        asked: Of whom, which lines, by what budgets.
        how: The settings of the search.

    Returns:
        What is proposed, its runner-up and no change, by patient.
    """
    how, lines, therapy = how or RegimenSearch(), asked.lines, asked.therapy
    moves, costs = moves_of(lines, asked.together, how.factors), len(therapy.costs)
    within, full = asked.budgets()
    problem = RegimenProblem(
        evaluate=evaluate,
        asked=asked,
        how=how,
        moves=moves,
        logits=torch.zeros(moves.open.shape),
        budget=within,
        direction=directions(lines),
        kinds=torch.tensor([[line.kind == kind for kind in dict.fromkeys(each.kind for each in lines[0])] for line in lines[0]]),
    )
    single = problem.judged(moves.table)  # [B, K, P, C]
    standing = single[:, 0, :, 1 + costs :].mean(1)
    each_part = torch.maximum(full.repeat(1, standing.shape[1] // costs), standing + 1e-6)
    allowance = torch.cat([within, torch.nan_to_num(each_part, nan=-1.0)], 1)
    spent = single[:, 0, :, 1 : 1 + costs].mean(1)  # of what is within the budget, nobody is charged for what they have already
    charged = torch.maximum(within, torch.minimum(torch.nan_to_num(spent, nan=-1.0), full))
    problem = replace(problem, logits=prior_of(single, allowance, how.risk_level), budget=charged)
    settings = TreeSearch(simulations=how.simulations, depth=how.changes, risk_level=how.risk_level, parallel=True)
    found = search(problem, settings, budget=allowance)
    answer = _answer(problem, found.plans(), single, within)
    if not how.binding or bool(answer.abstained.all()):
        return answer
    bound = limits_binding_lines(problem, answer.multipliers[:, 0].float())
    abstained = answer.abstained.tolist()
    return replace(answer, binding=tuple(() if none else each for each, none in zip(bound, abstained, strict=True)))


def _answer(problem: RegimenProblem, plans: Plans, single: Tensor, budget: Tensor) -> RegimenPlans:
    """Choose among the plans, guard every line of what is chosen, and evaluate it once more. single `[B, K, P, C]`: the outcome
    of each change alone."""
    lines, how, costs, batch = problem.asked.lines, problem.how, problem.therapy.costs, len(problem.asked.lines)
    chosen = choose(plans, how.risk_level, how.worth)
    steps = plans.sequence(chosen.nodes, how.changes)[..., :-1]
    multipliers = steps.prod(2)
    sick = ~torch.isfinite(single).flatten(1).all(1)
    reasons = [_silent(bool(plans.broken[row]) or bool(sick[row]), problem.moves.open[row, 1:]) for row in range(batch)]
    advice: list[tuple[Breach, ...]] = [()] * batch

    def guard(row: int, option: int) -> tuple[Breach, ...]:
        against, advised = _guarded(lines[row], multipliers[row, option].tolist())
        if option == 0:
            advice[row] = advised
        return against

    refused = refused_by(guard, batch, multipliers.device)
    multipliers = refused.instead(multipliers)
    abstained = torch.tensor([bool(why or against) for why, against in zip(reasons, refused.proposals, strict=True)])
    multipliers = torch.where(abstained[:, None, None], torch.ones_like(multipliers), multipliers)
    picked = list(zip(lines, multipliers.tolist(), strict=True))
    levels = problem.evaluate(multipliers)
    values = [[[value_of(line, m) for line, m in zip(each, some, strict=True)] for some in options] for each, options in picked]
    risk = problem.therapy.risk(levels).mean(-1)
    below = torch.stack([cost.rate(levels).mean(-1) for cost in costs], -1)
    change = how.penalty * (steps != 1.0).any(-1).sum(-1, keepdim=True).expand_as(risk).to(risk)
    charges = {"change": change, **problem.charges(levels)}
    return RegimenPlans(
        values=torch.tensor(values, dtype=torch.float64),
        multipliers=multipliers,
        levels=levels,
        risk=risk,
        below=below,
        objective=-tail_mean(-risk, how.risk_level),
        changed=(multipliers[:, 0] != 1.0).any(-1),
        abstained=abstained,
        has_runner_up=chosen.has_other & ~refused.options[:, 1] & ~abstained,
        reasons=tuple(reasons),
        refused=refused.proposals,
        bound=problem.moves.bound,
        pruned=_pruned(problem, single, budget),
        binding=((),) * batch,
        advice=tuple(advice),
        evaluated=plans.eligible.sum(1),
        terms=score_terms(chosen.scores, risk, charges, risk_level=how.risk_level, worth=how.worth),
    )


def _silent(sick: bool, opened: Tensor) -> tuple[Breach, ...]:
    """Why the search abstains for one patient, of whose changes some are `opened` `[K - 1]`."""
    return (*((Breach("finite"),) if sick else ()), *(() if bool(opened.any()) else (Breach("no open line"),)))


def _guarded(lines: Sequence[RegimenLine], multipliers: Sequence[float]) -> tuple[tuple[Breach, ...], tuple[Breach, ...]]:
    """What the guard has against the first line of a regimen that it does not let pass, and what it advises of those before."""
    advised: list[Breach] = []
    for line, multiplier in zip(lines, multipliers, strict=True):
        value = value_of(line, multiplier)
        guarded = guard_line(line, value)
        if not guarded.allowed:
            return guarded.breaches, tuple(advised)
        if value != line.current:
            advised += guarded.advice
    return (), tuple(advised)


def _pruned(problem: RegimenProblem, single: Tensor, budget: Tensor) -> tuple[tuple[str, ...], ...]:
    """The costs whose budget `[B, Q]` closed a single change, by patient."""
    costs, moves = problem.therapy.costs, problem.moves
    over = (single[:, :, :, 1 : 1 + len(costs)].mean(2) > budget.unsqueeze(1)) & (moves.raises & moves.open).unsqueeze(-1)
    return tuple(tuple(cost.name for cost, hit in zip(costs, hits, strict=True) if hit) for hits in over.any(1).tolist())
