"""xDrip's "Export CSV (SiDiary format)": SiDiary's fields in one order, dates with the day first, glucose in mg/dL.

Three blocks follow one another without a line between: sensor readings, calibrations, treatments. xDrip leaves out readings below
14 mg/dL, which are its sensors' error codes, and the names of insulins: what it calls a bolus may be a pen's long-acting dose.
"""

from careplan.formats.sidiary import XDRIP, names_of, read_file
from careplan.records.events import PatientRecord, Refused
from careplan.records.export import read_export
from careplan.records.text import Source


def recognise(head: str) -> str | None:
    """Why the first line is that of xDrip's export, or nothing."""
    if names_of(head) == XDRIP:
        return "its first line has the fields of SiDiary's CSV in xDrip's order (DAY;TIME;UDT_CGMS;BG_LEVEL;CH_GR;BOLUS;REMARK)"
    return None


def read_xdrip(
    path: Source,
    *,
    zone: str | None = None,
    patient: str | None = None,
    refused: Refused | None = None,
) -> list[PatientRecord]:
    """One record a file of xDrip's export: a file, a folder of them, or a list.

    zone: the phone's clock (UTC where not given, rule "no time zone"). Raises `RecordError` where a file cannot be trusted; with
    `refused`, that person is left out and noted there.
    """
    return read_export(
        path, "xdrip", lambda file, clock: read_file(file, clock, True), zone=zone, patient=patient, refused=refused
    )
