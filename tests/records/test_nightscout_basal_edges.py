"""The pieces of Nightscout's basal at their edges: what each document says, how long it holds, and which answers for a rate."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from careplan.formats.nightscout.basal import (
    FOREVER,
    Span,
    Timeline,
    basal_cells,
    block_edges,
    clipped,
    clock_edges,
    overridden,
    runs,
    scheduled,
    temporary,
    timeline_of,
    until,
)
from careplan.formats.nightscout.documents import Account, Placed
from careplan.formats.nightscout.profiles import Profile
from careplan.records.cells import CELLS
from tests.records.nightscout_sites import SETTINGS

START = np.datetime64("2024-03-05T00:00", "ns")
AUTUMN = np.datetime64("2024-10-27T00:00", "ns")  # the clock of Berlin goes back from 03:00 to 02:00 at 01:00 UTC
HOUR, DAY = 60.0, 1440.0
FLAT = ((0, 1.0),)


def moment(minutes: float, day: np.datetime64 = START) -> np.datetime64:
    return day + np.timedelta64(round(minutes * 60e9), "ns")


def moments(*minutes: float, day: np.datetime64 = START) -> np.ndarray:
    return np.array([moment(minute, day) for minute in minutes], dtype="datetime64[ns]")


def minutes(times: np.ndarray | Sequence[np.datetime64], day: np.datetime64 = START) -> list[float]:
    return ((np.array(times) - day) / np.timedelta64(1, "m")).tolist()


def span(row: int, begin: float, end: float | None, day: np.datetime64 = START, **what: Any) -> Span:
    """From minute to minute; without an end: for good."""
    return Span(moment(begin, day), FOREVER if end is None else moment(end, day), Placed("site", row, {}), **what)


def lasting(found: Span) -> float | None:
    return None if found.end == FOREVER else minutes([found.end], found.start)[0]


def rules(account: Account) -> list[tuple[str, int]]:
    return [(correction.rule, correction.row) for correction in account.corrections]


# What a document says.


@pytest.mark.parametrize(
    ("after", "end"), [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0), (90.0, 90.0), (3.9e6, 3.9e6), (4e6, 4e6), (4.1e6, 4e6), (1e300, 4e6)]
)
def test_a_span_ends_so_many_minutes_later_and_within_some_years(after: float, end: float) -> None:
    assert minutes([until(START, after)]) == [end]


def of_rate(minutes: float, rate: float, flag: str = "") -> tuple[float, float | None, float, str, bool]:
    return minutes, rate, 1.0, flag, False


def of_factor(minutes: float, factor: float) -> tuple[float, float | None, float, str, bool]:
    return minutes, None, factor, "", False


ENDS = (0.0, None, 1.0, "", False)
RELATIVE = {"isAbsolute": False, "duration": 60}


@pytest.mark.parametrize(
    ("kind", "document", "said", "told"),
    [
        ("tempbasal", {"absolute": 0.4, "duration": 60}, of_rate(60.0, 0.4), ""),
        ("tempbasal", {"absolute": 0.4, "duration": 1}, of_rate(1.0, 0.4), ""),
        ("tempbasal", {"absolute": 0.4, "duration": 0.5}, of_rate(0.5, 0.4), ""),
        ("tempbasal", {"rate": 0, "duration": 60}, of_rate(60.0, 0.0), ""),
        ("tempbasal", {"absolute": 0.4, "duration": 60, "automatic": True}, of_rate(60.0, 0.4, "automatic"), ""),
        ("tempbasal", {"absolute": 0.4, "duration": 60, "automatic": False}, of_rate(60.0, 0.4), ""),
        # A suspension lasts as long as it says, else a day at most; what ends it lasts no time, whatever it says.
        ("suspendpump", {}, of_rate(DAY, 0.0), ""),
        ("suspendpump", {"duration": 0}, of_rate(DAY, 0.0), ""),
        ("suspendpump", {"duration": 0.5}, of_rate(0.5, 0.0), ""),
        ("suspendpump", {"duration": 1}, of_rate(1.0, 0.0), ""),
        ("suspendpump", {"duration": 2000}, of_rate(2000.0, 0.0), ""),
        ("basalresume", {"duration": 30, "absolute": 0.4}, ENDS, ""),
        ("tempbasalend", {"duration": 30, "absolute": 0.4}, ENDS, ""),
        # A rate is a percentage where the document says that it is relative and the number is 10 or more.
        ("tempbasal", {"rate": 20, "duration": 60}, of_rate(60.0, 20.0), ""),
        ("tempbasal", {"rate": 20, "duration": 60, "isAbsolute": True}, of_rate(60.0, 20.0), ""),
        ("tempbasal", {"rate": 20, "duration": 60, "temp": "absolute"}, of_rate(60.0, 20.0), ""),
        ("tempbasal", {"rate": 20, "duration": 60, "temp": "Percent"}, of_factor(60.0, 0.2), "rate in percent"),
        ("tempbasal", {"rate": 10, **RELATIVE}, of_factor(60.0, 0.1), "rate in percent"),
        ("tempbasal", {"rate": 9.9, **RELATIVE}, of_rate(60.0, 9.9), ""),
        ("tempbasal", {"absolute": 20, **RELATIVE}, of_rate(60.0, 20.0), ""),
        # Of several amounts the absolute one counts; then, where it is relative, the percentage.
        ("tempbasal", {"percent": 30, "rate": 1.2, "duration": 60}, of_rate(60.0, 1.2), ""),
        ("tempbasal", {"percent": 30, "rate": 1.2, **RELATIVE}, of_factor(60.0, 1.3), ""),
        ("tempbasal", {"absolute": 0.4, "percent": 30, "rate": 1.2, **RELATIVE}, of_rate(60.0, 0.4), ""),
        ("tempbasal", {"absolute": "", "percent": 30, "duration": 60}, of_factor(60.0, 1.3), ""),
        ("tempbasal", {"percent": -100, "duration": 60}, of_factor(60.0, 0.0), ""),
        ("tempbasal", {"percent": -110, "duration": 60}, of_factor(60.0, 0.0), ""),
        ("tempbasal", {"percent": -75, "duration": 60}, of_factor(60.0, 0.25), ""),
        # For no time it is the end of what runs; an amount that is then not given is told.
        ("tempbasal", {}, ENDS, ""),
        ("tempbasal", {"absolute": 0}, ENDS, ""),
        ("tempbasal", {"absolute": "x"}, ENDS, ""),
        ("tempbasal", {"percent": 30}, ENDS, ""),
        ("tempbasal", {"absolute": 0.4}, (*ENDS[:4], True), "no duration"),
        ("tempbasal", {"rate": 0.4, "duration": 0}, (*ENDS[:4], True), "no duration"),
        ("tempbasal", {"duration": 30}, None, "no amount"),
        ("tempbasal", {"absolute": "", "duration": 30}, None, "no amount"),
        ("tempbasal", {"absolute": "x", "duration": 30}, None, "not a number"),
        ("tempbasal", {"percent": "x", "duration": 30}, None, "not a number"),
        ("tempbasal", {"absolute": -0.1, "duration": 30}, None, "negative"),
    ],
)
def test_what_a_temporary_rate_says(kind: str, document: dict[str, Any], said: tuple[Any, ...] | None, told: str) -> None:
    account = Account()
    found = temporary(Placed("site", 7, document), START, kind, account)
    assert rules(account) == ([(told, 7)] if told else [])
    if said is None or found is None:
        assert found is said
        return
    assert (found.start, found.placed.row, found.schedule) == (START, 7, None)
    rate = None if np.isnan(found.rate) else found.rate
    assert (lasting(found), rate, pytest.approx(found.factor), found.flag, found.reported) == said


@pytest.mark.parametrize(
    ("document", "lasts", "factor"),
    [
        ({"insulinNeedsScaleFactor": 0.5, "duration": 60}, 60.0, 0.5),
        ({"insulinNeedsScaleFactor": 0.5}, 0.0, 0.5),  # ends the one before
        ({"duration": 60}, 60.0, 1.0),
        ({}, 0.0, 1.0),
        ({"durationType": "Indefinite"}, None, 1.0),
        ({"durationType": "indefinite", "duration": 0.5}, 0.5, 1.0),
        ({"durationType": "indefinite", "duration": 1}, 1.0, 1.0),
        ({"durationType": "finite"}, 0.0, 1.0),
        # Factors above 0 and up to 10 can be meant.
        *(({"insulinNeedsScaleFactor": factor, "duration": 1}, 1.0, factor) for factor in (0.01, 1.2, 10.0)),
        *(({"insulinNeedsScaleFactor": factor, "duration": 1}, 1.0, 1.0) for factor in (0.0, -0.5, 10.1, "x")),
    ],
)
def test_what_an_override_says(document: dict[str, Any], lasts: float | None, factor: float) -> None:
    timeline = Timeline()
    overridden(timeline, Placed("site", 7, document), START)
    [found] = timeline.overrides
    assert (found.start, lasting(found), found.factor, found.placed.row) == (START, lasts, factor, 7)


def read(
    documents: Sequence[tuple[float, dict[str, Any]]], profiles: Sequence[tuple[float, dict[str, Any]]] = ()
) -> tuple[Timeline, Account]:
    """The timeline of treatments, rows 1, 2, .., and of profiles, rows 101, 102, .., at these minutes."""
    account = Account()
    known = [
        Profile(pd.Timestamp(moment(minute), tz="UTC"), Placed("site", 101 + index, {}), settings, {"Day": settings})
        for index, (minute, settings) in enumerate(profiles)
    ]
    treatments = [Placed("site", 1 + index, document) for index, (_, document) in enumerate(documents)]
    times = pd.Series(moments(*(minute for minute, _ in documents))).dt.tz_localize("UTC")
    return timeline_of(known, treatments, times, account), account


def rows(layer: Sequence[Span]) -> list[int]:
    return [each.placed.row for each in layer]


def switch(**fields: Any) -> dict[str, Any]:
    return {"eventType": "Profile Switch", "profileJson": SETTINGS, **fields}


NOTE = {**switch(), "eventType": "Note", "originalProfileName": "Day"}


@pytest.mark.parametrize(
    ("document", "lasts", "told"),
    [
        (switch(), None, ""),
        (switch(duration=0), None, ""),
        (switch(duration=0.5), 0.5, ""),
        (switch(duration=1), 1.0, ""),
        (switch(duration=36_000_000), 600.0, "duration in milliseconds"),
        (NOTE, None, ""),
        ({**NOTE, "originalDuration": 1_800_000}, 30.0, ""),
        ({**NOTE, "originalDuration": 1_800_000, "duration": 45}, 45.0, ""),
    ],
)
def test_a_switch_states_the_regimen_where_it_has_no_end(document: dict[str, Any], lasts: float | None, told: str) -> None:
    timeline, account = read([(0.0, document)])
    [found] = timeline.schedules
    assert lasting(found) == lasts
    assert found.schedule == ((0, 0.8), (360, 1.0), (720, 0.6))
    assert (timeline.regimen is None) is (lasts is not None)
    assert rules(account) == ([(told, 1)] if told else [])


def test_a_profile_without_a_schedule_is_told_and_left_out() -> None:
    nothing = {**SETTINGS, "basal": [{"time": "00:00", "value": "x"}]}
    timeline, account = read([(0.0, switch(profileJson=nothing))], profiles=[(0.0, nothing)])
    assert timeline.schedules == [] and timeline.regimen is None
    assert rules(account) == [("unreadable profile", 101), ("unreadable profile", 1)]


def test_every_layer_is_in_order_of_time_and_the_last_regimen_holds() -> None:
    documents = [
        (90.0, {"eventType": "Temp Basal", "absolute": 0.4, "duration": 30}),
        (60.0, {"eventType": "Temp Basal", "absolute": 0.6, "duration": 30}),
        (90.0, {"eventType": "Temp Basal", "absolute": 0.8, "duration": 30}),
        (20.0, {"eventType": "Temporary Override", "duration": 30}),
        (10.0, {"eventType": "Temporary Override", "duration": 30}),
        (50.0, switch(percentage=200)),
        (80.0, {"eventType": "Suspend Pump"}),
        (90.0, {"eventType": "Resume Pump"}),
    ]
    timeline, account = read(documents, profiles=[(0.0, SETTINGS), (70.0, SETTINGS)])
    assert [rows(layer) for layer in timeline.layers] == [[101, 6, 102], [5, 4], [2, 7, 1, 8]]
    assert rules(account) == [("repeated time", 3)]
    assert timeline.regimen is not None and timeline.regimen.blocks["basal"] == (0.8, 1.0, 0.6)
    later, _ = read([(50.0, switch(percentage=200))], profiles=[(0.0, SETTINGS)])
    assert later.regimen is not None and later.regimen.blocks["basal"] == (1.6, 2.0, 1.2)


# When something holds.


@pytest.mark.parametrize(
    ("spans", "ends"),
    [
        ([], []),
        ([(0, 30)], [30]),
        ([(0, 30), (30, 60)], [30, 60]),
        ([(0, 30), (20, 60)], [20, 60]),
        ([(0, 30), (20, 20), (20, 40)], [20, 20, 40]),
    ],
)
def test_a_span_ends_with_its_time_or_when_the_next_begins(spans: list[tuple[float, float]], ends: list[float]) -> None:
    assert minutes(clipped([span(1, begin, end) for begin, end in spans])) == ends


@pytest.mark.parametrize(
    ("recorded", "stretches"),
    [
        ([], []),
        ([5], [(5, 5)]),
        ([0, 360], [(0, 360)]),  # six hours are no silence
        ([0, 360.1], [(0, 0), (360.1, 360.1)]),
        ([700, 0, 360, 1100, 1200], [(0, 700), (1100, 1200)]),
    ],
)
def test_what_is_recorded_within_six_hours_is_one_stretch(recorded: list[float], stretches: list[tuple[float, float]]) -> None:
    first, last = runs(moments(*recorded))
    assert list(zip(minutes(first), minutes(last), strict=True)) == stretches


def test_blocks_begin_on_the_patients_clock() -> None:
    evening = [span(1, 0, None, schedule=((0, 1.0), (1110, 2.0))), span(2, 0, None, schedule=((0, 1.0), (1110, 3.0)))]
    within = moments(120), moments(180)  # the evening before in Los Angeles
    assert minutes(block_edges(evening, *within, "America/Los_Angeles")) == [-16 * HOUR, 150]
    assert minutes(block_edges(evening, *within, "UTC")) == [0, 1110]
    assert minutes(block_edges(evening, *moments(120, 30 * HOUR).reshape(2, 1), "UTC")) == [0, 1110, DAY, DAY + 1110]
    for found in (block_edges, clock_edges):
        assert minutes(found(evening, moments(), moments(), "UTC")) == []
        assert minutes(found([], *within, "UTC")) == []


def test_blocks_of_an_hour_that_comes_twice_begin_twice() -> None:
    night = [span(1, 0, None, schedule=((0, 1.0), (150, 2.0)))]
    within = moments(0, day=AUTUMN), moments(180, day=AUTUMN)
    midnight = -2 * HOUR  # in Berlin, as UTC
    assert minutes(block_edges(night, *within, "Europe/Berlin"), AUTUMN) == [midnight, 30]
    assert minutes(block_edges(night, *within, "Europe/Berlin", second_pass=True), AUTUMN) == [midnight, 90]
    assert minutes(clock_edges(night, *within, "Europe/Berlin"), AUTUMN) == [60, midnight, 90]
    spring = np.datetime64("2024-03-31T00:00", "ns")
    within = moments(0, day=spring), moments(180, day=spring)
    assert minutes(block_edges(night, *within, "Europe/Berlin"), spring) == [-HOUR, 60]  # 02:30 is skipped: 03:00


def test_the_schedule_that_began_last_holds_while_it_lasts() -> None:
    schedules = [
        span(1, 0, None, schedule=((0, 1.0), (1380, 2.0))),
        span(2, 60, 120, schedule=((0, 3.0),), factor=0.5),
        span(3, DAY, None, schedule=((0, 4.0),)),
    ]
    at = moments(-1, 0, 59, 60, 119, 120, 1364, 1379, 1380, 1439, DAY)
    rate, owner = scheduled(schedules, at, "UTC")
    assert owner.tolist() == [-1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 2]
    assert rate.tolist() == pytest.approx([np.nan, 1, 1, 1.5, 1.5, 1, 1, 1, 2, 2, 4], nan_ok=True)
    assert scheduled(schedules, moments(1319, 1320), "Europe/Berlin")[0].tolist() == [1.0, 2.0]  # 23:00 there
    assert scheduled([], at, "UTC")[1].tolist() == [-1] * len(at)


# What becomes of it.


def cells(
    timeline: Timeline, *recorded: float, zone: str = "UTC", day: np.datetime64 = START
) -> tuple[list[tuple[int, float, float, float]], Account, pd.DataFrame]:
    """Row, minute, rate and minutes of each cell; the account; and the cells."""
    account = Account()
    times = pd.Series(moments(*recorded, day=day)).dt.tz_localize("UTC")
    frame = basal_cells(timeline, times, zone, account)
    begun = minutes(frame["time"].dt.tz_localize(None).to_numpy().astype("datetime64[ns]"), day)
    found = list(zip(frame["row"].tolist(), begun, frame["value"].tolist(), frame["duration"].tolist(), strict=True))
    return found, account, frame


def test_a_cell_names_the_document_that_answers_for_its_rate() -> None:
    timeline = Timeline(
        schedules=[span(1, 0, None, schedule=((0, 1.0), (300, 2.0)))],
        overrides=[span(2, 60, 120, factor=0.5)],
        temporary=[span(3, 180, 210, rate=0.25, flag="automatic"), span(4, 270, 330, factor=1.5), span(5, 310, 310)],
    )
    found, account, frame = cells(timeline, 0, 360)
    assert found == [
        *((1, 0, 1.0, 60), (2, 60, 0.5, 60), (1, 120, 1.0, 60), (3, 180, 0.25, 30), (1, 210, 1.0, 60)),
        *((4, 270, 1.5, 30), (4, 300, 3.0, 10), (5, 310, 2.0, 20), (1, 330, 2.0, 30)),
    ]
    assert tuple(frame.columns) == CELLS
    assert frame["file"].tolist() == ["site"] * 9
    assert set(frame["field"]) == set(frame["channel"]) == {"basal"}
    assert frame["raw"].tolist() == ["1", "0.5", "1", "0.25", "1", "1.5", "3", "2", "2"]
    assert frame["flag"].tolist() == ["", "", "", "automatic", "", "", "", "", ""]
    assert not account.corrections and not account.ignored


def test_no_cell_where_nothing_was_recorded_for_more_than_six_hours() -> None:
    flat = [span(1, -DAY, None, schedule=FLAT)]
    assert cells(Timeline(flat), 0, 360)[0] == [(1, 0, 1.0, 360)]
    assert cells(Timeline(flat), 0, 1, 362, 370)[0] == [(1, 0, 1.0, 1), (1, 362, 1.0, 8)]
    # A temporary rate runs its time, for six hours at most where nothing else is recorded.
    for lasts, known in ((30, 30), (360, 360), (361, 360), (DAY, 360)):
        assert cells(Timeline(temporary=[span(2, 0, lasts, rate=2.0)]), 0)[0] == [(2, 0, 2.0, known)]


def test_nothing_recorded_gives_no_cell_and_the_same_columns() -> None:
    found, account, frame = cells(Timeline([span(1, 0, None, schedule=FLAT)]))
    assert found == [] and account.ignored == {"profile of no recorded time": 1}
    assert tuple(frame.columns) == CELLS
    assert [str(frame[name].dtype) for name in ("row", "value", "duration")] == ["int64", "float64", "float64"]
    assert str(frame["time"].dtype) == "datetime64[ns, UTC]"
    assert cells(Timeline(), 0, 60)[0] == []


def test_the_clock_that_is_set_back_splits_a_rate_only_where_it_changes() -> None:
    night = [span(1, -DAY, None, AUTUMN, schedule=((0, 1.0), (150, 2.0)))]
    found, _, _ = cells(Timeline(night), 0, 180, zone="Europe/Berlin", day=AUTUMN)
    assert found == [(1, 0, 1.0, 30), (1, 30, 2.0, 30), (1, 60, 1.0, 30), (1, 90, 2.0, 90)]
    flat = [span(1, -DAY, None, AUTUMN, schedule=FLAT)]
    assert cells(Timeline(flat), 0, 180, zone="Europe/Berlin", day=AUTUMN)[0] == [(1, 0, 1.0, 180)]
    temporary = [span(2, 15, 165, AUTUMN, rate=0.5)]
    found, _, _ = cells(Timeline(night, temporary=temporary), 0, 180, zone="Europe/Berlin", day=AUTUMN)
    assert found == [(1, 0, 1.0, 15), (2, 15, 0.5, 15), (2, 30, 0.5, 135), (1, 165, 2.0, 15)]
    ended = [span(2, 0, 15, AUTUMN, rate=0.5), span(3, 15, 15, AUTUMN)]
    found, _, _ = cells(Timeline(flat, temporary=ended), 0, 180, zone="Europe/Berlin", day=AUTUMN)
    assert found == [(2, 0, 0.5, 15), (3, 15, 1.0, 165)]


def test_what_no_rate_comes_from_is_told() -> None:
    timeline = Timeline(
        schedules=[span(1, -DAY, -HOUR, schedule=FLAT), span(2, 0, None, schedule=FLAT), span(3, 2 * DAY, None, schedule=FLAT)],
        overrides=[span(4, -300, -290, factor=0.5), span(5, -280, -270), span(6, 30, 60), span(7, 2 * DAY, None, factor=0.5)],
        temporary=[
            *(span(8, -600, -600), span(9, -40, -30, factor=0.5), span(10, 20, 20, reported=True), span(11, 20, 25, rate=0.5)),
            *(span(12, 40, 55, rate=0.5), span(13, 40, 55, rate=0.7)),
        ],
    )
    found, account, _ = cells(timeline, 0, HOUR)
    assert [(row, minute) for row, minute, _, _ in found] == [(2, 0), (11, 20), (2, 25), (6, 30), (13, 40), (6, 55)]
    assert account.ignored == {
        "profile of no recorded time": 2,
        "override of no recorded time": 2,
        "override without a scale factor": 1,
        "end of a temporary rate": 1,
    }
    assert rules(account) == [("superseded", 9), ("superseded", 12)]


def test_an_override_of_no_schedule_gives_no_rate() -> None:
    timeline = Timeline(
        overrides=[span(1, 0, HOUR, factor=0.5)], temporary=[span(2, 15, 30, rate=0.5), span(3, 40, 50, factor=2.0)]
    )
    found, account, _ = cells(timeline, 0, HOUR)
    assert found == [(2, 15, 0.5, 15)]
    assert account.ignored == {"override of no recorded time": 1} and rules(account) == [("superseded", 3)]
