"""Recordings are spoilt as said, and the rates count what was spoilt against what was not."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from careplan.records.units import MG_PER_MMOL
from careplan.series import PatientSeries
from careplan.studies.drift import KINDS, UNLOGGED, UNTOUCHED, corrupt, judged, measured, rates, sound
from careplan.therapies.glucose.declaration import GLUCOSE, ROWS_A_DAY
from careplan.world.corpus import usual
from careplan.world.drift import ALARMS, checkpoints, describe, measure
from careplan.world.model import Shape, WorldModel
from careplan.world.personalise import typical
from tests.evaluation.build import series

ROW = 9 * ROWS_A_DAY + 100


def person(seed: int, count: int = 20) -> PatientSeries:
    draw, rows = np.random.default_rng(seed), np.arange(count * ROWS_A_DAY)
    wander = 3 * pd.Series(draw.normal(0, 8, len(rows))).ewm(span=12).mean().to_numpy()
    level = 140 + (20 + 2 * seed) * np.sin(rows / 40) + wander + draw.normal(0, 2, len(rows))
    bolus = np.where(draw.random(len(rows)) < 0.03, draw.uniform(1, 4, len(rows)), 0.0)
    return series(level, patient=f"p{seed}", bolus=bolus, basal=np.full(len(rows), 0.8))


@pytest.mark.parametrize("kind", KINDS)
def test_a_recording_is_spoilt_from_the_row_on_and_nowhere_else(kind: str) -> None:
    whole, other = person(1), person(2)
    spoilt = corrupt(whole, kind, ROW, [other], np.random.default_rng(0))
    assert spoilt is not None and len(spoilt) == ROW + 4 * ROWS_A_DAY
    assert np.array_equal(spoilt.values[:ROW], whole.values[:ROW]) and np.array_equal(spoilt.mask[:ROW], whole.mask[:ROW])
    glucose, was = spoilt.column("glucose")[ROW:], whole.column("glucose")[ROW : len(spoilt)]
    if kind == "mmol/L read as mg/dL":
        np.testing.assert_allclose(glucose * MG_PER_MMOL, was, rtol=1e-5)
    elif kind == "mg/dL read as mmol/L":
        np.testing.assert_allclose(glucose, was * MG_PER_MMOL, rtol=1e-5)
    elif kind == "stuck sensor":
        (stuck, rest), (_, recorded) = (np.split(one.reshape(4, ROWS_A_DAY), [ROWS_A_DAY // 4], axis=1) for one in (glucose, was))
        assert (np.ptp(stuck, axis=1) <= 2).all() and np.array_equal(rest, recorded)
    elif kind == "another person":
        found = np.flatnonzero(np.isclose(other.column("glucose"), glucose[0]))
        assert any(np.array_equal(other.values[row : row + 4 * ROWS_A_DAY], spoilt.values[ROW:]) for row in found)
        assert any(other.minute_of_day()[row] == whole.minute_of_day()[ROW] for row in found)
    else:
        assert not spoilt.mask[ROW:, GLUCOSE.index("bolus")].any() and np.array_equal(glucose, was)
        assert spoilt.mask[ROW:, GLUCOSE.index("basal")].any() == (kind == "boluses not logged")


def test_what_would_change_nothing_is_no_case() -> None:
    whole, draw = person(1), np.random.default_rng(0)
    assert corrupt(whole, "another person", ROW, [], draw) is None
    values = whole.values.copy()
    values[ROW + ROWS_A_DAY : ROW + 2 * ROWS_A_DAY, GLUCOSE.index("bolus")] = 0
    assert corrupt(replace(whole, values=values), "boluses not logged", ROW, [], draw) is None
    mask = whole.mask.copy()
    mask[ROW : ROW + ROWS_A_DAY // 4, 0] = False
    assert corrupt(replace(whole, mask=mask), "stuck sensor", ROW, [], draw) is None


def test_a_recording_begins_and_ends_with_a_reading() -> None:
    whole = person(3, 6)
    mask = whole.mask.copy()
    mask[:7, 0] = mask[-3:, 0] = False
    part = measured(replace(whole, mask=mask))
    assert part.start == whole.times[7] and len(part) == len(whole) - 10
    assert judged(part, 0) and not judged(part, len(part) - 4 * ROWS_A_DAY + 1)
    with pytest.raises(ValueError, match="no glucose"):
        measured(replace(whole, mask=np.zeros_like(mask)))


def test_every_way_of_spoiling_is_found_and_the_rest_is_calm() -> None:
    model = WorldModel(GLUCOSE, replace(Shape(), latent=16, hidden=32))
    people = [person(seed, 16) for seed in range(3, 9)]
    known = [(one, typical(model, one.patient, usual(one))) for one in people]
    reference = measure(GLUCOSE, [describe(model, one, who, checkpoints(one)) for one, who in known[2:]])
    stranger = replace(person(20), values=person(20).values * np.array([1.3, 1, 5, 1, 1, 1], np.float32))
    others = {one.patient: [stranger] for one in people}
    table = sound(model, known[:2], reference, others, times=1, say=lambda _: None)
    assert set(table["kind"]) == {UNTOUCHED, *KINDS} and table["hours"].min() > 0
    found = rates(table).set_index("kind")
    assert (found.loc[list(KINDS), "fired"] >= 0.75).all() and (found.loc[list(KINDS), "auroc"] > 0.9).all()
    assert found.loc[UNTOUCHED, "fired"] <= 0.1
    pd.testing.assert_frame_equal(table, sound(model, known[:2], reference, others, times=1, say=lambda _: None))


def test_rates_count_whole_days_cases_and_first_alarms() -> None:
    calm = dict.fromkeys(ALARMS, 0.5)

    def row(kind: str, case: int, hours: float, score: float) -> dict[str, object]:
        return {"person": "p", "kind": kind, "case": case, "hours": hours} | calm | {"unit": score}

    table = pd.DataFrame(
        [row(UNTOUCHED, 0, hours, score) for hours, score in ((6, 0.1), (12, 1.2), (18, 0.2), (24, 0.3))]
        + [row(UNLOGGED, 0, 30, 2.0)]
        + [row("stuck sensor", 0, hours, score) for hours, score in ((6, 0.2), (12, 1.5), (24, 1.6), (30, 0.9))]
        + [row("stuck sensor", 1, hours, score) for hours, score in ((6, 0.2), (24, 0.6), (48, 1.1))]
        + [row("stuck sensor", 2, hours, 0.2) for hours in (6, 24)]
    )
    found = rates(table).set_index("kind")
    assert found.loc[UNTOUCHED, ["looks", "fired"]].tolist() == [4, 0.25] and found.loc[UNLOGGED, "fired"] == 1
    stuck = found.loc["stuck sensor"]
    assert stuck[["looks", "cases"]].tolist() == [5, 3] and stuck["fired"] == pytest.approx(0.4)
    assert stuck["day"] == pytest.approx(1 / 3) and stuck["two_days"] == pytest.approx(2 / 3) and stuck["hours"] == 30
    assert stuck["auroc"] == pytest.approx(14.5 / 20)
