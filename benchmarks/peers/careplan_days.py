"""careplan's side of `benchmarks/simulate.py`, one thread: `careplan_days.py KIND [N]`.

`closed loop`: basal-bolus as simglucose doses, a day's life drawn, sensor error, all of a row in one kernel. `bare equations`:
the step alone, doses given. `replay`: `cohorts.replay` itself, with its basal-bolus. Each line read is a round of N patient-days,
answered by its seconds. `floor`, `doses` and `parity`: one answer each.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from cohorts.bodies import Body, Inputs, advance, resting
from cohorts.fused import fused, packed, stepper, unpacked
from cohorts.physiology import STATES, Physiology
from cohorts.policies import Behaviour
from cohorts.population import Population, sample_population
from cohorts.replay import replay
from cohorts.scenarios import ROWS, Life, draw_life
from cohorts.sensors import HIGH, LOW, Sensor

BLOCK = 2000  # people who live together: what one row of them touches stays in a core's cache


def row(people: Tensor, drawn: Tensor, amounts: Tensor, meal: Tensor, eating: Tensor, error: Tensor, reading: Tensor) -> Any:
    """One row of the closed loop: doses, five minutes, a reading. people `[35, B]`, drawn `[7, B]`, amounts `[15, B]`."""
    who, (basal, ratio, factor) = unpacked(people[:-3]), people[-3:].unbind()
    eaten, announced, sensitivity, uptake, pace, gain, noise = drawn.unbind()
    correction = torch.where(reading > 150, (reading - 140) / factor, 0.0)
    bolus = torch.where(announced > 0, announced / ratio + correction, 0.0).clamp(min=0)
    given = Inputs(eaten, bolus + basal / 12, torch.zeros_like(bolus), sensitivity, uptake, pace)
    body = advance(who, Body(amounts.T, meal, eating), given)
    error = Sensor.memory * error + (1 - Sensor.memory**2) ** 0.5 * noise
    reading = (body.sensed(who) * gain + error).clamp(LOW, HIGH)
    return torch.stack([body.glucose(who), reading, bolus]), body.amounts.T, body.meal, body.eating, error, reading


def closed_loop(people: Population, step: Callable[..., Any], generator: torch.Generator) -> Tensor:
    """A day from midnight: true glucose, reading and bolus, `[T, 3, B]`."""
    count, life, sensor = len(people), draw_life(people, 1, Life(), generator), Sensor()
    noise = sensor.noise * torch.randn(ROWS, count, generator=generator)
    gain = 1 + sensor.gain * torch.randn(count, generator=generator).expand(ROWS, count)
    lived = (life.eaten, life.announced, life.sensitivity, life.uptake, life.pace)
    drawn = torch.stack([*(part.T for part in lived), gain, noise], 1)
    settings = torch.stack([people.basal, people.carb_ratio, people.correction_factor])
    who = torch.cat([packed(people.physiology), settings])
    body = people.body
    state = (body.amounts.T.contiguous(), body.meal, body.eating, torch.zeros(count), people.fasting)
    course = []
    for today in drawn:
        kept, *state = step(who, today, *state)
        course.append(kept)
    return torch.stack(course)


def bare(people: Population, step: Callable[[Body, Inputs], Body]) -> Tensor:
    """The same without a policy, a life or a sensor: basal and three meals with their doses; glucose at the end."""
    body, third = people.body, people.carbs / 3
    fasts = resting(0 * third, people.basal / 12)
    eats = resting(third, third / people.carb_ratio + people.basal / 12)
    for place in range(ROWS):
        body = step(body, eats if place in (84, 150, 228) else fasts)
    return body.glucose(people.physiology)


def rounds(kind: str, count: int) -> Callable[[], Tensor]:
    """A function that lives one day of `count` people, in blocks."""
    everyone = sample_population("adult", count, seed=1)
    blocks = [everyone[block] for block in torch.arange(count).split(BLOCK)]
    generator = torch.Generator().manual_seed(1)
    if kind == "closed loop":
        step = fused(row)
        return lambda: torch.cat([closed_loop(block, step, generator)[-1, 0] for block in blocks])
    if kind == "bare equations":
        steps = [stepper(block.physiology) for block in blocks]
        return lambda: torch.cat([bare(block, step) for block, step in zip(blocks, steps, strict=True)])
    return lambda: torch.cat([replay(block, Behaviour.as_set(), days=1, seed=1, fuse=True).glucose[:, -1] for block in blocks])


class Count(TorchDispatchMode):
    """Counts numbers computed, one an operation and element; an addition of a multiple is two."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = self.tanh = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if isinstance(out, Tensor) and name in ("add", "sub", "mul", "div", "rsub", "clamp", "reciprocal", "where", "gt", "tanh"):
            self.flops += out.numel() * (2 if (kwargs or {}).get("alpha", 1) != 1 else 1)
            self.tanh += out.numel() * (name == "tanh")
        return out


def timed(work: Callable[[], Any]) -> dict[str, float]:
    """Seconds on the clock, and of one core."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def best(work: Callable[[], Any], tries: int = 20) -> float:
    """Seconds of one core, the least of some tries."""
    return min(timed(work)["cpu"] for _ in range(tries))


def floor() -> dict[str, float]:
    """What a patient-day of the bare equations takes, and what one core of this machine does: the least time it could take."""
    people = sample_population("adult", 100, seed=1)
    with Count() as count:
        advance(people.physiology, people.body, resting(people.carbs, people.basal))
    flops, tanh = (value / len(people) * ROWS for value in (count.flops, count.tanh))
    # In main memory: parameters and state in, inputs in, state out.
    moved = 4 * (len(vars(people.physiology)) + 2 * (len(STATES) + 2) + 6) * ROWS
    square, curve = torch.randn(512, 512), torch.randn(4096)
    wide, other = torch.randn(2**25), torch.randn(2**25)
    flop_rate = 2 * 512**3 / best(lambda: square @ square)
    tanh_rate = 100 * len(curve) / best(lambda: [torch.tanh(curve) for _ in range(100)])
    byte_rate = 8 * len(wide) / best(lambda: other.copy_(wide), 5)
    return {
        "flops_a_patient_day": round(flops),
        "tanh_a_patient_day": round(tanh),
        "bytes_a_patient_day": moved,
        "gflops_a_core": round(flop_rate / 1e9, 1),
        "gtanh_a_core": round(tanh_rate / 1e9, 2),
        "gbytes_a_core": round(byte_rate / 1e9, 1),
        "patient_days_a_core_second": round(1 / ((flops - tanh) / flop_rate + tanh / tanh_rate)),
        "patient_days_a_core_second_by_memory": round(byte_rate / moved),
    }


def doses() -> dict[str, Any]:
    """Five meals at random times, by the minute over five minutes, each with a dose for it: g and U a minute, `[30][T]`."""
    generator = torch.Generator().manual_seed(2)
    carbs, insulin = torch.zeros(30, 1440), torch.zeros(30, 1440)
    for first in range(0, 1440, 288):
        minute = first + (torch.rand(30, generator=generator) * 280).long()
        grams = (10 + 60 * torch.rand(30, generator=generator)).round()
        units = grams / 15 * (0.3 + torch.rand(30, generator=generator))
        for person in range(30):
            eating = slice(int(minute[person]), int(minute[person]) + 5)
            carbs[person, eating], insulin[person, eating] = grams[person] / 5, units[person] / 5
    return {"carbs": carbs.tolist(), "insulin": insulin.tolist()}


def parity(asked: dict[str, Any]) -> dict[str, Any]:
    """Greatest difference from simglucose over the day in mg/dL, in double and single precision, by patient."""
    table, worst = asked["table"], {}
    for name, dtype in (("float64", torch.float64), ("float32", torch.float32)):
        columns = {key: torch.tensor(values, dtype=dtype) for key, values in table.items() if key != "Name"}
        steady, one = torch.full((30,), 480.0, dtype=dtype), torch.zeros(30, dtype=dtype)
        columns |= {"weight": columns["BW"], "tlong": steady}
        who = Physiology(**{field.name: columns[field.name] for field in fields(Physiology)})
        start = [value for key, value in columns.items() if key.startswith("x0_")]
        body = Body(torch.stack([*start, one, one], 1), one, one > 0)
        carbs, insulin, basal, theirs = (
            torch.tensor(asked[key], dtype=dtype) for key in ("carbs", "insulin", "basal", "glucose")
        )
        levels = []
        for minute in range(carbs.shape[1]):
            body = advance(who, body, resting(carbs[:, minute], insulin[:, minute] + basal), minutes=1.0, substeps=1)
            levels.append(body.sensed(who))
        worst[name] = (torch.stack(levels, 1) - theirs).abs().amax(1)
    swing = torch.tensor(asked["glucose"])
    patients = {
        patient: {
            **{name: round(float(each[place]), 4) for name, each in worst.items()},
            "lowest": round(float(swing[place].min()), 1),
            "highest": round(float(swing[place].max()), 1),
        }
        for place, patient in enumerate(table["Name"])
    }
    return {"greatest": {name: round(float(each.max()), 4) for name, each in worst.items()}, "patients": patients}


def main() -> None:
    torch.set_num_threads(1)
    kind, *rest = sys.argv[1:]
    once = {"floor": lambda _: floor(), "doses": lambda _: doses(), "parity": lambda line: parity(json.loads(line))}
    with torch.inference_mode():
        live = rounds(kind, int(rest[0])) if rest else None
        if live is not None and not bool(torch.isfinite(live()).all()):
            raise SystemExit(f"{kind}: glucose that is not finite")
        print(json.dumps({"ready": True}), flush=True)
        for line in sys.stdin:
            print(json.dumps(once[kind](line) if live is None else timed(live)), flush=True)


if __name__ == "__main__":
    main()
