"""The Clarity reader, on files the tests write and on a real one."""

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from careplan.formats.clarity import recognise
from careplan.records import PatientRecord, RecordError, read_clarity, to_series
from careplan.therapies.glucose.declaration import GLUCOSE
from tests.records.accounting import accounted, at, of, rules

HEADER = (
    "Index,Timestamp (YYYY-MM-DDThh:mm:ss),Event Type,Event Subtype,Patient Info,Device Info,Source Device ID,"
    "Glucose Value (mg/dL),Insulin Value (u),Carb Value (grams),Duration (hh:mm:ss),Glucose Rate of Change (mg/dL/min),"
    "Transmitter Time (Long Integer),Transmitter ID"
)


def row(time: str, kind: str, sub: str = "", device: str = "phone", **said: object) -> str:
    places = {"glucose": 7, "insulin": 8, "carbs": 9, "duration": 10, "ticks": 12, "id": 13, "info": 4}
    fields = ["1", time, kind, sub, "", "", device, *[""] * 7]
    for name, value in said.items():
        fields[places[name]] = str(value)
    return ",".join(fields[: 14 if kind in ("EGV", "Calibration") else 13])  # as Clarity writes them


def read(folder: Path, *rows: str, header: str = HEADER, zone: str | None = "Europe/Berlin", **options: object) -> PatientRecord:
    (folder / "c.csv").write_text("\ufeff" + "\r\n".join((header, *rows)) + "\r\n", encoding="utf-8")
    [record] = read_clarity(folder / "c.csv", zone=zone, **options)  # type: ignore[arg-type]
    assert accounted(record) == record.rows_read == len(rows)
    return record


def test_every_kind_of_row(tmp_path: Path) -> None:
    record = read(
        tmp_path,
        row("", "FirstName", info="Jo"),
        row("", "Alert", "High", glucose=250),
        row("2024-01-08T08:00:00", "EGV", glucose=120),
        row("2024-01-08 8:05:00", "EGV", "Low", glucose="Low"),
        row("2024-01-08T08:10:00", "EGV", "High"),
        row("2024-01-08T08:12:00", "Calibration", glucose=118),
        row("2024-01-08T08:13:00", "Insulin", "Fast-Acting", insulin="4.5"),
        row("2024-01-08T08:14:00", "Insulin", "Long-Acting", insulin="18"),
        row("2024-01-08T08:15:00", "Insulin", "", insulin="3"),
        row("2024-01-08T08:16:00", "Carbs", carbs=45),
        row("2024-01-08T08:17:00", "Carbs", carbs=0),
        row("2024-01-08T08:20:00", "Exercise", "Heavy", duration="0:30:00"),
        row("2024-01-08T08:25:00", "Health", "Illness"),
        row("2024-01-08T08:26:00", "Insulin", "Fast-Acting"),
    )
    assert at(record, "glucose", "") == [("01-08 07:00", 120.0)]
    assert at(record, "glucose", "low") == [("01-08 07:05", 40.0)]
    assert at(record, "glucose", "high") == [("01-08 07:10", 400.0)]
    assert at(record, "glucose", "fingerstick") == [("01-08 07:12", 118.0)]
    assert at(record, "bolus") == [("01-08 07:13", 4.5)]
    assert at(record, "long_acting") == [("01-08 07:14", 18.0)]
    assert at(record, "carbs") == [("01-08 07:16", 45.0)]
    assert of(record, "activity")[["value", "duration"]].values.tolist() == [[7.0, 30.0]]
    assert record.ignored == {"settings": 2, "event of no channel": 1}
    assert rules(record)["insulin of unknown kind"] == rules(record)["nothing given"] == rules(record)["no amount"] == 1


def test_the_transmitters_seconds_tell_the_two_passes_of_an_hour_apart_in_any_order(tmp_path: Path) -> None:
    true = pd.date_range("2024-10-27 00:30", periods=24, freq="5min", tz="UTC")  # 02:30 comes twice in Berlin
    local = true.tz_convert("Europe/Berlin").tz_localize(None)
    rows = [row(f"{t:%Y-%m-%dT%H:%M:%S}", "EGV", glucose=100 + i, ticks=5000 + 300 * i, id="8A") for i, t in enumerate(local)]
    for order in (rows, sorted(rows), rows[::-1]):
        record = read(tmp_path, *order)
        assert record.events["time"].tolist() == list(true)
        assert record.events["value"].tolist() == [100.0 + i for i in range(24)]
        assert not rules(record)


def test_without_them_the_order_of_the_file_tells_and_what_stays_open_is_told(tmp_path: Path) -> None:
    stamps = ["02:30", "02:45", "02:00", "02:30", "03:00"]
    record = read(tmp_path, *(row(f"2024-10-27T{t}:00", "EGV", glucose=100 + i) for i, t in enumerate(stamps)))
    assert [f"{t:%H:%M}" for t in record.events["time"]] == ["00:30", "00:45", "01:00", "01:30", "02:00"]
    record = read(tmp_path, row("2024-10-27T02:30:00", "EGV", glucose=100))
    assert rules(record) == {"repeated hour": 1}
    record = read(tmp_path, row("2024-03-31T02:30:00", "EGV", glucose=100))
    assert rules(record) == {"skipped hour": 1}
    assert at(record, "glucose") == [("03-31 01:30", 100.0)]


def test_a_journey_is_found_in_the_transmitters_seconds(tmp_path: Path) -> None:
    true = pd.date_range("2024-06-01 08:00", periods=60, freq="5min", tz="UTC")
    clocks = ["Europe/Berlin"] * 40 + ["America/New_York"] * 20
    rows = [
        row(f"{t.tz_convert(clock):%Y-%m-%dT%H:%M:%S}", "EGV", glucose=100 + i, ticks=300 * i, id="8A")
        for i, (t, clock) in enumerate(zip(true, clocks, strict=True))
    ]
    rows.insert(51, row(f"{true[50].tz_convert('America/New_York'):%Y-%m-%dT%H:%M:%S}", "Carbs", carbs=30))
    record = read(tmp_path, *rows)
    assert of(record, "glucose")["time"].tolist() == list(true)
    assert of(record, "carbs")["time"].tolist() == [true[50]]
    assert rules(record) == {"device clock": 21}


def test_what_two_devices_show_counts_once(tmp_path: Path) -> None:
    day = pd.date_range("2024-01-08", periods=20, freq="5min")
    rows = [row(f"{t:%Y-%m-%dT%H:%M:%S}", "EGV", glucose=100 + i) for i, t in enumerate(day)]
    rows += [
        row(f"{t:%Y-%m-%dT%H:%M:%S}", "EGV", device="receiver", glucose=101 + i)
        for i, t in enumerate(day[5:9] + pd.Timedelta("70s"))
    ]
    rows += [row("2024-01-08T03:00:00", "EGV", device="receiver", glucose=90)]  # the phone was away
    record = read(tmp_path, *rows)
    assert len(of(record, "glucose")) == 21
    assert rules(record) == {"two devices": 4}


def test_one_reading_counts_while_two_sensors_are_worn(tmp_path: Path) -> None:
    day = pd.date_range("2024-01-08", periods=30, freq="5min")
    old = [row(f"{t:%Y-%m-%dT%H:%M:%S}", "EGV", glucose=100, ticks=300 * i, id="8A") for i, t in enumerate(day[:13])]
    late = day[6:] + pd.Timedelta("2min")
    new = [row(f"{t:%Y-%m-%dT%H:%M:%S}", "EGV", glucose=110, ticks=300 * i, id="8B") for i, t in enumerate(late)]
    record = read(tmp_path, *sorted(old + new, key=lambda line: line.split(",")[1]))
    assert rules(record) == {"two devices": 7}
    assert of(record, "glucose")["value"].tolist() == [100.0] * 6 + [110.0] * 24


def test_either_unit_and_files_of_one_person(tmp_path: Path) -> None:
    mmol = HEADER.replace("mg/dL", "mmol/L")
    record = read(tmp_path, row("2024-01-08T08:00:00", "EGV", glucose="6.7"), header=mmol)
    assert at(record, "glucose") == [("01-08 07:00", 120.704)]
    names = [row("", "FirstName", info="Jo"), row("", "LastName", info="Doe")]
    for name, day, value in (("a", 8, "6.7"), ("b", 9, "7.0"), ("c", 9, "5.0")):
        first = names if name != "c" else [row("", "FirstName", info="Al")]
        text = "\n".join((mmol, *first, row(f"2024-01-0{day}T08:00:00", "EGV", glucose=value)))
        (tmp_path / "c.csv").unlink(missing_ok=True)
        (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
    jo, al = read_clarity(tmp_path, zone="UTC")
    assert (jo.patient, jo.files, len(jo.events)) == ("clarity-a", ("a.csv", "b.csv"), 2)
    assert (al.patient, al.zone) == ("clarity-c", "UTC")


def test_what_is_no_such_export_is_refused(tmp_path: Path) -> None:
    for header, says in (
        (HEADER.replace("Glucose Value (mg/dL)", "Reading"), "expected a column 'Glucose Value'"),
        (HEADER.replace(" (mg/dL)", ""), "expected mg/dL or mmol/L"),
        ("time,glucose", "expected Clarity's columns"),
    ):
        (tmp_path / "c.csv").write_text(f"{header}\n{row('2024-01-08T08:00:00', 'EGV', glucose=120)}\n", encoding="utf-8")
        with pytest.raises(RecordError, match=says):
            read_clarity(tmp_path / "c.csv")
    (tmp_path / "c.csv").write_text(f"{HEADER}\n{row('2024-01-08T08:00:00', 'EGV', glucose=120)}\n1,2024-01", encoding="utf-8")
    with pytest.raises(RecordError, match="ends inside a row"):
        read_clarity(tmp_path / "c.csv")
    assert recognise(HEADER)
    assert recognise("time,glucose") is None


texts = st.sampled_from(["", "", "5.5", "120", "Low", "x", "0", "-3", "999", "1e9"])
times = st.sampled_from(
    ["", "2024-01-08T08:00:00", "2024-10-27T02:30:00", "2024-03-31 2:30:00", "2024-13-01T00:00:00", "soon", "2124-01-01T00:00:00"]
)
kinds = st.sampled_from(["EGV", "EGV", "Calibration", "Insulin", "Carbs", "Exercise", "Health", "Notes", "", "Alert"])
subs = st.sampled_from(["", "Fast-Acting", "Long-Acting", "Low", "High", "Light"])


@st.composite
def made(draw: st.DrawFn) -> str:
    kind = draw(kinds)
    said = {name: draw(texts) for name in ("glucose", "insulin", "carbs")} | {
        "duration": draw(st.sampled_from(["", "0:30:00", "x"]))
    }
    if kind == "EGV":
        said |= {"ticks": draw(st.sampled_from(["", "300", "99999"])), "id": "8A"}
    return row(draw(times), kind, draw(subs), draw(st.sampled_from(["phone", "receiver", ""])), **said)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(made(), min_size=1, max_size=15))
def test_no_row_vanishes(tmp_path: Path, rows: list[str]) -> None:
    good = [row(f"2024-02-0{day}T08:00:00", "EGV", glucose=120 + day) for day in range(1, 10)] * 6
    (tmp_path / "c.csv").write_text("\n".join((HEADER, *rows, *good)) + "\n", encoding="utf-8")
    try:
        [record] = read_clarity(tmp_path / "c.csv", zone="Europe/Berlin")
    except RecordError:
        event("refused")
        return
    event("read")
    assert accounted(record) == record.rows_read == len(rows) + len(good)


def test_the_real_sample(data: Path) -> None:
    [record] = read_clarity(data / "device_exports" / "dexcom_clarity", zone="America/New_York")
    assert len(record.events) == 2148
    assert record.ignored == {"settings": 11}
    assert accounted(record) == record.rows_read == 2159
    assert len(to_series(record, GLUCOSE))
