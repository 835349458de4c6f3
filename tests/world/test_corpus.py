"""What is usual of a patient."""

import numpy as np

from careplan.therapies.glucose.declaration import GLUCOSE
from careplan.world.corpus import usual
from tests.evaluation.build import series


def test_amounts_written_down_now_and_then_are_not_given_in_every_row() -> None:
    carbs = np.full(288, np.nan)
    carbs[[100, 200]] = 30.0
    index = GLUCOSE.index("carbs")
    assert usual(series(np.full(288, 120.0), carbs=carbs))[index] == 0
    carbs[60:] = np.nan_to_num(carbs[60:])  # logged from here on
    assert np.isclose(usual(series(np.full(288, 120.0), carbs=carbs))[index], 60 / 228)


def test_the_spread_of_the_level_comes_last() -> None:
    level = np.tile([100.0, 140.0, np.nan], 96)
    assert np.isclose(usual(series(level))[-1], 20.0)
    assert usual(series(np.full(288, np.nan)))[-1] == 0
