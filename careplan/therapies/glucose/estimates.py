"""What a recording suggests: insulin a day, and the regimen behind it where no source states one."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from careplan.minutes import DAY
from careplan.series import PatientSeries
from careplan.therapies.glucose.declaration import BLOCKS, Regimen

# The 500 and 1800 rules for rapid analogues (Davidson et al. 2003; Walsh and Roberts, Pumping Insulin): grams a unit covers
# and mg/dL it lowers, over the total daily dose. The ranges are LoopKit's guardrails.
CARB_RULE, CORRECTION_RULE = 500.0, 1800.0
CARB_RATIO, CORRECTION_FACTOR = (2.0, 150.0), (10.0, 500.0)
MEAL_GRAMS, MEAL_MINUTES, MEALS_NEEDED = 20.0, 15.0, 5
WHOLE_DAY = 0.75  # of its steps known, for a day's boluses to count as that day's
USUAL_TIME = 22 * 60  # of a long-acting dose, where none says


class DailyInsulin(NamedTuple):
    """U/day by kind; `None` where not logged for a day."""

    basal: float | None
    long_acting: float | None
    bolus: float | None

    @property
    def background(self) -> float:
        return (self.basal or 0.0) + (self.long_acting or 0.0)


def estimate_regimen(series: PatientSeries) -> Regimen | None:
    """The regimen that a recording suggests the patient is on; `None` without a day of logged basal or long-acting insulin.

    Basal is the median logged rate in each block. The carb ratio is the median of carbs over bolus at meals where a block
    has five, and otherwise the 500 rule; the correction factor is the 1800 rule. Where no bolus is logged, the background
    insulin is taken for half of the day's.
    """
    daily = daily_insulin(series)
    if not daily.background:
        return None
    total = daily.background + daily.bolus if daily.bolus else 2.0 * daily.background
    minute = series.minute_of_day()
    block = np.searchsorted(BLOCKS, minute, side="right") - 1
    blocks = range(len(BLOCKS))
    basal = series.column("basal")
    everywhere = _median(basal, 0.0) if daily.basal else 0.0
    rates = [_median(basal[block == index], everywhere) if daily.basal else 0.0 for index in blocks]
    rule = float(np.clip(CARB_RULE / total, *CARB_RATIO))
    meals = meal_ratios(series)
    factor = float(np.clip(CORRECTION_RULE / total, *CORRECTION_FACTOR))
    doses = np.flatnonzero(np.nan_to_num(series.column("long_acting")) > 0)
    pen = not daily.basal
    return Regimen(
        basal=tuple(round(rate, 3) for rate in rates),
        carb_ratio=tuple(round(_meal_ratio(meals[block == index], rule), 1) for index in blocks),
        correction_factor=(round(factor, 1),) * len(BLOCKS),
        delivery="pen" if pen else "pump",
        long_acting=round(daily.long_acting or 0.0, 1) if pen else 0.0,
        long_acting_at=int(np.median(minute[doses])) if pen else USUAL_TIME,
    )


def total_daily_dose(series: PatientSeries) -> float | None:
    """U/day of background and bolus insulin; `None` unless both are logged."""
    daily = daily_insulin(series)
    return daily.background + daily.bolus if daily.background and daily.bolus else None


def daily_insulin(series: PatientSeries) -> DailyInsulin:
    """Basal: the mean known rate. Long-acting: the median of days with a dose. Bolus: the mean of days known for the most part.

    Days in between are left out, as what was not logged is not known.
    """
    steps = DAY / series.therapy.step
    basal, long_acting, bolus = (series.column(name).astype(np.float64) for name in ("basal", "long_acting", "bolus"))
    local = series.times.tz_convert(series.zone)
    day = np.unique(local.tz_localize(None).normalize(), return_inverse=True)[1]
    doses = np.bincount(day, weights=np.nan_to_num(long_acting))
    boluses = np.bincount(day, weights=np.nan_to_num(bolus))[np.bincount(day, weights=np.isfinite(bolus)) >= WHOLE_DAY * steps]
    return DailyInsulin(
        basal=float(np.nanmean(basal) * 24.0) or None if np.isfinite(basal).sum() >= steps else None,
        long_acting=float(np.median(doses[doses > 0])) if (doses > 0).any() else None,
        bolus=float(boluses.mean()) if len(boluses) else None,
    )


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


def _median(values: NDArray[np.float32], otherwise: float) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else otherwise


def _meal_ratio(values: NDArray[np.float64], rule: float) -> float:
    known = values[np.isfinite(values)]
    return float(np.clip(np.median(known), *CARB_RATIO)) if len(known) >= MEALS_NEEDED else rule
