"""Settings that a person tries, on a virtual patient's own days; and another dose on a day that was."""

from collections.abc import Iterator
from dataclasses import replace

import pandas as pd
import pytest

from careplan.clinic import ClinicError
from careplan.clinic.importing import store_records
from careplan.clinic.stored_records import load_series
from careplan.clinic.what_ifs import AGAIN, IF, NOW, PROPOSED, TRIED, WAS, another_day, open_bench
from careplan.errors import AskError
from careplan.store import Database, open_database
from careplan.studies.demo import demo_records


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = open_database(str(tmp_path_factory.mktemp("clinic") / "clinic.db"))
    [one] = demo_records(1, 16, seed=3)
    hour = one.events[one.events["time"] < one.events["time"].min() + pd.Timedelta(hours=1)].reset_index(drop=True)
    assert not store_records(database, "demo", [replace(one, patient="ann"), replace(one, patient="hour", events=hour)]).failed
    yield database
    database.close()


def test_what_is_tried_stands_beside_now_and_proposed(db: Database) -> None:
    bench = open_bench(db, "ann")
    basal = [line for line in bench.lines if line.setting == "basal"]
    assert basal and all(line.proposed == line.current > 0 for line in bench.lines)
    proposed = {basal[0].key: round(0.9 * basal[0].current, 3)}
    found = bench.tried(proposed, {line.key: 2.0 * line.current for line in basal})
    assert list(found) == [NOW, PROPOSED, TRIED]
    mean = {name: each.option.outcomes["mean"] for name, each in found.items()}
    assert mean[TRIED].mid < mean[NOW].mid < mean[PROPOSED].mid + 1e-6
    assert all(each.low <= each.mid <= each.high for each in mean.values())
    assert len(found[TRIED].option.path.mid) == len(found[NOW].option.path.mid)
    assert "change in one visit" in {breach.rule for breach in found[TRIED].broken}
    assert all(breach.rule.startswith("budget") for breach in found[NOW].broken)


def test_what_is_not_moved_is_as_now(db: Database) -> None:
    found = open_bench(db, "ann").tried({}, {})
    assert list(found) == [NOW, TRIED]
    assert found[NOW].option.outcomes == found[TRIED].option.outcomes


def test_where_the_days_do_not_say_the_reasons_are_told(db: Database) -> None:
    with pytest.raises(ClinicError, match="day"):
        open_bench(db, "hour")


def test_another_amount_on_a_past_day_stands_beside_what_was(db: Database) -> None:
    series = load_series(db, "ann")
    given = series.column("bolus")
    rows = [row for row in range(10 * 288, len(series) - 288) if given[row] > 3.0]
    at = series.times[rows[0]].tz_convert(series.zone)
    paths = another_day(db, "ann", at, "bolus", 0.0)
    assert list(paths) == [WAS, AGAIN, IF]
    assert max(more - same for more, same in zip(paths[IF].mid, paths[AGAIN].mid, strict=True)) > 5.0  # without it: higher
    again = another_day(db, "ann", at, "bolus", float(given[rows[0]]))
    assert again[IF].mid == pytest.approx(again[AGAIN].mid, abs=1.0)
    with pytest.raises(AskError, match="outside"):
        another_day(db, "ann", at, "bolus", 900.0)
