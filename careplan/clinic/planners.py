"""Processes that plan for several people beside one another, each on one core, and suggest what would be suggested here."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from multiprocessing import get_context

MOST = 4  # processes, each of which holds half a gigabyte


@contextmanager
def planners(people: int) -> Iterator[Executor | None]:
    """Processes that `plan_regimens` can plan in, for so many people; None where one would be all.

    They take seconds to begin, and do so while whoever asks for them does something else.
    """
    count = min(MOST, people, os.cpu_count() or 1)
    if count < 2:
        yield None
        return
    pool = ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_begin)
    try:
        for _ in range(count):
            pool.submit(_load)
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _begin() -> None:
    """Before torch is there."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it without a word; whoever asked for it says one
    os.environ["OMP_NUM_THREADS"] = "1"


def _load() -> None:
    """What plans, on one core even where whoever asked had loaded torch before `_begin`."""
    import_module("careplan.clinic.planning")
    import_module("torch").set_num_threads(1)
