"""The AZT1D layout: one CSV a subject, a row every 5 min, local times (Khamesian 2025, doi 10.17632/gk9m674wcx.1).

Basal is a pump rate in U/h, known only where filled; boluses and carbs stand on the row of the nearest reading. In a
sensor gap the source stamps every row with the nearest reading's time, and repeats that reading and its dose.
"""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from careplan.records.cells import by_time, column, stacked
from careplan.records.clock import stamped
from careplan.records.events import PatientRecord, Refused, refusing
from careplan.records.head import header_of
from careplan.records.sheet import (
    Sheet,
    check_dates,
    check_ranges,
    drop_unreadable,
    glucose_unit,
    milliunits,
    repeats,
    report_left,
    silent,
)
from careplan.records.stamps import stamps_in
from careplan.records.text import Rows, Source, check_zone, find_files, normal, numbers, read_rows

FIELDS = {"glucose": "cgm", "basal": "basal", "bolus": "totalbolusinsulindelivered", "carbs": "carbsize"}
TIME, KIND, FOOD, CORRECTION = "eventdatetime", "bolustype", "fooddelivered", "correctiondelivered"
ALIASES = {"readingscgmbgm": "cgm", "readings": "cgm", "datetime": TIME}
BASAL_MINUTES = 5.0
REPEAT = pd.Timedelta(minutes=5.5)  # the same dose again within this is the same dose
EXTENDED = re.compile(r"extended\D*([\d.]+)\s*%\s*/\s*([\d.]+)", re.IGNORECASE)
EXTENDED_MINUTES = 120.0  # assumed: the source gives the shares, not the duration; two hours is the pump's default


def recognise(head: str) -> str | None:
    """Why a file is of the layout, by its first lines; None where it is not."""
    names = [ALIASES.get(normal(name), normal(name)) for name in header_of(head)]
    if TIME not in names or FIELDS["bolus"] not in names:
        return None
    return "its header has EventDateTime and TotalBolusInsulinDelivered"


def read_azt1d(path: Source, *, zone: str = "America/Phoenix", refused: Refused | None = None) -> list[PatientRecord]:
    """One record for each subject's CSV.

    Args:
        path: A file or a folder.
        zone: The clock of the set's people.
        refused: Takes, by name, what is wrong with a subject whose file cannot be trusted, who is then left out.

    Returns:
        A record a subject.

    Raises:
        RecordError: A file cannot be trusted, and there is no `refused`.
    """
    check_zone(zone, file=path)
    records = []
    for file in find_files(path, "*.csv"):
        with refusing(refused, name_of(file)):
            records.append(read_subject(file, zone))
    return records


def name_of(path: Path) -> str:
    """ "Subject 8.csv" is of azt1d-8."""
    name = re.sub(r"[^0-9a-z]+", "-", re.sub(r"^subject\s*", "", path.stem.lower())).strip("-")
    return f"azt1d-{name}"


def read_subject(path: Path, zone: str) -> PatientRecord:
    rows = read_rows(path, (TIME, *FIELDS.values()), column_of=lambda name: ALIASES.get(normal(name), normal(name)))
    time = stamped(rows, TIME, zone)[0]
    stamps = stamps_in(rows, TIME, time)
    rows = replace(rows, cells=rows.cells.drop(columns=TIME))  # most of what is held of the file
    sheet = Sheet(cells_of(rows, time), stamps=stamps)
    report_left(sheet, rows)
    drop_unreadable(sheet)
    check_dates(sheet)
    drop_repeats(sheet, rows, time)
    rows = replace(rows, cells=rows.cells.filter(items=[KIND]))
    sheet.cells = by_time(sheet.cells)
    milliunits(sheet)
    glucose_unit(sheet)
    check_ranges(sheet)
    sheet.require(path)

    sheet.cells.loc[sheet.of("basal"), "duration"] = BASAL_MINUTES
    if KIND in rows.cells:
        add_kinds(sheet, rows)
    record = sheet.record(name_of(path), zone, rows_read=rows.read, files=[path.name])
    return silent(record, sheet, [rows])


def cells_of(rows: Rows, time: pd.Series) -> pd.DataFrame:
    """The filled cells, without the doses of 0 that fill a row."""
    parts = []
    for channel, name in FIELDS.items():
        part = column(rows, name, channel, time, limits=(40.0, 400.0) if channel == "glucose" else None)
        parts.append(part[part["value"] != 0] if channel in ("bolus", "carbs") else part)
    return stacked(parts)


def drop_repeats(sheet: Sheet, rows: Rows, time: pd.Series) -> None:
    """Rules "duplicate" and "repeated time": one reading and one rate a time; one dose however often its row is repeated.

    Of several rates stamped with one time, the one at the end away from the gap was delivered then.
    """
    cells = sheet.cells
    dose = numbers(rows.cells[FIELDS["bolus"]], decimal_comma=rows.decimal_comma)
    carbs = numbers(rows.cells[FIELDS["carbs"]], decimal_comma=rows.decimal_comma)
    filled = (np.nan_to_num(dose) > 0) | (np.nan_to_num(carbs) > 0)
    given = [name for name in (FIELDS["bolus"], FIELDS["carbs"], KIND, FOOD, CORRECTION) if name in rows.cells]
    doses = rows.cells.loc[filled, given].assign(time=time[filled]).sort_values("time", kind="stable")
    apart = doses["time"].diff()
    same = (doses.drop(columns="time") == doses.drop(columns="time").shift()).all(axis=1) & (apart <= REPEAT)
    repeated = set(rows.row[doses.index[same.to_numpy(dtype=bool)]])
    sheet.drop((cells["channel"].isin(["bolus", "carbs"]) & cells["row"].isin(repeated)).to_numpy(dtype=bool), "duplicate")

    sheet.drop(sheet.of("glucose") & repeats(sheet, "value"), "duplicate")
    sheet.drop(sheet.of("glucose") & repeats(sheet), "repeated time")

    cells = sheet.cells
    distinct = pd.Series(pd.unique(cells["time"])).sort_values(ignore_index=True)
    after_gap = distinct.diff() > distinct.diff().shift(-1)
    keep_last = cells["time"].isin(distinct[after_gap])
    sheet.drop(sheet.of("basal") & np.where(keep_last, repeats(sheet, keep="last"), repeats(sheet)), "repeated time")


def add_kinds(sheet: Sheet, rows: Rows) -> None:
    """Flag automatic boluses, and add the rest of an extended one (rule "extended bolus").

    "Extended 60.00%/3.27" gives 60 % of a food bolus of 3.27 U at once, which is what the row records; the rest is spread
    over `EXTENDED_MINUTES`. "10.00%/0.00" is 10 % of an amount not said, which follows from the dose on the row.
    """
    at = np.flatnonzero(sheet.of("bolus"))
    line = sheet.cells["row"].to_numpy()[at]
    kind = pd.Series(rows.cells[KIND].to_numpy(dtype=object)[np.searchsorted(rows.row, line)], dtype=object)
    sheet.cells.loc[at[kind.str.lower().str.startswith("automatic").to_numpy(dtype=bool)], "flag"] = "automatic"

    match = kind.str.extract(EXTENDED).astype(float)
    share, food = match[0].to_numpy() / 100.0, match[1].to_numpy()
    value = sheet.cells["value"].to_numpy(dtype=float)[at]
    with np.errstate(divide="ignore", invalid="ignore"):
        rest = np.where(food > 0, food, value / share) * (1.0 - share)
    extended = (share > 0) & (share < 1) & (rest > 0) & (rest <= 60.0)
    parts = sheet.cells.iloc[at[extended]].assign(value=rest[extended], duration=EXTENDED_MINUTES)
    detail = [
        f"{raw} U at once, {value:.2f} U more over {EXTENDED_MINUTES:g} min"
        for raw, value in zip(parts["raw"], parts["value"], strict=True)
    ]
    sheet.note("changed", "extended bolus", parts, detail)
    sheet.cells = stacked([sheet.cells, parts])
