"""Flags are words."""

import pandas as pd

from careplan.records.events import COLUMNS, events_frame, flagged, join_flags


def test_a_flag_is_found_by_its_word() -> None:
    flags = pd.Series(["", "low", "fingerstick low", "slow", "fingerstick"])
    assert flagged(flags, "low").tolist() == [False, True, True, False, False]
    assert flagged(flags, "fingerstick").tolist() == [False, False, True, False, True]
    assert flagged(events_frame()["flag"], "low").tolist() == []


def test_flags_join_in_one_order() -> None:
    assert join_flags("fingerstick", "low", "", "fingerstick") == "low fingerstick"
    assert join_flags() == ""


def test_rows_without_a_product_have_none() -> None:
    time = pd.Timestamp("2024-01-08", tz="UTC")
    events = events_frame([(time, "bolus", 1.0, 0.0, "", "f:1"), (time, "bolus", 1.0, 0.0, "", "f:2", "Fiasp")])
    assert events["product"].tolist() == ["", "Fiasp"]
    assert events.dtypes.to_dict() == {name: pd.Series(dtype=kind).dtype for name, kind in COLUMNS.items()}
