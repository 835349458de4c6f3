"""Facts about a patient that a therapy asks for: pure data."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

Fact = float | str  # a covariate's value
ADOLESCENT, ADULT = 12, 18  # years of age from which somebody is one


@dataclass(frozen=True, kw_only=True)
class CourseFacts:
    """What is known of one patient under one therapy, and what their limits are by: the therapy's group that they were put into,
    and covariates by name (age in years, weight in kg, a genotype)."""

    group: str
    covariates: Mapping[str, Fact] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Covariate:
    """A fact about a patient that the model knows them by before anything was measured: age, weight, genotype.

    levels: of a category, its values in order; empty for a number, which the model sees as `(value - center) / scale`.
    low, high: numbers outside are errors.
    """

    name: str
    unit: str = ""
    levels: tuple[str, ...] = ()
    center: float = 0.0
    scale: float = 1.0
    low: float = -math.inf
    high: float = math.inf

    @property
    def width(self) -> int:
        """How many numbers it is to the model: a number and whether it is known, or one for each level."""
        return len(self.levels) or 2

    def encoded(self, value: Fact | None, whose: str = "") -> list[float]:
        """As the model sees it; all zero where unknown. Raises ValueError for what cannot be a value of it."""
        if value is None or value == "" or value != value:
            return [0.0] * self.width
        if self.levels:
            if value not in self.levels:
                raise ValueError(f"{whose}{self.name}: {value!r} is not one of {', '.join(self.levels)}")
            return [float(value == level) for level in self.levels]
        try:
            number = float(value)
        except ValueError:
            raise ValueError(f"{whose}{self.name}: {value!r} is not a number") from None
        if not self.low <= number <= self.high:
            raise ValueError(f"{whose}{self.name}: {number:g} {self.unit} is outside {self.low:g}..{self.high:g}")
        return [1.0, (number - self.center) / self.scale]
