"""A whole clinic overnight: how fast `careplan plan --all` is stage by stage, what bounds it, and whether memory stays flat.

`python benchmarks/overnight.py [--patients 1000] [--days 21] [--regimen] [--cohort FILE] [--json]`: virtual patients are made
once and kept in FILE (by default in the folder for temporary files), their audit key in FILE.audit, for later runs; every run
works on a copy of both. Three nights: the first, with nobody personalised; another question about the same data, so that
everybody is; and the same once more, so that nobody is due. Seconds of processors tell more than those on the wall where the
machine is shared.
"""

import argparse
import json
import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import torch

from careplan.clinic import codec
from careplan.clinic.importing import store_records
from careplan.clinic.known import patient_names
from careplan.clinic.overnight import Asked, plan_everyone
from careplan.clinic.views import Night
from careplan.store import Database, open_database
from careplan.studies.demo import demo_records
from careplan.suggestion import Kind
from careplan.therapies.glucose.world import open_world

LIVED = 100  # people simulated at once
SEED = 4100  # of the first of them


def make_cohort(path: Path, patients: int, days: int) -> None:
    """Store what is missing of so many people, some with settings that are off."""
    os.environ["CAREPLAN_AUDIT"] = str(key_of(path))
    db = open_database(str(path))
    known = len(patient_names(db))
    while known < patients:
        wanted = min(LIVED, patients - known)
        report = store_records(db, "demo", demo_records(wanted, days, SEED + 10 * known))
        assert not report.failed, report.failed
        known = len(patient_names(db))
    db.close()


def key_of(path: Path) -> Path:
    """The folder of the audit key of a cohort in a file."""
    return path.with_name(f"{path.name}.audit")


def copy_of(path: Path, to: Path) -> Database:
    """The cohort in a file of its own, with its audit key, since what a copy signs no other copy holds."""
    shutil.copytree(key_of(path), key_of(to))
    os.environ["CAREPLAN_AUDIT"] = str(key_of(to))
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(to)) as target:
        source.backup(target)
    return open_database(str(to))


def shown(name: str, night: Night) -> str:
    stages = ", ".join(
        f"{stage} {time.wall:.1f} ({time.processor:.1f}) s, {time.patients_a_second:.3g}/s"
        for stage, time in night.stages.items()
    )
    memory = f"{night.memory[0]:.0f} to {night.memory[-1]:.0f} MB" if night.memory else "not told"
    return f"{name}: {night.planned} planned, {night.skipped} skipped, {night.seconds:.0f} s; {stages}; memory {memory}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=1000)
    parser.add_argument("--days", type=int, default=21)
    parser.add_argument("--regimen", action="store_true")
    parser.add_argument("--cohort", type=Path)
    parser.add_argument("--json", action="store_true", help="one object, on the last line")
    asked = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    cohort = asked.cohort or Path(tempfile.gettempdir()) / f"careplan-overnight-{asked.days}-days.db"
    make_cohort(cohort, asked.patients, asked.days)
    kind: Kind = "regimen" if asked.regimen else "doses"
    world, nights = open_world(), {}
    with tempfile.TemporaryDirectory() as folder:
        db = copy_of(cohort, Path(folder) / "clinic.db")
        names = patient_names(db)[: asked.patients]
        for name, seed in (("first", 0), ("personalised already", 1), ("answered already", 1)):
            nights[name] = plan_everyone(db, names, world, Asked(kind=kind, seed=seed))
            if not asked.json:
                print(shown(name, nights[name]), flush=True)
        db.close()
    found = {
        "patients": len(names),
        "days": asked.days,
        "threads": torch.get_num_threads(),
        "device": str(world.model.center.device),
        "load": [round(load, 1) for load in os.getloadavg()],
        "model": world.fingerprint,
        "nights": {name: codec.dump(night) for name, night in nights.items()},
    }
    if asked.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
