"""simglucose 0.2.11 as it comes: a worker of `benchmarks/simulate.py`, which starts it where simglucose is installed.

`time N`: each line read is a round of N patient-days, answered by its seconds. `parity`: one line read, the doses; one answered.
"""

import contextlib
import io
import json
import sys
import time
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
from simglucose.actuator.pump import InsulinPump
from simglucose.controller.basal_bolus_ctrller import BBController
from simglucose.patient.t1dpatient import PATIENT_PARA_FILE, Action, T1DPatient
from simglucose.sensor.cgm import CGMSensor
from simglucose.simulation.env import T1DSimEnv
from simglucose.simulation.scenario_gen import RandomScenario
from simglucose.simulation.sim_engine import SimObj

MIDNIGHT = datetime(2026, 1, 5)
NAMES = list(pd.read_csv(PATIENT_PARA_FILE).Name)


def day(name: str, seed: int) -> None:
    """Basal-bolus, random meals, Dexcom."""
    scenario, sensor = RandomScenario(MIDNIGHT, seed=seed), CGMSensor.withName("Dexcom", seed=seed)
    world = T1DSimEnv(T1DPatient.withName(name), sensor, InsulinPump.withName("Insulet"), scenario)
    with contextlib.redirect_stdout(io.StringIO()):
        SimObj(world, BBController(), timedelta(days=1), animate=False).simulate()


def course(person: int, carbs: list[float], insulin: list[float]) -> list[float]:
    """Glucose mg/dL at the end of each minute of g and U a minute; a meal's rate is what is asked for."""
    patient, levels = T1DPatient.withID(person + 1), []
    for grams, units in zip(carbs, insulin, strict=True):
        patient.EAT_RATE = grams or 5
        patient.step(Action(CHO=grams, insulin=units))
        levels.append(float(patient.observation.Gsub))
    return levels


def parity(asked: dict[str, Any]) -> dict[str, Any]:
    """The table of published patients, and what simglucose makes of `{"carbs": [30][T], "insulin": [30][T] a U/min of basal}`."""
    table = pd.read_csv(PATIENT_PARA_FILE)
    basal = table.u2ss * table.BW / 6000
    rows = enumerate(zip(asked["carbs"], asked["insulin"], strict=True))
    glucose = [course(place, carbs, [units + float(basal[place]) for units in insulin]) for place, (carbs, insulin) in rows]
    return {"table": table.to_dict("list"), "basal": list(basal), "glucose": glucose}


if __name__ == "__main__":
    print(json.dumps({"ready": True}), flush=True)
    for count, line in enumerate(sys.stdin):
        if sys.argv[1] == "parity":
            print(json.dumps(parity(json.loads(line))), flush=True)
            continue
        wall, cpu = time.perf_counter(), time.process_time()
        for patient in range(int(sys.argv[2])):
            day(NAMES[(7 * patient + count) % len(NAMES)], seed=patient)
        print(json.dumps({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}), flush=True)
