"""Two infusions, two outputs, no cycle, a step of ten seconds: a pressure and a rate of the heart under two drugs."""

from datetime import timedelta

import numpy as np

from careplan.clock import Clock
from careplan.effects import Effect, Output
from careplan.gate import Gate
from careplan.rules import Action, Hold
from careplan.therapy import Channel, Cost, Limits, Pool, Therapy
from tests.therapies.contract.build import Array, People

STEP = 10 / 60  # minutes

PRESSURES = Therapy(
    name="pressures",
    channels=(
        Channel(name="pressure", unit="mmHg", role="observation", form="level", low=20.0, high=250.0, center=80.0, scale=15.0),
        Channel(name="pulse", unit="/min", role="observation", form="level", low=20.0, high=250.0, center=80.0, scale=15.0),
        Channel(name="raiser", unit="ug/min", role="action", form="rate", per=1.0, low=0.0, high=40.0, scale=5.0, direction=1),
        Channel(name="slower", unit="mg/min", role="action", form="rate", per=1.0, low=0.0, high=10.0, scale=1.0, direction=-1),
    ),
    outputs=(
        Output(name="pressure", risk=lambda level: ((level - 75.0) / 15.0) ** 2, best=75.0, returns=0.5),
        Output(name="pulse", risk=lambda level: ((level - 70.0) / 15.0).clamp(min=0.0) ** 2, best=70.0, weight=0.5, returns=0.5,
        harm=1),
    ),
    pools=(
        Pool(name="raiser", channels=("raiser",), time_constant=0.75, stages=2, holds=True),
        Pool(name="slower", channels=("slower",), time_constant=1.0, stages=2, holds=True),
    ),
    effects=(
        Effect(name="raises", pools=("raiser",), direction=1, usual=8.0, size=10.0, on="pressure"),
        Effect(name="quickens", pools=("raiser",), direction=1, usual=8.0, size=2.0, on="pulse"),
        Effect(name="lowers", pools=("slower",), direction=-1, usual=2.0, size=3.0, on="pressure"),
        Effect(name="slows", pools=("slower",), direction=-1, usual=2.0, size=10.0, on="pulse"),
    ),
    costs=(
        Cost(name="shock", below=60.0, budget=0.1, on="pressure"),
        Cost(name="racing", above=120.0, budget=0.1, on="pulse"),
    ),
    clock=Clock(
        step=STEP, interval=STEP, pace=1.0, span=1.0, look=1.0, judged=1.0, horizon=1.0, decision=1.0, ahead=3.0, context=12,
        memory=12, patch=6, knots=(1.0,),
    ),
    gate=Gate(days=0.0, active=50.0, recent=10.0, windows=2, strange=9.0, error_ratio=9.0, dosed=0.5),
    actions=(
        Action(channel="raiser", values=(0.0, 4.0, 8.0, 16.0)),
        Action(channel="slower", values=(0.0, 1.0, 2.0)),
    ),
)  # fmt: skip

LIMITS = Limits(
    max_dose=0.0, max_on_board=float("inf"), min_spacing=0.0, floor=0.0, max_rate=40.0,
    rules=(
        Hold(name="no more of what slows in shock", channels=("slower",), on="pressure", side=-1, level=65.0),
        Hold(name="no more of what raises above", channels=("raiser",), on="pressure", side=1, level=110.0),
    ),
)  # fmt: skip
HOLDS = timedelta(minutes=2)


def people(count: int, seed: int) -> People:
    """Who answer to the drugs more and less."""
    random = np.random.default_rng(seed)
    raised, slowed = np.exp(random.normal(0, 0.3, count)), np.exp(random.normal(0, 0.3, count))
    rest = random.normal(65.0, 5.0, count)

    def live(place: int, doses: Array) -> Array:
        held, levels = np.zeros(2), []
        level = np.array([rest[place], 90.0])
        for given in doses:
            held += STEP * (given / [8.0, 2.0] - held) / [1.2, 1.6]
            aim = np.array(
                [
                    rest[place] + 20 * raised[place] * held[0] - 5 * slowed[place] * held[1],
                    90 - 20 * slowed[place] * held[1] + 4 * held[0],
                ]
            )
            level = level + STEP * 0.5 * (aim - level)
            levels.append(level)
        return np.array(levels, np.float32)

    return People([{} for _ in range(count)], live)


def doses(count: int, rows: int, seed: int) -> Array:
    """Rates that change every minute or two."""
    random = np.random.default_rng(seed)
    held = 9
    raiser = random.choice([0.0, 4.0, 8.0, 16.0], (count, -(-rows // held)))
    slower = random.choice([0.0, 1.0, 2.0], (count, -(-rows // held)))
    return np.repeat(np.stack([raiser, slower], -1), held, axis=1)[:, :rows].astype(np.float32)
