"""xDrip's "Export CSV (SiDiary format)": SiDiary's fields in one order, dates with the day first, glucose in mg/dL.

Three blocks follow one another without a line between: sensor readings, calibrations, treatments. xDrip leaves out readings below
14 mg/dL, which are its sensors' error codes, and the names of insulins: what it calls a bolus may be a pen's long-acting dose.
"""

from careplan.formats.sidiary import XDRIP, names_of, read_file
from careplan.records.export import reader


def recognise(head: str) -> str | None:
    """Why the first line is that of xDrip's export, or nothing."""
    if names_of(head) == XDRIP:
        return "its first line has the fields of SiDiary's CSV in xDrip's order (DAY;TIME;UDT_CGMS;BG_LEVEL;CH_GR;BOLUS;REMARK)"
    return None


read_xdrip = reader("xdrip", lambda file, clock, _: read_file(file, clock, None, always=True))
