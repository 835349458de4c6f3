"""How long it takes to recompute everything that is on record: `python benchmarks/audit.py [PATIENTS] [DAYS] [DATABASE]`.

Fills a database (where DATABASE is given kept for the next run, its key in DATABASE.audit) with a reading every five minutes,
an hourly basal rate, three meals and three boluses a day for each patient, a regimen, a suggestion and a signed review, for the
first by the use cases and for the others with the same rows and entries, and verifies it on one core: whole, and since the last
time.
"""

import os
import sys
from pathlib import Path
from tempfile import mkdtemp
from time import perf_counter, process_time
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
scratch = Path(mkdtemp(prefix="careplan-audit-"))
os.environ.setdefault("CAREPLAN_AUDIT", f"{sys.argv[3]}.audit" if len(sys.argv) > 3 else str(scratch / "audit"))

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from careplan.clinic import open_database, patient_names, save_suggestion, sign_review, store_records, verify_audit
from careplan.store import Database, append, local_account, number, schema
from careplan.store.seals import digests
from careplan.suggestion import Decision

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.clinic.build import line, record, suggestion

FIRST = "p00000"


def fill(url: str, patients: int, days: int) -> None:
    """What is missing of so many patients: the first by the use cases, the others as they left the first."""
    db = open_database(url)
    known = set(patient_names(db))
    if FIRST not in known:
        store_records(db, "benchmark", [record(FIRST, days=days)])
        saved = save_suggestion(db, suggestion(line(), patient=FIRST))
        assert saved.id is not None
        decided = Decision(key=line().key, verdict="accept", value=line().proposed)
        sign_review(db, saved.id, [decided], local_account(), "prescribe as proposed")
    with db.read() as session:
        entries = list(session.scalars(select(schema.AuditEntry).where(schema.AuditEntry.patient == FIRST)))
        made = [[_row(session, seal) for seal in entry.rows or [] if seal["op"] == "made"] for entry in entries]
        statement = text("SELECT * FROM event WHERE patient = :first ORDER BY channel, time, value, duration, repeat")
        events = [tuple(row) for row in session.execute(statement, {"first": FIRST})]
    for index in range(1, patients):
        name = f"p{index:05d}"
        if name not in known:
            _copy(db, name, entries, made, events)
    db.close()


def _row(session: Session, seal: dict[str, Any]) -> tuple[type[schema.Base], dict[str, Any]]:
    kind = next(mapper.class_ for mapper in schema.Base.registry.mappers if mapper.local_table.name == seal["table"])
    row = session.get(kind, tuple(seal["key"]))
    assert row is not None
    return kind, {column.name: getattr(row, column.name) for column in schema.table_of(kind).columns}


def _copy(db: Database, name: str, entries: list[Any], made: list[Any], events: list[tuple[Any, ...]]) -> None:
    """The first patient's rows and entries once more, under another name and with numbers of their own."""
    table = schema.table_of(schema.Event)
    names = [column.name for column in table.columns]
    with db.write() as session:
        given: dict[str, int] = {}
        for entry, rows in zip(entries, made, strict=True):
            copies = []
            for kind, values in rows:
                own = values | {key: name for key in ("patient", "id") if isinstance(values.get(key), str)}
                own |= {key: given[key] for key in ("suggestion", "regimen") if isinstance(values.get(key), int)}
                row = kind(**own | ({"id": None} if isinstance(values.get("id"), int) else {}))
                numbered = number(session, row)
                if kind is schema.ImportBatch:
                    given["batch"] = numbered.id
                    mine = {"patient": name, "batch": numbered.id}
                    same = [tuple(mine.get(key, value) for key, value in zip(names, event, strict=True)) for event in events]
                    numbered.digest = digests(table, [same])[numbered.id]
                elif kind in (schema.Suggestion, schema.RegimenVersion):
                    given[kind.__tablename__] = numbered.id
                copies.append(numbered)
            append(session, local_account(), entry.action, patient=name, rows=copies, **entry.detail)
        chosen = ", ".join({"patient": ":name", "batch": ":batch"}.get(key, key) for key in names)
        statement = text(f"INSERT INTO event ({', '.join(names)}) SELECT {chosen} FROM event WHERE patient = :first")
        session.execute(statement, {"name": name, "batch": given["batch"], "first": FIRST})


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
