"""What device exports share: rows that become events or corrections, and files that are one person's.

Every row of a file ends as an event, as a `Correction`, or among the rows of a named kind that say nothing of any channel;
those are one `Correction` a kind, with how many there are in `PatientRecord.ignored`.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from careplan.records.blocks import Block
from careplan.records.cells import CELLS, REPEATED, coded, stacked
from careplan.records.clock import to_utc
from careplan.records.correction import Correction
from careplan.records.dates import clock_of
from careplan.records.events import PatientRecord, RecordError, Refused, refusing
from careplan.records.settings import StatedSettings
from careplan.records.sheet import Sheet, glucose_unit, settle
from careplan.records.stamps import impossible, stamps_of
from careplan.records.text import CUT, OUT_OF_ROOM, Source, beyond, check_zone, find_files, numbers
from careplan.records.units import MG_PER_MMOL

Mask = NDArray[np.bool_]
Array = NDArray[np.float64]

SENSOR = (40.0, 400.0)  # mg/dL: what "Low" and "High" mean where a device says no limit
METER = (20.0, 600.0)  # mg/dL: what they mean on most blood glucose meters


class ExportRows:
    """The rows of a block on their way to a `Sheet`: what became events, what is reported, and that nothing is neither.

    time `[N]`: UTC. skipped, unsure `[N]`: times that the clock change skipped, or that came twice with nothing to tell which.
    dated: the columns of the date and, where it has one of its own, the time of day.
    """

    def __init__(self, block: Block, time: pd.Series, skipped: Mask, unsure: Mask, dated: Sequence[str]) -> None:
        self.block, self.time, self.dated = block, time.reset_index(drop=True), dated
        nowhere = np.zeros(len(block), dtype=bool)
        self.skipped, self.unsure = skipped, unsure
        self.stamps = stamps_of(self.time, self.place, self.written_date)
        self.used = nowhere.copy()
        self.parts: list[dict[str, Any]] = []  # columns of cells; one text for all of a part where it has but one
        self.corrections = [
            Correction("dropped", rule, block.file.name, line, "", OUT_OF_ROOM[rule]) for line, rule in block.left.items()
        ]
        if block.cut is not None:
            self.corrections.append(Correction("changed", "no line end", block.file.name, block.cut, "", CUT))
        self.ignored: Counter[str] = Counter()

    def add(
        self,
        where: Mask,
        channel: str,
        name: str,
        value: Array | float,
        *,
        duration: Array | float = 0.0,
        flag: NDArray[np.object_] | str = "",
        time: pd.Series | None = None,
        product: str = "",
    ) -> None:
        """Events of the rows in `where` `[N]`, from the column `name`; value, duration and flag are `[N]` or one for all.

        product: the insulin's brand, where it is known.
        """
        index = np.flatnonzero(where)
        if not len(index):
            return
        self.used[index] = True
        length = len(self.block)
        self.parts.append(
            {
                "file": self.block.file.name,
                "row": self.block.row[index],
                "field": self.block.written(name),
                "raw": self.block.texts(name)[index],
                "time": (self.time if time is None else time).iloc[index],
                "channel": channel,
                "value": np.broadcast_to(np.asarray(value, dtype=float), (length,))[index],
                "duration": np.broadcast_to(np.asarray(duration, dtype=float), (length,))[index],
                "flag": np.broadcast_to(np.asarray(flag, dtype=object), (length,))[index],
                "product": product,
            }
        )

    def place(self, index: int) -> tuple[str, int]:
        """The file and line of a row."""
        return self.block.file.name, int(self.block.row[index])

    def written_date(self, index: int) -> tuple[str, str]:
        """The field and the text of a row's date; of its time of day, where that is none."""
        texts = {name: self.block.text(name, index) for name in self.dated}
        name = next((name for name in self.dated[1:] if np.isnan(clock_of(texts[name])[0])), self.dated[0])
        return self.block.written(name), texts[name]

    def report_dates(self, where: Mask) -> None:
        """Rule "impossible date" for the rows in `where` `[N]`."""
        for index in np.flatnonzero(where).tolist():
            field, text = self.stamps[self.place(index)]
            self.corrections.append(Correction("dropped", "impossible date", *self.place(index), field, repr(text)))
        self.used |= where

    def take(self, where: Mask) -> None:
        """Rows in `where` `[N]` that are accounted for elsewhere."""
        self.used |= where

    def dose(self, where: Mask, channel: str, name: str, value: Array, **rest: object) -> None:
        """Impulses of the rows in `where` `[N]`; those of 0 are no dose (rule "nothing given")."""
        nothing = where & (value == 0)
        self.report(nothing, "nothing given", name)
        self.add(where & ~nothing, channel, name, value, **rest)  # type: ignore[arg-type]

    def report(
        self, where: Mask, rule: str, name: str, detail: str | Callable[[int], str] = "", *, action: str = "dropped"
    ) -> None:
        """A correction for each of the rows in `where` `[N]`; detail: a text, or one from the row's index; else what is
        written."""
        texts = self.block.texts(name)
        for index in np.flatnonzero(where):
            said = detail(int(index)) if callable(detail) else detail or repr(texts[index])
            written = self.block.written(name)
            self.corrections.append(
                Correction(
                    "changed" if action == "changed" else "dropped",
                    rule,
                    self.block.file.name,
                    int(self.block.row[index]),
                    written,
                    said,
                )
            )
        self.used |= where

    def ignore(self, where: Mask, kind: str, name: str) -> None:
        """Rows in `where` `[N]` that nothing else took and that say nothing of a channel: one correction for the kind."""
        rest = np.flatnonzero(where & ~self.used)
        if not len(rest):
            return
        self.used[rest] = True
        self.ignored[kind] += len(rest)
        first = self.block.texts(name)[rest[0]]
        count = f"{len(rest):,} row{'s' if len(rest) > 1 else ''} of no channel"
        detail = f"{count}, the first {first!r}" if first else count
        self.corrections.append(
            Correction("dropped", kind, self.block.file.name, int(self.block.row[rest[0]]), self.block.written(name), detail)
        )

    def sheet(self) -> Sheet:
        """What became events, with the corrections of the rest."""
        for mask, rule, detail in (
            (self.skipped, "skipped hour", "no such time that night: read on the clock before the change"),
            (self.unsure, "repeated hour", "the time came twice that night: taken as the first"),
        ):
            gave = np.isin(self.block.row, np.concatenate([part["row"] for part in self.parts])) if self.parts else mask & False
            self.report(mask & gave, rule, self.dated[0], detail, action="changed")
        self.ignore(np.ones(len(self.block), dtype=bool), "nothing in it", "")
        cells = assembled(self.parts) if self.parts else pd.DataFrame(columns=list(CELLS))
        self.parts = []
        cells["time"] = pd.to_datetime(cells["time"], utc=True).astype("datetime64[ns, UTC]")
        return Sheet(cells.astype({"value": float, "duration": float}), self.corrections, self.stamps)


def assembled(parts: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """The cells of all parts. What is one text for all of a part is held as a number a row."""
    lengths = [len(part["row"]) for part in parts]
    columns: dict[str, Any] = {}
    for name in (*CELLS, *(("product",) if any(part["product"] for part in parts) else ())):
        found = [part[name] for part in parts]
        if name == "raw":
            columns[name] = coded(np.concatenate(found))
        elif name in (*REPEATED, "product"):
            codes, texts = pd.factorize(np.array(found, dtype=object))
            repeated = pd.Categorical.from_codes(np.repeat(codes, lengths), pd.Index(texts))
            columns[name] = repeated.astype(object) if name == "product" else repeated
        else:
            columns[name] = pd.concat(found, ignore_index=True) if name == "time" else np.concatenate(found)
    return pd.DataFrame(columns, copy=False)


def glucose_values(texts: NDArray[np.object_], limits: tuple[float, float]) -> tuple[Array, NDArray[np.object_]]:
    """`[N]` values and flags of readings as written; "Low", "HI" or "<40" are censored, at `limits` where they state none."""
    value = numbers(texts, decimal_comma=True)
    flag = np.full(len(texts), "", dtype=object)
    for index in np.flatnonzero(np.isnan(value) & (texts != "")):
        if said := beyond(texts[index]):
            flag[index] = said[0]
            value[index] = limits[said[0] == "high"] if np.isnan(said[1]) else said[1]
    return value, flag


def receivers(level: Array, flag: NDArray[np.object_]) -> tuple[Array, NDArray[np.object_]]:
    """`[N]` values (mg/dL) and flags, where 37 to 39 and 401 are how receivers and xDrip write "Low" and "High"; a sensor that
    reads beyond 401 is no such receiver's."""
    whole = np.round(level)
    low = (whole >= 37.0) & (whole <= 39.0) & (flag == "")
    high = (whole == 401.0) & (flag == "") & (not (level > 401.5).any())
    for at, word, limit in ((low, "low", SENSOR[0]), (high, "high", SENSOR[1])):
        level, flag = np.where(at, limit, level), np.where(at, word, flag)
    return level, flag


def unit_of(header: str) -> str | None:
    """The unit of glucose that a header names."""
    plain = header.lower()
    return "mmol/L" if "mmol" in plain else "mg/dL" if "mg/dl" in plain or "mgdl" in plain else None


def scaled(limits: tuple[float, float], unit: str) -> tuple[float, float]:
    """Limits in mg/dL, in `unit`."""
    scale = MG_PER_MMOL if unit == "mmol/L" else 1.0
    return limits[0] / scale, limits[1] / scale


def beside(sheet: Sheet, block: Block, name: str) -> pd.Series:
    """What a column of the block says in the row of each of the sheet's cells, all of which are the block's."""
    return pd.Series(block.texts(name)[np.searchsorted(block.row, sheet.cells["row"].to_numpy(dtype=np.int64))], dtype=object)


@dataclass(eq=False)
class Part:
    """What one file gave, in UTC and mg/dL, and whose it says it is."""

    file: Path
    sheet: Sheet
    rows_read: int
    person: str = ""  # as the file states it; empty where it does not
    name: str = ""  # what to call them; empty: by the file
    ignored: Counter[str] = field(default_factory=Counter)
    regimen: StatedSettings | None = None
    weight: float | None = None


def part_of(
    file: Path, rows: Iterable[ExportRows], unit: str, *, person: str = "", regimen: StatedSettings | None = None
) -> Part:
    """The part of a file from the rows of its blocks; `unit` is the one of its glucose."""
    every = list(rows)
    sheets = [each.sheet() for each in every]
    sheet = joined(sheets)
    if sheet.cells["time"].notna().any():
        glucose_unit(sheet, unit)
    count = sum(each.block.read for each in every)
    return Part(file, sheet, count, person, ignored=sum((each.ignored for each in every), Counter()), regimen=regimen)


def joined(sheets: Sequence[Sheet]) -> Sheet:
    """One sheet with all that is on each, which then have no cells any more: they are most of what is held."""
    filled = [sheet.cells for sheet in sheets if len(sheet.cells)] or [sheets[0].cells]
    cells = stacked(filled)
    for sheet in sheets:
        sheet.cells = sheet.cells.iloc[:0]
    corrections = [correction for sheet in sheets for correction in sheet.corrections]
    return Sheet(cells, corrections, {place: date for sheet in sheets for place, date in sheet.stamps.items()})


def latest_of(every: Iterable[ExportRows]) -> pd.Timestamp | None:
    """The latest time of the rows that can be true; None where there is none."""
    times = pd.concat([rows.time[~impossible(rows.time)] for rows in every])
    return times.max() if len(times) else None


def add_cells(part: Part, cells: pd.DataFrame, corrections: Iterable[Correction]) -> None:
    """Cells that were made of several rows together, and the corrections of rows that made none."""
    if len(cells):
        part.sheet.cells = stacked([part.sheet.cells, cells]) if len(part.sheet.cells) else cells
    part.sheet.corrections += corrections


class Reader(Protocol):
    """A reader of what people download from a device's maker.

    Args:
        path: A file, a folder of them, or a list.
        zone: The clock the device was on (UTC where not given, rule "no time zone").
        patient: Whose all the files are; else files that state the same person are that person's, and others are one person each,
            named by the file.
        day_first: The order of numeric dates where nothing in a file tells.
        refused: Takes, by name, what is wrong with a person whose files cannot be trusted, who is then left out.

    Returns:
        A record a person.

    Raises:
        RecordError: A file cannot be trusted, and there is no `refused`.
    """

    def __call__(
        self,
        path: Source,
        *,
        zone: str | None = None,
        patient: str | None = None,
        day_first: bool | None = None,
        refused: Refused | None = None,
    ) -> list[PatientRecord]: ...


def reader(
    format: str,
    read_file: Callable[[Path, str, bool | None], Part],
    *,
    patterns: Sequence[str] = ("*.csv", "*.xlsx"),
    home: str | None = None,
) -> Reader:
    """The reader of a format by what reads one of its files, given the clock's zone and the order of its dates.

    home: the zone of a data set whose people all live in one.
    """

    def read(
        path: Source,
        *,
        zone: str | None = None,
        patient: str | None = None,
        day_first: bool | None = None,
        refused: Refused | None = None,
    ) -> list[PatientRecord]:
        zone = zone or home
        if zone is not None:
            check_zone(zone, file=path)
        people: dict[str, list[Part]] = {}
        for file in find_files(path, *patterns):
            with refusing(refused, patient or patient_name(format, file)):
                part = read_file(file, zone or "UTC", day_first)
                people.setdefault(part.person or str(file), []).append(part)
        return records_of(people, format, path, zone, patient, refused)

    read.__name__, read.__doc__ = f"read_{format}", Reader.__doc__
    return read


def records_of(
    people: dict[str, list[Part]], format: str, path: Source, zone: str | None, patient: str | None, refused: Refused | None
) -> list[PatientRecord]:
    """The record of each person from the parts that are theirs. Raises `RecordError` where several people are given one
    name.
    """
    if patient is not None and len(people) > 1:
        stated = [parts for parts in people.values() if parts[0].person]
        if len(stated) > 1:
            raise RecordError(f"{len(stated)} people cannot all be {patient!r}", file=path)
        people = {patient: [part for parts in people.values() for part in parts]}
    records = []
    for parts in people.values():
        name = patient or parts[0].name or patient_name(format, parts[0].file)
        if name not in (refused or ()):
            with refusing(refused, name):
                records.append(record_of(name, parts, zone))
    return records


def patient_name(format: str, file: Path) -> str:
    """The name of a person known only by a file."""
    return f"{format}-" + (re.sub(r"[^\w]+", "-", file.stem.lower()).strip("-_") or "patient")


def record_of(name: str, parts: Sequence[Part], zone: str | None) -> PatientRecord:
    """A person's record from the files that are theirs."""
    sheet = joined([part.sheet for part in parts])
    first = parts[0].file
    if zone is None:
        rows = "the clock of the device is taken to be UTC"
        sheet.corrections.append(Correction("changed", "no time zone", first.name, 1, "", rows))
    settle(sheet)
    sheet.require(first)
    rows_read = sum(part.rows_read for part in parts)
    record = sheet.record(name, zone or "UTC", rows_read=rows_read, files=dict.fromkeys(part.file.name for part in parts))
    regimens = [part.regimen for part in parts if part.regimen is not None]
    weights = [part.weight for part in parts if part.weight is not None]
    return replace(
        record,
        ignored=dict(sum((part.ignored for part in parts), Counter())),
        regimen=regimens[-1] if regimens else None,
        weight=weights[-1] if weights else None,
    )


def clocked(
    block: Block, local: pd.Series, zone: str, file: Path, *, dated: Sequence[str], log: Sequence[object] | None = None
) -> ExportRows:
    """A block's rows on UTC, from its local times `[N]`. dated: see `ExportRows`; log: see `to_utc`."""
    return ExportRows(block, *to_utc(local, zone, file=file, log=log), dated)
