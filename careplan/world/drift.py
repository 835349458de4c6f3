"""Whether the latest day of a recording is still this patient's, and is measured and logged in the same way as the days before
it.

A day is described by a few statistics, each compared with the patient's own earlier days in units of how much days of one
person differ, and with those of other people. Five scores are made of them; each is an alarm above what days of usual people
seldom reach.
"""

import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from careplan.gate import Watch
from careplan.language import N_
from careplan.series import PatientSeries
from careplan.therapy import Therapy
from careplan.world.calibration import measured_rows
from careplan.world.forecast import predict
from careplan.world.heads import relative_residual
from careplan.world.model import WorldModel
from careplan.world.personalise import Personalisation
from careplan.world.question import Given

KNOWN = 0.5  # share of a day in which a rate must be logged to be judged
STILL = 1 / 30  # readings within so much of the level's scale are the same
PRIOR = 20  # days of other people that tell of this patient's spread
FALSE = 1 / 50  # share of the looks at usual people at which something fires
MISSING = 0.75  # of their usual number (its root), with less missing no log has stopped
# Smallest spreads believed: no log is more regular than chance, and a change of treatment is not another person.
LEAST = {"count": 1.0, "size": 0.2, "rate": 0.1}

ALARMS = {
    "still": N_("readings do not change for hours (a stuck sensor?)"),
    "unit": N_("readings are not in this patient's usual range (another unit?)"),
    "other": N_("the days are unlike this patient's (another person's data?)"),
    "doses": N_("usual doses are not logged"),
    "fit": N_("the model no longer fits this patient"),
}
FIT = "fit"  # the alarm that is the model's; the others are the recording's

NEAR = 3  # rows at most between readings that are neighbours
Array = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class DayStatistics:
    """The day (`Watch.day`) before each row `ends` `[N]`: statistics `[N, K]` (see `names`), NaN where too little is known.

    still `[N]`: the longest time in minutes over which readings did not change, NaN where there are too few. logged `[N]`:
    whether the record itself knows what was given, for at least `KNOWN` of the day.
    """

    ends: Rows
    statistics: Array
    still: Array
    logged: NDArray[np.bool_]

    def before(self, row: int) -> "DayStatistics":
        """Those that end there at the latest."""
        chosen = self.ends <= row
        return DayStatistics(self.ends[chosen], self.statistics[chosen], self.still[chosen], self.logged[chosen])

    def then(self, later: "DayStatistics") -> "DayStatistics":
        return DayStatistics(
            np.concatenate([self.ends, later.ends]),
            np.concatenate([self.statistics, later.statistics]),
            np.concatenate([self.still, later.still]),
            np.concatenate([self.logged, later.logged]),
        )


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What a change of what is prescribed, from a row of the recording on, is expected to do to the statistics of a day.

    shift: by name (`names`), what is added to a day; doubt: by name, the spread of how far that may be off.
    """

    row: int
    shift: Mapping[str, float]
    doubt: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The reference of ordinary days: how much each statistic differs between days of one person, where it lies and how much it
    differs between days of different people, and what each score seldom exceeds.
    """

    spread: dict[str, float]
    people: dict[str, tuple[float, float]]
    threshold: dict[str, float]


def load_reference(therapy: Therapy, folder: Path) -> Reference:
    """The one beside a therapy's weights, measured by `careplan evaluate drift --measure`."""
    return Reference(**json.loads((folder / f"{therapy.name}.drift.json").read_text()))


def save_reference(reference: Reference, path: Path) -> None:
    path.write_text(json.dumps(asdict(reference), indent=1) + "\n")


def watch_of(therapy: Therapy) -> Watch:
    """How recordings are watched. Raises ValueError where the therapy does not say."""
    if therapy.watch is None:
        raise ValueError(f"{therapy.name}: the declaration does not say how recordings are watched")
    return therapy.watch


def names(therapy: Therapy) -> tuple[str, ...]:
    """The statistics of a day: of the regulated level, of each channel with a direction, of raising over lowering impulses, of
    the forecasts."""
    found = ["level", "spread", "step", "jitter"]
    for channel in therapy.channels:
        if channel.direction:
            kinds = ("count", "size") if channel.form == "impulse" else ("rate",)
            found += [f"{channel.name} {kind}" for kind in kinds]
    return (*found, "balance", *(f"{kind} {minutes:g}" for kind in ("bias", "error") for minutes in watch_of(therapy).ahead))


def checkpoints(series: PatientSeries, begin: int = 0) -> Rows:
    """Rows at which a recording is looked at: its end, and every so often before it as far back as the row `begin`."""
    clock, watch = series.therapy.clock, watch_of(series.therapy)
    day, every = clock.rows(watch.day), clock.rows(watch.every)
    return np.arange(len(series), max(begin, day) - 1, -every, dtype=np.int64)[::-1]


def describe(model: WorldModel, series: PatientSeries, person: Personalisation, ends: Rows) -> DayStatistics:
    """The day before each of `ends`. Forecasts are given the record; their residuals are over the edge of their interval."""
    therapy, watch = series.therapy, watch_of(series.therapy)
    regulated, day = therapy.channel(therapy.regulated), therapy.clock.rows(watch.day)
    rows, scores = residuals(model, series, person, int(ends.min()) - day if len(ends) else len(series))
    statistics, still = np.full((len(ends), len(names(therapy))), np.nan), np.full(len(ends), np.nan)
    doses = [therapy.index(channel.name) for channel in therapy.of("action") if channel.form == "impulse"]
    known = series.mask[:, [column for column in doses if series.values[:, column].any()]]
    readings = series.column(regulated.name)[series.mask[:, therapy.index(regulated.name)]]
    extremes = (float(readings.min()), float(readings.max())) if len(readings) else (np.nan, np.nan)
    logged = np.array([bool((known[end - day : end].mean(0) >= KNOWN).all()) for end in ends], dtype=bool)
    for index, end in enumerate(ends):
        level = series.column(therapy.regulated)[end - day : end].astype(float)
        at = np.flatnonzero(~np.isnan(level))
        if len(at) < watch.readings:
            continue
        within = STILL * regulated.scale
        still[index] = unchanged((at * therapy.step).astype(float), level[at], within, extremes)
        log = np.log(np.maximum(level[at], max(regulated.low, within)))
        near = np.diff(at) <= NEAR
        turns = np.abs(np.diff(log, 2))[near[1:] & near[:-1]]
        found = [log.mean(), log.std(), np.log(1e-3 + np.abs(np.diff(log))[near].mean()) if near.any() else np.nan]
        found.append(np.log(1e-4 + turns.mean()) if len(turns) else np.nan)
        total = {-1: 0.0, 0: 0.0, 1: 0.0}
        for channel in therapy.channels:
            if channel.direction:
                amount = series.column(channel.name)[end - day : end].astype(float)
                found += given(amount, channel.form == "impulse")
                total[channel.direction] += float(np.nansum(amount)) if channel.form == "impulse" else 0.0
        found.append(float(np.log(total[1] / total[-1])) if min(total[1], total[-1]) > 0 else np.nan)
        of_day = scores[(rows > end - day) & (rows + therapy.clock.rows(max(watch.ahead)) <= end)]
        of_day = of_day[~np.isnan(of_day).any(1)].clip(-5, 5)
        enough = len(of_day) >= watch.forecasts
        erring = (*of_day.mean(0), *np.log((of_day**2).mean(0)) / 2) if enough else [np.nan] * (2 * len(watch.ahead))
        statistics[index] = [*found, *erring]
    return DayStatistics(ends, statistics, still, logged)


def given(amount: Array, impulse: bool) -> list[float]:
    """A day of one channel, NaN unknown. Impulses: twice the root of their number (which spreads by one where they come at
    random, whatever their rate; unknown is none, as a log that stops is not known to go on) and the log of their mean size.
    A rate: the log of its mean."""
    known = ~np.isnan(amount)
    if not impulse:
        return [float(np.log(0.02 + amount[known].mean())) if known.mean() >= KNOWN else np.nan]
    doses = amount[known & (amount > 0)]
    return [2.0 * float(np.sqrt(len(doses))), float(np.log(doses.mean())) if len(doses) else np.nan]


def unchanged(minutes: Array, level: Array, within: float, extremes: tuple[float, float] = (np.nan, np.nan)) -> float:
    """The longest time in which no two readings `[N]` differ by more than `within`, those at `extremes` left out: the lowest and
    the highest that a recording ever holds are where a sensor ends, and it stands there for as long as its wearer is beyond."""
    if not len(level):
        return 0.0
    ends = np.isin(level, extremes)
    parted = np.flatnonzero((np.abs(np.diff(level)) > within) | ends[1:] | ends[:-1]) + 1
    first, last = np.append(0, parted), np.append(parted, len(level))  # stretches without a larger step between neighbours
    lasts, longest = minutes[last - 1] - minutes[first], 0.0
    for place in np.argsort(-lasts, kind="stable"):
        if lasts[place] <= longest:
            break
        some = slice(first[place], last[place])
        longest = max(longest, _unchanged(minutes[some], level[some], within))
    return longest


def _unchanged(minutes: Array, level: Array, within: float) -> float:
    """The same of one stretch, by its last reading in turn."""
    longest, first = 0.0, 0
    low: deque[int] = deque()
    high: deque[int] = deque()
    for last, value in enumerate(level):
        while low and level[low[-1]] >= value:
            low.pop()
        while high and level[high[-1]] <= value:
            high.pop()
        low.append(last)
        high.append(last)
        while level[high[0]] - level[low[0]] > within:
            first += 1
            if low[0] < first:
                low.popleft()
            if high[0] < first:
                high.popleft()
        longest = max(longest, minutes[last] - minutes[first])
    return longest


def residuals(model: WorldModel, series: PatientSeries, person: Personalisation, begin: int) -> tuple[Rows, NDArray[np.float32]]:
    """Rows from `begin` on that were forecast from `[R]`, and the residuals at `Watch.ahead` over the edge of their interval
    `[R, H]`."""
    clock, watch, column = series.therapy.clock, watch_of(series.therapy), series.therapy.index(series.therapy.regulated)
    horizon, context = clock.rows(max(watch.ahead)), model.shape.context
    chosen = measured_rows(series, context=context, horizon=horizon - 1, stride=clock.rows(watch.stride))
    chosen = [row for row in chosen if row >= begin]
    rows = np.asarray(chosen, dtype=np.int64)
    if not len(rows):
        return rows, np.zeros((0, len(watch.ahead)), np.float32)
    _, levels, offsets = predict(model, series, chosen, person, given=Given.RECORD, horizon=horizon, along=True)
    at = [round(ahead / model.shape.interval) for ahead in watch.ahead]
    truth = rows[:, None] - 1 + np.array([clock.rows(ahead) for ahead in watch.ahead])
    scores = relative_residual(torch.from_numpy(series.values[truth, column]) - levels[:, at], offsets[:, at]).numpy()
    return rows, np.where(series.mask[truth, column], scores, np.nan)


def usual(
    days: DayStatistics, spread: Array, therapy: Therapy, changes: Sequence[Expected] = (), *, last: int | None = None
) -> tuple[Array, Array]:
    """Median and spread of each statistic in the patient's own earlier days, `[N, K]` each: their own spread as far as many days
    show it, and that of other people, `spread` `[K]`. NaN with fewer than `Watch.history` days before.

    last: of so many days at the end alone, NaN before. changes: days before a change are taken as they are expected to be after
    it, and the spread is wider by the doubt of that, as far as days before tell of days after.
    """
    watch, kinds = watch_of(therapy), names(therapy)
    day = therapy.clock.rows(watch.day)
    middle, wide = np.full(days.statistics.shape, np.nan), np.full(days.statistics.shape, np.nan)
    shifts, doubts = (
        np.array([[getattr(change, part).get(kind, 0.0) for kind in kinds] for change in changes]) for part in ("shift", "doubt")
    )
    under = np.array([((days.ends - change.row) / day).clip(0.0, 1.0) for change in changes])  # share of each day, [changes, N]
    for index in range(len(days.ends))[slice(None) if last is None else slice(-last, None)]:
        end = days.ends[index]
        chosen = (days.ends <= end - day) & (days.ends > end - day * (watch.memory + 1))
        before, off = days.statistics[chosen], np.zeros(days.statistics.shape[1])
        if len(changes) and chosen.any():
            further = under[:, index, None] - under[:, chosen]  # how much more of it this day has than each before, [changes, N]
            before, off = before + further.T @ shifts, ((further.mean(1)[:, None] * doubts) ** 2).sum(0)
        count = (~np.isnan(before)).sum(0) * watch.every / watch.day
        enough = count >= watch.history
        if enough.any():
            middle[index, enough], own = robust(before[:, enough])
            weight = count[enough] / (count[enough] + PRIOR)
            wide[index, enough] = np.sqrt(weight * own**2 + (1 - weight) * spread[enough] ** 2 + off[enough])
    return middle, wide


def robust(values: Array) -> tuple[Array, Array]:
    """Median and spread (1.4826 median absolute deviations) of every column `[N, K]`, NaN left out."""

    def median(values: Array) -> Array:
        last = (~np.isnan(values)).sum(0) - 1
        ordered, column = np.sort(values, axis=0), np.arange(values.shape[1])  # NaN last
        return (ordered[last // 2, column] + ordered[(last + 1) // 2, column]) / 2

    middle = median(values)
    return middle, 1.4826 * median(np.abs(values - middle))


def scores(
    therapy: Therapy, days: DayStatistics, reference: Reference, changes: Sequence[Expected] = (), *, last: int | None = None
) -> Array:
    """`[N, 5]` one column an alarm, larger is stranger; NaN where nothing can be said. last: of so many days at the end alone.

    still: its minutes. unit: the largest distance of level, spread and step. other: how much likelier the day is
    as one of other people than as one of this patient, the statistics taken as independent and as Student's t with 3 degrees of
    freedom, so that no single one decides. doses: the share that is missing of what an action is usually given. fit: the largest
    of biases and errors.
    """
    kinds, watch = names(therapy), watch_of(therapy)
    middle, wide = usual(days, np.array([reference.spread[name] for name in kinds]), therapy, changes, last=last)
    far = (days.statistics - middle) / wide
    counts = [kinds.index(f"{channel.name} count") for channel in therapy.of("action") if channel.form == "impulse"]
    bias, error = ([index for index, kind in enumerate(kinds) if kind.startswith(f"{name} ")] for name in ("bias", "error"))
    center, apart = np.array([reference.people[name] for name in kinds]).T
    gain = student(days.statistics - center, np.broadcast_to(apart, far.shape)) - student(days.statistics - middle, wide)
    own = gain[:, : -2 * len(watch.ahead)]
    expected = middle[:, counts]
    missing = np.where(expected > 0, 1 - days.statistics[:, counts] / np.maximum(expected, 1e-9), 0.0)
    return np.stack(
        [
            days.still,
            largest(np.abs(far[:, :3])),
            np.where(np.isnan(own[:, 0]), np.nan, np.nansum(own, 1)),
            largest(np.where(np.isnan(expected), np.nan, missing * np.minimum(expected / (2 * watch.doses**0.5), 1.0))),
            largest(np.concatenate([np.abs(far[:, bias]), far[:, error]], axis=1)),
        ],
        axis=1,
    )


def student(away: Array, wide: Array) -> Array:
    """The logarithm of Student's density with 3 degrees of freedom at a distance, but for a constant."""
    return -2 * np.log1p((away / wide) ** 2 / 3) - np.log(wide)


def largest(values: Array) -> Array:
    """`[N, M]` -> `[N]`, NaN only where all are."""
    found = np.where(np.isnan(values), -np.inf, values).max(1)
    return np.where(np.isinf(found), np.nan, found)


def measure(therapy: Therapy, people: Sequence[DayStatistics]) -> Reference:
    """The reference of people whose recordings are as they should be: the spread of the median person, where people's medians
    lie, and thresholds that a share `FALSE` of looks exceeds, each alarm an equal part of it but for missing doses, whose is
    `MISSING`; every person counts the same."""
    spread, others, watch = {}, {}, watch_of(therapy)
    for index, name in enumerate(names(therapy)):
        columns = [days.statistics[:, index : index + 1] for days in people]
        columns = [column for column in columns if (~np.isnan(column)).sum() * watch.every / watch.day >= watch.history]
        middle, own = np.array([robust(column) for column in columns]).reshape(-1, 2).T
        within = max(float(np.median(own)) if len(own) else 0.0, LEAST.get(name.rpartition(" ")[2], 0.05))
        spread[name] = round(within, 4)
        between = (float(middle.mean()), float(middle.std())) if len(middle) else (0.0, 0.0)
        others[name] = (round(between[0], 4), round(float(np.hypot(between[1], within)), 4))
    reference = Reference(spread=spread, people=others, threshold={})
    judged = [scores(therapy, days, reference) for days in people]
    threshold = {"doses": MISSING}
    for index, alarm in enumerate(ALARMS):
        if alarm in threshold:
            continue
        parts = [one[~np.isnan(one[:, index]), index] for one in judged]
        values = np.concatenate(parts)
        weights = np.concatenate([np.full(len(part), 1 / max(len(part), 1)) for part in parts])
        order = np.argsort(values)
        reached = np.cumsum(weights[order]) / max(weights.sum(), 1e-9) >= 1 - FALSE / (len(ALARMS) - 1)
        threshold[alarm] = round(float(values[order][reached][0]), 4) if len(values) else float("inf")
    return Reference(spread=spread, people=others, threshold=threshold)


def alarms(reference: Reference, score: Array) -> tuple[str, ...]:
    """Which of `ALARMS` a look's scores `[5]` set off."""
    return tuple(name for name, value in zip(ALARMS, score, strict=True) if value > reference.threshold[name])


def latest(
    model: WorldModel, series: PatientSeries, person: Personalisation, reference: Reference, changes: Sequence[Expected] = ()
) -> tuple[str, ...]:
    """The alarms of the last day of a recording. changes: of what was prescribed in it."""
    watch = watch_of(series.therapy)
    ends = checkpoints(series, len(series) - series.therapy.clock.rows(watch.day) * (watch.memory + 2))
    if len(ends) <= watch.history:
        return ()
    return alarms(reference, scores(series.therapy, describe(model, series, person, ends), reference, changes, last=1)[-1])
