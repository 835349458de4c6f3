"""What happens to virtual people on warfarin from day to day, drawn before anyone is treated; any of it can be off."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

# Other drugs that are started: what each multiplies clearance by, for how many days (to the end where None), and its share of
# them. An azole or a co-trimoxazole course, amiodarone, and rifampicin or carbamazepine. They are those whose effects
# Holbrook 2005 (Arch Intern Med 165, 1095-1106) grades as major; the sizes are ours.
DRUGS = ((0.55, 10, 0.6), (0.70, None, 0.2), (1.60, 28, 0.2))


@dataclass(frozen=True, kw_only=True)
class Life:
    """How variable life is; 0 switches a source off.

    missed: share of tablets not taken (electronic caps counted 8 %, Platt 2008, and more); of those `confessed` are told at the
    next visit. diet: SD of the logarithm of the vitamin K eaten, which wanders over weeks. drugs: share of people to whom an
    interacting drug is given within 90 days; the clinic hears of it. noise: SD of the logarithm of a measured INR (a laboratory
    repeats itself within 3 %, a strip within 8). late: share of visits that are 1 to 7 days late.
    """

    missed: float = 0.06
    confessed: float = 0.5
    diet: float = 0.25
    drugs: float = 0.25
    noise: float = 0.06
    late: float = 0.15

    @classmethod
    def none(cls) -> "Life":
        """Every tablet is taken, nothing changes, and a laboratory measures as Hamberg 2007's did."""
        return cls(missed=0.0, diet=0.0, drugs=0.0, noise=0.0325, late=0.0)


@dataclass(frozen=True, eq=False)
class Lived:
    """`[B, D]` each: taken and reported, whether the tablet was swallowed and what the clinic will hear; supply of vitamin K and
    clearance, over what is usual; inhibitor, inducer, whether such a drug is taken; noise, what a measured INR is multiplied by;
    late, days by which a visit due that day is late."""

    taken: Tensor
    reported: Tensor
    supply: Tensor
    clears: Tensor
    inhibitor: Tensor
    inducer: Tensor
    noise: Tensor
    late: Tensor


def live(count: int, days: int, seed: int, life: Life | None = None) -> Lived:
    """`days` of life of `count` people."""
    life, random = life or Life(), np.random.default_rng((seed, 41))
    shape = (count, days)
    careless = random.gamma(1.0, life.missed, (count, 1)).clip(0, 0.5) if life.missed else np.zeros((count, 1))
    missed = random.random(shape) < careless
    reported = ~(missed & (random.random(shape) < life.confessed))
    walk = np.empty(shape)
    walk[:, 0] = random.standard_normal(count)
    kept = np.exp(-1 / 14)  # a fortnight's memory
    for day in range(1, days):
        walk[:, day] = kept * walk[:, day - 1] + (1 - kept**2) ** 0.5 * random.standard_normal(count)
    clears, inhibitor, inducer = np.ones(shape), np.zeros(shape), np.zeros(shape)
    for row in np.flatnonzero(random.random(count) < life.drugs * days / 90):
        factor, length, _ = DRUGS[random.choice(len(DRUGS), p=[drug[2] for drug in DRUGS])]
        first = int(random.integers(5, max(days, 6)))
        last = days if length is None else first + length
        own = factor ** random.uniform(0.6, 1.4)
        rise = np.minimum(1.0, np.arange(days - first) / 4 + 0.25)[: max(0, last - first)]  # full effect after three days
        clears[row, first : first + len(rise)] = own**rise
        (inhibitor if factor < 1 else inducer)[row, first : first + len(rise)] = 1.0
    parts = (
        ~missed,
        reported,
        np.exp(life.diet * walk - life.diet**2 / 2),
        clears,
        inhibitor,
        inducer,
        np.exp(life.noise * random.standard_normal(shape)),
        np.where(random.random(shape) < life.late, random.integers(1, 8, shape), 0),
    )
    return Lived(*(torch.from_numpy(np.asarray(part, dtype=np.float32)) for part in parts))
