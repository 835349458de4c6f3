"""What is stored of a patient, at a glance."""

from datetime import datetime, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from careplan.clinic.reading import on_record
from careplan.clinic.records import load_record, patient_names, require
from careplan.clinic.views import Metrics, PatientSummary
from careplan.records.events import PatientRecord
from careplan.records.grid import to_series
from careplan.store import Database
from careplan.therapies.glucose.declaration import DAY, GLUCOSE
from careplan.therapies.glucose.estimates import total_daily_dose
from careplan.therapies.glucose.metrics import SENSOR, glucose_metrics, sufficient

GAP = 15.0  # minutes without a reading, or 1.5 of the sensor's usual spacing where that is longer
GAPS_SHOWN = 10
MINUTE = 60_000_000_000  # nanoseconds


def patients(db: Database) -> list[PatientSummary]:
    """Everyone in the store, by name."""
    names = patient_names(db)
    on_record(db, names, "summary")
    return [show(db, patient) for patient in names]


def show(db: Database, patient: str) -> PatientSummary:
    """One patient. Raises `UnknownPatient`."""
    with db.read() as session:
        source = require(session, patient).source
    return summarise(load_record(db, patient, purpose="summary"), source)


def summarise(record: PatientRecord, source: str) -> PatientSummary:
    """A record at a glance; days and metrics are those of its glucose, over the whole recording."""
    events = record.events
    readings = events[events["channel"] == "glucose"]
    days, metrics = glucose_of(readings)
    gaps = gaps_of(readings["time"])
    return PatientSummary(
        patient=record.patient,
        group=record.group,
        zone=record.zone,
        source=source,
        weight=record.weight,
        first=None if events.empty else events["time"].min().to_pydatetime(),
        last=None if events.empty else events["time"].max().to_pydatetime(),
        days=days,
        events={str(name): int(count) for name, count in events["channel"].value_counts().sort_index().items()},
        gaps=gaps[:GAPS_SHOWN],
        gap_count=len(gaps),
        metrics=metrics,
        sufficient=sufficient(metrics, days),
        total_daily_dose=None if events.empty else total_daily_dose(to_series(record, GLUCOSE)),
    )


def glucose_of(readings: pd.DataFrame) -> tuple[float, Metrics]:
    """Days covered, from the first reading to the end of the last, and the consensus metrics, of canonical glucose events."""
    times = readings["time"]
    spacing = min(usual_spacing(times), SENSOR)
    minutes = 0.0 if times.empty else (times.max() - times.min()) / timedelta(minutes=1) + spacing
    expected = minutes / spacing if spacing else len(readings)
    return minutes / DAY, glucose_metrics(readings["value"].to_numpy(), expected)


def usual_spacing(times: pd.Series) -> float:
    """Minutes between readings as a rule, 0 with fewer than two: a 15-min sensor is not missing two readings in three."""
    between = np.diff(_instants(times))
    return float(np.median(between)) / MINUTE if len(between) else 0.0


def gaps_of(times: pd.Series) -> tuple[tuple[datetime, float], ...]:
    """(start, minutes) of each stretch without glucose, the longest first."""
    instants = _instants(times)
    between = np.diff(instants) / MINUTE
    rows = np.flatnonzero(between > max(GAP, 1.5 * usual_spacing(times)))
    rows = rows[np.argsort(-between[rows], kind="stable")]
    return tuple((pd.Timestamp(instants[row] // 1000, unit="us", tz="UTC").to_pydatetime(), float(between[row])) for row in rows)


def _instants(times: pd.Series) -> NDArray[np.int64]:
    """Distinct UTC times in order, in nanoseconds since 1970."""
    return np.unique(times.astype("int64").to_numpy())
