"""How long a year of each format takes to read, and how much memory, with a synthetic person written by the benchmark itself.

`python benchmarks/readers.py [FORMAT ...] [--days 365] [--rounds 3] [--keep FOLDER] [--json]`. Each file is read by a process of
its own that has read a day of the same format before, so that imports do not count. `seconds`: the least processor time of the
rounds, on one core. `MB`: how much the process grew. `x file`: that growth over `file MB`, the size of the file, or of
what a workbook unpacks to. To measure a peer on the same files, keep them and run its script of `benchmarks/peers/` on the
folder.

A format is a function in `GENERATORS` that writes so many days of a person into a folder, returns what to read there, and is
named as `careplan.records.READERS` names it.
"""

import argparse
import json
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from readers_exports import EXPORTS
from readers_files import WRITERS

BEGIN = datetime(2023, 1, 1, tzinfo=UTC)
Generator = Callable[[Path, int], Path]


def moment(minutes: float) -> datetime:
    return BEGIN + timedelta(minutes=minutes)


def glucose(days: int) -> list[tuple[float, int]]:
    """`(minute, mg/dL)` every five minutes."""
    walk, level = random.Random(1), 140.0
    found = []
    for index in range(days * 288):
        level += walk.gauss(0, 6) + (140 - level) * 0.03
        found.append((index * 5.0, round(min(max(level, 41), 399))))
    return found


def boluses(days: int) -> list[tuple[float, float, int]]:
    """`(minute, U, g)` four times a day."""
    draw = random.Random(2)
    hours = (7.5, 12.5, 16.0, 19.5)
    return [
        (day * 1440 + hour * 60 + draw.random() * 50, round(1 + draw.random() * 7, 2), draw.randrange(10, 90))
        for day in range(days)
        for hour in hours
    ]


def nightscout(folder: Path, days: int) -> Path:
    """A site's entries, treatments with a temporary rate every half an hour, and profile: what a loop uploads."""
    draw = random.Random(3)
    iso = "%Y-%m-%dT%H:%M:%S.000Z"
    entries = [
        {"sgv": value, "date": round(at.timestamp() * 1000), "dateString": at.strftime(iso), "type": "sgv", "device": "share2"}
        for at, value in ((moment(minute), value) for minute, value in glucose(days))
    ]
    treatments: list[dict[str, Any]] = [
        {
            "eventType": "Temp Basal",
            "rate": round(draw.random() * 2, 2),
            "duration": 30,
            "created_at": moment(minute).strftime(iso),
        }
        for minute in (index * 30 + draw.random() * 4 for index in range(days * 48))
    ]
    treatments += [
        {"eventType": "Meal Bolus", "insulin": units, "carbs": carbs, "created_at": moment(minute).strftime(iso)}
        for minute, units, carbs in boluses(days)
    ]
    schedule = [{"time": f"{hour:02}:00", "value": 0.7 + hour / 50} for hour in range(0, 24, 4)]
    store = {"Day": {"timezone": "Europe/Berlin", "basal": schedule, "carbratio": [{"time": "00:00", "value": 10}]}}
    store["Day"]["sens"] = [{"time": "00:00", "value": 40}]
    profile = {"startDate": "2022-12-01T00:00:00.000Z", "defaultProfile": "Day", "store": store}
    for name, documents in (("entries", entries), ("treatments", treatments), ("profile", [profile])):
        (folder / f"{name}.json").write_text(json.dumps(documents, separators=(",", ":")), encoding="utf-8")
    return folder


def table(folder: Path, days: int) -> Path:
    """Our own wide table."""
    rows = [f"{moment(minute):%Y-%m-%d %H:%M},{value},,\n" for minute, value in glucose(days)]
    rows += [f"{moment(minute):%Y-%m-%d %H:%M},,{units},{carbs}\n" for minute, units, carbs in boluses(days)]
    path = folder / "person.csv"
    path.write_text("time,glucose,bolus,carbs\n" + "".join(sorted(rows)), encoding="utf-8")
    return path


GENERATORS: dict[str, Generator] = {"nightscout": nightscout, "table": table}
GENERATORS |= {
    name: lambda folder, days, writer=writer: writer(folder, glucose(days), boluses(days))
    for name, writer in (WRITERS | EXPORTS).items()
}


def size_of(path: Path) -> int:
    """Bytes of a file, or of those in a folder; of a workbook, those that it unpacks to."""
    if path.is_dir():
        return sum(size_of(each) for each in path.rglob("*") if each.is_file())
    if path.suffix != ".xlsx":
        return path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        return sum(part.file_size for part in archive.infolist())


def grown() -> float:
    """The most memory this program has held, MiB. On Linux `ru_maxrss` counts what the process held that started it, too."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s*(\d+) kB", status.read_text())[1]) / 1024  # type: ignore[index]
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 / (1024 if sys.platform == "darwin" else 1)


def measure(name: str, day: Path, year: Path) -> dict[str, float]:
    """Rows, processor seconds and growth in MB of reading `year`, in this process, after `day`."""
    from careplan.records import READERS

    READERS[name.split()[0]](day)
    before, start = grown(), time.process_time()
    records = READERS[name.split()[0]](year)
    return {
        "rows": sum(record.rows_read for record in records),
        "events": sum(len(record.events) for record in records),
        "seconds": time.process_time() - start,
        "MB": max(0.0, grown() - before),
    }


def measured(name: str, folder: Path, days: int, rounds: int) -> dict[str, float]:
    """`measure` in processes of its own: the least time and the least growth of the rounds."""
    paths = []
    for place, length in (("day", 1), ("year", days)):
        (folder / name / place).mkdir(parents=True, exist_ok=True)
        paths.append(GENERATORS[name](folder / name / place, length))
    command = [sys.executable, __file__, "--measure", name, *map(str, paths)]
    runs = [json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout) for _ in range(rounds)]
    file = size_of(paths[1]) / 2**20
    best = {key: min(run[key] for run in runs) for key in runs[0]}
    return {**best, "file": file, "x file": best["MB"] / file}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("formats", nargs="*", help=f"of {', '.join(GENERATORS)}; all by default")
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="a folder to leave the files in")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        name, day, year = given.formats
        print(json.dumps(measure(name, Path(day), Path(year))))
        return
    with tempfile.TemporaryDirectory() as scratch:
        names = given.formats or list(GENERATORS)
        found = {name: measured(name, given.keep or Path(scratch), given.days, given.rounds) for name in names}
    if given.json:
        print(json.dumps(found))
        return
    print(f"{'format':<12} {'rows':>9} {'events':>9} {'seconds':>8} {'file MB':>8} {'MB':>7} {'x file':>7}")
    for name, row in found.items():
        rows = f"{row['rows']:>9,.0f} {row['events']:>9,.0f} {row['seconds']:>8.2f}"
        print(f"{name:<12} {rows} {row['file']:>8.1f} {row['MB']:>7.0f} {row['x file']:>7.1f}")


if __name__ == "__main__":
    main()
