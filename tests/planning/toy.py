"""A small glucose body to plan for: insulin in two compartments, and a meal."""

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from careplan.planning.actions import carried, dose_table, remaining
from careplan.planning.planner import DosePlans, DoseQuestion, DoseSearch, plan_doses
from careplan.planning.safety import DoseContext
from careplan.therapies.glucose.declaration import GLUCOSE, LIMITS, RAPID
from careplan.therapy import Limits

INTERVAL, GRID, DECISIONS = 30.0, 5.0, 8
STEPS = int(INTERVAL / GRID)


@dataclass(frozen=True)
class Body:
    """A body's state is [level, depot, blood, clock, effect].

    baseline `[B]` U/h keeps the level where it is; a meal raises it by `meal` `[B]` mg/dL in all, from minute 10 to 100.
    """

    baseline: Tensor
    meal: Tensor

    def step(self, state: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        level, depot, blood, clock, effect = state.unbind(-1)
        impulse, multiple = (part.unsqueeze(-1) for part in action.unbind(-1))
        standing, meal = self.baseline[:, None, None] / 60.0, self.meal[:, None, None] / 90.0
        depot = depot + impulse
        levels = []
        for _ in range(STEPS):
            depot = depot + GRID * (multiple - 1.0) * standing
            absorbed, acting = GRID * depot / 45.0, GRID * blood / 45.0
            depot, blood = depot - absorbed, blood + absorbed - acting
            eating = ((clock >= 10.0) & (clock < 100.0)).to(level.dtype)
            level = level - effect * acting + GRID * meal * eating
            clock = clock + GRID
            levels.append(level)
        return torch.stack([level, depot, blood, clock, effect], -1), torch.stack(levels, -1)


def bodies(levels: list[float], *, meal: float = 0.0, particles: int = 6, effect: float = 40.0) -> tuple[Body, Tensor]:
    """One body for each starting level; particles differ in what a unit does by +-30 %."""
    batch = len(levels)
    level = torch.tensor(levels).unsqueeze(1).expand(-1, particles)
    zero = torch.zeros_like(level)
    spread = effect * torch.linspace(0.7, 1.3, particles).expand(batch, -1)
    return Body(torch.ones(batch), torch.full((batch,), meal)), torch.stack([level, zero, zero, zero, spread], -1)


def context(levels: list[float], *, history: float = 0.0, **changes: Any) -> DoseContext:
    """What is known of them: `history` U given in the last five minutes, a baseline of 1 U/h."""
    batch = len(levels)
    given = torch.zeros(batch, 72)
    given[:, -1] = history
    known = DoseContext(
        level=torch.tensor(levels),
        level_age=torch.full((batch,), 3.0),
        baseline=torch.ones(batch, DECISIONS),
        on_board=carried(given, RAPID, step=5.0, interval=INTERVAL, decisions=DECISIONS),
        since_last=torch.full((batch,), math.inf),
        remaining=remaining(torch.arange(DECISIONS) * INTERVAL, RAPID),
    )
    return replace(known, **changes)


def table(batch: int, *, daily: float = 40.0, increment: float = 0.05, pump: bool = True) -> tuple[Tensor, Tensor]:
    return dose_table(torch.full((batch,), daily), torch.full((batch,), increment), torch.full((batch,), pump))


def plan(
    levels: list[float], *, meal: float = 0.0, limits: Limits | None = None, known: DoseContext | None = None, **settings: Any
) -> DosePlans:
    """Plan for bodies at these levels."""
    model, state = bodies(levels, meal=meal)
    model = settings.pop("model", model)
    candidates, exists = settings.pop("candidates", table(len(levels)))
    asked = DoseQuestion(
        state=state,
        therapy=GLUCOSE,
        limits=[limits or LIMITS["adult"]] * len(levels),
        context=known or context(levels),
        candidates=candidates,
        exists=exists,
        **{name: settings.pop(name) for name in ("budget", "margin") if name in settings},
    )
    return plan_doses(model, asked, DoseSearch(**settings))
