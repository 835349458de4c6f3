"""Life: what virtual people eat, do and are like from day to day, drawn before anyone is treated; any of it can be off."""

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from careplan.therapies.glucose.declaration import ROWS_A_DAY
from cohorts.population import Population

ROWS = ROWS_A_DAY

# Usual hour, share of the day's carbohydrate, how often: breakfast, snack, lunch, snack, dinner, snack.
MEALS = ((7.5, 0.22, 0.95), (10.5, 0.09, 0.35), (12.75, 0.30, 0.96), (16.0, 0.10, 0.45), (19.0, 0.33, 0.97), (21.5, 0.09, 0.25))
SMALLEST = 3.0  # g: less is not a meal

# Exercise, after the two actions of Breton 2008 (J Diabetes Sci Technol 2(1), 169-174): uptake without insulin while moving, and
# insulin's actions stronger for hours after. The sizes a MET are ours.
UPTAKE = 0.20
SENSITISED = 0.007
FADING = 360.0  # minutes

SLOW = 48  # rows after a meal that is absorbed at a pace of its own

# Of 22,741 infusion sets, 3.3 % were taken out within three days after hours above 250 mg/dL, 5.1 +- 3.7 h of them (Kanapka 2022,
# doi 10.1089/dia.2021.0548). How long a set is blocked, from before glucose rises to when it is changed, is ours.
SET = 3 * ROWS  # rows a set is worn
BLOCKED = (48, 120)  # rows without delivery, the fewest and the most

# The smallest steps of pumps and pens: U/h of basal; U of a bolus by pump and by pen.
RATE_STEP, PUMP_STEP, PEN_STEP = 0.025, 0.05, 0.5


@dataclass(frozen=True, kw_only=True)
class Life:
    """How variable life is; 0 switches a source off. Spreads are of the logarithm unless a unit is said.

    The defaults are those that shipped weights were trained on, so what came later is off in them; `Life.full()` has everything
    on, `Life.none()` nothing. Late and missed boluses belong to how people are treated (`policies.Behaviour`).
    """

    meal_time: float = 0.7  # hours
    meal_size: float = 0.35
    counting: float = 0.30  # error in the carbohydrate people announce
    unannounced: float = 0.12  # share of meals not announced
    slow: float = 0.15  # share of meals absorbed at `pace`
    pace: float = 0.6
    circadian: float = 1.0  # times each person's own rhythm
    daily: float = 0.20  # sensitivity from day to day, in part carried over to the next
    exercise: float = 0.25  # bouts a day
    illness: float = 0.01  # share of days ill, insulin a third weaker
    composition: float = 0.0  # pace of each meal, by what is in it
    occlusion: float = 0.0  # share of infusion sets that block, on pumps
    rounding: float = 1.0  # times the smallest steps of pumps and pens; 0 delivers doses exactly

    @classmethod
    def full(cls) -> "Life":
        """Every source on. The spread of composition is ours."""
        return cls(composition=0.15, occlusion=0.033)

    @classmethod
    def none(cls) -> "Life":
        """Every source off: meals at their usual hours and sizes, counted exactly, and every day alike."""
        return cls(**{field.name: 0.0 for field in fields(cls) if field.name != "pace"})

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 <= value < math.inf:
                raise ValueError(f"life: {field.name} is {value}, expected a finite number, 0 or more")
        if not 0 < self.pace <= 1:
            raise ValueError(f"life: pace is {self.pace}, expected above 0 and at most 1")
        for name in ("unannounced", "slow", "illness", "occlusion"):
            if getattr(self, name) > 1:
                raise ValueError(f"life: {name} is {getattr(self, name)}, expected a share, at most 1")


LIVES: dict[str, Callable[[], Life]] = {"usual": Life, "full": Life.full, "none": Life.none}


@dataclass(frozen=True, eq=False)
class Scenario:
    """The truth of a life, `[B, T]` on the five-minute grid: g eaten, g announced, activity MET, whether ill, factors on
    insulin's actions (sensitivity), on uptake without insulin (uptake) and on the stomach and the gut (pace), and whether the
    infusion set is blocked, were they on a pump. rounding: as in `Life`.
    """

    eaten: Tensor
    announced: Tensor
    activity: Tensor
    ill: Tensor
    sensitivity: Tensor
    uptake: Tensor
    pace: Tensor
    blocked: Tensor
    rounding: float = 1.0

    def __post_init__(self) -> None:
        shape = self.eaten.shape
        for name in ("eaten", "announced", "activity", "sensitivity", "uptake", "pace"):
            value, least = getattr(self, name), float(name == "activity")
            if value.shape != shape:
                raise ValueError(f"scenario: {name} has shape {tuple(value.shape)}, expected {tuple(shape)}, as eaten")
            wrong = torch.nonzero(~((value >= least) & (value < math.inf)))
            if len(wrong):
                person, row = wrong[0].tolist()
                found = f"{name} of person {person} at row {row} is {float(value[person, row])}"
                raise ValueError(f"scenario: {found}, expected a finite number, {least:g} or more")


@dataclass(frozen=True, kw_only=True)
class Meal:
    """A meal on a schedule: minute after midnight of the first day, g of carbohydrate, g announced (None: as many as eaten), and
    minutes it takes, over which it is eaten evenly.
    """

    minute: float
    carbs: float
    announced: float | None = None
    lasts: float = 15.0

    def __post_init__(self) -> None:
        said = self.carbs if self.announced is None else self.announced
        if not (0 <= self.minute < math.inf and 0 < self.carbs < math.inf and 0 <= said < math.inf and 0 < self.lasts < math.inf):
            raise ValueError(f"{self}: expected a time and grams from 0, above 0 eaten and minutes above 0, all finite")


def scheduled(count: int, days: int, meals: Sequence[Meal]) -> Scenario:
    """`count` people who all eat these meals and whose days are otherwise alike; meals that overlap are refused. Raises
    `ValueError` where meals overlap, or one does not end within the days.
    """
    rows = days * ROWS
    eaten, announced = torch.zeros(count, rows), torch.zeros(count, rows)
    ordered, before = sorted(meals, key=lambda meal: meal.minute), 0
    for place, meal in enumerate(ordered):
        first = int(meal.minute // 5)
        last = first + max(1, round(meal.lasts / 5))
        if place and first < before:
            earlier = ordered[place - 1]
            lasts = f"{earlier.carbs:g} g from minute {earlier.minute:g} last {earlier.lasts:g} minutes"
            raise ValueError(f"meals overlap: {lasts}, and {meal.carbs:g} g begin at minute {meal.minute:g}")
        if last > rows:
            raise ValueError(f"a meal at minute {meal.minute:g} does not end within {days} days")
        eaten[:, first:last] = meal.carbs / (last - first)
        announced[:, first] = meal.carbs if meal.announced is None else meal.announced
        before = last
    ones, never = torch.ones(count, rows), torch.zeros(count, rows, dtype=torch.bool)
    return Scenario(eaten, announced, ones, never, ones, ones, ones, never)


def draw_life(people: Population, days: int, life: Life, generator: torch.Generator) -> Scenario:
    """`days` days of everyone's life, from midnight on. Times come first in memory, since a replay reads a row at a time.

    Every draw is made whether or not its source is on, so that switching one off changes nothing else. Sources that came later
    draw from generators of their own, which leaves the others' draws as they were.
    """
    count, rows = len(people), days * ROWS
    foods = own_generator(generator, "composition")
    sets = own_generator(generator, "occlusion")

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    def chance(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    eaten, announced, pace = torch.zeros(rows, count), torch.zeros(rows, count), torch.ones(rows, count)
    activity, food = torch.ones(rows, count), torch.ones(rows, count)
    who, clock = torch.arange(count), torch.arange(rows).unsqueeze(1)
    for day in range(days):
        for hour, share, often in MEALS:
            at = ((hour + life.meal_time * normal(count)) * 12).long().clamp(0, ROWS - 1) + day * ROWS
            size = (people.carbs * share * torch.exp(life.meal_size * normal(count).clamp(-2, 2))).round()
            size = size * (chance(count) < often) * (size >= SMALLEST)
            said = (size * torch.exp(life.counting * normal(count).clamp(-2, 2))).round() * (chance(count) >= life.unannounced)
            slowly = (size > 0) & (chance(count) < life.slow)
            eaten[at, who] += size
            announced[at, who] += said
            near = slice(day * ROWS, (day + 2) * ROWS)  # a meal late in the day is absorbed into the next
            lasting = (size > 0) & (clock[near] >= at) & (clock[near] < at + SLOW)
            pace[near][slowly & lasting] = life.pace
            kind = torch.exp(life.composition * torch.randn(count, generator=foods).clamp(-2, 2))
            if life.composition:
                food[near] = torch.where(lasting, kind, food[near])
        bout = chance(count) < life.exercise
        start = ((9 + 10 * chance(count)) * 12).long() + day * ROWS
        end, effort = start + (6 + 6 * chance(count)).long(), 3 + 5 * chance(count)
        today = slice(day * ROWS, (day + 1) * ROWS)
        activity[today] = torch.where((clock[today] >= start) & (clock[today] < end) & bout, effort, 1.0)

    sensitivity, ill = _sensitivity(people, days, life, generator)
    effort = activity - 1
    return Scenario(
        eaten.T,
        announced.T,
        activity.T,
        ill.repeat_interleave(ROWS, 0).T,
        (sensitivity * (1 + _fading(effort * SENSITISED))).T,
        (1 + UPTAKE * effort).T,
        (pace * food).T,
        _blocked(count, rows, life.occlusion, sets).T,
        life.rounding,
    )


def _sensitivity(people: Population, days: int, life: Life, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The factor on insulin's actions `[T, B]`: a daily rhythm that is each person's own, days that resemble the day before, and
    illness; and on which days people are ill `[days, B]`."""
    count, clock = len(people), torch.arange(days * ROWS).unsqueeze(1)
    swing, dawn = life.circadian * people.rhythm[:, 0], people.rhythm[:, 1] / 24
    rhythm = 1 - swing * torch.cos(2 * math.pi * (clock % ROWS / ROWS - dawn))
    ill = torch.rand(days, count, generator=generator) < life.illness
    drift, daily = torch.randn(count, generator=generator), []
    for _ in range(days):
        drift = 0.5 * drift + math.sqrt(0.75) * torch.randn(count, generator=generator)
        daily.append(torch.exp(life.daily * drift))
    of_day = (torch.stack(daily) * (1 - 0.33 * ill.float())).repeat_interleave(ROWS, 0)
    return rhythm * of_day, ill


def own_generator(generator: torch.Generator, name: str) -> torch.Generator:
    """A generator for one source, that follows from the state of `generator` and does not change it."""
    ahead = torch.Generator()
    ahead.set_state(generator.get_state())
    return torch.Generator().manual_seed(int(torch.randint(2**62, (1,), generator=ahead)) ^ zlib.crc32(name.encode()))


def _blocked(count: int, rows: int, share: float, generator: torch.Generator) -> Tensor:
    """Whether the infusion set delivers nothing, `[T, B]`: from some time in its three days until it is changed for that."""
    if not share:
        return torch.zeros(1, 1, dtype=torch.bool).expand(rows, count)
    worn = rows // SET + 2
    numbers = torch.rand(4, worn, count, generator=generator)
    first, most = BLOCKED
    changed = torch.arange(worn).unsqueeze(1) * SET - (numbers[0, 0] * SET).long()  # each on a day and at an hour of their own
    begins = changed + (numbers[1] * (SET - most)).long()
    ends = begins + first + (numbers[2] * (most - first)).long()
    clock = torch.arange(rows).unsqueeze(1)
    which = (clock - changed[0]) // SET
    held = (numbers[3] < share).gather(0, which)
    return held & (clock >= begins.gather(0, which)) & (clock < ends.gather(0, which))


def _fading(added: Tensor) -> Tensor:
    """What has been added `[T, B]` and not yet faded, `[T, B]`."""
    left, trail = torch.zeros_like(added[0]), []
    for row in added:
        left = left * math.exp(-5.0 / FADING) + row
        trail.append(left)
    return torch.stack(trail)
