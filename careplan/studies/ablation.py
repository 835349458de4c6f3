"""What each part of the world model buys: the recipe trained again with one part changed, judged on people held out for choices.

Nobody that a card reports on is read: of the others some are held out here, source by source.
"""

import json
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from careplan.clinic.errors import ClinicError
from careplan.series import PatientSeries, windows
from careplan.studies import effects
from careplan.studies.training import Virtual, describe, read_sources, simulate, split_people
from careplan.therapies.glucose.declaration import GLUCOSE
from careplan.therapy import Therapy
from careplan.world import calibration
from careplan.world.corpus import Branches, Corpus, usual
from careplan.world.model import Shape, WorldModel
from careplan.world.personalise import typical
from careplan.world.question import Given
from careplan.world.training import Recipe, Training, train

HORIZONS = (60, 120)  # minutes reported
GIVEN: tuple[Given, ...] = (Given.NOTHING, Given.RECORD)
AHEAD = 12  # rows from an encoding to the level that the probe tells
STRIDE = 12  # rows between forecasts judged
SHAPE = Shape(interval=30.0).on(GLUCOSE)  # twice the shipped step of the integration: half the cost
# A dose acts within the step of the integration in which it is given (much shorter, midpoint steps are unstable).
AT_ONCE = replace(GLUCOSE, pools=tuple(replace(pool, stages=1, time_constant=SHAPE.interval) for pool in GLUCOSE.pools))

VICREG = 0.02  # at the start as large a gradient at the encoder as SIGReg with the recipe's weight

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Variant:
    """The recipe with one part changed. recipe: other values; fixed: parameters, by how their names begin, that stay as they
    start; people, virtual: whom it is trained on."""

    recipe: Mapping[str, Any] = field(default_factory=dict)
    fixed: tuple[str, ...] = ()
    therapy: Therapy = GLUCOSE
    people: bool = True
    virtual: bool = True


VARIANTS = {
    "full": Variant(),
    "people": Variant(recipe={"virtual": 0.0, "effects": 0.0}, virtual=False),
    "virtual": Variant(people=False),
    "no-compartments": Variant(therapy=AT_ONCE, fixed=("model.dynamics.absorption",)),
    "no-code": Variant(fixed=("codes", "virtual", "model.habits")),
    "no-jepa": Variant(recipe={"latent": 0.0, "anticollapse": 0.0}),
    "no-latent": Variant(recipe={"latent": 0.0}),
    "no-anticollapse": Variant(recipe={"anticollapse": 0.0}),
    "vicreg": Variant(recipe={"vicreg": True, "anticollapse": VICREG}),
    # The residual block that moves the context starts as the identity: kept so, the context stands still.
    "still-context": Variant(fixed=("model.dynamics.planned.drift", "model.dynamics.foreseen.drift")),
}


@dataclass(frozen=True)
class Cohort:
    """What all variants share: people trained on and judged, by source, virtual patients, and a trial of others."""

    sources: tuple[tuple[str, str], ...]
    virtual: Virtual
    seed: int = Recipe.seed  # of the split: a card's with the same seed reports on the people left out here

    @cached_property
    def people(self) -> tuple[list[PatientSeries], dict[str, list[PatientSeries]]]:
        """Those trained on, and those judged by source."""
        recordings = read_sources(self.sources)
        outer = split_people({source: list(found) for source, found in recordings.items()}, self.seed)
        inner = split_people(
            {source: [name for name in found if name in outer.train] for source, found in recordings.items()}, self.seed
        )
        held = {*outer.calibration, *inner.calibration, *inner.test}
        everyone = {name: series for found in recordings.values() for name, series in found.items()}
        judged = {source: [found[name] for name in sorted(held & set(found))] for source, found in recordings.items()}
        return [everyone[name] for name in inner.train], judged

    @cached_property
    def simulated(self) -> tuple[list[PatientSeries], Branches]:
        return simulate(self.virtual, offset=0)

    @cached_property
    def trial(self) -> effects.Trial:
        return effects.make_trial(effects.cohort(4, self.virtual.seed + 40), self.virtual.seed + 40)

    def training(self, variant: Variant, recipe: Recipe) -> tuple[Training, Corpus]:
        """The variant, before its first step."""
        real = self.people[0] if variant.people else []
        virtual, branches = self.simulated if variant.virtual else ([], self.simulated[1])
        corpus = Corpus.of([*real, *virtual])
        rows = 2 * recipe.horizon  # as in the recipe, branched futures go twice as far as windows
        futures = {name: getattr(branches, name)[:, :rows] for name in ("values", "recorded", "altered")}
        branches = replace(branches, patient=branches.patient + len(real), **futures)
        changed = replace(recipe, **variant.recipe)
        training = Training(variant.therapy, changed, corpus, branches, real=len(real), shape=SHAPE)
        for name, parameter in training.named_parameters():
            parameter.requires_grad_(not name.startswith(variant.fixed))
        return training, corpus


def evaluate_ablation(
    cohort: Cohort,
    out: Path,
    *,
    variants: Sequence[str],
    seeds: Sequence[int],
    recipe: Recipe,
    say: Callable[[str], None] = print,
) -> list[dict[str, Any]]:
    """Every variant with every seed, one file each in `out`; what is there already is not run again. All that `out` holds. Raises
    `ClinicError` where a variant is unknown, or `out` holds results of other settings or data.
    """
    if unknown := set(variants) - set(VARIANTS):
        raise ClinicError(f"no variant {', '.join(sorted(unknown))}: there are {', '.join(VARIANTS)}")
    out.mkdir(parents=True, exist_ok=True)
    asked = {"formats": [name for name, _ in cohort.sources], "split": cohort.seed, "cohort": asdict(cohort.virtual)}
    asked |= {name: value for name, value in asdict(recipe).items() if name != "seed"}
    asked = json.loads(json.dumps(asked))  # as it is read again
    found = [json.loads(path.read_text()) for path in sorted(out.glob("*.json"))]
    if any(one["asked"] != asked for one in found):
        raise ClinicError(f"{out} holds results of other settings or data: name another folder")
    for seed in seeds:
        for name in variants:
            if any((one["variant"], one["seed"]) == (name, seed) for one in found):
                say(f"{name}, seed {seed}: done before")
                continue
            say(f"{name}, seed {seed}")
            began = time.process_time()
            training, corpus = cohort.training(VARIANTS[name], replace(recipe, seed=seed))
            with tempfile.TemporaryDirectory() as folder:
                model = train(training, Path(folder), say=say)
            describe(model, training, corpus)
            found.append({"variant": name, "seed": seed, **judge(model, cohort), "asked": asked})
            found[-1]["minutes"] = round((time.process_time() - began) / 60, 2)
            (out / f"{name}-{seed}.json").write_text(json.dumps(found[-1], indent=1) + "\n")
    return sorted(found, key=lambda one: (list(VARIANTS).index(one["variant"]), one["seed"]))


def judge(model: WorldModel, cohort: Cohort) -> dict[str, Any]:
    """What a model is worth to people it never saw.

    rmse: mg/dL at `HORIZONS`, mean over people, by source, by whether they are strangers or known from the first three fifths
    of their recording (the rest is judged), and by what is given. effect_error: in virtual patients, by days known; sign_right:
    after 14. rank, varies: `spread` of encodings; probe: what a ridge regression on them, fitted to those trained on, misses of
    the level in an hour.
    """
    train_on, held = cohort.people
    errors: dict[str, Any] = {}
    probe = Ridge(alpha=10.0).fit(*_joined(encodings(model, series, usual(series)) for series in train_on))
    encoded, missed = [], []
    for source, people in held.items():
        rows: dict[str, list[Array]] = {}
        for series, person in calibration.personal(model, people):
            stranger = typical(model, series.patient, person.usual)
            for known, who in (("stranger", stranger), ("personal", person)):
                for given in GIVEN:
                    residual, _ = calibration.residuals(model, series, who, given=given, stride=STRIDE)
                    error = residual.pow(2).nanmean(0).sqrt()[[minutes // 30 - 1 for minutes in HORIZONS]]
                    rows.setdefault(f"{known}, {given}", []).append(error.numpy())
            z, level = encodings(model, series, person.usual)
            encoded.append(z)
            missed.append(math.sqrt(float(np.mean((probe.predict(z) - level) ** 2))))
        errors[source] = {name: [round(float(error), 2) for error in np.mean(parts, axis=0)] for name, parts in rows.items()}
    estimate = effects.Predicting(model)
    table = effects.judge(cohort.trial, {str(days): estimate(cohort.trial, days) for days in (0, effects.DAYS)})
    whole = table[(table["kind"] == "all") & (table["hours"] == "all")].set_index("estimator")
    rank, varies = spread(np.concatenate(encoded))
    return {
        "rmse": errors,
        "effect_error": {days: round(float(whole["error"][days]), 4) for days in whole.index},
        "sign_right": round(float(whole["sign_right"][str(effects.DAYS)]), 4),
        "rank": round(rank, 1),
        "varies": round(varies, 3),
        "probe": round(float(np.mean(missed)), 2),
    }


def flat(found: Mapping[str, Any]) -> dict[str, str]:
    """One run as a row of a table, by column."""
    errors = {
        f"{source}: {name}": " / ".join(f"{error:.1f}" for error in errors)
        for source, kinds in found["rmse"].items()
        for name, errors in kinds.items()
    }
    effect, right = found["effect_error"][str(effects.DAYS)], found["sign_right"]
    figures = {"effects": f"{effect:.3f}", "sign right": f"{right:.1%}", "rank": f"{found['rank']:.1f}"}
    figures |= {"varies": f"{found['varies']:.2f}", "probe": f"{found['probe']:.1f}"}
    return {"variant": found["variant"], "seed": str(found["seed"]), **errors, **figures}


@torch.no_grad()
def encodings(model: WorldModel, series: PatientSeries, mean: torch.Tensor) -> tuple[Array, Array]:
    """Encodings `[N, L]` every three hours, where the level an hour later is measured, and that level `[N]`."""
    column, context = series.therapy.index(series.therapy.regulated), model.shape.context
    rows = np.asarray(calibration.measured_rows(series, context=context, horizon=AHEAD, stride=3 * AHEAD))
    rows = rows[series.mask[rows - 1 + AHEAD, column]]
    z = model.encode(windows(series, rows.tolist(), context), mean.expand(len(rows), -1))[:, -1]
    return z.double().numpy(), series.values[rows - 1 + AHEAD, column].astype(float)


def spread(z: Array) -> tuple[float, float]:
    """Of encodings `[N, L]`, normalised each: the effective rank (Roy & Vetterli 2007), the exponential of the entropy of the
    covariance's eigenvalues, and the share of their mean square that is not the same in all. A collapsed encoder has 0 of it."""
    values = np.linalg.eigvalsh(np.cov(z.T)).clip(0)
    share = values / values.sum()
    return float(np.exp(-np.sum(share * np.log(share.clip(1e-12))))), float(z.var(0).sum() / np.mean(np.sum(z**2, 1)))


def _joined(parts: Iterator[tuple[Array, Array]]) -> tuple[Array, Array]:
    z, level = zip(*parts, strict=True)
    return np.concatenate(z), np.concatenate(level)
