"""What settings are called, and which way they act."""

from dataclasses import replace

import pytest

from careplan.therapies.glucose.names import INSULIN, SETTINGS, raises_insulin
from tests.clinic.build import line

WAYS = {"basal": 1, "long_acting": 1, "bolus": 1, "temp_basal": 1, "carb_ratio": -1, "correction_factor": -1}


def test_every_setting_has_a_name_and_a_way_to_act() -> None:
    assert set(SETTINGS) == set(INSULIN) == set(WAYS)


@pytest.mark.parametrize(
    ("current", "change", "more"),
    [
        (0.0, -0.1, False),
        (0.0, 0.5e-9, False),
        (0.0, 1e-9, False),
        (0.0, 5e-9, True),
        (0.0, 0.1, True),
        (1.0, -0.1, False),
        (1.0, 0.0, False),
        (1.0, 0.1, True),
    ],
)
@pytest.mark.parametrize("setting", WAYS)
def test_more_insulin(setting: str, current: float, change: float, more: bool) -> None:
    of = replace(line(), setting=setting, current=current)  # type: ignore[arg-type]
    assert raises_insulin(of, current + WAYS[setting] * change) == more
