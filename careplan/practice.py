"""What a disease brings beside its declaration, so that a clinic can treat it: a `Practice`, functions and constants.

`careplan.therapy` says what the planner must know; this says what people need: what is prescribed and how it changes, how
suggestions are made, what may be signed, how a patient looks at a glance. The clinic calls these and knows nothing more.
A `Practice` is quick to import: what its functions need is loaded when they are called (`careplan.practice.later`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from careplan.breach import RULES, Breach
from careplan.covariates import CourseFacts, Fact
from careplan.display import Marks, Unit
from careplan.records.settings import StatedSettings
from careplan.suggestion import Experiment, Kind, Line, Option, Suggestion
from careplan.targets import Presets, Targets
from careplan.therapy import Limits, Therapy

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from careplan.recording import Recording, Signed
    from careplan.series import PatientSeries
    from careplan.world.loaded import World
    from careplan.world.personalise import Personalisation


def later(module: str, *names: str) -> tuple[Callable[..., Any], ...]:
    """Functions of a module that is imported when the first of them is called."""

    def function(name: str) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            return getattr(import_module(module), name)(*given, **named)

        return call

    return tuple(function(name) for name in names)


(course_of,) = later("careplan.course", "course_of")


class SettingChange(NamedTuple):
    """One setting of a regimen from `start` to `end` minutes of the local day."""

    setting: str
    start: int
    end: int
    value: float


@dataclass(frozen=True, kw_only=True)
class Glance:
    """What the readings of a stretch of time say of a patient.

    days: that the readings cover. metrics: the therapy's own summary, which its tables and charts read. sufficient: whether there
    is enough to plan on. urgency: larger is sooner; headline: why, in words.
    """

    days: float
    metrics: Any
    measured: bool
    sufficient: bool
    urgency: float
    headline: str
    unmet: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What a therapy's rules say of one value of one line, when a person decides on it.

    lowest, highest: nobody can sign beyond these. guarded: the rules of the planner that it breaks. forbidden: why nobody
    can sign it. caution: why it needs a typed reason.
    """

    lowest: float
    highest: float
    guarded: tuple[Breach, ...] = ()
    forbidden: str | None = None
    caution: str | None = None


class PlanRegimen(Protocol):
    """Suggests a regimen to one patient."""

    def __call__(self, world: World, recording: Recording, person: Personalisation, *, seed: int = 0) -> Suggestion: ...


class PlanDoses(Protocol):
    """Suggests the doses of the next hours to many patients at once.

    at: None is after each one's last reading. announced: what the patient will do, in words. limits: by patient's name; those of
    `Practice.limits` where absent. simulations: of each search.
    """

    def __call__(
        self,
        world: World,
        recordings: Sequence[Recording],
        people: Sequence[Personalisation],
        *,
        at: pd.Timestamp | None = None,
        announced: Sequence[str] = (),
        seed: int = 0,
        limits: Mapping[str, Limits] | None = None,
        simulations: int | None = None,
    ) -> list[Suggestion]: ...


class Rehearsed(NamedTuple):
    """What one regimen would do on the patient's own days, and the rules that it breaks."""

    option: Option
    broken: tuple[Breach, ...]


class Rehearsal(Protocol):
    """One patient's days, ready to be lived under regimens that a person tries.

    lines: every line that can be moved, as it is now. Called with regimens by name, each as the values of the lines that it
    changes, by key.
    """

    @property
    def lines(self) -> tuple[Line, ...]: ...

    def __call__(self, named: Mapping[str, Mapping[str, float]]) -> dict[str, Rehearsed]: ...


class Rehearse(Protocol):
    """Makes a patient's rehearsal, or says why there is none, a reason each."""

    def __call__(
        self, world: World, recording: Recording, person: Personalisation, *, seed: int = 0
    ) -> Rehearsal | tuple[str, ...]: ...


class Judge(Protocol):
    """What the rules say of a value of a line of a suggestion.

    readings: the recent ones, `time` on the patient's clock and `value`. facts: what the patient's limits are by. regimen: what
    is in force, if any.
    """

    def __call__(
        self, suggestion: Suggestion, readings: pd.DataFrame, facts: CourseFacts, regimen: Any | None
    ) -> Callable[[Line, float], Judged]: ...


@dataclass(frozen=True, kw_only=True)
class Words:
    """How a therapy says what it suggests, in one of its units.

    settings: names of the settings of its regimen. units: their units, of those that have one. said: everything there is to say
    of a suggestion, each under its heading, in the order to read it. because: why one line is proposed. limits: the rules that
    bound a suggestion, each once.
    """

    settings: Mapping[str, str]
    said: Callable[[Suggestion, Unit], list[tuple[str, str]]]
    because: Callable[[Line, Suggestion, Unit], str]
    limits: Callable[[Sequence[Breach], Unit], list[str]]
    units: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Lived:
    """Virtual people who lived under a policy: the true level `[B, T]` (`[B, T, Q]` where there are Q outputs) on the therapy's
    grid, each one's record, and whatever their clinic needs to let them live a stretch again."""

    level: Tensor
    series: Callable[[int], PatientSeries]
    truth: Any


@dataclass(frozen=True, kw_only=True)
class VirtualClinic:
    """People with a known truth, to judge policies and predictions by.

    groups: of whom people are drawn. policies: baselines by name, each called for a new one. draw: people of a group, by count
    and seed. live: days of everybody under a policy, by seed. otherwise: the true level `[E, rows]` (`[E, rows, Q]` where there
    are Q outputs) of person `[E]` from row `[E]` on, had all treatment from there been multiplied by `[E]`; by 1 it is what
    happened. every: rows at whose multiples a stretch may begin.
    """

    groups: tuple[str, ...]
    policies: Mapping[str, Callable[[], Any]]
    draw: Callable[[str, int, int], Any]
    live: Callable[[Any, Any, int, int], Lived]
    otherwise: Callable[[Lived, Tensor, Tensor, int, Tensor], Tensor]
    every: int = 1


@dataclass(frozen=True, kw_only=True)
class Practice:
    """One therapy in use.

    groups: of patients, the first being everybody's where none is stated. limits: on one patient's doses, by group and
    covariates; `ValueError` for a group that is none of them. recent: how long readings count for
    targets and tables. holds: how long a suggestion of each kind may be signed.

    The regimen. regimen: its type, a frozen dataclass of plain values, as it is stored. stated: from what a source states;
    `ValueError` for what cannot be a regimen. estimate: from a recording, None where it does not say. changed: with some settings
    changed; `ValueError` for a change that it cannot take. current: what a line of a suggestion is now. listed: by setting,
    `((start minute, value), ...)`.

    Targets. presets: what patients may be treated to. aims: the fields of a practice that depend on what is aimed at, as they are
    for some targets; None where none does. A recording names its patient's targets to what plans.

    Periods. stretches: readings (`time` on the patient's clock, `value`) as stretches that can be drawn anew, a row each:
    `weight`, and an outcome a column, named as options name it; None where the therapy compares no periods.

    Forecasts. carried_on: what goes on by itself for so many rows after a recording (`[rows, C]` in the channels' units, of the
    usual amounts `[C + ...]` and the regimen), for a model that is asked what a plan would do and no more; None where it also
    foresees what everyone will do.

    Suggestions. plan_regimen, plan_doses, rehearse (None where a therapy has no such plans, or tries no settings). experiments:
    signed changes, predicted against lived (None where a therapy does not tell).

    A person decides. judge: what the rules say of a value of a line. caution: what a page warns of beside a suggestion, by the
    recent readings; nothing where a therapy does not say.

    known: what a source says of a patient, as the therapy's covariates; `ValueError` for what cannot be.

    Shown. units: of the regulated level, the therapy's own first. marks: what charts and tables mark. words: how suggestions are
    said. rules: what it says of a rule that is broken, by the rule's name, as `careplan.breach.in_words` fills it in.

    weights: the folder with the weights of its world model and their card; None where it ships none. clinic: where its virtual
    clinic lies, "package.module:NAME"; named and not imported, since virtual people live above the therapies.

    At a glance. glance: readings (columns `time`, `value`) -> `Glance`, whose metrics are of the type `measures`. daily_dose: the
    usual amount a day of a recording, None where it does not say. profile, days: what the therapy's charts draw of the recent
    recording, its course (`careplan.course`) where a therapy brings nothing of its own; None draws an empty profile.

    `careplan.declared.practice_of` makes a whole one from a declaration.
    """

    therapy: Therapy
    groups: tuple[str, ...]
    limits: Callable[[CourseFacts], Limits]
    recent: timedelta
    holds: Mapping[Kind, timedelta]
    regimen: type[Any]
    stated: Callable[[StatedSettings], Any]
    estimate: Callable[[PatientSeries], Any | None]
    changed: Callable[[Any, Sequence[SettingChange]], Any]
    current: Callable[[Any, Line], float]
    listed: Callable[[Any], Mapping[str, tuple[tuple[int, float], ...]]]
    plan_regimen: PlanRegimen | None
    plan_doses: PlanDoses | None
    judge: Judge
    glance: Callable[[pd.DataFrame], Glance]
    caution: Callable[[Suggestion, pd.DataFrame], str | None] = lambda suggestion, readings: None
    daily_dose: Callable[[PatientSeries], float | None] = lambda series: None
    profile: Callable[[PatientSeries | None], Any] = course_of
    days: Callable[[PatientSeries], tuple[Any, ...]] = lambda series: ()
    weights: Path | None = None
    experiments: Callable[[PatientSeries, Sequence[Signed]], tuple[Experiment, ...]] | None = None
    measures: type[Any] = dict
    rehearse: Rehearse | None = None
    rules: Mapping[str, str] = field(default_factory=lambda: RULES)
    known: Callable[[Mapping[str, Fact]], Mapping[str, Fact]] = dict
    units: tuple[Unit, ...] = ()
    marks: Marks | None = None
    words: Words | None = None
    clinic: str | None = None
    stretches: Callable[[pd.DataFrame], pd.DataFrame] | None = None
    carried_on: Callable[[PatientSeries, Tensor, Any | None, int], Tensor] | None = None
    presets: Presets = field(default_factory=Presets)
    aims: Callable[[Targets], Mapping[str, Any]] | None = None

    def at(self, targets: Targets) -> Practice:
        """This practice as it holds for a patient with these targets."""
        return self if self.aims is None else replace(self, **self.aims(targets))

    @property
    def name(self) -> str:
        return self.therapy.name

    def virtual_clinic(self) -> VirtualClinic | None:
        """The virtual clinic, read where it lies; None where the therapy has none.

        Raises:
            ImportError: `clinic` names a module that is not installed.
            TypeError: What lies there is no `VirtualClinic`.
        """
        if self.clinic is None:
            return None
        module, _, name = self.clinic.partition(":")
        found = getattr(import_module(module), name, None)
        if not isinstance(found, VirtualClinic):
            raise TypeError(f"{self.name}: {self.clinic} is a {type(found).__name__}, expected a careplan.practice.VirtualClinic")
        return found

    @property
    def card(self) -> Mapping[str, Any] | None:
        """What is written beside the weights: data, seeds, metrics, limits."""
        from careplan.world.model import load_card

        return None if self.weights is None else load_card(self.therapy, self.weights)
