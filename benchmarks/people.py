"""What virtual people look like over a fortnight, and how fast they live.

`python benchmarks/people.py [--people 100] [--days 14] [--mis-set 0.0] [--pens 0.0] [--life usual] [--sensor usual]
[--groups adult,adolescent,child] [--policy behaviour] [--last 0] [--json]`: by group, mean and median over people with the 5th
and 95th percentile; patient-days a second of the replay, on one thread. --last: only the last so many days count.
"""

import argparse
import json
import time

import torch

from cohorts.catalogue import POLICIES, named
from cohorts.population import GROUPS, sample_population
from cohorts.replay import replay
from cohorts.scenarios import LIVES, ROWS
from cohorts.sensors import SENSORS


def spread(values: torch.Tensor) -> dict[str, float]:
    """`[B]` -> the mean and percentiles."""
    low, mid, high = torch.quantile(values.float(), torch.tensor([0.05, 0.5, 0.95])).tolist()
    return {"mean": round(float(values.mean()), 2), "p5": round(low, 2), "p50": round(mid, 2), "p95": round(high, 2)}


def describe(
    group: str, people: int, days: int, mis_set: float, pens: float, life: str, sensor: str, policy: str, last: int
) -> dict[str, object]:
    """One group's fortnight, in true glucose."""
    them = sample_population(group, people, seed=5, mis_set=mis_set, pens=pens)  # type: ignore[arg-type]
    began = time.perf_counter()
    lived = replay(them, named(policy), days=days, seed=3, life=LIVES[life](), sensor=SENSORS[sensor]())
    seconds = time.perf_counter() - began
    count = last or days
    counted = slice(-count * ROWS, None)
    level, weight = lived.glucose[:, counted], them.physiology.weight
    basal = lived.basal[:, counted].mean(1) * 24 + lived.long_acting[:, counted].sum(1) / count
    daily = basal + lived.bolus[:, counted].sum(1) / count
    return {
        "in range %": spread(((level >= 70) & (level <= 180)).float().mean(1) * 100),
        "below 70 %": spread((level < 70).float().mean(1) * 100),
        "below 54 %": spread((level < 54).float().mean(1) * 100),
        "above 250 %": spread((level > 250).float().mean(1) * 100),
        "mean mg/dL": spread(level.mean(1)),
        "at six in the morning mg/dL": spread(level.unflatten(1, (count, ROWS))[:, :, 71].mean(1)),
        "CV %": spread(100 * level.std(1) / level.mean(1)),
        "lowest mg/dL": round(float(level.min()), 1),
        "highest mg/dL": round(float(level.max()), 1),
        "weight kg": spread(weight),
        "insulin U/day": spread(daily),
        "insulin U/kg/day": spread(daily / weight),
        "basal U/kg/day": spread(basal / weight),
        "basal share": spread(basal / daily),
        "carbohydrate g/day": spread(lived.eaten[:, counted].sum(1) / count),
        "carb ratio g/U": spread(them.carb_ratio),
        "carb ratio x daily dose": spread(them.carb_ratio * daily),
        "correction factor mg/dL/U": spread(them.correction_factor),
        "correction factor x daily dose": spread(them.correction_factor * daily),
        "bolus duration h": spread(them.duration),
        "sensor MARD %": round(float(((lived.reading[:, counted] - level).abs() / level).nanmean()) * 100, 2),
        "patient-days a second": round(people * days / seconds, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--days", type=int, default=14)
    parser.add_argument("--mis-set", type=float, default=0.0)
    parser.add_argument("--pens", type=float, default=0.0)
    parser.add_argument("--life", choices=LIVES, default="usual")
    parser.add_argument("--sensor", choices=SENSORS, default="usual")
    parser.add_argument("--groups", default=",".join(GROUPS))
    parser.add_argument("--policy", choices=POLICIES, default="behaviour")
    parser.add_argument("--last", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one object, on one line")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    asked = (chosen.people, chosen.days, chosen.mis_set, chosen.pens, chosen.life, chosen.sensor, chosen.policy, chosen.last)
    table = {group: describe(group, *asked) for group in chosen.groups.split(",")}
    print(json.dumps(table) if chosen.json else json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
