"""Training the world model of warfarin on virtual people: bodies of several equations in, weights and their card out."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from careplan.therapies.warfarin.declaration import WARFARIN
from careplan.world.corpus import Corpus
from careplan.world.loaded import code_version
from careplan.world.model import Shape, WorldModel
from careplan.world.population import populate
from careplan.world.training import Recipe, Training, train
from cohorts.warfarin.corpus import FAMILIES, Family, made

SHAPE = Shape(latent=8, hidden=32, code=4, evidence=4)  # a course has a dozen readings: what they can tell is small
# Effects are taught by futures that part in dose alone, everything else by how surprising each reading is given those before it.
RECIPE = Recipe(
    steps=400, batch=64, branches=64, asked_virtual=(0.0, 0.0), untracked=0.2, latent=0.01, anonymous=0.3, readings=1.0, rate=3e-3
)
APART = 50  # of the seeds of those whom the population is estimated on from those trained on
ROUNDS = 4  # of estimating what covariates tell of people and how much they differ beyond that (docs/experiments/warfarin.md)


@dataclass(frozen=True, kw_only=True)
class Virtual:
    """Whom it is trained on: so many people of each family, under a seed; and so many others of each, whom the population is
    estimated on."""

    people: int = 40
    others: int = 100
    seed: int = 100
    families: tuple[Family, ...] = FAMILIES


def train_warfarin(
    folder: Path,
    *,
    recipe: Recipe = RECIPE,
    virtual: Virtual | None = None,
    resume: bool = False,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Simulate, train, estimate the population; writes `warfarin.safetensors` and its card to `folder` and returns the card."""
    began, virtual = time.monotonic(), virtual or Virtual()
    cohort = made(virtual.families, virtual.people, virtual.seed)
    say(f"{len(cohort.recordings)} virtual people, {len(cohort.branches)} branched futures")
    training = Training(WARFARIN, recipe, Corpus.of(cohort.recordings), cohort.branches, real=0, shape=SHAPE)
    model = train(training, folder / "run", resume=resume, say=say)
    others = made(virtual.families, virtual.others, virtual.seed + APART).recordings
    say(f"the population, from {len(others)} others")
    populate(model, others, rounds=ROUNDS, noise=False)
    card = {
        "code": code_version(),
        "torch": torch.__version__,
        "cpu": torch.backends.cpu.get_cpu_capability(),  # on which the population's last digits depend
        "recipe": asdict(recipe),
        "virtual": asdict(virtual),
        "sources": [],
        "report": describe(model),
        "minutes": round((time.monotonic() - began) / 60, 1),
        "limits": "Research use. Trained on virtual people alone, by two published sets of equations; not a medical device.",
    }
    model.save(folder, card)
    say(json.dumps(card["report"], indent=1))
    return card


def describe(model: WorldModel) -> dict[str, Any]:
    """What was learned, in numbers that can be read."""
    pools, names = model.dynamics.absorption, [effect.name for effect in WARFARIN.effects]
    process = 0.0 if model.filter is None else float(model.filter.log_process.detach().exp()[0])
    spread = model.code_covariance.diagonal().sqrt()
    return {
        "half_life_hours": [round(float(tau) / 60 * 0.693, 1) for tau in pools.log_tau.detach().exp()],
        "wander_a_day": round(process * WARFARIN.channel("inr").scale, 4),
        "strength_sd": {name: round(0.5 * float(spread[place]), 3) for place, name in enumerate(names)},
        "code_sd": [round(float(value), 3) for value in spread],
    }
