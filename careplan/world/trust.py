"""When the model must abstain: conformal intervals, out-of-distribution scores and the abstention gate."""

import math
from collections.abc import Iterable
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

from careplan.clock import Clock, duration_in_words
from careplan.gate import Gate
from careplan.language import N_
from careplan.world.correction import FORESEEN
from careplan.world.heads import score_at
from careplan.world.model import WorldModel
from careplan.world.personalise import Personalisation
from careplan.world.question import Given

COVERAGE = 0.9
RATE = 0.08  # how fast the logarithm of a factor follows a patient, a pace of forecasts


def conformal_factor(scores: Tensor, coverage: float = COVERAGE) -> Tensor:
    """Scores `[N, H]` (residual over interval edge; NaN unmeasured) -> what widens each horizon's interval to `coverage`, `[H]`.

    Split conformal prediction with the finite-sample correction (Lei 2018): the ceil((n + 1) coverage) / n quantile.
    """
    factors = []
    for column in scores.unbind(-1):
        known = column[~column.isnan()]
        if not len(known):
            factors.append(torch.tensor(1.0))
            continue
        level = min(1.0, np.ceil((len(known) + 1) * coverage) / len(known))
        factors.append(torch.quantile(known, level))
    return torch.stack(factors)


def factor_for_plans(person: Personalisation, population: Tensor, *, prior: float = 60.0) -> Tensor:
    """The factor for one patient `[H]`: the population's, moved towards the patient's own as windows accumulate.

    The patient's own residuals were also fitted to, so they may widen the interval at once but narrow it only slowly.
    """
    if not len(person.scores):
        return population
    own = conformal_factor(person.scores)
    share = person.windows / (person.windows + prior)
    narrowed = population + share * (own - population)
    return torch.maximum(narrowed, 0.85 * population)


def adapted(start: Tensor, scores: Tensor, paces: float, *, coverage: float = COVERAGE) -> Tensor:
    """Factors `[N + 1, H]` from `start` `[H]` on, after each of the scores `[N, H]` (NaN unmeasured) of forecasts `paces` apart.

    Adaptive conformal inference (Gibbs and Candès 2021, eq. 2) on the logarithm of the factor itself (as the quantile tracker of
    Angelopoulos, Candès and Tibshirani 2023): each miss widens and each hit narrows, by such steps that in the long run the share
    `coverage` of measurements lies inside, whatever the patient does.
    """
    columns = []
    for first, column in zip(start.log().tolist(), scores.T.tolist(), strict=True):
        path = [first]
        for score in column:
            step = 0.0 if math.isnan(score) else RATE * paces * ((score > math.exp(path[-1])) - (1 - coverage))
            path.append(path[-1] + step)
        columns.append(path)
    return torch.tensor(columns, dtype=scores.dtype).T.exp()


def factor_after_recording(person: Personalisation, population: Tensor, given: Given, clock: Clock) -> Tensor:
    """The factor at the end of a patient's recording `[H]` every look, of what is foreseen: the population's, moved by
    what their own days missed at the correction's knots, in proportion between them."""
    if not len(person.foreseen):
        return population
    start = population[[round(minutes / clock.look) - 1 for minutes in clock.knots]]
    moved = (adapted(start, person.foreseen[FORESEEN.index(given)], person.every)[-1] / start).log()
    between = np.interp(clock.look * np.arange(1, len(population) + 1), clock.knots, moved.numpy())
    return population * torch.from_numpy(between).exp().to(population.dtype)


def nearness_to_level(levels: Tensor, offsets: Tensor, beyond: float, side: int = -1) -> Tensor:
    """How near predicted levels `[N, H]`, their offsets `[N, H, 4]` beside them, come to a level below (side -1) or above (1):
    the standard normal score of the likeliest moment, `[N]`. Moments are not independent: what it means in probability is learned
    from people held out.
    """
    return (-side * score_at(offsets, beyond - levels)).amax(1)


def strangeness(model: WorldModel, z: Tensor) -> Tensor:
    """How far encodings `[N, L]` lie from those seen in training: root mean squared Mahalanobis distance, about 1 when
    usual, `[N]`."""
    away = z - model.z_mean
    precision = torch.linalg.inv(model.z_covariance)
    return (torch.einsum("nk,kl,nl->n", away, precision, away) / z.shape[-1]).clamp(min=0).sqrt()


# What can be done about a reason, the soonest first.
Remedy = Literal["check the recording", "record for longer", "review without the model"]
REMEDIES: tuple[Remedy, ...] = get_args(Remedy)


class Reason(NamedTuple):
    """Why no suggestion can be made, and what to do about it."""

    remedy: Remedy
    text: str


def in_words(reasons: Iterable[Reason]) -> tuple[str, ...]:
    """Each with what to do about it, what can be done the soonest first."""
    ordered = sorted(reasons, key=lambda reason: REMEDIES.index(reason.remedy))
    return tuple(REASON.format(reason=reason.text, remedy=reason.remedy) for reason in ordered)


# What is stored of a reason, in English; `careplan.language.retold` says it in the reader's language.
REASON = N_("{reason} ({remedy})")
SAID_OF = (N_("check the recording"), N_("record for longer"), N_("review without the model"))
DAYS = N_("too little data: {days:.1f} days recorded, {needed:.0f} needed")
GAPS = N_("too many gaps: {active:.0f} % of readings present, {needed:.0f} % needed")
NO_DOSES = N_("no doses are logged: what treatment does to this patient cannot be told")
WINDOWS = N_("too few usable stretches to personalise: {windows}, {needed} needed")
OFF = N_("the model is off for this patient: its error at {ahead} is {error:.3g}, staying as it is {still:.3g}")
STRANGE = N_("this recording is unlike any the model was trained on (strangeness {strange:.1f}, at most {most:.1f})")


def abstentions(
    gate: Gate, *, days: float, active: float, dosed: bool, person: Personalisation, strange: float, judged: float, scale: float
) -> tuple[Reason, ...]:
    """Why no suggestion can be made; empty when one can. judged: minutes ahead at which the model must be of use; scale: of the
    level, in its unit.

    The model is wrong for a patient where it is no better than "stays as it is", unless its error is small: a level that hardly
    moves is predicted as well by no change, which is no evidence against the model.
    """
    reasons = []
    if not days >= gate.days:  # written so that NaN closes the gate
        reasons.append(Reason("record for longer", DAYS.format(days=days, needed=gate.days)))
    if not active >= gate.active:
        reasons.append(Reason("record for longer", GAPS.format(active=active, needed=gate.active)))
    if not dosed:
        reasons.append(Reason("check the recording", NO_DOSES))
    if person.windows < gate.windows:
        reasons.append(Reason("record for longer", WINDOWS.format(windows=person.windows, needed=gate.windows)))
    elif len(person.minutes):
        at = int((person.minutes - judged).abs().argmin())
        error, still = float(person.errors[at, 1]), float(person.persistence[at])
        if not error < max(gate.error_ratio * still, gate.even * scale):
            reasons.append(
                Reason("review without the model", OFF.format(ahead=duration_in_words(judged), error=error, still=still))
            )
    if not strange <= gate.strange:
        reasons.append(Reason("review without the model", STRANGE.format(strange=strange, most=gate.strange)))
    return tuple(reasons)
