"""What the treatment of a patient aims at, as FHIR Goals: one for each share of time that has a target."""

from careplan.formats.fhir.codes import IN_RANGE, VERY_HIGH, VERY_LOW
from careplan.interop.proposed import OUTCOMES
from careplan.interop.resources import Person, Resource, loinc, quantity
from careplan.targets import Targets

# The guide's codes of the outcomes that are a band of its summary; it has none for all time below 70 or above 180 mg/dL.
CODES = {
    "in_range": (IN_RANGE, "Time in range"),
    "below_54": (VERY_LOW, "Time in very low range"),
    "above_250": (VERY_HIGH, "Time in very high range"),
}


def goal_resources(person: Person, targets: Targets, *, signed: bool) -> list[Resource]:
    """A Goal a share: active where somebody signed the targets, else proposed, as those of the patient's group.

    In range a share is the least that is aimed at, beyond an edge the most.
    """
    return [goal_resource(person, targets, name, share, signed) for name, share in targets.shares.items() if name in OUTCOMES]


def goal_resource(person: Person, targets: Targets, name: str, share: float, signed: bool) -> Resource:
    words = OUTCOMES[name].format(**targets.levels)
    coded = loinc(*CODES[name]) if name in CODES else {}
    least = name == "in_range"
    return {
        "resourceType": "Goal",
        "id": person.id("goal", name),
        "lifecycleStatus": "active" if signed else "proposed",
        "description": {"text": f"{words} {'over' if least else 'under'} {share:g} %"},
        "subject": person.reference,
        "target": [{"measure": {**coded, "text": words}, "detailRange": {"low" if least else "high": quantity(share, "%")}}],
    }
