"""One FHIR resource as rows: what was measured or eaten, or the rule by which it is left out."""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from math import isfinite, isnan, nan
from typing import Any, NamedTuple

from careplan.formats.fhir.codes import (
    CONTROL,
    EATEN,
    FLAG,
    GLUCOSE,
    GLUCOSE_UNITS,
    SUMMARIES,
    SYSTEMS,
    WEIGHED,
    Measured,
    Unit,
)
from careplan.records.correction import Action, Correction
from careplan.records.events import FLAGS
from careplan.records.text import beyond

Resource = dict[str, Any]
FINAL = ("final", "amended", "corrected")
WITHDRAWN = ("entered-in-error", "cancelled")
LIMITS = {"low": 40.0, "high": 400.0}  # mg/dL: what "Low" and "High" mean where they give no number
FACTORS = {"mg/dL": 1.0, "mmol/L": GLUCOSE_UNITS["mmol/l"][0]}
PLAUSIBLE = (20.0, 600.0)  # mg/dL
SIGNS = {"<": "low", "<=": "low", ">": "high", ">=": "high"}
DATETIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?")
EPOCH, MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
DATE_ALONE = re.compile(r"\d{4}(?:-\d\d(?:-\d\d)?)?")


class Finding(NamedTuple):
    """Why a resource, or a part of it, is left out or changed."""

    action: Action
    rule: str
    field: str
    detail: str

    def at(self, file: str, row: int) -> Correction:
        """As a line of the report, of the resource that stands there."""
        return Correction(self.action, self.rule, file, row, self.field, self.detail)


class Moment(NamedTuple):
    """Microseconds since 1970, in UTC, or on a clock that was not named. None: no such time."""

    microseconds: int | None
    named: bool = True


class Row(NamedTuple):
    """One event of a resource."""

    field: str
    raw: str
    time: Moment
    channel: str
    value: float
    duration: float = 0.0
    flag: str = ""
    product: str = ""


class Meaning(NamedTuple):
    """What codes are about: a kind of Observation, and of glucose where it was measured and the unit the codes mean."""

    kind: str
    measured: Measured = "sensor"
    unit: Unit = ""


Codes = tuple[tuple[str, str], ...]
Rows = list[Row | Finding]


def dropped(rule: str, field: str, detail: object) -> Rows:
    return [Finding("dropped", rule, field, str(detail)[:200])]


def modified(resource: Resource) -> Rows:
    """Rule "modifier": an extension, or rules, that may give what a resource says another meaning, as that it did not happen."""
    name = next((name for name in ("modifierExtension", "implicitRules") if resource.get(name)), None)
    if name is None:
        return []
    said = resource[name]
    return dropped("modifier", name, said if isinstance(said, str) else ", ".join(str(each.get("url")) for each in as_list(said)))


def as_list(value: object) -> list[Resource]:
    """The objects of a list, or of what should have been one."""
    if type(value) is list:
        return value if all([type(item) is dict for item in value]) else [item for item in value if isinstance(item, dict)]
    return [value] if isinstance(value, dict) else []


def codes_of(concept: object) -> Codes:
    """`(system, code)` of a CodeableConcept, the system by its usual name."""
    if not isinstance(concept, dict):
        return ()
    codings = as_list(concept.get("coding"))
    return tuple([(usual(str(coding.get("system", ""))), str(coding.get("code", ""))) for coding in codings])


@lru_cache(maxsize=1024)
def usual(system: str) -> str:
    return SYSTEMS.get(system.rstrip("/"), system.rstrip("/"))


@lru_cache(maxsize=1024)
def meaning(codes: Codes) -> Meaning | None:
    """None for what is not read."""
    every = set(codes)
    if CONTROL in every:
        return Meaning("control solution")
    if known := [GLUCOSE[code] for code in codes if code in GLUCOSE]:
        units = {unit for _, unit in known}
        measured = min((one for one, _ in known), key=("sensor", "fingerstick", "fluid").index)
        return Meaning("glucose", measured, units.pop() if len(units) == 1 else "")
    for kind, coded in (("carbs", EATEN), ("weight", WEIGHED), ("summary", SUMMARIES)):
        if every & coded:
            return Meaning(kind)
    return None


def meaning_of(concept: object) -> Meaning | None:
    """What a CodeableConcept is about; None for what is not read."""
    return meaning(codes_of(concept))


def named(concept: object) -> str:
    """A CodeableConcept in words, for a report."""
    if not isinstance(concept, dict):
        return "no code"
    words = [concept.get("text"), *(coding.get("display") or coding.get("code") for coding in as_list(concept.get("coding")))]
    return next((str(word) for word in words if word), "no code")


def clock_of(text: object) -> Moment:
    """A FHIR dateTime with its time of day; one without an offset is on a clock that it does not name."""
    if not isinstance(text, str) or DATETIME.fullmatch(text) is None:
        return Moment(None)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return Moment(None)
    if not 1900 <= moment.year <= 2200:
        return Moment(None)
    named = moment.tzinfo is not None
    return Moment(((moment if named else moment.replace(tzinfo=UTC)) - EPOCH) // MICROSECOND, named)


def when(resource: Resource) -> tuple[Moment, float] | Rows:
    """When a resource holds, and the minutes it lasts (NaN: it has no end), or why that cannot be said."""
    period = resource.get("effectivePeriod")
    if isinstance(period, dict) and period.get("start"):
        start, end = clock_of(period["start"]), clock_of(period.get("end"))
        if start.microseconds is None:
            return timeless("effectivePeriod", period["start"])
        if "end" not in period:
            return start, nan
        if end.microseconds is None or end.named != start.named or end.microseconds < start.microseconds:
            return dropped("impossible date", "effectivePeriod", f"{period['start']} to {period['end']}")
        return start, (end.microseconds - start.microseconds) / 60e6
    field, text = dated(resource)
    if not text:
        return dropped("no time", field, "no moment is stated")
    moment = clock_of(text)
    return timeless(field, text) if moment.microseconds is None else (moment, 0.0)


def dated(resource: Resource) -> tuple[str, str]:
    """The field and the text of the date by which a resource stands; empty where it has none."""
    for field in ("effectivePeriod", "effectiveDateTime", "effectiveInstant"):
        said = resource.get(field)
        if text := said.get("start") if isinstance(said, dict) else said:
            return field, str(text)
    return "effectiveDateTime", ""


def timeless(field: str, text: object) -> Rows:
    alone = isinstance(text, str) and DATE_ALONE.fullmatch(text)
    return dropped("no time of day" if alone else "impossible date", field, text)


def number(value: object) -> float:
    """A finite number, or text that is one; NaN for anything else."""
    if type(value) is float and isfinite(value):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return nan
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return nan
    return found if isfinite(found) else nan


def unit_of(quantity: Resource, units: Mapping[str, Any]) -> tuple[Any, str]:
    """What the unit is by a table, None where it is not in it, and the unit as written, empty where there is none."""
    code, unit = quantity.get("code"), quantity.get("unit")
    written = str(code or unit or "")
    if code and (plain := plain_unit(str(code))) in units:
        return units[plain], written
    if unit and (plain := plain_unit(str(unit))) in units:
        return units[plain], written
    return None, written


@lru_cache(maxsize=1024)
def plain_unit(text: str) -> str:
    return re.sub(r"\s+", "", text.casefold())


def quantity_of(part: Resource) -> tuple[float, str, Resource, str]:
    """The number, "low" or "high" where it is a bound, the Quantity, and all as written (empty where there is none)."""
    quantity, said, sign = part.get("valueQuantity"), part.get("valueString"), ""
    if "interpretation" in part:
        interpreted = [code for concept in as_list(part["interpretation"]) for _, code in codes_of(concept)]
        sign = next((SIGNS[code] for code in interpreted if code in ("<", ">")), "")
    if isinstance(quantity, dict) and quantity.get("value") is not None:
        comparator = str(quantity.get("comparator", ""))
        unit = quantity.get("unit") or quantity.get("code") or ""
        written = f"{comparator}{quantity['value']} {unit}".strip()
        return number(quantity["value"]), SIGNS.get(comparator, sign), quantity, written
    if isinstance(part.get("valueCodeableConcept"), dict):
        said = named(part["valueCodeableConcept"])
    if isinstance(said, str) and said.strip():
        text = said.strip()
        bound = beyond(text)
        if bound is None:
            amount, _, unit = text.partition(" ")
            return number(amount.replace(",", ".")), sign, {"unit": unit.strip()} if unit else {}, text
        limit = LIMITS[bound[0]] if isnan(bound[1]) else bound[1]
        return limit, bound[0], {"unit": "mg/dL"} if isnan(bound[1]) else {}, text
    whole = part.get("valueInteger")
    return number(whole), sign, {}, "" if whole is None else str(whole)


def in_milligrams(value: float, quantity: Resource, expected: Unit, field: str, written: str) -> tuple[float, Rows]:
    """A value in mg/dL, with what there is to tell; NaN where the unit cannot be known."""
    known, unit = unit_of(quantity, GLUCOSE_UNITS)
    if known is not None and known[1] == (expected or known[1]):
        return value * known[0], []
    if known is None and unit:
        return nan, dropped("unknown unit", field, written)
    if known is None:
        if not expected:
            return nan, dropped("no unit", field, written)
        return value * FACTORS[expected], [Finding("changed", "no unit", field, f"{written}: {expected} by its code")]
    scale, stated = known
    by_unit, by_code = value * scale, value * FACTORS[expected]
    fits = [PLAUSIBLE[0] <= one <= PLAUSIBLE[1] for one in (by_unit, by_code)]
    if fits[0] == fits[1]:
        return nan, dropped("unit against code", field, f"{written} under a code of {expected}: either could be meant")
    kept = stated if fits[0] else expected
    finding = Finding(
        "changed", "unit against code", field, f"{written} under a code of {expected}: {kept}, the other is no glucose"
    )
    return by_unit if fits[0] else by_code, [finding]


def absent(part: Resource) -> str:
    reason = part.get("dataAbsentReason")
    return f"absent: {named(reason)}" if isinstance(reason, dict) else "no value is stated"


def categories(resource: Resource) -> list[tuple[str, str]]:
    return [code for concept in as_list(resource.get("category")) for code in codes_of(concept)]


def tags(resource: Resource) -> Iterator[str]:
    """Our own flags on a resource that careplan wrote."""
    meta = resource.get("meta")
    for tag in as_list(meta["tag"]) if isinstance(meta, dict) and "tag" in meta else []:
        if tag.get("system") == FLAG and tag.get("code") in FLAGS:
            yield str(tag["code"])


def flags(words: Iterable[str]) -> str:
    every = {word for word in words if word}
    return " ".join([word for word in FLAGS if word in every]) if every else ""
