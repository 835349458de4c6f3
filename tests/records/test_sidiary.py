"""SiDiary's CSV, and xDrip's export in that format, on files the tests write."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from careplan.formats import sidiary, xdrip
from careplan.records import PatientRecord, RecordError, read_sidiary, read_xdrip, to_series
from careplan.therapies.glucose.declaration import GLUCOSE
from tests.records.accounting import accounted, at, of, rules

XDRIP = "DAY;TIME;UDT_CGMS;BG_LEVEL;CH_GR;BOLUS;REMARK"


def read(folder: Path, header: str, *rows: str, zone: str = "UTC", day_first: bool | None = None) -> PatientRecord:
    (folder / "s.csv").write_text("\n".join((header, *rows)) + "\n", encoding="utf-8")
    [record] = read_sidiary(folder / "s.csv", zone=zone, day_first=day_first)
    assert accounted(record) == record.rows_read == len(rows)
    return record


def test_xdrips_three_blocks(tmp_path: Path) -> None:
    rows = [
        "05.03.2024;08:00;115;;;;",
        "05.03.2024;08:05;39;;;;",
        "05.03.2024;08:01;;120;;;",
        "05.03.2024;08:02;;;40;3.5;lunch",
        "05.03.2024;09:00;;;;;a note",
    ]
    (tmp_path / "x.csv").write_text("\n".join((XDRIP, *rows)) + "\n", encoding="utf-8")
    [record] = read_xdrip(tmp_path / "x.csv", zone="Europe/Berlin")
    assert record.patient == "xdrip-x"
    assert at(record, "glucose", "") == [("03-05 07:00", 115.0)]
    assert at(record, "glucose", "low") == [("03-05 07:05", 40.0)]  # xDrip's 39
    assert at(record, "glucose", "fingerstick") == [("03-05 07:01", 120.0)]
    assert at(record, "bolus") == [("03-05 07:02", 3.5)]
    assert at(record, "carbs") == [("03-05 07:02", 40.0)]
    assert record.ignored == {"note": 1}
    assert accounted(record) == record.rows_read == 5
    assert len(to_series(record, GLUCOSE))


def test_the_hour_that_comes_twice_is_told_by_each_blocks_order(tmp_path: Path) -> None:
    stamps = ["02:30", "02:55", "02:00", "02:30", "03:00"]
    rows = [f"27.10.2024;{stamp};{100 + i};;;;" for i, stamp in enumerate(stamps)] + ["27.10.2024;02:40;;;;3;"]
    (tmp_path / "x.csv").write_text("\n".join((XDRIP, *rows)) + "\n", encoding="utf-8")
    [record] = read_xdrip(tmp_path / "x.csv", zone="Europe/Berlin")
    assert [f"{t:%H:%M}" for t in of(record, "glucose")["time"]] == ["00:30", "00:55", "01:00", "01:30", "02:00"]
    assert rules(record) == {"repeated hour": 1}


def test_every_field_of_sidiarys_help(tmp_path: Path) -> None:
    record = read(
        tmp_path,
        "TIME;DAY;BG_LEVEL_MMOL;BG_LEVEL;KETONE;CH_BE_KHE;CH_GR;BOLUS;BASAL;BLOODPRESSURE;WEIGHT_KG;REMARK",
        "08:00;13.03.2024;6,7;;;;;;;;;",
        "08:01;13.03.2024;6,7;121;;;;;;;;",
        "08:02;13.03.2024;;47--;;;;;;;;",
        "08:03;13.03.2024;;;;2,5;;4+7;;;;",
        "08:04;13.03.2024;;;;3;36;6*;;;;",
        "22:00;13.03.2024;;;;;;;18;;;",
        "22:01;13.03.2024;;;;;;;;120/80;;",
        "22:02;13.03.2024;;;;;;;;;80;",
        "22:03;13.03.2024;;;0,4;;;;;;;",
        "22:04;13.03.2024;;(-);;;;;;;;",
    )
    assert at(record, "glucose") == [("03-13 08:00", 120.704), ("03-13 08:01", 121.0), ("03-13 08:02", 47.0)]
    assert set(of(record, "glucose")["flag"]) == {"fingerstick"}
    assert at(record, "bolus") == [("03-13 08:03", 11.0), ("03-13 08:04", 6.0)]
    assert at(record, "carbs") == [("03-13 08:03", 30.0), ("03-13 08:04", 36.0)]
    assert at(record, "long_acting") == [("03-13 22:00", 18.0)]
    assert record.ignored == {"blood pressure": 1, "weight": 1, "ketone": 1}
    assert rules(record)["exchanges"] == rules(record)["second insulin"] == rules(record)["no amount"] == 1


def test_a_field_said_in_two_units_is_told(tmp_path: Path) -> None:
    record = read(
        tmp_path,
        "DAY;TIME;BG_LEVEL;BG_LEVEL_MMOL;CH_GR;CH_BE_KHE",
        "13.03.2024;08:00;120;6,7;;",
        "13.03.2024;08:05;120;9,9;;",
        "13.03.2024;08:10;;;36;3",
        "13.03.2024;08:15;;;36;5",
        "13.03.2024;08:20;;;36;x",
        "13.03.2024;08:25;;6,7;;2",
    )
    assert at(record, "glucose") == [("03-13 08:00", 120.0), ("03-13 08:05", 120.0), ("03-13 08:25", 120.704)]
    assert at(record, "carbs") == [(f"03-13 08:{time}", 24.0 if time == 25 else 36.0) for time in (10, 15, 20, 25)]
    assert rules(record) == {"said twice": 2, "two amounts": 3, "exchanges": 1}


def test_where_one_of_two_units_holds_no_amount_the_other_is_taken(tmp_path: Path) -> None:
    record = read(
        tmp_path,
        "DAY;TIME;BG_LEVEL;BG_LEVEL_MMOL;CH_GR;CH_BE_KHE",
        "13.03.2024;08:00;47--;2,6;;",
        "13.03.2024;08:05;(-);6,7;;",
        "13.03.2024;08:10;;;x;3",
        "13.03.2024;08:15;LO;1,1;;",
    )
    assert at(record, "glucose") == [("03-13 08:00", 47.0), ("03-13 08:05", 120.704), ("03-13 08:15", 20.0)]
    assert at(record, "carbs") == [("03-13 08:10", 36.0)]
    told = rules(record)
    assert told["said twice"] == 2 and told["no amount"] == 1 and "two amounts" not in told


def test_dates_of_a_system_without_dots(tmp_path: Path) -> None:
    header, line = "DAY;TIME;BG_LEVEL;BOLUS", "03/04/2024;8:00 PM;120;"
    with pytest.raises(RecordError, match="may be day first or month first"):
        read(tmp_path, header, line)
    assert at(read(tmp_path, header, line, day_first=False), "glucose") == [("03-04 20:00", 120.0)]
    assert at(read(tmp_path, header, line, "03/14/2024;08:00;121;"), "glucose")[0] == ("03-04 20:00", 120.0)


def test_each_file_is_known_for_what_it_is() -> None:
    assert xdrip.recognise(XDRIP)
    assert sidiary.recognise(XDRIP) is None
    other = "DAY;TIME;KETONE;BG_LEVEL;CH_BE_KHE;BOLUS;BASAL;BLOODPRESSURE;REMARK"
    assert sidiary.recognise(other)
    assert xdrip.recognise(other) is None
    assert sidiary.recognise("day,time,steps") is None


def test_what_is_no_such_file_is_refused(tmp_path: Path) -> None:
    for text, says in (("DAY;STEPS\n1;2\n", "expected SiDiary's fields"), (f"{XDRIP}\n", "a header and no row")):
        (tmp_path / "s.csv").write_text(text, encoding="utf-8")
        with pytest.raises(RecordError, match=says):
            read_sidiary(tmp_path / "s.csv")


values = st.sampled_from(["", "", "1", "120", "2,5", "4+7", "6*", "60-", "x", "0", "-1", "9999"])
made = st.tuples(st.sampled_from(["13.03.2024", "99.03.2024", "", "x"]), st.sampled_from(["08:00", "25:00", ""]), *[values] * 6)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(made, min_size=1, max_size=12))
def test_no_row_vanishes(tmp_path: Path, rows: list[tuple[str, ...]]) -> None:
    good = [
        ("13.03.2024", f"{hour:02}:{minute}", str(100 + hour), "", "", "", "", "") for hour in range(24) for minute in (10, 40)
    ]
    text = "\n".join(
        ";".join(each)
        for each in (("DAY", "TIME", "UDT_CGMS", "BG_LEVEL", "CH_BE_KHE", "BOLUS", "BASAL", "REMARK"), *rows, *good)
    )
    (tmp_path / "s.csv").write_text(text + "\n", encoding="utf-8")
    blank = sum(not any(each) for each in rows)
    try:
        [record] = read_sidiary(tmp_path / "s.csv", zone="UTC")
    except RecordError:
        event("refused")
        return
    event("read")
    assert accounted(record) == record.rows_read == len(rows) - blank + len(good)


def test_a_remark_may_hold_the_delimiter(tmp_path: Path) -> None:
    rows = ["05.03.2024;08:00;115;;;;", "05.03.2024;08:10;;;45;4.5;Humalog; late; at home"]
    (tmp_path / "x.csv").write_text("\n".join((XDRIP, *rows)) + "\n", encoding="utf-8")
    [record] = read_xdrip(tmp_path / "x.csv", zone="UTC")
    assert at(record, "bolus") == [("03-05 08:10", 4.5)]
    assert at(record, "carbs") == [("03-05 08:10", 45.0)]
    moved = "DAY,TIME,BG_LEVEL,BOLUS,REMARK\n13.03.2024,08:00,115,4,5,x\n"  # a decimal comma between commas
    (tmp_path / "y.csv").write_text(moved, encoding="utf-8")
    with pytest.raises(RecordError, match="more than 5 fields"):
        read_sidiary(tmp_path / "y.csv", zone="UTC")
