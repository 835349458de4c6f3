"""Hamberg's people: S-warfarin in two compartments, inhibition by concentration, two transit chains.

Hamberg 2007 (Clin Pharmacol Ther 81, 529-538; doi 10.1038/sj.clpt.6100084), with the values and conventions of the open package
ReiL 0.1.0: bioavailability 0.9, half of a tablet is S-warfarin, a first chain of six compartments and a second of one.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from cohorts.warfarin.people import People

Spread = Literal["quartiles", "full", "none"]

CLEARANCE = 0.314  # l/h of S-warfarin, *1/*1 at 71 years
LESS = {"*1/*1": 0.0, "*1/*2": 0.315, "*1/*3": 0.453, "*2/*2": 0.722, "*2/*3": 0.690, "*3/*3": 0.852}
AGEING = 0.0091  # of clearance a year from 71
V1, Q, V2, KA, AVAILABLE = 13.8, 0.131, 6.59, 2.0, 0.9
EC50 = {"G/G": 4.61, "G/A": 3.02, "A/A": 2.20}  # mg/l
GAMMA, MTT1, MTT2, LAMBDA, INR_MAX, BASELINE = 0.424, 11.6, 120.0, 3.61, 20.0, 1.0
# Variance of the logarithm between people. The package draws from the middle half of each distribution alone.
VARIANCE = {"clearance": 0.310, "v1": 0.262, "v2": 0.991, "mtt1": 0.141, "mtt2": 1.020, "ec50": 0.409}
CHAIN = 6
NOISE = 0.0325  # SD of the logarithm of a measured INR


@dataclass(frozen=True, eq=False)
class Hamberg:
    """B bodies, `[B]` each: clearance l/h of S-warfarin, v1, v2 l, mtt1, mtt2 h, ec50 mg/l. hours: of an integration step."""

    clearance: Tensor
    v1: Tensor
    v2: Tensor
    mtt1: Tensor
    mtt2: Tensor
    ec50: Tensor
    hours: float = 3.0

    @classmethod
    def draw(cls, people: People, seed: int, *, spread: Spread = "full", hours: float = 3.0) -> "Hamberg":
        """Bodies of people. spread: "quartiles" as the open package draws, from the middle half of each distribution; "full" of
        the whole with the published numbers read as coefficients of variation; "none" is typical for who they are."""
        random = np.random.default_rng((seed, 17))
        typical = {
            "clearance": [CLEARANCE * (1 - AGEING * (p.age - 71.0)) * (1 - LESS[p.cyp2c9 or "*1/*1"]) for p in people.known],
            "ec50": [EC50[p.vkorc1 or "G/A"] for p in people.known],
        } | {name: [value] * len(people) for name, value in (("v1", V1), ("v2", V2), ("mtt1", MTT1), ("mtt2", MTT2))}
        drawn = {}
        for name, variance in VARIANCE.items():
            normal = torch.from_numpy(random.standard_normal(len(people)))
            if spread == "quartiles":
                share = 0.25 + 0.5 * torch.special.ndtr(normal)
                normal, deviation = torch.special.ndtri(share), variance**0.5
            else:
                deviation = variance if spread == "full" else 0.0
            drawn[name] = (torch.tensor(typical[name], dtype=torch.float64) * torch.exp(deviation * normal)).float()
        return cls(**drawn, hours=hours)

    def __len__(self) -> int:
        return len(self.clearance)

    def some(self, rows: Tensor) -> "Hamberg":
        """The bodies at rows, which may repeat."""
        return replace(self, **{name: getattr(self, name)[rows] for name in VARIANCE})

    def start(self) -> Tensor:
        """`[B, 10]` before any tablet: amounts in gut, centre, periphery (mg), the two chains."""
        state = torch.ones(len(self), 3 + CHAIN + 1)
        state[:, :3] = 0.0
        return state

    def day(self, state: Tensor, dose: Tensor, clears: Tensor | None = None, supply: Tensor | None = None) -> Tensor:
        """The day after a dose `[B]` mg, `[B, 10]`. clears: what other drugs multiply clearance by; supply: vitamin K eaten over
        what is usual, `[B]` each."""
        moves, along, fading = self._transitions(torch.ones_like(dose) if clears is None else clears)
        half = self.ec50 if supply is None else self.ec50 * supply
        half = half**GAMMA
        pools, chain, last = state[:, :3].clone(), state[:, 3 : 3 + CHAIN], state[:, -1]
        pools[:, 0] += 0.5 * AVAILABLE * dose
        before = pools[:, 1]
        for _ in range(round(24 / self.hours)):
            pools = torch.bmm(moves, pools.unsqueeze(-1)).squeeze(-1)
            effect = (0.5 * (before + pools[:, 1]).clamp(min=0) / self.v1) ** GAMMA
            before, made = pools[:, 1], half / (half + effect)
            chain = made.unsqueeze(1) + torch.bmm(along, (chain - made.unsqueeze(1)).unsqueeze(-1)).squeeze(-1)
            last = made + fading * (last - made)
        return torch.cat([pools, chain, last.unsqueeze(1)], dim=1)

    def inr(self, state: Tensor) -> Tensor:
        """`[B, 10]` -> `[B]`"""
        return BASELINE + INR_MAX * (1 - state[:, 2 + CHAIN] * state[:, -1]).clamp(min=0) ** LAMBDA

    def _transitions(self, clears: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What one integration step does to the three pools `[B, 3, 3]`, the first chain `[B, 6, 6]` and the second `[B]`."""
        out, forth, back = self.clearance * clears / self.v1, Q / self.v1, Q / self.v2
        zero, enter = torch.zeros_like(out), torch.full_like(out, KA)
        rates = torch.stack([-enter, zero, zero, enter, -(out + forth), back, zero, forth, -back], dim=-1).unflatten(-1, (3, 3))
        chain = torch.diag(torch.full((CHAIN - 1,), 1.0), -1) - torch.eye(CHAIN)
        along = torch.linalg.matrix_exp(chain * (self.hours * CHAIN / self.mtt1)[:, None, None])
        return torch.linalg.matrix_exp(rates * self.hours), along, torch.exp(-self.hours / self.mtt2)
