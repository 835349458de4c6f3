"""Regimen suggestions: search over settings on the patient's own days, under caps, budgets and the abstention gate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from careplan.language import N_
from careplan.minutes import DAY
from careplan.planning.choice import OPTIONS
from careplan.planning.explain import Compared, explain, interval, path_of
from careplan.planning.regimen import RegimenPlans, RegimenQuestion, RegimenSearch, plan_regimen
from careplan.planning.safety import RegimenLine
from careplan.recording import Recording, Signed, abstaining, question
from careplan.series import PatientSeries
from careplan.stages import stage
from careplan.suggestion import Line, Option, Suggestion, Why
from careplan.targets import Targets
from careplan.therapies.glucose.aims import therapy_for
from careplan.therapies.glucose.bands import ADULTS
from careplan.therapies.glucose.days import SETTINGS, Days, recent_days
from careplan.therapies.glucose.decisions import exposure
from careplan.therapies.glucose.declaration import GLUCOSE, Regimen
from careplan.therapies.glucose.evidence import outcomes_addressed, pattern_on_days
from careplan.therapies.glucose.experiments import Sizes, expected_statistics, experiments, sizes_of, with_effect_sizes
from careplan.therapies.glucose.guideline import guideline_in_words, guideline_lines
from careplan.therapies.glucose.lines import changes_in_words, proposed_lines, recent_readings, regimen_lines
from careplan.therapies.glucose.names import raises_insulin
from careplan.therapies.glucose.outcomes import risk_by_outcome, time_by_outcome
from careplan.therapies.glucose.rule_words import breach_in_words, reasons_in_words
from careplan.therapy import Mandate
from careplan.world.loaded import World, reasons_to_abstain
from careplan.world.personalise import Personalisation

# Share of the budgets for lows that is kept for a next fortnight that is harder than the last; where the targets for lows are
# broken over the day a visit is to bring them back to these and no further: docs/explanation/regimens.md.
RESERVE = {"met": 0.5, "broken": 0.0}
# What a percent of time beyond a budget counts, in risk: where the targets for lows are broken over the day, lows come first.
EXCESS = {"met": 0.3, "broken": 1.0}
# In risk, what a change must gain: as much as life itself moves risk from one fortnight to the next with nothing changed, which
# is 0.8 to 1.2 in virtual people on target. What is predicted to gain less gains nothing: docs/experiments/visits.md.
WORTH = 1.0
HARDLY_ANY = 0.1  # of the targets for lows: whoever had less may get more of every kind of setting by one factor
RAISED = 20.0  # mg/dL by which doses aim higher where the regimen itself is predicted to break a target for lows
DRAWS = 200  # bootstrap draws over days for the outcome intervals


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """One patient whose regimen is planned: the recording, what is known of their body, the settings in force, and the changes
    that were signed, the oldest first. below: as `Days.replay`, where the patient's doses are planned too."""

    series: PatientSeries
    person: Personalisation
    regimen: Regimen | None
    changes: Sequence[Signed] = ()
    below: Mandate | None = None
    targets: Targets = ADULTS


@dataclass(frozen=True, eq=False)
class _Searched:
    """What was searched for a patient, the days it was searched on, and what was found."""

    regimen: Regimen
    days: Days
    lines: Sequence[RegimenLine]
    plans: RegimenPlans


def regimen_of(world: World, recording: Recording, person: Personalisation, *, seed: int = 0) -> Suggestion:
    """One regimen suggestion: lines to change, no change, or why it abstains."""
    provenance = world.provenance(seed, recording.data, asked=question("regimen", recording.prescribed))
    case = Case(
        series=recording.series,
        person=person,
        regimen=recording.regimen,
        changes=recording.changes,
        targets=recording.targets or ADULTS,
    )
    return replace(suggest_regimen(world, case, provenance, seed=seed), targets=recording.targets)


def suggest_regimen(world: World, case: Case, provenance: Mapping[str, str], *, seed: int = 0) -> Suggestion:
    """Search the regimens of one patient; where the model cannot say and lows break their target, what the guideline says."""
    series, regimen = case.series, case.regimen
    reasons = list(reasons_to_abstain(world, series, case.person, changes=expected_statistics(series, case.changes)))
    if regimen is None:
        reasons.append(N_("no regimen is prescribed and none can be told from the recording"))
    with stage("encode"):
        days = None if reasons or regimen is None else recent_days(world.model, series, case.person, regimen, seed=seed)
    if not reasons and days is None:
        reasons.append(N_("no recent day has 70 % of its readings"))
    silent = abstaining(series, "regimen", provenance, reasons)
    silent = replace(silent, experiments=experiments(series, case.changes))
    if reasons or regimen is None or days is None:
        return _by_guideline(silent, case)
    lines = regimen_lines(series, regimen, days, case.targets)
    with stage("search"):
        sizes = sizes_of(world.model, series, case.person, case.changes, seed=seed)
        found = _Searched(regimen, days, lines, _plans(case, regimen, days, lines, sizes, seed))
    with stage("explain"):
        return _by_guideline(_filled(silent, world, case, found, seed), case)


def _plans(case: Case, regimen: Regimen, days: Days, lines: Sequence[RegimenLine], sizes: Sizes, seed: int) -> RegimenPlans:
    """The search on the patient's days, under the posterior over the size of effects.

    A plan moves one kind of setting, or all by one factor, before a signed change has told this person's answers apart, and one
    kind more after each.
    """
    parts, therapy = len(regimen.starts), therapy_for(case.targets)
    recent, lows = recent_readings(case.series), "broken" if lines[-1].breach else "met"
    replayed = with_effect_sizes(days, parts, sizes, case.below, seed)
    known: dict[tuple[float, ...], Tensor] = {}  # what the guard closed is no change, and a plan's first step was looked at alone

    def evaluate(multipliers: Tensor) -> Tensor:
        asked = [tuple(row) for row in multipliers[0].tolist()]
        if new := [row for row in dict.fromkeys(asked) if row not in known]:
            known.update(zip(new, replayed(torch.tensor(new)).flatten(2).cpu(), strict=True))
        return torch.stack([known[row] for row in asked]).unsqueeze(0)

    whole_day = [range(first, first + parts) for first in range(0, parts * len(SETTINGS), parts)] + [range(len(lines))]
    asked = RegimenQuestion(
        lines=[lines],
        therapy=therapy,
        together=whole_day,
        parts=days.block.repeat(len(days)).cpu(),
        margin=RESERVE[lows] * torch.tensor([[cost.budget for cost in therapy.costs]]),
    )
    how = RegimenSearch(
        excess=EXCESS[lows],
        worth=WORTH,
        strengthened=len(SETTINGS) if _lows_are_far(recent, case.targets) else 1,
        apart=1 + sizes.changes,
        binding=case.below is None,
    )
    return plan_regimen(evaluate, asked, how)


def _by_guideline(found: Suggestion, case: Case) -> Suggestion:
    """What the model found; where it abstains although lows break their target, or proposes nothing less although they break it
    by far, what the guideline says."""
    recent, regimen = recent_readings(case.series), case.regimen
    lows = exposure(recent.column(GLUCOSE.regulated), recent.minute_of_day(), targets=case.targets)
    less = any(not raises_insulin(line, line.proposed) for line in found.lines)
    if less or not (found.abstained or lows.danger):
        return found
    lines = () if regimen is None else guideline_lines(recent, regimen, lows)
    said = guideline_in_words(regimen, lows, lines)
    if not said:
        return found
    if not lines:
        return replace(found, reasons=(said, *found.reasons))
    reasons = (said, *found.reasons)
    spoken = replace(found, abstained=False, source="guideline", reasons=reasons, lines=lines)
    return replace(spoken, options=(), mandate=None, why=None)


def _filled(silent: Suggestion, world: World, case: Case, found: _Searched, seed: int) -> Suggestion:
    """The suggestion with what the search answered."""
    plans, regimen, days, targets = found.plans, found.regimen, found.days, case.targets
    levels = plans.levels[0].unflatten(-1, (len(days), -1))  # [3, P, D, H]
    draws = time_by_outcome(drawn(levels, seed), targets)
    said = {index: changes_in_words(plans, index, found.lines, regimen) for index in _shown(plans)}
    options = tuple(option_of(index, OPTIONS[index], levels[index], draws, text) for index, text in said.items())
    proposed = proposed_lines(plans, found.lines, regimen) if bool(plans.changed[0]) else ()
    abstained, known = bool(plans.abstained[0]), len(silent.experiments)
    return replace(
        silent,
        abstained=abstained,
        reasons=(*_reasons(plans, options, len(days), targets), *_one_by_one(proposed, regimen, known)),
        lines=proposed,
        options=options,
        limits_bound=plans.binding[0],
        banners=tuple(breach_in_words(breach) for breach in plans.advice[0]),
        mandate=None if abstained else mandate_of(plans, targets),
        why=None if abstained else _why(world, case, found, proposed, draws),
    )


def _why(world: World, case: Case, found: _Searched, lines: Sequence[Line], draws: Mapping[str, Tensor]) -> Why:
    """By part of the day; beside it, the days on which what is addressed was seen."""
    plans, days, series, targets = found.plans, found.days, case.series, case.targets
    compared = Compared(
        terms=plans.terms,
        index=0,
        levels=plans.levels[0],
        part=days.block.repeat(len(days)),
        spans=found.regimen.spans,
        draws=draws,
        changed=bool(plans.changed[0]),
        has_runner_up=bool(plans.has_runner_up[0]),
        layers=partial(risk_by_outcome, target=therapy_for(targets).best, targets=targets),
        shares=partial(time_by_outcome, targets=targets),
    )
    measured = np.flatnonzero(series.mask[:, GLUCOSE.index(GLUCOSE.regulated)])
    low_risk = float(world.risk("low", series, [int(measured[-1]) + 1], case.person)[0])
    why = explain(compared, low_risk=low_risk)
    recent = series.since(min(days.rows))
    about = outcomes_addressed(why.parts, lines)
    return replace(why, patterns=tuple(pattern_on_days(recent, *each, targets) for each in about))


def mandate_of(plans: RegimenPlans, targets: Targets = ADULTS) -> Mandate:
    """What the regimen that is proposed hands to the planning of doses: the time low that it counts on itself, of the therapy's
    budgets all at most and half at least; and a higher target where it counts on more than these allow."""
    therapy = therapy_for(targets)
    counted = list(zip(plans.below[0, 0].mean(0).tolist(), therapy.costs, strict=True))
    raised = RAISED if any(spent > cost.budget for spent, cost in counted) else 0.0
    budgets = tuple(min(max(spent, cost.budget / 2), cost.budget) for spent, cost in counted)
    return Mandate(target=therapy.best + raised, budgets=budgets)


def _shown(plans: RegimenPlans) -> list[int]:
    shown = [0] if bool(plans.changed[0]) else []
    return shown + ([1] if bool(plans.has_runner_up[0]) else []) + [2]


def drawn(levels: Tensor, seed: int) -> Tensor:
    """Levels `[N, P, D, H]` -> `[N, DRAWS, D * H]`: a particle, and days drawn again, the same under all three."""
    _, particles, days, _ = levels.shape
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randint(days, (DRAWS, days), generator=generator)
    who = torch.randint(particles, (DRAWS, 1), generator=generator)
    return levels[:, who, chosen].flatten(2)


def option_of(index: int, name: str, levels: Tensor, draws: Mapping[str, Tensor], does: str = "") -> Option:
    """The typical day under one regimen `[P, D, H]`, and its outcomes with intervals over particles and days."""
    return Option(
        name=name,
        path=path_of(levels.flatten(0, 1), float(DAY)),
        outcomes={name: interval(drawn[index]) for name, drawn in draws.items()},
        does=does,
    )


def _lows_are_far(recent: PatientSeries, targets: Targets = ADULTS) -> bool:
    """Whether so little is low that more of every kind of setting may be given at once."""
    return exposure(recent.column("glucose"), recent.minute_of_day(), targets=targets).burden <= HARDLY_ANY


def _reasons(plans: RegimenPlans, options: Sequence[Option], days: int, targets: Targets) -> tuple[str, ...]:
    """Why it answers what it does, in words made from the search's numbers."""
    if plans.reasons[0] or plans.refused[0]:
        return reasons_in_words(plans.reasons[0], plans.refused[0], plans.bound[0])
    still = options[-1].outcomes
    searched = SEARCHED.format(count=int(plans.evaluated[0]), days=days)
    if not bool(plans.changed[0]):
        return (N_("no change within the limits is predicted to be worth making"), searched)
    ours = options[0].outcomes
    moved = {
        f"{name}_{when}": found[name].mid
        for name in ("in_range", "below_70", "above_180")
        for when, found in (("before", still), ("after", ours))
    }
    return (PREDICTED.format(**moved, low=targets.levels["low"], high=targets.levels["high"]), searched)


SEARCHED = N_("{count} regimens compared on {days} of the patient's own days")
PREDICTED = N_(
    "predicted: in range from {in_range_before:.1f} to {in_range_after:.1f} %, below {low:g} from {below_70_before:.1f} to "
    "{below_70_after:.1f} %, above {high:g} from {above_180_before:.1f} to {above_180_after:.1f} %"
)
TOGETHER = N_("{kinds} move together by one factor: the record does not tell apart what each of them does")
ONE_FIRST = N_("{kinds} first; {others} after what that does was seen")


def _one_by_one(lines: Sequence[Line], regimen: Regimen, known: int) -> tuple[str, ...]:
    """In words, why settings move together or one at a time: as many kinds apart as signed changes told apart, and one."""
    kinds = list(dict.fromkeys(line.setting.replace("_", " ") for line in lines))
    pens = regimen.delivery == "pen"
    others = [name for name in ("long acting" if pens else "basal", "carb ratio", "correction factor") if name not in kinds]
    if not kinds or known >= len(SETTINGS) - 1:
        return ()
    if len(kinds) > 1 + known:
        return (TOGETHER.format(kinds=", ".join(kinds)),)
    return (ONE_FIRST.format(kinds=" and ".join(kinds), others=" and ".join(others)),) if others else ()
