"""A record at a glance, computed from its events."""

from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from careplan.clinic.views import PatientSummary
from careplan.practice import Practice
from careplan.records.events import PatientRecord
from careplan.records.grid import to_series
from careplan.series import PatientSeries, usual_spacing

GAP = 15.0  # minutes without a reading, or 1.5 of the sensor's usual spacing where that is longer
GAPS_SHOWN = 10
MINUTE = 60_000_000_000  # nanoseconds


def unreadable(record: PatientRecord, source: str, therapy: str, problem: str) -> PatientSummary:
    """A record of a therapy that is not installed here: what is stored, and nothing of what it means."""
    return _summary(record, source, therapy, days=0.0, metrics=None, sufficient=False, problem=problem)


def summarise(record: PatientRecord, source: str, practice: Practice, series: PatientSeries | None = None) -> PatientSummary:
    """A record at a glance; days and metrics are those of what the therapy regulates, over the whole recording.

    series: the record on the therapy's grid, where it is there already.
    """
    if series is None and not record.events.empty:
        series = to_series(record, practice.therapy)
    readings = record.events[record.events["channel"] == practice.therapy.regulated]
    glance, gaps = practice.glance(readings), gaps_of(readings["time"])
    return _summary(
        record,
        source,
        practice.name,
        days=glance.days,
        gaps=gaps[:GAPS_SHOWN],
        gap_count=len(gaps),
        metrics=glance.metrics,
        sufficient=glance.sufficient,
        total_daily_dose=None if series is None else practice.daily_dose(series),
    )


def _summary(record: PatientRecord, source: str, therapy: str, **told: Any) -> PatientSummary:
    events = record.events
    given: dict[str, Any] = {"gaps": (), "gap_count": 0, "total_daily_dose": None, **told}
    return PatientSummary(
        patient=record.patient,
        group=record.group,
        zone=record.zone,
        source=source,
        weight=record.weight,
        first=None if events.empty else events["time"].min().to_pydatetime(),
        last=None if events.empty else events["time"].max().to_pydatetime(),
        events={str(name): int(count) for name, count in events["channel"].value_counts().sort_index().items()},
        therapy=therapy,
        **given,
    )


def gaps_of(times: pd.Series) -> tuple[tuple[datetime, float], ...]:
    """(start, minutes) of each stretch without a reading, the longest first."""
    instants = _instants(times)
    between = np.diff(instants) / MINUTE
    rows = np.flatnonzero(between > max(GAP, 1.5 * usual_spacing(times)))
    rows = rows[np.argsort(-between[rows], kind="stable")]
    return tuple((pd.Timestamp(instants[row] // 1000, unit="us", tz="UTC").to_pydatetime(), float(between[row])) for row in rows)


def _instants(times: pd.Series) -> NDArray[np.int64]:
    """Distinct UTC times in order, in nanoseconds since 1970."""
    return np.unique(times.astype("int64").to_numpy())
