"""Where the time of a long run goes: stages are named where they happen, and counted only where somebody asks."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import perf_counter, process_time

try:
    import resource
except ImportError:  # on Windows
    resource = None  # type: ignore[assignment]


@dataclass
class Stages:
    """Seconds by stage: of the clock on the wall, and of this process's processors. A stage within a stage counts for itself."""

    wall: dict[str, float] = field(default_factory=dict)
    processor: dict[str, float] = field(default_factory=dict)
    _inside: list[str] = field(default_factory=list)
    _since: tuple[float, float] = (0.0, 0.0)

    def turn(self) -> None:
        """Charge what has passed to the stage that is on now."""
        torch = sys.modules.get("torch")  # a page that plans nothing waits for no tensors
        if torch is not None and torch.cuda.is_initialized():
            torch.cuda.synchronize()  # else a stage would be charged for the one before it
        now = perf_counter(), process_time()
        if self._inside:
            name = self._inside[-1]
            for table, end, begin in zip((self.wall, self.processor), now, self._since, strict=True):
                table[name] = table.get(name, 0.0) + end - begin
        self._since = now

    @contextmanager
    def inside(self, name: str) -> Iterator[None]:
        self.turn()
        self._inside.append(name)
        try:
            yield
        finally:
            self.turn()
            self._inside.pop()


_asked: ContextVar[Stages | None] = ContextVar("stages", default=None)


@contextmanager
def counted() -> Iterator[Stages]:
    """Counts the stages of everything within."""
    stages = Stages()
    before = _asked.set(stages)
    try:
        yield stages
    finally:
        _asked.reset(before)


_watching: ContextVar[Callable[[str], None] | None] = ContextVar("watching", default=None)


@contextmanager
def watched(tell: Callable[[str], None]) -> Iterator[None]:
    """Tells `tell` the name of every stage that begins within. What it raises ends the work."""
    before = _watching.set(tell)
    try:
        yield
    finally:
        _watching.reset(before)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """What happens within belongs to this stage."""
    stages, tell = _asked.get(), _watching.get()
    if tell is not None:
        tell(name)
    if stages is None:
        yield
    else:
        with stages.inside(name):
            yield


def peak_memory() -> float | None:
    """The most memory this process has ever held, MB; None where the platform does not say."""
    if resource is None:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)
