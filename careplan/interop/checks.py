"""What every Bundle that leaves careplan is held against: required codes, cardinalities, references, profiles of the CGM guide.

Models of FHIR in Python let a code outside its required binding through, so the bindings of all that careplan writes are here.
Required bindings: FHIR R4 (4.0.1), the value sets named beside them. Profiles: HL7 CGM IG 1.0.0.
"""

import re
from collections import Counter
from collections.abc import Iterator
from math import isfinite
from typing import Any

from careplan.formats.fhir.codes import (
    ACTIVE,
    CV,
    GMI,
    HIGH,
    IN_RANGE,
    LOINC,
    LOW,
    MEAN_MASS,
    MEAN_MOLES,
    RANGES,
    SENSOR_MASS,
    SENSOR_MOLES,
    SUMMARY,
    UCUM,
    VERY_HIGH,
    VERY_LOW,
    WORN,
)
from careplan.interop.resources import DEFINITION, UNITS, Resource

OBSERVED = "registered preliminary final amended corrected cancelled entered-in-error unknown"  # ObservationStatus
REQUESTED = "draft active on-hold revoked completed entered-in-error unknown"  # RequestStatus
REQUEST_INTENT = "proposal plan directive order original-order reflex-order filler-order instance-order option"  # RequestIntent
BINDINGS = {  # path -> the codes that may stand there
    "Bundle.type": "document message transaction transaction-response batch batch-response history searchset collection",
    "Bundle.entry.request.method": "GET HEAD POST PUT DELETE PATCH",
    "Observation.status": OBSERVED,
    "RiskAssessment.status": OBSERVED,
    "DetectedIssue.status": OBSERVED,
    "DetectedIssue.severity": "high moderate low",
    "MedicationAdministration.status": "in-progress not-done on-hold completed entered-in-error stopped unknown",
    "MedicationRequest.status": "active on-hold cancelled completed entered-in-error stopped draft unknown",
    "MedicationRequest.intent": "proposal plan order original-order reflex-order filler-order instance-order option",
    "CarePlan.status": REQUESTED,
    "CarePlan.intent": "proposal plan order option",
    "RequestGroup.status": REQUESTED,
    "RequestGroup.intent": REQUEST_INTENT,
    "Goal.lifecycleStatus": "proposed planned accepted active on-hold completed cancelled entered-in-error rejected",
    "Provenance.entity.role": "derivation revision quotation source removal",
}
NESTED_BINDINGS = {  # element, wherever it stands
    "comparator": "< <= >= >",
    "periodUnit": "s min h d wk mo a",
    "durationUnit": "s min h d wk mo a",
}
REQUIRED = {  # resource -> elements that must be there; of `a|b` one
    "Patient": "id",
    "Observation": "id status code subject effectiveDateTime|effectivePeriod",
    "MedicationAdministration": "id status medicationCodeableConcept subject effectiveDateTime|effectivePeriod dosage",
    "CarePlan": "id status intent subject",
    "RequestGroup": "id status intent subject",
    "MedicationRequest": "id status intent medicationCodeableConcept subject dosageInstruction",
    "RiskAssessment": "id status subject",
    "DetectedIssue": "id status",
    "Goal": "id lifecycleStatus description subject",
    "Provenance": "id target recorded agent",
}
CODED = {  # profile of the guide -> LOINC code, unit of its value ("": it has none)
    "cgm-sensor-reading-mass-per-volume": (SENSOR_MASS, "mg/dL"),
    "cgm-sensor-reading-moles-per-volume": (SENSOR_MOLES, "mmol/L"),
    "cgm-summary": (SUMMARY, ""),
    "cgm-summary-times-in-ranges": (RANGES, ""),
    "cgm-summary-mean-glucose-mass-per-volume": (MEAN_MASS, "mg/dL"),
    "cgm-summary-mean-glucose-moles-per-volume": (MEAN_MOLES, "mmol/L"),
    "cgm-summary-gmi": (GMI, "%"),
    "cgm-summary-coefficient-of-variation": (CV, "%"),
    "cgm-summary-days-of-wear": (WORN, "d"),
    "cgm-summary-sensor-active-percentage": (ACTIVE, "%"),
}
MOMENTS = ("effectiveDateTime", "authoredOn", "recorded", "occurrenceDateTime", "identifiedDateTime", "created")
SLICES = (VERY_LOW, LOW, IN_RANGE, HIGH, VERY_HIGH)
MEMBERS = {
    RANGES: 1,
    GMI: 1,
    CV: 1,
    WORN: 1,
    ACTIVE: 1,
    MEAN_MASS: 0,
    MEAN_MOLES: 0,
}  # at least; at most one
ID = re.compile(r"[A-Za-z0-9.\-]{1,64}")
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
DAY = re.compile(r"\d{4}-\d\d-\d\d")


def problems(bundle: Resource) -> list[str]:
    """Everything that is wrong with a Bundle, a sentence each, naming the resource and the element; empty when it may leave."""
    entries = bundle.get("entry", [])
    resources = {str(entry.get("fullUrl")): entry["resource"] for entry in entries}
    found = list(bound("Bundle", {**bundle, "entry": [{"request": entry.get("request", {})} for entry in entries]}, "Bundle"))
    if not MOMENT.fullmatch(str(bundle.get("timestamp"))):
        found.append("Bundle: timestamp is no instant")
    found += [f"Bundle: {url} stands there {count} times" for url, count in Counter(resources_urls(entries)).items() if count > 1]
    for entry in entries:
        resource = entry["resource"]
        name = f"{resource.get('resourceType')}/{resource.get('id')}"
        if entry.get("fullUrl") != f"urn:uuid:{resource.get('id')}" or entry.get("request", {}).get("url") != name:
            found.append(f"{name}: its address in the Bundle is another")
        found += [f"{name}: {problem}" for problem in of_resource(resource, resources)]
    return found


def resources_urls(entries: list[Resource]) -> list[str]:
    return [str(entry.get("fullUrl")) for entry in entries]


def of_resource(resource: Resource, resources: dict[str, Resource]) -> Iterator[str]:
    kind = str(resource.get("resourceType"))
    if kind not in REQUIRED:
        yield "no kind of resource that careplan writes"
        return
    if not ID.fullmatch(str(resource.get("id"))):
        yield "its id is no FHIR id"
    for names in REQUIRED[kind].split():
        if not any(resource.get(name) for name in names.split("|")):
            yield f"{names} is missing"
    yield from bound(kind, resource, kind)
    yield from nested(resource, resources)
    for profile in resource.get("meta", {}).get("profile", []):
        yield from profiled(resource, str(profile).removeprefix(DEFINITION), resources)


def bound(path: str, value: Any, root: str) -> Iterator[str]:
    """The elements whose codes are outside their required binding."""
    if isinstance(value, list):
        for each in value:
            yield from bound(path, each, root)
    elif isinstance(value, dict):
        for name, each in value.items():
            yield from bound(f"{path}.{name}", each, root)
    elif path in BINDINGS and value not in BINDINGS[path].split():
        yield f"{path.removeprefix(root + '.')} is {value!r}, outside its required binding"


def nested(value: Any, resources: dict[str, Resource], name: str = "") -> Iterator[str]:
    """Quantities, references, moments and codes, wherever they stand."""
    if isinstance(value, list):
        for each in value:
            yield from nested(each, resources, name)
    elif isinstance(value, dict):
        if "value" in value and "system" in value and value["system"] == UCUM:
            yield from measured(value, name)
        for key, each in value.items():
            yield from nested(each, resources, key)
    elif name == "reference" and isinstance(value, str) and value.startswith("urn:") and value not in resources:
        yield f"refers to {value}, which is not in the Bundle"
    elif name in NESTED_BINDINGS and value not in NESTED_BINDINGS[name].split():
        yield f"{name} is {value!r}, outside its required binding"
    elif name in MOMENTS and not MOMENT.fullmatch(str(value)):
        yield f"{name} is {value!r}, not a moment with its offset"


def measured(quantity: Resource, name: str) -> Iterator[str]:
    value = quantity["value"]
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        yield f"{name} has the value {value!r}, no finite number"
    if quantity.get("code") not in UNITS or quantity.get("unit") != UNITS[quantity["code"]]:
        yield f"{name} is in {quantity.get('unit')!r} ({quantity.get('code')!r}), no unit that careplan writes"


def profiled(resource: Resource, profile: str, resources: dict[str, Resource]) -> Iterator[str]:
    """What a profile of the CGM guide asks for beyond the base resource."""
    if profile not in CODED:
        yield f"{profile} is no profile of the CGM guide"
        return
    code, unit = CODED[profile]
    if codes(resource) != [code]:
        yield f"its code is {codes(resource)}; {profile} has {code}"
    sensor = profile.startswith("cgm-sensor")
    if sensor and not MOMENT.fullmatch(str(resource.get("effectiveDateTime"))):
        yield "a sensor's reading has no moment"
    period = resource.get("effectivePeriod", {})
    if not sensor and not all(DAY.match(str(period.get(end))) for end in ("start", "end")):
        yield "a summary has no period with a start and an end"
    if unit and resource.get("valueQuantity", {}).get("code") != unit and "dataAbsentReason" not in resource:
        yield f"its value is not in {unit}"
    if code == RANGES:
        slices = Counter(each for component in resource.get("component", []) for each in codes(component))
        yield from (f"the slice {each} stands there {slices[each]} times, expected once" for each in SLICES if slices[each] != 1)
        percents = [component.get("valueQuantity", {}).get("code") for component in resource.get("component", [])]
        if set(percents) != {"%"}:
            yield "a time in range is not in %"
    if code == SUMMARY:
        members = [resources.get(str(member.get("reference")), {}) for member in resource.get("hasMember", [])]
        counted = Counter(each for member in members for each in codes(member))
        if len(members) < 6:
            yield f"it has {len(members)} members, expected 6 at least"
        for each, least in MEMBERS.items():
            if not least <= counted[each] <= 1:
                yield f"the member {each} stands there {counted[each]} times"


def codes(element: Resource) -> list[str]:
    codings = element.get("code", {}).get("coding", [])
    return [str(coding.get("code")) for coding in codings if coding.get("system") == LOINC]
