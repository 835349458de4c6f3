"""Basal modulation, the lowest level of planning: what a pump does with its rate from one reading to the next.

By itself it stops below `SUSPEND`, as everybody's pump does. Under a mandate it gives the less the further the level is below the
target, and stops the earlier the less of the budgets for lows is left.
"""

from collections.abc import Sequence

from torch import Tensor

from careplan.therapies.glucose.declaration import GLUCOSE
from careplan.therapy import Mandate

SUSPEND = 75.0  # mg/dL


def modulated_rate(level: Tensor, mandates: Sequence[Mandate] | None, *, most: float = 1.0) -> Tensor:
    """The multiple of the standing rate at levels `[B, ...]` mg/dL of as many patients as there are mandates: none at the level
    where it stops, one at the target, in between in proportion, up to `most` above. It stops half way to the target where
    nothing is left of a budget."""
    if mandates is None:
        return (level >= SUSPEND).to(level.dtype)
    shares = [min(left / cost.budget for left, cost in zip(each.budgets, GLUCOSE.costs, strict=True)) for each in mandates]
    shape = (-1, *(1,) * (level.ndim - 1))
    target = level.new_tensor([each.target for each in mandates]).reshape(shape)
    stop = SUSPEND + 0.5 * (target - SUSPEND) * (1.0 - level.new_tensor(shares).clamp(0.0, 1.0).reshape(shape))
    return ((level - stop) / (target - stop)).clamp(0.0, most)
