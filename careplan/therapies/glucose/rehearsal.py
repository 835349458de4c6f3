"""What if the settings were these: any regimen lived on the patient's own recent days, as a person moves its lines."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from careplan.breach import Breach
from careplan.planning.safety import RegimenLine, guard_line
from careplan.practice import Rehearsed
from careplan.recording import Recording
from careplan.suggestion import Line
from careplan.targets import Targets
from careplan.therapies.glucose.aims import therapy_for
from careplan.therapies.glucose.bands import ADULTS
from careplan.therapies.glucose.days import Days, recent_days
from careplan.therapies.glucose.declaration import Regimen
from careplan.therapies.glucose.lines import as_line, regimen_lines
from careplan.therapies.glucose.outcomes import time_by_outcome
from careplan.therapies.glucose.regimen_search import drawn, option_of
from careplan.world.loaded import World, reasons_to_abstain
from careplan.world.personalise import Personalisation


@dataclass(frozen=True, eq=False)
class Rehearsal:
    """The patient's days, ready to be lived under other settings. lines: every setting in force that is above 0, as it is now."""

    days: Days
    regimen: Regimen
    guarded: tuple[RegimenLine, ...]
    lines: tuple[Line, ...]
    seed: int
    targets: Targets = ADULTS

    def __call__(self, named: Mapping[str, Mapping[str, float]]) -> dict[str, Rehearsed]:
        """Each regimen by name, given as the lines that it changes: the typical day, outcomes with 90 % intervals over particles
        and days, and the rules that it breaks; the same days and particles are drawn under all."""
        multipliers = torch.tensor(
            [[_times(line, values.get(line.key, line.current)) for line in self.guarded] for values in named.values()]
        )
        levels = self.days.replay(multipliers).cpu()  # [N, P, D, H]
        draws = time_by_outcome(drawn(levels, self.seed), self.targets)
        return {
            name: Rehearsed(option_of(place, name, levels[place], draws), self._broken(values, levels[place]))
            for place, (name, values) in enumerate(named.items())
        }

    def _broken(self, values: Mapping[str, float], levels: torch.Tensor) -> tuple[Breach, ...]:
        """What the guard has against the values, and the budgets for lows that are predicted to be spent beyond."""
        found = []
        for line in self.guarded:
            if line.key in values:
                verdict = guard_line(line, values[line.key])
                found += [*verdict.breaches, *verdict.advice]
        over = [cost.name for cost in therapy_for(self.targets).costs if float(cost.rate(levels).mean()) > cost.budget]
        return (*found, *(Breach(f"budget {name}") for name in over))


def rehearse(world: World, recording: Recording, person: Personalisation, *, seed: int = 0) -> Rehearsal | tuple[str, ...]:
    """One patient's rehearsal, or why there is none."""
    series, regimen = recording.series, recording.regimen
    reasons: list[Any] = list(reasons_to_abstain(world, series, person))
    if regimen is None:
        reasons.append("no regimen is prescribed and none can be told from the recording")
    days = None if reasons or regimen is None else recent_days(world.model, series, person, regimen, seed=seed)
    if days is None or regimen is None:
        return tuple(map(str, reasons)) or ("no recent day has 70 % of its readings",)
    targets = recording.targets or ADULTS
    guarded = tuple(regimen_lines(series, regimen, days, targets))
    lines = tuple(as_line(line, line.current, regimen) for line in guarded if line.current > 0)
    return Rehearsal(days, regimen, guarded, lines, seed, targets)


def _times(line: RegimenLine, value: float) -> float:
    return value / line.current if line.current > 0 else 1.0
