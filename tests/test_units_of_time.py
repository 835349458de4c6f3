"""Nothing under world/ or planning/ counts in minutes, hours or the unit of a level: the therapy's declaration does."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1] / "careplan"
ROOMS = ("world", "planning")
# Numbers of the clock: of a minute in seconds and an hour in minutes, of half an hour, of steps, and of days and their parts; and
# of levels: the edges of bands, the best level, the middle of a channel.
CLOCK = {15, 24, 30, 45, 60, 72, 75, 90, 120, 144, 240, 288, 360, 480, 672, 720, 1440, 2880, 10080}
LEVELS = {54, 70, 80, 112.5, 140, 180, 250, 400, 600, 1800}
WORDS = re.compile(r"\b(?:half an hour|five minutes|quarter of an hour|mg/dl|half hours?)\b", re.I)
# On whose lines such a number counts something else: rows, particles or windows looked at, shares of a scale.
COUNTS = ("ROWS", "prior: float", "STILL =", "int = ", "<< 20")


def numbers(path: Path) -> Iterator[tuple[int, float]]:
    """Every number in code, with its line."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
            yield node.lineno, node.value


def is_a_count(path: Path, line: int) -> bool:
    """Whether a number is one that the list above says is of something else."""
    text = path.read_text().splitlines()[line - 1]
    return any(word in text for word in COUNTS)


def test_no_number_is_of_a_clock_or_a_level() -> None:
    found = []
    for path in (path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))):
        lines = path.read_text().splitlines()
        wrong = [(line, value) for line, value in numbers(path) if value in CLOCK | LEVELS and not is_a_count(path, line)]
        found += [f"{path.relative_to(ROOT)}:{line}: {value:g} in {lines[line - 1].strip()}" for line, value in wrong]
    assert found == []


def test_no_word_is_of_a_clock_or_a_unit() -> None:
    files = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
    found = {str(path.relative_to(ROOT)): WORDS.findall(path.read_text()) for path in files}
    assert {name: words for name, words in found.items() if words} == {}
