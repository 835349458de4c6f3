"""A FHIR Observation as rows: glucose, once or sampled, what was eaten, and a weight."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from math import isnan, nan

from careplan.formats.fhir.codes import CARB_UNITS, GLUCOSE_UNITS, WEIGHT_UNITS
from careplan.formats.fhir.rows import (
    FINAL,
    LIMITS,
    WITHDRAWN,
    Finding,
    Meaning,
    Moment,
    Resource,
    Row,
    Rows,
    absent,
    as_list,
    categories,
    clock_of,
    dropped,
    flags,
    in_milligrams,
    meaning,
    meaning_of,
    named,
    number,
    quantity_of,
    tags,
    unit_of,
    usual,
    when,
)

BOUNDS = {"low": 70.0, "high": 250.0}  # mg/dL: "below 180" bounds nothing that a device could not measure
CENSORED = {"L": "low", "U": "high"}  # how sampled data says that a point is beyond what the device can measure
INTERVALS = {"ms": 1e3, "s": 1e6, "min": 60e6, "h": 3600e6}  # R5's units of the time between two points, microseconds
POINTS = 100_000  # of one resource: a year of five-minute readings
MORE = {"component", "effectivePeriod", "interpretation", "valueSampledData"}  # what a bare reading does not have


def observation_rows(resource: Resource) -> Rows:
    """The rows of an Observation: its own value, and those of its components that are coded as one."""
    if bare := bare_reading(resource):
        return [bare]
    own = meaning_of(resource.get("code"))
    parts = [("value", resource, own)] if own else []
    if "component" in resource:
        components = ((part, meaning_of(part.get("code"))) for part in as_list(resource["component"]))
        parts += [("component", part, known) for part, known in components if known]
    if not parts:
        return dropped("unknown code", "code", named(resource.get("code")))
    status = str(resource.get("status", "none"))
    if status not in FINAL:
        return dropped("withdrawn" if status in WITHDRAWN else "not final", "status", status)
    if own and own.kind in ("summary", "control solution"):
        return dropped(own.kind, "code", named(resource.get("code")))
    found: Rows = []
    for field, part, known in parts:
        if known.kind == "glucose":
            found += glucose_rows(field, part, resource, known)
        elif known.kind == "carbs":
            found += amount_rows(field, part, resource, "carbs", CARB_UNITS)
        elif known.kind == "weight":
            found += [] if weight_of(part) else dropped("no amount", field, "weight")
        else:
            found += dropped(known.kind, field, named(part.get("code")))
    return found


def bare_reading(resource: Resource) -> Row | None:
    """A reading of one code, a number with a unit, and a moment, as nearly all are; None for one that takes a closer look."""
    try:
        (coding,), quantity = resource["code"]["coding"], resource["valueQuantity"]
        value = quantity["value"]
        if not MORE.isdisjoint(resource) or "comparator" in quantity or "tag" in resource.get("meta", ()):
            return None
        if type(value) not in (int, float) or not 0 < value < 1e6:
            return None
        said = said_alike(resource["status"], coding["system"], coding["code"], quantity["unit"], quantity.get("code"))
        moment = clock_of(resource["effectiveDateTime"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    if said is None or moment.microseconds is None:
        return None
    unit, scale, flag = said
    return Row("value", f"{value} {unit}", moment, "glucose", value * scale, 0.0, flag)


@lru_cache(maxsize=1024)
def said_alike(status: str, system: str, code: str, unit: str, ucum: str | None) -> tuple[str, float, str] | None:
    """The unit as written, what one is in mg/dL, and the flag of all bare readings said so; None where there is more to tell."""
    known = meaning(((usual(system), code),))
    scale, _ = unit_of({"code": ucum, "unit": unit}, GLUCOSE_UNITS)
    if status not in FINAL or known is None or known.kind != "glucose" or known.measured == "fluid":
        return None
    if scale is None or known.unit not in ("", scale[1]) or unit != unit.strip() or not unit:
        return None
    return unit, scale[0], "fingerstick" if known.measured == "fingerstick" else ""


def glucose_rows(field: str, part: Resource, resource: Resource, known: Meaning) -> Rows:
    """A reading in mg/dL. Rules "no unit" and "unit against code": docs/reference/fhir.md."""
    if known.measured == "fluid" and any(code == "laboratory" for _, code in categories(resource)):
        return dropped("body fluid", "category", named(part.get("code")))
    time = when(resource)
    if isinstance(time, list):
        return time
    moment, lasts = time
    if isinstance(part.get("valueSampledData"), dict):
        stick = "fingerstick" if known.measured == "fingerstick" else ""
        return list(sampled_rows(part["valueSampledData"], moment, known, [stick, *tags(resource)]))
    if not lasts <= 0:
        return dropped("no single time", "effectivePeriod", f"{lasts:g} minutes")
    value, sign, stated, written = quantity_of(part)
    if not written:
        return dropped("no amount", field, absent(part))
    if isnan(value):
        return dropped("not a number", field, written)
    milligrams, findings = in_milligrams(value, stated, known.unit, field, written)
    if isnan(milligrams):
        return findings
    if sign and not (milligrams <= BOUNDS["low"] if sign == "low" else milligrams >= BOUNDS["high"]):
        return dropped("bound inside the range", field, written)
    stick = "fingerstick" if known.measured == "fingerstick" else ""
    flag = flags([sign, stick, *tags(resource)]) if "meta" in resource or sign else stick
    return [*findings, Row(field, written, moment, "glucose", milligrams, 0.0, flag)]


def sampled_rows(data: Resource, start: Moment, known: Meaning, words: list[str]) -> Iterator[Row | Finding]:
    """The points of a SampledData from `start` on, in mg/dL: `origin` + `factor` x each, one every `period` milliseconds.

    "E" is a point that was not measured; "L" and "U" lie beyond `lowerLimit` and `upperLimit`, which are in the origin's unit.
    words: flags of every point. Source: hl7.org/fhir/R4/datatypes.html#SampledData, and R5's `interval` in `intervalUnit`.
    """
    field = "valueSampledData"
    points = str(data.get("data") or "").split()
    origin = data["origin"] if isinstance(data.get("origin"), dict) else {}
    zero, factor = number(origin.get("value", 0)), number(data.get("factor", 1))
    step = number(data.get("period")) * INTERVALS["ms"]
    if isnan(step):
        step = number(data.get("interval")) * INTERVALS.get(str(data.get("intervalUnit")), nan)
    problem = "no point" if not points else f"{len(points):,} points" if len(points) > POINTS else ""
    if data.get("dimensions", 1) != 1:
        problem = f"{data['dimensions']!r:.20} dimensions, which say not what each is"
    elif isnan(zero) or isnan(factor) or not step > 0:
        problem = f"origin {origin.get('value')!r:.20}, factor {data.get('factor')!r:.20}, period {data.get('period')!r:.20}"
    if problem or start.microseconds is None:
        yield Finding("dropped", "sampled data", field, problem)
        return
    bare = [place for place, point in enumerate(points) if point == "E"]
    if bare:
        yield Finding("changed", "sampled data", field, f"{len(bare):,} of {len(points):,} points absent: not measured")
    told = False
    for place, point in enumerate(points):
        if point == "E":
            continue
        sign = CENSORED.get(point, "")
        limit = number(data.get({"L": "lowerLimit", "U": "upperLimit"}.get(point, "")))
        value = limit if sign else zero + factor * number(point)
        moment = Moment(start.microseconds + round(place * step), start.named)
        if sign and isnan(limit):
            yield Row(field, point, moment, "glucose", LIMITS[sign], 0.0, flags([sign, *words]))
            continue
        if isnan(value):
            yield Finding("dropped", "not a number", field, f"point {place + 1}: {point[:40]!r}")
            continue
        milligrams, findings = in_milligrams(value, origin, known.unit, field, f"{value:g}")
        yield from () if told else findings
        told = told or bool(findings)
        if not isnan(milligrams):
            yield Row(field, point, moment, "glucose", milligrams, 0.0, flags([sign, *words]))


def amount_rows(field: str, part: Resource, resource: Resource, channel: str, units: Mapping[str, float]) -> Rows:
    """An amount eaten."""
    time = when(resource)
    if isinstance(time, list):
        return time
    value, sign, stated, written = quantity_of(part)
    if not written:
        return dropped("no amount", field, absent(part))
    if isnan(value) or sign:
        return dropped("not a number", field, written)
    scale, unit = unit_of(stated, units)
    if scale is None:
        return dropped("unknown unit" if unit else "no unit", field, written)
    return [Row(field, written, time[0], channel, value * scale, 0.0 if isnan(time[1]) else time[1], flags(tags(resource)))]


def weight_of(resource: Resource) -> float | None:
    """The weight in kg, where an Observation is one and says so soundly."""
    value, sign, quantity, _ = quantity_of(resource)
    scale, _ = unit_of(quantity, WEIGHT_UNITS)
    kilograms = nan if scale is None or sign else value * scale
    return float(kilograms) if 1 <= kilograms <= 500 else None
