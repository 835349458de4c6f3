"""Flags are words."""

import pandas as pd

from careplan.records.events import COLUMNS, events_frame, flagged, join_flags


def test_a_flag_is_found_by_its_word() -> None:
    events = pd.DataFrame({"flag": ["", "low", "fingerstick low", "slow", None, "fingerstick"]})
    assert flagged(events, "low").tolist() == [False, True, True, False, False, False]
    assert flagged(events, "fingerstick").tolist() == [False, False, True, False, False, True]
    assert flagged(events_frame(), "low").tolist() == []


def test_flags_join_in_one_order() -> None:
    assert join_flags("low", "fingerstick", "", "low") == "fingerstick low"
    assert join_flags() == ""


def test_rows_without_a_product_have_none() -> None:
    time = pd.Timestamp("2024-01-08", tz="UTC")
    events = events_frame([(time, "bolus", 1.0, 0.0, "", "f:1"), (time, "bolus", 1.0, 0.0, "", "f:2", "Fiasp")])
    assert events["product"].tolist() == ["", "Fiasp"]
    assert events.dtypes.astype(str).to_dict() == COLUMNS
