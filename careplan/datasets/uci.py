"""The diabetes files of the UCI repository: finger sticks, insulin and notes of 1988 to 1991 (Kahn 1994, doi 10.24432/C5T59G).

A file a person, without a header: date (month first), time of day, code and value, by tabs. Some of the people kept records on
paper, whose times are those of meals and bedtime rather than of the event. What meals and exercise held is not said.
"""

import re
from pathlib import Path

import numpy as np

from careplan.records.blocks import Block, each, where
from careplan.records.clock import DateOrder, local_times
from careplan.records.events import RecordError
from careplan.records.export import ExportRows, Part, clocked, glucose_values, part_of, reader
from careplan.records.text import LONG, check_lines, numbers, read_text

LINE = re.compile(r"\d{1,2}-\d{1,2}-\d{4}\t *\d{1,2}:\d{1,2}\t\d*\t[^\t]*")
COLUMNS = ("date", "time", "code", "value")
INSULINS = {"33": ("bolus", "Regular"), "34": ("long_acting", "NPH"), "35": ("long_acting", "Ultralente")}
GLUCOSE = ("48", "57", "58", "59", "60", "61", "62", "63", "64")
NOTES = {
    **{"65": "symptoms", "66": "meal without an amount", "67": "meal without an amount", "68": "meal without an amount"},
    **{"69": "exercise without a length", "70": "exercise without a length", "71": "exercise without a length", "72": "note"},
}
METER = (20.0, 500.0)  # mg/dL: the electronic devices write 19 and 501 for what lies beyond
PADDED = re.compile(r"0+(?=\D)")  # "0Hi"


def recognise(head: str) -> str | None:
    """Why a file is one of these, by its first lines; None where it is not."""
    lines = [line for line in head.lstrip("\ufeff").splitlines()[:20] if line.strip()]
    fits = sum(LINE.fullmatch(line) is not None for line in lines)
    if not lines or fits < max(1, len(lines) - 2):
        return None
    return "its lines are a date, a time, a code and a value, by tabs, as in the UCI repository's diabetes files"


def read_file(file: Path, zone: str, day_first: bool | None) -> Part:
    block = block_of(file)
    local = local_times(
        list(block.texts("date")),
        list(block.texts("time")),
        DateOrder(day_first=day_first, usual=False),  # the set's description says so
        file=file,
        row=int(block.row[0]),
        field="date",
    )
    rows = clocked(block, local, zone, file, dated=["date", "time"])
    account_for(rows)
    part = part_of(file, [rows], "mg/dL")
    part.name = f"uci-{number[0]}" if (number := re.search(r"\d+", file.stem)) else ""
    return part


read_uci = reader("uci", read_file, patterns=("data-*",))


def block_of(file: Path) -> Block:
    """The file's rows; those with more or fewer than four fields are long, or short of a value. Raises `RecordError` where no
    line has the four fields, or many have more.
    """
    rows, lines, long = [], [], []
    whole = read_text(file)
    check_lines(whole, file)
    for line, text in enumerate(whole.splitlines(), start=1):
        fields = [field.strip() for field in text.split("\t")]
        if len(fields) > len(COLUMNS):
            long.append(line)
        elif any(fields):
            rows.append(fields + [""] * (len(COLUMNS) - len(fields)))
            lines.append(line)
    if not any(LINE.fullmatch("\t".join(row)) for row in rows):
        raise RecordError("expected lines of a date, a time, a code and a value, by tabs; found none", file=file, row=1)
    if len(long) > 0.05 * (len(rows) + len(long)):
        raise RecordError(f"{len(long)} rows have more than {len(COLUMNS)} fields", file=file, row=long[0])
    columns = {name: np.array([*(row[place] for row in rows), None], dtype=object)[:-1] for place, name in enumerate(COLUMNS)}
    named = {name: name for name in COLUMNS}
    return Block(file, (), named, (0, 1, 2, 3), columns, np.array(lines, dtype=np.int64), "\t", dict.fromkeys(long, LONG))


def account_for(rows: ExportRows) -> None:
    """Every row by its code."""
    code, text = rows.block.texts("code"), rows.block.texts("value")
    value = numbers(text)
    for number, (channel, product) in INSULINS.items():
        mine = code == number
        rows.report(mine & (text == ""), "no amount", "value")
        rows.dose(mine & (text != ""), channel, "value", value, product=product)
    stick = np.isin(code, GLUCOSE)
    level, flag = glucose_values(each(text, lambda said: PADDED.sub("", said)), METER)
    for beyond, word, limit in ((level < METER[0], "low", METER[0]), (level > METER[1], "high", METER[1])):
        level, flag = np.where(beyond & (level > 0), limit, level), np.where(beyond & (level > 0), word, flag)
    rows.report(stick & (text == ""), "no amount", "value")
    rows.add(stick & (text != ""), "glucose", "value", level, flag=each(flag, lambda word: f"fingerstick {word}".strip()))
    for number, kind in NOTES.items():
        rows.ignore(code == number, kind, "code")
    rows.ignore(where(code, str.isdigit), "undocumented code", "code")
    rows.report(~rows.used, "no code", "code")
