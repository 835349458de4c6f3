"""A course of treatment: any impulses, rates and choices that a therapy declares, searched under its rules, costs and ends."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from careplan.breach import Breach
from careplan.planning.choice import Answer, choose, refused_by
from careplan.planning.menu import Menu
from careplan.planning.model import Expansion, PlanningModel
from careplan.planning.objective import RULE_SHARE, by_output, risk_of, spent
from careplan.planning.rules import Moment, Past, PlannedCourse, breaches_of, guard_course, rules_of
from careplan.planning.safety import allowed_of
from careplan.planning.score_terms import score_terms
from careplan.planning.search import EXHAUSTIVE_LEAVES, Backend, Plans, TreeSearch, exhaustive, search, shared_noise
from careplan.planning.tree import prior_of, tail_mean
from careplan.therapy import Limits


@dataclass(frozen=True, kw_only=True)
class CourseSearch:
    """How a course is searched. depth: decisions that may change something. risk_level: the objective is the mean of this share
    of the worst particles. worth: how much less risk than no change a plan must have; effort: what each change costs, in risk.
    simulations: of a tree search; None tries every sequence where there are few enough, else 128."""

    depth: int = 3
    risk_level: float = 0.5
    worth: float = 0.05
    effort: float = 0.01
    simulations: int | None = None
    seed: int = 0
    backend: Backend = "eager"


@dataclass(frozen=True, eq=False)
class CourseProblem:
    """B patients' courses over D decisions, P particles, Q outputs, A actions. A node's state: the model's `[P, S]`; which end
    each particle met `[P]`; amounts given `[D, A]`; the decision.

    state: the model's now. level `[B, Q]`: each output as measured or believed now. may_change `[B]`: whose
    course may be changed at all. table, exists: candidates.
    """

    model: PlanningModel
    state: Tensor
    menu: Menu
    past: Past
    level: Tensor
    may_change: Tensor
    limits: Limits
    table: Tensor
    exists: Tensor
    effort: float
    prior: Tensor | None = None

    def root(self) -> Expansion:
        """The present: as it stands to the end, and what may be done now."""
        model = self.state.unsqueeze(1)
        ended = model.new_zeros(*model.shape[:3])
        given = model.new_zeros(len(model), 1, self.menu.decisions, self.table.shape[-1])
        depth, now = torch.zeros_like(given[..., 0, 0]), self.level.unsqueeze(1)
        return self._look(model, ended, given, depth, (now, now), None, depth > 0)

    def expand(self, state: Tensor, action: Tensor) -> Expansion:
        """Take an action, let a decision's time pass, and see what no further change would do."""
        model, ended, given, depth = self._unpack(state)
        amounts = self.menu.amounts(action, depth.long())
        stands = self.menu.amounts(self.menu.unchanged.to(action).expand_as(action), depth.long())
        here = torch.arange(self.menu.decisions, device=state.device) == depth.unsqueeze(-1)
        given = given + here.unsqueeze(-1) * amounts.unsqueeze(2)
        model, levels = self.model.step(model, action)
        changed = (amounts != stands).any(-1)
        reward, ended = self._outcome(levels, ended, amounts)
        reward[..., 0] -= self.effort * changed.unsqueeze(-1)
        last = torch.stack([each[..., -1] for each in by_output(self.menu.therapy, levels)], -1)  # [B, W, P, Q]
        now = _tails(last.transpose(-1, -2))
        return self._look(model, ended, given, depth + 1, now, reward, changed)  # less may harm as more may

    def _look(
        self,
        model: Tensor,
        ended: Tensor,
        given: Tensor,
        depth: Tensor,
        now: tuple[Tensor, Tensor],
        reward: Tensor | None,
        changed: Tensor,
    ) -> Expansion:
        value, ahead = self._no_change(model, ended, depth)
        moment = Moment(
            depth=depth.long(), given=given, low=torch.minimum(now[0], ahead[0]), high=torch.maximum(now[1], ahead[1])
        )
        actions = self.table.unsqueeze(1).expand(-1, depth.shape[1], -1, -1)
        broken = breaches_of(self.limits.rules, self.menu, self.past, moment, actions)
        unchanged = (actions == self.menu.unchanged.to(actions)).all(-1)
        later = (depth < self.menu.decisions)[..., None] | unchanged
        logits = torch.zeros_like(self.table[..., 0]) if self.prior is None else self.prior
        return Expansion(
            state=torch.cat([model.flatten(2), ended, given.flatten(2), depth.unsqueeze(-1)], dim=-1),
            reward=torch.zeros_like(value) if reward is None else reward,
            value=value,
            table=actions,
            valid=allowed_of(broken, unchanged, self.may_change) & self.exists.unsqueeze(1) & later,
            logits=logits.unsqueeze(1).expand(-1, depth.shape[1], -1),
            raises=changed,
        )

    def _no_change(self, model: Tensor, ended: Tensor, depth: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The outcome `[B, W, P, C]` of the rest as it stands, and the tails of each output's lowest and highest level until the
        next decision, `[B, W, Q]` each."""
        unchanged = self.menu.unchanged.to(model).expand(*depth.shape, -1)
        total: Tensor | None = None
        ahead: tuple[Tensor, Tensor] | None = None
        for step in range(self.menu.decisions):
            amounts = self.menu.amounts(unchanged, (depth + step).long())
            model, levels = self.model.step(model, unchanged)
            if ahead is None:
                each = by_output(self.menu.therapy, levels)
                lowest, highest = (torch.stack([pick(part) for part in each], -2) for pick in (_lowest, _highest))
                ahead = _tails(lowest)[0], _tails(highest)[1]
            outcome, ended = self._outcome(levels, ended, amounts)
            within = (depth + step < self.menu.decisions)[..., None, None]
            outcome = torch.where(within, outcome, torch.zeros_like(outcome))
            total = outcome if total is None else total + outcome
        if total is None or ahead is None:
            raise ValueError(f"{self.menu.therapy.name}: the future as it stands is shorter than one decision")
        return total, ahead

    def _outcome(self, levels: Tensor, ended: Tensor, amounts: Tensor) -> tuple[Tensor, Tensor]:
        """One decision's levels `[B, W, P, Q M]` -> its part of the whole `[B, W, P, C]`: minus risk and burden, then each cost;
        and which ends were met."""
        therapy, decisions = self.menu.therapy, self.menu.decisions
        risk, after = risk_of(therapy, levels, ended)
        burdens = torch.tensor([action.burden for action in therapy.actions], device=levels.device)
        reward = -risk.mean(-1) / decisions - (amounts * burdens).sum(-1).unsqueeze(-1)
        costs = spent(therapy, levels) / torch.tensor(
            [decisions if cost.of == "share" else 1 for cost in therapy.costs], device=levels.device
        )
        outcome = torch.cat([reward.unsqueeze(-1), costs], -1)
        finite = torch.isfinite(levels).all(-1, keepdim=True)  # a comparison turns NaN into "not beyond": keep it
        return torch.where(finite, outcome, torch.full_like(outcome, torch.nan)), after

    def _unpack(self, state: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        particles, size = self.state.shape[1:]
        shape = (self.menu.decisions, self.table.shape[-1])
        parts = state.split([particles * size, particles, shape[0] * shape[1], 1], dim=-1)  # type: ignore[no-untyped-call]
        model, ended, given, depth = parts
        return model.unflatten(-1, (particles, size)), ended, given.unflatten(-1, shape), depth[..., 0]

    def informed(self, budget: Tensor, risk_level: float) -> "CourseProblem":
        """The same with a prior: what each candidate gains, taken now and nothing after, within a budget `[B, costs]`."""
        root = self.root()
        alone = self.expand(root.state.expand(-1, self.table.shape[1], -1), self.table)
        return replace(self, prior=prior_of(alone.reward + alone.value, budget, risk_level))

    def replay(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Sequences `[B, W, D, A]` -> levels `[B, W, P, D, Q M]`, amounts `[B, W, D, A]`, the lowest and the highest level that
        the rules compare at each decision `[B, W, D, Q]`, and the outcome of each decision `[B, W, P, D, C]`.
        """
        wide = actions.shape[1]
        model = self.state.unsqueeze(1).expand(-1, wide, -1, -1)
        ended = model.new_zeros(*model.shape[:3])
        now = (self.level.unsqueeze(1).expand(-1, wide, -1),) * 2
        found: list[list[Tensor]] = [[], [], [], [], []]
        for step in range(self.menu.decisions):
            depth = torch.full(model.shape[:2], float(step), device=model.device)
            _, ahead = self._no_change(model, ended, depth)
            amounts = self.menu.amounts(actions[:, :, step], depth.long())
            low, high = torch.minimum(now[0], ahead[0]), torch.maximum(now[1], ahead[1])
            model, levels = self.model.step(model, actions[:, :, step])
            outcome, ended = self._outcome(levels, ended, amounts)
            last = torch.stack([each[..., -1] for each in by_output(self.menu.therapy, levels)], -1)
            now = _tails(last.transpose(-1, -2))
            for kept, part in zip(found, (levels, amounts, low, high, outcome), strict=True):
                kept.append(part)
        whole, given, lowest, highest, outcomes = found
        return (
            torch.stack(whole, 3),
            torch.stack(given, 2),
            torch.stack(lowest, 2),
            torch.stack(highest, 2),
            torch.stack(outcomes, 3),
        )


def _lowest(levels: Tensor) -> Tensor:
    return levels.amin(-1)


def _highest(levels: Tensor) -> Tensor:
    return levels.amax(-1)


def _tails(levels: Tensor) -> tuple[Tensor, Tensor]:
    """Levels `[..., Q, P]` -> the mean of the lowest and of the highest particles, `[..., Q]` each."""
    return tail_mean(levels, RULE_SHARE), -tail_mean(-levels, RULE_SHARE)


@dataclass(frozen=True, kw_only=True, eq=False)
class CoursePlans(Answer):
    """The answer in actions: D decisions of A actions, Q outputs. Its risk counts burdens and ends.

    actions, amounts `[B, 3, D, A]`: as the menu has them, and in the channels' units. levels `[B, 3, P, Q, D M]`; spent
    `[B, 3, P, costs]`.
    """

    actions: Tensor
    amounts: Tensor
    levels: Tensor
    spent: Tensor


@torch.no_grad()
def plan_course(
    model: PlanningModel,
    state: Tensor,
    menu: Menu,
    limits: Limits,
    level: Tensor,
    history: Tensor,
    *,
    budget: Tensor | None = None,
    how: CourseSearch | None = None,
) -> CoursePlans:
    """The best sequence of actions for each of B patients, its runner-up with another first action, and no change.

    Args:
        model: The patients' futures as they stand, which an action moves (`latent.latent_course`).
        state: `[B, P, S]` where they begin.
        menu: What may be done, and what stands.
        limits: Whose rules hold, and whose largest doses and rates, spacing and floor are rules too (`rules.rules_of`); the
            same for all patients of a call.
        level: `[B, Q]` each output now; NaN is unknown, and then nothing may be changed.
        history: `[B, H, A]` amounts a row before now, newest last; NaN is unknown.
        budget: `[B, costs]` of the therapy where None.
        how: The settings of the search.

    Returns:
        What is proposed, its runner-up and no change, by patient.

    Raises:
        ValueError: The therapy declares no actions, or a limit that no rule can say, or the future as it stands is shorter than
            the search.
    """
    how, therapy = how or CourseSearch(), menu.therapy
    if not therapy.actions:
        raise ValueError(f"{therapy.name}: no action is declared, so there is nothing to plan")
    if not 1 <= how.depth <= menu.decisions:
        raise ValueError(f"{therapy.name}: a search {how.depth} decisions deep, expected 1 to {menu.decisions}")
    reasons = _reasons_to_change_nothing(menu, level)
    may_change = torch.tensor([not why for why in reasons], device=state.device)
    table, exists = (part.to(state.device) for part in menu.candidates())
    limits = replace(limits, rules=rules_of(limits, therapy))
    known = torch.where(torch.isfinite(level), level, torch.tensor([output.best for output in therapy.outputs]).to(level))
    problem = CourseProblem(model, state, menu, Past(history), known, may_change, limits, table, exists, how.effort)
    whole = state.new_tensor([cost.budget for cost in therapy.costs]).expand(len(state), -1) if budget is None else budget
    # What is beyond a budget as it stands may be mended in steps: a change is pruned where it spends more than both.
    standing = problem.root().value[:, 0, :, 1:].mean(1)
    whole = torch.maximum(torch.nan_to_num(whole, nan=-1.0), torch.nan_to_num(standing, nan=-1.0) + 1e-6)
    return _answer(problem, _searched(problem, whole, how), reasons, whole, how)


def _searched(problem: CourseProblem, budget: Tensor, how: CourseSearch) -> Plans:
    """Every plan of interest, evaluated."""
    candidates = problem.table.shape[1]
    if how.simulations is None and candidates**how.depth <= EXHAUSTIVE_LEAVES:
        return exhaustive(problem, depth=how.depth, budget=budget)
    settings = TreeSearch(
        simulations=how.simulations or 128,
        depth=how.depth,
        risk_level=how.risk_level,
        parallel=True,
        backend=how.backend,
    )
    problem = problem.informed(budget, how.risk_level)
    found = search(problem, settings, budget=budget, noise=shared_noise(candidates, how.seed, problem.state))
    return found.plans()


def _reasons_to_change_nothing(menu: Menu, level: Tensor) -> list[list[Breach]]:
    """Why only no change may be answered, for each patient."""
    found: list[list[Breach]] = []
    for row in level.tolist():
        channels = [menu.therapy.channel(output.name) for output in menu.therapy.outputs]
        wrong = [(c, value) for c, value in zip(channels, row, strict=True) if not c.low <= value <= c.high]
        found.append([Breach("level", c.name, {"level": value, "low": c.low, "high": c.high}) for c, value in wrong])
    return found


def _answer(problem: CourseProblem, plans: Plans, reasons: list[list[Breach]], budget: Tensor, how: CourseSearch) -> CoursePlans:
    """Choose among the plans, replay what is chosen, and guard it."""
    menu, batch = problem.menu, len(problem.state)
    chosen = choose(plans, how.risk_level, how.worth)
    actions = plans.sequence(chosen.nodes, menu.decisions)
    for row in plans.broken.nonzero().flatten().tolist():
        reasons[row].append(Breach("finite"))
    silent = torch.tensor([bool(why) for why in reasons], device=actions.device)
    actions = torch.where(silent[:, None, None, None], actions[:, 2:], actions)
    levels, amounts, low, high, outcome = problem.replay(actions)

    def guard(row: int, option: int) -> tuple[Breach, ...]:
        return () if reasons[row] else _guarded(problem, row, amounts[row, option], low[row, option], high[row, option])

    refused = refused_by(guard, batch, actions.device)
    actions, levels, amounts, outcome = (refused.instead(part) for part in (actions, levels, amounts, outcome))
    abstained = silent | refused.options[:, 0]
    whole = outcome.sum(3)
    changes = (amounts != amounts[:, 2:]).any(-1).sum(-1, keepdim=True)
    effort = (how.effort * changes).expand_as(whole[..., 0]).to(whole)
    risk = -whole[..., 0]
    return CoursePlans(
        actions=actions,
        amounts=amounts,
        levels=torch.stack([part.flatten(3) for part in by_output(menu.therapy, levels)], 3),
        risk=risk,
        spent=whole[..., 1:],
        changed=(amounts[:, 0] != amounts[:, 2]).flatten(1).any(1),
        abstained=abstained,
        has_runner_up=chosen.has_other & ~refused.options[:, 1] & ~abstained,
        reasons=tuple(map(tuple, reasons)),
        refused=refused.proposals,
        bound=_bound(problem),
        pruned=plans.pruned_by(budget, [cost.name for cost in menu.therapy.costs]),
        evaluated=plans.eligible.sum(1),
        terms=score_terms(chosen.scores, risk, {"change": effort}, risk_level=how.risk_level, worth=how.worth),
    )


def _guarded(problem: CourseProblem, row: int, amounts: Tensor, low: Tensor, high: Tensor) -> tuple[Breach, ...]:
    menu = problem.menu
    plan = PlannedCourse(
        channels=[action.channel for action in menu.therapy.actions],
        outputs=[output.name for output in menu.therapy.outputs],
        amounts=amounts.tolist(),
        standing=menu.standing[row].tolist(),
        history=problem.past.history[row].tolist(),
        low=low.tolist(),
        high=high.tolist(),
        lasts=[r or a.of == "multiple" for a, r in zip(menu.therapy.actions, menu.replaces, strict=True)],
        rows=menu.rows,
        step=menu.therapy.step,
    )
    return guard_course(problem.limits.rules, plan)


def _bound(problem: CourseProblem) -> tuple[tuple[Breach, ...], ...]:
    """By patient, the rules that forbid a candidate now."""
    now, depth = problem.level.unsqueeze(1), torch.zeros(len(problem.level), 1, device=problem.level.device)
    model = problem.state.unsqueeze(1)
    _, ahead = problem._no_change(model, model.new_zeros(*model.shape[:3]), depth)
    given = model.new_zeros(len(model), 1, problem.menu.decisions, problem.table.shape[-1])
    moment = Moment(depth=depth.long(), given=given, low=torch.minimum(now, ahead[0]), high=torch.maximum(now, ahead[1]))
    broken = breaches_of(problem.limits.rules, problem.menu, problem.past, moment, problem.table.unsqueeze(1))
    forbids = {name: (hit[:, 0] & problem.exists).any(1).tolist() for name, hit in broken.items()}
    return tuple(tuple(Breach(name) for name, here in forbids.items() if here[row]) for row in range(len(model)))
