"""What the treatment of one patient aims at, and what a therapy lets anybody aim at: pure data."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

CUSTOM = "custom"  # the name of targets that are nobody's but this patient's


@dataclass(frozen=True, kw_only=True)
class Targets:
    """Targets of one patient under one therapy.

    preset: the name of the therapy's preset that these are, or `CUSTOM`. levels: the edges between the bands of the regulated
    level, by name and in the therapy's unit, from the lowest to the highest. shares: by outcome, in %: less than this beyond an
    edge, more than this in range. An outcome without a share has no target. An outcome keeps its name wherever its edge lies.
    """

    preset: str
    levels: Mapping[str, float]
    shares: Mapping[str, float]

    def same(self, other: "Targets") -> bool:
        """Whether the two aim at the same, whatever they are called."""
        return dict(self.levels) == dict(other.levels) and dict(self.shares) == dict(other.shares)


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Targets that a therapy knows: for whom, in words, and where they come from."""

    targets: Targets
    whom: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Presets:
    """The targets of a therapy.

    known: the first is everybody's where nothing is signed and their group names no other. groups: the preset of a group.
    bounds: the lowest and the highest of each level and share that anybody may aim at. needed: shares that no targets may lack.
    nested: pairs of shares of which the first can never be the larger, since it is a part of the second. apart: how far a level
    must be above the one below it, at least.
    """

    known: tuple[Preset, ...] = ()
    groups: Mapping[str, str] = field(default_factory=dict)
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    needed: tuple[str, ...] = ()
    nested: tuple[tuple[str, str], ...] = ()
    apart: float = 0.0

    def named(self, name: str) -> Preset | None:
        """The preset of a name."""
        return next((each for each in self.known if each.targets.preset == name), None)

    def of(self, group: str) -> Targets:
        """What holds for a group where nothing is signed; no targets at all where the therapy has no preset."""
        found = self.named(self.groups.get(group, "")) or next(iter(self.known), None)
        return Targets(preset="", levels={}, shares={}) if found is None else found.targets

    def problems(self, targets: Targets) -> list[str]:
        """Why nobody may aim at these, a sentence each; empty where they may."""
        levels = self.known[0].targets.levels if self.known else {}
        found = [f"{name}: there is no such level; expected {', '.join(levels)}" for name in targets.levels if name not in levels]
        found += [f"{name}: a level is missing" for name in levels if name not in targets.levels]
        found += [f"{name}: there is no such outcome" for name in targets.shares if name in levels or name not in self.bounds]
        found += [f"{name}: a target is needed" for name in self.needed if name not in targets.shares]
        for name, value in {**targets.levels, **targets.shares}.items():
            low, high = self.bounds.get(name, (-math.inf, math.inf))
            if not (math.isfinite(value) and low <= value <= high):
                found.append(f"{name}: {value:g} is beyond what anybody may aim at, {low:g} to {high:g}")
        if found:
            return found
        ordered = [(name, targets.levels[name]) for name in levels]
        for (lower, least), (upper, most) in pairwise(ordered):
            if most - least < self.apart:
                found.append(f"{upper}: {most:g} is not at least {self.apart:g} above {lower}, {least:g}")
        for part, whole in self.nested:
            if targets.shares.get(part, 0.0) > targets.shares.get(whole, math.inf):
                found.append(f"{part}: {targets.shares[part]:g} % is more than the {targets.shares[whole]:g} % of {whole}")
        return found
