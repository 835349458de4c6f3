"""The search's work in C++ gives what it gives in tensors: the same trees, numbers within 1e-5."""

import re
import shutil
import warnings
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import pytest
import torch
from torch import Tensor

from careplan.planning import native
from careplan.planning.model import Expansion
from careplan.planning.search import Found, TreeSearch, search
from careplan.planning.tree import Tree
from tests.planning.test_search import GOLDEN, invented

pytestmark = [pytest.mark.usefixtures("compiled_engine"), pytest.mark.filterwarnings("error:the search runs eagerly")]


@dataclass(frozen=True, eq=False)
class Rough:
    """An invented world with everything at once: particles, costs, masks that depend on the state, numbers that are none.

    Its parts come as a model may give them: some views, some of another layout.
    """

    start: Tensor  # [B, E]
    move: Tensor  # [E, E]
    push: Tensor  # [K, E]
    seen: Tensor  # [E, 2 * P * C + K + K]
    particles: int
    channels: int
    sick: float = 0.0  # the share of steps that give no number
    shut: float = 0.0  # the share of edges that are closed
    one: str = ""  # where a step is sick, only the first number of this part is none, and not every reward

    def look(self, state: Tensor, raises: Tensor) -> Expansion:
        wide, outcome, edges = state.shape[:2], (self.particles, self.channels), len(self.push)
        parts = (state @ self.seen).split([self.particles * self.channels] * 2 + [edges, edges], -1)
        reward, value = (part.unflatten(-1, outcome[::-1]).transpose(-1, -2).clone() for part in parts[:2])
        for part in (reward, value):
            part[..., 1:] = part[..., 1:].abs()
        sick = (parts[0][..., 0] * 1e3 % 1.0).abs() < self.sick
        if self.one:
            (reward if self.one == "reward" else value)[..., 0, 0][sick] = torch.nan
        else:
            reward[sick] = torch.nan
        valid = (parts[3] * 1e3 % 1.0).abs() >= self.shut
        valid[..., 0] = True
        table = torch.arange(edges).view(1, 1, -1, 1).expand(*wide, -1, 2).float()
        return Expansion(state, reward, value, table, valid, parts[2], raises)

    def root(self) -> Expansion:
        return self.look(self.start.unsqueeze(1), torch.zeros(len(self.start), 1, dtype=torch.bool))

    def expand(self, state: Tensor, action: Tensor) -> Expansion:
        chosen = action[..., 1].long()
        return self.look(torch.tanh(state @ self.move + self.push[chosen]), chosen > len(self.push) // 2)


def rough(seed: int, *, batch: int = 19, edges: int = 13, particles: int = 1, channels: int = 1, **shares: Any) -> Rough:
    generator = torch.Generator().manual_seed(seed)
    shapes = (batch, 6), (6, 6), (edges, 6), (6, 2 * particles * channels + 2 * edges)
    return Rough(*(torch.randn(shape, generator=generator) for shape in shapes), particles, channels, **shares)


def assert_the_same(ours: Found, theirs: Found) -> None:
    assert ours.action.tolist() == theirs.action.tolist()
    assert ours.visits.tolist() == theirs.visits.tolist()
    used = theirs.tree.depth > 0
    used[:, 0] = True
    for field in fields(Tree):
        if field.name in ("best", "next"):  # the root's are not kept
            used = used.clone()
            used[:, 0] = False
        one, other = (getattr(found.tree, field.name)[used] for found in (ours, theirs))
        torch.testing.assert_close(one.to(other.dtype), other, atol=1e-5, rtol=1e-5, equal_nan=True, msg=field.name)
    for field in ("parent", "depth", "first", "action", "eligible", "broken", "allowed", "pruned"):
        assert torch.equal(getattr(ours.plans(), field), getattr(theirs.plans(), field)), field


SETTINGS = {
    "one number": (rough(1), {}),
    "as many edges as fill vectors": (rough(2, edges=16), {"discount": 0.9, "depth": 8}),
    "many edges": (rough(3, edges=37), {"considered": 20, "simulations": 90}),
    "one edge": (rough(4, edges=1, batch=3), {}),
    "few simulations": (rough(5), {"simulations": 5}),
    "a path of one": (rough(6), {"depth": 1}),
    "particles": (rough(7, particles=5), {"risk_level": 0.45}),
    "costs": (rough(8, channels=3), {"budget": 2.5, "depth": 3}),
    "closed edges": (rough(9, shut=0.4), {}),
    "nearly all closed": (rough(10, shut=0.95), {}),
    "widening": (rough(13, edges=21, shut=0.3), {"widening": 2, "depth": 6, "simulations": 120}),
    "not finite": (rough(11, sick=0.2), {}),
    "one reward not finite": (rough(14, particles=5, sick=0.2, one="reward"), {}),
    "one value not finite": (rough(15, particles=5, sick=0.2, one="value"), {}),
    "everything": (rough(12, particles=6, channels=3, sick=0.1, shut=0.3), {"budget": 3.5, "risk_level": 0.3, "discount": 0.95}),
}


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("name", SETTINGS)
def test_the_same_tree_as_eager(name: str, parallel: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    problem, settings = SETTINGS[name]
    asked = {"simulations": 60, "depth": 5, "parallel": parallel} | settings
    budget = asked.pop("budget", None)
    if budget is not None:
        budget = torch.full((len(problem.start), problem.channels - 1), budget)
    noise = torch.randn(len(problem.start), len(problem.push), generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(native, "ROWS_AT_ONCE", 5 * len(problem.start))  # so that wide turns are cut
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = search(problem, TreeSearch(**asked, backend="native"), noise=noise, budget=budget)
    theirs = search(problem, TreeSearch(**asked), noise=noise, budget=budget)
    assert_the_same(ours, theirs)
    if "budget" in settings:
        assert theirs.plans().pruned.any() and (theirs.visits > 1).any()


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: f"{case['simulations']} simulations")
def test_the_same_as_mctx(case):
    settings = {name: case[name] for name in ("simulations", "considered", "depth", "discount")}
    found = search(invented(case), TreeSearch(**settings, backend="native"), noise=torch.tensor(case["noise"]))
    assert found.visits.int().tolist() == case["visits"]
    assert found.action.tolist() == case["action"]
    seen = torch.tensor(case["visits"]) > 0
    torch.testing.assert_close(found.q[seen], torch.tensor(case["q"])[seen], atol=1e-5, rtol=0)


@dataclass(frozen=True, eq=False)
class Tabled(Rough):
    """Each tree has a table of its own, in memory that all its nodes share; those that took a `late` edge have another."""

    late: int = 99

    def look(self, state: Tensor, raises: Tensor) -> Expansion:
        found = super().look(state, raises)
        if not self.own:
            self.own["table"] = found.table[:, :1].clone()
            self.own["table"][..., 0] += torch.linspace(0.1, 0.2, len(state)).view(-1, 1, 1)
        return replace(found, table=self.own["table"].expand_as(found.table))

    def expand(self, state: Tensor, action: Tensor) -> Expansion:
        found, late = super().expand(state, action), (action[..., 1] >= self.late)[..., None, None]
        other = torch.where(late, found.table * torch.tensor([0.5, 1.0]), found.table)
        return replace(found, table=other) if late.any() else found

    @cached_property
    def own(self) -> dict[str, Tensor]:
        return {}


@pytest.mark.parametrize("late", [99, 11, 0])
def test_a_table_is_kept_once_while_all_nodes_share_it(late: int) -> None:
    problem = Tabled(**vars(rough(16)), late=late)
    how = [TreeSearch(simulations=50, depth=5, considered=8, backend=backend) for backend in ("native", "eager")]
    ours, theirs = (search(problem, each) for each in how)
    assert_the_same(ours, theirs)
    assert (ours.tree.table.stride(1) == 0) == (late == 99)
    if late == 11:
        assert (theirs.tree.table[:, 1:50, -1, 0].amin(1) < theirs.tree.table[:, 1:50, -1, 0].amax(1)).all()  # some have another
    kept = [
        search(problem, replace(each, simulations=30, considered=16), after=(found, found.action))
        for found, each in zip((ours, theirs), how, strict=True)
    ]
    assert_the_same(*kept)


def test_threads_change_nothing() -> None:
    problem, threads = rough(13, batch=40), torch.get_num_threads()
    one = search(problem, TreeSearch(simulations=40, depth=4, backend="native"))
    try:
        torch.set_num_threads(3)
        three = search(problem, TreeSearch(simulations=40, depth=4, backend="native"))
    finally:
        torch.set_num_threads(threads)
    assert_the_same(three, one)


def test_the_engine_for_every_processor_answers_as_the_fast_one(monkeypatch):
    problem = rough(17)
    fast = search(problem, TreeSearch(simulations=40, depth=4, backend="native"))
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    monkeypatch.setattr(native, "library", native.library.__wrapped__)
    assert_the_same(search(problem, TreeSearch(simulations=40, depth=4, backend="native")), fast)


@pytest.mark.parametrize("lacking", ["installed without", "not compiled from this source", "cannot be loaded", "not float32"])
def test_where_it_cannot_be_had_the_search_runs_eagerly_and_says_so_once(lacking, monkeypatch, tmp_path):
    toy = rough(14)
    if lacking == "not float32":
        toy = replace(toy, **{name: getattr(toy, name).double() for name in ("start", "move", "push", "seen")})
    else:
        whole, own = native.engine.PLAIN.read_bytes(), native.engine.digest().encode()
        content = {"not compiled from this source": whole.replace(own, 64 * b"0"), "cannot be loaded": own}.get(lacking)
        for name in ("PLAIN", "FAST"):
            other = tmp_path / getattr(native.engine, name).name
            monkeypatch.setattr(native.engine, name, other)
            if content is not None:
                other.write_bytes(content)
        monkeypatch.setattr(native, "library", native.library.__wrapped__)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")
        found = [search(toy, TreeSearch(simulations=12, depth=3, backend="native")) for _ in range(2)]
    assert len(told) == 1 and re.search(f"the search runs eagerly: .*{lacking}", str(told[0].message))
    assert found[1].visits.tolist() == search(toy, TreeSearch(simulations=12, depth=3)).visits.tolist()


@pytest.mark.parametrize(
    ("compiler", "problem"), [(None, "there is no C\\+\\+ compiler"), ("false", "false failed"), ("/none", "/none")]
)
def test_a_build_that_fails_says_why_and_leaves_what_was_there(compiler, problem, monkeypatch):
    before = {library: library.read_bytes() for library in native.engine.libraries()}
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.delenv("CXX", raising=False) if compiler is None else monkeypatch.setenv("CXX", compiler)
    with pytest.raises(RuntimeError, match=problem):
        native.engine.build()
    assert {library: library.read_bytes() for library in native.engine.libraries()} == before
    assert set(native.engine.FOLDER.iterdir()) == set(before)


def test_a_model_that_answers_in_another_shape_is_refused():
    class Short(Rough):
        def expand(self, state: Tensor, action: Tensor) -> Expansion:
            whole = super().expand(state, action)
            return replace(whole, logits=whole.logits[..., 1:])

    with pytest.raises(ValueError, match=r"logits is torch\.float32 \[19, 1, 12\]"):
        search(Short(**vars(rough(15))), TreeSearch(simulations=4, depth=2, considered=1, backend="native"))


@pytest.mark.parametrize("backend", ["eager", "native"])
def test_a_node_widens_in_stages_and_never_to_what_is_closed(backend: str) -> None:
    problem = rough(21, edges=21, shut=0.4)
    how = TreeSearch(simulations=150, depth=6, parallel=True, widening=2, backend=backend)  # type: ignore[arg-type]
    tree = search(problem, how).tree
    tried, is_open = tree.edge_visits[:, 1:-1], tree.valid[:, 1:-1]
    assert not tried[~is_open].any()
    widest = torch.where(tried > 0, is_open.cumsum(-1), 0).amax(-1)
    visits = tried.sum(-1)
    assert (widest <= 2 * 2 ** visits.clamp(min=1).log2().floor()).all()  # a visit less before its last one
    assert widest.max() > 4
