"""When to measure next, as an action with a cost."""

import torch
from torch import Tensor

from careplan.planning.objective import risk_of
from careplan.therapy import Therapy


def next_measurement(therapy: Therapy, levels: Tensor, grid: float) -> tuple[Tensor, Tensor]:
    """When to measure next: predicted levels `[B, P, Q, M]`, `grid` minutes apart -> the gap that costs least, `[B]` minutes, and
    what each declared gap costs, `[B, G]` risk a minute.

    A measurement has a cost. Not measuring costs the risk that could have been avoided had it been known which of the particles
    is true: the mean over particles of their risk less the risk of the particle that does best, so that what nobody can avoid
    does not count. Of the gaps, the one with the least cost a minute (renewal reward: Barlow and Proschan 1965, ch. 4). Gaps
    beyond the prediction are left out.

    Raises:
        ValueError: The therapy does not say that measuring is a choice, or nothing reaches its shortest gap.
    """
    measure = therapy.measure
    if measure is None:
        raise ValueError(f"{therapy.name}: when to measure is no choice of this therapy")
    risk, _ = risk_of(therapy, levels.flatten(-2), levels.new_zeros(levels.shape[:2]))  # [B, P, M]
    avoidable = (risk - risk.amin(1, keepdim=True)).mean(1).cumsum(-1) * grid
    rates = []
    for gap in measure.gaps:
        at = round(gap / grid)
        enough = 1 <= at <= avoidable.shape[-1]
        whole = (measure.cost * therapy.clock.span + avoidable[:, at - 1]) / gap if enough else avoidable[:, 0] * torch.inf
        rates.append(whole.nan_to_num(nan=torch.inf, posinf=torch.inf))
    rate = torch.stack(rates, -1)
    if not bool(torch.isfinite(rate).any(-1).all()):
        raise ValueError(f"{therapy.name}: the prediction does not reach the shortest gap between two looks")
    return torch.tensor(measure.gaps, device=levels.device)[rate.argmin(-1)], rate
