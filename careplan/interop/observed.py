"""A record as FHIR resources: the Patient, readings, finger sticks, meals and insulin, and the CGM summary of the HL7 guide."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import NamedTuple

import numpy as np
import pandas as pd

from careplan.formats.fhir.codes import (
    ACTIVE,
    ATC,
    CARBS,
    CV,
    FLAG,
    GMI,
    GROUP,
    HIGH,
    IN_RANGE,
    LOW,
    MEAN_MASS,
    MEAN_MOLES,
    PATIENT,
    PRODUCT,
    RANGES,
    SENSOR_MASS,
    STICK_MASS,
    SUMMARY,
    VERY_HIGH,
    VERY_LOW,
    WORN,
    ZONE,
)
from careplan.interop.resources import DEFINITION, Person, Resource, concept, loinc, quantity, stated, to
from careplan.records.events import PatientRecord, flagged
from careplan.records.units import MG_PER_MMOL
from careplan.therapies.glucose.pages import glucose_of

REPORTED = timedelta(days=14)  # the reporting period of the summary: the last days that hold readings
COMPARATORS = {"low": "<", "high": ">"}
FAST = (ATC, "A10AB", "Insulins and analogues for injection, fast-acting")
BACKGROUND = (ATC, "A10AE", "Insulins and analogues for injection, long-acting")
CLASSES = {"bolus": FAST, "basal": FAST, "long_acting": BACKGROUND}
SENSOR = loinc(SENSOR_MASS, "Glucose [Mass/volume] in Interstitial fluid")
STICK = loinc(STICK_MASS, "Glucose [Mass/volume] in Blood")
EATEN = loinc(CARBS, "Carbohydrate intake Estimated")
BANDS = (  # slot of the guide, code, display, field of the metrics
    (VERY_LOW, "Time below 54 mg/dL", "very_low"),
    (LOW, "Time from 54 to 69 mg/dL", "low"),
    (IN_RANGE, "Time from 70 to 180 mg/dL", "in_range"),
    (HIGH, "Time from 181 to 250 mg/dL", "high"),
    (VERY_HIGH, "Time above 250 mg/dL", "very_high"),
)


def patient_resource(person: Person, record: PatientRecord) -> Resource:
    """The Patient: careplan's name for them, their clock and their age group; no name and no date of birth are known."""
    return {
        "resourceType": "Patient",
        "id": person.id("Patient"),
        "meta": {"tag": [{"system": GROUP, "code": record.group}]},
        "extension": [{"url": ZONE, "valueCode": record.zone}],
        "identifier": [{"system": PATIENT, "value": record.patient}],
    }


class Event(NamedTuple):
    """One event of a record. `at`: its time on the person's clock, as FHIR writes it."""

    id: str
    time: pd.Timestamp
    at: str
    channel: str
    value: float
    minutes: float
    words: list[str]
    product: str


def event_resources(person: Person, record: PatientRecord) -> Iterator[Resource]:
    """One resource an event, in the order of the record, but for channels that have no place in FHIR."""
    seen: Counter[str] = Counter()
    local = record.events["time"].dt.tz_convert(record.zone)
    columns = (record.events[name] for name in ("channel", "value", "duration", "flag", "product"))
    for time, channel, value, minutes, flag, product in zip(local, *columns, strict=True):
        if channel not in WRITERS:
            continue
        key = f"{channel}|{time.value}|{value!r}|{minutes!r}|{flag}|{product}"
        id = person.id("event", key, seen[key])
        seen[key] += 1
        yield WRITERS[channel](person, Event(id, time, time.isoformat(), channel, value, minutes, flag.split(), product))


def reading(person: Person, event: Event) -> Resource:
    """Of a sensor, by the guide's profile, or of a meter."""
    stick = "fingerstick" in event.words
    bound = next((COMPARATORS[word] for word in event.words if word in COMPARATORS), "")
    profile = {} if stick else {"profile": [f"{DEFINITION}cgm-sensor-reading-mass-per-volume"]}
    return {
        "resourceType": "Observation",
        "id": event.id,
        **stated(meta={**profile, **tagged(set(event.words) - {"fingerstick", *COMPARATORS})}),
        "status": "final",
        "code": STICK if stick else SENSOR,
        "subject": person.reference,
        "effectiveDateTime": event.at,
        "valueQuantity": quantity(event.value, "mg/dL", comparator=bound),
    }


def meal(person: Person, event: Event) -> Resource:
    return {
        "resourceType": "Observation",
        "id": event.id,
        **stated(meta=tagged(event.words)),
        "status": "final",
        "code": EATEN,
        "subject": person.reference,
        **effective(event),
        "valueQuantity": quantity(event.value, "g"),
    }


def dose(person: Person, event: Event) -> Resource:
    """An injection or a bolus as a dose, basal as a rate over the time it held."""
    rate = event.channel == "basal"
    given = {"rateQuantity": quantity(event.value, "[iU]/h")} if rate else {"dose": quantity(event.value, "[iU]")}
    return {
        "resourceType": "MedicationAdministration",
        "id": event.id,
        **stated(meta=tagged(event.words)),
        "status": "completed",
        "medicationCodeableConcept": insulin(event.channel, event.product),
        "subject": person.reference,
        **effective(event, period=rate),
        "dosage": {"text": f"{event.value:g} {'U/h' if rate else 'U'}", **given},
    }


WRITERS = {"glucose": reading, "carbs": meal, **dict.fromkeys(CLASSES, dose)}  # channels that these resources carry


def insulin(channel: str, product: str = "") -> Resource:
    """The class of an insulin, and its brand where it is known."""
    brand = [(PRODUCT, product, product)] if product else []
    return concept(product or CLASSES[channel][2], CLASSES[channel], *brand)


def effective(event: Event, *, period: bool = False) -> Resource:
    """A moment, or the period that an event lasts; NaN minutes: it has no end yet."""
    if np.isnan(event.minutes):
        return {"effectivePeriod": {"start": event.at}}
    if event.minutes > 0 or period:
        end = event.time + pd.Timedelta(microseconds=round(event.minutes * 60e6))
        return {"effectivePeriod": {"start": event.at, "end": end.isoformat()}}
    return {"effectiveDateTime": event.at}


def tagged(words: Iterable[str]) -> Resource:
    """careplan's own flags that no element of FHIR says."""
    codes = sorted(words)
    return {"tag": [{"system": FLAG, "code": code} for code in codes]} if codes else {}


def summary_resources(person: Person, record: PatientRecord) -> list[Resource]:
    """The CGM summary of the last `REPORTED` with sensor readings, the panel last; empty with fewer than two readings."""
    glucose = record.events[(record.events["channel"] == "glucose") & ~flagged(record.events["flag"], "fingerstick")]
    if len(glucose) < 2:
        return []
    readings = glucose[glucose["time"] > glucose["time"].iloc[-1] - REPORTED]
    _, metrics = glucose_of(readings)
    local = readings["time"].dt.tz_convert(record.zone)
    if metrics.mean is None or metrics.cv is None or metrics.gmi is None:
        return []
    period = {"start": f"{local.iloc[0]:%Y-%m-%d}", "end": f"{local.iloc[-1]:%Y-%m-%d}"}

    def summary(code: str, display: str, profile: str, **value: object) -> Resource:
        return {
            "resourceType": "Observation",
            "id": person.id("summary", code, period["end"]),
            "meta": {"profile": [f"{DEFINITION}{profile}"]},
            "status": "final",
            "code": loinc(code, display),
            "subject": person.reference,
            "effectivePeriod": period,
            **value,
        }

    def percent(value: float | None) -> Resource:
        return quantity(round(value or 0.0, 2), "%")

    bands = [{"code": loinc(code, display), "valueQuantity": percent(getattr(metrics, field))} for code, display, field in BANDS]
    moles, mass = metrics.mean / MG_PER_MMOL, metrics.mean
    of = "cgm-summary-"
    parts = [
        summary(MEAN_MASS, "Mean glucose", f"{of}mean-glucose-mass-per-volume", valueQuantity=quantity(round(mass, 2), "mg/dL")),
        summary(
            MEAN_MOLES, "Mean glucose", f"{of}mean-glucose-moles-per-volume", valueQuantity=quantity(round(moles, 3), "mmol/L")
        ),
        summary(RANGES, "Times in glucose ranges", f"{of}times-in-ranges", component=bands),
        summary(GMI, "Glucose management indicator", f"{of}gmi", valueQuantity=percent(metrics.gmi)),
        summary(CV, "Coefficient of variation", f"{of}coefficient-of-variation", valueQuantity=percent(metrics.cv)),
        summary(WORN, "Days of wear", f"{of}days-of-wear", valueQuantity=quantity(float(local.dt.date.nunique()), "d")),
        summary(ACTIVE, "Sensor active", f"{of}sensor-active-percentage", valueQuantity=percent(metrics.active)),
    ]
    panel = summary(SUMMARY, "CGM summary", "cgm-summary", hasMember=[to(part) for part in parts])
    return [*parts, panel]
