"""What earlier runs found, a line a mutant in `results/`: whoever runs next goes on from there.

A line says which mutant and whether its tests noticed it, and of one that survived, what those tests were. It holds as long as
the definition around the mutant stays as it is; a survivor is tried again when the tests have changed.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from tests.mutation.mutants import Mutant

FOLDER = Path(__file__).parent / "results"
NOTICED = "noticed"


def key(mutant: Mutant) -> str:
    return hashlib.sha256(mutant.name.encode() + mutant.within).hexdigest()[:16]


def found(target: str, tests: str | None = None) -> dict[str, bool]:
    """Whether each mutant of a target was noticed; survivors of these tests alone, of any where None."""
    file = FOLDER / f"{target}.txt"
    rows = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
    return {mutant: told == NOTICED for mutant, told in rows if told == NOTICED or tests in (None, told)}


def keep(target: str, mutant: Mutant, noticed: bool, tests: str) -> None:
    """Adds a result. tests: a digest of those that were asked."""
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / f"{target}.txt").open("a") as out:
        out.write(f"{key(mutant)} {NOTICED if noticed else tests}\n")


def tidy(target: str, mutants: Iterable[Mutant]) -> None:
    """Leaves one line for each mutant that there is, the newest, in order."""
    file, there = FOLDER / f"{target}.txt", {key(mutant) for mutant in mutants}
    if file.exists():
        rows = dict(line.split() for line in file.read_text().splitlines())
        file.write_text("".join(f"{mutant} {told}\n" for mutant, told in sorted(rows.items()) if mutant in there))


def forget(target: str) -> None:
    (FOLDER / f"{target}.txt").unlink(missing_ok=True)
