"""Canonical events in and out of the `event` table."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import numpy as np
import pandas as pd
from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from .actors import Actor
from .audit import append, number
from .schema import KEPT, TAKEN_BACK, UNTIL_NEXT, Event, ImportBatch, table_of
from .seals import digests
from .tenancy import require_visible

KEY = ["channel", "time", "value", "duration", "repeat"]
KEYED = tuple(getattr(Event, name) for name in KEY)  # the order in which they lie in the table, so that reading sorts nothing
HASHED = (Event.channel, Event.time, Event.value, Event.duration, Event.flag)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Where one patient's part of an import is from, and what was seen of it.

    run: names the import that this is a part of. report: figures of what was read. corrections: of rows, a tuple each.
    """

    source: str
    run: str | None = None
    files: Sequence[str] = ()
    report: Mapping[str, Any] = field(default_factory=dict)
    corrections: Sequence[Sequence[Any]] = ()


def add_events(session: Session, patient: str, events: pd.DataFrame, batch: Batch, *, actor: Actor) -> dict[str, int]:
    """Adds what is new of a canonical table, as one audited import batch; returns how many by channel. Nothing new, no batch.

    events: columns time (UTC), channel, value, duration (minutes, NaN until the next), flag, origin, and product where known. The
    caller holds the write transaction and has added the patient. Raises `ValueError` for a value that is not finite.
    """
    fresh = new_events(session, patient, events)
    added = {str(channel): int(count) for channel, count in fresh["channel"].value_counts().sort_index().items()}
    if added:
        files = list(batch.files)
        row = ImportBatch(
            patient=patient,
            source=batch.source,
            created=datetime.now(UTC),
            files=files,
            report={"events_added": added, "events_known": len(events) - len(fresh), **batch.report},
            corrections=[list(correction) for correction in batch.corrections],
            run=batch.run,
            state=KEPT,
        )
        table = table_of(Event)
        names = [column.name for column in table.columns]
        rows = fresh.assign(patient=patient, batch=number(session, row).id).sort_values(KEY, kind="stable")[names]
        row.digest = digests(table, [list(rows.itertuples(index=False, name=None))])[row.id]
        append(session, actor, "imported", patient=patient, rows=[row], source=batch.source, files=files, events_added=added)
        session.connection().execute(insert(Event), cast(list[dict[str, Any]], rows.to_dict("records")))
    return added


def remove_events(session: Session, batch: ImportBatch, *, actor: Actor, reason: str) -> int:
    """Takes a batch back: its events are removed, the batch stays as `TAKEN_BACK`, both on record; returns how many events.

    Events that another batch added are not touched, also where this batch's source held them too.
    """
    batch.state, batch.digest = TAKEN_BACK, {}
    append(session, actor, "taken back", patient=batch.patient, rows=[batch], reason=reason)
    return session.connection().execute(delete(Event).where(Event.batch == batch.id)).rowcount


def new_events(session: Session, patient: str, events: pd.DataFrame) -> pd.DataFrame:
    """The rows of a canonical table that the store does not hold yet, as rows of the `event` table. Raises `ValueError` where a
    value is not finite.
    """
    table = pd.DataFrame(
        {
            "channel": events["channel"],
            "time": events["time"].dt.as_unit("us").astype("int64"),
            "value": events["value"].astype("float64") + 0.0,  # -0.0 and 0.0 are one key
            "duration": events["duration"].fillna(UNTIL_NEXT),
            "flag": events["flag"],
            "origin": events["origin"],
            "product": events.get("product", ""),
        }
    )
    if not np.isfinite(table["value"]).all():
        origin = table.loc[~np.isfinite(table["value"]), "origin"].iloc[0]
        raise ValueError(f"event {origin} of patient {patient!r}: its value is not a finite number")
    table["repeat"] = table.groupby(KEY[:-1], sort=False).cumcount()
    known = pd.DataFrame(
        session.execute(select(*(getattr(Event, name) for name in KEY)).where(Event.patient == patient)).all(), columns=KEY
    ).astype(table[KEY].dtypes.to_dict())
    is_known = pd.MultiIndex.from_frame(table[KEY]).isin(pd.MultiIndex.from_frame(known))
    return table[~is_known]


def read_events(
    session: Session,
    patient: str,
    *,
    channels: Sequence[str] | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
) -> pd.DataFrame:
    """A patient's canonical table, sorted by time; `start` inclusive, `end` exclusive."""
    require_visible(session, patient)
    names = ["time", "channel", "value", "duration", "flag", "origin", "product"]
    query = select(*(getattr(Event, name) for name in names)).where(Event.patient == patient)
    if channels is not None:
        query = query.where(Event.channel.in_(channels))
    if start is not None:
        query = query.where(Event.time >= _microseconds(start))
    if end is not None:
        query = query.where(Event.time < _microseconds(end))
    rows = session.connection().execute(query.order_by(*KEYED)).all()
    return _table([_field(rows, index) for index in range(len(names))])


def read_hashed(session: Session, patient: str) -> tuple[pd.DataFrame, str]:
    """All of `read_events` and the `data_hash`, the events being fetched once."""
    require_visible(session, patient)
    query = select(*HASHED, Event.origin, Event.product).where(Event.patient == patient).order_by(*KEYED)
    rows = session.connection().execute(query).all()
    channel, time, value, duration, flag, origin, product = (_field(rows, index) for index in range(7))
    return _table([time, channel, value, duration, flag, origin, product]), _digest([tuple(row[:5]) for row in rows])


def _field(rows: Sequence[Any], index: int) -> list[Any]:
    return [row[index] for row in rows]


def _table(columns: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """Columns of events in the order of their key, as a canonical table, sorted by time."""
    time, channel, value, duration, flag, origin, product = columns
    length = np.array(duration, dtype=np.float64)
    table = pd.DataFrame(
        {
            "time": _instants(time),
            "channel": pd.Series(channel, dtype=object),
            "value": np.array(value, dtype=np.float64),
            "duration": np.where(length == UNTIL_NEXT, np.nan, length),
            "flag": pd.Series(flag, dtype=object),
            "origin": pd.Series(origin, dtype="str"),
            "product": pd.Series(product, dtype=object),
        }
    )
    return table.take(np.argsort(np.array(time, dtype=np.int64), kind="stable")).reset_index(drop=True)


def read_channel(session: Session, patient: str, channel: str, *, start: datetime | None = None) -> pd.DataFrame:
    """The time and value columns of one channel from `start` on, sorted by time: what a quick look needs."""
    require_visible(session, patient)
    query = select(Event.time, Event.value).where(Event.patient == patient, Event.channel == channel)
    if start is not None:
        query = query.where(Event.time >= _microseconds(start))
    rows = session.connection().execute(query.order_by(Event.time)).all()
    time, value = zip(*rows, strict=True) if rows else ((), ())
    return pd.DataFrame({"time": _instants(time), "value": np.array(value, dtype=np.float64)})


def data_hash(session: Session, patient: str) -> str:
    """Changes whenever a patient's events do: SHA-256 over channel, time, value, duration and flag in a fixed order."""
    require_visible(session, patient)
    rows = session.connection().execute(select(*HASHED).where(Event.patient == patient).order_by(*KEYED)).all()
    return _digest([tuple(row) for row in rows])


def _digest(rows: Sequence[tuple[Any, ...]]) -> str:
    total = hashlib.sha256()
    for start in range(0, len(rows), 10_000):
        total.update(repr(rows[start : start + 10_000]).encode())
    return total.hexdigest()


def _instants(microseconds: Sequence[int]) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(np.array(microseconds, dtype="datetime64[us]")).as_unit("ns").tz_localize("UTC")


def _microseconds(time: datetime) -> int:
    return pd.Timestamp(time).value // 1000


def _time(microseconds: int) -> datetime:
    return pd.Timestamp(microseconds, unit="us", tz="UTC").to_pydatetime()
