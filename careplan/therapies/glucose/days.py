"""The patient's own days, lived again under another regimen: abduct what happened, change the settings, predict."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from careplan.series import PatientSeries, windows
from careplan.therapies.glucose.declaration import DAY, GLUCOSE, Regimen
from careplan.therapies.glucose.modulation import modulated
from careplan.therapy import Mandate
from careplan.world.dynamics import PLAN
from careplan.world.futures import Futures, abduct
from careplan.world.model import WorldModel
from careplan.world.personalise import Personalisation

SETTINGS = ("basal", "carb_ratio", "correction_factor")
MARGIN = 20.0  # mg/dL above target beyond which a correction is taken to be for the level
ANSWERED = 1.5  # times the standing rate, the most that the level below gives for highs
NEAR = 3  # integration steps either side within which a bolus belongs to a meal
LOW, STOPS = 70.0, 100.0  # mg/dL below which carbohydrate without a bolus is eaten for the low, and basal was stopped for one
SINCE = 4  # integration steps after a low within which it is eaten
FADES = 20.0  # mg/dL from what was recorded, over which an answer to a low is no longer given, or a new one is
EATS, SUSPENDS = 65.0, 75.0  # mg/dL in a replay, below which people eat for a low, and pumps that do so stop


@dataclass(frozen=True, eq=False)
class Days:
    """D recorded days of one patient, P particles, H integration steps a day, ready to be replayed.

    block `[H]` of the day; standing `[H]` U/h of basal as prescribed; basal, meal, correction `[D, H]` U recorded in each step
    (basal in U/h); recorded `[D, H]` mg/dL as each step begins, NaN where nothing was; treats `[D, H]` inflow of what was eaten
    for lows; other, slow `[D, H, pools]` inflow from everything else, and from long-acting doses; lasting `[S]`: which
    compartments hold those; level `[D, P]`, pools `[D, P, S]` at midnight.
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

    @torch.no_grad()
    def replay(self, multipliers: Tensor, below: Mandate | None = None) -> Tensor:
        """Multipliers `[W, L]` of basal, carb ratio and correction factor by block, then of long-acting -> mg/dL `[W, P, D, H]`.

        Basal and long-acting are multiplied; the meal part of each bolus is divided by the carb ratio's multiplier; the
        correction part by the correction factor's, and scaled to how far above target this replay then is. below: the patient's
        doses are planned too, under this mandate; basal is then what is prescribed, modulated by the level that is replayed.
        What was done for a recorded low (basal stopped, carbohydrate eaten) fades as the replay stays above it, and what is not
        eaten is kept for a later low of that day. A low of the replay alone is answered as this patient's were.
        """
        wide, days, steps = len(multipliers), len(self), len(self.block)
        interval = self.futures.model.shape.interval
        column = GLUCOSE.index(GLUCOSE.regulated)
        center, scale = self.futures.model.center[column], self.futures.model.scale[column]
        basal, ratio, factor = (
            multipliers[:, :-1].to(self.basal.device).unflatten(1, (3, -1))[:, :, self.block].unbind(1)
        )  # [W, H]
        daily = multipliers[:, -1].to(self.basal.device).repeat_interleave(days).unsqueeze(1)  # [W * D, 1]
        rows = torch.arange(days, device=self.basal.device).repeat(wide)
        level = self.level.repeat(wide, 1)
        pools = self.pools.repeat(wide, 1, 1) * torch.where(self.lasting, daily.unsqueeze(-1), 1.0)  # as if given so for days
        stopped = (self.basal < 0.9 * self.standing) & (self.recorded < STOPS)
        low, eats = self.recorded < LOW, self.treats > 0
        suspends = int((stopped & low).sum()) > 0.5 * int(low.sum())
        portion = self.treats.sum() / eats.sum().clamp(min=1)
        usual = portion * (eats.sum() / (self.recorded < EATS).sum().clamp(min=1)).clamp(max=1.0)  # in a step that is low
        lows, uneaten = _lowest_lately(self.recorded), self.treats.new_zeros(wide, days)
        before, levels = [], []
        for step in range(steps):
            now = (level.mean(1) * scale + center).unflatten(0, (wide, days))
            before.append(now)
            recorded = self.recorded[:, step]
            above, excess = now - self.target, recorded - self.target
            fresh = torch.where(excess > MARGIN, (above / excess).clamp(0.0, 2.0), torch.ones_like(above))
            units = self.meal[:, step] / ratio[:, step, None] + self.correction[:, step] * fresh / factor[:, step, None]
            new = ((recorded - now) / FADES).clamp(0.0, 1.0).nan_to_num(0.0)  # how far a low is the replay's own
            if below is None:
                rate = self.standing[step].lerp(self.basal[:, step], torch.where(stopped[:, step], _still(now, recorded), 1.0))
                rate = torch.where((now < SUSPENDS) & suspends, rate * (1.0 - new), rate)
            else:
                rate = self.standing[step] * modulated(now.unsqueeze(0), [below], most=ANSWERED)[0]
            treated = self.treats[:, step] * _still(torch.stack(before[-SINCE - 1 :]).amin(0), lows[:, step])
            uneaten = uneaten + self.treats[:, step] - treated
            kept, hungry = uneaten.clamp(max=portion), (now < EATS) & (treated == 0)
            uneaten = uneaten - torch.where(hungry, kept, 0.0)
            later = torch.where(hungry, kept.maximum(usual * new), 0.0)
            units = units / interval + rate * basal[:, step, None] / 60.0  # U a minute, [W, D]
            inflow = (
                units.flatten().unsqueeze(1) * self.per_unit
                + (treated + later).flatten().unsqueeze(1) * self.eaten
                + self.other[:, step].repeat(wide, 1)
                + self.slow[:, step].repeat(wide, 1) * daily
            )
            level, pools = self.futures.advance(level, pools, inflow, step, rows)
            levels.append(level)
        mgdl = torch.stack(levels, -1) * scale + center
        return mgdl.unflatten(0, (wide, days)).transpose(1, 2).clamp(20.0, 600.0)


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
    count: int = 14,
    particles: int = 8,
    seed: int = 0,
) -> Days | None:
    """The last `count` local days with at least 70 % of readings; `None` where there is none."""
    device, shape, per_day = model.center.device, model.shape, DAY // int(GLUCOSE.step)
    column = GLUCOSE.index(GLUCOSE.regulated)
    minute = series.minute_of_day()
    begins = [int(row) for row in np.flatnonzero(minute == 0) if row + per_day <= len(series) and row >= shape.context // 2]
    begins = [row for row in begins if series.mask[row : row + per_day, column].mean() >= 0.7][-count:]
    if not begins:
        return None
    whole = windows(series, [row + per_day for row in begins], shape.context + per_day).to(device)
    past = type(whole)(*(part[:, : shape.context] for part in (whole.values, whole.mask, whole.minute)))
    future = type(whole)(*(part[:, shape.context :] for part in (whole.values, whole.mask, whole.minute)))
    days = len(begins)
    usual = person.usual.to(device).expand(days, -1)
    encoded = model.encode(whole, usual)[:, shape.memory // shape.patch - 1 : -1]  # the state at each patch's beginning
    codes = person.particles(particles, seed).to(device)
    code = codes.expand(days, -1, -1)

    # The context is read from the recording as it goes: what was encoded is better known than what was predicted.
    inflow, plan = model.plan(future.values, future.mask, usual)
    steps, interval = inflow.shape[1], shape.interval
    every = round(shape.patch * GLUCOSE.step / interval)
    many = days * particles
    dynamics = model.dynamics
    flat_code = code.flatten(0, 1)
    halves = torch.arange(2 * steps, device=device)
    clock = future.minute[:, :1].repeat_interleave(particles, 0) + 0.5 * interval * halves
    disturbed = plan[:, halves // 2].repeat_interleave(particles, 0)
    course = dynamics.planned.course(clock, flat_code, disturbed, torch.full((many,), PLAN, device=device))
    z = encoded[:, halves // 2 // every].repeat_interleave(particles, 0)
    features = dynamics.planned.features(z, course.situation).unflatten(1, (steps, 2))
    spread = model.spread.context(z[:, ::2])
    repeated = type(whole)(*(part.repeat_interleave(particles, 0) for part in (past.values, past.mask, past.minute)))
    state = model.state(encoded[:, 0].repeat_interleave(particles, 0), repeated, usual.repeat_interleave(particles, 0), flat_code)
    fold = (days, particles)
    level, pools = state.level.unflatten(0, fold), state.pools.unflatten(0, fold)
    futures = Futures(
        model=model,
        features=features.unflatten(0, fold),
        spread=spread.unflatten(0, fold),
        code=code,
        rates=dynamics.absorption.rates(flat_code).unflatten(0, fold),
        start=level,
        score=torch.zeros(particles, device=device),
        widen=torch.ones(days, device=device),
        trend=torch.zeros(days, particles, 2, device=device),  # the forcing holds what it would have told
    )
    group = round(interval / GLUCOSE.step)
    truth = (future.values[:, group - 1 :: group, column] - model.center[column]) / model.scale[column]
    seen = future.mask[:, group - 1 :: group, column]
    futures = abduct(futures, level, pools, inflow, truth, seen)

    block = torch.tensor([regimen.block(int(step * interval)) for step in range(steps)], device=device)
    filled = torch.where(future.mask, future.values, usual[:, None, :-1])
    bolus = filled[..., GLUCOSE.index("bolus")].unflatten(1, (-1, group)).sum(-1)
    basal = filled[..., GLUCOSE.index("basal")].unflatten(1, (-1, group)).mean(-1)
    carbs = (
        torch.where(future.mask, future.values, torch.zeros(()))[..., GLUCOSE.index("carbs")].unflatten(1, (-1, group)).sum(-1)
    )
    nearby = torch.nn.functional.avg_pool1d(carbs.unsqueeze(1), 2 * NEAR + 1, 1, NEAR).squeeze(1) * (2 * NEAR + 1)
    ratio = torch.tensor(regimen.carb_ratio, device=device)[block]
    meal = torch.minimum(bolus, nearby / ratio)
    measured = torch.where(seen, truth * model.scale[column] + model.center[column], torch.nan)
    recorded = torch.cat([torch.full_like(measured[:, :1], torch.nan), measured[:, :-1]], 1)
    carb = next(index for index, item in enumerate(GLUCOSE.pools) if "carbs" in item.channels)
    treats = torch.where((_lowest_lately(recorded) < LOW) & (bolus == 0), inflow[..., carb], 0.0)
    share = 1.0 / model.daily(usual)[0, GLUCOSE.index("bolus")]
    pool = [index for index, item in enumerate(GLUCOSE.pools) if "bolus" in item.channels]
    per_unit = torch.zeros(len(GLUCOSE.pools), device=device).index_fill(0, torch.tensor(pool, device=device), float(share))
    eaten = torch.nn.functional.one_hot(torch.tensor(carb, device=device), len(GLUCOSE.pools)).to(inflow)
    slow = next(index for index, item in enumerate(GLUCOSE.pools) if "long_acting" in item.channels)
    lasting = torch.tensor([index == slow for index, item in enumerate(GLUCOSE.pools) for _ in range(item.stages)], device=device)
    rest = torch.tensor([*pool, slow], device=device)
    return Days(
        futures=futures,
        rows=tuple(begins),
        block=block,
        standing=torch.tensor(regimen.basal, device=device)[block],
        basal=basal,
        meal=meal,
        correction=bolus - meal,
        recorded=recorded,
        treats=treats,
        other=inflow.index_fill(-1, rest, 0.0) - treats.unsqueeze(-1) * eaten,
        slow=inflow * torch.nn.functional.one_hot(torch.tensor(slow, device=device), len(GLUCOSE.pools)),
        lasting=lasting,
        level=level,
        pools=pools,
        per_unit=per_unit,
        eaten=eaten,
        target=regimen.target,
    )
