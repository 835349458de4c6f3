"""Bayesian dosing with the right class of equations: bodies drawn for each patient, weighed by each INR, and doses searched."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from careplan.therapies.warfarin.protocols import HIGH, LOW
from cohorts.warfarin.people import People
from cohorts.warfarin.trial import Body, Clinic, Order

VISITS = (0, 2, 4, 7, 10, 14, 21, 28, 42, 56, 70, 80)
WEEKS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.35, 1.5, 1.75, 2.0, 2.5)  # of the last daily dose
MIDDLE, HALF = 0.5 * math.log(LOW * HIGH), 0.5 * math.log(HIGH / LOW)  # of the range, on the INR's logarithm
LEADS = (0.0, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)  # of the daily dose, until the next INR


@dataclass(eq=False)
class Bayes:
    """draw: bodies of people under a seed. particles: of each patient, of which the `planned` likeliest plan. noise: SD of the
    logarithm of an INR beside what the equations say. ahead: days looked at beyond the next INR."""

    draw: Callable[[People, int], Body]
    particles: int = 300
    planned: int = 48
    noise: float = 0.06
    ahead: int = 10
    _body: Body | None = field(default=None, init=False)
    _state: Tensor = field(default_factory=lambda: torch.zeros(0), init=False)
    _weight: Tensor = field(default_factory=lambda: torch.zeros(0), init=False)
    _now: int = field(default=0, init=False)

    def __call__(self, day: int, rows: Sequence[int], clinic: Clinic) -> list[Order]:
        count, each = len(clinic.people), self.particles
        if self._body is None:
            self._body = self.draw(clinic.people.some([row for row in range(count) for _ in range(each)]), 9)
            self._state, self._weight = self._body.start(), torch.zeros(count, each)
        while self._now < day:
            self._state = self._body.day(self._state, clinic.given[:, self._now].repeat_interleave(each))
            self._now += 1
        here = torch.tensor(rows)
        if day:
            said = self._body.inr(self._state).unflatten(0, (count, each))[here]
            truth = torch.tensor([clinic.seen[row][-1][1] for row in rows])
            miss = (said.log() - truth.log().unsqueeze(1)) / self.noise
            self._weight[here] += -0.5 * (miss.clamp(-6, 6) ** 2)
        best = self._weight[here].topk(min(self.planned, each)) if day else None
        chosen = torch.arange(min(self.planned, each)).expand(len(rows), -1) if best is None else best.indices
        weight = torch.softmax(torch.zeros(chosen.shape) if best is None else best.values, 1)
        index = (here.unsqueeze(1) * each + chosen).flatten()
        until = next((visit - day for visit in VISITS if visit > day), 14)
        last = torch.tensor([clinic.orders[row][-1][1].week[0] if clinic.orders[row] else 5.0 for row in rows]).clamp(min=0.5)
        search = _Search(self._body, self._state[index], index, weight)
        week = search.best(last.unsqueeze(1) * torch.tensor(WEEKS), 21, None)
        lead = search.best(week.unsqueeze(1) * torch.tensor(LEADS), until + self.ahead, (until, week))
        return [Order((float(a),) * until, (float(b),), until) for a, b in zip(lead, week, strict=True)]


@dataclass(frozen=True, eq=False)
class _Search:
    """Compares doses for R patients with P bodies each: states and places of the bodies `[R P]`, their weight `[R, P]`."""

    body: Body
    state: Tensor
    index: Tensor
    weight: Tensor

    def best(self, doses: Tensor, days: int, then: tuple[int, Tensor] | None) -> Tensor:
        """Daily doses `[R, G]` -> the one with most expected time in range, `[R]`.

        then: from which day on another dose `[R]` is given; without it only the last week counts.
        """
        people, options = doses.shape
        bodies, doses = self.weight.shape[1], doses.clamp(0.0, 15.0)
        state = self.state.unflatten(0, (people, 1, bodies)).expand(-1, options, -1, -1).flatten(0, 2)
        which = self.index.unflatten(0, (people, 1, bodies)).expand(-1, options, -1).flatten()
        body, lost = self.body.some(which), torch.zeros(people, options)
        for day in range(days):
            dose = doses if then is None or day < then[0] else then[1].unsqueeze(1).expand_as(doses)
            state = body.day(state, dose.repeat_interleave(bodies, 1).flatten())
            inr = body.inr(state).unflatten(0, (people, options, bodies))
            away = (inr.log() - MIDDLE).abs()
            cost = torch.sigmoid((away - HALF) / 0.03) + away**2
            if then is not None or day >= days - 7:
                lost += (cost * self.weight.unsqueeze(1)).sum(2)
        place = lost.argmin(1, keepdim=True)
        return doses.gather(1, place).squeeze(1)
