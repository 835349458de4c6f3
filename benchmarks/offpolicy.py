"""Is the worth of other doses told rightly? Off-policy estimators on virtual cohorts whose true answer is known by living it.

    python benchmarks/offpolicy.py --cohorts 100 --people 30 [--behaviour NAME]... [--world] --json

Cohorts live under behaviour policies that are confounded by what people see; the truth is the same people's day under doses
that are shifted, closed loop, less their day as it is. One behaviour knows what no record holds, one shift has no overlap: there
the estimators must be seen to fail, or the report to refuse.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch

from careplan.evaluation.behaviour import fit_behaviour
from careplan.evaluation.offpolicy import Estimate, jackknife, worth_of
from careplan.series import PatientSeries
from careplan.studies.dosing import BEGINS, dosing_table, occasions_of, replayed_worth
from careplan.therapies.glucose.bands import HIGH, LOW
from careplan.therapies.glucose.world import open_world
from careplan.world.personalise import personalise
from cohorts.policies import Behaviour, Doses, Policy, Seen, Truth
from cohorts.population import Population, sample_population
from cohorts.replay import replay
from cohorts.scenarios import ROWS, Life

DAYS = 15  # of record
TRUE_DAYS = 3  # lived for the truth; the second, from 04:00 to 04:00, is compared
FACTORS = (0.9, 1.2)
NO_OVERLAP = 0.5


@dataclass
class Shifted:
    """A policy whose boluses are multiplied from a row on."""

    inner: Policy
    factor: float
    first: int
    name: str = "shifted"

    def begin(self, people: Population, rows: int, generator: torch.Generator) -> None:
        self.inner.begin(people, rows, generator)

    def learn(self, truth: Truth) -> None:
        if isinstance(self.inner, Knowing):
            self.inner.learn(truth)

    def decide(self, seen: Seen) -> Doses:
        doses = self.inner.decide(seen)
        return doses if seen.row < self.first else replace(doses, bolus=doses.bolus * self.factor)


@dataclass
class Knowing(Behaviour):
    """People who feel how sensitive they are today, which no record holds, and dose by it."""

    name: str = "knowing"

    def learn(self, truth: Truth) -> None:
        self.truth = truth

    def decide(self, seen: Seen) -> Doses:
        doses = super().decide(seen)
        return replace(doses, bolus=doses.bolus / self.truth.scenario.sensitivity[:, seen.row].clamp(0.4, 2.5))


BEHAVIOURS: dict[str, tuple[Callable[[], Behaviour], Life]] = {
    "usual": (lambda: Behaviour(size=0.25), Life()),
    "punctual": (lambda: Behaviour(size=0.25, late=0.0, missed=0.0), Life()),
    "bold": (lambda: Behaviour(size=0.4), Life()),
    "unlogged meals": (lambda: Behaviour(size=0.25), Life(unannounced=0.4)),
    "knowing": (lambda: Knowing(size=0.25), Life()),
}


def truth(make: Callable[[], Behaviour], life: Life, factor: float, *, people: int, seed: int) -> tuple[float, float]:
    """Points in range that the shift changes, and the standard error of that mean over people."""
    first = ROWS + BEGINS // 5
    everybody = sample_population("adult", people, seed, mis_set=0.2, pens=0.0)
    inside = []
    for each in (factor, 1.0):
        policy = Shifted(make(), each, first)
        lived = replay(everybody, policy, days=TRUE_DAYS, seed=seed, life=life)
        level = lived.reading[:, first : first + ROWS]
        good = ((level >= LOW) & (level <= HIGH)).float().masked_fill(level.isnan(), torch.nan)
        inside.append(100 * good.nanmean(1))
    changed = (inside[0] - inside[1]).numpy()
    return float(np.nanmean(changed)), float(np.nanstd(changed) / len(changed) ** 0.5)


def by_replay(recordings: Sequence[PatientSeries], factors: Sequence[float]) -> dict[float, Estimate]:
    """The worth of each factor in a cohort by the world model alone, personalised on the same days."""
    world = open_world()
    known = personalise(world.model, recordings)
    each = [replayed_worth(world, series, person, factors) for series, person in zip(recordings, known, strict=True)]
    changed = np.array([one for one in each if one is not None])
    index = np.arange(len(changed))
    return {
        factor: jackknife(index, lambda keep, own=changed[:, place]: float(own[keep].mean()))  # type: ignore[misc]
        for place, factor in enumerate(factors)
    }


def proof(
    cohorts: int,
    people: int,
    truths: int,
    seed: int,
    say: Callable[[str], None],
    *,
    behaviours: Sequence[str] = tuple(BEHAVIOURS),
    world: bool = False,
) -> list[dict[str, object]]:
    """A row a behaviour, factor and estimator: truth, mean estimate, bias, RMSE, coverage, width, and how often it refused."""
    table = []
    for place, (name, (make, life)) in enumerate(BEHAVIOURS.items()):
        if name not in behaviours:
            continue
        say(f"{name}: living {cohorts * people} people for {DAYS} days")
        everyone = sample_population("adult", cohorts * people, seed + place, mis_set=0.2, pens=0.0)
        lived = replay(everyone, make(), days=DAYS, seed=seed + place, life=life)
        factors = (*FACTORS, NO_OVERLAP) if name == "usual" else FACTORS
        true = {factor: truth(make, life, factor, people=truths, seed=seed + 100 + place) for factor in factors}
        found: list[dict[str, object]] = []
        for cohort in range(cohorts):
            recordings = [lived.series(index) for index in range(cohort * people, (cohort + 1) * people)]
            days = [dosing_table(series).assign(patient=series.patient) for series in recordings]
            replayed = by_replay(recordings, factors) if world else {}
            occasions = occasions_of(pd.concat(days, ignore_index=True), ["patient"])
            if occasions is None:
                continue
            behaviour = fit_behaviour(occasions)
            for factor in factors:
                one = worth_of(occasions, factor, behaviour=behaviour)
                row = {"behaviour": name, "factor": factor, "refused": not one.estimable}
                estimates = one.estimates | ({"world_model": replayed[factor]} if world else {})
                found += [row | {"estimator": each, **vars(estimate)} for each, estimate in estimates.items()]
            say(f"{name}: {cohort + 1} of {cohorts}")
        for (factor, estimator), rows in pd.DataFrame(found).groupby(["factor", "estimator"], sort=False):
            table.append(judged(name, factor, estimator, rows, *true[factor]))
    return table


def judged(name: str, factor: float, estimator: str, rows: pd.DataFrame, true: float, error: float) -> dict[str, object]:
    """What the estimates of many cohorts are worth, beside the truth."""
    missed = rows["difference"] - true
    return {
        "behaviour": name,
        "factor": factor,
        "estimator": estimator,
        "truth": round(true, 3),
        "truth_error": round(error, 3),
        "cohorts": len(rows),
        "refused": round(float(rows["refused"].mean()), 3),
        "bias": round(float(missed.mean()), 3),
        "rmse": round(float((missed**2).mean() ** 0.5), 3),
        "covers": round(float(((rows["low"] <= true) & (rows["high"] >= true)).mean()), 3),
        "width": round(float((rows["high"] - rows["low"]).mean()), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohorts", type=int, default=100)
    parser.add_argument("--people", type=int, default=30)
    parser.add_argument("--truths", type=int, default=4000, help="people who live for the truth")
    parser.add_argument("--seed", type=int, default=5200)
    parser.add_argument("--behaviour", action="append", choices=BEHAVIOURS, help="may be repeated; by default all")
    parser.add_argument("--world", action="store_true", help="the direct method by the world model too")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    import sys

    table = proof(
        asked.cohorts,
        asked.people,
        asked.truths,
        asked.seed,
        lambda text: print(text, file=sys.stderr),
        behaviours=asked.behaviour or tuple(BEHAVIOURS),
        world=asked.world,
    )
    print(json.dumps(table, indent=1) if asked.json else pd.DataFrame(table).to_string(index=False))


if __name__ == "__main__":
    main()
