"""Dexcom Clarity's CSV export: a sensor's readings and what was entered on the phone or the receiver.

The clock is the device's wall clock, without a zone. Rows without a time are settings. Files of the US and of Europe differ in
the unit of glucose and in the columns of the transmitter, whose seconds tell how far apart two readings are whatever the clock
did. In other languages than English the columns stand in the same order, and the format of times in the second's header and the
unit in glucose's tell where it begins.
"""

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from careplan.records.blocks import Block, each, read_blocks, where
from careplan.records.channels import met_of
from careplan.records.clock import DateOrder, local_times, minutes_of, passes, split_stamps, to_utc
from careplan.records.devices import drop_second_device
from careplan.records.events import RecordError
from careplan.records.export import (
    SENSOR,
    ExportRows,
    Mask,
    Part,
    beside,
    glucose_values,
    part_of,
    reader,
    scaled,
    unit_of,
)
from careplan.records.insulins import channel_said
from careplan.records.raw import DELIMITERS
from careplan.records.text import beyond, normal, numbers

TIME, KIND, SUBKIND, DEVICE = "timestamp", "eventtype", "eventsubtype", "sourcedeviceid"
GLUCOSE, INSULIN, CARBS, DURATION = "glucosevalue", "insulinvalue", "carbvalue", "duration"
TICKS, TRANSMITTER = "transmittertime", "transmitterid"
PERSON = "patientinfo"
COLUMNS = (TIME, KIND, SUBKIND, DEVICE, GLUCOSE, INSULIN, CARBS, DURATION, TICKS, TRANSMITTER, PERSON)
WITHIN = pd.Timedelta(seconds=150)  # two devices show one reading of a sensor that reads every 5 min at most this far apart
TRAVEL = 15 * 60.0  # seconds: the steps in which the clocks of two zones differ
SENSOR_KINDS = ("egv", "egw")  # "estimated glucose value"; in other languages it is the kind that most readings are of
STICK = re.compile("^(?:cal|kal|etal|ijk|fasting|blood|finger)")  # a calibration in many languages, and what else is a meter's
TIMED = re.compile(r"\(\w{4}-\w{2}-\w{2}T\w{2}:\w{2}:\w{2}\)")  # "(JJJJ-MM-TTThh:mm:ss)": how the header writes the format
LENGTH = re.compile(r"\(\w{2}:\w{2}:\w{2}\)")


def recognise(head: str) -> str | None:
    """Why the first lines are those of a Clarity export, or nothing."""
    line = head.lstrip("\ufeff").split("\n", 1)[0]
    for delimiter in DELIMITERS:
        fields = line.split(delimiter)
        if is_english(fields):
            return "its first line has Clarity's columns (Timestamp, Event Type, Glucose Value)"
        if (place := by_place(fields)) is not None:
            return f"its first line has Clarity's columns in their order ({fields[place[TIME]]}, {fields[place[GLUCOSE]]})"
    return None


def is_header(fields: Sequence[str]) -> bool:
    names = [normal(field) for field in fields]
    return (any(name.startswith(TIME) for name in names) and KIND in names) or by_place(fields) is not None


def is_english(fields: Sequence[str]) -> bool:
    names = [normal(field) for field in fields]
    return all(any(name.startswith(wanted) for name in names) for wanted in (TIME, KIND, GLUCOSE))


def by_place(fields: Sequence[str]) -> dict[str, int] | None:
    """Where each column stands by the order that all languages share; None where a header is not of it."""
    time = next((place for place, field in enumerate(fields) if TIMED.search(field)), None)
    glucose = next((place for place, field in enumerate(fields) if unit_of(field) and "/min" not in field.lower()), None)
    if time is None or glucose is None or not 4 <= glucose - time <= 6 or len(fields) < glucose + 4:
        return None
    if not LENGTH.search(fields[glucose + 3]):
        return None
    found = {TIME: time, KIND: time + 1, SUBKIND: time + 2, DEVICE: glucose - 1, GLUCOSE: glucose, INSULIN: glucose + 1}
    found |= {CARBS: glucose + 2, DURATION: glucose + 3}
    after = [place for place in range(glucose + 4, len(fields)) if "/min" not in fields[place].lower()]  # but for the rate
    found |= dict(zip((TICKS, TRANSMITTER), after, strict=False))
    return found | ({PERSON: time + 3} if time + 3 < glucose - 1 else {})


def read_file(file: Path, zone: str, day_first: bool | None) -> Part:
    """What one file holds. Raises `RecordError` where a second header stands in it, the column of glucose is missing or its unit
    is not stated.
    """
    [block, *others] = read_blocks(file, is_header, "Clarity's columns Timestamp and Event Type")
    if others:
        raise RecordError("a second header", file=file, row=int(others[0].row[0]) - 1 if len(others[0]) else None)
    column = columns_of(block)
    if not block.has(column[GLUCOSE]):
        raise RecordError(
            f"expected a column 'Glucose Value', found {list(block.fields.values())}", file=file, row=1, field="Glucose Value"
        )
    unit = unit_of(block.written(column[GLUCOSE]))
    if unit is None:
        problem = "expected mg/dL or mmol/L in the header of glucose"
        raise RecordError(problem, file=file, row=1, field=block.written(column[GLUCOSE]))
    rows, timed = account_for(block, column, zone, day_first, unit, file)
    part = part_of(file, [rows], unit, person=person_of(block, column, ~timed))
    for name in (column[DEVICE], column[TRANSMITTER]):  # of a sensor, and of two that are worn while one follows the other
        drop_second_device(part.sheet, beside(part.sheet, block, name), within=WITHIN)
    return part


read_clarity = reader("clarity", read_file)


def columns_of(block: Block) -> dict[str, str]:
    """The block's normalised header of each of `COLUMNS`, by its name or else its place; the name where it is not there."""
    fields = list(block.fields.values())
    place = None if is_english(fields) else by_place(fields)
    if place is None:
        return {name: block.column(name) for name in COLUMNS}
    return {name: block.names[place[name]] if name in place else name for name in COLUMNS}


def account_for(
    block: Block, column: dict[str, str], zone: str, day_first: bool | None, unit: str, file: Path
) -> tuple[ExportRows, Mask]:
    """The rows, and where `[N]` they have a time."""
    texts = {name: block.texts(written) for name, written in column.items()}
    timed = texts[TIME] != ""
    days, clocks = split_stamps(texts.pop(TIME).tolist())
    dated = block.written(column[TIME])
    first = int(block.row[np.flatnonzero(timed)[0]]) if timed.any() else 1
    local = local_times(days, clocks, DateOrder(day_first=day_first), file=file, row=first, field=dated)
    del days, clocks
    rows = on_the_transmitters_clock(block, local, texts[TICKS], texts[TRANSMITTER], texts[DEVICE], zone, file)
    rows.ignore(~timed, "settings", column[KIND])

    kind = each(texts[KIND], fold)
    name, subkind = column[GLUCOSE], each(texts[SUBKIND], fold)
    reading, flag = glucose_values(texts[GLUCOSE], scaled(SENSOR, unit))
    words = each(texts[SUBKIND], lambda text: (beyond(text) or ("",))[0])
    for place, word in enumerate(("low", "high")):  # the word may stand in the subtype alone
        censored = (texts[GLUCOSE] == "") & (words == word)
        reading, flag = np.where(censored, scaled(SENSOR, unit)[place], reading), np.where(censored, word, flag)
    stick = timed & where(kind, lambda word: STICK.match(word) is not None)
    sensor = timed & np.isin(kind, sensor_kinds(kind[timed & ~stick & (texts[GLUCOSE] != "")]))
    rows.report(sensor & (texts[GLUCOSE] == "") & (flag == ""), "no amount", name)
    rows.add(sensor & (texts[GLUCOSE] != ""), "glucose", name, reading, flag=flag)
    rows.add(sensor & (texts[GLUCOSE] == "") & (flag != ""), "glucose", column[SUBKIND], reading, flag=flag)
    sticks = each(flag, lambda word: f"fingerstick {word}".strip())
    rows.report(stick & (texts[GLUCOSE] == ""), "no amount", name)
    rows.add(stick & (texts[GLUCOSE] != ""), "glucose", name, reading, flag=sticks)

    entries(rows, timed, kind, subkind, texts, column)
    rows.ignore(timed & (kind != ""), "event of no channel", column[KIND])
    return rows, timed


def entries(
    rows: ExportRows, timed: Mask, kind: np.ndarray, subkind: np.ndarray, texts: dict[str, np.ndarray], column: dict[str, str]
) -> None:
    """What people entered: insulin, carbs and exercise."""
    insulin, units = timed & (kind == "insulin"), numbers(texts[INSULIN], decimal_comma=True)
    name = column[INSULIN]
    rows.report(insulin & (texts[INSULIN] == ""), "no amount", name)
    insulin = timed & (texts[INSULIN] != "")
    acts = each(subkind, lambda text: channel_said(text) or "")
    for channel in ("bolus", "long_acting"):
        rows.dose(insulin & (acts == channel), channel, name, units)
    unknown = insulin & (acts == "")
    rows.report(unknown, "insulin of unknown kind", name, lambda index: f"{texts[INSULIN][index]} U of {texts[SUBKIND][index]!r}")

    eaten, grams = timed & (kind == "carbs"), numbers(texts[CARBS], decimal_comma=True)
    name = column[CARBS]
    rows.report(eaten & (texts[CARBS] == ""), "no amount", name)
    rows.dose(timed & (texts[CARBS] != ""), "carbs", name, grams)

    name, minutes = column[DURATION], minutes_of(list(texts[DURATION]))
    alone = (texts[GLUCOSE] == "") & (texts[INSULIN] == "") & (texts[CARBS] == "") & (minutes > 0)
    moved = timed & ((kind == "exercise") | (alone & (not is_english(list(rows.block.fields.values())))))
    rows.report(moved & ~(minutes > 0), "no amount", name)
    met = each(subkind, met_of).astype(float)
    rows.add(moved & (minutes > 0), "activity", name, met, duration=minutes)


def fold(text: str) -> str:
    """A word as compared: lower case, without accents and spaces."""
    return normal(unicodedata.normalize("NFKD", text)) or text.casefold()


def sensor_kinds(kinds: np.ndarray) -> tuple[str, ...]:
    """What the file calls a sensor's reading, of the kinds of the rows with glucose: a known word, or the commonest."""
    known = tuple(kind for kind in SENSOR_KINDS if (kinds == kind).any())
    return known or tuple(pd.Series(kinds).mode()[:1])


def person_of(block: Block, column: dict[str, str], settings: Mask) -> str:
    """Who the settings say it is: the first and last name and the day of birth, in this order; empty where only one is there."""
    said = [str(text) for text in block.texts(column[PERSON])[settings] if text]
    return "|".join(said).lower() if len(said) > 1 else ""


def on_the_transmitters_clock(
    block: Block, local: pd.Series, ticks: np.ndarray, transmitter: np.ndarray, device: np.ndarray, zone: str, file: Path
) -> ExportRows:
    """Rows on UTC. Where readings have their transmitter's seconds, those tell which pass of an hour that came twice it is,
    whatever the file's order; and, by the rule "device clock", that the device was on another zone's clock.

    A transmitter's start is the middle of what its readings say of it on the zone's clock; a reading that puts it `TRAVEL` or
    more away was shown on a clock that is as far away. Entries between two readings are on the clock that puts them there.
    """
    utc, skipped, unsure = to_utc(local, zone, file=file, log=list(device))
    early, late, _ = passes(local, zone, file=file)
    seconds, known = numbers(ticks, decimal_comma=True), local.notna().to_numpy(dtype=bool)
    usable = ~np.isnan(seconds) & known
    first, second = (utc.astype("int64").to_numpy() / 1e9 for utc in (early, late))
    del early, late
    clock, moved = utc.astype("int64").to_numpy() / 1e9, np.zeros(len(local))
    code = pd.factorize(transmitter)[0]
    for one in np.unique(code[usable]):
        mine = np.flatnonzero(usable & (code == one))
        sure = mine[first[mine] == second[mine]]
        if not len(sure):
            continue
        start = float(np.median((first - seconds)[sure]))
        other = np.abs((second - seconds)[mine] - start) < np.abs((first - seconds)[mine] - start)
        clock[mine] = np.where(other, second[mine], first[mine])
        unsure[mine] = False
        moved[mine] = np.round((clock[mine] - seconds[mine] - start) / TRAVEL) * TRAVEL
    for shown in pd.unique(device[usable]):
        between(np.flatnonzero(known & (device == shown)), usable, first, second, clock, moved, unsure)
    away = np.abs(moved) >= TRAVEL
    stamps = pd.Series(pd.to_datetime(np.where(known, (clock - moved) * 1e9, np.nan), utc=True)).astype("datetime64[ns, UTC]")
    rows = ExportRows(block, stamps, skipped & ~away, unsure, [columns_of(block)[TIME]])
    rows.report(
        away,
        "device clock",
        block.column(TIME),
        lambda index: f"the transmitter's seconds say the device was {moved[index] / 3600:+g} h from the zone's clock",
        action="changed",
    )
    return rows


def between(
    mine: np.ndarray, usable: Mask, first: np.ndarray, second: np.ndarray, clock: np.ndarray, moved: np.ndarray, unsure: Mask
) -> None:
    """Puts a device's rows `mine` that have no seconds of their own between the readings before and after them in the file: on
    the clock of one of these, and in the pass of an hour that came twice, that lies there."""
    ask = mine[~usable[mine]]
    have = mine[usable[mine]]
    if not len(ask) or not len(have):
        return
    true = clock - moved
    after = np.searchsorted(have, ask)
    low = np.where(after > 0, true[have[np.maximum(after - 1, 0)]], -np.inf)
    high = np.where(after < len(have), true[have[np.minimum(after, len(have) - 1)]], np.inf)
    settled = np.zeros(len(ask), dtype=bool)
    for by in (np.maximum(after - 1, 0), np.minimum(after, len(have) - 1)):
        away = moved[have[by]]
        for candidate in (first, second):
            fits = ~settled & (candidate[ask] - away >= low - 60.0) & (candidate[ask] - away <= high + 60.0)
            clock[ask[fits]], moved[ask[fits]] = candidate[ask[fits]], away[fits]
            unsure[ask[fits]] = False
            settled |= fits
