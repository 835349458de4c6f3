"""Training the world model of any installed therapy on the virtual people that it brings."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import torch

from careplan.errors import AskError
from careplan.practice import Lived, Practice, VirtualClinic
from careplan.series import PatientSeries, given_columns
from careplan.therapy import Therapy
from careplan.world.absorption import Layout
from careplan.world.corpus import Branches, Corpus
from careplan.world.loaded import code_version
from careplan.world.model import Shape
from careplan.world.population import populate
from careplan.world.training import Recipe, Training, train

FREE = 2  # numbers of the code without a meaning
SHAPE = Shape(latent=8, hidden=32, evidence=4)
RECIPE = Recipe(steps=150, batch=64, branches=64, asked_virtual=(0.0, 0.0), untracked=0.2, anonymous=0.3, readings=1.0, rate=5e-3)
EACH = 6  # branched futures a person
FACTORS = (0.4, 0.6, 0.8, 1.25, 1.5, 2.0)  # of all treatment, in a branched future
POPULATION = 160  # recordings that the population is estimated on


def train_declared(
    practice: Practice,
    folder: Path,
    *,
    people: int = 40,
    rows: int = 0,
    recipe: Recipe = RECIPE,
    seed: int = 100,
    resume: bool = False,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Simulate, train, estimate the population; writes weights and their card to `folder` and returns the card.

    Args:
        practice: An installed therapy with a virtual clinic.
        folder: For weights, card and checkpoints.
        people: Of each of the clinic's groups, by turns under each of its policies.
        rows: Of each recording; twice the clock's context and its horizon where 0.
        recipe: Of the training.
        seed: Of the first people.
        resume: Whether to go on from the last checkpoint.
        say: Where progress goes.

    Raises:
        AskError: The therapy brings no virtual clinic.
    """
    began, therapy, clinic = time.monotonic(), practice.therapy, practice.virtual_clinic()
    if clinic is None:
        raise AskError(f"therapy {practice.name!r} brings no virtual clinic to learn from")
    clock = therapy.clock
    rows = rows or 2 * (clock.context + clock.rows(clock.horizon))
    recordings, branches = virtual(practice, clinic, people, rows, seed)
    say(f"{len(recordings)} virtual people of {rows} rows, {len(branches)} branched futures")
    corpus = Corpus.of(recordings)
    shape = replace(SHAPE, code=Layout(therapy, own_structure=False).named + FREE)
    training = Training(therapy, recipe, corpus, branches, real=0, shape=shape)
    model = train(training, folder / "run", resume=resume, say=say)
    populate(model, recordings[:: max(1, len(recordings) // POPULATION)])
    card = {
        "code": code_version(),
        "torch": torch.__version__,
        "recipe": asdict(recipe),
        "virtual": {"groups": clinic.groups, "policies": tuple(clinic.policies), "people": people, "rows": rows, "seed": seed},
        "sources": [],
        "report": {
            "time_constants": [round(float(tau), 2) for tau in model.dynamics.absorption.log_tau.detach().exp()],
            "code_sd": [round(float(value), 3) for value in model.code_covariance.diagonal().sqrt()],
            "wander": [] if model.filter is None else [round(float(v), 4) for v in model.filter.log_process.detach().exp()],
        },
        "minutes": round((time.monotonic() - began) / 60, 1),
        "limits": "Research use. Trained on virtual people of its own clinic alone; not a medical device.",
    }
    model.save(folder, card)
    say(json.dumps(card["report"]))
    return card


def virtual(practice: Practice, clinic: VirtualClinic, people: int, rows: int, seed: int) -> tuple[list[PatientSeries], Branches]:
    """Recordings of people of every group, by turns under each policy, and futures of them that part in treatment alone."""
    therapy, parts = practice.therapy, []
    recordings: list[PatientSeries] = []
    days = max(1, -(-round(rows * therapy.step) // 1440))
    random = np.random.default_rng((seed, 71))
    pairs = [(group, policy) for group in clinic.groups for policy in clinic.policies]
    each = max(1, people // max(1, len(clinic.policies)))
    for place, (group, policy) in enumerate(pairs):
        drawn = clinic.draw(group, each, seed + place)
        lived = clinic.live(drawn, clinic.policies[policy](), days, seed + place)
        own = [replace(lived.series(who), patient=f"{group} {policy} {seed + place}-{who}") for who in range(each)]
        parts.append(_branches(therapy, clinic, lived, own, len(recordings), random))
        recordings += own
    return recordings, Branches.joined(parts)


def _branches(
    therapy: Therapy,
    clinic: VirtualClinic,
    lived: Lived,
    recordings: Sequence[PatientSeries],
    offset: int,
    random: np.random.Generator,
) -> Branches:
    """`EACH` futures of each person, as long as the clock's horizon, under all treatment multiplied."""
    ahead = therapy.clock.rows(therapy.clock.horizon)
    last = min(len(series) for series in recordings) - ahead
    starts = np.arange(clinic.every, max(last, clinic.every + 1), clinic.every)
    person = torch.arange(len(recordings)).repeat_interleave(EACH)
    row = torch.from_numpy(random.choice(starts, len(person)))
    factor = torch.tensor([value for value, _ in zip(cycle(FACTORS), range(len(person)), strict=False)])
    as_lived = clinic.otherwise(lived, person, row, ahead, torch.ones(len(person)))
    altered = clinic.otherwise(lived, person, row, ahead, factor)
    values = torch.from_numpy(
        np.stack([recordings[who].values[at : at + ahead] for who, at in zip(person.tolist(), row.tolist(), strict=True)])
    )
    columns = given_columns(therapy)
    values[..., columns] = values[..., columns] * factor[:, None, None]
    return Branches(person + offset, row, values, as_lived.float(), altered.float())
