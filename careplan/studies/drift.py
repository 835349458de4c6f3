"""Alarms of a changed recording: how often they sound when it was spoilt, and when it was not."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from careplan.records.units import MG_PER_MMOL
from careplan.series import PatientSeries
from careplan.therapies.glucose.declaration import GLUCOSE, ROWS_A_DAY, WATCH
from careplan.world.drift import ALARMS, DayStatistics, Reference, checkpoints, describe, scores
from careplan.world.model import WorldModel
from careplan.world.personalise import Personalisation

LASTS, STUCK = 4, 6  # days that a corruption lasts; hours of each in which the sensor is stuck
BEGIN = 0.6  # share of a recording after which it is corrupted; what comes before tells of the patient
UNTOUCHED, UNLOGGED = "untouched", "untouched, doses unknown"  # the second: the record itself says that doses were not logged
INSULIN = {"boluses not logged": ("bolus",), "no insulin logged": ("bolus", "basal", "long_acting")}
FACTORS = {"mmol/L read as mg/dL": 1 / MG_PER_MMOL, "mg/dL read as mmol/L": MG_PER_MMOL}
KINDS = (*FACTORS, "stuck sensor", "another person", *INSULIN)
Draw = np.random.Generator


def corrupt(series: PatientSeries, kind: str, row: int, others: Sequence[PatientSeries], draw: Draw) -> PatientSeries | None:
    """The recording up to `LASTS` days after `row`, spoilt from there on; None where that would change nothing or nobody fits.

    Units change readings as they stand, outside the channel's limits too, where readers would drop or repair them. A stuck sensor
    reads the same within 1 mg/dL for `STUCK` hours from `row`, every day. Another person's days begin at the same time of day.
    Doses that are not logged are unknown.
    """
    end = row + LASTS * ROWS_A_DAY
    values, mask = series.values[:end].copy(), series.mask[:end].copy()
    level = GLUCOSE.index(GLUCOSE.regulated)
    if kind in FACTORS:
        values[row:, level] *= FACTORS[kind]
    elif kind == "stuck sensor":
        for begin in range(row, end, ROWS_A_DAY):
            known = begin + np.flatnonzero(mask[begin : begin + STUCK * ROWS_A_DAY // 24, level])
            if len(known) < 2 or len(known) < WATCH.readings * STUCK / 24:
                return None
            values[known, level] = values[known[0], level] + draw.uniform(-1, 1, len(known))
    elif kind == "another person":
        found = donated(series, row, others, draw)
        if found is None:
            return None
        values[row:], mask[row:] = found
    else:
        columns = [GLUCOSE.index(name) for name in INSULIN[kind]]
        if not all(values[day : day + ROWS_A_DAY, columns].any() for day in range(row, end, ROWS_A_DAY)):
            return None
        values[row:, columns], mask[row:, columns] = 0, False
    return replace(series, values=values, mask=mask)


def measured(series: PatientSeries) -> PatientSeries:
    """The recording from its first reading to its last. Raises `ValueError` where there is no reading."""
    known = np.flatnonzero(series.mask[:, GLUCOSE.index(GLUCOSE.regulated)])
    if not len(known):
        raise ValueError(f"{series.patient}: no glucose is recorded")
    first, end = int(known[0]), int(known[-1]) + 1
    return replace(series, start=series.times[first], values=series.values[first:end], mask=series.mask[first:end])


def donated(
    series: PatientSeries, row: int, others: Sequence[PatientSeries], draw: Draw
) -> tuple[NDArray[np.float32], NDArray[np.bool_]] | None:
    """`LASTS` days of one of the others, from the time of day at `row` on: values and mask, `[T, C]` each."""
    for index in draw.permutation(len(others)):
        other = others[index]
        ahead = (series.minute_of_day()[row] - other.minute_of_day()[0]) % (24 * 60)
        midnights = range(round(ahead / GLUCOSE.step), len(other) - LASTS * ROWS_A_DAY, ROWS_A_DAY)
        rows = [one for one in midnights if judged(other, one)]
        if rows:
            chosen = slice(begin := int(draw.choice(rows)), begin + LASTS * ROWS_A_DAY)
            return other.values[chosen], other.mask[chosen]
    return None


def judged(series: PatientSeries, row: int) -> bool:
    """Whether each of the `LASTS` days from `row` on has readings enough to be judged."""
    known = series.mask[row : row + LASTS * ROWS_A_DAY, GLUCOSE.index(GLUCOSE.regulated)]
    return len(known) == LASTS * ROWS_A_DAY and bool((known.reshape(LASTS, ROWS_A_DAY).sum(1) >= WATCH.readings).all())


def sound(
    model: WorldModel,
    people: Sequence[tuple[PatientSeries, Personalisation]],
    reference: Reference,
    others: Mapping[str, Sequence[PatientSeries]],
    *,
    times: int = 4,
    seed: int = 0,
    say: Callable[[str], None] = print,
) -> pd.DataFrame:
    """A row each look at the last stretch of each recording, untouched and spoilt `times` in each way: columns person, kind,
    case, hours since it was spoilt, and the score over its threshold of each of `ALARMS`.

    others: of whom another person's days are taken, by patient.
    """
    table = []
    for number, (series, person) in enumerate(people):
        say(f"Spoiling the recording of {series.patient}")
        first = round(BEGIN * len(series))
        whole = describe(model, series, person, checkpoints(series))
        table += listed(series.patient, UNTOUCHED, 0, whole, first, reference)
        rows = [int(row) for row in whole.ends[whole.logged] if row >= first and judged(series, int(row))]
        for place, kind in enumerate(KINDS):
            draw = np.random.default_rng([seed, number, place])
            for case, row in enumerate(draw.choice(rows, min(times, len(rows)), replace=False) if rows else ()):
                spoilt = corrupt(series, kind, int(row), others.get(series.patient, ()), draw)
                if spoilt is not None:
                    after = describe(model, spoilt, person, checkpoints(spoilt, int(row) + 1))
                    table += listed(series.patient, kind, case, whole.before(int(row)).then(after), int(row), reference)
    return pd.DataFrame(table, columns=["person", "kind", "case", "hours", *ALARMS])


def listed(patient: str, kind: str, case: int, days: DayStatistics, begin: int, reference: Reference) -> list[dict[str, object]]:
    """Rows of `sound` for the looks after the row `begin`; those of which nothing can be said are left out."""
    found: list[dict[str, object]] = []
    for end, score, logged in zip(days.ends, scores(GLUCOSE, days, reference), days.logged, strict=True):
        if end > begin and not np.isnan(score[1]):
            name = UNLOGGED if kind == UNTOUCHED and not logged else kind
            row = {"person": patient, "kind": name, "case": case, "hours": (end - begin) * GLUCOSE.step / 60}
            found.append(row | {alarm: one / reference.threshold[alarm] for alarm, one in zip(ALARMS, score, strict=True)})
    return found


def rates(table: pd.DataFrame) -> pd.DataFrame:
    """What `sound` found, a row each kind: cases; looks; fired: share of looks at a day spoilt throughout (or untouched) at which
    something fires, and what; day, two_days: share of cases that fire within 24 and 48 h; hours: until the median case that fires
    does; auroc: of the highest score, days spoilt throughout against untouched ones."""
    found = []
    table = table.assign(top=table[list(ALARMS)].max(axis=1))
    calm = table[table["kind"] == UNTOUCHED]
    for kind, part in table.groupby("kind", sort=False):
        full = part[(part["hours"] >= 24) | (kind in (UNTOUCHED, UNLOGGED))]
        row: dict[str, object] = {"kind": kind, "people": part["person"].nunique(), "looks": len(full)}
        row |= {"fired": float((full["top"] > 1).mean())} | {name: float((full[name] > 1).mean()) for name in ALARMS}
        if kind not in (UNTOUCHED, UNLOGGED):
            cases = part.groupby(["person", "case"])["hours"].min()
            first = part[part["top"] > 1].groupby(["person", "case"])["hours"].min().reindex(cases.index)
            row |= {"cases": len(cases), "day": float((first <= 24).mean()), "two_days": float((first <= 48).mean())}
            truth = np.r_[np.zeros(len(calm)), np.ones(len(full))]
            row |= {"hours": float(first.median()), "auroc": auroc(truth, np.r_[calm["top"], full["top"]])}
        found.append(row)
    return pd.DataFrame(found)


def auroc(truth: NDArray[np.float64], score: NDArray[np.float64]) -> float:
    return float(roc_auc_score(truth, score)) if 0 < truth.mean() < 1 else float("nan")
