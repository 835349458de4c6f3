"""What a patient's own days show that the code is too small to hold: a Bayesian linear correction of what is foreseen.

In closed form, a ridge regression of this patient's residuals on the state that they were foreseen from. Only foresight is
corrected (nothing given, or a record seen): there the habits of a person count. The prediction of a plan is not: from a patient
who always eats and doses at one hour it would learn a rise that happens even without the meal.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from careplan.series import split
from careplan.world.corpus import Corpus
from careplan.world.dynamics import State
from careplan.world.encoder import clock
from careplan.world.heads import relative_residual
from careplan.world.model import WorldModel
from careplan.world.question import Given, Question
from careplan.world.stretches import encoded_along

FORESEEN = (Given.NOTHING, Given.RECORD)  # the questions whose answers are corrected
ROWS = 672  # residuals of a patient looked at, at most
FOLDS = 5  # stretches of a recording, each foreseen with what the others tell
PRIOR = 2000.0  # precision of the prior over the weights, in residuals a look apart; they overlap and err alike


class Learned(NamedTuple):
    """weights `[2, F, K]`; scores `[2, R, K]`: residuals at every knot (`Clock.knots`) over the edge of their interval, in order
    of time, `every` paces apart, corrected by what the other `FOLDS` of the recording tell; NaN unmeasured."""

    weights: Tensor
    scores: Tensor
    every: float


def features(model: WorldModel, state: State) -> Tensor:
    """The state in standard numbers, each alone and with two harmonics of the cycle, `[B, F]`."""
    away = (state.z - model.z_mean).T
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(model.z_covariance), away, upper=False).T
    one, look = torch.ones_like(state.level[:, :1]), model.therapy.clock.look
    now = torch.cat([one, state.level, look * state.trend.flatten(1), 10.0 * state.pools, white], dim=1)
    circle = clock(state.minute, model.therapy.clock.cycle)
    return (now.unsqueeze(2) * torch.cat([one, circle], dim=1).unsqueeze(1)).flatten(1)


def correct(model: WorldModel, state: State, weights: Tensor, given: Given, minutes: Tensor) -> Tensor:
    """What to add to the first output's level foreseen from a state, in its unit, `[B, M]` at `minutes` `[M]` ahead; weights
    `[2, F, K]`. Linear between the knots, nothing at 0, the last one's beyond."""
    knots = minutes.new_tensor([0.0, *model.therapy.clock.knots])
    at = features(model, state) @ weights[FORESEEN.index(given)].to(state.level)
    at = torch.cat([torch.zeros_like(at[:, :1]), at], dim=1)
    right = torch.searchsorted(knots, minutes.contiguous()).clamp(1, len(knots) - 1)
    share = ((minutes - knots[right - 1]) / (knots[right] - knots[right - 1])).clamp(0.0, 1.0)
    column = model.therapy.index(model.therapy.regulated)
    return torch.lerp(at[:, right - 1], at[:, right], share) * model.scale[column]


@torch.no_grad()
def corrections(model: WorldModel, corpus: Corpus, codes: Tensor) -> list[Learned]:
    """What the recording of every patient of the corpus tells, whose code is `[P, K]`; nothing where the clock has no
    knots."""
    grid = model.therapy.clock
    none = Learned(torch.zeros(0), torch.zeros(0), grid.look / grid.pace)
    if not grid.knots:
        return [none] * len(corpus)
    device, context, horizon = model.center.device, model.shape.context, grid.rows(max(grid.knots))
    column = model.therapy.index(model.therapy.regulated)
    ahead = [grid.rows(minutes) - 1 for minutes in grid.knots]
    found = []
    for patient, (first, length) in enumerate(zip(corpus.first.tolist(), corpus.length.tolist(), strict=True)):
        measured = torch.nonzero(corpus.mask[first : first + length, column]).squeeze(1) + 1
        room = measured[(measured >= min(context // 4, length // 2)) & (measured <= length - ahead[0] - 1)]
        spacing = max(grid.rows(grid.look), -(-length // ROWS))
        rows = room[torch.unique(room // spacing, return_inverse=True)[1].diff(prepend=torch.tensor([-1])) > 0]
        if not len(rows):
            found.append(none)
            continue
        inputs, residuals, edges, seen = [], [], [], []
        encoded = encoded_along(model, corpus, patient, rows)
        for chunk, z in zip(rows.split(1024), encoded.split(1024), strict=True):
            who = torch.full_like(chunk, patient)
            past, future = split(corpus.windows(who, chunk - context, context + horizon).to(device), context)
            usual, code = corpus.usual[who].to(device), codes[patient].to(device).expand(len(chunk), -1)
            state = model.state(z, past, usual, code)
            inputs.append(features(model, state))
            truth = future.values[:, ahead, column]
            missed, offsets = [], []
            for given in FORESEEN:
                mask, evidence = future.mask & (given is not Given.NOTHING), None
                if given is Given.RECORD:
                    evidence = model.recorded_evidence(state, future.values, mask, usual)
                question = Question(future.values, mask, given.codes(len(chunk), device), usual, code, evidence)
                rollout = model.rollout(state, question)
                at = [round(minutes / model.shape.interval) for minutes in grid.knots]
                missed.append((truth - rollout.level[:, at]) / model.scale[column])
                offsets.append(rollout.offsets[:, at] / model.scale[column])
            residuals.append(torch.stack(missed))
            edges.append(torch.stack(offsets))
            seen.append(future.mask[:, ahead, column])
        x, known, residual = torch.cat(inputs).double(), torch.cat(seen), torch.cat(residuals, 1).double()
        weight = known.double() * spacing * model.therapy.step / grid.look
        folds = torch.arange(len(x)).tensor_split(min(FOLDS, len(x)))
        sums = [_sums(x[fold], weight[fold], residual[:, fold]) for fold in folds]
        left, right = (torch.stack(part).sum(0) for part in zip(*sums, strict=True))
        foreseen = torch.cat(
            [
                torch.einsum("rf,qfk->qrk", x[fold], _solve(left - own, right - mine))
                for fold, (own, mine) in zip(folds, sums, strict=True)
            ],
            1,
        )
        scores = relative_residual(residual - foreseen, torch.cat(edges, 1)).where(known, torch.nan)
        learned = Learned(_solve(left, right).float().cpu(), scores.float().cpu(), spacing * model.therapy.step / grid.pace)
        found.append(learned)
    return found


def _sums(x: Tensor, weight: Tensor, residual: Tensor) -> tuple[Tensor, Tensor]:
    """Normal equations of inputs `[R, F]`, weights `[R, K]` and residuals `[2, R, K]`: `[K, F, F]`, `[K, F, 2]`."""
    return torch.einsum("rf,rk,rg->kfg", x, weight, x), torch.einsum("rf,rk,qrk->kfq", x, weight, residual)


def _solve(left: Tensor, right: Tensor) -> Tensor:
    """The ridge weights `[2, F, K]`. Not by `linalg.solve`: MKL's batched LU on two threads has failed on matrices as good as
    these (torch 2.13)."""
    whole = left + PRIOR * torch.eye(left.shape[-1], dtype=left.dtype, device=left.device)
    return torch.cholesky_solve(right, torch.linalg.cholesky_ex(whole).L).permute(2, 1, 0)
