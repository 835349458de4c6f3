"""What would have been proposed to people of a cohort, and what their record says of it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from careplan.covariates import CourseFacts
from careplan.minutes import DAY
from careplan.recording import Recording
from careplan.series import PatientSeries
from careplan.studies.dosing import replayed_worth
from careplan.studies.report.judge import Chosen
from careplan.suggestion import Line, Suggestion
from careplan.therapies import practice
from careplan.therapies.glucose.bands import TARGETS
from careplan.therapies.glucose.metrics import glucose_metrics
from careplan.world.loaded import World
from careplan.world.personalise import personalise

WEEK = 7 * DAY  # minutes
REAL = 0.1  # share by which the usual daily basal moves in a change of settings that counts as real
LOWS = TARGETS["below_70"]  # % of a week below 70 mg/dL, the consensus target that an increase must not come before
SAME_WAY = {"basal": 1, "long_acting": 1, "carb_ratio": -1, "correction_factor": -1}  # more insulin: the setting up, or down


def judge_plans(world: World, chosen: Sequence[Chosen], factors: Sequence[float] = ()) -> pd.DataFrame:
    """A row a person: what is proposed from the days before the cut, what the days after it were like, and what each factor on
    every bolus would have been worth in the days before, by replaying them."""
    people = personalise(world.model, [one.series.until(one.begin) for one in chosen])
    table = []
    for one, person in zip(chosen, people, strict=True):
        brought = practice(world.model.therapy.name)
        history = one.series.until(one.begin)
        regimen = brought.estimate(history)
        plan = brought.plan_regimen
        if plan is None:
            continue
        suggestion = plan(world, Recording(history, one.record.group, regimen, "estimated", ""), person)
        row: dict[str, Any] = {"unit": one.unit, "patient": one.record.patient, "estimated": regimen is not None}
        replayed = replayed_worth(world, history, person, factors)
        if replayed is not None:
            row |= {worth_column(factor): float(value) for factor, value in zip(factors, replayed, strict=True)}
        table.append(row | proposed(suggestion) | signable(suggestion, one) | afterwards(one.series, one.begin))
    return pd.DataFrame(table)


def worth_column(factor: float) -> str:
    """The column of the worth of a factor, points of time in range."""
    return f"worth_{factor:g}"


def proposed(suggestion: Suggestion) -> dict[str, Any]:
    """Whether it abstains and why, how many lines move and how far the furthest, towards more insulin (1), less (-1) or neither,
    and the time in range and below 70 predicted as it is and as proposed, %."""
    ways = [direction(line) for line in suggestion.lines]
    found: dict[str, Any] = {
        "abstained": suggestion.abstained,
        "reasons": "; ".join(sorted({reason.split(":")[0] for reason in suggestion.reasons})) if suggestion.abstained else "",
        "lines": len(suggestion.lines),
        "largest": max((abs(line.proposed / line.current - 1.0) for line in suggestion.lines if line.current), default=0.0),
        "direction": int(np.sign(sum(ways))),
    }
    for option in suggestion.options:
        if option.name in ("proposed", "no change"):
            name = option.name.replace(" ", "_")
            found |= {f"{name}_{key}": value.mid for key, value in option.outcomes.items() if key in ("in_range", "below_70")}
    return found


def direction(line: Line) -> int:
    """Whether a line proposes more insulin (1) or less (-1)."""
    return int(np.sign(line.proposed - line.current)) * SAME_WAY.get(line.setting, 0)


def signable(suggestion: Suggestion, one: Chosen) -> dict[str, Any]:
    """How many lines the rules of signing would refuse as they are proposed."""
    brought = practice(one.series.therapy.name)
    history = one.series.until(one.begin)
    level = history.column(one.series.therapy.regulated)
    known = ~np.isnan(level)
    readings = pd.DataFrame({"time": history.times[known].tz_convert(history.zone), "value": level[known].astype(float)})
    recent = readings[readings["time"] > history.times[-1] - brought.recent]
    facts = CourseFacts(group=one.record.group, covariates=history.facts)
    judged = brought.judge(suggestion, recent, facts, brought.estimate(history))
    verdicts = [judged(line, line.proposed) for line in suggestion.lines]
    return {"unsignable": sum(bool(verdict.forbidden or verdict.guarded) for verdict in verdicts)}


def afterwards(series: PatientSeries, begin: int) -> dict[str, Any]:
    """The week after the cut, and whether the usual daily basal was then really changed, and which way."""
    step = series.therapy.step
    week = series.since(begin).until(round(WEEK / step))
    metrics = glucose_metrics(np.asarray(week.column(series.therapy.regulated), dtype=float))
    below = None if metrics.low is None or metrics.very_low is None else metrics.low + metrics.very_low
    before, after = (_daily_basal(part) for part in (series.until(begin), series.since(begin)))
    change = after / before - 1.0 if before and after else np.nan
    real = 0 if np.isnan(change) or abs(change) < REAL else int(np.sign(change))
    return {"week_in_range": metrics.in_range, "week_below_70": below, "real_change": change, "real_direction": real}


def _daily_basal(series: PatientSeries) -> float:
    """The median over days of basal insulin, U a day; 0 where too few days are known."""
    rows = round(DAY / series.therapy.step)
    index = series.therapy.index("basal")
    days = len(series) // rows
    known = series.mask[: days * rows, index].reshape(days, rows)
    rate = series.values[: days * rows, index].reshape(days, rows)
    whole = known.mean(1) > 0.9
    return float(np.median(rate[whole].mean(1) * DAY / 60)) if whole.sum() >= 3 else 0.0
