"""What became of a change: the time line, two periods side by side, and whether the prediction came true."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from careplan import therapies
from careplan.clinic import (
    ClinicError,
    changes,
    compare_change,
    compare_periods,
    open_database,
    reviews,
    save_suggestion,
    sign_review,
    sign_targets,
    store_records,
    timeline,
)
from careplan.clinic.periods import DRAWS, verdict_of
from careplan.store import Database
from careplan.suggestion import Decision, Interval, Option, Path

from ..kept import DR_ADA
from .build import START, line, record, suggestion

SINCE = START + pd.Timedelta(days=10)


def option(name: str, mean: float) -> Option:
    outcomes = {"mean": Interval(mid=mean, low=mean - 5, high=mean + 5), "in_range": Interval(mid=90.0, low=80.0, high=99.0)}
    return Option(name=name, path=Path(minutes=(), mid=(), low=(), high=()), outcomes=outcomes)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Ten days around 160 mg/dL, a change that was signed, and ten days around 140."""
    folder = tmp_path_factory.mktemp("lived")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("CAREPLAN_AUDIT", str(folder / "audit"))

        class Then(datetime):
            @classmethod
            def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
                return SINCE.to_pydatetime()

        db = open_database(str(folder / "store.db"))
        store_records(db, "table", [record("ann", days=10, level=160.0)])
        cut = line("basal", block=1, factor=1.1)
        options = (option("proposed", 138.0), option("no change", 158.0))
        made = save_suggestion(db, suggestion(cut, options=options, created=SINCE.to_pydatetime()), actor=DR_ADA)
        patched.setattr(reviews, "datetime", Then)
        patched.setattr("careplan.clinic.standing.datetime", Then)
        assert made.id is not None
        decided = [Decision(key=cut.key, verdict="accept", value=cut.proposed)]
        sign_review(db, made.id, decided, DR_ADA, "prescribe as proposed")
        later = record("ann", days=20, level=140.0)
        after = later.events[later.events["time"] >= SINCE].reset_index(drop=True)
        assert not store_records(db, "table", [type(later)(patient="ann", zone="UTC", rows_read=len(after), events=after)]).failed
        sign_targets(db, "ann", preset="older", reason="falls", actor=DR_ADA)
        yield db
        db.close()


def test_the_time_line_says_what_changed_and_by_whom(lived: Database) -> None:
    found = timeline(lived, "ann")
    said = {each.kind: each for each in reversed(found)}
    assert said["targets"].what == "targets adults to older: falls" and said["targets"].actor == DR_ADA.name
    decided = next(each for each in found if "decided" in each.what)
    assert decided.what == "suggestion 1 decided: prescribe as proposed; 1 accepted, 0 changed, 0 rejected"
    assert decided.kind == "regimen" and decided.number is not None
    assert [each.entry for each in found] == sorted((each.entry for each in found), reverse=True)
    assert said["recordings"].what.startswith("recordings came in from table") and {"patient", "proposal"} <= said.keys()


def test_before_and_after_a_change_with_what_was_predicted(lived: Database) -> None:
    [change] = [each for each in changes(lived, "ann") if each.suggestion is not None]
    assert change.moved == (("basal", 360, 1.0, pytest.approx(1.1)),) and change.suggestion == 1
    found = compare_change(lived, "ann")
    assert found.change == change and found.before.end == found.after.start == SINCE
    by_name = {each.outcome: each for each in found.differences}
    mean = by_name["mean"]
    assert mean.change is not None and mean.change.mid == pytest.approx(-20, abs=1)
    assert mean.change.low <= mean.change.mid <= mean.change.high and mean.change.high - mean.change.low < 5
    assert mean.predicted == Interval(mid=-20.0, low=-20.0, high=-20.0) and mean.verdict == "as predicted"
    assert by_name["below_70"].predicted is None and by_name["below_70"].verdict is None
    assert compare_change(lived, "ann", change.version) == found, "the draws are seeded"
    with pytest.raises(ClinicError, match="no change 99 of the regimen"):
        compare_change(lived, "ann", 99)


def test_any_two_periods(lived: Database) -> None:
    day = timedelta(days=1)
    start = START.to_pydatetime()
    found = compare_periods(lived, "ann", (start, start + 4 * day), (start + 4 * day, start + 8 * day))
    mean = next(each for each in found.differences if each.outcome == "mean")
    assert found.change is None and found.before.stretches == 4 and mean.change is not None
    assert mean.change.low < 0 < mean.change.high, "nothing was changed between them"
    with pytest.raises(ClinicError, match="no reading from"):
        compare_periods(lived, "ann", (start - 4 * day, start), (start, start + day))
    two = compare_periods(lived, "ann", (start, start + 2 * day), (start + 4 * day, start + 8 * day))
    assert all(each.change is None for each in two.differences), "two days tell no interval"


INTERVALS = st.tuples(*[st.floats(-50, 50)] * 3).map(sorted).map(lambda each: Interval(low=each[0], mid=each[1], high=each[2]))


@given(INTERVALS, INTERVALS)
def test_a_verdict_says_what_the_intervals_say(change: Interval, predicted: Interval) -> None:
    verdict = verdict_of(change, predicted)
    apart = change.low > predicted.high or change.high < predicted.low
    assert (verdict in ("beyond what was predicted", "short of what was predicted", "the other way")) == apart
    if verdict == "the other way":
        assert change.mid * predicted.mid < 0
    assert verdict_of(predicted, predicted) == "as predicted"


@pytest.mark.parametrize("name", ["glucose", "warfarin"])
def test_stretches_add_up_to_the_summary(name: str) -> None:
    """Weighted over the stretches, the time in range is the summary's own."""
    practice = therapies.practice(name)
    generator = np.random.default_rng(3)
    rare = name == "warfarin"
    times = pd.date_range("2026-01-05", periods=12 if rare else 700, freq="7D" if rare else "5min", tz="Europe/Berlin")
    values = generator.uniform(1.2, 4.8, len(times)) if rare else generator.uniform(40, 300, len(times))
    readings = pd.DataFrame({"time": times, "value": values})
    assert practice.stretches is not None and DRAWS
    table = practice.stretches(readings)
    told = (table["in_range"] * table["weight"]).sum() / table["weight"].sum()
    assert told == pytest.approx(practice.glance(readings).metrics.in_range)
    other = practice.at(practice.presets.known[2 if not rare else 1].targets)
    assert other.stretches is not None and not other.stretches(readings)["in_range"].equals(table["in_range"])
