"""Calibrate, don't retrain: the posterior over a patient's code, by Gauss-Newton with frozen weights, many patients at once.

What a code is judged by is declared: where readings carry a noise, by what each reading adds to what the filter foresaw of it
(`world.readings`); else by what windows of the recording, asked as plans, lead to.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from careplan.series import PatientSeries, Window, split
from careplan.world.corpus import Corpus
from careplan.world.correction import corrections
from careplan.world.heads import relative_residual
from careplan.world.model import WorldModel
from careplan.world.question import Question
from careplan.world.slopes import code_slopes

# The residuals of one window, strongly autocorrelated and alike all day, count as this many independent ones, and windows that
# overlap as no more than what they span.
INDEPENDENT = 1.5
FLOOR = 0.12  # smallest residual spread believed, scaled level
CHUNK = {"cpu": 384, "cuda": 8192}  # rows integrated at once: what fits a cache, and what fills a GPU


@dataclass(frozen=True, eq=False)
class Personalisation:
    """What the model knows of one patient.

    mean `[K]`, covariance `[K, K]`: the Gaussian posterior of the code. usual `[C + Q + F]`. windows: how many informed it
    (readings, where they carry a noise). errors: `[H, 2]` root mean squared error at `minutes` `[H]` in the level's unit, of the
    typical patient and of this one. persistence: `[H]` the same for "stays as it is". scores: `[N, H]` residuals over the
    predicted spread, for conformal intervals. correction: weights of what is added to foresight, empty where nothing is
    (`correction.correct`). foreseen: `[2, R, K]` such scores of foresight at the correction's knots, in order of time, `every`
    paces apart, each of a correction fitted without the days around it (`trust.adapted`). sample: `[S, K]` codes of the posterior
    itself, which count alike, where the therapy asks for it; empty where the Gaussian stands for it.
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
    sample: Tensor = field(default_factory=lambda: torch.zeros(0))

    def particles(self, count: int, seed: int = 0) -> Tensor:
        """`[count, K]` draws: of the sample, evenly over it; else of the Gaussian, in antithetic pairs, the first its mean."""
        generator = torch.Generator().manual_seed(seed)
        if len(self.sample):
            first = torch.rand(1, generator=generator)
            return self.sample[((torch.arange(count) + first) * (len(self.sample) / count)).long() % len(self.sample)]
        normal = torch.randn((count + 1) // 2, len(self.mean), generator=generator)
        draws = torch.cat([normal, -normal])[:count] @ torch.linalg.cholesky(self.covariance).T
        draws[0] = 0.0
        return self.mean + draws


def typical(model: WorldModel, patient: str, usual: Tensor) -> Personalisation:
    """The prior of a patient of whom only the usual amounts `[C + Q + F]` are known."""
    none = torch.zeros(0)
    return Personalisation(
        patient, expected(model, usual), model.code_covariance.cpu(), usual, 0, none, torch.zeros(0, 2), none, torch.zeros(0, 0)
    )


@torch.no_grad()
def expected(model: WorldModel, usual: Tensor) -> Tensor:
    """The code `[K]` that the model expects of a patient with the usual amounts `[C + Q + F]`."""
    return model.typical(usual.to(model.center.device).unsqueeze(0)).squeeze(0).cpu()


@torch.no_grad()
def personalise(
    model: WorldModel, recordings: Sequence[PatientSeries], *, windows: int = 96, horizon: int | None = None, iterations: int = 2
) -> list[Personalisation]:
    """The posterior over the code of each recording's patient, and the correction of what is foreseen; weights stay frozen.

    Minimises the sum of squared scaled residuals plus the prior's Mahalanobis distance (Levenberg-Marquardt, one damping a
    patient); the curvature at the end is the posterior's precision (Laplace).

    Args:
        model: A trained model.
        recordings: P recordings, of a patient each.
        windows: How many windows, spread evenly over each recording; the model predicts each under its recorded plan.
        horizon: Rows that each window predicts; the clock's horizon where None. `windows` and `horizon` are not used where
            readings have a declared noise, since every reading counts then.
        iterations: Of the minimisation.

    Returns:
        What is known of each patient, in the order of the recordings.
    """
    if not recordings:
        return []
    if all(model.therapy.filtered):
        from careplan.world.readings import posterior_from_readings

        return posterior_from_readings(model, recordings, iterations=3 * iterations)
    clock = model.therapy.clock
    asked = _Asked.of(model, recordings, windows, clock.rows(clock.horizon) if horizon is None else horizon)
    fitted = _fitted(model, asked, iterations)
    return _described(model, asked, fitted, recordings)


@dataclass(frozen=True, eq=False)
class _Asked:
    """W windows of each of P patients: what came before, the future, what is usual `[P W, C + Q + F]`, the encodings `[P W, L]`;
    the level measured at every look ahead, and where, `[P W, H]`; of which patient each is `[P W]`."""

    corpus: Corpus
    past: Window
    future: Window
    usual: Tensor
    z: Tensor
    truth: Tensor
    measured: Tensor
    patients: Tensor
    every: int
    windows: int
    horizon: int

    @classmethod
    def of(cls, model: WorldModel, recordings: Sequence[PatientSeries], windows: int, horizon: int) -> "_Asked":
        device, clock = model.center.device, model.therapy.clock
        corpus, context, column = Corpus.of(recordings), model.shape.context, model.therapy.index(model.therapy.regulated)
        patients = torch.arange(len(recordings)).repeat_interleave(windows)
        rows = _rows(corpus, windows, context=context, horizon=horizon, column=column)
        whole = corpus.windows(patients, rows - context, context + horizon).to(device)
        past, future = split(whole, context)
        usual = corpus.usual.to(device)[patients.to(device)]
        z = torch.cat([model.encode(split(chunk, context)[0], part)[:, -1] for chunk, part in _chunks(whole, usual)])
        group = clock.rows(clock.look)
        truth = future.values[:, group - 1 :: group, column]
        recent = past.mask[:, -(clock.fresh - 1) :, column].any(1, keepdim=True)
        measured = future.mask[:, group - 1 :: group, column] & recent
        every = round(clock.look / model.shape.interval)
        return cls(corpus, past, future, usual, z, truth, measured, patients, every, windows, horizon)

    def __len__(self) -> int:
        return len(self.z)

    def per_patient(self, values: Tensor) -> Tensor:
        """`[P W, ...]` -> `[P, W, ...]`."""
        return values.unflatten(0, (len(self.corpus), -1))

    def predict(self, model: WorldModel, code: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
        """Codes `[R, K]` of windows `[R]` -> levels and their offsets at every look, `[R, H]`, `[R, H, 4]`."""
        levels, offsets = [], []
        for z, window, plan in self._pieces(model, code, at):
            rollout = model.rollout(model.state(z, window, plan.usual, plan.code), plan)
            levels.append(rollout.level[:, self.every :: self.every])
            offsets.append(rollout.offsets[:, self.every :: self.every])
        return torch.cat(levels), torch.cat(offsets)

    def slopes(self, model: WorldModel, code: Tensor, at: Tensor) -> Tensor:
        """How those levels move with each number of the codes, `[K, R, H]`."""
        parts = [code_slopes(model, *piece)[..., self.every - 1 :: self.every] for piece in self._pieces(model, code, at)]
        return torch.cat(parts, 1)

    def _pieces(self, model: WorldModel, code: Tensor, at: Tensor) -> Iterator[tuple[Tensor, Window, Question]]:
        """Encodings, contexts and plans of windows `[R]`, with codes `[R, K]`, as many at once as `CHUNK` says."""
        chunk = CHUNK.get(model.center.device.type, CHUNK["cuda"])
        for part, index in zip(code.split(chunk), at.split(chunk), strict=True):
            past = Window(self.past.values[index], self.past.mask[index], self.past.minute[index])
            yield self.z[index], past, Question.plan(self.future.values[index], self.future.mask[index], self.usual[index], part)


@dataclass(frozen=True, eq=False)
class _Fitted:
    """code `[P, K]`, its covariance `[P, K, K]`; base `[P W, H]`: the levels of the typical patient; levels, offsets `[P W, H]`,
    `[P W, H, 4]`: of the code."""

    code: Tensor
    covariance: Tensor
    base: Tensor
    levels: Tensor
    offsets: Tensor


def _fitted(model: WorldModel, asked: _Asked, iterations: int) -> _Fitted:
    """The codes that fit the windows best, and their posterior."""
    device, column, count = model.center.device, model.therapy.index(model.therapy.regulated), len(asked.corpus)
    patients, truth, per_patient = asked.patients, asked.truth, asked.per_patient
    everywhere, scale = torch.arange(len(asked), device=device), model.scale[column]
    mean = model.typical(asked.corpus.usual.to(device))
    precision = torch.linalg.inv(model.code_covariance)
    base, offsets = asked.predict(model, mean[patients], everywhere)
    weight = _weights(asked, ((base - truth) / scale) ** 2 * asked.measured, model.shape.context)

    def loss(levels: Tensor, at: Tensor) -> Tensor:
        fit = (per_patient((levels - truth) / scale) * weight).pow(2).sum((1, 2))
        away = at - mean
        return fit + torch.einsum("pk,kl,pl->p", away, precision, away)

    code, levels = mean.clone(), base
    best = loss(base, code)
    damping = torch.full((count,), 1e-2, device=device)
    curvature, apart = precision.expand(count, -1, -1), _between_days(model, asked)
    for iteration in range(iterations):
        every_other = 2 if iteration == 0 else 1  # the first, rough step is taken from half of the windows
        some = per_patient(everywhere)[:, ::every_other].flatten()
        share = weight[:, ::every_other] * every_other**0.5
        moved = asked.slopes(model, code[patients[some]], some) / scale
        jacobian = torch.stack([per_patient(slope) * share for slope in moved], -1).flatten(1, 2)  # [P, W H, K]
        residual = (per_patient((levels - truth)[some] / scale) * share).flatten(1)
        candidate, curvature = stepped(code, jacobian, residual, mean, precision, damping, apart)
        proposed, about = asked.predict(model, candidate[patients], everywhere)
        value = loss(proposed, candidate)
        better = value < best
        code = torch.where(better.unsqueeze(1), candidate, code)
        moves = better[patients].unsqueeze(1)
        levels, offsets = torch.where(moves, proposed, levels), torch.where(moves.unsqueeze(2), about, offsets)
        best = torch.where(better, value, best)
        damping = torch.where(better, damping / 5, damping * 10)
    return _Fitted(code, torch.linalg.inv(curvature), base, levels, offsets)


def stepped(
    code: Tensor,
    jacobian: Tensor,
    residual: Tensor,
    mean: Tensor,
    precision: Tensor,
    damping: Tensor,
    apart: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """One damped Gauss-Newton step of codes `[P, K]` from weighted residuals `[P, R]` and their slopes `[P, R, K]`, under a prior
    of `mean` `[P, K]` and `precision` `[K, K]`; damping `[P]`. Returns the codes and the curvature `[P, K, K]`.

    apart: `[P, K, K]` how far the code that a record shows lies from the person's own, a covariance: what the record tells is
    then told with that doubt, to first order.
    """
    gradient = torch.einsum("prk,pr->pk", jacobian, residual)
    told = torch.einsum("prk,prl->pkl", jacobian, jacobian)
    if apart is not None:  # (told^-1 + apart)^-1, where told has no inverse too
        doubted = torch.eye(told.shape[-1], device=told.device) + told @ apart
        gradient, told = torch.linalg.solve(doubted, gradient), torch.linalg.solve(doubted, told)
    gradient, curvature = gradient + (code - mean) @ precision, (told + told.mT) / 2 + precision
    damped = curvature + damping[:, None, None] * torch.diag_embed(curvature.diagonal(dim1=1, dim2=2))
    return code - torch.linalg.solve(damped, gradient), curvature


def _between_days(model: WorldModel, asked: _Asked) -> Tensor | None:
    """How far the mean code of the days recorded lies from the person's own, `[P, K, K]`; None where nothing repeats.

    What doses do differs from one day of a person to the next about as much as between people (docs/experiments/bodies.md).
    """
    cycle = model.therapy.clock.cycle
    if cycle is None:
        return None
    named = (torch.arange(len(model.code_covariance)) < model.named).to(model.code_covariance)
    days = asked.corpus.length.to(named) * model.therapy.step / cycle
    return named * model.code_covariance * named.unsqueeze(1) / days.clamp(min=1e-3)[:, None, None]


def _weights(asked: _Asked, squared: Tensor, context: int) -> Tensor:
    """`[P, W, H]` how much each residual counts, by squared residuals `[P W, H]` of the typical patient, scaled."""
    seen = asked.per_patient(asked.measured).sum(1).clamp(min=1)
    noise = (asked.per_patient(squared).sum(1) / seen).sqrt().clamp(min=FLOOR)  # [P, H]
    apart = ((asked.corpus.length - context // 4) / (asked.horizon * asked.windows)).clamp(0.0, 1.0).to(noise.device)  # [P]
    believed = (INDEPENDENT / asked.truth.shape[1] * apart).sqrt()[:, None, None]
    return asked.per_patient(asked.measured).float() / noise.unsqueeze(1) * believed


def _described(model: WorldModel, asked: _Asked, fitted: _Fitted, recordings: Sequence[PatientSeries]) -> list[Personalisation]:
    """What is known of each patient, with how well it does on the windows."""
    column, truth, corpus = model.therapy.index(model.therapy.regulated), asked.truth, asked.corpus
    learned = corrections(model, corpus, fitted.code)
    levels, offsets = fitted.levels, fitted.offsets
    last = asked.past.values[:, -1, column].unsqueeze(1)
    results = []
    for index, series in enumerate(recordings):
        mine = asked.patients == index
        mask = asked.measured[mine]

        def rmse(prediction: Tensor, mine: Tensor = mine, mask: Tensor = mask) -> Tensor:
            error = (prediction[mine] - truth[mine]) ** 2 * mask
            return (error.sum(0) / mask.sum(0).clamp(min=1)).sqrt()

        scores = torch.where(mask, relative_residual((truth - levels)[mine], offsets[mine]), torch.nan)
        results.append(
            Personalisation(
                patient=series.patient,
                mean=fitted.code[index].cpu(),
                covariance=fitted.covariance[index].cpu(),
                usual=corpus.usual[index],
                windows=int(mask.any(1).sum()),
                minutes=model.therapy.clock.look * torch.arange(1, truth.shape[1] + 1),
                errors=torch.stack([rmse(fitted.base), rmse(levels)], -1).cpu(),
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


def _chunks(window: Window, usual: Tensor, size: int = 2048) -> list[tuple[Window, Tensor]]:
    """Pieces of a batch that fit the cache."""
    parts = [getattr(window, name).split(size) for name in ("values", "mask", "minute")]
    return [(Window(*part), mine) for *part, mine in zip(*parts, usual.split(size), strict=True)]
