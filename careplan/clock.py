"""How a therapy divides time: pure data, everything in minutes (a step of ten seconds is a sixth)."""

import re
from dataclasses import dataclass

UNITS = ((7 * 24 * 60.0, "weeks"), (24 * 60.0, "days"), (60.0, "h"), (1.0, "min"))  # minutes each


def duration_in_words(minutes: float) -> str:
    """So many minutes in the largest unit of which they are a whole number, seconds where they are of none.

    >>> duration_in_words(120.0), duration_in_words(90.0), duration_in_words(0.5), duration_in_words(1440.0)
    ('2 h', '90 min', '30 s', '1 day')
    """
    for unit, name in UNITS:
        if minutes >= unit and minutes % unit == 0:
            return f"{minutes / unit:g} {name.rstrip('s') if minutes == unit else name}"
    return f"{60.0 * minutes:g} s" if minutes < 1 else f"{minutes:g} min"


def minutes_of(text: str) -> float:
    """So many minutes, in the words of `duration_in_words`. Raises `ValueError` for what is no length of time above 0.

    >>> minutes_of("2 h"), minutes_of("1 week"), minutes_of("30s")
    (120.0, 10080.0, 0.5)
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*", text.lower())
    units = {name.rstrip("s"): unit for unit, name in UNITS} | {"hour": 60.0, "minute": 1.0, "s": 1 / 60}
    unit = None if found is None else units.get(found[2]) or units.get(found[2].rstrip("s"))
    if found is None or unit is None or float(found[1]) <= 0:
        raise ValueError(f"{text!r} is no length of time such as {', '.join(repr(f'2 {name}') for _, name in UNITS)}")
    return float(found[1]) * unit


@dataclass(frozen=True, kw_only=True)
class Clock:
    """The grids of a therapy. All but the rows are minutes, from seconds to weeks.

    step: between rows of a series. interval: of the integration, a whole number of steps.
    pace: the time in which a patient's course changes noticeably; rates of the context, the trend and the spread count in it.
    span: over which usual amounts are counted (a day's doses, a week's tablets); pools hold shares of such an amount.
    cycle: what life repeats in (a day, a week), which the model sees as a place on a circle; None where nothing repeats.
    look: between the horizons at which errors and conformal factors are kept. knots: the horizons at which a patient's own
    correction of what is foreseen is fitted; none where nothing is corrected. judged: the horizon at which the model must beat
    "stays as it is" before it may speak.
    horizon: how far recordings are predicted ahead. decision: between the decisions of a plan; ahead: how far a plan looks.
    context: rows before now that the pools are filled from. memory: the last of them, that the encoder reads. patch: rows that
    it reads at once; memory is a whole number of patches.
    fresh: rows within which the last reading still is the level now, where readings carry no declared noise.
    """

    step: float
    interval: float
    pace: float
    span: float
    look: float
    judged: float
    horizon: float
    decision: float
    ahead: float
    context: int
    memory: int
    patch: int
    cycle: float | None = None
    knots: tuple[float, ...] = ()
    fresh: int = 4

    def __post_init__(self) -> None:
        positive = {name: getattr(self, name) for name in ("step", "interval", "pace", "span", "look", "horizon", "decision")}
        if wrong := {name: value for name, value in positive.items() if not 0.0 < value < float("inf")}:
            raise ValueError(f"clock: {wrong}, expected minutes above 0")
        for name, unit in (("interval", "step"), ("look", "interval"), ("horizon", "interval"), ("decision", "interval")):
            ratio = getattr(self, name) / getattr(self, unit)
            if ratio < 0.999 or abs(ratio - round(ratio)) > 1e-3:
                raise ValueError(f"clock: {name} {getattr(self, name):g} is no whole number of {unit} {getattr(self, unit):g}")
        if not 0 < self.patch <= self.memory <= self.context or self.memory % self.patch:
            raise ValueError(f"clock: context {self.context}, memory {self.memory} and patch {self.patch} rows do not fit")
        if self.cycle is not None and not self.cycle >= self.step:
            raise ValueError(f"clock: a cycle of {self.cycle:g} min is shorter than a step")

    def rows(self, minutes: float) -> int:
        """How many rows so many minutes are."""
        return round(minutes / self.step)

    def wrapped(self, minute: float) -> float:
        """A minute's place in the cycle; as it is where there is none."""
        return minute if self.cycle is None else minute % self.cycle
