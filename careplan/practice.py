"""What a disease brings beside its declaration, so that a clinic can treat it: a `Practice`, functions and constants.

`careplan.therapy` says what the planner must know; this says what people need: what is prescribed and how it changes, how
suggestions are made, what may be signed, how a patient looks at a glance. The clinic calls these and knows nothing more.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pandas as pd

from careplan.breach import RULES, Breach
from careplan.covariates import Fact
from careplan.recording import Recording
from careplan.records.settings import Settings
from careplan.series import PatientSeries
from careplan.suggestion import Kind, Line, Suggestion
from careplan.therapy import Limits, Therapy
from careplan.world.loaded import World
from careplan.world.model import load_card
from careplan.world.personalise import Personalisation


class Change(NamedTuple):
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

    at: None is after each one's last reading. announced: what the patient will do, in words. limits: by patient; the group's
    where absent. simulations: of each search.
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


class Judge(Protocol):
    """What the rules say of a value of a line of a suggestion.

    readings: the recent ones, `time` on the patient's clock and `value`. group: the patient's. regimen: what is in force, if any.
    """

    def __call__(
        self, suggestion: Suggestion, readings: pd.DataFrame, group: str, regimen: Any | None
    ) -> Callable[[Line, float], Judged]: ...


@dataclass(frozen=True, kw_only=True)
class Practice:
    """One therapy in use.

    limits: by group of patients, the first group being everybody's where none is stated. recent: how long readings count for
    targets and tables. holds: how long a suggestion of each kind may be signed.

    The regimen. regimen: its type, a frozen dataclass of plain values, as it is stored. stated: from what a source states;
    `ValueError` for what cannot be a regimen. estimate: from a recording, None where it does not say. changed: with some settings
    changed; `ValueError` for a change that it cannot take. current: what a line of a suggestion is now. listed: by setting,
    `((start minute, value), ...)`.

    Suggestions. plan_regimen, plan_doses (None where a therapy has no such plans).

    A person decides. judge: what the rules say of a value of a line. caution: what a page warns of beside a suggestion, by the
    recent readings.

    known: what a source says of a patient, as the therapy's covariates; `ValueError` for what cannot be.

    rules: what it says of a rule that is broken, by the rule's name, as `careplan.breach.in_words` fills it in.

    weights: the folder with the weights of its world model and their card; None where it ships none.

    At a glance. glance: readings (columns `time`, `value`) -> `Glance`, whose metrics are of the type `measures`. daily_dose: the
    usual amount a day of a recording, None where it does not say. profile, days: what the therapy's charts draw of the recent
    recording; None draws an empty profile.
    """

    therapy: Therapy
    limits: Mapping[str, Limits]
    recent: timedelta
    holds: Mapping[Kind, timedelta]
    regimen: type[Any]
    stated: Callable[[Settings], Any]
    estimate: Callable[[PatientSeries], Any | None]
    changed: Callable[[Any, Sequence[Change]], Any]
    current: Callable[[Any, Line], float]
    listed: Callable[[Any], Mapping[str, tuple[tuple[int, float], ...]]]
    plan_regimen: PlanRegimen | None
    plan_doses: PlanDoses | None
    judge: Judge
    caution: Callable[[Suggestion, pd.DataFrame], str | None]
    glance: Callable[[pd.DataFrame], Glance]
    daily_dose: Callable[[PatientSeries], float | None]
    profile: Callable[[PatientSeries | None], Any]
    days: Callable[[PatientSeries], tuple[Any, ...]]
    weights: Path | None = None
    measures: type[Any] = dict
    rules: Mapping[str, str] = field(default_factory=lambda: RULES)
    known: Callable[[Mapping[str, Fact]], Mapping[str, Fact]] = dict

    @property
    def name(self) -> str:
        return self.therapy.name

    @property
    def card(self) -> Mapping[str, Any] | None:
        """What is written beside the weights: data, seeds, metrics, limits."""
        return None if self.weights is None else load_card(self.therapy, self.weights)
