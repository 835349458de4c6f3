"""Virtual people on warfarin: who they are, by published frequencies. What follows for their bodies is each body's own matter."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from careplan.therapies.warfarin.covariates import CYP2C9, VKORC1, Covariates, Race, cyp2c9_of, vkorc1_of

Place = Literal["aurora", "mixed"]
PLACES: tuple[Place, ...] = get_args(Place)
KG, CM = 0.45359237, 2.54  # of a pound, of an inch

# Patients of Aurora Health Care (Ravvaz 2017, doi 10.1161/circgenetics.117.001804), as the open package ReiL 0.1.0 states them.
AURORA_CYP2C9 = (0.6739, 0.1486, 0.0925, 0.0651, 0.0197, 0.0002)
AURORA_VKORC1 = (0.3837, 0.4418, 0.1745)
AURORA_RACE: dict[Race, float] = {"white": 0.9522, "black": 0.0419, "asian": 0.0040, "other": 0.0019}
AMIODARONE = 0.1151
# Frequencies of the alleles *2, *3 and -1639A in the 1000 Genomes Project (table 1 of PMC6562764). The shares of ancestries are
# those of the IWPC's people (white 55 %, Asian 30 %, black 9 %, the rest admixed American), rounded.
ALLELES: dict[Race, tuple[float, float, float]] = {
    "white": (0.124, 0.073, 0.388), "asian": (0.001, 0.034, 0.885), "black": (0.008, 0.002, 0.054), "other": (0.099, 0.037, 0.411)
}  # fmt: skip
MIXED_RACE: dict[Race, float] = {"white": 0.55, "asian": 0.30, "black": 0.09, "other": 0.06}


@dataclass(frozen=True)
class People:
    """Covariates of B virtual people, all true and complete; what a clinic knows of them may be less."""

    known: tuple[Covariates, ...]

    def __len__(self) -> int:
        return len(self.known)

    def some(self, rows: Sequence[int]) -> "People":
        return People(tuple(self.known[row] for row in rows))


def draw(count: int, seed: int, place: Place = "aurora") -> People:
    """`count` people of a place. Weight and height of a mixed clinic are those of Aurora, smaller for Asian people."""
    random = np.random.default_rng((seed, PLACES.index(place)))
    races = AURORA_RACE if place == "aurora" else MIXED_RACE
    known = []
    for race in random.choice(list(races), count, p=np.array([*races.values()]) / sum(races.values())):
        smaller = 0.82 if place == "mixed" and race == "asian" else 1.0
        age, weight, height = random.normal((67.30, 199.24 * KG, 66.78 * CM), (13.43, 54.71 * KG, 4.31 * CM))
        if place == "aurora":
            cyp2c9 = CYP2C9[random.choice(len(CYP2C9), p=np.array(AURORA_CYP2C9) / sum(AURORA_CYP2C9))]
            vkorc1 = VKORC1[random.choice(len(VKORC1), p=np.array(AURORA_VKORC1) / sum(AURORA_VKORC1))]
        else:
            two, three, a = ALLELES[race]
            cyp2c9 = cyp2c9_of("/".join(random.choice(["*1", "*2", "*3"], 2, p=[1 - two - three, two, three])))
            vkorc1 = vkorc1_of("".join(random.choice(["G", "A"], 2, p=[1 - a, a])))
        known.append(
            Covariates(
                age=float(np.clip(age, 18, 100)),
                weight=float(np.clip(weight * smaller, 35, 225)),
                height=float(np.clip(height * (0.95 if smaller < 1 else 1.0), 125, 215)),
                race=race,
                cyp2c9=cyp2c9,
                vkorc1=vkorc1,
                amiodarone=bool(random.random() < AMIODARONE),
            )
        )
    return People(tuple(known))
