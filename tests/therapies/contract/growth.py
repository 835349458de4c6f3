"""On or off, two ways: a drug and a beam against a growth; a cap on what accumulates; an end that absorbs on either side."""

from datetime import timedelta

import numpy as np

from careplan.clock import Clock
from careplan.covariates import Covariate
from careplan.effects import Effect, Output
from careplan.gate import Gate
from careplan.rules import Action, Cap, End, Exclusive, Lockout
from careplan.therapy import Channel, Cost, Limits, Pool, Therapy
from tests.therapies.contract.build import Array, People

DAY = 1440.0
HELD = 1.44  # days, of the drug
FATAL, GONE = 1000.0, 0.05  # cm3

GROWTH = Therapy(
    name="growth",
    channels=(
        Channel(
            name="volume", unit="cm3", role="observation", form="level", low=1e-3, high=3000.0, link="log", center=30.0,
            scale=1.0, noise=0.05
        ),
        Channel(name="drug", unit="", role="action", form="choice", low=0.0, high=1.0, direction=-1),
        Channel(name="beam", unit="", role="action", form="choice", low=0.0, high=1.0, direction=-1),
    ),
    outputs=(
        Output(
            name="volume", risk=lambda volume: (volume.clamp(min=1e-3) / 1e-3).log() ** 2 / 20.0, best=1e-3, returns=0.0,
            lowest=-10.0, highest=5.0, harm=1,
        ),
    ),
    pools=(
        Pool(name="drug", channels=("drug",), time_constant=HELD * DAY, stages=1, holds=True),
        Pool(name="beam", channels=("beam",), time_constant=DAY, stages=0),
    ),
    effects=(
        Effect(name="drug", pools=("drug",), direction=-1, usual=1.0, size=0.2, with_="beam", together=0.1),
        Effect(name="beam", pools=("beam",), direction=-1, usual=1.0, size=0.12, quadratic=0.2),
    ),
    costs=(Cost(name="large", above=500.0, budget=0.5, of="share"),),
    clock=Clock(
        step=DAY, interval=DAY, pace=4 * DAY, span=DAY, look=DAY, judged=DAY, horizon=4 * DAY, decision=2 * DAY, ahead=12 * DAY,
        context=10, memory=10, patch=2,
    ),
    gate=Gate(days=5.0, active=0.0, recent=20 * DAY, windows=2, strange=9.0, error_ratio=9.0, dosed=0.5),
    covariates=(Covariate(name="kind", levels=("a", "b")),),
    before="nothing",
    actions=(Action(channel="drug", values=(0.0, 1.0), burden=0.02), Action(channel="beam", values=(0.0, 1.0), burden=0.02)),
    combined=True,
    ends=(
        End(name="death", on="volume", side=1, level=FATAL, risk=40.0),
        End(name="cure", on="volume", side=-1, level=GONE, risk=0.0),
    ),
)  # fmt: skip

LIMITS = Limits(
    max_dose=1.0, max_on_board=float("inf"), min_spacing=0.0, floor=0.0, max_rate=0.0,
    rules=(
        Cap(name="beam in all", channels=("beam",), most=6.0),
        Lockout(name="between drugs", channels=("drug",), minutes=4 * DAY),
        Exclusive(name="not together", channels=("drug", "beam")),
    ),
)  # fmt: skip
HOLDS = timedelta(days=2)


def people(count: int, seed: int) -> People:
    """Growths of other sizes, paces and sensitivity."""
    random = np.random.default_rng(seed)
    kinds = random.choice(["a", "b"], count)
    start, pace = np.exp(random.normal(3.5, 0.7, count)), random.uniform(0.02, 0.07, count)
    weak = np.where(kinds == "a", 0.7, 1.3) * np.exp(random.normal(0, 0.1, count))

    def live(place: int, doses: Array) -> Array:
        held, log, levels = 0.0, float(np.log(start[place])), []
        for drug, beam in doses:
            held = held * np.exp(-1.0 / HELD) + drug
            log += pace[place] * (7.0 - log) / 3.5 - weak[place] * (0.16 * held + 0.1 * beam)
            levels.append(np.exp(log))
        return np.array(levels, np.float32)[:, None]

    return People([{"kind": str(kind)} for kind in kinds], live)


def doses(count: int, rows: int, seed: int) -> Array:
    """Each given on some days, at random."""
    random = np.random.default_rng(seed)
    return (random.random((count, rows, 2)) < random.uniform(0.0, 0.5, (count, 1, 2))).astype(np.float32)
