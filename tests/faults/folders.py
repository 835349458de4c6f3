"""A replay and a training that are broken off at any point lose nothing that was finished, and go on when they are begun again.

A point is an operation on the folder's files, counted, before which the process is killed; or a byte beyond which the kernel lets
no file grow: there a write fails, as on a full disk, or the process is killed in the middle of it.
"""

import hashlib
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any, Literal
from unittest.mock import patch

import torch

from careplan.clinic.errors import ClinicError
from careplan.studies import replays
from careplan.world import training

from ..world.test_training import RECIPE
from ..world.test_training import training as toy

Fault = Literal["kill", "cut", "full"]
FAULTS: tuple[Fault, ...] = ("kill", "cut", "full")
OPERATIONS = {"open", "os.mkdir", "os.rename", "os.remove", "shutil.move"}
REFUSED = 3  # the exit code of a process whose write failed


@dataclass(frozen=True)
class Work:
    """Something that writes a folder. do: begun again, it goes on. results: the files that it must end with, in that folder.
    clean: whether its processes know nothing of this one (else they know what was computed here)."""

    name: str
    do: Callable[[Path], None]
    results: tuple[str, ...] = ("**/*",)
    clean: bool = False


def _replay(folder: Path) -> None:
    asked = replays.arguments_of(["adult:3"], ["basal-bolus"], days=1, seed=7)
    with patch.multiple(replays, people_of=_people, replay=_lives):
        replays.run_replay(folder, replace(asked, block=1))


_known: dict[str, Any] = {}
_sampled, _replayed = replays.people_of, replays.replay


def _people(asked: Any, block: Any) -> Any:
    """Who lives, and below what they live, is computed once: what is broken off here is keeping it."""
    if block.name not in _known:
        _known[block.name] = _sampled(asked, block)
    return _known[block.name]


def _lives(people: Any, *asked: Any, **named: Any) -> Any:
    if (name := people.names[0]) not in _known:
        _known[name] = _replayed(people, *asked, **named)
    return _known[name]


def _train(folder: Path) -> None:
    often = partial(training.ModelCheckpoint, folder / "run", save_last=True, every_n_train_steps=1, save_top_k=0)
    with patch.object(training, "ModelCheckpoint", lambda *_, **__: often()):
        made = training.train(toy(replace(RECIPE, steps=3, batch=4)), folder / "run", resume=True, say=lambda _: None)
    made.save(folder, {"recipe": "of a test"})


# Training is clean: after `torch.compile`, torch built for a GPU refuses a backward pass in any fork of a process that made one.
WORKS = {work.name: work for work in (Work("replay", _replay), Work("train", _train, ("pressure.*",), clean=True))}
FORK, CLEAN = get_context("fork"), get_context("forkserver")
CLEAN.set_forkserver_preload([__name__])


@contextmanager
def breaking(fault: Fault | None, at: int, folder: Path) -> Iterator[list[int]]:
    """Breaks the process off at a point of what it does in a folder (nothing where None); gives the count of operations so far.
    For a process of its own: what is set here cannot be taken back."""
    count = [0]

    def hook(name: str, arguments: tuple[Any, ...]) -> None:
        if name in OPERATIONS and str(arguments[0]).startswith(str(folder)):
            count[0] += 1
            if fault == "kill" and count[0] == at:
                os.kill(os.getpid(), signal.SIGKILL)

    if fault in ("cut", "full"):
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL if fault == "cut" else signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (at, at))
    sys.addaudithook(hook)
    yield count


def _child(work: Work, folder: Path, fault: Fault | None, at: int, there: Connection) -> None:
    torch.set_num_threads(1)
    with breaking(fault, at, folder) as count:
        try:
            work.do(folder)
        except (ClinicError, OSError):
            os._exit(REFUSED)
        there.send(count[0])
    os._exit(0)


@contextmanager
def no_program() -> Iterator[None]:
    """A process begun meanwhile runs no program of this one first: pages that other tests draw leave theirs there."""
    program = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = program


def apart(work: Work, folder: Path, fault: Fault | None = None, at: int = 0) -> tuple[int | None, int]:
    """Runs the work in a process of its own, which breaks off; returns its exit code and how many operations it came to."""
    here, there = FORK.Pipe(duplex=False)
    process = (CLEAN if work.clean else FORK).Process(target=_child, args=(work, folder, fault, at, there))
    with no_program():
        process.start()
    process.join(120)
    return process.exitcode, here.recv() if here.poll() else 0


@dataclass(frozen=True)
class Whole:
    """What a work makes where nothing breaks it off: its results, how many operations that takes, and its largest file."""

    results: dict[str, str]
    operations: int
    largest: int


@cache
def whole(name: str) -> Whole:
    work = WORKS[name]
    with TemporaryDirectory(prefix="careplan-faults-") as place:
        folder = Path(place) / "work"
        if work.clean:
            apart(work, folder)
        else:
            work.do(folder)  # here, so that what is computed once is known to every process that is begun from this one
        results = digests(work, folder)
        largest = max(path.stat().st_size for path in folder.rglob("*"))
        code, operations = apart(work, Path(place) / "again")
        assert code == 0, f"{name}: exit code {code}"
        assert results and digests(work, Path(place) / "again") == results, f"{name}: two runs differ"
    return Whole(results, operations, largest)


def digests(work: Work, folder: Path) -> dict[str, str]:
    """SHA-256 of each file of a work's results, by its path in the folder."""
    found = {path for pattern in work.results for path in folder.glob(pattern) if path.is_file()}
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(found)}


def point(work: Work, fault: Fault, share: float) -> int:
    """The point at a share (0 to 1) of a work: the number of an operation, or of a byte."""
    known = whole(work.name)
    return max(1, round(share * (known.operations if fault == "kill" else known.largest)))


def try_point(work: Work, fault: Fault, at: int) -> str:
    """Breaks the work off at one point and begins it again. Raises AssertionError where anything is lost, left or other."""
    expected = whole(work.name).results
    with TemporaryDirectory(prefix="careplan-faults-") as place:
        folder = Path(place) / "work"
        code, _ = apart(work, folder, fault, at)
        told = f"{work.name}, {fault} at {'operation' if fault == 'kill' else 'byte'} {at}: exit code {code}"
        assert code in {"kill": (-signal.SIGKILL, 0), "cut": (-signal.SIGXFSZ, 0), "full": (REFUSED, 0)}[fault], told
        kept = digests(work, folder)
        partly = {name: digest for name, digest in kept.items() if not name.endswith((".part", "manifest.json"))}
        assert partly.items() <= expected.items(), f"{told}: a file is there in part"
        code, _ = apart(work, folder)
        assert code == 0, f"{told}: it does not go on, exit code {code}"
        assert digests(work, folder) == expected, f"{told}: begun again, it ends otherwise"
    return told
