"""A therapy that is not glucose, and recordings of it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from careplan.effects import Effect, Output
from careplan.series import PatientSeries
from careplan.therapies.glucose.declaration import CLOCK, GATE, WATCH
from careplan.therapy import Channel, Cost, Pool, Therapy
from careplan.world.model import Shape, WorldModel

PRESSURE = Therapy(
    name="pressure",
    channels=(
        Channel(name="pressure", unit="mmHg", role="observation", form="level", low=20, high=300, center=120, scale=30),
        Channel(name="drip", unit="mg/h", role="action", form="rate", low=0, high=50, scale=2, direction=-1),
        Channel(name="tablet", unit="mg", role="action", form="impulse", low=0, high=200, scale=10, direction=-1),
        Channel(name="salt", unit="g", role="disturbance", form="impulse", low=0, high=50, scale=5, direction=1),
        Channel(name="walking", unit="MET", role="disturbance", form="rate", low=0, high=20, scale=3),
    ),
    outputs=(
        Output(
            name="pressure",
            risk=lambda level: ((level - 120) / 30) ** 2,
            best=120.0,
            returns=0.144,
            rest=0.5,
            supply=2.5,
        ),
    ),
    pools=(
        Pool(name="drug", channels=("drip", "tablet"), time_constant=40, stages=3),
        Pool(name="salt", channels=("salt",), time_constant=30, stages=2),
    ),
    effects=(
        Effect(name="drug", pools=("drug",), direction=-1, usual=60.0, size=400.0, own=True, stops=0.43),
        Effect(name="salt", pools=("salt",), direction=1, usual=10.0, size=200.0),
    ),
    costs=(Cost(name="below_80", below=80.0, budget=0.02),),
    clock=replace(CLOCK, context=96, memory=96),
    gate=GATE,
    watch=WATCH,
)
SMALL = Shape(latent=16, hidden=32, code=7, context=96, memory=96)


def random_model(seed: int, shape: Shape = SMALL, therapy: Therapy = PRESSURE) -> WorldModel:
    """A model whose every weight is random, the ones that start at zero too."""
    torch.manual_seed(seed)
    model = WorldModel(therapy, shape)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim():
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def recording(seed: int, rows: int = 600, name: str = "one") -> PatientSeries:
    generator = np.random.default_rng(seed)
    values = np.zeros((rows, 5), np.float32)
    values[:, 0] = 120 + 25 * np.sin(np.arange(rows) / 30) + generator.normal(0, 3, rows)
    values[:, 1] = generator.uniform(0.5, 2.0)
    values[:, 2] = np.where(generator.random(rows) < 0.02, generator.uniform(2, 15, rows), 0)
    values[:, 3] = np.where(generator.random(rows) < 0.02, generator.uniform(1, 6, rows), 0)
    values[:, 4] = 1.0
    mask = np.ones_like(values, dtype=bool)
    mask[generator.random(rows) < 0.05, 0] = False
    return PatientSeries(
        name, PRESSURE, pd.Timestamp("2026-03-01", tz="UTC"), "UTC", np.where(mask, values, 0).astype(np.float32), mask
    )
