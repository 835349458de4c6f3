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
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime, timedelta
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
from torch import Tensor

from careplan.minutes import DAY
from careplan.series import PatientSeries
from careplan.studies.closed_loop import Planner, Treated
from careplan.therapies.glucose.declaration import GLUCOSE, STEP, Group
from careplan.therapies.glucose.modulation import SUSPEND
from careplan.therapies.glucose.world import open_world
from careplan.world.loaded import World

MIDNIGHT = datetime(2026, 1, 5)
GROUPS: tuple[Group, ...] = ("adolescent", "adult", "child")
NAMES: tuple[str, ...] = tuple(pd.read_csv(PATIENT_PARA_FILE).Name)


class Rows:
    """simglucose's samples, put together to rows of five minutes: the last reading, doses and meals in each."""

    def __init__(self) -> None:
        self.done, self._row = 0, self._empty()

    @staticmethod
    def _empty() -> dict[str, Any]:
        return {"glucose": np.nan, "basal": 0.0, "bolus": 0.0, "carbs": 0.0}

    def add(self, end: float, lasts: float, *, reading: Any, basal: Any, bolus: Any, carbs: Any) -> Iterator[dict[str, Any]]:
        """A sample of so many minutes up to minute `end`, of one patient or `[N]`: reading, basal U/h, bolus U, g; yields the
        rows that are complete."""
        begin = end - lasts
        self._row["bolus"] += bolus
        self._row["carbs"] += carbs
        while end >= (edge := (self.done + 1) * STEP) - 1e-6:
            self._row["basal"] += basal * (edge - begin) / STEP
            yield self._row if end > edge else {**self._row, "glucose": reading}
            self.done, self._row, begin = self.done + 1, self._empty(), edge
        self._row["basal"] += basal * (end - begin) / STEP
        self._row["glucose"] = reading if end > begin else np.nan


class Ward:
    """N patients under the planner, who are asked for at the same moments.

    histories: of each patient. basal U/h, ratio g/U and factor mg/dL/U `[N]` as prescribed: they hold where no plan is to be
    trusted. Plans every ten minutes and when a meal is announced, as the planner's policy does in our own cohorts.
    """

    def __init__(
        self,
        world: World,
        histories: Sequence[PatientSeries],
        groups: Sequence[Group],
        basal: Tensor,
        ratio: Tensor,
        factor: Tensor,
    ) -> None:
        self._treated = Treated.after(world, histories, basal, torch.zeros_like(basal, dtype=torch.bool), groups)
        self._basal, self._ratio, self._factor = basal, ratio, factor
        self._rows, self._next = Rows(), 0
        self._multiple, self._since = torch.ones_like(basal), torch.full_like(basal, 1e4)
        self._trusted = torch.zeros_like(basal, dtype=torch.bool)
        self._given: tuple[Tensor, Tensor] | None = None  # U/h of basal and U of bolus in the sample that has just passed

    def decide(self, minute: float, lasts: float, reading: Tensor, meal: Tensor) -> tuple[Tensor, Tensor]:
        """Basal U/h and bolus U `[N]` for the coming sample of `lasts` minutes; g of the meal that began in the last one."""
        if self._given is not None:
            basal, bolus = self._given
            for row in self._rows.add(minute, lasts, reading=reading, basal=basal, bolus=bolus, carbs=meal):
                self._treated.record({**row, "activity": torch.ones_like(reading)})
        due, given = meal > 0, torch.zeros_like(reading)
        if self._rows.done >= self._next:
            due, self._next = torch.ones_like(due), (self._rows.done // Planner.every + 1) * Planner.every
        if bool(due.any()):
            who, now = torch.nonzero(due).flatten(), self._rows.done
            planned = self._treated.plan(who, STEP * now, reading[who], meal[who], self._since[who], seed=now)
            given[who], self._multiple[who], self._trusted[who] = planned
        as_set = meal / self._ratio + (reading - 150).clamp(min=0.0) / self._factor * (meal > 0)
        given = torch.where(self._trusted, given, as_set)
        rate = self._basal * torch.where(self._trusted, self._multiple, 1.0)
        rate = torch.where(reading < SUSPEND, 0.0, rate)
        self._since = torch.where(given > 0, 0.0, self._since + lasts)
        self._given = (rate, given)
        return rate, given


class CareplanController(Controller):  # type: ignore[misc]
    """A ward of one, as simglucose's `SimObj(env, controller, ...)` asks for it."""

    def __init__(self, *ward: Any) -> None:
        self._arguments = ward
        self.reset()

    def reset(self) -> None:
        self._ward = Ward(*self._arguments)

    def policy(self, observation: Any, reward: float, done: bool, **info: Any) -> Action:
        lasts = float(info["sample_time"])
        seen = torch.tensor([[float(observation.CGM)], [float(info["meal"]) * lasts]])
        basal, bolus = self._ward.decide((info["time"] - MIDNIGHT) / timedelta(minutes=1), lasts, *seen)
        return Action(basal=float(basal) / 60, bolus=float(bolus) / lasts)


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


def together(names: Sequence[str], seed: int, days: int, ward: Ward) -> list[np.ndarray]:
    """True glucose of each patient's samples; all of them step by step, so that the ward plans for them in one batch."""
    places, levels = [environment(name, seed) for name in names], [[] for _ in names]
    with contextlib.redirect_stdout(io.StringIO()):
        last = [env.reset() for env in places]
        for env in places:
            env.patient._params = SimpleNamespace(**env.patient._params.to_dict())
        lasts = float(last[0].info["sample_time"])
        for sample in range(round(days * DAY / lasts)):
            seen = torch.tensor([[step.observation.CGM, step.info["meal"] * lasts] for step in last]).float()
            basal, bolus = ward.decide(sample * lasts, lasts, *seen.T)
            for place, env in enumerate(places):
                if not last[place].done:
                    last[place] = env.step(Action(basal=float(basal[place]) / 60, bolus=float(bolus[place]) / lasts))
                    levels[place].append(last[place].info["bg"])
    return [np.array(level) for level in levels]


def judged(level: np.ndarray) -> dict[str, float]:
    shares = {"in range": (level >= 70) & (level <= 180), "below 70": level < 70, "below 54": level < 54}
    found = {key: 100 * float(share.mean()) for key, share in shares.items()}
    found |= {"mean": float(level.mean()), "lowest": float(level.min()), "days": len(level) * 3 / DAY}
    return {key: round(value, 2) for key, value in found.items()}


def judge(names: Sequence[str], days: int, history: int, seed: int) -> list[dict[str, Any]]:
    """Patients under both controllers."""
    torch.set_num_threads(1)
    parameters, quest = (pd.read_csv(path).set_index("Name").loc[list(names)] for path in (PATIENT_PARA_FILE, CONTROL_QUEST))
    groups = [next(group for group in GROUPS if name.startswith(group)) for name in names]
    columns = (parameters.u2ss * parameters.BW / 100, quest.CR, quest.CF)
    basal, ratio, factor = (torch.tensor(column.to_numpy(), dtype=torch.float32) for column in columns)
    whole = DAY // int(STEP)
    before = [live(name, seed + 1000, history, BBController())[1] for name in names]
    known = [recording(name, rows[: len(rows) // whole * whole or None]) for name, rows in zip(names, before, strict=True)]
    plain = [live(name, seed, days, BBController())[0] for name in names]
    ours = together(names, seed, days, Ward(open_world(), known, groups, basal, ratio, factor))
    return [
        {"name": name, "group": group, "known_days": round(len(rows) * STEP / DAY, 1)}
        | {"basal-bolus": judged(theirs), "careplan": judged(mine)}
        for name, group, rows, theirs, mine in zip(names, groups, before, plain, ours, strict=True)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--history", type=int, default=7)
    parser.add_argument("--patients", nargs="+", default=list(NAMES))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="one object, on the last line")
    asked = parser.parse_args()
    people: list[dict[str, Any]] = []
    with ProcessPoolExecutor(asked.processes) as pool:
        parts = [asked.patients[part :: asked.processes] for part in range(asked.processes)]
        for some in pool.map(judge, parts, *([value] * len(parts) for value in (asked.days, asked.history, asked.seed))):
            people += some
    if not asked.json:
        for person in sorted(people, key=lambda person: person["name"]):
            print(json.dumps(person))
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
