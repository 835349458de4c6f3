"""Makes physiology.json: what simglucose makes of virtual people of ours, their meals and their doses.

Run by hand, twice: `python tests/golden/make_physiology.py draw` where careplan is installed, which writes people, meals and
doses; then `python tests/golden/make_physiology.py run` where simglucose 0.2.11 is, which adds the glucose it simulates.
"""

import json
import sys
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("physiology.json")
HOURS = 24


def draw() -> dict[str, Any]:
    """Three people of each group, with random meals and boluses and a basal rate that changes, in steps of five minutes."""
    import torch

    from cohorts.population import GROUPS, join, sample_population

    people = join([sample_population(group, 3, 40 + place) for place, group in enumerate(GROUPS)])
    generator = torch.Generator().manual_seed(11)
    rows, count = HOURS * 12, len(people)
    meals = torch.rand(count, rows, generator=generator) < 6 / rows
    carbs = (meals * people.carbs.unsqueeze(1) * (0.05 + 0.35 * torch.rand(count, rows, generator=generator))).round()
    doses = carbs / people.carb_ratio.unsqueeze(1) * (0.3 + torch.rand(count, rows, generator=generator))
    swing = (0.6 + 0.8 * torch.rand(count, 4, generator=generator)).repeat_interleave(rows // 4, 1)
    insulin = (doses + people.basal.unsqueeze(1) / 12 * swing).double().round(decimals=4)
    return {
        "parameters": {name: value.tolist() for name, value in vars(people.physiology).items()},
        "state": people.body.amounts[:, :13].tolist(),
        "carbs": carbs.tolist(),
        "insulin": insulin.tolist(),
    }


def run(golden: dict[str, Any]) -> list[list[float]]:
    """Interstitial glucose every quarter of an hour; each mouthful lasts its five minutes."""
    import pandas as pd
    from simglucose.patient.t1dpatient import Action, T1DPatient

    courses = []
    for person, state in enumerate(golden["state"]):
        own = {name: values[person] for name, values in golden["parameters"].items()}
        states = {f"x0_{place + 1}": value for place, value in enumerate(state)}
        patient = T1DPatient(pd.Series({"Name": "ours", "i": 1, **states, **own, "BW": own["weight"], "u2ss": 0.0}))
        course = []
        for row, (carbs, insulin) in enumerate(zip(golden["carbs"][person], golden["insulin"][person], strict=True)):
            patient.EAT_RATE = carbs / 5 if carbs else 5
            for minute in range(5):
                patient.step(Action(CHO=carbs if minute == 0 else 0, insulin=insulin / 5))
            if row % 3 == 2:
                course.append(round(float(patient.observation.Gsub), 3))
        courses.append(course)
    return courses


if __name__ == "__main__":
    if sys.argv[1:] == ["draw"]:
        FILE.write_text(json.dumps(draw()))
    else:
        golden = json.loads(FILE.read_text())
        FILE.write_text(json.dumps({**golden, "glucose": run(golden)}))
