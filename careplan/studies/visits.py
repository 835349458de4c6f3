"""careplan at every visit of virtual people, beside guideline titration, autotune and those who know the truth."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from careplan.clinic import decisions
from careplan.clinic.errors import ClinicError, ReviewError
from careplan.covariates import CourseFacts
from careplan.practice import SettingChange
from careplan.recording import Signed
from careplan.series import PatientSeries
from careplan.studies import visits_judged as visits
from careplan.studies.visits_aims import Record, aims, frame
from careplan.suggestion import Decision, Suggestion, predicted
from careplan.therapies.glucose.decisions import judge
from careplan.therapies.glucose.declaration import GLUCOSE, Group, Regimen
from careplan.therapies.glucose.lines import recent_readings
from careplan.therapies.glucose.names import raises_insulin
from careplan.therapies.glucose.regimen import apply_changes
from careplan.therapies.glucose.regimen_search import Case, suggest_regimen
from careplan.world.loaded import World
from careplan.world.personalise import Personalisation, personalise
from cohorts.families import Family
from cohorts.population import GROUPS
from cohorts.replay import Replay
from cohorts.scenarios import ROWS

NAME, UNCHANGED, TITRATION, AUTOTUNE, TRUTH = "careplan", "no change", "titration", "autotune", "truth"
ACCEPTED = "accepted as it was proposed"  # the reason that a value beyond its recommended range needs


@dataclass(frozen=True)
class Visits:
    """people: a row a reviewer, person and fortnight; summary, too_strong and losses as `visits_judged` makes them; aims and
    records as `visits_aims` does; silent: how often careplan abstained, by reason; refused: what it proposed that could not be
    signed as it stands, by reason."""

    people: pd.DataFrame
    summary: pd.DataFrame
    too_strong: pd.DataFrame
    losses: pd.DataFrame
    aims: pd.DataFrame
    records: pd.DataFrame
    silent: dict[str, int]
    refused: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class VisitsQuestion:
    """Of which virtual people, and over how many visits a fortnight apart.

    people: in every group; seed: draws them. lives: the seed of their lives, by default that of the people. start: how settings
    are off, of `visits_judged.STARTS`; mis_set: how far, the spread of the logarithm. family: the equations of their bodies.
    pens: the share who use pens.
    """

    people: int
    count: int = 4
    seed: int = 0
    lives: int | None = None
    start: str = "off by a third"
    family: Family = "padova"
    mis_set: float = 0.3
    pens: float = 0.3
    groups: Sequence[Group] = GROUPS


def evaluate_visits(world: World, asked: VisitsQuestion, *, say: Callable[[str], None] = print) -> Visits:
    """Virtual people at their visits, under each reviewer in the same lives.

    Raises:
        ClinicError: The model was trained or reported on these people.
    """
    seed, start = asked.seed, asked.start
    if seed in (world.card["virtual"]["seed"], world.card["virtual"]["seed"] + 1):
        raise ClinicError(f"seed {seed} draws the virtual patients that the model was trained or reported on: choose another")
    life = seed if asked.lives is None else asked.lives
    them = visits.cohort(
        asked.people,
        seed,
        start=start,
        mis_set=asked.mis_set,
        pens=asked.pens,
        groups=asked.groups,
        family=asked.family,
    )
    clinic = Clinic(world, say)
    reviewers: dict[str, visits.Visit] = {
        UNCHANGED: visits.no_change,
        TITRATION: visits.titrate,
        AUTOTUNE: visits.autotune,
        NAME: clinic.visit,
        "truth, 20 % a visit": visits.truth(them, per_visit=0.2),
        TRUTH: visits.truth(them),
    }

    def report(done: int, of: int) -> None:
        say(f"fortnight {done} of {of}")

    begin = visits.first_regimens(them, start, seed)
    lived = visits.live_side_by_side(them, reviewers, visits=asked.count, seed=life, begin=begin, progress=report)
    tables = [visits.table(*replay, name) for name, replay in lived.items()]
    everyone = pd.concat([visits.against_no_change(table, tables[0]) for table in tables], ignore_index=True)
    return Visits(
        people=everyone,
        summary=visits.summarise(everyone, seed=seed),
        too_strong=visits.too_strong(everyone),
        losses=visits.losses(everyone, NAME, (TITRATION, AUTOTUNE)),
        aims=aims(everyone, clinic.records, start, ours=NAME, unchanged=UNCHANGED, baseline=TITRATION, suits=TRUTH),
        records=frame(clinic.records),
        silent=dict(clinic.silent),
        refused=dict(clinic.refused),
    )


@dataclass
class Clinic:
    """Visits as `careplan plan` makes them of stored patients, every proposed line accepted and signed.

    records: each person at each visit. changes: that were signed, by person. silent: why it abstained; refused: why what it
    proposed cannot be signed, so that nothing changes.
    """

    world: World
    say: Callable[[str], None] = print
    records: list[Record] = field(default_factory=list)
    changes: dict[str, list[Signed]] = field(default_factory=dict)
    silent: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    def visit(self, lived: Replay, regimens: Sequence[Regimen]) -> Sequence[Regimen]:
        """What is in force from now on."""
        series = [lived.series(index) for index in range(len(regimens))]
        known, after = personalise(self.world.model, series), []
        for index, (recorded, person, regimen) in enumerate(zip(series, known, regimens, strict=True)):
            after.append(self._seen(recorded, person, regimen, lived.people.groups[index]))
            self.say(f"{NAME}: {index + 1} of {len(series)} regimens planned")
        return after

    def _seen(self, series: PatientSeries, person: Personalisation, regimen: Regimen, group: str) -> Regimen:
        """One person, and a record of it."""
        changes = self.changes.setdefault(series.patient, [])
        found = suggest_regimen(self.world, Case(series=series, person=person, regimen=regimen, changes=changes), {})
        self.silent.update(found.reasons if found.abstained else ())
        try:
            after = accepted(regimen, found, series, group)
        except ReviewError as error:
            self.refused.update(error.problems)
            after = regimen
        expected = predicted(found)
        if after != regimen:
            since = series.start + pd.Timedelta(minutes=GLUCOSE.step * len(series))
            changes.append(Signed(since=since, before=regimen, after=after, predicted=expected))
        still, then = expected.get("mean", (math.nan, math.nan))
        level = recent_readings(series).column(GLUCOSE.regulated)
        self.records.append(
            Record(
                person=series.patient,
                visit=len(series) // (visits.DAYS * ROWS),
                source=found.source,
                abstained=found.abstained,
                changed=after != regimen,
                lowered=any(not raises_insulin(line, line.proposed) for line in found.lines),
                below_70=100.0 * float((level < 70).sum()) / max(1, int((~np.isnan(level)).sum())),
                predicted=then - still,
                nth=len(changes),
                reasons=found.reasons,
            )
        )
        return after


def accepted(regimen: Regimen, found: Suggestion, series: PatientSeries, group: str) -> Regimen:
    """The regimen with every proposed line accepted as it stands, by the rules of a signature.

    Raises `ReviewError` with every reason why nobody could sign that.
    """
    recent = recent_readings(series)
    readings = pd.DataFrame({"time": recent.times.tz_convert(recent.zone), "value": recent.column(GLUCOSE.regulated)}).dropna()
    facts = CourseFacts(group=group, covariates=series.facts)
    decided = [Decision(key=line.key, verdict="accept", value=line.proposed, reason=ACCEPTED) for line in found.lines]
    if problems := decisions.problems(found.lines, decided, judge(found, readings, facts, regimen)):
        raise ReviewError(problems)
    changes = [SettingChange(line.setting, line.start, line.end, line.proposed) for line in found.lines]  # type: ignore[arg-type]
    return apply_changes(regimen, changes)
