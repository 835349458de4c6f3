"""How virtual people are treated. A policy sees what they see, and doses; all batched."""

from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from cohorts.population import Population


@dataclass(frozen=True, eq=False)
class Seen:
    """What is known at one row: reading mg/dL (the last shown), g announced, U on board, minutes since the last bolus,
    `[B]` each."""

    row: int
    reading: Tensor
    announced: Tensor
    on_board: Tensor
    since_bolus: Tensor


@dataclass(frozen=True, eq=False)
class Doses:
    """Basal U/h, bolus U, and carbohydrate eaten because of a low, g, `[B]` each."""

    basal: Tensor
    bolus: Tensor
    rescue: Tensor


class Policy(Protocol):
    """Decides every five minutes."""

    name: str

    def begin(self, people: Population, rows: int, generator: torch.Generator) -> None:
        """Draw what the policy needs for a replay."""
        ...

    def decide(self, seen: Seen) -> Doses:
        """The doses of this row."""
        ...


@dataclass
class Behaviour:
    """Basal-bolus as people live it, with the settings prescribed to them: confounded by what they see and feel.

    They bolus for announced meals, some late, some never; correct highs when they notice; eat when low; a pump suspends below
    75 mg/dL. explore: spread of the logarithm of random changes to basal (six hours at a time) and to each bolus, for the
    share `explorers` of people.
    """

    name: str = "behaviour"
    late: float = 0.15
    missed: float = 0.04
    notice: float = 0.03  # chance of noticing a high, a row
    rescue: float = 0.25  # chance of treating a low, a row
    explore: float = 0.0
    explorers: float = 0.5
    target: float = 120.0
    _draws: dict[str, Tensor] = field(default_factory=dict, repr=False)

    def begin(self, people: Population, rows: int, generator: torch.Generator) -> None:
        count = len(people)

        def chance() -> Tensor:
            return torch.rand(count, rows, generator=generator)

        basal, ratio, factor = people.settings.unbind(-1)
        bold = self.explore * (torch.rand(count, 1, generator=generator) < self.explorers)
        swing = torch.exp(bold * torch.randn(count, rows // 72 + 1, generator=generator))
        self._draws = {
            "basal": basal.unsqueeze(1) * swing.repeat_interleave(72, 1)[:, :rows],
            "late": chance() < self.late,
            "missed": chance() < self.missed,
            "notice": chance() < self.notice,
            "rescue": (chance() < self.rescue) * (8 + 10 * chance()),
            "size": torch.exp((0.08 + bold) * torch.randn(count, rows, generator=generator)),
            "ratio": ratio,
            "factor": factor,
            "waiting": torch.zeros(count),
        }

    def decide(self, seen: Seen) -> Doses:
        draws, row = self._draws, seen.row
        waiting = draws["waiting"]  # g not bolused for yet: a late bolus comes at the next half hour
        due = waiting * float(row % 6 == 0)
        late = draws["late"][:, row] & (seen.announced > 0)
        draws["waiting"] = torch.where(late, seen.announced, waiting - due)
        meal = torch.where(late, 0.0, seen.announced) + due
        high = (seen.reading > 200) & draws["notice"][:, row] & (seen.since_bolus > 90)
        correction = ((seen.reading - self.target) / draws["factor"] - seen.on_board).clamp(min=-5)
        correction = torch.where((seen.reading > 150) | (seen.reading < 80), correction, 0.0)
        bolus = torch.where((meal > 0) | high, meal / draws["ratio"] + correction, 0.0).clamp(0.0, 25.0)
        bolus = bolus * draws["size"][:, row] * ~draws["missed"][:, row]
        basal = torch.where(seen.reading < 75, 0.0, draws["basal"][:, row])
        rescue = torch.where(seen.reading < 65, draws["rescue"][:, row], 0.0)
        return Doses((basal * 40).round() / 40, (bolus * 20).round() / 20, rescue.round())
