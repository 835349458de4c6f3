"""The virtual clinic of the glucose therapy: people drawn, lived and lived otherwise through the one contract."""

from typing import cast

import torch
from torch import Tensor

from careplan.practice import Lived, VirtualClinic
from cohorts.catalogue import POLICIES
from cohorts.policies import Policy
from cohorts.population import COHORTS, Cohort, Population, sample_population
from cohorts.replay import KEEP, Change, branch, replay


def draw(group: str, count: int, seed: int) -> Population:
    """People of a group. Raises `ValueError` for a group that there is not."""
    return sample_population(cast(Cohort, group), count, seed)


def live(people: Population, policy: Policy, days: int, seed: int) -> Lived:
    """Days of everybody under a policy, from midnight."""
    lived = replay(people, policy, days=days, seed=seed)
    return Lived(lived.glucose, lived.series, lived)


def otherwise(lived: Lived, person: Tensor, row: Tensor, rows: int, factor: Tensor) -> Tensor:
    """Sensed glucose `[E, rows]` had all insulin from `row` `[E]` on been `factor` `[E]` times what was given."""
    change = Change(factor, factor, torch.ones_like(factor), torch.zeros_like(factor))
    return branch(lived.truth, person, row, rows, change)[0]


CLINIC = VirtualClinic(
    groups=COHORTS,
    policies=POLICIES,
    draw=draw,
    live=live,
    otherwise=otherwise,
    every=KEEP,
)
