"""What a plan is told by: the share of time in each band, and the part of the risk that lies beyond each edge."""

from torch import Tensor

from careplan.targets import Targets
from careplan.therapies.glucose.bands import ADULTS, LEVELS, outcomes
from careplan.therapies.glucose.declaration import BEST, harm


def risk_by_outcome(levels: Tensor, target: float = BEST, targets: Targets = ADULTS) -> dict[str, Tensor]:
    """The risk of each level `[...]` mg/dL, least at the target, cut at the edges of the bands: what it has beyond each edge
    counts for that outcome.

    The layers sum to the risk, and a level that moves towards the target never has more of any of them.
    """

    def risk(level: Tensor) -> Tensor:
        return harm(level * (BEST / target))  # as `Therapy.aimed`

    edges = [targets.levels[name] for name in LEVELS]
    very_low, low, high, very_high = risk(levels.new_tensor(edges))
    return {
        "below_54": risk(levels.clamp(max=edges[0])) - very_low,
        "below_70": risk(levels.clamp(edges[0], edges[1])) - low,
        "in_range": risk(levels.clamp(edges[1], edges[2])),
        "above_180": risk(levels.clamp(edges[2], edges[3])) - high,
        "above_250": risk(levels.clamp(min=edges[3])) - very_high,
    }


def time_by_outcome(levels: Tensor, targets: Targets = ADULTS) -> dict[str, Tensor]:
    """Outcomes of levels `[..., M]` mg/dL: % of time in each band, and the mean, `[...]` each."""
    found = {name: inside.float().mean(-1) * 100 for name, inside in outcomes(levels, targets).items()}
    return {**found, "mean": levels.mean(-1)}
