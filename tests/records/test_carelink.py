"""The CareLink reader, on files the tests write (both generations) and on real ones."""

import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from careplan.formats.carelink.reader import COLUMNS, recognise
from careplan.records import PatientRecord, RecordError, read_carelink, to_series
from careplan.therapies.glucose.declaration import GLUCOSE
from tests.records.accounting import accounted, at, of, rules, spans

WIDTH = 53
HEADER = (
    "Index,Date,Time,New Device Time,BG Source,BG Reading (mg/dL),Linked BG Meter ID,Basal Rate (U/h),"
    "Temp Basal Amount,Temp Basal Type,Temp Basal Duration (h:mm:ss),Bolus Type,Bolus Volume Selected (U),"
    "Bolus Volume Delivered (U),Bolus Duration (h:mm:ss),Prime Type,Prime Volume Delivered (U),"
    "Estimated Reservoir Volume after Fill (U),Alert,User Cleared Alerts,Suspend,Rewind,BWZ Estimate (U),"
    "BWZ Target High BG (mg/dL),BWZ Target Low BG (mg/dL),BWZ Carb Ratio (g/U),BWZ Insulin Sensitivity (mg/dL/U),"
    "BWZ Carb Input (grams),BWZ BG/SG Input (mg/dL),BWZ Correction Estimate (U),BWZ Food Estimate (U),"
    "BWZ Active Insulin (U),BWZ Status,Sensor Calibration BG (mg/dL),Sensor Glucose (mg/dL),ISIG Value,Event Marker,"
    "Bolus Number,Bolus Cancellation Reason,BWZ Unabsorbed Insulin Total (U),Final Bolus Estimate,Scroll Step Size,"
    "Insulin Action Curve Time,Sensor Calibration Rejected Reason,Preset Bolus,Bolus Source,BLE Network Device,"
    "Device Update Event,Network Device Associated Reason,Network Device Disassociated Reason,"
    "Network Device Disconnected Reason,Sensor Exception,Preset Temp Basal Name"
)
TOP = (
    "Last Name,First Name,Patient ID,System ID,Start Date,End Date,Device,MiniMed 780G\n"
    "Doe,Jo,,,2024/03/05,2024/03/06,Serial Number,N1\n,,,"
)
OLD = (
    "Index,Date,Time,Timestamp,New Device Time,BG Reading (mg/dL),Linked BG Meter ID,Temp Basal Amount (U/h),Temp Basal Type,"
    "Temp Basal Duration (hh:mm:ss),Bolus Type,Bolus Volume Selected (U),Bolus Volume Delivered (U),"
    "Programmed Bolus Duration (hh:mm:ss),Prime Type,Prime Volume Delivered (U),Suspend,Rewind,BWZ Estimate (U),"
    "BWZ Target High BG (mg/dL),BWZ Target Low BG (mg/dL),BWZ Carb Ratio (grams),BWZ Insulin Sensitivity (mg/dL),"
    "BWZ Carb Input (grams),BWZ BG Input (mg/dL),BWZ Correction Estimate (U),BWZ Food Estimate (U),BWZ Active Insulin (U),Alarm,"
    "Sensor Calibration BG (mg/dL),Sensor Glucose (mg/dL),ISIG Value,Daily Insulin Total (U),Raw-Type,Raw-Values,Raw-ID,"
    "Raw-Upload ID,Raw-Seq Num,Raw-Device Type"
)
DUTCH = OLD.replace("Raw-Type", "Onbewerkt: type").replace("Raw-Values", "Onbewerkt: waarden")
DUTCH = DUTCH.replace("Date", "Datum").replace("Time", "Tijd")
SHORT = {
    "kind": "bolustype",
    "chosen": "bolusvolumeselected",
    "given": "bolusvolumedelivered",
    "number": "bolusnumber",
    "lasts": "bolusduration",
    "why": "boluscancellationreason",
    "source": "bolussource",
}


def row(time: str, *, date: str = "2024/03/05", comma: bool = False, **said: object) -> str:
    fields = ["0,00000" if comma else "0.00000", date, time, *[""] * (WIDTH - 3)]
    for name, value in said.items():
        fields[COLUMNS[SHORT.get(name, name)]] = str(value)
    return (";" if comma else ",").join(fields)


def old(time: str, kind: str, values: str = "", *, date: str = "3/15/14", **said: object) -> str:
    fields = ["1", date, time, f"{date} {time}", *[""] * 35]
    fields[33], fields[34] = kind, f'"{values}"'
    for place, value in said.items():
        fields[int(place[1:])] = str(value)
    return ",".join(fields)


def write(
    folder: Path, pump: list[str], sensor: list[str] | None = None, *, header: str = HEADER, auto: list[str] | None = None
) -> Path:
    mark = ";" if ";" in pump[0] else ","
    header, top = header.replace(",", mark), TOP.replace(",", mark)
    parts = [top, f"-------{mark}MiniMed 780G{mark}Pump{mark}N1{mark}------- ", header, *pump]
    if auto:
        parts += [f"-------{mark}MiniMed 780G{mark}Pump{mark}N1{mark}Aggregated Auto Insulin Data", header, *auto]
    if sensor:
        parts += ["", f"-------{mark}MiniMed 780G{mark}Sensor{mark}N1{mark}-------", header, *sensor]
    (folder / "c.csv").write_text("\ufeff" + "\r\n".join(parts) + "\r\n", encoding="utf-8")
    return folder / "c.csv"


def read(folder: Path, *pump: str, sensor: list[str] | None = None, zone: str = "UTC", **options: object) -> PatientRecord:
    [record] = read_carelink(write(folder, list(pump), sensor, **options), zone=zone)  # type: ignore[arg-type]
    assert accounted(record) == record.rows_read
    return record


def read_old(folder: Path, *rows: str, header: str = OLD, zone: str = "UTC") -> PatientRecord:
    (folder / "o.csv").write_text("\n".join(("Data Range,3/1/14,to,3/20/14", header, *rows)) + "\n", encoding="cp1252")
    [record] = read_carelink(folder / "o.csv", zone=zone)
    assert accounted(record) == record.rows_read == len(rows)
    return record


def test_a_bolus_counts_once_as_delivered(tmp_path: Path) -> None:
    record = read(
        tmp_path,
        row("10:00:20", kind="Normal", chosen=6, given=2.1, number=7, why="USER"),
        row("10:00:00", kind="Normal", chosen=6, number=7),
        row("12:00:00", kind="Square", chosen=3, given=3, lasts="2:00:00", number=8),
        row("10:05:00", kind="Square", chosen=3, lasts="2:00:00", number=8),
        row("15:00:00", kind="Dual (normal part)", chosen=2, given=2, number=9),
        row("15:30:00", kind="Dual (square part)", chosen=3, given=1.5, lasts="1:00:00", number=9),
        row("17:00:00", kind="Normal", chosen=4, number=10),
        row("18:00:00", primevolumedelivered=8.5),
        row("19:00:00", kind="Normal", chosen=1, given=0, number=11),
    )  # fmt: skip
    found = [("03-05 10:00", 2.1, 0.0), ("03-05 10:05", 3.0, 115.0), ("03-05 15:00", 2.0, 0.0), ("03-05 15:00", 1.5, 30.0)]
    assert spans(record, "bolus") == found
    expected = {"cut short": 3, "chosen bolus": 2, "not delivered": 1, "prime": 1, "nothing given": 1}
    assert rules(record) == expected


def test_basal_with_temporary_rates_and_stops(tmp_path: Path) -> None:
    record = read(
        tmp_path,
        row("00:00:00", basalrate=0.8),
        row("06:00:00", basalrate=1.0),
        row("05:30:00", tempbasalamount=50, tempbasaltype="Percent", tempbasalduration="1:00:00"),
        row("08:00:00", tempbasalamount=0.2, tempbasaltype="Insulin Rate", tempbasalduration="2:00:00"),
        row("09:00:00", tempbasalamount=0, tempbasaltype="Percent", tempbasalduration="0:00:00"),
        row("10:00:00", suspend="USER_SUSPEND"),
        row("10:10:00", suspend="ALARM_SUSPEND"),
        row("10:30:00", suspend="NORMAL_PUMPING"),
        row("12:00:00", alert="LOW RESERVOIR"),
        row("13:00:00", tempbasalamount=120, tempbasaltype="Percent"),
    )
    assert spans(record, "basal") == [
        ("03-05 00:00", 0.8, 330.0),
        ("03-05 05:30", 0.4, 30.0),
        ("03-05 06:00", 0.5, 30.0),
        ("03-05 06:30", 1.0, 90.0),
        ("03-05 08:00", 0.2, 60.0),
        ("03-05 09:00", 1.0, 60.0),
        ("03-05 10:00", 0.0, 30.0),
        ("03-05 10:30", 1.0, -1.0),
    ]
    assert rules(record) == {"not in force": 3, "alert": 1, "temporary rate without an amount": 1}
    assert len(to_series(record, GLUCOSE))


def test_in_automatic_mode_basal_is_unknown_and_not_zero(tmp_path: Path) -> None:
    doses = [row(f"{8 + i // 12:02}:{i % 12 * 5:02}:00", kind="Normal", chosen=0.1, given=0.1,
                 source="CLOSED_LOOP_AUTO_BASAL", number=i) for i in range(24)]  # fmt: skip
    record = read(tmp_path, row("00:00:00", basalrate=0.8), *doses, row("10:00:00", basalrate=0.9), row("11:00:00", alert="x"))
    assert spans(record, "basal") == [("03-05 00:00", 0.8, 480.0), ("03-05 10:00", 0.9, -1.0)]
    assert len(of(record, "bolus")) == 24
    assert set(of(record, "bolus")["flag"]) == {"automatic"}


@pytest.mark.parametrize("source", ["CLOSED_LOOP_AUTO_INSULIN", ""])
def test_a_days_total_is_no_dose_and_its_basal_is_unknown(tmp_path: Path, source: str) -> None:
    total = row("00:00:00", kind="Normal", chosen=27.9, given=27.9, source=source)
    meal = row("12:00:00", kind="Normal", chosen=4, given=4, number=1,
               source="CLOSED_LOOP_BG_CORRECTION_AND_FOOD_BOLUS")  # fmt: skip
    other = row("00:00:00", date="2024/03/06", basalrate=0.7)
    record = read(
        tmp_path, row("00:00:00", basalrate=0.8), meal, other, row("09:00:00", date="2024/03/06", alert="x"), auto=[total]
    )
    assert spans(record, "basal") == [("03-06 00:00", 0.7, -1.0)]
    assert at(record, "bolus") == [("03-05 12:00", 4.0)]
    assert record.ignored == {"daily total": 1, "alert": 1}
    assert rules(record)["automatic mode"] == 1


def test_carbs_sticks_and_what_is_typed_in(tmp_path: Path) -> None:
    record = read(
        tmp_path,
        row("09:59:58", bwzcarbinput=60, bwzstatus="Delivered"),
        row("09:30:00", bwzcarbinput=30, bwzstatus="Not Delivered"),
        row("09:00:00", bwzcarbinput=0, bwzstatus="Delivered"),
        row("12:00:00", eventmarker="Meal: 45.00grams"),
        row("13:00:00", eventmarker="Insulin: 27.00"),
        row("10:03:00", bgreading=139),
        sensor=[
            row("10:04:00", sensorcalibrationbg=139),
            row("10:05:00", sensorglucose=150),
            row("10:10:00", sensorexception="SENSOR_END"),
        ],
    )
    assert at(record, "carbs") == [("03-05 09:59", 60.0), ("03-05 12:00", 45.0)]
    assert at(record, "glucose") == [("03-05 10:03", 139.0), ("03-05 10:05", 150.0)]
    assert of(record, "glucose")["flag"].tolist() == ["fingerstick", ""]
    assert not len(of(record, "bolus"))
    assert rules(record)["insulin of unknown kind"] == rules(record)["not delivered"] == rules(record)["duplicate"] == 1


def test_europe_writes_semicolons_decimal_commas_and_either_unit(tmp_path: Path) -> None:
    header = HEADER.replace("mg/dL", "mmol/L")
    record = read(
        tmp_path,
        row(
            "10:00:00",
            comma=True,
            kind="Normal",
            chosen="2,5",
            given="2,5",
            number="3,00000",
        ),
        row("00:00:00", comma=True, basalrate="0,85"),
        sensor=[row("10:05:00", comma=True, sensorglucose="6,7")],
        header=header,
    )
    assert at(record, "glucose") == [("03-05 10:05", 120.704)]
    assert at(record, "bolus") == [("03-05 10:00", 2.5)]
    assert at(record, "basal") == [("03-05 00:00", 0.85)]
    other = ";".join(f"Kolom {chr(97 + place % 26)}{'x' * (place // 26)}" for place in range(WIDTH))  # a language nobody knows
    text = write(tmp_path, [row("10:00:00", comma=True, given="2,5")]).read_text(encoding="utf-8-sig")
    (tmp_path / "c.csv").write_text(text.replace(HEADER.replace(",", ";"), other), encoding="utf-8")
    [record] = read_carelink(tmp_path / "c.csv", zone="UTC")
    assert at(record, "bolus") == [("03-05 10:00", 2.5)]


def test_a_clock_that_is_set_is_followed_back(tmp_path: Path) -> None:
    """The pump stays on winter time until its owner sets it, two days after the change on 31 March."""
    pump = [
        row("12:00:00", date="2024/04/03", kind="Normal", chosen=1, given=1, number=3),
        row("09:00:00", date="2024/04/02", newdevicetime="2024/04/02 10:00:00"),
        row("12:00:00", date="2024/04/01", kind="Normal", chosen=2, given=2, number=2),
        row("12:00:00", date="2024/03/30", kind="Normal", chosen=3, given=3, number=1),
    ]
    record = read(tmp_path, *pump, zone="Europe/Berlin")
    assert at(record, "bolus") == [("03-30 11:00", 3.0), ("04-01 11:00", 2.0), ("04-03 10:00", 1.0)]
    assert rules(record) == {"clock set": 1}


def test_the_paradigms_rows(tmp_path: Path) -> None:
    rows = [
        old("00:00:00", "BasalProfileStart", "PATTERN_NAME=standard, PROFILE_INDEX=0, RATE=0.8, START_TIME=0"),
        old("02:00:00", "ChangeTempBasalPercent", "PERCENT_OF_RATE=50, DURATION=3600000"),
        old("02:30:00", "ChangeTempBasalPercent", "PERCENT_OF_RATE=0, DURATION=0"),
        old("04:00:00", "ChangeTempBasal", "RATE=1.5, DURATION=1800000"),
        old("05:00:00", "ChangeSuspendEnable", "ENABLE=user_suspend, PRE_ENABLE=normal_pumping"),
        old("05:20:00", "ChangeSuspendEnable", "ENABLE=normal_pumping"),
        old("08:00:00", "BolusNormal", "AMOUNT=2.1, PROGRAMMED_AMOUNT=6, IS_DUAL_COMPONENT=false"),
        old("09:00:00", "BolusSquare", "AMOUNT=1.5, PROGRAMMED_AMOUNT=1.5, DURATION=3600000"),
        old("07:59:00", "BolusWizardBolusEstimate", "BG_INPUT=137, CARB_INPUT=64, CARB_UNITS=grams"),
        old("08:05:00", "GlucoseSensorData", "AMOUNT=120, ISIG=16.54", p30=120),
        old("08:10:00", "GlucoseSensorDataLow", "AMOUNT=40"),
        old("08:15:00", "CalBGForPH", "AMOUNT=90", p29=90),
        old("08:20:00", "BGReceived", "AMOUNT=95"),
        old("10:00:00", "Prime", "AMOUNT=8.5"),
        old("11:00:00", "AlarmPump", "TYPE=4"),
        old("12:00:00", "ResultDailyTotal", "AMOUNT=40"),
        old("13:00:00", "JournalEntryInsulinMarker", "AMOUNT=10"),
        old("14:00:00", "Mystery", ""),
    ]
    for header in (OLD, DUTCH, ",".join(f"Kol {chr(97 + place % 26)}{'x' * (place // 26)}" for place in range(39))):
        record = read_old(tmp_path, *rows, header=header)
        assert spans(record, "basal") == [
            ("03-15 00:00", 0.8, 120.0),
            ("03-15 02:00", 0.4, 30.0),
            ("03-15 02:30", 0.8, 90.0),
            ("03-15 04:00", 1.5, 30.0),
            ("03-15 04:30", 0.8, 30.0),
            ("03-15 05:00", 0.0, 20.0),
            ("03-15 05:20", 0.8, -1.0),
        ]
        assert spans(record, "bolus") == [("03-15 08:00", 2.1, 0.0), ("03-15 09:00", 1.5, 60.0)]
        assert at(record, "carbs") == [("03-15 07:59", 64.0)]
        assert at(record, "glucose", "") == [("03-15 08:05", 120.0)]
        assert at(record, "glucose", "low") == [("03-15 08:10", 40.0)]
        assert at(record, "glucose", "fingerstick") == [("03-15 08:15", 90.0), ("03-15 08:20", 95.0)]
        assert record.ignored == {"prime": 1, "alert": 1, "daily total": 1, "event of no channel": 1}
        assert rules(record)["insulin of unknown kind"] == 1


def test_what_is_no_such_export_is_refused(tmp_path: Path) -> None:
    for text, says in (
        ("Index,Date,Time\n1,2,3\n", "expected CareLink's header"),
        (",".join("abcdefghijklmnopqrst") + "\n" + ",".join(["1", "2024/03/05", "08:00:00", *"x" * 17]), "CareLink's col"),
    ):
        (tmp_path / "c.csv").write_text(text, encoding="utf-8")
        with pytest.raises(RecordError, match=says):
            read_carelink(tmp_path / "c.csv")
    assert recognise(TOP + "\n-------,MiniMed,Pump\n" + HEADER)
    assert recognise("Data Range\n" + DUTCH)
    assert recognise("time,glucose\n") is None


values = st.sampled_from(
    ["", "1", "0", "2.5", "x", "-4", "1:00:00", "0:00:00", "Percent", "USER_SUSPEND", "NORMAL_PUMPING", "Normal", "Square"]
)
clocks = st.sampled_from(["08:00:00", "09:30:00", "02:30:00", "25:00:00", "", "23:59:59"])
dates = st.sampled_from(["2024/03/05", "2024/03/31", "2024/10/27", "2024/99/01", ""])


@st.composite
def made(draw: st.DrawFn) -> str:
    names = draw(st.lists(st.sampled_from(sorted(COLUMNS)), max_size=4, unique=True))
    said = {name: draw(values) for name in names}
    if "newdevicetime" in said:
        said["newdevicetime"] = draw(st.sampled_from(["2024/03/05 10:00:00", "x"]))
    return row(draw(clocks), date=draw(dates), **said)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(made(), min_size=1, max_size=12))
def test_no_row_vanishes(tmp_path: Path, rows: list[str]) -> None:
    good = [row(f"{hour:02}:{minute:02}:00", sensorglucose=120 + hour) for hour in range(24) for minute in (1, 31)]
    try:
        [record] = read_carelink(write(tmp_path, rows, good), zone="Europe/Berlin")
    except RecordError:
        event("refused")
        return
    event("read")
    assert accounted(record) == record.rows_read == len(rows) + len(good)


@pytest.mark.parametrize("name", ["mmcsv_withSettingsChanges", "mmcsv_withoutSettingsChanges"])
def test_the_real_samples_give_what_is_expected_of_them(data: Path, name: str) -> None:
    folder = data / "device_exports" / "medtronic_carelink"
    [record] = read_carelink(folder / f"{name}.csv", zone="UTC")
    assert accounted(record) == record.rows_read
    expected = json.loads((folder / f"{name}.expected.json").read_text(encoding="utf-8"))

    def wanted(kind: str, value: str = "value") -> list[tuple[str, float]]:
        return sorted((each["deviceTime"], each[value]) for each in expected if each["type"] == kind)

    def found(channel: str, flag: str = "") -> list[tuple[str, float]]:
        mine = of(record, channel)
        mine = mine[mine["flag"] == flag]
        return sorted((f"{time:%Y-%m-%dT%H:%M:%S}", value) for time, value in zip(mine["time"], mine["value"], strict=True))

    assert found("glucose") == wanted("cbg")
    assert found("glucose", "fingerstick") == wanted("smbg")
    assert found("bolus") == wanted("bolus")
    square = of(record, "bolus").set_index("value")["duration"]
    assert square[1.7] == next(each["duration"] for each in expected if each.get("subType") == "dual/square") / 60_000
    assert found("carbs") == [(each["deviceTime"], each["payload"]["carbInput"]) for each in expected if each["type"] == "wizard"]
    scheduled = {(each["deviceTime"], each["value"]) for each in expected if each.get("deliveryType") == "scheduled"}
    basal = found("basal")
    assert scheduled <= set(basal)
    assert ("2014-02-16T00:29:15", pytest.approx(0.7 * 0.8)) in basal
    settings_ = next(each for each in expected if each["type"] == "settings")
    assert record.regimen is not None
    for schedule, mine, key in (
        (settings_["basalSchedules"]["standard"], "basal", "rate"),
        (settings_["carbRatio"], "carb_ratio", "amount"),
        (settings_["insulinSensitivity"], "correction_factor", "amount"),
    ):
        for part in schedule:
            place = record.regimen.starts.index(part["start"] // 60_000)
            assert record.regimen.blocks[mine][place] == part[key]
    assert pd.notna(record.events["time"]).all()
