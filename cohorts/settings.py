"""The settings that suit a body, found by experiment on it."""

import torch
from torch import Tensor

from cohorts.bodies import Body, Equations, advance, resting
from cohorts.physiology import Secreting

WATCHED = 72  # rows after a dose
SECRETING_WATCHED = 120  # with type 2, whose meals are absorbed more slowly and whose insulin acts for longer


def _needed(who: Equations, body: Body, basal: Tensor, lowest: Tensor, carbs: Tensor, doses: Tensor) -> Tensor:
    """The bolus `[B]` that takes people from `body`, and a meal, down to `lowest` mg/dL, between rising `doses` `[B, K]`."""
    tried = doses.shape[1]
    everyone = torch.arange(len(basal)).repeat_interleave(tried)
    people, now = who[everyone], Body(*(part[everyone] for part in vars(body).values()))
    reached = now.glucose(people)
    for row in range(SECRETING_WATCHED if isinstance(who, Secreting) else WATCHED):
        first = float(row == 0)
        now = advance(people, now, resting(carbs[everyone] * first, basal[everyone] / 12 + doses.flatten() * first))
        reached = now.glucose(people) if row == 5 else torch.minimum(reached, now.glucose(people))  # not the level it began at
    above = (reached - lowest[everyone]).view(-1, tried)  # falls with the dose
    upper = (above > 0).sum(1, keepdim=True).clamp(1, tried - 1)
    low, high = above.gather(1, upper - 1), above.gather(1, upper)
    share = (low / (low - high).clamp(min=1e-6)).clamp(0, 1)
    return doses.gather(1, upper - 1).lerp(doses.gather(1, upper), share).squeeze(1)


def settings_that_suit(who: Equations, body: Body, basal: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
    """Carb ratio, of a meal of 0.6 g/kg, and correction factor, from 100 mg/dL above fasting: as strong as leaves them no lower
    than 15 mg/dL below fasting in the six hours after; with type 2 in ten.
    """
    meal, excess, lowest = 0.6 * who.weight, 100.0, level - 15
    ratio = meal / _needed(who, body, basal, lowest, meal, meal.unsqueeze(1) / torch.logspace(1.9, 0.3, 12))
    high = who.scaled(body, 1 + excess / level)
    doses = excess / torch.logspace(2.6, 0.7, 12).expand(len(level), -1)
    return ratio, excess / _needed(who, high, basal, lowest, 0 * meal, doses)


def duration(who: Equations, body: Body, basal: Tensor) -> Tensor:
    """Hours until 90 % of a bolus has acted, `[B]`."""
    actions, before = [], who.acting(body.amounts)
    for row in range(96):
        body = advance(who, body, resting(0 * basal, basal / 12 + basal * float(row == 0)))
        actions.append(who.acting(body.amounts) - before)
    course = torch.stack(actions)
    return (course.cumsum(0) / course.sum(0) < 0.9).sum(0) / 12.0
