"""What a tenth more would do: the truth from the bodies, and the world model's answer after three INRs."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from careplan.therapies.warfarin.courses import courses_of
from careplan.therapies.warfarin.protocols import iwpc_pharmacogenetic
from careplan.world.model import WorldModel
from careplan.world.personalise import personalise
from cohorts.warfarin.corpus import series_of
from cohorts.warfarin.life import Lived
from cohorts.warfarin.people import People
from cohorts.warfarin.trial import MOST, Body, Clinic, Order, run

LOOKS = (0, 4, 8)  # days of the three INRs
AFTER = (7, 14)  # days after the change
MORE = 1.1


@dataclass(frozen=True)
class _Equation:
    """The dose that an equation says, unchanged; INRs on `LOOKS`."""

    def __call__(self, day: int, rows: Sequence[int], clinic: Clinic) -> list[Order]:
        gap = next((look - day for look in LOOKS if look > day), 30)
        return [Order((), (min(MOST / MORE, iwpc_pharmacogenetic(clinic.people.known[row]) / 7),), gap) for row in rows]


def effects(model: WorldModel, people: People, body: Body, lived: Lived) -> tuple[Tensor, Tensor]:
    """By how much a tenth more of the weekly dose raises the INR after `AFTER` days: truly, and as predicted, `[B, 2]` each.

    People take what the IWPC's equation says; the dose is changed, or not, after the third INR. What is predicted is the
    particles' median, as on pages: the tails of a Gaussian over codes are longer than those of bodies.
    """
    trial = run(people, body, lived, _Equation(), days=LOOKS[-1] + AFTER[-1])
    here, ahead = LOOKS[-1], AFTER[-1]
    usual = trial.given[:, :1].expand(-1, ahead)
    true = []
    for factor in (1.0, MORE):
        state = body.start()
        for day in range(here + ahead):
            dose = trial.taken[:, day] * (factor if day >= here else 1.0)
            state = body.day(state, dose, lived.clears[:, day], lived.supply[:, day])
            if day + 1 - here in AFTER:
                true.append(body.inr(state))
    recordings = [series_of(trial.clinic, row, name=str(row), days=here) for row in range(len(people))]
    levels = courses_of(model, recordings, personalise(model, recordings)).levels(torch.stack([usual, MORE * usual], 1))
    predicted = (levels[:, 1] - levels[:, 0]).median(1).values[:, [day - 1 for day in AFTER]]
    plain, more = torch.stack(true[:2], 1), torch.stack(true[2:], 1)
    return more - plain, predicted


def error(true: Tensor, predicted: Tensor) -> Tensor:
    """Root mean square missed over root mean square true, of effects `[B, N]`, `[N]`."""
    return ((predicted - true).pow(2).mean(0) / true.pow(2).mean(0)).sqrt()
