"""What a plan is told by: the share of time in each band, and the part of the risk that lies beyond each edge."""

from torch import Tensor

from careplan.therapies.glucose.bands import HIGH, LOW, VERY_HIGH, VERY_LOW, outcomes
from careplan.therapies.glucose.declaration import BEST, harm


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


def shares(levels: Tensor) -> dict[str, Tensor]:
    """Outcomes of levels `[..., M]` mg/dL: % of time in each band, and the mean, `[...]` each."""
    found = {name: inside.float().mean(-1) * 100 for name, inside in outcomes(levels).items()}
    return {**found, "mean": levels.mean(-1)}
