"""careplan's planner as a controller inside simglucose, which we did not write, beside simglucose's own basal-bolus.

`uv run --with simglucose==0.2.11 --with 'setuptools<80' python benchmarks/simglucose_control.py [--days 7] [--history 7]
[--patients NAME ...] [--seed 1] [--json]`. Each of its 30 patients first lives `--history` days under its basal-bolus, with other
meals, on which the world model is personalised; then the same days under both controllers: `RandomScenario(seed)`, exact carb
counts, Dexcom, Insulet, true glucose. simglucose looks its parameters up in a table; here in an object of the same numbers, which
is ten times as fast.
"""

import argparse
import contextlib
import io
import json
import statistics
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime, timedelta
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import torch
from simglucose.actuator.pump import InsulinPump
from simglucose.controller.basal_bolus_ctrller import CONTROL_QUEST, BBController
from simglucose.controller.base import Action, Controller
from simglucose.patient.t1dpatient import PATIENT_PARA_FILE, T1DPatient
from simglucose.sensor.cgm import CGMSensor
from simglucose.simulation.env import T1DSimEnv
from simglucose.simulation.scenario_gen import RandomScenario

from careplan.clinic.closed_loop import EVERY, SUSPEND, Treated
from careplan.clinic.world import World, open_world
from careplan.glucose import DAY, GLUCOSE, STEP, Group
from careplan.series import PatientSeries

MIDNIGHT = datetime(2026, 1, 5)
GROUPS: tuple[Group, ...] = ("adolescent", "adult", "child")
NAMES: tuple[str, ...] = tuple(pd.read_csv(PATIENT_PARA_FILE).Name)


class Rows:
    """simglucose's samples, put together to rows of five minutes: the last reading, doses and meals in each."""

    def __init__(self) -> None:
        self.done, self._row = 0, self._empty()

    @staticmethod
    def _empty() -> dict[str, float]:
        return {"glucose": np.nan, "basal": 0.0, "bolus": 0.0, "carbs": 0.0}

    def add(
        self, end: float, lasts: float, *, reading: float, basal: float, bolus: float, carbs: float
    ) -> Iterator[dict[str, float]]:
        """A sample of so many minutes up to minute `end`: reading, basal U/h, bolus U, g; yields the rows that are complete."""
        begin = end - lasts
        self._row["bolus"] += bolus
        self._row["carbs"] += carbs
        while end >= (edge := (self.done + 1) * STEP) - 1e-6:
            self._row["basal"] += basal * (edge - begin) / STEP
            yield self._row if end > edge else {**self._row, "glucose": reading}
            self.done, self._row, begin = self.done + 1, self._empty(), edge
        self._row["basal"] += basal * (end - begin) / STEP
        self._row["glucose"] = reading if end > begin else np.nan


class CareplanController(Controller):  # type: ignore[misc]
    """Plans every ten minutes and when a meal is announced; does what the planner's policy does in our own cohorts.

    history: of this patient. basal U/h, ratio g/U and factor mg/dL/U as prescribed, which hold where no plan is to be trusted.
    """

    def __init__(self, world: World, history: PatientSeries, group: Group, *, basal: float, ratio: float, factor: float) -> None:
        self._world, self._history, self._group = world, history, group
        self._basal, self._ratio, self._factor = basal, ratio, factor
        self.reset()

    def reset(self) -> None:
        one = torch.ones(1)
        self._treated = Treated.after(self._world, [self._history], self._basal * one, one < 0, [self._group])
        self._rows, self._multiple, self._trusted, self._since, self._next = Rows(), 1.0, False, 1e4, 0
        self._given: tuple[float, float] | None = None  # U/h of basal and U of bolus in the sample that has just passed

    def policy(self, observation: Any, reward: float, done: bool, **info: Any) -> Action:
        lasts, meal = float(info["sample_time"]), float(info["meal"]) * float(info["sample_time"])
        minute, reading = (info["time"] - MIDNIGHT) / timedelta(minutes=1), float(observation.CGM)
        if self._given is not None:
            basal, bolus = self._given
            for row in self._rows.add(minute, lasts, reading=reading, basal=basal, bolus=bolus, carbs=meal):
                self._treated.record({**{name: torch.tensor([value]) for name, value in row.items()}, "activity": torch.ones(1)})
        given = 0.0
        if meal > 0 or self._rows.done >= self._next:
            self._next = (self._rows.done // EVERY + 1) * EVERY
            told = (torch.tensor([value]) for value in (reading, meal, self._since))
            impulse, multiple, trusted = self._treated.plan(
                torch.tensor([0]), STEP * self._rows.done, *told, seed=self._rows.done
            )
            self._multiple, self._trusted = float(multiple), bool(trusted)
            given = float(impulse)
        if not self._trusted:
            self._multiple = 1.0
            given = meal / self._ratio + max(0.0, reading - 150) / self._factor * (meal > 0)
        rate = 0.0 if reading < SUSPEND else self._basal * self._multiple
        self._since = 0.0 if given else self._since + lasts
        self._given = (rate, given)
        return Action(basal=rate / 60, bolus=given / lasts)


def environment(name: str, seed: int) -> T1DSimEnv:
    scenario, sensor = RandomScenario(MIDNIGHT, seed=seed), CGMSensor.withName("Dexcom", seed=seed)
    return T1DSimEnv(T1DPatient.withName(name), sensor, InsulinPump.withName("Insulet"), scenario)


def live(name: str, seed: int, days: int, controller: Controller) -> tuple[np.ndarray, list[dict[str, float]]]:
    """True glucose mg/dL of each sample, and the rows, of `days` days under a controller; at most until they would be dead."""
    env, rows, lived, levels = environment(name, seed), Rows(), [], []
    with contextlib.redirect_stdout(io.StringIO()):
        observation, reward, done, info = env.reset()
        env.patient._params = SimpleNamespace(**env.patient._params.to_dict())
        while env.time < MIDNIGHT + timedelta(days=days) and not done:
            action = controller.policy(observation, reward, done, **info)
            observation, reward, done, info = env.step(action)
            end, lasts = (env.time - MIDNIGHT) / timedelta(minutes=1), float(info["sample_time"])
            given = {"basal": float(action.basal) * 60, "bolus": float(action.bolus) * lasts, "carbs": info["meal"] * lasts}
            lived += rows.add(end, lasts, reading=float(observation.CGM), **given)
            levels.append(info["bg"])
    return np.array(levels), lived


def recording(name: str, rows: list[dict[str, float]]) -> PatientSeries:
    """What a record of these rows would hold."""
    values = np.zeros((len(rows), len(GLUCOSE.channels)), np.float32)
    mask = np.zeros_like(values, dtype=bool)
    for channel in ("glucose", "basal", "bolus", "carbs"):
        column = np.array([row[channel] for row in rows], np.float32)
        values[:, GLUCOSE.index(channel)], mask[:, GLUCOSE.index(channel)] = np.nan_to_num(column), ~np.isnan(column)
    values[:, GLUCOSE.index("activity")], mask[:, GLUCOSE.index("activity")] = 1.0, True
    return PatientSeries(name, GLUCOSE, pd.Timestamp(MIDNIGHT, tz="UTC"), "UTC", values, mask)


@cache
def world() -> World:
    torch.set_num_threads(1)
    return open_world()


def judge(asked: tuple[str, int, int, int]) -> dict[str, Any]:
    """One patient under both controllers."""
    name, days, history, seed = asked
    began, group = time.perf_counter(), next(group for group in GROUPS if name.startswith(group))
    parameters = pd.read_csv(PATIENT_PARA_FILE).set_index("Name").loc[name]
    quest = pd.read_csv(CONTROL_QUEST).set_index("Name").loc[name]
    basal = float(parameters.u2ss * parameters.BW / 6000 * 60)
    _, before = live(name, seed + 1000, history, BBController())
    enough = (len(before) * int(STEP)) // DAY * DAY // int(STEP)
    ours = CareplanController(
        world(), recording(name, before[: enough or None]), group, basal=basal, ratio=float(quest.CR), factor=float(quest.CF)
    )
    found: dict[str, Any] = {"name": name, "group": group, "known_days": len(before) * STEP / DAY}
    for label, controller in (("basal-bolus", BBController()), ("careplan", ours)):
        level, _ = live(name, seed, days, controller)
        shares = {"in range": (level >= 70) & (level <= 180), "below 70": level < 70, "below 54": level < 54}
        found[label] = {key: round(100 * float(share.mean()), 2) for key, share in shares.items()} | {
            "mean": round(float(level.mean()), 1),
            "lowest": round(float(level.min()), 1),
            "days": round(len(level) * 3 / DAY, 2),
        }
    return found | {"seconds": round(time.perf_counter() - began)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--history", type=int, default=7)
    parser.add_argument("--patients", nargs="+", default=list(NAMES))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="one object, on the last line")
    asked = parser.parse_args()
    people = []
    with ProcessPoolExecutor(asked.processes) as pool:
        for person in pool.map(judge, [(name, asked.days, asked.history, asked.seed) for name in asked.patients]):
            people.append(person)
            print(json.dumps(person), file=sys.stderr, flush=True)
    table = {
        group: {
            label: {
                key: round(statistics.mean(person[label][key] for person in some), 2)
                for key in ("in range", "below 70", "below 54")
            }
            for label in ("basal-bolus", "careplan")
        }
        for group in GROUPS
        if (some := [person for person in people if person["group"] == group])
    }
    print(json.dumps({"days": asked.days, "history": asked.history, "seed": asked.seed, "groups": table, "people": people}))


if __name__ == "__main__":
    main()
