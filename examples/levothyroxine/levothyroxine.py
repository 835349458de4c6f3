"""Levothyroxine for an underactive thyroid: a tablet a day, and a TSH every six weeks that follows it by weeks.

An example of a therapy in a package of its own, with made-up virtual patients; for research, not for treatment.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from careplan.clock import Clock
from careplan.covariates import Covariate
from careplan.declared import practice_of
from careplan.effects import Effect, Output
from careplan.gate import Gate
from careplan.practice import Lived, VirtualClinic
from careplan.rules import Action, Hold, Keep, Measure
from careplan.series import PatientSeries
from careplan.therapy import Channel, Cost, Limits, Pool, Therapy

WEEK = 7 * 1440.0
LOOK = 6  # weeks between two readings of TSH
HELD = 1.44  # weeks: thyroxine's half-life of a week over ln 2
RETURNS = 0.25  # of its distance that TSH's logarithm goes in a week

THERAPY = Therapy(
    name="levothyroxine",
    channels=(
        Channel(
            name="tsh", unit="mIU/L", role="observation", form="level", low=0.01, high=150.0, center=2.0, scale=1.0, link="log",
            noise=0.15,
        ),
        Channel(
            name="tablet", unit="ug/day", role="action", form="rate", per=1440.0, low=0.0, high=300.0, scale=50.0, direction=-1,
            silence=26 * WEEK,
        ),
    ),
    outputs=(
        Output(
            name="tsh", risk=lambda tsh: (tsh.clamp(min=0.01) / 2.0).log() ** 2, best=2.0, returns=RETURNS, rest=1.0, lowest=-6.0,
            highest=5.0,
        ),
    ),
    pools=(Pool(name="tablet", channels=("tablet",), time_constant=HELD * WEEK, stages=1, holds=True),),
    effects=(Effect(name="tablet", pools=("tablet",), direction=-1, usual=700.0, size=0.8),),
    costs=(Cost(name="above_4", above=4.0, budget=0.2), Cost(name="suppressed", below=0.4, budget=0.05)),
    clock=Clock(
        step=WEEK, interval=WEEK, pace=WEEK, span=WEEK, look=WEEK, judged=LOOK * WEEK, horizon=12 * WEEK, decision=LOOK * WEEK,
        ahead=24 * WEEK, context=24, memory=24, patch=4,
    ),
    gate=Gate(days=0.0, active=0.0, recent=52 * WEEK, windows=0, strange=9.0, error_ratio=math.inf, dosed=0.0),
    covariates=(
        Covariate(name="weight", unit="kg", center=75.0, scale=15.0, low=30.0, high=250.0),
        Covariate(name="cause", levels=("autoimmune", "surgery")),
    ),
    actions=(Action(channel="tablet", values=(0.7, 0.85, 1.15, 1.3), of="multiple"),),
    measure=Measure(gaps=(LOOK * WEEK, 12 * WEEK, 24 * WEEK), cost=0.5),
    slowest=52 * WEEK,
)  # fmt: skip

LIMITS = Limits(
    max_dose=0.0, max_on_board=math.inf, min_spacing=0.0, floor=0.0, max_rate=250.0,
    rules=(
        Hold(name="suppressed", channels=("tablet",), on="tsh", side=-1, level=0.4),
        Keep(name="far too little", channels=("tablet",), on="tsh", side=1, level=10.0),
    ),
)  # fmt: skip

Values = NDArray[np.float64]
Policy = Callable[["People", int, Values, Values], Values]  # people, week, the last TSH, the last dose -> ug a day


@dataclass(frozen=True, eq=False)
class People:
    """`[B]` each: weight kg, cause, the dose that suits ug a day, how steeply TSH answers, and the first dose."""

    weight: Values
    cause: NDArray[np.str_]
    suits: Values
    slope: Values
    first: Values

    def week(self, held: Values, log: Values, dose: Values, who: slice | int = slice(None)) -> tuple[Values, Values]:
        """What a week on a dose does to what is held of it and to TSH's logarithm."""
        held = held + (dose - held) * (1 - np.exp(-1 / HELD))
        aim = math.log(1.5) + self.slope[who] * (1 - held / self.suits[who])
        return held, log + RETURNS * (aim - log)


def draw(group: str, count: int, seed: int) -> People:
    """People of whom those without a thyroid need more."""
    random = np.random.default_rng(seed)
    weight, cause = random.normal(75, 12, count).clip(40, 140), random.choice(["autoimmune", "surgery"], count)
    suits = 1.6 * weight * np.where(cause == "surgery", 1.1, 0.9) * np.exp(random.normal(0, 0.15, count))
    slope, first = np.exp(random.normal(math.log(3.0), 0.2, count)), 12.5 * random.integers(4, 9, count)
    return People(weight, cause, suits, slope, first)


def fixed() -> Policy:
    """The first dose for good."""
    return lambda people, week, seen, dose: people.first


def titrated() -> Policy:
    """A fifth more where TSH is above 4, a fifth less where it is below 0.4, at every look."""

    def decide(people: People, week: int, seen: Values, dose: Values) -> Values:
        return dose if week % LOOK else 12.5 * np.round(dose * np.where(seen > 4, 1.2, np.where(seen < 0.4, 0.8, 1.0)) / 12.5)

    return decide


def live(people: People, policy: Policy, days: int, seed: int) -> Lived:
    """Weeks under a policy, with a TSH at the end of every sixth."""
    random, weeks = np.random.default_rng((seed, 5)), max(1, -(-days // 7))
    held, log = 0.8 * people.first, math.log(1.5) + 0.3 * people.slope
    dose, seen, states, levels, doses = people.first, np.full(len(people.first), 2.0), [], [], []
    noise = np.exp(random.normal(0, 0.15, (len(people.first), weeks)))
    for week in range(weeks):
        dose = policy(people, week, seen, dose)
        states.append((held, log))
        held, log = people.week(held, log, dose)
        levels.append(np.exp(log))
        doses.append(dose)
        seen = levels[-1] * noise[:, week] if week % LOOK == LOOK - 1 else seen
    level, given = np.stack(levels, 1), np.stack(doses, 1)

    def series(who: int) -> PatientSeries:
        values = np.stack([(level * noise)[who].clip(0.01, 150.0), given[who]], 1).astype(np.float32)
        mask = np.ones_like(values, dtype=bool)
        mask[:, 0] = np.arange(weeks) % LOOK == min(LOOK, weeks) - 1
        facts = {"weight": float(people.weight[who]), "cause": str(people.cause[who])}
        return PatientSeries(str(who), THERAPY, pd.Timestamp("2025-01-02", tz="UTC"), "UTC", values, mask, facts)

    return Lived(torch.from_numpy(level.astype(np.float32)), series, (people, states, given))


def otherwise(lived: Lived, person: Tensor, row: Tensor, rows: int, factor: Tensor) -> Tensor:
    """The true TSH `[E, rows]` from a row on, had all tablets from there been multiplied."""
    people, states, given = lived.truth
    paths = []
    for who, first, times in zip(person.tolist(), row.tolist(), factor.tolist(), strict=True):
        held, log = (part[who] for part in states[first])
        path = []
        for week in range(first, first + rows):
            held, log = people.week(held, log, times * given[who, week], who)
            path.append(float(np.exp(log)))
        paths.append(path)
    return torch.tensor(paths)


CLINIC = VirtualClinic(
    groups=("adult",), policies={"fixed": fixed, "titrated": titrated}, draw=draw, live=live, otherwise=otherwise
)
PRACTICE = practice_of(
    THERAPY, {"adult": LIMITS}, plans="regimen", recent=timedelta(days=730), holds=timedelta(days=30), digits=2,
    clinic="levothyroxine:CLINIC",
)  # fmt: skip
