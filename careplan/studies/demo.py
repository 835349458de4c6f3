"""The demonstration: a small virtual clinic with weeks of history, planned for."""

from collections.abc import Callable
from concurrent.futures import Executor

import pandas as pd

from careplan.clinic.importing import store_records
from careplan.clinic.known import patient_names
from careplan.clinic.planning import plan_regimens
from careplan.records.events import PatientRecord
from careplan.store import Database
from careplan.suggestion import Suggestion
from careplan.therapies.glucose.regimen import settings_of
from careplan.world.loaded import World
from cohorts.policies import Behaviour
from cohorts.population import GROUPS, join, sample_population
from cohorts.replay import replay

SHARES = {"adult": 0.5, "adolescent": 0.25, "child": 0.25}


def demo_records(people: int, days: int, seed: int) -> list[PatientRecord]:
    """`people` virtual patients of all ages, some with settings that are off, who lived `days` days."""
    counts = {group: max(0, round(SHARES[group] * people)) for group in GROUPS}
    counts["adult"] += people - sum(counts.values())
    parts = [
        sample_population(group, count, seed + place, mis_set=0.3)
        for place, (group, count) in enumerate(counts.items())
        if count > 0
    ]
    everyone = join(parts)
    lived = replay(everyone, Behaviour(), days=days, seed=seed, start=pd.Timestamp("2026-09-07", tz="UTC"))
    return [
        PatientRecord(
            patient=name,
            zone="UTC",
            events=lived.events(index),
            rows_read=lived.glucose.shape[1],
            weight=round(float(everyone.physiology.weight[index]), 1),
            group=everyone.groups[index],
            regimen=settings_of(everyone.regimen(index)),
            files=(f"virtual patient, seed {seed}",),
        )
        for index, name in enumerate(everyone.names)
    ]


def run_demo(
    db: Database,
    world: World,
    *,
    people: int,
    days: int,
    seed: int,
    say: Callable[[str], None],
    show: Callable[[Suggestion], None] = lambda made: None,
    pool: Executor | None = None,
) -> list[Suggestion]:
    """Simulate, store, personalise, plan. Patients already stored are planned for as they are.

    say: told what is being done. show: given each suggestion as it is made. pool: processes to plan in (`planners`).
    """
    say(f"Simulating {people} virtual patients over {days} days")
    records = demo_records(people, days, seed)
    known = set(patient_names(db))
    store_records(db, "demo", [record for record in records if record.patient not in known])
    names = [record.patient for record in records]
    say(f"Planning for {len(names)} patients: what their recordings tell of each comes first")

    def planned(done: int, total: int, made: Suggestion) -> None:
        show(made)
        say(f"Planned {made.patient}, {done} of {total}")

    return plan_regimens(db, names, world, seed=seed, progress=planned, pool=pool)
