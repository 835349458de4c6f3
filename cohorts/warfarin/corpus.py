"""What a world model is trained on: recordings of virtual people whose doses were explored, and futures that part in dose."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from careplan.series import PatientSeries
from careplan.therapies.warfarin.covariates import Covariates
from careplan.therapies.warfarin.declaration import HIGHEST_INR, WARFARIN
from careplan.therapies.warfarin.protocols import aurora, iwpc_pharmacogenetic
from careplan.world.corpus import Branches
from cohorts.warfarin.hamberg import Hamberg
from cohorts.warfarin.life import Life, Lived, live
from cohorts.warfarin.network import Network
from cohorts.warfarin.people import People, Place, draw
from cohorts.warfarin.trial import MOST, Body, Clinic, Order, Trial, run

START = pd.Timestamp("2026-01-05", tz="UTC")  # of every virtual course
AHEAD = 21  # days that branched futures last
TYPED = 0.8  # share of people whose genotype the clinic knows


@dataclass(frozen=True)
class Family:
    """Virtual people of one body, place and life. lifelike: whether anything ever goes wrong."""

    body: str
    place: Place
    lifelike: bool = True

    def people(self, count: int, seed: int) -> tuple[People, Body]:
        people = draw(count, seed, self.place)
        return people, body_of(self.body, people, seed)


FAMILIES = (
    Family("hamberg", "aurora"),
    Family("quartiles", "aurora", lifelike=False),
    Family("network", "mixed"),
    Family("network", "aurora"),
)


def body_of(name: str, people: People, seed: int) -> Body:
    """Bodies by name: "hamberg" with its whole spread, "quartiles" as the open package draws it, "network". `KeyError` else."""
    made: dict[str, Body] = {}
    if name == "network":
        made[name] = Network.draw(people, seed, hours=2.0)
    elif name in ("hamberg", "quartiles"):
        made[name] = Hamberg.draw(people, seed, spread="quartiles" if name == "quartiles" else "full")
    return made[name]


@dataclass(frozen=True)
class Exploring:
    """Doses that wander: a start around the IWPC's, then what Aurora would do times chance, at visits of chance.

    Never more than `MOST`, and none above an INR of 6.
    """

    seed: int
    random: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "random", np.random.default_rng((self.seed, 53)))

    def __call__(self, day: int, rows: Sequence[int], clinic: Clinic) -> list[Order]:
        return [self._decide(day, row, clinic) for row in rows]

    def _decide(self, day: int, row: int, clinic: Clinic) -> Order:
        random, inr = self.random, clinic.seen[row][-1][1]
        days = int(random.choice([2, 3, 4, 5] if day < 10 else [3, 5, 7, 7, 14, 21]))
        if not clinic.orders[row]:
            dose = iwpc_pharmacogenetic(clinic.people.known[row]) / 7 * float(np.exp(0.35 * random.standard_normal()))
        else:
            dose = max(0.5, clinic.orders[row][-1][1].week[0])
            follow = aurora(inr).factor if random.random() < 0.7 and (day > 5 or inr > 2) else 1.0
            dose *= follow * float(np.exp(random.choice([0.0, 0.12, 0.3]) * random.standard_normal()))
        dose = min(dose, MOST)
        lead = (0.0,) * int(random.integers(1, 4)) if inr > 4.5 or random.random() < 0.04 else ()
        if not lead and random.random() < 0.2:
            lead = (min(MOST, dose * random.uniform(0.0, 2.0)),) * int(random.integers(1, 3))
        return Order(lead, (0.0,) if inr > 6 else (dose,), days)


def facts_of(known: Covariates, typed: bool = True) -> dict[str, float | str]:
    """Covariates as the therapy declares them. typed: whether the genotype is known."""
    facts: dict[str, float | str] = {"age": known.age, "weight": known.weight, "height": known.height, "race": known.race}
    facts |= {name: "yes" if getattr(known, name) else "no" for name in ("amiodarone", "inducer")}
    if typed:
        facts |= {name: value for name in ("cyp2c9", "vkorc1") if (value := getattr(known, name)) is not None}
    return facts


def series_of(
    clinic: Clinic, row: int, *, name: str, days: int, typed: bool = True, dense: Tensor | None = None
) -> PatientSeries:
    """What a clinic knows of one person on the morning of day `days`, the INR of that morning being the last.

    dense: `[D]` INRs of every morning, where somebody measured every day.
    """
    rows = days + 1
    values, mask = np.zeros((rows, len(WARFARIN.channels)), np.float32), np.ones((rows, len(WARFARIN.channels)), bool)
    inr, dose, inhibitor, inducer = (WARFARIN.index(each) for each in ("inr", "warfarin", "inhibitor", "inducer"))
    mask[:, inr] = False
    for day, value in clinic.seen[row]:
        if day < rows:
            values[day, inr], mask[day, inr] = value, True
    if dense is not None:
        values[:, inr], mask[:, inr] = dense[:rows].clamp(0.8, HIGHEST_INR).numpy(), True
    values[1:, dose] = clinic.given[row, :days].numpy()
    values[1:, inhibitor] = clinic.inhibitor[row, :days].numpy()
    values[1:, inducer] = clinic.inducer[row, :days].numpy()
    facts = facts_of(clinic.people.known[row], typed)
    return PatientSeries(name, WARFARIN, START, "UTC", values, mask, facts)


@dataclass(frozen=True, eq=False)
class Made:
    """A family's training material: recordings, and branched futures of them."""

    recordings: list[PatientSeries]
    branches: Branches


def make(family: Family, count: int, seed: int, *, offset: int, each: int = 4, days: int = 90) -> Made:
    """`count` people who live `days` days under explored doses, and `each` branched futures a person.

    offset: the place of the first of them in the corpus. Every other person is measured every day.
    """
    people, body = family.people(count, seed)
    lived = live(count, days, seed, None if family.lifelike else Life.none())
    trial = run(people, body, lived, Exploring(seed), days=days)
    random = np.random.default_rng((seed, 61))
    recordings = []
    for row in range(count):
        noisy = trial.inr[row] * torch.cat([lived.noise[row], torch.ones(1)])
        recordings.append(
            series_of(
                trial.clinic,
                row,
                name=f"{family.body} {family.place} {seed}-{row}",
                days=days - 1,
                typed=bool(random.random() < TYPED),
                dense=noisy if row % 2 else None,
            )
        )
    return Made(recordings, _branches(trial, body, lived, random, offset=offset, each=each))


def _branches(trial: Trial, body: Body, lived: Lived, random: np.random.Generator, *, offset: int, each: int) -> Branches:
    """Futures of `AHEAD` days under what was recorded and under other doses, from the states on a day of chance."""
    count, days = trial.given.shape
    person = torch.arange(count).repeat_interleave(each)
    row = torch.from_numpy(random.integers(1, days - AHEAD, len(person)))
    factor = torch.from_numpy(np.exp(0.35 * random.standard_normal((len(person), 1))).astype(np.float32))
    first = torch.from_numpy((random.random((len(person), 1)) < 0.2).astype(np.float32))
    bodies, swallowed = body.some(person), trial.taken[person]
    states, state = torch.zeros(len(person), *body.start().shape[1:]), bodies.start()
    for day in range(days - AHEAD):
        states = torch.where((row == day).unsqueeze(1), state, states)
        state = bodies.day(state, swallowed[:, day], lived.clears[person, day], lived.supply[person, day])
    levels, altered = [], []
    one = other = states
    values = torch.zeros(len(person), AHEAD, len(WARFARIN.channels))
    for ahead in range(AHEAD):
        at = (person, row + ahead)
        given = trial.given[at]
        changed = (given * factor[:, 0]).clamp(max=MOST) * (1 - first[:, 0] * (ahead < 3))
        values[:, ahead, WARFARIN.index("warfarin")] = changed
        values[:, ahead, WARFARIN.index("inhibitor")] = lived.inhibitor[at]
        values[:, ahead, WARFARIN.index("inducer")] = lived.inducer[at]
        one = bodies.day(one, trial.taken[at], lived.clears[at], lived.supply[at])
        other = bodies.day(other, changed * lived.taken[at], lived.clears[at], lived.supply[at])
        levels.append(bodies.inr(one))
        altered.append(bodies.inr(other))
    recorded, changed_levels = (torch.stack(part, 1).clamp(0.8, HIGHEST_INR) for part in (levels, altered))
    return Branches(person + offset, row + 1, values, recorded, changed_levels)


def joined(parts: Sequence[Made]) -> Made:
    """Several families as one corpus, whose branches already know their places in it."""
    return Made([one for part in parts for one in part.recordings], Branches.joined([part.branches for part in parts]))


def made(families: Sequence[Family], count: int, seed: int) -> Made:
    """`count` people of each family."""
    parts: list[Made] = []
    for place, family in enumerate(families):
        parts.append(make(family, count, seed + place, offset=place * count))
    return joined(parts)
