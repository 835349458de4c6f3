"""The therapy of `examples/levothyroxine`, installed as another package is: by its metadata in a folder on the path."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from careplan import therapies

EXAMPLE = Path(__file__).parents[2] / "examples" / "levothyroxine"
NAME = "levothyroxine"


@contextmanager
def installed(folder: Path) -> Iterator[Any]:
    """The module, while its package is found."""
    info = folder / f"careplan_{NAME}-0.1.dist-info"
    info.mkdir(parents=True)
    (folder / f"{NAME}.py").write_text((EXAMPLE / f"{NAME}.py").read_text())
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: careplan-{NAME}\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(f"[careplan.therapies]\n{NAME} = {NAME}:PRACTICE\n")
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(folder))
        therapies._load.cache_clear()
        yield import_module(NAME)
    sys.modules.pop(NAME, None)
    therapies._load.cache_clear()


def shipping(monkeypatch: pytest.MonkeyPatch, weights: Path) -> None:
    """The practice as if its package shipped the weights in a folder."""
    made = replace(therapies.practice(NAME), weights=weights)
    monkeypatch.setattr(sys.modules[NAME], "PRACTICE", made)
    therapies._load.cache_clear()


def table(module: Any, count: int, weeks: int, seed: int) -> str:
    """A table of people of its clinic, whose last week ends now; TSH of each sixth."""
    people = module.draw("adult", count, seed)
    lived = module.live(people, module.fixed(), 7 * weeks, seed)
    rows = ["time,patient,weight,cause,tsh,tablet"]
    for who in range(count):
        series = lived.series(who)
        ends = pd.Timestamp.now(tz="UTC").floor("D") - series.times[-1]
        for row, time in enumerate(series.times + ends):
            tsh = f"{series.values[row, 0]:.2f}" if series.mask[row, 0] else ""
            facts = f"{series.facts['weight']:.0f},{series.facts['cause']}"
            rows.append(f"{time.isoformat()},thea{who},{facts},{tsh},{series.values[row, 1]:g}")
    return "\n".join(rows) + "\n"
