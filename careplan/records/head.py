"""The first lines of any file as text, for recognising its format, and what was seen where nothing knows it."""

import csv
import json
import re
from functools import lru_cache
from pathlib import Path

from careplan.records.events import RecordError
from careplan.records.raw import DELIMITERS, PARQUET, XLS, XLSX, bare, encoding_of
from careplan.records.workbook import delimited, filled_sheets, open_workbook

BLANK = re.compile(r"\A(?:[ \t]*\r?\n)+")  # lines above the first that says something
HEAD = 64 * 1024  # bytes
FEW = 12  # rows of each sheet of a workbook
HTML = re.compile(r"<!doctype html|<html|<table|<head", re.IGNORECASE)
KNOWN = {
    b"%PDF": "a PDF document",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"SQLite format 3": "an SQLite database",
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf": "a 7-Zip archive",
}


def head_of(path: Path) -> str:
    """The file's first 64 KiB as text.

    A workbook's is the first rows of its sheet as comma separated text, of several sheets each after a line `[sheet NAME]`; a
    Parquet file's is its columns as a header line. Text in an unknown encoding comes with replacement characters. Raises
    `RecordError` for a file that is empty, cannot be read, or holds something other than text.
    """
    try:
        with path.open("rb") as file:
            data = file.read(HEAD)
    except OSError as error:
        raise RecordError(f"cannot be read: {error.strerror}", file=path) from error
    if not data.strip():
        raise RecordError("the file is empty", file=path)
    if data.startswith((XLSX, XLS)):
        return workbook_head(path)
    if data.startswith(PARQUET):
        return parquet_head(path)
    text = bare(data.decode(encoding_of(data), errors="replace"))
    kind = next((words for start, words in KNOWN.items() if data.startswith(start)), "")
    if kind or "\x00" in text or text.count("\ufffd") > len(text) // 20:
        kind = kind or f"binary data beginning {data[:4]!r}"
        raise RecordError(f"expected a recording as text, a workbook, a ZIP or Parquet; found {kind}", file=path)
    return BLANK.sub("", text)


def workbook_head(path: Path) -> str:
    sheets = filled_sheets(open_workbook(path), path, FEW)
    if len(sheets) == 1:
        return delimited(next(iter(sheets.values())))[:HEAD]
    return "".join(f"[sheet {name}]\n{delimited(rows)}" for name, rows in sheets.items())[:HEAD]


def parquet_head(path: Path) -> str:
    """The first rows of a Parquet file as text. Raises `RecordError` where it is none."""
    import pyarrow.parquet as pq

    try:
        return ",".join(pq.read_schema(path).names) + "\n"
    except Exception as error:  # pyarrow raises many kinds for a file that is none, or is cut short
        raise RecordError(f"not a Parquet file: {str(error).splitlines()[0][:200]}", file=path) from error


def header_of(head: str, line: int = 0) -> list[str]:
    """The fields of a line of delimited text, stripped; empty where there is no such line."""
    lines = lines_of_tables(head)
    if line >= len(lines):
        return []
    delimiter = max(DELIMITERS, key=lines[line].count)
    try:
        return [field.strip() for field in next(csv.reader([lines[line]], delimiter=delimiter), [])]
    except csv.Error:
        return []


@lru_cache(maxsize=2)
def lines_of_tables(head: str) -> list[str]:
    """The lines of a head without those that name a sheet; kept, since every format asks for them in turn."""
    return [each for each in head.splitlines() if not each.startswith("[sheet ")]


def json_start(head: str) -> list[dict[str, object]]:
    """The first objects of a JSON list, of a document a line, or the one object: as many as the head holds whole."""
    text, decoder = head.lstrip(), json.JSONDecoder()
    found: list[dict[str, object]] = []
    at = 1 if text.startswith("[") else 0
    while len(found) < 100:
        at += len(text[at:]) - len(text[at:].lstrip(" \t\r\n,"))
        try:
            value, at = decoder.raw_decode(text, at)
        except (json.JSONDecodeError, RecursionError):
            return found
        if not isinstance(value, dict):
            return found
        found.append(value)
    return found


def seen(head: str) -> str:
    """What a file holds that no format knows, in words."""
    text = head.lstrip()
    if text.startswith("[sheet "):
        return f"a workbook whose first sheet begins {' | '.join(text.splitlines()[1:4])!r:.120}"
    if text.startswith(("{", "[")):
        keys = sorted({key for each in json_start(head)[:20] for key in each})
        empty = "JSON with nothing in it" if text.strip() in ("[]", "{}") else f"JSON beginning {text[:60]!r}"
        return f"JSON with the keys {', '.join(keys[:12])}" if keys else empty
    if HTML.match(text):
        return "a web page (HTML) under another name: export the data again, or save it as a workbook"
    if text.startswith("<"):
        names = re.findall(r"<([A-Za-z_][\w:.-]*)", text)
        return (
            f"XML with the elements {', '.join(dict.fromkeys(names[:200]))[:120]}" if names else f"text beginning {text[:60]!r}"
        )
    fields = header_of(head)
    if len(fields) > 1 and not any(field[:1].isalpha() for field in fields):
        return f"a table with no header: its first line is {', '.join(fields[:6])}"
    wanted = "; careplan's own has a time and a channel or several"
    return f"a table with the columns {', '.join(fields[:12])}{wanted}" if len(fields) > 1 else f"text beginning {text[:60]!r}"
