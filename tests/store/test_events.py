"""Events in and out: nothing lost, nothing doubled."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from careplan.store import Batch, Database, add_events, append, data_hash, open_database, read_channel, read_events
from careplan.store.schema import ImportBatch, Patient

from ..kept import actor, patient

COLUMNS = ["time", "channel", "value", "duration", "flag", "origin"]
START = pd.Timestamp("2024-03-01", tz="UTC")


def table(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    """(minute, channel, value, duration) rows as a canonical table."""
    frame = pd.DataFrame(
        [(START + pd.Timedelta(minutes=float(m)), c, v, d, "", f"f:{i}") for i, (m, c, v, d) in enumerate(rows)], columns=COLUMNS
    )
    types = {
        "time": "datetime64[ns, UTC]",
        "channel": "object",
        "value": float,
        "duration": float,
        "flag": "object",
        "origin": "object",
    }
    return frame.astype(types).sort_values("time", kind="stable", ignore_index=True)


def store(db: Database, events: pd.DataFrame) -> dict[str, int]:
    with db.write() as session:
        if session.get(Patient, "p") is None:
            append(session, actor(), "patient added", rows=[patient()])
        batch = Batch(source="t", corrections=[("dropped", "rule", "f", 1, "value", "why")])
        return add_events(session, "p", events, batch, actor=actor())


def stored(db: Database) -> pd.DataFrame:
    with db.read() as session:
        return read_events(session, "p")


rows = st.lists(
    st.tuples(
        st.integers(0, 40).map(lambda m: m * 0.25),
        st.sampled_from(["glucose", "bolus", "basal"]),
        st.sampled_from([0.0, -0.0, 0.1, 1.0, 5.5]) | st.floats(0, 600),
        st.sampled_from([0.0, 30.0, float("nan")]),
    ),
    max_size=30,
)


@settings(max_examples=40, deadline=None)
@given(rows=rows, cut=st.integers(0, 30))
def test_round_trip_twice_and_in_overlapping_parts(rows: list[tuple[Any, ...]], cut: int) -> None:
    events = table(rows)
    db = open_database("sqlite://")
    first = events[events["time"] < START + pd.Timedelta(minutes=cut * 0.25)]
    part, rest, again = store(db, first), store(db, events), store(db, events)
    assert sum(part.values()) == len(first)
    assert sum(part.values()) + sum(rest.values()) == len(events)
    assert again == {}
    order = ["time", "channel", "value", "duration"]
    back = stored(db)[order].sort_values(order, ignore_index=True)
    db.close()
    pd.testing.assert_frame_equal(back, events[order].sort_values(order, ignore_index=True), check_exact=True)


def test_two_equal_doses_at_one_instant_stay_two(db: Database) -> None:
    twice = table([(0, "bolus", 2.0, 0.0), (0, "bolus", 2.0, 0.0)])
    assert store(db, twice[:1]) == {"bolus": 1}
    assert store(db, twice) == {"bolus": 1}
    assert store(db, twice) == {}
    assert len(stored(db)) == 2


def test_a_batch_is_kept_for_what_was_added_and_none_for_nothing(db: Database) -> None:
    events = table([(0, "bolus", 2.0, 0.0), (5, "glucose", 100.0, 0.0)])
    store(db, events[:1])
    store(db, events)
    store(db, events)
    with db.read() as session:
        batches = list(session.scalars(select(ImportBatch).order_by(ImportBatch.id)))
    assert [batch.report for batch in batches] == [
        {"events_added": {"bolus": 1}, "events_known": 0},
        {"events_added": {"glucose": 1}, "events_known": 1},
    ]
    assert batches[0].corrections == [["dropped", "rule", "f", 1, "value", "why"]]


def test_a_rate_that_lasts_until_the_next_keeps_saying_so(db: Database) -> None:
    store(db, table([(0, "basal", 0.8, float("nan")), (30, "basal", 0.5, 30.0)]))
    assert stored(db)["duration"].isna().tolist() == [True, False]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_not_a_number_is_refused(db: Database, value: float) -> None:
    with pytest.raises(ValueError, match="f:0"):
        store(db, table([(0, "bolus", value, 0.0)]))
    assert stored(db).empty


def test_reading_a_span_and_a_channel(db: Database) -> None:
    store(db, table([(m, c, 100.0, 0.0) for m in range(0, 60, 5) for c in ("glucose", "activity")]))
    with db.read() as session:
        part = read_events(
            session, "p", channels=["glucose"], start=START + pd.Timedelta(minutes=10), end=START + pd.Timedelta(minutes=20)
        )
    assert [int((time - START).total_seconds() // 60) for time in part["time"]] == [10, 15]
    with db.read() as session:
        quick = read_channel(session, "p", "glucose", start=START + pd.Timedelta(minutes=10))
        assert read_channel(session, "p", "bolus").dtypes.astype(str).tolist() == ["datetime64[ns, UTC]", "float64"]
    pd.testing.assert_frame_equal(quick[:2], part[["time", "value"]])
    assert len(quick) == 10


def test_the_data_hash_changes_with_the_events_only(db: Database) -> None:
    def hashed() -> str:
        with db.read() as session:
            return data_hash(session, "p")

    events = table([(0, "bolus", 2.0, 0.0), (5, "glucose", 100.0, 0.0)])
    store(db, events)
    first = hashed()
    store(db, events)
    assert hashed() == first
    store(db, table([(10, "glucose", 100.0, 0.0)]))
    assert hashed() != first


def test_the_insulins_brand_is_kept(db: Database) -> None:
    events = table([(0, "bolus", 2.0, 0.0), (5, "bolus", 2.0, 0.0)]).assign(product=["Fiasp", ""])
    store(db, events)
    assert stored(db)["product"].tolist() == ["Fiasp", ""]
