"""Dose planning as a search problem: the model's state, a ledger of what was given, and limits masked at every node."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from careplan.planning.actions import NO_CHANGE, added
from careplan.planning.model import Expansion, PlanningModel
from careplan.planning.objective import RULE_SHARE
from careplan.planning.safety import Bounds, DoseContext, allowed, breaches
from careplan.planning.tree import prior_of, tail_mean
from careplan.therapy import Therapy


@dataclass(frozen=True, eq=False)
class DoseProblem:
    """B patients' doses over D decisions. A node's state: the model's; amounts given `[D]`; depth; minutes since an impulse.

    The model's state `[B, P, S]` is opaque, so what is on board is kept here. may_change `[B]`: whose doses may be changed at
    all. table `[B, K, 2]` of candidates, of which exists `[B, K]` does. decision: minutes of each. effort: what each decision
    that changes something must be worth, in risk.
    """

    model: PlanningModel
    state: Tensor
    therapy: Therapy
    bounds: Bounds
    context: DoseContext
    may_change: Tensor
    table: Tensor
    exists: Tensor
    decision: float
    decisions: int
    effort: float
    prior: Tensor | None = None  # [B, K]

    def root(self) -> Expansion:
        """The present: no change to the end, and what may be done now."""
        model = self.state.unsqueeze(1)
        given = model.new_zeros(len(model), 1, self.decisions)
        clock = torch.zeros_like(given[..., 0])
        since = self.context.since_last.unsqueeze(1)
        return self._look(model, given, clock, since, self.context.level.unsqueeze(1), None, given[..., 0] > 0)

    def expand(self, state: Tensor, action: Tensor) -> Expansion:
        """Give doses, let a decision's time pass, and see what no further change would do."""
        model, given, depth, since = self._unpack(state)
        baseline = self._at(self.context.baseline, depth)
        amount = added(action, baseline, self.decision)
        here = torch.arange(self.decisions, device=state.device) == depth.unsqueeze(-1)
        given = given + here * amount.unsqueeze(-1)
        since = torch.where(action[..., 0] > 0.0, torch.zeros_like(since), since) + self.decision
        model, levels = self.model.step(model, action)
        changed = (action != action.new_tensor(NO_CHANGE)).any(-1)
        reward = self._outcome(levels)
        reward[..., 0] -= self.effort * changed.unsqueeze(-1)
        return self._look(model, given, depth + 1, since, tail_mean(levels[..., -1], RULE_SHARE), reward, amount > 0)

    def _look(
        self, model: Tensor, given: Tensor, depth: Tensor, since: Tensor, level: Tensor, reward: Tensor | None, raises: Tensor
    ) -> Expansion:
        wide = depth.shape[1]
        value, ahead = self._no_change(model, depth)
        broken, actions = self._breaches(given, depth, since, torch.minimum(level, ahead))
        return Expansion(
            state=torch.cat([model.flatten(2), given, depth.unsqueeze(-1), since.unsqueeze(-1)], dim=-1),
            reward=torch.zeros_like(value) if reward is None else reward,
            value=value,
            table=actions,
            valid=allowed(broken, actions, self.may_change) & self.exists.unsqueeze(1),
            logits=(torch.zeros_like(self.table[..., 0]) if self.prior is None else self.prior).unsqueeze(1).expand(-1, wide, -1),
            raises=raises,
        )

    def _breaches(self, given: Tensor, depth: Tensor, since: Tensor, level: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """The limits that each candidate would break in W nodes, and the candidates `[B, W, K, 2]`."""
        actions = self.table.unsqueeze(1).expand(-1, depth.shape[1], -1, -1)
        broken = breaches(
            self.bounds,
            on_board=self.on_board(given, depth),
            since_last=since,
            level=level,
            baseline=self._at(self.context.baseline, depth),
            actions=actions,
            interval=self.decision,
        )
        return broken, actions

    def informed(self, budget: Tensor, risk_level: float, *, ranked: bool = False) -> "DoseProblem":
        """The same problem with a prior: what each candidate gains, given now and nothing after, within a budget `[B, Q]`.

        ranked: and with its candidates after no change in the order of that prior, as progressive widening wants them.
        """
        root, wide = self.root(), self.table.shape[1]
        alone = self.expand(root.state.expand(-1, wide, -1), self.table)
        prior = prior_of(alone.reward + alone.value, budget, risk_level)
        if not ranked:
            return replace(self, prior=prior)
        later = prior[:, 1:].masked_fill(~self.exists[:, 1:], -torch.inf).argsort(dim=1, descending=True, stable=True) + 1
        order = torch.cat([torch.zeros_like(later[:, :1]), later], 1)
        table = self.table.gather(1, order.unsqueeze(-1).expand_as(self.table))
        return replace(self, table=table, exists=self.exists.gather(1, order), prior=prior.gather(1, order))

    def bound_now(self) -> dict[str, Tensor]:
        """The hard limits that forbid a candidate now: by name, which patients `[B]`."""
        return {name: (mask & self.exists).any(1) for name, mask in self.broken_now().items()}

    def broken_now(self) -> dict[str, Tensor]:
        """By hard limit, which candidates would break it now, `[B, K]`."""
        clock = torch.zeros_like(self.context.level).unsqueeze(1)
        level = torch.minimum(self.context.level.unsqueeze(1), self._no_change(self.state.unsqueeze(1), clock)[1])
        given = clock.unsqueeze(-1).expand(-1, -1, self.decisions)
        broken, _ = self._breaches(given, clock, self.context.since_last.unsqueeze(1), level)
        return {name: mask[:, 0] for name, mask in broken.items()}

    def _no_change(self, model: Tensor, depth: Tensor) -> tuple[Tensor, Tensor]:
        """The outcome `[B, W, P, C]` of no change to the horizon; the tail of the next decision's lowest level `[B, W]`."""
        unchanged = model.new_tensor(NO_CHANGE).expand(*depth.shape, 2)
        total, ahead = torch.zeros((), device=model.device), torch.zeros_like(depth)
        for step in range(self.decisions):
            model, levels = self.model.step(model, unchanged)
            if step == 0:
                ahead = tail_mean(levels.amin(-1), RULE_SHARE)
            within = (depth + step < self.decisions)[..., None, None]
            outcome = self._outcome(levels)
            total = total + torch.where(within, outcome, torch.zeros_like(outcome))
        return total, ahead

    def _outcome(self, levels: Tensor) -> Tensor:
        """Levels `[B, W, P, M]` -> their share of the horizon's mean `[B, W, P, C]`: minus risk, then each cost."""
        channels = [-self.therapy.risk(levels).mean(-1), *(cost.rate(levels).mean(-1) for cost in self.therapy.costs)]
        outcome = torch.stack(channels, -1) / self.decisions
        # A comparison turns NaN into "not below"; keep it, so that it is seen.
        return torch.where(torch.isfinite(levels).all(-1, keepdim=True), outcome, torch.full_like(outcome, torch.nan))

    def on_board(self, given: Tensor, depth: Tensor) -> Tensor:
        """`[B, W]` on board before a decision: of what was given before the plan, and within it."""
        age = depth.unsqueeze(-1) - torch.arange(self.decisions, device=depth.device)
        left = self.context.remaining[age.clamp(0, self.decisions - 1).long()] * (age >= 0)
        return self._at(self.context.on_board, depth) + (given * left).sum(-1)

    def _at(self, known: Tensor, depth: Tensor) -> Tensor:
        return known.gather(1, depth.long().clamp(max=self.decisions - 1))

    def _unpack(self, state: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        size = self.state.shape[1] * self.state.shape[2]
        model, given, rest = state.split([size, self.decisions, 2], dim=-1)  # type: ignore[no-untyped-call]
        return model.unflatten(-1, tuple(self.state.shape[1:])), given, rest[..., 0], rest[..., 1]

    def replay(self, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Sequences `[B, W, D, 2]` -> levels `[B, W, P, D * M]`; what is held against the floor at each decision `[B, W, D]`."""
        wide = actions.shape[1]
        model = self.state.unsqueeze(1).expand(-1, wide, -1, -1)
        now, levels, held = self.context.level.unsqueeze(1).expand(-1, wide), [], []
        unchanged = actions.new_tensor(NO_CHANGE).expand(actions.shape[0], wide, 2)
        for step in range(self.decisions):
            ahead = tail_mean(self.model.step(model, unchanged)[1].amin(-1), RULE_SHARE)
            held.append(torch.minimum(now, ahead))
            model, found = self.model.step(model, actions[:, :, step])
            now = tail_mean(found[..., -1], RULE_SHARE)
            levels.append(found)
        return torch.cat(levels, -1), torch.stack(held, -1)
