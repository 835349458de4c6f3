"""What a source states of a patient's settings: a plain table, which a therapy turns into its regimen."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings by part of the day, and those that hold all day.

    starts: minutes after local midnight at which each part begins; the first is 0. blocks: by setting, a value a part. single: by
    setting, one number or word.
    """

    starts: tuple[int, ...]
    blocks: Mapping[str, tuple[float, ...]]
    single: Mapping[str, float | str] = field(default_factory=dict)
