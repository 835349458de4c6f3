"""Natural experiments in real records: doses skipped, late or withheld, and what the model says they changed beside what came.

Nobody randomised these people, so a record holds no true effect. It holds moments at which less or more insulin was given than
this person usually gives there, for reasons that often have nothing to do with where glucose is heading: a bolus forgotten, a
set changed. The plan as recorded and the plan as usual are predicted from the same state. Their difference is the change that was
predicted; what was measured, less what the usual plan would have led to and less what plans of quiet hours miss by, is the change
that was seen. The slope of seen on predicted changes, person by person, is evidence for the size of effects: 1 where they are as
predicted, above 1 where doses do more. It is biased where a dose was given or withheld for what the model cannot see.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from careplan.series import PatientSeries, split
from careplan.therapies.glucose.bands import HIGH
from careplan.therapies.glucose.declaration import ROWS_A_DAY
from careplan.world.calibration import part
from careplan.world.corpus import Corpus
from careplan.world.model import WorldModel
from careplan.world.personalise import Personalisation, personalise
from careplan.world.question import Question

KINDS = ("correction", "skipped", "late", "suspension")
HOURS = (1, 2, 4)
ROWS = 48  # five-minute rows that are followed
QUIET = 36  # rows, three hours, without a bolus or food before an occasion
BOLUS, MEAL = 0.3, 15.0  # U and g: less is none
SOON, LATE = 3, 24  # a meal's bolus in fewer rows than the first is in time, in more than the second it was skipped
SUSPENDED, SHARE = 6, 0.1  # rows below this share of the usual basal rate
LEAST = 8  # occasions from which a slope is told
DRAWS = 400  # of the bootstrap
Flags = NDArray[np.bool_]
Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Occasions:
    """Moments of one kind: rows `[N]` from which on the record is followed, and the doses that would have been usual, bolus U and
    basal U/h `[N, ROWS]` each."""

    kind: str
    rows: NDArray[np.int64]
    bolus: Values
    basal: Values


def occasions(series: PatientSeries) -> list[Occasions]:
    """Every kind's moments of a recording, each at least `ROWS` after the one before."""
    bolus, basal, carbs = (np.nan_to_num(series.column(name)).astype(float) for name in ("bolus", "basal", "carbs"))
    dosed, ate, rate = bolus >= BOLUS, carbs >= MEAL, _usual_rate(series)
    alone = _logged(series, "bolus", "carbs") & ~_within_rows(dosed, QUIET, -1) & ~_within_rows(carbs > 0, QUIET, -1)
    fasting = alone & ~_within_rows(carbs > 0, 0, ROWS)
    meal = ate & ~_within_rows(dosed, 6, SOON - 1)
    stopped = (basal < SHARE * rate) & (rate > 0)
    begins = stopped & ~_within_rows(stopped, 1, -1) & (_ahead(stopped, SUSPENDED).all(1))
    moments = {
        "correction": dosed & fasting & (_before(series) > HIGH),  # below it a bolus without food is for food that nobody logged
        "skipped": meal & alone & ~_within_rows(dosed, 0, ROWS),
        "late": meal & alone & _within_rows(dosed, -SOON, LATE),
        "suspension": begins & fasting & _logged(series, "basal"),
    }
    ratio, found = _usual_ratio(bolus, carbs), []
    for kind, at in moments.items():
        rows = _followed(series, at)
        if not len(rows) or (kind == "skipped" and not ratio):
            continue
        doses, rates = _ahead(bolus, ROWS)[rows].copy(), _ahead(basal, ROWS)[rows].copy()
        if kind == "correction":
            doses[:, 0] = 0.0
        elif kind == "skipped":
            doses[:, 0] = carbs[rows] / ratio
        elif kind == "late":
            first = np.argmax(doses >= BOLUS, axis=1)
            each = np.arange(len(rows))
            doses[each, 0], doses[each, first] = doses[each, first], 0.0
        else:
            usual, low = _ahead(rate, ROWS)[rows], _ahead(stopped, ROWS)[rows]
            rates = np.where(np.logical_and.accumulate(low, axis=1), usual, rates)  # the first stop alone
        found.append(Occasions(kind, rows, doses, rates))
    return found


def changes(model: WorldModel, series: PatientSeries, person: Personalisation) -> pd.DataFrame:
    """A row an occasion and hour: kind, row, hour, and the change predicted and seen, mg/dL."""
    found = occasions(series)
    quiet, tables = _quiet(series, found), []
    bias: Values = np.zeros(len(HOURS))
    if len(quiet) >= LEAST:
        bias = np.nanmean(_measured(series, quiet) - _levels(model, series, quiet, person), axis=0)
    for one in found:
        usual = _levels(model, series, one.rows, person, one)
        predicted = _levels(model, series, one.rows, person) - usual
        seen = _measured(series, one.rows) - usual - bias
        for place, hour in enumerate(HOURS):
            columns = {"row": one.rows, "predicted": predicted[:, place], "seen": seen[:, place]}
            tables.append(pd.DataFrame(columns).assign(kind=one.kind, hour=hour))
    empty = pd.DataFrame({name: [] for name in ("row", "predicted", "seen", "kind", "hour")})
    return pd.concat(tables, ignore_index=True).dropna() if tables else empty


def slopes(found: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Of changes with a column person: a row a person, kind and hour (and "everyone", in whom each person counts as their
    occasions do): occasions, mean change predicted and seen, slope of seen on predicted, and its 90 % interval by a bootstrap
    over occasions, of everyone over people. Fewer than `LEAST` occasions tell no slope."""
    generator, table = np.random.default_rng(seed), []
    for (kind, hour), rows in found.groupby(["kind", "hour"], sort=False):
        people = [(str(name), part) for name, part in rows.groupby("person", sort=True)]
        for name, some in [*people, ("everyone", rows)]:
            x, y = some["predicted"].to_numpy(float), some["seen"].to_numpy(float)
            row = {"person": name, "kind": kind, "hour": hour, "occasions": len(some), "predicted": x.mean(), "seen": y.mean()}
            if len(some) >= LEAST and (x**2).sum() > 0:
                units = some["person"].to_numpy() if name == "everyone" else np.arange(len(some))
                row |= dict(zip(("slope", "low", "high"), _slope(x, y, units, generator), strict=True))
            table.append(row)
    columns = ["person", "kind", "hour", "occasions", "predicted", "seen", "slope", "low", "high"]
    return pd.DataFrame(table, columns=columns)


def natural(model: WorldModel, people: Sequence[PatientSeries], *, say: Callable[[str], None] = print) -> pd.DataFrame:
    """Changes, with a column person, in each half of each recording, the person inferred from the other half."""
    tables = []
    for series in people:
        say(f"{series.patient}: natural experiments")
        halves = (part(series, 0.0, 0.5), part(series, 0.5, 1.0))
        for judged, person in zip(halves, reversed(personalise(model, halves)), strict=True):
            tables.append(changes(model, judged, person).assign(person=series.patient))
    return pd.concat(tables, ignore_index=True)


def _slope(x: Values, y: Values, units: NDArray[Any], generator: np.random.Generator) -> tuple[float, float, float]:
    """Through the origin, least squares; and the middle 90 % of it over units drawn again."""
    _, of = np.unique(units, return_inverse=True)
    over, under = np.bincount(of, x * y), np.bincount(of, x * x)
    drawn = generator.integers(0, len(over), (DRAWS, len(over)))
    again = over[drawn].sum(1) / np.maximum(under[drawn].sum(1), 1e-9)
    low, high = np.quantile(again, [0.05, 0.95])
    return float(over.sum() / under.sum()), float(low), float(high)


def _within_rows(flags: Flags, before: int, after: int) -> Flags:
    """Whether one of `flags` `[T]` is set from so many rows before each row to so many after; -1 or less ends before it."""
    total = np.concatenate([[0], np.cumsum(flags)])
    at = np.arange(len(flags))
    first, last = np.clip(at - before, 0, len(flags)), np.clip(at + after + 1, 0, len(flags))
    return (total[last] - total[np.minimum(first, last)]) > 0


def _ahead(values: NDArray[Any], rows: int) -> NDArray[Any]:
    """The next `rows` of each row, `[T, rows]`; what is past the end repeats the last."""
    padded = np.concatenate([values, np.repeat(values[-1:], rows - 1)])
    return np.lib.stride_tricks.sliding_window_view(padded, rows)


def _followed(series: PatientSeries, at: Flags) -> NDArray[np.int64]:
    """Those moments with a day behind, the hours ahead within the recording, a reading just before; apart by `ROWS`."""
    seen = series.mask[:, series.therapy.index(series.therapy.regulated)]
    inside = np.arange(len(at))
    fine = at & _within_rows(seen, 3, -1) & (inside >= ROWS_A_DAY) & (inside < len(at) - ROWS)
    rows: list[int] = []
    for row in np.flatnonzero(fine):
        if not rows or row - rows[-1] >= ROWS:
            rows.append(int(row))
    return np.array(rows, dtype=np.int64)


def _quiet(series: PatientSeries, found: Sequence[Occasions]) -> NDArray[np.int64]:
    """Hours without food or a bolus in them or before them, and no occasion: what a plan misses by there is no dose's doing."""
    given = np.nan_to_num(series.column("bolus")) + np.nan_to_num(series.column("carbs")) > 0
    taken = np.zeros(len(series), bool)
    for one in found:
        taken[one.rows] = True
    quiet = ~_within_rows(given, QUIET, ROWS) & ~_within_rows(taken, ROWS, ROWS)
    return _followed(series, _logged(series, "bolus", "carbs") & quiet)


def _logged(series: PatientSeries, *names: str) -> Flags:
    """Where it is known of these channels what was given, or that nothing was, from three hours before to four after, `[T]`."""
    known = np.all([series.mask[:, series.therapy.index(name)] for name in names], axis=0)
    return ~_within_rows(~known, QUIET, ROWS)


def _before(series: PatientSeries) -> Values:
    """The last reading of the quarter of an hour before each row, mg/dL `[T]`; 0 where there is none."""
    level, seen = series.column(series.therapy.regulated), series.mask[:, series.therapy.index(series.therapy.regulated)]
    last = np.zeros(len(level))
    for back in (3, 2, 1):
        last[back:] = np.where(seen[:-back], level[:-back], last[back:])
    return last


def _usual_ratio(bolus: Values, carbs: Values) -> float:
    """Carbohydrate that this person gives a unit for, the median over meals dosed in time, g; 0 where they are fewer than 10."""
    ate = np.flatnonzero((carbs >= MEAL) & _within_rows(bolus >= BOLUS, 3, SOON))
    given = np.array([bolus[max(row - 3, 0) : row + SOON + 1].sum() for row in ate])
    return float(np.median(carbs[ate] / given)) if len(ate) >= 10 else 0.0


def _usual_rate(series: PatientSeries) -> Values:
    """The median basal rate of this person at the hour of each row, U/h `[T]`; 0 where none is recorded."""
    basal, known = np.nan_to_num(series.column("basal")).astype(float), series.mask[:, series.therapy.index("basal")]
    hour = (series.minute_of_day() // 60).astype(int) % 24
    medians = np.array([np.median(basal[known & (hour == one)]) if (known & (hour == one)).any() else 0.0 for one in range(24)])
    return medians[hour]


def _measured(series: PatientSeries, rows: NDArray[np.int64]) -> Values:
    """Readings at `HOURS` after rows `[N]`, `[N, 3]`, NaN where none."""
    level = series.column(series.therapy.regulated).astype(float)
    return level[rows[:, None] - 1 + 12 * np.array(HOURS)]


@torch.no_grad()
def _levels(
    model: WorldModel,
    series: PatientSeries,
    rows: NDArray[np.int64],
    person: Personalisation,
    usual: Occasions | None = None,
) -> Values:
    """Levels at `HOURS` after rows `[N]` under the plan as recorded, or with the usual doses, `[N, 3]` mg/dL."""
    context, chosen = model.shape.context, torch.from_numpy(rows)
    window = Corpus.of([series]).windows(torch.zeros_like(chosen), chosen - context, context + ROWS)
    past, future = split(window, context)
    values = future.values.clone()
    if usual is not None:
        for name, doses in (("bolus", usual.bolus), ("basal", usual.basal)):
            column = series.therapy.index(name)
            values[..., column] = torch.where(future.mask[..., column], torch.from_numpy(doses).to(values), values[..., column])
    amounts, code = person.usual.expand(len(rows), -1), person.mean.expand(len(rows), -1)
    state = model.state(model.encode(past, amounts)[:, -1], past, amounts, code)
    levels = model.rollout(state, Question.plan(values, future.mask, amounts, code)).level
    at = [round(60 * hour / model.shape.interval) for hour in HOURS]
    return levels[:, at].numpy().astype(float)
