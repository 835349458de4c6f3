"""A suggestion, and what a person decided of it, as FHIR resources.

A suggestion is a draft CarePlan, a RequestGroup and a MedicationRequest a line, all of intent "proposal", with a RiskAssessment
of the futures that were compared, a DetectedIssue for what stood in the way, and a Provenance. A signed review makes new requests
of intent "order", based on the proposals, which stay as they were.
"""

from datetime import timedelta
from typing import Any, NamedTuple

from careplan.clinic.views import Review
from careplan.formats.fhir.codes import UCUM
from careplan.interop.observed import BACKGROUND, FAST
from careplan.interop.resources import (
    ISSUES,
    PROVENANCE,
    SETTINGS,
    SUGGESTION,
    Person,
    Resource,
    concept,
    quantity,
    stated,
    to,
)
from careplan.minutes import DAY
from careplan.suggestion import Decision, Interval, Line, Option, Suggestion
from careplan.targets import Targets
from careplan.therapies.glucose.bands import ADULTS
from careplan.therapies.glucose.rule_words import breach_in_words

ACTIVITY = "http://terminology.hl7.org/CodeSystem/v3-DataOperation"
ROLE = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
PERCENT = ("in_range", "below_70", "below_54", "above_180", "above_250")  # outcomes that are shares of time
OUTCOMES = {  # by the edges of the targets that a suggestion was made for
    "in_range": "time from {low:g} to {high:g} mg/dL",
    "below_70": "time below {low:g} mg/dL",
    "below_54": "time below {very_low:g} mg/dL",
    "above_180": "time above {high:g} mg/dL",
    "above_250": "time above {very_high:g} mg/dL",
}
SETTING_NAMES = {
    "basal": "Basal rate",
    "carb_ratio": "Carbohydrate ratio",
    "correction_factor": "Correction factor",
    "long_acting": "Long-acting insulin",
    "bolus": "Bolus",
    "temp_basal": "Temporary basal rate",
}
SEVERITY = {"abstained": "high", "warning": "moderate", "guardrail": "low"}


class Value(NamedTuple):
    """A line and the value it is to have: the proposed one, or the one that a person decided on."""

    line: Line
    value: float
    note: str


def proposal_resources(person: Person, suggestion: Suggestion, software: str) -> list[Resource]:
    """All resources of one suggestion; without requests where it abstains or no change is best."""
    key = ("suggestion", suggestion.id)
    issues = issue_resources(person, suggestion)
    requests = [
        request_resource(person, suggestion, Value(line, line.proposed, line.why), "proposal") for line in suggestion.lines
    ]
    group = group_resource(person, suggestion, requests, "proposal", key)
    plan = plan_resource(person, suggestion, group, issues)
    risk = risk_resource(person, suggestion)
    made = [*requests, *([group] if group else []), plan, *([risk] if risk else []), *issues]
    provenance = {
        "resourceType": "Provenance",
        "id": person.id(*key, "Provenance"),
        "target": [to(each) for each in made],
        "recorded": suggestion.created.isoformat(),
        "activity": concept("proposed by software", (ACTIVITY, "CREATE", "create")),
        "agent": [{"type": concept("assembler", (ROLE, "assembler", "Assembler")), "who": {"display": software}}],
        **stated(
            entity=[
                {"role": "source", "what": {"identifier": {"system": f"{PROVENANCE}{name}", "value": str(value)}}}
                for name, value in sorted(suggestion.provenance.items())
                if str(value)
            ]
        ),
    }
    return [*made, provenance]


def plan_resource(person: Person, suggestion: Suggestion, group: Resource | None, issues: list[Resource]) -> Resource:
    says = "No suggestion" if suggestion.abstained else "Suggested changes" if suggestion.lines else "No change suggested"
    says += " by the guideline, where the model cannot say," if suggestion.source == "guideline" else ""
    what = {"regimen": "of the insulin regimen", "doses": "of the next doses"}[suggestion.kind]
    notes = [*suggestion.reasons, *suggestion.banners, *([] if suggestion.targets is None else [aimed_at(suggestion.targets)])]
    return {
        "resourceType": "CarePlan",
        "id": person.id("suggestion", suggestion.id, "CarePlan"),
        "identifier": [{"system": SUGGESTION, "value": f"{person.seed}/{suggestion.id}"}],
        "status": "draft",
        "intent": "proposal",
        "title": f"{says} {what}",
        "description": "Made by software for research use. It is not an order: a clinician decides.",
        "subject": person.reference,
        "created": suggestion.created.isoformat(),
        **stated(
            activity=[{"reference": to(group)}] if group else [],
            note=[{"text": note} for note in notes],
            supportingInfo=[to(issue) for issue in issues],
        ),
    }


def aimed_at(targets: Targets) -> str:
    """What a plan was made for, in words."""
    shares = {name: share for name, share in targets.shares.items() if name in OUTCOMES}
    said = (
        f"{OUTCOMES[name].format(**targets.levels)} {'over' if name == 'in_range' else 'under'} {share:g} %"
        for name, share in shares.items()
    )
    return f"made for the targets {targets.preset!r}: {'; '.join(said)}"


def group_resource(
    person: Person, suggestion: Suggestion, requests: list[Resource], intent: str, key: tuple[object, ...], **more: object
) -> Resource | None:
    """The requests that belong together; None where there is none."""
    if not requests:
        return None
    return {
        "resourceType": "RequestGroup",
        "id": person.id(*key, "RequestGroup"),
        "status": "draft" if intent == "proposal" else "active",
        "intent": intent,
        "subject": person.reference,
        "authoredOn": suggestion.created.isoformat(),
        "action": [{"title": request["dosageInstruction"][0]["text"], "resource": to(request)} for request in requests],
        **more,
    }


def request_resource(
    person: Person, suggestion: Suggestion, decided: Value, intent: str, review: Review | None = None
) -> Resource:
    """One line as a MedicationRequest. A rate in U/h or a dose in U is a quantity; a ratio or a multiple of what is prescribed,
    for which R4's Dosage has no place, is text."""
    line = decided.line
    key = ("suggestion", suggestion.id, line.key) if review is None else ("review", review.id, line.key)
    medicine = BACKGROUND if line.setting == "long_acting" else FAST
    ordered: Resource = {}
    if review is not None:
        ordered = {
            "basedOn": [{"reference": f"urn:uuid:{person.id('suggestion', suggestion.id, line.key, 'MedicationRequest')}"}],
            "requester": {"display": review.reviewer},
        }
    return {
        "resourceType": "MedicationRequest",
        "id": person.id(*key, "MedicationRequest"),
        "status": "draft" if review is None else "active",
        "intent": intent,
        "medicationCodeableConcept": concept(medicine[2], medicine),
        "subject": person.reference,
        "authoredOn": (suggestion.created if review is None else review.signed).isoformat(),
        "groupIdentifier": {"system": SUGGESTION, "value": f"{person.seed}/{suggestion.id}"},
        **ordered,
        **stated(note=[{"text": decided.note}] if decided.note else []),
        "dosageInstruction": [dosage(suggestion, line, decided.value)],
    }


def dosage(suggestion: Suggestion, line: Line, value: float) -> Resource:
    """What is to be given and when. Text that a person reads says all of it."""
    name = SETTING_NAMES[line.setting]
    kind = concept(name, (SETTINGS, line.setting, name))
    if line.setting in ("bolus", "temp_basal"):
        start, end = (suggestion.at + timedelta(minutes=minutes) for minutes in (line.start, line.end))
        when = f"at {start:%Y-%m-%d %H:%M} UTC" + (f" for {line.end - line.start} min" if end > start else "")
        timing: Resource = {"event": [start.isoformat()]}
        if end > start:
            timing = {"repeat": {"boundsPeriod": {"start": start.isoformat(), "end": end.isoformat()}}}
    else:
        when = "every day" if line.end - line.start >= DAY else f"every day from {clock(line.start)} to {clock(line.end)}"
        timing = {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d"}}
        if line.end - line.start < DAY:
            length = {"duration": line.end - line.start, "durationUnit": "min"}
            timing["repeat"] |= {"timeOfDay": [f"{clock(line.start)}:00"], **length}
    text = f"{name}: {value:g} {line.unit}, {when} (now {line.current:g})"
    told: Resource = {"text": text, "additionalInstruction": [kind], "timing": timing}
    if line.unit == "U/h":
        told["doseAndRate"] = [{"rateQuantity": quantity(value, "[iU]/h")}]
    elif line.unit == "U":
        told["doseAndRate"] = [{"doseQuantity": quantity(value, "[iU]")}]
    return told


def clock(minute: int) -> str:
    return f"{minute % DAY // 60:02d}:{minute % 60:02d}"


def risk_resource(person: Person, suggestion: Suggestion) -> Resource | None:
    """The predicted share of time in each range under each future that was compared, as 90 % intervals; None without one."""
    predictions = [
        prediction(option, outcome, interval, suggestion.targets or ADULTS)
        for option in suggestion.options
        for outcome, interval in option.outcomes.items()
        if outcome in PERCENT
    ]
    if not predictions:
        return None
    return {
        "resourceType": "RiskAssessment",
        "id": person.id("suggestion", suggestion.id, "RiskAssessment"),
        "status": "final",
        "method": {"text": "simulation with a latent world model of the patient"},
        "subject": person.reference,
        "occurrenceDateTime": suggestion.at.isoformat(),
        "prediction": predictions,
    }


def prediction(option: Option, outcome: str, interval: Interval, targets: Targets) -> Resource:
    low, high = (min(100.0, max(0.0, bound)) for bound in (interval.low, interval.high))
    share: dict[str, Any] = {"unit": "%", "system": UCUM, "code": "%"}
    return {
        "outcome": {"text": f"{OUTCOMES[outcome].format(**targets.levels)}, {option.name}"},
        "probabilityRange": {"low": {"value": low, **share}, "high": {"value": high, **share}},
        "rationale": f"{interval.mid:.1f} % of the time is expected; the range holds 90 % of what is predicted.",
    }


def issue_resources(person: Person, suggestion: Suggestion) -> list[Resource]:
    """Why it abstained, what it warns of, and the limits that bound it."""
    found = [("abstained", reason) for reason in suggestion.reasons if suggestion.abstained]
    found += [("warning", banner) for banner in suggestion.banners]
    found += [("guardrail", breach_in_words(limit)) for limit in suggestion.limits_bound]
    return [
        {
            "resourceType": "DetectedIssue",
            "id": person.id("suggestion", suggestion.id, "DetectedIssue", kind, text),
            "status": "final",
            "code": concept(kind, (ISSUES, kind, "")),
            "severity": SEVERITY[kind],
            "patient": person.reference,
            "identifiedDateTime": suggestion.created.isoformat(),
            "detail": text,
        }
        for kind, text in dict.fromkeys(found)
    ]


def order_resources(person: Person, suggestion: Suggestion, review: Review) -> list[Resource]:
    """What a signed review orders: a new request for each line that was accepted or changed, and who signed with what meaning."""
    decisions = {decision.key: decision for decision in review.decisions}
    kept = [line for line in suggestion.lines if decisions[line.key].verdict != "reject"]
    requests = [request_resource(person, suggestion, decided(line, decisions[line.key]), "order", review) for line in kept]
    proposal = {"reference": f"urn:uuid:{person.id('suggestion', suggestion.id, 'CarePlan')}"}
    rejected = [(line, decisions[line.key].reason) for line in suggestion.lines if line not in kept]
    notes = [{"text": f"Rejected, {line.key}: {reason}"} for line, reason in rejected]
    group = group_resource(person, suggestion, requests, "order", ("review", review.id), **stated(note=notes))
    if group is not None:
        based = {"reference": f"urn:uuid:{person.id('suggestion', suggestion.id, 'RequestGroup')}"}
        group |= {"authoredOn": review.signed.isoformat(), "basedOn": [based]}
    made = [*requests, *([group] if group else [])]
    return [
        *made,
        {
            "resourceType": "Provenance",
            "id": person.id("review", review.id, "Provenance"),
            "target": [to(each) for each in made] or [proposal],
            "recorded": review.signed.isoformat(),
            "reason": [{"text": review.meaning}],
            "activity": {"text": "reviewed and signed"},
            "agent": [{"type": concept("author", (ROLE, "author", "Author")), "who": {"display": review.reviewer}}],
            "entity": [{"role": "source", "what": proposal}],
        },
    ]


def decided(line: Line, decision: Decision) -> Value:
    return Value(line, decision.value, decision.reason or line.why)
