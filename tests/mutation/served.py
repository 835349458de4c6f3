"""Many mutants against tests that are imported and collected once.

A process runs a target's tests as they are. For each mutant it forks, and puts the mutated bodies in place of the functions that
are loaded; the tests run there, those first that noticed the mutants before. What survives so is not yet known to survive: what
was computed when the modules were imported, or is kept of the first run, is of the source as it is. What is noticed is known.
"""

import gc
import json
import os
import resource
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest

from tests.mutation.mutants import Mutant

FIRST = 12  # tests that are asked before all others
COMPREHENSIONS = ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>")

Told = Callable[[Mutant, str | None, float], None]


def imported(code: CodeType) -> list[object]:
    """What runs when a module is imported: its own code, that of its classes and of comprehensions there, but of no function."""
    consts = [each.co_name if isinstance(each, CodeType) else repr(each) for each in code.co_consts]
    inner = [each for each in code.co_consts if isinstance(each, CodeType)]
    at_once = [each for each in inner if _is_class(each) or each.co_name in COMPREHENSIONS]
    return [(code.co_code, code.co_names, consts), *(part for each in at_once for part in imported(each))]


def bodies(before: CodeType, after: CodeType) -> Iterator[tuple[CodeType, CodeType]]:
    """The functions of a module and of its classes, before and after a change that leaves what is imported as it was."""
    pairs = zip(before.co_consts, after.co_consts, strict=True)
    for one, other in pairs:
        if isinstance(one, CodeType) and isinstance(other, CodeType):
            if _is_class(one):
                yield from bodies(one, other)
            elif one != other:
                yield one, other


def replaceable(mutant: Mutant) -> bool:
    """Whether a mutant changes nothing but bodies of functions."""
    before, after = _codes(mutant)
    return imported(before) == imported(after)


def _codes(mutant: Mutant) -> tuple[CodeType, CodeType]:
    return compile(mutant.source, mutant.path, "exec"), compile(mutant.mutated, mutant.path, "exec")


def _is_class(code: CodeType) -> bool:
    return {"__module__", "__qualname__"} <= set(code.co_names)


class Server:
    """A plugin of pytest that, in place of running the tests, runs them once for each mutant in a process forked for it.

    told: is given each mutant, the test that noticed it (None where none did), and the seconds that took.
    """

    def __init__(self, path: Path, mutants: Sequence[Mutant], told: Told) -> None:
        self.path, self.mutants, self.told = path, mutants, told
        self.failed: BaseException | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        try:
            self.serve(session)
        except BaseException as error:
            self.failed = error
            raise
        return True

    def serve(self, session: pytest.Session) -> None:
        if session.testsfailed or not session.items:
            raise SystemExit(f"the tests of {self.path.name} cannot be imported, or there are none")
        items, kills, near = list(session.items), Counter[str](), dict[bytes, Counter[str]]()
        # Once here: what is imported late, and what is kept of a first run, is there for all.
        begun = time.process_time()
        failed = _first_failure(session, items)
        seconds = time.process_time() - begun
        if failed is not None:
            raise SystemExit(f"{failed} fails without any mutant")
        gc.collect()
        functions = [each for each in gc.get_objects() if isinstance(each, FunctionType) and _of(each, self.path)]
        gc.freeze()
        for mutant in self.mutants:
            changed = dict(bodies(*_codes(mutant)))
            loaded = {each: changed[each.__code__] for each in functions if each.__code__ in changed}
            here = near.setdefault(mutant.within, Counter())
            first = dict.fromkeys(name for tally in (here, kills) for name, _ in tally.most_common(FIRST))
            rank = {name: place for place, name in enumerate(first)}
            order = sorted(items, key=lambda item: rank.get(item.nodeid, len(rank)))
            noticed, spent = self.attempt(session, order, loaded, 5 + 4 * seconds)
            if noticed is not None:
                kills[noticed] += 1
                here[noticed] += 1
            self.told(mutant, noticed, spent)
        # Those that noticed, by themselves and the other way round: a test that leans on another notices what is not there.
        alone = [item for item in reversed(items) if kills[item.nodeid]]
        failed, _ = self.attempt(session, alone, {}, 5 + 4 * seconds)
        if failed is not None:
            raise SystemExit(f"{failed} fails without any mutant where the tests before it do not run: run this target --afresh")

    def attempt(
        self, session: pytest.Session, order: Sequence[pytest.Item], loaded: dict[FunctionType, CodeType], limit: float
    ) -> tuple[str | None, float]:
        """The test that fails with these bodies, in a process of its own, and the seconds of a processor it took."""
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            os._exit(_run(session, order, loaded, limit, writer))
        os.close(writer)
        over = time.monotonic() + 30 + 8 * limit  # of waiting for what never comes; a busy machine is no mutant's doing
        while not (done := os.wait4(child, os.WNOHANG))[0]:
            if time.monotonic() > over:
                os.killpg(child, signal.SIGKILL)
            time.sleep(0.005)
        with os.fdopen(reader) as said:
            told: dict[str, Any] = json.loads(said.read() or "{}")
        spent = done[2].ru_utime + done[2].ru_stime
        if os.waitstatus_to_exitcode(done[1]) == 0:
            return None, spent
        return told.get("failed", "out of time, or of its process"), spent


def _of(function: FunctionType, path: Path) -> bool:
    return Path(function.__code__.co_filename) == path


def _run(
    session: pytest.Session, order: Sequence[pytest.Item], loaded: dict[FunctionType, CodeType], limit: float, writer: int
) -> int:
    os.setsid()
    resource.setrlimit(resource.RLIMIT_CPU, (int(limit) + 1, int(limit) + 10))
    for function, code in loaded.items():
        function.__code__ = code
    failed = _first_failure(session, order)
    if failed is not None:
        os.write(writer, json.dumps({"failed": failed}).encode())
    session.config.hook.pytest_sessionfinish(session=session, exitstatus=int(failed is not None))
    return int(failed is not None)


def _first_failure(session: pytest.Session, order: Sequence[pytest.Item]) -> str | None:
    """Runs tests in their order until one fails, which is named."""
    for item, following in zip(order, [*order[1:], *([None] if order else [])], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.testsfailed:
            return item.nodeid
    return None
