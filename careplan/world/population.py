"""The distribution of patient codes over people, estimated from recordings with frozen weights: their mean and how far they
differ.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from careplan.series import PatientSeries, Window
from careplan.world.absorption import Layout
from careplan.world.corpus import Corpus
from careplan.world.filter import Filter, causal_encoding
from careplan.world.model import WorldModel
from careplan.world.personalise import Personalisation, expected, personalise

ROUNDS = 4  # of expectation and maximisation
WANDERS = torch.linspace(-2.0, 1.0, 13)  # logarithms of what the process noise is tried at, over what it was
RIDGE = 10.0  # people's worth of doubt that a fact tells anything
LEAST = 1e-3  # variance of a number of the code between people
TOGETHER = 200  # recordings taken at once
# How much further bodies of any kind differ than those of one family of equations, times standard deviations: of the numbers of
# a code that say how strongly doses act, and of those that say when they act and for how long (docs/experiments/bodies.md).
STRENGTHS, COURSE = 1.3, 2.0


@torch.no_grad()
def populate(
    model: WorldModel,
    recordings: Sequence[PatientSeries],
    *,
    rounds: int = ROUNDS,
    noise: bool = True,
    mean: bool = True,
    windows: int = 24,
    seed: int = 0,
) -> None:
    """Estimates the mean patient code by what is known of people beforehand, how much codes differ between people, the process
    noise of the levels, and the distribution of encodings, and writes them into the model.

    Empirical Bayes by expectation and maximisation: each round infers everybody's code as it stands, then takes the prior's
    mean and covariance from those codes and what is left in doubt of each, and, where readings carry a noise, the process noise
    under which they are least surprising with a code drawn for everybody (stochastic EM: Celeux and Diebolt 1985). Gradients
    cannot do this: a spread of codes and a noise enter the loss as scales, which a short training hardly moves from where they
    began.

    Args:
        model: A trained model.
        recordings: Of people like those for whom the model will be used; some dozens at least.
        rounds: Of expectation and maximisation, from a wide prior.
        noise: Whether the process noise is estimated too.
        mean: Whether the mean code is estimated too, and what covariates and habits tell of it; else both stay as trained.
        windows: Of each recording, where readings carry no noise.
        seed: Of the codes that are drawn.

    Raises:
        ValueError: There is no recording.
    """
    if not recordings:
        raise ValueError(f"{model.therapy.name}: no recording to estimate the population from")
    model.eval()
    model.code_covariance.copy_(torch.eye(len(model.code_covariance)))
    for turn in range(rounds):
        people = personalise(model, recordings, windows=windows)
        middles, within = (torch.stack(part) for part in zip(*map(_moments, people), strict=True))
        if model.filter is not None and noise:
            # At first by the likeliest codes: a doubt that a noise far too large leaves would keep it so for many rounds.
            seeds = range(seed + turn * len(people), seed + (turn + 1) * len(people))
            likeliest = 2 * turn < rounds
            drawn = [p.mean if likeliest else p.particles(2, seed=own)[1] for p, own in zip(people, seeds, strict=True)]
            model.filter.log_process.copy_(_wanders(model, model.filter, recordings, torch.stack(drawn)))
        away = middles - torch.stack([expected(model, person.usual) for person in people])
        if mean:
            away = away - _told(model, torch.stack([person.usual for person in people]), away)
        between = away.T @ away / len(away) + within.mean(0) + LEAST * torch.eye(away.shape[1])
        model.code_covariance.copy_(between.to(model.code_covariance))
    _, z = _encoded(model, Corpus.of(recordings))
    ends = z.flatten(0, 1)
    model.z_mean.copy_(ends.mean(0))
    model.z_covariance.copy_(torch.cov(ends.T) + LEAST * torch.eye(ends.shape[1], device=ends.device))


def _told(model: WorldModel, usual: Tensor, away: Tensor) -> Tensor:
    """Moves what the model expects of codes, by what is known of people beforehand, to where they were found (ridge regression).

    usual `[P, C + Q + F]`, away `[P, K]` from what was expected; returns what of it is expected now, `[P, K]`.
    """
    known = model.received.stranger(usual.to(model.center.device), model.center, model.scale).cpu().double()
    middle, found = known.mean(0), away.double().mean(0)
    apart = known - middle
    doubt = RIDGE * torch.eye(apart.shape[1], dtype=apart.dtype)
    weight = torch.linalg.solve(apart.T @ apart + doubt, apart.T @ (away.double() - found))
    model.habits.weight.add_(weight.T.to(model.habits.weight))
    model.habits.bias.add_((found - middle @ weight).to(model.habits.bias))
    return (found + apart @ weight).to(away)


def among_bodies(layout: Layout, covariance: Tensor) -> Tensor:
    """How far codes differ between people of any body, `[K, K]`, from how far they differ between those of one family of
    equations: the spread of the numbers that have a meaning is multiplied by `STRENGTHS` and `COURSE`, and correlations stay the
    same.
    """
    factors = torch.ones(len(covariance)).to(covariance)
    factors[: layout.named] = COURSE
    factors[layout.effects] = STRENGTHS
    return factors * covariance * factors.unsqueeze(1)


def _moments(person: Personalisation) -> tuple[Tensor, Tensor]:
    """The mean `[K]` and covariance `[K, K]` of what is known of a code."""
    if not len(person.sample):
        return person.mean, person.covariance
    return person.sample.mean(0), torch.cov(person.sample.T, correction=0)


def _wanders(model: WorldModel, filtering: Filter, recordings: Sequence[PatientSeries], codes: Tensor) -> Tensor:
    """The logarithm of the process noise of each output `[Q]` under which readings surprise least, by codes `[P, K]`."""
    begin, lost = filtering.log_process.clone(), torch.zeros(len(WANDERS), len(model.therapy.outputs))
    for first in range(0, len(recordings), TOGETHER):
        corpus = Corpus.of(recordings[first : first + TOGETHER])
        window, z = _encoded(model, corpus)
        usual, code = corpus.usual.to(z), codes[first : first + TOGETHER].to(z)
        for place, more in enumerate(WANDERS):
            filtering.log_process.copy_(begin + more)
            told = filtering(model, z, window, usual, code)
            each = told.variance.log() + told.missed.pow(2) / told.variance
            lost[place] += (each * told.seen).sum((0, 1)).cpu()
    return begin + WANDERS.to(begin)[lost.argmin(0).to(begin.device)]


def _encoded(model: WorldModel, corpus: Corpus) -> tuple[Window, Tensor]:
    """Whole recordings of one length, padded at their ends as unknown, and the encodings before each patch `[P, N, L]`."""
    patch, device = model.shape.patch, model.center.device
    rows = -(-int(corpus.length.max()) // patch) * patch
    window = corpus.windows(torch.arange(len(corpus)), torch.zeros(len(corpus), dtype=torch.long), rows).to(device)
    return window, causal_encoding(model, window, corpus.usual.to(device))
