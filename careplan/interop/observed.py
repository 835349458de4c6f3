"""A record as FHIR resources: the Patient, readings, finger sticks, meals and insulin, and the CGM summary of the HL7 guide."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import pandas as pd

from careplan.clinic.summaries import glucose_of
from careplan.interop.resources import DEFINITION, Person, Resource, concept, loinc, quantity, stated, to
from careplan.records.events import PatientRecord, flagged
from careplan.records.fhir_codes import (
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
from careplan.therapies.glucose.declaration import MG_PER_MMOL

REPORTED = timedelta(days=14)  # the reporting period of the summary: the last days that hold readings
COMPARATORS = {"low": "<", "high": ">"}
FAST = (ATC, "A10AB", "Insulins and analogues for injection, fast-acting")
BACKGROUND = (ATC, "A10AE", "Insulins and analogues for injection, long-acting")
CLASSES = {"bolus": FAST, "basal": FAST, "long_acting": BACKGROUND}
NOT_CARRIED = ("activity",)  # channels that have no place in these resources
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


def event_resources(person: Person, record: PatientRecord) -> Iterator[Resource]:
    """One resource an event, in the order of the record, but for the channels of `NOT_CARRIED`."""
    seen: Counter[tuple[object, ...]] = Counter()
    events = record.events
    columns = (events[name] for name in ("time", "channel", "value", "duration", "flag", "product"))
    for time, channel, value, duration, flag, product in zip(*columns, strict=True):
        key = (channel, time.isoformat(), repr(value), repr(duration), flag, product)
        id = person.id("event", *key, seen[key])
        seen[key] += 1
        if channel == "glucose":
            yield reading(person, id, time, value, flag.split())
        elif channel == "carbs":
            yield meal(person, id, time, value, duration, flag.split())
        elif channel in CLASSES:
            medicine = insulin(channel, product)
            yield dose(person, id, time, channel, value, duration, flag.split(), medicine)


def reading(person: Person, id: str, time: pd.Timestamp, value: float, words: list[str]) -> Resource:
    stick = "fingerstick" in words
    bound = next((COMPARATORS[word] for word in words if word in COMPARATORS), "")
    code = loinc(STICK_MASS, "Glucose [Mass/volume] in Blood") if stick else SENSOR
    profile = {} if stick else {"profile": [f"{DEFINITION}cgm-sensor-reading-mass-per-volume"]}
    return {
        "resourceType": "Observation",
        "id": id,
        **stated(meta={**profile, **tagged(set(words) - {"fingerstick", *COMPARATORS})}),
        "status": "final",
        "code": code,
        "subject": person.reference,
        "effectiveDateTime": person.local(time),
        "valueQuantity": quantity(value, "mg/dL", comparator=bound),
    }


SENSOR = loinc(SENSOR_MASS, "Glucose [Mass/volume] in Interstitial fluid")


def meal(person: Person, id: str, time: pd.Timestamp, grams: float, minutes: float, words: list[str]) -> Resource:
    return {
        "resourceType": "Observation",
        "id": id,
        **stated(meta=tagged(words)),
        "status": "final",
        "code": loinc(CARBS, "Carbohydrate intake Estimated"),
        "subject": person.reference,
        **effective(person, time, minutes),
        "valueQuantity": quantity(grams, "g"),
    }


def dose(
    person: Person, id: str, time: pd.Timestamp, channel: str, value: float, minutes: float, words: list[str], medicine: Resource
) -> Resource:
    """An injection or a bolus as a dose, basal as a rate over the time it held."""
    rate = channel == "basal"
    given = {"rateQuantity": quantity(value, "[iU]/h")} if rate else {"dose": quantity(value, "[iU]")}
    return {
        "resourceType": "MedicationAdministration",
        "id": id,
        **stated(meta=tagged(words)),
        "status": "completed",
        "medicationCodeableConcept": medicine,
        "subject": person.reference,
        **effective(person, time, minutes, period=rate),
        "dosage": {"text": f"{value:g} {'U/h' if rate else 'U'}", **given},
    }


def insulin(channel: str, product: str = "") -> Resource:
    """The class of an insulin, and its brand where it is known."""
    brand = [(PRODUCT, product, product)] if product else []
    return concept(product or CLASSES[channel][2], CLASSES[channel], *brand)


def effective(person: Person, time: pd.Timestamp, minutes: float, *, period: bool = False) -> Resource:
    """A moment, or the period that an event lasts; NaN minutes: it has no end yet."""
    if np.isnan(minutes):
        return {"effectivePeriod": {"start": person.local(time)}}
    if minutes > 0 or period:
        end = time + pd.Timedelta(microseconds=round(minutes * 60e6))
        return {"effectivePeriod": {"start": person.local(time), "end": person.local(end)}}
    return {"effectiveDateTime": person.local(time)}


def tagged(words: object) -> Resource:
    """careplan's own flags that no element of FHIR says."""
    codes = sorted(str(word) for word in words) if isinstance(words, list | set) else []
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
