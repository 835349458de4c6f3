"""The posterior over a patient's code from few and noisy readings, each compared with the filter's prediction of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from careplan.series import PatientSeries, Window
from careplan.world.corpus import Corpus
from careplan.world.filter import Filtered, causal_encoding
from careplan.world.model import WorldModel
from careplan.world.personalise import Personalisation, stepped
from careplan.world.slopes import NUDGE

DRAWN = 64  # codes of either kind that a posterior is weighed with, and of the sample that is taken of them
WIDER = 1.25  # times the Gaussian's spread: a posterior's tails may be longer
TOGETHER = 4096  # rows filtered at once, of what is drawn


@dataclass(frozen=True, eq=False)
class _Recorded:
    """P recordings of equal length, padded at their ends as unknown: their windows `[P, T, C]`, what is usual `[P, C + Q + F]`
    and the encodings `[P, T / patch, L]`, each of what came before its patch."""

    window: Window
    usual: Tensor
    z: Tensor

    def filtered(self, model: WorldModel, code: Tensor) -> Filtered:
        """Along the recordings, by codes `[N P, K]`, N times all of them."""
        if model.filter is None:
            raise ValueError(f"{model.therapy.name}: no observation has a declared noise")
        count = len(code) // len(self.usual)
        window = Window(*(part.repeat(count, *[1] * (part.ndim - 1)) for part in vars(self.window).values()))
        return model.filter(model, self.z.repeat(count, 1, 1), window, self.usual.repeat(count, 1), code)


@torch.no_grad()
def posterior_from_readings(model: WorldModel, recordings: Sequence[PatientSeries], *, iterations: int) -> list[Personalisation]:
    """The posterior over each patient's code, from the prior and all readings, each weighted by its predicted spread given all
    before it.
    """
    corpus, device, size = Corpus.of(recordings), model.center.device, model.shape.code
    patch = model.shape.patch
    length = -(-int(corpus.length.max()) // patch) * patch
    window = corpus.windows(torch.arange(len(corpus)), torch.zeros(len(corpus), dtype=torch.long), length).to(device)
    usual = corpus.usual.to(device)
    recorded = _Recorded(window, usual, causal_encoding(model, window, usual))
    mean, precision = model.typical(usual), torch.linalg.inv(model.code_covariance)
    code = mean.clone()
    first = filtered = recorded.filtered(model, code)
    best = _loss(filtered, code - mean, precision)
    damping, directions = torch.full((len(corpus),), 1e-2, device=device), NUDGE * torch.eye(size, device=device)
    for _ in range(iterations):
        moved = recorded.filtered(model, (code.unsqueeze(0) + directions.unsqueeze(1)).flatten(0, 1))
        slopes = (_residuals(moved, filtered.variance).unflatten(0, (size, -1)) - _residuals(filtered, filtered.variance)) / NUDGE
        candidate, _ = stepped(code, slopes.permute(1, 2, 0), _residuals(filtered, filtered.variance), mean, precision, damping)
        proposed = recorded.filtered(model, candidate)
        value = _loss(proposed, candidate - mean, precision)
        better = value < best
        code = torch.where(better.unsqueeze(1), candidate, code)
        filtered = Filtered(*(torch.where(_like(better, new), new, old) for new, old in zip(proposed, filtered, strict=True)))
        best, damping = torch.where(better, value, best), torch.where(better, damping / 5, damping * 10)
    moved = recorded.filtered(model, (code.unsqueeze(0) + directions.unsqueeze(1)).flatten(0, 1))
    slopes = (_residuals(moved, filtered.variance).unflatten(0, (size, -1)) - _residuals(filtered, filtered.variance)) / NUDGE
    curvature = torch.einsum("kpr,lpr->pkl", slopes, slopes) + precision
    covariance = torch.linalg.inv(curvature)
    described = [
        _described(model, series, corpus.usual[index], code[index].cpu(), covariance[index].cpu(), first, filtered, index)
        for index, series in enumerate(recordings)
    ]
    if not model.therapy.sampled:
        return described
    sample = _sampled(model, recorded, mean, code, covariance).cpu()
    return [replace(person, sample=codes) for person, codes in zip(described, sample, strict=True)]


def _sampled(model: WorldModel, recorded: _Recorded, mean: Tensor, code: Tensor, covariance: Tensor) -> Tensor:
    """Codes of each posterior `[P, S, K]`, which count alike.

    Importance sampling with a mixture (Hesterberg 1995): few readings leave a posterior near the prior, and many near the
    Gaussian at its mode `code` `[P, K]` with `covariance` `[P, K, K]`, so half of the draws are of each, the latter `WIDER`. The
    draws are the same for everybody, so that nobody's depend on who is inferred beside them.
    """
    prior = torch.distributions.MultivariateNormal(mean, model.code_covariance)
    near = torch.distributions.MultivariateNormal(code, WIDER**2 * 0.5 * (covariance + covariance.mT))
    normal = _normals(2 * code.shape[1]).to(code).unflatten(1, (2, 1, -1))
    draws = torch.cat(
        [mid.loc + torch.einsum("pkl,jpl->jpk", mid.scale_tril, normal[:, place].expand(-1, len(code), -1))
         for place, mid in enumerate((prior, near))]
    )  # fmt: skip
    precision, lost = torch.linalg.inv(model.code_covariance), []
    for some in draws.split(max(1, TOGETHER // len(code))):
        filtered = recorded.filtered(model, some.flatten(0, 1))
        repeated = mean.repeat(len(some), 1)
        lost.append(_loss(filtered, some.flatten(0, 1) - repeated, precision).unflatten(0, (len(some), -1)))
    proposed = torch.logaddexp(prior.log_prob(draws), near.log_prob(draws))
    weight = torch.softmax(-0.5 * torch.cat(lost) - proposed, 0).T.contiguous()  # [P, 2 DRAWN]
    places = (torch.arange(DRAWN, device=code.device) + 0.5) / DRAWN
    chosen = torch.searchsorted(weight.cumsum(1), places.expand(len(code), -1).contiguous()).clamp(max=2 * DRAWN - 1)
    return draws.transpose(0, 1).gather(1, chosen.unsqueeze(2).expand(-1, -1, code.shape[1]))


def _normals(size: int) -> Tensor:
    """`[DRAWN, size]` draws of standard normals, evenly spread (Sobol), of mean 0 and covariance 1 exactly: what no reading tells
    of then stays as the prior has it."""
    even = torch.quasirandom.SobolEngine(size, scramble=True, seed=0).draw(DRAWN).double().clamp(1e-6, 1 - 1e-6)
    normal = torch.special.ndtri(even)
    normal = normal - normal.mean(0)
    whole = torch.linalg.cholesky(normal.T @ normal / DRAWN)
    return torch.linalg.solve_triangular(whole, normal.T, upper=False).T


def _like(flag: Tensor, part: Tensor) -> Tensor:
    return flag.reshape(-1, *[1] * (part.ndim - 1))


def _residuals(filtered: Filtered, variance: Tensor) -> Tensor:
    """`[N P, R]` what was missed over how large it may be, 0 where nothing was read; variance `[P, T, Q]`."""
    wide = variance.repeat(len(filtered.missed) // len(variance), 1, 1)
    return torch.where(filtered.seen, filtered.missed / wide.sqrt(), 0.0).flatten(1)


def _loss(filtered: Filtered, away: Tensor, precision: Tensor) -> Tensor:
    """`[P]` twice the negative log posterior, but for a constant."""
    each = torch.where(filtered.seen, filtered.missed.pow(2) / filtered.variance + filtered.variance.log(), 0.0)
    return each.flatten(1).sum(1) + torch.einsum("pk,kl,pl->p", away, precision, away)


def _described(
    model: WorldModel,
    series: PatientSeries,
    usual: Tensor,
    code: Tensor,
    covariance: Tensor,
    first: Filtered,
    filtered: Filtered,
    index: int,
) -> Personalisation:
    """With how well the next reading was foreseen, in the first output's unit: as the typical patient, and as this one; and how
    well by the last reading before it. The first reading is left out: nothing could foresee it."""
    seen = filtered.seen[index, :, 0]
    at = torch.nonzero(seen).squeeze(1)[1:]
    column = model.therapy.observed[0]
    rows = (at + 1) * model.group - 1
    truth = torch.from_numpy(series.values[rows.clamp(max=len(series) - 1).numpy(), column]).to(at.device)
    scaled = model.standard(torch.from_numpy(series.values).to(at.device))[rows.clamp(max=len(series) - 1), 0]
    errors = [(truth - model.natural_of(0, scaled - run.missed[index, at, 0])).pow(2).mean().sqrt() for run in (first, filtered)]
    before = torch.cat([truth[:1], truth[:-1]])
    still = (truth[1:] - before[1:]).pow(2).mean().sqrt() if len(truth) > 1 else torch.tensor(torch.inf)
    some = len(at) > 0
    score = (filtered.missed[index, at, 0] / (1.6449 * filtered.variance[index, at, 0].sqrt())).abs().unsqueeze(1)
    return Personalisation(
        patient=series.patient,
        mean=code,
        covariance=covariance,
        usual=usual,
        windows=int(seen.sum()),
        minutes=torch.tensor([model.therapy.clock.judged]) if some else torch.zeros(0),
        errors=torch.stack(errors).unsqueeze(0).cpu() if some else torch.zeros(0, 2),
        persistence=still.unsqueeze(0).cpu() if some else torch.zeros(0),
        scores=score.cpu() if some else torch.zeros(0, 0),
    )
