"""The bytes of a file, and the text in them before anything is known of its format."""

import csv
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from careplan.records.events import RecordError

MOST_BYTES = 256 * 2**20  # of a file: a year of five-minute readings with all else that a pump logs takes 40 MiB
MOST_LINE = 2**18  # characters of a delimited line: a header of ten thousand columns
DELIMITERS = ",;\t|"
XLSX, XLS, PARQUET = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"PAR1"
SEPARATOR = re.compile(r"\A\ufeff?\"?sep=.\"?[ \t,;]*\r?\n?", re.IGNORECASE)
EMPTY = re.compile(r"(?m)^\x00+|\x00+$")  # what a file system leaves where nothing was written, between lines
FIRST = 100  # lines that tell whether each is one quoted field


def read_bytes(path: Path) -> bytes:
    """The bytes of a file; raises `RecordError` where it cannot be read, is empty, a pipe or a device, or has over
    `MOST_BYTES`.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise RecordError("expected a file, found a folder, a pipe or a device", file=path)
        if status.st_size > MOST_BYTES:
            raise RecordError(f"{status.st_size / 2**20:,.0f} MiB; no recording has over {MOST_BYTES / 2**20:g}", file=path)
        data = path.read_bytes()
    except OSError as error:
        raise RecordError(f"cannot be read: {error.strerror}", file=path) from error
    if not data.strip():
        raise RecordError("the file is empty", file=path)
    return data


def encoding_of(data: bytes) -> str:
    """UTF-16 by its byte order mark, or where every other of the first bytes is 0; else UTF-8."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    start = data[:400]
    for encoding, zeros in (("utf-16-le", start[1::2]), ("utf-16-be", start[0::2])):
        if len(zeros) > 4 and zeros.count(0) > 0.9 * len(zeros):
            return encoding
    return "utf-8-sig"


def bare(text: str) -> str:
    """A text whose first line is not the one by which spreadsheets are told the delimiter ("sep=;"), without what was never
    written, and with its lines out of the quotes of `is_one_column`; lines keep their numbers."""
    text = SEPARATOR.sub("\n", text, count=1)
    if "\x00" in text:
        text = EMPTY.sub("", text)
    if is_one_column(text):
        text = "".join(f"{fields[0] if fields else ''}\n" for fields in csv.reader(lines_of(text)))
    return text


def is_one_column(text: str) -> bool:
    """Whether each of the first lines is one field, in quotes where it has a delimiter in it: so a spreadsheet saves delimited
    text that it kept in one column."""
    if '"' not in text[:4096]:
        return False
    lines = [line for line in text[: 1 << 16].splitlines()[:FIRST] if line.strip()]
    quoted = [line for line in lines if line.lstrip("\ufeff").startswith('"') and line.strip('",; ')]
    try:
        found = [fields for line in quoted[:-1] or quoted for fields in csv.reader([line.lstrip("\ufeff")])]
    except csv.Error:
        return False
    whole = all(fields[0].count(",") + fields[0].count(";") + fields[0].count("\t") and not any(fields[1:]) for fields in found)
    rest = (line for line in lines if not line.lstrip("\ufeff").startswith('"'))
    return bool(found) and whole and not any(sign in line.rstrip(DELIMITERS) for line in rest for sign in DELIMITERS)


def lines_of(text: str) -> Iterator[str]:
    """The lines with their ends, without a copy of the whole. Raises `csv.Error` where a line is longer than any row."""
    begin = 0
    while begin < len(text):
        end = text.find("\n", begin) + 1 or len(text)
        if end - begin > MOST_LINE:
            raise csv.Error(f"a line of {end - begin:,} characters")
        yield text[begin:end]
        begin = end
