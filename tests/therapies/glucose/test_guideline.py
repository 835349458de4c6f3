"""Nobody in danger is left without a word: the guideline's own rule, its caps, and when it speaks."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from careplan.series import PatientSeries
from careplan.studies.visits import accepted
from careplan.therapies.glucose import regimen_search
from careplan.therapies.glucose.decisions import exposure
from careplan.therapies.glucose.declaration import GLUCOSE, LINE_LIMITS, Regimen
from careplan.therapies.glucose.guideline import LOWERED, guideline_in_words, guideline_lines
from tests.clinic.build import REGIMEN, suggestion

ROWS = 288


def recording(low: float, days: int = 14, *, level: float = 62.0) -> PatientSeries:
    """Readings of `level` for the share `low` of every day, of 120 mg/dL otherwise."""
    values = np.zeros((days * ROWS, len(GLUCOSE.channels)), np.float32)
    values[:, 0] = np.where(np.arange(days * ROWS) % ROWS < low * ROWS, level, 120.0)
    mask = np.zeros(values.shape, bool)
    mask[:, 0] = True
    return PatientSeries("ann", GLUCOSE, pd.Timestamp("2026-01-05", tz="UTC"), "UTC", values, mask)


def spoken(series: PatientSeries, regimen: Regimen | None = REGIMEN, **found: Any) -> Any:
    silent = {"abstained": True, "reasons": ("the model is off",), "options": (), **found}
    case = regimen_search.Case(series=series, person=None, regimen=regimen)  # type: ignore[arg-type]
    return regimen_search._by_guideline(suggestion(**silent), case)


@pytest.mark.parametrize(("low", "share"), [(0.03, 0.0), (0.05, 0.1), (0.2, 0.2)])
def test_where_the_model_abstains_and_lows_break_their_target_the_guideline_lowers_basal(low: float, share: float) -> None:
    found = spoken(recording(low))
    assert found.abstained == (share == 0.0) and (found.source == "guideline") == (share > 0)
    if share:
        assert [line.key for line in found.lines] == ["basal@0", "basal@360", "basal@660", "basal@1020"]
        assert all((1 - share) * line.current <= line.proposed < line.current for line in found.lines)
        assert found.reasons[0].startswith(f"the model cannot say; the guideline would lower basal by {100 * share:.0f} %: ")
        assert found.reasons[1:] == ("the model is off",)
        assert accepted(REGIMEN, found, recording(low), "adult").basal[0] < REGIMEN.basal[0]


def test_on_pens_it_is_the_long_acting_dose_and_without_either_the_carb_ratio() -> None:
    pens = Regimen(basal=(0.0,) * 4, carb_ratio=(10.0,) * 4, correction_factor=(50.0,) * 4, delivery="pen", long_acting=20.0)
    assert [(line.key, line.proposed) for line in spoken(recording(0.2), pens).lines] == [("long_acting@0", 16.0)]
    none = Regimen(basal=(0.0,) * 4, carb_ratio=(10.0,) * 4, correction_factor=(50.0,) * 4, delivery="pen")
    assert {line.proposed for line in spoken(recording(0.2), none).lines} == {12.0}


def test_where_nothing_can_be_signed_it_still_has_a_word() -> None:
    few = spoken(recording(0.2, days=3))
    assert few.abstained and not few.lines and "no line is proposed" in few.reasons[0]
    nobody = spoken(recording(0.2), None)
    assert nobody.abstained and nobody.reasons[0].startswith("the model cannot say; the guideline would lower basal insulin")


def test_it_speaks_where_the_model_proposes_no_less_in_danger_and_else_leaves_the_model_alone() -> None:
    idle: dict[str, Any] = {"abstained": False, "reasons": ("no change",)}
    assert spoken(recording(0.2), **idle).source == "guideline"
    assert spoken(recording(0.05), **idle).source == "model"
    assert not spoken(recording(0.0)).lines


@settings(max_examples=60, deadline=None)
@given(
    low=st.floats(0.0, 1.0),
    level=st.floats(39.0, 69.0),
    basal=st.lists(st.floats(0.0, 35.0), min_size=4, max_size=4),
    pens=st.booleans(),
    dose=st.floats(0.0, 150.0),
    days=st.integers(1, 20),
)
def test_it_never_gives_more_nor_cuts_beyond_its_own_caps(
    low: float, level: float, basal: list[float], pens: bool, dose: float, days: int
) -> None:
    rates = (0.0,) * 4 if pens else tuple(basal)
    regimen = Regimen(
        basal=rates,
        carb_ratio=(10.0,) * 4,
        correction_factor=(50.0,) * 4,
        delivery="pen" if pens else "pump",
        long_acting=dose * pens,
    )
    series = recording(low, days, level=level)
    lows = exposure(series.column("glucose"), series.minute_of_day())
    lines = guideline_lines(series, regimen, lows)
    assert not lines or lows.breach is not None
    assert bool(guideline_in_words(regimen, lows, lines)) == (lows.breach is not None)
    for line in lines:
        most = LOWERED["danger" if lows.danger else "broken"] * line.current + 1e-6
        less = line.proposed > line.current if line.setting == "carb_ratio" else line.proposed < line.current
        assert less and abs(line.proposed - line.current) <= most
        assert LINE_LIMITS[line.setting].lowest <= line.proposed <= LINE_LIMITS[line.setting].highest  # type: ignore[index]
