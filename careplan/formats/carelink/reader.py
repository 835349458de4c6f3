"""Medtronic CareLink's CSV export, of the pumps of the 600 and 700 series; those before them are read by `carelink.old`.

Lines about the patient, then a section for the pump, perhaps one for what its algorithm gave each day, and one for the sensor,
each with its own header. Rows come newest first or in any order, on the pump's wall clock. The US write commas, Europe
semicolons and decimal commas; glucose may be in either unit.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from careplan.formats.carelink import old as carelink_old
from careplan.formats.carelink.bolus import boluses
from careplan.formats.carelink.device_clock import Setting, set_clock_to_utc
from careplan.records.blocks import SECTION, Block, read_blocks
from careplan.records.clock import DateOrder, local_times, minutes_of, split_stamps
from careplan.records.events import RecordError
from careplan.records.export import (
    SENSOR,
    ExportRows,
    Mask,
    Part,
    add_cells,
    glucose_values,
    latest_of,
    part_of,
    reader,
    scaled,
    unit_of,
)
from careplan.records.pump import SECONDS, PumpLog
from careplan.records.sheet import Sheet
from careplan.records.text import normal, numbers

# Normalised headers, and where the column stands in a header of another language.
COLUMNS = {
    "newdevicetime": 3,
    "bgreading": 5,
    "basalrate": 7,
    "tempbasalamount": 8,
    "tempbasaltype": 9,
    "tempbasalduration": 10,
    "bolustype": 11,
    "bolusvolumeselected": 12,
    "bolusvolumedelivered": 13,
    "bolusduration": 14,
    "primevolumedelivered": 16,
    "alert": 18,
    "suspend": 20,
    "rewind": 21,
    "bwzcarbinput": 27,
    "bwzstatus": 32,
    "sensorcalibrationbg": 33,
    "sensorglucose": 34,
    "isigvalue": 35,
    "eventmarker": 36,
    "bolusnumber": 37,
    "boluscancellationreason": 38,
    "bolussource": 45,
    "sensorexception": 51,
}
ALIASES = {"bolusduration": ("programmedbolusduration",), "alert": ("alarm",)}
PLACES = {1, 2, *COLUMNS.values(), *carelink_old.PLACES}
NAMES = (*COLUMNS, *(name for names in ALIASES.values() for name in names))
RUNS = re.compile(r"normal_pumping|resume|restart", re.IGNORECASE)
MEAL = re.compile(r"meal:?\s*([\d.,]+)\s*g", re.IGNORECASE)
INSULIN = re.compile(r"insulin:?\s*([\d.,]+)", re.IGNORECASE)
SAME_STICK = pd.Timedelta(minutes=5)  # a measurement sent to calibrate the sensor is logged again within this
DAY_TOTAL = "CLOSED_LOOP_AUTO_INSULIN"
TOTALS = "aggregatedautoinsulin"  # how the line before a section of nothing but days' totals names it


def recognise(head: str) -> str | None:
    """Why the first lines are those of a CareLink export, or nothing."""
    lines = head.lstrip("\ufeff").splitlines()[:60]
    for line in lines:
        plain = normal(line)
        if line.startswith(SECTION) and ("pump" in plain or "sensor" in plain):
            return "a line of dashes begins a section of CareLink's (Pump or Sensor)"
        if plain.startswith("index") and carelink_old.RAW_TYPE in plain:
            return "its header has the columns of a CareLink of the Paradigm's time (Index, Raw-Type)"
        if plain.startswith("indexdatetime") and "bolus" in plain:
            return "its header begins as CareLink's does (Index, Date, Time)"
    return carelink_old.recognise(lines)


def is_header(fields: Sequence[str]) -> bool:
    """Whether a line is a header: many words, and no number among the first, where rows have an index, a date and a time."""
    filled = [field for field in fields if field.strip()]
    return len(filled) >= 15 and not any(sign.isdigit() for field in fields[:3] for sign in field)


def read_file(file: Path, zone: str, day_first: bool | None) -> Part:
    """What one file holds. Raises `RecordError` where there is no row or the columns are not CareLink's."""
    blocks = read_blocks(file, is_header, "CareLink's header (Index, Date, Time and so on)", keep=wanted)
    if not any(len(block) for block in blocks):
        raise RecordError("a header and no row", file=file)
    old = [carelink_old.is_old(block) for block in blocks]
    if not any(old) and not any(is_english(block) or len(block.places) >= len(PLACES) - 3 for block in blocks):
        raise RecordError(f"expected CareLink's columns, found {list(blocks[0].fields.values())[:20]}", file=file)
    locals_ = wall_clocks(blocks, file, day_first)
    log = PumpLog(file.name)
    sections, regimen = [], None
    for block, local, settings, is_old in zip(blocks, locals_, clock_settings(blocks, locals_), old, strict=True):
        latest = max((each.max() for each in locals_ if each.notna().any()), default=pd.Timestamp(0))
        rows = ExportRows(block, *set_clock_to_utc(local, settings, zone, latest=latest, file=file), [block.at(1), block.at(2)])
        if is_old:
            regimen = carelink_old.account_for(rows, log) or regimen
        else:
            account_for(rows, log, zone)
        sections.append(rows)
    part = part_of(file, sections, unit_in(blocks), person=person_of(blocks[0]), regimen=regimen)
    add_cells(part, *log.cells(latest_of(sections)))
    repeated_sticks(part.sheet)
    return part


read_carelink = reader("carelink", read_file)


def is_english(block: Block) -> bool:
    """Whether the columns are known by their names; else they are by their places."""
    return any(block.has(block.column(name)) for name in ("bolusvolumedelivered", "sensorglucose"))


def wanted(place: int, name: str) -> bool:
    return place in PLACES or name.startswith(NAMES)


def wall_clocks(blocks: list[Block], file: Path, day_first: bool | None) -> list[pd.Series]:
    """Local times of each block, the order of dates read from them together."""
    days = [block.texts(block.at(1)) for block in blocks]
    clocks = [block.texts(block.at(2)) for block in blocks]
    first = next(int(block.row[0]) for block in blocks if len(block))
    slashed = any("/" in day for each in days for day in each[:1])
    above = [field for line in blocks[0].above for field in line]
    stamped = next((field for field in reversed(above) if re.match(r"\s*\d{1,4}[/.\-]\d{1,2}[/.\-]\d", field)), "")
    usual = False if blocks[0].delimiter == "," and slashed else None  # with commas and slashes it is the US that wrote it
    every = local_times(
        list(np.concatenate(days)),
        list(np.concatenate(clocks)),
        DateOrder(day_first=day_first, stamped=stamped.strip(), usual=usual),
        file=file,
        row=first,
        field=blocks[0].written(blocks[0].at(1)),
    )
    ends = np.cumsum([0, *map(len, days)])
    return [every.iloc[begin:end].reset_index(drop=True) for begin, end in pairwise(ends)]


def device_of(block: Block) -> str:
    """The model that a section is of, as its line of dashes names it."""
    lines = [line for line in block.above if line and line[0].startswith(SECTION)]
    return lines[-1][1].strip() if lines and len(lines[-1]) > 1 else ""


def clock_settings(blocks: list[Block], locals_: list[pd.Series]) -> list[list[Setting]]:
    """For each block, when the clock of its device was set, and to what."""
    found: dict[str, list[Setting]] = {}
    for block, local in zip(blocks, locals_, strict=True):
        name = block.column("newdevicetime")
        texts = block.texts(name if block.has(name) else block.at(carelink_old.NEW_TIME if carelink_old.is_old(block) else 3))
        for index in np.flatnonzero(texts != ""):
            new = read_setting(texts[index], local.iloc[index])
            if new is not None:
                found.setdefault(device_of(block), []).append(Setting(local.iloc[index], new))
    return [found.get(device_of(block), []) for block in blocks]


def read_setting(text: str, old: pd.Timestamp) -> pd.Timestamp | None:
    """The time a clock was set to; of a date that may be day or month first, the one nearer to the time before."""
    days, clocks = split_stamps([text])
    if not clocks[0]:
        return None
    orders = [DateOrder(day_first=first, usual=first) for first in (True, False)]
    read = [local_times(days, clocks, order, file="", row=0, field="")[0] for order in orders]
    dated = [time for time in read if not pd.isna(time)]
    return min(dated, key=lambda time: abs(time - old)) if dated and not pd.isna(old) else None


def unit_in(blocks: list[Block]) -> str:
    """The unit of glucose that the headers name; mg/dL where none does."""
    units = [unit_of(header) for block in blocks for name, header in block.fields.items() if "glucose" in name or "bg" in name]
    return next(
        (unit for unit in units if unit), next((u for b in blocks for h in b.fields.values() if (u := unit_of(h))), "mg/dL")
    )


def person_of(block: Block) -> str:
    """Who the lines above the first header say it is, by the names under "Last Name" and "First Name"."""
    lines = list(block.above)
    for names, values in pairwise(lines):
        said = dict(zip(map(normal, names), values, strict=False))
        parts = [said.get(name, "").strip() for name in ("lastname", "firstname", "patientid")]
        if any(parts[:2]):
            return "|".join(parts).lower()
    return ""


def account_for(rows: ExportRows, log: PumpLog, zone: str) -> None:
    """Every row of a section."""
    block = rows.block
    english = is_english(block)
    name = {key: block.column(key, *ALIASES.get(key, ())) if english else block.at(place) for key, place in COLUMNS.items()}
    text = {key: block.texts(written) for key, written in name.items()}
    rows.report(text["newdevicetime"] != "", "clock set", name["newdevicetime"], action="changed")

    readings(rows, name, text)
    totals = (text["bolussource"] == DAY_TOTAL) | any(TOTALS in normal("".join(line)) for line in block.above[-1:])
    total_days(rows, log, totals, numbers(text["bolusvolumedelivered"], decimal_comma=True), text["bolussource"], zone)
    rows.ignore(totals, "daily total", name["bolusvolumedelivered"])
    boluses(rows, name, {key: np.where(totals, "", each) for key, each in text.items()})
    basal(rows, log, name, text)
    looped = ~totals & np.array(["CLOSED_LOOP" in source.upper() for source in text["bolussource"]], dtype=bool)
    log.automatic.append(rows.time[looped & rows.time.notna().to_numpy(dtype=bool)])
    carbs(rows, name, text)

    rows.report(
        (text["primevolumedelivered"] != "") & ~rows.used,
        "prime",
        name["primevolumedelivered"],
        lambda i: f"{text['primevolumedelivered'][i]} U to fill the tube",
    )
    for key, kind in (
        ("alert", "alert"),
        ("rewind", "rewind"),
        ("sensorexception", "sensor exception"),
        ("isigvalue", "raw signal"),
        ("eventmarker", "marker"),
    ):
        rows.ignore(text[key] != "", kind, name[key])


def readings(rows: ExportRows, name: dict[str, str], text: dict[str, np.ndarray]) -> None:
    """Sensor glucose, and finger sticks: a meter's, and those that calibrated the sensor where the row has no other."""
    limits = scaled(SENSOR, unit_in([rows.block]))
    value, flag = glucose_values(text["sensorglucose"], limits)
    rows.add(text["sensorglucose"] != "", "glucose", name["sensorglucose"], value, flag=flag)
    for key in ("bgreading", "sensorcalibrationbg"):
        value, flag = glucose_values(text[key], limits)
        sticks = np.array([f"fingerstick {word}".strip() for word in flag], dtype=object)
        alone = text[key] != "" if key == "bgreading" else (text[key] != "") & (text[key] != text["bgreading"])
        rows.add(alone, "glucose", name[key], value, flag=sticks)


def basal(rows: ExportRows, log: PumpLog, name: dict[str, str], text: dict[str, np.ndarray]) -> None:
    """Changes of the rate, temporary rates, and stops, for the log."""
    rate, amount = (numbers(text[key], decimal_comma=True) for key in ("basalrate", "tempbasalamount"))
    kind = np.array([each.lower() for each in text["tempbasaltype"]], dtype=object)
    percent = np.array(["percent" in each or "%" in each for each in kind], dtype=bool)
    temporary = (text["tempbasalduration"] != "") | (text["tempbasalamount"] != "") | (kind != "")
    minutes = minutes_of(list(text["tempbasalduration"]))
    over = temporary & ~np.isnan(minutes) & (~np.isnan(amount) | (minutes == 0) | (~percent & ~np.isnan(rate)))
    value = np.where(percent, amount / 100.0, np.where(np.isnan(amount), rate, amount))
    log.gather(log.temporary, rows, over, value=np.nan_to_num(value), share=percent, minutes=np.nan_to_num(minutes))
    rows.report(temporary & ~over, "temporary rate without an amount", name["tempbasalamount"])
    changes = ~np.isnan(rate) & ~(temporary & ~percent)
    bad = (text["basalrate"] != "") & (np.isnan(rate) | (rate < 0) | (rate > 35.0))
    rows.report(bad, "out of range", name["basalrate"], lambda i: repr(text["basalrate"][i]))
    log.gather(log.changes, rows, changes & ~bad, value=rate)
    runs = np.array([bool(RUNS.search(each)) for each in text["suspend"]], dtype=bool)
    log.gather(log.stops, rows, text["suspend"] != "", runs=runs)


def carbs(rows: ExportRows, name: dict[str, str], text: dict[str, np.ndarray]) -> None:
    """What was entered for the bolus wizard, and in the log by hand. Rules "not delivered": the wizard's bolus was not taken;
    "carbs in exchanges": the grams of an exchange are not stated; "insulin of unknown kind": typed in, by nobody says what."""
    entered, grams = text["bwzcarbinput"] != "", numbers(text["bwzcarbinput"], decimal_comma=True)
    refused = entered & np.array([normal(status) == "notdelivered" for status in text["bwzstatus"]], dtype=bool)
    rows.report(
        refused, "not delivered", name["bwzcarbinput"], lambda i: f"{text['bwzcarbinput'][i]} g of a bolus that was not given"
    )
    entered &= ~refused
    exchanges = "exch" in rows.block.written(name["bwzcarbinput"]).lower()
    if exchanges:
        rows.report(entered & (grams > 0), "carbs in exchanges", name["bwzcarbinput"])
        rows.ignore(entered, "wizard without carbs", name["bwzcarbinput"])
    else:
        rows.ignore(entered & (grams == 0), "wizard without carbs", name["bwzcarbinput"])
        rows.add(entered & (grams != 0), "carbs", name["bwzcarbinput"], grams)
    marker = text["eventmarker"]
    for pattern, channel in ((MEAL, "carbs"), (INSULIN, "")):
        found = [pattern.search(each) for each in marker]
        amount = numbers([match[1].rstrip(".,") if match else "" for match in found], decimal_comma=True)
        hit = np.array([match is not None for match in found], dtype=bool)
        if channel:
            rows.dose(hit, channel, name["eventmarker"], amount)
        else:
            rows.report(hit, "insulin of unknown kind", name["eventmarker"])


def total_days(rows: ExportRows, log: PumpLog, totals: Mask, units: np.ndarray, source: np.ndarray, zone: str) -> None:
    """Days of which only the sum of what the algorithm gave is told: at which rates is unknown. Where each of its small doses is
    told, those say when."""
    if any("AUTO_BASAL" in text for text in source):
        return
    index = np.flatnonzero(totals & (units > 0) & rows.time.notna().to_numpy(dtype=bool))
    if len(index):
        midnight = rows.time.iloc[index].dt.tz_convert(zone).dt.tz_localize(None).dt.normalize()
        bounds = [
            each.dt.tz_localize(zone, ambiguous=True, nonexistent="shift_forward")
            .astype("datetime64[ns, " + zone + "]")
            .astype("int64")
            / SECONDS
            for each in (midnight, midnight + pd.Timedelta(days=1))
        ]
        log.whole_days.append(pd.DataFrame({"start": bounds[0].to_numpy(), "end": bounds[1].to_numpy()}))


def repeated_sticks(sheet: Sheet) -> None:
    """Rule "duplicate": a measurement that is logged again within 5 min, when it calibrates the sensor, is one."""
    cells = sheet.cells
    sticks = cells[cells["flag"].astype(str).str.contains("fingerstick") & cells["time"].notna()].sort_values(
        ["value", "time"], kind="stable"
    )
    again = (sticks["value"] == sticks["value"].shift()) & (sticks["time"].diff() <= SAME_STICK)
    bad = np.zeros(len(cells), dtype=bool)
    bad[np.isin(cells.index, sticks.index[again])] = True
    sheet.drop(bad, "duplicate")
