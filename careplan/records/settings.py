"""What a source states of a patient's settings: a plain table, which a therapy turns into its regimen."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from careplan.minutes import DAY

MOST = 1e4  # of any setting: beyond it what is stated is absurd


@dataclass(frozen=True, kw_only=True)
class StatedSettings:
    """StatedSettings by part of the day, and those that hold all day.

    starts: minutes after local midnight at which each part begins; the first is 0. blocks: by setting, a value a part. single: by
    setting, one number or word.
    """

    starts: tuple[int, ...]
    blocks: Mapping[str, tuple[float, ...]]
    single: Mapping[str, float | str] = field(default_factory=dict)


def pump_settings(
    *,
    starts: tuple[int, ...],
    basal: tuple[float, ...],
    carb_ratio: tuple[float, ...],
    correction_factor: tuple[float, ...],
    target: float,
) -> StatedSettings | None:
    """What a pump's profile states, each in its channel's units; None where a setting is absurd. A target that nobody aims at
    counts as not stated."""
    positive = (*carb_ratio, *correction_factor)
    fine = starts[0] == 0 and starts[-1] < DAY and all(0 <= value < MOST for value in basal)
    if not fine or not all(0 < value < MOST for value in positive):
        return None
    return StatedSettings(
        starts=starts,
        blocks={"basal": basal, "carb_ratio": carb_ratio, "correction_factor": correction_factor},
        single={"target": target} if 70.0 <= target <= 200.0 else {},
    )
