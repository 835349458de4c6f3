"""The AZT1D reader, on files the tests write and on the real ones."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from careplan.records import PatientRecord, RecordError, read_azt1d, to_series
from careplan.therapies.glucose.declaration import GLUCOSE

HEADER = "EventDateTime,DeviceMode,BolusType,Basal,CorrectionDelivered,TotalBolusInsulinDelivered,FoodDelivered,CarbSize,CGM"


def write(folder: Path, *lines: str, header: str = HEADER, name: str = "Subject 7.csv") -> Path:
    path = folder / name
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def rules(record: PatientRecord) -> Counter[str]:
    return Counter(correction.rule for correction in record.corrections)


def values(record: PatientRecord, channel: str) -> list[float]:
    return record.events[record.events["channel"] == channel]["value"].tolist()


def test_one_row_becomes_its_events(tmp_path: Path) -> None:
    [record] = read_azt1d(write(tmp_path, "2024-01-08 10:00:00,,Automatic Bolus/Correction,0.8,1.5,1.5,0.0,0.0,151"))
    assert record.patient == "azt1d-7"
    assert record.zone == "America/Phoenix"
    assert record.events[["channel", "value", "duration", "flag", "origin"]].values.tolist() == [
        ["basal", 0.8, 5.0, "", "Subject 7.csv:2"],
        ["bolus", 1.5, 0.0, "automatic", "Subject 7.csv:2"],
        ["glucose", 151.0, 0.0, "", "Subject 7.csv:2"],
    ]
    assert str(record.events["time"].iloc[0]) == "2024-01-08 17:00:00+00:00"
    assert not record.corrections


def test_a_repeated_row_is_one_dose(tmp_path: Path) -> None:
    row = ",,Standard,{},0.0,2.47,2.47,18.0,232"
    path = write(
        tmp_path,
        "2024-01-12 16:31:45,,,1.0,,,,,151",
        *["2024-01-12 18:51:45" + row.format(rate) for rate in ("0.9", "0.9", "0.825")],
        "2024-01-12 18:56:45,,Standard,0.825,0.0,2.47,2.47,18.0,230",  # the same dose on the next reading's row
        "2024-01-12 19:10:45,,Standard,0.825,0.0,2.47,2.47,18.0,230",  # a quarter of an hour later: another dose
    )
    [record] = read_azt1d(path)
    assert values(record, "bolus") == [2.47, 2.47]
    assert values(record, "carbs") == [18.0, 18.0]
    assert values(record, "glucose") == [151.0, 232.0, 230.0, 230.0]
    assert values(record, "basal") == [1.0, 0.825, 0.825, 0.825]  # after the gap, the last of the rates stamped with one time
    assert rules(record) == {"duplicate": 8, "repeated time": 2}
    assert record.rows_read == 6


def test_rates_in_milliunits_are_found_by_their_run(tmp_path: Path) -> None:
    rates = ["0.8", "1", "900", "13", "0", "1063", "2.1", "5.6"]
    [record] = read_azt1d(write(tmp_path, *[f"2024-01-12 10:{5 * i:02}:00,,,{rate},,,,,120" for i, rate in enumerate(rates)]))
    assert values(record, "basal") == [0.8, 1.0, 0.9, 0.013, 0.0, 1.063, 2.1, 5.6]
    assert rules(record) == {"mU/h to U/h": 3}


def test_the_rest_of_an_extended_bolus_is_given(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "2024-01-12 10:00:00,,Extended/Correction 50.00%/20.00,0.8,1.0,11.0,10.0,80.0,120",
        "2024-01-12 16:00:00,,Extended 10.00%/0.00,0.8,0.0,0.5,0.0,0.0,120",
        "2024-01-12 23:00:00,0,0,0.8,0,0,0,0,120",
    )
    [record] = read_azt1d(path)
    boluses = record.events[record.events["channel"] == "bolus"]
    assert boluses[["value", "duration"]].values.tolist() == [[11.0, 0.0], [10.0, 120.0], [0.5, 0.0], [4.5, 120.0]]
    assert rules(record) == {"extended bolus": 2}
    assert to_series(record, GLUCOSE).values[:, 2].sum() == pytest.approx(26.0)


def test_censored_and_impossible_readings(tmp_path: Path) -> None:
    lines = [f"2024-01-12 1{i}:00:00,,,,,,,,{100 + i}" for i in range(9)]
    [record] = read_azt1d(
        write(
            tmp_path, *lines, "2024-01-13 10:00:00,,,,,,,,Low", "2024-01-13 10:05:00,,,,,,,,HIGH", "2024-01-13 10:10:00,,,,,,,,5"
        )
    )
    censored = record.events[record.events["flag"] != ""]
    assert censored[["value", "flag"]].values.tolist() == [[40.0, "low"], [400.0, "high"]]
    assert [(c.action, c.rule, c.row) for c in record.corrections] == [("dropped", "out of range", 13)]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe\x00", "UTF-8"),
        (b"bg_ts,value\n01/10/2023 00:04,7.5\n", "expected a column 'eventdatetime'"),
        (HEADER.encode(), "no row"),
        (HEADER.encode() + b"\n2024-01-12 10:00:00,,,0.8,,,,,120\n2024-01-12 10:05:00,,,0.8", "ends inside a row"),
        (HEADER.encode() + b"\n" + b"2024-13-42 10:00:00,,,,,,,,120\n" * 4, "no possible date"),
        (HEADER.encode() + b"\n" + b"2024-01-12 10:00:00,,,,,,,,apple\n" * 4, "no number"),
        (HEADER.encode() + b"\n" + b"2034-01-12 10:00:00,,,,,,,,120\n" * 4, "dates outside"),
        (HEADER.encode() + b"".join(b"\n2024-01-12 1%d:00:00,,,,,,,,12000" % i for i in range(4)), "glucose outside"),
    ],
)
def test_a_file_that_cannot_be_trusted_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "Subject 1.csv"
    path.write_bytes(content)
    with pytest.raises(RecordError, match=says) as caught:
        read_azt1d(path)
    assert "Subject 1.csv" in str(caught.value)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="no such file"):
        read_azt1d(tmp_path / "nowhere")


def test_the_real_people(data: Path) -> None:
    records = read_azt1d(data / "azt1d")
    assert len(records) == 13
    slips = {record.patient for record in records if rules(record)["mU/h to U/h"]}
    assert slips == {"azt1d-1", "azt1d-3", "azt1d-9", "azt1d-10"}
    for record in records:
        events = record.events
        assert events.groupby("channel")["value"].max()["basal"] < 7.0
        series = to_series(record, GLUCOSE)
        for index, channel in ((2, "bolus"), (4, "carbs")):
            assert series.values[:, index].sum() == pytest.approx(sum(values(record, channel)), rel=1e-5)
        doses = events[events["channel"].isin(["bolus", "carbs"])]
        assert not doses.duplicated(["time", "channel", "value", "duration"]).any()
        assert series.mask[:, 0].mean() > 0.9
        assert (
            not series.mask[: 3 * 288, 1].any() or record.patient == "azt1d-8"
        )  # basal is unknown before the last weeks, not zero
        assert np.isfinite(series.values).all()


cell = st.sampled_from(["", "0", "1.5", "80", "x", "-3"])
line = st.tuples(st.sampled_from(["", "Standard", "Extended 50.00%/4.00"]), cell, cell, cell, cell)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(line, min_size=1, max_size=8))
def test_every_row_is_an_event_or_told_or_counted(tmp_path: Path, lines: list[tuple[str, ...]]) -> None:
    sound = [("Standard", "0.8", "2", "30", "120")] * 30
    written = [
        f"2024-01-12 {minute // 60:02}:{minute % 60:02}:00,,{kind},{basal},,{bolus},,{carbs},{glucose}"
        for minute, (kind, basal, bolus, carbs, glucose) in zip(range(0, 1440, 12), [*lines, *sound], strict=False)
    ]
    try:
        [record] = read_azt1d(write(tmp_path, *written))
    except RecordError:
        event("refused")
        return
    event("read")
    gave = {int(origin.rsplit(":", 1)[1]) for origin in record.events["origin"]}
    told = {correction.row for correction in record.corrections}
    assert len(gave | told) + record.ignored.get("nothing in it", 0) == len(written) == record.rows_read
