"""The virtual clinic of warfarin behind the contract of therapies: people, policies, and what would have been otherwise."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from careplan.practice import Lived, VirtualClinic
from cohorts.warfarin import life, policies
from cohorts.warfarin.corpus import FAMILIES, series_of
from cohorts.warfarin.people import People
from cohorts.warfarin.trial import MOST, Body, Policy, Trial, run

GROUPS = {f"{family.body} {family.place}": family for family in FAMILIES}


@dataclass(frozen=True, eq=False)
class Drawn:
    """People with their bodies."""

    people: People
    body: Body


@dataclass(frozen=True, eq=False)
class Truth:
    """What lets people live days again: who they are, what happened, and the states at the start of each day `[D, B, S]`."""

    drawn: Drawn
    lived: life.Lived
    trial: Trial
    states: Tensor


def draw(group: str, count: int, seed: int) -> Drawn:
    """People of a group. `KeyError` where there is none."""
    return Drawn(*GROUPS[group].people(count, seed))


def live(drawn: Drawn, policy: Policy, days: int, seed: int) -> Lived:
    """`days` under a policy, with a whole life."""
    lived = life.live(len(drawn.people), days, seed)
    trial = run(drawn.people, drawn.body, lived, policy, days=days)
    state, states = drawn.body.start(), []
    for day in range(days):
        states.append(state)
        state = drawn.body.day(state, trial.taken[:, day], lived.clears[:, day], lived.supply[:, day])
    truth = Truth(drawn, lived, trial, torch.stack(states))
    return Lived(trial.inr[:, :-1], lambda row: series_of(trial.clinic, row, name=str(row), days=days - 1), truth)


def otherwise(lived: Lived, person: Tensor, row: Tensor, rows: int, factor: Tensor) -> Tensor:
    """The true INR on the mornings of days `row` to `row + rows`, had every tablet from the evening before been multiplied."""
    truth: Truth = lived.truth
    body, day = truth.drawn.body.some(person), row - 1
    state, levels = truth.states[day, person], []
    for _ in range(rows):
        dose = (truth.trial.taken[person, day] * factor).clamp(max=MOST)
        state = body.day(state, dose, truth.lived.clears[person, day], truth.lived.supply[person, day])
        levels.append(body.inr(state))
        day = day + 1
    return torch.stack(levels, 1)


def _always(policy: Policy) -> Callable[[], Policy]:
    """Protocols remember nothing, so the same one serves everybody."""
    return lambda: policy


CLINIC = VirtualClinic(
    groups=tuple(GROUPS),
    policies={name: _always(policy) for name, policy in policies.PROTOCOLS.items()},
    draw=draw,
    live=live,
    otherwise=otherwise,
)
