"""Training the world model of any installed therapy on the virtual people that it brings."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
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
from careplan.world.forecast import ForecastQuestion, Future, forecast
from careplan.world.loaded import code_version
from careplan.world.model import Shape, WorldModel
from careplan.world.personalise import personalise
from careplan.world.population import populate
from careplan.world.question import Given
from careplan.world.training import Recipe, Training, train
from careplan.world.trust import conformal_factor

FREE = 2  # numbers of the code without a meaning
SHAPE = Shape(latent=8, hidden=32, evidence=4)
RECIPE = Recipe(steps=150, batch=64, branches=64, asked_virtual=(0.0, 0.0), untracked=0.2, anonymous=0.3, readings=1.0, rate=5e-3)
EACH = 6  # branched futures a person
FACTORS = (0.4, 0.6, 0.8, 1.25, 1.5, 2.0)  # of all treatment, in a branched future
HELD_OUT, APART = 40, 50_000  # people that intervals are calibrated on, and how far their seeds lie from those of the training
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
    factors = conformal(model.eval(), practice, clinic, min(people, HELD_OUT), rows, seed + APART)
    card = {
        "code": code_version(),
        "torch": torch.__version__,
        "recipe": asdict(recipe),
        "virtual": {"groups": clinic.groups, "policies": tuple(clinic.policies), "people": people, "rows": rows, "seed": seed},
        "sources": [],
        "conformal": {given.value: factors for given in Given},
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


def conformal(model: WorldModel, practice: Practice, clinic: VirtualClinic, people: int, rows: int, seed: int) -> list[float]:
    """What widens the interval of a plan, every look, so that nine true levels in ten are inside: by virtual people drawn anew,
    each known by all of a recording but the last horizon, who were given in that what they were given."""
    clock, scores = model.therapy.clock, []
    ahead, looks = clock.rows(clock.horizon), round(clock.horizon / clock.look)
    for lived, own in _recordings(practice.therapy, clinic, people, rows, seed):
        cut = min(len(series) for series in own) - ahead
        known = personalise(model, [series.until(cut) for series in own])
        for who, (series, person) in enumerate(zip(own, known, strict=True)):
            given = Future(series.values[cut : cut + ahead], series.mask[cut : cut + ahead])
            asked = ForecastQuestion(row=cut, futures={"": given})
            band = forecast(model, series, person, asked, factors=dict.fromkeys(Given, torch.ones(looks)))[""]
            at = [int(np.flatnonzero(np.isclose(band.minutes, clock.look * (look + 1)))[0]) for look in range(looks)]
            truth = lived.level[who].reshape(lived.level.shape[1], -1)[:, 0]
            true = truth[[cut + clock.rows(clock.look * (look + 1)) - 1 for look in range(looks)]].numpy()
            mid, low, high = band.mid[at], band.low[at], band.high[at]
            edge = np.where(true > mid, high - mid, mid - low)
            scores.append(torch.from_numpy(np.abs(true - mid) / np.maximum(edge, 1e-9)))
    return [round(float(factor), 3) for factor in conformal_factor(torch.stack(scores).double())]


def virtual(practice: Practice, clinic: VirtualClinic, people: int, rows: int, seed: int) -> tuple[list[PatientSeries], Branches]:
    """Recordings of people of every group, by turns under each policy, and futures of them that part in treatment alone."""
    therapy, parts = practice.therapy, []
    recordings: list[PatientSeries] = []
    random = np.random.default_rng((seed, 71))
    for lived, own in _recordings(therapy, clinic, people, rows, seed):
        parts.append(_branches(therapy, clinic, lived, own, len(recordings), random))
        recordings += own
    return recordings, Branches.joined(parts)


def _recordings(
    therapy: Therapy, clinic: VirtualClinic, people: int, rows: int, seed: int
) -> Iterator[tuple[Lived, list[PatientSeries]]]:
    """People of every group under each policy by turns, with a recording each."""
    days = max(1, -(-round(rows * therapy.step) // 1440))
    pairs = [(group, policy) for group in clinic.groups for policy in clinic.policies]
    each = max(1, people // max(1, len(clinic.policies)))
    for place, (group, policy) in enumerate(pairs):
        drawn = clinic.draw(group, each, seed + place)
        lived = clinic.live(drawn, clinic.policies[policy](), days, seed + place)
        own = [replace(lived.series(who), patient=f"{group} {policy} {seed + place}-{who}") for who in range(each)]
        short = min(map(len, own)) - therapy.clock.rows(therapy.clock.horizon)
        if short < 1:
            raise AskError(
                f"{therapy.name}: its virtual people live {min(map(len, own))} rows, no longer than the clock's horizon"
            )
        yield lived, own


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
