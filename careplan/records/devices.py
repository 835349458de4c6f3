"""Rule "two devices": what two devices of one person both show or log counts once."""

import numpy as np
import pandas as pd

from careplan.records.channels import DEVICE_CHANNELS
from careplan.records.sheet import Sheet

SAME_DOSE = pd.Timedelta(minutes=1)  # what two devices log of one dose is this far apart at most


def drop_second_device(sheet: Sheet, device: pd.Series, *, within: pd.Timedelta) -> None:
    """Rule "two devices": a sensor's reading that another device shows too, the one with more readings, counts once.

    device: which one showed each cell, or which sensor it is of, by the sheet's index; empty where not said. within: how far
    apart the two are at most.
    """
    if device[device != ""].nunique() < 2:
        return
    cells = sheet.cells
    sensor = (
        sheet.of("glucose")
        & ~cells["flag"].str.contains("fingerstick").to_numpy(dtype=bool)
        & cells["time"].notna().to_numpy(dtype=bool)
    )
    shown = device.where(sensor, "")
    near = beside_others(cells["time"], shown, within)
    order = [name for name in shown[shown != ""].value_counts().index if name in near]
    again = np.zeros(len(cells), dtype=bool)
    for place, name in enumerate(order[1:], start=1):
        before = sensor & shown.isin(order[:place]).to_numpy(dtype=bool) & ~again
        mine = np.flatnonzero(sensor & (shown == name).to_numpy(dtype=bool))
        known = pd.DataFrame({"time": cells["time"][before].sort_values()}).assign(near=True)
        ask = cells.iloc[mine][["time"]].assign(place=mine).sort_values("time")
        found = pd.merge_asof(ask, known, on="time", direction="nearest", tolerance=within)
        again[found["place"][found["near"].notna()]] = True
    sheet.drop(again, "two devices")


def beside_others(time: pd.Series, shown: pd.Series, within: pd.Timedelta) -> set[str]:
    """The devices that show a reading so soon before or after one of another device."""
    said = pd.DataFrame({"time": time, "shown": shown})[shown != ""].sort_values("time", kind="stable")
    change = (said["shown"] != said["shown"].shift()) & (said["time"].diff() <= within)
    return {*said["shown"][change], *said["shown"][change.shift(-1, fill_value=False)]}


def drop_same_doses(sheet: Sheet) -> None:
    """Rule "two devices": a dose or meal that another `device` logs too, of the same amount and length within a minute, is one:
    that of the device with more of them."""
    again = np.zeros(len(sheet.cells), dtype=bool)
    for channel in DEVICE_CHANNELS:
        if channel.form != "impulse":
            continue
        mine = sheet.cells[sheet.of(channel.name) & (sheet.cells["device"] != "").to_numpy(dtype=bool)]
        mine = mine[["time", "value", "duration", "device"]].assign(place=mine.index).sort_values("time", kind="stable")
        order = list(mine["device"].value_counts().index)
        for rank, device in enumerate(order[1:], start=1):
            held = mine[mine["device"].isin(order[:rank]) & ~again[mine["place"]]].drop(columns="device")
            asked = mine[mine["device"] == device]
            found = pd.merge_asof(
                asked, held, on="time", by=["value", "duration"], direction="nearest", tolerance=SAME_DOSE, suffixes=("", "_held")
            )
            again[found["place"][found["place_held"].notna()]] = True
    sheet.drop(again, "two devices")
