"""What both engines of `benchmarks/search.py` do: one invented model with the same weights, and a worker's loop."""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

LATENT, HIDDEN, ACTIONS, CONSIDERED, DISCOUNT = 64, 128, 16, 16, 0.97
HEADS = 2 + ACTIONS  # reward, value, logits


def weights(batch: int) -> dict[str, np.ndarray]:
    """The model's weights, the same for every batch, and `[batch, LATENT]` states to start from."""
    random = np.random.default_rng(0)
    shapes = {
        "first": (LATENT, HIDDEN),
        "push": (ACTIONS, HIDDEN),
        "second": (HIDDEN, HIDDEN),
        "last": (HIDDEN, LATENT + HEADS),
        "root": (LATENT, HEADS),
        "state": (batch, LATENT),
    }
    scale = {"first": LATENT, "second": HIDDEN, "last": HIDDEN, "root": LATENT}
    made = {name: random.normal(size=shape) / scale.get(name, 1) ** 0.5 for name, shape in shapes.items()}
    return {name: value.astype(np.float32) for name, value in made.items()}


def one_core() -> None:
    """Keep this process on one core: the first for every engine, so that none counts threads that another lacks."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def serve(prepare: Callable[[dict[str, Any]], dict[str, Callable[[], Any]]], told: dict[str, Any]) -> None:
    """Say `told`; then answer each line, a JSON object of settings, with the seconds of what `prepare` made of it.

    `prepare` gives functions by name. The first call of each, which compiles, is not counted: its result, where it is not None,
    comes back as `result`.
    """
    ready: dict[str, dict[str, Callable[[], Any]]] = {}
    print(json.dumps(told), flush=True)
    for line in sys.stdin:
        answer: dict[str, Any] = {}
        if line not in ready:
            ready[line] = prepare(json.loads(line))
            results = [work() for _ in range(2) for work in ready[line].values()]
            answer["result"] = next(result for result in results if result is not None)
        for name, work in ready[line].items():
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            answer[name] = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        print(json.dumps(answer), flush=True)
