"""Sources of one person: what two of them hold counts once, clocks are found, and nothing vanishes."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from careplan.records import PatientRecord, join_people, join_records
from careplan.records.events import events_frame

START = pd.Timestamp("2024-03-04", tz="UTC")
QUICK = settings(max_examples=60, deadline=None)


def record(
    source: str, rows: list[tuple[float, str, float, float, str]], *, zone: str = "UTC", patient: str = "kim"
) -> PatientRecord:
    """rows: minutes from the start, channel, value, duration, flag."""
    table = [
        (START + pd.Timedelta(minutes=minute), channel, value, duration, flag, f"{source}.csv:{line}")
        for line, (minute, channel, value, duration, flag) in enumerate(sorted(rows), start=1)
    ]
    return PatientRecord(patient, zone, events_frame(table), rows_read=len(rows), files=(f"{source}.csv",), source=source)


def seen(joined: PatientRecord, channel: str) -> list[tuple[float, float, str]]:
    mine = joined.events[joined.events["channel"] == channel]
    minutes = (mine["time"] - START).dt.total_seconds() / 60
    return [(round(m, 2), round(v, 2), o.split(".")[0]) for m, v, o in zip(minutes, mine["value"], mine["origin"], strict=True)]


def rules(joined: PatientRecord) -> Counter[str]:
    return Counter(correction.rule for correction in joined.corrections)


def doses(days: int = 14, *, late: float = 0.0, seed: int = 0) -> list[tuple[float, str, float, float, str]]:
    """Four boluses and three meals a day at times of their own, on a clock that is `late` minutes late."""
    random = np.random.default_rng(seed)
    rows: list[tuple[float, str, float, float, str]] = []
    for day in range(days):
        for hour in (7, 12, 15, 19):
            minute = 1440 * day + 60 * hour + float(random.integers(0, 90)) + late
            rows.append((minute, "bolus", round(float(random.uniform(0.5, 9)), 2), 0.0, ""))
            if hour != 15:
                rows.append((minute, "carbs", float(random.integers(10, 90)), 0.0, ""))
    return rows


def test_a_dose_that_three_sources_hold_is_one() -> None:
    pump = record(
        "glooko",
        [(480, "bolus", 2.0, 0, ""), (600, "bolus", 1.0, 0, ""), (600, "bolus", 2.0, 120, ""), (480, "carbs", 24, 0, "")],
    )
    upload = record("tidepool", [(480.5, "bolus", 2.02, 0, ""), (600, "bolus", 3.0, 0, ""), (720, "bolus", 0.4, 0, "")])
    site = record(
        "nightscout",
        [(483, "bolus", 2.0, 0, ""), (481, "carbs", 24, 0, ""), (720, "bolus", 0.4, 0, ""), (722, "bolus", 0.4, 0, "")],
    )
    joined = join_records([site, upload, pump])
    assert seen(joined, "bolus") == [
        (480, 2, "glooko"),
        (600, 1, "glooko"),
        (600, 2, "glooko"),
        (720, 0.4, "tidepool"),
        (722, 0.4, "nightscout"),
    ]
    assert seen(joined, "carbs") == [(480, 24, "glooko")]
    assert rules(joined) == {"same dose": 5}
    assert joined.source == "glooko + tidepool + nightscout" and joined.rows_read == 11
    first = next(c for c in joined.corrections if c.file == "nightscout.csv" and c.row == 2)
    assert "is glooko.csv:" in first.detail and first.action == "dropped"
    assert seen(join_records([site, upload, pump], prefer=["nightscout"]), "carbs") == [(481, 24, "nightscout")]


def test_sensors_that_overlap_and_finger_sticks() -> None:
    clarity = record("clarity", [(5 * n, "glucose", 120 + n, 0, "") for n in range(12)])
    site = record(
        "nightscout",
        [(5 * n + 1, "glucose", 120.4 + n, 0, "") for n in range(6)]
        + [(5 * n + 2, "glucose", 150, 0, "") for n in range(6, 12)]
        + [(5 * n, "glucose", 99, 0, "") for n in range(16, 20)]
        + [(7, "glucose", 121, 0, "fingerstick")],
    )
    joined = join_records([clarity, site])
    assert len(seen(joined, "glucose")) == 12 + 4 + 1
    assert rules(joined) == {"same reading": 6, "overlapping sensor": 6}
    other = record("libreview", [(5 * n, "glucose", 200, 0, "") for n in range(20)])
    assert rules(join_records([clarity, other]))["sensors disagree"] == 1


def test_rates_fill_only_what_is_not_known() -> None:
    pump = record("glooko", [(60 * n, "basal", 0.8, 60, "") for n in range(3)] + [(300, "basal", 0.5, 60, "")])
    site = record(
        "nightscout",
        [(30, "basal", 0.9, 30, ""), (120, "basal", 0.7, 120, ""), (240, "basal", 0.6, 60, ""), (360, "basal", 1.0, 60, "")],
    )
    joined = join_records([pump, site])
    assert seen(joined, "basal") == [
        (0, 0.8, "glooko"), (60, 0.8, "glooko"), (120, 0.8, "glooko"), (180, 0.7, "nightscout"), (240, 0.6, "nightscout"),
        (300, 0.5, "glooko"), (360, 1.0, "nightscout"),
    ]  # fmt: skip
    assert rules(joined) == {"rate known": 2}
    assert joined.events["duration"].tolist()[3] == 60


def test_a_clock_an_hour_off_and_a_trip() -> None:
    home, trip = doses(10), doses(20, late=0)[70:]
    away = [(minute + 480, *rest) for minute, *rest in trip]
    joined = join_records([record("glooko", doses(20)), record("nightscout", [*((m + 60, *r) for m, *r in home), *away])])  # type: ignore[list-item]
    assert len(joined.events) == len(doses(20))
    told = [c.detail for c in joined.corrections if c.rule == "clock of a source"]
    assert any("60 min late" in text for text in told) and any("480 min late" in text for text in told)
    assert rules(joined)["same dose"] == len(home) + len(away)


def test_drift_is_told_and_small_offsets_leave_times_alone() -> None:
    slow = [(minute + 4 * minute / (1440 * 60), *rest) for minute, *rest in doses(60)]
    joined = join_records([record("glooko", doses(60)), record("tidepool", slow)])  # type: ignore[list-item]
    assert len(joined.events) == len(doses(60))
    assert set(joined.events["origin"].str.split(".").str[0]) == {"glooko"}


def test_glucose_alone_shows_a_clock() -> None:
    random = np.random.default_rng(3)
    course = 140 + np.cumsum(random.normal(0, 4, 288 * 4)).clip(-80, 150)
    rows = [(5 * n, "glucose", float(value), 0, "") for n, value in enumerate(course)]
    late = [(minute + 120, *rest) for minute, *rest in rows]
    joined = join_records([record("clarity", rows), record("nightscout", late)])  # type: ignore[list-item]
    assert any("120 min late" in c.detail for c in joined.corrections if c.rule == "clock of a source")
    assert len(joined.events) <= len(rows) + 30


def test_different_doses_show_no_clock() -> None:
    joined = join_records([record("glooko", doses(14, seed=1)), record("nightscout", doses(14, seed=2))])
    assert rules(joined)["clock of a source"] == 0
    assert len(joined.events) >= 2 * len(doses()) - 6


def test_people_are_kept_apart_and_zones_told() -> None:
    anna, kim = record("glooko", doses(2), patient="anna"), record("table", doses(2))
    abroad = record("tidepool", doses(2), zone="Asia/Tokyo")
    first, second = join_people([anna, kim, abroad])
    assert (first.patient, second.patient, len(second.events)) == ("anna", "kim", len(doses(2)))
    assert rules(second)["two zones"] == 1
    with pytest.raises(ValueError, match="one patient"):
        join_records([anna, kim])


rows = st.lists(
    st.tuples(
        st.integers(0, 600).map(float),
        st.sampled_from(["glucose", "bolus", "carbs", "basal", "long_acting", "activity"]),
        st.sampled_from([1.0, 2.0, 25.0]),
        st.sampled_from([0.0, 30.0]),
        st.sampled_from(["", "fingerstick"]),
    ).map(lambda row: row if row[1] == "glucose" else (*row[:4], "")),
    max_size=12,
)


@QUICK
@given(st.tuples(rows, rows, rows))
def test_every_event_stays_or_is_told(lists: tuple[list[tuple[float, str, float, float, str]], ...]) -> None:
    records = [record(name, each) for name, each in zip(("glooko", "tidepool", "nightscout"), lists, strict=True)]
    joined = join_records(records)
    dropped = [(c.file, c.row) for c in joined.corrections if c.action == "dropped"]
    event(f"{min(len(dropped), 5)} merged")
    assert len(joined.events) + len(dropped) == sum(map(len, lists))
    assert len(set(dropped)) == len(dropped)
    assert joined.events["time"].is_monotonic_increasing
    alone = {f"{each.source}.csv" for each in records[:1]}
    assert not {file for file, _ in dropped} & alone
