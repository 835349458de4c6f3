"""What the search needs: of a world (`PlanningModel`), and of a question asked of one (`Problem`)."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


class PlanningModel(Protocol):
    """A patient's future, one decision at a time: the learned world, the true physiology of a virtual patient, or a toy."""

    def step(self, state: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """One decision interval for B patients, W futures each, P particles of what is not known about the patient.

        state: `[B, W, P, S]`, and carries its own clock. action: `[B, W, d]`.
        Returns the next state `[B, W, P, S]` and the regulated level on the grid within the interval `[B, W, P, M]`.
        """
        ...


@dataclass(frozen=True, eq=False)
class Expansion:
    """W new nodes a tree, as their problem sees them.

    An outcome has C channels: the reward, then one cost for each constraint.
    state: `[B, W, E]` all that the problem needs to go on from here.
    reward: `[B, W, P, C]` outcome of the step into the node. value: `[B, W, P, C]` outcome of the rest without more change.
    table: `[B, W, K, d]` candidate actions; candidate 0 changes nothing. valid: `[B, W, K]` bool, what no hard limit forbids.
    logits: `[B, W, K]` prior preference. raises: `[B, W]` bool, the step in gave more treatment, so budgets must still be met.
    """

    state: Tensor
    reward: Tensor
    value: Tensor
    table: Tensor
    valid: Tensor
    logits: Tensor
    raises: Tensor


class Problem(Protocol):
    """Something to search: doses over hours, a regimen over weeks, or a test's toy."""

    def root(self) -> Expansion:
        """The present, with W = 1."""
        ...

    def expand(self, state: Tensor, action: Tensor) -> Expansion:
        """Take an action `[B, W, d]` in each of W states `[B, W, E]` a tree. Both tensors may be overwritten later, so a problem
        that keeps them must copy them.
        """
        ...
