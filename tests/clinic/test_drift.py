"""Plans are withheld where the latest day is not as this patient's days were."""

from dataclasses import replace

import pytest

from careplan.records.grid import to_series
from careplan.records.units import MG_PER_MMOL
from careplan.therapies.glucose.declaration import GLUCOSE
from careplan.therapies.glucose.world import open_world
from careplan.world.corpus import usual
from careplan.world.loaded import World, reasons_to_abstain
from careplan.world.personalise import typical
from tests.clinic.build import record

DAY = 288


@pytest.fixture(scope="module")
def world() -> World:
    return open_world()


def test_the_alarm_of_the_latest_day_is_a_reason_in_plain_words(world: World) -> None:
    series = to_series(record(days=15), GLUCOSE)
    person, end = typical(world.model, series.patient, usual(series)), 14 * DAY
    stuck, unit, unlogged = (series.values.copy() for _ in range(3))
    stuck[end - 60 : end, 0] = 131.0
    unit[end - 60 : end, 0] /= MG_PER_MMOL
    unlogged[end - DAY : end, GLUCOSE.index("bolus")] = 0

    def reasons(row: int | None = None, values=series.values) -> str:
        return "; ".join(reasons_to_abstain(world, replace(series, values=values), person, row=row))

    assert "readings do not change" in reasons(end, stuck)
    assert "another unit" in reasons(end, unit)
    assert "usual doses are not logged" in reasons(end, unlogged)
    assert "the latest day" not in reasons(end)
    assert "the latest day" not in reasons(end - DAY, unlogged)  # what comes later is not known then
