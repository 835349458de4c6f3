"""Why a suggestion is what it is, in numbers: the search's score taken apart, and how sure its effect is. `words` says it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from careplan.planning.account import Account
from careplan.suggestion import Interval, Moment, Part, Pattern, Sureness, Why
from careplan.therapies.glucose.bands import HIGH, LOW, VERY_HIGH, VERY_LOW, outcomes
from careplan.therapies.glucose.declaration import BEST, harm

PROPOSED, RUNNER_UP, NO_CHANGE = range(3)  # places of the options


@dataclass(frozen=True, eq=False)
class Compared:
    """What the search compared for one patient: the options `planner.OPTIONS`.

    levels `[3, P, M]` mg/dL; part `[M]`: which of `spans` (start, end in minutes) each level belongs to; draws: outcomes of the
    options by name, `[3, N]` each, a draw being the same future under all three. target: mg/dL that the search aimed at.
    """

    account: Account
    index: int
    levels: Tensor
    part: Tensor
    spans: Sequence[tuple[int, int]]
    draws: Mapping[str, Tensor]
    changed: bool
    has_runner_up: bool
    target: float = BEST


def explain(
    found: Compared, *, low_risk: float | None, patterns: tuple[Pattern, ...] = (), moments: tuple[Moment, ...] | None = None
) -> Why:
    """The proposal against no change; where no change is best, the runner-up against it."""
    score = found.account.score[found.index].tolist()
    about = PROPOSED if found.changed else RUNNER_UP if found.has_runner_up else None
    return Why(
        gain=score[PROPOSED] - score[NO_CHANGE] if found.changed else 0.0,
        runner_up=score[RUNNER_UP] - score[NO_CHANGE] if found.has_runner_up else None,
        worth=found.account.worth,
        parts=() if about is None else parts_of(found, about),
        sure=None if about is None else sureness_of(found, about),
        low_risk=low_risk,
        patterns=patterns,
        moments=moments,
    )


def parts_of(found: Compared, about: int) -> tuple[Part, ...]:
    """The gain in score of an option over no change, by outcome and span, and by charge over the whole; sums to it exactly."""
    pair = [about, NO_CHANGE]
    levels, weights = found.levels[pair].cpu().double(), found.account.weights[found.index, pair].cpu().double()
    parts = []
    for outcome, share in layers(levels, found.target).items():
        for span, (start, end) in enumerate(found.spans):
            inside = (found.part == span).cpu()
            after, before = (weights * share[..., inside].sum(-1) / len(inside)).sum(-1).tolist()
            then, now = shares(levels[..., inside])[outcome].mean(-1).tolist()
            parts.append(Part(outcome=outcome, start=start, end=end, gain=before - after, before=now, after=then))
    whole = (found.spans[0][0], found.spans[-1][1])
    everywhere = {f"budget {name}": time.mean(-1).tolist() for name, time in shares(levels).items()}
    for charge, amounts in found.account.charges.items():
        after, before = (weights * amounts[found.index, pair].cpu()).sum(-1).tolist()
        then, now = everywhere.get(charge, (None, None))
        parts.append(Part(outcome=charge, start=whole[0], end=whole[1], gain=before - after, before=now, after=then))
    return tuple(parts)


def layers(levels: Tensor, target: float = BEST) -> dict[str, Tensor]:
    """The risk of each level `[...]` mg/dL, least at the target, cut at the edges of the bands: what it has beyond each edge
    counts for that outcome.

    The layers sum to the risk, and a level that moves towards the target never has more of any of them.
    """

    def risk(level: Tensor) -> Tensor:
        return harm(level * (BEST / target))  # as `Therapy.aimed`

    very_low, low, high, very_high = risk(levels.new_tensor([VERY_LOW, LOW, HIGH, VERY_HIGH]))
    return {
        "below_54": risk(levels.clamp(max=VERY_LOW)) - very_low,
        "below_70": risk(levels.clamp(VERY_LOW, LOW)) - low,
        "in_range": risk(levels.clamp(LOW, HIGH)),
        "above_180": risk(levels.clamp(HIGH, VERY_HIGH)) - high,
        "above_250": risk(levels.clamp(min=VERY_HIGH)) - very_high,
    }


def sureness_of(found: Compared, about: int) -> Sureness:
    """In how many particles of the patient's posterior an option scores better than no change, and its effect on each outcome."""
    each = found.account.total()[found.index]
    effects = {name: interval(drawn[about] - drawn[NO_CHANGE]) for name, drawn in found.draws.items()}
    return Sureness(better=int((each[about] < each[NO_CHANGE]).sum()), of=each.shape[1], effects=effects)


def shares(levels: Tensor) -> dict[str, Tensor]:
    """Outcomes of levels `[..., M]` mg/dL: % of time in each band, and the mean, `[...]` each."""
    found = {name: inside.float().mean(-1) * 100 for name, inside in outcomes(levels).items()}
    return {**found, "mean": levels.mean(-1)}


def interval(drawn: Tensor) -> Interval:
    """The mean of draws `[N]`, and the interval that holds 90 % of them."""
    low, high = torch.quantile(drawn, drawn.new_tensor([0.05, 0.95])).tolist()
    return Interval(mid=float(drawn.mean()), low=low, high=high)
