"""Tidepool's JSON and workbook: what was delivered comes out, and every document is accounted for."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from careplan.records import PatientRecord, RecordError, read
from careplan.records.units import MG_PER_MMOL

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
COMMON = {"timezoneOffset": 60, "uploadId": "u", "deviceId": "d"}


def at(minute: int, day: int = 5) -> str:
    return (pd.Timestamp(f"2024-03-{day:02}T08:00Z") + pd.Timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def doc(minute: int, **fields: Any) -> dict[str, Any]:
    return {"time": at(minute), **COMMON, **fields}


UPLOAD = doc(600, type="upload", timezone="Europe/Paris")


def written(folder: Path, *documents: dict[str, Any], name: str = "anna.json") -> Path:
    (folder / name).write_text(json.dumps(list(documents)))
    return folder / name


def rules(record: PatientRecord) -> Counter[str]:
    return Counter(correction.rule for correction in record.corrections)


def events(record: PatientRecord, channel: str) -> list[tuple[float, float, str]]:
    mine = record.events[record.events["channel"] == channel]
    return [(round(v, 3), round(d, 3), f) for v, d, f in mine[["value", "duration", "flag"]].itertuples(index=False)]


def test_readings_and_their_limits(tmp_path: Path) -> None:
    def out(minute: int, value: float | None, threshold: float, word: str) -> dict[str, Any]:
        return doc(
            minute,
            type="cbg",
            units="mmol/L",
            value=value,
            annotations=[{"code": "bg/out-of-range", "threshold": threshold, "value": word}],
        )

    path = written(
        tmp_path,
        UPLOAD,
        doc(0, type="cbg", units="mmol/L", value=6.60539),
        doc(5, type="cbg", units="mg/dL", value=120),
        out(10, 39 / MG_PER_MMOL, 40, "low"),
        out(15, 401 / MG_PER_MMOL, 400, "high"),
        out(20, None, 500, "high"),
        doc(22, type="smbg", units="mmol/L", value=5.0),
        doc(25, type="deviceEvent", subType="calibration", units="mmol/L", value=6.0),
        doc(30, type="deviceEvent", subType="alarm", alarmType="low_insulin"),
        doc(35, type="bloodKetone", units="mmol/L", value=0.4),
    )
    [record] = read(path)
    assert record.zone == "Europe/Paris"
    assert events(record, "glucose") == [
        (119.0, 0, ""),
        (120.0, 0, ""),
        (40.0, 0, "low"),
        (400.0, 0, "high"),
        (500.0, 0, "high"),
        (round(5 * MG_PER_MMOL, 3), 0, "fingerstick"),
        (round(6 * MG_PER_MMOL, 3), 0, "fingerstick"),
    ]
    assert record.ignored == {"upload": 1, "deviceEvent alarm": 1, "bloodKetone": 1}


def test_carbs_of_a_bolus_that_was_not_given_are_told_and_not_eaten(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        doc(0, type="wizard", carbInput=40, bolus="b1"),
        doc(0, type="bolus", id="b1", subType="normal", normal=0, expectedNormal=4),
        doc(3, type="wizard", carbInput=40, bolus="b2"),
        doc(3, type="bolus", id="b2", subType="normal", normal=4),
        doc(30, type="wizard", carbInput=10, bolus={"id": "b3", "normal": 0}),
        doc(60, type="wizard", carbInput=20, bolus={"id": "b4", "extended": 0, "expectedExtended": 2}),
    )
    [record] = read(path)
    assert events(record, "carbs") == [(40, 0, ""), (10, 0, "")]
    assert [each.row for each in record.corrections if each.rule == "not delivered"] == [1, 6]


def test_what_was_delivered_counts(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        UPLOAD,
        doc(0, type="bolus", subType="normal", normal=1.1, expectedNormal=2.4),
        doc(5, type="bolus", subType="dual/square", normal=0, extended=1.5, duration=1_800_000),
        doc(10, type="bolus", subType="normal", normal=0, expectedNormal=5.3),
        doc(15, type="bolus", subType="square", extended=2.0),
        doc(
            20,
            type="wizard",
            carbInput=3,
            carbUnits="exchanges",
            bolus={"id": "b9", "type": "bolus", "subType": "normal", "normal": 4},
        ),
        doc(
            25,
            type="bolus",
            subType="normal",
            normal=0.1,
            deliveryContext="algorithm",
            insulinFormulation={"simple": {"brand": "Fiasp"}},
        ),
        doc(30, type="basal", deliveryType="temp", percent=0.5, suppressed={"rate": 0.8}, duration=600_000),
        doc(40, type="basal", deliveryType="suspend"),
        doc(50, type="basal", deliveryType="scheduled", rate=0.9, duration=0),
        doc(
            595,
            type="basal",
            deliveryType="scheduled",
            rate=0.7,
            duration=3_600_000,
            annotations=[{"code": "final-basal/fabricated-from-schedule"}],
        ),
    )
    [record] = read(path)
    assert events(record, "bolus") == [(1.1, 0, ""), (1.5, 30, ""), (2.0, 120, ""), (4.0, 0, ""), (0.1, 0, "automatic")]
    assert events(record, "carbs") == [(45.0, 0, "")]
    basal = record.events[record.events["channel"] == "basal"]
    assert basal["value"].tolist() == [0.4, 0.0, 0.7]
    assert basal["duration"].fillna(-1).tolist() == [10.0, -1.0, 5.0]
    assert rules(record) == {
        "nothing given": 2, "extended bolus": 1, "exchanges to g": 1, "fabricated basal": 1, "upload": 1,
    }  # fmt: skip
    assert record.events["product"].value_counts().to_dict()["Fiasp"] == 1


def test_pens_premixes_and_an_unknown_insulin(tmp_path: Path) -> None:
    def pen(minute: int, **formulation: Any) -> dict[str, Any]:
        return doc(minute, type="insulin", dose={"total": 10}, formulation=formulation)

    path = written(
        tmp_path,
        UPLOAD,
        pen(0, simple={"actingType": "long", "brand": "Lantus"}),
        pen(5, simple={"actingType": "rapid"}),
        pen(10, name="NovoMix 30"),
        pen(15, simple={"brand": "Zzzinsulin"}),
    )
    [record] = read(path)
    assert events(record, "long_acting") == [(10, 0, ""), (7, 0, "")]
    assert events(record, "bolus") == [(10, 0, ""), (3, 0, "")]
    [unknown] = [c for c in record.corrections if c.rule == "unknown insulin"]
    assert "Zzzinsulin" in unknown.detail and unknown.row == 5


def test_no_upload_and_several_uploads(tmp_path: Path) -> None:
    [record] = read(written(tmp_path, doc(0, type="cbg", units="mmol/L", value=6)))
    assert record.zone == "Etc/GMT-1" and rules(record) == {"no time zone": 1}
    later = doc(900, type="upload", timezone="Asia/Tokyo")
    [record] = read(written(tmp_path, later, UPLOAD, doc(0, type="cbg", units="mmol/L", value=6)))
    assert record.zone == "Asia/Tokyo" and rules(record)["several time zones"] == 1
    assert read(tmp_path / "anna.json", zone="Europe/Rome")[0].zone == "Europe/Rome"


def test_settings_become_a_regimen(tmp_path: Path) -> None:
    settings = doc(
        0,
        type="pumpSettings",
        activeSchedule="day",
        basalSchedules={
            "day": [{"rate": 0.8, "start": 0}, {"rate": 1.0, "start": 21_600_000}],
            "sick": [{"rate": 2, "start": 0}],
        },
        carbRatios={"day": [{"amount": 10, "start": 0}]},
        insulinSensitivity=[{"amount": 2.5, "start": 0}, {"amount": 3, "start": 43_200_000}],
        bgTarget=[{"low": 5, "high": 7, "start": 0}],
        units={"bg": "mg/dL", "carb": "grams"},
    )
    [record] = read(written(tmp_path, settings, doc(0, type="cbg", units="mmol/L", value=6)))
    found = record.regimen
    assert found is not None and found.starts == (0, 360, 720) and found.blocks["basal"] == (0.8, 1.0, 1.0)
    assert found.blocks["correction_factor"] == pytest.approx([2.5 * MG_PER_MMOL, 2.5 * MG_PER_MMOL, 3 * MG_PER_MMOL])
    assert found.single["target"] == pytest.approx(6 * MG_PER_MMOL)


def test_a_document_a_line_and_a_wrapped_list(tmp_path: Path) -> None:
    reading = doc(0, type="cbg", units="mmol/L", value=6)
    (tmp_path / "a.ndjson").write_text("\n".join(json.dumps(each) for each in (UPLOAD, reading)))
    (tmp_path / "b.json").write_text(json.dumps({"data": [UPLOAD, reading]}))
    assert [len(record.events) for record in read(tmp_path)] == [1, 1]
    (tmp_path / "b.json").write_text('[{"type": "cbg", "timezoneOffset": 0, "value": 6')
    with pytest.raises(RecordError, match="cut short"):
        read(tmp_path / "b.json")


def workbook(path: Path, **sheets: list[list[Any]]) -> Path:
    book = openpyxl.Workbook()
    book.active.title = "EXPORT ERROR"  # type: ignore[union-attr]
    book.active.append(["An error occurred"])  # type: ignore[union-attr]
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def test_the_workbook_says_the_same(tmp_path: Path) -> None:
    when, later = (pd.Timestamp(f"2024-03-05 08:0{minute}").to_pydatetime() for minute in (0, 5))
    midnight, six = (pd.Timestamp(f"1970-01-01 0{hour}:00").to_pydatetime() for hour in (0, 6))
    low = json.dumps([{"code": "bg/out-of-range", "threshold": 40, "value": "low"}])
    sheets: dict[str, tuple[str, list[list[Any]]]] = {
        "CGM": ("Value,Units,Annotations", [["cbg", 119, "mg/dL", None], ["cbg", 39, "mg/dL", low]]),
        "SMBG": ("Sub Type,Value,Units", [["smbg", "manual", 6.5, "mmol/L"]]),
        "Bolus": ("Sub Type,Duration (mins),Extended,Normal", [["bolus", "dual/square", 30, 1.2, 0.4]]),
        "Basal": ("Delivery Type,Duration (mins),Rate", [["basal", "automated", 5, 1.2]]),
        "Bolus Calculator": ("Carb Input", [["wizard", 24]]),
        "Food": ("Name,Nutrition", [["food", "Bread", json.dumps({"carbohydrate": {"net": 33}})]]),
        "Physical Activity": ("Duration,Reported Intensity", [["physicalActivity", 40 / 1440, "high"]]),
        "Upload": ("Timezone", [["upload", "US/Pacific"]]),
        "Basal Schedules": (
            "Active Schedule,Schedule Name,Basal Schedule Start,Basal Schedule Rate",
            [["pumpSettings.basalSchedules", "s", "s", midnight, 0.8], ["pumpSettings.basalSchedules", "s", "s", six, 1.0]],
        ),
        "Carb Ratios": ("Active Schedule,Carb Ratio Start,Carb Ratio Amount", [["pumpSettings.carbRatio", "s", midnight, 10]]),
        "Insulin Sensitivities": (
            "Active Schedule,Insulin Sensitivity Start,Insulin Sensitivity Amount,BG Units",
            [["pumpSettings.insulinSensitivity", "s", midnight, 50, "mg/dL"]],
        ),
    }
    whole = {}
    for name, (columns, rows) in sheets.items():
        kind = "Tidepool Wizard Type" if name == "Bolus Calculator" else "Tidepool Data Type"
        times = [later if name == "CGM" and place else when for place in range(len(rows))]
        whole[name] = [["Zulu Time", kind, *columns.split(",")], *([time, *row] for time, row in zip(times, rows, strict=True))]
    path = workbook(tmp_path / "anna.xlsx", **whole)
    [record] = read(path)
    assert (record.source, record.zone) == ("tidepool", "US/Pacific")
    assert set(record.events["time"]) == {pd.Timestamp("2024-03-05 08:00Z"), pd.Timestamp("2024-03-05 08:05Z")}
    assert events(record, "glucose") == [(119, 0, ""), (round(6.5 * MG_PER_MMOL, 3), 0, "fingerstick"), (40, 0, "low")]
    assert events(record, "bolus") == [(1.2, 30, ""), (0.4, 0, "")] or events(record, "bolus") == [(0.4, 0, ""), (1.2, 30, "")]
    assert events(record, "basal") == [(1.2, 5, "automatic")]
    assert events(record, "carbs") == [(24, 0, ""), (33, 0, "")]
    assert events(record, "activity") == [(7.0, 40, "")]
    assert record.regimen is not None
    assert record.regimen.starts == (0, 360)
    assert (record.regimen.blocks["basal"], record.regimen.blocks["correction_factor"]) == ((0.8, 1.0), (50, 50))
    [alone] = read(workbook(tmp_path / "bea.xlsx", CGM=whole["CGM"]))
    assert alone.source == "tidepool" and events(alone, "glucose")[0] == (119, 0, ""), "a workbook of one sheet"


numbers = st.none() | st.sampled_from([0, 1.5, -2, 1e12, "3", "x", True]) | st.floats(0, 50, allow_nan=False)
kinds = {
    "cbg": {"value": numbers, "units": st.sampled_from(["mmol/L", "mg/dL"])},
    "smbg": {"value": numbers, "units": st.just("mmol/L")},
    "bolus": {"normal": numbers, "extended": numbers, "duration": numbers, "subType": st.sampled_from(["normal", "automated"])},
    "basal": {"rate": numbers, "duration": numbers, "deliveryType": st.sampled_from(["scheduled", "suspend", "temp"])},
    "wizard": {"carbInput": numbers},
    "food": {"nutrition": st.none() | st.fixed_dictionaries({"carbohydrate": st.fixed_dictionaries({"net": numbers})})},
    "insulin": {
        "dose": st.fixed_dictionaries({"total": numbers}),
        "formulation": st.none() | st.just({"simple": {"actingType": "long"}}),
    },
    "physicalActivity": {"duration": numbers | st.just({"units": "hours", "value": 1})},
    "deviceEvent": {"subType": st.sampled_from(["alarm", "calibration"]), "value": numbers},
    "steps": {},
}
stamps = st.integers(0, 300).map(lambda minute: at(minute) if minute else "soon")
document = st.sampled_from(sorted(kinds)).flatmap(
    lambda kind: st.fixed_dictionaries({**kinds[kind], "time": stamps}).map(lambda fields: {**COMMON, "type": kind, **fields})
)


@QUICK
@given(st.lists(document, min_size=1, max_size=12))
def test_every_document_is_an_event_or_told(tmp_path: Path, documents: list[dict[str, Any]]) -> None:
    sound = [doc(5 * n, type="cbg", units="mmol/L", value=6 + n / 50) for n in range(100, 150)]
    sound += [doc(5 * n, type="bolus", normal=1 + n / 100) for n in range(100, 150)]
    sound += [doc(5 * n, type="wizard", carbInput=n) for n in range(100, 150)]
    sound += [doc(5 * n, type="basal", rate=n / 100, duration=300_000) for n in range(100, 150)]
    path = written(tmp_path, *documents, *sound)
    try:
        [record] = read(path, zone="UTC")
    except RecordError as error:
        event("refused")
        assert "anna.json" in str(error)
        return
    event("read")
    gave = {int(origin.rsplit(":", 1)[1]) for origin in record.events["origin"]}
    dropped = {c.row for c in record.corrections if c.action == "dropped" and c.rule not in record.ignored}
    assert record.rows_read == len(documents) + len(sound)
    assert len(gave | dropped) + sum(record.ignored.values()) == record.rows_read


def test_the_shared_jellyfish(data: Path) -> None:
    [record] = read(data / "device_exports" / "tidepool" / "jill-jellyfish-lite.json")
    counts = record.events.groupby(["channel", "flag"]).size().to_dict()
    assert counts == {
        ("basal", ""): 498, ("bolus", ""): 216, ("carbs", ""): 28,
        ("glucose", ""): 1280, ("glucose", "fingerstick"): 55, ("glucose", "low"): 2,
    }  # fmt: skip
    assert (record.zone, record.rows_read) == ("US/Pacific", 2196)
    [text] = read(data / "device_exports" / "tidepool" / "example-from-j-jellyfish.json")
    assert rules(text)["nested as text"] == 1 and text.zone == "Etc/GMT+8"
    same = [
        each[each["channel"].isin(["basal", "bolus"])][["time", "value"]].to_numpy().tolist()
        for each in (record.events, text.events)
    ]
    assert [row[1] for row in same[0]] == [row[1] for row in same[1]]


@pytest.mark.parametrize("time", [{"$date": at(5)}, {"$date": {"$numberLong": "1709625900000"}}, 1709625900000])
def test_a_databases_dates(tmp_path: Path, time: object) -> None:
    [record] = read(written(tmp_path, UPLOAD, {**doc(0, type="cbg", value=6.0, units="mmol/L"), "time": time}))
    assert record.events["time"].tolist() == [pd.Timestamp("2024-03-05T08:05Z")]
