"""A signed change is kept as an experiment: predicted against lived, from the store to what is shown."""

from datetime import datetime

import pandas as pd
import pytest
from rich.console import Console

from app import drawings
from careplan.cli import console
from careplan.clinic import reviews
from careplan.clinic.experiments import lived_changes
from careplan.clinic.importing import store_records
from careplan.clinic.recordings import read_recording
from careplan.clinic.reviews import sign_review
from careplan.clinic.suggestions import save_suggestion
from careplan.store import Database, local_account
from careplan.suggestion import Decision, Interval, Option, Path, predicted
from careplan.therapies.glucose.words import MG_DL
from tests.clinic.build import REGIMEN, START, line, record, suggestion

SINCE = START + pd.Timedelta(days=15, hours=1)


def option(name: str, mean: float, below: float) -> Option:
    outcomes = {key: Interval(mid=mid, low=mid, high=mid) for key, mid in (("mean", mean), ("below_70", below))}
    return Option(name=name, path=Path(minutes=(), mid=(), low=(), high=()), outcomes=outcomes)


@pytest.fixture
def lived(db: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A fortnight, a change that was signed, and a fortnight more."""

    class Then(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return SINCE.to_pydatetime()

    store_records(db, "test", [record(days=15)])
    cut = line("basal", block=1, factor=0.9)
    options = (option("proposed", 150.0, 1.0), option("no change", 140.0, 3.0))
    made = save_suggestion(db, suggestion(cut, options=options, created=SINCE.to_pydatetime()))
    monkeypatch.setattr(reviews, "datetime", Then)
    monkeypatch.setattr("careplan.clinic.standing.datetime", Then)
    assert made.id is not None
    decided = [Decision(key=cut.key, verdict="accept", value=cut.proposed)]
    sign_review(db, made.id, decided, local_account(), "prescribe as proposed")
    assert not store_records(db, "test", [record(days=30)]).failed
    return db


def test_the_recording_knows_its_signed_changes(lived: Database) -> None:
    [change] = read_recording(lived, "ann").changes
    assert change.since == SINCE and change.before == REGIMEN
    assert change.after.basal == (0.8, 0.9, 0.9, 0.7)
    assert change.predicted["mean"] == (140.0, 150.0) and change.predicted["below_70"] == (3.0, 1.0)


def test_predicted_is_shown_against_lived(lived: Database) -> None:
    [found] = lived_changes(lived, "ann")
    assert found.since == SINCE.to_pydatetime() and found.does == "basal -2 %"
    before, after = found.outcomes["mean"].lived
    assert found.outcomes["mean"].predicted == (140.0, 150.0) and before == pytest.approx(140, abs=2) == after
    out = Console(record=True, width=160)
    out.print(console.experiments_table([found]))
    assert "140.0 to 150.0" in out.export_text() and "basal -2 %" in drawings.experiments_table([found], MG_DL)


def test_before_a_week_was_lived_there_is_nothing_to_tell(db: Database) -> None:
    store_records(db, "test", [record(days=15)])
    assert lived_changes(db, "ann") == () == read_recording(db, "ann").changes


def test_only_what_stands_beside_no_change_was_predicted() -> None:
    assert predicted(suggestion()) == {}
