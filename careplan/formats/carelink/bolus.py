"""The boluses of a CareLink export of the 600 and 700 series: each is logged when it is chosen and again when it is done."""

import numpy as np
import pandas as pd

from careplan.records.clock import minutes_of
from careplan.records.export import ExportRows, Mask
from careplan.records.pump import SECONDS
from careplan.records.text import numbers

PAIR = pd.Timedelta(hours=12)  # the longest a bolus takes from being chosen to being logged as delivered


def boluses(rows: ExportRows, name: dict[str, str], text: dict[str, np.ndarray]) -> None:
    """A bolus is logged when it is chosen and again when it is done: what was delivered counts, from when it was chosen.

    Rules "chosen bolus": the first of the two rows. "not delivered": chosen, and no row says it was given. "cut short": less was
    given than chosen. The square part of a dual bolus runs from the chosen row, or the normal part, to the row that logs its end.
    """
    given, chosen = (
        numbers(text["bolusvolumedelivered"], decimal_comma=True),
        numbers(text["bolusvolumeselected"], decimal_comma=True),
    )
    done, asked = text["bolusvolumedelivered"] != "", (text["bolusvolumeselected"] != "") & (text["bolusvolumedelivered"] == "")
    square = np.array(["square" in kind.lower() for kind in text["bolustype"]], dtype=bool)
    frame = pd.DataFrame(
        {"time": rows.time, "key": pd.Series(bolus_keys(text, square), dtype=object), "place": np.arange(len(done))}
    )
    start, pair = paired(frame, done, asked, square)
    cell = name["bolusvolumedelivered"]
    stated = np.nan_to_num(minutes_of(list(text["bolusduration"])))
    share = np.where((chosen > 0) & (given < chosen), given / np.where(chosen > 0, chosen, 1.0), 1.0)
    clock = rows.time.astype("int64").to_numpy() / SECONDS
    began = np.where(start >= 0, clock[np.maximum(start, 0)], np.nan)
    lasted = (clock - began) / 60.0
    logged_late = square & (lasted > 1.0) & ((stated == 0) | (lasted <= stated + 5.0))
    minutes = np.where(square, np.where(logged_late, lasted, stated * share), 0.0)
    began = np.where(np.isnan(began), clock - 60.0 * minutes, began)
    begin = pd.Series(pd.to_datetime(began * SECONDS, utc=True)).where(rows.time.notna())
    auto = np.array(["AUTO" in source.upper() for source in text["bolussource"]], dtype=bool)
    rows.dose(done, "bolus", cell, given, duration=minutes, flag=np.where(auto, "automatic", "").astype(object), time=begin)
    short = done & (given < chosen)
    reason = text["boluscancellationreason"]
    rows.report(
        short, "cut short", cell, lambda i: f"{given[i]:g} U of {chosen[i]:g} chosen {reason[i]}".strip(), action="changed"
    )
    matched = np.zeros(len(done), dtype=bool)
    matched[pair] = True
    rows.report(
        asked & matched, "chosen bolus", name["bolusvolumeselected"], "counted once, by the row that says what was delivered"
    )
    rows.report(
        asked & ~matched,
        "not delivered",
        name["bolusvolumeselected"],
        lambda i: f"{chosen[i]:g} U chosen, and no row of what was delivered",
    )


def bolus_keys(text: dict[str, np.ndarray], square: Mask) -> list[str]:
    """What the rows of one bolus share: its number, or else what was chosen; and which of its parts."""
    numbered = [number.split(",")[0].split(".")[0] for number in text["bolusnumber"]]
    said = zip(numbered, text["bolusvolumeselected"], square, strict=True)
    return [f"{number or '#' + volume}|{part}" for number, volume, part in said]


def paired(frame: pd.DataFrame, done: Mask, asked: Mask, square: Mask) -> tuple[np.ndarray, np.ndarray]:
    """`[N]` the row at which each delivered bolus began (-1: its own), and the chosen rows that are told by a delivered one."""
    start = np.full(len(frame), -1)
    dated = frame["time"].notna().to_numpy(dtype=bool)
    ask = frame[done & dated].sort_values("time", kind="stable")
    known = frame[asked & dated].sort_values("time", kind="stable").rename(columns={"place": "begun"})
    found = pd.merge_asof(ask, known, on="time", by="key", direction="backward", tolerance=PAIR)
    hit = found["begun"].notna()
    start[found.loc[hit, "place"].astype(int)] = found.loc[hit, "begun"].astype(int)
    other = ask[np.isin(ask["place"], np.flatnonzero(square & (start < 0)))]
    other = other.assign(key=pd.Series([key.replace("|True", "|False") for key in other["key"]], other.index, dtype=object))
    normal_part = frame[done & dated & ~square].sort_values("time", kind="stable").rename(columns={"place": "begun"})
    numbered = np.array([not key.startswith("#") for key in normal_part["key"]], dtype=bool)
    second = pd.merge_asof(
        other,
        normal_part[numbered],
        on="time",
        by="key",
        direction="backward",
        tolerance=PAIR,
    )
    hit = second["begun"].notna()
    start[second.loc[hit, "place"].astype(int)] = second.loc[hit, "begun"].astype(int)
    return start, found.loc[found["begun"].notna(), "begun"].astype(int).to_numpy()
