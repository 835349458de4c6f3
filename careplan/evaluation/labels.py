"""What logged doses are worth: error against the share of the days whose doses are known, with and without pretraining.

The people trained on are taken one by one, source by source, until the share of their logged days is reached (of the last one the
first days). A model trained from scratch sees these days alone. The others spend the first half of the same number of steps on
everybody's levels without doses, forecasting plainly or with latent actions that enter as evidence or as doses; in the second
half every other window is of the days with doses.
"""

import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file

from careplan.evaluation.forecasts import Rows, forecast_rows, rms, steps, truths
from careplan.minutes import DAY
from careplan.series import PatientSeries
from careplan.world.calibration import typical_of
from careplan.world.corpus import Branches, Corpus
from careplan.world.forecast import predict
from careplan.world.latent_actions import DoseTraining, LatentTraining, carry_over, without_doses
from careplan.world.model import WorldModel
from careplan.world.question import Given
from careplan.world.training import Recipe, Training, train

HORIZONS = (60, 120)
ARMS = ("scratch", "plain", "latent", "doses")
# What is compared is foresight on recordings: no virtual patients, no effects, no questions about plans.
AFTER = 2 / 3  # of the rate, once pretrained
RECIPE = Recipe(steps=400, batch=64, horizon=24, asked=(0.5, 0.5), virtual=0.0, effects=0.0, unlogged=0.0, seed=0)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One model: how it was trained, on which share of the logged days; the seed decides whose, and the weights from scratch.
    Pretraining is done once for all shares and seeds."""

    arm: str
    share: float
    seed: int

    @property
    def name(self) -> str:
        return f"{self.arm}-{100 * self.share:g}-{self.seed}"


def logged(series: PatientSeries) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """`[T]` rows at which a dose is known, and the level within the hour before."""
    doses = [index for index, channel in enumerate(series.therapy.channels) if channel.role == "action"]
    level = pd.Series(series.mask[:, series.therapy.index(series.therapy.regulated)].astype(float))
    recent = level.rolling(steps(60, series.therapy.step), min_periods=1).max().to_numpy() > 0
    return np.asarray(series.mask[:, doses].any(1) & recent)


def labelled(sources: Mapping[str, Sequence[PatientSeries]], share: float, seed: int) -> list[PatientSeries]:
    """The people whose doses are known, the last of each source until its share of the logged days is reached."""
    found = []
    for source in sorted(sources):
        people = [series for series in sources[source] if logged(series).any()]
        wanted = share * sum(logged(series).sum() for series in people)
        for index in np.random.default_rng([seed, len(people)]).permutation(len(people)):
            series, known = people[index], np.cumsum(logged(people[index]))
            if wanted < 1:
                break
            rows = int(np.searchsorted(known, min(wanted, known[-1]))) + 1
            rows = len(series) if wanted >= known[-1] else rows
            found.append(series.until(rows))
            wanted -= known[-1]
    return found


def days(people: Sequence[PatientSeries]) -> float:
    """Days of recordings with logged doses."""
    return float(sum(logged(series).sum() * series.therapy.step for series in people) / DAY)


def rows_of(series: PatientSeries, stride: int) -> Rows:
    """Rows to forecast from, doses being known at every row up to the last horizon."""
    rows, ahead = forecast_rows(series, HORIZONS, stride=stride), steps(HORIZONS[-1], series.therapy.step)
    known = np.concatenate([[0], np.cumsum(logged(series))])
    return rows[known[rows + ahead] - known[rows] == ahead] if len(rows) else rows


def judge(model: WorldModel, people: Sequence[PatientSeries], *, stride: int) -> list[dict[str, Any]]:
    """Errors of the typical patient's forecasts, by person, what is given, and minutes ahead."""
    table = []
    for series in people:
        rows = rows_of(series, stride)
        if not len(rows):
            continue
        truth = truths(series, rows, HORIZONS)
        given: Given
        for given in (Given.NOTHING, Given.RECORD):
            ahead = steps(HORIZONS[-1], series.therapy.step)
            minutes, levels, _ = predict(model, series, rows.tolist(), typical_of(model, series), given=given, horizon=ahead)
            for column, horizon in enumerate(HORIZONS):
                at = int(np.flatnonzero(minutes.numpy() == horizon)[0])
                error = rms(levels[:, at].numpy() - truth[:, column])
                table.append({"person": series.patient, "given": given, "horizon": horizon, "n": len(rows), "rmse": error})
    return table


def label_curve(
    train_on: Mapping[str, Sequence[PatientSeries]],
    judged: Sequence[PatientSeries],
    runs: Sequence[Run],
    folder: Path,
    *,
    recipe: Recipe = RECIPE,
    stride: int = 6,
    say: Callable[[str], None] = print,
) -> pd.DataFrame:
    """Errors of each run: columns arm, share, seed, days (with doses), person, given, horizon, n, rmse, seconds (of the
    processor). Runs and pretraining are kept in `folder`: what is there is not done again.

    Raises `ValueError` where a run there had another recipe.
    """
    folder.mkdir(parents=True, exist_ok=True)
    everyone = [without_doses(series) for people in train_on.values() for series in people]
    tables = []
    for count, run in enumerate(runs, 1):
        path, asked = folder / f"{run.name}.json", {**asdict(run), "recipe": asdict(recipe)}
        if path.exists():
            found = json.loads(path.read_text())
            if found["asked"] != json.loads(json.dumps(asked)):
                raise ValueError(f"{path}: another recipe or run; give another folder")
        else:
            began, known = time.process_time(), labelled(train_on, run.share, run.seed)
            model = trained(run, known, everyone, folder, recipe, partial(_prefixed, say, run.name))
            errors = judge(model, judged, stride=stride)
            found = {"asked": asked, "days": round(days(known), 1), "people": [series.patient for series in known]}
            found |= {"errors": errors, "seconds": round(time.process_time() - began, 1)}
            path.write_text(json.dumps(found, indent=1) + "\n")
        own = pd.DataFrame(found["errors"])
        tables.append(own.assign(**asdict(run), days=found["days"], seconds=found["seconds"]))
        known_doses = own[own["given"] == Given.RECORD].groupby("horizon")["rmse"].mean()
        errors_known = " / ".join(f"{known_doses[horizon]:.1f}" for horizon in HORIZONS)
        say(f"{count} of {len(runs)}  {run.name}  {found['days']:.0f} days  {errors_known} told the doses")
    return pd.concat(tables, ignore_index=True)


def _prefixed(say: Callable[[str], None], name: str, text: str) -> None:
    say(f"{name}: {text}")


def trained(
    run: Run,
    known: Sequence[PatientSeries],
    everyone: Sequence[PatientSeries],
    folder: Path,
    recipe: Recipe,
    say: Callable[[str], None],
) -> WorldModel:
    """A model of one run; what was pretrained is kept in `folder`, for every share of the labels."""
    if run.arm == "scratch":
        return fit(begin(run.arm, replace(recipe, seed=run.seed), known), say)
    half = replace(recipe, steps=recipe.steps // 2)
    before = begin(run.arm, half, everyone)
    kept = folder / f"{run.arm}.pretrained.safetensors"
    if kept.exists():
        before.load_state_dict(load_file(kept))
    else:
        fit(before, lambda text: say(f"pretraining, {text}"))
        save_file({name: part.contiguous() for name, part in before.state_dict().items()}, kept)
    rest = replace(half, steps=recipe.steps - half.steps, rate=recipe.rate * AFTER, seed=run.seed)
    after = begin(run.arm, rest, known, everyone)
    carry_over(before, after)
    return fit(after, say)


def begin(arm: str, recipe: Recipe, people: Sequence[PatientSeries], beside: Sequence[PatientSeries] = ()) -> Training:
    """Training on recordings of people alone; where there are others `beside`, half of the windows are theirs."""
    none = torch.zeros(0, dtype=torch.long)
    nothing = Branches(none, none, torch.zeros(0), torch.zeros(0), torch.zeros(0))
    kind = {"latent": LatentTraining, "doses": DoseTraining}.get(arm, Training)
    training = kind(people[0].therapy, recipe, Corpus.of([*people, *beside]), nothing, real=len(people) + len(beside))
    if beside:
        first, others = training.weights.split([len(people), len(beside)])
        training.weights = torch.cat([first / first.sum(), others / others.sum()])
    return training


def fit(training: Training, say: Callable[[str], None]) -> WorldModel:
    """Run to the end of the recipe; nothing of it is kept but the weights returned."""
    with tempfile.TemporaryDirectory() as folder:
        return train(training, Path(folder), say=say)


def worth(curve: pd.DataFrame, arm: str, share: float) -> pd.DataFrame:
    """How many times its labels training from scratch needs for the error of `arm` at `share`: by what is given, minutes ahead,
    and statistic (mean or median over people, of the seeds' mean), linear in the logarithm of the share.

    Infinite where not even all of them suffice. A median, because one person can decide a mean of few.
    """
    people = curve.groupby(["given", "horizon", "arm", "share", "person"])["rmse"].mean()
    rows = []
    for statistic in ("mean", "median"):
        shown = people.groupby(["given", "horizon", "arm", "share"]).agg(statistic)
        for given, horizon in product((Given.NOTHING, Given.RECORD), HORIZONS):
            scratch, reached = shown[given, horizon, "scratch"].sort_index(), float(shown[given, horizon, arm, share])
            best = np.minimum.accumulate(scratch.to_numpy())  # more labels are never worse: some may be left out
            needed = float(np.exp(np.interp(-reached, -best, np.log(scratch.index.to_numpy()))))
            multiple = float("inf") if reached < best[-1] else needed / share
            found = {"arm": arm, "share": share, "given": given, "horizon": horizon, "statistic": statistic}
            rows.append(found | {"rmse": reached, "multiple": multiple})
    return pd.DataFrame(rows)
