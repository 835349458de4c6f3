"""Whether a fortnight replayed in the world model under other settings is what people really live under them.

`python benchmarks/replayed_days.py [--people 8] [--seed 71] [--mis-set 0.3] [--pens 0.3] [--strong] [--group adult] [--json]`:
people live a fortnight; the model, which saw that one alone, replays it under each change of settings; and they live it
again under them, the same meals, days and sensors. By change: means over people of time below 70 mg/dL and in range, lived and
replayed; off: how far what the change does differs between the two, the mean over people. One JSON object on the last line.
"""

import argparse
import json
from dataclasses import replace

import pandas as pd
import torch

from careplan.studies import visits_judged as visits
from careplan.therapies.glucose.days import SETTINGS, recent_days
from careplan.therapies.glucose.world import open_world
from careplan.world.loaded import World
from careplan.world.personalise import personalise
from cohorts.policies import Behaviour
from cohorts.population import GROUPS, Population
from cohorts.replay import replay
from cohorts.scenarios import ROWS

# Times the basal, carb ratio and correction factor of the first fortnight; None: what suits each person.
CHANGES: dict[str, tuple[float, float, float] | None] = {
    "none": (1.0, 1.0, 1.0),
    "basal -20 %": (0.8, 1.0, 1.0),
    "carb ratio +25 %": (1.0, 1.25, 1.0),
    "correction factor +25 %": (1.0, 1.0, 1.25),
    "a fifth less of all": (0.8, 1.25, 1.25),
    "a third less of all": (0.7, 1.4, 1.4),
    "what suits": None,
    "a tenth more of all": (1.1, 0.9, 0.9),
}


def shares(level: torch.Tensor) -> dict[str, float]:
    """Percent of time below 70 mg/dL and in range."""
    low, high = (level < 70).double().mean(), (level > 180).double().mean()
    return {"below_70": 100 * float(low), "in_range": 100 * float(1 - low - high)}


def compared(world: World, people: Population, seed: int) -> pd.DataFrame:
    """A row a person and change."""
    now = people.prescribed
    factors = torch.stack(
        [1.0 / now if change is None else now.new_tensor(change).expand_as(now) for change in CHANGES.values()]
    )  # [W, B, 3]
    lived = [replay(replace(people, prescribed=now * each), Behaviour(), days=visits.DAYS, seed=seed) for each in factors]
    recordings = [lived[0].series(index) for index in range(len(people))]
    known, found = personalise(world.model, recordings), []
    for index, (series, person) in enumerate(zip(recordings, known, strict=True)):
        regimen = people.regimen(index)
        days = recent_days(world.model, series, person, regimen)
        if days is None:
            continue
        by_block = factors[:, index].repeat_interleave(len(regimen.starts), 1)  # [W, 3 * blocks]
        long_acting = factors[:, index, :1] if people.pens[index] else torch.ones(len(CHANGES), 1)
        levels = days.replay(torch.cat([by_block, long_acting], 1))
        for name, truth, told in zip(CHANGES, lived, levels, strict=True):
            there = shares(torch.cat([truth.glucose[index, row : row + ROWS] for row in days.rows]))
            row = {f"{share} lived": value for share, value in there.items()}
            row |= {f"{share} replayed": value for share, value in shares(told).items()}
            found.append({"change": name, "person": people.names[index], **row})
    return pd.DataFrame(found)


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """Means over people by change, and how far what it does is off."""
    indexed = rows.set_index(["change", "person"])
    does = indexed - indexed.xs("none")
    for share in ("below_70", "in_range"):
        indexed[f"{share} off"] = (does[f"{share} replayed"] - does[f"{share} lived"]).abs()
    return indexed.groupby("change", sort=False).mean().round(2)


def main() -> None:
    """Parse, compare, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--people", type=int, default=8)
    parser.add_argument("--seed", type=int, default=71)
    parser.add_argument("--mis-set", type=float, default=0.3)
    parser.add_argument("--pens", type=float, default=0.3)
    parser.add_argument("--strong", action="store_true", help=f"everybody's settings are {visits.STRONG} of what suits")
    parser.add_argument("--group", action="append", choices=GROUPS, help="may be repeated; by default adult")
    parser.add_argument("--json", action="store_true", help="the object alone")
    asked = parser.parse_args()
    groups = asked.group or ["adult"]
    start = "too strong" if asked.strong else "off by a third"
    them = visits.cohort(asked.people, asked.seed, mis_set=asked.mis_set, pens=asked.pens, start=start, groups=groups)
    found = table(compared(open_world(), them, asked.seed + 500))
    if not asked.json:
        print(found.to_string())
    print(json.dumps({**vars(asked), "settings": SETTINGS, "changes": found.to_dict("index")}))


if __name__ == "__main__":
    main()
