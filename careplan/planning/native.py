"""The search's steps with the tree's work in C++ (native.cpp), the model's in torch: on a CPU, in float32.

The source is compiled when the package is built (`engine`), not when it runs.
"""

import ctypes
import math
import mmap
import sys
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from careplan.planning import engine
from careplan.planning.halving import Halving
from careplan.planning.model import Expansion, Problem
from careplan.planning.tree import Scoring, Tree

LANES, MOST_EDGES = 8, 256  # native.cpp pads edges to whole vectors, and has room on its stack for so many
NUMBERS = ("raw", "visits")  # the words of a record, in native.cpp's order
WHOLE = ("best", "next", "parent", "edge", "depth", "eligible", "broken")
OUTCOMES = ("reward", "total", "value", "plan")
EDGES = ("q", "edge_visits", "logits", "child")
ROWS_AT_ONCE = 1024  # asked of the model at a time: more leave the cache
TABLE = 3  # the place of the table among the parts of an expansion


Shapes = list[tuple[str, tuple[int, ...], tuple[int, ...], torch.dtype]]
_NUMBERS = ctypes.c_int64 * (4 * 7)  # four of each part of an expansion


class _Forest(ctypes.Structure):
    """`Forest` of native.cpp, field by field."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("records", "state", "table", "noise", "start", "budget", "paths")),
        *((name, ctypes.c_int64) for name in ("trees", "words", "edges_at", "edges", "embedding", "action")),
        *((name, ctypes.c_int64) for name in ("particles", "channels", "wide", "depth", "threads")),
        *((name, ctypes.c_int64) for name in ("table_tree", "table_node", "widening")),
        *((name, ctypes.c_float) for name in ("discount", "risk_level")),
    )


@cache
def library() -> Any:
    """`careplan_step` of the library that was compiled when careplan was installed. Raises RuntimeError where there is none for
    this machine, or it was not compiled from this source."""
    made = engine.FAST if torch.backends.cpu.get_cpu_capability().startswith("AVX") else engine.PLAIN
    if not made.exists():
        raise RuntimeError("careplan was installed without its compiled engine: have a C++ compiler and install it again")
    if not engine.current(made):
        raise RuntimeError(f"{made.name} was not compiled from this source: install careplan again")
    try:
        step = ctypes.CDLL(str(made)).careplan_step
    except OSError as error:
        raise RuntimeError(f"{made.name} cannot be loaded: {error}") from error
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    step.argtypes = [pointer, pointer, number, number, pointer, number, number, number, number, pointer, pointer]
    step.restype = None
    return step


def why_not(tree: Tree) -> str | None:
    """Why these trees cannot be grown natively; None where they can."""
    stores = (tree.state, tree.table, tree.value, tree.logits)
    if any(store.device.type != "cpu" or store.dtype != torch.float32 for store in stores):
        return "its tensors are not float32 on a CPU"
    if tree.q.shape[-1] > MOST_EDGES:
        return f"it has more than {MOST_EDGES} candidates"
    try:
        library()
    except RuntimeError as error:
        return str(error)
    return None


def _room(*shape: int) -> Tensor:
    """Zeros, on huge pages where they are many and the machine has them: a step reads here and there in all of it."""
    if sys.platform != "linux" or 4 * math.prod(shape) < 4 << 20:
        return torch.zeros(shape)
    pages = mmap.mmap(-1, 4 * math.prod(shape), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    pages.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(pages, dtype=torch.float32).view(shape)


def pack(tree: Tree, nodes: int) -> tuple[Tree, Tensor, int]:
    """The trees with room for `nodes` more, as views of records `[R, B, words]`; and the word at which edges begin."""
    batch, rows, particles, channels = tree.value.shape
    edges, each = tree.q.shape[-1], particles * channels
    padded = -(-edges // LANES) * LANES
    head = len(NUMBERS) + len(WHOLE) + len(OUTCOMES) * each
    edges_at = -(-head // LANES) * LANES
    words = -(-(edges_at + len(EDGES) * padded) // 16) * 16  # whole cache lines
    records = _room(rows + nodes, batch, words).transpose(0, 1)  # as new nodes are made: side by side
    whole = records.view(torch.int32)
    stores = {name: records[..., word] for word, name in enumerate(NUMBERS)}
    stores |= {name: whole[..., word] for word, name in enumerate(WHOLE, len(NUMBERS))}
    start = len(NUMBERS) + len(WHOLE)
    for place, name in enumerate(OUTCOMES):
        stores[name] = records[..., start + place * each : start + (place + 1) * each].unflatten(-1, (particles, channels))
    for place, name in enumerate(EDGES):
        kind = whole if name == "child" else records
        stores[name] = kind[..., edges_at + place * padded : edges_at + place * padded + edges]
    stores["state"] = _room(rows + nodes, batch, tree.state.shape[-1]).transpose(0, 1)
    if rows > 2:
        stores["table"] = _room(batch, rows + nodes, *tree.table.shape[2:])
    for name, store in stores.items():
        store[:, : rows - 1] = getattr(tree, name)[:, :-1]
    # A new tree's nodes share the table of its root, until one has another.
    stores.setdefault("table", tree.table[:, :1].contiguous().expand(-1, rows + nodes, -1, -1))
    spare = torch.finfo(torch.float32).min  # the padding of a planted node is closed
    records[:, : rows - 1, edges_at + 2 * padded + edges : edges_at + 3 * padded] = spare
    return Tree(**stores), records, edges_at


def grown(problem: Problem, tree: Tree, halving: Halving, scoring: Scoring, depth: int) -> Tree:
    """The trees after all simulations, which run turn by turn."""
    step, used = library(), tree.visits.shape[1] - 1
    tree, records, edges_at = pack(tree, len(halving.wanted))
    (batch, _, edges, action), table, shapes = tree.table.shape, tree.table, _shapes(tree)
    embedding, wide = tree.state.shape[-1], max(halving.widths)
    given = (halving.noise, halving.start, halving.wanted, scoring.budget)
    noise, start, wanted, budget = (part.to(torch.float32) for part in given)
    noise, start = (pad(part.expand(batch, edges), (0, -edges % LANES)).contiguous() for part in (noise, start))
    wanted, budget = wanted.contiguous(), budget.expand(batch, tree.value.shape[3] - 1).contiguous()
    paths = torch.empty(wide, batch, depth + 3, dtype=torch.int32)
    forest = _Forest(
        *(store.data_ptr() for store in (records, tree.state, table, noise, start, budget, paths)),
        *(batch, records.shape[-1], edges_at, edges, embedding, action),
        *(*tree.value.shape[2:], wide, depth, torch.get_num_threads(), *table.stride()[:2], scoring.widening or 0),
        *(scoring.discount, scoring.risk_level),
    )
    at, line = ctypes.byref(forest), wanted.stride(0) * wanted.element_size()
    most, done, last, parts, new = max(1, ROWS_AT_ONCE // batch), 0, (0, 0), None, None
    rooms = [[torch.empty(batch * min(most, wide), size) for size in (embedding, action)] for _ in range(2)]
    for width in halving.widths:
        for first in range(0, width, most):
            count = min(most, width - first)
            state, taken = (room[: batch * count].unflatten(0, (batch, count)) for room in rooms[0])
            rooms.reverse()  # an answer may be a view of what was asked
            seek = (wanted.data_ptr() + done * line, width) if first == 0 else (None, 0)
            step(at, parts, *last, *seek, first, count, used + done + first, state.data_ptr(), taken.data_ptr())
            new = parts = None  # its memory is wanted again
            new, parts = _views(problem.expand(state, taken), shapes, (batch, count))
            if not forest.table_node and not _shared(new[TABLE], table):
                table = table.contiguous()  # from now on each node has its own
                forest.table, forest.table_tree, forest.table_node = table.data_ptr(), *table.stride()[:2]
            last = first, count
        done += width
    step(at, parts, *last, None, 0, 0, 0, 0, None, None)
    del new  # until now C++ looked at these tensors
    return replace(tree, table=table)


def _shared(found: Tensor, table: Tensor) -> bool:
    """Whether new nodes have their trees' table, as far as that is seen at once: theirs `[B, W, K, d]` is one memory."""
    return (found.shape[1] == 1 or found.stride(1) == 0) and torch.equal(found[:, 0], table[:, 0])


def _shapes(tree: Tree) -> Shapes:
    """What a node of an expansion must be, in native.cpp's order: name, shape `[...]`, strides where it is dense, and type."""
    outcome, edges, kind = tuple(tree.value.shape[2:]), (tree.q.shape[-1],), torch.float32
    shapes = {
        "state": (tuple(tree.state.shape[2:]), kind),
        "reward": (outcome, kind),
        "value": (outcome, kind),
        "table": (tuple(tree.table.shape[2:]), kind),
        "valid": (edges, torch.bool),
        "logits": (edges, kind),
        "raises": ((), torch.bool),
    }
    return [(name, shape, torch.empty(shape, device="meta").stride(), kind) for name, (shape, kind) in shapes.items()]


def _views(new: Expansion, shapes: Shapes, wide: tuple[int, int]) -> tuple[list[Tensor], Any]:
    """An expansion's tensors, and where they lie as `View`s of native.cpp: address, strides of trees and nodes, element size.

    Raises ValueError where one is not what a node must be: C++ would read beyond it.
    """
    kept: list[Tensor] = []
    numbers: list[int] = []
    for name, shape, dense, kind in shapes:
        part: Tensor = getattr(new, name)
        if part.shape != wide + shape or part.dtype != kind or not part.is_cpu:
            raise ValueError(f"expand: {name} is {part.dtype} {list(part.shape)}, expected {kind} {[*wide, *shape]}")
        strides = part.stride()
        if strides[2:] != dense and not _dense(shape, strides[2:]):
            part = part.contiguous()
            strides = part.stride()
        kept.append(part)
        numbers += (part.data_ptr(), strides[0], strides[1], kind.itemsize)
    return kept, _NUMBERS(*numbers)


def _dense(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether what belongs to one node lies side by side."""
    expected = 1
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size != 1 and stride != expected:
            return False
        expected *= size
    return True
