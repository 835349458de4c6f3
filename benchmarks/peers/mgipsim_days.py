"""py-mgipsim's bare ODE loop (its own model and Runge-Kutta step, minute by minute): a worker of `benchmarks/simulate.py`.

`mgipsim_days.py FOLDER N`, with FOLDER a checkout of it: each line read is a round of N patient-days, answered by its seconds.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, sys.argv[1])
from pymgipsim.ODESolvers.ode_solvers import rk4_single_step
from pymgipsim.VirtualPatient.Models.T1DM.ExtHovorka.Model import Model
from pymgipsim.VirtualPatient.Models.T1DM.ExtHovorka.Parameters import Parameters

MINUTES = 24 * 60
LEVEL = 6.0  # mmol/L at the start


def parameters(count: int) -> np.ndarray:
    """Its patients, over and over, `[count, 35]`."""
    found = []
    for file in sorted((Path(sys.argv[1]) / "pymgipsim/VirtualPatient/Models/T1DM/ExtHovorka/Patients").glob("*.json")):
        person = Parameters()
        person.fromJSON(json.loads(file.read_text())["model_parameters"])
        found.append(person.as_array)
    return np.resize(np.concatenate(found), (count, found[0].shape[1]))


def day(who: np.ndarray) -> np.ndarray:
    """Glucose mmol/L `[count, T]`: basal insulin, and three meals of 60 g with 6 U."""
    own = Parameters(who)
    inputs, states = np.zeros((len(who), 5, MINUTES)), np.zeros((len(who), 16, MINUTES))
    inputs[:, 2], inputs[:, 3] = own.HRrest[:, None], Model.get_basal_equilibrium(who, LEVEL)[:, None]
    for minute in (420, 750, 1140):
        inputs[:, 1, minute], inputs[:, 3, minute] = 60 / 0.18, 6000.0
    states[:, 6, 0], states[:, 8, 0] = LEVEL * own.VG, LEVEL
    for minute in range(1, MINUTES):
        before, given = states[:, :, minute - 1].copy(), inputs[:, :, minute - 1]
        states[:, :, minute] = rk4_single_step(Model.model, 1.0, before, float(minute), who, given)
    return states[:, 8]


if __name__ == "__main__":
    people = parameters(int(sys.argv[2]))
    if not np.isfinite(day(people[:20])).all():
        raise SystemExit("py-mgipsim's glucose is not finite")
    print(json.dumps({"ready": True}), flush=True)
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        day(people)
        print(json.dumps({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}), flush=True)
