"""The patient's own days, lived again under another regimen: abduct what happened, change the settings, predict."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from careplan.minutes import DAY
from careplan.series import PatientSeries, Window, split, windows
from careplan.therapies.glucose.bands import LOW
from careplan.therapies.glucose.declaration import GLUCOSE, RECENT, Regimen
from careplan.therapies.glucose.modulation import modulated_rate
from careplan.therapy import Mandate
from careplan.world.futures import Futures, abduct
from careplan.world.model import WorldModel
from careplan.world.personalise import Personalisation
from careplan.world.question import Given

SETTINGS = ("basal", "carb_ratio", "correction_factor")
FOR_THE_LEVEL = 20.0  # mg/dL above target beyond which a correction is taken to be for the level
ANSWERED = 1.5  # times the standing rate, the most that the level below gives for highs
NEAR = 3  # integration steps either side within which a bolus belongs to a meal
STOPS = 100.0  # mg/dL below which basal was stopped for a low; what is eaten without a bolus below `LOW` is for the low
SINCE = 4  # integration steps after a low within which it is eaten
FADES = 20.0  # mg/dL from what was recorded, over which an answer to a low is no longer given, or a new one is
LEVELS = (20.0, 600.0)  # mg/dL
EATS, SUSPENDS = 65.0, 75.0  # mg/dL in a replay, below which people eat for a low, and pumps that do so stop


@dataclass(frozen=True, eq=False)
class Days:
    """D recorded days of one patient, P particles, H integration steps a day, ready to be replayed.

    block `[H]` of the day; standing `[H]` U/h of basal as prescribed; basal, meal, correction `[D, H]` U recorded in each step
    (basal in U/h); recorded `[D, H]` mg/dL as each step begins, NaN where nothing was; treats `[D, H]` inflow of what was eaten
    for lows; other, slow `[D, H, pools]` inflow from everything else, and from long-acting doses; lasting `[S]`: which
    compartments hold those; level `[D, P, 1]`, pools `[D, P, S]` at midnight.
    """

    futures: Futures
    rows: tuple[int, ...]  # of the series, where each day begins
    block: Tensor
    standing: Tensor
    basal: Tensor
    meal: Tensor
    correction: Tensor
    recorded: Tensor
    treats: Tensor
    other: Tensor
    slow: Tensor
    lasting: Tensor
    level: Tensor
    pools: Tensor
    per_unit: Tensor  # [pools] inflow a minute of one U a minute
    eaten: Tensor  # [pools] 1 where carbohydrate goes
    target: float

    def __len__(self) -> int:
        return len(self.rows)

    @torch.inference_mode()
    def replay(self, multipliers: Tensor, below: Mandate | None = None) -> Tensor:
        """Multipliers `[W, L]` of basal, carb ratio and correction factor by block, then of long-acting -> mg/dL `[W, P, D, H]`.

        The regimen is taken to have been in force for days: the level at midnight is as many times as high as the day before ends
        than as it was lived, and the pools hold what it left. below: the patient's doses are planned too, under this mandate;
        basal is then what is prescribed, modulated by the level that is replayed.
        """
        multipliers = multipliers.to(self.level.device)
        level, pools = self.level.unsqueeze(0), self._midnight(multipliers)
        _, *ends = self._through(multipliers, below, level, pools)
        (risen, left), (usual, kept) = ends, self._ends
        times = self._mgdl(risen).clamp(*LEVELS) / self._mgdl(usual).clamp(*LEVELS)
        level = (
            level + (times.roll(1, dims=1) - 1.0) * self._mgdl(level) / self.futures.model.scale[GLUCOSE.index(GLUCOSE.regulated)]
        )
        pools = torch.where(self.lasting, pools, (pools + (left - kept).roll(1, dims=1)).clamp(min=0.0))
        return self._through(multipliers, below, level, pools)[0]

    @cached_property
    def _ends(self) -> tuple[Tensor, Tensor]:
        """Levels `[1, D, P, 1]` and pools `[1, D, P, S]` as the days end with nothing changed."""
        unchanged = torch.ones(1, 1 + len(SETTINGS) * (1 + int(self.block.max())), device=self.level.device)
        return self._through(unchanged, None, self.level.unsqueeze(0), self._midnight(unchanged))[1:]

    def _midnight(self, multipliers: Tensor) -> Tensor:
        """The pools at midnight `[W, D, P, S]`, long-acting insulin as if it had been given so for days."""
        return torch.where(self.lasting, self.pools * multipliers[:, -1, None, None, None], self.pools)

    def _through(self, multipliers: Tensor, below: Mandate | None, level: Tensor, pools: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The days from levels `[W, D, P, 1]` and pools `[W, D, P, S]` at midnight: mg/dL `[W, P, D, H]`, and both as they end.

        Basal and long-acting are multiplied; the meal part of each bolus is divided by the carb ratio's multiplier; the
        correction part by the correction factor's, and scaled to how far above target this replay then is.
        What was done for a recorded low (basal stopped, carbohydrate eaten) fades as the replay stays above it, and what is not
        eaten is kept for a later low of that day. A low of the replay alone is answered as this patient's were.
        """
        wide, steps, interval = len(multipliers), len(self.block), self.futures.model.shape.interval
        basal, ratio, factor = multipliers[:, :-1].unflatten(1, (3, -1))[:, :, self.block].unsqueeze(3).unbind(1)  # [W, H, 1]
        daily = multipliers[:, -1, None, None]
        meal, correction = (part.T / share / interval for part, share in ((self.meal, ratio), (self.correction, factor)))
        given = self.other.transpose(0, 1), self.slow.transpose(0, 1)
        level = level.expand(wide, -1, -1, -1)
        stopped = (self.basal < 0.9 * self.standing) & (self.recorded < STOPS)
        low, eats, excess = self.recorded < LOW, self.treats > 0, self.recorded - self.target
        suspends = int((stopped & low).sum()) > 0.5 * int(low.sum())
        portion = self.treats.sum() / eats.sum().clamp(min=1)
        usual = portion * (eats.sum() / (self.recorded < EATS).sum().clamp(min=1)).clamp(max=1.0)  # in a step that is low
        lows, uneaten = _lowest_lately(self.recorded), self.treats.new_zeros(wide, len(self))
        before, levels = [], []
        for step in range(steps):
            now = self._mgdl(level)[..., 0].mean(-1)  # [W, D]
            before.append(now)
            recorded, over = self.recorded[:, step], excess[:, step]
            fresh = torch.where(over > FOR_THE_LEVEL, ((now - self.target) / over).clamp(0.0, 2.0), 1.0)
            new = ((recorded - now) / FADES).clamp(0.0, 1.0).nan_to_num(0.0)  # how far a low is the replay's own
            if below is None:
                rate = self.standing[step].lerp(self.basal[:, step], torch.where(stopped[:, step], _still(now, recorded), 1.0))
                rate = rate * (1.0 - torch.where(now < SUSPENDS, new, 0.0)) if suspends else rate
            else:
                rate = self.standing[step] * modulated_rate(now.unsqueeze(0), [below], most=ANSWERED)[0]
            treated = self.treats[:, step] * _still(torch.stack(before[-SINCE - 1 :]).amin(0), lows[:, step])
            uneaten = uneaten + self.treats[:, step] - treated
            kept, hungry = uneaten.clamp(max=portion), (now < EATS) & (treated == 0)
            uneaten = uneaten - torch.where(hungry, kept, 0.0)
            later = torch.where(hungry, kept.maximum(usual * new), 0.0)
            units = meal[:, step] + correction[:, step] * fresh + rate * basal[:, step] / 60.0  # U a minute, [W, D]
            other, slow = (part[step] for part in given)
            inflow = units.unsqueeze(-1) * self.per_unit + (treated + later).unsqueeze(-1) * self.eaten + other + slow * daily
            level, pools = self.futures.advance(level, pools, inflow, step)
            levels.append(level[..., 0])
        return self._mgdl(torch.stack(levels, -1)).transpose(1, 2).clamp(*LEVELS), level, pools

    def _mgdl(self, level: Tensor) -> Tensor:
        """Levels as the model has them, in mg/dL."""
        model, column = self.futures.model, GLUCOSE.index(GLUCOSE.regulated)
        return level * model.scale[column] + model.center[column]


def _still(now: Tensor, recorded: Tensor) -> Tensor:
    """What is left of an answer to a recorded low where the replay is at `now`, `[W, D]`."""
    return (1.0 - (now - recorded) / FADES).clamp(0.0, 1.0).nan_to_num(1.0)


def _lowest_lately(recorded: Tensor) -> Tensor:
    """The lowest level recorded at each step `[D, H]` or within `SINCE` before it, NaN where none was."""
    padded = torch.nn.functional.pad(recorded.nan_to_num(torch.inf), (SINCE, 0), value=torch.inf)
    found = padded.unfold(1, SINCE + 1, 1).amin(-1)
    return torch.where(found < torch.inf, found, torch.nan)


@torch.no_grad()
def recent_days(
    model: WorldModel,
    series: PatientSeries,
    person: Personalisation,
    regimen: Regimen,
    *,
    count: int = RECENT.days,
    particles: int = 8,
    seed: int = 0,
) -> Days | None:
    """The last `count` local days with at least 70 % of readings; `None` where there is none."""
    begins = _begins(series, model.shape.context, count)
    if not begins:
        return None
    lived = _lived(model, series, person, begins, particles, seed)
    return _days(model, regimen, begins, lived, person.usual.to(model.center.device).expand(len(begins), -1))


def _begins(series: PatientSeries, context: int, count: int) -> list[int]:
    """The rows at which the last days begin that have enough history before them and enough readings in them."""
    per_day, column = DAY // int(GLUCOSE.step), GLUCOSE.index(GLUCOSE.regulated)
    midnights = np.flatnonzero(series.minute_of_day() == 0)
    begins = [int(row) for row in midnights if row + per_day <= len(series) and row >= context // 2]
    return [row for row in begins if series.mask[row : row + per_day, column].mean() >= 0.7][-count:]


@dataclass(frozen=True, eq=False)
class _Lived:
    """D days as they were lived: futures that follow what was measured, and level `[D, P]` and pools `[D, P, S]` at midnight;
    what was recorded `[D, T, C]`, its inflow `[D, H, pools]`, and the level measured as each step ends `[D, H]` mg/dL."""

    futures: Futures
    level: Tensor
    pools: Tensor
    recorded: Window
    inflow: Tensor
    measured: Tensor


def _lived(
    model: WorldModel, series: PatientSeries, person: Personalisation, begins: list[int], particles: int, seed: int
) -> _Lived:
    """Abduct what the model does not foresee of the days, in each particle of the patient's code."""
    device, shape, per_day = model.center.device, model.shape, DAY // int(GLUCOSE.step)
    days, column = len(begins), GLUCOSE.index(GLUCOSE.regulated)
    whole = windows(series, [row + per_day for row in begins], shape.context + per_day).to(device)
    past, future = split(whole, shape.context)
    usual = person.usual.to(device).expand(days, -1)
    encoded = model.encode(whole, usual)[:, shape.memory // shape.patch - 1 : -1]  # the state at each patch's beginning
    code = person.particles(particles, seed).to(device).expand(days, -1, -1)
    inflow, plan = model.plan(future.values, future.mask, usual)
    futures, level, pools = _foreseen(model, past, future, usual, encoded, code, plan)
    group = round(shape.interval / GLUCOSE.step)
    truth = (future.values[:, group - 1 :: group, column] - model.center[column]) / model.scale[column]
    seen = future.mask[:, group - 1 :: group, column]
    measured = torch.where(seen, truth * model.scale[column] + model.center[column], torch.nan)
    followed = abduct(futures, level, pools, inflow, truth.unsqueeze(-1), seen.unsqueeze(-1))
    return _Lived(followed, level, pools, future, inflow, measured)


def _foreseen(
    model: WorldModel, past: Window, future: Window, usual: Tensor, encoded: Tensor, code: Tensor, plan: Tensor
) -> tuple[Futures, Tensor, Tensor]:
    """What the model foresees of the days, and the level and the pools at midnight.

    The context is read from the recording as it goes: what was encoded is better known than what was predicted.
    """
    device, (days, particles), steps, interval = plan.device, code.shape[:2], plan.shape[1], model.shape.interval
    every, dynamics, fold = round(model.shape.patch * GLUCOSE.step / interval), model.dynamics, code.shape[:2]
    flat_code, halves = code.flatten(0, 1), torch.arange(2 * steps, device=device)
    clock = future.minute[:, :1].repeat_interleave(particles, 0) + 0.5 * interval * halves
    disturbed = plan[:, halves // 2].repeat_interleave(particles, 0)
    course = dynamics.planned.course(clock, flat_code, disturbed, Given.PLAN.codes(days * particles, device))
    z = encoded[:, halves // 2 // every].repeat_interleave(particles, 0)
    features = dynamics.planned.features(z, course.situation).unflatten(1, (steps, 2))
    spread = model.spread.context(z[:, ::2])
    repeated = Window(*(part.repeat_interleave(particles, 0) for part in (past.values, past.mask, past.minute)))
    state = model.state(encoded[:, 0].repeat_interleave(particles, 0), repeated, usual.repeat_interleave(particles, 0), flat_code)
    level, pools = state.level.unflatten(0, fold), state.pools.unflatten(0, fold)
    futures = Futures(
        model=model,
        features=features.unflatten(0, fold),
        spread=spread.unflatten(0, fold),
        code=code,
        rates=dynamics.absorption.rates(flat_code).unflatten(0, fold),
        start=level,
        score=torch.zeros(particles, device=device),
        interval_factor=torch.ones(days, device=device),
    )  # no trend: the forcing holds what it would have told
    return futures, level, pools


def _days(model: WorldModel, regimen: Regimen, begins: list[int], lived: _Lived, usual: Tensor) -> Days:
    """The days with what was given taken apart: basal, the meal's part of each bolus and the correction's, what was eaten for
    lows, and everything else."""
    device, interval, future, inflow = usual.device, model.shape.interval, lived.recorded, lived.inflow
    steps, group = inflow.shape[1], round(interval / GLUCOSE.step)
    block = torch.tensor([regimen.block(int(step * interval)) for step in range(steps)], device=device)
    filled = torch.where(future.mask, future.values, usual[:, None, :-1])
    bolus = filled[..., GLUCOSE.index("bolus")].unflatten(1, (-1, group)).sum(-1)
    logged = torch.where(future.mask, future.values, torch.zeros(()))
    carbs = logged[..., GLUCOSE.index("carbs")].unflatten(1, (-1, group)).sum(-1)
    nearby = torch.nn.functional.avg_pool1d(carbs.unsqueeze(1), 2 * NEAR + 1, 1, NEAR).squeeze(1) * (2 * NEAR + 1)
    meal = torch.minimum(bolus, nearby / torch.tensor(regimen.carb_ratio, device=device)[block])
    recorded = torch.cat([torch.full_like(lived.measured[:, :1], torch.nan), lived.measured[:, :-1]], 1)
    rapid, carb, slow = (_pool_of(name) for name in ("bolus", "carbs", "long_acting"))
    treats = torch.where((_lowest_lately(recorded) < LOW) & (bolus == 0), inflow[..., carb], 0.0)
    share = 1.0 / model.daily(usual)[0, GLUCOSE.index("bolus")]
    count = len(GLUCOSE.pools)
    eaten = torch.nn.functional.one_hot(torch.tensor(carb, device=device), count).to(inflow)
    lasting = torch.tensor([index == slow for index, item in enumerate(GLUCOSE.pools) for _ in range(item.stages)], device=device)
    rest = torch.tensor([rapid, slow], device=device)
    return Days(
        futures=lived.futures,
        rows=tuple(begins),
        block=block,
        standing=torch.tensor(regimen.basal, device=device)[block],
        basal=filled[..., GLUCOSE.index("basal")].unflatten(1, (-1, group)).mean(-1),
        meal=meal,
        correction=bolus - meal,
        recorded=recorded,
        treats=treats,
        other=inflow.index_fill(-1, rest, 0.0) - treats.unsqueeze(-1) * eaten,
        slow=inflow * torch.nn.functional.one_hot(torch.tensor(slow, device=device), count),
        lasting=lasting,
        level=lived.level,
        pools=lived.pools,
        per_unit=torch.zeros(count, device=device).index_fill(0, torch.tensor([rapid], device=device), float(share)),
        eaten=eaten,
        target=regimen.target,
    )


def _pool_of(channel: str) -> int:
    """The place of the pool that a channel goes into."""
    return next(index for index, pool in enumerate(GLUCOSE.pools) if channel in pool.channels)
