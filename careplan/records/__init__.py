"""Real records in: one door to every format, one canonical events table, one grid.

What a name needs is imported when it is asked for: the contract of therapies speaks of `careplan.records.settings` on machines
that have neither a client for HTTP nor a reader of workbooks.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from careplan.datasets.azt1d import read_azt1d
    from careplan.datasets.ohio import read_ohio
    from careplan.datasets.shanghai import read_shanghai
    from careplan.datasets.t1d_uom import read_t1d_uom
    from careplan.datasets.uci import read_uci
    from careplan.formats.carelink.reader import read_carelink
    from careplan.formats.clarity import read_clarity
    from careplan.formats.fhir.reader import read_fhir
    from careplan.formats.glooko.reader import read_glooko
    from careplan.formats.libreview import read_libreview
    from careplan.formats.nightscout.reader import read_nightscout
    from careplan.formats.sidiary import read_sidiary
    from careplan.formats.table.reader import read_table
    from careplan.formats.tandem import read_tandem
    from careplan.formats.tidepool.reader import read_tidepool
    from careplan.formats.xdrip import read_xdrip
    from careplan.records.correction import Correction
    from careplan.records.door import FORMATS, READERS, Format, Taken, read
    from careplan.records.events import PatientRecord, RecordError, Refused
    from careplan.records.grid import to_series
    from careplan.records.join import add_to, join_people, join_records

_HOME = {
    **dict.fromkeys(("FORMATS", "READERS", "Format", "Taken", "read"), "records.door"),
    "Correction": "records.correction",
    **dict.fromkeys(("PatientRecord", "RecordError", "Refused"), "records.events"),
    **dict.fromkeys(("add_to", "join_people", "join_records"), "records.join"),
    "to_series": "records.grid",
    **{f"read_{name}": f"datasets.{name}" for name in ("azt1d", "ohio", "shanghai", "t1d_uom", "uci")},
    **{f"read_{name}": f"formats.{name}" for name in ("clarity", "libreview", "sidiary", "tandem", "xdrip")},
    **{f"read_{name}": f"formats.{name}.reader" for name in ("carelink", "fhir", "glooko", "nightscout", "table", "tidepool")},
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
    "read_shanghai",
    "read_sidiary",
    "read_t1d_uom",
    "read_table",
    "read_tandem",
    "read_tidepool",
    "read_uci",
    "read_xdrip",
    "to_series",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'careplan.records' has no attribute {name!r}")
    return getattr(import_module(f"careplan.{_HOME[name]}"), name)
