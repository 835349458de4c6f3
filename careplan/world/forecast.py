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
from careplan.world.correction import correct
from careplan.world.dynamics import NOTHING, PLAN, RECORD, scattered
from careplan.world.heads import spread_at
from careplan.world.model import WorldModel
from careplan.world.personalise import Personalisation
from careplan.world.question import Question

# What is given of the future: nothing, the plan as if we had made it, or the plan as it was seen carried out.
Given = Literal["nothing", "plan", "record"]
ASKED: dict[Given, int] = {"nothing": NOTHING, "plan": PLAN, "record": RECORD}


@dataclass(frozen=True, eq=False)
class Future:
    """What is given and done from now on, `[T, C]` values where `mask`.

    known: whether it holds everything that will happen. evidence: whether it was, or edits, a future that was recorded: the
    first of one forecast that says so is the record; the others have its forecast and, as plans, the effect of what they change.
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
    widen: Mapping[Given, Tensor],
    minutes: Sequence[float] | None = None,
    particles: int = 16,
    seed: int = 0,
) -> dict[str, Band]:
    """The level after each named future that begins at `row`, from what was recorded before it.

    All futures are as long. widen: conformal factors by question, `[H']` every `Clock.look`, held beyond the last. minutes:
    ahead, at which to predict, instead of on the grid (`WorldModel.rollout`).
    """
    device, shape = model.center.device, model.shape
    past = windows(series, [row], shape.context).to(device)
    usual = person.usual.to(device).unsqueeze(0)
    z = model.encode(past, usual)[:, -1]
    codes = person.particles(particles, seed).to(device)
    many = type(past)(*(part.expand(particles, -1, *part.shape[2:]) for part in (past.values, past.mask, past.minute)))
    state = scattered(model.state(z.expand(particles, -1), many, usual.expand(particles, -1), codes), seed)
    names = list(futures)
    asked = [PLAN if futures[name].known else NOTHING for name in names]
    recorded = [index for index, name in enumerate(names) if futures[name].evidence]
    told = None
    chosen = [futures[name] for name in names]
    if recorded:  # once more, as a record
        asked.append(RECORD)
        chosen.append(chosen[recorded[0]])
    count = len(chosen)
    values, mask = (torch.from_numpy(np.stack([getattr(one, part) for one in chosen])).to(device) for part in ("values", "mask"))
    if recorded:
        own, there = (part[-1:].expand(particles, -1, -1) for part in (values, mask))
        told = model.told(state, own, there, usual.expand(particles, -1)).repeat(count, 1, 1)
    whole = type(state)(*(part.repeat(count, *[1] * (part.dim() - 1)) for part in vars(state).values()))
    question = Question(
        values.repeat_interleave(particles, 0),
        mask.repeat_interleave(particles, 0),
        torch.tensor(asked, device=device).repeat_interleave(particles),
        usual.expand(len(whole.z), -1),
        codes.repeat(count, 1),
        told,
    )
    rollout = model.rollout(
        whole, question, at=None if minutes is None else torch.tensor(minutes, device=device, dtype=torch.float64)
    )
    level, offsets = (part.unflatten(0, (count, particles)) for part in (rollout.level, rollout.offsets))
    if recorded:  # an edited record: what the record foretells, and the effect of the edit as a plan
        first, edits = recorded[0], torch.tensor(recorded, device=device)
        level = level.index_copy(0, edits, level[-1] + level[edits] - level[first])
        offsets = offsets.index_copy(0, edits, offsets[-1:].expand(len(edits), -1, -1, -1))
    level, offsets = level[: len(names)], offsets[: len(names)]
    given: list[Given] = [
        "record" if index in recorded else "plan" if futures[name].known else "nothing" for index, name in enumerate(names)
    ]
    if len(person.correction):
        added = [
            torch.zeros_like(level[0]) if one == "plan" else correct(model, state, person.correction, ASKED[one], rollout.minutes)
            for one in given
        ]
        level = level + torch.stack(added)

    # The mixture over what is not known of the patient (particles) and of the future (the predicted spread).
    normal = torch.special.ndtri(torch.linspace(0.025, 0.975, 20, device=device))
    away = spread_at(offsets.unsqueeze(3).expand(-1, -1, -1, len(normal), -1), normal.expand(*level.shape, -1))
    draws = (level.unsqueeze(-1) + away).transpose(1, 2).flatten(2)
    low, mid, high = torch.quantile(draws, torch.tensor([0.05, 0.5, 0.95], device=device), dim=-1)
    regulated = model.therapy.channel(model.therapy.regulated)
    bands = {}
    for index, name in enumerate(names):
        known = widen[given[index]].to(device)
        factor = known[(rollout.minutes / model.therapy.clock.look).ceil().long().clamp(1, len(known)) - 1]
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
    model: WorldModel,
    series: PatientSeries,
    rows: Sequence[int],
    person: Personalisation,
    *,
    given: Given,
    horizon: int | None = None,
    at: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Many forecasts of one patient, whose code is the posterior's mean.

    Args:
        model: A trained model.
        series: The recording.
        rows: `[N]` rows from which the future begins.
        person: What is known of the patient.
        given: What of the future is given: "nothing", a "plan" of ours, or the "record".
        horizon: Rows ahead, the clock's where None.
        at: Minutes ahead at which to predict, instead of on the grid.

    Returns:
        Minutes ahead `[H]`, levels `[N, H]`, and offsets of the predicted spread from them `[N, H, 4]`.
    """
    device, context = model.center.device, model.shape.context
    corpus, clock = Corpus.of([series]), model.therapy.clock
    horizon = clock.rows(clock.horizon) if horizon is None else horizon
    levels, offsets, minutes = [], [], torch.zeros(0)
    for chunk in torch.as_tensor(rows, dtype=torch.long).split(1024):
        patient = torch.zeros_like(chunk)
        past, future = split(corpus.windows(patient, chunk - context, context + horizon).to(device), context)
        usual, code = person.usual.to(device).expand(len(chunk), -1), person.mean.to(device).expand(len(chunk), -1)
        state = model.state(model.encode(past, usual)[:, -1], past, usual, code)
        asked = torch.full((len(chunk),), ASKED[given], device=device)
        mask = future.mask & (given != "nothing")
        told = model.told(state, future.values, mask, usual) if given == "record" else None
        rollout = model.rollout(state, Question(future.values, mask, asked, usual, code, told), at=at)
        level = rollout.level
        if given != "plan" and len(person.correction):
            level = level + correct(model, state, person.correction, ASKED[given], rollout.minutes)
        levels.append(level.cpu())
        offsets.append(rollout.offsets.cpu())
        minutes = rollout.minutes.cpu()
    return minutes, torch.cat(levels), torch.cat(offsets)
