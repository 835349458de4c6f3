"""The counterfactual benchmark of tumour growth, with the world model that every therapy has.

    python benchmarks/tumour.py --gammas 0 1 2 3 4 --seeds 10 --json

Trains on factual trajectories of a seed and a confounding gamma, personalises on each test patient's days until t, and predicts
the volume under treatments that were not given: all four a day ahead, and five days of random or sliding treatments after the
factual one of day t. Score: 100 RMSE / 1150.3465 cm3, over patients, days and treatments, of futures until they end. A few large
tumours decide it, so moments are drawn the more often the larger the tumour, and weighed back. A prediction is the mean over
particles of the posterior, as the score asks for. Beside it: the last volume, and the true equation with the population's means
and with everybody's own numbers (what chance alone leaves).
Weights are kept in --out and not trained again.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from careplan.series import PatientSeries, Window
from careplan.therapies.tumour.declaration import DEATH, TUMOUR
from careplan.world.corpus import Branches, Corpus
from careplan.world.model import Shape, WorldModel, load_model
from careplan.world.personalise import personalise
from careplan.world.population import populate
from careplan.world.question import Question
from careplan.world.training import Recipe, Training, train
from cohorts.tumour import CHEMO, GRAY, KEPT, NOISE, Lives, Tumours, chosen, live, live_tested, sample_tumours

START = pd.Timestamp("2026-01-05", tz="UTC")
AHEAD = 5  # days of treatment after the factual one
OPTIONS = 10  # sequences of them
BATCH = 256  # recordings personalised at once
PARTICLES = 32  # of each posterior
POPULATION = 100  # recordings that the population is estimated on
EVEN = 2e-3  # of the chance of the largest tumour's moment, that every other has beside what its volume adds
RECIPE = Recipe(
    batch=128,
    branches=0,
    virtual=0.0,
    asked=(0.0, 0.0),
    unlogged=0.0,
    anonymous=0.2,
    latent=0.0,
    anticollapse=0.0,
    effects=0.0,
    readings=1.0,
)
SHAPE = Shape(latent=8, hidden=16, code=6, evidence=4)


def recording(lives: Lives, who: int, days: int) -> PatientSeries:
    """A patient's first `days` volumes with the treatments between them: each row a day's treatment and the volume at its end,
    the first the volume at the start."""
    values = np.zeros((days, 3), np.float32)
    values[:, 0] = lives.volume[who, :days]
    values[1:, 1], values[1:, 2] = lives.chemo[who, : days - 1], lives.radio[who, : days - 1]
    facts = {"kind": str(lives.tumours.kind[who])}
    return PatientSeries(f"{who}-{days}", TUMOUR, START, "UTC", values, np.ones_like(values, bool), facts)


def trained(gamma: float, seed: int, patients: int, steps: int, out: Path) -> WorldModel:
    """A model of factual trajectories under one confounding; the one in `out` where there is one."""
    folder = out / f"gamma-{gamma:g}-seed-{seed}-patients-{patients}-steps-{steps}"
    if (folder / "tumour.json").exists():
        return load_model(TUMOUR, folder)
    random = np.random.default_rng(seed)
    lives = live(sample_tumours(patients, random), gamma, random)
    alive = [int(days - (lives.volume[who, days - 1] <= 0)) for who, days in enumerate(lives.length)]
    people = [recording(lives, who, days) for who, days in enumerate(alive) if days > 1]
    none = torch.zeros(0, dtype=torch.long)
    branches = Branches(none, none, torch.zeros(0), torch.zeros(0), torch.zeros(0))
    corpus = Corpus.of(people)
    recipe = replace(RECIPE, steps=steps, seed=seed)
    training = Training(TUMOUR, recipe, corpus, branches, real=len(people), shape=SHAPE)
    model = train(training, folder / "run", say=lambda _: None) if steps else training.model
    populate(model, people[:: max(1, len(people) // POPULATION)], rounds=6)
    model.save(folder, {"gamma": gamma, "seed": seed, "patients": patients, "steps": steps})
    return model


@dataclass(frozen=True, eq=False)
class Asked:
    """N moments of test patients: tumour, volume and concentration left over as the day begins, the factual treatment of that day
    `[N, 2]`, the recording until then, and how many of all moments each stands for."""

    tumours: Tumours
    volume: NDArray[np.float64]
    left: NDArray[np.float64]
    factual: NDArray[np.bool_]
    recordings: list[PatientSeries]
    stands_for: NDArray[np.float64]


def moments(lives: Lives, ahead: int, count: int, random: np.random.Generator) -> Asked:
    """`count` of all patients' days, drawn by volume, with `ahead` days of trajectory after them."""
    every = [(who, day) for who, days in enumerate(lives.length) for day in range(days - ahead) if lives.volume[who, day] > 1e-9]
    volume = np.array([lives.volume[who, day] for who, day in every])
    chance = (volume / volume.max()) ** 1.5 + EVEN
    chance /= chance.sum()
    drawn = np.sort(random.choice(len(every), count, p=chance))
    some = [every[index] for index in drawn]
    who, day = (np.array(column) for column in zip(*some, strict=True))
    left = np.where(day > 0, lives.concentration[who, np.maximum(day - 1, 0)], 0.0)
    factual = np.stack([lives.chemo[who, day], lives.radio[who, day]], 1)
    recordings = [recording(lives, one, at + 1) for one, at in some]
    return Asked(chosen(lives.tumours, who), lives.volume[who, day], left, factual, recordings, 1 / (count * chance[drawn]))


def true_path(asked: Asked, given: NDArray[np.float64], noise: NDArray[np.float64], tumours: Tumours) -> NDArray[np.float64]:
    """Volumes after each day of treatments `[N, A, 2]` under the equation, `[N, A]`; what the tumour ends at, it keeps."""
    volume, concentration, path = asked.volume, asked.left, []
    for day in range(given.shape[1]):
        concentration = KEPT * concentration + CHEMO * given[:, day, 0]
        volume = tumours.grown(volume, concentration, GRAY * given[:, day, 1], noise[:, day]).clip(0.0, DEATH)
        path.append(volume)
    return np.stack(path, 1)


def averaged(tumours: Tumours) -> Tumours:
    """Everybody with the population's means in the equation."""
    mean = {name: np.full(len(tumours), getattr(tumours, name).mean()) for name in ("rho", "alpha", "beta", "beta_c")}
    return replace(tumours, **mean)


class Predicting:
    """The world model at many moments, personalised on what came before each."""

    @torch.no_grad()
    def __init__(self, model: WorldModel, asked: Asked) -> None:
        self.model = model
        order = np.argsort([len(series) for series in asked.recordings])
        people = [None] * len(order)
        for first in range(0, len(order), BATCH):
            some = order[first : first + BATCH]
            for index, person in zip(some, personalise(model, [asked.recordings[at] for at in some]), strict=True):
                people[index] = person
        self.usual = torch.stack([person.usual for person in people])
        corpus, context = Corpus.of(asked.recordings), model.shape.context
        past = corpus.windows(torch.arange(len(people)), corpus.length - context, context)
        z = model.encode(past, self.usual)[:, -1]
        self.code = torch.cat([person.particles(PARTICLES, seed=1) for person in people])
        self.rows = torch.arange(len(people)).repeat_interleave(PARTICLES)
        some = Window(past.values[self.rows], past.mask[self.rows], past.minute[self.rows])
        self.state = model.state(z[self.rows], some, self.usual[self.rows], self.code)

    @torch.no_grad()
    def __call__(self, given: NDArray[np.float64]) -> NDArray[np.float64]:
        """Volumes after each day of treatments `[N, A, 2]`, `[N, A]`."""
        values = torch.cat([torch.zeros(*given.shape[:2], 1), torch.from_numpy(given).float()], -1)[self.rows]
        question = Question.plan(values, torch.ones_like(values, dtype=torch.bool), self.usual[self.rows], self.code)
        level = self.model.rollout(self.state, question).level[:, 1:].double().clamp(0.0, DEATH)
        return np.asarray(level.unflatten(0, (-1, PARTICLES)).mean(1).numpy())


def scores(model: WorldModel, asked: Asked, plans: Sequence[NDArray[np.float64]], random: np.random.Generator) -> pd.DataFrame:
    """A row a day ahead: the scores of the world model, the last volume, and the equation with means."""
    predict, mean, rows = Predicting(model, asked), averaged(asked.tumours), []
    for given in plans:
        noise = NOISE * random.normal(size=given.shape[:2])
        truth = true_path(asked, given, noise, asked.tumours)
        still = np.repeat(asked.volume[:, None], given.shape[1], 1)
        means = true_path(asked, given, 0 * noise, mean)
        known = true_path(asked, given, 0 * noise, asked.tumours)
        told = (("careplan", predict(given)), ("last volume", still), ("equation with means", means), ("equation known", known))
        for name, path in told:
            ended = (truth <= 0.0) | (truth >= DEATH)
            alive = ~(np.cumsum(ended, 1) - ended > 0)  # until and with the day on which it ends
            rows.append(
                pd.DataFrame({"model": name, "tau": np.arange(1, 1 + given.shape[1]), "n": asked.stands_for @ alive}).assign(
                    squared=asked.stands_for @ ((path - truth) ** 2 * alive)
                )
            )
    table = pd.concat(rows).groupby(["model", "tau"], as_index=False)[["n", "squared"]].sum()
    return table.assign(score=100 * np.sqrt(table["squared"] / table["n"]) / DEATH)


def sequences(kind: str, asked: Asked, random: np.random.Generator) -> list[NDArray[np.float64]]:
    """`OPTIONS` plans `[N, 1 + AHEAD, 2]`: the factual treatment, then random ones, or one treatment on one of the days."""
    count, plans = len(asked.volume), []
    for option in range(OPTIONS):
        if kind == "random":
            after = random.integers(0, 2, (count, AHEAD, 2)).astype(float)
        else:
            after = np.zeros((count, AHEAD, 2))
            after[:, option % AHEAD, option // AHEAD] = 1.0
        plans.append(np.concatenate([asked.factual[:, None].astype(float), after], 1))
    return plans


def judged(gamma: float, seed: int, args: argparse.Namespace) -> dict[str, pd.DataFrame]:
    """Scores of one gamma and seed, by kind of test."""
    model = trained(gamma, seed, args.patients, args.steps, args.out)
    found = {}
    for kind, options, ahead in (("one_step", 4, 1), ("sliding", OPTIONS, 1 + AHEAD), ("random", OPTIONS, 1 + AHEAD)):
        random = np.random.default_rng([seed, options, ahead])
        lives = live_tested(sample_tumours(args.tested, random), gamma, random, options=options)
        asked = moments(lives, ahead, args.moments, random)
        if kind == "one_step":
            every = np.array([(0, 0), (0, 1), (1, 0), (1, 1)], dtype=float)
            plans = [np.tile(treatment, (len(asked.volume), 1, 1)) for treatment in every]
        else:
            plans = sequences(kind, asked, random)
        found[kind] = scores(model, asked, plans, random)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gammas", type=float, nargs="+", default=[0.0, 1.0, 2.0, 3.0, 4.0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[10])
    parser.add_argument("--patients", type=int, default=2000, help="patients trained on (10,000 in the published protocol)")
    parser.add_argument("--steps", type=int, default=500, help="training steps; 0 leaves the declared structure as it is")
    parser.add_argument("--tested", type=int, default=1000, help="test patients")
    parser.add_argument("--moments", type=int, default=3000, help="patient-days judged of each kind, drawn")
    parser.add_argument("--out", type=Path, default=Path("runs/tumour"))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found: dict[str, dict[str, dict[str, float]]] = {"one_step": {}, "sliding": {}, "random": {}}
    beside: list[dict[str, object]] = []
    for gamma in args.gammas:
        tables: dict[str, list[pd.DataFrame]] = {}
        for seed in args.seeds:
            print(f"gamma {gamma:g}, seed {seed}", file=sys.stderr)
            for kind, table in judged(gamma, seed, args).items():
                tables.setdefault(kind, []).append(table)
        for kind, some in tables.items():
            mean = pd.concat(some).groupby(["model", "tau"])["score"].mean()
            first = 1 if kind == "one_step" else 2
            ours = mean["careplan"]
            found[kind][f"{gamma:g}"] = {str(tau): round(float(ours[tau]), 3) for tau in ours.index if tau >= first}
            beside += [
                {"kind": kind, "gamma": gamma, "model": model, "tau": int(tau), "score": round(float(score), 3)}
                for (model, tau), score in mean.items()
                if model != "careplan" and tau >= first
            ]
    if args.json:
        print(
            json.dumps({**found, "beside": beside, "seeds": args.seeds, "patients": args.patients, "steps": args.steps}, indent=1)
        )
        return
    for kind, gammas in found.items():
        print(kind, pd.DataFrame(gammas).to_string(), sep="\n")
    print(pd.DataFrame(beside).to_string(index=False))


if __name__ == "__main__":
    main()
