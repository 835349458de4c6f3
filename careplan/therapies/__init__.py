"""The therapies that are installed: found through the entry-point group `careplan.therapies`, each a `Practice`.

A package beside careplan adds one by an entry point named as its therapy is. Whatever is wrong with one costs none of the others.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from careplan.errors import AskError
from careplan.practice import Practice
from careplan.therapy import Role

GROUP = "careplan.therapies"
ROLES: tuple[Role, ...] = ("observation", "action", "disturbance")


class NotInstalledError(AskError):
    """A therapy that is not here, or is broken; says which there are."""


@dataclass(frozen=True)
class Installed:
    """A therapy that was found. practice: None where it is broken, for the reason in `problem`."""

    name: str
    package: str
    version: str
    practice: Practice | None
    problem: str = ""


def installed() -> dict[str, Installed]:
    """Every therapy found, by name, the broken ones too."""
    return {name: _load(point) for name, point in sorted(_found().items())}


def practice(name: str) -> Practice:
    """A therapy by name. Raises `NotInstalledError` where there is none, or it is broken."""
    point = _found().get(name)
    if point is None:
        raise NotInstalledError(f"therapy {name!r} is not installed; there are: {', '.join(_found()) or 'none'}")
    found = _load(point)
    if found.practice is None:
        raise NotInstalledError(f"therapy {name!r} of {found.package} {found.version} is broken: {found.problem}")
    return found.practice


def first() -> Practice:
    """The first therapy that works, careplan's own before others and then by name: everybody's where nobody said. What else is
    installed thus changes nobody's therapy. Raises `NotInstalledError`."""
    for found in sorted(installed().values(), key=lambda found: found.package != "careplan"):
        if found.practice is not None:
            return found.practice
    raise NotInstalledError("no therapy is installed: install careplan anew, or a package that brings one")


@dataclass(frozen=True)
class Described:
    """An installed therapy in words. weights: their hash, None where none are shipped; card: what it says of them. problem: why
    it is left out; then nothing else is known of it."""

    name: str
    package: str
    version: str
    observes: tuple[str, ...] = ()
    does: tuple[str, ...] = ()
    reported: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    weights: str | None = None
    card: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""


def described() -> list[Described]:
    """Every therapy found, in words."""
    return [_described(found) for found in installed().values()]


def _described(found: Installed) -> Described:
    if found.practice is None:
        return Described(found.name, found.package, found.version, problem=found.problem)
    therapy = found.practice.therapy
    observes, does, reported = (
        tuple(f"{channel.name} ({channel.unit})" if channel.unit else channel.name for channel in therapy.of(role))
        for role in ROLES
    )
    card = found.practice.card
    return Described(
        name=found.name,
        package=found.package,
        version=found.version,
        observes=observes,
        does=does,
        reported=reported,
        groups=found.practice.groups,
        weights=None if card is None else str(card["hash"]),
        card={} if card is None else {name: _brief(card[name]) for name in ("sources", "virtual", "limits") if name in card},
    )


def _brief(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {item}" for name, item in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _found() -> Mapping[str, EntryPoint]:
    """By name, of two under one name the one of careplan itself, else the first."""
    return _found_in(tuple((place, _changed(place)) for place in sys.path))


def _changed(place: str) -> int:
    try:
        return os.stat(place or os.curdir).st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=1)  # every installed package is read for it: what takes tens of milliseconds is asked for at each patient
def _found_in(places: tuple[tuple[str, int], ...]) -> Mapping[str, EntryPoint]:
    """What is found on a path, read again once a package comes or goes. places: each with when it changed last."""
    points = sorted(entry_points(group=GROUP), key=lambda point: (point.name, _package(point)[0] != "careplan", point.value))
    return {point.name: point for point in reversed(points)}


@cache
def _load(point: EntryPoint) -> Installed:
    package, version = _package(point)
    try:
        loaded = point.load()
    except Exception as error:  # a stranger's package may fail in any way
        return Installed(point.name, package, version, None, f"{type(error).__name__}: {error}")
    if not isinstance(loaded, Practice):
        problem = f"{point.value} is a {type(loaded).__name__}, expected a careplan.practice.Practice"
    elif loaded.name != point.name:
        problem = f"{point.value} declares the therapy {loaded.name!r}, but is registered as {point.name!r}"
    else:
        return Installed(point.name, package, version, loaded)
    return Installed(point.name, package, version, None, problem)


def _package(point: EntryPoint) -> tuple[str, str]:
    return ("unknown", "unknown") if point.dist is None else (point.dist.name, point.dist.version)
