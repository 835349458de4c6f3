"""What a plan is judged by: the risks of all outputs, ends that absorb, and what its costs spend."""

import torch
from torch import Tensor

from careplan.therapy import Therapy

RULE_SHARE = 0.2  # of particles, the furthest ones: their mean level is held against a floor or a rule


def by_output(therapy: Therapy, levels: Tensor) -> list[Tensor]:
    """Levels `[..., Q M]`, in blocks by output -> `[..., M]` of each."""
    return list(levels.unflatten(-1, (len(therapy.outputs), -1)).unbind(-2))


def risk_of(therapy: Therapy, levels: Tensor, ended: Tensor) -> tuple[Tensor, Tensor]:
    """Levels `[..., Q M]` and which end was met before, `[...]` (0 none, else its place + 1) -> risk at each instant `[..., M]`,
    and which end was met at the last, `[...]`. Of ends met at once the first declared counts."""
    outputs = by_output(therapy, levels)
    risk = torch.stack([o.weight * o.risk(each) for o, each in zip(therapy.outputs, outputs, strict=True)]).sum(0)
    if not therapy.ends:
        return risk, ended
    places = {output.name: place for place, output in enumerate(therapy.outputs)}
    parts = []
    for instant in range(risk.shape[-1]):
        for number, end in enumerate(therapy.ends, start=1):
            level = outputs[places[end.on]][..., instant]
            beyond = level < end.level if end.side < 0 else level > end.level
            ended = torch.where((ended == 0) & beyond, torch.full_like(ended, float(number)), ended)
        now = risk[..., instant]
        for number, end in enumerate(therapy.ends, start=1):
            now = torch.where(ended == number, torch.full_like(now, end.risk), now)
        parts.append(now)
    return torch.stack(parts, -1), ended


def spent(therapy: Therapy, levels: Tensor) -> Tensor:
    """Levels `[..., Q M]` -> what each cost spends: its share of these instants, or its sum over them, `[..., costs]`."""
    outputs = dict(zip((output.name for output in therapy.outputs), by_output(therapy, levels), strict=True))
    parts = []
    for cost in therapy.costs:
        rate = cost.rate(outputs[cost.on or therapy.regulated])
        parts.append(rate.mean(-1) if cost.of == "share" else rate.sum(-1))
    return torch.stack(parts, -1) if parts else levels.new_zeros(*levels.shape[:-1], 0)
