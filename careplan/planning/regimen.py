"""A regimen for the coming weeks: search over which lines to change, by the same machinery that plans doses.

A plan takes a few steps: each changes a line, or lines that may move together, by a capped factor, and no line twice. Its
worth is what a given evaluator makes of the whole regimen.
Cuts in treatment come before increases along a path, so that an increase may rest on a cut but never the other way round.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from careplan.breach import Breach
from careplan.planning.account import Account, account
from careplan.planning.binding import bound_lines
from careplan.planning.choice import choose
from careplan.planning.model import Expansion
from careplan.planning.safety import RegimenLine, guard_line, rounded
from careplan.planning.search import Plans, search
from careplan.planning.tree import prior_of, tail_mean
from careplan.therapy import Therapy

STRONGEST = 0.25  # the share of particles, those with the most of a cost, that plans which give more of several kinds are held by
FACTORS = (0.7, 0.8, 0.9, 1.1, 1.2)  # of treatment: a line of which more is less treatment moves by as much the other way
Evaluate = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class RegimenPlans:
    """What the search answers for B patients: proposed, runner-up and no change; L lines, P particles, M levels.

    values, multipliers `[B, 3, L]`; levels `[B, 3, P, M]`; risk `[B, 3, P]`; below `[B, 3, P, Q]`; violation `[B, 3, Q]` share of
    particles beyond a cost's budget; objective `[B, 3]`; changed, abstained, has_runner_up, evaluated `[B]`.
    reasons: why it abstains; refused: what the guard has against the proposal, where it did not let it pass.
    bound: the rules that closed a change. pruned: costs whose budget closed a single change. binding: the rules and the budgets
    that a better regimen would break; empty where nobody asked, and where it abstains. advice: values beyond the recommended
    range. account: what the options were scored by; it says nothing of those who abstain.
    """

    values: Tensor
    multipliers: Tensor
    levels: Tensor
    risk: Tensor
    below: Tensor
    violation: Tensor
    objective: Tensor
    changed: Tensor
    abstained: Tensor
    has_runner_up: Tensor
    reasons: tuple[tuple[Breach, ...], ...]
    refused: tuple[tuple[Breach, ...], ...]
    bound: tuple[tuple[Breach, ...], ...]
    pruned: tuple[tuple[str, ...], ...]
    binding: tuple[tuple[Breach, ...], ...]
    advice: tuple[tuple[Breach, ...], ...]
    evaluated: Tensor
    account: Account


@dataclass(frozen=True, eq=False)
class RegimenProblem:
    """Which lines to change. A node's state: multipliers `[L]`, the rank of the last change, the number of changes.

    table `[B, K, L]`: what each candidate multiplies, candidate 0 nothing; open `[B, K]`: what the guard allows.
    rank `[B, K]`: cuts first, then by line; raises `[B, K]`. logits `[B, K]`: prior, of each change alone.
    parts: `[M]` the part of the day of each level, or None; costs count for the whole and for each part.
    budget: `[B, Q]`; excess: in risk, for each percent of time that a cost is beyond it, so that what is unsafe goes first.
    direction `[B, L]`; kinds `[L, G]`: which kind of setting each line is; strengthened: of how many kinds a plan may give more.
    apart: of how many kinds it may move lines; whole `[K]`: candidates that move all kinds as one, with which a plan may begin.
    """

    evaluate: Evaluate
    therapy: Therapy
    table: Tensor
    open: Tensor
    rank: Tensor
    raises: Tensor
    logits: Tensor
    parts: Tensor | None
    changes: int
    penalty: float
    budget: Tensor
    excess: float
    direction: Tensor
    kinds: Tensor
    strengthened: int
    apart: int
    whole: Tensor

    @cached_property
    def numbered(self) -> Tensor:
        """`[B, K, L + 1]` the candidates, each with its place: what a step of the search is."""
        place = torch.arange(self.table.shape[1], dtype=self.table.dtype).expand(len(self.table), -1)
        return torch.cat([self.table, place.unsqueeze(-1)], -1)

    def root(self) -> Expansion:
        """The regimen as it stands."""
        batch, _, lines = self.table.shape
        multipliers = self.table.new_ones(batch, 1, lines)
        clock = multipliers.new_zeros(batch, 1)
        return self._look(multipliers, clock - 1.0, clock, clock > 0)

    def expand(self, state: Tensor, action: Tensor) -> Expansion:
        """Multiply a line, and evaluate the whole regimen."""
        multipliers, last, count = state[..., :-2] * action[..., :-1], state[..., -2], state[..., -1]
        chosen = action[..., -1].long()
        last = torch.maximum(last, self.rank.gather(1, chosen))
        return self._look(multipliers, last, count + (chosen > 0), self.raises.gather(1, chosen))

    def _look(self, multipliers: Tensor, last: Tensor, count: Tensor, raises: Tensor) -> Expansion:
        value = self.judged(multipliers)
        value[..., 0] -= self.penalty * count.unsqueeze(-1)
        later = self.rank.unsqueeze(1) > last.unsqueeze(-1)
        untouched = ~((self.table != 1.0).unsqueeze(1) & (multipliers != 1.0).unsqueeze(2)).any(-1)
        more = self._more(multipliers).unsqueeze(2) | self._more(self.table).unsqueeze(1)  # [B, W, K, G]
        few = ~self.raises.unsqueeze(1) | (more.sum(-1) <= self.strengthened)
        kinds = self._moved(multipliers).unsqueeze(2) | self._moved(self.table).unsqueeze(1)
        few &= (kinds.sum(-1) <= self.apart) | (self.whole & (count == 0).unsqueeze(-1))
        valid = self.open.unsqueeze(1) & later & untouched & few & (count < self.changes).unsqueeze(-1)
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
        if self.parts is not None:
            channels += [rate[..., self.parts == part].mean(-1) for part in self.parts.unique() for rate in rates]
        outcome = torch.stack(channels, -1)
        return torch.where(torch.isfinite(levels).all(-1, keepdim=True), outcome, torch.full_like(outcome, torch.nan))

    def charges(self, levels: Tensor) -> dict[str, Tensor]:
        """What time beyond each cost's budget counts, in risk: levels `[B, W, P, M]` -> `[B, W, P]` by cost."""
        charged = {}
        for cost, allowed in zip(self.therapy.costs, self.budget.T, strict=True):
            over = (cost.rate(levels).mean(-1) - allowed[:, None, None]).clamp(min=0)
            charged[f"budget {cost.name}"] = self.excess * 100.0 * over
        return charged


@torch.no_grad()
def plan_regimen(
    evaluate: Evaluate,
    lines: Sequence[Sequence[RegimenLine]],
    therapy: Therapy,
    *,
    together: Sequence[Sequence[int]] = (),
    parts: Tensor | None = None,
    budget: Tensor | None = None,
    margin: Tensor | None = None,
    risk_level: float = 0.5,
    worth: float = 0.2,
    penalty: float = 0.05,
    excess: float = 0.3,
    changes: int = 3,
    strengthened: int = 1,
    apart: int | None = None,
    factors: Sequence[float] = FACTORS,
    simulations: int = 64,
    binding: bool = False,
) -> RegimenPlans:
    """The best few changes to the regimens of B patients, a runner-up with another first change, and no change.

    evaluate: multipliers `[B, W, L]` -> predicted levels `[B, W, P, M]` under each regimen; may be called with any W. lines:
    L for each patient, in the evaluator's order. together: places of lines that may also move as one, by the same factor, those
    that the guard allows. parts: `[M]` the part of the day of each level: an increase may not bring any
    part beyond the budget, nor make one worse that already is. budget, margin: `[B, Q]`, as in `plan_doses`. worth: how much
    less risk than no change a plan must have; penalty: in risk, for each step; excess: for each percent of time beyond a
    budget. changes: the most steps; strengthened: of how many kinds of setting (`RegimenLine.kind`) they may give more, since
    what each does alone is better known than what they do together; apart: of how many kinds they may move lines at all (any),
    where all together by one factor count as one.
    simulations: of the tree search, beside one evaluation of every single change, from which its prior comes. binding: find
    which rules and budgets bind, by one more evaluation.

    Raises ValueError where patients have different numbers of lines. Lines without evidence are left alone.
    """
    batch, count = len(lines), len(lines[0]) if lines else 0
    if not count or any(len(each) != count for each in lines):
        raise ValueError(
            f"plan_regimen: {[len(each) for each in lines]} lines by patient, expected the same number of each, above 0"
        )
    proposed, allowed, bound = candidates(lines, factors)
    current = torch.tensor([[line.current for line in each] for each in lines])
    direction = torch.tensor([[line.direction for line in each] for each in lines])
    ratio = torch.where(allowed, proposed / current.repeat_interleave(len(factors), 1), torch.ones_like(proposed))
    members = torch.stack([torch.isin(torch.arange(count), torch.tensor(each)) for each in (*range(count), *together)])
    moves = torch.where(members[:, None], ratio.unflatten(1, (count, -1)).mT.unsqueeze(1), 1.0).flatten(1, 2)  # [B, K - 1, L]
    alone = torch.arange(len(members)).repeat_interleave(len(factors)) < count
    moved = (moves != 1.0).sum(-1)
    table = torch.cat([moves.new_ones(batch, 1, count), moves], 1)
    raises = ((table - 1.0) * direction.unsqueeze(1) > 0).any(-1)
    place = torch.cat([torch.tensor([-1]), torch.arange(len(members)).repeat_interleave(len(factors))])
    order = place + len(members) * raises.float()
    everything = members.all(1).repeat_interleave(len(factors))
    is_open = torch.cat([torch.ones(batch, 1, dtype=torch.bool), (moved > 1) | (alone & (moved == 1))], 1)
    full = torch.tensor([cost.budget for cost in therapy.costs]).expand(batch, -1) if budget is None else budget
    whole = torch.nan_to_num(full if margin is None else full - margin, nan=-1.0)
    problem = RegimenProblem(
        evaluate=evaluate,
        therapy=therapy,
        table=table,
        open=is_open,
        rank=order,
        raises=raises,
        logits=torch.zeros(is_open.shape),
        parts=parts,
        changes=changes,
        penalty=penalty,
        budget=whole,
        excess=excess,
        direction=direction,
        kinds=torch.tensor([[line.kind == kind for kind in dict.fromkeys(each.kind for each in lines[0])] for line in lines[0]]),
        strengthened=strengthened,
        apart=count if apart is None else apart,
        whole=torch.cat([torch.zeros(1, dtype=torch.bool), everything]),
    )
    single = problem.judged(table)  # [B, K, P, C]
    costs = len(therapy.costs)
    standing = single[:, 0, :, 1 + costs :].mean(1)
    each_part = torch.maximum(full.repeat(1, standing.shape[1] // costs), standing + 1e-6)
    allowance = torch.cat([whole, torch.nan_to_num(each_part, nan=-1.0)], 1)
    spent = single[:, 0, :, 1 : 1 + costs].mean(1)  # of what is within the budget, nobody is charged for what they have already
    charged = torch.maximum(whole, torch.minimum(torch.nan_to_num(spent, nan=-1.0), torch.nan_to_num(full, nan=-1.0)))
    problem = replace(problem, logits=prior_of(single, allowance, risk_level), budget=charged)
    found = search(
        problem, simulations=simulations, depth=changes, budget=allowance, considered=16, risk_level=risk_level, parallel=True
    )
    over = (single[:, :, :, 1 : 1 + costs].mean(2) > whole.unsqueeze(1)) & (raises & is_open).unsqueeze(-1)
    pruned = tuple(tuple(c.name for c, hit in zip(therapy.costs, hits, strict=True) if hit) for hits in over.any(1).tolist())
    sick = ~torch.isfinite(single).flatten(1).all(1)
    answer = _answer(problem, found.plans(), lines, whole, risk_level, worth, sick, bound, pruned)
    if not binding or bool(answer.abstained.all()):
        return answer
    told = bound_lines(problem, lines, factors, answer.multipliers[:, 0].float(), risk_level, worth)
    abstained = answer.abstained.tolist()
    return replace(answer, binding=tuple(() if closed else each for each, closed in zip(told, abstained, strict=True)))


def candidates(
    lines: Sequence[Sequence[RegimenLine]], factors: Sequence[float]
) -> tuple[Tensor, Tensor, tuple[tuple[Breach, ...], ...]]:
    """Each line under each factor, rounded towards the current value: proposed, allowed `[B, L * F]`; the rules that forbid."""
    proposed, allowed, bound = [], [], []
    for each in lines:
        values, fine = [], []
        broken: list[Breach] = []
        for line in each:
            seen = {line.current}
            for factor in factors:
                value = rounded(line, factor if line.direction > 0 else 2.0 - factor)
                guarded = guard_line(line, value)
                values.append(value)
                fine.append(guarded.allowed and value not in seen)
                broken += guarded.breaches
                seen.add(value)
        proposed.append(values)
        allowed.append(fine)
        bound.append(tuple(dict.fromkeys(broken)))
    return torch.tensor(proposed), torch.tensor(allowed), tuple(bound)


def _answer(
    problem: RegimenProblem,
    plans: Plans,
    lines: Sequence[Sequence[RegimenLine]],
    budget: Tensor,
    risk_level: float,
    worth: float,
    sick: Tensor,
    bound: tuple[tuple[Breach, ...], ...],
    pruned: tuple[tuple[str, ...], ...],
) -> RegimenPlans:
    """Choose among the plans, evaluate what is chosen once more, and guard every line of it."""
    batch, chosen = len(lines), choose(plans, risk_level, worth)
    has_other, steps = chosen.has_other, plans.sequence(chosen.nodes, problem.changes)[..., :-1]
    multipliers = steps.prod(2)
    reasons: list[list[Breach]] = [[] for _ in range(batch)]
    refused: list[list[Breach]] = [[] for _ in range(batch)]
    advice: list[tuple[Breach, ...]] = []
    for row in range(batch):
        if plans.broken[row] or sick[row]:
            reasons[row].append(Breach("finite"))
        if not problem.open[row, 1:].any():
            reasons[row].append(Breach("no open line"))
        advised: list[Breach] = []
        for option in (1, 0):
            for index, line in enumerate(lines[row]):
                value = _value(line, float(multipliers[row, option, index]))
                guarded = guard_line(line, value)
                if not guarded.allowed:
                    has_other[row] = has_other[row] & (option == 0)
                    multipliers[row, option] = 1.0
                    refused[row] += guarded.breaches if option == 0 else ()
                elif option == 0 and value != line.current:
                    advised += guarded.advice
        advice.append(tuple(advised))
    abstained = torch.tensor([bool(why or against) for why, against in zip(reasons, refused, strict=True)])
    multipliers = torch.where(abstained[:, None, None], torch.ones_like(multipliers), multipliers)
    picked = list(zip(lines, multipliers.tolist(), strict=True))
    levels = problem.evaluate(multipliers)
    values = torch.tensor(
        [[[_value(line, m) for line, m in zip(each, option, strict=True)] for option in options] for each, options in picked],
        dtype=torch.float64,
    )
    risk = problem.therapy.risk(levels).mean(-1)
    below = torch.stack([cost.rate(levels).mean(-1) for cost in problem.therapy.costs], -1)
    change = problem.penalty * (steps != 1.0).any(-1).sum(-1, keepdim=True).expand_as(risk).to(risk)
    return RegimenPlans(
        values=values,
        multipliers=multipliers,
        levels=levels,
        risk=risk,
        below=below,
        violation=(below > budget[:, None, None]).to(risk.dtype).mean(2),
        objective=-tail_mean(-risk, risk_level),
        changed=(multipliers[:, 0] != 1.0).any(-1),
        abstained=abstained,
        has_runner_up=has_other & ~abstained,
        reasons=tuple(map(tuple, reasons)),
        refused=tuple(map(tuple, refused)),
        bound=bound,
        pruned=pruned,
        binding=((),) * batch,
        advice=tuple(advice),
        evaluated=plans.eligible.sum(1),
        account=account(
            chosen.scores, risk, {"change": change, **problem.charges(levels)}, risk_level=risk_level, worth=worth
        ),
    )


def _value(line: RegimenLine, multiplier: float) -> float:
    """The value behind a multiplier, exact: a whole number of increments."""
    if multiplier == 1.0:
        return line.current
    return round(round(line.current * multiplier / line.increment) * line.increment, 6)
