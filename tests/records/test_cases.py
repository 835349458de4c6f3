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


def test_h01_full_export(data: Path) -> None:
    [record] = read(data / "cases" / "h01_full_export")
    assert record.source == "nightscout"
    glucose = of(record, "glucose")
    assert (glucose[0][0], glucose[-1][0], len(glucose), sum(each[1] for each in glucose)) == ("08:00:00", "09:55:00", 24, 3133)
    assert of(record, "bolus") == [("08:00:00", 4, 0, "")]
    assert of(record, "carbs") == [("08:00:00", 40, 0, "")]
    assert of(record, "basal") == [("08:00:00", 1, 115, "")]
    assert told(record) == {"food": 1, "devicestatus": 1, "activity": 1}
    assert record.ignored == {"food": 2, "devicestatus": 1, "activity": 1}
    kinds = ("activity", "devicestatus", "entries", "food", "profile", "treatments")
    assert record.files == tuple(f"{kind}.json" for kind in kinds)  # also those that gave no event


def test_h02_deleted(data: Path) -> None:
    [record] = read(data / "cases" / "h02_deleted")
    assert of(record, "bolus") == [("08:00:00", 5, 0, ""), ("09:00:00", 0.3, 0, "automatic")]
    assert of(record, "carbs") == [("08:15:00", 17, 0, "")]
    assert of(record, "basal") == [("08:00:00", 1, 115, "")]
    assert [(each.rule, each.row) for each in record.corrections] == [("deleted", 2), ("deleted", 4), ("priming", 6)]


def test_h03_timeshift(data: Path) -> None:
    [record] = read(data / "cases" / "h03_timeshift")
    basal = of(record, "basal")
    assert {value for _, value, _, _ in basal} == {1.0}
    assert (basal[0][0], sum(minutes for _, _, minutes, _ in basal)) == ("06:00:00", 475)
    assert record.regimen is not None
    assert (record.regimen.starts, record.regimen.blocks["basal"]) == ((0, 120, 480, 840), (0.6, 0.8, 1.0, 0.6))


def test_h04_combo(data: Path) -> None:
    [record] = read(data / "cases" / "h04_combo")
    assert of(record, "bolus") == [
        ("08:00:00", 12, 1080, ""),
        ("09:00:00", 2, 0, ""),
        ("09:00:00", 3, 60, ""),
        ("10:00:00", 4.42, 0, ""),
        ("11:00:00", 7, 30, ""),
        ("11:30:00", 2, 60, ""),
    ]
    assert of(record, "carbs") == [("09:00:00", 50, 0, ""), ("10:00:00", 76, 0, "")]


def test_h05_xdrip_pens(data: Path) -> None:
    [record] = read(data / "cases" / "h05_xdrip_pens")
    assert of(record, "bolus") == [("08:00:00", 20, 0, ""), ("12:00:00", 8, 0, ""), ("14:00:00", 6, 0, "")]
    pens = record.events[record.events["channel"] == "long_acting"]
    assert dict(zip(pens["product"], pens["value"], strict=True)) == {
        "Toujeo": 56,
        "Insuman Basal": 14,
        "Novolin N": 10,
        "Rezvoglar": 9,
        "Awiqli": 70,
    }


def test_h06_mongoexport(data: Path) -> None:
    [record] = read(data / "cases" / "h06_mongoexport" / "entries.json")
    assert [value for _, value, _, _ in of(record, "glucose")] == list(range(110, 122))
    assert [time for time, _, _, _ in of(record, "glucose")][:2] == ["08:00:00", "08:05:00"]


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


def test_h07_clarity_eu(data: Path) -> None:
    [record] = read(data / "cases" / "h07_clarity_eu.csv", zone="Europe/Berlin")
    assert record.source == "clarity"
    assert of(record, "glucose") == [
        ("00:50:00", 120.7, 0, ""),
        ("00:55:00", 40, 0, "low"),
        ("01:00:00", 400, 0, "high"),
        ("01:05:00", 133.3, 0, ""),
        ("01:06:30", 99.1, 0, "fingerstick"),
    ]
    assert of(record, "bolus") == [("01:10:00", 4.5, 0, "")]
    assert of(record, "long_acting") == [("01:12:00", 18, 0, "")]
    assert of(record, "carbs") == [("01:12:00", 45, 0, "")]
    assert of(record, "activity") == [("01:20:00", 4.5, 30, "")]
    assert record.ignored == {"settings": 6, "event of no channel": 1}
    assert told(record)["two devices"] == 1


def test_h08_libreview(data: Path) -> None:
    [record] = read(data / "cases" / "h08_libreview.csv", zone="Europe/Helsinki")
    assert record.source == "libreview"
    assert of(record, "glucose") == [
        ("21:15:00", 120.7, 0, ""),
        ("21:30:00", 126.1, 0, ""),
        ("21:45:00", 34.2, 0, "low"),
        ("21:50:00", 106.3, 0, "fingerstick"),
        ("22:00:00", 500.8, 0, "high"),
    ]
    assert of(record, "bolus") == [("21:40:00", 4, 0, "")]
    assert of(record, "long_acting") == [("21:41:00", 18, 0, "")]
    assert of(record, "carbs") == [("21:42:00", 30, 0, "")]
    assert told(record) == {"scan repeats history": 1, "tick without amount": 1, "ketone": 1, "note": 1}


def test_h09_carelink_us(data: Path) -> None:
    [record] = read(data / "cases" / "h09_carelink_us.csv", zone="America/Chicago")
    assert record.source == "carelink"
    assert of(record, "glucose") == [
        ("16:00:00", 140, 0, ""),
        ("16:04:00", 139, 0, "fingerstick"),
        ("16:05:00", 145, 0, ""),
        ("16:10:00", 150, 0, ""),
    ]
    assert of(record, "bolus") == [("16:00:00", 2.1, 0, ""), ("17:00:00", 2, 0, ""), ("17:00:00", 1.5, 60, "")]
    assert of(record, "carbs") == [("15:59:58", 60, 0, "")]
    basal = of(record, "basal")
    assert [each[:3] for each in basal[:-1]] == [
        ("06:00:00", 0.8, 480),
        ("14:00:00", 0.4, 60),
        ("15:00:00", 0.8, 180),
        ("18:00:00", 0, 30),
    ]
    assert basal[-1][:2] == ("18:30:00", 0.8)
    assert told(record) == {"chosen bolus": 1, "cut short": 2, "not delivered": 1, "prime": 1}


def test_h12_tandem(data: Path) -> None:
    [record] = read(data / "cases" / "h12_tandem.csv", zone="America/New_York")
    assert record.source == "tandem"
    assert of(record, "glucose") == [("04:01:33", 235, 0, ""), ("04:06:33", 230, 0, ""), ("04:08:00", 222, 0, "fingerstick")]
    assert of(record, "bolus") == [
        ("16:53:36", 13.53, 0, ""),
        ("19:00:00", 1.2, 0, ""),
        ("22:00:00", 2, 0, ""),
        ("22:01:00", 2, 120, ""),
    ]
    assert [each[1] for each in of(record, "carbs")] == [75, 40, 44]
    basal = of(record, "basal")
    assert (basal[0][:3], basal[1][:2]) == (("04:00:00", 0.8, 360), ("10:00:00", 1.1))
    assert record.ignored == {"insulin on board": 1}


def test_h13_ohio(data: Path) -> None:
    [record] = read(data / "cases" / "h13_ohio.xml", zone="America/New_York")
    assert (record.source, record.weight) == ("ohio", None)
    local = "America/New_York"
    assert [each[1] for each in of(record, "glucose") if not each[3]] == [120, 126, 126]
    assert [each[1] for each in of(record, "glucose") if each[3] == "fingerstick"] == [118]
    assert [each[:3] for each in of(record, "basal", local)[:2]] == [("00:00:00", 0.9, 510), ("08:30:00", 0, 60)]
    assert of(record, "basal", local)[2][:2] == ("09:30:00", 1.1)
    assert of(record, "bolus", local) == [("08:15:00", 2, 0, ""), ("08:15:00", 3, 120, ""), ("12:00:00", 1.5, 0, "")]
    assert of(record, "carbs", local) == [("08:16:00", 40, 0, "")]
    assert [each[0] for each in of(record, "activity", local)] == ["17:00:00"]
