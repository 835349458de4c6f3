"""Doses over the next hours: search a patient's futures under hard limits and risk budgets, answer, and guard the answer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from careplan.breach import Breach
from careplan.planning.account import Account, account
from careplan.planning.actions import NO_CHANGE
from careplan.planning.binding import bound_doses
from careplan.planning.choice import choose
from careplan.planning.doses import DoseProblem
from careplan.planning.model import PlanningModel
from careplan.planning.safety import DoseContext, bounds_of, closed, guard_doses
from careplan.planning.search import Backend, Plans, exhaustive, search
from careplan.planning.tree import tail_mean
from careplan.stages import stage
from careplan.therapy import Limits, Therapy

EXHAUSTIVE_LEAVES = 5_000  # up to this many leaves a patient, every sequence is tried unless simulations are asked for


@dataclass(frozen=True, eq=False)
class DosePlans:
    """What the search answers for B patients: three options each (`choice.OPTIONS`), D decisions, P particles, M levels a
    decision.

    actions `[B, 3, D, 2]`; levels `[B, 3, P, D * M]`; risk `[B, 3, P]` mean risk; below `[B, 3, P, Q]` share of time below each
    cost's threshold; violation `[B, 3, Q]` share of particles that go below it at all; objective `[B, 3]` tail mean of risk.
    changed, abstained, has_runner_up `[B]`. reasons: why it abstains; refused: what the guard has against the proposal, where it
    did not let it pass. bound: hard limits that forbade a first action. pruned: costs whose budget forbade one. evaluated `[B]`:
    plans that were allowed and compared. binding: the hard limits and the budgets that a better plan would break; empty where
    nobody asked, and where it abstains. A prediction is NaN where the model's is. account: what the options were scored by; it
    says nothing of those who abstain.
    """

    interval: float
    actions: Tensor
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
    evaluated: Tensor
    account: Account


@torch.no_grad()
def plan_doses(
    model: PlanningModel,
    state: Tensor,
    therapy: Therapy,
    limits: Sequence[Limits],
    context: DoseContext,
    table: tuple[Tensor, Tensor],
    *,
    interval: float | None = None,
    depth: int = 3,
    budget: Tensor | None = None,
    margin: Tensor | None = None,
    risk_level: float = 0.5,
    worth: float = 0.1,
    effort: float = 0.02,
    simulations: int | None = None,
    seed: int = 0,
    widening: int | None = None,
    backend: Backend = "eager",
    binding: bool = False,
) -> DosePlans:
    """The best sequence of doses for each of B patients, its runner-up with another first action, and no change.

    interval: minutes of a decision, the clock's where None. state: `[B, P, S]`. context: its D columns are the decisions to the
    horizon, of which the first `depth` may change something. table: candidates and which exist, from `actions.dose_table`.
    budget: `[B, Q]` mean share of time below each cost's threshold (the therapy's where None); margin: `[B, Q]` conformal margin
    taken off it. A plan that gives more treatment must keep within it at every such step by itself, without counting on a later
    reduction. risk_level: the objective is the mean risk of this share of the worst particles. worth: how much less risk than no
    change a plan must have. simulations: of a tree search, for many patients or long plans; None tries every sequence where a
    patient has few enough, else 128. widening: of that search, as `search` says, those candidates first that gain most by
    themselves. binding: find which limits bind. A patient's plan does not depend on who else is in the batch.

    Raises ValueError where shapes disagree. What is missing or absurd is no error: that patient's gate is closed, and said.
    """
    batch, decisions = context.baseline.shape
    candidates, exists = table
    sizes = (len(state), len(limits), len(context.level), len(context.on_board), len(candidates), len(exists))
    if any(size != batch for size in sizes):
        raise ValueError(f"plan_doses: {batch} patients by the baseline rates, but sizes {sizes}")
    if context.on_board.shape[1] != decisions or len(context.remaining) != decisions:
        raise ValueError(f"plan_doses: {decisions} decisions by the baseline rates, but on_board or remaining of another length")
    if not 1 <= depth <= decisions:
        raise ValueError(f"plan_doses: depth {depth}, expected 1 to {decisions}")
    interval = therapy.clock.decision if interval is None else interval
    reasons = closed(context, limits, therapy)
    bounds = bounds_of(limits, state.device)
    gate = torch.tensor([not told for told in reasons], device=state.device)
    problem = DoseProblem(
        model=model,
        state=state,
        therapy=therapy,
        bounds=bounds,
        context=context,
        gate=gate,
        table=candidates,
        exists=exists,
        interval=interval,
        decisions=decisions,
        effort=effort,
    )
    allowance = state.new_tensor([cost.budget for cost in therapy.costs]).expand(batch, -1) if budget is None else budget
    allowance = allowance if margin is None else allowance - margin
    allowance = torch.nan_to_num(allowance, nan=-1.0)  # an unknown budget or margin allows nothing
    if simulations is None and candidates.shape[1] ** depth <= EXHAUSTIVE_LEAVES:
        plans = exhaustive(problem, depth=depth, budget=allowance)
    else:
        uniform = torch.rand(candidates.shape[1], generator=torch.Generator().manual_seed(seed)).clamp(1e-9, 1.0 - 1e-7)
        noise = -torch.log(-torch.log(uniform)).to(state).expand(batch, -1)  # the same for every patient of a batch
        problem = problem.informed(allowance, risk_level, ranked=widening is not None)
        found = search(
            problem,
            simulations=simulations or 128,
            depth=depth,
            budget=allowance,
            noise=noise,
            risk_level=risk_level,
            parallel=True,
            widening=widening,
            backend=backend,
        )
        plans = found.plans()
    answer = _answer(problem, plans, limits, reasons, allowance, risk_level, worth)
    if not binding:
        return answer
    told = bound_doses(problem, answer.account.score[:, 0], allowance, risk_level, worth)
    abstained = answer.abstained.tolist()
    return replace(answer, binding=tuple(() if closed else each for each, closed in zip(told, abstained, strict=True)))


def _answer(
    problem: DoseProblem,
    plans: Plans,
    limits: Sequence[Limits],
    reasons: list[list[Breach]],
    budget: Tensor,
    risk_level: float,
    worth: float,
) -> DosePlans:
    """Choose among the plans, replay what is chosen, and guard it."""
    batch, decisions = problem.context.baseline.shape
    chosen = choose(plans, risk_level, worth)
    has_other, actions = chosen.has_other, plans.sequence(chosen.nodes, decisions)

    for row in plans.broken.nonzero().flatten().tolist():
        reasons[row].append(Breach("finite"))
    abstained = torch.tensor([bool(why) for why in reasons], device=actions.device)
    unchanged = actions[:, 2:]
    actions = torch.where(abstained[:, None, None, None], unchanged, actions)
    levels, held = problem.replay(actions)
    refused: list[tuple[Breach, ...]] = [()] * batch
    for row in range(batch):
        for option in (1, 0):
            with stage("guard"):
                against = () if reasons[row] else _guard(problem, limits[row], actions[row, option], held[row, option], row)
            if against:  # the search and the guard disagree: believe the guard
                actions[row, option], levels[row, option] = actions[row, 2], levels[row, 2]
                has_other[row] = has_other[row] & (option == 0)
                if option == 0:
                    refused[row] = against
                    abstained[row] = True
    changed = (actions[:, 0] != unchanged[:, 0]).any(-1).any(-1)
    risk = problem.therapy.risk(levels).mean(-1)
    below = torch.stack([cost.rate(levels) for cost in problem.therapy.costs], -1)
    effort = problem.effort * (actions != actions.new_tensor(NO_CHANGE)).any(-1).sum(-1, keepdim=True).expand_as(risk).to(risk)
    bound = {name: hit.tolist() for name, hit in problem.bound_now().items()}
    return DosePlans(
        interval=problem.interval,
        actions=actions,
        levels=levels,
        risk=risk,
        below=below.mean(-2),
        violation=below.amax(-2).mean(-2),
        objective=-tail_mean(-risk, risk_level),
        changed=changed,
        abstained=abstained,
        has_runner_up=has_other & ~abstained,
        reasons=tuple(map(tuple, reasons)),
        refused=tuple(refused),
        bound=tuple(tuple(Breach(name) for name, hit in bound.items() if hit[row]) for row in range(batch)),
        pruned=plans.pruned_by(budget, [cost.name for cost in problem.therapy.costs]),
        binding=((),) * batch,
        evaluated=plans.eligible.sum(1),
        account=account(chosen.scores, risk, {"change": effort}, risk_level=risk_level, worth=worth),
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
        interval=problem.interval,
    )
    return guarded.breaches

