"""Calibrate, don't retrain: the posterior over a patient's code, by Gauss-Newton with frozen weights, many patients at once."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from careplan.series import PatientSeries, split
from careplan.world.corpus import Corpus
from careplan.world.correction import corrections
from careplan.world.dynamics import PLAN
from careplan.world.futures import slopes
from careplan.world.heads import relative
from careplan.world.model import WorldModel

# The residuals of one window, strongly autocorrelated and alike all day, count as this many independent ones, and windows that
# overlap as no more than what they span.
INDEPENDENT = 1.5
FLOOR = 0.12  # smallest residual spread believed, scaled level
CHUNK = {"cpu": 384, "cuda": 8192}  # rows integrated at once: what fits a cache, and what fills a GPU


@dataclass(frozen=True, eq=False)
class Personalisation:
    """What the model knows of one patient.

    mean `[K]`, covariance `[K, K]`: the Gaussian posterior of the code. usual `[C + 1]`. windows: how many informed it.
    errors: `[H, 2]` root mean squared error at `minutes` `[H]` in the level's unit, of the typical patient and of this one.
    persistence: `[H]` the same for "stays as it is". scores: `[N, H]` residuals over the predicted spread, for conformal
    intervals. correction: weights of what is added to foresight, empty where nothing is (`correction.correct`). foreseen:
    `[2, R, K]` such scores of foresight at the correction's knots, in order of time, `every` hours apart, each of a correction
    fitted without the days around it (`trust.adapted`).
    """

    patient: str
    mean: Tensor
    covariance: Tensor
    usual: Tensor
    windows: int
    minutes: Tensor
    errors: Tensor
    persistence: Tensor
    scores: Tensor
    correction: Tensor = field(default_factory=lambda: torch.zeros(0))
    foreseen: Tensor = field(default_factory=lambda: torch.zeros(0))
    every: float = 0.5

    def particles(self, count: int, seed: int = 0) -> Tensor:
        """`[count, K]` draws in antithetic pairs, the first the mean itself."""
        generator = torch.Generator().manual_seed(seed)
        normal = torch.randn((count + 1) // 2, len(self.mean), generator=generator)
        draws = torch.cat([normal, -normal])[:count] @ torch.linalg.cholesky(self.covariance).T
        draws[0] = 0.0
        return self.mean + draws


def typical(model: WorldModel, patient: str, usual: Tensor) -> Personalisation:
    """The prior: what is known of somebody of whom nothing is known."""
    none = torch.zeros(0)
    return Personalisation(
        patient, expected(model, usual), model.code_covariance.cpu(), usual, 0, none, torch.zeros(0, 2), none, torch.zeros(0, 0)
    )


@torch.no_grad()
def expected(model: WorldModel, usual: Tensor) -> Tensor:
    """The code `[K]` that what is usual `[C + 1]` lets expect."""
    return model.typical(usual.to(model.center.device).unsqueeze(0)).squeeze(0).cpu()


@torch.no_grad()
def personalise(
    model: WorldModel, recordings: Sequence[PatientSeries], *, windows: int = 64, horizon: int = 48, iterations: int = 2
) -> list[Personalisation]:
    """The posterior over the code of each recording's patient, from `windows` windows spread evenly over it that ask what the
    recorded plan would do, and the correction of what is foreseen.

    Minimises sum of squared scaled residuals at every half hour plus the prior's Mahalanobis distance (Levenberg-Marquardt,
    one damping a patient, slopes by `futures.slopes`); the curvature at the end is the posterior's precision (Laplace).
    """
    if not recordings:
        return []
    device = model.center.device
    corpus, context, column = Corpus.of(recordings), model.shape.context, model.therapy.index(model.therapy.regulated)
    patients = torch.arange(len(recordings)).repeat_interleave(windows)
    rows = _rows(corpus, windows, context=context, horizon=horizon, column=column)
    whole = corpus.windows(patients, rows - context, context + horizon).to(device)
    past, future = split(whole, context)
    usual = corpus.usual.to(device)[patients.to(device)]
    z = torch.cat([model.encode(split(chunk, context)[0], part)[:, -1] for chunk, part in _chunks(whole, usual)])

    every = round(30 / model.shape.interval)
    group = round(30 / model.therapy.step)
    truth = future.values[:, group - 1 :: group, column]
    measured = future.mask[:, group - 1 :: group, column] & past.mask[:, -3:, column].any(1, keepdim=True)
    asked = torch.full((len(z),), PLAN, device=device)
    chunk = CHUNK.get(device.type, CHUNK["cuda"])

    def predict(code: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
        """Codes `[R, K]` of windows `[R]` -> levels and their offsets at every half hour, `[R, H]`, `[R, H, 4]`."""
        levels, offsets = [], []
        for part, index in zip(code.split(chunk), at.split(chunk), strict=True):
            mine = usual[index]
            window = type(past)(past.values[index], past.mask[index], past.minute[index])
            state = model.state(z[index], window, mine, part)
            rollout = model.rollout(state, future.values[index], future.mask[index], asked[index], mine, part)
            levels.append(rollout.level[:, every::every])
            offsets.append(rollout.offsets[:, every::every])
        return torch.cat(levels), torch.cat(offsets)

    def sloped(code: Tensor, index: Tensor) -> Tensor:
        """The same, how scaled levels at every half hour move with each number of the code, `[K, R, H]`."""
        windows = (type(past)(part.values[index], part.mask[index], part.minute[index]) for part in (past, future))
        return slopes(model, z[index], *windows, usual[index], code)[..., every - 1 :: every]

    count = len(recordings)
    everywhere = torch.arange(len(z), device=device)
    scale = model.scale[column]
    mean = model.typical(corpus.usual.to(device))
    precision = torch.linalg.inv(model.code_covariance)
    code = mean.clone()

    def per_patient(values: Tensor) -> Tensor:
        return values.unflatten(0, (count, -1))

    base, offsets = predict(code[patients], everywhere)
    squared = per_patient(((base - truth) / scale) ** 2 * measured)
    seen = per_patient(measured).sum(1).clamp(min=1)
    noise = (squared.sum(1) / seen).sqrt().clamp(min=FLOOR)  # [P, H]
    apart = ((corpus.length - context // 4) / (horizon * windows)).clamp(0.0, 1.0).to(device)  # [P]
    believed = (INDEPENDENT / truth.shape[1] * apart).sqrt()[:, None, None]
    weight = per_patient(measured).float() / noise.unsqueeze(1) * believed  # [P, W, H]

    def loss(levels: Tensor, at: Tensor) -> Tensor:
        fit = (per_patient((levels - truth) / scale) * weight).pow(2).sum((1, 2))
        away = at - mean
        return fit + torch.einsum("pk,kl,pl->p", away, precision, away)

    best, levels = loss(base, code), base
    damping = torch.full((count,), 1e-2, device=device)
    curvature = precision.expand(count, -1, -1)
    for iteration in range(iterations):
        every_other = 2 if iteration == 0 else 1  # the first, rough step is taken from half of the windows
        some = per_patient(everywhere)[:, ::every_other].flatten()
        share = weight[:, ::every_other] * every_other**0.5
        moved = torch.cat([sloped(code[patients[part]], part) for part in some.split(chunk)], 1)  # [K, P W, H]
        jacobian = torch.stack([per_patient(slope) * share for slope in moved], -1).flatten(1, 2)  # [P, W H, K]
        residual = (per_patient((levels - truth)[some] / scale) * share).flatten(1)
        gradient = torch.einsum("prk,pr->pk", jacobian, residual) + (code - mean) @ precision
        curvature = torch.einsum("prk,prl->pkl", jacobian, jacobian) + precision
        damped = curvature + damping[:, None, None] * torch.diag_embed(curvature.diagonal(dim1=1, dim2=2))
        candidate = code - torch.linalg.solve(damped, gradient)
        proposed, about = predict(candidate[patients], everywhere)
        value = loss(proposed, candidate)
        better = value < best
        code = torch.where(better.unsqueeze(1), candidate, code)
        moves = better[patients].unsqueeze(1)
        levels, offsets = torch.where(moves, proposed, levels), torch.where(moves.unsqueeze(2), about, offsets)
        best = torch.where(better, value, best)
        damping = torch.where(better, damping / 5, damping * 10)

    covariance, learned = torch.linalg.inv(curvature), corrections(model, corpus, code)
    last = past.values[:, -1, column].unsqueeze(1)
    minutes = 30.0 * torch.arange(1, truth.shape[1] + 1)
    results = []
    for index, series in enumerate(recordings):
        mine = patients == index
        mask = measured[mine]

        def rmse(prediction: Tensor, mine: Tensor = mine, mask: Tensor = mask) -> Tensor:
            error = (prediction[mine] - truth[mine]) ** 2 * mask
            return (error.sum(0) / mask.sum(0).clamp(min=1)).sqrt()

        scores = torch.where(mask, relative((truth - levels)[mine], offsets[mine]), torch.nan)
        results.append(
            Personalisation(
                patient=series.patient,
                mean=code[index].cpu(),
                covariance=covariance[index].cpu(),
                usual=corpus.usual[index],
                windows=int(mask.any(1).sum()),
                minutes=minutes,
                errors=torch.stack([rmse(base), rmse(levels)], -1).cpu(),
                persistence=rmse(last.expand_as(truth)).cpu(),
                scores=scores.cpu(),
                correction=learned[index].weights,
                foreseen=learned[index].scores,
                every=learned[index].every,
            )
        )
    return results


def _rows(corpus: Corpus, windows: int, *, context: int, horizon: int, column: int) -> Tensor:
    """`windows` rows of every patient, evenly over the rows at which the level was measured and a context precedes."""
    rows = []
    for first, length in zip(corpus.first.tolist(), corpus.length.tolist(), strict=True):
        measured = torch.nonzero(corpus.mask[first : first + length, column]).squeeze(1) + 1
        room = measured[(measured >= min(context // 4, length // 2)) & (measured <= max(length - horizon, 1))]
        if not len(room):
            room = torch.tensor([max(length - 1, 1)])
        rows.append(room[torch.linspace(0, len(room) - 1, windows).round().long()])
    return torch.cat(rows)


def _chunks(window: "type[object] | object", usual: Tensor, size: int = 2048) -> list[tuple]:  # type: ignore[type-arg]
    """Pieces of a batch that fit the cache."""
    parts = [getattr(window, name).split(size) for name in ("values", "mask", "minute")]
    return [(type(window)(*part), mine) for *part, mine in zip(*parts, usual.split(size), strict=True)]
