"""Tables of INRs and tablets: what they hold is kept as it is said, and what cannot be true is named by file, row and field."""

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from careplan.formats.inr import read_inr, recognise
from careplan.records import read
from careplan.records.events import RecordError, Refused
from careplan.records.grid import to_series
from careplan.therapies.warfarin.declaration import WARFARIN

COURSE = """patient,date,INR,dose,age,CYP2C9,VKORC1,weight
w1,2026-03-01,1.0,5,70,2/1,ag,80
w1,2026-03-02,,5,,,,
w1,2026-03-03,1.3,7.5,,,,
w2,2026-03-01,2.5,,,,,
"""


def write(folder: Path, text: str, name: str = "clinic.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_table_is_found_by_its_header_and_read(tmp_path: Path) -> None:
    path = write(tmp_path, COURSE)
    assert recognise(COURSE) == "its header has a date and an INR"
    assert recognise("time,glucose\n2026-03-01,120\n") is None
    one, two = read(path)
    assert (one.source, one.patient, two.patient) == ("inr", "w1", "w2")
    assert one.facts == {"age": "70", "cyp2c9": "2/1", "vkorc1": "ag", "weight": "80"} and two.facts == {}
    inr = one.events[one.events["channel"] == "inr"]
    assert inr["value"].tolist() == [1.0, 1.3] and str(inr["time"].iloc[0]) == "2026-03-01 08:00:00+00:00"
    assert inr["origin"].iloc[1].endswith("clinic.csv:4")


def test_a_row_of_the_grid_holds_a_morning_and_the_tablet_before_it(tmp_path: Path) -> None:
    series = to_series(read_inr(write(tmp_path, COURSE))[0], WARFARIN)
    inr, dose = series.column("inr"), series.column("warfarin")
    assert len(series) == 4 and inr[0] == 1.0 and inr[2] == pytest.approx(1.3)
    assert dose[1:].tolist() == [5.0, 5.0, 7.5]


def test_a_weekly_dose_holds_until_the_next_and_is_the_regimen(tmp_path: Path) -> None:
    text = "date,inr,weekly dose,strengths\n2026-03-01,2.0,35,5\n2026-03-08,2.2,,\n2026-03-11,2.4,42,5\n2026-03-12,2.4,,\n"
    record = read_inr(write(tmp_path, text))[0]
    taken = record.events[record.events["channel"] == "warfarin"].set_index("time")["value"]
    assert taken.tolist() == [5.0] * 10 + [6.0]
    assert record.regimen is not None and record.regimen.single == {"weekly_dose": 42.0, "strengths": "5"}


def test_a_column_that_is_not_read_is_told(tmp_path: Path) -> None:
    [record] = read_inr(write(tmp_path, "date,inr,mood\n2026-03-01,2.0,\n2026-03-08,2.2,fine\n"))
    [told] = record.corrections
    assert (told.rule, told.row, told.field) == ("unknown column", 3, "mood") and "'fine'" in told.detail


def test_a_workbook_is_the_same_table(tmp_path: Path) -> None:
    frame = pd.DataFrame({"Date": ["2026-03-01", "2026-03-04"], "INR": [1.1, 2.3], "Dose (mg)": [5.0, 2.5]})
    frame.to_excel(tmp_path / "anna.xlsx", index=False)
    record = read(tmp_path / "anna.xlsx")[0]
    assert record.patient == "anna" and record.events["value"].tolist() == [1.1, 5.0, 2.3, 2.5]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("w1,2026-03-04,25,5,,,,", r"clinic.csv, row 6, field 'INR': an INR of 25 is impossible, .* is it a Quick percentage\?"),
        ("w1,2026-03-04,250,5,,,,", r"row 6, field 'INR': an INR of 250 is impossible, expected 0.7 to 12$"),
        ("w1,2026-03-04,high,5,,,,", r"row 6, field 'INR': expected a number, found 'high'"),
        ("w1,2026-03-04,2.5,500,,,,", r"row 6, field 'dose': expected 0 to 30 mg in one evening"),
        ("w1,2026-03-04,2.5,5,,3/3,,", r"row 6, field 'CYP2C9': said to be 2/1 and 3/3"),
        ("w1,2026-03-03,2.6,5,,,,", r"clinic.csv, row 6, field '(inr|warfarin)': two values of (inr|warfarin) on one day"),
        ("w1,soon,2.6,5,,,,", r"row 6, field 'date'"),
    ],
)
def test_what_cannot_be_true_is_named_and_costs_nobody_else(tmp_path: Path, row: str, said: str) -> None:
    path = write(tmp_path, COURSE + row + "\n")
    with pytest.raises(RecordError, match=said):
        read_inr(path)
    if "soon" in row:
        return
    refused: Refused = {}
    kept = read_inr(path, refused=refused)
    assert [record.patient for record in kept] == ["w2"] and set(refused) == {"w1"}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 60), st.floats(0.7, 12.0)), min_size=1, max_size=8, unique_by=lambda each: each[0]))
def test_every_inr_that_can_be_true_is_kept(tmp_path: Path, course: list[tuple[int, float]]) -> None:
    start = pd.Timestamp("2026-01-01")
    lines = [f"{start + pd.Timedelta(days=day):%Y-%m-%d},{inr:.4f}" for day, inr in course]
    record = read_inr(write(tmp_path, "date,inr\n" + "\n".join(lines) + "\n"))[0]
    kept = dict(zip(((record.events["time"] - start.tz_localize("UTC")).dt.days), record.events["value"], strict=True))
    assert kept == {day: pytest.approx(inr, abs=1e-4) for day, inr in course}
