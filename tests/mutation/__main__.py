"""Whether the tests would notice: each small change of the safety code (`mutants`) is run against the tests of its file.

    python -m tests.mutation [TARGET ...] [--afresh] [--kept] [--markdown FILE]

The tree is copied, the copy is changed, and the tests run on it in a process of their own, with a limit on their time. Results
are kept beside it (`kept`): a run that was stopped goes on, a mutant that was noticed is not tried again while the
definition around it stays as it is, one that survived is tried again when the tests change. Prints each survivor with its diff,
and the score by target. The exit code is 0 where at least 95 % were noticed and `equivalent.toml` says of every survivor why it
changes nothing.
"""

import argparse
import gc
import hashlib
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.mutation import kept
from tests.mutation.mutants import Mutant, mutants
from tests.mutation.served import Server, replaceable
from tests.mutation.targets import TARGETS, Target

ROOT = Path(__file__).parents[2]
LEAST = 0.95
PACKAGES = ("careplan", "cohorts", "app", "migrations", "tests")
ARGUMENTS = ("-x", "-q", "--no-header", "--tb=no", "--failed-first", "-o", "timeout=0")  # what noticed one may notice the next
ALONE = ("-q", "--no-header", "--tb=no", "-p", "no:cacheprovider", "-o", "timeout=0")
NONE_RUN = 5  # pytest's exit code where there were no tests; any other but 0 is a test, or an import, that failed
MEMORY = 24 << 30  # bytes of address space

Results = list[tuple[Mutant, bool | None]]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", default=list(TARGETS), help=f"of {', '.join(TARGETS)}; all where none is named")
    parser.add_argument("--afresh", action="store_true", help="try every mutant again")
    parser.add_argument("--kept", action="store_true", help="run nothing: tell what earlier runs found")
    parser.add_argument("--markdown", type=Path, help="write the score and the survivors there")
    asked = parser.parse_args()
    if unknown := set(asked.targets) - set(TARGETS):
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")

    excuses = equivalents()
    if not asked.kept:
        warm()
    found = {name: run(name, TARGETS[name], afresh=asked.afresh, told=asked.kept) for name in asked.targets}
    survivors = [(name, mutant) for name, results in found.items() for mutant, noticed in results if noticed is False]
    unexcused = [(name, mutant) for name, mutant in survivors if why(mutant, excuses) is None]
    for name, mutant in unexcused:
        print(f"\n{name}: not noticed, and not said to be equivalent:\n{mutant.diff}")
    report = table(found, excuses)
    print(f"\n{report}")
    if asked.markdown is not None:
        asked.markdown.write_text(report + "\n" + excused(survivors, excuses))
    score = sum(bool(noticed) for results in found.values() for _, noticed in results) / max(1, sum(map(len, found.values())))
    return 0 if score >= LEAST and not unexcused else 1


def run(name: str, target: Target, *, afresh: bool, told: bool) -> Results:
    """Every mutant of a target, and whether its tests noticed; None where that is not known. told: what is kept alone."""
    if afresh:
        kept.forget(name)
    tests = digest(*(ROOT / path.partition("::")[0] for path in (*target.tests, "tests/limits_table.py")))
    found = kept.found(name, None if told else tests)
    every = mutants(ROOT, target.path, target.only)
    left = [] if told else [mutant for mutant in every if kept.key(mutant) not in found]

    def keep(mutant: Mutant, noticed: bool, said: str, seconds: float) -> None:
        kept.keep(name, mutant, noticed, tests)
        os.write(screen, f"{name}, line {mutant.line}, {seconds:.1f} s, {said}: {mutant.becomes[:100]}\n".encode())

    if left:
        screen = os.dup(1)
        with tempfile.TemporaryDirectory(prefix="careplan-mutation-") as folder:
            copy = Path(folder).resolve()
            copy_tree(copy)
            if target.path.endswith(".py"):
                for some in (target.tests[:1], target.tests[1:]):  # those that are quick, and then the others
                    within = [mutant for mutant in left if replaceable(mutant)]
                    if some and within:
                        serve(target, some, copy, within, keep)
                    found |= {mutant: True for mutant, noticed in kept.found(name).items() if noticed}
                    left = [mutant for mutant in left if kept.key(mutant) not in found]
            limit = 20 + 4 * baseline(name, target, copy) if left else 0.0
            for mutant in left:
                code, seconds = attempt(mutant, target, copy, limit)
                found[kept.key(mutant)] = code != 0
                keep(mutant, code != 0, "out of time" if code is None else "noticed" if code else "SURVIVED", seconds)
        os.close(screen)
        kept.tidy(name, every)
    return [(mutant, found.get(kept.key(mutant))) for mutant in every]


def serve(
    target: Target, tests: Sequence[str], copy: Path, left: list[Mutant], keep: Callable[[Mutant, bool, str, float], None]
) -> None:
    """Tries mutants in a process that imports the tests once; what is noticed so is kept, and the rest is to be tried alone."""

    def told(mutant: Mutant, noticed: str | None, seconds: float) -> None:
        if noticed is not None:
            keep(mutant, True, noticed.rpartition("/")[2], seconds)

    child = os.fork()
    if child == 0:
        server = Server(copy / target.path, left, told)
        prepare(target, copy)
        pytest.main([*ALONE, f"--basetemp={copy / 'scratch'}", *tests], plugins=[server])
        os._exit(int(server.failed is not None))
    _, status = os.waitpid(child, 0)
    if status != 0:
        raise SystemExit(f"{target.path}: {' '.join(tests)} fail without any mutant:\n{(copy / 'out.txt').read_text()[-2000:]}")


def copy_tree(copy: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package, ignore=ignored)
    for name in ("pyproject.toml", "alembic.ini"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, copy / name)
    if real := shutil.which("c++"):
        compiler = copy / "quick" / "c++"  # of native.cpp: quicker to compile than as it is shipped
        compiler.parent.mkdir()
        compiler.write_text(f'#!/bin/sh\nexec {real} "$@" -O1\n')
        compiler.chmod(0o755)


def baseline(name: str, target: Target, copy: Path) -> float:
    """Seconds that the tests take of the source as it is. Raises SystemExit where they fail."""
    code, seconds = attempt(None, target, copy, 900.0)
    if code != 0:
        raise SystemExit(f"{name}: {' '.join(target.tests)} fail without any mutant (exit code {code})")
    for compiled in (copy / target.path).parent.glob(f"__pycache__/{Path(target.path).stem}.*"):
        compiled.unlink()
    return seconds


def attempt(mutant: Mutant | None, target: Target, copy: Path, limit: float) -> tuple[int | None, float]:
    """The exit code of the tests on a copy with one mutant, and the seconds they took; None where they ran out of time.

    Raises SystemExit where the tests were not run at all.
    """
    changed, begun = copy / target.path, time.monotonic()
    if mutant is not None:
        changed.write_bytes(mutant.mutated)
    child = os.fork()
    if child == 0:
        os._exit(test(target, copy, mutated=mutant is not None))
    code: int | None = None
    while time.monotonic() - begun < limit:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            break
        time.sleep(0.02)
    else:
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if mutant is not None:
        changed.write_bytes(mutant.source)
    if code == NONE_RUN:
        raise SystemExit(f"{target.path}: no tests were run: {' '.join(target.tests)}")
    return code, time.monotonic() - begun


def test(target: Target, copy: Path, *, mutated: bool) -> int:
    """Runs the tests in this process, of which nothing is kept but what the first run compiled of unchanged files."""
    os.setsid()
    prepare(target, copy)
    sys.dont_write_bytecode = mutated
    return int(pytest.main([*ARGUMENTS, "-o", f"cache_dir={copy / 'cache'}", *target.tests]))


def prepare(target: Target, copy: Path) -> None:
    """Makes this process one that works on the copy and on nothing of the tree."""
    os.chdir(copy)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with open(copy / "out.txt", "wb") as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
    for name in [name for name in sys.modules if name.partition(".")[0] in PACKAGES]:
        del sys.modules[name]
    sys.path[:] = [str(copy), *(part for part in sys.path if part and Path(part).resolve() != ROOT)]
    os.environ |= {"CAREPLAN_HYPOTHESIS": "mutation"}
    if target.path.endswith(".cpp"):
        os.environ["PATH"] = f"{copy / 'quick'}:{os.environ['PATH']}"


def warm() -> None:
    """Imports once what every run of the tests needs and no mutant changes."""
    import hypothesis
    import numpy
    import pandas
    import sqlalchemy.orm
    import torch

    torch.set_num_threads(1)
    torch.testing.assert_close(torch.zeros(1), torch.zeros(1))  # imports much at its first call
    assert all((hypothesis, numpy, pandas, sqlalchemy.orm))
    gc.collect()
    gc.freeze()  # what is collected in a run's process is its own


def digest(*files: Path) -> str:
    """Of the content of files."""
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def equivalents() -> dict[tuple[str, str, str], str]:
    """Why a mutant changes nothing that can be seen, by path, the line as it was and as it became."""
    rows = tomllib.loads((Path(__file__).parent / "equivalent.toml").read_text())["mutant"]
    return {(row["path"], row["was"], row["becomes"]): row["why"] for row in rows}


def why(mutant: Mutant, excuses: dict[tuple[str, str, str], str]) -> str | None:
    return excuses.get((mutant.path, mutant.was, mutant.becomes))


def table(found: dict[str, Results], excuses: dict[tuple[str, str, str], str]) -> str:
    lines = [
        "| target | mutants | run | noticed | % noticed | % without equivalents | equivalent | other survivors |",
        "|---|---|---|---|---|---|---|---|",
    ]
    total: Counter[str] = Counter()
    for name, results in found.items():
        survivors = [mutant for mutant, noticed in results if noticed is False]
        noticed, same = (
            sum(bool(noticed) for _, noticed in results),
            sum(why(mutant, excuses) is not None for mutant in survivors),
        )
        counts = Counter(
            mutants=len(results), run=noticed + len(survivors), noticed=noticed, same=same, other=len(survivors) - same
        )
        total.update(counts)
        lines.append(row(f"`{TARGETS[name].path}`", counts))
    return "\n".join([*lines, row("all", total)])


def row(name: str, counts: Counter[str]) -> str:
    # While some are still to be tried there is no share: those that are noticed are known first.
    tried = counts["run"] if counts["run"] == counts["mutants"] else 0
    shares = (f"{100 * counts['noticed'] / of:.1f}" if of > 0 else "" for of in (tried, tried - counts["same"]))
    parts = (counts["mutants"], counts["run"], counts["noticed"], *shares, counts["same"], counts["other"])
    return f"| {name} | {' | '.join(str(part) for part in parts)} |"


def excused(survivors: list[tuple[str, Mutant]], excuses: dict[tuple[str, str, str], str]) -> str:
    """The survivors as a table in Markdown: where, the line as it is, what it becomes, and why that changes nothing."""
    lines = ["| target, line | as it is | mutant | why it changes nothing |", "|---|---|---|---|"]
    for name, mutant in survivors:
        was, becomes = (f"`{text}`".replace("|", "\\|") for text in (mutant.was, mutant.becomes))
        lines.append(f"| {name}, {mutant.line} | {was} | {becomes} | {why(mutant, excuses) or '**not told**'} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
