"""What must hold of a recording and of the model before anything is suggested: pure data, of which each number is a setting.

`careplan.world.trust` holds recordings against a `Gate`, `careplan.world.drift` watches them by a `Watch`.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What must hold before a suggestion is made.

    days: recorded. active: % of the expected readings. recent: minutes over which readings and doses are counted. windows: that
    informed the patient's code. strange: of the encoding, about 1 when usual. error_ratio: of the model's error over that of
    "stays as it is" at `Clock.judged`. dosed: share of the recent rows in which some action is known. even: of the level's scale,
    an error there that is good enough however well "stays as it is" does, since a level that hardly moves is foretold by it.
    """

    days: float
    active: float
    recent: float
    windows: int
    strange: float
    error_ratio: float
    dosed: float
    even: float = 0.5


@dataclass(frozen=True, kw_only=True)
class Watch:
    """How a recording is watched for a break in it: stuck sensors, other units, another person, doses no longer logged.

    day: minutes that are described at once; every: between two looks; stride: between the forecasts judged; ahead: the horizons
    that they are judged at. history: earlier days without which nothing is said; memory: days looked at, at most.
    readings, forecasts: of a day, without which it is not judged. doses: usual impulses a day, with fewer of which a day without
    any is less surprising.
    """

    day: float
    every: float
    stride: float
    ahead: tuple[float, ...]
    history: int
    memory: int
    readings: int
    forecasts: int
    doses: float
