"""When careplan speaks and how wide its intervals are: every number of the gate at its edge, every factor worked out by hand."""

import math
from dataclasses import asdict, replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from careplan.therapies.glucose.declaration import CLOCK, GATE
from careplan.world.correction import FORESEEN
from careplan.world.personalise import Personalisation
from careplan.world.question import Given
from careplan.world.trust import (
    COVERAGE,
    abstentions,
    adapted,
    conformal_factor,
    factor_after_recording,
    factor_for_plans,
    in_words,
    nearness_to_level,
    strangeness,
)
from tests import limits_table

NAN = math.nan


def person(**changes: Any) -> Personalisation:
    """Twenty windows informed it; at two hours it errs by 60 where staying as it is errs by 100."""
    none = torch.zeros(0)
    known: dict[str, Any] = {
        "patient": "ann",
        "mean": none,
        "covariance": none,
        "usual": none,
        "windows": 20,
        "minutes": torch.tensor([60.0, 110.0, 135.0]),
        "errors": torch.tensor([[1.0, 500.0], [1.0, 60.0], [1.0, 500.0]]),
        "persistence": torch.tensor([1.0, 100.0, 1.0]),
        "scores": torch.zeros(0, 2),
    }
    return Personalisation(**{**known, **changes})


def test_the_gate_asks_for_what_is_written() -> None:
    assert asdict(GATE) == limits_table.GATE
    assert (GATE.days, GATE.active) == limits_table.SUFFICIENT
    assert limits_table.COVERAGE == COVERAGE


def test_all_that_keeps_it_from_speaking_is_said() -> None:
    found = told(days=1.0, active=1.0, dosed=False, windows=1, strange=9.0)
    assert len(found) == 5
    remedies = [reason[reason.rindex("(") + 1 : -1] for reason in found]
    assert remedies == ["check the recording", *["record for longer"] * 3, "review without the model"], "the soonest first"


def told(
    *, days: float = 14.0, active: float = 70.0, dosed: bool = True, strange: float = 2.0, **changes: Any
) -> tuple[str, ...]:
    found = abstentions(
        GATE, days=days, active=active, dosed=dosed, person=person(**changes), strange=strange, judged=CLOCK.judged, scale=60.0
    )
    return in_words(found)


def erring(error: float, still: float = 100.0) -> dict[str, Any]:
    return {
        "errors": torch.tensor([[0.0, 0.0], [0.0, error], [0.0, 0.0]]),
        "persistence": torch.tensor([9.0, still, 9.0]),
    }


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        ({}, None),
        ({"days": 13.99}, "too little data: 14.0 days recorded, 14 needed"),
        ({"days": NAN}, "too little data"),
        ({"active": 69.9}, "too many gaps"),
        ({"active": NAN}, "too many gaps"),
        ({"dosed": False}, "no doses are logged"),
        ({"windows": 19}, "too few usable stretches to personalise: 19, 20 needed"),
        ({"strange": 2.01}, "unlike any the model was trained on"),
        ({"strange": NAN}, "unlike any the model was trained on"),
        (erring(94.9), None),
        (erring(95.0), "its error at 2 h is 95, staying as it is 100"),
        (erring(95.1), "the model is off"),
        (erring(NAN), "the model is off"),
        (erring(1.0, NAN), "the model is off"),
        (erring(29.9, 20.0), None),  # the level hardly moves: half of its scale is a small error
        (erring(30.0, 20.0), "its error at 2 h is 30, staying as it is 20"),
        ({"minutes": torch.zeros(0), "errors": torch.zeros(0, 2), "persistence": torch.zeros(0)}, None),
        ({"windows": 19, **erring(500.0)}, "too few usable stretches"),
    ],
)
def test_the_gate_at_its_edges(known: dict[str, Any], reason: str | None) -> None:
    found = told(**known)
    assert found == () if reason is None else len(found) == 1 and reason in found[0], found


# How wide an interval is.


def test_the_factor_is_the_conformal_quantile() -> None:
    """Of n scores the ceil(0.9 (n + 1))-th smallest, by linear interpolation at that share of n; all of them where n is small."""
    nineteen = torch.arange(1.0, 20.0)
    nine = torch.cat([torch.arange(1.0, 10.0), torch.full((10,), NAN)])
    none = torch.full((19,), NAN)
    found = conformal_factor(torch.stack([nineteen, nine, none], 1))
    assert found.tolist() == pytest.approx([1 + 18 * 18 / 19, 9.0, 1.0])
    assert conformal_factor(nineteen.unsqueeze(1), 0.5).tolist() == pytest.approx([1 + 18 * 10 / 19])
    assert conformal_factor(torch.tensor([[1.0], [3.0]])).tolist() == [3.0], "of two, the larger"


@pytest.mark.parametrize(
    ("own", "windows", "population", "factor"),
    [
        (3.0, 60, 1.0, 2.0),  # half way after 60 windows
        (3.0, 20, 1.0, 1.5),
        (3.0, 20, 2.0, 2.25),
        (0.9, 60, 1.0, 0.95),
        (0.1, 60, 1.0, 0.85),  # narrower by 15 % at most
        (0.1, 60, 2.0, 1.7),
        (9.0, 0, 1.3, 1.3),
    ],
)
def test_a_patients_own_errors_move_the_factor(own: float, windows: int, population: float, factor: float) -> None:
    who = person(scores=torch.full((30, 2), own), windows=windows)
    assert factor_for_plans(who, torch.full((2,), population)).tolist() == pytest.approx([factor] * 2)
    assert factor_for_plans(replace(who, scores=torch.zeros(0, 2)), torch.full((2,), population)).tolist() == pytest.approx(
        [population] * 2
    )


def test_a_miss_widens_and_a_hit_narrows_so_that_nine_in_ten_are_inside() -> None:
    """In an hour a miss adds 0.08 x 0.9 to the logarithm, a hit takes 0.08 x 0.1 away; a factor's own score is a hit."""
    scores = torch.tensor([[1.0, 5.0], [1.5, NAN], [0.5, 0.1]], dtype=torch.float64)
    found = adapted(torch.tensor([1.0, 2.0], dtype=torch.float64), scores, 0.5).log()
    first = [0.0, -0.004, 0.032, 0.028]
    second = [math.log(2), math.log(2) + 0.036, math.log(2) + 0.036, math.log(2) + 0.032]
    assert found[:, 0].tolist() == pytest.approx(first, abs=1e-9)
    assert found[:, 1].tolist() == pytest.approx(second, abs=1e-9)
    other = adapted(torch.tensor([1.0], dtype=torch.float64), scores[:, :1], 0.5, coverage=0.5).log()
    assert other[:, 0].tolist() == pytest.approx([0.0, -0.02, 0.0, -0.02], abs=1e-9)


def test_what_was_missed_of_late_moves_foresight_in_proportion_between_knots() -> None:
    assert CLOCK.knots == (30, 60, 120, 240) and FORESEEN == (Given.NOTHING, Given.RECORD)
    population = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0])  # at 30, 60, .. 270 minutes
    missed = torch.full((2, 10, 4), NAN)
    missed[0, :5, 1] = 99.0  # five misses at an hour, of what nothing was asked
    missed[1, :, 3] = 0.0
    who = person(foreseen=missed, every=0.5)
    at_hour = 5 * 0.08 * 0.5 * 0.9
    moved = [0.0, at_hour, at_hour / 2, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    found = factor_after_recording(who, population, Given.NOTHING, CLOCK)
    assert (found / population).log().tolist() == pytest.approx(moved, abs=1e-5)
    at_end = -10 * 0.08 * 0.5 * 0.1
    moved = [0.0, 0.0, 0.0, 0.0, at_end / 4, at_end / 2, 3 * at_end / 4, at_end, at_end]
    assert (factor_after_recording(who, population, Given.RECORD, CLOCK) / population).log().tolist() == pytest.approx(
        moved, abs=1e-5
    )
    assert torch.equal(factor_after_recording(person(), population, Given.NOTHING, CLOCK), population)
    assert found.dtype == population.dtype


def test_a_score_is_held_against_the_factor_at_its_own_knot() -> None:
    population = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])
    for scores, change in (((0.99, 1.9, 3.9, 7.8), -0.1), ((1.01, 2.1, 4.1, 8.2), 0.9)):
        found = factor_after_recording(
            person(foreseen=torch.tensor(scores).expand(2, 1, 4), every=1.0), population, Given.NOTHING, CLOCK
        )
        assert (found / population).log().tolist() == pytest.approx([0.08 * change] * 8, abs=1e-5)


def test_how_near_a_level_comes_in_standard_scores() -> None:
    """Offsets of a normal with a spread of 10: the score is the distance in spreads, of the likeliest moment."""
    offsets = torch.tensor([-1.6449, -0.6745, 0.6745, 1.6449]) * 10.0
    levels = torch.tensor([[100.0, 90.0, 120.0], [60.0, 200.0, 240.0]])
    spread = offsets.expand(2, 3, 4)
    assert nearness_to_level(levels, spread, 70.0).tolist() == pytest.approx([-2.0, 1.0], abs=1e-3)
    assert nearness_to_level(levels, spread, 70.0, side=-1).tolist() == pytest.approx([-2.0, 1.0], abs=1e-3)
    assert nearness_to_level(levels, spread, 250.0, side=1).tolist() == pytest.approx([-13.0, -1.0], abs=1e-3)


def test_strangeness_is_the_root_mean_squared_distance_from_what_was_trained_on() -> None:
    model: Any = SimpleNamespace(z_mean=torch.tensor([1.0, -1.0]), z_covariance=torch.tensor([[4.0, 0.0], [0.0, 1.0]]))
    z = torch.tensor([[1.0, -1.0], [3.0, -1.0], [1.0, 2.0], [3.0, 0.0]])
    assert strangeness(model, z).tolist() == pytest.approx([0.0, 0.5**0.5, 4.5**0.5, 1.0])
    model.z_covariance = -model.z_covariance  # what rounding may make of a covariance that is nearly singular
    assert strangeness(model, z).tolist() == [0.0] * 4, "a number, never NaN"
