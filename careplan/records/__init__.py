"""Real records in: one door to every format, one canonical events table, one grid.

What a name needs is imported when it is asked for: the contract of therapies speaks of `careplan.records.settings` on machines
that have neither a client for HTTP nor a reader of workbooks.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from careplan.records.azt1d import read_azt1d
    from careplan.records.carelink import read_carelink
    from careplan.records.clarity import read_clarity
    from careplan.records.door import FORMATS, READERS, Format, Taken, read
    from careplan.records.events import Correction, PatientRecord, RecordError, Refused
    from careplan.records.fhir import read_fhir
    from careplan.records.glooko import read_glooko
    from careplan.records.grid import to_series
    from careplan.records.join import add_to, join_people, join_records
    from careplan.records.libreview import read_libreview
    from careplan.records.nightscout import read_nightscout
    from careplan.records.ohio import read_ohio
    from careplan.records.sidiary import read_sidiary
    from careplan.records.t1d_uom import read_t1d_uom
    from careplan.records.table import read_table
    from careplan.records.tandem import read_tandem
    from careplan.records.tidepool import read_tidepool
    from careplan.records.xdrip import read_xdrip

_HOME = {
    **dict.fromkeys(("FORMATS", "READERS", "Format", "Taken", "read"), "door"),
    **dict.fromkeys(("Correction", "PatientRecord", "RecordError", "Refused"), "events"),
    **dict.fromkeys(("add_to", "join_people", "join_records"), "join"),
    "to_series": "grid",
}

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
    "join_people",
    "join_records",
    "read",
    "read_azt1d",
    "read_carelink",
    "read_clarity",
    "read_fhir",
    "read_glooko",
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


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'careplan.records' has no attribute {name!r}")
    module = _HOME.get(name, name.removeprefix("read_"))
    return getattr(import_module(f"careplan.records.{module}"), name)
