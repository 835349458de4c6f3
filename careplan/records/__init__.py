"""Real records in: one reader per format, one canonical events table, one grid."""

from collections.abc import Callable

from careplan.records.azt1d import read_azt1d
from careplan.records.carelink import read_carelink
from careplan.records.clarity import read_clarity
from careplan.records.events import Correction, PatientRecord, RecordError, Refused
from careplan.records.grid import to_series
from careplan.records.libreview import read_libreview
from careplan.records.nightscout import read_nightscout
from careplan.records.ohio import read_ohio
from careplan.records.sidiary import read_sidiary
from careplan.records.t1d_uom import read_t1d_uom
from careplan.records.table import read_table
from careplan.records.tandem import read_tandem
from careplan.records.xdrip import read_xdrip

READERS: dict[str, Callable[..., list[PatientRecord]]] = {
    "azt1d": read_azt1d,
    "carelink": read_carelink,
    "clarity": read_clarity,
    "libreview": read_libreview,
    "t1d-uom": read_t1d_uom,
    "nightscout": read_nightscout,
    "ohio": read_ohio,
    "sidiary": read_sidiary,
    "table": read_table,
    "tandem": read_tandem,
    "xdrip": read_xdrip,
}

__all__ = [
    "READERS",
    "Correction",
    "PatientRecord",
    "RecordError",
    "Refused",
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
    "read_xdrip",
    "to_series",
]
