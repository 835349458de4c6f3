"""`python -m tests.faults POINTS [SEED]` breaks work off at so many random points, and begins it again; a nightly run takes 200.

Work on databases (import, sign, personalise, plan everybody, migrate, backup) on SQLite, and on PostgreSQL where
CAREPLAN_TEST_POSTGRESQL names an empty database; and replays and training, which write folders.
"""

import os
import random
import sys

from . import databases, folders


def main(points: int, seed: int) -> None:
    chance, url = random.Random(seed), os.environ.get("CAREPLAN_TEST_POSTGRESQL")
    for database in ("sqlite", *(["postgresql"] if url else [])):
        faults: tuple[databases.Fault, ...] = ("kill", "full") if database == "sqlite" else ("kill", "lost")
        with databases.sqlite_places() if database == "sqlite" else databases.postgresql_places(url or "") as place:
            most = {name: databases.statements(work, place) for name, work in databases.WORKS.items()}
            print(f"{database}: statements by work: {most}", flush=True)
            for number in range(points):
                name = chance.choice(list(databases.WORKS))
                told = databases.try_point(databases.WORKS[name], chance.choice(faults), chance.randint(1, most[name]), place)
                print(f"{database} {number + 1} of {points}: {told}", flush=True)
    for number in range(points):
        work, fault = folders.WORKS[chance.choice(list(folders.WORKS))], chance.choice(folders.FAULTS)
        told = folders.try_point(work, fault, folders.point(work, fault, chance.random()))
        print(f"folders {number + 1} of {points}: {told}", flush=True)
    print("Nothing was lost, nothing doubled, and all of it went on.")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200, int(sys.argv[2]) if len(sys.argv) > 2 else 0)
