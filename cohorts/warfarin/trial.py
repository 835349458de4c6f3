"""A virtual clinic: people come when asked to, an INR is measured, somebody decides, and the days until then are lived."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from careplan.therapies.warfarin.protocols import HIGH, LOW
from cohorts.warfarin.life import Lived
from cohorts.warfarin.people import People

MOST = 15.0  # mg a day: nobody is given more
CEILING = 12.0  # a laboratory reports no INR above it


class Body(Protocol):
    """Bodies of B people: what a day with a dose does to their states."""

    def start(self) -> Tensor: ...

    def day(self, state: Tensor, dose: Tensor, clears: Tensor | None = None, supply: Tensor | None = None) -> Tensor: ...

    def inr(self, state: Tensor) -> Tensor: ...

    def some(self, rows: Tensor) -> "Body": ...

    def __len__(self) -> int: ...


@dataclass(frozen=True)
class Order:
    """What is prescribed at a visit: `lead`, mg on each of the next days, then `week` again and again; `days` to the next INR."""

    lead: tuple[float, ...]
    week: tuple[float, ...]
    days: int


@dataclass(eq=False)
class Clinic:
    """What a clinic knows: people; seen, by person the days and values of INRs; given `[B, D]` mg a day as prescribed,
    without the tablets that people say they left out; inhibitor, inducer `[B, D]` the drugs it was told of."""

    people: People
    given: Tensor
    inhibitor: Tensor
    inducer: Tensor
    seen: list[list[tuple[int, float]]] = field(default_factory=list)
    orders: list[list[tuple[int, Order]]] = field(default_factory=list)


class Policy(Protocol):
    """Decides for the people at `rows` who are here on `day`."""

    def __call__(self, day: int, rows: Sequence[int], clinic: Clinic) -> list[Order]: ...


@dataclass(frozen=True, eq=False)
class Trial:
    """inr `[B, D + 1]`: the true one at the start of each day; tests `[B]`: INRs measured in `D` days; given, taken `[B, D]` mg
    as prescribed and as swallowed. clinic: what was known at the end."""

    inr: Tensor
    tests: Tensor
    given: Tensor
    taken: Tensor
    clinic: Clinic

    def share(self, low: float = LOW, high: float = HIGH, first: int = 1, last: int = 90) -> Tensor:
        """% of days `first` to `last` with an INR from low to high, both included, `[B]`."""
        level = self.inr[:, first : last + 1]
        return 100.0 * ((level >= low) & (level <= high)).float().mean(1)

    def above(self, level: float, first: int = 1, last: int = 90) -> Tensor:
        """% of days with an INR above a level, `[B]`."""
        return 100.0 * (self.inr[:, first : last + 1] > level).float().mean(1)

    def below(self, level: float, first: int = 1, last: int = 90) -> Tensor:
        """% of days with an INR below a level, `[B]`."""
        return 100.0 * (self.inr[:, first : last + 1] < level).float().mean(1)


@torch.no_grad()
def run(people: People, body: Body, lived: Lived, policy: Policy, *, days: int = 90) -> Trial:
    """Everybody from the first tablet on; the first visit is before it, and its INR is one of the tests."""
    count = len(people)
    given, taken = torch.zeros(count, days), torch.zeros(count, days)
    clinic = Clinic(people, given, lived.inhibitor, lived.inducer, [[] for _ in range(count)], [[] for _ in range(count)])
    state, due, inr = body.start(), torch.zeros(count, dtype=torch.long), torch.ones(count, days + 1)
    plan = torch.zeros(count, days)
    for day in range(days):
        inr[:, day] = body.inr(state)
        rows = torch.nonzero(due == day).flatten().tolist()
        for row in rows:
            measured = float(inr[row, day] * lived.noise[row, day])
            clinic.seen[row].append((day, round(min(CEILING, max(0.8, measured)), 2)))
        if rows:
            for row, order in zip(rows, policy(day, rows, clinic), strict=True):
                doses = [*order.lead[: days - day], *order.week * (1 + days // len(order.week))][: days - day]
                plan[row, day:] = torch.tensor(doses).clamp(0.0, MOST)
                clinic.orders[row].append((day, order))
                after = day + max(1, order.days)
                due[row] = after + int(lived.late[row, after]) if after < days else days + 1
        given[:, day] = plan[:, day] * lived.reported[:, day]
        taken[:, day] = plan[:, day] * lived.taken[:, day]
        state = body.day(state, taken[:, day], lived.clears[:, day], lived.supply[:, day])
    inr[:, days] = body.inr(state)
    return Trial(inr, torch.tensor([len(seen) for seen in clinic.seen]), given, taken, clinic)
