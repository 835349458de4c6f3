"""What one step of a regimen's search may do: each line alone or several together, by factors that the guard allows."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from careplan.breach import Breach
from careplan.planning.safety import RegimenLine, guard_line, rounded


@dataclass(frozen=True, eq=False)
class Moves:
    """What one step may do: K candidates, of which the first changes nothing.

    table `[B, K, L]`: what each multiplies; open `[B, K]`: what the guard allows; rank `[B, K]`: cuts first, then by line; raises
    `[B, K]`: what gives more treatment; whole `[K]`: what moves all kinds as one, with which a plan may begin. bound: the rules
    that closed a change, by patient.
    """

    table: Tensor
    open: Tensor
    rank: Tensor
    raises: Tensor
    whole: Tensor
    bound: tuple[tuple[Breach, ...], ...]


def directions(lines: Sequence[Sequence[RegimenLine]]) -> Tensor:
    """`[B, L]`."""
    return torch.tensor([[line.direction for line in each] for each in lines])


def moves_of(lines: Sequence[Sequence[RegimenLine]], together: Sequence[Sequence[int]], factors: Sequence[float]) -> Moves:
    """Every line alone, and the lines of which places are given together, by every factor."""
    count = len(lines[0])
    proposed, allowed, bound = candidates(lines, factors)
    current = torch.tensor([[line.current for line in each] for each in lines])
    ratio = torch.where(allowed, proposed / current.repeat_interleave(len(factors), 1), torch.ones_like(proposed))
    members = torch.stack([torch.isin(torch.arange(count), torch.tensor(each)) for each in (*range(count), *together)])
    moves = torch.where(members[:, None], ratio.unflatten(1, (count, -1)).mT.unsqueeze(1), 1.0).flatten(1, 2)  # [B, K - 1, L]
    alone = torch.arange(len(members)).repeat_interleave(len(factors)) < count
    moved = (moves != 1.0).sum(-1)
    table = torch.cat([moves.new_ones(len(lines), 1, count), moves], 1)
    raises = ((table - 1.0) * directions(lines).unsqueeze(1) > 0).any(-1)
    place = torch.cat([torch.tensor([-1]), torch.arange(len(members)).repeat_interleave(len(factors))])
    return Moves(
        table=table,
        open=torch.cat([torch.ones(len(lines), 1, dtype=torch.bool), (moved > 1) | (alone & (moved == 1))], 1),
        rank=place + len(members) * raises.float(),
        raises=raises,
        whole=torch.cat([torch.zeros(1, dtype=torch.bool), members.all(1).repeat_interleave(len(factors))]),
        bound=bound,
    )


def candidates(
    lines: Sequence[Sequence[RegimenLine]], factors: Sequence[float]
) -> tuple[Tensor, Tensor, tuple[tuple[Breach, ...], ...]]:
    """Each line under each factor, rounded towards the current value: proposed, allowed `[B, L * F]`; the rules that forbid."""
    proposed, allowed, bound = [], [], []
    for each in lines:
        values, fine = [], []
        broken: list[Breach] = []
        for line in each:
            seen = {line.current}
            for factor in factors:
                value = rounded(line, factor if line.direction > 0 else 2.0 - factor)
                guarded = guard_line(line, value)
                values.append(value)
                fine.append(guarded.allowed and value not in seen)
                broken += guarded.breaches
                seen.add(value)
        proposed.append(values)
        allowed.append(fine)
        bound.append(tuple(dict.fromkeys(broken)))
    return torch.tensor(proposed), torch.tensor(allowed), tuple(bound)


def value_of(line: RegimenLine, multiplier: float) -> float:
    """The value behind a multiplier, exact: a whole number of increments."""
    if multiplier == 1.0:
        return line.current
    return round(round(line.current * multiplier / line.increment) * line.increment, 6)
