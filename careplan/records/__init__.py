"""Real records in: one reader per format, one canonical events table, one grid."""

from careplan.records.azt1d import read_azt1d
from careplan.records.events import Correction, PatientRecord, RecordError
from careplan.records.grid import to_series
from careplan.records.t1d_uom import read_t1d_uom

__all__ = ["Correction", "PatientRecord", "RecordError", "read_azt1d", "read_t1d_uom", "to_series"]
