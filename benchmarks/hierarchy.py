"""What the levels of planning give each other in closed loop: settings, doses planned under them, and the mandate between.

`python benchmarks/hierarchy.py [--people 8] [--days 4] [--seed 71] [--mis-set 0.3] [--strong] [--json]`: people on
pumps live a fortnight by their settings; careplan proposes a regimen from it, once for people who dose by themselves and once
for those whose doses it plans (`Case.below`: the response of the level below is in the search); then they live on,
the same days for all, by these settings, with and without planned doses, with and without the mandate. Means over people of
shares of time in true glucose, and what each adds to planned doses alone, with 95 % intervals over people (bootstrap). One JSON
object on the last line. A setting that differs by part of the day enters as its mean over the day.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace

import torch
from policies import Shares, compared, fare, table
from torch import Tensor

from careplan.minutes import DAY
from careplan.series import PatientSeries
from careplan.studies import visits_judged as visits
from careplan.studies.closed_loop import Planner
from careplan.studies.visits import accepted
from careplan.suggestion import Suggestion
from careplan.therapies.glucose.declaration import GLUCOSE, Regimen
from careplan.therapies.glucose.regimen_search import Case, suggest_regimen
from careplan.therapies.glucose.world import open_world
from careplan.therapy import Mandate
from careplan.world.loaded import World
from careplan.world.personalise import Personalisation, personalise
from cohorts.policies import Behaviour, Policy
from cohorts.population import Population
from cohorts.replay import replay


def proposed(
    world: World, people: Population, recordings: Sequence[PatientSeries], known: Sequence[Personalisation], below: Mandate | None
) -> tuple[Population, list[Mandate], list[Suggestion]]:
    """People with the settings that are proposed to them, and what these hand down: the therapy's own where it abstains."""
    found = [
        suggest_regimen(world, Case(series=series, person=person, regimen=people.regimen(index), below=below), {})
        for index, (series, person) in enumerate(zip(recordings, known, strict=True))
    ]
    signed = [
        accepted(people.regimen(index), each, series, people.groups[index])
        for index, (each, series) in enumerate(zip(found, recordings, strict=True))
    ]
    settings = torch.stack([over_the_day(regimen) for regimen in signed])
    own = torch.stack([over_the_day(people.regimen(index)) for index in range(len(people))])
    moved = replace(people, prescribed=people.prescribed * settings / own)
    return moved, [each.mandate or GLUCOSE.mandate for each in found], found


def over_the_day(regimen: Regimen) -> Tensor:
    """Mean basal, carb ratio and correction factor, `[3]`."""
    spans = torch.tensor([end - start for start, end in zip(regimen.starts, [*regimen.starts[1:], DAY], strict=True)])
    return (visits.settings(regimen) * spans.unsqueeze(1)).sum(0) / spans.sum()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=8)
    parser.add_argument("--days", type=int, default=4)
    parser.add_argument("--seed", type=int, default=71)
    parser.add_argument("--mis-set", type=float, default=0.3)
    parser.add_argument("--strong", action="store_true", help=f"everybody's settings are {visits.STRONG} of what suits")
    parser.add_argument("--json", action="store_true", help="the object alone")
    asked = parser.parse_args()
    world = open_world()
    start = "too strong" if asked.strong else "off by a third"
    people = visits.cohort(asked.people, asked.seed, mis_set=asked.mis_set, pens=0.0, start=start)
    lived = replay(people, Behaviour(), days=visits.DAYS, seed=asked.seed)
    recordings = [lived.series(index) for index in range(len(people))]
    known = personalise(world.model, recordings)
    alone, under, found = proposed(world, people, recordings, known, None)
    answered, answering, other = proposed(world, people, recordings, known, GLUCOSE.mandate)
    arms: dict[str, tuple[Population, Policy]] = {
        "settings as they were": (people, Behaviour.as_set()),
        "regimen": (alone, Behaviour.as_set()),
        "doses": (people, Planner(world)),
        "doses, mandate": (people, Planner(world, mandates=under)),
        "doses, regimen": (alone, Planner(world)),
        "doses, regimen, mandate": (alone, Planner(world, mandates=under)),
        "doses, regimen that knows of them, mandate": (answered, Planner(world, mandates=answering)),
    }
    fared: dict[str, Shares] = {}
    for name, (them, policy) in arms.items():
        fared[name] = fare(them, policy, asked.days, asked.seed + 1, 0)
        if not asked.json:
            print(name, table(people, fared[name]), flush=True)
    result = {
        **vars(asked),
        "changed": sum(bool(each.lines) for each in found),
        "changed, knowing of doses": sum(bool(each.lines) for each in other),
        "aimed higher": sum(each.target > GLUCOSE.best for each in under),
        "tables": {name: table(people, shares) for name, shares in fared.items()},
        "less doses alone": {name: compared(people, shares, fared["doses"]) for name, shares in fared.items() if name != "doses"},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
