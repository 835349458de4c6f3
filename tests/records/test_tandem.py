"""The t:connect reader, on files the tests write."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from careplan.formats.tandem import recognise
from careplan.records import PatientRecord, RecordError, read_tandem, to_series
from careplan.therapies.glucose.declaration import GLUCOSE
from tests.records.accounting import accounted, at, of, rules, spans

TOP = "Tandem Diabetes Care Inc.\nt:connect Therapy Timeline Data Export\nPatient Name, Jo Doe\nPatient DOB, 1/1/1990"
READINGS = "DeviceType,SerialNumber,Description,EventDateTime,Readings (CGM / BGM)"
IOB, BASAL = "Type,EventID,EventDateTime,IOB", "Type,EventDateTime,BasalRate"
NAMES = (
    "Type,Description,BG,IOB,CompletionDateTime,InsulinDelivered,CompletionStatusDesc,BolexSize,BolexStartDateTime,"
    "BolexCompletionDateTime,BolexInsulinDelivered,EventDateTime,StandardPercent,Duration,CarbSize,ActualTotalBolusRequested"
)


def reading(time: str, value: object, kind: str = "EGV") -> str:
    return f'"t:slim","1","{kind}","2021-04-01T{time}","{value}",'


def bolus(time: str, **said: object) -> str:
    fields = dict.fromkeys(NAMES.split(","), "") | {"Type": "Bolus", "EventDateTime": f"2021-04-01T{time}" if time else ""}
    fields |= {name: str(value) for name, value in said.items()}
    return ",".join(f'"{value}"' if value else "" for value in fields.values()) + ","


def write(folder: Path, readings: list[str], basal: list[str], boluses: list[str]) -> Path:
    sections = [TOP, "\n".join((READINGS, *readings)), f'{IOB}\n"IOB","81","2021-04-01T00:00:19","13.24"']
    sections += ["\n".join((BASAL, *basal)), "\n".join((NAMES, *boluses))]
    (folder / "t.csv").write_text("\n\n".join(sections) + "\n", encoding="utf-8")
    return folder / "t.csv"


def read(folder: Path, readings: list[str], basal: list[str], boluses: list[str], zone: str = "UTC") -> PatientRecord:
    [record] = read_tandem(write(folder, readings, basal, boluses), zone=zone)
    assert accounted(record) == record.rows_read == len(readings) + len(basal) + len(boluses) + 1
    return record


def test_every_section(tmp_path: Path) -> None:
    part = {"BolexInsulinDelivered": "2.0", "Description": "Extended 50.00%/4.00", "InsulinDelivered": "2.0"}
    record = read(
        tmp_path,
        [reading("00:01:33", 235), reading("00:06:33", "Low"), reading("00:08:00", 222, "BG"), reading("00:09:00", 1, "X")],
        ['"Basal","2021-04-01T00:00:00","0.8"', '"Basal","2021-04-01T06:00:00","0"', '"Basal","2021-04-01T07:00:00","x"'],
        [
            bolus("12:00:00", InsulinDelivered="13.53", ActualTotalBolusRequested="13.53", CarbSize="75", BG="141"),
            bolus("13:00:00", InsulinDelivered="1.20", ActualTotalBolusRequested="4.00", CompletionStatusDesc="User Aborted"),
            bolus("14:00:00", **part, BolexStartDateTime="2021-04-01T14:01:00", BolexCompletionDateTime="2021-04-01T16:01:00"),
            bolus("17:00:00", **part, Duration="90"),
            bolus("19:00:00", **part),
            bolus("21:00:00", InsulinDelivered="0.7", Description="Automatic Bolus/Correction"),
            bolus("22:00:00", ActualTotalBolusRequested="3"),
        ],
    )
    assert at(record, "glucose", "") == [("04-01 00:01", 235.0)]
    assert at(record, "glucose", "low") == [("04-01 00:06", 40.0)]
    assert at(record, "glucose", "fingerstick") == [("04-01 00:08", 222.0)]
    assert spans(record, "basal") == [("04-01 00:00", 0.8, 360.0), ("04-01 06:00", 0.0, -1.0)]
    assert spans(record, "bolus") == [
        ("04-01 12:00", 13.53, 0.0),
        ("04-01 13:00", 1.2, 0.0),
        ("04-01 14:00", 2.0, 0.0),
        ("04-01 14:01", 2.0, 120.0),
        ("04-01 17:00", 2.0, 0.0),
        ("04-01 17:00", 2.0, 90.0),
        ("04-01 19:00", 2.0, 0.0),
        ("04-01 19:00", 2.0, 120.0),
        ("04-01 21:00", 0.7, 0.0),
    ]
    assert at(record, "bolus", "automatic") == [("04-01 21:00", 0.7)]
    assert at(record, "carbs") == [("04-01 12:00", 75.0)]
    expected = {"insulin on board": 1, "unknown reading": 1, "out of range": 1, "entered glucose": 1}
    assert rules(record) == expected | {"cut short": 1, "extended bolus": 1, "not delivered": 1}
    assert len(to_series(record, GLUCOSE))


def test_carbs_of_a_bolus_that_was_not_given_are_told_and_not_eaten(tmp_path: Path) -> None:
    stopped = bolus("12:00:00", InsulinDelivered="0.00", ActualTotalBolusRequested="4", CarbSize="40")
    again = bolus("12:03:00", InsulinDelivered="4", ActualTotalBolusRequested="4", CarbSize="40")
    none_asked = bolus("15:00:00", InsulinDelivered="0.00", ActualTotalBolusRequested="0", CarbSize="10")
    record = read(tmp_path, [], [], [stopped, again, none_asked])
    assert at(record, "carbs") == [("04-01 12:03", 40.0), ("04-01 15:00", 10.0)]
    assert rules(record)["not delivered"] == 1


def test_without_basal_rows_basal_is_unknown_and_not_zero(tmp_path: Path) -> None:
    record = read(tmp_path, [reading("00:01:33", 235)], [], [bolus("12:00:00", InsulinDelivered="2")])
    assert not len(of(record, "basal"))
    series = to_series(record, GLUCOSE)
    assert not series.mask[:, series.therapy.index("basal")].any()


def test_what_is_no_such_export_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("Type,Value\n1,2\n", encoding="utf-8")
    with pytest.raises(RecordError, match="expected a section"):
        read_tandem(tmp_path / "t.csv")
    assert recognise(TOP)
    assert recognise(READINGS)
    assert recognise("time,glucose") is None


values = st.sampled_from(["", "1", "2.5", "0", "x", "-1", "999"])
clocks = st.sampled_from(["08:00:00", "25:00:00", "", "23:59:59"])


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data_=st.data())
def test_no_row_vanishes(tmp_path: Path, data_: st.DataObject) -> None:
    draw = data_.draw
    kinds = st.sampled_from(["EGV", "BG", "X"])
    readings = [reading(draw(clocks), draw(values), draw(kinds)) for _ in range(draw(st.integers(0, 5)))]
    readings += [reading(f"{hour:02}:{minute:02}:00", 120 + hour) for hour in range(24) for minute in (5, 35)]
    basal = [f'"Basal","2021-04-01T{draw(clocks)}","{draw(values)}"' for _ in range(draw(st.integers(0, 3)))]
    said = ("InsulinDelivered", "BolexInsulinDelivered", "Duration", "CarbSize", "ActualTotalBolusRequested", "BG")
    boluses = [bolus(draw(clocks), **{name: draw(values) for name in said}) for _ in range(draw(st.integers(0, 4)))]
    try:
        [record] = read_tandem(write(tmp_path, readings, basal, boluses))
    except RecordError:
        event("refused")
        return
    event("read")
    assert accounted(record) == record.rows_read == len(readings) + len(basal) + len(boluses) + 1
