"""Pumps that set their own rate: a PID controller, and one after oref0. People bolus for the meals they announce, as set."""

from collections import deque
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from cohorts.insulin import OnBoard
from cohorts.policies import Behaviour, Doses, Seen, refuse
from cohorts.population import Population


class Loop:
    """What both loops share: the person, who doses as set but reckons with the loop's insulin, and the last readings.

    Whoever is on pens has no pump to control, and lives basal-bolus.
    """

    def __init__(self, people: Population, rows: int, generator: torch.Generator, *, ahead: int = 0) -> None:
        self.person = Behaviour.as_set()
        self.person.begin(people, rows, generator)
        self.basal, self.ratio, self.factor = people.settings.unbind(-1)
        self.daily = 24 * self.basal + people.carbs / self.ratio
        self.pens = people.pens
        self.insulin = OnBoard(len(people), peak=75.0, duration=360.0, ahead=ahead)
        self._readings: deque[Tensor] = deque(maxlen=10)

    def see(self, seen: Seen) -> None:
        """Keep this row's reading."""
        self._readings.append(seen.reading)

    def slope(self, rows: int) -> Tensor:
        """Mean change of the reading over as many rows as are known of the last `rows`, mg/dL a row `[B]`."""
        rows = min(rows, len(self._readings) - 1)
        return (self._readings[-1] - self._readings[-1 - rows]) / max(rows, 1)

    def dose(self, seen: Seen, rate: Tensor) -> Doses:
        """The person's doses with the pump at `rate` U/h `[B]`."""
        own = self.person.decide(replace(seen, on_board=torch.where(self.pens, seen.on_board, self.insulin.units)))
        basal = torch.where(self.pens, own.basal, rate)
        self.insulin.deliver(own.bolus + torch.where(self.pens, 0.0, basal - self.basal) / 12)
        return replace(own, basal=basal)


@dataclass
class Pid:
    """PID with insulin feedback, after Steil (J Diabetes Sci Technol 2013, 7(6), 1621-1631).

    u = basal + (1 + feedback) (P + I + D) - feedback * insulin acting beyond basal, U/h, with P = gain / factor * (G - target),
    I its integral over `reset` hours, D = `rise` hours times its slope. So gains follow each person's correction factor; the
    integral and the highest rate follow the daily dose: shares of its half, the usual basal. Suspends below `suspend` mg/dL, now
    or half an hour on. Settings were tuned as docs/experiments/virtual-people.md says.
    """

    name: str = "pid"
    gain: float = 0.45  # share of the correction given, an hour
    reset: float = 8.0
    rise: float = 1.5
    feedback: float = 1.0
    target: float = 115.0
    suspend: float = 75.0
    most: float = 3.0
    windup: float = 0.5
    _loop: Loop = field(init=False, repr=False)
    _integral: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        refuse(self, above=("reset", "target"))

    def begin(self, people: Population, rows: int, generator: torch.Generator) -> None:
        self._loop = Loop(people, rows, generator)
        self._integral = torch.zeros(len(people))

    def decide(self, seen: Seen) -> Doses:
        loop = self._loop
        loop.see(seen)
        usual, slope = loop.daily / 48, loop.slope(3)
        proportional = self.gain / loop.factor * (seen.reading - self.target)
        bound = self.windup * usual
        self._integral = (self._integral + proportional / self.reset / 12).clamp(-bound, bound)
        derivative = self.gain / loop.factor * self.rise * 12 * slope
        acting = 60 * loop.insulin.activity[0]
        rate = loop.basal + (1 + self.feedback) * (proportional + self._integral + derivative) - self.feedback * acting
        low = (seen.reading < self.suspend) | (seen.reading + 6 * slope.clamp(max=0) < self.suspend)
        return loop.dose(seen, torch.where(low, 0.0, rate).clamp(min=0).minimum(self.most * usual))


@dataclass
class Oref:
    """A temporary rate every five minutes, after the reference design of OpenAPS (oref0 documentation, "Understanding the
    determine-basal logic"): no microboluses, no autosens, no unannounced meals.

    The reading less what insulin on board will do, plus the deviation of what is seen from what insulin alone explains, is the
    eventual glucose; carbohydrate on board decays by those deviations, by `absorbed` mg/dL a row at least. Half of what would
    bring it to target is given within the hour beyond the set rate, or withheld, between none and `most` times the set basal;
    insulin on board stays below `board` of the daily dose. Suspends while any forecast is below the threshold half way from the
    target to 40 mg/dL.
    """

    name: str = "oref"
    target: float = 110.0
    most: float = 3.0
    board: float = 0.25
    absorbed: float = 8.0
    _loop: Loop = field(init=False, repr=False)
    _carbs: Tensor = field(init=False, repr=False)

    AHEAD = 48  # rows forecast
    ABSORPTION = 36  # rows in which the rest of a meal appears

    def __post_init__(self) -> None:
        refuse(self, above=("target",))

    def begin(self, people: Population, rows: int, generator: torch.Generator) -> None:
        self._loop = Loop(people, rows, generator, ahead=self.AHEAD)
        self._carbs = torch.zeros(len(people))

    def decide(self, seen: Seen) -> Doses:
        loop, factor = self._loop, self._loop.factor
        loop.see(seen)
        units, effect = loop.insulin.units, -5 * loop.insulin.activity * factor  # mg/dL a row, now and in the rows to come
        now, quarter, long = (loop.slope(rows) - effect[0] for rows in (1, 3, 9))
        # The most careful of the slopes; where it says falling, the longer ones are asked whether it is noise.
        deviation = now.minimum(quarter)
        deviation = torch.where(deviation < 0, quarter.minimum(long), deviation)
        deviation = torch.where(deviation < 0, long, deviation)
        per_gram = factor / loop.ratio
        self._carbs = (self._carbs - now.clamp(min=self.absorbed) / per_gram).clamp(0, 120) + seen.announced

        alone, fed = self._forecasts(seen.reading, effect[1:], now.minimum(quarter), self._carbs * per_gram)
        eats = self._carbs > 0
        eventual = seen.reading - units * factor + 6 * deviation
        eventual = torch.where(eats, eventual.maximum(fed[-1]), eventual)
        course = torch.where(eats, fed, alone)
        needed = (eventual.minimum(course[12:].amin(0)) - self.target) / factor
        needed = torch.where(eventual < self.target, 2 * (eventual - self.target) / factor, needed.clamp(min=0))
        needed = needed.minimum((self.board * loop.daily - units).clamp(min=0))
        threshold = self.target - 0.5 * (self.target - 40)
        low = (seen.reading < threshold) | (course.amin(0) < threshold)
        rate = torch.where(low, 0.0, loop.basal + 2 * needed)
        return loop.dose(seen, rate.clamp(min=0).minimum(self.most * loop.basal))

    def _forecasts(self, reading: Tensor, effect: Tensor, deviation: Tensor, carbs: Tensor) -> tuple[Tensor, Tensor]:
        """Glucose of the coming rows `[AHEAD, B]` without and with what meals on board will still add, `carbs` mg/dL in all."""
        row = torch.arange(1.0, self.AHEAD + 1).unsqueeze(1)
        momentum = deviation * (1 - row / 12).clamp(min=0)  # gone within the hour
        alone = reading + (effect + momentum).cumsum(0)
        rising = deviation.clamp(min=0)
        # The present rise falls linearly until the meal is used up; what that leaves over appears as a triangle.
        lasts = (carbs / rising.clamp(min=1e-3)).clamp(max=self.ABSORPTION / 2)
        impact = rising * (1 - row / (2 * lasts).clamp(min=1)).clamp(min=0)
        half = self.ABSORPTION / 2
        triangle = (1 - (row - half).abs() / half).clamp(min=0) / half
        rest = (carbs - rising * lasts).clamp(min=0) * triangle
        fed = reading + (effect + momentum.clamp(max=0) + impact + rest).cumsum(0)
        return alone, fed
