"""Dose suggestions: search the next hours of one patient or many at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from careplan.breach import Breach
from careplan.errors import AskError
from careplan.language import N_
from careplan.minutes import DAY
from careplan.planning.actions import carried, remaining
from careplan.planning.choice import OPTIONS
from careplan.planning.explain import Compared, explain, interval, path_of
from careplan.planning.planner import DosePlans
from careplan.planning.safety import DoseContext
from careplan.recording import Recording, abstaining, question, row_at
from careplan.series import PatientSeries, Window, windows
from careplan.stages import stage
from careplan.suggestion import Option, Suggestion, Why
from careplan.targets import Targets
from careplan.therapies.glucose.aims import limits_for, same_aims, therapy_for
from careplan.therapies.glucose.decisions import exposure
from careplan.therapies.glucose.declaration import CLOCK, GLUCOSE, RAPID, RECENT, Regimen, limits_of
from careplan.therapies.glucose.dose_lines import dose_lines, doses_in_words
from careplan.therapies.glucose.dose_search import (
    INCREMENT,
    PARTICLES,
    Ahead,
    Constraints,
    Patients,
    search_doses,
)
from careplan.therapies.glucose.evidence import similar_moments
from careplan.therapies.glucose.experiments import expected_statistics
from careplan.therapies.glucose.outcomes import risk_by_outcome, time_by_outcome
from careplan.therapies.glucose.rule_words import reasons_in_words
from careplan.therapy import Limits
from careplan.what_if import apply, parse
from careplan.world.loaded import World, reasons_to_abstain
from careplan.world.personalise import Personalisation
from careplan.world.question import Given

# Minutes: how long a dose may still act; since the last logged dose, in which silence means that none was given; how old a
# reading may be to be known at all (the guard asks for a fresher one).
ON_BOARD, SILENT, READ = 6 * 60, DAY, 3 * 60


@dataclass(frozen=True, kw_only=True, eq=False)
class _Asked:
    """What is asked of all of them: from when, with which meals and activity announced, for which targets, by which search."""

    at: pd.Timestamp | None
    announced: Sequence[str]
    targets: Targets
    seed: int
    simulations: int | None


@dataclass(frozen=True, eq=False)
class _Case:
    """One patient at the moment of planning: the row from which is planned, the limits on doses, the hours ahead as prescribed
    and announced (`_future`), and why nothing is suggested."""

    recording: Recording
    person: Personalisation
    row: int
    limits: Limits
    future: tuple[np.ndarray, np.ndarray]
    reasons: tuple[str, ...]

    @property
    def series(self) -> PatientSeries:
        return self.recording.series


def doses_of(
    world: World,
    recordings: Sequence[Recording],
    people: Sequence[Personalisation],
    *,
    at: pd.Timestamp | None = None,
    announced: Sequence[str] = (),
    seed: int = 0,
    limits: Mapping[str, Limits] | None = None,
    simulations: int | None = None,
) -> list[Suggestion]:
    """The doses of the next hours for each patient from `at` on (default: after the last reading), searched in one batch for
    those whose targets are alike.

    announced: meals and activity to come, such as "carbs 60 at 12:30". limits: by patient's name; `limits_of` where absent.
    simulations: as `plan_doses`.
    """
    made: dict[int, Suggestion] = {}
    for targets, places in same_aims(recordings):
        asked = _Asked(at=at, announced=announced, targets=targets, seed=seed, simulations=simulations)
        cases = [_case(world, recordings[place], people[place], asked, limits or {}) for place in places]
        made |= dict(zip(places, _suggested(world, cases, asked), strict=True))
    return [replace(made[place], targets=recording.targets) for place, recording in enumerate(recordings)]


def _case(world: World, recording: Recording, person: Personalisation, asked: _Asked, limits: Mapping[str, Limits]) -> _Case:
    series = recording.series
    row = _last_row(series) if asked.at is None else row_at(series, asked.at)
    bounds = limits_for(limits.get(recording.patient) or limits_of(recording.facts), asked.targets)
    future = _future(series, row, recording.regimen, asked.announced)
    reasons = reasons_to_abstain(world, series, person, row=row, changes=expected_statistics(series, recording.changes))
    return _Case(recording, person, row, bounds, future, reasons)


def _suggested(world: World, cases: Sequence[_Case], asked: _Asked) -> list[Suggestion]:
    """`doses_of` for people with the same targets."""
    with stage("search"):
        plans = _plans(world, cases, asked)
    made = []
    with stage("explain"):
        for index, case in enumerate(cases):
            recording = case.recording
            said = question("doses", recording.prescribed, at=asked.at, announced=asked.announced, simulations=asked.simulations)
            moment = (case.series.start + pd.Timedelta(minutes=GLUCOSE.step * case.row)).to_pydatetime()
            provenance = world.provenance(asked.seed, recording.data, asked=said)
            reasons = (*case.reasons, *reasons_in_words(plans.reasons[index], plans.refused[index]))
            silent = abstaining(case.series, "doses", provenance, reasons, at=moment)
            made.append(_filled(silent, world, plans, index, case, asked))
    return made


def _plans(world: World, cases: Sequence[_Case], asked: _Asked) -> DosePlans:
    """Gather what is recorded and prescribed, and search."""
    context, people = world.model.shape.context, [case.person for case in cases]
    regimens = [case.recording.regimen for case in cases]
    planned = [case.future for case in cases]
    patients = Patients(
        past=_stack([windows(case.series, [case.row], context) for case in cases]),
        usual=torch.stack([person.usual for person in people]),
        code=torch.stack([person.particles(PARTICLES, asked.seed) for person in people]),
        interval_factor=torch.stack([world.interval_factors(person)[Given.PLAN].max() for person in people]),
    )
    ahead = Ahead(
        values=torch.stack([torch.from_numpy(part) for part, _ in planned]),
        mask=torch.stack([torch.from_numpy(part) for _, part in planned]),
        increment=torch.tensor([INCREMENT[regimen.delivery if regimen else "pen"] for regimen in regimens]),
        adjustable=torch.tensor([bool(regimen and regimen.delivery == "pump") for regimen in regimens]),
    )
    therapy = therapy_for(asked.targets)
    within = Constraints(
        context=lambda hourly: _context(cases, hourly),
        limits=[case.limits for case in cases],
        mandates=[case.recording.mandate or therapy.mandate for case in cases],
        therapy=therapy,
    )
    return search_doses(world.model, patients, ahead, within, simulations=asked.simulations, seed=asked.seed, binding=True)


def _stack(parts: Sequence[Window]) -> Window:
    return Window(*(torch.cat([getattr(part, name) for part in parts]) for name in ("values", "mask", "minute")))


def _future(series: PatientSeries, row: int, regimen: Regimen | None, announced: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The hours ahead as prescribed: the regimen's basal, no bolus, and the meals that were announced; `[T, C]` and its mask."""
    rows = round(CLOCK.ahead / GLUCOSE.step)
    values = np.zeros((rows, len(GLUCOSE.channels)), np.float32)
    mask = np.zeros_like(values, dtype=bool)
    moment = series.start + pd.Timedelta(minutes=GLUCOSE.step * row)
    for channel in GLUCOSE.channels:
        if channel.form == "impulse":
            mask[:, GLUCOSE.index(channel.name)] = True
    if regimen is not None:
        local = moment.tz_convert(series.zone)
        first = local.hour * 60 + local.minute
        values[:, GLUCOSE.index("basal")] = [
            regimen.basal[regimen.block(int(first + GLUCOSE.step * step))] for step in range(rows)
        ]
        mask[:, GLUCOSE.index("basal")] = True
    edits = [parse(text, therapy=GLUCOSE, at=moment, zone=series.zone, rows=rows) for text in announced]
    if any(GLUCOSE.channel(edit.channel).role == "action" for edit in edits):
        raise AskError("what is announced to a plan is what the patient will do: meals and activity; doses are what it searches")
    return apply(edits, values, mask, GLUCOSE)


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of one patient at the moment of planning; NaN is unknown.

    level: the last reading, mg/dL, `age` minutes ago. doses `[ON_BOARD / step]` U given above the standing rate in each step
    before. since: minutes since the last bolus, inf if there was none.
    """

    level: float
    age: float
    doses: NDArray[np.float64]
    since: float


def _known(series: PatientSeries, row: int, rate: float) -> Known:
    """One patient before a row of the recording. rate: the standing basal then, U/h."""
    step = series.therapy.step
    rows = round(ON_BOARD / step)
    first = max(0, row - rows)
    glucose = series.column("glucose")[max(0, row - round(READ / step)) : row]
    seen = np.flatnonzero(~np.isnan(glucose))
    bolus = np.nan_to_num(series.column("bolus")[:row])
    basal = np.nan_to_num(series.column("basal")[first:row], nan=0.0)
    doses = np.zeros(rows)
    doses[rows - (row - first) :] += np.maximum(basal - rate, 0.0) * step / 60.0
    doses[rows - (row - first) :] += bolus[first:]
    logged, given = _logged(series, row, first), np.flatnonzero(bolus > 0)
    return Known(
        level=float(glucose[seen[-1]]) if len(seen) else np.nan,
        age=float(len(glucose) - 1 - seen[-1]) * step if len(seen) else np.nan,
        doses=doses if logged else np.full(rows, np.nan),
        since=float(row - 1 - given[-1]) * step if len(given) else (np.inf if logged else np.nan),
    )


def _logged(series: PatientSeries, row: int, first: int) -> bool:
    """Whether the boluses from one row to another are known: logged, or a silence that is not too long."""
    mask = series.mask[:row, series.therapy.index("bolus")]
    logged = np.flatnonzero(mask)
    if not len(logged):
        return False
    unknown = np.flatnonzero(~mask[first:row]) + first
    if (unknown < logged[-1]).any():
        return False
    return not len(unknown) or bool((row - 1 - logged[-1]) * series.therapy.step <= SILENT)


def _context(cases: Sequence[_Case], baseline: Tensor) -> DoseContext:
    """What is known at the moment of planning, as the guardrails need it. baseline `[B, D]` U/h: the standing rate."""
    known = [_known(case.series, case.row, float(rate[0])) for case, rate in zip(cases, baseline, strict=True)]
    whole = torch.isfinite(baseline).all(1, keepdim=True)
    doses = torch.tensor(np.stack([each.doses for each in known]), dtype=torch.float32).where(whole, torch.nan)
    decisions = baseline.shape[1]
    return DoseContext(
        level=torch.tensor([each.level for each in known], dtype=torch.float32),
        level_age=torch.tensor([each.age for each in known], dtype=torch.float32),
        baseline=baseline.float(),
        on_board=carried(doses, RAPID, step=GLUCOSE.step, interval=CLOCK.decision, decisions=decisions),
        since_last=torch.tensor([each.since for each in known], dtype=torch.float32),
        remaining=remaining((torch.arange(decisions) * CLOCK.decision).float(), RAPID),
    )


def _last_row(series: PatientSeries) -> int:
    measured = np.flatnonzero(series.mask[:, GLUCOSE.index("glucose")])
    return int(measured[-1]) + 1 if len(measured) else len(series)


def _filled(silent: Suggestion, world: World, plans: DosePlans, index: int, case: _Case, asked: _Asked) -> Suggestion:
    """The suggestion with what the search answered, where it answered."""
    if case.reasons or bool(plans.abstained[index]):
        return silent
    changed, series = bool(plans.changed[index]), case.series
    shown = ([0] if changed else []) + ([1] if bool(plans.has_runner_up[index]) else []) + [2]
    lows = _lows(series, case.row, asked.targets) if changed else None
    return replace(
        silent,
        abstained=False,
        reasons=(*silent.reasons, *_reasons(plans, index, case.recording, asked.announced)),
        lines=dose_lines(plans, index, round(case.row * GLUCOSE.step / DAY), lows) if changed else (),
        options=tuple(_option(plans, index, option, asked.targets) for option in shown),
        limits_bound=plans.binding[index],
        why=_why(world, plans, index, case, asked),
    )


def _reasons(plans: DosePlans, index: int, recording: Recording, announced: Sequence[str]) -> tuple[str, ...]:
    """Why it answers what it does, in words."""
    still, ours = float(plans.objective[index, 2]), float(plans.objective[index, 0])
    if bool(plans.changed[index]):
        verdict = N_("predicted glycaemia risk from {before:.1f} to {after:.1f}").format(before=still, after=ours)
    else:
        verdict = N_("no dose is predicted to be worth giving")
    ahead = N_("no meal or activity was announced")
    if announced:
        ahead = N_("counting on what was announced: {announced}").format(announced=", ".join(announced))
    reasons = [verdict, ahead, N_("{count} allowed sequences compared").format(count=int(plans.evaluated[index]))]
    if recording.mandate is not None:
        aim = N_("aiming at {target:g} mg/dL, as the regimen in force hands down")
        reasons.append(aim.format(target=recording.mandate.target))
    return tuple(reasons)


def _why(world: World, plans: DosePlans, index: int, case: _Case, asked: _Asked) -> Why:
    """By the hour ahead; beside it, past moments like now."""
    recording, series, row, targets = case.recording, case.series, case.row, asked.targets
    levels, hours = plans.levels[index], range(round(CLOCK.ahead / 60))
    found = Compared(
        terms=plans.terms,
        index=index,
        levels=levels,
        part=torch.arange(levels.shape[-1]) * len(hours) // levels.shape[-1],
        spans=[(60 * hour, 60 * (hour + 1)) for hour in hours],
        draws=time_by_outcome(levels, targets),
        changed=bool(plans.changed[index]),
        has_runner_up=bool(plans.has_runner_up[index]),
        layers=partial(risk_by_outcome, target=(recording.mandate or therapy_for(targets).mandate).target, targets=targets),
        shares=partial(time_by_outcome, targets=targets),
    )
    ahead, mask = _future(series, row, None, asked.announced)
    eaten = float(np.where(mask, ahead, 0.0)[: round(60 / GLUCOSE.step), GLUCOSE.index("carbs")].sum())
    low_risk = float(world.risk("low", series, [row], case.person)[0])
    return explain(found, low_risk=low_risk, moments=similar_moments(series, row, carbs=eaten))


def _option(plans: DosePlans, index: int, option: int, targets: Targets) -> Option:
    levels = plans.levels[index, option].cpu()  # [P, M]
    outcomes = {name: interval(drawn) for name, drawn in time_by_outcome(levels, targets).items()}
    return Option(
        name=OPTIONS[option], path=path_of(levels, CLOCK.ahead), outcomes=outcomes, does=doses_in_words(plans, index, option)
    )


def _lows(series: PatientSeries, row: int, targets: Targets) -> Breach | None:
    """Which target for lows the readings of the last two weeks miss."""
    first = max(0, row - round(RECENT / timedelta(minutes=GLUCOSE.step)))
    return exposure(series.column(GLUCOSE.regulated)[first:row], series.minute_of_day()[first:row], targets=targets).breach
