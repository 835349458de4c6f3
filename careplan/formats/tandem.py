"""Tandem's t:connect therapy timeline: a CSV of four sections (readings, insulin on board, basal, boluses) under lines about
the patient.

Times are the pump's wall clock, without a zone. Under Control-IQ the pump's algorithm sets the rate, and the export holds no
basal at all: it is unknown, not zero.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from careplan.records.blocks import Block, each, read_blocks, where
from careplan.records.clock import DateOrder, local_times, split_stamps, to_utc
from careplan.records.columns import Texts
from careplan.records.devices import drop_second_device
from careplan.records.events import RecordError
from careplan.records.export import (
    SENSOR,
    ExportRows,
    Part,
    add_cells,
    clocked,
    glucose_values,
    latest_of,
    part_of,
    reader,
    scaled,
    unit_of,
)
from careplan.records.pump import PumpLog
from careplan.records.text import normal, numbers
from careplan.records.units import MG_PER_MMOL

TIME = "eventdatetime"
READINGS, IOB, BASAL, BOLUS = "readings", "iob", "basalrate", "insulindelivered"
KINDS = (BOLUS, BASAL, READINGS, IOB)  # a section is told by the first of these that it has
WITHIN = pd.Timedelta(seconds=150)  # two pumps show one reading of a sensor that reads every 5 min at most this far apart
EXTENDED = re.compile(r"extended\D*([\d.]+)\s*%\s*/\s*([\d.]+)", re.IGNORECASE)
EXTENDED_MINUTES = 120.0  # assumed where no duration is stated: two hours is the pump's default


def recognise(head: str) -> str | None:
    """Why the first lines are those of a t:connect export, or nothing."""
    for line in head.lstrip("\ufeff").splitlines()[:20]:
        if "t:connect therapy timeline" in line.lower():
            return "a line says that it is a t:connect therapy timeline"
        if line.lower().startswith("tandem diabetes care"):
            return "its first line names Tandem Diabetes Care"
        if TIME in normal(line) and ("readingscgmbgm" in normal(line) or "bolexsize" in normal(line)):
            return "a header has t:connect's columns (EventDateTime, Readings or BolexSize)"
    return None


def is_header(fields: Sequence[str]) -> bool:
    names = [normal(field) for field in fields]
    return TIME in names and kind_of(names) is not None


def kind_of(names: Sequence[str]) -> str | None:
    return next((kind for kind in KINDS if any(name.startswith(kind) for name in names)), None)


def read_file(file: Path, zone: str, day_first: bool | None) -> Part:
    """What the tables of one file hold. Raises `RecordError` where no row follows any header."""
    blocks = read_blocks(file, is_header, "a section of t:connect's (EventDateTime with Readings, BasalRate or InsulinDelivered)")
    stamps = [split_stamps(list(block.texts(block.column(TIME)))) for block in blocks]
    first = next((int(block.row[0]) for block in blocks if len(block)), 1)
    generated = next((line[1].strip() for line in blocks[0].above if len(line) > 1 and "generated" in line[0].lower()), "")
    every = local_times(
        [day for days, _ in stamps for day in days],
        [clock for _, clocks in stamps for clock in clocks],
        DateOrder(day_first=day_first, stamped=generated),
        file=file,
        row=first,
        field="EventDateTime",
    )
    del stamps
    log, sections, begin = PumpLog(file.name), [], 0
    for block in blocks:
        local = every.iloc[begin : begin + len(block)].reset_index(drop=True)
        begin += len(block)
        rows = clocked(block, local, zone, file, dated=[block.column(TIME)])
        kind = kind_of(block.names)
        if kind == READINGS:
            readings(rows, unit_of(block.written(block.column(READINGS))) or "mg/dL")
        elif kind == BASAL:
            rates(rows, log)
        elif kind == BOLUS:
            boluses(rows, zone, file)
        else:
            rows.ignore(np.ones(len(block), dtype=bool), "insulin on board", block.column(IOB))
        sections.append(rows)
    if not any(len(rows.block) for rows in sections):
        raise RecordError("headers and no row", file=file)
    part = part_of(file, sections, "mg/dL", person=person_of(blocks[0]))
    serial = np.concatenate([block.texts("serialnumber") for block in blocks])
    places = np.searchsorted(np.concatenate([block.row for block in blocks]), part.sheet.cells["row"].to_numpy(dtype=np.int64))
    drop_second_device(part.sheet, pd.Series(serial[places], dtype=object), within=WITHIN)
    add_cells(part, *log.cells(latest_of(sections)))
    return part


read_tandem = reader("tandem", read_file)


def person_of(block: Block) -> str:
    """The patient's name and day of birth, in the lines above the first section."""
    said = {normal(line[0]): line[1].strip() for line in block.above if len(line) > 1}
    return f"{said['patientname']}|{said.get('patientdob', '')}".lower() if said.get("patientname") else ""


def readings(rows: ExportRows, unit: str) -> None:
    """Sensor readings (EGV) and a meter's (BG)."""
    name = rows.block.column(READINGS)
    kind, text = each(rows.block.texts("description"), normal), rows.block.texts(name)
    value, flag = glucose_values(text, scaled(SENSOR, unit))
    if unit == "mmol/L":
        value = value * MG_PER_MMOL
    stick = where(kind, lambda word: word in ("bg", "bgm", "smbg"))
    rows.report(text == "", "no amount", name)
    known = (text != "") & (stick | (kind == "egv"))
    rows.add(known & ~stick, "glucose", name, value, flag=flag)
    rows.add(known & stick, "glucose", name, value, flag=each(flag, lambda word: f"fingerstick {word}".strip()))
    rows.report(~rows.used, "unknown reading", "description")


def rates(rows: ExportRows, log: PumpLog) -> None:
    name = rows.block.column(BASAL)
    rate = numbers(rows.block.texts(name), decimal_comma=True)
    bad = ~((rate >= 0) & (rate <= 35.0))
    rows.report(bad, "out of range", name)
    log.gather(log.changes, rows, ~bad, value=rate)


def boluses(rows: ExportRows, zone: str, file: Path) -> None:
    """What was delivered, from when it was asked for; the extended part over its own time; carbs and the meter's reading beside
    it.

    Rules "cut short": less was delivered than asked for. "extended bolus": its duration is not stated, and taken to be two hours.
    """
    block = rows.block
    text = {
        name: block.texts(name)
        for name in ("insulindelivered", "bolexinsulindelivered", "bolexsize", "duration", "carbsize", "bg")
    }
    amount = {name: numbers(each_text, decimal_comma=True) for name, each_text in text.items()}
    asked = numbers(block.texts("actualtotalbolusrequested"), decimal_comma=True)
    described = block.texts("description")
    automatic = where(described, lambda word: "auto" in word.lower())
    flag = np.where(automatic, "automatic", "").astype(object)
    now, later = amount["insulindelivered"], amount["bolexinsulindelivered"]
    extended = text["bolexinsulindelivered"] != ""
    promised = where(described, lambda word: EXTENDED.search(word) is not None) & ~extended
    rows.dose(text["insulindelivered"] != "", "bolus", "insulindelivered", now, flag=flag)

    begins = on_clock(block.texts("bolexstartdatetime"), zone, file).fillna(rows.time)
    ends = on_clock(block.texts("bolexcompletiondatetime"), zone, file)
    lasted = (ends - begins).dt.total_seconds().to_numpy() / 60.0
    stated = amount["duration"]
    minutes = np.where(lasted > 0, lasted, np.where(stated > 0, stated, EXTENDED_MINUTES))
    rows.dose(extended, "bolus", "bolexinsulindelivered", later, duration=minutes, flag=flag, time=begins)
    guessed = extended & ~(lasted > 0) & ~(stated > 0)
    rows.report(
        guessed, "extended bolus", "bolexinsulindelivered", f"no duration: taken as {EXTENDED_MINUTES:g} min", action="changed"
    )
    rows.report(promised, "extended bolus", "description", "no row of the extended part: not counted", action="changed")

    given = np.nan_to_num(now) + np.nan_to_num(later)
    short = (text["insulindelivered"] != "") & (given < asked - 0.005)
    status = block.texts("completionstatusdesc")
    rows.report(
        short,
        "cut short",
        "insulindelivered",
        lambda i: f"{given[i]:g} U of {asked[i]:g} asked for ({status[i]})",
        action="changed",
    )
    rows.report(
        (text["insulindelivered"] == "") & ~extended, "not delivered", "insulindelivered", lambda i: f"{asked[i]:g} U asked for"
    )
    eaten = (text["carbsize"] != "") & ~(amount["carbsize"] == 0)
    none = eaten & (asked > 0) & (given == 0)
    rows.report(none, "not delivered", "carbsize", lambda i: f"{text['carbsize'][i]} g of a bolus that was not given")
    rows.add(eaten & ~none, "carbs", "carbsize", amount["carbsize"])
    stick = (text["bg"] != "") & ~(amount["bg"] == 0)
    rows.report(
        stick,
        "entered glucose",
        "bg",
        lambda i: f"{text['bg'][i]} entered for the bolus: a sensor's or a meter's, it does not say",
        action="changed",
    )


def on_clock(stamps: Texts, zone: str, file: Path) -> pd.Series:
    """UTC of a column of times that may be empty."""
    days, clocks = split_stamps(list(stamps))
    local = local_times(days, clocks, DateOrder(usual=False), file=file, row=1, field="")
    return to_utc(local, zone, file=file)[0]
