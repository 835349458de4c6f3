"""careplan at every visit of virtual people, beside guideline titration, autotune and those who know the truth."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from careplan.clinic import decisions
from careplan.clinic.errors import ClinicError, ReviewError
from careplan.practice import SettingChange
from careplan.series import PatientSeries
from careplan.studies import visits_judged as visits
from careplan.suggestion import Decision, Suggestion
from careplan.therapies.glucose.decisions import judge
from careplan.therapies.glucose.declaration import GLUCOSE, Group, Regimen
from careplan.therapies.glucose.regimen import apply_changes
from careplan.therapies.glucose.regimen_search import recent_part, suggest_regimen
from careplan.world.loaded import World
from careplan.world.personalise import personalise
from cohorts.population import GROUPS
from cohorts.replay import Replay

NAME, UNCHANGED, TITRATION, AUTOTUNE = "careplan", "no change", "titration", "autotune"
ACCEPTED = "accepted as it was proposed"  # the reason that a value beyond its recommended range needs


@dataclass(frozen=True)
class Visits:
    """people: a row a reviewer, person and fortnight; summary, too_strong and losses as `evaluation.visits` makes them; silent:
    how often careplan abstained, by reason; refused: what it proposed that could not be signed as it stands, by reason."""

    people: pd.DataFrame
    summary: pd.DataFrame
    too_strong: pd.DataFrame
    losses: pd.DataFrame
    silent: dict[str, int]
    refused: dict[str, int]


def evaluate_visits(
    world: World,
    *,
    people: int,
    count: int = 4,
    seed: int = 0,
    lives: int | None = None,
    mis_set: float = 0.3,
    pens: float = 0.3,
    strong: bool = False,
    groups: Sequence[Group] = GROUPS,
    say: Callable[[str], None] = print,
) -> Visits:
    """`people` virtual people of every group, `count` visits a fortnight apart, under each reviewer in the same lives.

    lives: the seed of these, by default that of the people. strong: everybody's settings are `visits.STRONG`.
    Raises `ClinicError` for people the model was trained or reported on.
    """
    if seed in (world.card["virtual"]["seed"], world.card["virtual"]["seed"] + 1):
        raise ClinicError(f"seed {seed} draws the virtual patients that the model was trained or reported on: choose another")
    life = seed if lives is None else lives
    them = visits.cohort(people, seed, mis_set=mis_set, pens=pens, strong=strong, groups=groups)
    silent: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    reviewers: dict[str, visits.Visit] = {
        UNCHANGED: visits.no_change,
        TITRATION: visits.titrate,
        AUTOTUNE: visits.autotune,
        NAME: planned(world, silent, refused, say),
        "truth, 20 % a visit": visits.truth(them, per_visit=0.2),
        "truth": visits.truth(them),
    }

    def told(done: int, of: int) -> None:
        say(f"fortnight {done} of {of}")

    lived = visits.live_side_by_side(them, reviewers, visits=count, seed=life, progress=told)
    tables = [visits.table(*replay, name) for name, replay in lived.items()]
    everyone = pd.concat([visits.against_no_change(table, tables[0]) for table in tables], ignore_index=True)
    return Visits(
        people=everyone,
        summary=visits.summarise(everyone, seed=seed),
        too_strong=visits.too_strong(everyone),
        losses=visits.losses(everyone, NAME, (TITRATION, AUTOTUNE)),
        silent=dict(silent),
        refused=dict(refused),
    )


def planned(world: World, silent: Counter[str], refused: Counter[str], say: Callable[[str], None] = print) -> visits.Visit:
    """A visit as `careplan plan` makes it of stored patients, every proposed line accepted and signed. silent: counts why it
    abstained; refused: why what it proposed cannot be signed, so that nothing changes."""

    def visit(lived: Replay, regimens: Sequence[Regimen]) -> Sequence[Regimen]:
        series = [lived.series(index) for index in range(len(regimens))]
        known, after = personalise(world.model, series), []
        for index, (recorded, person, regimen) in enumerate(zip(series, known, regimens, strict=True)):
            found = suggest_regimen(world, recorded, person, regimen, {})
            silent.update(found.reasons if found.abstained else ())
            try:
                after.append(accepted(regimen, found, recorded, lived.people.groups[index]))
            except ReviewError as error:
                refused.update(error.problems)
                after.append(regimen)
            say(f"{NAME}: {index + 1} of {len(series)} regimens planned")
        return after

    return visit


def accepted(regimen: Regimen, found: Suggestion, series: PatientSeries, group: str) -> Regimen:
    """The regimen with every proposed line accepted as it stands, by the rules of a signature.

    Raises `ReviewError` with every reason why nobody could sign that.
    """
    recent = recent_part(series)
    readings = pd.DataFrame({"time": recent.times.tz_convert(recent.zone), "value": recent.column(GLUCOSE.regulated)}).dropna()
    decided = [Decision(key=line.key, verdict="accept", value=line.proposed, reason=ACCEPTED) for line in found.lines]
    if problems := decisions.problems(found.lines, decided, judge(found, readings, group, regimen)):
        raise ReviewError(problems)
    changes = [SettingChange(line.setting, line.start, line.end, line.proposed) for line in found.lines]  # type: ignore[arg-type]
    return apply_changes(regimen, changes)
