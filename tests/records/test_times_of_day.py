"""Times of day as languages and programs write them: the half of the day in words, and how far from UTC a time is."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from careplan.records import RecordError, read
from careplan.records.dates import AFTERNOONS, MORNINGS, clock_of
from tests.records.accounting import accounted, at
from tests.records.test_dates_told import SOURCES

WORDS = [*((word, 0) for word in MORNINGS.split()), *((word, 12) for word in AFTERNOONS.split())]
OFFSETS = {"": None, "Z": 0, " UTC": 0, " GMT": 0, "+01": 60, "+01:00": 60, " -0530": -330, " UTC+1": 60, " GMT-08:00": -480}


@given(
    hour=st.integers(1, 12),
    minute=st.integers(0, 59),
    word=st.sampled_from(WORDS),
    dots=st.sampled_from(["", ".", ". ", ".\u00a0"]),
    space=st.sampled_from([" ", "\u00a0", "\u202f"]),
    before=st.booleans(),
    shout=st.booleans(),
)
def test_the_half_of_the_day_in_words(
    hour: int, minute: int, word: tuple[str, int], dots: str, space: str, before: bool, shout: bool
) -> None:
    letters = dots.join(word[0]) if len(word[0]) == 2 else word[0]
    written = (letters.upper() if shout else letters) + dots.strip()
    clock = f"{hour}:{minute:02}"
    text = f"{written}{space}{clock}" if before else f"{clock}{space}{written}"
    assert clock_of(text)[0] == 3600.0 * (hour % 12 + word[1]) + 60.0 * minute


@pytest.mark.parametrize("text", ["8:05 de la tarde", "8:05 demain", "13:05 PM", "8:05 AMP", "0:05 \u03bc.\u03bc."])
def test_other_words_are_no_half_of_the_day(text: str) -> None:
    assert clock_of(text)[0] != clock_of(text)[0]


@pytest.mark.parametrize("offset", OFFSETS)
def test_an_offset_is_read_however_it_is_written(tmp_path: Path, offset: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(f"time,glucose\n2024-03-05 08:00:00{offset},120\n2024-03-05 08:05:00{offset},121\n", encoding="utf-8")
    [record] = read(path, zone="Europe/Berlin")
    minutes = 60 if OFFSETS[offset] is None else OFFSETS[offset]
    begin = 8 * 60 - int(minutes or 0)
    assert at(record, "glucose") == [
        (f"03-05 {(begin + later) // 60:02}:{(begin + later) % 60:02}", 120.0 + later / 5) for later in (0, 5)
    ]
    assert accounted(record) == record.rows_read


@pytest.mark.parametrize("source", ["clarity", "libreview", "carelink", "tandem", "glooko", "sidiary"])
def test_a_device_whose_times_state_an_offset_is_refused(tmp_path: Path, source: str) -> None:
    stamps = [f"2024-01-18T10:{minute:02}:00" for minute in range(0, 60, 5)]
    (tmp_path / "x.csv").write_text(SOURCES[source][0]([*stamps[:-1], stamps[-1] + "+02:00"]), encoding="utf-8")
    with pytest.raises(RecordError, match="says how far from UTC it is") as caught:
        read(tmp_path / "x.csv", zone="Europe/Berlin")
    assert caught.value.row and caught.value.field


@pytest.mark.parametrize("clock", ["8:05:00 AM", "8:05\u202fAM", "8h05", "08.05"])
def test_a_date_and_a_time_as_programs_show_them(tmp_path: Path, clock: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(f'time,glucose\n"3/13/2024, {clock}",120\n', encoding="utf-8")
    [record] = read(path, zone="UTC")
    assert at(record, "glucose") == [("03-13 08:05", 120.0)]
