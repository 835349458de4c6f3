"""How long it takes to recompute everything that is on record: `python benchmarks/audit.py [PATIENTS] [DAYS] [DATABASE]`.

Fills a database (kept for the next run where DATABASE is given) with a reading every five minutes, an hourly basal rate, three
meals and three boluses a day for each patient, a regimen, a suggestion and a signed review, all by the use cases, and verifies
it on one core: whole, and since the last time.
"""

import os
import sys
from pathlib import Path
from tempfile import mkdtemp
from time import perf_counter, process_time

os.environ.setdefault("OMP_NUM_THREADS", "1")
scratch = Path(mkdtemp(prefix="careplan-audit-"))
os.environ.setdefault("CAREPLAN_AUDIT", str(scratch / "audit"))

from careplan.clinic import open_database, patient_names, save_suggestion, sign_review, store_records, verify_audit
from careplan.store import local_account
from careplan.suggestion import Decision

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.clinic.build import line, record, suggestion


def fill(url: str, patients: int, days: int) -> None:
    """What is missing of so many patients."""
    db = open_database(url)
    known = set(patient_names(db))
    for number in range(patients):
        name = f"p{number:05d}"
        if name in known:
            continue
        store_records(db, "benchmark", [record(name, days=days, seed=number)])
        saved = save_suggestion(db, suggestion(line(), patient=name))
        assert saved.id is not None
        decided = Decision(key=line().key, verdict="accept", value=line().proposed)
        sign_review(db, saved.id, [decided], local_account(), "prescribe as proposed")
        if number % 50 == 0:
            print(f"{number} of {patients}", file=sys.stderr, flush=True)
    db.close()


def main() -> None:
    patients, days = (int(each) for each in (*sys.argv[1:3], "1000", "21")[:2]) if len(sys.argv) > 2 else (1000, 21)
    url = sys.argv[3] if len(sys.argv) > 3 else str(scratch / "store.db")
    began = perf_counter()
    fill(url, patients, days)
    print(f"filled in {perf_counter() - began:.0f} s: {Path(url).stat().st_size / 1e6:,.0f} MB")
    for told, since_last in (("whole", False), ("since the last time", True)):
        began, work = perf_counter(), process_time()
        found = verify_audit(url, since_last=since_last)
        seconds = f"{perf_counter() - began:.1f} s on the wall, {process_time() - work:.1f} s of one core"
        covered = f"{found.entries:,} entries, {found.rows:,} rows, {found.batches:,} batches"
        print(f"{told}: {covered} in {seconds}; {found.problem or 'whole'}")


if __name__ == "__main__":
    main()
