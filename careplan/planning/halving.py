"""Sequential halving of the root's candidates: which of them each simulation goes through, and how many run at once."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from careplan.planning.tree import CLOSED, Tree, completed_q


@dataclass(frozen=True, eq=False)
class Turn:
    """W simulations of B trees that run at once, through the best root edges of those visited `wanted` `[B]` times.

    noise `[B, K]`: of the root's edges; start `[B, K]`: their visits before the search. slots `[W]`: rows for the new nodes.
    depth: the longest path.
    """

    noise: Tensor
    start: Tensor
    wanted: Tensor
    slots: Tensor
    depth: int


@dataclass(frozen=True, eq=False)
class Halving:
    """The turns of N simulations at the roots of B trees with K edges.

    noise `[B, K]`: Gumbel noise of the root's edges. start `[B, K]`: their visits before. wanted `[N, B]`: how often the edge
    that a simulation goes through was visited since; most: the most of that over the batch, by simulation. widths: how many
    simulations run at once, turn by turn.
    """

    noise: Tensor
    start: Tensor
    wanted: Tensor
    most: Sequence[int]
    widths: Sequence[int]

    def turns(self, first: int, depth: int, *, whole: bool) -> Iterator[Turn]:
        """The turns in order; new nodes take the rows from `first` on. whole: paths may have the whole depth from the start."""
        slots, used = torch.arange(len(self.wanted), device=self.noise.device) + first, 0
        for width in self.widths:
            far = depth if whole else reach(self.most[used], depth)
            yield Turn(self.noise, self.start, self.wanted[used], slots[used : used + width], far)
            used += width


def halve(tree: Tree, noise: Tensor, considered: int, simulations: int, parallel: bool) -> Halving:
    """How the simulations are shared among the root's edges, of which each tree may have another number open."""
    open_edges = tree.valid[:, 0].sum(1)
    counts = [considered] if parallel else sorted({min(count, considered) for count in open_edges.tolist()})
    alike = widths_of(counts[0], simulations, int(open_edges.max()), parallel)
    visited = torch.tensor([visits_considered(count, simulations) for count in counts], device=open_edges.device)
    row = torch.bucketize(open_edges.clamp(max=considered), torch.tensor(counts, device=open_edges.device))
    return Halving(
        noise=noise,
        start=tree.edge_visits[:, 0],
        wanted=visited[row].T.contiguous().to(noise),
        most=visited.amax(0).tolist(),
        widths=alike if len(counts) == 1 else [1] * simulations,
    )


def reach(visits: int, depth: int) -> int:
    """A bound on the path through a root edge visited so often: a power of two, so that few lengths are compiled, or `depth`."""
    return min(depth, 1 << visits.bit_length())


@cache
def sweeps(considered: int, simulations: int) -> tuple[tuple[int, bool], ...]:
    """Sequential halving (Karnin et al. 2013): how many root edges each sweep visits once, and whether it begins a round.

    All that a sweep visits were visited once by each sweep before. The last sweep is cut to what is left of the simulations.
    """
    plan: list[tuple[int, bool]] = []
    width, left = considered, simulations
    while left > 0:
        repeats = max(1, simulations // (max(1, math.ceil(math.log2(considered))) * width))
        for repeat in range(repeats if left else 0):
            plan.append((min(width, left), repeat == 0))
            left -= plan[-1][0]
            if not left:
                break
        width = max(min(2, considered), width // 2)
    return tuple(plan)


@cache
def visits_considered(considered: int, simulations: int) -> tuple[int, ...]:
    """For each simulation, how often the root edge to try next was visited."""
    widths = [width for width, _ in sweeps(max(considered, 1), simulations)]
    return tuple(visits for visits, width in enumerate(widths) for _ in range(width))


def widths_of(considered: int, simulations: int, candidates: int, parallel: bool) -> list[int]:
    """How many simulations are run at once, in turn.

    The edges of a sweep share nothing but the root, so a sweep is one step where it is known beforehand which they are: where it
    visits those of the last one, or all `candidates`. `parallel` chooses them all when a round begins instead of one by one.
    """
    known = [(width, parallel or not begins or width == candidates) for width, begins in sweeps(considered, simulations)]
    return [step for width, at_once in known for step in ([width] if at_once else [1] * width)]


def root_scores(tree: Tree, noise: Tensor) -> Tensor:
    """`[B, K]` Gumbel noise + logits + completed q at the root, -inf where closed."""
    logits = tree.logits[:, 0]
    visits = torch.where(logits > CLOSED, tree.edge_visits[:, 0], torch.zeros_like(logits))
    q = completed_q(tree.raw[:, 0], tree.q[:, 0], visits, logits)
    score = (noise + logits - logits.amax(-1, keepdim=True) + q).clamp(min=-1e9)
    return torch.where(logits > CLOSED, score, torch.full_like(score, -torch.inf))


def most_visited(tree: Tree, noise: Tensor, start: Tensor, wanted: Tensor | None = None, width: int = 1) -> tuple[Tensor, Tensor]:
    """The `width` best root edges of those visited `wanted` `[B]` times since `start` `[B, K]`, or nearest to that; of the most
    visited when None. The first of equals goes first.

    Returns edges `[B, width]` and which of them are still allowed.
    """
    visits, still = tree.edge_visits[:, 0] - start, tree.logits[:, 0] > CLOSED
    if wanted is None:
        wanted = torch.where(still, visits, torch.zeros_like(visits)).amax(-1)
    scores = root_scores(tree, noise) - 1e12 * (visits - wanted.unsqueeze(1)).abs()
    ranked = scores.argmax(-1, keepdim=True) if width == 1 else scores.sort(dim=-1, descending=True, stable=True).indices
    edges = ranked[:, :width]
    return edges, still.gather(1, edges)
