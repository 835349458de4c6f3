"""Spreadsheets (xlsx, xls, ods) as rows of text, as if each sheet had been saved as delimited text."""

import io
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from careplan.records.events import RecordError
from careplan.records.text import read_bytes

if TYPE_CHECKING:
    from python_calamine import CalamineWorkbook

Cell = int | float | str | bool | time | date | datetime | timedelta


def open_workbook(path: Path) -> "CalamineWorkbook":
    """The workbook; `RecordError` where the file is none, is damaged or is locked by a password."""
    from python_calamine import CalamineError, CalamineWorkbook  # only where a workbook is read

    try:
        return CalamineWorkbook.from_filelike(io.BytesIO(read_bytes(path)))
    except CalamineError as error:
        raise RecordError(f"not a workbook that can be read: {error}", file=path) from error


def sheet_rows(workbook: "CalamineWorkbook", name: str, path: Path, most: int | None = None) -> list[list[Cell]]:
    """The rows of a sheet, from its first line, with the types that the workbook gives its cells. most: rows to read."""
    from python_calamine import CalamineError

    try:
        return workbook.get_sheet_by_name(name).to_python(skip_empty_area=False, nrows=most)
    except CalamineError as error:
        raise RecordError(f"sheet {name!r} cannot be read: {error}", file=path) from error


def as_text(cell: Cell) -> str:
    """A cell as it would stand in delimited text: whole numbers without a point, times in ISO."""
    if isinstance(cell, str):
        return cell.strip()
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else repr(cell)
    if isinstance(cell, datetime):
        whole = (cell + timedelta(milliseconds=500)).replace(microsecond=0)  # a spreadsheet's time is a fraction of a day
        return whole.isoformat(sep=" ")
    return cell.isoformat() if isinstance(cell, (date, time)) else str(cell)
