"""What the three contract therapies share: virtual patients made into recordings, a small model, and a small `Practice`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from careplan.covariates import Fact
from careplan.practice import Glance, Judged, Practice
from careplan.series import PatientSeries
from careplan.therapy import Limits, Therapy
from careplan.world.corpus import Branches, Corpus
from careplan.world.model import Shape, WorldModel
from careplan.world.training import Recipe, Training, train

START = pd.Timestamp("2026-03-02", tz="UTC")
Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class People:
    """Virtual patients: what they are known by, and what doses `[T, A]` lead to, without noise, by patient: `[T, Q]`."""

    facts: Sequence[Mapping[str, Fact]]
    live: Callable[[int, Array], Array]

    def __len__(self) -> int:
        return len(self.facts)


def recorded(
    therapy: Therapy, people: People, doses: Array, measured: NDArray[np.bool_], *, noise: Array, others: Array | None = None
) -> list[PatientSeries]:
    """Recordings of people who took doses `[N, T, A]`, read where `measured` `[N, T]` with `noise` `[N, T, Q]` in the link."""
    columns = [therapy.index(channel.name) for channel in therapy.of("action")]
    made = []
    for place, facts in enumerate(people.facts):
        truth = people.live(place, doses[place])
        values = np.zeros((len(truth), len(therapy.channels)), np.float32)
        mask = np.zeros(values.shape, dtype=bool)
        values[:, columns], mask[:, columns] = doses[place], True
        for output, column in enumerate(therapy.observed):
            channel = therapy.channels[column]
            linked = channel.linked(torch.from_numpy(truth[:, output])) + torch.from_numpy(noise[place, :, output])
            seen = measured[place]
            values[seen, column] = channel.unlinked(linked).numpy()[seen].clip(channel.low, channel.high)
            mask[seen, column] = True
        made.append(PatientSeries(f"{therapy.name}-{place}", therapy, START, "UTC", values, mask, facts))
    return made


def branched(therapy: Therapy, people: People, doses: Array, altered: Array, row: int, rows: int) -> Branches:
    """Futures of `rows` from `row` on under doses `[N, T, A]` and under others, one a patient: what they truly lead to."""
    columns = [therapy.index(channel.name) for channel in therapy.of("action")]
    stretch, altered = slice(row, row + rows), np.concatenate([doses[:, :row], altered[:, row:]], 1)
    values = np.zeros((len(people), rows, len(therapy.channels)), np.float32)
    values[..., columns] = altered[:, stretch]
    before = values.copy()
    before[..., columns] = doses[:, stretch]
    lived = [np.stack([people.live(place, each[place])[stretch] for place in range(len(people))]) for each in (doses, altered)]
    recorded_levels, altered_levels = (torch.from_numpy(each.astype(np.float32)) for each in lived)
    if len(therapy.outputs) == 1:
        recorded_levels, altered_levels = recorded_levels[..., 0], altered_levels[..., 0]
    return Branches(
        torch.arange(len(people)),
        torch.full((len(people),), row),
        torch.from_numpy(values),
        recorded_levels,
        altered_levels,
        torch.from_numpy(before),
    )


def trained(therapy: Therapy, recordings: list[PatientSeries], branches: Branches, folder: Any, *, steps: int = 50) -> WorldModel:
    """A small model, trained for so many steps on virtual patients alone."""
    recipe = Recipe(steps=steps, batch=16, branches=16, virtual=1.0, rate=1e-2, unlogged=0.0, untracked=0.0, seed=3)
    shape = Shape(latent=8, hidden=16, code=12, evidence=4)
    training = Training(therapy, recipe, Corpus.of(recordings), branches, real=0, shape=shape)
    return train(training, folder, say=lambda _: None)


def practice(therapy: Therapy, limits: Limits, plan_doses: Any, *, holds: timedelta) -> Practice:
    """What a clinic needs of it to plan, show, review and sign, and no more."""

    def glance(readings: pd.DataFrame) -> Glance:
        days = float(len(readings))
        return Glance(days=days, metrics={}, measured=days > 0, sufficient=True, urgency=0.0, headline="")

    fields: dict[str, Any] = {
        "therapy": therapy,
        "groups": ("everybody",),
        "limits": lambda facts: limits,
        "recent": timedelta(days=60),
        "holds": {"regimen": holds, "doses": holds},
        "regimen": Plan,
        "stated": lambda settings: Plan(),
        "estimate": lambda series: Plan(),
        "changed": lambda regimen, changes: replace(regimen),
        "current": lambda regimen, line: 0.0,
        "listed": lambda regimen: {},
        "plan_regimen": None,
        "plan_doses": plan_doses,
        "judge": lambda suggestion, readings, facts, regimen: (
            lambda line, value: Judged(lowest=line.absolute_low, highest=line.absolute_high)
        ),
        "caution": lambda suggestion, readings: None,
        "glance": glance,
        "daily_dose": lambda series: None,
        "profile": lambda series: None,
        "days": lambda series: (),
    }
    return Practice(**fields)


@dataclass(frozen=True)
class Plan:
    """A regimen of nothing: doses are planned one by one."""

    note: str = ""
