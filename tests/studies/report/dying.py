"""Work whose worker is lost, in a module that a worker imports quickly: neither torch nor the model."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Part:
    """Of a cohort: its name."""

    name: str


@dataclass(frozen=True)
class Errand:
    """What a job is to whoever spreads it: a unit, and baselines that travel apart."""

    unit: Part
    mark: Path
    baselines: str | None


def dies_once(errand: Errand, baselines: str | None) -> dict[str, list[str]]:
    """Tables that name the unit and its baselines; the worker of unit 2 is killed the first time that one takes it up."""
    assert errand.baselines is None
    if errand.unit.name == "2" and not errand.mark.exists():
        errand.mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"people": [errand.unit.name, str(baselines)]}
