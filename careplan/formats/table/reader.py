"""The documented table: CSV, a workbook or Parquet, one row a time (wide) or an event (long). See docs/reference/records.md.

Wide: `time` (or `date` and `time`) and any of glucose, fingerstick (both also as _mmol), basal, bolus, long_acting, carbs and
activity.
Long: `time`, `channel`, `value`, and optionally `duration` (minutes) and `flag`: the canonical events.
Either may have patient, zone, weight (kg) and group columns.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd

from careplan.formats.table.rows import AMOUNTS, recognise_header, table_rows
from careplan.records.cells import column, stacked
from careplan.records.channels import DEVICE_CHANNELS, channel_of
from careplan.records.clock import stamped
from careplan.records.correction import Correction
from careplan.records.events import FLAGS, PatientRecord, RecordError, Refused, join_flags, refusing
from careplan.records.garbage import few_collections
from careplan.records.head import header_of
from careplan.records.sheet import (
    Sheet,
    glucose_unit,
    milliunits,
    report_left,
    settle,
    silent,
    unread,
    year_typos,
)
from careplan.records.stamps import stamps_in
from careplan.records.text import MISSING, MOST_ABOVE, Rows, Source, check_zone, find_files, is_missing, numbers
from careplan.records.units import MG_PER_MMOL

CHANNELS = {**{channel.name.replace("_", ""): channel.name for channel in DEVICE_CHANNELS}, "pumpbolus": "bolus"}
PATTERNS = ("*.csv", "*.tsv", "*.txt", "*.xlsx", "*.xls", "*.ods", "*.parquet")
OTHERS = ("time", "date", "patient", "zone", "weight", "group", "channel", "value", "duration", "flag", "product")
GROUPS = ("adult", "adolescent", "child")
FEW_A_DAY, LARGE_RATE = (
    3,
    5.0,
)  # rates a day and U/h: a pump changes its rate more often, and few people need 120 U of basal a day

ROWS_OF_A_PERSON = 5  # from so many rows on somebody has two

Part = tuple[Rows, pd.Series, np.ndarray]  # one patient's rows of a file, their times in UTC, and which of those had no offset


def recognise(head: str) -> str | None:
    """Why a file is such a table, by its first lines (of a workbook, those of each sheet); None where it is not."""
    if "[sheet " not in head:
        headers = (header_of(head, line) for line in range(MOST_ABOVE + 1))
    else:
        headers = (header_of(line) for line in head.splitlines() if not line.startswith("[sheet "))
    return next((why for header in headers if (why := recognise_header(header))), None)


@few_collections()
def read_table(
    path: Source, *, zone: str | None = None, day_first: bool | None = None, refused: Refused | None = None
) -> list[PatientRecord]:
    """One record for each patient in delimited text, a workbook or Parquet, or a folder of them.

    Args:
        path: The files.
        zone: The clock of times that carry no offset, where the table has no zone column; UTC by default.
        day_first: The order of numeric dates where the file cannot tell.
        refused: Takes, by name, what is wrong with a patient whose rows cannot be trusted, who is then left out, unless a file
            cannot be read that may hold anyone's rows.

    Returns:
        A record a patient.

    Raises:
        RecordError: A file cannot be trusted, and there is no `refused`.
    """
    if zone is not None:
        check_zone(zone, file=path)
    broken: Refused = {}
    people = people_of(path, zone, day_first, None if refused is None else broken)
    if refused is not None:
        refused |= broken
    records = []
    for name in list(people):
        if slug(name) not in broken:
            with refusing(refused, slug(name)):
                records.append(read_patient(name, people.pop(name), zone))
    return records


def people_of(path: Source, zone: str | None, day_first: bool | None, broken: Refused | None) -> dict[str, list[Part]]:
    """The rows of each person in all files, by name. broken: takes what is wrong with a file. Raises `RecordError` where a file
    cannot be read that may hold anyone's rows.
    """
    people: dict[str, list[Part]] = {}
    for file in find_files(path, *PATTERNS):
        with refusing(broken, slug(file.stem)):
            for rows in map(in_one_unit, table_rows(file)):
                check_columns(rows)
                for name, part in by_person(rows, file.stem, zone, day_first):
                    people.setdefault(name, []).append(part)
    if broken and any("patient" in rows.cells for parts in people.values() for rows, _, _ in parts):
        raise next(iter(broken.values()))
    return people


def by_person(rows: Rows, usual: str, zone: str | None, day_first: bool | None) -> Iterator[tuple[str, Part]]:
    """The rows of each person in a file, by name: `usual` where the table does not say. Raises `RecordError` where every
    row of many names another patient.
    """
    time, local = times(rows, zone, day_first)
    if "patient" not in rows.cells:
        yield usual, (rows, time, local)
        return
    names = rows.cells["patient"].replace("", usual)
    if len(names) >= ROWS_OF_A_PERSON and names.is_unique:
        problem = f"names another patient in each of {len(names):,} rows: leave the column out if it numbers the rows"
        raise RecordError(problem, file=rows.file, row=int(rows.row[0]), field=rows.fields.get("patient", "patient"))
    for name in names.unique():
        mine = (names == name).to_numpy(dtype=bool)
        own = replace(rows, cells=rows.cells[mine].reset_index(drop=True), row=rows.row[mine])
        yield str(name), (own, time[mine].reset_index(drop=True), local[mine])


def read_patient(name: str, parts: list[Part], zone: str | None) -> PatientRecord:
    """The record of one patient from the rows of all files. Raises `RecordError` where glucose has two units, the weight is no
    number of kilograms or the group is unknown.
    """
    stamps = {at: said for rows, time, _ in parts for at, said in stamps_in(rows, "time", time).items()}
    parts = [(replace(rows, cells=rows.cells.drop(columns="time")), time, local) for rows, time, local in parts]
    sheet = Sheet(stacked([cells_of(*part) for part in parts]), stamps=stamps)
    every = [rows for rows, _, _ in parts]
    del parts
    stated = one_value(every, "zone")
    clock = stated.text if stated else zone
    for rows in every:
        report_left(sheet, rows)
        sheet.corrections += unread(rows, (*AMOUNTS, *OTHERS))
    if clock is None:
        clock, first = "UTC", (every[0].name, int(every[0].row[0]))
        if sheet.cells["local"].any():
            sheet.corrections.append(Correction("changed", "no time zone", *first, "time", "read as UTC"))
    sheet.cells = sheet.cells.drop(columns="local")
    units = {"mmol/L" if {"glucosemmol", "fingerstickmmol"} & set(rows.cells) else "mg/dL" for rows in every}
    if len(units) > 1:
        raise RecordError("files of one patient have glucose in two units", file=every[0].file, row=1)
    every = [replace(rows, cells=rows.cells.filter(items=["weight", "group"])) for rows in every]
    del rows  # the texts of times and amounts
    year_typos(sheet)
    settle(sheet, repairs=(milliunits, partial(glucose_unit, expected=units.pop())))
    sheet.require(every[0].file, f" for patient {name!r}")

    rows_read = sum(rows.read for rows in every)
    record = sheet.record(slug(name), clock, rows_read=rows_read, files=dict.fromkeys(rows.name for rows in every))
    record = silent(record, sheet, every)
    weight, group = one_value(every, "weight"), one_value(every, "group")
    kilograms = float(numbers([weight.text])[0]) if weight else None
    if weight and kilograms is not None and not 1 <= kilograms <= 500:
        raise weight.wrong(f"expected a weight in kg, found {weight.text!r}")
    if group and group.text not in GROUPS:
        raise group.wrong(f"expected one of {', '.join(GROUPS)}, found {group.text!r}")
    return replace(record, weight=kilograms, group=group.text if group else GROUPS[0])


def slug(name: str) -> str:
    """A patient's name as an identifier; letters and digits of any language are kept."""
    return re.sub(r"[^\w.-]+", "-", name.strip()).strip("-") or "patient"


class Stated(NamedTuple):
    """What a column says of a patient, and where it does first."""

    text: str
    file: str
    row: int
    field: str

    def wrong(self, problem: str) -> RecordError:
        """That what it says cannot be so."""
        return RecordError(problem, file=self.file, row=self.row, field=self.field)


def one_value(every: Sequence[Rows], name: str) -> Stated | None:
    """What a column says of one patient, where it says anything; raises `RecordError` where it says two things."""
    found: dict[str, Stated] = {}
    for rows in every:
        texts = rows.cells[name] if name in rows.cells else pd.Series(dtype=object)
        for index in np.flatnonzero(~texts.duplicated() & (texts != "")).tolist():
            text = str(texts.iloc[index])
            found.setdefault(text, Stated(text, rows.file, int(rows.row[index]), rows.fields.get(name, name)))
    if len(found) > 1:
        first, second, *_ = found.values()
        raise second.wrong(f"one patient has two values: {first.text!r} and {second.text!r}")
    return next(iter(found.values()), None)


def check_columns(rows: Rows) -> None:
    """Raises `RecordError` where a file has no column of a channel, `channel` without `value`, or glucose in two units."""
    present = set(rows.cells)
    if "channel" in present:
        if "value" not in present:
            raise RecordError(
                f"expected a column 'value' beside 'channel', found {rows.header}", file=rows.file, row=1, field="value"
            )
    elif not present & set(AMOUNTS):
        wanted = ", ".join(channel.name for channel in DEVICE_CHANNELS)
        raise RecordError(f"expected a column of {wanted}, or channel and value; found {rows.header}", file=rows.file, row=1)
    if present & {"glucose", "fingerstick"} and present & {"glucosemmol", "fingerstickmmol"}:
        raise RecordError("glucose in two units, which differ: leave one of the columns out", file=rows.file, row=1)


def in_one_unit(rows: Rows) -> Rows:
    """The rows without glucose in mmol/L where the column in mg/dL says the same in every row."""
    cells = rows.cells
    for name in ("glucose", "fingerstick"):
        if {name, f"{name}mmol"} <= set(cells):
            mg, mmol = (numbers(cells[each], decimal_comma=rows.decimal_comma) for each in (name, f"{name}mmol"))
            same = np.abs(mg - mmol * MG_PER_MMOL) <= 1.5  # a tenth of a mmol/L is 1.8 mg/dL
            if (same | (is_missing(cells[f"{name}mmol"]) & ~np.isnan(mg)) | (np.isnan(mg) & np.isnan(mmol))).all():
                cells = cells.drop(columns=f"{name}mmol")
    return rows if cells is rows.cells else replace(rows, cells=cells)


def check_basal(rows: Rows, cells: pd.DataFrame) -> None:
    """Raises `RecordError` where a wide table's `basal` holds what are doses of a pen rather than rates of a pump: few a day, and
    large. Taken for rates they would be hundreds of units a day.
    """
    given = cells[(cells["channel"] == "basal") & (cells["value"] > 0)]
    if given.empty or given["value"].median() < LARGE_RATE or "/" in rows.fields["basal"]:
        return
    if len(given) <= FEW_A_DAY * max(1, cells["time"].dt.normalize().nunique()):
        first = given.iloc[0]
        problem = f"{first['value']:g} U/h? Call a pen's background insulin long_acting, and a pump's rates 'basal (U/h)'"
        raise RecordError(problem, file=rows.file, row=int(first["row"]), field=rows.fields["basal"])


def cells_of(rows: Rows, time: pd.Series, local: np.ndarray) -> pd.DataFrame:
    """Cells of a wide or long table; `local` tells the times that had no offset."""
    if "channel" in rows.cells:
        cells = long_cells(rows, time)
    else:
        parts = []
        for name in [name for name in rows.cells if name in AMOUNTS]:
            channel = CHANNELS.get(name, "glucose")
            scale = MG_PER_MMOL if name.endswith("mmol") else 1.0
            part = column(rows, name, channel, time, limits=(40.0 / scale, 400.0 / scale) if channel == "glucose" else None)
            if channel_of(channel).form == "rate":
                part["duration"] = np.nan
            if name.startswith("fingerstick"):
                part["flag"] = (part["flag"] + " fingerstick").str.strip()
            parts.append(part)
        cells = stacked(parts)
        check_basal(rows, cells)
    return cells.assign(local=local[np.searchsorted(rows.row, cells["row"].to_numpy())])


def long_cells(rows: Rows, time: pd.Series) -> pd.DataFrame:
    """The cells of a long table, one a row. Raises `RecordError` where a channel, a duration or a flag is not understood."""
    cells = column(rows, "value", "glucose", time, limits=(40.0, 400.0), blank=True)
    at = dict(zip(rows.row, range(len(rows)), strict=True))
    index = [at[row] for row in cells["row"]]
    named = (
        rows.cells["channel"].str.lower().str.replace("[^a-z]", "", regex=True).map(CHANNELS).iloc[index].reset_index(drop=True)
    )
    if named.isna().any():
        row = int(cells["row"][named.isna()].iloc[0])
        written = rows.cells["channel"].iloc[at[row]]
        raise RecordError(
            f"expected a channel of {', '.join(CHANNELS.values())}, found {written!r}", file=rows.file, row=row, field="channel"
        )
    cells["channel"] = named
    rate = named.map(lambda name: channel_of(name).form == "rate").astype(bool)
    cells["duration"] = np.where(rate, np.nan, 0.0)
    if "duration" in rows.cells:
        texts = rows.cells["duration"].iloc[index].reset_index(drop=True)
        stated = numbers(texts, decimal_comma=rows.decimal_comma)
        bad = ~is_missing(texts) & ~(stated >= 0)
        if bad.any():
            row = int(cells["row"][bad].iloc[0])
            raise RecordError(f"expected minutes, found {texts[bad].iloc[0]!r}", file=rows.file, row=row, field="duration")
        cells["duration"] = np.where(np.isnan(stated), cells["duration"], stated)
    if "flag" in rows.cells:
        flags = rows.cells["flag"].iloc[index].reset_index(drop=True).str.lower()
        flags = flags.where(~flags.isin(MISSING), "")
        odd = ~flags.map(lambda words: set(words.split()) <= set(FLAGS)).astype(bool)
        if odd.any():
            row, written = int(cells["row"][odd].iloc[0]), flags[odd].iloc[0]
            raise RecordError(f"expected words of {', '.join(FLAGS)}, found {written!r}", file=rows.file, row=row, field="flag")
        cells["flag"] = [join_flags(*both) for both in zip(cells["flag"], flags, strict=True)]
    if "product" in rows.cells:
        cells["product"] = rows.cells["product"].iloc[index].reset_index(drop=True)
    return cells


def times(rows: Rows, zone: str | None, day_first: bool | None) -> tuple[pd.Series, np.ndarray]:
    """UTC times `[N]`, and which had no offset of their own and were read on the patient's clock."""
    usual = zone or "UTC"
    zones = rows.cells["zone"].replace("", usual) if "zone" in rows.cells else None
    utc, local, _ = stamped(rows, "time", usual, day_first=day_first, zones=zones)
    return utc, local
