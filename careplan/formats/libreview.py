"""LibreView's CSV export: one file a person, with headers in the account's language and columns always in one order.

A line that says when the file was written, perhaps a line with the patient (LibreView Pro), then the header. The clock is the
device's wall clock, without a zone; dates, the hour and the decimal mark are written as the account has them.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from careplan.records.blocks import Block, each, read_blocks, where
from careplan.records.clock import DateOrder, local_times, split_stamps
from careplan.records.devices import drop_second_device
from careplan.records.events import RecordError
from careplan.records.export import (
    ExportRows,
    Mask,
    Part,
    beside,
    clocked,
    glucose_values,
    part_of,
    reader,
    scaled,
    unit_of,
)
from careplan.records.sheet import Sheet
from careplan.records.text import normal, numbers

# Where each column stands, whatever its name.
(
    DEVICE,
    SERIAL,
    TIME,
    TYPE,
    HISTORIC,
    SCAN,
    RAPID_TICK,
    RAPID,
    FOOD_TICK,
    CARBS,
    SERVINGS,
    LONG_TICK,
    LONG,
    NOTES,
    STRIP,
    KETONE,
) = range(16)
PARTS = (16, 17, 18)  # what a dose of rapid insulin was for: meal, correction, the person's own change
COLUMNS = 16
KINDS = {0: HISTORIC, 1: SCAN, 2: STRIP}
LIMITS = (40.0, 500.0)  # mg/dL: the ends of the sensor's range
STRIP_LIMITS = (20.0, 500.0)  # mg/dL: of the meter in the reader
UNIT_TELLS = 40.0  # no reading in mmol/L is as large
NEAR = pd.Timedelta(minutes=7.5)  # history comes every 15 min at most: a scan this near shows the same


def recognise(head: str) -> str | None:
    """Why the first lines are those of a LibreView export, or nothing."""
    lines = [] if head.lstrip().startswith(("{", "[")) else head.lstrip("\ufeff").splitlines()[:5]
    for line in lines:
        fields = max((line.split(delimiter) for delimiter in ",;\t"), key=len)
        if is_header(fields) and (
            unit_of(fields[HISTORIC]) or "mmol" in fields[KETONE].lower() or normal(fields[TYPE]) == "recordtype"
        ):
            return "its header has LibreView's columns in their order, glucose in the fifth and ketones in the sixteenth"
    return None


def is_header(fields: Sequence[str]) -> bool:
    """Whether a line is the header: the only one that fills all of the first sixteen columns."""
    return len(fields) >= COLUMNS and all(field.strip() for field in fields[:COLUMNS])


def read_file(file: Path, zone: str, day_first: bool | None) -> Part:
    """What one file holds. Raises `RecordError` where a second header stands in it or no row follows the header."""
    blocks = read_blocks(file, is_header, "LibreView's header (device, serial number, time, record type and so on)")
    if len(blocks) > 1:
        raise RecordError("a second header", file=file, row=int(blocks[1].row[0]) - 1 if len(blocks[1]) else None)
    block = blocks[0]
    names = block.names
    texts = [block.texts(names[place]) if place < len(names) else np.full(len(block), "", dtype=object) for place in range(19)]
    if not len(block):
        raise RecordError("a header and no row", file=file)
    days, clocks = split_stamps(texts[TIME].tolist())
    first = int(block.row[0])
    stamped = next((field for line in block.above for field in line if any(sign.isdigit() for sign in field)), "")
    order = DateOrder(day_first=day_first, stamped=stamped.strip())
    local = local_times(days, clocks, order, file=file, row=first, field=names[TIME])
    del days, clocks
    log = [f"{serial}|{kind}" for serial, kind in zip(texts[SERIAL], texts[TYPE], strict=True)]
    rows = clocked(block, local, zone, file, dated=[names[TIME]], log=log)
    unit = account_for(rows, names, texts, file)
    part = part_of(file, [rows], unit, person=person_of(block))
    flag_limits(part.sheet)
    del rows, texts, local, log
    one_sensor(part.sheet, block)
    return part


read_libreview = reader("libreview", read_file)


def account_for(rows: ExportRows, names: list[str], texts: list[np.ndarray], file: Path) -> str:
    """Takes every row by its record type; returns the unit of glucose. Raises `RecordError` where many types are unknown."""
    kind = numbers(texts[TYPE])
    kind[shifted(rows, kind, texts, names, file)] = np.nan
    unit = unit_of(rows.block.written(names[HISTORIC])) or unit_by_size(texts)
    for number, place in KINDS.items():
        mine = kind == number
        limits = scaled(STRIP_LIMITS if number == 2 else LIMITS, unit)
        value, flag = glucose_values(texts[place], limits)
        if number == 2:
            flag = each(flag, lambda word: f"fingerstick {word}".strip())
        if number == 1:
            viewed = mine & where(texts[DEVICE], lambda text: "libre 3" in text.lower())
            rows.report(viewed, "scan of Libre 3", names[place], lambda index: f"a view of the history: {texts[SCAN][index]!r}")
            mine &= ~viewed
        rows.report(mine & (texts[place] == ""), "no amount", names[place])
        rows.add(mine & (texts[place] != ""), "glucose", names[place], value, flag=flag)
    rows.ignore(kind == 3, "ketone", names[KETONE])

    entered = np.isin(kind, (4, 5, 6))
    amounts = {place: numbers(texts[place], decimal_comma=True) for place in (RAPID, LONG, CARBS, *PARTS)}
    parts = np.nansum([amounts[place] for place in PARTS], axis=0)
    split_only = entered & (texts[RAPID] == "") & (parts > 0)
    rows.add(split_only, "bolus", names[min(PARTS[0], len(names) - 1)], parts)
    for place, channel in ((RAPID, "bolus"), (LONG, "long_acting"), (CARBS, "carbs")):
        rows.dose(entered & (texts[place] != ""), channel, names[place], amounts[place])
    for tick, place in ((RAPID_TICK, RAPID), (LONG_TICK, LONG), (FOOD_TICK, CARBS)):
        only = entered & (texts[tick] != "") & (texts[place] == "")
        if place == RAPID:
            only &= ~split_only
        rows.report(only, "tick without amount", names[tick])
    rows.report(entered & (texts[SERVINGS] != "") & (texts[CARBS] == ""), "servings", names[SERVINGS])
    rows.report(np.isin(kind, (4, 5)) & ~rows.used, "no amount", names[TYPE])
    rows.ignore(kind == 6, "note", names[NOTES])
    known = np.isin(kind, range(7))
    rows.report(~known & ~rows.used, "unknown record type", names[TYPE])
    if (~known).sum() > max(2, 0.2 * len(known)):
        row = int(rows.block.row[np.flatnonzero(~known)[0]])
        raise RecordError("expected a record type from 0 to 6", file=file, row=row, field=rows.block.written(names[TYPE]))
    return unit


def shifted(rows: ExportRows, kind: np.ndarray, texts: list[np.ndarray], names: list[str], file: Path) -> Mask:
    """Rule "shifted row": `[N]` a reading that fills another kind's column too, as by a decimal comma between commas. Raises
    `RecordError` where so many are shifted that the file must have decimal commas between commas.
    """
    found = np.zeros(len(kind), dtype=bool)
    for number, own in {**KINDS, 3: KETONE}.items():
        others = [texts[place] != "" for place in range(HISTORIC, COLUMNS) if place not in (own, NOTES)]
        found |= (kind == number) & np.any(others, axis=0)
    rows.report(found, "shifted row", names[TYPE], "a reading fills the column of another kind too")
    if found.sum() > max(1, 0.05 * len(kind)):
        row = int(rows.block.row[np.flatnonzero(found)[0]])
        problem = "readings fill columns of other kinds (a decimal comma between commas?)"
        raise RecordError(problem, file=file, row=row, field=rows.block.written(names[TYPE]))
    return found


def unit_by_size(texts: list[np.ndarray]) -> str:
    """The unit of glucose where the header does not say: no reading in mmol/L is 40 or more."""
    every = np.concatenate([numbers(texts[place], decimal_comma=True) for place in KINDS.values()])
    return "mg/dL" if (every >= UNIT_TELLS).any() else "mmol/L"


def person_of(block: Block) -> str:
    """Whom the lines above the header name: who wrote the file, and in LibreView Pro the patient."""
    if not block.above:
        return ""
    named = [block.above[0][-1], *(field for line in block.above[1:] for field in line)]
    return "|".join(field.strip() for field in named if field.strip()).lower() if len(block.above[0]) > 4 else ""


def flag_limits(sheet: Sheet) -> None:
    """Readings at or beyond an end of the range are censored: LibreView writes them as the end, or as what the sensor said."""
    cells = sheet.cells
    value, flag = cells["value"].to_numpy(dtype=float), cells["flag"].astype(str)
    stick = flag.str.contains("fingerstick").to_numpy(dtype=bool)
    open_ = sheet.of("glucose") & ~flag.str.contains("low|high").to_numpy(dtype=bool)
    low = open_ & (value <= np.where(stick, STRIP_LIMITS[0], LIMITS[0]))
    high = open_ & (value >= LIMITS[1])
    for mask, word in ((low, "low"), (high, "high")):
        cells.loc[mask, "flag"] = (flag[mask] + " " + word).str.strip()
    absurd = low & (value < STRIP_LIMITS[0])
    cells.loc[absurd, "value"] = np.where(stick, STRIP_LIMITS[0], LIMITS[0])[absurd]


def one_sensor(sheet: Sheet, block: Block) -> None:
    """Rule "scan repeats history": a scan within 7.5 min of a reading of the history shows the same sensor, and counts only
    where the history has a gap. Rule "two devices": the history that a phone and a reader both kept counts once."""
    cells = sheet.cells
    scan = (beside(sheet, block, block.names[TYPE]) == "1").to_numpy(dtype=bool) & sheet.of("glucose")
    stick = cells["flag"].str.contains("fingerstick").to_numpy(dtype=bool)
    dated = cells["time"].notna().to_numpy(dtype=bool)
    history = sheet.of("glucose") & ~scan & ~stick & dated
    asked = cells[scan & dated][["time"]].assign(place=np.flatnonzero(scan & dated)).sort_values("time")
    known = pd.DataFrame({"time": cells["time"][history].sort_values()}).assign(near=True)
    found = pd.merge_asof(asked, known, on="time", direction="nearest", tolerance=NEAR)
    again = np.zeros(len(cells), dtype=bool)
    again[found["place"][found["near"].notna()]] = True
    sheet.drop(again, "scan repeats history")
    device = beside(sheet, block, block.names[SERIAL])
    readings = sheet.cells[sheet.of("glucose")].assign(device=device).sort_values("time", kind="stable")
    apart = readings.groupby("device")["time"].diff().dt.total_seconds().median()
    close = pd.Timedelta(minutes=2.5) if apart < 8 * 60.0 else NEAR
    drop_second_device(sheet, device, within=close)
