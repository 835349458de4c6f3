"""Replay: virtual people live under a policy; branches: what would have happened under another treatment."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from careplan.glucose import GLUCOSE
from careplan.series import PatientSeries
from cohorts.fused import stepper
from cohorts.physiology import Body, Inputs, advance
from cohorts.policies import Omniscient, Policy, Seen, Truth
from cohorts.population import Population
from cohorts.scenarios import ROWS, Life, Scenario, draw_life
from cohorts.sensors import HIGH, LOW, Sensor

START = pd.Timestamp("2026-01-05", tz="UTC")
KEEP = 6  # rows between kept states
FADE = math.exp(-5.0 / 90.0)  # insulin on board as people reckon it
LOGGED = 0.6  # share of the carbohydrate eaten for lows


@dataclass(frozen=True, eq=False)
class Replay:
    """`[B, T]` on the five-minute grid: true glucose and reading (NaN where none) at the end of each row, doses and meals in it.

    start: midnight of the first day, in the zone people live in. scenario: the truth of their lives, less what they ate for lows.
    bodies: the state at the start of every `KEEP`th row, `[B, T / KEEP, ...]`.
    """

    people: Population
    start: pd.Timestamp
    scenario: Scenario
    glucose: Tensor
    reading: Tensor
    basal: Tensor
    bolus: Tensor
    long_acting: Tensor
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
        table = pd.concat(frames).astype({"channel": object, "flag": object, "origin": object})
        return table.sort_values(["time", "channel"], kind="stable", ignore_index=True)


def replay(
    people: Population,
    policy: Policy,
    *,
    days: int,
    seed: int,
    life: Life | None = None,
    sensor: Sensor | None = None,
    start: pd.Timestamp = START,
    progress: Callable[[int, int], None] | None = None,
    fuse: bool = False,
) -> Replay:
    """`days` days of everyone, closed loop, from midnight. progress: called with days done and days in all. fuse: compile the
    step first; branches then agree with what happened to the last digits, not to the bit.
    """
    if days < 1:
        raise ValueError(f"replay of {days} days: expected at least one")
    if start.tzinfo is None or start != start.normalize():
        raise ValueError(f"replay from {start}: expected midnight in a time zone")
    generator = torch.Generator().manual_seed(seed)
    count, rows = len(people), days * ROWS
    life_of = draw_life(people, days, life or Life(), generator)
    gain, error, shown = (sensor or Sensor()).draw(count, rows, generator)
    policy.begin(people, rows, generator)
    logged = torch.rand(rows, count, generator=generator) < LOGGED
    step = stepper(people.physiology) if fuse else partial(advance, people.physiology)
    body, reading = people.body, people.fasting
    on_board, since = torch.zeros(count), torch.full((count,), 1e4)
    lived: list[tuple[Tensor, ...]] = []
    bodies: list[Body] = []
    with torch.inference_mode():  # what is stacked after it are ordinary tensors again
        for row in range(rows):
            if row % KEEP == 0:
                bodies.append(body)
            said = life_of.announced[:, row]
            if isinstance(policy, Omniscient):
                policy.told(Truth(body, life_of))
            doses = policy.decide(Seen(row, reading, said, on_board, since))
            eaten = life_of.eaten[:, row] + doses.rescue
            given = (eaten, doses.bolus + doses.basal / 12, doses.long_acting)
            body = step(body, Inputs(*given, *_factors(life_of, row)))
            fresh = (body.sensed(people.physiology) * gain[:, row] + error[:, row]).clamp(LOW, HIGH)
            reading = torch.where(shown[:, row], fresh, reading)
            on_board = on_board * FADE + doses.bolus
            since = torch.where(doses.bolus > 0, 0.0, since + 5)
            shows = torch.where(shown[:, row], fresh, torch.nan)
            told = said + doses.rescue * logged[row]
            lived.append((body.glucose(people.physiology), shows, doses.basal, doses.bolus, doses.long_acting, eaten, told))
            if progress is not None and (row + 1) % ROWS == 0:
                progress((row + 1) // ROWS, days)
    kept = Body(*(torch.stack([getattr(body, part.name) for body in bodies], 1) for part in fields(Body)))
    glucose, shows, basal, bolus, long_acting, eaten, told = (torch.stack(column).T for column in zip(*lived, strict=True))
    return Replay(people, start, life_of, glucose, shows, basal, bolus, long_acting, eaten, told, kept)


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
        for name, value in vars(self).items():
            if not bool((value >= 0).all()):
                raise ValueError(f"change: {name} is {float(value[~(value >= 0)][0])} somewhere, expected 0 or more everywhere")

    @classmethod
    def none(cls, count: int) -> "Change":
        ones = torch.ones(count)
        return cls(ones, ones, ones, torch.zeros(count))


def branch(lived: Replay, person: Tensor, row: Tensor, rows: int, change: Change) -> tuple[Tensor, Tensor]:
    """From `row` `[E]` (a multiple of `KEEP`) on, person `[E]` lives the same `rows` rows under another treatment, open loop.

    Returns the interstitial glucose `[E, rows]` and what the record would hold of the treatment, `[E, rows, C]`. Without a change
    it is what happened, to the bit.
    """
    if bool((row % KEEP != 0).any()) or int(row.min()) < 0 or int(row.max()) + rows > lived.glucose.shape[1]:
        raise ValueError(f"branches start at multiples of {KEEP} rows and end within the replay's {lived.glucose.shape[1]}")
    who = lived.people.physiology[person]
    body = Body(*(part[person, row // KEEP] for part in vars(lived.bodies).values()))
    life_of, levels = lived.scenario, []
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
            body = advance(who, body, Inputs(eaten, bolus + basal / 12, long_acting, *factors))
            levels.append(body.sensed(who))
            carbs = lived.announced[at] * change.meals
            given = {"basal": basal, "bolus": bolus, "long_acting": long_acting, "carbs": carbs, "activity": life_of.activity[at]}
            for name, column in given.items():
                values[step, GLUCOSE.index(name)] = column
    return torch.stack(levels, 1), values.permute(2, 0, 1).contiguous()
