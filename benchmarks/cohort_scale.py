"""How a cohort's report grows with the cohort: patients a second, peak memory and bytes read, and an estimate for many machines.

    OMP_NUM_THREADS=1 python benchmarks/cohort_scale.py --patients 100 1000 [--ray local] [--folder DIR] --json

Cohorts are virtual people of three weeks, 25 in a Parquet file, made once in --folder. Each size is evaluated in a process of its
own, so that its peak memory is its own. Seconds are of the processor where the work is in one process, else of the clock. 10,000
and 100,000 patients are for a machine with time.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
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


def measured(data: Path, ray: str | None) -> dict[str, object]:
    """What one evaluation costs, in this process."""
    began, clock = time.process_time(), time.perf_counter()
    with tempfile.TemporaryDirectory() as out:
        spread = in_process if ray is None else on_ray(ray)
        finished = evaluate_cohort([str(data)], Path(out), protocol=Protocol(), spread=spread, say=lambda _: None)
        written = sum(file.stat().st_size for file in Path(out).rglob("*") if file.is_file())
    seconds = time.process_time() - began if ray is None else time.perf_counter() - clock
    return {
        "patients": finished.judged,
        "left_out": finished.left_out,
        "seconds": round(seconds, 1),
        "seconds_a_patient": round(seconds / max(finished.judged, 1), 3),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "read_mb": round(sum(file.stat().st_size for file in data.glob("*.parquet")) / 2**20, 1),
        "written_mb": round(written / 2**20, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "careplan-cohorts")
    parser.add_argument("--ray", help="`local` or a cluster's address")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measured(asked.one, asked.ray)))
        return
    rows = []
    for patients in asked.patients:
        data = make_cohort(asked.folder, patients)
        command = [sys.executable, __file__, "--one", str(data), *(["--ray", asked.ray] if asked.ray else [])]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        rows.append(json.loads(answer.splitlines()[-1]))
        print(rows[-1], file=sys.stderr)
    each = rows[-1]["seconds_a_patient"]
    found = {"sizes": rows, "linear": round(each / rows[0]["seconds_a_patient"], 3)}
    found["hours_for_a_million_on_64_nodes"] = round(MILLION * each / (NODES * CORES) / 3600, 2)
    print(json.dumps(found, indent=None if asked.json else 1))


if __name__ == "__main__":
    main()
