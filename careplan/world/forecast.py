"""Forecasts and counterfactuals of one patient: the same state, different futures, each with its interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from careplan.series import PatientSeries, split, windows
from careplan.world.corpus import Corpus
from careplan.world.heads import spread_at
from careplan.world.model import WorldModel
from careplan.world.personalise import Personalisation

# What is given of the future: nothing, the plan as if we had made it, or the plan as it was seen carried out.
Given = Literal["nothing", "plan", "record"]


@dataclass(frozen=True, eq=False)
class Future:
    """What is given and done from now on, `[T, C]` values where `mask`.

    known: whether it holds everything that will happen. evidence: whether it was, or edits, a future that was recorded: all
    futures of one forecast that say so share what the first of them tells.
    """

    values: NDArray[np.float32]
    mask: NDArray[np.bool_]
    known: bool = True
    evidence: bool = False


@dataclass(frozen=True, eq=False)
class Band:
    """minutes `[H]` ahead; the predicted level and its 90 % interval, `[H]` each, in the level's unit."""

    minutes: NDArray[np.float32]
    mid: NDArray[np.float32]
    low: NDArray[np.float32]
    high: NDArray[np.float32]


@torch.no_grad()
def forecast(
    model: WorldModel,
    series: PatientSeries,
    row: int,
    person: Personalisation,
    futures: Mapping[str, Future],
    *,
    widen: Tensor,
    particles: int = 16,
    seed: int = 0,
) -> dict[str, Band]:
    """The level after each named future that begins at `row`, from what was recorded before it.

    All futures are as long. widen: `[H']` conformal factors every half hour, held beyond the last.
    """
    device, shape = model.center.device, model.shape
    past = windows(series, [row], shape.context).to(device)
    usual = person.usual.to(device).unsqueeze(0)
    z = model.encode(past, usual)[:, -1]
    codes = person.particles(particles, seed).to(device)
    many = type(past)(*(part.expand(particles, -1, *part.shape[2:]) for part in (past.values, past.mask, past.minute)))
    state = model.state(z.expand(particles, -1), many, usual.expand(particles, -1), codes)
    names = list(futures)
    values = torch.stack([torch.from_numpy(futures[name].values) for name in names]).to(device).repeat_interleave(particles, 0)
    mask = torch.stack([torch.from_numpy(futures[name].mask) for name in names]).to(device).repeat_interleave(particles, 0)
    known = torch.tensor([float(futures[name].known) for name in names], device=device).repeat_interleave(particles)
    count = len(names)
    whole = type(state)(*(part.repeat(count, *[1] * (part.dim() - 1)) for part in vars(state).values()))
    told = None
    recorded = [name for name in names if futures[name].evidence]
    if recorded:
        first = names.index(recorded[0]) * particles
        seen = torch.tensor([float(futures[name].evidence) for name in names], device=device).repeat_interleave(particles)
        told = seen[:, None, None] * model.told(values[first : first + 1], mask[first : first + 1], usual)
    rollout = model.rollout(whole, values, mask, known, usual.expand(len(values), -1), codes.repeat(count, 1), told)

    # The mixture over what is not known of the patient (particles) and of the future (the predicted spread).
    normal = torch.special.ndtri(torch.linspace(0.025, 0.975, 20, device=device))
    away = spread_at(rollout.offsets.unsqueeze(2).expand(-1, -1, len(normal), -1), normal.expand(*rollout.level.shape, -1))
    draws = (rollout.level.unsqueeze(-1) + away).unflatten(0, (count, particles)).transpose(1, 2).flatten(2)
    low, mid, high = torch.quantile(draws, torch.tensor([0.05, 0.5, 0.95], device=device), dim=-1)
    place = (rollout.minutes / 30.0).ceil().long().clamp(1, len(widen)) - 1
    factor = widen.to(device)[place]
    regulated = model.therapy.channel(model.therapy.regulated)
    bands = {}
    for index, name in enumerate(names):
        parts = (
            mid[index],
            mid[index] - factor * (mid[index] - low[index]),
            mid[index] + factor * (high[index] - mid[index]),
        )
        bands[name] = Band(
            rollout.minutes.cpu().numpy(), *(part.clamp(regulated.low, regulated.high).cpu().numpy() for part in parts)
        )
    return bands


@torch.no_grad()
def predict(
    model: WorldModel, series: PatientSeries, rows: Sequence[int], person: Personalisation, *, given: Given, horizon: int = 48
) -> tuple[Tensor, Tensor, Tensor]:
    """Many forecasts of one patient, each from a row of the recording on: minutes ahead `[H]`, levels `[N, H]`, offsets
    `[N, H, 4]`.

    The patient's code is its posterior mean. horizon: rows ahead.
    """
    device, context = model.center.device, model.shape.context
    corpus = Corpus.of([series])
    levels, offsets, minutes = [], [], torch.zeros(0)
    for chunk in torch.as_tensor(rows, dtype=torch.long).split(1024):
        patient = torch.zeros_like(chunk)
        past, future = split(corpus.windows(patient, chunk - context, context + horizon).to(device), context)
        usual, code = person.usual.to(device).expand(len(chunk), -1), person.mean.to(device).expand(len(chunk), -1)
        state = model.state(model.encode(past, usual)[:, -1], past, usual, code)
        known = torch.full((len(chunk),), float(given != "nothing"), device=device)
        mask = future.mask & (given != "nothing")
        told = model.told(future.values, mask, usual) if given == "record" else None
        rollout = model.rollout(state, future.values, mask, known, usual, code, told)
        levels.append(rollout.level.cpu())
        offsets.append(rollout.offsets.cpu())
        minutes = rollout.minutes.cpu()
    return minutes, torch.cat(levels), torch.cat(offsets)
