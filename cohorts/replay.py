"""Replay: virtual people live under a policy; branches: what would have happened under another treatment."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import partial
from numbers import Integral
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from careplan.series import PatientSeries
from careplan.therapies.glucose.declaration import GLUCOSE
from cohorts import expected
from cohorts.bodies import Body, Inputs, advance
from cohorts.fused import stepper
from cohorts.policies import Doses, Omniscient, Policy, Seen, Truth
from cohorts.population import Population
from cohorts.scenarios import PEN_STEP, PUMP_STEP, RATE_STEP, ROWS, Life, Scenario, draw_life
from cohorts.sensors import HIGH, LOW, Sensor, Wear

START = pd.Timestamp("2026-01-05", tz="UTC")
KEEP = 6  # rows between kept states
FADE = math.exp(-5.0 / 90.0)  # insulin on board as people reckon it
LOGGED = 0.6  # share of the carbohydrate eaten for lows
Drawn = TypeVar("Drawn", Scenario, Wear)


@dataclass(frozen=True, eq=False)
class Replay:
    """`[B, T]` on the five-minute grid: true glucose and reading (NaN where none) at the end of each row, doses and meals in it.

    start: midnight of the first day, in the zone people live in. scenario: the truth of their lives, less what they ate for lows;
    wear: the truth of their sensors. Doses are what was logged; delivered: the rapid insulin, U, that reached the body.
    bodies: the state at the start of every `KEEP`th row, `[B, T / KEEP, ...]`.
    """

    people: Population
    start: pd.Timestamp
    scenario: Scenario
    wear: Wear
    glucose: Tensor
    reading: Tensor
    basal: Tensor
    bolus: Tensor
    long_acting: Tensor
    delivered: Tensor
    eaten: Tensor
    announced: Tensor
    bodies: Body

    def series(self, index: int) -> PatientSeries:
        """What a record of this person would hold: on pens no basal rate is known, on a pump no long-acting insulin."""
        known = {"glucose": self.reading, "bolus": self.bolus, "carbs": self.announced, "activity": self.scenario.activity}
        known |= {"long_acting": self.long_acting} if self.people.pens[index] else {"basal": self.basal}
        values = np.zeros((self.glucose.shape[1], len(GLUCOSE.channels)), np.float32)
        mask = np.zeros_like(values, dtype=bool)
        for name, columns in known.items():
            place, column = GLUCOSE.index(name), columns[index].numpy()
            values[:, place], mask[:, place] = np.nan_to_num(column), ~np.isnan(column)
        return PatientSeries(self.people.names[index], GLUCOSE, self.start.tz_convert("UTC"), str(self.start.tz), values, mask)

    def events(self, index: int) -> pd.DataFrame:
        """The same as a canonical events table: readings, changes of rate, doses and meals."""
        series = self.series(index)
        frames = []
        for place, channel in enumerate(GLUCOSE.channels):
            column = series.column(channel.name)
            if not series.mask[:, place].any():
                continue
            if channel.form == "rate":
                rows = np.flatnonzero(np.append(True, np.diff(column) != 0))
                duration = np.diff(np.append(rows, len(column))) * GLUCOSE.step
                moving = (column[rows] > 1) | (channel.name != "activity")  # rest is not logged
                rows, duration = rows[moving], duration[moving]
            else:
                rows = np.flatnonzero(series.mask[:, place] & (column > 0))
                duration = np.zeros(len(rows))
            value = column[rows].astype(float).round(3)
            ends = np.select([value <= LOW, value >= HIGH], ["low", "high"], "") if channel.name == "glucose" else ""
            columns = {"time": series.times[rows].as_unit("ns"), "channel": channel.name, "value": value, "duration": duration}
            frames.append(pd.DataFrame({**columns, "flag": ends, "origin": [f"replay:{row}" for row in rows]}))
        table = pd.concat(frames).assign(product="").astype(dict.fromkeys(("channel", "flag", "origin", "product"), object))
        return table.sort_values(["time", "channel"], kind="stable", ignore_index=True)


@dataclass(frozen=True, eq=False)
class Row:
    """What happened in one row, `[B]` each: true glucose and reading (NaN where none) at its end, doses as they were logged,
    rapid insulin that reached the body, U, g eaten and g announced.
    """

    glucose: Tensor
    reading: Tensor
    basal: Tensor
    bolus: Tensor
    long_acting: Tensor
    delivered: Tensor
    eaten: Tensor
    announced: Tensor


class Living:
    """People who live row by row from midnight, with all of their life drawn in advance; what `replay` and `gym` step."""

    def __init__(
        self,
        people: Population,
        policy: Policy,
        *,
        days: int,
        seed: int,
        life: Life | Scenario | None = None,
        sensor: Sensor | None = None,
        fuse: bool = False,
        copies: int = 1,
    ) -> None:
        """copies: everyone is there so many times, one block of people after the other, and what is drawn is shared by them."""
        expected.is_a("replay: people", people, Population, "a Population, as `sample_population` draws")
        expected.policy(policy)
        expected.is_a("replay: days", days, Integral, "a whole number")
        expected.is_a("replay: seed", seed, Integral, "a whole number")
        expected.is_a("replay: life", life, (Life, Scenario, type(None)), "a Life, a Scenario or None")
        expected.is_a("replay: sensor", sensor, (Sensor, type(None)), "a Sensor or None")
        if days < 1:
            raise ValueError(f"replay of {days} days: expected at least one")
        people.physiology.refuse_unstable()
        generator = torch.Generator().manual_seed(int(seed))
        count, self.rows = len(people), days * ROWS
        if count % copies:
            raise ValueError(f"replay of {count} people in {copies} copies: expected a multiple")
        apart = count // copies
        drawn = people if copies == 1 else people[torch.arange(apart)]
        lives = life if isinstance(life, Scenario) else repeated(draw_life(drawn, days, life or Life(), generator), copies)
        self.scenario = lives
        if self.scenario.eaten.shape != (count, self.rows):
            shape = tuple(self.scenario.eaten.shape)
            raise ValueError(f"scenario of shape {shape}, expected {(count, self.rows)}: {count} people for {days} days")
        self.wear = repeated((sensor or Sensor()).draw(apart, self.rows, generator), copies)
        policy.begin(people, self.rows, generator)
        self._logged = (torch.rand(self.rows, apart, generator=generator) < LOGGED).repeat(1, copies)
        self._step = stepper(people.physiology) if fuse else partial(advance, people.physiology)
        self._policy, self.people, self.row, self.body = policy, people, 0, people.body
        self._reading, self._on_board, self._since = people.fasting, torch.zeros(count), torch.full((count,), 1e4)
        self._stopped = self.scenario.blocked & ~people.pens.unsqueeze(1)
        self._given = people.basal.new_zeros(4, count)
        self._when, self._fine = self._given.new_zeros((), dtype=torch.long), self._given.new_ones((), dtype=torch.bool)
        self._steps = torch.where(people.pens, PEN_STEP, PUMP_STEP) * self.scenario.rounding

    def seen(self) -> Seen:
        """What is known as the next row begins; after the last, nothing is announced."""
        said = self.scenario.announced[:, self.row] if self.row < self.rows else torch.zeros_like(self._on_board)
        return Seen(self.row, self._reading, said, self._on_board, self._since)

    def decide(self) -> Doses:
        """What the policy would dose in the next row; asked once a row, since a policy may remember."""
        if isinstance(self._policy, Omniscient):
            self._policy.learn(Truth(self.body, self.scenario))
        doses = self._policy.decide(self.seen())
        expected.is_a(f"{self._policy.name}: what decide returned", doses, Doses, "cohorts.Doses")
        return doses

    def live(self, doses: Doses) -> Row:
        """Five minutes under these doses: rounded as pumps and pens do, and delivered unless the set is blocked. Doses that are
        negative or not finite are an error in the last row of their day, which names the first of them.
        """
        row, who, said = self.row, self.people.physiology, self.scenario.announced[:, self.row]
        self._check(doses)
        basal, bolus = doses.basal, doses.bolus
        if self.scenario.rounding:
            rates = 1 / (RATE_STEP * self.scenario.rounding)
            basal, bolus = (basal * rates).round() / rates, (bolus / self._steps).round() * self._steps
        delivered = torch.where(self._stopped[:, row], 0.0, bolus + basal / 12)
        eaten = self.scenario.eaten[:, row] + doses.rescue
        self.body = self._step(self.body, Inputs(eaten, delivered, doses.long_acting, *_factors(self.scenario, row)))
        shown, fresh = self.wear.shown[:, row], self.wear.reading(self.body.sensed(who), row)
        self._reading = torch.where(shown, fresh, self._reading)
        self._on_board = self._on_board * FADE + bolus
        self._since = torch.where(bolus > 0, 0.0, self._since + 5)
        self.row += 1
        reading, logged_carbs = torch.where(shown, fresh, torch.nan), said + doses.rescue * self._logged[row]
        return Row(self.body.glucose(who), reading, basal, bolus, doses.long_acting, delivered, eaten, logged_carbs)

    def _check(self, doses: Doses) -> None:
        policy, shape = self._policy.name, self._on_board.shape
        expected.tensors(policy, vars(doses), shape)
        # The first doses that cannot be are kept, and read back once a day: to read every row would wait for a GPU every row.
        given = torch.stack(tuple(vars(doses).values()))
        self._given = torch.where(self._fine, given, self._given)
        self._when = torch.where(self._fine, self.row, self._when)
        possible = (self._given >= 0) & (self._given < torch.inf)
        self._fine = possible.all()
        if (self.row + 1) % ROWS == 0 and not self._fine:
            which, person = torch.nonzero(~possible)[0].tolist()
            where = f"{list(vars(doses))[which]} of {self.people.names[person]} at row {int(self._when)}"
            raise ValueError(f"{policy}: {where} is {float(self._given[which, person])}, expected a finite number, 0 or more")


def replay(
    people: Population,
    policy: Policy,
    *,
    days: int,
    seed: int,
    life: Life | Scenario | None = None,
    sensor: Sensor | None = None,
    start: pd.Timestamp = START,
    progress: Callable[[int, int], None] | None = None,
    fuse: bool = False,
) -> Replay:
    """Everyone lives so many days under a policy, closed loop, from midnight.

    Args:
        people: B people.
        policy: Decides every five minutes; `cohorts.POLICIES` has some by name.
        days: At least one.
        seed: Of lives, sensors and whatever the policy draws, in that order: lives and sensors are alike under all policies.
        life: How variable life is, or a scenario to live; `Life()` where None.
        sensor: How readings err; `Sensor()` where None.
        start: Midnight of the first day, in the zone that people live in.
        progress: Called with days done and days in all.
        fuse: Compile the step first. Branches then agree with what happened to the last digits, and not to the bit.

    Returns:
        What happened, `[B, T]` on the five-minute grid, with the truth.

    Raises:
        TypeError: An argument of another kind, a policy that cannot decide, or doses that are no tensors.
        ValueError: Numbers out of range; doses that are negative or not finite, with the policy, the person and the row.

    >>> from cohorts import BasalBolus, sample_population
    >>> lived = replay(sample_population("adult", 2, seed=1), BasalBolus(), days=1, seed=7)
    >>> tuple(lived.glucose.shape), lived.series(0).therapy.name
    ((2, 288), 'glucose')
    """
    expected.is_a("replay: start", start, pd.Timestamp, 'a pandas Timestamp, such as pd.Timestamp("2026-01-05", tz="UTC")')
    if start.tzinfo is None or start != start.normalize():
        raise ValueError(f"replay from {start}: expected midnight in a time zone")
    living = Living(people, policy, days=days, seed=seed, life=life, sensor=sensor, fuse=fuse)
    lived: list[tuple[Tensor, ...]] = []
    bodies: list[Body] = []
    with torch.inference_mode():  # what is stacked after it are ordinary tensors again
        for row in range(living.rows):
            if row % KEEP == 0:
                bodies.append(living.body)
            lived.append(tuple(vars(living.live(living.decide())).values()))
            if progress is not None and (row + 1) % ROWS == 0:
                progress((row + 1) // ROWS, days)
    kept = Body(*(torch.stack([getattr(body, part.name) for body in bodies], 1) for part in fields(Body)))
    names = (part.name for part in fields(Row))
    columns = {name: torch.stack(column).T for name, column in zip(names, zip(*lived, strict=True), strict=True)}
    return Replay(people, start, living.scenario, living.wear, **columns, bodies=kept)


def repeated(drawn: Drawn, copies: int) -> Drawn:
    """A scenario or a sensor's wear `[B, T]` of as many copies of the people, one block after the other, `[copies * B, T]`."""
    parts = {part.name: getattr(drawn, part.name) for part in fields(drawn)}
    wide: dict[str, Any] = {name: part.repeat(copies, 1) for name, part in parts.items() if isinstance(part, Tensor)}
    return drawn if copies == 1 else replace(drawn, **wide)


def _factors(scenario: Scenario, row: int) -> tuple[Tensor, Tensor, Tensor]:
    return scenario.sensitivity[:, row], scenario.uptake[:, row], scenario.pace[:, row]


@dataclass(frozen=True, eq=False)
class Change:
    """Another treatment, `[E]` each: factors on basal (rate and long-acting), on boluses and on the meals that were announced,
    since what nobody announced nobody can change; a bolus added at the start, U."""

    basal: Tensor
    bolus: Tensor
    meals: Tensor
    extra: Tensor

    def __post_init__(self) -> None:
        expected.is_a("change: basal", self.basal, Tensor, "a tensor [E]")
        expected.tensors("change", vars(self), self.basal.shape)
        for name, value in vars(self).items():
            fine = (value >= 0) & (value < torch.inf)
            if not bool(fine.all()):
                raise ValueError(f"change: {name} is {float(value[~fine][0])} somewhere, expected finite numbers, 0 or more")

    @classmethod
    def none(cls, count: int) -> "Change":
        ones = torch.ones(count)
        return cls(ones, ones, ones, torch.zeros(count))


def branch(lived: Replay, person: Tensor, row: Tensor, rows: int, change: Change) -> tuple[Tensor, Tensor]:
    """The same lives under another treatment, open loop: nobody reacts to what follows.

    Args:
        lived: The replay that happened.
        person: `[E]` whose life each branch is.
        row: `[E]` where it begins, a multiple of `KEEP`.
        rows: How many rows it lasts.
        change: What is given instead, `[E]` each.

    Returns:
        The interstitial glucose `[E, rows]` mg/dL, and what the record would hold of the treatment `[E, rows, C]`. Without a
        change it is what happened, to the bit.

    Raises:
        TypeError: An argument of another kind.
        ValueError: Rows or persons outside the replay, or numbers of them that differ.
    """
    expected.is_a("branch: lived", lived, Replay, "a Replay, as `replay` returns")
    expected.is_a("branch: rows", rows, Integral, "a whole number")
    expected.is_a("branch: change", change, Change, "a Change, such as Change.none(len(person))")
    for name, value in (("person", person), ("row", row)):
        expected.is_a(f"branch: {name}", value, Tensor, "a tensor [E] of whole numbers")
    if bool((row % KEEP != 0).any()) or int(row.min()) < 0 or int(row.max()) + rows > lived.glucose.shape[1]:
        raise ValueError(f"branches start at multiples of {KEEP} rows and end within the replay's {lived.glucose.shape[1]}")
    people = len(lived.people)
    if int(person.min()) < 0 or int(person.max()) >= people:
        raise ValueError(f"branches of persons {int(person.min())} to {int(person.max())}: expected from 0 to {people - 1}")
    shapes = {"row": row.shape, **{name: value.shape for name, value in vars(change).items()}}
    for name, shape in shapes.items():
        if shape != person.shape:
            raise ValueError(f"branches: {name} of shape {tuple(shape)}, expected {tuple(person.shape)}, as person")
    who = lived.people.physiology[person]
    body = Body(*(part[person, row // KEEP] for part in vars(lived.bodies).values()))
    life_of, pumps, levels = lived.scenario, ~lived.people.pens[person], []
    values = torch.zeros(rows, len(GLUCOSE.channels), len(person))
    with torch.inference_mode():  # what is stacked after it are ordinary tensors again
        for step in range(rows):
            at = (person, row + step)
            basal, long_acting = lived.basal[at] * change.basal, lived.long_acting[at] * change.basal
            bolus = lived.bolus[at] * change.bolus
            if step == 0:
                bolus = bolus + change.extra
            factors = (life_of.sensitivity[at], life_of.uptake[at], life_of.pace[at])
            eaten = lived.eaten[at] * torch.where(lived.announced[at] > 0, change.meals, 1.0)
            delivered = torch.where(life_of.blocked[at] & pumps, 0.0, bolus + basal / 12)
            body = advance(who, body, Inputs(eaten, delivered, long_acting, *factors))
            levels.append(body.sensed(who))
            carbs = lived.announced[at] * change.meals
            given = {"basal": basal, "bolus": bolus, "long_acting": long_acting, "carbs": carbs, "activity": life_of.activity[at]}
            for name, column in given.items():
                values[step, GLUCOSE.index(name)] = column
    return torch.stack(levels, 1), values.permute(2, 0, 1).contiguous()
