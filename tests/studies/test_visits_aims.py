"""Aims of visits: each is met on one side of its limit and missed on the other."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from careplan.studies.visits_aims import Record, aims, slope

NAMES = {"ours": "us", "unchanged": "nothing", "baseline": "them", "suits": "truth"}


def lives(**ours: list[float]) -> pd.DataFrame:
    """One child over three fortnights under everybody; what is ours differs as said, by column."""
    same = {"in_range": [80.0] * 3, "below_70": [2.0] * 3, "below_54": [0.1] * 3, "mean": [150.0] * 3, "on_target": [True] * 3}
    parts = []
    for reviewer in NAMES.values():
        columns = {**same, **(ours if reviewer == "us" else {})}
        parts.append(pd.DataFrame(columns).assign(reviewer=reviewer, person="ann", group="child", visit=range(3)))
    return pd.concat(parts, ignore_index=True)


def record(visit: int = 1, **changes: object) -> Record:
    usual = Record("ann", visit, "model", False, True, False, 2.0, math.nan, 1, ())
    return replace(usual, **changes)  # type: ignore[arg-type]


def met(people: pd.DataFrame, records: list[Record], start: str, aim: str) -> bool | None:
    table = aims(people, records, start, **NAMES)
    [found] = table[table["aim"].str.contains(aim)]["met"]
    return None if found is None else bool(found)


@pytest.mark.parametrize(
    ("start", "aim", "good", "bad"),
    [
        ("too strong", "below 70 after the first", {"below_70": [9.0, 5.0, 2.0]}, {"below_70": [9.0, 5.1, 2.0]}),
        ("too strong", "behind the settings", {"in_range": [80.0, 75.0, 80.0]}, {"in_range": [80.0, 74.9, 80.0]}),
        ("too strong", "the same after the last", {"in_range": [80.0, 75.0, 77.0]}, {"in_range": [80.0, 75.0, 76.9]}),
        ("too weak", "in range ahead", {"in_range": [40.0, 88.0, 80.0]}, {"in_range": [40.0, 87.9, 80.0]}),
        ("too weak", "on target ahead", {}, {"on_target": [True, False, True]}),
        ("derived", "children on target", {}, {"on_target": [True, True, False]}),
        ("derived", "worse off", {"below_70": [3.5, 4.4, 2.0]}, {"below_70": [3.0, 4.4, 2.0]}),
        ("derived", "below 54 by a change", {"below_54": [0.1, 4.0, 0.0]}, {"below_54": [0.1, 4.1, 0.0]}),
    ],
)
def test_an_aim_at_its_limit(start: str, aim: str, good: dict[str, list[float]], bad: dict[str, list[float]]) -> None:
    assert met(lives(**good), [record()], start, aim) is True
    assert met(lives(**bad), [record()], start, aim) is False


def test_what_life_brings_is_told_apart_from_what_the_change_did() -> None:
    people = lives(below_70=[3.0, 4.4, 2.0])
    assert met(people, [record()], "derived", "than had nothing changed") is False
    people.loc[people["reviewer"] == "nothing", "below_70"] = [3.0, 5.0, 2.0]
    assert met(people, [record()], "derived", "than had nothing changed") is True
    assert met(people, [record()], "derived", "worse off") is False


def test_the_error_of_a_slope_is_that_of_changes_drawn_again() -> None:
    draw = np.random.default_rng(0)
    predicted = pd.Series(draw.normal(0, 10, 60))
    seen = 1.2 * predicted + draw.normal(0, 5, 60)
    found, error = slope(predicted, seen)
    again = [slope(*(part.iloc[rows] for part in (predicted, seen)))[0] for rows in draw.integers(60, size=(2000, 60))]
    assert found == pytest.approx(1.2, abs=0.2) and error == pytest.approx(np.std(again), rel=0.15)
    assert math.isnan(slope(predicted[:1], predicted[:1])[1])


def test_silence_in_danger_and_derived_settings_that_are_changed_are_counted() -> None:
    assert met(lives(), [record(below_70=8.1)], "derived", "in silence") is False
    assert met(lives(), [record(below_70=8.1, lowered=True)], "derived", "in silence") is True
    assert met(lives(), [record()], "derived", "left alone") is False
    assert met(lives(), [record(changed=False)], "derived", "left alone") is True


def test_the_slope_is_of_what_was_lived_beside_nothing_changed() -> None:
    people = lives(mean=[150.0, 140.0, 140.0])
    for reviewer in ("us", "nothing"):
        people.loc[people["reviewer"] == reviewer, "mean"] += [0.0, 30.0, 0.0]  # life's own
    assert met(people, [record(predicted=-10.0)], "derived", "first change") is True
    assert met(people, [record(predicted=-20.0)], "derived", "first change") is False
    assert met(people, [record(predicted=-10.0)], "derived", "next change") is None
