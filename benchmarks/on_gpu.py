"""Every figure that careplan claims of a GPU, in one go and under ten minutes: simulate, search, personalise, train.

    python benchmarks/on_gpu.py [--small] [--simulated N] [--searched N] ... [--out FILE] --json

It runs where torch finds a GPU, and on a CPU with --small, to see that it runs; each size of `Sizes` is an option. Seconds end
when the device has finished; each figure is the median of three rounds after one that warms up, but for those that take minutes,
which are measured once.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from doses import measure

from careplan.series import PatientSeries
from careplan.therapies.glucose.declaration import GLUCOSE
from careplan.therapies.glucose.world import open_world
from careplan.world.corpus import Branches, Corpus
from careplan.world.personalise import personalise
from careplan.world.training import Recipe, Training
from cohorts.bodies import Body, Inputs, advance
from cohorts.policies import Behaviour
from cohorts.population import sample_population
from cohorts.replay import replay

DAYS = 14  # that are known of each person
ROWS = 288  # five-minute rows of a simulated day


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is asked. different: people who are simulated for personalisation and training, each as often as it takes."""

    different: int = 200
    simulated: int = 1_000_000
    searched: int = 10_000
    simulations: int = 128
    personalised: int = 10_000
    steps: int = 30
    rounds: int = 3


SMALL = Sizes(different=4, simulated=200, searched=24, simulations=8, personalised=4, steps=1, rounds=1)


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def seconds(call: Callable[[], object], rounds: int) -> float:
    """The median over rounds after one that warms up."""
    spent = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        call()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        spent.append(time.perf_counter() - began)
    return statistics.median(spent[1:])


@torch.inference_mode()
def simulated(sizes: Sizes) -> dict[str, Any]:
    """Virtual people whose equations run through a day of five-minute rows, doses given."""
    people = sample_population("adult", min(sizes.simulated, 2000), 1)
    index = torch.arange(sizes.simulated) % len(people)
    who = type(people.physiology)(*(part[index].to(device()) for part in vars(people.physiology).values()))
    body = Body(*(part[index].to(device()) for part in vars(people.body).values()))
    zero, one = torch.zeros(sizes.simulated, device=device()), torch.ones(sizes.simulated, device=device())
    basal = people.basal[index].to(device()) / 12

    def day() -> None:
        state = body
        for row in range(ROWS):
            state = advance(who, state, Inputs(60 * one if row == 90 else zero, basal, zero, one, one, one))

    took = seconds(day, sizes.rounds)
    return {"people": sizes.simulated, "seconds_a_day": round(took, 3), "patient_days_a_second": round(sizes.simulated / took)}


def recordings(count: int) -> list[PatientSeries]:
    """People who differ, and what was recorded of them."""
    lived = replay(sample_population("adult", count, 2), Behaviour(), days=DAYS, seed=2)
    return [lived.series(place) for place in range(count)]


def inferred(sizes: Sizes, people: list[PatientSeries]) -> dict[str, Any]:
    """Codes of many patients from a fortnight each."""
    world, most = open_world(), 500
    everyone = [replace(people[at % len(people)], patient=f"p{at}") for at in range(sizes.personalised)]
    personalise(world.model, everyone[:2])
    began = time.perf_counter()
    for first in range(0, len(everyone), most):
        personalise(world.model, everyone[first : first + most])
    took = time.perf_counter() - began
    return {"patients": sizes.personalised, "seconds": round(took, 1), "patients_a_second": round(sizes.personalised / took, 2)}


def taught(sizes: Sizes, people: list[PatientSeries]) -> dict[str, Any]:
    """Steps of training on recordings."""
    none = torch.zeros(0, dtype=torch.long)
    branches = Branches(none, none, torch.zeros(0), torch.zeros(0), torch.zeros(0))
    training = Training(GLUCOSE, Recipe(effects=0.0), Corpus.of(people), branches, real=len(people)).to(device())
    training.log_dict = lambda *_, **__: None  # type: ignore[method-assign, assignment]
    optimiser = torch.optim.AdamW(training.parameters(), lr=1e-3)

    def steps() -> None:
        for step in range(sizes.steps):
            optimiser.zero_grad()
            training.training_step(torch.tensor(step), 0).backward()
            optimiser.step()

    took = seconds(steps, 1)
    return {"steps": sizes.steps, "seconds_a_step": round(took / sizes.steps, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="so little that a CPU does it")
    for each in fields(Sizes):
        parser.add_argument(f"--{each.name}", type=int, help="how many; by default as --small says or not")
    parser.add_argument("--out", type=Path, help="a file for the object too")
    parser.add_argument("--json", action="store_true", help="one object, on one line")
    asked = parser.parse_args()
    given = {each.name: value for each in fields(Sizes) if (value := getattr(asked, each.name)) is not None}
    sizes = replace(SMALL if asked.small else Sizes(), **given)
    people = recordings(sizes.different)
    found: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "asked": asdict(sizes),
        "simulate": simulated(sizes),
        "search": measure(sizes.searched, sizes.simulations, sizes.rounds),
        "personalise": inferred(sizes, people),
        "train": taught(sizes, people),
    }
    text = json.dumps(found, indent=None if asked.json else 1)
    if asked.out:
        asked.out.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
