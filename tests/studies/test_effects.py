"""Effects are judged against what truly happened, and nobody is shown what comes after the history."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from careplan.studies.effects import (
    DAYS,
    HOURS,
    NORMAL,
    ROWS,
    Predicting,
    Trial,
    boosting,
    cohort,
    judge,
    logged,
    make_trial,
    twin,
)
from careplan.therapies.glucose.declaration import GLUCOSE, ROWS_A_DAY
from careplan.world.calibration import DOUBT_GROWTH
from careplan.world.corpus import Branches
from careplan.world.model import Shape, WorldModel
from cohorts.replay import Change


@pytest.fixture(scope="module")
def trial() -> Trial:
    return make_trial(cohort(1, 301), 301, each=12)


def test_only_the_treatment_differs_between_two_futures(trial: Trial) -> None:
    column_of = {0: "bolus", 1: "basal", 2: "carbs"}
    for index, kind in enumerate(trial.kind.tolist()):
        person, row = int(trial.branches.patient[index]), int(trial.branches.row[index])
        recorded, altered = trial.recordings[person].values[row : row + ROWS], trial.branches.values[index].numpy()
        same = {channel.name: np.allclose(recorded[:, c], altered[:, c], atol=1e-4) for c, channel in enumerate(GLUCOSE.channels)}
        assert {name for name, equal in same.items() if not equal} <= {"glucose", column_of[kind]}
        assert not same[column_of[kind]] or np.allclose(trial.true()[index], 0)


def test_told_exactly_futures_hold_what_is_eaten_and_histories_what_was_counted(trial: Trial) -> None:
    exact, carbs = trial.exactly(), GLUCOSE.index("carbs")
    announced = trial.lived.announced > 0
    for index in range(len(exact.branches)):
        person, row = int(exact.branches.patient[index]), int(exact.branches.row[index])
        rows = slice(row, row + ROWS)
        eaten = torch.where(announced[person, rows], trial.lived.eaten[person, rows], 0.0)
        assert torch.equal(exact.before()[index, :, carbs], eaten)
        assert torch.allclose(exact.branches.values[index, :, carbs], eaten * exact.change.meals[index])
        others = [channel for channel in range(len(GLUCOSE.channels)) if channel != carbs]
        assert torch.equal(exact.branches.values[index][:, others], trial.branches.values[index][:, others])
    assert exact.recordings is trial.recordings
    assert np.array_equal(exact.true(), trial.true())
    assert not torch.equal(exact.before()[..., carbs], trial.before()[..., carbs])


def test_history_ends_before_any_future_parts(trial: Trial) -> None:
    assert int(trial.branches.row.min()) >= DAYS * ROWS_A_DAY
    for days in (1, DAYS):
        for series, whole in zip(trial.history(days), trial.recordings, strict=True):
            assert len(series) == days * ROWS_A_DAY
            assert series.times[-1] == whole.times[DAYS * ROWS_A_DAY - 1]


def test_truth_is_right_nothing_is_all_missed_and_the_opposite_is_wrong(trial: Trial) -> None:
    true = trial.true()
    table = judge(trial, {"true": true, "nothing": 0 * true, "opposite": -true})
    whole = table[(table["kind"] == "all") & (table["hours"] == "all")].set_index("estimator")
    assert whole["error"].tolist() == pytest.approx([0.0, 1.0, 2.0])
    assert whole["sign_right"].tolist() == [1.0, 0.0, 0.0]
    assert set(table["hours"]) == {"all", *HOURS}


def test_a_slope_says_too_weak_or_too_strong_and_an_interval_what_it_covers(trial: Trial) -> None:
    true = trial.true()
    halves = {"weak": np.full_like(true, np.inf), "strong": 0.5 * np.abs(true)}
    halves["weak"][0] = 0.0  # the first of the effects is missed
    table = judge(trial, {"weak": 0.7 * true, "strong": 1.4 * true, "bare": true}, halves)
    whole = {row["estimator"]: row for row in table.to_dict("records") if row["kind"] == "all" and row["hours"] == "all"}
    assert [row["slope"] for row in whole.values()] == pytest.approx([0.7, 1.4, 1.0])
    assert np.isnan(whole["weak"]["coverage"]), "an interval without an end is none"
    assert whole["strong"]["coverage"] == 1.0 and np.isnan(whole["bare"]["coverage"])
    halves["strong"][: len(true) // 2] = 0.1 * np.abs(true[: len(true) // 2])
    half = judge(trial, {"strong": 1.4 * true}, halves)
    moved = np.abs(true[: len(true) // 2]) > 0
    assert half["coverage"].iloc[0] == pytest.approx(1 - moved.sum() / true.size)


def test_doubt_grows_with_what_is_not_known_of_a_person(trial: Trial) -> None:
    torch.manual_seed(3)
    predicting = Predicting(WorldModel(GLUCOSE, Shape(latent=16, hidden=32)).eval())
    known, unknown = predicting.half_width(trial, DAYS), predicting.half_width(trial, 0)
    assert known.shape == predicting(trial, DAYS).shape == (len(trial.branches), len(HOURS))
    assert (known > 0).all() and known.mean() < unknown.mean()
    assert (known >= 0.999 * NORMAL * DOUBT_GROWTH * 60.0 * np.array(HOURS)).all(), "it grows with the hours"


def test_bodies_of_another_family_are_judged_alike() -> None:
    other = make_trial(cohort(1, 304, "minimal"), 304, each=6)
    assert {type(other.lived.people.physiology).__name__} == {"Minimal"}
    assert np.abs(other.true()).max() > 10
    errors = judge(other, {"logged": logged(replace(other, announced=other.lived.eaten), DAYS)})["error"]
    assert errors.iloc[0] < 0.7


def test_a_twin_drawn_from_the_patients_themselves_is_close(trial: Trial) -> None:
    estimates = twin(trial.lived.people)(trial, DAYS)
    table = judge(trial, {"twin": estimates})
    assert table["error"].iloc[0] < 0.5


def test_the_true_equations_miss_what_no_record_tells_and_no_more(trial: Trial) -> None:
    everything, exact = replace(trial, announced=trial.lived.eaten), trial.exactly()
    errors = [judge(told, {"logged": logged(told, DAYS)})["error"].iloc[0] for told in (everything, exact, trial)]
    assert errors[0] < errors[2] < 0.7
    assert errors[1] < errors[2]
    assert np.allclose(logged(replace(trial, change=Change.none(len(trial.branches))), DAYS), 0.0)


def test_boosting_sees_only_what_is_changed(trial: Trial) -> None:
    estimate = boosting(cohort(1, 302), 302, days=4)
    still = replace(trial, branches=_unchanged(trial))
    assert np.allclose(estimate(still, DAYS), 0.0)
    assert np.abs(estimate(trial, DAYS)).max() > 1.0


def _unchanged(trial: Trial) -> Branches:
    pairs = zip(trial.branches.patient.tolist(), trial.branches.row.tolist(), strict=True)
    values = [torch.from_numpy(trial.recordings[person].values[row : row + ROWS]) for person, row in pairs]
    return replace(trial.branches, values=torch.stack(values))
