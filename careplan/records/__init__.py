"""Real records in: one door to every format, one canonical events table, one grid."""

from careplan.records.azt1d import read_azt1d
from careplan.records.carelink import read_carelink
from careplan.records.clarity import read_clarity
from careplan.records.door import FORMATS, Format, Taken, read
from careplan.records.events import Correction, PatientRecord, RecordError, Refused
from careplan.records.grid import to_series
from careplan.records.join import add_to, join, join_people
from careplan.records.libreview import read_libreview
from careplan.records.nightscout import read_nightscout
from careplan.records.ohio import read_ohio
from careplan.records.sidiary import read_sidiary
from careplan.records.t1d_uom import read_t1d_uom
from careplan.records.table import read_table
from careplan.records.tandem import read_tandem
from careplan.records.tidepool import read_tidepool
from careplan.records.xdrip import read_xdrip

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
    "add_to",
    "join",
    "join_people",
    "read",
    "read_azt1d",
    "read_carelink",
    "read_clarity",
    "read_libreview",
    "read_nightscout",
    "read_ohio",
    "read_sidiary",
    "read_t1d_uom",
    "read_table",
    "read_tandem",
    "read_tidepool",
    "read_xdrip",
    "to_series",
]
