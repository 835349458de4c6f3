"""Training the world model on virtual patients and on recordings: data in, weights and their card out."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from careplan.clinic.errors import ClinicError
from careplan.evaluation.intervals import happens, risk_rows
from careplan.records import READERS, to_series
from careplan.series import PatientSeries
from careplan.studies import effects
from careplan.therapies.glucose.declaration import GLUCOSE, ROWS_A_DAY
from careplan.world import calibration
from careplan.world.corpus import Branches, Corpus
from careplan.world.forecast import predict
from careplan.world.loaded import code_version, nearness
from careplan.world.model import WorldModel, load_card, load_model
from careplan.world.personalise import Personalisation
from careplan.world.population import among_bodies
from careplan.world.question import Given
from careplan.world.structure import with_structure
from careplan.world.training import Recipe, Training, train
from careplan.world.trust import conformal_factor
from cohorts.families import Family
from cohorts.policies import Behaviour
from cohorts.replay import KEEP, Change, Replay, branch, replay

HELD_OUT = 0.3  # share of the people of each source that training never sees: half to calibrate on, half to report
HORIZONS = (30, 60, 120, 240)  # minutes reported
EFFECT_ROWS = 96  # branched futures last eight hours


@dataclass(frozen=True, kw_only=True)
class Virtual:
    """The virtual cohort trained on: people a group of each family of bodies, days, branched futures a person."""

    families: tuple[Family, ...] = ("padova",)
    people: int = 160
    days: int = 14
    branches: int = 40
    seed: int = 7


@dataclass(frozen=True, kw_only=True)
class Split:
    """People by name: trained on, calibrated on, reported."""

    train: tuple[str, ...]
    calibration: tuple[str, ...]
    test: tuple[str, ...]


def split_people(sources: Mapping[str, Sequence[str]], seed: int) -> Split:
    """By person, source by source, in an order that the seed decides; a source of one person is trained on."""
    train_on: list[str] = []
    calibrate_on: list[str] = []
    test_on: list[str] = []
    for source in sorted(sources):
        names = sorted(sources[source])
        order = np.random.default_rng([seed, len(names)]).permutation(len(names))
        held = max(2, round(HELD_OUT * len(names))) if len(names) > 3 else 0
        for place, index in enumerate(order):
            part = test_on if place < (held + 1) // 2 else calibrate_on if place < held else train_on
            part.append(names[index])
    return Split(train=tuple(train_on), calibration=tuple(calibrate_on), test=tuple(test_on))


def branches(lived: Replay, each: int, seed: int, *, offset: int = 0, exactly: bool = False) -> Branches:
    """`each` branched futures a person: boluses from none to double, basal and meals by half either way, an added bolus.

    exactly: half of them say of announced meals what was eaten and not what was counted, as a plan's own meals are.
    """
    generator = torch.Generator().manual_seed(seed)
    count, rows = len(lived.people), lived.glucose.shape[1]
    person = torch.arange(count).repeat_interleave(each)

    def uniform(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(len(person), generator=generator)

    kind = torch.randint(4, (len(person),), generator=generator)  # boluses, basal, meals, boluses and basal
    last = (rows - EFFECT_ROWS) // KEEP
    row = KEEP * (ROWS_BEFORE // KEEP + (torch.rand(len(person), generator=generator) * (last - ROWS_BEFORE // KEEP)).long())
    one, doses, rates = torch.ones(len(person)), (kind == 0) | (kind == 3), (kind == 1) | (kind == 3)
    added = uniform(0, 0.15) * lived.people.basal[person] * 24 * (uniform(0, 1) < 0.5)
    change = Change(
        basal=torch.where(rates, uniform(0.5, 1.5), one),
        bolus=torch.where(doses, uniform(0.0, 2.0), one),
        meals=torch.where(kind == 2, uniform(0.5, 1.5), one),
        extra=torch.where(doses, added, 0 * one),
    )
    recorded, _ = branch(lived, person, row, EFFECT_ROWS, Change.none(len(person)))
    altered, values = branch(lived, person, row, EFFECT_ROWS, change)
    if not exactly:
        return Branches(person + offset, row, values, recorded, altered)
    at = (person.unsqueeze(1), row.unsqueeze(1) + torch.arange(EFFECT_ROWS))
    told, even = lived.announced[at], (torch.arange(len(person)) % 2 == 0).unsqueeze(1)
    told = torch.where(even & (told > 0), lived.eaten[at], told)
    before = torch.stack([torch.from_numpy(lived.series(index).values) for index in range(count)])[at]
    for future, factor in ((before, one), (values, change.meals)):
        future[..., GLUCOSE.index("carbs")] = told * factor.unsqueeze(1)
    return Branches(person + offset, row, values, recorded, altered, before)


ROWS_BEFORE = ROWS_A_DAY  # of context before futures part


def simulate(virtual: Virtual, *, offset: int, exactly: bool = False) -> tuple[list[PatientSeries], Branches]:
    """The virtual cohort's recordings and branched futures, family by family, as patients of a corpus from `offset` on."""
    recordings: list[PatientSeries] = []
    parts = []
    for family in virtual.families:
        people = effects.cohort(virtual.people, virtual.seed, family)
        lived = replay(people, Behaviour(explore=0.35), days=virtual.days, seed=virtual.seed)
        parts.append(branches(lived, virtual.branches, virtual.seed, offset=offset + len(recordings), exactly=exactly))
        recordings += [lived.series(index) for index in range(len(people))]
    return recordings, Branches.joined(parts)


def broadened(recipe: Recipe) -> Recipe:
    """How what is learned from one family of bodies is carried over to several: fewer steps, encodings as they are, people's
    codes free to move as far as bodies differ, and plans asked over eight hours, so that drift is learned as far as effects."""
    return replace(
        recipe,
        steps=max(recipe.steps // 2, 1),
        batch=96,
        branches=192,
        plans=48,
        virtual=0.5,
        anonymous=0.35,
        rate=1.5e-3,
        own=20.0,
        encoder=False,
        latent=0.0,
        anticollapse=0.0,
    )


def read_sources(sources: Sequence[tuple[str, str]]) -> dict[str, dict[str, PatientSeries]]:
    """Recordings by source and person, from `(format, path)` pairs."""
    found: dict[str, dict[str, PatientSeries]] = {}
    for name, path in sources:
        people = found.setdefault(name, {})
        for record in READERS[name](path):
            series = to_series(record, GLUCOSE)
            if series.mask[:, GLUCOSE.index(GLUCOSE.regulated)].sum() > 2 * ROWS_BEFORE:
                people[series.patient] = series
    return found


def train_world(
    sources: Sequence[tuple[str, str]],
    folder: Path,
    *,
    recipe: Recipe,
    virtual: Virtual,
    begin: Path | None = None,
    resume: bool = False,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Simulate, read, train, calibrate, report; writes `glucose.safetensors` and its card to `folder` and returns the card.

    With several families of bodies it trains on the first, and then on people of all of them, whose structure is their own
    (`broadened`). begin: a folder of weights to take for what the first gives.
    """
    began = time.monotonic()
    recordings = read_sources(sources)
    split = split_people({source: list(people) for source, people in recordings.items()}, recipe.seed)
    everyone = {name: series for people in recordings.values() for name, series in people.items()}
    real = [everyone[name] for name in split.train]
    say(f"{len(real)} people to train on, {len(split.calibration)} to calibrate on, {len(split.test)} to report on")
    first = load_model(GLUCOSE, begin) if begin is not None else None
    if first is None:
        alone = replace(virtual, families=virtual.families[:1])
        first = _trained(real, alone, recipe, folder / "run", begin=None, resume=resume, say=say)
    model, stages = first, {"recipe": asdict(recipe), "first": first.fingerprint()}
    if len(virtual.families) > 1:
        wide = broadened(recipe)
        several = replace(virtual, people=max(virtual.people // 4, 1), days=min(virtual.days, 10))
        model = _trained(real, several, wide, folder / "bodies", begin=with_structure(first), resume=resume, say=say)
        stages["bodies"] = asdict(wide)
    say("calibrating")
    held = [everyone[name] for name in split.calibration]
    unseen = effects.make_trial(effects.cohort(8, virtual.seed + 1), virtual.seed + 1)
    card = {
        "code": code_version(),
        "torch": torch.__version__,
        **stages,
        "virtual": asdict(virtual),
        "split": asdict(split),
        "sources": [name for name, _ in sources],
        **_calibrated(model, held or unseen.recordings),
        "report": {
            "people": {name: _errors(model, everyone[name]) for name in split.test},
            "virtual": _effects(model, unseen),
        },
        "minutes": round((time.monotonic() - began) / 60, 1),
        "limits": "Research use. Trained on adults with type 1 diabetes and on virtual patients; not a medical device.",
    }
    model.save(folder, card)
    say(json.dumps(card["report"], indent=1))
    return card


def _trained(
    real: Sequence[PatientSeries],
    virtual: Virtual,
    recipe: Recipe,
    folder: Path,
    *,
    begin: WorldModel | None,
    resume: bool,
    say: Callable[[str], None],
) -> WorldModel:
    """A model trained on people's recordings and a virtual cohort, from random weights or from those of `begin`."""
    simulated, parted = simulate(virtual, offset=len(real), exactly=begin is not None)
    days, kinds = virtual.days, ", ".join(virtual.families)
    say(f"{len(simulated)} virtual patients of {kinds}, {days} days each, {len(parted)} branched futures")
    corpus = Corpus.of([*real, *simulated])
    training = Training(GLUCOSE, recipe, corpus, parted, real=len(real), begin=begin)
    model = train(training, folder, resume=resume, say=say)
    describe(model, training, corpus)
    return model


@torch.no_grad()
def describe(model: WorldModel, training: Training, corpus: Corpus) -> None:
    """What is usual across the training patients: the prior over codes, and where encodings lie."""
    codes = training.deviation(torch.arange(len(corpus)))  # the typical patient is the one whose deviation was withheld
    between = codes.T @ codes / len(codes) + 1e-3 * torch.eye(codes.shape[1])
    # One family of equations does not show how far bodies differ; several do, and the structure is the person's own then.
    model.code_covariance.copy_(between if model.layout.own_structure else among_bodies(model.layout, between))
    generator = torch.Generator().manual_seed(0)
    real, count = training.real, len(corpus)
    people = torch.randint(max(real, 1), (1024,), generator=generator)
    virtual = torch.randint(min(real, count - 1), count, (1024,), generator=generator)
    patients = torch.cat([people, virtual])
    rows = corpus.draw(patients, 4, column=training.column, context=model.shape.context, horizon=48, generator=generator)
    window = corpus.windows(patients, rows - model.shape.context, model.shape.context)
    z = model.encode(window, corpus.usual[patients])[:, -1]
    model.z_mean.copy_(z.mean(0))
    model.z_covariance.copy_(torch.cov(z.T) + 1e-3 * torch.eye(z.shape[1]))


def calibrate_world(sources: Sequence[tuple[str, str]], folder: Path) -> dict[str, Any]:
    """Calibrate a trained model again, on the people of its card, and write what comes to the card; the weights stay. Raises
    `ClinicError` where recordings that the model was trained with are missing.
    """
    model, card = load_model(GLUCOSE, folder), load_card(GLUCOSE, folder)
    everyone = {name: series for people in read_sources(sources).values() for name, series in people.items()}
    names = card["split"]["calibration"]
    missing = [name for name in names if name not in everyone]
    if missing or not names:
        raise ClinicError(f"calibration needs the recordings that the model was trained with: {missing} are not among these")
    card |= _calibrated(model, [everyone[name] for name in names])
    model.save(folder, card)
    return card


def _calibrated(model: WorldModel, held: Sequence[PatientSeries]) -> dict[str, Any]:
    """What people held out tell of intervals and hazards: of the last stretch of each, personalised on what came before."""
    judged = calibration.personal(model, held)
    conformal = {
        given: conformal_factor(torch.cat([calibration.residuals(model, *one, given=given)[1] for one in judged])).tolist()
        for given in Given
    }
    return {
        "conformal": conformal,
        "hazard": {hazard: _hazard(model, judged, hazard) for hazard in (one.name for one in GLUCOSE.hazards)},
    }


def _hazard(model: WorldModel, judged: Sequence[tuple[PatientSeries, Personalisation]], hazard: str) -> dict[str, float]:
    """What `nearness` to the hazard's level means on people held out, in log odds (Platt scaling)."""
    scores, truth = [], []
    for series, person in judged:
        rows = risk_rows(series, hazard)
        if len(rows):
            foreseen = predict(model, series, rows.tolist(), person, given=Given.NOTHING)
            scores.append(nearness(model, *foreseen, hazard))
            truth.append(happens(series, rows, hazard))
    fitted = LogisticRegression().fit(np.concatenate(scores)[:, None], np.concatenate(truth))
    return {"intercept": float(fitted.intercept_[0]), "slope": float(fitted.coef_[0, 0])}


def _errors(model: WorldModel, series: PatientSeries) -> dict[str, dict[str, float]]:
    """Root mean squared error of a person never seen, by what is given of the future and by minutes ahead."""
    person = calibration.typical_of(model, series)
    table: dict[str, dict[str, float]] = {}
    for given in Given:
        residual, _ = calibration.residuals(model, series, person, given=given)
        error = residual.pow(2).nanmean(0).sqrt()
        table[given] = {str(minutes): round(float(error[minutes // 30 - 1]), 2) for minutes in HORIZONS}
    return table


def _effects(model: WorldModel, trial: effects.Trial) -> dict[str, float]:
    """Treatment effects in virtual patients never trained on, by days of each that are known."""
    estimate = effects.Predicting(model)
    table = effects.judge(trial, {str(days): estimate(trial, days) for days in (0, 1, effects.DAYS)})
    whole = table[(table["kind"] == "all") & (table["hours"] == "all")].set_index("estimator")
    errors = {f"effect_error_{days}d": round(error, 4) for days, error in whole["error"].to_dict().items()}
    return errors | {"sign_right": round(whole["sign_right"].to_dict()[str(effects.DAYS)], 4)}
