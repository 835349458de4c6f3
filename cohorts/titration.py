"""Guideline titration: basal-bolus whose settings are reviewed at every visit, from what a clinic sees; and, in type 2, of one
long-acting dose a day by fasting glucose.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from careplan.therapies.glucose.bands import BELOW_54_TARGET, BELOW_70_TARGET, LOW, VERY_LOW
from cohorts.physiology import Secreting
from cohorts.policies import NIGHT, Behaviour, Doses, Seen, refuse
from cohorts.population import LONG_ACTING_AT, Population
from cohorts.scenarios import ROWS

CAP = (0.7, 1.2)  # factors by which a visit may change a setting: those of oref0 autotune
LOWEST = torch.tensor([0.025, 2.0, 10.0])  # U/h; carb ratio and correction factor within LoopKit's guardrails
HIGHEST = torch.tensor([35.0, 150.0, 500.0])
LOWS, VERY_LOWS = BELOW_70_TARGET / 100, BELOW_54_TARGET / 100  # shares of readings
FEWEST = 3  # nights, meals or corrections before anything is made stronger
BEFORE, AFTER = 36, 48  # rows without other meals before and after a dose that is judged


@dataclass
class Titration:
    """Lives as `person` does, by default basal-bolus to the letter, and has the settings reviewed every `every` days.

    On pens the basal rate stands for the long-acting dose, a day of it: one titration for both.
    """

    name: str = "titration"
    every: int = 7
    person: Behaviour = field(default_factory=Behaviour.as_set)
    _log: list[Tensor] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"titration every {self.every} days: expected at least one")

    def begin(self, people: Population, rows: int, generator: torch.Generator) -> None:
        self.person.begin(people, rows, generator)
        self._log = []

    def decide(self, seen: Seen) -> Doses:
        if len(self._log) == self.every * ROWS:
            reading, announced, bolus = torch.stack(self._log, 1)
            self.person.settings = reviewed(self.person.settings, reading, announced, bolus)
            self._log = []
        doses = self.person.decide(seen)
        self._log.append(torch.stack([seen.reading, seen.announced, doses.bolus]))
        return doses


@dataclass
class TreatToTarget:
    """Type 2 on one long-acting dose a day, titrated to the fasting reading (ADA Standards of Care, section 9; the schedule of
    treat-to-target trials): every `every` days it rises by `step` U where fasting readings, at six in the morning, are above
    `high` mg/dL in the mean, up to `most` U/kg a day. Lows come first: it falls by a tenth after a reading below 70 mg/dL, by a
    fifth after one below 54.

    start: U/kg a day to begin with, such as 0.2 for who never took insulin; None: the dose in force. Boluses, if any, are
    `person`'s, by default none.
    """

    name: str = "treat-to-target"
    every: int = 3
    step: float = 2.0
    high: float = 130.0
    most: float = 1.0
    start: float | None = None
    person: Behaviour = field(default_factory=Behaviour.basal_only)
    _fasting: list[Tensor] = field(default_factory=list, repr=False)
    _lowest: Tensor = field(init=False, repr=False)
    _weight: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        refuse(self, above=("every", "step", "high", "most"))

    def begin(self, people: Population, rows: int, generator: torch.Generator) -> None:
        """Begins the treatment of these people. Raises `ValueError` where they are not of type 2."""
        if not isinstance(people.physiology, Secreting):
            raise ValueError(f"{self.name}: expected people of type 2, who make insulin at meals")
        self.person.begin(people, rows, generator)
        self._weight, self._fasting = people.physiology.weight, []
        self._lowest = torch.full_like(self._weight, torch.inf)
        if self.start is not None:
            self._prescribe((self.start * self._weight).round())

    def decide(self, seen: Seen) -> Doses:
        self._lowest = self._lowest.minimum(seen.reading)
        if seen.row % ROWS == NIGHT:
            self._fasting.append(seen.reading)
        if seen.row % ROWS == LONG_ACTING_AT // 5 and len(self._fasting) == self.every:
            self._prescribe(self._reviewed(24 * self.person.settings[:, 0]))
            self._fasting, self._lowest = [], torch.full_like(self._lowest, torch.inf)
        return self.person.decide(seen)

    def _reviewed(self, dose: Tensor) -> Tensor:
        """The next dose, U a day `[B]`."""
        high = torch.stack(self._fasting).mean(0) > self.high
        raised = (dose + self.step).minimum(dose.maximum(self.most * self._weight))
        kept = torch.where(high, raised, dose)
        lowered = torch.where(self._lowest < VERY_LOW, 0.8, 0.9) * dose
        return torch.where(self._lowest < LOW, lowered, kept).round()

    def _prescribe(self, dose: Tensor) -> None:
        self.person.settings = torch.cat([dose.unsqueeze(1) / 24, self.person.settings[:, 1:]], 1)


def reviewed(settings: Tensor, reading: Tensor, announced: Tensor, bolus: Tensor) -> Tensor:
    """The settings `[B, 3]` (basal U/h, carb ratio g/U, correction factor mg/dL/U) after a visit that looks at whole days from
    midnight, `[T, B]` each: readings before each row mg/dL, g announced and U of boluses in it.

    Basal follows nights without meals or boluses: at most 130 mg/dL before breakfast (ADA Standards of Care, section 6), unless
    they fall there from far higher. Carb ratio follows lone meals that begin at 80-150 mg/dL: at most 30 mg/dL higher four hours
    later. Correction factor follows lone corrections: at most 150 mg/dL four hours later. Steps are 10 %, or 20 % where far off,
    and each change within `CAP`. Lows come first: what they follow twice is made weaker, and nothing stronger while more than
    4 % of readings are below 70 mg/dL or 1 % below 54; where nothing explains those, basal is made weaker. Basal is put right
    before the others are made stronger.
    """
    insulin = torch.stack([_basal(reading, announced, bolus), *_doses(reading, announced, bolus)], -1)
    insulin[:, 1:] = torch.where(insulin[:, :1] > 1, insulin[:, 1:].clamp(max=1), insulin[:, 1:])
    breach = ((reading < LOW).float().mean(0) > LOWS) | ((reading < VERY_LOW).float().mean(0) > VERY_LOWS)
    insulin = torch.where(breach.unsqueeze(-1), insulin.clamp(max=1), insulin)
    unexplained = breach & (insulin == 1).all(-1)
    insulin[:, 0] = torch.where(unexplained, 0.9, insulin[:, 0])
    change = torch.cat([insulin[:, :1], 1 / insulin[:, 1:]], -1).clamp(*CAP)
    return (settings * change).maximum(LOWEST).minimum(HIGHEST)


def _basal(reading: Tensor, announced: Tensor, bolus: Tensor) -> Tensor:
    """The factor on basal insulin, `[B]`."""
    level, eaten, dosed = (column.unflatten(0, (-1, ROWS)) for column in (reading, announced, bolus))
    quiet = (eaten[:, :72] + dosed[:, :72]).sum(1) == 0  # from midnight to six
    fasting, early = level[:, 60:72].mean(1), level[:, 12:24].mean(1)
    high = torch.where(fasting < early - 40, 0.0, fasting - 120)
    return _stronger(quiet, _lowest(level[:, 24:84].movedim(1, -1)), high, tolerance=10)


def _doses(reading: Tensor, announced: Tensor, bolus: Tensor) -> tuple[Tensor, Tensor]:
    """The factors on boluses for meals and for highs, `[B]` each."""
    rows = slice(BEFORE, len(reading) - AFTER)
    so_far = torch.cat([torch.zeros_like(announced[:1]), announced.cumsum(0)])  # before each row
    fasted = so_far[BEFORE:-1] == so_far[: -BEFORE - 1]
    alone = fasted[:-AFTER] & (so_far[BEFORE + AFTER + 1 :] == so_far[BEFORE + 1 : -AFTER]) & (bolus[rows] > 0)
    begins, after = reading[rows], reading[BEFORE:].unfold(0, AFTER + 1, 1)
    lowest, end = _lowest(after[..., 12:]), after[..., -6:].mean(-1)
    meal, level = announced[rows] > 0, (begins > 80) & (begins < 150)
    ratio = _stronger(alone & meal & level, lowest, end - begins, tolerance=30)
    factor = _stronger(alone & ~meal & (begins > 150), lowest, end - 120, tolerance=30)
    return ratio, factor


def _lowest(reading: Tensor) -> Tensor:
    """The lowest quarter of an hour of `[..., T]`, so that a single reading is not a low, `[...]`."""
    return reading.unfold(-1, 3, 1).amax(-1).amin(-1)


def _stronger(judged: Tensor, lowest: Tensor, high: Tensor, *, tolerance: float) -> Tensor:
    """The factor on insulin from occasions `[N, B]`: which count, how low each went, how much too high it ended; `[B]`."""
    count, low = judged.sum(0), (judged & (lowest < LOW)).sum(0)
    typical = torch.where(judged, high, torch.nan).nanmedian(0).values
    up = torch.where(typical > 3 * tolerance, 1.2, 1.1)
    down = torch.where((judged & (lowest < VERY_LOW)).any(0) | (2 * low > count), 0.8, 0.9)
    factor = torch.where((count >= FEWEST) & (low < 2) & (typical > tolerance), up, 1.0)
    return torch.where(low >= 2, down, factor)
