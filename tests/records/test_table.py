"""The documented table: what is written comes back, and what cannot be trusted is refused."""

from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from careplan.records import PatientRecord, RecordError, read_table
from careplan.records.units import MG_PER_MMOL
from tests.reached import reached, reaches

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
FIRST = pd.Timestamp("2024-01-08 00:00", tz="UTC")


def write(folder: Path, text: str, name: str = "anna.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def rules(record: PatientRecord) -> Counter[str]:
    return Counter(correction.rule for correction in record.corrections)


def long(record: PatientRecord) -> list[tuple[str, str, float]]:
    return [(f"{t:%Y-%m-%d %H:%M}", c, v) for t, c, v in record.events[["time", "channel", "value"]].itertuples(index=False)]


def test_wide_with_a_clock(tmp_path: Path) -> None:
    header = "Time, Glucose (mg/dL) ,Bolus,carbs,Zone,weight\n"
    rows = "2024-01-08 08:00,120,2,30,Europe/Berlin,70\n2024-01-08 08:05,Low,,,Europe/Berlin,\n"
    [record] = read_table(write(tmp_path, header + rows))
    assert (record.patient, record.zone, record.weight, record.rows_read) == ("anna", "Europe/Berlin", 70.0, 2)
    assert long(record) == [
        ("2024-01-08 07:00", "bolus", 2.0),
        ("2024-01-08 07:00", "carbs", 30.0),
        ("2024-01-08 07:00", "glucose", 120.0),
        ("2024-01-08 07:05", "glucose", 40.0),
    ]
    assert record.events["flag"].tolist() == ["", "", "", "low"]
    assert not record.corrections


def test_long_semicolons_and_a_byte_order_mark(tmp_path: Path) -> None:
    text = (
        "time;channel;value;duration;flag\n2024-01-08T08:00:00+01:00;bolus;2,5;120;\n2024-01-08T09:00:00Z;Basal;0,8;;automatic\n"
    )
    [record] = read_table(write(tmp_path, text, encoding="utf-8-sig"))
    assert long(record) == [("2024-01-08 07:00", "bolus", 2.5), ("2024-01-08 09:00", "basal", 0.8)]
    assert record.events["duration"].fillna(-1).tolist() == [120.0, -1.0]
    assert record.events["flag"].tolist() == ["", "automatic"]
    assert not record.corrections  # every time has an offset


def test_no_zone_is_utc_and_says_so(tmp_path: Path) -> None:
    path = write(tmp_path, "time,glucose\n2024-01-08 08:00,120\n")
    [record] = read_table(path)
    assert record.zone == "UTC"
    assert rules(record) == {"no time zone": 1}
    [record] = read_table(path, zone="Asia/Tokyo")
    assert long(record) == [("2024-01-07 23:00", "glucose", 120.0)]
    assert not record.corrections
    with pytest.raises(RecordError, match="no time zone named"):
        read_table(path, zone="Europe/Atlantis")


def test_millimoles(tmp_path: Path) -> None:
    [record] = read_table(write(tmp_path, "time,glucose_mmol\n2024-01-08 08:00,6.5\n"), zone="UTC")
    assert record.events["value"].tolist() == [6.5 * MG_PER_MMOL]
    lines = "".join(f"2024-01-08 {h:02}:00,{5 + h / 10}\n" for h in range(10))
    [record] = read_table(write(tmp_path, "time,glucose\n" + lines), zone="UTC")
    assert rules(record) == {"mmol/L labelled mg/dL": 10}
    assert record.events["value"].tolist() == pytest.approx([(5 + h / 10) * MG_PER_MMOL for h in range(10)])


def test_many_patients_in_parquet(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "patient": ["b", "a", "b"],
            "time": pd.to_datetime(["2024-01-08 08:00", "2024-01-08 08:00", "2024-01-08 08:05"]).tz_localize("Europe/Paris"),
            "glucose": [120.0, 90.0, None],
            "carbs": [None, None, 20],
            "group": ["child", "adult", "child"],
        }
    )
    path = tmp_path / "cohort.parquet"
    frame.to_parquet(path)
    b, a = read_table(path)
    assert (b.patient, b.group, b.rows_read, a.patient, a.rows_read) == ("b", "child", 2, "a", 1)
    assert long(b) == [("2024-01-08 07:00", "glucose", 120.0), ("2024-01-08 07:05", "carbs", 20.0)]


def test_dates_that_could_be_either(tmp_path: Path) -> None:
    path = write(tmp_path, "time,glucose\n05/04/2024 08:00,100\n04/05/2024 08:00,110\n05/04/2024 09:00,110\n")
    with pytest.raises(RecordError, match="nothing in the file tells"):
        read_table(path, zone="UTC")
    [record] = read_table(path, zone="UTC", day_first=True)
    assert record.events["time"].dt.strftime("%m-%d").tolist() == ["04-05", "04-05", "05-04"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("time,weight\n2024-01-08 08:00,70\n", "expected a column of glucose"),
        ("when,glucose\n2024-01-08 08:00,100\n", "expected a column 'time'"),
        ("time,channel\n2024-01-08 08:00,glucose\n", "expected a column 'value'"),
        ("time,channel,value\n2024-01-08 08:00,ketones,1\n", "row 2, field 'channel'"),
        ("time,channel,value,flag\n2024-01-08 08:00,glucose,100,odd\n", "row 2, field 'flag'"),
        ("time,channel,value,duration\n2024-01-08 08:00,bolus,1,-5\n", "row 2, field 'duration'"),
        ("time,glucose,zone\n2024-01-08 08:00,100,Mars/Base\n", "no time zone named 'Mars/Base'"),
        ("time,glucose,zone\n2024-01-08 08:00,100,UTC\n2024-01-08 08:05,100,Asia/Tokyo\n", "two values"),
        ("time,glucose,glucose_mmol\n2024-01-08 08:00,100,5\n", "glucose in two units"),
        ("time,glucose,weight\n2024-01-08 08:00,100,9000\n", "weight in kg"),
        ("time,glucose,group\n2024-01-08 08:00,100,horse\n", "expected one of adult"),
        ("time,glucose,glucose\n2024-01-08 08:00,100,100\n", "repeats"),
        ("time,glucose\n2024-01-08 08:00,100,100,100\n", "4 fields, expected 2"),
        ("time,bolus\n2024-01-08 08:00,-3\n", "row 2, field 'bolus': no usable row .* .negative."),
    ],
)
def test_bad_tables_are_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(RecordError, match=says) as caught:
        read_table(write(tmp_path, text))
    assert "anna.csv" in str(caught.value)


def test_one_bad_row_is_dropped_and_told(tmp_path: Path) -> None:
    good = "".join(f"2024-01-08 {h:02}:00,100,1\n" for h in range(20))
    bad = "2024-01-09 00:00,nan,-1\n2024-01-09 01:00,oops,1\n2024-02-30 01:00,100,\n2093-01-01 00:00,100,\n"
    [record] = read_table(write(tmp_path, "time,glucose,bolus\n" + good + bad), zone="UTC")
    assert {(c.action, c.rule, c.row, c.field) for c in record.corrections} == {
        ("dropped", "negative", 22, "bolus"),
        ("dropped", "not a number", 23, "glucose"),
        ("dropped", "impossible date", 24, "time"),
        ("dropped", "impossible date", 25, "time"),
    }


values = {
    "glucose": st.integers(40, 400).map(float),
    "basal": st.integers(0, 3000).map(lambda n: n / 1000),
    "bolus": st.integers(0, 2000).map(lambda n: n / 100),
    "carbs": st.integers(0, 200).map(float),
}
row = st.tuples(st.integers(0, 3000), *(st.none() | value for value in values.values())).filter(
    lambda r: any(v is not None for v in r[1:])
)
tables = st.lists(row, min_size=1, max_size=40, unique_by=lambda r: r[0])


@QUICK
@given(tables, st.sampled_from([",", ";", "\t"]), st.booleans(), st.booleans())
def test_what_is_written_comes_back(tmp_path: Path, table: list[tuple], delimiter: str, mark: bool, shout: bool) -> None:
    header = ["time", *values]
    lines = [delimiter.join(name.upper() if shout else f" {name} " for name in header)]
    for slot, *cells in table:
        time = FIRST + pd.Timedelta(minutes=5 * slot)
        lines.append(delimiter.join([f"{time:%Y-%m-%d %H:%M}", *("" if v is None else str(v) for v in cells)]))
    path = write(tmp_path, "\r\n".join(lines), encoding="utf-8-sig" if mark else "utf-8")
    [record] = read_table(path, zone="UTC")
    expected = {
        (FIRST + pd.Timedelta(minutes=5 * r[0]), c, v) for r in table for c, v in zip(values, r[1:], strict=True) if v is not None
    }
    assert set(record.events[["time", "channel", "value"]].itertuples(index=False, name=None)) == expected
    assert len(record.events) == len(expected)
    assert record.rows_read == len(table)
    assert {correction.rule for correction in record.corrections} <= {"no line end"}  # the file has none
    assert record.events["time"].is_monotonic_increasing


cell = st.sampled_from(["100", "120.5", "", "NaN", "Low", "x", "-4", "1e9", "0", "5", "inf"])
stamp = st.sampled_from(
    ["2024-01-08 08:00", "2024-01-08 08:05", "2024-02-30 00:00", "", "2099-01-01 00:00", "08/01/2024 10:00", "soon"]
)


@reaches(0.05)
@QUICK
@given(st.lists(st.tuples(stamp, cell, cell), min_size=1, max_size=12))
def test_every_cell_is_kept_or_told(tmp_path: Path, table: list[tuple[str, str, str]]) -> None:
    path = write(tmp_path, "time,glucose,carbs\n" + "".join(",".join(r) + "\n" for r in table))
    filled = sum(value.lower() not in ("", "nan") for r in table for value in r[1:])
    try:
        [record] = read_table(path, zone="UTC", day_first=True)
    except RecordError as error:
        assert "anna.csv" in str(error)
        return
    reached()
    dropped = sum(correction.action == "dropped" for correction in record.corrections)
    assert len(record.events) + dropped == filled
    origins = set(record.events["origin"]) | {f"{c.file}:{c.row}" for c in record.corrections}
    assert origins <= {f"anna.csv:{line}" for line in range(2, len(table) + 2)}


def test_a_flag_of_several_words(tmp_path: Path) -> None:
    text = "time,channel,value,flag\n2024-01-08 08:00,glucose,LOW,fingerstick\n2024-01-08 09:00,glucose,100,\n"
    [record] = read_table(write(tmp_path, text))
    assert record.events["flag"].tolist() == ["low fingerstick", ""]
