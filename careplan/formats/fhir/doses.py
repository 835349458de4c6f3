"""Insulin in FHIR: administrations, and statements that a dose was taken, as rows."""

from collections.abc import Mapping
from math import isnan, nan

from careplan.formats.fhir.codes import ATC, BACKGROUND_ATC, DOSE_UNITS, FAST_ATC, INSULIN_ATC, PRODUCT, RATE_UNITS
from careplan.formats.fhir.rows import (
    WITHDRAWN,
    Moment,
    Resource,
    Row,
    Rows,
    as_list,
    codes_of,
    dropped,
    flags,
    named,
    number,
    tags,
    unit_of,
    when,
)
from careplan.records.insulins import find_insulin, known_insulin

HOURS = {"h": 1.0, "hr": 1.0, "hour": 1.0, "min": 1 / 60, "d": 24.0, "day": 24.0}  # a unit of time, as a rate's denominator


def medication_rows(resource: Resource, medications: Mapping[str, Resource]) -> Rows:
    """The insulin of an administration, or of a statement that a dose was taken; a premix counts in its parts."""
    concept = medication_of(resource, medications)
    dosages = as_list(resource.get("dosage"))
    parts = insulin_parts(concept)
    product = product_of(concept)
    if isinstance(parts, str):
        return dropped(parts, "medication", named(concept))
    administered = resource.get("resourceType") == "MedicationAdministration"
    status = str(resource.get("status", "none"))
    rates = [rate for dosage in dosages if (rate := rate_of(dosage))]
    if status != "completed" and not (administered and rates and status in ("in-progress", "stopped")):
        return dropped("withdrawn" if status in (*WITHDRAWN, "not-done", "not-taken") else "not final", "status", status)
    time = when(resource)
    if isinstance(time, list):
        return time
    if len(dosages) != 1 or "timing" in dosages[0]:
        return dropped("no single dose", "dosage", f"{len(dosages)} dosages" if len(dosages) != 1 else "a timing")
    given = flags(tags(resource))
    dose = dosages[0].get("dose")
    if not administered:
        dose = next((each.get("doseQuantity") for each in as_list(dosages[0].get("doseAndRate"))), None)
    if isinstance(dose, dict):
        return [row._replace(product=product) if isinstance(row, Row) else row for row in dose_rows(dose, parts, *time, given)]
    if not rates:
        return dropped("no amount", "dosage", "no dose is stated")
    value, written = rates[0]
    if isnan(value) or [channel for channel, _ in parts] != ["bolus"]:
        return dropped("not a rate of fast insulin", "dosage", written)
    lasts = time[1] if "effectivePeriod" in resource else nan  # from a moment on, until the next
    return [Row("dosage", written, time[0], "basal", value, lasts, given, product)]


def dose_rows(dose: Resource, parts: list[tuple[str, float]], moment: Moment, lasts: float, given: str) -> Rows:
    """A dose in its parts; only fast insulin is given over time, and a period without an end is a moment."""
    scale, unit = unit_of(dose, DOSE_UNITS)
    value, written = number(dose.get("value")), f"{dose.get('comparator', '')}{dose.get('value')} {unit}".strip()
    if scale is None:
        return dropped("unknown unit" if unit else "no unit", "dosage", written)
    if isnan(value) or dose.get("comparator"):
        return dropped("not a number", "dosage", written)
    over = {"bolus": 0.0 if isnan(lasts) else lasts, "long_acting": 0.0}
    return [
        Row("dosage", written, moment, channel, value if share == 1 else round(value * share, 4), over[channel], given)
        for channel, share in parts
    ]


def rate_of(dosage: Resource) -> tuple[float, str] | None:
    """A rate in U/h (NaN where it is none), and as written."""
    quantity, ratio = dosage.get("rateQuantity"), dosage.get("rateRatio")
    if isinstance(quantity, dict):
        scale, unit = unit_of(quantity, RATE_UNITS)
        return number(quantity.get("value")) * (nan if scale is None else scale), f"{quantity.get('value')} {unit}".strip()
    if isinstance(ratio, dict):
        above, below = ratio.get("numerator"), ratio.get("denominator")
        if isinstance(above, dict) and isinstance(below, dict):
            units, hours = unit_of(above, DOSE_UNITS)[0], unit_of(below, HOURS)[0]
            length = number(below.get("value", 1)) * (hours or nan)
            value = number(above.get("value")) / length if units and length > 0 else nan
            return value, f"{above.get('value')} a {below.get('value', 1)} {below.get('code', '')}".strip()
    return None


def medication_of(resource: Resource, medications: Mapping[str, Resource]) -> object:
    """The medicine's CodeableConcept, stated, contained or referred to."""
    if resource.get("medicationCodeableConcept"):
        return resource["medicationCodeableConcept"]
    reference = resource.get("medicationReference")
    name = str(reference.get("reference", "")) if isinstance(reference, dict) else ""
    held = {f"#{each.get('id')}": each for each in as_list(resource.get("contained"))}
    found = held.get(name) or medications.get(name.split("/_history/")[0]) or medications.get("/".join(name.split("/")[-2:]))
    if found is not None:
        return found.get("code")
    return {"text": reference.get("display") or name} if isinstance(reference, dict) else None


def insulin_parts(concept: object) -> list[tuple[str, float]] | str:
    """`(channel, share)` of an insulin by its name or else its ATC class, or the rule by which it is left out. Where careplan
    wrote the brand beside the class, the class says which part of a premix the dose was."""
    if not isinstance(concept, dict):
        return "no medicine"
    own = any(system == PRODUCT for system, _ in codes_of(concept))
    names = [] if own else names_of(concept)
    for name in names:
        if insulin := find_insulin(name):
            return list(insulin.split(1.0))
    classes = [code for system, code in codes_of(concept) if system == ATC]
    if any(code.startswith(FAST_ATC) for code in classes):
        return [("bolus", 1.0)]
    if any(code.startswith(BACKGROUND_ATC) for code in classes):
        return [("long_acting", 1.0)]
    insulin_like = any(code.startswith(INSULIN_ATC) for code in classes) or any("insulin" in name.casefold() for name in names)
    if insulin_like and names and (insulin := known_insulin(names[0])):
        return list(insulin.split(1.0))
    return "unknown insulin" if insulin_like else "not insulin"


def names_of(concept: object) -> list[str]:
    """What a medicine is called, in words."""
    if not isinstance(concept, dict):
        return []
    words = (concept.get("text"), *(coding.get("display") for coding in as_list(concept.get("coding"))))
    return [str(word) for word in words if word]


def product_of(concept: object) -> str:
    """The insulin's brand: the one that careplan wrote, or the name that means an insulin; empty where only a class is named."""
    own = next((code for system, code in codes_of(concept) if system == PRODUCT), "")
    named_so = (name for name in names_of(concept) if (found := find_insulin(name)) and found.source != "class")
    return own or next(named_so, "")
