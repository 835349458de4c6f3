"""Dose suggestions: search the next hours of one patient or many at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
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
from careplan.recording import Recording, question, row_at
from careplan.series import PatientSeries, Window, windows
from careplan.stages import stage
from careplan.suggestion import Line, Option, Suggestion, Why
from careplan.targets import Targets
from careplan.therapies.glucose.aims import limits_for, same_aims, therapy_for
from careplan.therapies.glucose.decisions import exposure
from careplan.therapies.glucose.declaration import GLUCOSE, RAPID, Regimen, limits_of
from careplan.therapies.glucose.dose_search import DECISION, HORIZON, INCREMENT, PARTICLES, Ahead, search_doses
from careplan.therapies.glucose.evidence import alike
from careplan.therapies.glucose.experiments import expected
from careplan.therapies.glucose.outcomes import layers, shares
from careplan.therapies.glucose.rule_words import reasons_in_words, rule_in_words
from careplan.therapy import Limits, Mandate, Therapy
from careplan.what_if import apply, parse
from careplan.world.loaded import World, reasons_to_abstain
from careplan.world.personalise import Personalisation
from careplan.world.question import Given

# Minutes: how long a dose may still act; since the last logged dose, in which silence means that none was given; how old a
# reading may be to be known at all (the guard asks for a fresher one).
ON_BOARD, SILENT, READ = 6 * 60, DAY, 3 * 60


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
        mine, theirs = [recordings[place] for place in places], [people[place] for place in places]
        asked = (targets, at, announced, seed, limits or {}, simulations)
        made |= dict(zip(places, _doses_alike(world, mine, theirs, *asked), strict=True))
    return [replace(made[place], targets=recording.targets) for place, recording in enumerate(recordings)]


def _doses_alike(
    world: World,
    recordings: Sequence[Recording],
    people: Sequence[Personalisation],
    targets: Targets,
    at: pd.Timestamp | None,
    announced: Sequence[str],
    seed: int,
    limits: Mapping[str, Limits],
    simulations: int | None,
) -> list[Suggestion]:
    """`doses_of` for people with the same targets."""
    series, regimens = [recording.series for recording in recordings], [recording.regimen for recording in recordings]
    rows = [_last_row(each) if at is None else row_at(each, at) for each in series]
    planned = [_future(each.series, row, each.regimen, announced) for each, row in zip(recordings, rows, strict=True)]
    bounds = [limits_for(limits.get(each.patient) or limits_of(each.facts), targets) for each in recordings]
    therapy = therapy_for(targets)
    gates = [
        reasons_to_abstain(world, each.series, person, row=row, changes=expected(each.series, each.changes))
        for each, person, row in zip(recordings, people, rows, strict=True)
    ]
    mandates = [recording.mandate or therapy.mandate for recording in recordings]
    with stage("search"):
        plans = _search(world, series, people, rows, planned, regimens, bounds, mandates, therapy, seed, simulations)
    made = []
    with stage("explain"):
        for index, each in enumerate(recordings):
            asked = question("doses", each.prescribed, at=at, announced=announced, simulations=simulations)
            provenance = world.provenance(seed, each.data, asked=asked)
            made.append(
                _suggestion(world, plans, index, each, rows[index], people[index], gates[index], provenance, announced, targets)
            )
    return made


def _search(
    world: World,
    series: Sequence[PatientSeries],
    people: Sequence[Personalisation],
    rows: Sequence[int],
    planned: Sequence[tuple[np.ndarray, np.ndarray]],
    regimens: Sequence[Regimen | None],
    limits: Sequence[Limits],
    mandates: Sequence[Mandate],
    therapy: Therapy,
    seed: int,
    simulations: int | None,
) -> DosePlans:
    """Gather what is recorded and prescribed, and search."""
    past = _stack([windows(each, [row], world.model.shape.context) for each, row in zip(series, rows, strict=True)])
    usual = torch.stack([person.usual for person in people])
    ahead = Ahead(
        values=torch.stack([torch.from_numpy(part) for part, _ in planned]),
        mask=torch.stack([torch.from_numpy(part) for _, part in planned]),
        increment=torch.tensor([INCREMENT[regimen.delivery if regimen else "pen"] for regimen in regimens]),
        adjustable=torch.tensor([bool(regimen and regimen.delivery == "pump") for regimen in regimens]),
    )
    return search_doses(
        world.model,
        past,
        usual,
        torch.stack([person.particles(PARTICLES, seed) for person in people]),
        torch.stack([world.widen(person)[Given.PLAN].max() for person in people]),
        ahead,
        lambda hourly: _context(series, rows, hourly),
        limits,
        mandates=mandates,
        therapy=therapy,
        simulations=simulations,
        seed=seed,
        binding=True,
    )


def _stack(parts: Sequence[Window]) -> Window:
    return Window(*(torch.cat([getattr(part, name) for part in parts]) for name in ("values", "mask", "minute")))


def _future(series: PatientSeries, row: int, regimen: Regimen | None, announced: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The hours ahead as prescribed: the regimen's basal, no bolus, and the meals that were announced; `[T, C]` and its mask."""
    rows = round(HORIZON / GLUCOSE.step)
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


def _context(series: Sequence[PatientSeries], rows: Sequence[int], baseline: Tensor) -> DoseContext:
    """What is known at the moment of planning, as the guardrails need it. baseline `[B, D]` U/h: the standing rate."""
    known = [_known(each, row, float(rate[0])) for each, row, rate in zip(series, rows, baseline, strict=True)]
    whole = torch.isfinite(baseline).all(1, keepdim=True)
    doses = torch.tensor(np.stack([each.doses for each in known]), dtype=torch.float32).where(whole, torch.nan)
    decisions = baseline.shape[1]
    return DoseContext(
        level=torch.tensor([each.level for each in known], dtype=torch.float32),
        level_age=torch.tensor([each.age for each in known], dtype=torch.float32),
        baseline=baseline.float(),
        on_board=carried(doses, RAPID, step=GLUCOSE.step, interval=DECISION, decisions=decisions),
        since_last=torch.tensor([each.since for each in known], dtype=torch.float32),
        remaining=remaining((torch.arange(decisions) * DECISION).float(), RAPID),
    )


def _last_row(series: PatientSeries) -> int:
    measured = np.flatnonzero(series.mask[:, GLUCOSE.index("glucose")])
    return int(measured[-1]) + 1 if len(measured) else len(series)


def _suggestion(
    world: World,
    plans: DosePlans,
    index: int,
    recording: Recording,
    row: int,
    person: Personalisation,
    gate: tuple[str, ...],
    provenance: Mapping[str, str],
    announced: Sequence[str],
    targets: Targets,
) -> Suggestion:
    series = recording.series
    abstained = bool(gate) or bool(plans.abstained[index])
    changed = bool(plans.changed[index]) and not abstained
    shown = ([0] if changed else []) + ([1] if bool(plans.has_runner_up[index]) and not abstained else []) + [2]
    options = () if abstained else tuple(_option(plans, index, option, targets) for option in shown)
    reasons = (*gate, *reasons_in_words(plans.reasons[index], plans.refused[index]))
    if not abstained:
        count = int(plans.evaluated[index])
        still, ours = plans.objective[index, 2], plans.objective[index, 0]
        verdict = (
            N_("predicted glycaemia risk from {before:.1f} to {after:.1f}").format(before=float(still), after=float(ours))
            if changed
            else N_("no dose is predicted to be worth giving")
        )
        ahead = N_("no meal or activity was announced")
        if announced:
            ahead = N_("counting on what was announced: {announced}").format(announced=", ".join(announced))
        reasons = (*reasons, verdict, ahead, N_("{count} allowed sequences compared").format(count=count))
        if recording.mandate is not None:
            aim = N_("aiming at {target:g} mg/dL, as the regimen in force hands down")
            reasons = (*reasons, aim.format(target=recording.mandate.target))
    return Suggestion(
        id=None,
        patient=series.patient,
        kind="doses",
        created=datetime.now(UTC),
        at=(series.start + pd.Timedelta(minutes=GLUCOSE.step * row)).to_pydatetime(),
        abstained=abstained,
        reasons=reasons,
        lines=_lines(plans, index, round(row * GLUCOSE.step / DAY), _lows(series, row, targets)) if changed else (),
        options=options,
        limits_bound=() if abstained else plans.binding[index],
        banners=(),
        therapy=GLUCOSE.name,
        provenance=provenance,
        why=None if abstained else _why(world, plans, index, recording, row, person, announced, targets),
    )


def _why(
    world: World,
    plans: DosePlans,
    index: int,
    recording: Recording,
    row: int,
    person: Personalisation,
    announced: Sequence[str],
    targets: Targets,
) -> Why:
    """By the hour ahead; beside it, past moments like now."""
    series, levels = recording.series, plans.levels[index]
    hours = range(round(HORIZON / 60))
    found = Compared(
        account=plans.account,
        index=index,
        levels=levels,
        part=torch.arange(levels.shape[-1]) * len(hours) // levels.shape[-1],
        spans=[(60 * hour, 60 * (hour + 1)) for hour in hours],
        draws=shares(levels, targets),
        changed=bool(plans.changed[index]),
        has_runner_up=bool(plans.has_runner_up[index]),
        layers=partial(layers, target=(recording.mandate or therapy_for(targets).mandate).target, targets=targets),
        shares=partial(shares, targets=targets),
    )
    ahead, mask = _future(series, row, None, announced)
    eaten = float(np.where(mask, ahead, 0.0)[: round(60 / GLUCOSE.step), GLUCOSE.index("carbs")].sum())
    low_risk = float(world.risk("low", series, [row], person)[0])
    return explain(found, low_risk=low_risk, moments=alike(series, row, carbs=eaten))


def _option(plans: DosePlans, index: int, option: int, targets: Targets) -> Option:
    levels = plans.levels[index, option].cpu()  # [P, M]
    outcomes = {name: interval(drawn) for name, drawn in shares(levels, targets).items()}
    return Option(name=OPTIONS[option], path=path_of(levels, HORIZON), outcomes=outcomes, does=_described(plans, index, option))


def _described(plans: DosePlans, index: int, option: int) -> str:
    """ "5.5 U now, 0.5 U in 30 min, basal x2 from 60 to 90 min"; "as prescribed" where nothing changes."""
    said = []
    for step, (impulse, multiple) in enumerate(plans.actions[index, option].tolist()):
        start = round(step * plans.interval)
        if impulse > 0:
            said.append(f"{round(impulse, 3):g} U {f'in {start} min' if start else 'now'}")
        if multiple != 1.0:
            said.append(f"basal x{multiple:g} from {f'{start}' if start else 'now'} to {start + plans.interval:.0f} min")
    return ", ".join(said) or "as prescribed"


ONLY_LESS = N_("an edit can only give less; more needs a new plan")
LOWS = "; " + N_("{lows}, so more insulin needs a typed reason")
LESS, MORE = N_("less basal for {minutes:.0f} min"), N_("more basal for {minutes:.0f} min")


def _lows(series: PatientSeries, row: int, targets: Targets) -> Breach | None:
    """Which target for lows the readings of the last two weeks miss."""
    first = max(0, row - 14 * DAY // round(GLUCOSE.step))
    return exposure(series.column(GLUCOSE.regulated)[first:row], series.minute_of_day()[first:row], targets=targets).breach


def _lines(plans: DosePlans, index: int, days: int, lows: Breach | None) -> tuple[Line, ...]:
    """What is proposed. An edit can only give less: more than was searched and guarded needs a new plan. Where lows already
    miss their target more insulin is beyond what is recommended: signing it needs a typed reason."""
    lines = []
    caution = LOWS.format(lows=rule_in_words(lows)) if lows else ""
    for step, (impulse, multiple) in enumerate(plans.actions[index, 0].tolist()):
        start = round(step * plans.interval)
        if impulse > 0:
            lines.append(
                Line(
                    key=f"bolus@{start}",
                    setting="bolus",
                    start=start,
                    end=start,
                    unit="U",
                    current=0.0,
                    proposed=round(impulse, 3),
                    lowest=0.0,
                    highest=0.0 if lows else round(impulse, 3),
                    absolute_low=0.0,
                    absolute_high=round(impulse, 3),
                    days=days,
                    why=ONLY_LESS + caution,
                )
            )
        if multiple != 1.0:
            lines.append(
                Line(
                    key=f"temp_basal@{start}",
                    setting="temp_basal",
                    start=start,
                    end=start + round(plans.interval),
                    unit="x basal",
                    current=1.0,
                    proposed=multiple,
                    lowest=0.0,
                    highest=1.0 if lows else max(multiple, 1.0),
                    absolute_low=0.0,
                    absolute_high=max(multiple, 1.0),
                    days=days,
                    why=(LESS if multiple < 1 else MORE).format(minutes=plans.interval) + caution * (multiple > 1),
                )
            )
    return tuple(lines)
