"""Treatment effects in virtual patients: what a predictor says a treatment changes, beside what it truly changed.

Two futures of one patient differ in treatment alone: boluses from none to double, or basal or meals by half either way. The
history before them comes from how people behave, confounded by what they feel and see. The truth is without sensor error.

A predictor is told both futures. What people eat is one thing and what they count another, so there are two tellings: `exactly`,
the treatments that differ being the treatments given, and as counted, where each announced meal is misjudged as in a record.
Histories are as recorded in both.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from careplan.evaluation.forecasts import Array, boosted, features, forecast_rows, persistence, steps, truths
from careplan.series import PatientSeries
from careplan.therapies.glucose.declaration import GLUCOSE, ROWS_A_DAY
from careplan.world import calibration
from careplan.world.corpus import Branches, Corpus
from careplan.world.model import WorldModel
from careplan.world.personalise import Personalisation, personalise
from cohorts.bodies import Body, Equations, Inputs, advance
from cohorts.families import Family
from cohorts.policies import Behaviour
from cohorts.population import GROUPS, Population, join, sample_population
from cohorts.replay import KEEP, Change, Replay, branch, replay

HOURS = (1, 2, 4, 8)
KINDS = ("bolus", "basal", "meals")
DAYS = 14  # of history before the futures part
ROWS = 96  # eight hours
NORMAL = 1.6449  # standard deviations to either side that hold 90 %


@dataclass(frozen=True, eq=False)
class Trial:
    """Virtual people, their recordings, and branched futures `[E]`: what changed, and its kind (an index into `KINDS`).
    announced: `[B, T]` g, what a predictor is told of the meals that are announced at all."""

    lived: Replay
    recordings: tuple[PatientSeries, ...]
    branches: Branches
    change: Change
    kind: Tensor
    announced: Tensor

    def history(self, days: int) -> list[PatientSeries]:
        """The last `days` days of everyone before any future parts."""
        first, last = (DAYS - days) * ROWS_A_DAY, DAYS * ROWS_A_DAY
        return [
            replace(series, start=series.times[first], values=series.values[first:last], mask=series.mask[first:last])
            for series in self.recordings
        ]

    def before(self) -> Tensor:
        """`[E, T, C]` the futures that happened, as a predictor is told them."""
        rows = self.branches.row.unsqueeze(1) + torch.arange(ROWS)
        recorded = torch.stack([torch.from_numpy(series.values) for series in self.recordings])
        return self._futures_with(recorded[self.branches.patient.unsqueeze(1), rows])

    def _futures_with(self, values: Tensor, meals: Tensor | None = None) -> Tensor:
        """Futures `[E, T, C]` with the meals that are told, times a factor `[E]`."""
        rows = self.branches.row.unsqueeze(1) + torch.arange(ROWS)
        told = self.announced[self.branches.patient.unsqueeze(1), rows]
        values = values.clone()
        values[..., GLUCOSE.index("carbs")] = told if meals is None else told * meals.unsqueeze(1)
        return values

    def exactly(self) -> "Trial":
        """The same trial, told what is eaten of the announced meals once futures part, not what was counted."""
        eaten = torch.where(self.lived.announced > 0, self.lived.eaten, 0.0)
        trial = replace(self, announced=eaten)
        values = trial._futures_with(self.branches.values, self.change.meals)
        return replace(trial, branches=replace(self.branches, values=values, before=trial.before()))

    def true(self) -> Array:
        """`[E, 4]` mg/dL that the treatment changed at `HOURS`."""
        at = [steps(60 * hour, GLUCOSE.step) - 1 for hour in HOURS]
        return (self.branches.altered - self.branches.recorded)[:, at].numpy().astype(float)


Estimator = Callable[[Trial, int], Array]  # a trial, with so many days of each patient known -> `[E, 4]` mg/dL


def cohort(people: int, seed: int, family: Family = "padova") -> Population:
    """`people` of every group, of one family of bodies, with settings that are a little off, one in four on pens."""
    return join(
        [
            sample_population(group, people, seed * 10 + place, mis_set=0.15, pens=0.25, family=family)
            for place, group in enumerate(GROUPS)
        ]
    )


def make_trial(people: Population, seed: int, *, each: int = 40) -> Trial:
    """`each` branched futures a person, beginning within the day after `DAYS` days of history."""
    lived = replay(people, Behaviour(), days=DAYS + 2, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    person = torch.arange(len(people)).repeat_interleave(each)
    row = DAYS * ROWS_A_DAY + KEEP * torch.randint(ROWS_A_DAY // KEEP, (len(person),), generator=generator)
    kind = torch.arange(len(person)) % len(KINDS)
    swing, one = 2 * torch.rand(len(person), generator=generator) - 1, torch.ones(len(person))
    bolus, basal, meals = (torch.where(kind == index, 1 + width * swing, one) for index, width in enumerate((1.0, 0.5, 0.5)))
    recorded, _ = branch(lived, person, row, ROWS, Change.none(len(person)))
    change = Change(basal, bolus, meals, 0 * one)
    altered, values = branch(lived, person, row, ROWS, change)
    recordings = tuple(lived.series(index) for index in range(len(people)))
    return Trial(lived, recordings, Branches(person, row, values, recorded, altered), change, kind, lived.announced)


class Predicting:
    """The world model: of the typical patient with no history, personalised otherwise (once for trials of the same lives)."""

    def __init__(self, model: WorldModel) -> None:
        self.model, self._known = model, dict[int, tuple[Replay, list[Personalisation]]]()

    def _people(self, trial: Trial, days: int) -> list[Personalisation]:
        if days not in self._known or self._known[days][0] is not trial.lived:
            history = trial.history(max(days, 1))
            usual = [calibration.typical_of(self.model, series) for series in history]
            self._known[days] = (trial.lived, personalise(self.model, history) if days else usual)
        return self._known[days][1]

    def _at_hours(self, steps: Tensor) -> Array:
        at = [round(60 * hour / self.model.shape.interval) - 1 for hour in HOURS]
        return steps[:, at].numpy().astype(float)

    def __call__(self, trial: Trial, days: int) -> Array:
        predicted, _ = calibration.effects(self.model, Corpus.of(trial.recordings), trial.branches, self._people(trial, days))
        return self._at_hours(predicted)

    def half_width(self, trial: Trial, days: int) -> Array:
        """Half of the 90 % interval of each effect, mg/dL `[E, 4]`."""
        doubt = calibration.effect_doubt(self.model, Corpus.of(trial.recordings), trial.branches, self._people(trial, days))
        return NORMAL * self._at_hours(doubt)


def logged(trial: Trial, days: int) -> Array:
    """The true equations with each patient's true parameters and true state, told of meals what the trial tells, and the
    sensitivity of an average day: what it misses is in nobody's record. It believes what it is told, so that a model which doubts
    what is counted may do better.
    """
    lived, branches = trial.lived, trial.branches
    daily = lived.scenario.sensitivity[:, : DAYS * ROWS_A_DAY].unflatten(1, (DAYS, ROWS_A_DAY)).mean(1)
    again = daily.repeat(1, lived.glucose.shape[1] // ROWS_A_DAY)
    usual = replace(lived.scenario, sensitivity=again, pace=torch.ones_like(again))
    told = replace(lived, scenario=usual, eaten=trial.announced)
    unchanged = Change.none(len(branches))
    recorded, altered = (branch(told, branches.patient, branches.row, ROWS, change)[0] for change in (unchanged, trial.change))
    return (altered - recorded)[:, [steps(60 * hour, GLUCOSE.step) - 1 for hour in HOURS]].numpy().astype(float)


def boosting(people: Population, seed: int, *, days: int = DAYS) -> Estimator:
    """Gradient boosting told eight hours of future doses and meals, fitted to other people's recordings; not personal."""
    horizons, known = [60 * hour for hour in HOURS], 60.0 * max(HOURS)
    lived = replay(people, Behaviour(), days=days, seed=seed)
    recordings = [lived.series(index) for index in range(len(people))]
    pairs = [(series, forecast_rows(series, horizons, stride=6)) for series in recordings]
    inputs = np.concatenate([features(series, rows, known) for series, rows in pairs])
    change = np.concatenate([truths(series, rows, horizons) - persistence(series, rows, horizons) for series, rows in pairs])
    trees = [boosted(inputs, change[:, column], seed) for column in range(len(horizons))]

    def estimate(trial: Trial, days: int) -> Array:
        parted = trial.branches
        recorded: list[Array] = []
        altered: list[Array] = []
        told = (parted.patient.tolist(), parted.row.tolist(), trial.before().numpy(), parted.values.numpy())
        for person, row, before, after in zip(*told, strict=True):
            series = trial.recordings[person]
            first, now = series.times[row - ROWS_A_DAY], np.array([ROWS_A_DAY])
            piece = slice(row - ROWS_A_DAY, row + ROWS)
            part = replace(series, start=first, values=series.values[piece].copy(), mask=series.mask[piece])
            for future, found in ((before, recorded), (after, altered)):
                part.values[ROWS_A_DAY:, 1:] = future[:, 1:]  # the level of the future is not among the features
                found.append(features(part, now, known))
        first, second = np.concatenate(recorded), np.concatenate(altered)
        return np.stack([tree.predict(second) - tree.predict(first) for tree in trees], axis=1)

    return estimate


def twin(candidates: Population) -> Estimator:
    """A digital twin: of many virtual people the one whose physiology, given this patient's recorded doses and meals in open
    loop, best explains how the readings changed over four hours; insulin is scaled so that the basal rates agree.

    It is told the equations that the truth is made of, which no twin of a real patient is.
    """
    who, back = candidates.physiology, steps(240, GLUCOSE.step)

    def live(physiology: Equations, body: Body, doses: Tensor) -> tuple[Tensor, list[Body]]:
        """Doses `[N, T, 3]` of carbohydrate g, rapid and long-acting insulin U, in open loop -> sensed levels `[N, T]`, and the
        body before every `KEEP`th row."""
        levels, bodies, ones = [], [], torch.ones(len(doses))
        for row, (carbs, rapid, slow) in enumerate(doses.permute(1, 2, 0).unbind()):
            if row % KEEP == 0:
                bodies.append(body)
            body = advance(physiology, body, Inputs(carbs, rapid, slow, ones, ones, ones))
            levels.append(body.sensed(physiology))
        return torch.stack(levels, 1), bodies

    def estimate(trial: Trial, days: int) -> Array:
        parted, people, count = trial.branches, len(trial.recordings), len(candidates)
        first, last = (DAYS - days) * ROWS_A_DAY, DAYS * ROWS_A_DAY
        recorded = torch.stack([_doses(torch.from_numpy(series.values)) for series in trial.recordings])
        rates = [series.values[:last, GLUCOSE.index("basal")].mean() for series in trial.recordings]
        basal = torch.from_numpy(np.stack(rates)) + recorded[:, :last, 2].sum(1) / DAYS / 24  # long-acting insulin is basal too
        scale = torch.stack([torch.ones(people, count), *2 * [candidates.basal / basal.clamp(min=0.05).unsqueeze(1)]], -1)
        everyone = torch.arange(count).repeat(people)
        doses = (recorded[:, None, first:last] * scale.unsqueeze(2)).flatten(0, 1)
        levels, _ = live(who[everyone], candidates[everyone].body, doses)
        moved = (levels[:, back:] - levels[:, :-back]).unflatten(0, (people, count))
        measured = torch.from_numpy(np.stack([series.column(GLUCOSE.regulated)[first:last] for series in trial.recordings]))
        best = (moved - (measured[:, back:] - measured[:, :-back]).unsqueeze(1)).pow(2).nanmean(2).argmin(1)

        scale = scale[torch.arange(people), best].unsqueeze(1)
        _, bodies = live(who[best], candidates[best].body, recorded * scale)
        kept = Body(*(torch.stack(parts, 1) for parts in zip(*(vars(body).values() for body in bodies), strict=True)))
        start = Body(*(part[parted.patient, parted.row // KEEP] for part in vars(kept).values()))
        futures = (_doses(trial.before()), _doses(parted.values))
        own = who[best[parted.patient]]
        before, after = (live(own, start, future * scale[parted.patient])[0] for future in futures)
        return (after - before)[:, [steps(60 * hour, GLUCOSE.step) - 1 for hour in HOURS]].numpy().astype(float)

    return estimate


def _doses(values: Tensor) -> Tensor:
    """`[..., T, C]` recorded rows -> `[..., T, 3]` carbohydrate g, rapid insulin U, long-acting insulin U."""
    carbs, basal, bolus, slow = (values[..., GLUCOSE.index(name)] for name in ("carbs", "basal", "bolus", "long_acting"))
    return torch.stack([carbs, bolus + basal * GLUCOSE.step / 60, slow], dim=-1)


def judge(trial: Trial, estimates: Mapping[str, Array], half_widths: Mapping[str, Array] | None = None) -> pd.DataFrame:
    """A row an estimator, kind and hour (and "all" of each): effects; error (RMS missed over RMS true); slope (of predicted on
    true effects, below 1 where they are taken for too weak); sign_right (share of the effects over 10 mg/dL whose sign is right);
    and of estimators that give the half-width of their 90 % intervals, the share covered and the mean width, mg/dL."""
    true, half_widths, table = trial.true(), half_widths or {}, []
    for name, predicted in estimates.items():
        for kind in ("all", *KINDS):
            chosen = np.ones(len(true), bool) if kind == "all" else trial.kind.numpy() == KINDS.index(kind)
            for hour in ("all", *HOURS):
                columns = slice(None) if hour == "all" else [HOURS.index(int(hour))]
                truth, guess = true[chosen][:, columns], predicted[chosen][:, columns]
                large, size = np.abs(truth) > 10, float(np.mean(truth**2))
                row = {"estimator": name, "kind": kind, "hours": hour, "effects": truth.size}
                row["error"] = float(np.sqrt(np.mean((guess - truth) ** 2) / size)) if size else float("nan")
                row["slope"] = float(np.mean(guess * truth) / size) if size else float("nan")
                row["sign_right"] = float(np.mean(truth[large] * guess[large] > 0)) if large.any() else float("nan")
                half = half_widths[name][chosen][:, columns] if name in half_widths else np.full_like(truth, np.nan)
                given = np.isfinite(half).all()
                row["coverage"] = float(np.mean(np.abs(guess - truth) <= half)) if given else float("nan")
                row["width"] = float(2 * half.mean())
                table.append(row)
    return pd.DataFrame(table)
