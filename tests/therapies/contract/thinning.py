"""A raising drug, a level on its logarithm, one value a week, and people known by covariates before anything is measured."""

from datetime import timedelta

import numpy as np

from careplan.clock import Clock
from careplan.covariates import Covariate
from careplan.effects import Effect, Output
from careplan.gate import Gate
from careplan.rules import Action, Cap, Hold, Keep, Measure
from careplan.therapy import Channel, Cost, Limits, Pool, Therapy
from tests.therapies.contract.build import Array, People

DAY, WEEK = 1440.0, 7 * 1440.0
BASE, RETURNS, ELIMINATED = 1.0, 0.25, 2.5  # the level untreated; a day; days

THINNING = Therapy(
    name="thinning",
    channels=(
        Channel(
            name="ratio", unit="", role="observation", form="level", low=0.5, high=20.0, link="log", center=2.0, scale=0.5,
            noise=0.05
        ),
        Channel(name="tablet", unit="mg", role="action", form="impulse", low=0.0, high=20.0, scale=5.0, direction=1, silence=3 *
        DAY),
    ),
    outputs=(Output(name="ratio", risk=lambda ratio: 25.0 * (ratio / 2.5).log() ** 2, best=2.5, returns=0.25, harm=1),),
    pools=(Pool(name="drug", channels=("tablet",), time_constant=2.5 * DAY, stages=1, holds=True),),
    effects=(Effect(name="drug", pools=("drug",), direction=1, usual=35.0, size=1.6, half=2.0),),
    costs=(Cost(name="below_2", below=2.0, budget=0.5), Cost(name="above_4", above=4.0, budget=0.05)),
    clock=Clock(
        step=DAY, interval=DAY, pace=DAY, span=WEEK, cycle=WEEK, look=DAY, judged=WEEK, horizon=WEEK, decision=WEEK,
        ahead=4 * WEEK, context=14, memory=14, patch=7,
    ),
    gate=Gate(days=7.0, active=0.0, recent=4 * WEEK, windows=2, strange=9.0, error_ratio=9.0, dosed=0.5),
    covariates=(
        Covariate(name="age", unit="years", center=60.0, scale=15.0, low=0.0, high=120.0),
        Covariate(name="gene", levels=("slow", "usual", "fast")),
    ),
    before="nothing",
    actions=(Action(channel="tablet", values=(0.0, 0.5, 0.8, 0.9, 1.1, 1.2, 1.5), of="multiple", increment=0.5),),
    measure=Measure(gaps=(WEEK, 2 * WEEK, 4 * WEEK), cost=0.5),
)  # fmt: skip

LIMITS = Limits(
    max_dose=20.0, max_on_board=float("inf"), min_spacing=0.0, floor=0.0, max_rate=0.0,
    rules=(
        Hold(name="ceiling", channels=("tablet",), on="ratio", side=1, level=4.0),
        Keep(name="clots", channels=("tablet",), on="ratio", side=-1, level=1.5),
        Cap(name="a week's most", channels=("tablet",), most=105.0, within=WEEK),
    ),
)  # fmt: skip
HOLDS = timedelta(days=7)


def people(count: int, seed: int) -> People:
    """Whose drug raises the ratio by as much as their gene and age say, and some chance."""
    random = np.random.default_rng(seed)
    genes, ages = random.choice(["slow", "usual", "fast"], count), random.uniform(30.0, 90.0, count)
    strength = {"slow": 1.5, "usual": 1.0, "fast": 0.65}
    sensitive = [
        strength[gene] * np.exp(0.008 * (age - 60) + random.normal(0, 0.1)) for gene, age in zip(genes, ages, strict=True)
    ]
    facts = [{"age": float(age), "gene": str(gene)} for gene, age in zip(genes, ages, strict=True)]

    def live(place: int, doses: Array) -> Array:
        held, level, levels = 0.0, np.log(BASE), []
        for dose in doses[:, 0]:
            held += dose
            level += RETURNS * (np.log(BASE) - level) + 0.4 * sensitive[place] * (held / ELIMINATED) / (held / ELIMINATED + 8.0)
            held *= np.exp(-1.0 / ELIMINATED)
            levels.append(np.exp(level))
        return np.array(levels, np.float32)[:, None]

    return People(facts, live)


def doses(count: int, rows: int, seed: int) -> Array:
    """A dose a day that changes every fortnight."""
    random = np.random.default_rng(seed)
    steady = random.uniform(2.0, 8.0, (count, -(-rows // 14), 1)).round()
    return np.repeat(steady, 14, axis=1)[:, :rows].astype(np.float32)
