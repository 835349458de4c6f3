"""B search trees as flat tensors, and the steps that grow them: descend, evaluate, back up.

Every node caches its best edge and the child there. Scores change only along a visited path, so descent is a chain of `[B, W]`
gathers; backup, with re-scoring, reads the path once, is one masked pass over `[B, W, D, K]`, and writes each tensor once.
Row N is a trash row: what is inactive reads and writes there.
Selection follows Danihelka et al. 2022, "Policy improvement by planning with Gumbel".
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from careplan.planning.model import Expansion

VALUE_SCALE, VISIT_OFFSET = 0.1, 50.0  # sigma(q) = (50 + max visits) * 0.1 * q (Danihelka et al. 2022, sec. 3)
CLOSED = -1e30  # the logit of an edge that is not allowed


@dataclass(frozen=True, eq=False)
class Tree:
    """B trees of N nodes and a trash row (R = N + 1), K edges a node, P particles, C outcome channels. Node 0 is the root.

    state `[B, R, E]`, table `[B, R, K, d]`: as expanded. depth, parent, edge `[B, R]`: where a node hangs.
    reward, value, total, plan `[B, R, P, C]`: outcome of the step in; of the rest without change; the sum over visits of returns;
    and of the node's whole plan, the actions down to it followed by no change. raw `[B, R]`: the scalar of `value`.
    visits `[B, R]`; the root's, and its total, follow from its edges and are not kept.
    eligible `[B, R]`: no limit or budget forbids its plan; broken `[B, R]`: the model's numbers were not finite.
    child `[B, R, K]` 0 where unvisited, as nothing leads to the root; edge_visits, q `[B, R, K]`; logits `[B, R, K]`: `CLOSED`
    where not allowed.
    best, next `[B, R]`: the best edge of a node other than the root, and the child there.
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
    best: Tensor
    next: Tensor

    @property
    def valid(self) -> Tensor:
        """`[B, R, K]` the edges that are still allowed."""
        return self.logits > CLOSED


@dataclass(frozen=True, eq=False)
class Descent:
    """W paths a tree: nodes and edges taken `[B, W, D]` (trash beyond the end); last parent, last edge and leaf `[B, W]`."""

    nodes: Tensor
    edges: Tensor
    parent: Tensor
    edge: Tensor
    leaf: Tensor


@dataclass(frozen=True, eq=False)
class Scoring:
    """How returns are added up and compared.

    budget `[B, C - 1]`: bounds on the mean cost of a plan. discount: of a step. risk_level: share of the worst particles that a
    value averages. widening: as `widened`.
    """

    budget: Tensor
    discount: float
    risk_level: float
    widening: int | None = None


@dataclass(frozen=True, eq=False)
class _Leaf:
    """What W expanded leaves bring to B trees.

    depth `[B, W]`. reward, value, plan `[B, W, P, C]`: of the step in, of the rest without change, and of the whole plan;
    otherwise: the parent's outcome of no change. finite, pruned `[B, W]`: whether its numbers are, and whether its edge closes.
    """

    depth: Tensor
    reward: Tensor
    value: Tensor
    plan: Tensor
    otherwise: Tensor
    finite: Tensor
    pruned: Tensor


def tail_mean(values: Tensor, level: float) -> Tensor:
    """The mean of the worst (lowest) share `level` of particles, CVaR: `[..., P]` -> `[...]`; `level` 1 is the mean."""
    if level >= 1.0 or values.shape[-1] == 1:
        return values.mean(-1)
    mass = level * values.shape[-1]
    weights = (mass - torch.arange(values.shape[-1], device=values.device, dtype=values.dtype)).clamp(0.0, 1.0) / mass
    return (values.sort(dim=-1).values * weights).sum(-1)


def tail_weights(values: Tensor, level: float) -> Tensor:
    """The weight of each particle in `tail_mean`: `[..., P]` -> `[..., P]`, which sum to 1."""
    mass = level * values.shape[-1]
    rank = values.argsort(-1).argsort(-1).to(values.dtype)
    return (mass - rank).clamp(0.0, 1.0) / mass


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


def plant(root: Expansion, risk_level: float) -> Tree:
    """B trees that hold their root, with no room yet."""
    finite = torch.isfinite(root.value).flatten(2).all(-1)[:, 0]
    value = torch.nan_to_num(root.value[:, 0], 0.0, 0.0, 0.0)
    logits = masked(root.logits, root.valid)[:, 0]
    node, none = torch.zeros_like(finite, dtype=torch.long), torch.zeros_like(value)
    first = {
        "state": root.state[:, 0],
        "table": root.table[:, 0],
        **dict.fromkeys(("depth", "parent", "edge", "best", "next"), node),
        **dict.fromkeys(("reward", "total"), none),
        **dict.fromkeys(("value", "plan"), value),
        "raw": tail_mean(value[..., 0], risk_level),
        "visits": none[:, 0, 0],
        "eligible": torch.ones_like(finite),
        "broken": ~finite,
        "child": torch.zeros_like(logits, dtype=torch.long),
        **dict.fromkeys(("edge_visits", "q"), torch.zeros_like(logits)),
        "logits": logits,
    }
    return Tree(**{name: torch.stack([store, store], 1) for name, store in first.items()})


def with_room(tree: Tree, nodes: int) -> Tree:
    """A copy of the trees with room for `nodes` more. Neighbours in memory are the trees, which grow side by side."""
    stores = {}
    for name, store in vars(tree).items():
        made = store.new_empty(store.shape[1] + nodes, len(store), *store.shape[2:]).transpose(0, 1)
        if name != "state":
            made.zero_()
        made[:, : store.shape[1] - 1] = store[:, :-1]
        stores[name] = made
    return Tree(**stores)


def first_edges(parent: Tensor, depth: Tensor, edge: Tensor) -> Tensor:
    """The root's edge on each node's path, `[B, N]`; 0 at the root."""
    for _ in range(int(depth.max()) - 1):  # ends at a child of the root
        edge = torch.where(depth > 1, edge.gather(1, parent), edge)
    return edge


def subtree(tree: Tree, edge: Tensor, planted: Tree, discount: float) -> Tree:
    """The trees a step later: below the root's edges `edge` `[B]`, their visits, values and closed edges kept.

    Depth and a plan's outcome count from the new root, and nodes keep their order. planted: the trees of the present, which say
    what is allowed now, and stand where an edge was not visited.
    """
    used = tree.visits.shape[1] - 1
    parent, depth = tree.parent[:, :used].long(), tree.depth[:, :used].long()
    member = (depth > 0) & (first_edges(parent, depth, tree.edge[:, :used].long()) == edge.unsqueeze(1))
    size = member.sum(1, keepdim=True)
    order = (~member).long().argsort(dim=1, stable=True)[:, : max(1, int(size.max()))]
    order = torch.cat([order, torch.full_like(size, used)], 1)
    number = torch.cat([member.long().cumsum(1) - 1, torch.full_like(size, -1)], 1)  # of each node from now on
    kept = torch.arange(order.shape[1], device=edge.device) < size
    taken = {name: store[rows_of(tree, order), order] for name, store in vars(tree).items()}
    taken["plan"] = (taken["plan"] - taken["reward"][:, :1]) / discount
    taken["depth"] = taken["depth"] - 1
    taken["logits"][:, 0] = masked(taken["logits"][:, 0], planted.valid[:, 0])
    for name in ("parent", "child", "next"):
        was = taken[name].long()
        taken[name] = torch.where(was > 0, number.gather(1, was.flatten(1)).view_as(was), was)
    anew = ("parent", "edge", "reward", "total", "visits", "eligible", "best", "next")  # of a root
    for name, store in taken.items():
        shape = [len(size), -1] + [1] * (store.ndim - 2)
        store = torch.where(kept.view(shape), store, torch.zeros_like(store))
        root = (size == 0) | (name in anew)
        store[:, :1] = torch.where(root.view(shape), getattr(planted, name)[:, :1].to(store.dtype), store[:, :1])
        taken[name] = store
    return Tree(**taken)


def masked(logits: Tensor, valid: Tensor) -> Tensor:
    """Logits with what is not allowed far below the rest."""
    return torch.where(valid, logits, torch.full_like(logits, CLOSED))


def completed_q(raw: Tensor, q: Tensor, visits: Tensor, logits: Tensor) -> Tensor:
    """Scaled q of every edge, unvisited ones completed by the mixed value (Danihelka et al. 2022, appendix D). `[..., K]`.

    visits: of open edges, 0 elsewhere.
    """
    tiny = torch.finfo(logits.dtype).tiny
    seen = visits > 0
    prior = (logits - logits.amax(-1, keepdim=True)).exp().clamp(min=tiny)
    weight = torch.where(seen, prior, torch.zeros_like(prior))
    mean = (weight * q).sum(-1) / weight.sum(-1).clamp(min=tiny)
    count = visits.sum(-1)
    mixed = (raw + count * mean) / (count + 1.0)
    whole = torch.where(seen, q, mixed.unsqueeze(-1))
    low, high = whole.amin(-1, keepdim=True), whole.amax(-1, keepdim=True)
    scaled = (whole - low) / (high - low).clamp(min=1e-8)
    return (VISIT_OFFSET + visits.amax(-1, keepdim=True)) * VALUE_SCALE * scaled


def widened(logits: Tensor, count: Tensor, widening: int | None) -> Tensor:
    """Logits `[..., K]` of a node that was passed `count` `[...]` times, those closed that it may not try yet.

    Progressive widening in stages (Coulom 2007): it may try the first `widening` of its open edges, and twice as many whenever
    one more than that count has doubled.
    """
    if widening is None:
        return logits
    room = widening * torch.exp2(torch.floor(torch.log2(count + 1.5)))  # .5: no whole number is near a bound
    is_open = logits > CLOSED
    return masked(logits, is_open & (is_open.cumsum(-1) <= room.unsqueeze(-1)))


def best_edge(raw: Tensor, q: Tensor, visits: Tensor, logits: Tensor) -> Tensor:
    """The edge that brings visits closest to the improved policy, `[..., K]` -> `[...]`."""
    visits = torch.where(logits > CLOSED, visits, torch.zeros_like(visits))
    improved = (logits + completed_q(raw, q, visits, logits)).softmax(-1)
    score = improved - visits / (1.0 + visits.sum(-1, keepdim=True))
    return torch.where(logits > CLOSED, score, torch.full_like(score, -torch.inf)).argmax(-1)


def descend(tree: Tree, first: Tensor, active: Tensor, slots: Tensor, depth: int) -> Descent:
    """From the root by the edges `first` `[B, W]`, then by cached best edges, to an unvisited edge or `depth` steps.

    active: `[B, W]` bool; distinct active edges of one tree lead to subtrees that share nothing but the root.
    slots: `[W]` rows for new nodes.
    """
    trash = tree.visits.shape[1] - 1
    rows = rows_of(tree, first)
    parent = torch.zeros_like(first)
    child = torch.where(active, tree.child[rows, parent, first], 0)
    nodes = [torch.where(active, parent, trash)]
    for _ in range(depth - 1):
        parent = torch.where(child > 0, child, parent)
        nodes.append(torch.where(child > 0, child, trash))
        child = tree.next[rows, nodes[-1]]  # 0 in the trash row: what has ended stays there
    path = torch.stack(nodes, -1)
    edges = torch.cat([first.unsqueeze(-1), tree.best[rows.unsqueeze(-1), path[..., 1:]]], dim=-1)
    edge = torch.where(parent > 0, tree.best[rows, parent], first)
    leaf = torch.where(active, torch.where(child > 0, child, slots), trash)
    return Descent(path, edges, parent, edge, leaf)


def grow(tree: Tree, path: Descent, new: Expansion, scoring: Scoring) -> None:
    """Hang the expanded leaves into the trees, back their outcomes up, and re-score the paths. Writes in place.

    A leaf that gives more treatment and exceeds a budget is pruned: its edge closes, and its parent learns the outcome of no
    change instead, since the dose would not be given.
    """
    rows, trash = rows_of(tree, path.leaf), tree.visits.shape[1] - 1
    every, on = rows.unsqueeze(-1), path.nodes != trash
    leaf = _judged(tree, path, new, scoring, on)

    # What each step of the paths leads to: the next node, or at the end the leaf.
    below = torch.cat([path.nodes[..., 1:], torch.full_like(path.nodes[..., :1], trash)], dim=-1)
    last = on & (below == trash)
    below = torch.where(last, path.leaf.unsqueeze(-1), below)
    step_in = torch.where(last[..., None, None], leaf.reward.unsqueeze(2), tree.reward[every, below])
    total = tree.total[every, below] + _returns(leaf, step_in, on, last, scoring.discount)
    seen = tree.visits[every, below] + 1.0
    outcome = step_in[..., 0] + scoring.discount * total[..., 0] / seen.unsqueeze(-1)
    value_of_edge = tail_mean(outcome, scoring.risk_level)

    # Below the root the edges are scored anew.
    inner, edges = path.nodes[..., 1:], path.edges[..., 1:]
    taken = torch.arange(tree.q.shape[-1], device=edges.device) == edges.unsqueeze(-1)
    q = torch.where(taken, value_of_edge[..., 1:, None], tree.q[every, inner])
    visits = torch.where(taken, seen[..., 1:, None], tree.edge_visits[every, inner])
    closed = taken & (last[..., 1:] & leaf.pruned.unsqueeze(-1)).unsqueeze(-1)
    logits = torch.where(closed, torch.full_like(q, CLOSED), tree.logits[every, inner])
    best = best_edge(tree.raw[every, inner], q, visits, widened(logits, seen[..., :-1] - 1.0, scoring.widening))
    child = torch.where(best == edges, below[..., 1:], tree.child[every, inner, best])
    child = torch.where(on[..., 1:], child, 0)

    first = _hang(tree, path, new, leaf, scoring)
    tree.edge_visits[every, path.nodes, path.edges] = seen
    tree.q[every, path.nodes, path.edges] = value_of_edge
    touched = torch.cat([inner, path.leaf.unsqueeze(-1)], dim=-1)
    tree.visits[every, below] = seen
    tree.total[every, below] = total
    tree.best[every, touched] = torch.cat([best, first], dim=-1)
    tree.next[every, touched] = torch.cat([child, torch.zeros_like(path.leaf).unsqueeze(-1)], dim=-1)


def _judged(tree: Tree, path: Descent, new: Expansion, scoring: Scoring, on: Tensor) -> _Leaf:
    """The leaves' outcomes, 0 where they are not finite, and which of them are pruned. on: `[B, W, D]` steps that were taken."""
    finite = torch.isfinite(new.reward).flatten(2).all(-1) & torch.isfinite(new.value).flatten(2).all(-1)
    keep = finite[..., None, None]
    reward = torch.where(keep, new.reward, torch.zeros_like(new.reward))
    value = torch.where(keep, new.value, torch.zeros_like(new.value))
    depth, discount = on.sum(-1), scoring.discount
    above = (rows_of(tree, path.leaf), path.parent)
    earlier = discount ** depth.to(value.dtype)[..., None, None]
    otherwise = tree.value[above]
    before = tree.plan[above] - earlier / discount * otherwise
    plan = before + earlier / discount * reward + earlier * value
    over = (plan[..., 1:].mean(-2) > scoring.budget.unsqueeze(1)).any(-1)
    return _Leaf(depth, reward, value, plan, otherwise, finite, (new.raises & over) | ~finite)


def _returns(leaf: _Leaf, step_in: Tensor, on: Tensor, last: Tensor, discount: float) -> Tensor:
    """`[B, W, D, P, C]` the return from where each step of the paths leads. step_in: its reward; on, last `[B, W, D]`: whether it
    was taken, and whether it ends in the leaf."""
    ending = torch.where(leaf.pruned[..., None, None], leaf.otherwise, leaf.reward + discount * leaf.value)
    here, there = torch.zeros_like(leaf.value), []
    for step in reversed(range(on.shape[2])):
        ends = last[..., step, None, None]
        there.append(torch.where(ends, leaf.value, here))
        returned = torch.where(ends, ending, step_in[:, :, step] + discount * here)
        here = torch.where(on[..., step, None, None], returned, torch.zeros_like(returned))
    return torch.stack(there[::-1], 2)


def _hang(tree: Tree, path: Descent, new: Expansion, leaf: _Leaf, scoring: Scoring) -> Tensor:
    """Write the leaves into their rows and their parents' edges; the edge `[B, W, 1]` that each tries first."""
    rows, trash = rows_of(tree, path.leaf), tree.visits.shape[1] - 1
    at, above = (rows, path.leaf), (rows, path.parent)
    open_edges = masked(new.logits, new.valid)
    first = widened(open_edges, open_edges.new_zeros(()), scoring.widening).argmax(-1, keepdim=True)
    hung = (rows, torch.where(path.leaf < trash, path.parent, trash), path.edge)
    was = tree.logits[hung]
    for store, part in (
        (tree.state, new.state),
        (tree.table, new.table),
        (tree.depth, leaf.depth),
        (tree.parent, path.parent),
        (tree.edge, path.edge),
        (tree.reward, leaf.reward),
        (tree.value, leaf.value),
        (tree.plan, leaf.plan),
        (tree.raw, tail_mean(leaf.value[..., 0], scoring.risk_level)),
        (tree.eligible, tree.eligible[above] & ~leaf.pruned),
        (tree.broken, ~leaf.finite),
        (tree.logits, open_edges),
    ):
        store[at] = part
    tree.logits[hung] = torch.where(leaf.pruned, torch.full_like(was, CLOSED), was)
    tree.child[hung] = path.leaf
    return first
