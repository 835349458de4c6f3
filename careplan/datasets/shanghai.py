"""ShanghaiT1DM and ShanghaiT2DM: a workbook a person and stay, a row every 15 min (Zhao 2023, doi 10.1038/s41597-023-01940-7).

Sensor glucose (FreeStyle Libre) and finger sticks in mg/dL, injections and infusions in words, the pump's boluses and rates in
numbers. Meals are in words, without carbs. The file's name begins with the person's number and that of the stay.
"""

import re
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

import numpy as np

from careplan.records.blocks import Block, each
from careplan.records.clock import DateOrder, local_times, split_stamps
from careplan.records.correction import Correction
from careplan.records.events import RecordError
from careplan.records.export import Array, ExportRows, Mask, Part, add_cells, clocked, glucose_values, latest_of, part_of, reader
from careplan.records.insulins import known_insulin
from careplan.records.pump import PumpLog
from careplan.records.text import normal, numbers
from careplan.records.workbook import Cell, as_text, open_workbook, sheet_rows

COLUMNS = ("date", "cgm", "cbg", "ketone", "meal", "meal in Chinese", "injected", "tablets", "bolus", "basal", "infused")
BEGINS = ("date", "cgm", "cbg", "bloodketone", "dietaryintake")  # how the first headers begin, which are the same in every file
NAMED = re.compile(r"(\d+)_\d+_\d{8}")
LIMITS = (40.0, 500.0)  # mg/dL: the ends of the sensor's range
DOSES = re.compile(r"\s*(?P<name>[^,;]+?)\s*(?:,\s*|\s+)(?P<units>\d+(?:\.\d+)?)\s*(?:IU|U)\b\s*[,;]?", re.IGNORECASE)
PUMP = re.compile(r"\(([^,()]*\w)[\s,]+IU")  # "(Novolin R, IU)" in the header of what the pump gave
STOPPED = re.compile("suspend", re.IGNORECASE)
NOTHING = {"", "data not available", "未记录", "not available", "none", "/"}


def recognise(head: str) -> str | None:
    """Why a workbook is one of these, by the first line of its first sheet; None where it is not."""
    header = next((line for line in head.splitlines()[:2] if not line.startswith("[sheet ")), "")
    return "its columns are those of the Shanghai data sets (CGM, CBG, Dietary intake)" if is_header(header.split(",")) else None


def is_header(fields: list[str]) -> bool:
    return all(normal(field).startswith(name) for field, name in zip(fields, BEGINS, strict=False)) and len(fields) >= 10


def read_file(file: Path, zone: str, day_first: bool | None) -> Part:
    block = block_of(file)
    days, clocks = split_stamps(list(block.texts("date")))
    local = local_times(
        days,
        clocks,
        DateOrder(day_first=day_first, usual=False),
        file=file,
        row=int(block.row[0]),
        field=block.written("date"),
    )
    rows, log = clocked(block, local, zone, file, dated=["date"]), PumpLog(file.name)
    glucose(rows)
    injections(rows)
    pump(rows, log)
    said = beside(rows)
    part = part_of(file, [rows], "mg/dL")
    add_cells(part, *log.cells(latest_of([rows])))
    part.sheet.corrections += said
    if match := NAMED.match(file.stem):
        part.person, part.name = match[1], f"shanghai-{match[1]}"
    return part


read_shanghai = reader("shanghai", read_file, patterns=("*_*_*.xls*",), home="Asia/Shanghai")


def block_of(file: Path) -> Block:
    """The rows of the first sheet. Raises `RecordError` where the header is another or no row follows it."""
    workbook = open_workbook(file)
    cells = sheet_rows(workbook, workbook.sheet_names[0], file)
    header = [as_text(cell) for cell in cells[0]] if cells else []
    if not is_header(header):
        raise RecordError(f"expected the columns Date, CGM, CBG, Blood Ketone and so on; found {header[:12]}", file=file, row=1)
    rows = [(line, row) for line, row in enumerate(cells[1:], start=2) if any(cell != "" for cell in row)]
    if not rows:
        raise RecordError("a header and no row", file=file, row=1)
    columns = {
        name: np.array([*(written(row[place]) if place < len(row) else "" for _, row in rows), None], dtype=object)[:-1]
        for place, name in enumerate(COLUMNS)
    }
    said = {name: header[place] if place < len(header) else name for place, name in enumerate(COLUMNS)}
    lines = np.array([line for line, _ in rows], dtype=np.int64)
    return Block(file, (), said, tuple(range(len(COLUMNS))), columns, lines, ",")


def written(cell: Cell) -> str:
    """A cell as text, blanks of any kind as one; a date without a time of day is midnight."""
    text = as_text(cell)
    return f"{text} 00:00:00" if isinstance(cell, date) and not isinstance(cell, datetime) else " ".join(text.split())


def glucose(rows: ExportRows) -> None:
    """The sensor's readings, censored at the ends of its range, and finger sticks."""
    for name, word in (("cgm", ""), ("cbg", "fingerstick")):
        text = rows.block.texts(name)
        value, flag = glucose_values(text, LIMITS)
        if name == "cgm":
            for beyond, end in ((value <= LIMITS[0], "low"), (value >= LIMITS[1], "high")):
                flag = np.where((flag == "") & beyond, end, flag)
        flags = np.array([f"{word} {said}".strip() for said in flag], dtype=object)
        rows.add(text != "", "glucose", name, value, flag=flags)


def injections(rows: ExportRows) -> None:
    """Injections in words: "insulin glargine, 14 IU, Humulin 70/30, 12 IU" is two. Rules "unknown insulin": a name that no table
    has; "not understood": words that are no name and units; "intravenous": an infusion, which no channel holds."""
    text = rows.block.texts("injected")
    for index in np.flatnonzero(text != ""):
        here = np.arange(len(text)) == index
        doses = list(doses_in(text[index]))
        if not doses:
            rows.report(here, "not understood", "injected")
        for name, units in doses:
            if (insulin := known_insulin(name)) is None:
                rows.report(here, "unknown insulin", "injected", f"{units:g} U of {name!r}: which is it?")
                continue
            for channel, part in insulin.split(units):
                rows.add(here, channel, "injected", part, product=insulin.name)
    infused = rows.block.texts("infused")
    rows.report(infused != "", "intravenous", "infused")


def doses_in(text: str) -> Iterator[tuple[str, float]]:
    """Names and units; nothing where a part of the text is neither."""
    found, at = [], 0
    while at < len(text):
        match = DOSES.match(text, at)
        if match is None:
            return
        found.append((match["name"], float(match["units"])))
        at = match.end()
    yield from found


def pump(rows: ExportRows, log: PumpLog) -> None:
    """The pump's boluses, and its rates, each until the next; "temporarily suspend" is a rate of 0."""
    text, product = rows.block.texts("bolus"), brand(rows.block.written("bolus"))
    rows.dose(text != "", "bolus", "bolus", numbers(text), product=product)
    rates = rows.block.texts("basal")
    rate: Array = np.where(each(rates, lambda said: STOPPED.search(said) is not None).astype(bool), 0.0, numbers(rates))
    sound: Mask = (rate >= 0) & (rate <= 35.0)
    rows.report((rates != "") & ~sound, "not a number", "basal")
    log.gather(log.changes, rows, sound, value=rate)


def brand(header: str) -> str:
    """The insulin that a header says the pump holds."""
    return match[1] if (match := PUMP.search(header)) else ""


def beside(rows: ExportRows) -> list[Correction]:
    """What stands beside the rest of a row and has no channel, a line a kind: meals in words, tablets, ketones."""
    found = []
    for name, kind in (("meal", "meal in words"), ("tablets", "tablets"), ("ketone", "ketone")):
        text = rows.block.texts(name)
        filled = ~each(text, lambda said: said.lower() in NOTHING).astype(bool)
        if filled.any():
            first = int(np.flatnonzero(filled)[0])
            detail = f"{int(filled.sum()):,} of no channel, the first {text[first]!r:.80}"
            row = int(rows.block.row[first])
            found.append(Correction("dropped", kind, rows.block.file.name, row, rows.block.written(name), detail))
        rows.ignore(filled, kind, name)
    return found
