"""Our engine: a worker of `benchmarks/search.py`. `careplan_search.py eager`, or another backend.

`fused` is the native backend, with the model itself compiled by `torch.compile`.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from search_work import ACTIONS, CONSIDERED, DISCOUNT, LATENT, one_core, serve, weights

one_core()

import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from careplan.planning.model import Expansion  # noqa: E402
from careplan.planning.search import TreeSearch, search  # noqa: E402

BACKEND = sys.argv[1]
OWN = "native" if BACKEND == "fused" else BACKEND  # of the search


@dataclass(frozen=True, eq=False)
class Invented:
    """The invented model as a problem: one particle, no costs, every action allowed."""

    first: Tensor
    push: Tensor
    second: Tensor
    last: Tensor
    start: Tensor
    state: Tensor
    table: Tensor  # [1, 1, K, 1]
    always: Tensor  # [1, 1, K]
    never: Tensor  # [1, 1]

    def root(self) -> Expansion:
        seen = (self.state @ self.start).unsqueeze(1)
        return self._look(self.state.unsqueeze(1), torch.zeros_like(seen[..., 0]), torch.tanh(seen[..., 1]), seen[..., 2:])

    def expand(self, state: Tensor, action: Tensor) -> Expansion:
        hidden = torch.addmm(self.push[action.flatten().long()], state.flatten(0, 1), self.first).relu_()
        new = (hidden.mm(self.second).relu_().mm(self.last)).unflatten(0, state.shape[:2])
        seen = torch.tanh(new[..., : LATENT + 2])
        return self._look(seen[..., :LATENT], seen[..., LATENT], seen[..., LATENT + 1], new[..., LATENT + 2 :])

    def _look(self, state: Tensor, reward: Tensor, value: Tensor, logits: Tensor) -> Expansion:
        wide = reward.shape
        return Expansion(
            state=state,
            reward=reward[..., None, None],
            value=value[..., None, None],
            table=self.table.expand(*wide, -1, 1),
            valid=self.always.expand(*wide, -1),
            logits=logits,
            raises=self.never.expand(wide),
        )


@dataclass(frozen=True, eq=False)
class Overheard:
    """A problem, and what a search asked of it."""

    problem: Invented
    asked: list[tuple[Tensor, Tensor]]

    def root(self) -> Expansion:
        return self.problem.root()

    def expand(self, state: Tensor, action: Tensor) -> Expansion:
        self.asked.append((state.clone(), action.clone()))  # whoever asks may use that memory again
        return self.problem.expand(state, action)


class Fused(Invented):
    """The same, compiled for each shape."""

    expand = torch.compile(Invented.expand, dynamic=False)


@torch.no_grad()
def prepare(settings: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    made = {name: torch.from_numpy(value) for name, value in weights(settings["batch"]).items()}
    constant = torch.arange(ACTIONS).float().view(1, 1, -1, 1), torch.ones(1, 1, ACTIONS).bool(), torch.zeros(1, 1).bool()
    kind = Fused if BACKEND == "fused" else Invented
    problem = kind(*(made[name] for name in ("first", "push", "second", "last", "root", "state")), *constant)
    heard = Overheard(problem, [])

    @torch.no_grad()
    def plan(problem: Invented | Overheard, backend: str) -> list[Any]:
        how = TreeSearch(
            simulations=settings["simulations"],
            depth=settings["depth"],
            considered=CONSIDERED,
            discount=DISCOUNT,
            backend=backend,
        )
        found = search(problem, how)
        return [found.action.tolist(), found.visits.int().tolist()]

    plan(heard, "eager" if BACKEND == "compiled" else OWN)
    expand = torch.compile(problem.expand) if BACKEND == "compiled" else problem.expand

    @torch.no_grad()
    def model() -> None:
        for state, action in heard.asked:
            expand(state, action)

    return {"search": lambda: plan(problem, OWN), "model": model}


if __name__ == "__main__":
    serve(prepare, {"torch": torch.__version__})
