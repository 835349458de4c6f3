"""The T1D-UOM reader, on files the tests write and on the real ones."""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from careplan.records import PatientRecord, RecordError, read_t1d_uom, to_series
from careplan.records.units import MG_PER_MMOL
from careplan.therapies.glucose.declaration import GLUCOSE
from tests.records.accounting import accounted


def write(folder: Path, name: str, text: str, encoding: str = "utf-8") -> None:
    (folder / name).write_text(text, encoding=encoding)


def rules(record: PatientRecord, action: str = "") -> Counter[str]:
    return Counter(correction.rule for correction in record.corrections if correction.action.startswith(action))


def events(record: PatientRecord, channel: str) -> pd.DataFrame:
    return record.events[record.events["channel"] == channel]


def glucose_file(times: pd.DatetimeIndex, values: list[str]) -> str:
    return "bg_ts,value\n" + "".join(f"{t:%d/%m/%Y %H:%M},{v}\n" for t, v in zip(times, values, strict=True))


def test_a_person_from_all_kinds(tmp_path: Path) -> None:
    write(tmp_path, "UoMGlucose7.csv", "bg_ts,value\n13/12/2023 08:00,7.5\n13/12/2023 08:15,Low\n")
    write(
        tmp_path,
        "UoMBasal7.csv",
        "basal_ts,basal_dose,insulin_kind,,\n13/12/2023 07:00,0.9,R,,\n13/12/2023 22:00,30,L,,\n",
        "utf-8-sig",
    )
    write(tmp_path, "UoMBolus7.csv", "bolus_ts;bolus_dose\n13/12/2023 08:00;4,5\n")
    write(
        tmp_path,
        "UoMNutrition7.csv",
        "meal_ts,meal_type,meal_tag,carbs_g\n 13/12/2023 08:00,Lunch,Rice,43\n13/12/2023 09:00,Snack,Nuts,\n",
    )
    write(
        tmp_path,
        "UoMActivity7.csv",
        "activity_ts,activity_type,duration_s,active_time_s,start_time_s,start_time_offset_s,met\n"
        "13/12/2023 08:00,WALKING,900,300,1702454400,0,4\n13/12/2023 08:00,SEDENTARY,900,600,1702454400,0,1\n",
    )
    write(tmp_path, "UoMsleep7.csv", "sleep_ts,sleep_level\n13/12/2023 00:00,0\n")
    [record] = read_t1d_uom(tmp_path)
    assert record.patient == "uom-7"
    assert events(record, "glucose")[["value", "flag"]].values.tolist() == [[7.5 * MG_PER_MMOL, ""], [40.0, "low"]]
    assert events(record, "bolus")["value"].tolist() == [4.5]
    assert events(record, "long_acting")["value"].tolist() == [30.0]
    assert np.isnan(events(record, "basal")["duration"].iloc[0])
    assert events(record, "carbs")["value"].tolist() == [43.0]
    assert events(record, "activity")[["value", "duration"]].values.tolist() == [[4.0, 5.0], [1.0, 10.0]]
    assert record.rows_read == 10
    nuts, sleep = record.corrections  # how many nuts is not said, and sleep has no channel
    assert [(c.action, c.rule, c.row) for c in (nuts, sleep)] == [("dropped", "no amount", 3), ("dropped", "sleep", 2)]


def test_british_clock_change(tmp_path: Path) -> None:
    autumn = [
        "29/10/2023 00:45",
        "29/10/2023 01:15",
        "29/10/2023 01:45",
        "29/10/2023 01:00",
        "29/10/2023 01:30",
        "29/10/2023 02:00",
    ]
    write(tmp_path, "UoMGlucose7.csv", "bg_ts,value\n" + "".join(f"{t},{5 + i / 10}\n" for i, t in enumerate(autumn)))
    [record] = read_t1d_uom(tmp_path)
    assert record.events["time"].dt.strftime("%H:%M").tolist() == ["23:45", "00:15", "00:45", "01:00", "01:30", "02:00"]


def test_a_year_typed_wrong_is_mended_and_the_future_dropped(tmp_path: Path) -> None:
    days = [f"{d:02}/04/2024 12:00" for d in range(14, 29)]
    typed = [*days[:5], "18/04/2204 18:00", *days[5:9], "22/04/2023 18:00", *days[9:], "10/01/2190 12:00"]
    write(tmp_path, "UoMBolus7.csv", "bolus_ts,bolus_dose\n" + "".join(f"{t},{i + 1}\n" for i, t in enumerate(typed)))
    [record] = read_t1d_uom(tmp_path)
    changed = [(c.row, c.detail[-20:]) for c in record.corrections if c.rule == "year typo"]
    assert changed == [(7, "2024-04-18 17:00 UTC"), (12, "2024-04-22 17:00 UTC")]
    assert [(c.action, c.row) for c in record.corrections if c.rule == "impossible date"] == [("dropped", 19)]
    assert len(events(record, "bolus")) == len(typed) - 1


def test_day_and_month_are_told_apart_by_the_whole_file(tmp_path: Path) -> None:
    write(tmp_path, "UoMBolus7.csv", "bolus_ts,bolus_dose\n03/04/2024 12:00,1\n04/20/2024 12:00,2\n")
    [record] = read_t1d_uom(tmp_path)
    assert record.events["time"].dt.strftime("%m-%d").tolist() == ["03-04", "04-20"]
    write(tmp_path, "UoMBolus7.csv", "bolus_ts,bolus_dose\n03/04/2024 12:00,1\n04/04/2024 12:00,2\n")
    [record] = read_t1d_uom(tmp_path)
    assert record.events["time"].dt.strftime("%m-%d").tolist() == ["04-03", "04-04"]
    write(tmp_path, "UoMBolus7.csv", "bolus_ts,bolus_dose\n23/04/2024 12:00,1\n04/24/2024 12:00,2\n")
    with pytest.raises(RecordError, match="mix"):
        read_t1d_uom(tmp_path)


def test_two_streams_that_agree_are_one_and_two_that_do_not_are_none(tmp_path: Path) -> None:
    day = pd.date_range("2024-01-10", periods=288, freq="5min")
    wave = [f"{7 + np.sin(i / 20):.1f}" for i in range(288)]
    other = [f"{14 + np.cos(i / 30):.1f}" for i in range(288)]
    twice = day.append(day + pd.Timedelta(minutes=2))
    write(tmp_path, "UoMGlucose1.csv", glucose_file(twice, wave + wave))
    third = [f"{8 + np.sin(i / 20):.1f}" for i in range(288)]
    write(tmp_path, "UoMGlucose2.csv", glucose_file(twice.append(day + pd.Timedelta(days=1)), third + other + third))
    same, mixed = read_t1d_uom(tmp_path)
    assert events(same, "glucose")["value"].tolist() == [float(v) * MG_PER_MMOL for v in wave]
    assert rules(same) == {"overlapping stream": 288}
    assert events(mixed, "glucose")["time"].min() == pd.Timestamp("2024-01-11", tz="UTC")
    assert rules(mixed) == {"overlapping stream": 576}


def test_another_persons_readings_are_theirs(tmp_path: Path) -> None:
    day = pd.date_range("2024-01-10", periods=300, freq="5min")
    wave = [f"{7 + np.sin(i / 20):.1f}" for i in range(300)]
    mine = [f"{14 + np.cos(i / 30):.1f}" for i in range(300)]
    write(tmp_path, "UoMGlucose1.csv", glucose_file(day, wave))
    write(tmp_path, "UoMGlucose2.csv", glucose_file(day.append(day + pd.Timedelta(minutes=1)), wave + mine))
    first, second = read_t1d_uom(tmp_path)
    assert len(events(first, "glucose")) == 300
    assert events(second, "glucose")["value"].tolist() == pytest.approx([float(v) * MG_PER_MMOL for v in mine])
    assert rules(second) == {"another person's stream": 300}


def test_glucose_in_the_other_unit_is_found_by_its_size(tmp_path: Path) -> None:
    day = pd.date_range("2024-01-10", periods=96, freq="15min")
    write(tmp_path, "UoMGlucose1.csv", glucose_file(day.append(day + pd.Timedelta(days=1)), ["6.0"] * 96 + ["108"] * 96))
    [record] = read_t1d_uom(tmp_path)
    assert rules(record) == {"mg/dL labelled mmol/L": 96}
    assert events(record, "glucose")["value"].between(107, 109).all()


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("UoMBasal1.csv", "basal_ts,basal_dose,insulin_kind\n13/12/2023 08:00,4,X\n", "expected R"),
        ("UoMGlucose1.csv", "EventDateTime,CGM\n2024-01-01 00:00:00,100\n", "not a T1D-UOM file"),
        ("UoMGlucose1.csv", "bg_ts,reading\n13/12/2023 08:00,4\n", "expected a column 'value'"),
        ("UoMsleep1.csv", "sleep_ts,sleep_level\n13/12/2023 00:00,0\n", "no file of glucose"),
        ("UoMBolus1.csv", "bolus_ts,bolus_dose\n13/12/2023 08:00,-4\n", "row 2, field .*: no usable row.*negative"),
    ],
)
def test_what_is_not_the_layout_is_refused(tmp_path: Path, name: str, text: str, says: str) -> None:
    write(tmp_path, name, text)
    with pytest.raises(RecordError, match=says):
        read_t1d_uom(tmp_path)


def test_the_real_people(data: Path) -> None:
    records = {record.patient: record for record in read_t1d_uom(data / "t1d_uom")}
    assert len(records) == 11
    assert rules(records["uom-2304"])["another person's stream"] > 14_000
    assert not rules(records["uom-2303"])["another person's stream"]
    assert set(records["uom-2303"].events["channel"]) == {"glucose", "activity"}
    assert rules(records["uom-2404"], "changed")["year typo"] == 2  # one of them in 2204
    assert rules(records["uom-2307"])["out of range"] == 7  # 0.1 mmol/L
    assert rules(records["uom-2301"])["overlapping stream"] > 6_000
    for record in records.values():
        assert record.events["time"].dt.year.isin([2023, 2024]).all()
        assert record.rows_read == accounted(record)
        series = to_series(record, GLUCOSE)
        for channel in ("bolus", "carbs", "long_acting"):
            total = series.values[:, series.therapy.index(channel)].sum()
            assert total == pytest.approx(events(record, channel)["value"].sum(), rel=1e-5)


def test_sleep_is_counted(tmp_path: Path) -> None:
    (tmp_path / "UoMGlucose7.csv").write_text("bg_ts,value\n13/11/2023 00:01,4.9\n13/11/2023 00:06,5.0\n")
    (tmp_path / "UoM7sleep.csv").write_text("calendar_date,start_date_ts\n13/11/2023,12/11/2023 22:00\n")
    [record] = read_t1d_uom(tmp_path)
    assert record.ignored == {"sleep": 1} and [c.rule for c in record.corrections] == ["sleep"]
    assert accounted(record) == record.rows_read == 3


amounts = st.sampled_from(["7.5", "0", "", "Low", "HI", "x", "-3", "999", "7.5"])
clocks = st.sampled_from(["13/12/2023 08:00", "13/12/2023 08:05", "14/12/2023 25:00", "31/02/2024 08:00", "13/12/2204 08:00", ""])
kinds = st.sampled_from(["R", "L"])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    glucose=st.lists(st.tuples(clocks, amounts), max_size=6),
    doses=st.lists(st.tuples(clocks, amounts), max_size=6),
    basal=st.lists(st.tuples(clocks, amounts, kinds), max_size=6),
    walks=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 900), amounts), max_size=4),
    nights=st.integers(0, 3),
)
def test_no_row_vanishes(
    tmp_path: Path,
    glucose: list[tuple[str, str]],
    doses: list[tuple[str, str]],
    basal: list[tuple[str, str, str]],
    walks: list[tuple[int, int, str]],
    nights: int,
) -> None:
    sound = pd.date_range("2023-12-12", periods=40, freq="5min")
    files = {
        "Glucose": [f"{t:%d/%m/%Y %H:%M},{5 + place % 7}.5" for place, t in enumerate(sound)]
        + [",".join(row) for row in glucose],
        "Bolus": [f"{t:%d/%m/%Y %H:%M},{1 + place}" for place, t in enumerate(sound[:20])] + [",".join(row) for row in doses],
        "Basal": [f"{t:%d/%m/%Y %H:%M},0.{place + 1},R" for place, t in enumerate(sound[:9])] + [",".join(row) for row in basal],
        "Activity": [f"13/12/2023 08:00,WALK,900,60,{1_702_300_000 + 900 * place},0,4" for place in range(20)]
        + [f"13/12/2023 08:00,WALK,900,{active},{1_702_400_000 + 900 * start},0,{met}" for start, active, met in walks],
    }
    headers = {
        "Glucose": "bg_ts,value",
        "Bolus": "bolus_ts,bolus_dose",
        "Basal": "basal_ts,basal_dose,insulin_kind",
        "Activity": "activity_ts,activity_type,duration_s,active_time_s,start_time_s,start_time_offset_s,met",
    }
    files["Sleep"], headers["Sleep"] = [f"13/12/2023,{night},22" for night in range(nights)], "calendar_date,start_date_ts,level"
    for kind, rows in files.items():
        write(tmp_path, f"UoM{kind}7.csv", "\n".join([headers[kind], *rows]) + "\n")
    try:
        [record] = read_t1d_uom(tmp_path)
    except RecordError as error:
        assert "7.csv" in str(error)
        return
    event("read")
    assert accounted(record) == record.rows_read
    given_rows = sum(len([row for row in rows if row.strip(",")]) for rows in files.values())
    assert record.rows_read == given_rows
