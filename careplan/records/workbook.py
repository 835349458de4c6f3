"""Spreadsheets (xlsx, xls, ods) as rows of text, as if each sheet had been saved as delimited text."""

import io
import re
import zipfile
import zlib
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from careplan.records.events import RecordError
from careplan.records.text import MOST_BYTES, read_bytes

if TYPE_CHECKING:
    from python_calamine import CalamineWorkbook

MOST_CELLS = 50_000_000  # a year of a workbook of 40 columns has five
PLACE = re.compile(rb'r="(?:(\d{1,10})"|([A-Z]{2,4})\d)')  # of a row, and of a cell beyond column Z
LOCKED = "EncryptedPackage".encode("utf-16-le")  # the stream in which office programs keep what a password locks
DOCUMENTS = {
    b"word/document": "it is a Word document",
    b"ppt/presentation": "it is a presentation",
    "WordDocument".encode("utf-16-le"): "it is a Word document",
}
Cell = int | float | str | bool | time | date | datetime | timedelta


def open_workbook(path: Path) -> "CalamineWorkbook":
    """The workbook; `RecordError` where the file is none, is damaged or is locked by a password."""
    from python_calamine import CalamineError, CalamineWorkbook  # only where a workbook is read

    data = read_bytes(path)
    try:
        if data.startswith(b"PK"):
            check_size(data, path)
        return CalamineWorkbook.from_filelike(io.BytesIO(data))
    except RecordError:
        raise
    except (CalamineError, zipfile.BadZipFile, RuntimeError, EOFError, zlib.error, OSError, ValueError, KeyError) as error:
        raise RecordError(f"not a workbook that can be read: {reason(data) or error}", file=path) from error


def reason(data: bytes) -> str:
    """Why a file that looks like a workbook is none, where that can be seen in it."""
    if LOCKED in data:
        return "it is locked by a password: open it and save it without one"
    return next((words for part, words in DOCUMENTS.items() if part in data), "")


def check_size(data: bytes, path: Path) -> None:
    """`RecordError` where a workbook lays open to over `MOST_BYTES`, or names a cell so far out that the sheet has over
    `MOST_CELLS`: what reads it makes room for every cell up to there."""
    left = MOST_BYTES
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for entry in archive.infolist():
            found = bytearray()
            with archive.open(entry) as opened:
                while part := opened.read(2**20):
                    left -= len(part)
                    if left < 0:
                        raise RecordError(f"a workbook that unpacks to over {MOST_BYTES / 2**20:g} MiB", file=path)
                    found += part
            if entry.filename.startswith("xl/worksheets/"):
                places = PLACE.findall(found)
                rows = max((int(row) for row, _ in places if row), default=1)
                wide = max((place_of(letters) for letters in {letters for _, letters in places if letters}), default=26)
                if rows * wide > MOST_CELLS:
                    raise RecordError(f"a sheet of {rows:,} rows and {wide:,} columns", file=path)


def place_of(letters: bytes) -> int:
    """The number of a column by its letters: AA is 27."""
    number = 0
    for letter in letters:
        number = 26 * number + letter - 64
    return number


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
