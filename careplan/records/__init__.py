"""Real records in: one reader per format, one canonical events table, one grid."""

from collections.abc import Callable

from careplan.records.azt1d import read_azt1d
from careplan.records.clarity import read_clarity
from careplan.records.events import Correction, PatientRecord, RecordError, Refused
from careplan.records.grid import to_series
from careplan.records.libreview import read_libreview
from careplan.records.nightscout import read_nightscout
from careplan.records.t1d_uom import read_t1d_uom
from careplan.records.table import read_table

READERS: dict[str, Callable[..., list[PatientRecord]]] = {
    "azt1d": read_azt1d,
    "clarity": read_clarity,
    "libreview": read_libreview,
    "t1d-uom": read_t1d_uom,
    "nightscout": read_nightscout,
    "table": read_table,
}

__all__ = [
    "READERS",
    "Correction",
    "PatientRecord",
    "RecordError",
    "Refused",
    "read_azt1d",
    "read_clarity",
    "read_libreview",
    "read_nightscout",
    "read_t1d_uom",
    "read_table",
    "to_series",
]
