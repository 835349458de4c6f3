"""Real records in: one door to every format, one canonical events table, one grid."""

from careplan.records.azt1d import read_azt1d
from careplan.records.door import FORMATS, Format, Taken, read
from careplan.records.events import Correction, PatientRecord, RecordError, Refused
from careplan.records.grid import to_series
from careplan.records.nightscout import read_nightscout
from careplan.records.t1d_uom import read_t1d_uom
from careplan.records.table import read_table

READERS = {kind.name: kind.read for kind in FORMATS}

__all__ = [
    "FORMATS",
    "READERS",
    "Correction",
    "Format",
    "PatientRecord",
    "RecordError",
    "Refused",
    "Taken",
    "read",
    "read_azt1d",
    "read_nightscout",
    "read_t1d_uom",
    "read_table",
    "to_series",
]
