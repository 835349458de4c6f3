"""The reader of the UCI repository's diabetes files, on files the tests write and on the real ones."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from careplan.datasets.uci import read_uci, recognise
from careplan.records import PatientRecord, RecordError, read
from tests.records.accounting import accounted, at, rules


def read_lines(folder: Path, *lines: str) -> PatientRecord:
    (folder / "data-07").write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
    [record] = read_uci(folder, zone="UTC")
    assert accounted(record) == record.rows_read == sum(bool(line.strip()) for line in lines)
    return record


def test_every_code(tmp_path: Path) -> None:
    stamp = "04-22-1991"
    record = read_lines(
        tmp_path,
        *("04-21-1991\t9:09\t58\t100", "04-21-1991\t9:09\t33\t009", "04-21-1991\t9:09\t34\t013"),
        *("04-21-1991\t22:00\t35\t4.5", f"{stamp}\t07:00\t58\t0Hi", f"{stamp}\t08:00\t48\t0Lo"),
        *(f"{stamp}\t09:00\t57\t501", f"{stamp}\t10:00\t57\t19", f"{stamp}\t11:00\t66\t0", f"{stamp}\t11:00\t65\t000"),
        *(f"{stamp}\t11:00\t56\t140", f"{stamp}\t11:00\t70\t0", f"{stamp}\t12:00\t33\t0", f"{stamp}\t12:00\t33\t3A"),
        *(f"{stamp}\t12:00\t\t5", f"{stamp}\t13:00\t34\t", "06-31-1991\t07:50\t58\t149", "04-09-1991\t56:35\t58\t237"),
        *(f"{stamp}\t{hour}:00\t60\t{100 + hour}" for hour in range(14, 22)),
        "",
    )
    assert record.patient == "uci-07"
    assert at(record, "glucose", "fingerstick")[0] == ("04-21 09:09", 100.0)
    assert at(record, "glucose", "fingerstick low") == [("04-22 08:00", 20.0), ("04-22 10:00", 20.0)]
    assert at(record, "glucose", "fingerstick high") == [("04-22 07:00", 500.0), ("04-22 09:00", 500.0)]
    assert at(record, "bolus") == [("04-21 09:09", 9.0)]
    assert at(record, "long_acting") == [("04-21 09:09", 13.0), ("04-21 22:00", 4.5)]
    assert set(record.events["product"]) == {"", "Regular", "NPH", "Ultralente"}
    assert rules(record) == {
        **{"nothing given": 1, "not a number": 1, "no code": 1, "no amount": 1, "impossible date": 2},
        **{"meal without an amount": 1, "symptoms": 1, "undocumented code": 1, "exercise without a length": 1},
    }


def test_the_door_knows_it_by_its_lines(tmp_path: Path) -> None:
    (tmp_path / "anything.txt").write_text("04-21-1991\t9:09\t58\t100\n04-21-1991\t9:09\t33\t009\n", encoding="ascii")
    [record] = read(tmp_path / "anything.txt")
    assert record.source == "uci"
    assert recognise("04-21-1991,9:09,58,100\n") is None
    assert recognise("") is None


def test_what_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data-01").write_text("time\tglucose\n1\t2\n")
    with pytest.raises(RecordError, match="data-01"):
        read_uci(tmp_path)


days = st.sampled_from(["04-21-1991", "4-22-1991", "02-30-1991", "13-13-1991", "x"])
clocks = st.sampled_from(["8:00", "08:05", "12:30", "25:00", ""])
codes = st.sampled_from([*(str(code) for code in range(33, 36)), *(str(code) for code in range(48, 73)), "0", "4", "", "x"])
values = st.sampled_from(["100", "009", "0", "", "0Hi", "Lo", "3A", "2.5", "-4", "1e9"])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(days, clocks, codes, values), min_size=1, max_size=8))
def test_no_row_vanishes(tmp_path: Path, rows: list[tuple[str, str, str, str]]) -> None:
    sound = [f"04-20-1991\t{place // 4:02}:{15 * (place % 4):02}\t60\t{100 + place}" for place in range(90)]
    try:
        record = read_lines(tmp_path, *sound, *("\t".join(row) for row in rows))
    except RecordError as error:
        assert "data-07" in str(error)
        return
    event("read")
    assert len(record.events) >= len(sound)


def test_the_real_people(data: Path) -> None:
    records = read_uci(data / "uci_1994")
    assert len(records) == 70
    for record in records:
        assert accounted(record) == record.rows_read
    assert sum(rules(record)["impossible date"] for record in records) == 47  # 31 June, 56:35
