"""How long people on warfarin are in range under careplan, protocols, and Bayesian dosing with the right equations.

`python benchmarks/warfarin.py [--people 60] [--seed 9000] [--weights FOLDER] [--json]`. Prints one object: `pttr`,
policy -> body -> % of days 1 to 90 with an INR of 2 to 3 (the body's true INR, not what was measured); `above_4` and `below_2`
the same; `tests`, INRs measured in 90 days; `effect_error_7d`, `effect_error_14d`, by body, of a tenth more of the weekly dose 7
and 14 days after it, after three INRs (root mean square missed over that of the true effects). Bodies: `hamberg`, whose people
differ as the open package ReiL draws them, without life, which docs/experiments/warfarin.md compares with others' figures;
`hamberg_life`, the whole published spread with life; `network_life`, the second body with life, of people of all ancestries. The
seed is of people that nothing was chosen on: weights are trained on seeds from 100, choices were made on seeds below 1000.
`--only` and `--clinics` name the policies and bodies to measure, all
where absent: a part of a run measures what the whole does.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from careplan.therapies.warfarin.practice import PRACTICE, WEIGHTS
from careplan.world.model import WorldModel, load_model
from cohorts.warfarin.bayes import Bayes
from cohorts.warfarin.corpus import body_of
from cohorts.warfarin.effects import AFTER, effects, error
from cohorts.warfarin.hamberg import Hamberg
from cohorts.warfarin.life import Life, live
from cohorts.warfarin.people import People, Place, draw
from cohorts.warfarin.planned import Planned
from cohorts.warfarin.policies import PROTOCOLS
from cohorts.warfarin.trial import Body, Policy, Trial, run

DAYS = 90


@dataclass(frozen=True)
class Clinic:
    """People of one body, place and life."""

    body: str
    place: Place
    life: Life


CLINICS = {
    "hamberg": Clinic("quartiles", "aurora", Life.none()),
    "hamberg_life": Clinic("hamberg", "aurora", Life()),
    "network_life": Clinic("network", "mixed", Life()),
}


def drawn(kind: str, people: People, seed: int) -> Body:
    """Bodies of a kind, as Bayesian dosing believes of people who are of it."""
    body = body_of(kind, people, seed)
    return replace(body, hours=6.0) if isinstance(body, Hamberg) else body


def policies(model: WorldModel, clinic: Clinic) -> dict[str, Callable[[], Policy]]:
    """By name, each made anew for every trial."""
    own: dict[str, Callable[[], Policy]] = {
        "bayes": lambda: Bayes(partial(drawn, clinic.body), particles=150, planned=32),
        "careplan": lambda: Planned(model),
        "careplan_no_genotype": lambda: Planned(model, typed=False),
    }
    return {name: partial(_same, policy) for name, policy in PROTOCOLS.items()} | own


def _same(policy: Policy) -> Policy:
    return policy


def measure(model: WorldModel, count: int, seed: int, only: list[str], clinics: list[str]) -> dict[str, Any]:
    """Every policy on the same people and lives."""
    found: dict[str, Any] = {"people": count, "seed": seed, "model": model.fingerprint()}
    tables: dict[str, dict[str, dict[str, float]]] = {name: {} for name in ("pttr", "above_4", "below_2", "tests")}
    for name in clinics or CLINICS:
        clinic = CLINICS[name]
        people = draw(count, seed, clinic.place)
        body, lived = body_of(clinic.body, people, seed), live(count, DAYS, seed, clinic.life)
        for policy, make in policies(model, clinic).items():
            if only and policy not in only:
                continue
            for table, value in figures(run(people, body, lived, make(), days=DAYS)).items():
                tables[table].setdefault(policy, {})[name] = value
        if only and "effects" not in only:
            continue
        missed = error(*effects(model, people, body, lived)).tolist()
        for days, value in zip(AFTER, missed, strict=True):
            found.setdefault(f"effect_error_{days}d", {})[name] = round(value, 3)
    return found | tables


def figures(trial: Trial) -> dict[str, float]:
    """Means over people."""
    found = {"pttr": trial.share(), "above_4": trial.above(4.0), "below_2": trial.below(2.0), "tests": trial.tests.float()}
    return {name: round(float(values.mean()), 2) for name, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=60)
    parser.add_argument("--seed", type=int, default=9000)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--only", nargs="*", default=[], help="policies, and `effects`")
    parser.add_argument("--clinics", nargs="*", default=[], choices=list(CLINICS))
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    found = measure(load_model(PRACTICE.therapy, asked.weights), asked.people, asked.seed, asked.only, asked.clinics)
    if asked.json:
        print(json.dumps(found))
        return
    for table in ("pttr", "above_4", "below_2", "tests"):
        print(table)
        for policy, row in found[table].items():
            print(f"  {policy:40} " + "  ".join(f"{clinic} {value:6.2f}" for clinic, value in row.items()))
    for days in AFTER:
        print(f"effect_error_{days}d {found.get(f'effect_error_{days}d')}")


if __name__ == "__main__":
    main()
