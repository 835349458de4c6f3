"""Regimen suggestions: search over settings on the patient's own days, under caps, budgets and the abstention gate."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import torch
from torch import Tensor

from careplan.breach import Breach
from careplan.minutes import DAY
from careplan.planning.explain import Compared, explain, interval
from careplan.planning.planner import OPTIONS
from careplan.planning.regimen import RegimenPlans, plan_regimen
from careplan.planning.safety import RegimenLine
from careplan.recording import Recording, question
from careplan.series import PatientSeries
from careplan.stages import stage
from careplan.suggestion import Line, Option, Path, Suggestion, Why
from careplan.therapies.glucose.bands import BELOW_54_TARGET, BELOW_70_TARGET, LOW, VERY_LOW
from careplan.therapies.glucose.days import SETTINGS, Days, recent_days
from careplan.therapies.glucose.decisions import (
    INSULIN,
    Exposure,
    Setting,
    exposure,
    exposure_at,
)
from careplan.therapies.glucose.declaration import GLUCOSE, LINE_LIMITS, RECENT, Regimen
from careplan.therapies.glucose.evidence import addressed, pattern
from careplan.therapies.glucose.metrics import glucose_metrics
from careplan.therapies.glucose.outcomes import layers, shares
from careplan.therapies.glucose.rules import reasons_told, told
from careplan.therapies.glucose.words import clock, signed
from careplan.therapy import Mandate
from careplan.world.loaded import World, reasons_to_abstain
from careplan.world.personalise import Personalisation

INCREMENT: dict[Setting, float] = {"basal": 0.025, "carb_ratio": 0.5, "correction_factor": 1.0, "long_acting": 0.5}
UNIT: dict[Setting, str] = {"basal": "U/h", "carb_ratio": "g/U", "correction_factor": "mg/dL/U", "long_acting": "U"}
# Of the budgets for time below 70 and 54 mg/dL, kept for a next fortnight that is harder than the last:
# docs/explanation/regimens.md.
MARGIN = torch.tensor([[0.02, 0.005]])
# What a percent of time beyond a budget counts, in risk: where the targets for lows are broken over the day, lows come first.
EXCESS = {"met": 0.3, "broken": 1.0}
NEAR = 0.5  # of the targets for lows: whoever had more than this of them in the last fortnight is given nothing more
# Of the targets for lows, and % of readings in range: whoever had less of both may be given more of every kind of setting.
HARDLY_ANY, HALF = 0.1, 50.0
RAISED = 20.0  # mg/dL by which doses aim higher where the regimen itself is predicted to break a target for lows
DRAWS = 200  # bootstrap draws over days for the outcome intervals


def regimen_of(world: World, recording: Recording, person: Personalisation, *, seed: int = 0) -> Suggestion:
    """One regimen suggestion: lines to change, no change, or why it abstains."""
    provenance = world.provenance(seed, recording.data, asked=question("regimen", recording.prescribed))
    return suggest_regimen(world, recording.series, person, recording.regimen, provenance, seed=seed)


def suggest_regimen(
    world: World,
    series: PatientSeries,
    person: Personalisation,
    regimen: Regimen | None,
    provenance: Mapping[str, str],
    *,
    below: Mandate | None = None,
    seed: int = 0,
) -> Suggestion:
    """Search the regimens of one patient. below: as `Days.replay`, where the patient's doses are planned too."""
    reasons = list(reasons_to_abstain(world, series, person))
    if regimen is None:
        reasons.append("no regimen is prescribed and none can be told from the recording")
    with stage("encode"):
        days = None if reasons or regimen is None else recent_days(world.model, series, person, regimen, seed=seed)
    if not reasons and days is None:
        reasons.append("no recent day has 70 % of its readings")
    if reasons or regimen is None or days is None:
        return _suggestion(series, provenance, abstained=True, reasons=tuple(reasons))
    lines = regimen_lines(series, regimen, days)
    blocks = days.block.repeat(len(days))

    def evaluate(multipliers: Tensor) -> Tensor:
        different, place = multipliers[0].unique(dim=0, return_inverse=True)  # what the guard closed is no change
        return days.replay(different, below).flatten(2)[place].unsqueeze(0).cpu()

    parts = len(regimen.starts)
    whole_day = [range(first, first + parts) for first in range(0, parts * len(SETTINGS), parts)] + [range(len(lines))]
    excess = EXCESS["broken" if lines[-1].breach else "met"]
    with stage("search"):
        plans = plan_regimen(
            evaluate,
            [lines],
            GLUCOSE,
            together=whole_day,
            parts=blocks.cpu(),
            margin=MARGIN,
            excess=excess,
            strengthened=len(SETTINGS) if _far_too_high(recent_part(series)) else 1,
        )
    with stage("explain"):
        return _told(world, plans, series, person, regimen, days, lines, provenance, seed)


def _told(
    world: World,
    plans: RegimenPlans,
    series: PatientSeries,
    person: Personalisation,
    regimen: Regimen,
    days: Days,
    lines: Sequence[RegimenLine],
    provenance: Mapping[str, str],
    seed: int,
) -> Suggestion:
    """What the search answered, as a suggestion."""
    levels = plans.levels[0].unflatten(-1, (len(days), -1))  # [3, P, D, H]
    draws = shares(_drawn(levels, seed))
    options = tuple(_option(index, levels[index], draws, _does(plans, index, lines, regimen)) for index in _shown(plans))
    changed = bool(plans.changed[0])
    proposed = proposed_lines(plans, lines, regimen) if changed else ()
    abstained = bool(plans.abstained[0])
    return _suggestion(
        series,
        provenance,
        abstained=abstained,
        reasons=_reasons(plans, options, len(days)),
        lines=proposed,
        options=options,
        limits_bound=(*plans.bound[0], *(Breach(f"budget {name}") for name in plans.pruned[0])),
        banners=tuple(told(breach) for breach in plans.advice[0]),
        mandate=None if abstained else handed_down(plans),
        why=None if abstained else _why(world, plans, series, person, regimen, days, proposed, draws),
    )


def _why(
    world: World,
    plans: RegimenPlans,
    series: PatientSeries,
    person: Personalisation,
    regimen: Regimen,
    days: Days,
    lines: Sequence[Line],
    draws: Mapping[str, Tensor],
) -> Why:
    """By part of the day; beside it, the days on which what is addressed was seen."""
    spans = list(zip(regimen.starts, [*regimen.starts[1:], DAY], strict=True))
    found = Compared(
        account=plans.account,
        index=0,
        levels=plans.levels[0],
        part=days.block.repeat(len(days)),
        spans=spans,
        draws=draws,
        changed=bool(plans.changed[0]),
        has_runner_up=bool(plans.has_runner_up[0]),
        layers=layers,
        shares=shares,
    )
    measured = np.flatnonzero(series.mask[:, GLUCOSE.index(GLUCOSE.regulated)])
    low_risk = float(world.risk("low", series, [int(measured[-1]) + 1], person)[0])
    why = explain(found, low_risk=low_risk)
    recent = series.since(min(days.rows))
    return replace(why, patterns=tuple(pattern(recent, *about) for about in addressed(why.parts, lines)))


def regimen_lines(series: PatientSeries, regimen: Regimen, days: Days) -> list[RegimenLine]:
    """Every setting by block, in the order `Days.replay` expects, with its evidence and whether lows forbid more insulin."""
    recent = recent_part(series)
    glucose, minute = recent.column("glucose"), recent.minute_of_day()
    ends = [*regimen.starts[1:], DAY]
    near, lines = _near(exposure(glucose, minute)), []
    alone = int(((days.correction > 0) & (days.meal == 0)).any(1).sum())
    few, least = None, LINE_LIMITS["correction_factor"].least_days
    if alone < least:
        few = Breach("corrections apart from meals", numbers={"days": alone, "needed": least})
    for setting in SETTINGS:
        evidence = {"basal": days.basal > 0, "carb_ratio": days.meal > 0, "correction_factor": days.correction > 0}[setting]
        for block, (start, end) in enumerate(zip(regimen.starts, ends, strict=True)):
            exposed = exposure_at(glucose, minute, start, end)
            lines.append(
                RegimenLine(
                    key=f"{setting}@{start}",
                    current=getattr(regimen, setting)[block],
                    direction=INSULIN[setting],  # type: ignore[index]
                    limits=LINE_LIMITS[setting],  # type: ignore[index]
                    increment=INCREMENT[setting],  # type: ignore[index]
                    days=float((evidence[:, days.block == block].any(1)).sum()),
                    breach=_breach(exposed),
                    danger=exposed.danger,
                    held=near or (few if setting == "correction_factor" else None),
                )
            )
    exposed = exposure(glucose, minute)
    lines.append(
        RegimenLine(
            key="long_acting@0",
            current=regimen.long_acting,
            direction=INSULIN["long_acting"],
            limits=LINE_LIMITS["long_acting"],
            increment=INCREMENT["long_acting"],
            days=float(len(days)) if regimen.long_acting > 0 else 0.0,
            breach=_breach(exposed),
            danger=exposed.danger,
            held=near,
        )
    )
    return lines


def proposed_lines(plans: RegimenPlans, lines: Sequence[RegimenLine], regimen: Regimen) -> tuple[Line, ...]:
    """What the search answered, line by line."""
    return tuple(_line(line, block, value, regimen) for line, block, value in _moved(plans, 0, lines, regimen))


def recent_part(series: PatientSeries) -> PatientSeries:
    """The readings by which lows are held against a change, here as when it is signed: `RECENT` before the last one."""
    last = np.flatnonzero(series.mask[:, GLUCOSE.index(GLUCOSE.regulated)])
    end = int(last[-1]) + 1 if len(last) else len(series)
    return series.until(end).since(max(0, end - 1 - round(RECENT / timedelta(minutes=GLUCOSE.step))))


def handed_down(plans: RegimenPlans) -> Mandate:
    """What the regimen that is proposed hands to the planning of doses: the time low that it counts on itself, of the therapy's
    budgets all at most and half at least; and a higher target where it counts on more than these allow."""
    counted = list(zip(plans.below[0, 0].mean(0).tolist(), GLUCOSE.costs, strict=True))
    raised = RAISED if any(spent > cost.budget for spent, cost in counted) else 0.0
    budgets = tuple(min(max(spent, cost.budget / 2), cost.budget) for spent, cost in counted)
    return Mandate(target=GLUCOSE.best + raised, budgets=budgets)


def _shown(plans: RegimenPlans) -> list[int]:
    shown = [0] if bool(plans.changed[0]) else []
    return shown + ([1] if bool(plans.has_runner_up[0]) else []) + [2]


def _drawn(levels: Tensor, seed: int) -> Tensor:
    """Levels `[3, P, D, H]` -> `[3, DRAWS, D * H]`: a particle, and days drawn again, the same under all three."""
    _, particles, days, _ = levels.shape
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randint(days, (DRAWS, days), generator=generator)
    who = torch.randint(particles, (DRAWS, 1), generator=generator)
    return levels[:, who, chosen].flatten(2)


def _option(index: int, levels: Tensor, draws: Mapping[str, Tensor], does: str) -> Option:
    """The typical day under one regimen `[P, D, H]`, and its outcomes with intervals over particles and days."""
    steps = levels.shape[-1]
    low, mid, high = torch.quantile(levels.flatten(0, 1), torch.tensor([0.05, 0.5, 0.95]), dim=0)
    minutes = tuple(float(minute) for minute in (np.arange(steps) + 1) * DAY / steps)
    return Option(
        name=OPTIONS[index],
        path=Path(minutes=minutes, mid=tuple(mid.tolist()), low=tuple(low.tolist()), high=tuple(high.tolist())),
        outcomes={name: interval(drawn[index]) for name, drawn in draws.items()},
        does=does,
    )


def _does(plans: RegimenPlans, option: int, lines: Sequence[RegimenLine], regimen: Regimen) -> str:
    """ "basal +9 to +10 % all day, carb ratio +19 % from 06:00, 11:00"; "as prescribed" where nothing changes."""
    moved: dict[str, list[tuple[int, float]]] = {}
    for line, block, value in _moved(plans, option, lines, regimen):
        moved.setdefault(line.key.split("@")[0], []).append((regimen.starts[block], 100 * (value / line.current - 1)))
    said = []
    for setting, changes in moved.items():
        least, most = (signed(pick((change for _, change in changes), key=abs), 0) for pick in (min, max))
        where = "all day" if len(changes) == len(regimen.starts) else f"from {', '.join(clock(start) for start, _ in changes)}"
        percent = least if least == most else f"{least} to {most}"
        said.append(f"{setting.replace('_', ' ')} {percent} %{'' if setting == 'long_acting' else f' {where}'}")
    return ", ".join(said) or "as prescribed"


def _moved(
    plans: RegimenPlans, option: int, lines: Sequence[RegimenLine], regimen: Regimen
) -> list[tuple[RegimenLine, int, float]]:
    values = plans.values[0, option].tolist()
    blocks = len(regimen.starts)
    return [
        (line, index % blocks, value)
        for index, (line, value) in enumerate(zip(lines, values, strict=True))
        if value != line.current
    ]


def _breach(exposed: Exposure) -> bool | None:
    """Whether a target for lows is broken, `None` where nothing was measured."""
    return exposed.breach is not None if exposed.readings else None


def _near(exposed: Exposure) -> Breach | None:
    """Why nothing may give more where the targets for lows were nearly broken."""
    if not exposed.burden > NEAR:
        return None
    share, level, target = (exposed.below_70, LOW, BELOW_70_TARGET)
    if exposed.below_54 / BELOW_54_TARGET == exposed.burden:
        share, level, target = (exposed.below_54, VERY_LOW, BELOW_54_TARGET)
    return Breach("near the target for lows", numbers={"share": share, "level": level, "target": target})


def _far_too_high(recent: PatientSeries) -> bool:
    """Whether so little is low, and so much not in range, that more of every kind of setting may be given at once."""
    in_range = glucose_metrics(recent).in_range
    lows = exposure(recent.column("glucose"), recent.minute_of_day())
    return lows.burden <= HARDLY_ANY and in_range is not None and in_range < HALF


def _line(line: RegimenLine, block: int, value: float, regimen: Regimen) -> Line:
    setting: Setting = line.key.split("@")[0]  # type: ignore[assignment]
    start, end = (0, DAY) if setting == "long_acting" else (regimen.starts[block], [*regimen.starts[1:], DAY][block])
    limit = line.limits
    more = (value - line.current) * line.direction > 0
    cause = "highs" if more else "lows"
    rescue = limit.against_danger if line.danger else limit.against_harm if line.breach else limit.per_visit
    return Line(
        key=line.key,
        setting=setting,
        start=start,
        end=end,
        unit=UNIT[setting],
        current=line.current,
        proposed=value,
        lowest=max(limit.low, line.current * (1 - (rescue if line.direction > 0 else limit.per_visit))),
        highest=min(limit.high, line.current * (1 + (rescue if line.direction < 0 else limit.per_visit))),
        absolute_low=limit.lowest,
        absolute_high=limit.highest,
        days=int(line.days),
        why=f"{'more' if more else 'less'} insulin against {cause}",
    )


def _reasons(plans: RegimenPlans, options: Sequence[Option], days: int) -> tuple[str, ...]:
    """Why it answers what it does, in words made from the search's numbers."""
    if plans.reasons[0] or plans.refused[0]:
        return reasons_told(plans.reasons[0], plans.refused[0], plans.bound[0])
    still = options[-1].outcomes
    searched = f"{int(plans.evaluated[0])} regimens compared on {days} of the patient's own days"
    if not bool(plans.changed[0]):
        return ("no change within the limits is predicted to be worth making", searched)
    ours = options[0].outcomes

    def effect(name: str) -> str:
        return f"{name.replace('_', ' ')} from {still[name].mid:.1f} to {ours[name].mid:.1f} %"

    return ("predicted: " + ", ".join(effect(name) for name in ("in_range", "below_70", "above_180")), searched)


def _suggestion(
    series: PatientSeries,
    provenance: Mapping[str, str],
    *,
    abstained: bool,
    reasons: tuple[str, ...],
    lines: tuple[Line, ...] = (),
    options: tuple[Option, ...] = (),
    limits_bound: tuple[Breach, ...] = (),
    banners: tuple[str, ...] = (),
    mandate: Mandate | None = None,
    why: Why | None = None,
) -> Suggestion:
    return Suggestion(
        id=None,
        patient=series.patient,
        kind="regimen",
        created=datetime.now(UTC),
        at=series.times[-1].to_pydatetime(),
        abstained=abstained,
        reasons=reasons,
        lines=lines,
        options=options,
        limits_bound=limits_bound,
        banners=banners,
        therapy=GLUCOSE.name,
        provenance=provenance,
        mandate=mandate,
        why=why,
    )
