"""Search: Gumbel sequential halving at the root, one simulation or one round at a time, and exhaustive where the tree is small.

The oracle for a search that is not `parallel` is mctx's `gumbel_muzero_policy`: the same visits, values, action (tests/golden).
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from careplan.planning import native
from careplan.planning.halving import Turn, halve, most_visited
from careplan.planning.model import Expansion, Problem
from careplan.planning.tree import (
    CLOSED,
    Scoring,
    Tree,
    descend,
    first_edges,
    grow,
    plant,
    rows_of,
    subtree,
    tail_mean,
    with_room,
)

Backend = Literal["eager", "compiled", "native"]

# No bounds are checked twice, and no read is moved behind a write, which would copy the whole tree.
IN_PLACE: dict[str, str | int | bool | Callable[..., Any]] = {
    "reorder_for_locality": False,
    "assert_indirect_indexing": False,
    "size_asserts": False,
}
EXHAUSTIVE_LEAVES = 5_000  # up to this many leaves a patient, every sequence is tried unless simulations are asked for
GRAPHS = 64  # compiled at most: about seven for each number of trees
ROWS_AT_ONCE = 65_536  # rows (patients x futures) a model is asked for at once by the exhaustive search


@dataclass(frozen=True, eq=False)
class Plans:
    """Every plan that a search evaluated: N nodes a tree, each the actions down to it followed by no change. Node 0 is no change.

    parent, depth, first `[B, N]`: first is the root candidate of the node's path, 0 at the root. action `[B, N, d]`: the step in.
    outcome: `[B, N, P, C]` of the whole plan. eligible: `[B, N]`. broken: `[B]`, the model gave numbers that are not finite.
    table `[B, K, d]`, allowed `[B, K]`, pruned `[B, K]`: the root's candidates, what hard limits and what budgets left of them.
    """

    parent: Tensor
    depth: Tensor
    first: Tensor
    action: Tensor
    outcome: Tensor
    eligible: Tensor
    broken: Tensor
    table: Tensor
    allowed: Tensor
    pruned: Tensor

    def scores(self, risk_level: float) -> Tensor:
        """`[B, N]` tail mean of the reward, -inf where not eligible."""
        return tail_mean(self.outcome[..., 0], risk_level).masked_fill(~self.eligible, -torch.inf)

    def best(self, risk_level: float, *, excluding: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The best eligible node `[B]` and its score `[B]`, without those whose first candidate is `excluding` `[B]`."""
        scores = self.scores(risk_level)
        if excluding is not None:
            scores = scores.masked_fill(self.first == excluding.unsqueeze(1), -torch.inf)
        score, node = scores.max(1)
        return node, score

    def pruned_by(self, budget: Tensor, names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
        """The costs whose budget `[B, costs]` forbade a first action that the hard limits allow, by patient."""
        refused = (self.depth == 1) & ~self.eligible & self.allowed.gather(1, self.first)
        over = (self.outcome[..., 1:].mean(-2) > budget.unsqueeze(1)) & refused.unsqueeze(-1)
        return tuple(tuple(name for name, hit in zip(names, hits, strict=True) if hit) for hits in over.any(1).tolist())

    def sequence(self, node: Tensor, length: int) -> Tensor:
        """The actions of nodes' plans, `[B, X]` -> `[B, X, length, d]`, candidate 0 of the root after their end."""
        rows = torch.arange(len(node), device=node.device).unsqueeze(1)
        steps = torch.arange(length, device=node.device)
        plan = self.table[:, None, :1].repeat(1, node.shape[1], length, 1)
        for _ in range(int(self.depth.max())):
            depth = self.depth[rows, node].unsqueeze(-1)
            here = (steps == depth - 1).unsqueeze(-1)
            plan = torch.where(here, self.action[rows, node].unsqueeze(2), plan)
            node = torch.where(depth[..., 0] > 0, self.parent[rows, node], node)
        return plan


@dataclass(frozen=True, eq=False)
class Found:
    """The tree, the action that sequential halving settles on `[B]`, and the visits and values of the root's edges."""

    tree: Tree
    action: Tensor
    visits: Tensor  # [B, K]
    q: Tensor  # [B, K]
    allowed: Tensor  # [B, K] before any budget pruned

    def plans(self) -> Plans:
        """Every node as a plan."""
        tree = self.tree
        parent, depth, edge = (store[:, :-1].long() for store in (tree.parent, tree.depth, tree.edge))
        return Plans(
            parent=parent,
            depth=depth,
            first=first_edges(parent, depth, edge),
            action=tree.table[rows_of(tree, parent), parent, edge],
            outcome=tree.plan[:, :-1],
            eligible=tree.eligible[:, :-1].bool(),
            broken=tree.broken[:, :-1].any(1),
            table=tree.table[:, 0],
            allowed=self.allowed,
            pruned=self.allowed & (tree.logits[:, 0] <= CLOSED),
        )


@dataclass(frozen=True, kw_only=True)
class TreeSearch:
    """The settings of a tree search.

    simulations: leaves that each tree grows. depth: the longest path. considered: root candidates that halving begins with.
    risk_level: share of the worst particles that a value averages. parallel: advance all survivors of a round at once.
    widening: how many of its candidates, in the table's order, a node below the root tries at first; twice as many whenever its
    visits double (`tree.widened`). All of them when None.
    backend: what grows the trees. `native`: C++, on a CPU, compiled with the package. `compiled`: `torch.compile` whole
    simulations, the problem's `expand` in them, worth its minutes where `expand` is small and the same number of trees comes
    again. Where they cannot be had, both become eager with a warning. All give the same answers.

    Raises:
        ValueError: A setting is out of its range.
    """

    simulations: int
    depth: int
    considered: int = 16
    risk_level: float = 1.0
    discount: float = 1.0
    parallel: bool = False
    widening: int | None = None
    backend: Backend = "eager"

    def __post_init__(self) -> None:
        if self.simulations < 1 or self.depth < 1 or not 0.0 < self.discount <= 1.0 or not 0.0 < self.risk_level <= 1.0:
            numbers = f"simulations {self.simulations}, depth {self.depth}, discount {self.discount}"
            raise ValueError(f"search: {numbers}, risk_level {self.risk_level}")
        if self.widening is not None and self.widening < 1:
            raise ValueError(f"search: widening {self.widening}, expected 1 or more candidates at first")


def search(
    problem: Problem,
    how: TreeSearch,
    *,
    budget: Tensor | None = None,
    noise: Tensor | None = None,
    after: tuple[Found, Tensor] | None = None,
) -> Found:
    """Gumbel tree search of one tree a patient.

    Args:
        problem: What is searched.
        how: The settings of the search.
        budget: `[B, C - 1]` bounds on mean costs, already lowered by whatever margin they need; none when None.
        noise: `[B, K]` Gumbel noise, 0 when None.
        after: What an earlier search of the same patients found, and the root's edge `[B]` that was carried out since: the tree
            below it is kept, and the simulations are added to it. The problem's root is then the present, a step later, and the
            budget what is left of it; where that edge was not visited (or is -1, none was carried out) the tree is new.

    Returns:
        The trees, and the action that sequential halving settles on.
    """
    root = problem.root()
    allowed = root.valid[:, 0]
    tree = plant(root, how.risk_level)
    if after is not None:
        tree = subtree(after[0].tree, after[1], tree, how.discount)
    noise = torch.zeros_like(tree.q[:, 0]) if noise is None else noise
    if budget is None:
        budget = torch.full((len(allowed), root.value.shape[-1] - 1), torch.inf, device=noise.device)
    halving = halve(tree, noise, min(how.considered, allowed.shape[1]), how.simulations, how.parallel)
    scoring = Scoring(budget, how.discount, how.risk_level, how.widening)
    missing = native.why_not(tree) if how.backend == "native" else None
    if missing is not None:
        warnings.warn(f"the search runs eagerly: {missing}", RuntimeWarning, stacklevel=2)
    if how.backend == "native" and missing is None:
        tree = native.grown(problem, tree, halving, scoring, how.depth)
    else:
        step = fall_back(simulate) if how.backend == "compiled" else simulate
        first = tree.visits.shape[1] - 1
        tree = with_room(tree, how.simulations)
        for turn in halving.turns(first, how.depth, whole=after is not None):
            step(problem, tree, turn, scoring)
    action = most_visited(tree, noise, halving.start)[0][:, 0]
    return Found(tree, action, tree.edge_visits[:, 0], tree.q[:, 0], allowed)


def shared_noise(candidates: int, seed: int, like: Tensor) -> Tensor:
    """Gumbel noise `[B, K]` for the B trees of `like` `[B, ...]`: the same for every patient, whoever else is in the batch."""
    uniform = torch.rand(candidates, generator=torch.Generator().manual_seed(seed)).clamp(1e-9, 1.0 - 1e-7)
    return -torch.log(-torch.log(uniform)).to(like).expand(len(like), -1)


def simulate(problem: Problem, tree: Tree, turn: Turn, scoring: Scoring) -> None:
    """The simulations of one turn, hung at its slots."""
    first, active = most_visited(tree, turn.noise, turn.start, turn.wanted, len(turn.slots))
    path = descend(tree, first, active, turn.slots, turn.depth)
    at = (rows_of(tree, first), path.parent)
    new = problem.expand(tree.state[at], tree.table[(*at, path.edge)])
    grow(tree, path, new, scoring)


def fall_back(function: Callable[..., Any]) -> Callable[..., Any]:
    """A compiled function that becomes the eager one, with a warning, where it cannot be compiled."""
    torch.compiler.config.recompile_limit = max(torch.compiler.config.recompile_limit, GRAPHS)
    chosen: list[Callable[..., Any]] = [torch.compile(function, fullgraph=True, dynamic=False, options=IN_PLACE)]

    def call(*arguments: Any) -> Any:
        try:
            return chosen[0](*arguments)
        except Exception as error:
            if chosen[0] is function:
                raise
            warnings.warn(f"{function.__name__} could not be compiled and runs eagerly: {error}", RuntimeWarning, stacklevel=2)
            chosen[0] = function
            return function(*arguments)

    return call


def exhaustive(problem: Problem, *, depth: int, budget: Tensor | None = None) -> Plans:
    """Every sequence of allowed candidates down to `depth`. Futures that no patient of the batch may have are not evaluated."""
    root = problem.root()
    batch, _, candidates = root.logits.shape
    if budget is None:
        budget = torch.full((batch, root.value.shape[-1] - 1), torch.inf, device=root.logits.device)
    finite = torch.isfinite(root.value).flatten(1).all(1)
    value = torch.nan_to_num(root.value, 0.0, 0.0, 0.0)
    eligible, incurred, broken = torch.ones_like(root.raises), torch.zeros_like(value), ~finite
    start = torch.zeros(batch, 1, dtype=torch.long, device=value.device)
    levels = [(start, start, start, root.table[:, :1, 0], value, eligible)]
    state, table, allowed = root.state, root.table, root.valid & eligible.unsqueeze(-1)
    first, offset, pruned_at_root = start, 0, torch.zeros_like(root.valid[:, 0])
    for step in range(1, depth + 1):
        flat = allowed.flatten(1)
        kept = flat.any(0).nonzero().squeeze(1)
        if not len(kept):
            break
        above, edge = kept // candidates, kept % candidates
        action, may = table.flatten(1, 2)[:, kept], flat[:, kept]
        chunk = max(1, ROWS_AT_ONCE // batch)
        pieces = zip(torch.split(above, chunk), torch.split(action, chunk, 1), strict=True)
        new = join([problem.expand(state[:, rows], doses) for rows, doses in pieces])
        finite = torch.isfinite(new.reward).flatten(2).all(-1) & torch.isfinite(new.value).flatten(2).all(-1)
        broken = broken | (may & ~finite).any(1)
        reward, value = (torch.where(finite[..., None, None], part, torch.zeros_like(part)) for part in (new.reward, new.value))
        incurred = incurred[:, above] + reward
        plan = incurred + value
        over = (plan[..., 1:].mean(-2) > budget.unsqueeze(1)).any(-1)
        eligible = may & finite & ~(new.raises & over)
        if step == 1:
            pruned_at_root[:, kept] = may & ~eligible
        first = edge.expand(batch, -1) if step == 1 else first[:, above]
        levels.append(((above + offset).expand(batch, -1), torch.full_like(first, step), first, action, plan, eligible))
        offset += levels[-2][0].shape[1]
        state, table, allowed = new.state, new.table, new.valid & eligible.unsqueeze(-1)
    parent, depths, firsts, actions, outcome, eligible = (torch.cat(part, dim=1) for part in zip(*levels, strict=True))
    return Plans(
        parent=parent,
        depth=depths,
        first=firsts,
        action=actions,
        outcome=outcome,
        eligible=eligible,
        broken=broken,
        table=root.table[:, 0],
        allowed=root.valid[:, 0],
        pruned=pruned_at_root,
    )


def join(parts: list[Expansion]) -> Expansion:
    """Expansions side by side along W."""
    names = Expansion.__dataclass_fields__
    return Expansion(**{name: torch.cat([getattr(part, name) for part in parts], dim=1) for name in names})
