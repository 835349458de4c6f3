"""A second body: the vitamin K cycle and the clotting factors it makes, each with its own half-life; the INR is read from them.

Wajima 2009 (Clin Pharmacol Ther 86, 290-298; doi 10.1038/clpt.2009.87), reduced to what a prothrombin time depends on: the cycle
(VK, VKH2, VKO and the depot of VK), factors II, VII and X, and protein C beside them, with its rate constants. The network's own
prothrombin time of plasma with factor shares II, VII and X (9.9 s where all are 1) is `POWERS` of the shares to within 1.2 %
(root mean square, shares of 0.08 to 1.2); the tests integrate the network and check it.
Warfarin follows Hamberg 2010 (Clin Pharmacol Ther 87, 727-734): one
compartment, clearance by the alleles of CYP2C9 and age, VKORC1 by relative concentrations of half effect.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from cohorts.warfarin.people import People

# Wajima 2009, 1/h: degradation of factors II, VII, X and protein C; of VK, VKH2 and VKO; exchange of VK with its depot; mg/l.
FACTORS = {"II": 0.010, "VII": 0.120, "X": 0.018, "C": 0.050}
VK, VKH2, VKO, INTO, OUT_OF, IC50 = 0.2052, 0.228, 0.228, 0.0587, 0.0122 / 24.0, 0.34
POWERS = (0.209, 0.201, 0.208)  # of 1 / II, 1 / VII, 1 / X in the INR
CLEARANCE, VOLUME, KA = 0.2, 10.0, 1.0  # l/h, l, 1/h of warfarin, *1/*1 at 71 years
# Hamberg 2010: what an allele contributes to clearance, its fall with age, and VKORC1's concentrations of half effect.
ALLELE = {"1": 0.174, "2": 0.0879, "3": 0.0422}
AGEING = 0.00571
SENSITIVE = {"G/G": 2 * 2.05, "G/A": 2.05 + 0.96, "A/A": 2 * 0.96}
# The population is ours (Wajima 2009 gives none): SD of the logarithm between people, about Hamberg 2010's of clearance and of
# half effect, and a tenth to a quarter of each rate constant. Amiodarone's effect on clearance is the IWPC's on the dose.
SPREAD = {"clearance": 0.30, "volume": 0.15, "ic50": 0.34, "slow": 0.15, "fast": 0.20, "cycle": 0.25}
AMIODARONE = 0.72
NOISE = 0.0325


@dataclass(frozen=True, eq=False)
class Network:
    """B bodies, `[B]` each: clearance l/h, volume l, ic50 mg/l; slow, fast, cycle: what multiplies the rates of factors II and X,
    of factor VII and protein C, and of the vitamin K cycle. hours: of an integration step."""

    clearance: Tensor
    volume: Tensor
    ic50: Tensor
    slow: Tensor
    fast: Tensor
    cycle: Tensor
    hours: float = 1.0

    @classmethod
    def draw(cls, people: People, seed: int, *, spread: float = 1.0, hours: float = 1.0) -> "Network":
        """Bodies of people; `spread` multiplies what differs between people who are known to be alike."""
        random = np.random.default_rng((seed, 29))
        middle = SENSITIVE["G/G"] ** 0.40 * SENSITIVE["G/A"] ** 0.45 * SENSITIVE["A/A"] ** 0.15
        typical = {
            "clearance": [
                CLEARANCE
                * sum(ALLELE[allele] for allele in (p.cyp2c9 or "*1/*1").replace("*", "").split("/")) / (2 * ALLELE["1"])
                * (1 - AGEING * (p.age - 71.0)) * (AMIODARONE if p.amiodarone else 1.0)
                for p in people.known
            ],
            "volume": [VOLUME * p.weight / 80.0 for p in people.known],
            "ic50": [IC50 * SENSITIVE[p.vkorc1 or "G/A"] / middle for p in people.known],
        }  # fmt: skip
        drawn = {}
        for name, deviation in SPREAD.items():
            normal = torch.from_numpy(random.standard_normal(len(people)))
            value = torch.tensor(typical.get(name, [1.0] * len(people)), dtype=torch.float64)
            drawn[name] = (value * torch.exp(spread * deviation * normal)).float()
        return cls(**drawn, hours=hours)

    def __len__(self) -> int:
        return len(self.clearance)

    def some(self, rows: Tensor) -> "Network":
        """The bodies at rows, which may repeat."""
        return replace(self, **{name: getattr(self, name)[rows] for name in SPREAD})

    def start(self) -> Tensor:
        """`[B, 10]` before any tablet: warfarin in gut and blood (mg), VK, VKH2, VKO and the depot, factors II, VII, X and C."""
        state = torch.ones(len(self), 10)
        state[:, :2] = 0.0
        state[:, 3] = state[:, 4] = VK / VKH2
        state[:, 5] = INTO / OUT_OF
        return state

    def day(self, state: Tensor, dose: Tensor, clears: Tensor | None = None, supply: Tensor | None = None) -> Tensor:
        """The day after a dose `[B]` mg, `[B, 10]`; clears and supply as in `Hamberg.day`."""
        out = self.clearance / self.volume * (1.0 if clears is None else clears)
        eaten = VK * (torch.ones_like(dose) if supply is None else supply)
        gut, blood, vk, active, epoxide, depot, *factors = state.unbind(1)
        gut = gut + dose
        keep = [torch.exp(-rate * self.hours) for rate in (*self._rates(),)]
        for _ in range(round(24 / self.hours)):
            enters = gut * (1 - np.exp(-KA * self.hours))
            gut, blood = gut - enters, (blood + enters) * torch.exp(-out * self.hours)
            free = self.cycle / (1 + blood / self.volume / self.ic50)
            for _ in range(2):  # the cycle's rates need steps of half an hour
                step = 0.5 * self.hours
                reduced, recycled, exchanged = VK * vk * free, VKO * epoxide * free, INTO * vk - OUT_OF * depot
                spent = VKH2 * active * self.cycle
                vk = vk + step * (eaten - VK * vk + recycled - reduced - exchanged)
                active, epoxide = active + step * (reduced - spent), epoxide + step * (spent - recycled)
                depot = depot + step * exchanged
            made = active * VKH2 / VK
            factors = [made + share * (factor - made) for factor, share in zip(factors, keep, strict=True)]
        return torch.stack([gut, blood, vk, active, epoxide, depot, *factors], dim=1)

    def inr(self, state: Tensor) -> Tensor:
        """`[B, 10]` -> `[B]`"""
        shares = state[:, 6:9].clamp(min=1e-3)
        return torch.exp(-(shares.log() * torch.tensor(POWERS)).sum(1)).clamp(max=20.0)

    def _rates(self) -> tuple[Tensor, ...]:
        slow, fast = self.slow, self.fast
        return FACTORS["II"] * slow, FACTORS["VII"] * fast, FACTORS["X"] * slow, FACTORS["C"] * fast
