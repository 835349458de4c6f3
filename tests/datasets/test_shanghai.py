"""The reader of the Shanghai data sets, on workbooks the tests write and on the real ones."""

from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from openpyxl import Workbook

from careplan.datasets.shanghai import doses_in, read_shanghai
from careplan.records import PatientRecord, RecordError, read
from careplan.records.insulins import asking
from tests.records.accounting import accounted, at, rules, spans

INJECTED = "Insulin dose - s.c."
HEADER = (
    *("Date", "CGM (mg / dl)", "CBG (mg / dl)", "Blood Ketone (mmol / L)", "Dietary intake", "\u996e\u98df", INJECTED),
    *("Non-insulin hypoglycemic agents", "CSII - bolus insulin (Novolin R, IU)", "CSII - basal insulin (Novolin R, IU / H)"),
    "Insulin dose - i.v.",
)
BESIDE = ("meal in words", "tablets", "ketone")  # parts of rows that the reader tells beside what the rest of the row became
START = datetime(2021, 7, 30, 0, 0)
Cells = dict[str, object]


def write(folder: Path, rows: list[Cells], name: str = "1001_0_20210730.xlsx", header: tuple[str, ...] = HEADER) -> Path:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(header)
    for place, cells in enumerate(rows):
        at = cells.get("Date", START + timedelta(minutes=15 * place))
        sheet.append([at, *(next((value for key, value in cells.items() if text.startswith(key)), None) for text in header[1:])])
    book.save(folder / name)
    return folder / name


def read_rows(folder: Path, *rows: Cells) -> PatientRecord:
    [record] = read_shanghai(write(folder, list(rows)))
    assert accounted(record, BESIDE) == record.rows_read == len(rows)
    return record


def test_every_column(tmp_path: Path) -> None:
    record = read_rows(
        tmp_path,
        {"CGM": 151.2},
        {"CGM": 39.6, "CBG": 118.8, "Blood": 0.3},
        {"CGM": 145.8, "Dietary": "Milk 250 ml", INJECTED: "insulin\u00a0glargine, 14 IU, Humulin 70/30, 12 IU"},
        {"CGM": 140.4, "Non": "acarbose 50 mg", "CSII - bolus": 4.0, "CSII - basal": 0.6},
        {"CGM": 140.0, "CSII - basal": "temporarily suspend insulin delivery"},
        {"CGM": 139.0, "CSII - basal": 0.3},
        {"CGM": 138.0, "Insulin dose - i.v.": "500ml 5% glucose,  12 IU Novolin R"},
        {"Dietary": "data not available"},
        {"CGM": 137.0, INJECTED: "insulin glarigine, 12 IU"},
        {"CGM": 136.0, INJECTED: "some insulin"},
    )
    assert (record.patient, record.zone) == ("shanghai-1001", "Asia/Shanghai")
    assert at(record, "glucose", "low") == [("07-29 16:15", 39.6)]
    assert at(record, "glucose", "fingerstick") == [("07-29 16:15", 118.8)]
    assert at(record, "long_acting") == [("07-29 16:30", 14.0), ("07-29 16:30", 8.4)]
    assert at(record, "bolus") == [("07-29 16:30", 3.6), ("07-29 16:45", 4.0)]
    assert spans(record, "basal") == [("07-29 16:45", 0.6, 15.0), ("07-29 17:00", 0.0, 15.0), ("07-29 17:15", 0.3, -1.0)]
    assert rules(record) == {
        **{"meal in words": 1, "tablets": 1, "ketone": 1, "intravenous": 1, "unknown insulin": 1, "not understood": 1},
        "nothing in it": 1,
    }
    assert set(record.events["product"]) == {"", "Insulin glargine", "Humulin 70/30", "Novolin R"}


def test_an_unknown_insulin_is_asked_for_once_and_what_was_said_is_told(tmp_path: Path) -> None:
    asked = Counter[str]()

    def ask(name: str) -> None:
        asked[name] += 1

    path = write(tmp_path, [{"CGM": 150.0, INJECTED: "glarigine, 12 IU"}, {"CGM": 151.0, INJECTED: "glarigine, 9 IU"}])
    with asking(ask):
        [record] = read(path)
    assert (asked, rules(record)["unknown insulin"]) == ({"glarigine": 1}, 2)
    with asking(lambda name: "long"):
        [record] = read(path)
    assert [value for _, value in at(record, "long_acting")] == [12.0, 9.0]
    assert rules(record) == {"insulin as stated": 1}
    assert "2 doses of 'glarigine' counted as long" in record.corrections[0].detail


def test_doses_in_words() -> None:
    assert list(doses_in("insulin detemir, 6 IU; Novolin R, 4 IU")) == [("insulin detemir", 6.0), ("Novolin R", 4.0)]
    assert list(doses_in("Humulin 70/30  8 IU")) == [("Humulin 70/30", 8.0)]
    assert list(doses_in("insulin aspart 70/30, 8.5 IU ")) == [("insulin aspart 70/30", 8.5)]
    assert list(doses_in("Novolin R, 8 IU and something")) == []
    assert list(doses_in("8 IU")) == []


def test_stays_of_one_person_are_one_record(tmp_path: Path) -> None:
    write(tmp_path, [{"CGM": 150.0}], "1002_0_20210730.xlsx")
    write(tmp_path, [{"CGM": 160.0, "Date": datetime(2021, 8, 1, 8)}], "1002_1_20210801.xlsx")
    [record] = read_shanghai(tmp_path)
    assert (record.patient, len(record.events), len(record.files)) == ("shanghai-1002", 2, 2)


def test_another_workbook_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="1001_0_20210730"):
        read_shanghai(write(tmp_path, [{}], header=("a", "b")))


doses = st.sampled_from(["Novolin R, 5 IU", "Novolin 30R, 12 IU", "nonsense", "what, 3 IU", "Novolin R, 0 IU"])
cells = st.fixed_dictionaries(
    {},
    optional={
        "CGM": st.sampled_from([120.0, 39.6, 501.0, "x", "LO", 0.0, 5000.0]),
        "CBG": st.sampled_from([100.8, "HI", -1.0]),
        INJECTED: doses,
        "CSII - bolus": st.sampled_from([0.0, 4.0, "temporarily suspend insulin delivery"]),
        "CSII - basal": st.sampled_from([0.0, 0.5, "suspend", "acarbose", 99.0]),
        "Dietary": st.sampled_from(["Rice 50 g", "data not available"]),
        "Non": st.just("metformin 0.5 g"),
        "Insulin dose - i.v.": st.just("5% glucose, 4 IU Novolin R"),
    },
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(cells.filter(bool), min_size=1, max_size=8))
def test_no_row_vanishes(tmp_path: Path, rows: list[Cells]) -> None:
    sound: list[Cells] = [{"CGM": 100.0 + place} for place in range(40)]
    try:
        record = read_rows(tmp_path, *sound, *rows)
    except RecordError as error:
        assert "1001_0_20210730" in str(error)
        return
    event("read")
    assert len(record.events) >= len(sound)


def test_the_real_people(data: Path) -> None:
    records = read_shanghai(data / "shanghai" / "Shanghai_T1DM")
    assert len(records) == 12
    for record in records:
        assert accounted(record, BESIDE) == record.rows_read
    assert not any(rules(record)["not understood"] for record in records)
