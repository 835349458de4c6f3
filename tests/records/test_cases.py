"""The small inputs of `cases/` in the real data, each a kind of fault that public reports describe: what must come out."""

from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from careplan.records import PatientRecord, read

Seen = tuple[str, float, float, str]


def told(record: PatientRecord) -> Counter[str]:
    return Counter(correction.rule for correction in record.corrections)


def of(record: PatientRecord, channel: str, zone: str = "UTC") -> list[Seen]:
    """`(time, value, minutes, flag)` of a channel; the value to a tenth of mg/dL or a thousandth of what else."""
    mine = record.events[record.events["channel"] == channel]
    times = mine["time"].dt.tz_convert(zone).dt.strftime("%H:%M:%S")
    digits = 1 if channel == "glucose" else 4
    return [
        (str(time), round(value, digits), round(duration, 3), flag)
        for time, value, duration, flag in zip(times, mine["value"], mine["duration"], mine["flag"], strict=True)
    ]


def test_h10_tidepool_api(data: Path) -> None:
    [record] = read(data / "cases" / "h10_tidepool_api.json")
    assert (record.source, record.zone) == ("tidepool", "US/Pacific")
    assert of(record, "glucose") == [
        ("16:00:00", 119.0, 0, ""),
        ("16:05:00", 40.0, 0, "low"),
        ("16:07:00", 74.0, 0, "fingerstick"),
        ("16:10:00", 400.0, 0, "high"),
    ]
    assert of(record, "bolus") == [
        ("16:20:00", 1.1, 0, ""),
        ("17:00:00", 0.4, 0, ""),
        ("17:00:00", 1.2, 30, ""),
        ("18:00:00", 2.0, 60, ""),
        ("18:30:00", 0.25, 0, "automatic"),
    ]
    assert of(record, "carbs") == [("16:20:00", 24, 0, ""), ("19:00:00", 33, 0, "")]
    assert of(record, "long_acting") == [("20:30:00", 14, 0, "")]
    assert record.events["product"][record.events["channel"] == "long_acting"].tolist() == ["Lantus"]
    assert of(record, "basal") == [
        ("16:00:00", 0.8, 60, ""),
        ("17:00:00", 0.4, 30, ""),
        ("17:30:00", 0, 15, ""),
        ("17:45:00", 1.2, 5, "automatic"),
    ]
    assert of(record, "activity") == [("20:00:00", 4.5, 40, "")]
    assert record.regimen is not None
    assert (record.regimen.blocks["basal"], record.regimen.blocks["carb_ratio"]) == ((0.8,), (10.0,))
    assert record.regimen.blocks["correction_factor"] == pytest.approx((50.0,), abs=0.01)


def test_h11_glooko_de(data: Path) -> None:
    [record] = read(data / "cases" / "h11_glooko_de.zip", zone="Europe/Berlin")
    assert (record.source, record.patient) == ("glooko", "glooko-h11_glooko_de")
    assert of(record, "glucose") == [
        ("23:01:16", 191, 0, ""),
        ("23:06:16", 188, 0, ""),
        ("23:11:16", 40, 0, ""),
        ("23:16:16", 64, 0, ""),
    ]
    assert of(record, "bolus") == [("07:06:16", 2.2, 0, ""), ("11:00:00", 2, 0, ""), ("11:00:00", 3, 120, "")]
    assert of(record, "carbs") == [("07:06:16", 22, 0, ""), ("09:00:00", 15, 0, ""), ("11:00:00", 50, 0, "")]
    assert of(record, "basal") == [("23:01:00", 0.71, 60, ""), ("00:01:00", 0.355, 30, ""), ("00:31:00", 0, 15, "")]
    assert of(record, "long_acting") == [("21:00:00", 14, 0, "")]
    assert of(record, "activity") == [("17:00:00", 4.5, 45, "")]
    assert told(record) == {"extended bolus": 1, "daily total": 1, "duplicate": 1}
    assert record.ignored == {"daily total": 1}


def test_h15_table_lo_hi(data: Path) -> None:
    [record] = read(data / "cases" / "h15_table_lo_hi.csv", zone="Europe/Madrid")
    readings = record.events[record.events["channel"] == "glucose"]
    assert len(readings) == 27
    flags = readings.groupby("flag")["value"].apply(list).to_dict()
    assert (flags["low"], flags["high"]) == ([40.0] * 3, [400.0] * 3)
    assert record.events["time"].iloc[0] == pd.Timestamp("2024-03-05 07:00", tz="UTC")
    assert of(record, "carbs", "Europe/Madrid") == [("08:05:00", 30, 0, "")]
    assert not record.corrections
