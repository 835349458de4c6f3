"""How much of a search for doses is the world model's own evaluation, with the shipped weights.

`python benchmarks/doses.py [--patients 256 1024] [--simulations 64] [--rounds 3] [--json]`. Virtual people at a meal, each in
eight particles, one batch. `ratio_model_1024_64`: the search's whole time over that of the model's steps within it, the median of
rounds; `steps`: how many half hours of a patient, in all particles, the model stepped through.
"""

import argparse
import json
import statistics
import time
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from careplan.planning.latent import LatentModel
from careplan.stages import counted
from careplan.studies.closed_loop import Treated
from careplan.therapies.glucose.world import open_world
from cohorts.policies import Behaviour
from cohorts.population import GROUPS, join, sample_population
from cohorts.replay import replay

APART, DAYS, SEED = 24, 4, 515  # people who differ, of each of whom so many days are known
NOON, LEVEL, MEAL = 720.0, 150.0, 50.0


def ward(patients: int, simulations: int) -> Treated:
    """So many patients of whom every 24th is the same."""
    people = join([sample_population(group, APART // len(GROUPS), SEED + place) for place, group in enumerate(GROUPS)])
    lived = replay(people, Behaviour(), days=DAYS, seed=SEED)
    index = torch.arange(patients) % APART
    recordings = [lived.series(place) for place in range(APART)]
    few = Treated.after(open_world(), recordings, people.settings[:, 0], people.pens, people.groups, simulations=simulations)
    parts = {name: part[index] if isinstance(part, Tensor) else part for name, part in vars(few).items()}
    return Treated(**{**parts, "limits": [few.limits[place] for place in index.tolist()]})


def measure(patients: int, simulations: int, rounds: int) -> dict[str, Any]:
    """Medians of seconds of the search and of the model within it; the first round, which warms up, is not counted."""
    treated, step = ward(patients, simulations), LatentModel.step
    whole, model, steps = [], [], 0

    def timed(self: LatentModel, state: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        nonlocal steps
        began = time.perf_counter()
        answer = step(self, state, action)
        model[-1] += time.perf_counter() - began
        steps += state.shape[0] * state.shape[1]
        return answer

    with patch.object(LatentModel, "step", timed):
        for _ in range(rounds + 1):
            model.append(0.0)
            steps = 0
            asked = (torch.full((patients,), value) for value in (LEVEL, MEAL, 1e4))
            with counted() as stages:
                treated.plan(torch.arange(patients), NOON, *asked)
            whole.append(stages.wall["search"] + stages.wall.get("guard", 0.0))
    ratio = statistics.median(one / other for one, other in zip(whole[1:], model[1:], strict=True))
    size = f"{patients}_{simulations}"
    return {
        f"ratio_model_{size}": round(ratio, 3),
        f"seconds_{size}": round(statistics.median(whole[1:]), 3),
        f"model_seconds_{size}": round(statistics.median(model[1:]), 3),
        f"steps_{size}": steps,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--simulations", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="one object, on one line")
    asked = parser.parse_args()
    found: dict[str, Any] = {"threads": torch.get_num_threads()}
    for patients in asked.patients:
        found |= measure(patients, asked.simulations, asked.rounds)
    print(json.dumps(found) if asked.json else json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
