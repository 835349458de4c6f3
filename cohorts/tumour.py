"""Lung tumours under chemotherapy and radiotherapy: the simulator of the counterfactual benchmark (Geng 2017; Bica 2020;
Melnychuk 2022), a patient a row of an array.

A day's step of a volume V, cm3 of a sphere:

    V[t+1] = V[t] (1 + rho ln(K / V[t]) - beta_c C[t] - (alpha d[t] + beta d[t]^2) + e[t+1]),   e ~ N(0, 0.01^2)

C[t]: chemotherapy's concentration, halved a day, 5.0 more where it is given; d[t]: 2.0 Gy where radiotherapy is. Treatment is
given the more often the larger the tumour was in the fortnight before: gamma is how much more, and confounds.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import truncnorm
from torch import Tensor

Values = NDArray[np.float64]
Flags = NDArray[np.bool_]

DAYS = 60  # rows of a trajectory, at most
CHEMO, GRAY = 5.0, 2.0  # concentration and Gy that one giving adds
KEPT = 0.5  # of the concentration, after a day
NOISE = 0.01
WINDOW = 15  # days whose mean diameter decides treatment
DENSITY = 5.8e8  # cells a cm3
ALPHA_BETA, CORRELATION = 10.0, 0.87
RHO, ALPHA, BETA_C = (7e-5, 7.23e-3), (0.0398, 0.168), (0.028, 0.0007)  # mean and standard deviation
# By stage: mean and standard deviation of the logarithm of the diameter (cm), its bounds, and how many were seen.
STAGES = (
    (1.72, 4.70, 0.3, 5.0, 1432),
    (1.96, 1.63, 0.3, 13.0, 128),
    (1.91, 9.40, 0.3, 13.0, 1306),
    (2.76, 6.87, 0.3, 13.0, 7248),
    (3.86, 8.82, 0.3, 13.0, 12840),
)


def volume(diameter: Values | float) -> Values:
    """cm -> cm3 of a sphere."""
    return np.asarray(np.pi / 6 * np.asarray(diameter) ** 3)


def diameter(cm3: Values) -> Values:
    """cm3 of a sphere -> cm."""
    return np.asarray(np.cbrt(6 * cm3 / np.pi))


CAPACITY = float(volume(30.0))
DEATH = float(volume(13.0))


@dataclass(frozen=True, eq=False)
class Tumours:
    """`[B]` each: kind 1, 2 or 3 (1 answers more to radiotherapy, 3 to chemotherapy), volume at the start, and the numbers of the
    equation."""

    kind: NDArray[np.int64]
    start: Values
    rho: Values
    alpha: Values
    beta: Values
    beta_c: Values

    def __len__(self) -> int:
        return len(self.kind)

    def grown(self, cm3: Values, concentration: Values, gray: Values, noise: Values) -> Values:
        """The volume a day later; everything `[B]` or `[B, ...]`."""
        rho, alpha, beta, beta_c = (
            part.reshape(-1, *(1,) * (cm3.ndim - 1)) for part in (self.rho, self.alpha, self.beta, self.beta_c)
        )
        kill = beta_c * concentration + alpha * gray + beta * gray**2
        return np.asarray(cm3 * (1 + rho * np.log(CAPACITY / np.maximum(cm3, 1e-12)) - kill + noise))


@dataclass(frozen=True, eq=False)
class Lives:
    """What happened: volume `[B, T]` at the start of each day, chemo and radio `[B, T]` given on it, concentration `[B, T]` with
    it; length `[B]` rows until death, cure or the end."""

    tumours: Tumours
    volume: Values
    chemo: Flags
    radio: Flags
    concentration: Values
    length: NDArray[np.int64]


def sample_tumours(count: int, random: np.random.Generator) -> Tumours:
    """Patients by the published frequencies of stages and distributions of the equation's numbers."""
    seen = np.array([stage[4] for stage in STAGES], dtype=float)
    stage = random.choice(len(STAGES), count, p=seen / seen.sum())
    start = np.empty(count)
    for index, (mu, sigma, low, high, _) in enumerate(STAGES):
        mine = stage == index
        bounds = (np.log(low) - mu) / sigma, (np.log(high) - mu) / sigma
        start[mine] = np.exp(mu + sigma * truncnorm.rvs(*bounds, size=int(mine.sum()), random_state=random))
    shared = CORRELATION * ALPHA[1] * RHO[1]
    drawn = np.empty((0, 2))
    while len(drawn) < count:
        more = random.multivariate_normal((ALPHA[0], RHO[0]), ((ALPHA[1] ** 2, shared), (shared, RHO[1] ** 2)), size=4 * count)
        drawn = np.concatenate([drawn, more[(more > 0).all(1)]])
    kind = random.integers(1, 4, count)
    alpha = drawn[:count, 0] + 0.1 * ALPHA[0] * (kind == 1)
    beta_c = BETA_C[0] + BETA_C[1] * truncnorm.rvs(-BETA_C[0] / BETA_C[1], np.inf, size=count, random_state=random)
    return Tumours(kind, volume(start), drawn[:count, 1], alpha, alpha / ALPHA_BETA, beta_c + 0.1 * BETA_C[0] * (kind == 3))


Treat = Callable[[Lives, Flags], Flags]  # what happened until today's volume, and `[2, B]` the confounded assignment: given


def live(tumours: Tumours, gamma: float, random: np.random.Generator, *, days: int = DAYS, treat: Treat | None = None) -> Lives:
    """Trajectories under the confounded assignment, as the training sets have them, or under another policy, by which chance is
    the same: no treatment on the first day."""
    draws = _Draws.of(len(tumours), days, random)
    cm3, given = np.zeros((len(tumours), days)), np.zeros((2, len(tumours), days), dtype=bool)
    concentration, length = np.zeros_like(cm3), np.full(len(tumours), days)
    alive = np.ones(len(tumours), dtype=bool)
    cm3[:, 0] = tumours.start
    for day in range(1, days):
        grown = tumours.grown(cm3[:, day - 1], concentration[:, day - 1], GRAY * given[1, :, day - 1], draws.noise[:, day])
        ends, cm3[:, day] = _ended(np.where(alive, grown, cm3[:, day - 1]), draws.cure[:, day])
        probability = assigned(cm3[:, max(day - WINDOW, 0) : day], gamma)
        assigns = draws.chance[:, :, day] < probability
        if treat is not None:
            before = (given[0, :, :day], given[1, :, :day], concentration[:, :day])
            assigns = treat(Lives(tumours, cm3[:, : day + 1], *before, np.minimum(length, day + 1)), assigns)
        given[:, :, day] = assigns & alive
        concentration[:, day] = KEPT * concentration[:, day - 1] + CHEMO * given[0, :, day]
        length[alive & ends] = day + 1
        alive &= ~ends
    return Lives(tumours, cm3, given[0], given[1], concentration, length)


def live_tested(tumours: Tumours, gamma: float, random: np.random.Generator, *, options: int, days: int = DAYS) -> Lives:
    """Factual trajectories as the published test sets have them. Treatment may be given on the first day, and it is assigned by
    the volumes in a row of the array of *outputs*, in which each patient and day fill `options` rows, one a counterfactual:
    patient i is treated by what row i holds, an early patient's volumes or nothing yet."""
    draws, count = _Draws.of(len(tumours), days, random), len(tumours)
    cm3, given = np.zeros((count, days)), np.zeros((2, count, days), dtype=bool)
    concentration, length = np.zeros_like(cm3), np.full(count, days)
    filled, outputs = 0, np.zeros((count, days + 1))  # no more than `count` rows are ever read
    for who in range(count):
        one = chosen(tumours, np.array([who]))
        cm3[who, 0] = tumours.start[who]
        for day in range(days):
            probability = assigned(outputs[who : who + 1, max(day - WINDOW, 0) : day + 1], gamma)
            given[:, who, day] = draws.chance[:, who, day] < probability
            before = concentration[who, day - 1] if day else 0.0
            concentration[who, day] = KEPT * before + CHEMO * given[0, who, day]
            rows = slice(filled, min(filled + options, count))
            outputs[rows, : day + 1], filled = cm3[who, : day + 1], filled + options
            if day + 1 == days:
                break
            grown = one.grown(
                cm3[who : who + 1, day],
                concentration[who : who + 1, day],
                GRAY * given[1, who : who + 1, day],
                draws.noise[who : who + 1, day + 1],
            )
            ends, cm3[who, day + 1 : day + 2] = _ended(grown, draws.cure[who : who + 1, day + 1])
            outputs[rows, day + 1] = cm3[who, day + 1]
            if ends[0]:
                length[who] = day + 2
                break
    return Lives(tumours, cm3, given[0], given[1], concentration, length)


@dataclass(frozen=True, eq=False)
class _Draws:
    """`[B, T]` what of a day's growth is chance, and chances of cure; `[2, B, T]` of treatment."""

    noise: Values
    cure: Values
    chance: Values

    @classmethod
    def of(cls, count: int, days: int, random: np.random.Generator) -> "_Draws":
        return cls(NOISE * random.normal(size=(count, days)), random.random((count, days)), random.random((2, count, days)))


def _ended(cm3: Values, cure: Values) -> tuple[Flags, Values]:
    """Whether a tumour ends today, and its volume: at death's for death, 0 for cure."""
    dies, cured = cm3 > DEATH, cure < np.exp(-np.maximum(cm3, 0.0) * DENSITY)
    return dies | cured, np.where(dies, DEATH, np.where(cured, 0.0, cm3))


def assigned(recent: Values, gamma: float) -> Values:
    """`[B]` the probability of either treatment, by the volumes of the days before `[B, W]`."""
    mean = diameter(np.maximum(recent, 0.0)).mean(1)
    return np.asarray(1 / (1 + np.exp(-gamma / 13.0 * (mean - 6.5))))


@dataclass(frozen=True, eq=False)
class TrueEquation:
    """The future of B patients without its noise, as a search asks for it (`careplan.planning.model.PlanningModel`): a state is a
    volume and a concentration."""

    tumours: Tumours

    def step(self, state: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """A day: state `[B, W, 1, 2]`, action `[B, W, 2]` -> next state, volume `[B, W, 1, 1]`."""
        chemo, radio = action.unsqueeze(2).double().unbind(-1)
        volume, concentration = state.double().unbind(-1)
        concentration = KEPT * concentration + CHEMO * chemo
        parts = (volume.numpy(), concentration.numpy(), GRAY * radio.numpy(), np.zeros(volume.shape))
        volume = torch.from_numpy(self.tumours.grown(*parts)).clamp(1e-3 / DENSITY, 2 * DEATH)
        return torch.stack([volume, concentration], -1).float(), volume.unsqueeze(-1).float()


def chosen(tumours: Tumours, rows: NDArray[np.int64]) -> Tumours:
    """Some patients, or the same several times."""
    return replace(tumours, **{name: part[rows] for name, part in vars(tumours).items()})
