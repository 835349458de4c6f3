"""What the tests of warfarin share: a course as a clinic knows it, and the world model that ships."""

import numpy as np
import pandas as pd

from careplan.recording import Recording
from careplan.series import PatientSeries
from careplan.therapies.warfarin.declaration import WARFARIN
from careplan.therapies.warfarin.practice import WEIGHTS
from careplan.therapies.warfarin.regimen import Regimen, estimate
from careplan.world.loaded import World, open_world

FACTS = {"age": 70.0, "weight": 80.0, "height": 172.0, "race": "white", "cyp2c9": "*1/*1", "vkorc1": "G/A"}


def world() -> World:
    """The world model that ships."""
    return open_world(WARFARIN, WEIGHTS)


def series_of(inrs: dict[int, float], doses: list[float], facts: dict[str, float | str] | None = None) -> PatientSeries:
    """INRs by morning, and mg on every evening before the last morning."""
    rows = max([*inrs, len(doses)]) + 1
    values, mask = np.zeros((rows, 4), np.float32), np.ones((rows, 4), bool)
    mask[:, 0] = False
    for row, inr in inrs.items():
        values[row, 0], mask[row, 0] = inr, True
    values[1 : 1 + len(doses), 1] = doses
    start = pd.Timestamp("2026-01-05", tz="UTC")
    return PatientSeries("p", WARFARIN, start, "UTC", values, mask, FACTS if facts is None else facts)


def recording_of(series: PatientSeries, regimen: Regimen | None = None) -> Recording:
    return Recording(series, "adult", regimen or estimate(series), "estimated", "data")
