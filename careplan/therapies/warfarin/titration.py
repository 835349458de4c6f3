"""Suggestions: a weekly dose, the evenings left out, the day of the next INR; beside no change and what a protocol would do."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from careplan.language import N_
from careplan.minutes import DAY
from careplan.planning.explain import interval, path_of
from careplan.recording import Recording, abstaining, question
from careplan.series import PatientSeries
from careplan.stages import stage
from careplan.suggestion import Line, Option, Suggestion
from careplan.targets import Targets
from careplan.therapies.warfarin.aims import USUAL, risk_for
from careplan.therapies.warfarin.courses import Courses, courses_of
from careplan.therapies.warfarin.covariates import covariates_of
from careplan.therapies.warfarin.decisions import SOON
from careplan.therapies.warfarin.declaration import DANGER, HIGHEST_INR, LINE_LIMITS, MOST_A_DAY, STARTING
from careplan.therapies.warfarin.metrics import TOO_HIGH
from careplan.therapies.warfarin.protocols import aurora, iwpc_clinical, iwpc_pharmacogenetic
from careplan.therapies.warfarin.regimen import Regimen, increment, tablets, week_of
from careplan.therapies.warfarin.search import Asked, Found, search
from careplan.therapies.warfarin.words import why_in_words
from careplan.world.loaded import World
from careplan.world.personalise import Personalisation

SHOWN = 28  # days of a path that is shown
UNTREATED = 1.6  # INR before the first tablet above which something else prolongs it
LOWEST_INR = 0.7
ABSURD = 4.0  # times a 90 % interval: an INR so far from what was foreseen is checked, not acted on


# Why nothing is suggested, what a future is, why a line: as they are stored, in English.
NOTHING = N_("the search answers nothing: {rule}")
IMPOSSIBLE = N_("an INR of {inr:g} is impossible ({low:g} to {high:g}): is it a Quick percentage?")
BEFORE = N_("an INR of {inr:g} before the first tablet on record: tablets are missing, or something else prolongs it")
STRAY = N_("the last INR, {inr:g}, is nothing like what the tablets on record lead to: check both first")
WEEK = N_("{weekly:g} mg a week")
ONE_OUT, SOME_OUT = N_("the first evening left out"), N_("the first {evenings:d} evenings left out")
NO_TABLET, AGAIN = N_("no tablet on the first {evenings:d} evenings"), N_("a tablet every evening again")
DUE, INR_IN = N_("the INR is due in {days:d} days"), N_("INR in {days:d} days")
THEN = N_("then about {weekly:g} mg a week")


@dataclass(frozen=True)
class Compared:
    """One future that is compared: mg on each evening `[D]`, and what it is in words."""

    name: str
    does: str
    doses: Tensor


def regimen_of(world: World, recording: Recording, person: Personalisation, *, seed: int = 0) -> Suggestion:
    """One suggestion: what to change, no change, or why it abstains."""
    targets = recording.targets or USUAL
    return replace(_suggested(world, recording, person, targets, seed), targets=recording.targets)


def _suggested(world: World, recording: Recording, person: Personalisation, targets: Targets, seed: int) -> Suggestion:
    series, regimen = recording.series, recording.regimen
    provenance = world.provenance(seed, recording.data, asked=question("regimen", recording.prescribed))
    reasons = reasons_for_silence(series, person)
    if reasons or regimen is None:
        told = reasons or (N_("no regimen is prescribed and none can be told from the recording"),)
        return abstaining(series, "regimen", provenance, told)
    asked = asked_of(series, regimen)
    with stage("encode"):
        courses = courses_of(world.model, [series], [person], seed=seed)
    with stage("search"):
        found = search(courses, [asked], targets)
    if bool(found.plans.abstained[0]) and asked.begun:
        told = tuple(NOTHING.format(rule=breach.rule) for breach in found.plans.reasons[0])
        return abstaining(series, "regimen", provenance, told)
    with stage("explain"):
        return _told(series, regimen, asked, courses, found, provenance, targets)


def reasons_for_silence(series: PatientSeries, person: Personalisation) -> tuple[str, ...]:
    """Why nothing can be suggested; empty when something can. A course without any INR can begin: covariates are enough."""
    inr, dose = series.column("inr"), np.nan_to_num(series.column("warfarin"))
    known = np.flatnonzero(np.isfinite(inr))
    reasons = []
    odd = [float(inr[row]) for row in known if not LOWEST_INR <= inr[row] <= HIGHEST_INR]
    if odd:
        reasons.append(IMPOSSIBLE.format(inr=odd[0], low=LOWEST_INR, high=HIGHEST_INR))
    taken = np.flatnonzero(dose > 0)
    first = int(taken[0]) if len(taken) else len(series)
    before = [float(inr[row]) for row in known if row < first]
    if before and max(before) > UNTREATED:
        reasons.append(BEFORE.format(inr=max(before)))
    if len(known) > 1 and len(person.scores) and not float(person.scores.flatten()[-1]) <= ABSURD:
        reasons.append(STRAY.format(inr=float(inr[known[-1]])))
    return tuple(reasons)


def asked_of(series: PatientSeries, regimen: Regimen) -> Asked:
    """What the search asks of a patient."""
    dose, inr = np.nan_to_num(series.column("warfarin")), series.column("inr")
    taken, known = np.flatnonzero(dose > 0), inr[np.isfinite(inr)]
    half = increment(regimen.strengths)
    begun = regimen.weekly > 0
    weekly = regimen.weekly if begun else max(half, half * round(starting_dose(series) / half))
    return Asked(
        weekly=weekly,
        days=len(series) - int(taken[0]) if len(taken) else 0,
        last=float(known[-1]) if len(known) else None,
        strengths=regimen.strengths,
        begun=begun,
    )


def starting_dose(series: PatientSeries) -> float:
    """Mg a week by the IWPC's equation: with genotype where it is known."""
    known = covariates_of(series.facts)
    return iwpc_clinical(known) if known.cyp2c9 is None and known.vkorc1 is None else iwpc_pharmacogenetic(known)


def _told(
    series: PatientSeries,
    regimen: Regimen,
    asked: Asked,
    courses: Courses,
    found: Found,
    provenance: Mapping[str, str],
    targets: Targets,
) -> Suggestion:
    """What the search answered, as a suggestion."""
    weekly, hold, due = found.weekly[0], found.hold[0], found.due[0]
    futures = _compared(regimen, asked, found, targets)
    levels = courses.levels(torch.stack([each.doses for each in futures]).unsqueeze(0))[0]
    options = tuple(_option(each, level, targets) for each, level in zip(futures, levels, strict=True))
    unchanged = weekly == regimen.weekly and hold == regimen.hold
    lines = _lines(regimen, asked, weekly, hold, due, len(np.flatnonzero(series.mask[:, 0])), targets)
    return replace(
        abstaining(series, "regimen", provenance, ()),
        abstained=False,
        reasons=tuple(why_in_words(asked, regimen, weekly, hold, due, options, float(found.suits[0]), targets)),
        lines=() if unchanged and due == regimen.next_inr else lines,
        options=options,
        limits_bound=found.plans.bound[0],
        banners=_banners(series),
    )


def _compared(regimen: Regimen, asked: Asked, found: Found, targets: Targets) -> list[Compared]:
    """The proposal, no change, and what a protocol does, where there is one: Aurora's table is for a range of 2 to 3.

    While a course starts, the dose proposed is one until the next INR, and what is expected to suit follows it.
    """
    weekly, hold, due, suits = found.weekly[0], found.hold[0], found.due[0], float(found.suits[0])

    def course(week: float, left_out: int = 0) -> Tensor:
        doses = torch.full((SHOWN,), min(MOST_A_DAY, week / 7))
        doses[:left_out] = 0.0
        return doses

    half = increment(regimen.strengths)
    if asked.begun and asked.last is not None:
        table = aurora(asked.last, asked.days)
        by, said = max(0.0, half * round(table.factor * regimen.weekly / half)), "Aurora"
        left_out = table.hold
    else:
        by, left_out, said = asked.weekly, 0, "IWPC"
    proposed, doses = f"{_week(weekly, hold)}, {INR_IN.format(days=due)}", course(weekly, hold)
    if asked.for_now(weekly, suits):
        proposed, doses[due:] = f"{proposed}, {THEN.format(weekly=suits)}", suits / 7
    futures = [
        Compared("proposed", proposed, doses),
        Compared("no change", _week(regimen.weekly, regimen.hold), course(regimen.weekly, regimen.hold)),
        Compared("protocol", f"{said}: {_week(by, left_out)}", course(by, left_out)),
    ]
    return futures if said != "Aurora" or dict(targets.levels) == dict(USUAL.levels) else futures[:-1]


def _week(weekly: float, evenings: int) -> str:
    out = "" if not evenings else f", {ONE_OUT if evenings == 1 else SOME_OUT.format(evenings=evenings)}"
    return WEEK.format(weekly=weekly) + out


def _option(compared: Compared, levels: Tensor, targets: Targets) -> Option:
    """A future's path and outcomes over particles: levels `[P, D]`."""
    least, most = targets.levels["low"], targets.levels["high"]
    shares = {
        "in_range": 100.0 * ((levels >= least) & (levels <= most)).float().mean(1),
        "above_4": 100.0 * (levels > TOO_HIGH).float().mean(1),
        "below_2": 100.0 * (levels < least).float().mean(1),
        "mean": levels.mean(1),
        "risk": risk_for(targets)(levels).mean(1),
    }
    return Option(
        name=compared.name,
        path=path_of(levels, float(DAY * levels.shape[1])),
        outcomes={name: interval(value) for name, value in shares.items()},
        does=compared.does,
    )


def _lines(
    regimen: Regimen, asked: Asked, weekly: float, hold: int, due: int, readings: int, targets: Targets
) -> tuple[Line, ...]:
    """What would change: the weekly dose, evenings left out, the next INR."""
    limits = STARTING if asked.starting or not asked.begun else LINE_LIMITS["weekly_dose"]
    reference, less = regimen.weekly or asked.weekly, limits.per_visit
    if asked.last is not None and asked.last > TOO_HIGH:
        less = max(less, limits.against_danger if asked.last >= DANGER else limits.against_harm)
    lines = []
    if weekly != regimen.weekly:
        lines.append(
            Line(
                key="weekly_dose@0", setting="weekly_dose", start=0, end=DAY, unit="mg a week", current=regimen.weekly,
                proposed=weekly, lowest=max(limits.low, reference * (1 - less)),
                highest=min(limits.high, reference * (1 + limits.per_visit)), absolute_low=limits.lowest,
                absolute_high=limits.highest, days=readings, why=tablets(week_of(weekly, regimen.strengths)),
            )
        )  # fmt: skip
    if hold != regimen.hold:
        lines.append(
            Line(
                key="hold@0", setting="hold", start=0, end=DAY, unit="evenings", current=float(regimen.hold),
                proposed=float(hold), lowest=0.0, highest=4.0, absolute_low=0.0, absolute_high=7.0, days=readings,
                why=NO_TABLET.format(evenings=hold) if hold else AGAIN,
            )
        )  # fmt: skip
    lines.append(
        Line(
            key="next_inr@0", setting="next_inr", start=0, end=DAY, unit="days", current=float(regimen.next_inr),
            proposed=float(due), lowest=1.0, highest=float(SOON if _out(asked.last, targets) else 28), absolute_low=1.0,
            absolute_high=84.0, days=readings, why=DUE.format(days=due),
        )
    )  # fmt: skip
    return tuple(lines)


def _out(last: float | None, targets: Targets) -> bool:
    return last is not None and not targets.levels["low"] <= last <= targets.levels["high"]


def _banners(series: PatientSeries) -> tuple[str, ...]:
    """What must be known first."""
    found = []
    if "cyp2c9" not in series.facts and "vkorc1" not in series.facts:
        found.append(N_("the genotype is not known: the first INRs decide more"))
    raises = N_("another drug raises the INR: the dose must change again when it is stopped")
    lowers = N_("another drug lowers the INR: the dose must change again when it is stopped")
    for name, told in (("inhibitor", raises), ("inducer", lowers)):
        if series.column(name)[-1] == 1:
            found.append(told)
    return tuple(found)
