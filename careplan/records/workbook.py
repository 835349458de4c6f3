"""Spreadsheets (xlsx, xls, ods) as rows of text, as if each sheet had been saved as delimited text."""

import csv
import io
import re
import zipfile
import zlib
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from careplan.records.events import RecordError
from careplan.records.raw import MOST_BYTES, read_bytes

if TYPE_CHECKING:
    from python_calamine import CalamineWorkbook

MOST_CELLS = 50_000_000  # a year of a workbook of 40 columns has five
MOST_COLUMNS = 702  # up to ZZ
# Where a row is, and a cell beyond column Z or the 99,999th row: as spreadsheets write it, and as XML lets it be written.
PLACE = r"(?:[A-Za-z](?=\d{6})|([A-Za-z]{2,4}))?(\d{1,10})"
USUAL, ANY = (re.compile((before + PLACE).encode()) for before in (' r="', r"\sr\s*=\s*[\"']"))
# A day and a month in either order, with a time of day or without.
DAY = re.compile(r"\s*(\d{1,2})[/.\-](\d{1,2})[/.\-]\d{2,4}(?:[ T]+[\d:]+(?:\s*[AaPp]\.?\s*[Mm]\.?)?)?\s*")
LOCKED = "EncryptedPackage".encode("utf-16-le")  # the stream in which office programs keep what a password locks
DOCUMENTS = {
    b"word/document": "it is a Word document",
    b"ppt/presentation": "it is a presentation",
    "WordDocument".encode("utf-16-le"): "it is a Word document",
}
Cell = int | float | str | bool | time | date | datetime | timedelta


def open_workbook(path: Path) -> "CalamineWorkbook":
    """The workbook; raises `RecordError` where the file is none, is damaged or is locked by a password."""
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
    """Raises `RecordError` where a workbook lays open to over `MOST_BYTES`, or names a cell so far out that the sheet has over
    `MOST_CELLS`, or `MOST_COLUMNS`: what reads it makes room for every cell up to there.
    """
    left = MOST_BYTES
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for entry in archive.infolist():
            rows, wide, held, sheet = 1, 26, bytearray(), entry.filename.startswith("xl/worksheets/")
            with archive.open(entry) as opened:
                while part := opened.read(2**20):
                    left -= len(part)
                    if left < 0:
                        raise RecordError(f"a workbook that unpacks to over {MOST_BYTES / 2**20:g} MiB", file=path)
                    if sheet:
                        held += part
                        if b">" in part:  # a place lies between two of these
                            found = places(held)
                            rows = max(rows, *(int(row) for _, row in found), 0)
                            wide = max(wide, *map(place_of, {letters for letters, _ in found}), 0)
                            held = held[held.rfind(b">") :]
            if rows * wide > MOST_CELLS or wide > MOST_COLUMNS:
                raise RecordError(f"a sheet of {rows:,} rows and {wide:,} columns", file=path)


def places(text: bytearray) -> list[tuple[bytes, bytes]]:
    """The letters (of a cell beyond column Z) and the row of what stands in a part of a sheet."""
    usual = text.count(b' r="') == text.count(b" r") and not any(space in text for space in (b"\t", b"\n", b"\r"))
    return (USUAL if usual else ANY).findall(text)


def place_of(letters: bytes) -> int:
    """The number of a column by its letters: AA is 27."""
    number = 0
    for letter in letters.upper():
        number = 26 * number + letter - 64
    return number


def sheet_rows(workbook: "CalamineWorkbook", name: str, path: Path, most: int | None = None) -> list[list[Cell]]:
    """The rows of a sheet, from its first line, with the types that the workbook gives its cells. most: rows to read. Raises
    `RecordError` where the sheet cannot be read.
    """
    from python_calamine import CalamineError

    try:
        return workbook.get_sheet_by_name(name).to_python(skip_empty_area=False, nrows=most)
    except CalamineError as error:
        raise RecordError(f"sheet {name!r} cannot be read: {error}", file=path) from error


def shown_sheets(workbook: "CalamineWorkbook") -> list[str]:
    """The names of the sheets that a person sees."""
    from python_calamine import SheetVisibleEnum

    return [each.name for each in workbook.sheets_metadata if each.visible == SheetVisibleEnum.Visible]


def filled_sheets(workbook: "CalamineWorkbook", path: Path, most: int | None = None) -> dict[str, list[list[Cell]]]:
    """The rows of the sheets that a person sees and that hold anything. most: rows to read of each."""
    sheets = {name: sheet_rows(workbook, name, path, most) for name in shown_sheets(workbook)}
    return {name: rows for name, rows in sheets.items() if any(cell != "" for row in rows for cell in row)}


def workbook_text(path: Path) -> str:
    """A workbook's one sheet as a spreadsheet saves it as comma separated text; raises `RecordError` where it has several."""
    sheets = filled_sheets(open_workbook(path), path)
    if len(sheets) != 1:
        raise RecordError(f"expected a workbook of one sheet, found {list(sheets)[:12]}: save each as a file", file=path)
    [rows] = sheets.values()
    check_days(rows, path)
    return delimited(rows)


def delimited(rows: Sequence[Sequence[Cell]]) -> str:
    """Rows of a sheet as comma separated text."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(zip(*map(column_texts, zip(*rows, strict=True)), strict=True))
    return out.getvalue()


def column_texts(cells: Sequence[Cell]) -> list[str]:
    """The cells of a column as text. Where one of its dates has a time of day, each has: midnight is no date alone."""
    times = {cell.time() if isinstance(cell, datetime) else time() for cell in cells if isinstance(cell, date)}
    if times == {time()}:
        cells = [cell.date() if isinstance(cell, datetime) else cell for cell in cells]
    elif times:
        cells = [datetime(cell.year, cell.month, cell.day) if type(cell) is date else cell for cell in cells]
    return [as_text(cell) for cell in cells]


def check_days(rows: Sequence[Sequence[Cell]], path: object) -> None:
    """Raises `RecordError` where a spreadsheet took a column's dates for others as far as it could (5 March for 3 May), and left
    as text those whose day is above 12.
    """
    for column in zip(*rows, strict=True):
        dated = [cell for cell in column if isinstance(cell, date)]
        if not dated or any(cell.day > 12 for cell in dated):
            continue
        left = [
            (row, match) for row, cell in enumerate(column, start=1) if isinstance(cell, str) and (match := DAY.fullmatch(cell))
        ]
        for row, match in left:
            above = sum(cell != "" for cell in rows[row - 1]) <= 2  # a label and when the export was made
            if max(int(match[1]), int(match[2])) > 12 and not above:
                problem = f"the spreadsheet changed dates on opening, but not {match[0]!r}: open the original export as text only"
                raise RecordError(problem, file=path, row=row)


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
