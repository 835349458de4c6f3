"""The twelve kinds of question as typed queries: what was understood, checked, ready to be shown, corrected and answered.

A query asks and changes nothing: none has a field for what to store, to sign or to give.
"""

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from careplan.language import N_, _
from careplan.minutes import DAY

CHANNELS = (N_("bolus"), N_("carbs"), N_("basal"))
MEALS = (N_("breakfast"), N_("lunch"), N_("dinner"))

NO_WHAT_IF = N_("{patient} is treated under {therapy}: what if is not answered in words there, every other kind of question is.")

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
        return f"{self.first}" if self.first == self.last else _("{first} to {last}", first=self.first, last=self.last)


class Forecast(Strict):
    """Where glucose is going: from a time of the recording on, or from its end."""

    kind: Literal["forecast"] = "forecast"
    patient: str
    hours: Annotated[float, Field(gt=0)] = 4.0
    day: date | None = None
    time: Clock | None = None
    about: Side | None = None

    def said(self) -> str:
        start = _("the last reading") if self.time is None else _("{time} on {day}", time=self.time, day=self.day)
        about = _(", and the risk of a low") if self.about == "low" else _(", and the risk of a high") if self.about else ""
        return _("{patient}: forecast {hours:g} h from {start}", patient=self.patient, hours=self.hours, start=start) + about


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
            what = f"{_(self.channel)} {self.to:g} {unit}"
        else:
            changed = f"{self.change:+g} {unit}" if self.change is not None else f"x {self.times:g}"
            what = f"{_(self.channel)} {changed}"
        when = (
            _("at {time}", time=_(self.meal or "") if self.time is None else self.time)
            if self.until is None
            else f"{self.time}-{self.until}"
        )
        said = N_("{patient}: {what} {when} on {day}, everything else as recorded")
        return _(said, patient=self.patient, what=what, when=when, day=self.day)


class ComparePeriods(Strict):
    """Two stretches of one patient's days, the earlier first."""

    kind: Literal["compare_periods"] = "compare_periods"
    patient: str
    first: Period
    second: Period

    def said(self) -> str:
        return _("{patient}: {first} against {second}", patient=self.patient, first=self.first, second=self.second)


class Why(Strict):
    """Why the newest suggestion is what it is, or one of its lines."""

    kind: Literal["why"] = "why"
    patient: str
    setting: Setting | None = None
    minute: Minute | None = None

    def said(self) -> str:
        return _("{patient}: why the suggestion", patient=self.patient) + _about(self.setting, self.minute)


class WhoNeedsALook(Strict):
    """The worklist: the most urgent first."""

    kind: Literal["who_needs_a_look"] = "who_needs_a_look"
    count: Annotated[int, Field(ge=1)] | None = None

    def said(self) -> str:
        return _("who needs a look: the {count} most urgent", count=self.count or _("ten"))


class Limits(Strict):
    """The limits that hold for a patient's doses and settings."""

    kind: Literal["limits"] = "limits"
    patient: str

    def said(self) -> str:
        return _("{patient}: the limits that hold", patient=self.patient)


class CohortReplay(Strict):
    """Virtual people under one or more policies."""

    kind: Literal["cohort_replay"] = "cohort_replay"
    populations: Annotated[tuple[str, ...], Field(min_length=1, description="GROUP:PEOPLE, such as adult:100")]
    policies: Annotated[tuple[str, ...], Field(min_length=1)]
    days: Annotated[int, Field(ge=1, le=365)] = 14

    def said(self) -> str:
        people, policies = (_(" and ").join(each) for each in (self.populations, self.policies))
        return _("replay {people} for {days} days under {policies}", people=people, days=self.days, policies=policies)


class Summary(Strict):
    """How a patient is doing: over the whole recording, or a stretch of it."""

    kind: Literal["summary"] = "summary"
    patient: str
    period: Period | None = None

    def said(self) -> str:
        return _("{patient}: summary of {period}", patient=self.patient, period=self.period or _("the whole recording"))


class Plan(Strict):
    """The newest suggestion and what a person decided of it. dose: a dose was asked for, which no answer decides."""

    kind: Literal["plan"] = "plan"
    patient: str
    dose: bool = False

    def said(self) -> str:
        said = _("{patient}: the plan that a person has reviewed", patient=self.patient)
        return said + (_(" (careplan decides no dose)") if self.dose else "")


class RegimenInForce(Strict):
    """What is prescribed, or one setting of it, at a time of day."""

    kind: Literal["regimen"] = "regimen"
    patient: str
    setting: Setting | None = None
    minute: Minute | None = None

    def said(self) -> str:
        return _("{patient}: what is prescribed", patient=self.patient) + _about(self.setting, self.minute)


class Evaluation(Strict):
    """How good the model is: the figures on its card."""

    kind: Literal["evaluation"] = "evaluation"

    def said(self) -> str:
        return _("how good the model in use is, by its card")


class Episodes(Strict):
    """When a patient was low or high. below, above: the threshold that was named, of glucose in mg/dL; else the patient's targets
    say. of: what is low or high, where it is not glucose."""

    kind: Literal["episodes"] = "episodes"
    patient: str
    side: Side
    period: Period | None = None
    below: float | None = None
    above: float | None = None
    of: str | None = None

    def said(self) -> str:
        low = self.side == "low"
        level = self.below if low else self.above
        if level is None:
            bound = _("below the patient's range") if low else _("above the patient's range")
        else:
            shown = f"{level:g}" if self.of else f"{level:g} mg/dL"
            bound = _("below {level}", level=shown) if low else _("above {level}", level=shown)
        what, period = _(self.of or N_("glucose")), self.period or _("the whole recording")
        return _("{patient}: {what} {bound} in {period}", patient=self.patient, what=what, bound=bound, period=period)


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
    """What was made of a question: a query, or what is asked back with the choices there are. Never both.

    offers: what may be meant where a question is asked back for words that were not understood. Nothing runs it: a person who
    meant it says so.
    """

    question: str
    query: Query | None = None
    asks: str | None = None
    choices: tuple[str, ...] = ()
    offers: Query | None = None

    @model_validator(mode="after")
    def one_of_both(self) -> "Reading":
        """The reading; raises `ValueError` where it is understood and asked back, or neither, or offers what was understood."""
        if (self.query is None) == (self.asks is None):
            raise ValueError("a question is either understood or asked back")
        if self.query is not None and self.offers is not None:
            raise ValueError("only a question that is asked back offers a query")
        return self


class Unclear(Exception):  # noqa: N818
    """What has to be asked back, the choices there are, and the query that may be meant."""

    def __init__(self, asks: str, choices: Sequence[str] = (), offers: Any = None) -> None:
        super().__init__(asks)
        self.choices, self.offers = tuple(choices), offers


def _about(setting: str | None, minute: int | None) -> str:
    named = "" if setting is None else ", " + _(setting.replace("_", " "))
    return named + ("" if minute is None else _(" at {time}", time=f"{minute // 60:02d}:{minute % 60:02d}"))
