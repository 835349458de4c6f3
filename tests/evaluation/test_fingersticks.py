"""Recordings are thinned as said, and forecasts between finger-sticks run whenever the next reading comes."""

from dataclasses import replace

import numpy as np

from careplan.evaluation.fingersticks import between_readings, pairs, thinned
from careplan.therapies.glucose.declaration import GLUCOSE
from careplan.world.corpus import usual
from careplan.world.model import Shape, WorldModel
from careplan.world.personalise import typical
from tests.evaluation.build import series

DAY = 288
WHOLE = series(150 + 40 * np.sin(np.arange(10 * DAY) / 40), patient="one", bolus=np.where(np.arange(10 * DAY) % 90, 0.0, 3.0))


def test_a_few_readings_a_day_stay_as_they_were() -> None:
    sparse = thinned(WHOLE, 7, seed=1)
    kept = np.flatnonzero(sparse.mask[:, 0])
    assert 5 < len(kept) / 10 < 9 and np.diff(kept).min() >= 6 and np.diff(kept).std() > 10
    assert np.array_equal(sparse.values[kept], WHOLE.values[kept]) and np.array_equal(sparse.values[:, 1:], WHOLE.values[:, 1:])
    assert not np.array_equal(sparse.mask, thinned(WHOLE, 7, seed=2).mask)


def test_pairs_are_of_two_readings_at_most_four_hours_apart() -> None:
    sparse = thinned(WHOLE, 7, seed=1)
    rows, ahead = pairs(sparse, 6 * DAY)
    assert len(rows) and rows.min() > 6 * DAY and sparse.mask[rows - 1, 0].all() and sparse.mask[rows - 1 + ahead, 0].all()
    assert ahead.min() >= 6 and ahead.max() <= 48


def test_persistence_is_exact_where_nothing_moves_and_forecasts_are_finite() -> None:
    flat = replace(WHOLE, values=np.where(np.arange(6) == 0, 140, WHOLE.values).astype(np.float32))
    sparse, model = thinned(flat, 7, seed=3), WorldModel(GLUCOSE, replace(Shape(), latent=16, hidden=32))
    person = typical(model, "one", usual(sparse))
    table = between_readings(model, sparse, {"ours": (sparse, person)}, begin=6 * DAY)
    assert (table["persistence"] == 0).all() and np.isfinite(table["ours"]).all()
    assert table["n"].sum() == len(pairs(sparse, 6 * DAY)[0])
