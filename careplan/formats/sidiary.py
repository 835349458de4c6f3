"""SiDiary's CSV, which xDrip and others write: a line a moment, with English field names in any order, times on the wall clock.

The fields are those of SiDiary's help (www.sidiary.org/help/en/_35.htm): DAY, TIME, KETONE, BG_LEVEL (mg/dL) or BG_LEVEL_MMOL,
CH_GR (g) or CH_BE_KHE (exchanges of 12 g), BOLUS, BASAL, BLOODPRESSURE, WEIGHT, REMARK; UDT_ begins a field of the user's own, of
which UDT_CGMS (mg/dL) is a sensor's.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from careplan.records.blocks import Block, each, read_blocks, where
from careplan.records.clock import DateOrder, local_times
from careplan.records.columns import Texts
from careplan.records.events import RecordError
from careplan.records.export import (
    METER,
    SENSOR,
    Array,
    ExportRows,
    Part,
    clocked,
    glucose_values,
    part_of,
    reader,
    receivers,
    scaled,
)
from careplan.records.text import normal, numbers
from careplan.records.units import MG_PER_MMOL

EXCHANGE = 12.0  # g of carbohydrate in a BE; SiDiary's default
TWICE = {"bglevelmmol": ("bglevel", 1.0), "chbekhe": ("chgr", EXCHANGE / 2)}  # the other unit, and how far rounding may part them
SUM = re.compile(r"\d+(?:[.,]\d+)?(?:\s*\+\s*\d+(?:[.,]\d+)?)*")
XDRIP = ("day", "time", "udtcgms", "bglevel", "chgr", "bolus", "remark")
FIELDS = ("udtcgms", "bglevel", "bglevelmmol", "chgr", "chbekhe", "bolus", "basal")


def recognise(head: str) -> str | None:
    """Why the first lines are those of a SiDiary file that xDrip did not write, or nothing."""
    names = names_of(head)
    if is_header(names) and names != XDRIP:
        return "its first line has SiDiary's fields (DAY, TIME and others)"
    return None


def names_of(head: str) -> tuple[str, ...]:
    """The normalised names in the first line."""
    line = head.lstrip("\ufeff").split("\n", 1)[0]
    return tuple(normal(name) for name in max((line.split(delimiter) for delimiter in ";,\t"), key=len))


def is_header(fields: Sequence[str]) -> bool:
    names = [normal(field) for field in fields]
    return (names[:2] == ["day", "time"] and any(name in FIELDS for name in names)) or (
        {"day", "time"} <= set(names) and "bglevel" in names
    )


def read_file(file: Path, zone: str, day_first: bool | None, *, always: bool | None = None) -> Part:
    """What one file holds. Raises `RecordError` where no row follows the header."""
    [block, *_] = read_blocks(file, is_header, "SiDiary's fields (DAY, TIME and others)")
    if not len(block):
        raise RecordError("a header and no row", file=file)
    days = block.texts("day")
    dotted = bool(where(days, lambda day: "." in day).any())
    local = local_times(
        list(days),
        list(block.texts("time")),
        DateOrder(day_first=day_first, usual=dotted or None, always=always),
        file=file,
        row=int(block.row[0]),
        field="DAY",
    )
    rows = clocked(block, local, zone, file, dated=["day", "time"], log=log_of(block))
    account_for(rows)
    return part_of(file, [rows], "mg/dL")


read_sidiary = reader("sidiary", read_file)


def log_of(block: Block) -> list[str]:
    """Which log a row belongs to: xDrip writes one after the other, each in its own order of time."""
    sensor, meter = block.texts("udtcgms"), block.texts("bglevel")
    return ["sensor" if a else "meter" if b else "entries" for a, b in zip(sensor, meter, strict=True)]


def account_for(rows: ExportRows) -> None:
    block = rows.block
    for name, unit, word, limits in (
        ("udtcgms", "mg/dL", "", SENSOR),
        ("bglevel", "mg/dL", "fingerstick", METER),
        ("bglevelmmol", "mmol/L", "fingerstick", METER),
    ):
        text = each(block.texts(name), marked)
        rows.report((block.texts(name) != "") & (text == ""), "no amount", name)
        value, flag = glucose_values(text, scaled(limits, unit))
        value = value * (MG_PER_MMOL if unit == "mmol/L" else 1.0)
        value, flag = receivers(value, flag) if name == "udtcgms" else (value, flag)
        flags = np.array([f"{word} {said}".strip() for said in flag], dtype=object)
        rows.add((text != "") & ~said_again(rows, name, value), "glucose", name, value, flag=flags)
    for name, channel, share in (
        ("bolus", "bolus", 1.0),
        ("basal", "long_acting", 1.0),
        ("chgr", "carbs", 1.0),
        ("chbekhe", "carbs", EXCHANGE),
    ):
        text = block.texts(name)
        amount = amounts(text) * share
        filled = (text != "") & ~said_again(rows, name, amount)
        rows.dose(filled, channel, name, amount)
        second = filled & where(text, lambda said: said.endswith("*"))
        rows.report(
            second & ~np.isnan(amount), "second insulin", name, "marked with a star: another sort, not named", action="changed"
        )
        if name == "chbekhe":
            rows.report(filled & (amount > 0), "exchanges", name, f"{EXCHANGE:g} g each", action="changed")
    for name, kind in (("ketone", "ketone"), ("bloodpressure", "blood pressure"), ("weight", "weight"), ("remark", "note")):
        for header in [header for header in block.names if header.startswith(name)]:
            rows.ignore(block.texts(header) != "", kind, header)


def said_again(rows: ExportRows, name: str, value: Array) -> NDArray[np.bool_]:
    """Where a row says in a field of `TWICE` what it says in the other unit too, `[N]`: that is taken, and each row is told.

    name: The field at hand, whose `value` `[N]` is in the other's unit. A row whose other field holds no amount says it once.
    """
    block = rows.block
    if name not in TWICE:
        return np.zeros(len(block), dtype=bool)
    first, within = TWICE[name]
    taken = glucose_values(each(block.texts(first), marked), METER)[0] if first == "bglevel" else amounts(block.texts(first))
    both = (block.texts(name) != "") & ~np.isnan(taken)
    same = np.abs(value - taken) <= within
    rows.report(both & same, "said twice", name, f"as in {block.written(first)}, in another unit")
    rows.report(both & ~same, "two amounts", name, f"not what {block.written(first)} says, which is taken")
    return both


def marked(text: str) -> str:
    """A reading without the minus signs that mark a hypoglycaemia ("60-", "47--"); "(-)" is one that was not measured."""
    return text.strip("() ").rstrip("-")


def amounts(texts: Texts) -> Array:
    """Doses: "4+7" is a correction and a meal's bolus, "6*" one of a second sort."""
    plain = each(texts, lambda text: text.rstrip("* ").strip())
    sums = each(
        plain,
        lambda text: (
            str(sum(float(part.replace(",", ".")) for part in text.split("+"))) if "+" in text and SUM.fullmatch(text) else text
        ),
    )
    return numbers(sums, decimal_comma=True)
