"""A tumour's volume under two treatments, as the counterfactual benchmark has it; its numbers are means over its patients.

The equation (`cohorts.tumour`) is one in steps: growth that slows towards a capacity, a drug that kills by its concentration, and
rays that kill as they are given add up as shares of the volume, which compounds a day. Concentration halves a day, which an
integration by the midpoint of steps of a day gives of a time constant of one day exactly.
"""

import math

import torch
from torch import Tensor

from careplan.clock import Clock
from careplan.covariates import Covariate
from careplan.effects import Effect, Output
from careplan.gate import Gate
from careplan.minutes import DAY
from careplan.rules import Action, Cap, End
from careplan.therapy import Channel, Limits, Pool, Therapy

CAPACITY, DEATH = 14137.17, 1150.3465  # cm3 of spheres of 30 and 13 cm
CELL = 1 / 5.8e8  # cm3 of one cell
GIVEN = 15.0  # of either treatment in a course, at most: a cumulative cap as courses have, not the benchmark's


def risk(level: Tensor) -> Tensor:
    """`[...]` cm3 -> `[...]` 0 of one cell, 1 where it kills, by its logarithm: a treatment kills a share of the cells, and is
    worth as much when few are left, which is what cures."""
    return (level.clamp(min=CELL) / CELL).log() / math.log(DEATH / CELL)


TUMOUR = Therapy(
    name="tumour",
    channels=(
        Channel(
            name="volume",
            unit="cm3",
            role="observation",
            form="level",
            low=1e-9,
            high=CAPACITY,
            link="log",
            center=CAPACITY,
            scale=2.0,
            noise=0.002,
            direction=0,
        ),
        Channel(name="chemo", unit="doses", role="action", form="impulse", low=0.0, high=1.0, direction=-1, silence=1e9),
        Channel(name="radio", unit="doses", role="action", form="impulse", low=0.0, high=1.0, direction=-1, silence=1e9),
    ),
    outputs=(
        Output(
            name="volume",
            risk=risk,
            best=CELL,
            returns=0.0062,
            compounds=DAY,
            lowest=-17.0,
            highest=0.5,
            bends=(-5.0, -2.0),
            harm=1,
        ),
    ),
    pools=(
        Pool(name="drug", channels=("chemo",), time_constant=DAY, stages=1, holds=True),
        Pool(name="rays", channels=("radio",), time_constant=DAY, stages=0),
    ),
    effects=(
        Effect(name="drug", pools=("drug",), direction=-1, usual=1.0, size=0.29),
        Effect(name="rays", pools=("rays",), direction=-1, usual=1.0, size=0.42),
    ),
    costs=(),
    clock=Clock(
        step=DAY,
        interval=DAY,
        pace=DAY,
        span=DAY,
        look=DAY,
        judged=DAY,
        horizon=6 * DAY,
        decision=DAY,
        ahead=14 * DAY,
        context=60,
        memory=60,
        patch=6,
    ),
    gate=Gate(days=5.0, active=50.0, recent=14 * DAY, windows=3, strange=4.0, error_ratio=1.0, dosed=0.0),
    covariates=(Covariate(name="kind", levels=("1", "2", "3")),),
    before="nothing",
    actions=(Action(channel="chemo", values=(0.0, 1.0)), Action(channel="radio", values=(0.0, 1.0))),
    combined=True,
    sampled=True,
    ends=(
        End(name="death", on="volume", side=1, level=DEATH, risk=2.0),
        End(name="cure", on="volume", side=-1, level=CELL, risk=0.0),
    ),
)

LIMITS = Limits(
    max_dose=1.0,
    max_on_board=torch.inf,
    min_spacing=0.0,
    floor=0.0,
    max_rate=0.0,
    rules=(
        Cap(name="chemotherapy of a course", channels=("chemo",), most=GIVEN),
        Cap(name="radiotherapy of a course", channels=("radio",), most=GIVEN),
    ),
)
