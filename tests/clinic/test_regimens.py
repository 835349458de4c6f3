"""Regimens: estimated from a recording, and changed line by line."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from careplan.errors import AskError
from careplan.minutes import DAY
from careplan.practice import SettingChange
from careplan.records.events import PatientRecord, events_frame
from careplan.records.grid import to_series
from careplan.therapies.glucose.declaration import BLOCKS, GLUCOSE, Regimen
from careplan.therapies.glucose.estimates import daily_insulin, estimate_regimen, total_daily_dose
from careplan.therapies.glucose.regimen import apply_changes
from tests.reached import reached, reaches

from .build import REGIMEN, START, record


def only(*channels: str, **changes: Any) -> PatientRecord:
    full = record(regimen=None)
    events = full.events[full.events["channel"].isin(channels)].reset_index(drop=True)
    return PatientRecord(patient="ann", zone="UTC", events=events, **changes)


def test_a_pump_recording_gives_back_what_was_running() -> None:
    estimate = estimate_regimen(to_series(record(regimen=None), GLUCOSE))
    assert estimate is not None
    assert estimate.delivery == "pump"
    np.testing.assert_allclose(estimate.basal, 0.8, rtol=1e-5)
    total = total_daily_dose(to_series(record(regimen=None), GLUCOSE))
    assert total == pytest.approx(24 * 0.8 + 18, rel=0.03)
    # Mornings, middays and evenings have bolused meals of 60 g for 6 U; nights fall back on the 500 rule.
    assert estimate.carb_ratio[1:] == (10.0, 10.0, 10.0)
    assert estimate.carb_ratio[0] == pytest.approx(500 / total, abs=0.1)
    assert estimate.correction_factor[0] == pytest.approx(1800 / total, abs=0.1)


def test_pens_give_a_long_acting_dose_at_its_usual_time() -> None:
    rows = [(START + pd.Timedelta(days=day, hours=21.5), "long_acting", 18.0, 0.0, "", f"f:{day}") for day in range(10)]
    rows += [(START + pd.Timedelta(days=day, hours=8), "bolus", 9.0, 0.0, "", f"g:{day}") for day in range(10)]
    events = events_frame(rows).sort_values("time", ignore_index=True)
    estimate = estimate_regimen(to_series(PatientRecord(patient="pia", zone="UTC", events=events), GLUCOSE))
    assert estimate is not None
    assert (estimate.delivery, estimate.long_acting_at, set(estimate.basal)) == ("pen", 21 * 60 + 30, {0.0})
    assert estimate.long_acting == 18.0


@pytest.mark.parametrize("channels", [("glucose",), ("glucose", "bolus", "carbs")])
def test_no_background_insulin_logged_gives_no_estimate(channels: tuple[str, ...]) -> None:
    assert estimate_regimen(to_series(only(*channels), GLUCOSE)) is None


def test_doses_logged_now_and_then_are_not_spread_over_the_days_between() -> None:
    rows = [(START + pd.Timedelta(days=day, hours=21), "long_acting", 20.0, 0.0, "", f"f:{day}") for day in range(0, 90, 9)]
    rows += [(START + pd.Timedelta(days=50, hours=hour), "bolus", 3.0, 0.0, "", f"g:{hour}") for hour in (1, 7, 13, 19, 23)]
    events = events_frame(rows).sort_values("time", ignore_index=True)
    daily = daily_insulin(to_series(PatientRecord(patient="pia", zone="UTC", events=events), GLUCOSE))
    assert (daily.long_acting, daily.bolus, daily.basal) == (20.0, pytest.approx(15.0), None)


def test_half_a_total_is_not_a_total() -> None:
    assert total_daily_dose(to_series(only("glucose", "bolus"), GLUCOSE)) is None
    assert total_daily_dose(to_series(only("glucose", "basal"), GLUCOSE)) is None


def test_a_changed_block_changes_only_itself() -> None:
    changed = apply_changes(REGIMEN, [SettingChange("basal", BLOCKS[1], BLOCKS[2], 0.5)])
    assert changed.basal == (0.8, 0.5, 0.9, 0.7)
    assert (changed.starts, changed.carb_ratio) == (REGIMEN.starts, REGIMEN.carb_ratio)


@reaches(0.6)
@given(
    setting=st.sampled_from(["basal", "carb_ratio", "correction_factor"]),
    start=st.integers(0, DAY - 1),
    length=st.integers(1, DAY),
    value=st.floats(0.1, 50),
)
def test_any_span_changes_there_and_nowhere_else(setting: Any, start: int, length: int, value: float) -> None:
    end = min(DAY, start + length)
    changed = apply_changes(REGIMEN, [SettingChange(setting, start, end, value)])
    if any(start <= minute < end for minute in range(0, DAY, 7)):
        reached()
    for minute in range(0, DAY, 7):
        for name in ("basal", "carb_ratio", "correction_factor"):
            before, after = (getattr(regimen, name)[regimen.block(minute)] for regimen in (REGIMEN, changed))
            assert after == (value if name == setting and start <= minute < end else before)


def test_a_long_acting_dose_changes_and_no_block_does() -> None:
    pen = Regimen(basal=(0.0,) * 4, carb_ratio=(10.0,) * 4, correction_factor=(50.0,) * 4, delivery="pen", long_acting=20.0)
    changed = apply_changes(pen, [SettingChange("long_acting", 0, DAY, 18.0)])
    assert (changed.long_acting, changed.starts) == (18.0, pen.starts)


@pytest.mark.parametrize(
    "change",
    [SettingChange("bolus", 0, DAY, 4.0), SettingChange("basal", 600, 600, 1.0), SettingChange("basal", 0, DAY + 1, 1.0)],
)
def test_what_is_not_a_change_of_a_regimen_is_refused(change: SettingChange) -> None:
    with pytest.raises(AskError, match=change.setting):
        apply_changes(REGIMEN, [change])


def test_estimates_stay_within_guardrails() -> None:
    tiny = [(START + pd.Timedelta(hours=hour), "basal", 0.01, 60.0, "", f"f:{hour}") for hour in range(72)]
    estimate = estimate_regimen(to_series(PatientRecord(patient="tom", zone="UTC", events=events_frame(tiny)), GLUCOSE))
    assert estimate is not None
    assert max(estimate.carb_ratio) == 150.0
    assert max(estimate.correction_factor) == 500.0
