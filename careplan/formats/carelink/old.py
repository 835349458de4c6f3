"""CareLink exports of the Paradigm, Revel and Veo: one row an event, of a kind and with values that are English in any language.

The visible columns repeat a part of it under headers in the account's language, in one order.
"""

import re
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from careplan.minutes import DAY
from careplan.records.blocks import Block
from careplan.records.export import SENSOR, ExportRows, Mask, glucose_values, scaled, unit_of
from careplan.records.pump import PumpLog
from careplan.records.settings import StatedSettings, pump_settings
from careplan.records.text import normal, numbers
from careplan.records.units import MG_PER_MMOL

RAW_TYPE, DUTCH_TYPE = "rawtype", "onbewerkttype"
WIDTH = 39
NEW_TIME, METER, SENSOR_PLACE, TYPE, VALUES, ID = 4, 5, 30, 33, 34, 35
PLACES = {0, 1, 2, NEW_TIME, METER, 29, SENSOR_PLACE, TYPE, VALUES, ID}
VALUE = re.compile(r"(\w+)=(.*?)(?=,\s*\w+=|$)")
STICKS = {"CalBGForPH", "BGReceived", "BGCapturedOnPump", "SensorCalBG", "BGLinkMeter", "BGParadigmLink", "BGMeter"}
LIMITS = {"GlucoseSensorDataLow": "low", "GlucoseSensorDataHigh": "high"}
RUNS = ("normal_pumping", "user_restart_basal", "auto_resume_complete", "auto_resume_reduced")
KINDS = (  # what a kind begins with, and what it is called where no channel has it
    ("Current", "settings"),
    ("ChangeTime", "clock set"),
    ("Change", "settings"),
    ("ResultDailyTotal", "daily total"),
    ("ResultTotals", "daily total"),
    ("Alarm", "alert"),
    ("ClearAlarm", "alert"),
    ("SensorAlert", "alert"),
    ("Sensor", "raw signal"),
    ("Rewind", "rewind"),
    ("Prime", "prime"),
    ("UnabsorbedInsulin", "insulin on board"),
    ("JournalEntry", "marker"),
)


def recognise(lines: Sequence[str]) -> str | None:
    """Why lines are those of an old CareLink export with headers of another language, or nothing."""
    for line in lines:
        if DUTCH_TYPE in normal(line):
            return "its header has the columns of a CareLink of the Paradigm's time, in Dutch"
        if ("BasalProfileStart" in line and "RATE=" in line) or ("GlucoseSensorData" in line and "AMOUNT=" in line):
            return "its rows have the kinds and values of a CareLink of the Paradigm's time"
    return None


def is_old(block: Block) -> bool:
    """Whether a block has the columns of the old layout: by their names, or by their number and by what the values look like."""
    if any(block.has(name) for name in (RAW_TYPE, DUTCH_TYPE)):
        return True
    texts = block.texts(block.at(VALUES))[:50]
    return any("=" in text for text in texts)


def account_for(rows: ExportRows, log: PumpLog) -> StatedSettings | None:
    """Every row; returns the settings that the pump had when it was last read."""
    block = rows.block
    kind, said = block.texts(block.at(TYPE)), block.texts(block.at(VALUES))
    sensor = np.array([text.startswith("GlucoseSensorData") for text in kind], dtype=bool)
    values: list[dict[str, str]] = [
        {} if is_sensor else dict(VALUE.findall(text)) for is_sensor, text in zip(sensor, said, strict=True)
    ]

    def amounts(*keys: str) -> np.ndarray:
        return numbers([next((each[key] for key in keys if key in each), "") for each in values], decimal_comma=True)

    readings(rows, kind, sensor, said, amounts("AMOUNT"))
    doses(rows, kind, amounts("AMOUNT"), amounts("PROGRAMMED_AMOUNT"), amounts("DURATION") / 60_000.0, values)
    basal(rows, log, kind, values, amounts)
    others(rows, kind)
    return settings_of(block, kind, values, rows.time)


def readings(rows: ExportRows, kind: np.ndarray, sensor: Mask, said: np.ndarray, amount: np.ndarray) -> None:
    """Sensor glucose and finger sticks, from the visible columns (whose header has the unit), else from the values."""
    block = rows.block
    unit = unit_of(block.written(block.at(SENSOR_PLACE))) or "mg/dL"
    limits = scaled(SENSOR, unit)
    shown, flag = glucose_values(block.texts(block.at(SENSOR_PLACE)), limits)
    bare = sensor & np.isnan(shown)
    hidden = numbers(
        [dict(VALUE.findall(text)).get("AMOUNT", "") if need else "" for text, need in zip(said, bare, strict=True)],
        decimal_comma=True,
    )
    value = np.where(bare, in_unit(hidden, unit), shown)
    for name, word in LIMITS.items():
        beyond = kind == name
        flag = np.where(beyond, word, flag)
        value = np.where(beyond & np.isnan(value), limits[word == "high"], value)
    rows.report(sensor & np.isnan(value), "no amount", block.at(VALUES))
    rows.add(sensor & ~np.isnan(value), "glucose", block.at(VALUES), value, flag=flag.astype(object))
    stick = np.isin(kind, tuple(STICKS))
    for place in (METER, 29):
        visible = numbers(block.texts(block.at(place)), decimal_comma=True)
        rows.add(~np.isnan(visible) & ~rows.used & ~sensor, "glucose", block.at(place), visible, flag="fingerstick")
    rest = stick & ~rows.used
    rows.report(rest & np.isnan(amount), "no amount", block.at(VALUES))
    rows.add(rest & ~np.isnan(amount), "glucose", block.at(VALUES), in_unit(amount, unit), flag="fingerstick")


def in_unit(amount: np.ndarray, unit: str) -> np.ndarray:
    """Amounts of glucose in the unit of the file: the values behind it may be in mg/dL all the same."""
    return np.where((unit == "mmol/L") & (amount >= 40.0), amount / MG_PER_MMOL, amount)


def doses(
    rows: ExportRows,
    kind: np.ndarray,
    amount: np.ndarray,
    programmed: np.ndarray,
    minutes: np.ndarray,
    values: list[dict[str, str]],
) -> None:
    """Boluses, as delivered over the time stated, and carbs."""
    name = rows.block.at(VALUES)
    given = np.isin(kind, ("BolusNormal", "BolusSquare"))
    short = given & (amount < programmed)
    lasts = np.where(kind == "BolusSquare", np.nan_to_num(minutes), 0.0)
    rows.report(
        short & ~np.isnan(amount), "cut short", name, lambda i: f"{amount[i]:g} U of {programmed[i]:g} chosen", action="changed"
    )
    rows.report(given & np.isnan(amount), "no amount", name)
    rows.dose(given & ~np.isnan(amount), "bolus", name, amount, duration=lasts)

    wizard = np.isin(kind, ("BolusWizardBolusEstimate", "JournalEntryMealMarker"))
    grams = numbers(
        [each.get("CARB_INPUT", each.get("AMOUNT", "")) if eats else "" for each, eats in zip(values, wizard, strict=True)],
        decimal_comma=True,
    )
    exchanges = np.array(["exch" in each.get("CARB_UNITS", "").lower() for each in values], dtype=bool)
    rows.report(wizard & exchanges & (grams > 0), "carbs in exchanges", name)
    rows.add(wizard & ~exchanges & (grams > 0), "carbs", name, grams)
    rows.ignore(wizard, "wizard without carbs", name)
    rows.report(kind == "JournalEntryInsulinMarker", "insulin of unknown kind", name)


def basal(
    rows: ExportRows, log: PumpLog, kind: np.ndarray, values: list[dict[str, str]], amounts: Callable[..., np.ndarray]
) -> None:
    """Changes of the rate, temporary rates (a duration of 0 ends one) and stops, for the log."""
    rate, minutes, percent = amounts("RATE"), np.nan_to_num(amounts("DURATION") / 60_000.0), amounts("PERCENT_OF_RATE", "PERCENT")
    starts = kind == "BasalProfileStart"
    bad = starts & ~((rate >= 0) & (rate <= 35.0))
    rows.report(bad, "out of range", rows.block.at(VALUES))
    log.gather(log.changes, rows, starts & ~bad, value=rate)
    share, fixed = kind == "ChangeTempBasalPercent", kind == "ChangeTempBasal"
    value = np.where(share, percent / 100.0, np.where(np.isnan(rate), amounts("AMOUNT"), rate))
    sound = (share | fixed) & (~np.isnan(value) | (minutes == 0))
    log.gather(log.temporary, rows, sound, value=np.nan_to_num(value), share=share, minutes=minutes)
    rows.report((share | fixed) & ~sound, "temporary rate without an amount", rows.block.at(VALUES))
    stops = np.isin(kind, ("ChangeSuspendEnable", "ChangeSuspendState"))
    state = [each.get("ENABLE", each.get("STATE", "")).lower() for each in values]
    log.gather(log.stops, rows, stops, runs=np.array([each in RUNS for each in state], dtype=bool))


def others(rows: ExportRows, kind: np.ndarray) -> None:
    """Rows of no channel, by what their kind begins with."""
    name = rows.block.at(TYPE)
    for begins, called in KINDS:
        rows.ignore(np.array([text.startswith(begins) for text in kind], dtype=bool), called, name)
    rows.ignore(kind != "", "event of no channel", name)


def settings_of(block: Block, kind: np.ndarray, values: list[dict[str, str]], time: pd.Series) -> StatedSettings | None:
    """The regimen of the active pattern, ratios and sensitivities that the pump had when it was last read; None where one is
    missing."""
    current = np.flatnonzero(
        np.array([text.startswith("Current") for text in kind], dtype=bool) & time.notna().to_numpy(dtype=bool)
    )
    if not len(current):
        return None
    last = time.iloc[current].max()
    now = [index for index in current if last - time.iloc[index] < pd.Timedelta(minutes=30)]
    ids = block.texts(block.at(ID))
    named = {ids[index]: values[index] for index in now if kind[index] == "CurrentBasalProfilePattern"}
    active = next((values[index].get("PATTERN_NAME") for index in now if kind[index] == "CurrentActiveBasalProfilePattern"), None)
    mine = {key for key, said in named.items() if said.get("PATTERN_NAME") == active}

    def schedule(of: str, *keys: str) -> dict[int, float]:
        blocks = {}
        for index in now:
            if kind[index] == of and (of != "CurrentBasalProfile" or values[index].get("PATTERN_DATUM") in mine):
                amount, start = numbers([values[index].get(key, "") for key in (*keys[:1], "START_TIME")], decimal_comma=True)
                if 0 <= start / 60_000.0 < DAY and amount >= 0:
                    blocks[int(start // 60_000)] = float(amount)
        return blocks

    basal, ratio, factor = (
        schedule("CurrentBasalProfile", "RATE"),
        schedule("CurrentCarbRatio", "AMOUNT"),
        schedule("CurrentInsulinSensitivity", "AMOUNT"),
    )
    low, high = schedule("CurrentBGTargetRange", "AMOUNT_LOW"), schedule("CurrentBGTargetRange", "AMOUNT_HIGH")
    units = " ".join(said.get("ORIGINAL_UNITS", "") + said.get("UNITS", "") for said in (values[index] for index in now))
    if not (0 in basal and 0 in ratio and 0 in factor) or "exch" in units:
        return None
    scale = MG_PER_MMOL if "mmol" in units else 1.0
    target = scale * (low[0] + high[0]) / 2 if 0 in low and 0 in high else 0.0
    starts = tuple(sorted({*basal, *ratio, *factor}))
    return pump_settings(
        starts=starts,
        basal=tuple(held(basal, start) for start in starts),
        carb_ratio=tuple(held(ratio, start) for start in starts),
        correction_factor=tuple(scale * held(factor, start) for start in starts),
        target=target,
    )


def held(blocks: dict[int, float], minute: int) -> float:
    """The value in force at a minute of the day."""
    return blocks[max(start for start in blocks if start <= minute)]
