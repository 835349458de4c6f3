"""How the report on a cohort grows with the cohort: seconds and peak memory a further person, and an estimate for many machines.

    OMP_NUM_THREADS=1 python benchmarks/cohort_scale.py --patients 100 300 1000 [--ray local] [--folder DIR] --json

Cohorts are virtual people of three weeks, 25 in a Parquet file, made once in --folder; one that was made in part is completed.
Each size is evaluated in a process of its own, so that its peak memory is its own; what is done and the peak so far go to stderr.
Seconds are of the processor where the work is in one process, else of the clock.

Fitting baselines and planning are done for a fixed number of people, so a small cohort costs more a person than a large one. What
a further person costs is told between each size and the next: `further` has seconds and MB a further person, `once_seconds` what
the first of the two sizes cost beyond its people, and `linear` is the last seconds a further person over the first: 1 where time
grows in proportion, and null with fewer than three sizes.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import pandas as pd

from careplan.interop.tables import table_of
from careplan.studies.demo import demo_records
from careplan.studies.report import Protocol, evaluate_cohort
from careplan.studies.report.cluster import on_ray
from careplan.studies.report.run import in_process

BUCKET, LIVED, DAYS, SEED = 25, 100, 21, 8100  # patients a file; simulated at once; days; of the first
NODES, CORES = 64, 32  # of the estimate on paper
MILLION = 1_000_000


def make_cohort(folder: Path, patients: int) -> Path:
    """A data set of so many people, what is missing of it made; files of whole patients."""
    data = folder / f"cohort-{patients}"
    data.mkdir(parents=True, exist_ok=True)
    for first in range(0, patients, LIVED):
        names = [data / f"bucket-{(first + start) // BUCKET:06d}.parquet" for start in range(0, LIVED, BUCKET)]
        if all(name.exists() for name in names):
            continue
        tables = [table_of(record) for record in demo_records(LIVED, DAYS, SEED + 10 * first)]
        for start, name in zip(range(0, LIVED, BUCKET), names, strict=True):
            some = [table.assign(patient=f"p{first + start + at:07d}") for at, table in enumerate(tables[start : start + BUCKET])]
            pd.concat(some, ignore_index=True).to_parquet(name, index=False)
    return data


def peak_mb() -> int:
    """The most memory that this process has held."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def measured(data: Path, ray: str | None) -> dict[str, float]:
    """What one evaluation costs, in this process."""
    began, clock = time.process_time(), time.perf_counter()

    def say(text: str) -> None:
        print(f"{time.process_time() - began:.0f} s, peak {peak_mb()} MB: {text}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as out:
        spread = in_process if ray is None else on_ray(ray)
        finished = evaluate_cohort([str(data)], Path(out), protocol=Protocol(), spread=spread, say=say)
        written = sum(file.stat().st_size for file in Path(out).rglob("*") if file.is_file())
    seconds = time.process_time() - began if ray is None else time.perf_counter() - clock
    return {
        "patients": finished.judged,
        "left_out": finished.left_out,
        "seconds": round(seconds, 1),
        "peak_mb": peak_mb(),
        "read_mb": round(sum(file.stat().st_size for file in data.glob("*.parquet")) / 2**20, 1),
        "written_mb": round(written / 2**20, 1),
    }


def growth(small: dict[str, float], large: dict[str, float]) -> dict[str, float]:
    """What a further person costs from one size to the next, and what the first size cost beyond its people."""
    people = large["patients"] - small["patients"]
    seconds = (large["seconds"] - small["seconds"]) / people
    return {
        "from": small["patients"],
        "to": large["patients"],
        "seconds_a_person": round(seconds, 3),
        "peak_mb_a_person": round((large["peak_mb"] - small["peak_mb"]) / people, 3),
        "once_seconds": round(small["seconds"] - small["patients"] * seconds, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--patients", type=int, nargs="+", default=[100, 300, 1000], help="sizes of cohorts (default: 100 300 1000)"
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(tempfile.gettempdir()) / "careplan-cohorts",
        help="where cohorts are made and kept, one folder a size (default: careplan-cohorts among temporary files)",
    )
    parser.add_argument("--ray", help="`local` or a cluster's address; without it, one process")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="the result in one line")
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measured(asked.one, asked.ray)))
        return
    rows: list[dict[str, float]] = []
    for patients in sorted(set(asked.patients)):
        data = make_cohort(asked.folder, patients)
        command = [sys.executable, __file__, "--one", str(data), *(["--ray", asked.ray] if asked.ray else [])]
        answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        rows.append(json.loads(answer.splitlines()[-1]))
        print(rows[-1], file=sys.stderr, flush=True)
    further = [growth(*two) for two in pairwise(rows)]
    found: dict[str, object] = {"sizes": rows, "further": further, "linear": None, "hours_for_a_million_on_64_nodes": None}
    if further:
        seconds = [one["seconds_a_person"] for one in further]
        found["linear"] = round(seconds[-1] / seconds[0], 3) if len(seconds) > 1 else None
        found["hours_for_a_million_on_64_nodes"] = round(MILLION * seconds[-1] / (NODES * CORES) / 3600, 2)
    print(json.dumps(found, indent=None if asked.json else 1))


if __name__ == "__main__":
    main()
