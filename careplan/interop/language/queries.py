"""The twelve kinds of question as typed queries: what was understood, checked, ready to be shown, corrected and answered.

A query asks and changes nothing: none has a field for what to store, to sign or to give.
"""

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from careplan.minutes import DAY

Clock = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$", description="HH:MM on the patient's clock")]
Meal = Literal["breakfast", "lunch", "dinner"]
Setting = Literal["basal", "carb_ratio", "correction_factor", "long_acting"]
Side = Literal["low", "high"]
Minute = Annotated[int, Field(ge=0, lt=DAY, description="minutes after local midnight")]


class Strict(BaseModel):
    """Frozen, and refuses fields that it has not."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Period(Strict):
    """Whole local days, both ends included."""

    first: date
    last: date

    @model_validator(mode="after")
    def ordered(self) -> "Period":
        """The period; raises `ValueError` where it ends before it begins."""
        if self.last < self.first:
            raise ValueError(f"a period from {self.first} to {self.last} ends before it begins")
        return self

    def __str__(self) -> str:
        return f"{self.first}" if self.first == self.last else f"{self.first} to {self.last}"


class Forecast(Strict):
    """Where glucose is going: from a time of the recording on, or from its end."""

    kind: Literal["forecast"] = "forecast"
    patient: str
    hours: Annotated[float, Field(gt=0)] = 4.0
    day: date | None = None
    time: Clock | None = None
    about: Side | None = None

    def said(self) -> str:
        start = "the last reading" if self.time is None else f"{self.time} on {self.day}"
        about = f", and the risk of a {self.about}" if self.about else ""
        return f"{self.patient}: forecast {self.hours:g} h from {start}{about}"


class Counterfactual(Strict):
    """What would have come of another bolus, meal or basal rate: `to` sets it, `change` adds to it, `times` multiplies it."""

    kind: Literal["counterfactual"] = "counterfactual"
    patient: str
    channel: Literal["bolus", "carbs", "basal"]
    day: date
    to: Annotated[float, Field(ge=0)] | None = None
    change: float | None = None
    times: Annotated[float, Field(ge=0)] | None = None
    meal: Meal | None = None
    time: Clock | None = None
    until: Clock | None = None

    @model_validator(mode="after")
    def whole(self) -> "Counterfactual":
        """The counterfactual; raises `ValueError` where it has no change or several, or no time to which the change applies."""
        if sum(value is not None for value in (self.to, self.change, self.times)) != 1:
            raise ValueError("a counterfactual has one of to, change and times")
        if self.time is None and self.meal is None:
            raise ValueError("a counterfactual needs a time or a meal")
        if (self.channel == "basal") != (self.until is not None):
            raise ValueError("a basal rate is changed from a time until another; what is given at once has one time")
        return self

    def said(self) -> str:
        unit = {"bolus": "U", "carbs": "g", "basal": "U/h"}[self.channel]
        if self.to is not None:
            what = f"{self.channel} {self.to:g} {unit}"
        else:
            what = f"{self.channel} {self.change:+g} {unit}" if self.change is not None else f"{self.channel} x {self.times:g}"
        when = (
            f"at {self.meal}" if self.time is None else f"at {self.time}" if self.until is None else f"{self.time}-{self.until}"
        )
        return f"{self.patient}: {what} {when} on {self.day}, everything else as recorded"


class ComparePeriods(Strict):
    """Two stretches of one patient's days, the earlier first."""

    kind: Literal["compare_periods"] = "compare_periods"
    patient: str
    first: Period
    second: Period

    def said(self) -> str:
        return f"{self.patient}: {self.first} against {self.second}"


class Why(Strict):
    """Why the newest suggestion is what it is, or one of its lines."""

    kind: Literal["why"] = "why"
    patient: str
    setting: Setting | None = None
    minute: Minute | None = None

    def said(self) -> str:
        return f"{self.patient}: why the suggestion" + _about(self.setting, self.minute)


class WhoNeedsALook(Strict):
    """The worklist: the most urgent first."""

    kind: Literal["who_needs_a_look"] = "who_needs_a_look"
    count: Annotated[int, Field(ge=1)] | None = None

    def said(self) -> str:
        return f"who needs a look: the {self.count or 'ten'} most urgent"


class Limits(Strict):
    """The limits that hold for a patient's doses and settings."""

    kind: Literal["limits"] = "limits"
    patient: str

    def said(self) -> str:
        return f"{self.patient}: the limits that hold"


class CohortReplay(Strict):
    """Virtual people under one or more policies."""

    kind: Literal["cohort_replay"] = "cohort_replay"
    populations: Annotated[tuple[str, ...], Field(min_length=1, description="GROUP:PEOPLE, such as adult:100")]
    policies: Annotated[tuple[str, ...], Field(min_length=1)]
    days: Annotated[int, Field(ge=1, le=365)] = 14

    def said(self) -> str:
        return f"replay {' and '.join(self.populations)} for {self.days} days under {' and '.join(self.policies)}"


class Summary(Strict):
    """How a patient is doing: over the whole recording, or a stretch of it."""

    kind: Literal["summary"] = "summary"
    patient: str
    period: Period | None = None

    def said(self) -> str:
        return f"{self.patient}: summary of {self.period or 'the whole recording'}"


class Plan(Strict):
    """The newest suggestion and what a person decided of it. dose: a dose was asked for, which no answer decides."""

    kind: Literal["plan"] = "plan"
    patient: str
    dose: bool = False

    def said(self) -> str:
        return f"{self.patient}: the plan that a person has reviewed" + (" (careplan decides no dose)" if self.dose else "")


class RegimenInForce(Strict):
    """What is prescribed, or one setting of it, at a time of day."""

    kind: Literal["regimen"] = "regimen"
    patient: str
    setting: Setting | None = None
    minute: Minute | None = None

    def said(self) -> str:
        return f"{self.patient}: what is prescribed" + _about(self.setting, self.minute)


class Evaluation(Strict):
    """How good the model is: the figures on its card."""

    kind: Literal["evaluation"] = "evaluation"

    def said(self) -> str:
        return "how good the model in use is, by its card"


class Episodes(Strict):
    """When a patient was low or high. below, above: the threshold in mg/dL that was named; else the patient's targets say."""

    kind: Literal["episodes"] = "episodes"
    patient: str
    side: Side
    period: Period | None = None
    below: float | None = None
    above: float | None = None

    def said(self) -> str:
        level = self.below if self.side == "low" else self.above
        side = "below" if self.side == "low" else "above"
        bound = f"{side} the patient's range" if level is None else f"{side} {level:g} mg/dL"
        return f"{self.patient}: glucose {bound} in {self.period or 'the whole recording'}"


Query = Annotated[
    Forecast
    | Counterfactual
    | ComparePeriods
    | Why
    | WhoNeedsALook
    | Limits
    | CohortReplay
    | Summary
    | Plan
    | RegimenInForce
    | Evaluation
    | Episodes,
    Field(discriminator="kind"),
]
QUERY: TypeAdapter[Any] = TypeAdapter(Query)
KINDS: tuple[str, ...] = (
    *("forecast", "counterfactual", "compare_periods", "why", "who_needs_a_look", "limits"),
    *("cohort_replay", "summary", "plan", "regimen", "evaluation", "episodes"),
)


class Reading(Strict):
    """What was made of a question: a query, or what is asked back with the choices there are. Never both."""

    question: str
    query: Query | None = None
    asks: str | None = None
    choices: tuple[str, ...] = ()

    @model_validator(mode="after")
    def one_of_both(self) -> "Reading":
        """The answer; raises `ValueError` where it is both understood and asked back, or neither."""
        if (self.query is None) == (self.asks is None):
            raise ValueError("a question is either understood or asked back")
        return self


def _about(setting: str | None, minute: int | None) -> str:
    named = "" if setting is None else f", {setting.replace('_', ' ')}"
    return named + ("" if minute is None else f" at {minute // 60:02d}:{minute % 60:02d}")
