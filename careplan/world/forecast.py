"""Forecasts and counterfactuals of one patient: the same state, different futures, each with its interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from careplan.series import PatientSeries, split, windows
from careplan.world.corpus import Corpus
from careplan.world.correction import correct
from careplan.world.dynamics import State, as_particles
from careplan.world.heads import spread_at
from careplan.world.model import WorldModel
from careplan.world.personalise import Personalisation
from careplan.world.question import Given, Question
from careplan.world.stretches import encoded_along


@dataclass(frozen=True, eq=False)
class Future:
    """What is given and done from now on, `[T, C]` values where `mask`.

    known: whether it holds everything that will happen. evidence: whether it is, or edits, a recorded future. The first such
    future of a forecast is the record; each other one is predicted as the record's forecast plus the effect that its changes have
    under a plan.
    """

    values: NDArray[np.float32]
    mask: NDArray[np.bool_]
    known: bool = True
    evidence: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class ForecastQuestion:
    """What is asked of one patient's future: futures by name, all as long, that begin at a row of the recording. minutes: ahead,
    at which to predict, instead of on the grid (`WorldModel.rollout`)."""

    row: int
    futures: Mapping[str, Future]
    minutes: Sequence[float] | None = None


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
    person: Personalisation,
    asked: ForecastQuestion,
    *,
    factors: Mapping[Given, Tensor],
    particles: int = 16,
    seed: int = 0,
) -> dict[str, Band]:
    """The level after each future that is asked about, from what was recorded before it.

    Args:
        model: A trained model.
        series: The recording.
        person: What is known of the patient.
        asked: The futures, and where they begin.
        factors: Conformal factors by what is given, `[H']` every `Clock.look`, held beyond the last (`World.interval_factors`).
        particles: Of what is not known of the patient.
        seed: Of the particles.
    """
    futures, minutes = asked.futures, asked.minutes
    now = _present(model, series, asked.row, person, particles, seed)
    chosen = list(futures.values())
    recorded = [index for index, one in enumerate(chosen) if one.evidence]
    given = [Given.PLAN if one.known else Given.NOTHING for one in chosen]
    if recorded:  # once more, as a record
        given.append(Given.RECORD)
        chosen.append(chosen[recorded[0]])
    at = None if minutes is None else torch.tensor(minutes, device=model.center.device, dtype=torch.float64)
    rollout = model.rollout(now.state.tiled(len(chosen)), _questions(model, now, chosen, given), at=at)
    level, offsets = (part.unflatten(0, (len(chosen), particles)) for part in (rollout.level, rollout.offsets))
    if recorded:  # an edited record: what the record foretells, and the effect of the edit as a plan
        first, edits = recorded[0], torch.tensor(recorded, device=level.device)
        level = level.index_copy(0, edits, level[-1] + level[edits] - level[first])
        offsets = offsets.index_copy(0, edits, offsets[-1:].expand(len(edits), -1, -1, -1))
    level, offsets = level[: len(futures)], offsets[: len(futures)]
    given = [Given.RECORD if index in recorded else one for index, one in enumerate(given[: len(futures)])]
    if len(person.correction):
        added = [
            torch.zeros_like(level[0])
            if one is Given.PLAN
            else correct(model, now.state, person.correction, one, rollout.minutes)
            for one in given
        ]
        level = level + torch.stack(added)
    bands = _bands(model, rollout.minutes, level, offsets, [factors[one] for one in given])
    return dict(zip(futures, bands, strict=True))


@dataclass(frozen=True, eq=False)
class _Present:
    """One patient now, as P particles: states, what is usual `[1, U]`, codes `[P, K]`."""

    state: State
    usual: Tensor
    codes: Tensor


def _present(model: WorldModel, series: PatientSeries, row: int, person: Personalisation, particles: int, seed: int) -> _Present:
    device = model.center.device
    past = windows(series, [row], model.shape.context).to(device)
    usual = person.usual.to(device).unsqueeze(0)
    z = model.encode(past, usual)[:, -1]
    codes = person.particles(particles, seed).to(device)
    many = type(past)(*(part.expand(particles, -1, *part.shape[2:]) for part in (past.values, past.mask, past.minute)))
    state = model.state(z.expand(particles, -1), many, usual.expand(particles, -1), codes)
    return _Present(as_particles(state, seed), usual, codes)


def _questions(model: WorldModel, now: _Present, chosen: Sequence[Future], given: Sequence[Given]) -> Question:
    """Each future of F asked of every particle, `[F P, T, C]`; where the last is a record, its evidence goes with all of them."""
    device, particles, count = now.codes.device, len(now.codes), len(chosen)
    values, mask = (torch.from_numpy(np.stack([getattr(one, part) for one in chosen])).to(device) for part in ("values", "mask"))
    evidence = None
    if given[-1] is Given.RECORD:
        own, there = (part[-1:].expand(particles, -1, -1) for part in (values, mask))
        evidence = model.recorded_evidence(now.state, own, there, now.usual.expand(particles, -1)).repeat(count, 1, 1)
    return Question(
        values.repeat_interleave(particles, 0),
        mask.repeat_interleave(particles, 0),
        torch.tensor([one.code for one in given], device=device).repeat_interleave(particles),
        now.usual.expand(count * particles, -1),
        now.codes.repeat(count, 1),
        evidence,
    )


def _bands(model: WorldModel, minutes: Tensor, level: Tensor, offsets: Tensor, factors: Sequence[Tensor]) -> list[Band]:
    """Levels `[F, P, H]` and offsets `[F, P, H, 4]` -> the band of each future: the mixture over what is not known of the patient
    (particles) and of the future (the predicted spread), widened by its conformal factors."""
    normal = torch.special.ndtri(torch.linspace(0.025, 0.975, 20, device=level.device))
    away = spread_at(offsets.unsqueeze(3).expand(-1, -1, -1, len(normal), -1), normal.expand(*level.shape, -1))
    draws = (level.unsqueeze(-1) + away).transpose(1, 2).flatten(2)
    low, mid, high = torch.quantile(draws, torch.tensor([0.05, 0.5, 0.95], device=level.device), dim=-1)
    regulated = model.therapy.channel(model.therapy.regulated)
    bands = []
    for index, own in enumerate(factors):
        known = own.to(level.device)
        factor = known[(minutes / model.therapy.clock.look).ceil().long().clamp(1, len(known)) - 1]
        parts = (
            mid[index],
            mid[index] - factor * (mid[index] - low[index]),
            mid[index] + factor * (high[index] - mid[index]),
        )
        bands.append(Band(minutes.cpu().numpy(), *(part.clamp(regulated.low, regulated.high).cpu().numpy() for part in parts)))
    return bands


def predict(
    model: WorldModel,
    series: PatientSeries,
    rows: Sequence[int],
    person: Personalisation,
    *,
    given: Given,
    horizon: int | None = None,
    at: Tensor | None = None,
    along: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Many forecasts of one patient, whose code is the posterior's mean.

    Args:
        model: A trained model.
        series: The recording.
        rows: `[N]` rows from which the future begins.
        person: What is known of the patient.
        given: What of the future is given.
        horizon: Rows ahead, the clock's where None.
        at: Minutes ahead at which to predict, instead of on the grid.
        along: Whether to encode the recording once along its length, which costs less for many rows (`stretches.encoded_along`).

    Returns:
        Minutes ahead `[H]`, levels `[N, H]`, and offsets of the predicted spread from them `[N, H, 4]`.
    """
    return predict_each(model, series, rows, [(person, given)], horizon=horizon, at=at, along=along)[0]


@torch.no_grad()
def predict_each(
    model: WorldModel,
    series: PatientSeries,
    rows: Sequence[int],
    asked: Sequence[tuple[Personalisation, Given]],
    *,
    horizon: int | None = None,
    at: Tensor | None = None,
    along: bool = False,
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """`predict` of the same moments for several pairs of what is known of the patient, the same being `usual` in all of them, and
    what is given; what the pairs share is computed once."""
    device, context, clock = model.center.device, model.shape.context, model.therapy.clock
    corpus, horizon = Corpus.of([series]), clock.rows(clock.horizon) if horizon is None else horizon
    people = {id(person): person for person, _ in asked}
    found: list[list[tuple[Tensor, Tensor, Tensor]]] = [[] for _ in asked]
    for chunk in torch.as_tensor(rows, dtype=torch.long).split(1024):
        patient = torch.zeros_like(chunk)
        past, future = split(corpus.windows(patient, chunk - context, context + horizon).to(device), context)
        usual = asked[0][0].usual.to(device).expand(len(chunk), -1)
        z = encoded_along(model, corpus, 0, chunk) if along else model.encode(past, usual)[:, -1]
        codes = {key: person.mean.to(device).expand(len(chunk), -1) for key, person in people.items()}
        states = {key: model.state(z, past, usual, code) for key, code in codes.items()}
        for (person, given), parts in zip(asked, found, strict=True):
            state, code, mask = states[id(person)], codes[id(person)], future.mask & (given is not Given.NOTHING)
            evidence = model.recorded_evidence(state, future.values, mask, usual) if given is Given.RECORD else None
            question = Question(future.values, mask, given.codes(len(chunk), device), usual, code, evidence)
            rollout = model.rollout(state, question, at=at)
            level = rollout.level
            if given is not Given.PLAN and len(person.correction):
                level = level + correct(model, state, person.correction, given, rollout.minutes)
            parts.append((rollout.minutes.cpu(), level.cpu(), rollout.offsets.cpu()))
    return [(parts[-1][0], torch.cat([part[1] for part in parts]), torch.cat([part[2] for part in parts])) for parts in found]
