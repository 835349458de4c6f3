"""The documented table: CSV or Parquet, one row a time (wide) or one row an event (long). See docs/reference/records.md.

Wide: `time` and any of glucose, glucose_mmol, basal, bolus, long_acting, carbs, activity.
Long: `time`, `channel`, `value`, and optionally `duration` (minutes) and `flag`: the canonical events.
Either may have patient, zone, weight (kg) and group columns.
"""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from careplan.records.channels import DEVICE_CHANNELS, channel_of
from careplan.records.events import Correction, PatientRecord, RecordError, Refused, refusing
from careplan.records.sheet import (
    Sheet,
    check_dates,
    check_ranges,
    column,
    drop_duplicates,
    drop_short,
    drop_unreadable,
    glucose_unit,
    milliunits,
    one_stream,
    year_typos,
)
from careplan.records.text import MISSING, Rows, check_zone, dates, find_files, is_missing, numbers, read_rows, to_utc
from careplan.records.units import MG_PER_MMOL

ALIASES = {
    **dict.fromkeys(("timestamp", "datetime", "date", "localtime"), "time"),
    **dict.fromkeys(("patientid", "subject", "subjectid", "id", "person"), "patient"),
    **dict.fromkeys(("timezone", "tz"), "zone"),
    **dict.fromkeys(("glucosemgdl", "bg", "cgm", "sgv"), "glucose"),
    **dict.fromkeys(("glucosemmoll", "bgmmol", "cgmmmol"), "glucosemmol"),
    **dict.fromkeys(("basaluh", "basalrate"), "basal"),
    **dict.fromkeys(("bolusu", "insulin"), "bolus"),
    **dict.fromkeys(("longactingu",), "longacting"),
    **dict.fromkeys(("carbsg", "carb", "carbohydrates"), "carbs"),
    **dict.fromkeys(("activitymet", "met"), "activity"),
    **dict.fromkeys(("weightkg",), "weight"),
    **dict.fromkeys(("durationmin", "durationminutes"), "duration"),
}
CHANNELS = {channel.name.replace("_", ""): channel.name for channel in DEVICE_CHANNELS}
FLAGS = ("", "low", "high", "automatic")
GROUPS = ("adult", "adolescent", "child")

Part = tuple[Rows, pd.Series, np.ndarray]  # one patient's rows of a file, their times in UTC, and which of those had no offset


def read_table(
    path: str | Path, *, zone: str | None = None, day_first: bool | None = None, refused: Refused | None = None
) -> list[PatientRecord]:
    """One record for each patient at `path`: a .csv or .parquet file, or a folder of them.

    zone: the clock of times that carry no offset, where the table has no zone column; UTC by default. day_first: the order of
    numeric dates where the file cannot tell. Raises `RecordError` where a file cannot be trusted; with `refused`, a patient whose
    rows cannot be is left out and noted there, unless a file cannot be read that may hold anyone's rows.
    """
    if zone is not None:
        check_zone(zone, file=path)
    people: dict[str, list[Part]] = {}
    broken: Refused = {}
    for file in find_files(path, "*.csv", "*.parquet"):
        with refusing(None if refused is None else broken, slug(file.stem)):
            rows = read_parquet(file) if file.suffix.lower() == ".parquet" else read_rows(file, ["time"], aliases=ALIASES)
            check_columns(rows)
            time, local = times(rows, zone, day_first)
            names = (
                rows.cells["patient"].replace("", file.stem)
                if "patient" in rows.cells
                else pd.Series(file.stem, index=time.index)
            )
            for name in names.unique():
                mine = (names == name).to_numpy(dtype=bool)
                own = replace(rows, cells=rows.cells[mine].reset_index(drop=True), row=rows.row[mine])
                people.setdefault(str(name), []).append((own, time[mine].reset_index(drop=True), local[mine]))
    if broken and any("patient" in rows.cells for parts in people.values() for rows, _, _ in parts):
        raise next(iter(broken.values()))
    if refused is not None:
        refused |= broken
    records = []
    for name, parts in people.items():
        if slug(name) not in broken:
            with refusing(refused, slug(name)):
                records.append(read_patient(name, parts, zone))
    return records


def read_patient(name: str, parts: list[Part], zone: str | None) -> PatientRecord:
    sheet = Sheet(pd.concat([cells_of(*part) for part in parts], ignore_index=True))
    first = parts[0][0]
    clock = one_value(parts, "zone") or zone
    for rows, _, _ in parts:
        drop_short(sheet, rows)
    if clock is None:
        clock = "UTC"
        if sheet.cells["local"].any():
            sheet.corrections.append(Correction("changed", "no time zone", first.name, int(first.row[0]), "time", "read as UTC"))
    sheet.cells = sheet.cells.drop(columns="local")
    units = {"mmol/L" if "glucosemmol" in rows.cells else "mg/dL" for rows, _, _ in parts}
    if len(units) > 1:
        raise RecordError("files of one patient have glucose in two units", file=first.file)
    drop_unreadable(sheet, first.fields["time"])
    year_typos(sheet)
    check_dates(sheet, first.fields["time"])
    sheet.cells = sheet.cells.sort_values(["time", "file", "row"], kind="stable", ignore_index=True)
    milliunits(sheet)
    glucose_unit(sheet, units.pop())
    drop_duplicates(sheet)
    one_stream(sheet)
    check_ranges(sheet)
    sheet.require(first.file, f" for patient {name!r}")

    rows_read = sum(len(rows) + len(rows.short) for rows, _, _ in parts)
    record = sheet.record(slug(name), clock, rows_read=rows_read, files=dict.fromkeys(rows.name for rows, _, _ in parts))
    weight = one_value(parts, "weight")
    kilograms = float(numbers([weight])[0]) if weight else None
    if kilograms is not None and not 1 <= kilograms <= 500:
        raise RecordError(f"expected a weight in kg, found {weight!r}", file=first.file, field="weight")
    group = one_value(parts, "group") or "adult"
    if group not in GROUPS:
        raise RecordError(f"expected one of {', '.join(GROUPS)}, found {group!r}", file=first.file, field="group")
    return PatientRecord(**{**record.__dict__, "weight": kilograms, "group": group})


def slug(name: str) -> str:
    """A patient's name as an identifier; letters and digits of any language are kept."""
    return re.sub(r"[^\w.-]+", "-", name.strip()).strip("-") or "patient"


def one_value(parts: list[Part], name: str) -> str | None:
    """What a column says of one patient, where it says anything; `RecordError` where it says two things."""
    found = {str(value): rows for rows, _, _ in parts if name in rows.cells for value in rows.cells[name].unique() if value}
    if len(found) > 1:
        raise RecordError(f"one patient has two values: {sorted(found)[:2]}", file=parts[0][0].file, field=name)
    return next(iter(found), None)


def check_columns(rows: Rows) -> None:
    present = set(rows.cells)
    if "channel" in present:
        if "value" not in present:
            raise RecordError(
                f"expected a column 'value' beside 'channel', found {rows.header}", file=rows.file, row=1, field="value"
            )
    elif not present & {*CHANNELS, "glucosemmol"}:
        wanted = ", ".join(channel.name for channel in DEVICE_CHANNELS)
        raise RecordError(f"expected a column of {wanted}, or channel and value; found {rows.header}", file=rows.file, row=1)
    if {"glucose", "glucosemmol"} <= present:
        raise RecordError("both glucose and glucose_mmol: expected one of them", file=rows.file, row=1)


def cells_of(rows: Rows, time: pd.Series, local: np.ndarray) -> pd.DataFrame:
    """Cells of a wide or long table; `local` tells the times that had no offset."""
    if "channel" in rows.cells:
        cells = long_cells(rows, time)
    else:
        wide = {**CHANNELS, "glucosemmol": "glucose"}
        parts = []
        for name in [name for name in rows.cells if name in wide]:
            scale = MG_PER_MMOL if name == "glucosemmol" else 1.0
            limits = (40.0 / scale, 400.0 / scale) if wide[name] == "glucose" else None
            part = column(rows, name, wide[name], time, limits=limits)
            if channel_of(wide[name]).form == "rate":
                part["duration"] = np.nan
            parts.append(part)
        cells = pd.concat(parts, ignore_index=True)
    return cells.assign(local=cells["row"].map(dict(zip(rows.row, local, strict=True))).astype(bool))


def long_cells(rows: Rows, time: pd.Series) -> pd.DataFrame:
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
        stated = numbers(list(texts), decimal_comma=rows.decimal_comma)
        bad = ~is_missing(texts) & ~(stated >= 0)
        if bad.any():
            row = int(cells["row"][bad].iloc[0])
            raise RecordError(f"expected minutes, found {texts[bad].iloc[0]!r}", file=rows.file, row=row, field="duration")
        cells["duration"] = np.where(np.isnan(stated), cells["duration"], stated)
    if "flag" in rows.cells:
        flags = rows.cells["flag"].iloc[index].reset_index(drop=True).str.lower()
        flags = flags.where(~flags.isin(MISSING), "")
        if not flags.isin(FLAGS).all():
            row = int(cells["row"][~flags.isin(FLAGS)].iloc[0])
            raise RecordError(
                f"expected one of {FLAGS}, found {flags[~flags.isin(FLAGS)].iloc[0]!r}", file=rows.file, row=row, field="flag"
            )
        cells["flag"] = flags.where(flags != "", cells["flag"])
    return cells


def times(rows: Rows, zone: str | None, day_first: bool | None) -> tuple[pd.Series, np.ndarray]:
    """UTC times `[N]`, and which had no offset of their own and were read on the patient's clock."""
    parsed = dates(list(rows.cells["time"]), file=rows.file, row=rows.row, field=rows.fields["time"], day_first=day_first)
    offset = parsed["offset"]
    utc = (parsed["time"] - pd.to_timedelta(offset.fillna(0.0), unit="m")).dt.tz_localize("UTC")
    local = offset.isna().to_numpy(dtype=bool)
    clocks = (
        rows.cells["zone"].replace("", zone or "UTC") if "zone" in rows.cells else pd.Series(zone or "UTC", index=parsed.index)
    )
    for clock in clocks.unique():
        mine = local & (clocks == clock).to_numpy(dtype=bool)
        utc[mine] = to_utc(parsed["time"][mine], str(clock), file=rows.file)[0]
    return utc.astype("datetime64[ns, UTC]"), local


def read_parquet(path: Path) -> Rows:
    """A Parquet file as rows of text; rows count from 1."""
    try:
        frame = pd.read_parquet(path)
    except Exception as error:  # pyarrow raises many kinds for a file that is none, or is cut short
        raise RecordError(f"not a Parquet file: {str(error).splitlines()[0][:200]}", file=path) from error
    fields = {ALIASES.get(key := re.sub(r"[^0-9a-z]", "", str(name).lower()), key): str(name) for name in frame.columns}
    if len(fields) != len(frame.columns):
        raise RecordError(f"a column repeats: {list(frame.columns)[:20]}", file=path)
    if "time" not in fields:
        raise RecordError(f"expected a column 'time', found {list(frame.columns)[:20]}", file=path, field="time")
    if frame.empty:
        raise RecordError("no row", file=path)
    cells = pd.DataFrame({name: as_text(frame[written]) for name, written in fields.items()}, dtype=object)
    return Rows(str(path), cells, np.arange(1, len(frame) + 1), fields, False)


def as_text(column: pd.Series) -> list[str]:
    return [
        "" if missing else value.isoformat() if hasattr(value, "isoformat") else str(value).strip()
        for value, missing in zip(column, column.isna(), strict=True)
    ]
