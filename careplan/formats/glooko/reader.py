"""Glooko's export: a ZIP or folder of tables (`cgm_data_1.csv`, `bolus_data_1.csv`, ...), or one of them alone.

A line with a name and the dates spanned, then the header, in the account's language. Times are the local wall clock. Tables are
cut into several files, which may repeat a row; `insulin_data` holds the totals of days, which are never doses.
"""

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from careplan.formats.glooko.columns import ABOVE, OTHERS, columns_of, is_timed, table_of
from careplan.records.blocks import Block, read_blocks
from careplan.records.cells import by_time
from careplan.records.channels import met_of
from careplan.records.clock import DateOrder, local_times, split_stamps
from careplan.records.events import PatientRecord, RecordError, Refused, refusing
from careplan.records.export import (
    METER,
    SENSOR,
    Array,
    ExportRows,
    Part,
    clocked,
    glucose_values,
    joined,
    receivers,
    record_of,
    scaled,
    unit_of,
)
from careplan.records.head import head_of
from careplan.records.insulins import channel_said, find_insulin, known_insulin
from careplan.records.raw import DELIMITERS
from careplan.records.sheet import glucose_unit, milliunits
from careplan.records.text import (
    Source,
    check_lines,
    check_zone,
    find_files,
    is_missing,
    numbers,
    read_text,
)

EXTENDED_MINUTES = 120.0  # assumed: the export does not say how long an extended part lasts; AZT1D's rule
SENTINELS = {1.0: "low", 2001.0: "high"}  # mg/dL: how Glooko writes what a sensor could not measure
ROUNDING = 0.0015  # U: deliveries are rounded to a thousandth
SUSPENDED = re.compile("suspen|suspend|sospen|unterbr|onderbr|avbr|pausa", re.IGNORECASE)


def recognise(head: str) -> str | None:
    """Why a file is of a Glooko export, by its first lines; None where it is not."""
    lines = head.splitlines()[:2]
    for place, line in enumerate(lines):
        header = split(line)
        if is_timed(header) and columns_known(header) and (place or any("(" in text for text in header[1:])):
            return f"line {place + 1} has Glooko's columns {', '.join(header[:2])}"
    above = ABOVE.fullmatch(lines[0].strip()) if len(lines) == 2 else None
    if above and above["first"] and len(split(lines[1])) > 1:
        return "line 1 has a name and the dates spanned, line 2 the columns"
    return None


def columns_known(header: Sequence[str]) -> bool:
    return table_of(Path("table"), header) is not None


def split(line: str) -> list[str]:
    delimiter = max(DELIMITERS, key=line.count)
    try:
        return [text.strip() for text in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:
        return []


def read_glooko(
    path: Source,
    *,
    zone: str | None = None,
    day_first: bool | None = None,
    patient: str | None = None,
    refused: Refused | None = None,
) -> list[PatientRecord]:
    """One record for each person: the tables in a folder (and the folders in it) under one name.

    Args:
        path: A table, a folder of one person's, or a folder of such folders.
        zone: The patient's clock (UTC where not given, rule "no time zone").
        day_first: The order of dates where no table tells.
        patient: Whose all of them are, unless they state several names.
        refused: Takes, by name, what is wrong with a person whose files cannot be trusted, who is then left out whole.

    Returns:
        A record a person.

    Raises:
        RecordError: A file cannot be trusted, and there is no `refused`.
    """
    if zone is not None:
        check_zone(zone, file=path)
    people: dict[tuple[Path, str], list[Path]] = {}
    for file in find_files(path, "*.csv", "*.xlsx"):
        stated = stated_name(file)
        folder = next((place for place in file.parents if (place, stated) in people), file.parent)
        for inner in [key for key in people if key[1] == stated and folder in key[0].parents]:
            people.setdefault((folder, stated), []).extend(people.pop(inner))
        people.setdefault((folder, stated), []).append(file)
    if patient is not None and len(people) > 1:
        if len(stated_names := {stated for _, stated in people if stated}) > 1:
            raise RecordError(f"{len(stated_names)} people cannot all be {patient!r}", file=path)
        people = {next(iter(people)): [file for files in people.values() for file in files]}
    records = []
    for (folder, _), files in people.items():
        name = patient or person_name(folder, files)
        with refusing(refused, name):
            records.append(read_person(name, files, zone, day_first))
    return records


def stated_name(file: Path) -> str:
    """Whose a file says it is; empty where it does not, or cannot be read (which is reported later)."""
    try:
        above = ABOVE.fullmatch(head_of(file).split("\n", 1)[0].strip(' \t\r,;"'))
    except RecordError:
        return ""
    return above["name"].strip() if above else ""


def person_name(folder: Path, files: Sequence[Path]) -> str:
    known = files[0].stem if len(files) == 1 and table_of(files[0], []) is None else folder.name
    return "glooko-" + (re.sub(r"\W+", "-", known.lower()).strip("-_") or "patient")


@dataclass(eq=False)
class Table:
    """One file: which table it is, its rows, and where each column stands."""

    file: Path
    kind: str
    block: Block
    columns: dict[str, int]
    by_order: bool
    brands: dict[int, str] = field(default_factory=dict)  # row -> the insulin's name, where one is stated

    def name(self, column: str) -> str | None:
        """The normalised header of a column, if the table has it."""
        place = self.columns.get(column)
        return None if place is None else self.block.at(place) or None

    def texts(self, column: str) -> np.ndarray:
        name = self.name(column)
        return np.full(len(self.block), "", dtype=object) if name is None else self.block.texts(name)

    def values(self, column: str) -> Array:
        """`[N]` numbers; NaN where there is none, or the table has no such column."""
        return numbers(self.texts(column), decimal_comma=True)


def read_person(name: str, files: Sequence[Path], zone: str | None, day_first: bool | None) -> PatientRecord:
    tables = [read_table(file) for file in files]
    clocked_tables = on_the_clock(tables, zone or "UTC", day_first)
    parts = []
    for table, rows in zip(tables, clocked_tables, strict=True):
        READ[table.kind](table, rows)
        if table.by_order:
            rows.report(
                rows.used & (np.cumsum(rows.used) == 1), "columns by order", table.name("time") or "",
                f"headers in an unknown language: taken in the order of {table.kind}_data", action="changed",
            )  # fmt: skip
        sheet = rows.sheet()
        brands = table.brands
        sheet.cells["product"] = np.array([brands.get(row, "") for row in sheet.cells["row"].tolist()], dtype=object)
        glucose_unit(sheet, "mg/dL")
        parts.append(Part(table.file, sheet, table.block.read, ignored=rows.ignored))
    del tables, clocked_tables  # all that was written
    whole = joined([part.sheet for part in parts])
    whole.cells = by_time(whole.cells)
    milliunits(whole)
    one = Part(
        files[0], whole, sum(part.rows_read for part in parts), ignored=sum((part.ignored for part in parts), Counter[str]())
    )
    record = record_of(name, [one], zone)
    return PatientRecord(**{**record.__dict__, "files": tuple(dict.fromkeys(file.name for file in files))})


def read_table(file: Path) -> Table:
    """A file's rows; raises `RecordError` where which table it is, or which column is which, cannot be told."""
    text = read_text(file, fallback="cp1252")
    check_lines(text, file)
    lines = [line for line in text.splitlines()[:20] if line.strip()][:2]
    place = 1 if len(lines) == 2 and not is_timed(split(lines[0])) else 0
    wanted = split(lines[place])
    [block, *_] = read_blocks(file, lambda fields: [text.strip() for text in fields] == wanted, "Glooko's columns")
    header = list(block.fields.values())
    kind = table_of(file, header)
    if kind is None:
        raise RecordError(f"which table of Glooko's this is cannot be told from {header}", file=file, row=place + 1)
    if kind in OTHERS:
        return Table(file, kind, block, {"time": 0}, False)
    found = columns_of(kind, header)
    if found is None:
        raise RecordError(f"expected the columns of Glooko's {kind}_data, found {header}", file=file, row=place + 1)
    return Table(file, kind, block, *found)


def on_the_clock(tables: Sequence[Table], zone: str, day_first: bool | None) -> list[ExportRows]:
    """Each table's rows on UTC. All of a person's dates are in one order, which any of the tables may tell."""
    stamps = [split_stamps(list(table.texts("time"))) for table in tables]
    days, clocks = ([text for pair in stamps for text in pair[part]] for part in (0, 1))
    order = DateOrder(day_first=day_first, stamped=spanned(tables))
    local = local_times(days, clocks, order, file=tables[0].file, row=3, field="time")
    edges = np.cumsum([0, *(len(pair[0]) for pair in stamps)])
    return [
        clocked(table.block, local.iloc[first:last].reset_index(drop=True), zone, table.file, dated=[table.name("time") or ""])
        for table, first, last in zip(tables, edges[:-1], edges[1:], strict=True)
    ]


def spanned(tables: Sequence[Table]) -> str:
    """The last date that the tables say they span; the first where that alone tells the order of its parts."""
    above = [ABOVE.fullmatch("\t".join(line)) for table in tables for line in table.block.above]
    match = next((each for each in above if each and each["last"]), None)
    if match is None:
        return ""
    first, last = (re.split(r"[./-]", match[name]) for name in ("first", "last"))
    tells = any(len(part) < 3 and int(part) > 12 for part in first) and not any(len(part) < 3 and int(part) > 12 for part in last)
    return str(match["first" if tells else "last"])


def glucose(table: Table, rows: ExportRows) -> None:
    """Adds the readings of a table to its rows. Raises `RecordError` where the header does not state the unit."""
    name = table.name("glucose") or ""
    unit = unit_of(table.block.written(name))
    if unit is None:
        raise RecordError("expected mg/dL or mmol/L in the header of glucose", file=table.file, field=table.block.written(name))
    limits = METER if table.kind == "bg" else SENSOR
    value, flag = glucose_values(table.texts("glucose"), scaled(limits, unit))
    scale = scaled((1.0, 1.0), unit)[0]
    level = value / scale
    for sentinel, word in SENTINELS.items():
        at = np.round(level) == sentinel
        level, flag = np.where(at, limits[word == "high"], level), np.where(at, word, flag)
    if table.kind == "cgm":
        level, flag = receivers(level, flag)
    if table.kind == "bg":
        flag = np.array([f"fingerstick {word}".strip() for word in flag], dtype=object)
    empty = is_missing(table.texts("glucose"))
    rows.report(empty, "no amount", name)
    rows.add(~empty, "glucose", name, level, flag=flag)


def bolus(table: Table, rows: ExportRows) -> None:
    """What was delivered; of an extended bolus the part at once and the rest over two hours (rule "extended bolus").

    Rule "contradicting parts": parts that do not add up to what was delivered give way to it.
    """
    delivered, first, rest = (table.values(name) for name in ("delivered", "initial", "extended"))
    carbs, name = table.values("carbs"), table.name("delivered") or ""
    kinds = table.texts("type")
    flag = np.array(["automatic" if "auto" in kind.lower() else "" for kind in kinds], dtype=object)
    rest = np.nan_to_num(rest)
    total = np.where(np.isnan(delivered), np.nan_to_num(first, nan=np.nan) + rest, delivered)
    stated = np.where(np.isnan(first), total - rest, first)
    odd = np.abs(stated + rest - total) > np.maximum(0.05, 0.02 * np.nan_to_num(total))
    said = [f"{all:g} U delivered, of {one:g} U and {other:g} U" for all, one, other in zip(total, stated, rest, strict=True)]
    rows.report(odd & (total > 0), "contradicting parts", name, said.__getitem__, action="changed")
    rest = np.where(odd, np.clip(total - stated, 0.0, rest), rest)
    now = total - rest
    extended = rest > 0
    rows.report(
        extended, "extended bolus", name, lambda i: f"{rest[i]:g} U over {EXTENDED_MINUTES:g} min, assumed", action="changed"
    )
    rows.add(now > 0, "bolus", name, now, flag=flag)
    rows.add(extended, "bolus", table.name("extended") or name, rest, duration=EXTENDED_MINUTES, flag=flag)
    rows.add((carbs > 0) | not_a_number(table, "carbs"), "carbs", table.name("carbs") or "", carbs)
    rows.add(not_a_number(table, "delivered") | (now < 0), "bolus", name, delivered)
    rows.report(~rows.used & (total == 0), "nothing given", name)
    rows.report(~rows.used, "no amount", name)


def not_a_number(table: Table, column: str) -> np.ndarray:
    """`[N]` where a column says something that is no number: it goes the way of every such cell."""
    return ~is_missing(table.texts(column)) & np.isnan(table.values(column))


def basal(table: Table, rows: ExportRows) -> None:
    """Rates for as long as they lasted. Rule "rate against delivery": where the two disagree, what was delivered counts."""
    rate, minutes, delivered = (table.values(name) for name in ("rate", "duration", "delivered"))
    kinds, name = table.texts("type"), table.name("rate") or table.name("delivered") or ""
    with np.errstate(divide="ignore", invalid="ignore"):
        implied = np.where(minutes > 0, delivered / (minutes / 60.0), np.nan)
        apart = np.abs(rate * minutes / 60.0 - delivered) > np.maximum(ROUNDING, 0.05 * delivered)
    stopped = np.array([SUSPENDED.search(kind) is not None for kind in kinds], dtype=bool)
    wrong = ~np.isnan(rate) & (delivered > 0) & apart
    found = np.where(np.isnan(rate) | wrong, implied, rate)
    found = np.where(np.isnan(found) & stopped, 0.0, found)
    known = ~np.isnan(found) & ~(minutes == 0)
    flag = np.array(["automatic" if "auto" in kind.lower() else "" for kind in kinds], dtype=object)
    written = {name: ~np.isnan(rate), table.name("delivered") or name: np.isnan(rate) & ~np.isnan(implied)}
    for column, where in written.items():
        rows.add(known & where & ~rows.used, "basal", column, found, duration=minutes, flag=flag)
    rows.add(known & ~rows.used, "basal", table.name("type") or name, found, duration=minutes, flag=flag)
    rows.report(wrong & known, "rate against delivery", name, lambda i: f"{rate[i]:g} to {found[i]:g} U/h", action="changed")
    rows.report(~known & (minutes == 0), "nothing given", table.name("duration") or "")
    rows.add(~rows.used & not_a_number(table, "rate"), "basal", name, rate)
    rows.report(~rows.used, "no amount", name)


def carbs(table: Table, rows: ExportRows) -> None:
    name, grams = table.name("carbs") or "", table.values("carbs")
    if "servings" in table.columns:
        several = (grams > 0) & ~np.isin(table.values("servings"), (1.0,)) & ~np.isnan(table.values("servings"))
        texts = table.texts("servings")
        rows.report(several, "servings", name, lambda i: f"{texts[i]} servings: carbs are taken as written", action="changed")
    rows.dose(~is_missing(table.texts("carbs")), "carbs", name, grams)
    rows.report(~rows.used, "no amount", name)


def exercise(table: Table, rows: ExportRows) -> None:
    minutes, name = table.values("duration"), table.name("duration") or ""
    met = np.array([met_of(text) for text in table.texts("intensity")], dtype=float)
    rows.add(minutes > 0, "activity", name, met, duration=minutes)
    rows.report(~rows.used, "no amount", name)


def injections(table: Table, rows: ExportRows) -> None:
    """Pens, by the insulin's name or the kind stated. Rule "unknown insulin": what neither tells is not guessed."""
    column = "value" if "value" in table.columns else "delivered"
    units, name = table.values(column), table.name(column) or ""
    for index in np.flatnonzero(units > 0):
        here = np.arange(len(units)) == index
        brand, kind = str(table.texts("name")[index]), str(table.texts("type")[index])
        known = find_insulin(brand) or find_insulin(kind)
        by_kind = channel_said(kind)
        known = known if known is not None or by_kind else known_insulin(brand or kind)
        table.brands[int(table.block.row[index])] = brand
        if known is not None:
            for channel, part in known.split(float(units[index])):
                rows.add(here, channel, name, part)
        elif by_kind:
            rows.add(here, by_kind, name, units)
        else:
            rows.report(
                here,
                "unknown insulin",
                name,
                f"{units[index]:g} U of {brand or kind or 'an insulin without a name'!r}: which is it?",
            )
    rows.report(units == 0, "nothing given", name)
    rows.add(not_a_number(table, column) | (units < 0), "bolus", name, units)
    rows.report(~rows.used, "no amount", name)


def other(table: Table, rows: ExportRows) -> None:
    rows.ignore(np.ones(len(table.block), dtype=bool), OTHERS[table.kind], table.name("time") or "")


READ = {
    "cgm": glucose,
    "bg": glucose,
    "bolus": bolus,
    "basal": basal,
    "carbs": carbs,
    "food": carbs,
    "exercise": exercise,
    "manual_insulin": injections,
    **dict.fromkeys(OTHERS, other),
}
