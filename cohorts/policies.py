"""How virtual people are treated. A policy sees what they see, and doses; all batched."""

import math
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from cohorts.bodies import Body
from cohorts.population import LONG_ACTING_AT, Population
from cohorts.scenarios import ROWS, Scenario

NIGHT = 72  # rows after midnight while people sleep
SUSPENDS = 75.0  # mg/dL below which a pump stops by itself


@dataclass(frozen=True, eq=False)
class Seen:
    """What is known at one row, counted from midnight of the first day.

    reading mg/dL (the last shown), g announced, U of boluses on board, minutes since the last bolus, `[B]` each.
    """

    row: int
    reading: Tensor
    announced: Tensor
    on_board: Tensor
    since_bolus: Tensor


@dataclass(frozen=True, eq=False)
class Doses:
    """Basal U/h, bolus U, long-acting U, and carbohydrate eaten because of a low, g, `[B]` each."""

    basal: Tensor
    bolus: Tensor
    long_acting: Tensor
    rescue: Tensor


@dataclass(frozen=True, eq=False)
class Truth:
    """What nobody can know: everyone's body now, and their whole lives, past and to come."""

    body: Body
    scenario: Scenario


class Policy(Protocol):
    """Decides every five minutes."""

    name: str

    def begin(self, people: Population, rows: int, generator: torch.Generator) -> None:
        """Draw what the policy needs for a replay."""
        ...

    def decide(self, seen: Seen) -> Doses:
        """The doses of this row."""
        ...


@runtime_checkable
class Omniscient(Protocol):
    """A policy that learns the truth before it decides each row."""

    def learn(self, truth: Truth) -> None:
        """Called before each `decide`."""
        ...


def refuse(policy: Policy, *, shares: tuple[str, ...] = (), above: tuple[str, ...] = ()) -> None:
    """Raises ValueError for a parameter that is negative, not finite, a share above 1, or 0 where `above` names it."""
    for name, value in vars(policy).items():
        if not isinstance(value, float | int):
            continue
        if not 0 <= value < math.inf or (name in shares and value > 1) or (name in above and value == 0):
            bounds = "from 0 to 1" if name in shares else "above 0" if name in above else "0 or more"
            raise ValueError(f"{policy.name}: {name} is {value}, expected a finite number, {bounds}")


@dataclass
class Behaviour:
    """Basal-bolus as people live it, with the settings prescribed to them: confounded by what they see and feel.

    They bolus for announced meals, some late, some never, less when low; correct highs when they notice; eat when low. A pump
    suspends below 75 mg/dL. People on pens have no basal rate but one long-acting dose a day, sometimes forgotten. Doses are
    rounded where they are delivered (`Life.rounding`). explore: spread of the logarithm of random changes to basal (six hours at
    a time; the long-acting dose) and to each bolus, for the share `explorers` of people. settings `[B, 3]`: basal, carb
    ratio and correction factor, those in force when the replay begins; who reviews a therapy may change them.
    """

    name: str = "behaviour"
    late: float = 0.25
    missed: float = 0.08
    forgotten: float = 0.02  # long-acting doses
    notice: float = 0.03  # chance of noticing a high, a row; a third at night, three times that above 300
    rescue: float = 0.35  # chance of treating a low, a row; half at night
    size: float = 0.1  # spread of the logarithm of what is dosed about what was meant
    explore: float = 0.0
    explorers: float = 0.5
    target: float = 120.0
    settings: Tensor = field(init=False, repr=False)
    _draws: dict[str, Tensor] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        refuse(self, shares=("late", "missed", "forgotten", "notice", "rescue", "explorers"), above=("target",))

    @classmethod
    def as_set(cls) -> "Behaviour":
        """Basal-bolus to the letter: nothing late, missed, forgotten or unnoticed at night or by day, no random doses."""
        return cls(name="basal-bolus", late=0.0, missed=0.0, forgotten=0.0, size=0.0)

    @classmethod
    def basal_only(cls) -> "Behaviour":
        """The long-acting dose, never forgotten, and no boluses at all: type 2 on basal insulin."""
        return cls(name="basal-only", late=0.0, missed=1.0, forgotten=0.0, size=0.0)

    @classmethod
    def without(cls) -> "Behaviour":
        """No insulin at all, for people on pens who still make some."""
        return cls(name="no-insulin", late=0.0, missed=1.0, forgotten=1.0, size=0.0)

    def begin(self, people: Population, rows: int, generator: torch.Generator) -> None:
        count = len(people)

        def chance() -> Tensor:
            return torch.rand(rows, count, generator=generator)

        self.settings = people.settings
        bold = self.explore * (torch.rand(count, generator=generator) < self.explorers)
        swing = torch.exp(bold * torch.randn(rows // 72 + 1, count, generator=generator)).repeat_interleave(72, 0)[:rows]
        awake = torch.where(torch.arange(rows) % ROWS < NIGHT, 0.0, 1.0).unsqueeze(1)
        pens = people.pens.float()
        scale = (people.physiology.weight / 75).clamp(max=1.0)
        self._draws = {
            "swing": swing,
            "pens": pens,
            "taken": pens * (chance() >= self.forgotten),
            "late": chance() < self.late,
            "missed": chance() < self.missed,
            "notice": chance() / (1 + 2 * awake) * 3,
            "rescue": (chance() < self.rescue * (1 + awake) / 2) * (8 + 10 * chance()) * scale,
            "size": torch.exp((self.size + bold) * torch.randn(rows, count, generator=generator)),
            "waiting": torch.zeros(count),
        }

    def decide(self, seen: Seen) -> Doses:
        draws, row = self._draws, seen.row
        set_basal, ratio, factor = self.settings.unbind(-1)
        waiting = draws["waiting"]  # g not bolused for yet: a late bolus comes at the next half hour
        due = waiting if row % 6 == 0 else torch.zeros_like(waiting)
        postponed = seen.announced * draws["late"][row]
        draws["waiting"] = waiting - due + postponed
        meal = seen.announced - postponed + due
        notices = draws["notice"][row] < torch.where(seen.reading > 300, 3 * self.notice, self.notice)
        high = (seen.reading > 200) & notices & (seen.since_bolus > 90)
        correction = ((seen.reading - self.target) / factor - seen.on_board).clamp(min=-5)
        correction = torch.where((seen.reading > 150) | (seen.reading < 80), correction, 0.0)
        meant = torch.where((meal > 0) | high, meal / ratio + correction, 0.0)
        bolus = (meant * draws["size"][row] * ~draws["missed"][row]).clamp(0.0, 25.0)
        swung = set_basal * draws["swing"][row]
        basal = torch.where(seen.reading < SUSPENDS, 0.0, swung * (1 - draws["pens"]))
        rescue = torch.where(seen.reading < 65, draws["rescue"][row], 0.0)
        evening = row % ROWS == LONG_ACTING_AT // 5
        long_acting = (24 * swung).round() * draws["taken"][row] if evening else torch.zeros_like(basal)
        return Doses(basal, bolus, long_acting, rescue.round())


BasalBolus = Behaviour.as_set  # `BasalBolus()`: basal-bolus to the letter


def deliverable(rate: Tensor) -> Tensor:
    """A rate as pumps give it, in steps of 0.025 U/h, `[B]`."""
    return (rate * 40).round() / 40
