"""The test set of questions, and how they are read: `python -m tests.interop.questions` prints the table by kind."""

from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from careplan.interop.language import KINDS, QUERY, Known, Reading, read
from careplan.interop.language.known import POLICIES

FILE = Path(__file__).with_name("questions.txt")
PATIENTS = ("anna", "ben", "azt1d-3", "azt1d-13", "maria-1", "maria-2", "tanaka", "kenji")
KNOWN = Known(PATIENTS, lambda patient: date(2026, 3, 4), POLICIES)
READ_AS = {
    **dict.fromkeys(("hours", "change", "to", "times", "below", "above"), float),
    **dict.fromkeys(("minute", "count", "days"), int),
    "dose": lambda text: text == "1",
}


class Asked(NamedTuple):
    """One question of the set. wanted: the query, None where asking back is right."""

    kind: str
    wanted: Any
    question: str

    def outcome(self, reading: Reading) -> str:
        if self.wanted is None:
            return "right" if reading.asks else "wrong"
        return "right" if reading.query == self.wanted else "asked back" if reading.asks else "wrong"


def questions() -> Iterator[Asked]:
    for line in FILE.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            kind, wanted, question = (part.strip() for part in line.split("|", 2))
            yield Asked(kind, None if wanted == "ask" else _query(kind, wanted), question)


def _query(kind: str, wanted: str) -> Any:
    body: dict[str, Any] = {"kind": kind}
    for name, value in (part.split("=") for part in wanted.split()):
        if name in ("first", "second", "period"):
            first, last = value.split("/")
            body[name] = {"first": first, "last": last}
        elif name in ("populations", "policies"):
            body[name] = value.split(",")
        else:
            body[name] = READ_AS.get(name, str)(value)
    return QUERY.validate_python(body)


def table() -> dict[str, Counter[str]]:
    """By kind: how many were read right, asked back though they were clear, and read wrong."""
    found = {kind: Counter[str]() for kind in KINDS}
    for asked in questions():
        found[asked.kind][asked.outcome(read(asked.question, KNOWN))] += 1
    return found


if __name__ == "__main__":
    print(f"{'':20}{'right':>7}{'asked back':>12}{'wrong':>7}")
    whole = Counter[str]()
    for kind, counts in table().items():
        whole += counts
        print(f"{kind:20}{counts['right']:7}{counts['asked back']:12}{counts['wrong']:7}")
    print(f"{'all':20}{whole['right']:7}{whole['asked back']:12}{whole['wrong']:7}")
    for asked in questions():
        reading = read(asked.question, KNOWN)
        if asked.outcome(reading) != "right":
            print(f"{asked.outcome(reading)}: {asked.question}: {reading.asks or reading.query}")
