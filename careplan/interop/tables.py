"""One patient of the store as the documented table, which `read_table` reads again."""

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from careplan.clinic.stored_records import load_record
from careplan.interop.fhir import ExportError, note_export
from careplan.records.events import PatientRecord
from careplan.store import Actor, Database

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for a formula at the start of a cell


def export_table(
    db: Database, patient: str, path: str | Path, *, format: Literal["csv", "parquet"] = "csv", actor: Actor | None = None
) -> int:
    """Writes every event of a patient, a row each, with their clock, group and weight; returns how many rows.

    Times are in UTC, to the microsecond. Text that a spreadsheet would run as a formula is written behind an apostrophe in a CSV.
    Who exports whom is put on the audit trail. Raises `UnknownPatient`, or `ExportError` where there is nothing to write or no
    place to write it.
    """
    record = load_record(db, patient, actor=actor)
    if record.events.empty:
        raise ExportError(f"patient {patient!r} has no events to export")
    table = table_of(record)
    try:
        if format == "parquet":
            table.to_parquet(path, index=False)
        else:
            guarded(table).to_csv(path, index=False)
    except OSError as error:
        raise ExportError(f"{path}: cannot be written: {error.strerror or error}") from error
    note_export(db, patient, actor, format=format, events=len(table))
    return len(table)


def table_of(record: PatientRecord) -> pd.DataFrame:
    """The long table: time, channel, value, duration, flag, product, and what holds for the whole record."""
    events = record.events
    table = pd.DataFrame(
        {
            "time": [f"{time.tz_localize(None).isoformat()}Z" for time in events["time"]],
            "channel": events["channel"].to_numpy(),
            "value": events["value"].to_numpy(dtype=np.float64),
            "duration": events["duration"].to_numpy(dtype=np.float64),
            "flag": events["flag"].to_numpy(),
            "product": events["product"].to_numpy(),
        }
    )
    whole = {"patient": record.patient, "zone": record.zone, "group": record.group}
    table = table.assign(**whole)
    return table if record.weight is None else table.assign(weight=record.weight)


def guard(cell: object) -> object:
    """A cell, with an apostrophe before it where it is a text that begins as a formula does."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell


def guarded(table: pd.DataFrame) -> pd.DataFrame:
    """The table with an apostrophe before each text that begins as a formula does."""
    texts = table.select_dtypes(include=["object", "string"]).columns
    return table.assign(**{name: table[name].map(guard) for name in texts})
