"""Every signed change is an experiment: what it says of the size of effects, what it is expected to do, and how it is told."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from careplan.recording import Signed
from careplan.series import PatientSeries
from careplan.therapies.glucose.declaration import GLUCOSE
from careplan.therapies.glucose.experiments import (
    Sizes,
    _each_alone,
    change_in_words,
    expected_statistics,
    experiments,
)
from tests.clinic.build import REGIMEN

ROWS = 288
START = pd.Timestamp("2026-01-05", tz="UTC")
LESS = replace(REGIMEN, basal=tuple(0.8 * rate for rate in REGIMEN.basal))


def recording(before: float = 100.0, after: float = 130.0, days: int = 28) -> PatientSeries:
    values = np.zeros((days * ROWS, len(GLUCOSE.channels)), np.float32)
    values[:, 0] = np.where(np.arange(days * ROWS) < 14 * ROWS, before, after)
    mask = np.zeros(values.shape, bool)
    mask[:, 0] = True
    return PatientSeries("ann", GLUCOSE, START, "UTC", values, mask)


def change(**changes: object) -> Signed:
    known = {"since": START + pd.Timedelta(days=14), "before": REGIMEN, "after": LESS, "predicted": {"mean": (100.0, 120.0)}}
    return Signed(**{**known, **changes})  # type: ignore[arg-type]


def test_a_change_lived_with_moves_the_size_of_what_it_changed_and_narrows_it() -> None:
    prior = Sizes.prior()
    basal = torch.zeros(4, 3)
    basal[:, 0] = 20.0
    found = prior.after(basal, torch.full((4,), 30.0))
    assert 1.1 < found.mean[0] < 1.5 and found.changes == 1
    assert found.covariance[0, 0] < 0.8 * prior.covariance[0, 0]
    assert 1.0 < found.mean[1] < found.mean[0], "what the settings share tells of the others too, and less"
    assert found.covariance[1, 1] > found.covariance[0, 0]
    again = found.after(basal, torch.full((4,), 30.0))
    assert abs(again.mean[0] - 1.5) < abs(found.mean[0] - 1.5) and again.covariance[0, 0] < found.covariance[0, 0]


def test_one_change_however_large_leaves_a_size_uncertain() -> None:
    basal = torch.zeros(4, 3)
    basal[:, 0] = 1e4
    assert Sizes.prior().after(basal, torch.full((4,), 1e4)).covariance[0, 0].sqrt() > 0.1


def test_settings_are_told_apart_by_the_parts_of_the_day_in_which_they_act() -> None:
    predicted = torch.tensor([[20.0, 0.0, 0.0], [20.0, 0.0, 0.0], [0.0, 20.0, 0.0], [0.0, 20.0, 0.0]])
    found = Sizes.prior().after(predicted, torch.tensor([30.0, 30.0, 10.0, 10.0]))
    assert found.mean[0] > 1.1 and found.mean[1] < 0.9
    same = Sizes.prior().after(predicted, predicted.sum(1))
    assert torch.allclose(same.mean, Sizes.prior().mean, atol=1e-5)


def test_draws_are_the_posterior_and_never_negative() -> None:
    drawn = Sizes(torch.tensor([1.2, 0.1, 1.0]), 0.25 * torch.eye(3)).draws(4000, 1)
    assert (drawn >= 0).all() and drawn[:, 0].mean() == pytest.approx(1.2, abs=0.05)
    assert drawn[:, 2].std() == pytest.approx(0.5, abs=0.05)


def test_predicted_stands_beside_lived() -> None:
    [found] = experiments(recording(), [change()])
    assert found.does == "basal -20 %"
    assert found.outcomes["mean"].predicted == (100.0, 120.0) and found.outcomes["mean"].lived == (100.0, 130.0)
    assert found.outcomes["in_range"].predicted is None and found.outcomes["in_range"].lived == (100.0, 100.0)


@pytest.mark.parametrize("day", [2, 26])
def test_a_change_with_less_than_a_week_on_either_side_tells_nothing_yet(day: int) -> None:
    assert experiments(recording(), [change(since=START + pd.Timedelta(days=day))]) == ()


def test_fortnights_end_where_the_next_change_begins() -> None:
    first, second = change(since=START + pd.Timedelta(days=7)), change(since=START + pd.Timedelta(days=14))
    found = experiments(recording(), [first, second])
    assert [each.outcomes["mean"].lived for each in found] == [(100.0, 100.0), (100.0, 130.0)]


def test_days_after_a_change_are_expected_as_it_was_prescribed_and_predicted() -> None:
    [found] = expected_statistics(recording(), [change()])
    assert found.row == 14 * ROWS
    assert found.shift["basal rate"] == pytest.approx(math.log(0.8))
    assert found.shift["level"] == pytest.approx(math.log(1.2)) and found.doubt["level"] > 0
    [untold] = expected_statistics(recording(), [change(predicted={})])
    assert untold.shift["level"] == 0.0 and untold.doubt["level"] == pytest.approx(0.5 * -math.log(0.8))


def test_each_setting_alone_is_what_a_replay_multiplies() -> None:
    after = replace(LESS, starts=(0, 360, 660, 1020), carb_ratio=tuple(1.1 * ratio for ratio in REGIMEN.carb_ratio))
    found = _each_alone(REGIMEN, after)
    assert found.shape == (4, 13) and torch.equal(found[0], torch.ones(13)) and torch.equal(found[3], torch.ones(13))
    assert torch.allclose(found[1, :4], torch.tensor(0.8)) and torch.equal(found[1, 4:], torch.ones(9))
    assert torch.allclose(found[2, 4:8], torch.tensor(1.1)) and change_in_words(REGIMEN, REGIMEN) == ""
