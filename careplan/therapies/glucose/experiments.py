"""Every signed change of a regimen is an experiment: what it is expected to do to the days, what it was said to do and did, and
what that says of how strongly this person answers to basal, to the carb ratio and to the correction factor.

Nobody chooses a signed change by what the next fortnight brings, so a fortnight before it and one after are the evidence on the
size of effects that habits do not confound.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from careplan.recording import Signed
from careplan.series import PatientSeries
from careplan.suggestion import Experiment, Outcome
from careplan.targets import Targets
from careplan.therapies.glucose.bands import ADULTS, outcomes
from careplan.therapies.glucose.days import LEVELS, SETTINGS, Days, recent_days
from careplan.therapies.glucose.declaration import GLUCOSE, RECENT, Regimen
from careplan.therapy import Mandate
from careplan.world.drift import Expected
from careplan.world.model import WorldModel
from careplan.world.personalise import Personalisation

LEAST = timedelta(days=7)  # of readings before a change and after it, for the two to be compared
SPREAD, ALIKE = 0.35, 0.5  # of the size of effects before any change, and how alike the three settings are in it
# mg/dL by which life moves the mean of a part of the day from one fortnight to the next with nothing changed, half of it in all
# parts alike, as in recordings; and by how much of it the effect on one part is off (docs/experiments/visits.md).
LIFE, SHAPE = 14.0, 0.35
DOUBT = 0.5  # of what a change is expected to do: how far that may be off
TRIED = 0.8  # of treatment, to see how far each setting alone moves the level
OUTCOMES = ("in_range", "below_70", "above_180", "mean")


@dataclass(frozen=True, eq=False)
class Sizes:
    """How large this person's effects are, times what the model predicts: of basal (or long-acting insulin), carb ratio and
    correction factor, mean `[3]` and covariance `[3, 3]`; changes: of how many signed changes it is what they say."""

    mean: Tensor
    covariance: Tensor
    changes: int = 0

    @classmethod
    def prior(cls) -> "Sizes":
        alike = ALIKE + (1.0 - ALIKE) * torch.eye(len(SETTINGS))
        return cls(torch.ones(len(SETTINGS)), SPREAD**2 * alike)

    def after(self, predicted: Tensor, lived: Tensor) -> "Sizes":
        """After one change: predicted `[parts, 3]` mg/dL by part of the day and setting, lived `[parts]` in all.

        Linear regression with Gaussian prior and noise (Bishop 2006, eq. 2.116 and 2.117, as a Kalman filter's update).
        """
        parts = len(lived)
        expected = predicted @ self.mean
        noise = LIFE**2 * (0.5 + 0.5 * torch.eye(parts)) + torch.diag((SHAPE * expected) ** 2)
        seen = predicted @ self.covariance @ predicted.T + noise
        gain = torch.linalg.solve(seen, predicted @ self.covariance).T
        mean = self.mean + gain @ (lived - expected)
        covariance = self.covariance - gain @ predicted @ self.covariance
        return Sizes(mean, (covariance + covariance.T) / 2, self.changes + 1)

    def draws(self, count: int, seed: int = 0) -> Tensor:
        """`[count, 3]` in antithetic pairs, none of them negative."""
        generator = torch.Generator().manual_seed(seed)
        normal = torch.randn((count + 1) // 2, len(self.mean), generator=generator)
        away = torch.cat([normal, -normal])[:count] @ torch.linalg.cholesky(self.covariance + 1e-6 * torch.eye(len(self.mean))).T
        return (self.mean + away).clamp(min=0.0)


def sizes_of(
    model: WorldModel, series: PatientSeries, person: Personalisation, changes: Sequence[Signed], *, seed: int = 0
) -> Sizes:
    """What the signed changes say: each is replayed on the fortnight before it, setting by setting, beside what was lived."""
    found = Sizes.prior()
    for change, before, after in _lived_through(series, changes):
        days = recent_days(model, before, person, change.before, particles=4, seed=seed)
        if days is None:
            continue
        levels = days.replay(_each_alone(change.before, change.after)).mean((1, 2))  # [1 + 3, H]
        parts = [days.block == part for part in range(len(change.before.starts))]
        predicted = torch.stack([(levels[1:, part] - levels[:1, part]).mean(1) for part in parts]).cpu()
        means = [_by_part(each, change.before) for each in (before, after)]
        lived = torch.tensor(means[1] - means[0], dtype=predicted.dtype)
        known = torch.isfinite(lived)
        found = found.after(predicted[known], lived[known])
    return found


def with_effect_sizes(
    days: Days, parts: int, sizes: Sizes, below: Mandate | None = None, seed: int = 0
) -> Callable[[Tensor], Tensor]:
    """A replay `[W, L]` -> `[W, P, D, H]` in which each particle also has its own size of effects: what a regimen changes is
    multiplied by it, that of several settings by as much as each of them moves the level alone."""
    nothing = torch.ones(1, parts * len(SETTINGS) + 1)
    alone = nothing.repeat(len(SETTINGS) + 1, 1)
    for place in range(len(SETTINGS)):
        alone[1 + place, place * parts : (place + 1) * parts] = TRIED if place == 0 else 1 / TRIED
    alone[1, -1] = TRIED
    tried = days.replay(alone, below)
    still, moves = tried[:1], (tried[1:] - tried[:1]).abs().mean((1, 2, 3)) / -math.log(TRIED)  # [3] mg/dL
    drawn = sizes.draws(still.shape[1], seed).to(still)  # [P, 3]

    def replayed(multipliers: Tensor) -> Tensor:
        away = multipliers.to(still).log().abs()
        amount = away[:, :-1].unflatten(1, (len(SETTINGS), parts)).mean(-1)
        amount[:, 0] = torch.maximum(amount[:, 0], away[:, -1])
        share = (amount * moves).clamp(min=1e-9)
        size = (share / share.sum(1, keepdim=True)) @ drawn.T  # [W, P]
        return (still + size[:, :, None, None] * (days.replay(multipliers, below) - still)).clamp(*LEVELS)

    return replayed


def experiments(series: PatientSeries, changes: Sequence[Signed]) -> tuple[Experiment, ...]:
    """Each signed change that was lived with for long enough: predicted against lived, the oldest first."""
    return tuple(
        Experiment(
            since=change.since.to_pydatetime(),
            does=change_in_words(change.before, change.after),
            outcomes={
                name: Outcome(predicted=change.predicted.get(name), lived=(without[name], then[name])) for name in OUTCOMES
            },
        )
        for change, before, after in _lived_through(series, changes)
        for without, then in [(_outcomes(before, change.targets or ADULTS), _outcomes(after, change.targets or ADULTS))]
    )


def expected_statistics(series: PatientSeries, changes: Sequence[Signed]) -> tuple[Expected, ...]:
    """What each signed change is expected to do to the statistics of a day: the rate and the sizes of doses by what was
    prescribed, the level by what was predicted, each off by `DOUBT` of itself; where nothing was predicted the level is as
    uncertain as doses changed. A level that moves also spreads and wanders otherwise."""
    return tuple(_expected(series, change) for change in changes)


def change_in_words(before: Regimen, after: Regimen) -> str:
    """ "basal -20 %, carb ratio +12 %": the mean over the parts of the day that both know."""
    moved = {name: math.expm1(change) for name, change in _changed(before, after).items()}
    return ", ".join(f"{name.replace('_', ' ')} {100 * share:+.0f} %" for name, share in moved.items() if abs(share) >= 0.005)


def _expected(series: PatientSeries, change: Signed) -> Expected:
    moved = _changed(change.before, change.after)
    dose = -(moved["carb_ratio"] + moved["correction_factor"]) / 2
    shift = {"basal rate": moved["basal"], "long_acting size": moved["long_acting"], "bolus size": dose, "balance": -dose}
    size = max((abs(value) for value in moved.values()), default=0.0)
    without, then = change.predicted.get("mean", (math.nan, math.nan))
    level = math.log(then / without) if without > 0 and then > 0 else 0.0
    off = DOUBT * (abs(level) if level else size)
    doubt = {name: DOUBT * abs(value) for name, value in shift.items()} | {"level": off, "bolus count": 2 * size}
    doubt |= dict.fromkeys(("spread", "step", "jitter"), DOUBT * size)
    return Expected(row=_row(series, change), shift={**shift, "level": level}, doubt=doubt)


def _changed(before: Regimen, after: Regimen) -> dict[str, float]:
    """The logarithm of each setting after over before, the mean over the hours of the day; 0 where it was or is none."""
    found = {}
    for name in (*SETTINGS, "long_acting"):
        then, now = (_over_the_day(regimen, name) for regimen in (before, after))
        given = (now > 0) & (then > 0)
        found[name] = float(np.log(now[given] / then[given]).sum()) / len(given)
    return found


def _over_the_day(regimen: Regimen, name: str) -> np.ndarray:
    """A setting in each hour, `[24]`."""
    if name == "long_acting":
        return np.full(24, regimen.long_acting)
    values: Sequence[float] = getattr(regimen, name)
    return np.array([values[regimen.block(60 * hour)] for hour in range(24)], dtype=float)


def _each_alone(before: Regimen, after: Regimen) -> Tensor:
    """Multipliers as `Days.replay` takes them: of nothing, then of each of `SETTINGS` alone; `[4, L]`. Long-acting insulin is the
    basal of people on pens."""
    parts = len(before.starts)
    found = torch.ones(1 + len(SETTINGS), parts * len(SETTINGS) + 1)
    for place, name in enumerate(SETTINGS):
        for part, start in enumerate(before.starts):
            then, now = getattr(before, name)[part], getattr(after, name)[after.block(start)]
            if then > 0:
                found[1 + place, place * parts + part] = now / then
    if before.long_acting > 0:
        found[1, -1] = after.long_acting / before.long_acting
    return found


def _lived_through(series: PatientSeries, changes: Sequence[Signed]) -> list[tuple[Signed, PatientSeries, PatientSeries]]:
    """Each change with the recording before it, and after it until the next, where both hold at least `LEAST`: a fortnight of
    each at most counts."""
    step, found = timedelta(minutes=series.therapy.step), []
    rows = [min(max(0, _row(series, change)), len(series)) for change in changes]
    fortnight, least = round(RECENT / step), round(LEAST / step)
    column = series.therapy.index(series.therapy.regulated)
    for place, (change, row) in enumerate(zip(changes, rows, strict=True)):
        begun = rows[place - 1] if place else 0
        end = min(rows[place + 1] if place + 1 < len(rows) else len(series), row + fortnight)
        known = [int(series.mask[part, column].sum()) for part in (slice(max(begun, row - fortnight), row), slice(row, end))]
        if min(known) >= least / 3:  # readings every quarter of an hour for a week
            found.append((change, series.until(row), series.until(end).since(row)))
    return found


def _row(series: PatientSeries, change: Signed) -> int:
    """The row in which a change begins, where the recording holds it."""
    return int((change.since - series.start) // pd.Timedelta(minutes=series.therapy.step))


def _recent(series: PatientSeries) -> PatientSeries:
    return series.since(max(0, len(series) - round(RECENT / timedelta(minutes=series.therapy.step))))


def _by_part(series: PatientSeries, regimen: Regimen) -> np.ndarray:
    """The mean level of the last fortnight by part of the day, `[parts]` mg/dL, NaN where none was measured."""
    recent = _recent(series)
    level, minute = recent.column(GLUCOSE.regulated), recent.minute_of_day()
    part = np.array([regimen.block(int(at)) for at in minute])
    inside = [~np.isnan(level) & (part == each) for each in range(len(regimen.starts))]
    return np.array([level[each].mean() if each.any() else np.nan for each in inside])


def _outcomes(series: PatientSeries, targets: Targets) -> Mapping[str, float]:
    """`OUTCOMES` of the last fortnight of a recording, % of readings, and mg/dL."""
    level = pd.Series(_recent(series).column(GLUCOSE.regulated)).dropna().to_numpy(dtype=float)
    shares = {name: 100.0 * float(share.mean()) for name, share in outcomes(level, targets).items()}
    return {**shares, "mean": float(level.mean())}
