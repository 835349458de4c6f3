"""Calibration on people the weights never saw: how wide intervals must be, and how large errors are."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from careplan.series import PatientSeries
from careplan.world.corpus import Branches, Corpus, usual
from careplan.world.forecast import predict
from careplan.world.heads import relative_residual
from careplan.world.model import WorldModel
from careplan.world.personalise import Personalisation, personalise, typical
from careplan.world.question import Given, Question

# How far the effect of a dose may be off though the code is known: a share of it, and scaled levels that each pace adds. Effects
# are judged with it (`careplan evaluate effects`). Chosen on virtual people of three families (docs/experiments/bodies.md).
DOUBT_SHARE = 0.25
DOUBT_GROWTH = 0.0125


def part(series: PatientSeries, begin: float, end: float) -> PatientSeries:
    """A stretch of a recording, by shares of its length."""
    first, last = round(begin * len(series)), round(end * len(series))
    start = series.times[first]
    return replace(series, start=start, values=series.values[first:last], mask=series.mask[first:last])


def measured_rows(series: PatientSeries, *, context: int, horizon: int, stride: int) -> list[int]:
    """Rows at which the level is measured, with a context behind and a horizon ahead."""
    column = series.therapy.index(series.therapy.regulated)
    rows = np.arange(context, len(series) - horizon, stride)
    return [int(row) for row in rows[series.mask[rows - 1, column]]] if len(rows) else []


def residuals(
    model: WorldModel,
    series: PatientSeries,
    person: Personalisation,
    *,
    given: Given,
    horizon: int | None = None,
    stride: int | None = None,
) -> tuple[Tensor, Tensor]:
    """At every look ahead: measured less predicted, in the level's unit, and the same over the interval's edge.

    `[N, H]` each, NaN where nothing was measured. horizon: rows, the clock's where None; stride: rows, a look where None.
    """
    clock = model.therapy.clock
    every = clock.rows(clock.look)
    horizon, stride = clock.rows(clock.horizon) if horizon is None else horizon, stride or every
    column = series.therapy.index(series.therapy.regulated)
    rows = measured_rows(series, context=model.shape.context, horizon=horizon, stride=stride)
    if not rows:
        empty = torch.zeros(0, horizon // every)
        return empty, empty
    minutes, levels, offsets = predict(model, series, rows, person, given=given, horizon=horizon)
    between = round(clock.look / model.shape.interval)
    at = list(range(between, len(minutes), between))
    ahead = np.asarray(rows)[:, None] - 1 + every * np.arange(1, len(at) + 1)
    truth, seen = torch.from_numpy(series.values[ahead, column]), torch.from_numpy(series.mask[ahead, column])
    residual = torch.where(seen, truth - levels[:, at], torch.nan)
    return residual, relative_residual(residual, offsets[:, at])


def personal(
    model: WorldModel, recordings: Sequence[PatientSeries], *, share: float = 0.6
) -> list[tuple[PatientSeries, Personalisation]]:
    """Each recording's last stretch, with the personalisation that was learned on the first `share` of it."""
    people = personalise(model, [part(series, 0.0, share) for series in recordings])
    return [(part(series, share, 1.0), person) for series, person in zip(recordings, people, strict=True)]


def typical_of(model: WorldModel, series: PatientSeries) -> Personalisation:
    """The typical patient, with this one's usual amounts."""
    return typical(model, series.patient, usual(series))


@torch.no_grad()
def effects(model: WorldModel, corpus: Corpus, branches: Branches, people: Sequence[Personalisation]) -> tuple[Tensor, Tensor]:
    """Predicted and true differences that treatments make, `[E, H]` each at the integration steps; `people` by corpus patient."""
    usual = torch.stack([person.usual for person in people])
    predicted = _differences(model, corpus, branches, torch.stack([person.mean for person in people]), usual)
    group = model.group
    return predicted, (branches.altered - branches.recorded)[:, group - 1 :: group]


@torch.no_grad()
def effect_doubt(model: WorldModel, corpus: Corpus, branches: Branches, people: Sequence[Personalisation]) -> Tensor:
    """How far predicted differences may be off for all that is known of a person, one standard deviation, `[E, H]` at the
    integration steps: what the posterior over the code leaves open, to first order, and what no code can say."""
    usual, mean = (torch.stack([getattr(person, part) for person in people]) for part in ("usual", "mean"))
    roots = torch.linalg.cholesky(torch.stack([person.covariance for person in people]))
    middle = _differences(model, corpus, branches, mean, usual)
    ahead = model.shape.interval / model.therapy.clock.pace * torch.arange(1, middle.shape[1] + 1, device=middle.device)
    squared = (DOUBT_SHARE * middle) ** 2 + (DOUBT_GROWTH * float(model.scale[model.therapy.observed[0]]) * ahead) ** 2
    for column in roots.unbind(-1):
        squared = squared + (_differences(model, corpus, branches, mean + column, usual) - middle) ** 2
    return squared.sqrt()


def _differences(model: WorldModel, corpus: Corpus, branches: Branches, codes: Tensor, usual: Tensor) -> Tensor:
    """What treatments change `[E, H]` in people of these codes `[P, K]` and usual amounts `[P, C + 1]`."""
    context, rows = model.shape.context, branches.values.shape[1]
    predicted = []
    for chosen in torch.arange(len(branches)).split(512):
        patients = branches.patient[chosen]
        whole = corpus.windows(patients, branches.row[chosen] - context, context + rows)
        past = type(whole)(*(piece[:, :context] for piece in (whole.values, whole.mask, whole.minute)))
        future, mask = whole.values[:, context:], whole.mask[:, context:]
        future = future if branches.before is None else branches.before[chosen]
        code, mean = codes[patients], usual[patients]
        state = model.state(model.encode(past, mean)[:, -1], past, mean, code)
        recorded = model.rollout(state, Question.plan(future, mask, mean, code)).level
        altered = model.rollout(state, Question.plan(branches.values[chosen], mask, mean, code)).level
        predicted.append((altered - recorded)[:, 1:])
    return torch.cat(predicted)


def effect_error(predicted: Tensor, true: Tensor) -> float:
    """RMS of what the predicted differences miss, over the RMS of the true ones."""
    return float((predicted - true).pow(2).mean().sqrt() / true.pow(2).mean().sqrt())


def sign_right(predicted: Tensor, true: Tensor, *, over: float) -> float:
    """Share of the true differences larger than `over` whose direction was predicted."""
    large = true.abs() > over
    return float((predicted[large] * true[large] > 0).float().mean()) if large.any() else float("nan")
