"""How fast the tree search is, beside mctx: the same invented model, weights and work, and the same answers.

`python benchmarks/search.py [--rounds 7] [--backends native] [--json]`. Needs uv, which makes mctx's environment in its
cache. Every engine has a process of its own, on one core, and they take turns. `ratio_mctx_256_64`: how many times faster than
mctx the fastest backend is, at 256 trees of 64 simulations. `ratio_model_1024_64`: the search's whole time over that of its
model's evaluations alone. Ratios are of median wall times; those with `cpu_` are of processor time, which other work on the
machine disturbs less. `same_256_64`: the share of trees with mctx's action and root visits. The backend `fused` is `native` with
the model itself compiled.
"""

import argparse
import json
import os
import statistics
import sys
from pathlib import Path
from typing import Any

from simulate import PEER, Worker

HERE = Path(__file__).parent
MCTX = [*PEER, "--with", "mctx==0.0.71", "--with", "jax==0.10.2", "python", str(HERE / "peers/mctx_search.py")]
SIZES = ((32, 64), (256, 64), (256, 128), (1024, 64), (1024, 128))
DEPTH = 8  # decisions ahead; both engines stop there


def agreement(ours: list[Any], theirs: list[Any]) -> float:
    """The share of trees whose action and root visits are the same."""
    pairs = zip(zip(*ours, strict=True), zip(*theirs, strict=True), strict=True)
    return statistics.mean(float(one == other) for one, other in pairs)


def compare(backends: list[str], sizes: tuple[tuple[int, int], ...], rounds: int) -> dict[str, Any]:
    """Medians over rounds in turns."""
    commands = {"mctx": MCTX} | {name: [sys.executable, str(HERE / "peers/careplan_search.py"), name] for name in backends}
    workers = {name: Worker(command) for name, command in commands.items()}
    found: dict[str, Any] = {"rounds": rounds, "cores": os.cpu_count(), "depth": DEPTH}
    for batch, simulations in sizes:
        line = json.dumps({"batch": batch, "simulations": simulations, "depth": DEPTH})
        results: dict[str, Any] = {}
        times: dict[str, list[Any]] = {name: [] for name in workers}
        for turn in range(rounds + 1):
            for name, worker in workers.items():
                worker.ask(line)
                answer = worker.answer()
                if turn == 0:
                    results[name] = answer["result"]
                else:
                    times[name].append(answer)
        size = f"{batch}_{simulations}"
        for clock, prefix in (("wall", ""), ("cpu", "cpu_")):
            whole = {name: statistics.median(answer["search"][clock] for answer in each) for name, each in times.items()}
            model = {name: statistics.median(answer["model"][clock] for answer in times[name]) for name in backends}
            best = min(backends, key=whole.__getitem__)
            found[f"{prefix}ms_{size}"] = {name: round(1e3 * seconds, 1) for name, seconds in whole.items()}
            found[f"{prefix}model_ms_{size}"] = {name: round(1e3 * seconds, 1) for name, seconds in model.items()}
            found[f"{prefix}ratio_mctx_{size}"] = round(whole["mctx"] / whole[best], 2)
            found[f"{prefix}ratio_model_{size}"] = round(whole[best] / model[best], 2)
        found[f"same_{size}"] = {name: round(agreement(results[name], results["mctx"]), 4) for name in backends}
    for worker in workers.values():
        worker.close()
    return found | {"load": [round(load, 1) for load in os.getloadavg()]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--backends", nargs="+", default=["native"], help="of eager, compiled, native, fused")
    parser.add_argument("--sizes", nargs="+", default=[f"{batch}_{simulations}" for batch, simulations in SIZES])
    parser.add_argument("--json", action="store_true", help="one object, on one line")
    chosen = parser.parse_args()
    sizes = tuple((int(batch), int(simulations)) for batch, simulations in (size.split("_") for size in chosen.sizes))
    found = compare(chosen.backends, sizes, chosen.rounds)
    print(json.dumps(found) if chosen.json else json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
