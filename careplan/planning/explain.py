"""Why a suggestion is what it is, in numbers: the search's score taken apart, and how sure its effect is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from careplan.planning.score_terms import ScoreTerms
from careplan.suggestion import Interval, Moment, Part, Path, Pattern, Sureness, Why

PROPOSED, RUNNER_UP, NO_CHANGE = range(3)  # places of the options


@dataclass(frozen=True, eq=False)
class Compared:
    """What the search compared for one patient: the options `choice.OPTIONS`.

    levels `[3, P, M]`; part `[M]`: which of `spans` (start, end in minutes) each level belongs to; draws: outcomes of the
    options by name, `[3, N]` each, a draw being the same future under all three. layers: of levels `[...]` the risk that counts
    for each outcome `[...]`, which sum to the risk that the search minimised. shares: of levels `[..., M]` the % of time in each
    outcome `[...]`.
    """

    terms: ScoreTerms
    index: int
    levels: Tensor
    part: Tensor
    spans: Sequence[tuple[int, int]]
    draws: Mapping[str, Tensor]
    changed: bool
    has_runner_up: bool
    layers: Callable[[Tensor], Mapping[str, Tensor]]
    shares: Callable[[Tensor], Mapping[str, Tensor]]


def explain(
    found: Compared, *, low_risk: float | None, patterns: tuple[Pattern, ...] = (), moments: tuple[Moment, ...] | None = None
) -> Why:
    """The proposal against no change; where no change is best, the runner-up against it."""
    score = found.terms.score[found.index].tolist()
    about = PROPOSED if found.changed else RUNNER_UP if found.has_runner_up else None
    return Why(
        gain=score[PROPOSED] - score[NO_CHANGE] if found.changed else 0.0,
        runner_up=score[RUNNER_UP] - score[NO_CHANGE] if found.has_runner_up else None,
        worth=found.terms.worth,
        parts=() if about is None else parts_of(found, about),
        sure=None if about is None else sureness_of(found, about),
        low_risk=low_risk,
        patterns=patterns,
        moments=moments,
    )


def parts_of(found: Compared, about: int) -> tuple[Part, ...]:
    """The gain in score of an option over no change, by outcome and span, and by charge over the whole; sums to it exactly."""
    pair = [about, NO_CHANGE]
    levels, weights = found.levels[pair].cpu().double(), found.terms.weights[found.index, pair].cpu().double()
    parts = []
    for outcome, share in found.layers(levels).items():
        for span, (start, end) in enumerate(found.spans):
            inside = (found.part == span).cpu()
            after, before = (weights * share[..., inside].sum(-1) / len(inside)).sum(-1).tolist()
            then, now = found.shares(levels[..., inside])[outcome].mean(-1).tolist()
            parts.append(Part(outcome=outcome, start=start, end=end, gain=before - after, before=now, after=then))
    whole = (found.spans[0][0], found.spans[-1][1])
    everywhere = {f"budget {name}": time.mean(-1).tolist() for name, time in found.shares(levels).items()}
    for charge, amounts in found.terms.charges.items():
        after, before = (weights * amounts[found.index, pair].cpu()).sum(-1).tolist()
        then, now = everywhere.get(charge, (None, None))
        parts.append(Part(outcome=charge, start=whole[0], end=whole[1], gain=before - after, before=now, after=then))
    return tuple(parts)


def sureness_of(found: Compared, about: int) -> Sureness:
    """In how many particles of the patient's posterior an option scores better than no change, and its effect on each outcome."""
    each = found.terms.total()[found.index]
    effects = {name: interval(drawn[about] - drawn[NO_CHANGE]) for name, drawn in found.draws.items()}
    return Sureness(better=int((each[about] < each[NO_CHANGE]).sum()), of=each.shape[1], effects=effects)


def interval(drawn: Tensor) -> Interval:
    """The mean of draws `[N]`, and the interval that holds 90 % of them and the mean, which a few skewed draws can move out."""
    mid = float(drawn.mean())
    low, high = torch.quantile(drawn, drawn.new_tensor([0.05, 0.95])).tolist()
    return Interval(mid=mid, low=min(low, mid), high=max(high, mid))


def path_of(levels: Tensor, minutes: float) -> Path:
    """The path of levels `[N, M]` over so many minutes: the middle and the interval that holds 90 % of them, at the end of each
    of M steps."""
    low, mid, high = (tuple(part.tolist()) for part in torch.quantile(levels, levels.new_tensor([0.05, 0.5, 0.95]), dim=0))
    steps = levels.shape[1]
    return Path(minutes=tuple((step + 1) * minutes / steps for step in range(steps)), mid=mid, low=low, high=high)
