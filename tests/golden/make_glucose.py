"""Makes glucose.json: what careplan answers, from the shipped weights, in a few cases of every use case.

`python tests/golden/make_glucose.py` writes it anew, which is right only where an answer is meant to change;
`python tests/golden/make_glucose.py compare` prints how far today's answers are from those kept, by case.
Cases of real recordings need `CAREPLAN_DATA`, and hold derived numbers only, no recording.
"""

import json
import math
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, is_dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from careplan.clinic import dose_page, import_records, open_database, review_page, worklist
from careplan.clinic.forecasts import forecast_patient
from careplan.clinic.planning import plan_regimens, suggest_doses
from careplan.store import Database
from careplan.studies import effects
from careplan.studies.closed_loop import Planner
from careplan.studies.demo import run_demo
from careplan.suggestion import Suggestion
from careplan.therapies.glucose.words import MG_DL, MMOL_L, because, limits_in_words, said
from careplan.therapies.glucose.world import open_world
from cohorts.population import join, sample_population
from cohorts.replay import replay

FILE = Path(__file__).with_name("glucose.json")
RELATIVE = 1e-5  # how far a number may be where another processor sums in another order
SMALL = 3.0  # smaller numbers may be off by as much as this one: effects are differences of levels in single precision
REPLAYED = 0.02  # how far, of replayed days: a reading that crosses the edge of a range moves a share of time by 0.03 points
PEOPLE = {"adult": 4, "adolescent": 2, "child": 2}


def data() -> Path | None:
    """The folder of real recordings, where there is one."""
    folder = Path(os.environ.get("CAREPLAN_DATA", Path(__file__).parents[3] / "shared" / "data")) / "azt1d"
    return folder if folder.is_dir() else None


# Each case is a function of no arguments whose answer is compared.


@cache
def demo() -> tuple[Database, tuple[Suggestion, ...]]:
    """A store with the demo's six people over sixteen days, planned for."""
    db = open_database(str(Path(tempfile.mkdtemp()) / "demo.db"))
    return db, tuple(run_demo(db, open_world(), people=6, days=16, seed=3, say=lambda text: None))


def demo_regimens() -> Any:
    return [answer(one) for one in demo()[1]]


def demo_doses() -> Any:
    db, made = demo()
    at = pd.Timestamp("2026-09-22 12:00", tz="UTC")
    names = [made[0].patient, made[-1].patient]
    return [answer(one) for one in suggest_doses(db, names, open_world(), at=at, announced=("carbs 50 at 12:15",), seed=1)]


def demo_worklist() -> Any:
    rows = [asdict(row) for row in worklist(demo()[0]).rows]
    return [{name: value for name, value in row.items() if name not in ("therapy", "due")} for row in rows]


def demo_review_page() -> Any:
    page = asdict(review_page(demo()[0], demo()[1][0].patient))
    page["suggestion"] = page["suggestion"]["id"]
    known_since(page)
    page["days"] = [{**day, "minute": len(day["minute"]), "glucose": [*day["glucose"][::24]]} for day in page["days"]]
    return page


def known_since(page: dict[str, Any]) -> None:
    """Takes away what pages say since: it depends on today, or is said elsewhere."""
    del page["summary"]["therapy"], page["summary"]["problem"], page["out_of_date"], page["notices"], page["targets"]


def demo_dose_page() -> Any:
    demo_doses()
    page = asdict(dose_page(demo()[0], demo()[1][0].patient))
    page["suggestion"] = page["suggestion"]["kind"]
    known_since(page)
    return page


def demo_forecast() -> Any:
    db, made = demo()
    asked = {"at": pd.Timestamp("2026-09-21 12:00", tz="UTC"), "what_if": ("bolus 4 at 12:30", "carbs 60 at 13:00")}
    told = asdict(forecast_patient(db, made[1].patient, open_world(), **asked))
    del told["provenance"]["code"]
    return told


def closed_loop() -> Any:
    """A day of eight virtual people under the planner."""
    people = join([sample_population(group, count, 40 + place) for place, (group, count) in enumerate(PEOPLE.items())])
    lived = replay(people, Planner(history=1, particles=2, simulations=4, every=6), days=1, seed=5)
    return {
        "glucose": lived.glucose[:, ::12].tolist(),
        "bolus": [bolus[bolus > 0].tolist() for bolus in lived.bolus],
        "basal": lived.basal.double().unflatten(1, (24, -1)).mean(-1).tolist(),
    }


def effects_of_eight() -> Any:
    """What the world model says, and what is true, of treatments of eight virtual people, mg/dL at 1, 2, 4 and 8 hours."""
    people = join([sample_population(group, count, 60 + place) for place, (group, count) in enumerate(PEOPLE.items())])
    trial = effects.make_trial(people, 61, each=6)
    estimate = effects.Predicting(open_world().model)
    return {"true": trial.true().tolist(), **{f"{days} days": estimate(trial, days).tolist() for days in (0, 1)}}


@cache
def recorded() -> Database:
    """A store with one real recording."""
    folder = data()
    if folder is None:
        raise FileNotFoundError("no real recordings: set CAREPLAN_DATA")
    db = open_database(str(Path(tempfile.mkdtemp()) / "real.db"))
    import_records(db, "azt1d", folder / "Subject 10")
    return db


def recorded_regimen() -> Any:
    return [answer(one) for one in plan_regimens(recorded(), ["azt1d-10"], open_world(), seed=2)]


def recorded_doses() -> Any:
    return [answer(one) for one in suggest_doses(recorded(), ["azt1d-10"], open_world(), seed=2)]


REAL: tuple[Callable[[], Any], ...] = (recorded_regimen, recorded_doses)
CASES: dict[str, Callable[[], Any]] = {
    case.__name__: case
    for case in (
        demo_regimens,
        demo_worklist,
        demo_review_page,
        demo_doses,
        demo_dose_page,
        demo_forecast,
        closed_loop,
        effects_of_eight,
        *REAL,
    )
}


def answer(suggestion: Suggestion) -> dict[str, Any]:
    """A suggestion and what is said of it, without when and by which version it was made; of paths, every sixth level."""
    body = asdict(suggestion)
    del body["id"], body["created"], body["therapy"], body["targets"], body["provenance"]["code"]
    for option in body["options"]:
        option["path"] = {name: [*levels[::6]] for name, levels in option["path"].items()}
    for moment in (body["why"] or {}).get("moments") or ():
        moment |= moment.pop("given")
    body["limits_bound"] = limits_in_words(suggestion.limits_bound, MMOL_L)
    body["said"] = said(suggestion, MG_DL)
    body["because"] = [because(line, suggestion, MG_DL) for line in suggestion.lines]
    return body


def plain(value: Any) -> Any:
    """As JSON gives it back."""

    def other(item: Any) -> Any:
        return asdict(item) if is_dataclass(item) and not isinstance(item, type) else _text(item)

    return json.loads(json.dumps(value, default=other))


def _text(item: Any) -> str:
    return item.isoformat() if isinstance(item, datetime) else str(item)


def differences(kept: Any, now: Any, where: str = "") -> Iterator[tuple[str, Any, Any, float]]:
    """Where, what was kept, what is now, and how far apart (inf where they are not two numbers), of all that is not equal."""
    if isinstance(kept, dict) and isinstance(now, dict):
        for name in sorted(kept.keys() | now.keys()):
            yield from differences(kept.get(name), now.get(name), f"{where}.{name}")
    elif isinstance(kept, list) and isinstance(now, list) and len(kept) == len(now):
        for place, (one, other) in enumerate(zip(kept, now, strict=True)):
            yield from differences(one, other, f"{where}[{place}]")
    elif isinstance(kept, float) and isinstance(now, int | float) and math.isfinite(kept) and math.isfinite(now):
        if kept != now:
            yield where, kept, now, abs(kept - now) / max(abs(kept), abs(now), SMALL)
    elif kept != now and not (kept != kept and now != now):
        yield where, kept, now, math.inf


def run(case: str) -> Any:
    """A case's answer today, computed in one thread, so that sums are taken in one order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return plain(CASES[case]())
    finally:
        torch.set_num_threads(threads)


def main() -> None:
    if sys.argv[1:] == ["compare"]:
        kept = json.loads(FILE.read_text())
        for case in kept:
            found = list(differences(kept[case], run(case)))
            far = max((one[-1] for one in found), default=0.0)
            print(f"{case}: {len(found)} differ, by {far:.1e} at most", *found[:5], sep="\n  ")
    else:
        cases = [f"{json.dumps(case)}: {json.dumps(run(case), ensure_ascii=False)}" for case in CASES]
        FILE.write_text("{\n" + ",\n".join(cases) + "\n}\n")


if __name__ == "__main__":
    main()
