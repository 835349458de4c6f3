"""What is proposed can be signed as it stands: planner and signature hold the same rules against the same readings.

`CAREPLAN_SUGGESTIONS=1000 python -m pytest tests/therapies/glucose/test_signed.py` tries a thousand people; a build, a sample.
"""

import os
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from careplan.planning.regimen import RegimenPlans, RegimenQuestion, RegimenSearch, plan_regimen
from careplan.series import PatientSeries
from careplan.studies.visits import accepted
from careplan.therapies.glucose.days import SETTINGS
from careplan.therapies.glucose.declaration import BLOCKS, GLUCOSE, Regimen
from careplan.therapies.glucose.lines import proposed_lines, recent_readings, regimen_lines
from tests.clinic.build import suggestion

PEOPLE = int(os.environ.get("CAREPLAN_SUGGESTIONS", "60"))
ROWS = 288


def somebody(seed: int) -> tuple[PatientSeries, Regimen, Any, np.random.Generator]:
    """A recording of up to four weeks with gaps, lows and highs at random times of day, settings from tiny to absurd, and how
    often each day tells of each setting."""
    draw = np.random.default_rng(seed)
    count = int(draw.integers(5, 29))
    by_block = 110 * np.exp(draw.normal(0, 0.35, (1, len(BLOCKS))))
    minute = np.arange(count * ROWS) % ROWS * 5
    block = np.searchsorted(BLOCKS, minute, side="right") - 1
    level = by_block[0, block] * np.exp(draw.normal(0, draw.choice([0.15, 0.3, 0.5]), count * ROWS))
    mask = draw.random(count * ROWS) < draw.choice([0.75, 0.95, 1.0])
    for _ in range(int(draw.integers(0, 4))):
        first = int(draw.integers(0, count * ROWS))
        mask[first : first + int(draw.integers(ROWS))] = False
    mask[: 2 * ROWS : 7] = True
    values = np.zeros((count * ROWS, len(GLUCOSE.channels)), np.float32)
    known = np.zeros(values.shape, bool)
    values[:, 0], known[:, 0] = np.clip(level, 39, 401), mask
    series = PatientSeries("ann", GLUCOSE, pd.Timestamp("2026-01-05", tz="UTC"), "UTC", values, known)
    pens = bool(draw.random() < 0.3)
    regimen = Regimen(
        basal=tuple(0.0 if pens else round(float(rate), 3) for rate in np.exp(draw.normal(-0.2, 1.0, len(BLOCKS)))),
        carb_ratio=tuple(round(float(ratio), 1) for ratio in np.exp(draw.normal(2.3, 0.8, len(BLOCKS)))),
        correction_factor=tuple(round(float(factor), 1) for factor in np.exp(draw.normal(3.9, 0.7, len(BLOCKS)))),
        delivery="pen" if pens else "pump",
        long_acting=float(draw.integers(3, 40)) if pens else 0.0,
    )
    days = min(count, 14)
    steps, often = torch.arange(96) * 24 // 96 * 60, draw.random(3)
    told = [torch.from_numpy((draw.random((days, 96)) < share / 12).astype(np.float32)) for share in often]
    lived = SimpleNamespace(
        rows=tuple(range(len(series) - days * ROWS, len(series), ROWS)),
        block=torch.tensor([regimen.block(int(at)) for at in steps]),
        basal=told[0] * (not pens) + 0.01 * (not pens),
        meal=told[1],
        correction=told[2],
    )
    return series, regimen, _Days(lived), draw


class _Days(SimpleNamespace):
    """What `regimen_lines` reads of `days.Days`."""

    def __init__(self, lived: SimpleNamespace) -> None:
        super().__init__(**vars(lived))

    def __len__(self) -> int:
        return len(self.rows)


def answered(lines: Any, draw: np.random.Generator) -> RegimenPlans:
    """A search whose evaluator promises whatever comes: each line moves the level its own way."""
    pull = torch.from_numpy(draw.normal(0, 150, len(lines)).astype(np.float32))

    def evaluate(multipliers: torch.Tensor) -> torch.Tensor:
        level = 160.0 + ((multipliers - 1.0) * pull).sum(-1)
        return level[..., None, None].expand(*level.shape, 2, 8)

    count = len(BLOCKS)
    together = [range(first, first + count) for first in range(0, count * len(SETTINGS), count)] + [range(len(lines))]
    asked = RegimenQuestion(lines=[lines], therapy=GLUCOSE, together=together, parts=torch.arange(8) // 2)
    return plan_regimen(evaluate, asked, RegimenSearch(strengthened=3, simulations=16))


@pytest.mark.timeout(1800)
def test_whatever_is_proposed_can_be_signed_as_it_stands() -> None:
    changed = 0
    for seed in range(PEOPLE):
        series, regimen, days, draw = somebody(seed)
        lines = regimen_lines(series, regimen, days)
        found = proposed_lines(answered(lines, draw), lines, regimen)
        accepted(regimen, suggestion(*found), series, "child")  # raises where a signature is refused
        changed += bool(found)
    assert changed > 0.3 * PEOPLE, "people to whom nothing is proposed tell nothing"


def test_readings_of_the_same_fortnight_count_when_it_is_planned_and_when_it_is_signed() -> None:
    series, *_ = somebody(3)
    long = PatientSeries("ann", GLUCOSE, series.start, "UTC", np.tile(series.values, (4, 1)), np.tile(series.mask, (4, 1)))
    recent = recent_readings(long)
    known = recent.times[recent.mask[:, 0]]
    assert recent.times[-1] == known[-1] and recent.times[-1] - recent.times[0] == pd.Timedelta(days=14)
