"""A week of tablets: whole and halved, spread evenly, and what cannot be made of them."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from careplan.errors import AskError
from careplan.practice import SettingChange
from careplan.records.settings import StatedSettings
from careplan.series import PatientSeries
from careplan.therapies.warfarin.declaration import MOST_A_DAY, WARFARIN
from careplan.therapies.warfarin.regimen import (
    Regimen,
    changed,
    estimate,
    halvable,
    increment,
    listed,
    stated,
    tablets,
    week_of,
)

STRENGTHS = st.sampled_from([(5.0,), (1.0, 3.0, 5.0), (2.0, 5.0), (2.5,), (1.0, 2.0, 2.5)])


@given(st.integers(0, 200), STRENGTHS)
def test_a_week_is_what_was_asked_in_halves_as_alike_as_they_can_be(halves: int, strengths: tuple[float, ...]) -> None:
    weekly = min(halves * increment(strengths), MOST_A_DAY * 7)
    weekly = increment(strengths) * int(weekly / increment(strengths))
    week = week_of(weekly, strengths)
    assert sum(week) == pytest.approx(weekly)
    assert all(halvable(dose, strengths) for dose in week)
    assert max(week) - min(week) <= increment(strengths) + 1e-9
    if max(week) <= MOST_A_DAY:
        assert Regimen(week=week, strengths=strengths).weekly == pytest.approx(weekly)


@given(st.floats(0.01, 100, allow_nan=False), STRENGTHS)
def test_what_is_no_number_of_halves_says_what_is(weekly: float, strengths: tuple[float, ...]) -> None:
    if halvable(weekly, strengths):
        assert sum(week_of(weekly, strengths)) == pytest.approx(weekly)
        return
    with pytest.raises(AskError, match="cannot be made of halves") as told:
        week_of(weekly, strengths)
    low, high = (float(part) for part in re.findall(r"; ([\d.]+) and ([\d.e-]+) mg can", str(told.value))[0])
    assert low <= weekly <= high + 1e-4 and halvable(round(low, 4), strengths)


@pytest.mark.parametrize("weekly", [float("nan"), float("inf"), -5.0])
def test_what_is_no_dose_is_told(weekly: float) -> None:
    with pytest.raises(AskError):
        week_of(weekly)


def test_uneven_evenings_are_spread_over_the_week() -> None:
    assert week_of(37.5, (5.0,)) == (5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 7.5)
    assert tablets(week_of(40.0, (5.0,))) == "5 mg; Thu, Sun 7.5 mg"
    assert tablets((5.0,) * 7) == "5 mg"


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("week", (5.0,) * 6, "6 evenings, expected a week of 7"),
        ("week", (5.0,) * 6 + (5.3,), "Sun 5.3 mg cannot be made of halves"),
        ("week", (20.0,) * 7, "expected 0 to 15 each evening"),
        ("strengths", (), "expected strengths above 0"),
        ("next_inr", 0, "expected 0 to 14, 1 to 366"),
        ("hold", 20, "expected 0 to 14, 1 to 366"),
    ],
)
def test_what_cannot_be_a_regimen_is_told(field: str, value: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Regimen(**{"week": (5.0,) * 7, field: value})  # type: ignore[arg-type]


def test_a_source_states_a_weekly_dose_and_strengths() -> None:
    found = stated(StatedSettings(starts=(0,), blocks={}, single={"weekly_dose": 35.0, "strengths": "5"}))
    assert found == Regimen(week=(5.0,) * 7, strengths=(5.0,))
    with pytest.raises(ValueError, match="cannot be made of halves of 5 mg"):
        stated(StatedSettings(starts=(0,), blocks={}, single={"weekly_dose": 33.0, "strengths": "5"}))
    with pytest.raises(ValueError, match="weekly_dose is missing"):
        stated(StatedSettings(starts=(0,), blocks={}))
    with pytest.raises(ValueError, match="expected numbers of mg"):
        stated(StatedSettings(starts=(0,), blocks={}, single={"weekly_dose": 35.0, "strengths": "five"}))


def test_changes_leave_evenings_out_only_where_they_say_so() -> None:
    regimen = Regimen(week=(5.0,) * 7, hold=2)
    more = changed(regimen, [SettingChange("weekly_dose", 0, 1440, 38.5), SettingChange("next_inr", 0, 1440, 14)])
    assert (more.weekly, more.hold, more.next_inr) == (38.5, 0, 14)
    assert changed(regimen, [SettingChange("hold", 0, 1440, 1)]).hold == 1
    assert listed(more)["evening"][0] == (0, 5.5)
    with pytest.raises(AskError, match="cannot be made of halves"):
        changed(Regimen(week=(5.0,) * 7, strengths=(5.0,)), [SettingChange("weekly_dose", 0, 1440, 36)])
    with pytest.raises(AskError, match="not a whole number of days"):
        changed(regimen, [SettingChange("next_inr", 0, 1440, 3.5)])
    with pytest.raises(AskError, match="'basal' is not a setting"):
        changed(regimen, [SettingChange("basal", 0, 1440, 3.5)])


def series(doses: list[float | None]) -> PatientSeries:
    values, mask = np.zeros((len(doses), 4), np.float32), np.zeros((len(doses), 4), bool)
    for row, dose in enumerate(doses):
        values[row, 1], mask[row, 1] = dose or 0.0, dose is not None
    return PatientSeries("p", WARFARIN, pd.Timestamp("2026-01-05", tz="UTC"), "UTC", values, mask)


def test_a_regimen_is_told_from_the_tablets_of_the_last_week() -> None:
    assert estimate(series([2.0] * 20 + [5.0] * 7)).weekly == 35.0
    assert estimate(series([5.0, None, 5.0, None])).weekly == 35.0
    assert estimate(series([None, None])).weekly == 0.0
