"""Nightscout's entries: a sensor's readings, finger sticks, calibrations and error codes, a column at a time."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from careplan.formats.nightscout.documents import Account, Entries, Placed
from careplan.formats.nightscout.values import denied, moments, numbers_of, stamp_of
from careplan.records.events import flagged, join_flags
from careplan.records.sheet import Sheet
from careplan.records.stamps import stamps_of
from careplan.records.text import beyond
from careplan.records.units import MG_PER_MMOL

SENSOR = (40.0, 400.0)  # mg/dL: what "Low" and "High" mean where they state no limit
ERROR_CODES = 12.0  # mg/dL: Dexcom's error codes stand where a reading would, 0 to 12
LOWS = (37.0, 39.0)  # mg/dL: what receivers and xDrip write for "Low", which is below 40
HIGH = 401.0  # mg/dL: and for "High", above 400
MMOL = 35.0  # a reading below is in mmol/L or no reading: 35 mmol/L is 630 mg/dL
SAME, CLOSE = 2.0, pd.Timedelta(seconds=150)  # mg/dL, and how far apart two uploaders' copies of a reading are at most
STAMPS = ("date", "mills", "dateString", "sysTime")


def entry_cells(entries: Entries, account: Account) -> pd.DataFrame:
    """Cells of one file's entries (`CELLS` and `device`), with what gives none on the account.

    `sgv` (or `mgdl`, where the site answers with its own data) is a sensor's reading, `mbg` a finger stick.
    """
    raw, stick, keep = told_apart(entries, account)
    value, flag = readings(raw)
    mmol = [isinstance(unit, str) and unit.lower().startswith("mmol") for unit in entries.columns.get("units", ())]
    if any(mmol):
        value = np.where(np.array(mmol) & (value < MMOL), value * MG_PER_MMOL, value)
    for index in np.flatnonzero(stick).tolist():
        flag[index] = join_flags(flag[index], "fingerstick")
    time = moments(*(entries.column(name) for name in STAMPS))
    account.stamps |= stamps_of(
        time,
        lambda index: (entries.file, entries.rows[index]),
        lambda index: stamp_of(STAMPS, lambda name: entries.column(name)[index]),
    )
    cells = pd.DataFrame(
        {
            "file": same(entries.file, len(entries)),
            "row": np.array(entries.rows, dtype=np.int64),
            "field": pd.Series(np.array(["sgv", "mbg"], dtype=object)[stick.astype(int)], dtype=object),
            "raw": pd.Series(as_written(raw), dtype=object),
            "time": time,
            "channel": same("glucose", len(entries)),
            "value": value,
            "duration": 0.0,
            "flag": pd.Series(flag, dtype=object),
            "device": pd.Series(entries.column("device"), dtype=object),
        }
    )
    return cells if keep.all() else cells[keep].reset_index(drop=True)


def told_apart(entries: Entries, account: Account) -> tuple[list[Any], NDArray[np.bool_], NDArray[np.bool_]]:
    """`[N]` what each entry measured, whether by a finger stick, and whether it is kept; the others are on the account."""
    sensor, meter = entries.column("sgv"), entries.column("mbg")
    if "mgdl" in entries.columns:
        sensor = [own if own is not None else other for own, other in zip(sensor, entries.column("mgdl"), strict=True)]
    kinds, valid = entries.column("type"), entries.column("isValid")
    raw, stick, keep = sensor, np.zeros(len(entries), dtype=bool), np.ones(len(entries), dtype=bool)
    for index, kind in enumerate(kinds):
        if valid[index] is not None and denied(valid[index]):
            place = Placed(entries.file, entries.rows[index], {})
            account.drop("deleted", place, "isValid", f"{kind or 'entry'} {sensor[index]!r:.20} marked as deleted")
        elif kind == "sgv" or (sensor[index] is not None and kind != "mbg"):
            continue
        elif kind == "mbg" or meter[index] is not None:
            stick[index] = True
            if meter[index] is not None:
                raw = list(raw) if raw is sensor else raw
                raw[index] = meter[index]
            continue
        else:
            known = {"cal": "calibration", "rawbg": "raw signal", None: "entry without a reading"}
            account.ignore(known.get(kind, "other entry"))
        keep[index] = False
    return raw, stick, keep


def same(text: str, length: int) -> pd.Series:
    """`[N]` one text, held once."""
    return pd.Series(np.full(length, text, dtype=object), dtype=object)


def readings(raw: Sequence[object]) -> tuple[NDArray[np.float64], NDArray[np.object_]]:
    """`[N]` values and flags; "LOW" and the like are censored."""
    value = numbers_of(raw)
    flag = np.full(len(raw), "", dtype=object)
    for index in np.flatnonzero(np.isnan(value)).tolist():
        written = raw[index]
        if isinstance(written, str) and (said := beyond(written)):
            limit = SENSOR[said[0] == "high"] if np.isnan(said[1]) else said[1]
            flag[index], value[index] = said[0], limit
    return value, flag


def as_written(values: Sequence[object]) -> list[str]:
    """`[N]` texts of values, equal ones shared."""
    known: dict[object, str] = {}
    try:
        return [known.setdefault(value, str(value)) for value in values]
    except TypeError:  # a list or a document where a value should be
        return [str(value) for value in values]


def error_codes(sheet: Sheet) -> None:
    """Rule "sensor error code": a sensor's reading of 12 or less that is a whole number, unless its day is written in mmol/L.

    A day in mmol/L has readings with decimals among those below 35; a day of error codes alone has not.
    """
    value = sheet.cells["value"].to_numpy(dtype=float)
    sensor = sheet.of("glucose") & ~flagged(sheet.cells["flag"], "fingerstick")
    small = sensor & (value < MMOL)
    if not small.any():
        return
    day = sheet.cells["time"].dt.floor("D")
    decimals = pd.Series(small & (value != np.round(value))).groupby(day.to_numpy()).transform("any").to_numpy(dtype=bool)
    sheet.drop(small & (value <= ERROR_CODES) & ~decimals, "sensor error code")


def censored(sheet: Sheet) -> None:
    """A sensor's 37 to 39 are "Low", its 401 is "High": flagged, at the limit they mean."""
    value = sheet.cells["value"].to_numpy(dtype=float)
    sensor = sheet.of("glucose") & (sheet.cells["flag"] == "").to_numpy(dtype=bool)
    for word, limit, where in (
        ("low", SENSOR[0], (value >= LOWS[0]) & (value <= LOWS[1])),
        ("high", SENSOR[1], value == HIGH),
    ):
        sheet.cells.loc[sensor & where, "flag"] = word
        sheet.cells.loc[sensor & where, "value"] = limit


def two_uploaders(sheet: Sheet) -> None:
    """Rule "two uploaders": a reading within 150 s of another device's, or 45 s of the same device's, and within 2 mg/dL of it,
    is the same reading sent twice; where readings come every minute, within half of that. Finger sticks alike, whoever sent them.
    """
    stick = flagged(sheet.cells["flag"], "fingerstick")
    again = np.zeros(len(sheet.cells), dtype=bool)
    for group in (sheet.of("glucose") & ~stick, sheet.of("glucose") & stick):
        cells = sheet.cells.loc[group, ["time", "value", "device"]].sort_values("time", kind="stable")
        if len(cells) < 2:
            continue
        gap = cells["time"].diff()
        usual = cells["time"].groupby(cells["device"].astype(str)).diff().median()
        close = min(CLOSE, usual * 0.45) if pd.notna(usual) and not stick[group].any() else CLOSE
        other = (cells["device"] != cells["device"].shift()) | bool(stick[group].any())
        same = (cells["value"].diff().abs() <= SAME) & (gap < close) & (other | (gap < pd.Timedelta(seconds=45)))
        again[cells.index[same.to_numpy(dtype=bool)]] = True
    sheet.drop(again, "two uploaders")
