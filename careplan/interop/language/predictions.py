"""Forecasts, and what another dose, meal or rate in the past would have come to."""

from datetime import datetime, time, timedelta
from typing import Any

from careplan.clinic import asking
from careplan.clinic.codec import dump
from careplan.clinic.errors import ClinicError
from careplan.clinic.views import Forecast as Predicted
from careplan.display import sentence, signed
from careplan.interop.language import queries as asked
from careplan.interop.language.basis import Answer, Sources
from careplan.language import ENGLISH, N_, _, current, retold
from careplan.language import day as dated
from careplan.therapies.glucose.declaration import GLUCOSE

MEALS = {"breakfast": (5, 11), "lunch": (11, 16), "dinner": (16, 23)}  # hours of the local day
AFTER = N_("In {hours:g} h: {level:.0f} {unit}, 90 % interval {low:.0f} to {high:.0f}.")
RISK = {
    "low": N_("The risk of a low within two hours is {risk:.0f} %, everyone behaving as usual."),
    "high": N_("The risk of a high within two hours is {risk:.0f} %, everyone behaving as usual."),
}
OTHER_SPAN = N_(
    "No risk is told for {hours:g} h, only within two hours. Until then the 90 % interval spans {low:.0f} to {high:.0f} {unit}."
)
UNTIL, HOLD = N_("the recording until {moment} UTC, personalised"), N_("intervals hold 90 % of what comes")
CHANGED = N_("After {hours} h: {level:.0f} {unit} (90 % interval {low:.0f} to {high:.0f}), {moved} against what was done.")
BASAL = N_("{patient}, basal from {start} to {end} on {day}: {became}")
NEAR = timedelta(minutes=15)  # how far from a stated time a recorded dose is still the one that is meant


def forecast(query: asked.Forecast, sources: Sources) -> Answer:
    at = None if query.day is None or query.time is None else datetime.combine(query.day, time.fromisoformat(query.time))
    found = asking.forecast_of(
        sources.db, query.patient, sources.open_world(GLUCOSE.name), sources.actor, at=at, ahead=60 * query.hours
    )
    path = found.paths["expected"]
    text = [AFTER.format(hours=query.hours, level=path.mid[-1], unit=found.unit, low=path.low[-1], high=path.high[-1])]
    if query.about is not None:
        risk = found.low_risk if query.about == "low" else found.high_risk
        assert risk is not None, "both are declared"
        text.insert(0, RISK[query.about].format(risk=100 * risk))
        if "hours" in query.model_fields_set and 60 * query.hours != GLUCOSE.hazards[0].within:
            spans = {"low": min(path.low), "high": max(path.high), "unit": found.unit}
            text.insert(1, OTHER_SPAN.format(hours=query.hours, **spans))
    return _predicted(query.said(), text, found, ("expected",))


def _predicted(understood: str, text: list[str], found: Predicted, names: tuple[str, ...], **more: Any) -> Answer:
    paths = {name: dump(found.paths[name]) for name in names}
    risks = {"low_risk": found.low_risk, "high_risk": found.high_risk}
    return Answer(
        understood=understood,
        text=(*text, *(sentence(retold(banner)) for banner in found.banners)),
        unit=found.unit,
        figures={"at": found.at.isoformat(), "paths": paths, **risks, **more},
        basis=(UNTIL.format(moment=f"{found.at:%Y-%m-%d %H:%M}"), HOLD),
        model=found.provenance.get("model"),
    )


def counterfactual(query: asked.Counterfactual, sources: Sources) -> Answer:
    when, was, what_if, said = resolved(query, sources)
    start = when - timedelta(minutes=5)
    end = when if query.until is None else datetime.combine(query.day, time.fromisoformat(query.until))
    hours = min(12.0, 4.0 + (end - when) / timedelta(hours=1))
    found = asking.forecast_of(
        sources.db, query.patient, sources.open_world(GLUCOSE.name), sources.actor, at=start, what_if=(what_if,), ahead=60 * hours
    )
    changed, same = found.paths[what_if], found.paths["no change"]
    text = []
    for ahead in (60, 120, 240):
        place = min(range(len(same.minutes)), key=lambda index: abs(same.minutes[index] - ahead))
        moved = changed.mid[place] - same.mid[place]
        level = {"level": changed.mid[place], "low": changed.low[place], "high": changed.high[place], "unit": found.unit}
        text.append(CHANGED.format(hours=ahead // 60, **level, moved=signed(moved, 0)))
    text.append(N_("A prediction of the model, not a measurement: nobody lived that day."))
    return _predicted(said, text, found, (what_if, "no change"), was=was, observed=dump(found.observed))


def resolved(query: asked.Counterfactual, sources: Sources) -> tuple[datetime, float | None, str, str]:
    """When the change is, what was recorded there, the change in the engine's words, and how it is shown before it runs.

    Raises `ClinicError` where nothing is recorded that could have been another.
    """
    unit = {"bolus": "U", "carbs": "g", "basal": "U/h"}[query.channel]
    day = f"{query.day.day} {query.day:%B %Y}" if current() == ENGLISH else dated(query.day)
    if query.until is not None:
        became = f"x{query.times:g}" if query.times is not None else f"{query.to:g}" if query.to is not None else ""
        if not became:
            raise ClinicError("a basal rate is set or multiplied: say to what, or by how much")
        words = f"basal {became} from {query.time} to {query.until}"
        when = datetime.combine(query.day, time.fromisoformat(query.time or "00:00"))
        said = BASAL.format(patient=query.patient, start=query.time, end=query.until, day=day, became=became)
        return when, None, words, said
    events = asking.events_of(sources.db, query.patient, query.channel, query.day, query.day, sources.actor)
    moments = [
        (moment.to_pydatetime().replace(tzinfo=None), float(value))
        for moment, value in zip(events["time"], events["value"], strict=True)
    ]
    if query.time is not None:
        when = datetime.combine(query.day, time.fromisoformat(query.time))
        near = [(abs(moment - when), moment, value) for moment, value in moments if abs(moment - when) <= NEAR]
        when, was = (min(near)[1], sum(value for *_, value in near)) if near else (when, 0.0)
    else:
        first, last = MEALS[str(query.meal)]
        there = [(value, moment) for moment, value in moments if first <= moment.hour < last]
        if not there:
            raise ClinicError(f"no {query.channel} is recorded at {query.meal} on {day}: say at what time")
        was, when = max(there)
    if was == 0.0 and query.to is None:
        raise ClinicError(f"no {query.channel} is recorded near {query.time} on {day}, so there is none to change")
    wanted = query.to if query.to is not None else was * query.times if query.times is not None else was + (query.change or 0.0)
    if wanted < 0:
        raise ClinicError(
            f"{query.channel} at {when:%H:%M} on {day} was {was:g} {unit}: "
            f"there are no {-(query.change or 0):g} {unit} to take away"
        )
    said = _(
        "{patient}, {channel} at {time} on {day}: {was:.1f} -> {wanted:.1f} {unit}",
        patient=query.patient,
        channel=_(query.channel),
        time=f"{when:%H:%M}",
        day=day,
        was=was,
        wanted=wanted,
        unit=unit,
    )
    return when, was, f"{query.channel} {wanted:g} at {when:%H:%M}", said
