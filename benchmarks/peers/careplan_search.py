"""Our engine: a worker of `benchmarks/search.py`. `careplan_search.py eager`, or another backend."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from search_work import ACTIONS, CONSIDERED, DISCOUNT, LATENT, one_core, serve, weights

one_core()

import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from careplan.planning.model import Expansion  # noqa: E402
from careplan.planning.search import search  # noqa: E402

BACKEND = sys.argv[1]


@dataclass(frozen=True, eq=False)
class Invented:
    """The invented model as a problem: one particle, no costs, every action allowed."""

    first: Tensor
    push: Tensor
    second: Tensor
    last: Tensor
    start: Tensor
    state: Tensor

    def root(self) -> Expansion:
        seen = (self.state @ self.start).unsqueeze(1)
        return self._look(self.state.unsqueeze(1), torch.zeros_like(seen[..., 0]), seen[..., 1:])

    def expand(self, state: Tensor, action: Tensor) -> Expansion:
        hidden = torch.relu(state @ self.first + self.push[action[..., 0].long()])
        new = torch.relu(hidden @ self.second) @ self.last
        return self._look(torch.tanh(new[..., :LATENT]), torch.tanh(new[..., LATENT]), new[..., LATENT + 1 :])

    def _look(self, state: Tensor, reward: Tensor, seen: Tensor) -> Expansion:
        none = torch.zeros_like(reward, dtype=torch.bool)
        return Expansion(
            state=state,
            reward=reward[..., None, None],
            value=torch.tanh(seen[..., 0])[..., None, None],
            table=torch.arange(ACTIONS, dtype=state.dtype, device=state.device).view(1, 1, -1, 1).expand(*reward.shape, -1, 1),
            valid=torch.ones_like(seen[..., 1:], dtype=torch.bool),
            logits=seen[..., 1:],
            raises=none,
        )


@torch.no_grad()
def prepare(settings: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    made = {name: torch.from_numpy(value) for name, value in weights(settings["batch"]).items()}
    problem = Invented(made["first"], made["push"], made["second"], made["last"], made["root"], made["state"])
    state, action = problem.state.unsqueeze(1), torch.zeros(settings["batch"], 1, 1)

    @torch.no_grad()
    def work() -> list[Any]:
        found = search(
            problem,
            simulations=settings["simulations"],
            depth=settings["depth"],
            considered=CONSIDERED,
            discount=DISCOUNT,
            backend=BACKEND,
        )
        return [found.action.tolist(), found.visits.int().tolist()]

    expand = torch.compile(problem.expand) if BACKEND == "compiled" else problem.expand

    @torch.no_grad()
    def model() -> None:
        for _ in range(settings["simulations"]):
            expand(state, action)

    return {"search": work, "model": model}


if __name__ == "__main__":
    serve(prepare, {"torch": torch.__version__})
