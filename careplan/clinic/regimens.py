"""What is prescribed: stored versions, an estimate where no source states one, and changed lines applied to a regimen."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from careplan.clinic import codec
from careplan.clinic.errors import ClinicError
from careplan.clinic.records import add_regimen, current_version, load_record
from careplan.clinic.views import Setting
from careplan.glucose import BLOCKS, DAY, GLUCOSE, Regimen
from careplan.records.grid import to_series
from careplan.series import PatientSeries
from careplan.store import Database

# The 500 and 1800 rules for rapid analogues (Davidson et al. 2003; Walsh and Roberts, Pumping Insulin): grams a unit covers
# and mg/dL it lowers, over the total daily dose. The ranges are LoopKit's guardrails.
CARB_RULE, CORRECTION_RULE = 500.0, 1800.0
CARB_RATIO, CORRECTION_FACTOR = (2.0, 150.0), (10.0, 500.0)
MEAL_GRAMS, MEAL_MINUTES, MEALS_NEEDED = 20.0, 15.0, 5
LEAST_DAYS = 1.0  # of logged insulin


class Prescribed(NamedTuple):
    """A regimen and where it comes from: "stated", "estimated", "suggestion 12"."""

    regimen: Regimen
    source: str
    valid_from: datetime | None


class Change(NamedTuple):
    """One setting from `start` to `end` minutes of the local day."""

    setting: Setting
    start: int
    end: int
    value: float


def load_regimen(db: Database, patient: str) -> Regimen | None:
    """What the patient is on: the version in force, else an estimate from the records, else `None`."""
    found = prescribed(db, patient)
    return None if found is None else found.regimen


def prescribed(db: Database, patient: str) -> Prescribed | None:
    """What the patient is on and where that is from. Raises `UnknownPatient`."""
    with db.read() as session:
        version = current_version(session, patient)
    if version is not None:
        return Prescribed(codec.load(Regimen, version.body), version.source, version.valid_from)
    record = load_record(db, patient)
    estimate = None if record.events.empty else estimate_regimen(to_series(record, GLUCOSE))
    return None if estimate is None else Prescribed(estimate, "estimated", None)


def keep_estimate(db: Database, patient: str, *, actor: str) -> None:
    """Stores the estimate as a version where nothing else is stored, so that a suggestion refers to something that stays."""
    found = prescribed(db, patient)
    if found is None or found.valid_from is not None:
        return
    last = load_record(db, patient).events["time"].max().to_pydatetime()
    with db.write() as session:
        if current_version(session, patient) is None:
            add_regimen(session, patient, found.regimen, source="estimated", valid_from=last, actor=actor)


def estimate_regimen(series: PatientSeries) -> Regimen | None:
    """The regimen that a recording suggests the patient is on; `None` without a day of logged basal or long-acting insulin.

    Basal is the median logged rate in each block. The carb ratio is the median of carbs over bolus at meals where a block
    has five, and otherwise the 500 rule; the correction factor is the 1800 rule. Where no bolus is
    logged, basal is taken for half of the day's insulin.
    """
    minute = series.minute_of_day()
    basal, long_acting = series.column("basal"), series.column("long_acting")
    per_day = DAY / series.therapy.step
    known_basal = np.isfinite(basal).sum() / per_day >= LEAST_DAYS and np.nanmax(basal, initial=0.0) > 0
    daily_long = daily_amount(long_acting, per_day)
    if not known_basal and not daily_long:
        return None

    background, bolus = daily_insulin(series)
    if not background:
        return None
    total = background + bolus if bolus else 2.0 * background
    block = np.searchsorted(BLOCKS, minute, side="right") - 1
    everywhere = float(np.nanmedian(basal)) if known_basal else 0.0
    rates = tuple(_median(basal[block == index], everywhere) if known_basal else 0.0 for index in range(len(BLOCKS)))
    ratio = float(np.clip(CARB_RULE / total, *CARB_RATIO))
    meals = meal_ratios(series)
    ratios = tuple(_meal_ratio(meals[block == index], ratio) for index in range(len(BLOCKS)))
    factor = float(np.clip(CORRECTION_RULE / total, *CORRECTION_FACTOR))
    pen = bool(daily_long) and not known_basal
    doses = np.flatnonzero(np.nan_to_num(long_acting) > 0)
    return Regimen(
        basal=tuple(round(rate, 3) for rate in rates),
        carb_ratio=tuple(round(value, 1) for value in ratios),
        correction_factor=(round(factor, 1),) * len(BLOCKS),
        delivery="pen" if pen else "pump",
        long_acting=round(daily_long, 1) if pen and daily_long else 0.0,
        long_acting_at=int(np.median(minute[doses])) if pen and len(doses) else 22 * 60,
    )


def total_daily_dose(series: PatientSeries) -> float | None:
    """U/day of background and bolus insulin, each averaged over the time it is logged; `None` unless both are."""
    background, bolus = daily_insulin(series)
    return background + bolus if background and bolus else None


def daily_insulin(series: PatientSeries) -> tuple[float, float]:
    """U/day of background (basal and long-acting) and of bolus insulin, 0 where not logged for a day."""
    per_day = DAY / series.therapy.step
    rate = daily_amount(series.column("basal") * series.therapy.step / 60.0, per_day) or 0.0
    background = rate + (daily_amount(series.column("long_acting"), per_day) or 0.0)
    return background, daily_amount(series.column("bolus"), per_day) or 0.0


def daily_amount(column: NDArray[np.float32], per_day: float) -> float | None:
    """The mean amount a day of `[T]` amounts a step, over the steps where it is known; `None` with under a day of them."""
    known = np.isfinite(column)
    return float(column[known].mean() * per_day) if known.sum() >= LEAST_DAYS * per_day else None


def meal_ratios(series: PatientSeries) -> NDArray[np.float64]:
    """`[T]` grams of carbohydrate for each unit of bolus at the steps where a meal begins, NaN elsewhere."""
    reach = int(MEAL_MINUTES // series.therapy.step)
    carbs = np.nan_to_num(series.column("carbs")).astype(np.float64)
    bolus = np.nan_to_num(series.column("bolus")).astype(np.float64)
    window = np.ones(2 * reach + 1)
    near_carbs, near_bolus = np.convolve(carbs, window, mode="same"), np.convolve(bolus, window, mode="same")
    before = np.convolve(carbs, np.r_[0.0, np.ones(reach)], mode="full")[: len(carbs)]
    meal = (carbs > 0) & (before == 0) & (near_carbs >= MEAL_GRAMS) & (near_bolus > 0)
    return np.where(meal, near_carbs / np.where(near_bolus > 0, near_bolus, 1.0), np.nan)


def apply_changes(regimen: Regimen, changes: Iterable[Change]) -> Regimen:
    """A new regimen with each setting changed between its start and end; blocks are split where a change needs it.

    Raises `ClinicError` for a setting a regimen has not, or a span outside the day.
    """
    changes = tuple(changes)
    for change in changes:
        if not 0 <= change.start < change.end <= DAY:
            raise ClinicError(f"{change.setting}: from minute {change.start} to {change.end} is not a span of one day")
    bounds = {*regimen.starts, *(c.start for c in changes), *(c.end for c in changes if c.end < DAY)}
    starts = tuple(sorted(bounds)) if any(c.setting != "long_acting" for c in changes) else regimen.starts
    values: dict[str, list[float]] = {
        name: [getattr(regimen, name)[regimen.block(start)] for start in starts]
        for name in ("basal", "carb_ratio", "correction_factor")
    }
    long_acting = regimen.long_acting
    for change in changes:
        if change.setting == "long_acting":
            long_acting = change.value
        elif change.setting in values:
            for index, start in enumerate(starts):
                if change.start <= start < change.end:
                    values[change.setting][index] = change.value
        else:
            raise ClinicError(f"{change.setting!r} is not a setting of a regimen")
    return replace(
        regimen,
        starts=starts,
        long_acting=long_acting,
        basal=tuple(values["basal"]),
        carb_ratio=tuple(values["carb_ratio"]),
        correction_factor=tuple(values["correction_factor"]),
    )


def _median(values: NDArray[np.float32], otherwise: float) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else otherwise


def _meal_ratio(values: NDArray[np.float64], rule: float) -> float:
    known = values[np.isfinite(values)]
    return float(np.clip(np.median(known), *CARB_RATIO)) if len(known) >= MEALS_NEEDED else rule
