"""Doses over the next hours: search a patient's futures under hard limits and risk budgets, answer, and guard the answer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from careplan.breach import Breach
from careplan.planning.actions import NO_CHANGE
from careplan.planning.binding import limits_binding_doses
from careplan.planning.choice import Answer, choose, refused_by
from careplan.planning.doses import DoseProblem
from careplan.planning.model import PlanningModel
from careplan.planning.safety import DoseContext, bounds_of, guard_doses, reasons_to_change_nothing
from careplan.planning.score_terms import score_terms
from careplan.planning.search import EXHAUSTIVE_LEAVES, Backend, Plans, TreeSearch, exhaustive, search, shared_noise
from careplan.planning.tree import tail_mean
from careplan.stages import stage
from careplan.therapy import Limits, Therapy


@dataclass(frozen=True, kw_only=True, eq=False)
class DosePlans(Answer):
    """The answer in doses: D decisions of `decision` minutes, M levels a decision, Q costs.

    actions `[B, 3, D, 2]`; levels `[B, 3, P, D * M]`; below `[B, 3, P, Q]` share of time below each cost's threshold; objective
    `[B, 3]` tail mean of risk. binding: the hard limits and the budgets that a better plan would break; empty where nobody asked,
    and where it abstains. A prediction is NaN where the model's is.
    """

    decision: float
    actions: Tensor
    levels: Tensor
    below: Tensor
    objective: Tensor
    binding: tuple[tuple[Breach, ...], ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class DoseQuestion:
    """What is asked of the coming hours of B patients.

    state: `[B, P, S]` the model's, now. limits: by patient. context: what is known now; its D columns are the decisions to the
    horizon. candidates `[B, K, 2]`, of which exists `[B, K]` does: from `actions.dose_table`. budget: `[B, Q]` mean share of
    time below each cost's threshold, the therapy's where None; margin: `[B, Q]` what is taken off it. A plan that gives more
    treatment must keep within it at every such step by itself, without counting on a later reduction.
    """

    state: Tensor
    therapy: Therapy
    limits: Sequence[Limits]
    context: DoseContext
    candidates: Tensor
    exists: Tensor
    budget: Tensor | None = None
    margin: Tensor | None = None

    def __post_init__(self) -> None:
        batch, decisions = self.context.baseline.shape
        parts = (self.state, self.limits, self.context.level, self.context.on_board, self.candidates, self.exists)
        if any(len(part) != batch for part in parts):
            raise ValueError(f"plan_doses: {batch} patients by the baseline rates, but sizes {tuple(map(len, parts))}")
        if self.context.on_board.shape[1] != decisions or len(self.context.remaining) != decisions:
            raise ValueError(
                f"plan_doses: {decisions} decisions by the baseline rates, but on_board or remaining of another length"
            )

    def allowance(self) -> Tensor:
        """`[B, Q]` the budgets less their margins; where one is unknown it allows nothing."""
        whole = self.state.new_tensor([cost.budget for cost in self.therapy.costs]).expand(len(self.state), -1)
        whole = whole if self.budget is None else self.budget
        return torch.nan_to_num(whole if self.margin is None else whole - self.margin, nan=-1.0)


@dataclass(frozen=True, kw_only=True)
class DoseSearch:
    """How doses are searched.

    depth: decisions, the first ones, that may change something. risk_level: the objective is the mean risk of this share of the
    worst particles. worth: how much less risk than no change a plan must have; effort: what each change costs, in risk.
    simulations: of a tree search, for many patients or long plans; None tries every sequence where a patient has few enough, else
    128. widening: of that search, as `search` says, those candidates first that gain most by themselves. binding: find which
    limits bind.
    """

    depth: int = 3
    risk_level: float = 0.5
    worth: float = 0.1
    effort: float = 0.02
    simulations: int | None = None
    seed: int = 0
    widening: int | None = None
    backend: Backend = "eager"
    binding: bool = False


@torch.no_grad()
def plan_doses(model: PlanningModel, asked: DoseQuestion, how: DoseSearch | None = None) -> DosePlans:
    """The best sequence of doses for each of B patients, its runner-up with another first action, and no change.

    A patient's plan does not depend on who else is in the batch. What is missing or absurd is no error: that patient's
    doses stay as they are, and why is said.

    Args:
        model: The patients' futures.
        asked: Of whom, by what limits and budgets.
        how: The settings of the search.

    Returns:
        What is proposed, its runner-up and no change, by patient.

    Raises:
        ValueError: The search is deeper than the question has decisions.
    """
    how = how or DoseSearch()
    decisions = asked.context.baseline.shape[1]
    if not 1 <= how.depth <= decisions:
        raise ValueError(f"plan_doses: depth {how.depth}, expected 1 to {decisions}")
    reasons = reasons_to_change_nothing(asked.context, asked.limits, asked.therapy)
    problem = DoseProblem(
        model=model,
        state=asked.state,
        therapy=asked.therapy,
        bounds=bounds_of(asked.limits, asked.state.device),
        context=asked.context,
        may_change=torch.tensor([not why for why in reasons], device=asked.state.device),
        table=asked.candidates,
        exists=asked.exists,
        decision=asked.therapy.clock.decision,
        decisions=decisions,
        effort=how.effort,
    )
    budget = asked.allowance()
    problem, plans = _searched(problem, budget, how)
    answer = _answer(problem, plans, asked.limits, reasons, budget, how)
    if not how.binding:
        return answer
    bound = limits_binding_doses(problem, answer.terms.score[:, 0], budget, how.risk_level, how.worth)
    abstained = answer.abstained.tolist()
    return replace(answer, binding=tuple(() if none else each for each, none in zip(bound, abstained, strict=True)))


def _searched(problem: DoseProblem, budget: Tensor, how: DoseSearch) -> tuple[DoseProblem, Plans]:
    """The problem as it was searched, and every plan of interest, evaluated."""
    candidates = problem.table.shape[1]
    if how.simulations is None and candidates**how.depth <= EXHAUSTIVE_LEAVES:
        return problem, exhaustive(problem, depth=how.depth, budget=budget)
    problem = problem.informed(budget, how.risk_level, ranked=how.widening is not None)
    settings = TreeSearch(
        simulations=how.simulations or 128,
        depth=how.depth,
        risk_level=how.risk_level,
        parallel=True,
        widening=how.widening,
        backend=how.backend,
    )
    found = search(problem, settings, budget=budget, noise=shared_noise(candidates, how.seed, problem.state))
    return problem, found.plans()


def _answer(
    problem: DoseProblem,
    plans: Plans,
    limits: Sequence[Limits],
    reasons: list[list[Breach]],
    budget: Tensor,
    how: DoseSearch,
) -> DosePlans:
    """Choose among the plans, replay what is chosen, and guard it."""
    batch, decisions = problem.context.baseline.shape
    chosen = choose(plans, how.risk_level, how.worth)
    actions = plans.sequence(chosen.nodes, decisions)
    for row in plans.broken.nonzero().flatten().tolist():
        reasons[row].append(Breach("finite"))
    silent = torch.tensor([bool(why) for why in reasons], device=actions.device)
    actions = torch.where(silent[:, None, None, None], actions[:, 2:], actions)
    levels, held = problem.replay(actions)

    def guard(row: int, option: int) -> tuple[Breach, ...]:
        with stage("guard"):
            return () if reasons[row] else _guard(problem, limits[row], actions[row, option], held[row, option], row)

    refused = refused_by(guard, batch, actions.device)
    actions, levels = refused.instead(actions), refused.instead(levels)
    abstained = silent | refused.options[:, 0]
    risk = problem.therapy.risk(levels).mean(-1)
    below = torch.stack([cost.rate(levels) for cost in problem.therapy.costs], -1)
    effort = problem.effort * (actions != actions.new_tensor(NO_CHANGE)).any(-1).sum(-1, keepdim=True).expand_as(risk).to(risk)
    bound = {name: hit.tolist() for name, hit in problem.bound_now().items()}
    return DosePlans(
        decision=problem.decision,
        actions=actions,
        levels=levels,
        risk=risk,
        below=below.mean(-2),
        objective=-tail_mean(-risk, how.risk_level),
        changed=(actions[:, 0] != actions[:, 2]).any(-1).any(-1),
        abstained=abstained,
        has_runner_up=chosen.has_other & ~refused.options[:, 1] & ~abstained,
        reasons=tuple(map(tuple, reasons)),
        refused=refused.proposals,
        bound=tuple(tuple(Breach(name) for name, hit in bound.items() if hit[row]) for row in range(batch)),
        pruned=plans.pruned_by(budget, [cost.name for cost in problem.therapy.costs]),
        binding=((),) * batch,
        evaluated=plans.eligible.sum(1),
        terms=score_terms(chosen.scores, risk, {"change": effort}, risk_level=how.risk_level, worth=how.worth),
    )


def _guard(problem: DoseProblem, limits: Limits, actions: Tensor, held: Tensor, row: int) -> tuple[Breach, ...]:
    context = problem.context
    guarded = guard_doses(
        actions.tolist(),
        limits,
        on_board=context.on_board[row].tolist(),
        since_last=float(context.since_last[row]),
        levels=held.tolist(),
        baseline=context.baseline[row].tolist(),
        remaining=context.remaining.tolist(),
        interval=problem.decision,
    )
    return guarded.breaches
