"""The engine: parity with mctx, rounds in parallel, exhaustive search, pruning, and tails."""

import itertools
import json
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from careplan.planning.halving import visits_considered, widths_of
from careplan.planning.model import Expansion
from careplan.planning.search import TreeSearch, exhaustive, search
from careplan.planning.tree import tail_mean

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "mctx.json").read_text())


@dataclass
class Invented:
    """The golden file's model: one particle, no costs, prior and value of its own."""

    weights: dict[str, Tensor]
    invalid: Tensor

    def look(self, state: Tensor, reward: Tensor) -> Expansion:
        w, (batch, wide) = self.weights, state.shape[:2]
        actions = w["push"].shape[0]
        return Expansion(
            state=state,
            reward=reward[..., None, None],
            value=torch.tanh(state @ w["value"])[..., None, None],
            table=torch.arange(actions).view(1, 1, -1, 1).expand(batch, wide, -1, 1).float(),
            valid=torch.ones(batch, wide, actions, dtype=torch.bool),
            logits=state @ w["logits"],
            raises=torch.zeros(batch, wide, dtype=torch.bool),
        )

    def root(self) -> Expansion:
        state = self.weights["state"].unsqueeze(1)
        seen = self.look(state, torch.zeros(state.shape[:2]))
        return Expansion(**{**vars(seen), "valid": ~self.invalid.unsqueeze(1)})

    def expand(self, state: Tensor, action: Tensor) -> Expansion:
        w, chosen = self.weights, action[..., 0].long()
        new = torch.tanh(state @ w["move"] + w["push"][chosen])
        return self.look(new, torch.tanh((new * w["reward"][chosen]).sum(-1)))


def invented(case: dict[str, list[object]]) -> Invented:
    weights = {name: torch.tensor(value) for name, value in case["weights"].items()}  # type: ignore[attr-defined]
    return Invented(weights, torch.tensor(case["invalid"]).bool())


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: f"{case['simulations']} simulations")
def test_same_visits_values_and_action_as_mctx(case):
    settings = {name: case[name] for name in ("simulations", "considered", "depth", "discount")}
    found = search(invented(case), TreeSearch(**settings), noise=torch.tensor(case["noise"]))
    assert found.visits.int().tolist() == case["visits"]
    seen = torch.tensor(case["visits"]) > 0
    torch.testing.assert_close(found.q[seen], torch.tensor(case["q"])[seen], atol=1e-5, rtol=0)
    value = (found.tree.raw[:, 0] + (found.visits * found.q).sum(1)) / (1.0 + found.visits.sum(1))
    torch.testing.assert_close(value, torch.tensor(case["value"]), atol=1e-5, rtol=0)
    assert found.action.tolist() == case["action"]


@dataclass
class Walk:
    """A sum of steps with P particles: each action adds its reward and its cost; the state is only the depth."""

    reward: Tensor  # [B, D, K, P]
    cost: Tensor  # [B, D, K, P]
    raises: Tensor  # [K]

    def look(self, depth: Tensor, reward: Tensor, raises: Tensor) -> Expansion:
        batch, wide = depth.shape
        actions = self.reward.shape[2]
        return Expansion(
            state=depth.unsqueeze(-1),
            reward=reward,
            value=torch.zeros_like(reward),
            table=torch.arange(actions).view(1, 1, -1, 1).expand(batch, wide, -1, 1).float(),
            valid=torch.ones(batch, wide, actions, dtype=torch.bool),
            logits=torch.zeros(batch, wide, actions),
            raises=raises,
        )

    def root(self) -> Expansion:
        batch = len(self.reward)
        start = torch.zeros(batch, 1, self.reward.shape[-1], 2)
        return self.look(torch.zeros(batch, 1), start, torch.zeros(batch, 1, dtype=torch.bool))

    def expand(self, state: Tensor, action: Tensor) -> Expansion:
        rows = torch.arange(len(state)).unsqueeze(1)
        at = (rows, state[..., 0].long().clamp(max=self.reward.shape[1] - 1), action[..., 0].long())
        return self.look(state[..., 0] + 1, torch.stack([self.reward[at], self.cost[at]], -1), self.raises[action[..., 0].long()])


def walk(seed: int, batch: int = 3, depth: int = 3, actions: int = 4, particles: int = 5) -> Walk:
    generator = torch.Generator().manual_seed(seed)
    reward = torch.randn(batch, depth, actions, particles, generator=generator)
    cost = torch.rand(batch, depth, actions, particles, generator=generator)
    reward[:, :, 0], cost[:, :, 0] = 0.0, 0.0
    return Walk(reward, cost, torch.arange(actions) > 0)


def every_sequence(toy: Walk, row: int, budget: float, risk_level: float) -> tuple[float, tuple[int, ...]]:
    """The best sequence by plain enumeration: no step that raises may push the mean cost beyond the budget."""
    best: tuple[float, tuple[int, ...]] = (0.0, (0, 0, 0))
    for sequence in itertools.product(range(toy.reward.shape[2]), repeat=toy.reward.shape[1]):
        total, cost, fits = torch.zeros(toy.reward.shape[-1]), 0.0, True
        for step, action in enumerate(sequence):
            total = total + toy.reward[row, step, action]
            cost += float(toy.cost[row, step, action].mean())
            fits = fits and (action == 0 or cost <= budget)
        if fits and float(tail_mean(total, risk_level)) > best[0]:
            best = (float(tail_mean(total, risk_level)), sequence)
    return best


@pytest.mark.parametrize("risk_level", [1.0, 0.4])
def test_exhaustive_search_finds_the_best_sequence_within_budget(risk_level):
    toy, budget = walk(7), 0.9
    plans = exhaustive(toy, depth=3, budget=torch.full((3, 1), budget))
    node, score = plans.best(risk_level)
    actions = plans.sequence(node.unsqueeze(1), 3)[:, 0, :, 0].int().tolist()
    for row in range(3):
        value, sequence = every_sequence(toy, row, budget, risk_level)
        assert float(score[row]) == pytest.approx(value, abs=1e-5)
        assert tuple(actions[row]) == sequence


@pytest.mark.parametrize("parallel", [False, True])
def test_no_plan_of_a_tree_search_exceeds_a_budget_and_every_plan_is_what_its_actions_give(parallel):
    toy, budget = walk(11, batch=4, depth=4, actions=6), 0.6
    how = TreeSearch(simulations=60, depth=4, risk_level=0.5, parallel=parallel)
    found = search(toy, how, budget=torch.full((4, 1), budget))
    plans = found.plans()
    assert plans.pruned.any()
    nodes = torch.arange(plans.parent.shape[1]).expand(4, -1)
    sequence = plans.sequence(nodes, 4)[..., 0].long()  # [4, N, 4]
    rows, steps = torch.arange(4).view(-1, 1, 1), torch.arange(4)
    reward, cost = toy.reward[rows, steps, sequence].sum(2), toy.cost[rows, steps, sequence].sum(2)
    evaluated = plans.depth > 0
    torch.testing.assert_close(plans.outcome[evaluated][..., 0], reward[evaluated])
    assert (cost.mean(-1)[plans.eligible] <= budget + 1e-5).all()
    assert (plans.first == torch.where(evaluated, sequence[..., 0], 0)).all()


def test_rounds_spend_the_same_visits_as_one_simulation_at_a_time():
    toy = walk(5, batch=6, depth=4, actions=16, particles=1)
    budget = torch.full((6, 1), torch.inf)
    one = search(toy, TreeSearch(simulations=64, depth=4), budget=budget)
    many = search(toy, TreeSearch(simulations=64, depth=4, parallel=True), budget=budget)
    assert one.visits.sort(-1).values.tolist() == many.visits.sort(-1).values.tolist()
    assert (one.action == many.action).float().mean() >= 0.5


@pytest.mark.parametrize("considered, simulations", [(1, 5), (2, 7), (3, 10), (16, 64), (16, 5), (13, 100)])
def test_rounds_use_every_simulation(considered, simulations):
    for parallel in (False, True):
        assert sum(widths_of(considered, simulations, considered, parallel)) == simulations
    assert len(visits_considered(considered, simulations)) == simulations


def test_a_pruned_dose_leaves_its_parent_the_value_of_no_change():
    toy = walk(3, batch=1, depth=2, actions=2, particles=1)
    toy.reward[:, :, 1], toy.cost[:, :, 1] = 100.0, 5.0  # promises wonders, breaks the budget
    found = search(toy, TreeSearch(simulations=8, depth=2), budget=torch.ones(1, 1))
    assert found.action.tolist() == [0]
    assert float(found.q[0, 0]) == 0.0  # the second step's wonders are not counted either
    assert not found.tree.valid[0, 0, 1]


@pytest.mark.parametrize("parallel", [False, True])
def test_numbers_that_are_not_finite_do_not_spread(parallel):
    toy = walk(9, batch=2, depth=3, actions=4)
    toy.reward[0, :, 2] = torch.nan
    plans = search(toy, TreeSearch(simulations=20, depth=3, parallel=parallel)).plans()
    assert plans.broken.tolist() == [True, False]
    assert torch.isfinite(plans.outcome).all()
    assert not plans.eligible[0, plans.first[0] == 2].any()
    assert exhaustive(toy, depth=3).broken.tolist() == [True, False]


class Later(Walk):
    """The walk after its first step: nodes carry their own clock."""

    def root(self) -> Expansion:
        whole = super().root()
        return self.look(whole.state[..., 0] + 1, whole.reward, whole.raises)


@pytest.mark.usefixtures("compiled_engine")
@pytest.mark.parametrize("backend", ["eager", "native"])
def test_the_tree_below_what_was_carried_out_is_kept_and_continued(backend):
    toy = walk(13, batch=4, depth=4, actions=5)
    later = Later(toy.reward, toy.cost, toy.raises)
    budget = torch.full((4, 1), 2.0)
    how = TreeSearch(simulations=40, depth=4, discount=0.9, risk_level=0.5, backend=backend)
    found = search(toy, how, budget=budget)
    edge = found.visits.argmax(1)
    edge[3] = -1  # nothing was carried out
    rows = torch.arange(3)
    node = found.tree.child[rows, 0, edge[:3]].long()
    more = search(later, replace(how, simulations=1, depth=3, considered=1), after=(found, edge), budget=budget)
    before, now = found.tree.edge_visits[rows, node], more.visits[:3]
    assert (now - before).sum(1).tolist() == [1.0] * 3 and (before.sum(1) > 2).all()
    untouched = now == before
    assert torch.equal(more.q[:3][untouched], found.tree.q[rows, node][untouched])
    assert more.visits[3].sum() == 1.0

    more = search(later, replace(how, simulations=30, depth=3), after=(found, edge), budget=budget)
    assert (more.visits.sum(1) - 30.0).tolist() == [*before.sum(1).tolist(), 0.0]
    plans = more.plans()
    seen = plans.depth > 0
    held = (found.plans().first == edge.unsqueeze(1)) & (found.plans().depth > 1)
    assert (seen.sum(1) > held.sum(1)).all() and int(plans.depth.max()) == 3
    nodes = torch.arange(plans.parent.shape[1]).expand(4, -1)
    sequence, steps = plans.sequence(nodes, 3)[..., 0].long(), torch.arange(3)
    gained = (toy.reward[torch.arange(4).view(-1, 1, 1), 1 + steps, sequence] * 0.9 ** steps.view(-1, 1)).sum(2)
    torch.testing.assert_close(plans.outcome[seen][..., 0], gained[seen])


@pytest.mark.usefixtures("compiled_engine")
@pytest.mark.parametrize("backend", ["eager", "native"])
def test_a_budget_may_be_spent_to_the_last_and_no_further(backend):
    """Each dose costs a quarter, of a budget of a half: two are allowed, and a third is not."""
    gain, cost = (torch.tensor(pair).view(1, 1, 2, 1).expand(1, 3, 2, 1).clone() for pair in ([0.0, 1.0], [0.0, 0.25]))
    toy = Walk(gain, cost, torch.tensor([False, True]))
    plans = search(toy, TreeSearch(simulations=30, depth=3, backend=backend), budget=torch.full((1, 1), 0.5)).plans()
    spent = plans.outcome[..., 1].mean(-1)
    assert float(spent[plans.eligible].max()) == 0.5 and float(spent.max()) == 0.75


def test_tail_mean_is_the_mean_of_the_worst_share():
    values = torch.tensor([[4.0, 1.0, 3.0, 2.0]])
    assert tail_mean(values, 1.0).item() == 2.5
    assert tail_mean(values, 0.5).item() == 1.5
    assert tail_mean(values, 0.25).item() == 1.0
    assert tail_mean(values, 0.375).item() == pytest.approx((1.0 + 0.5 * 2.0) / 1.5)


def test_what_cannot_be_compiled_runs_eagerly_and_says_so(monkeypatch):
    def broken(function, **_):
        def call(*_):
            raise RuntimeError("no compiler")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    toy = walk(2)
    with pytest.warns(RuntimeWarning, match="runs eagerly: no compiler"):
        found = search(toy, TreeSearch(simulations=12, depth=3, backend="compiled"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert found.visits.tolist() == search(toy, TreeSearch(simulations=12, depth=3)).visits.tolist()


@pytest.mark.parametrize("setting", [{"simulations": 0}, {"depth": 0}, {"discount": 0.0}, {"risk_level": 2.0}, {"widening": 0}])
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        TreeSearch(**{"simulations": 4, "depth": 2, **setting})
