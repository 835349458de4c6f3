"""How fast virtual people live, beside simglucose and py-mgipsim, and how closely they follow simglucose's own patients.

`python benchmarks/simulate.py [--mgipsim FOLDER] [--people 1000] [--rounds 5] [--json]`; FOLDER, or else `CAREPLAN_MGIPSIM`, is a
checkout of py-mgipsim. Needs uv, which makes the peers' environments in its cache; takes a quarter of an hour. Every simulator
has processes of its own, and they take turns. Rates are patient-days: a second on this machine (careplan a process a core, the
peers in one, as they come), and a second of one core. simglucose runs its patients one by one: a few of them tell its rate.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PEER = ["uv", "run", "--quiet", "--no-project", "--python", "3.11"]
SIMGLUCOSE = [*PEER, "--with", "setuptools<80", "--with", "simglucose==0.2.11", "python", str(HERE / "peers/simglucose_days.py")]
MGIPSIM = [*PEER, *(part for name in ("numba", "scipy", "pandas", "tqdm", "matplotlib") for part in ("--with", name)), "python"]
CAREPLAN = [sys.executable, str(HERE / "peers/careplan_days.py")]


class Worker:
    """A process that answers each line with one."""

    def __init__(self, command: Sequence[str]) -> None:
        env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE.parent)}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        self.answer()

    def ask(self, line: str = "go") -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{' '.join(map(str, self.process.args))} stopped; what it said is above")  # type: ignore[arg-type]
        return json.loads(line)

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def one_round(workers: list[Worker], days: float) -> tuple[float, float]:
    """Patient-days a second, and a second of one core, of `days` patient-days shared by `workers`."""
    began = time.perf_counter()
    for worker in workers:
        worker.ask()
    answers = [worker.answer() for worker in workers]
    wall = time.perf_counter() - began
    return days / wall, days / sum(answer["cpu"] for answer in answers)


def compare(people: int, rounds: int, few: int, mgipsim: str | None) -> dict[str, Any]:
    """Medians over rounds in turns."""
    cores = os.cpu_count() or 1
    share = str(people // cores)
    commands = {name: [[*CAREPLAN, name, share]] * cores for name in ("closed loop", "bare equations", "replay")}
    days: dict[str, float] = dict.fromkeys(commands, people // cores * cores)
    commands["simglucose"], days["simglucose"] = [[*SIMGLUCOSE, "time", str(few)]], few
    if mgipsim:
        script = str(HERE / "peers/mgipsim_days.py")
        commands["py-mgipsim, bare equations"] = [[*MGIPSIM, script, mgipsim, str(people)]]
        days["py-mgipsim, bare equations"] = people
    workers: dict[str, list[Worker]] = {}
    for name, each in commands.items():  # one after the other, so that the second of a kind finds what the first compiled
        workers[name] = [Worker(command) for command in each]
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in workers}
    for _ in range(rounds):
        for name, mine in workers.items():
            rates[name].append(one_round(mine, days[name]))
    for mine in workers.values():
        for worker in mine:
            worker.close()
    wall = {name: statistics.median(rate for rate, _ in each) for name, each in rates.items()}
    core = {name: statistics.median(rate for _, rate in each) for name, each in rates.items()}
    found: dict[str, Any] = {
        "people": people,
        "rounds": rounds,
        "cores": cores,
        "load": [round(load, 1) for load in os.getloadavg()],
        "patient_days_a_second": {name: float(f"{rate:.3g}") for name, rate in wall.items()},
        "patient_days_a_core_second": {name: float(f"{rate:.3g}") for name, rate in core.items()},
        "ratio_simglucose": round(wall["closed loop"] / wall["simglucose"]),
        "ratio_simglucose_a_core": round(core["closed loop"] / core["simglucose"]),
    }
    peer = "py-mgipsim, bare equations"
    found["ratio_mgipsim"] = round(wall["closed loop"] / wall[peer], 1) if mgipsim else None
    found["ratio_mgipsim_a_core"] = round(core["closed loop"] / core[peer], 1) if mgipsim else None
    found["ratio_mgipsim_bare_a_core"] = round(core["bare equations"] / core[peer], 1) if mgipsim else None
    return found


def asked_of(worker: Worker, line: str = "go") -> dict[str, Any]:
    worker.ask(line)
    answer = worker.answer()
    worker.close()
    return answer


def parity() -> dict[str, Any]:
    """The 30 published patients over 24 h of random meals and doses, by the minute: greatest difference in mg/dL."""
    doses = asked_of(Worker([*CAREPLAN, "doses"]))
    theirs = asked_of(Worker([*SIMGLUCOSE, "parity"]), json.dumps(doses))
    return asked_of(Worker([*CAREPLAN, "parity"]), json.dumps({**doses, **theirs}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--few", type=int, default=2, help="patient-days of simglucose a round")
    parser.add_argument(
        "--mgipsim", default=os.environ.get("CAREPLAN_MGIPSIM"), help="a checkout of py-mgipsim; not compared without"
    )
    parser.add_argument("--json", action="store_true", help="one object, on one line")
    chosen = parser.parse_args()
    table = {
        **compare(chosen.people, chosen.rounds, chosen.few, chosen.mgipsim),
        "floor": asked_of(Worker([*CAREPLAN, "floor"])),
        "parity": parity(),
    }
    print(json.dumps(table) if chosen.json else json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
