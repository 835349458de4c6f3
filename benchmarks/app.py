"""How long the app lets a clinician wait: the worklist of a clinic of 1,000 and of 10,000, a plan of each kind, a what-if.

`python benchmarks/app.py [--patients 1000,10000] [--json]`. The clinic is virtual: three weeks of a few people at full detail,
who are planned for, and as many others as are asked for with two weeks of a reading an hour, since the worklist reads one row a
patient however much is recorded. A worklist is timed as the whole screen of a new session, the median of four, with the seconds
of processors beside it, which tell more where the machine is shared; a plan from the moment it is asked for to its being stored,
of somebody whom the model does not know yet (`new`) and does. The world model is open already, as it is after sign-in. The first
page is timed in Chromium, of the app as `careplan app` serves it, when the server answers and once more.
"""

import argparse
import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import numpy as np
import pandas as pd
import torch
from selenium.webdriver.support.ui import WebDriverWait
from streamlit.testing.v1 import AppTest

sys.path[0] = str(Path(__file__).parents[1])  # this file has the name of the package that it measures

from careplan.clinic.importing import store_records
from careplan.clinic.keeper import Worker
from careplan.clinic.queue import ask, job
from careplan.clinic.what_ifs import open_bench
from careplan.clinic.worker import run_next, world_of
from careplan.clinic.worklists import refresh
from careplan.records.events import PatientRecord, events_frame
from careplan.store import Database, local_account, open_database
from careplan.studies.demo import demo_records
from careplan.suggestion import Kind
from tests.app.driven import chromium, free_port, serving, text

MAIN = Path(__file__).parents[1] / "app" / "main.py"
SEED, DAYS, PLANNED = 7, 21, 2
START = pd.Timestamp("2026-09-14", tz="UTC")


def crowd(first: int, count: int) -> list[PatientRecord]:
    """So many people with two weeks of a reading an hour."""
    made = []
    for number in range(first, first + count):
        random = np.random.default_rng(number)
        level = np.clip(random.normal(random.uniform(110, 200), random.uniform(25, 60), 14 * 24), 40, 400).round(0)
        times = pd.date_range(START, periods=len(level), freq="h")
        rows = [(time, "glucose", float(value), 0.0, "", "crowd:1") for time, value in zip(times, level, strict=True)]
        group = ("adult", "adolescent", "child")[number % 3]
        made.append(PatientRecord(patient=f"crowd-{number:05d}", zone="UTC", events=events_frame(rows), group=group))
    return made


@contextmanager
def without_worker() -> Iterator[None]:
    """The app begins no process of its own, which would take the processors while its pages are timed."""
    ensure = Worker.ensure
    Worker.ensure = lambda worker: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        Worker.ensure = ensure  # type: ignore[method-assign]


def timed(work: Callable[[], object]) -> float:
    began = perf_counter()
    work()
    return perf_counter() - began


def opened() -> float:
    """Seconds to draw the worklist in a new session."""
    at = AppTest.from_file(str(MAIN), default_timeout=300)
    seconds = timed(at.run)
    if at.exception or at.title[0].value != "Worklist":
        raise SystemExit(f"the worklist was not drawn: {[each.value for each in at.exception]}")
    return seconds


def first_pages(patient: str) -> dict[str, float]:
    """Seconds from a browser's request until the worklist shows a patient: of a server that has just begun, and once more."""
    found = {}
    with tempfile.TemporaryDirectory() as folder, chromium(Path(folder)) as browser, serving(Path(folder), free_port()) as url:
        for name in ("first_page_cold_s", "first_page_warm_s"):
            browser.get("about:blank")
            began = perf_counter()
            browser.get(url)
            WebDriverWait(browser, 60, 0.05, [Exception]).until(lambda page: patient in text(page))
            found[name] = perf_counter() - began
    return found


def planned(db: Database, patient: str, kind: Kind) -> float:
    """Seconds from asking for a plan to its being stored."""
    began = perf_counter()
    asked = ask(db, [patient], kind, actor=local_account())
    run_next(db)
    done = job(db, asked.id)
    if done.state != "done" or done.failed:
        raise SystemExit(f"{kind} of {patient}: {done.state} {done.problem} {dict(done.failed)}")
    return perf_counter() - began


def measure(db: Database, sizes: list[int]) -> dict[str, float]:
    found: dict[str, float] = {}
    people = demo_records(PLANNED, DAYS, SEED)
    store_records(db, "demo", people)
    world_of("glucose")
    new, known = (person.patient for person in people)
    found["plan_regimen_new_s"] = planned(db, new, "regimen")
    found["plan_regimen_s"] = planned(db, new, "regimen")
    found["plan_doses_new_s"] = planned(db, known, "doses")
    found["plan_doses_s"] = planned(db, known, "doses")
    found |= first_pages(known)
    bench = open_bench(db, known)
    moved = {line.key: 0.9 * line.current for line in bench.lines[:1]}
    bench.tried(moved, moved)
    found["what_if_s"] = median(timed(lambda: bench.tried(moved, moved)) for _ in range(3))
    there = 0
    for size in sizes:
        while there < size - PLANNED:
            count = min(500, size - PLANNED - there)
            store_records(db, "crowd", crowd(there, count))
            there += count
        found[f"refresh_{size}_s"] = timed(lambda: refresh(db))
        with without_worker():
            opened()  # imports, and who is shown is put on record
            times = [(opened(), process_time()) for _ in range(4)]
        found[f"worklist_{size}_s"] = median(seconds for seconds, _ in times)
        found[f"worklist_{size}_processor_s"] = (times[-1][1] - times[0][1]) / (len(times) - 1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", default="1000,10000")
    parser.add_argument("--json", action="store_true", help="one object, on the last line")
    asked = parser.parse_args()
    logging.getLogger("streamlit").setLevel(logging.ERROR)  # it wonders at running without a browser
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"CAREPLAN_DATABASE": f"{folder}/clinic.db", "CAREPLAN_AUDIT": f"{folder}/audit"}
        os.environ["CAREPLAN_IDLE_MINUTES"] = "1440"  # making a large clinic is no reason to sign its user off
        db = open_database(f"{folder}/clinic.db")
        found = {
            name: round(seconds, 3) for name, seconds in measure(db, [int(size) for size in asked.patients.split(",")]).items()
        }
        db.close()
    if asked.json:
        print(json.dumps(found))
    else:
        for name, seconds in found.items():
            print(f"{name:24} {seconds:8.3f}")


if __name__ == "__main__":
    main()
