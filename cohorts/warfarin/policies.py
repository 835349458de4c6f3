"""How people on warfarin are treated elsewhere: a fixed dose, protocols' tables, and equations that start a patient."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from careplan.therapies.warfarin.covariates import Covariates
from careplan.therapies.warfarin.protocols import (
    HIGH,
    LOW,
    Table,
    aurora,
    intermountain,
    iwpc_clinical,
    iwpc_pharmacogenetic,
)
from cohorts.warfarin.trial import Clinic, Order, Policy

Start = Callable[[Covariates], float]  # mg a day of the first two days


@dataclass(frozen=True)
class Fixed:
    """The same tablet every day; an INR every week."""

    mg: float = 5.0
    every: int = 7

    def __call__(self, day: int, rows: Sequence[int], clinic: Clinic) -> list[Order]:
        return [Order((), (self.mg,), self.every) for _ in rows]


@dataclass(frozen=True)
class Protocol:
    """Two days by `start`, an INR on days 2 and 4, then `table`.

    The first table's dose on day 2 is Aurora's (5 mg once the INR is 2 or more). Aurora stops above 5 until the INR is back at 3,
    looking every other day, and looks again two days after it left out two doses.
    """

    start: Start
    table: str = "aurora"

    def __call__(self, day: int, rows: Sequence[int], clinic: Clinic) -> list[Order]:
        return [self._decide(day, row, clinic) for row in rows]

    def _decide(self, day: int, row: int, clinic: Clinic) -> Order:
        seen, orders = clinic.seen[row], clinic.orders[row]
        inr = seen[-1][1]
        if not orders:
            return Order((), (min(15.0, self.start(clinic.people.known[row])),), 2)
        last, waiting = orders[-1][1], orders[-1][1].week[0]
        daily = waiting
        if len(orders) == 1:
            return Order((), (5.0 if inr >= LOW else daily * aurora(inr).factor,), 2)
        if self.table == "intermountain":
            said = intermountain(inr, seen[-2][1])
            lead = (said.first * daily,) * said.hold
            return Order(lead, (said.factor * daily,), said.days + (1 if 0 < said.hold < 2 else 0))
        if last.lead:  # doses were left out until today
            if (inr > HIGH and seen[-2][1] > 5.0) or inr > 5.0:
                return Order((0.0, 0.0), (daily,), 2)
            return Order((), (daily,), 7)
        said = aurora(inr, self._stable(day, row, clinic))
        return self._order(said, daily)

    @staticmethod
    def _order(said: Table, daily: float) -> Order:
        return Order((0.0,) * said.hold, (said.factor * daily,), said.days)

    @staticmethod
    def _stable(day: int, row: int, clinic: Clinic) -> int:
        """Days in range on an unchanged dose, as Aurora counts them: 1 for the first INR in range."""
        seen, orders = clinic.seen[row], clinic.orders[row]
        since = day
        for (when, order), (_, before), (earlier, inr) in zip(orders[::-1], orders[-2::-1], seen[-2::-1], strict=False):
            if not (LOW <= inr <= HIGH and order.week == before.week and not order.lead):
                break
            since = earlier if earlier <= when else since
        return max(1, day - since)


def by_age(known: Covariates) -> float:
    """Aurora's first two days: 10 mg below 65 years, 5 mg from then on."""
    return 10.0 if known.age < 65 else 5.0


def clinical(known: Covariates) -> float:
    return iwpc_clinical(known) / 7


def pharmacogenetic(known: Covariates) -> float:
    return iwpc_pharmacogenetic(known) / 7


PROTOCOLS: dict[str, Policy] = {
    "fixed": Fixed(),
    "aurora": Protocol(by_age),
    "iwpc_clinical_aurora": Protocol(clinical),
    "iwpc_pharmacogenetic_aurora": Protocol(pharmacogenetic),
    "iwpc_pharmacogenetic_intermountain": Protocol(pharmacogenetic, "intermountain"),
}
