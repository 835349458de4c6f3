"""Rows on their way to becoming events: the stated rules, and the account of every row they dropped or changed."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from careplan.records.cells import REPEATED, by_time, taken
from careplan.records.channels import DEVICE_CHANNELS, channel_of
from careplan.records.columns import TOGETHER
from careplan.records.correction import Action, Correction
from careplan.records.events import COLUMNS, PatientRecord, RecordError, events_frame, flagged
from careplan.records.insulins import WEEKLY, as_stated
from careplan.records.stamps import FIRST_DATE, Stamps, latest_date
from careplan.records.text import CUT, OUT_OF_ROOM, Rows, is_missing
from careplan.records.units import MG_PER_MMOL
from careplan.therapy import Channel

HALF_YEAR, SLACK = pd.Timedelta(days=180), pd.Timedelta(days=2)
IMPULSES = [channel.name for channel in DEVICE_CHANNELS if channel.form == "impulse"]
AT_ONCE = pd.Timedelta(seconds=1)
CLOSE = pd.Timedelta(minutes=3)  # no common sensor but those that read every minute reads this often
AGREEMENT = 27.0  # mg/dL
UNTRUSTED = 0.2  # a file in which more than this share of a channel breaks a rule is refused

Mask = NDArray[np.bool_]


@dataclass(eq=False)
class Sheet:
    """Cells of one patient's source, one row each (`CELLS`; `time` in UTC), with the corrections made so far.

    Every cell ends as one event, or as one `Correction` that says it was dropped. stamps: how the dates that cannot be true are
    written.
    """

    cells: pd.DataFrame
    corrections: list[Correction] = field(default_factory=list)
    stamps: Stamps = field(default_factory=dict)

    def note(self, action: Action, rule: str, cells: pd.DataFrame, detail: Iterable[str]) -> None:
        self.corrections += [
            Correction(action, rule, file, int(row), name, text)
            for file, row, name, text in zip(cells["file"], cells["row"], cells["field"], detail, strict=True)
        ]

    def require(self, file: object, whose: str = "") -> None:
        """Raises `RecordError` where no cell is left, with the first that was dropped and why."""
        if len(self.cells):
            return
        gone = [each for each in self.corrections if each.action == "dropped"]
        if not gone:
            raise RecordError(f"no usable row{whose}", file=file)
        why = f"no usable row{whose}: {len(gone)} dropped, this one by the rule {gone[0].rule!r} ({gone[0].detail})"
        raise RecordError(why, file=file, row=gone[0].row, field=gone[0].field)

    def drop(self, bad: Mask, rule: str) -> None:
        """Drop the cells in `bad` `[N]`."""
        gone = self.cells[bad]
        if len(gone):
            self.note("dropped", rule, gone, describe(gone))
            self.cells = taken(self.cells, np.flatnonzero(~bad))

    def drop_dates(self, bad: Mask, what: str) -> None:
        """Rule "impossible date": drop the cells in `bad` `[N]`, by the field and the text of their dates. Raises `RecordError`
        where they are too many for the file to be trusted; `what` says what is wrong with them."""
        if not bad.any():
            return
        gone = self.cells[bad]
        unknown = ("time", "")
        dates = [self.stamps.get(place, unknown) for place in zip(gone["file"], gone["row"].tolist(), strict=True)]
        gone = gone.assign(field=[name for name, _ in dates])
        of = [f"{channel} {raw!r}" for channel, raw in zip(gone["channel"], gone["raw"], strict=True)]
        texts = [f"{text!r} of {said}" if text else said for (_, text), said in zip(dates, of, strict=True)]
        refuse_if_common(bad, what, gone, texts[0])
        self.note("dropped", "impossible date", gone, texts)
        self.cells = taken(self.cells, np.flatnonzero(~bad))

    def change(self, where: Mask, column: str, values: NDArray[np.float64] | pd.Series, rule: str) -> None:
        """Set `column` of the cells in `where` `[N]`."""
        if not where.any():
            return
        before = self.cells[where]
        self.cells.loc[where, column] = values
        after = self.cells.loc[where, column]
        if column == "time":
            texts = [f"{old:%Y-%m-%d %H:%M} to {new:%Y-%m-%d %H:%M} UTC" for old, new in zip(before["time"], after, strict=True)]
        else:
            texts = [f"{old:g} to {new:g}" for old, new in zip(before[column], after, strict=True)]
        self.note("changed", rule, before, texts)

    def of(self, channel: str) -> Mask:
        """`[N]` the cells of one channel."""
        return (self.cells["channel"] == channel).to_numpy(dtype=bool)

    def report_stated(self) -> None:
        """Rule "insulin as stated": doses of an insulin whose kind somebody said at the import, a line a name."""
        for name, kind in as_stated().items() if "product" in self.cells else ():
            if len(mine := self.cells[self.cells["product"] == name]):
                detail = f"{len(mine):,} doses of {name!r:.60} counted as {kind}, as was said at the import"
                self.note("changed", "insulin as stated", mine.iloc[:1], [detail])

    def record(self, patient: str, zone: str, *, rows_read: int, files: Iterable[str]) -> PatientRecord:
        """What is left, as a record. Of the cells, the file and the row stay here."""
        self.report_stated()
        cells = self.cells
        if cells.empty:
            return PatientRecord(patient, zone, events_frame(), tuple(self.corrections), rows_read, files=tuple(files))
        self.cells = cells[["file", "row"]]
        channel = pd.factorize(cells["channel"], sort=True)[0]
        order = np.lexsort((cells["row"].to_numpy(), channel, cells["time"].dt.tz_localize(None).to_numpy()))
        columns: dict[str, Any] = {"origin": origins(cells["file"], cells["row"].to_numpy(), order)}
        for name in ("raw", "time", "value", "duration", "channel", "flag", "product"):
            if name in cells:
                texts = name in ("channel", "flag", "product")
                columns[name] = shared(cells.pop(name), order) if texts else cells.pop(name).array.take(order)
        filled = {"product": np.full(len(order), "", dtype=object)} | columns
        events = pd.DataFrame(
            {name: pd.Series(filled[name], dtype=kind, copy=False) for name, kind in COLUMNS.items()}, copy=False
        )
        return PatientRecord(patient, zone, events, tuple(self.corrections), rows_read, files=tuple(files))


Step = Callable[[Sheet], None]  # one rule over a sheet


def shared(texts: pd.Series, order: NDArray[np.int64]) -> NDArray[np.object_]:
    """`[N]` texts in an order, equal ones as one object; "" where there is none."""
    codes, values = pd.factorize(texts)
    return np.array([*values, ""], dtype=object)[codes[order]]


def origins(file: pd.Series, row: NDArray[np.int64], order: NDArray[np.int64]) -> pd.Series:
    """`[N]` "file:row" in an order, made piece by piece: as texts of Python they would be three times what is held in the end."""
    code, different = pd.factorize(file)
    named = [str(each) for each in different]
    pieces = [order[start : start + TOGETHER] for start in range(0, len(order), TOGETHER)]
    made = ([f"{named[one]}:{line}" for one, line in zip(code[at].tolist(), row[at].tolist(), strict=True)] for at in pieces)
    return pd.concat([pd.Series(texts, dtype="str") for texts in made], ignore_index=True)


def describe(cells: pd.DataFrame) -> list[str]:
    """One line a cell: when, and what was written."""
    return [
        f"{channel} {raw!r}" if pd.isna(time) else f"{time:%Y-%m-%d %H:%M} UTC {channel} {raw!r}"
        for time, channel, raw in zip(cells["time"], cells["channel"], cells["raw"], strict=True)
    ]


def silent(record: PatientRecord, sheet: Sheet, every: Sequence[Rows]) -> PatientRecord:
    """The record of a sheet, with the rows that gave neither an event nor a correction counted in `ignored`, as "nothing in
    it"."""
    most = max((int(rows.row.max()) for rows in every if len(rows)), default=0)
    gave = {rows.name: np.zeros(most + 1, dtype=bool) for rows in every}  # by line
    file, lines = sheet.cells["file"], sheet.cells["row"].to_numpy()
    for name, given in gave.items():
        given[lines[(file == name).to_numpy(dtype=bool)]] = True
    for each in record.corrections:
        if each.file in gave and each.row <= most:
            gave[each.file][each.row] = True
    count = sum(int((~gave[rows.name][rows.row]).sum()) for rows in every)
    return replace(record, ignored={**record.ignored, "nothing in it": count}) if count else record


def unread(rows: Rows, known: Iterable[str]) -> list[Correction]:
    """Rule "unknown column": a column with something in it that is none of the known ones, a line each."""
    found = []
    for name in [str(name) for name in rows.cells if name not in set(known)]:
        filled = np.flatnonzero(~is_missing(rows.cells[name]))
        if len(filled):
            detail = f"{len(filled):,} cells of a column that is not read, the first {rows.cells[name].iloc[filled[0]]!r:.60}"
            written = rows.fields.get(name, name)
            found.append(Correction("dropped", "unknown column", rows.name, int(rows.row[filled[0]]), written, detail))
    return found


def report_left(sheet: Sheet, rows: Rows) -> None:
    """Rules "short row" and "header again": rows that `read_rows` left out. "no line end": the last may be cut short."""
    sheet.corrections += [Correction("dropped", rule, rows.name, line, "", OUT_OF_ROOM[rule]) for line, rule in rows.left.items()]
    if rows.cut is not None:
        sheet.corrections.append(Correction("changed", "no line end", rows.name, rows.cut, "", CUT))


def settle(sheet: Sheet, *, repairs: Sequence[Step] = (), merges: Sequence[Step] = ()) -> None:
    """The rules of every reader, over cells that are whole: what cannot be read or cannot be true is dropped, and so is what
    stands twice. Sorts the cells by time.

    repairs: a source's own rules for what it writes wrong, before values are compared. merges: its own rules for what it holds
    twice, beside "duplicate" and "overlapping stream".
    """
    drop_unreadable(sheet)
    check_dates(sheet)
    sheet.cells = sheet.cells.astype(dict.fromkeys(REPEATED, "category"))
    sheet.cells = by_time(sheet.cells)
    for step in (*repairs, drop_duplicates, *merges, one_stream, check_ranges):
        step(sheet)


def drop_unreadable(sheet: Sheet) -> None:
    """Rules "no amount": an empty cell that matters; "impossible date": no such day or time; "not a number": other text."""
    sheet.drop(is_missing(sheet.cells["raw"]), "no amount")
    sheet.drop_dates(sheet.cells["time"].isna().to_numpy(dtype=bool), "no possible date and time")
    bad = sheet.cells["value"].isna().to_numpy(dtype=bool)
    refuse_if_common(bad, "text that is no number", sheet.cells[bad])
    sheet.drop(bad, "not a number")


def check_dates(sheet: Sheet) -> None:
    """Rule "impossible date": before 1980, or more than a day in the future, is dropped."""
    latest, time = latest_date(), sheet.cells["time"]
    bad = ((time < FIRST_DATE) | (time > latest)).to_numpy(dtype=bool)
    sheet.drop_dates(bad, f"dates outside 1980 to {latest:%Y-%m-%d}")


def check_ranges(sheet: Sheet) -> None:
    """Rules "negative" and "out of range": values outside the channel's physiological range are dropped.

    A dose of a weekly insulin may be seven times what a day's dose may be.
    """
    for channel in DEVICE_CHANNELS:
        mine, bad = sheet.of(channel.name), outside(sheet, channel)
        what = f"{channel.name} outside {channel.low:g} to {channel.high:g} {channel.unit} (wrong unit or column?)"
        refuse_if_common(bad, what, sheet.cells[bad], of=mine)
        sheet.drop(mine & (sheet.cells["value"].to_numpy(dtype=float) < min(0.0, channel.low)), "negative")
        sheet.drop(outside(sheet, channel), "out of range")


def outside(sheet: Sheet, channel: Channel) -> Mask:
    """`[N]` the cells of a channel whose values are beyond its limits."""
    value = sheet.cells["value"].to_numpy(dtype=float)
    mine = sheet.of(channel.name)
    bad = mine & ~((value >= channel.low) & (value <= channel.high))
    if "product" in sheet.cells and bad.any():
        weekly = sheet.cells["product"].isin(WEEKLY).to_numpy(dtype=bool)
        bad &= ~(weekly & (value >= channel.low) & (value <= 7.0 * channel.high))
    return bad


def refuse_if_common(bad: Mask, what: str, gone: pd.DataFrame, said: str = "", *, of: Mask | None = None) -> None:
    """Raise `RecordError` when too many of the cells `of` `[N]` are `bad` `[N]` for the file to be trusted. gone: the bad ones;
    said: the first of them in words, where `describe` does not say it."""
    count, total = int(bad.sum()), int(len(bad) if of is None else of.sum())
    if count >= 3 and count > UNTRUSTED * total:
        first = gone.iloc[0]
        problem = f"{count} of {total} values have {what}; the first is {said or describe(gone.iloc[:1])[0]}"
        raise RecordError(problem, file=first["file"], row=int(first["row"]), field=first["field"])


def milliunits(sheet: Sheet, channel: str = "basal") -> None:
    """Rule "mU/h to U/h": a rate no pump can deliver is in thousandths, and so is the run of whole numbers around it.

    Rates in U/h carry decimals and rates in mU/h do not, so the run of whole numbers that holds an impossible rate is one
    slip, except where a value is no larger than the largest rate with decimals in the file.
    """
    mine = np.flatnonzero(sheet.of(channel))
    value = sheet.cells["value"].to_numpy(dtype=float)[mine]
    impossible = value > channel_of(channel).high
    if not impossible.any():
        return
    whole = value == np.round(value)
    plausible = value[~whole & ~impossible]
    usual = plausible.max() if len(plausible) else 0.0
    run = np.cumsum(np.diff(whole, prepend=whole[:1]) != 0)
    slip = impossible | (whole & np.isin(run, run[impossible]) & (value > usual))
    where = np.zeros(len(sheet.cells), dtype=bool)
    where[mine[slip]] = True
    sheet.change(where, "value", value[slip] / 1000.0, "mU/h to U/h")


def glucose_unit(sheet: Sheet, expected: str = "mg/dL") -> None:
    """Bring glucose to mg/dL. `expected` is what the source says; a day whose readings are in the other unit is a slip.

    Rules "mmol/L labelled mg/dL" and the reverse: of at least three readings on a UTC day, 90 % are below 35 mg/dL, or
    above 35 mmol/L: both are incompatible with life, so the label is wrong. Units that mix within a day: `mixed_units`.
    """
    mine = sheet.of("glucose")
    value = sheet.cells["value"].to_numpy(dtype=float)
    wrong = value < 35.0 if expected == "mg/dL" else value > 35.0
    flags = sheet.cells["flag"]
    wrong &= mine & ~(flagged(flags, "low") | flagged(flags, "high"))  # a device's limit is in the unit that it says
    slip = wrong
    if wrong.any():
        day = sheet.cells["time"].dt.floor("D")
        table = pd.DataFrame({"wrong": wrong, "one": mine.astype(int)}).groupby(day, dropna=False).transform("sum")
        slip = wrong & ((table["one"] >= 3) & (table["wrong"] >= 0.9 * table["one"])).to_numpy(dtype=bool)
    slip |= mixed_units(sheet, mine & ~slip, value, expected)
    if expected == "mmol/L":
        right = mine & ~slip
        sheet.cells.loc[right, "value"] = value[right] * MG_PER_MMOL
        sheet.change(slip, "value", value[slip], "mg/dL labelled mmol/L")
    else:
        sheet.change(slip, "value", value[slip] * MG_PER_MMOL, "mmol/L labelled mg/dL")


def mixed_units(sheet: Sheet, mine: Mask, value: NDArray[np.float64], expected: str) -> Mask:
    """`[N]` a sensor's readings that can only be in the unit that is not stated, where there are at least three of them: 40 and
    more in mmol/L would be 720 mg/dL, and no sensor shows fractions below 20 mg/dL. What people type may be a slip of a digit."""
    sensor = mine & ~flagged(sheet.cells["flag"], "fingerstick") & (sheet.cells["flag"] == "").to_numpy(dtype=bool)
    other = value >= 40.0 if expected == "mmol/L" else (value < 20.0) & (value > 1.0) & (value != np.round(value))
    found = sensor & other
    return found if found.sum() >= 3 else np.zeros(len(found), dtype=bool)


def year_typos(sheet: Sheet) -> None:
    """Rule "year typo": a date half a year from both its neighbours in the file takes their year, where it then fits between."""
    for _, time in sheet.cells.groupby("file", sort=False, observed=True)["time"]:
        time = time.dropna()
        before, after = time.shift().fillna(time.shift(-1)), time.shift(-1).fillna(time.shift())
        far = ((time - before).abs() > HALF_YEAR) & ((time - after).abs() > HALF_YEAR)
        for index in time.index[far]:
            for year in (before[index].year, after[index].year):
                fixed = time[index] + pd.DateOffset(years=int(year) - time[index].year)
                if before[index] - SLACK <= fixed <= after[index] + SLACK:
                    where = np.asarray(sheet.cells.index == index)
                    sheet.change(where, "time", pd.Series([fixed], index=[index]), "year typo")
                    break


def drop_duplicates(sheet: Sheet) -> None:
    """Rule "duplicate": the same value (of one product) in the same channel at one time; of a dose or meal, within a second. Rule
    "repeated time": a level or a rate has one value at a time, the first reading and the last rate. A finger stick repeats no
    sensor's reading."""
    same = ["value", "duration", *(["product"] if "product" in sheet.cells else [])]
    sheet.drop(repeats(sheet, *same), "duplicate")
    sheet.drop(sent_again(sheet, ["channel", *same]), "duplicate")
    for channel in DEVICE_CHANNELS:
        if channel.form != "impulse" and channel.name != "activity":
            keep: Literal["first", "last"] = "first" if channel.form == "level" else "last"
            sheet.drop(sheet.of(channel.name) & repeats(sheet, keep=keep), "repeated time")


def repeats(sheet: Sheet, *columns: str, keep: Literal["first", "last"] = "first") -> Mask:
    """`[N]` cells that repeat another's channel, time and `columns`; sensors and finger sticks apart."""
    channel, time = pd.factorize(sheet.cells["channel"])[0], sheet.cells["time"].astype("int64").to_numpy()
    order = np.lexsort((channel, time))
    same = (np.diff(time[order]) == 0) & (np.diff(channel[order]) == 0)
    places = np.union1d(order[:-1][same], order[1:][same])  # few have another of their channel at their time
    cells = sheet.cells.iloc[places]
    cells = cells.assign(stick=flagged(cells["flag"], "fingerstick"))
    found = np.zeros(len(time), dtype=bool)
    found[places] = cells.duplicated(["channel", "time", "stick", *columns], keep=keep)
    return found


def sent_again(sheet: Sheet, same: list[str]) -> Mask:
    """`[N]` doses and meals, in order of time, that follow one alike in the columns `same` by less than a second: nobody gives
    two so soon."""
    given = sheet.cells[sheet.cells["channel"].isin(IMPULSES)]
    soon = given.groupby(same, observed=True, dropna=False)["time"].diff() < AT_ONCE
    return np.isin(sheet.cells.index, given.index[soon])


def one_stream(sheet: Sheet) -> None:
    """Rule "overlapping stream": a day in which a fifth of the readings follow another within 3 min holds two streams.

    Where the two agree (median difference up to 27 mg/dL, 1.5 mmol/L), one sensor was recorded twice or also scanned: a
    reading that repeats the value before it is dropped. Where they do not, nothing says which stream is the patient's, and the
    day's readings are dropped. A sensor that reads every minute is left alone, and so are finger sticks.
    """
    sensor = sheet.of("glucose") & ~flagged(sheet.cells["flag"], "fingerstick")
    cells = sheet.cells[["time", "value", "raw"]][sensor].sort_values("time", kind="stable")
    close = (cells["time"].diff() < CLOSE).to_numpy(dtype=bool)
    if not close.any() or close.mean() > 0.8:
        return
    apart = cells["value"].diff().abs().where(close)
    day = cells["time"].dt.floor("D")
    doubled = pd.Series(close, index=cells.index).groupby(day).transform("mean").to_numpy() > 0.2
    disagree = apart.groupby(day).transform("median").to_numpy() > AGREEMENT
    repeats = close & (cells["raw"] == cells["raw"].shift()).to_numpy(dtype=bool)
    sheet.drop(np.isin(sheet.cells.index, cells.index[doubled & (disagree | repeats)]), "overlapping stream")
