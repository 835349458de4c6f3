"""What a cohort is asked: the protocol of an evaluation, stated before it is run and written into its report."""

import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from careplan.errors import AskError


class ProtocolError(AskError):
    """A protocol that cannot be read, or that asks what cannot be."""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """The questions and their numbers.

    seed: of every draw. horizons: minutes ahead of a forecast. stride: rows between the moments that are forecast from; most: of
    them in one person. known: days of each recording that personalise the model, the rest being judged; share: of a recording
    that is too short for that. least: days of a recording, below which nobody is judged. baselines: people that ridge and
    boosting are fitted to, each judged by the half that they are not in. plans: people who are planned for, drawn by name;
    weeks: how many visits of each are judged. factors: on every dose, whose worth is estimated. dosing: people, at most, whose
    days enter that. resamples: of people, for every interval.
    """

    seed: int = 0
    horizons: tuple[int, ...] = (30, 60, 120, 240)
    stride: int = 6
    most: int = 300
    known: float = 14.0
    share: float = 0.6
    least: float = 3.0
    baselines: int = 30
    plans: int = 50
    factors: tuple[float, ...] = (0.8, 0.9, 1.1, 1.2)
    dosing: int = 500
    resamples: int = 500

    def __post_init__(self) -> None:
        for name in ("stride", "most", "resamples"):
            if getattr(self, name) < 1:
                raise ProtocolError(f"protocol: {name} is {getattr(self, name)}, expected at least 1")
        if not self.horizons or any(minutes <= 0 or minutes > 240 for minutes in self.horizons):
            raise ProtocolError(f"protocol: horizons are {self.horizons}, expected minutes above 0 and at most 240")
        if not 0 < self.share < 1:
            raise ProtocolError(f"protocol: share is {self.share}, expected between 0 and 1")
        if min(self.factors, default=1.0) <= 0:
            raise ProtocolError(f"protocol: factors are {self.factors}, expected numbers above 0")


def read_protocol(path: Path) -> Protocol:
    """A protocol from a TOML file with some of its fields. Raises `ProtocolError` that names the file and the field."""
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ProtocolError(f"{path}: cannot be read: {error}") from error
    defaults: dict[str, Any] = asdict(Protocol())
    given: dict[str, Any] = {}
    for name, value in table.items():
        if name not in defaults:
            raise ProtocolError(f"{path}, field {name!r}: expected one of {', '.join(defaults)}")
        usual = defaults[name]
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if isinstance(usual, tuple):
            kind = type(usual[0])
            if not isinstance(value, list) or not all(isinstance(each, int | float) for each in value):
                raise ProtocolError(f"{path}, field {name!r}: expected a list of numbers, found {value!r}")
            given[name] = tuple(kind(each) for each in value)
        elif not number or (isinstance(usual, int) and value != int(value)):
            raise ProtocolError(f"{path}, field {name!r}: expected a number like {usual}, found {value!r}")
        else:
            given[name] = type(usual)(value)
    try:
        return Protocol(**given)
    except ProtocolError as error:
        raise ProtocolError(f"{path}: {error}") from error
