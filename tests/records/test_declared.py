"""Tables of a therapy that brings no reader: its own channels and covariates as columns."""

from pathlib import Path

import pytest

from careplan.formats.declared import read_declared
from careplan.records import RecordError, Refused, to_series
from tests.therapies.contract.pressures import PRESSURES
from tests.therapies.contract.thinning import THINNING

WIDE = "Time,Patient,Gene,Age,Ratio,Tablet\n2026-01-01 08:00,eve,slow,61,2.25,5\n2026-01-02 08:00,eve,slow,61,,6\n"


def written(folder: Path, text: str, name: str = "people.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_wide_table_has_levels_doses_and_facts(tmp_path: Path) -> None:
    [record] = read_declared(written(tmp_path, WIDE), THINNING, zone="Europe/Paris")
    assert (record.patient, record.zone, record.facts) == ("eve", "Europe/Paris", {"gene": "slow", "age": "61"})
    series = to_series(record, THINNING)
    assert series.column("tablet").tolist() == [5.0, 6.0] and float(series.column("ratio")[0]) == 2.25
    assert series.mask[:, 0].tolist() == [True, False] and not record.corrections


def test_a_long_table_says_how_long_a_rate_lasts(tmp_path: Path) -> None:
    rows = ("2026-01-01T08:00Z,pressure,71,", "2026-01-01T08:00Z,Raiser,4,1", "2026-01-01T08:01Z,raiser,8,")
    text = "\n".join(["time,channel,value,duration", *rows, ""])
    [record] = read_declared(written(tmp_path, text, "theatre.csv"), PRESSURES)
    assert record.patient == "theatre" and record.events["duration"].isna().tolist() == [False, False, True]
    assert set(record.events["channel"]) == {"pressure", "raiser"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (WIDE.replace("2.25", "25"), r"people\.csv, row 2, field 'Ratio': expected ratio of 0\.5 to 20 , found '25'"),
        (WIDE.replace("2.25", "high"), r"row 2, field 'Ratio': expected ratio .* found 'high'"),
        (WIDE.replace(",61,,6", ",62,,6"), r"row 3, field 'Age': one patient has two values: '61' and '62'"),
        (WIDE + "2026-01-02 08:00,eve,slow,61,,7\n", "two values of tablet at 2026-01-02 08:00"),
        ("time,dose\n2026-01-01,5\n", r"row 1: expected columns of ratio, tablet, or channel and value; found"),
        ("time,channel,value\n2026-01-01,inr,5\n", r"row 2, field 'channel': expected a channel of ratio, tablet, found 'inr'"),
        ("time,ratio\n2026-01-01,\n", "nothing is recorded of patient 'people'"),
    ],
)
def test_what_cannot_be_names_its_place_and_costs_nobody_else(tmp_path: Path, text: str, said: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(RecordError, match=said):
        read_declared(path, THINNING)
    if "eve" in text:
        refused: Refused = {}
        both = text + "2026-01-01 08:00,adam,fast,50,2.5,5\n"
        assert [record.patient for record in read_declared(written(tmp_path, both), THINNING, refused=refused)] == ["adam"]
        assert list(refused) == ["eve"]


def test_a_column_that_is_not_read_is_told(tmp_path: Path) -> None:
    text = WIDE.replace("Tablet\n", "Tablet,Mood\n").replace(",5\n", ",5,good\n").replace(",6\n", ",6,\n")
    [record] = read_declared(written(tmp_path, text), THINNING)
    [told] = record.corrections
    assert (told.rule, told.field) == ("unknown column", "Mood")
