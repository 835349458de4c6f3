"""How virtual people fare under each policy, in true glucose.

`python benchmarks/policies.py [--people 20] [--days 7] [--policies a,b] [--mis-set 0.0] [--pens 0.0] [--last 0]
[--against a] [--seeds PEOPLE LIVES] [--family padova] [--json]`: by policy and group, the mean over people of each share
of time, the same people and lives for every policy. --last: only the last so many days count. --against: also how much more
of each share that policy has than every other, person by person: the mean with its 95 % interval over people (bootstrap),
and the ten people it does worst by. --family: of whose equations the bodies are (`cohorts.families`). --tune: PID gains
instead, on other people, the best by `worth`. One JSON object on the last line.
"""

import argparse
import json
import time
from collections.abc import Iterator
from itertools import product

import torch

from careplan.studies.replays import POLICIES
from cohorts.catalogue import SOME_INSULIN
from cohorts.families import FAMILIES
from cohorts.loops import Pid
from cohorts.policies import Policy
from cohorts.population import GROUPS, Population, join, sample_population
from cohorts.replay import replay
from cohorts.scenarios import ROWS

JUDGED = (7701, 7702)  # seeds of people and of their lives; TUNED: of those the gains were chosen on
TUNED = (9201, 9202)

Table = dict[str, dict[str, float]]


Shares = dict[str, torch.Tensor]  # percent of time of each person, `[B]`


def fare(people: Population, policy: Policy, days: int, seed: int, last: int) -> Shares:
    """Percent of time at 70-180, below 70 and below 54 mg/dL, by person."""
    level = replay(people, policy, days=days, seed=seed).glucose[:, -(last or days) * ROWS :]
    shares = {"in range": (level >= 70) & (level <= 180), "below 70": level < 70, "below 54": level < 54}
    return {name: 100 * share.float().mean(1) for name, share in shares.items()}


def rows_of(people: Population) -> dict[str, torch.Tensor]:
    return {group: torch.tensor([each == group for each in people.groups]) for group in GROUPS}


def table(people: Population, shares: Shares) -> Table:
    """Means over the people of each group."""
    return {
        group: {name: round(float(share[rows].mean()), 2) for name, share in shares.items()}
        for group, rows in rows_of(people).items()
    }


def compared(people: Population, ours: Shares, theirs: Shares) -> dict[str, object]:
    """Ours less theirs, person by person: mean and 95 % interval by group, and the ten people with the largest losses."""
    draws = torch.Generator().manual_seed(0)
    found: dict[str, object] = {}
    for group, rows in rows_of(people).items():
        count = int(rows.sum())
        again = torch.randint(count, (2000, count), generator=draws)
        for name in ours:
            apart = (ours[name] - theirs[name])[rows]
            low, high = torch.quantile(apart[again].mean(1), torch.tensor([0.025, 0.975])).tolist()
            found[f"{group} {name}"] = [round(value, 2) for value in (float(apart.mean()), low, high)]
    loss = (theirs["in range"] - ours["in range"]) + 4 * (ours["below 70"] - theirs["below 70"])
    worst = [index for index in loss.argsort(descending=True)[:10].tolist() if loss[index] > 0]
    found["losses"] = {
        people.names[index]: {name: [round(float(each[name][index]), 1) for each in (ours, theirs)] for name in ours}
        for index in worst
    }
    return found


def worth(table: Table) -> float:
    """What gains are chosen by: percent in range less four times that below 70, mean over groups."""
    return sum(row["in range"] - 4 * row["below 70"] for row in table.values()) / len(table)


def candidates() -> Iterator[Pid]:
    """The gains that are tried."""
    for gain, reset, rise, feedback in product((0.2, 0.3, 0.45), (4.0, 8.0), (0.5, 1.0, 1.5), (0.25, 0.5, 0.75, 1.0)):
        name = f"gain {gain} reset {reset} rise {rise} feedback {feedback}"
        yield Pid(name=name, gain=gain, reset=reset, rise=rise, feedback=feedback)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--policies", default=",".join(name for name in POLICIES if name not in SOME_INSULIN))
    parser.add_argument("--mis-set", type=float, default=0.0)
    parser.add_argument("--pens", type=float, default=0.0)
    parser.add_argument("--last", type=int, default=0)
    parser.add_argument("--against")
    parser.add_argument("--seeds", type=int, nargs=2, default=JUDGED, help="of people and of their lives")
    parser.add_argument("--family", choices=FAMILIES, default="padova")
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    seed, life = TUNED if asked.tune else asked.seeds
    people = join(
        [
            sample_population(group, asked.people, seed * 10 + place, mis_set=asked.mis_set, pens=asked.pens, family=asked.family)
            for place, group in enumerate(GROUPS)
        ]
    )
    policies = candidates() if asked.tune else (POLICIES[name]() for name in asked.policies.split(","))
    found: dict[str, Table] = {}
    lived: dict[str, Shares] = {}
    for policy in policies:
        began = time.perf_counter()
        lived[policy.name] = fare(people, policy, asked.days, life, asked.last)
        found[policy.name] = table(people, lived[policy.name])
        if not asked.json:
            cells = " | ".join(" / ".join(f"{value:.2f}" for value in row.values()) for row in found[policy.name].values())
            print(f"{policy.name:45} | {cells} | {time.perf_counter() - began:.0f} s", flush=True)
    best = {"best": max(found, key=lambda name: worth(found[name]))} if asked.tune else {}
    ours = lived.get(asked.against, {})
    pairs = {name: compared(people, ours, theirs) for name, theirs in lived.items() if ours and name != asked.against}
    about = {"people": asked.people, "days": asked.days, "seeds": [seed, life], "family": asked.family}
    print(json.dumps({**about, "policies": found, "against": pairs, **best}))


if __name__ == "__main__":
    main()
