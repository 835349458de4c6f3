"""B search trees as flat tensors, and the steps that grow them: descend, evaluate, back up.

Every node caches its best edge. Scores change only along a visited path, so descent is a chain of `[B, W]` gathers and backup,
with re-scoring, is one masked pass over `[B, W, D]`. Row N is a trash row: what is inactive reads and writes there.
Selection follows Danihelka et al. 2022, "Policy improvement by planning with Gumbel".
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from careplan.planning.model import Expansion

VALUE_SCALE, VISIT_OFFSET = 0.1, 50.0  # sigma(q) = (50 + max visits) * 0.1 * q (Danihelka et al. 2022, sec. 3)


@dataclass(frozen=True, eq=False)
class Tree:
    """B trees of N nodes and a trash row (R = N + 1), K edges a node, P particles, C outcome channels. Node 0 is the root.

    state `[B, R, E]`, table `[B, R, K, d]`: as expanded. depth, parent, edge `[B, R]`: where a node hangs.
    reward, value, total, plan `[B, R, P, C]`: outcome of the step in; of the rest without change; the sum over visits of returns;
    and of the node's whole plan, the actions down to it followed by no change. raw `[B, R]`: the scalar of `value`.
    visits `[B, R]`; eligible `[B, R]`: no limit or budget forbids its plan; broken `[B, R]`: the model's numbers were not finite.
    child `[B, R, K]` -1 where unvisited; edge_visits, q, logits `[B, R, K]`; valid `[B, R, K]`: still allowed; best `[B, R]`.
    """

    state: Tensor
    table: Tensor
    depth: Tensor
    parent: Tensor
    edge: Tensor
    reward: Tensor
    value: Tensor
    total: Tensor
    plan: Tensor
    raw: Tensor
    visits: Tensor
    eligible: Tensor
    broken: Tensor
    child: Tensor
    edge_visits: Tensor
    q: Tensor
    logits: Tensor
    valid: Tensor
    best: Tensor


@dataclass(frozen=True, eq=False)
class Descent:
    """W paths a tree: nodes and edges taken `[B, W, D]` (trash beyond the end); last parent, last edge and leaf `[B, W]`."""

    nodes: Tensor
    edges: Tensor
    parent: Tensor
    edge: Tensor
    leaf: Tensor


def tail_mean(values: Tensor, level: float) -> Tensor:
    """The mean of the worst (lowest) share `level` of particles, CVaR: `[..., P]` -> `[...]`; `level` 1 is the mean."""
    if level >= 1.0 or values.shape[-1] == 1:
        return values.mean(-1)
    mass = level * values.shape[-1]
    weights = (mass - torch.arange(values.shape[-1], device=values.device, dtype=values.dtype)).clamp(0.0, 1.0) / mass
    return (values.sort(dim=-1).values * weights).sum(-1)


def prior_of(outcome: Tensor, budget: Tensor, risk_level: float) -> Tensor:
    """Prior logits `[B, K]` from the outcome of each candidate taken alone `[B, K, P, C]`, candidate 0 being no change.

    The gain over no change, scaled to 2, and 2 less where a mean cost exceeds its budget `[B, C - 1]`.
    """
    gain = tail_mean(torch.nan_to_num(outcome[..., 0], 0.0, 0.0, 0.0), risk_level)
    gain = gain - gain[:, :1]
    over = (outcome[..., 1:].mean(-2) > budget.unsqueeze(1)).any(-1)
    return 2.0 * gain / gain.abs().amax(1, keepdim=True).clamp(min=1e-6) - 2.0 * over


def rows_of(tree: Tree, nodes: Tensor) -> Tensor:
    """Batch indices that go with node indices `[B, ...]`."""
    return torch.arange(len(tree.visits), device=nodes.device).view(-1, *[1] * (nodes.ndim - 1))


def plant(root: Expansion, nodes: int, risk_level: float) -> Tree:
    """B trees that hold their root, with room for `nodes` nodes."""
    batch, _, particles, channels = root.value.shape
    candidates, rows = root.logits.shape[-1], nodes + 1

    def space(*shape: int, fill: float = 0.0, dtype: torch.dtype | None = None) -> Tensor:
        return torch.full((batch, rows, *shape), fill, dtype=dtype or root.value.dtype, device=root.value.device)

    tree = Tree(
        state=space(root.state.shape[-1], dtype=root.state.dtype),
        table=space(candidates, root.table.shape[-1], dtype=root.table.dtype),
        depth=space(dtype=torch.long),
        parent=space(dtype=torch.long),
        edge=space(dtype=torch.long),
        reward=space(particles, channels),
        value=space(particles, channels),
        total=space(particles, channels),
        plan=space(particles, channels),
        raw=space(),
        visits=space(),
        eligible=space(dtype=torch.bool),
        broken=space(dtype=torch.bool),
        child=space(candidates, fill=-1, dtype=torch.long),
        edge_visits=space(candidates),
        q=space(candidates),
        logits=space(candidates),
        valid=space(candidates, dtype=torch.bool),
        best=space(dtype=torch.long),
    )
    finite = torch.isfinite(root.value).flatten(2).all(-1)[:, 0]
    value = torch.nan_to_num(root.value[:, 0], 0.0, 0.0, 0.0)
    for store, first in (
        (tree.state, root.state[:, 0]),
        (tree.table, root.table[:, 0]),
        (tree.value, value),
        (tree.total, value),
        (tree.plan, value),
        (tree.raw, tail_mean(value[..., 0], risk_level)),
        (tree.visits, torch.ones_like(tree.visits[:, 0])),
        (tree.eligible, torch.ones_like(finite)),
        (tree.broken, ~finite),
        (tree.logits, root.logits[:, 0]),
        (tree.valid, root.valid[:, 0]),
    ):
        store[:, 0] = first
    return tree


def completed_q(raw: Tensor, q: Tensor, visits: Tensor, logits: Tensor, valid: Tensor) -> Tensor:
    """Scaled q of every edge, unvisited ones completed by the mixed value (Danihelka et al. 2022, appendix D). `[..., K]`."""
    visits = visits * valid
    prior = masked(logits, valid).softmax(-1).clamp(min=torch.finfo(logits.dtype).tiny)
    seen = visits > 0
    weight = torch.where(seen, prior, torch.zeros_like(prior))
    mean = (weight * q).sum(-1) / weight.sum(-1).clamp(min=torch.finfo(logits.dtype).tiny)
    count = visits.sum(-1)
    mixed = (raw + count * mean) / (count + 1.0)
    whole = torch.where(seen, q, mixed.unsqueeze(-1))
    low, high = whole.amin(-1, keepdim=True), whole.amax(-1, keepdim=True)
    scaled = (whole - low) / (high - low).clamp(min=1e-8)
    return (VISIT_OFFSET + visits.amax(-1, keepdim=True)) * VALUE_SCALE * scaled


def masked(logits: Tensor, valid: Tensor) -> Tensor:
    """Logits with what is not allowed far below the rest."""
    return torch.where(valid, logits, torch.full_like(logits, -1e30))


def best_edge(tree: Tree, nodes: Tensor) -> Tensor:
    """The edge that brings visits closest to the improved policy, for nodes `[B, X]` -> `[B, X]`."""
    at = (rows_of(tree, nodes), nodes)
    visits, logits, valid = tree.edge_visits[at], tree.logits[at], tree.valid[at]
    improved = (masked(logits, valid) + completed_q(tree.raw[at], tree.q[at], visits, logits, valid)).softmax(-1)
    score = improved - visits / (1.0 + visits.sum(-1, keepdim=True))
    return torch.where(valid, score, torch.full_like(score, -torch.inf)).argmax(-1)


def descend(tree: Tree, first: Tensor, active: Tensor, slots: Tensor, depth: int) -> Descent:
    """From the root by the edges `first` `[B, W]`, then by cached best edges, to an unvisited edge or `depth` steps.

    active: `[B, W]` bool; distinct active edges of one tree lead to subtrees that share nothing but the root.
    slots: `[W]` rows for new nodes.
    """
    trash = tree.visits.shape[1] - 1
    rows = rows_of(tree, first)
    parent, edge, going = torch.zeros_like(first), first, active
    nodes, edges = [torch.where(active, parent, trash)], [edge]
    for _ in range(depth - 1):
        child = tree.child[rows, parent, edge]
        going = going & (child >= 0)
        parent = torch.where(going, child, parent)
        edge = torch.where(going, tree.best[rows, parent], edge)
        nodes.append(torch.where(going, parent, trash))
        edges.append(edge)
    known = tree.child[rows, parent, edge]
    leaf = torch.where(active, torch.where(known >= 0, known, slots), trash)
    return Descent(torch.stack(nodes, -1), torch.stack(edges, -1), parent, edge, leaf)


def grow(tree: Tree, path: Descent, new: Expansion, budget: Tensor, discount: float, risk_level: float) -> None:
    """Hang the expanded leaves into the trees, back their outcomes up, and re-score the paths. Writes in place.

    budget: `[B, C - 1]` bounds on the mean cost of a plan. A leaf that gives more treatment and exceeds one is pruned: its edge
    closes, and its parent learns the outcome of no change instead, since the dose would not be given.
    """
    rows, (batch, _, length) = rows_of(tree, path.leaf), path.nodes.shape
    at, above = (rows, path.leaf), (rows, path.parent)
    finite = torch.isfinite(new.reward).flatten(2).all(-1) & torch.isfinite(new.value).flatten(2).all(-1)
    keep = finite[..., None, None]
    reward = torch.where(keep, new.reward, torch.zeros_like(new.reward))
    value = torch.where(keep, new.value, torch.zeros_like(new.value))
    depth = tree.depth[above] + 1
    earlier = discount ** depth.to(value.dtype)[..., None, None]
    before = tree.plan[above] - earlier / discount * tree.value[above]
    plan = before + earlier / discount * reward + earlier * value
    over = (plan[..., 1:].mean(-2) > budget.unsqueeze(1)).any(-1)
    pruned = (new.raises & over) | ~finite

    for store, leaf in (
        (tree.state, new.state),
        (tree.table, new.table),
        (tree.depth, depth),
        (tree.parent, path.parent),
        (tree.edge, path.edge),
        (tree.reward, reward),
        (tree.value, value),
        (tree.plan, plan),
        (tree.raw, tail_mean(value[..., 0], risk_level)),
        (tree.eligible, tree.eligible[above] & ~pruned),
        (tree.broken, ~finite),
        (tree.logits, new.logits),
        (tree.valid, new.valid),
    ):
        store[at] = leaf
    hung = (rows, torch.where(path.leaf < tree.visits.shape[1] - 1, path.parent, path.leaf), path.edge)
    tree.child[hung] = path.leaf
    tree.valid[hung] = tree.valid[hung] & ~pruned
    tree.visits.index_put_(at, torch.ones_like(tree.raw[at]), accumulate=True)
    tree.total.index_put_(at, value, accumulate=True)

    # Returns from each node of the path: discounted sums of the rewards below it, the last step holding the leaf's value.
    steps = torch.arange(length, device=value.device)
    trash = tree.visits.shape[1] - 1
    below = torch.cat([path.nodes[..., 1:], torch.full_like(path.nodes[..., :1], trash)], dim=-1)
    last = (path.nodes != trash) & (below == trash)
    below = torch.where(last, path.leaf.unsqueeze(-1), below)
    every = rows.unsqueeze(-1)
    ending = torch.where(pruned[..., None, None], tree.value[above], reward + discount * value)
    rewards = torch.where(last[..., None, None], ending.unsqueeze(2), tree.reward[every, below])
    rewards = torch.where((path.nodes != trash)[..., None, None], rewards, torch.zeros_like(rewards))
    ahead = steps - steps.unsqueeze(-1)
    weights = torch.where(ahead >= 0, discount ** ahead.to(value.dtype), torch.zeros((), dtype=value.dtype, device=value.device))
    returns = (weights @ rewards.flatten(3)).view_as(rewards)
    tree.visits.index_put_((every, path.nodes), torch.ones_like(rewards[..., 0, 0]), accumulate=True)
    tree.total.index_put_((every, path.nodes), returns, accumulate=True)

    seen = tree.visits[every, below]
    outcome = tree.reward[every, below, :, 0] + discount * tree.total[every, below, :, 0] / seen.clamp(min=1.0).unsqueeze(-1)
    tree.edge_visits[every, path.nodes, path.edges] = seen
    tree.q[every, path.nodes, path.edges] = tail_mean(outcome, risk_level)
    touched = torch.cat([path.nodes, path.leaf.unsqueeze(-1)], dim=-1).view(batch, -1)
    tree.best[rows, touched] = best_edge(tree, touched)
