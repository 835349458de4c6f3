"""careplan as a policy of the virtual clinic: each patient personalised on what the clinic knows, then searched, all at once."""

from collections.abc import Sequence
from dataclasses import dataclass

from careplan.therapies.warfarin.courses import PARTICLES, courses_of
from careplan.therapies.warfarin.protocols import iwpc_clinical, iwpc_pharmacogenetic
from careplan.therapies.warfarin.regimen import STRENGTHS, increment, week_of
from careplan.therapies.warfarin.search import Asked, search
from careplan.world.model import WorldModel
from careplan.world.personalise import personalise
from cohorts.warfarin.corpus import series_of
from cohorts.warfarin.trial import Clinic, Order


@dataclass(frozen=True, eq=False)
class Planned:
    """typed: whether the genotype is known. What is proposed is what is given."""

    model: WorldModel
    typed: bool = True
    particles: int = PARTICLES
    strengths: tuple[float, ...] = STRENGTHS

    def __call__(self, day: int, rows: Sequence[int], clinic: Clinic) -> list[Order]:
        recordings = [series_of(clinic, row, name=str(row), days=day, typed=self.typed) for row in rows]
        people = personalise(self.model, recordings)
        courses = courses_of(self.model, recordings, people, particles=self.particles, seed=day)
        found = search(courses, [self._asked(day, row, clinic) for row in rows])
        return [
            Order((0.0,) * hold, self._week(weekly, day + hold), due)
            for weekly, hold, due in zip(found.weekly, found.hold, found.due, strict=True)
        ]

    def _asked(self, day: int, row: int, clinic: Clinic) -> Asked:
        half, orders = increment(self.strengths), clinic.orders[row]
        equation = iwpc_pharmacogenetic if self.typed else iwpc_clinical
        weekly = sum(orders[-1][1].week) if orders else equation(clinic.people.known[row])
        return Asked(
            weekly=max(half, half * round(weekly / half)),
            days=day,
            last=clinic.seen[row][-1][1],
            strengths=self.strengths,
            begun=bool(orders),
        )

    def _week(self, weekly: float, first: int) -> tuple[float, ...]:
        """The evenings from a day of the course on, which begins on a Monday."""
        week = week_of(weekly, self.strengths)
        return week[first % 7 :] + week[: first % 7]
