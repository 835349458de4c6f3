"""Replay: virtual people live under a policy; branches: what would have happened under another treatment."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from careplan.glucose import GLUCOSE
from careplan.series import PatientSeries
from cohorts.physiology import Body, advance
from cohorts.policies import Policy, Seen
from cohorts.population import Population
from cohorts.scenarios import ROWS, Life, Scenario, draw_life
from cohorts.sensors import HIGH, LOW, Sensor

START = pd.Timestamp("2026-01-05", tz="UTC")
KEEP = 6  # rows between kept states
FADE = float(np.exp(-5.0 / 90.0))  # insulin on board as people reckon it


@dataclass(frozen=True, eq=False)
class Replay:
    """`[B, T]` on the five-minute grid, values at the end of each row: true glucose, reading (NaN where none), doses, meals.

    bodies: the state at the start of every `KEEP`th row, amounts `[B, T / KEEP, 13]` and stomach `[B, T / KEEP]`.
    """

    people: Population
    start: pd.Timestamp
    scenario: Scenario
    glucose: Tensor
    reading: Tensor
    basal: Tensor
    bolus: Tensor
    eaten: Tensor
    announced: Tensor
    amounts: Tensor
    meals: Tensor

    def series(self, index: int) -> PatientSeries:
        """What a record of this person would hold."""
        values = np.zeros((self.glucose.shape[1], len(GLUCOSE.channels)), np.float32)
        mask = np.zeros_like(values, dtype=bool)
        known = (("basal", self.basal), ("bolus", self.bolus), ("carbs", self.announced), ("activity", self.scenario.activity))
        for name, column in (("glucose", self.reading), *known):
            place = GLUCOSE.index(name)
            values[:, place] = np.nan_to_num(column[index].numpy())
            mask[:, place] = ~np.isnan(column[index].numpy())
        return PatientSeries(self.people.names[index], GLUCOSE, self.start, "UTC", values, mask)

    def events(self, index: int) -> pd.DataFrame:
        """The same as a canonical events table: readings, changes of rate, doses and meals."""
        series = self.series(index)
        frames = []
        for channel in GLUCOSE.channels:
            column, place = series.column(channel.name), GLUCOSE.index(channel.name)
            if not series.mask[:, place].any():
                continue
            if channel.form == "rate":
                keep = np.append(True, np.diff(column) != 0)
                ends = np.append(np.flatnonzero(keep)[1:], len(column))
                duration = (ends - np.flatnonzero(keep)) * GLUCOSE.step
            else:
                keep = series.mask[:, place] & (column > 0)
                duration = np.zeros(int(keep.sum()))
            if channel.name == "activity":
                keep, duration = keep & (column > 1), duration[column[keep] > 1]
            frames.append(
                pd.DataFrame(
                    {
                        "time": series.times[keep].as_unit("ns"),
                        "channel": channel.name,
                        "value": column[keep].astype(float).round(2),
                        "duration": duration,
                        "flag": "",
                        "origin": [f"replay:{row}" for row in np.flatnonzero(keep)],
                    }
                )
            )
        return pd.concat(frames).sort_values(["time", "channel"], kind="stable", ignore_index=True)


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
) -> Replay:
    """`days` days of everyone, closed loop. progress: called with days done and days in all."""
    if days < 1:
        raise ValueError(f"replay of {days} days: expected at least one")
    generator = torch.Generator().manual_seed(seed)
    count, rows = len(people), days * ROWS
    scenario = draw_life(people, days, life or Life(), generator)
    gain, error, shown = (sensor or Sensor()).draw(count, rows, generator)
    policy.begin(people, rows, generator)
    counted = torch.rand(count, rows, generator=generator) < 0.6  # rescue carbohydrate that gets logged
    body, reading = people.body, people.fasting.clone()
    on_board, since = torch.zeros(count), torch.full((count,), 1e4)
    kept: dict[str, list[Tensor]] = {
        name: [] for name in ("glucose", "reading", "basal", "bolus", "eaten", "announced", "amounts", "meals")
    }
    for row in range(rows):
        if row % KEEP == 0:
            kept["amounts"].append(body.amounts)
            kept["meals"].append(body.meal)
        said = scenario.announced[:, row]
        doses = policy.decide(Seen(row, reading, said, on_board, since))
        eaten = scenario.eaten[:, row] + doses.rescue
        body = advance(people.physiology, body, eaten, doses.bolus + doses.basal / 12, scenario.sensitivity[:, row])
        fresh = (body.sensed(people.physiology) * gain[:, row] + error[:, row]).clamp(LOW, HIGH)
        reading = torch.where(shown[:, row], fresh, reading)
        on_board = on_board * FADE + doses.bolus
        since = torch.where(doses.bolus > 0, 0.0, since + 5)
        told = said + doses.rescue * counted[:, row]
        shows = torch.where(shown[:, row], fresh, torch.nan)
        now = (body.glucose(people.physiology), shows, doses.basal, doses.bolus, eaten, told)
        for name, column in zip(("glucose", "reading", "basal", "bolus", "eaten", "announced"), now, strict=True):
            kept[name].append(column)
        if progress is not None and (row + 1) % ROWS == 0:
            progress((row + 1) // ROWS, days)
    return Replay(people, start, scenario, **{name: torch.stack(columns, 1) for name, columns in kept.items()})


@dataclass(frozen=True, eq=False)
class Change:
    """Another treatment, `[E]` each: factors on basal, bolus and meals, and a bolus added at the start, U."""

    basal: Tensor
    bolus: Tensor
    meals: Tensor
    extra: Tensor

    @classmethod
    def none(cls, count: int) -> "Change":
        ones = torch.ones(count)
        return cls(ones, ones, ones, torch.zeros(count))


def branch(lived: Replay, person: Tensor, row: Tensor, rows: int, change: Change) -> tuple[Tensor, Tensor]:
    """From `row` `[E]` (a multiple of `KEEP`) on, person `[E]` lives the same `rows` rows under another treatment, open loop.

    Returns the interstitial glucose `[E, rows]` and what the record would hold of the treatment, `[E, rows, C]`.
    """
    if bool((row % KEEP != 0).any()) or int(row.max()) + rows > lived.glucose.shape[1]:
        raise ValueError(f"branches start at multiples of {KEEP} rows and end within the replay")
    who = lived.people.physiology[person]
    body = Body(lived.amounts[person, row // KEEP], lived.meals[person, row // KEEP])
    levels = []
    values = torch.zeros(len(person), rows, len(GLUCOSE.channels))
    for step in range(rows):
        at = (person, row + step)
        basal, bolus = lived.basal[at] * change.basal, lived.bolus[at] * change.bolus
        if step == 0:
            bolus = bolus + change.extra
        body = advance(who, body, lived.eaten[at] * change.meals, bolus + basal / 12, lived.scenario.sensitivity[at])
        levels.append(body.sensed(who))
        given = {
            "basal": basal,
            "bolus": bolus,
            "carbs": lived.announced[at] * change.meals,
            "activity": lived.scenario.activity[at],
        }
        for name, column in given.items():
            values[:, step, GLUCOSE.index(name)] = column
    return torch.stack(levels, 1), values
