"""FHIR resources made up for the tests, and what reading them gave."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from careplan.formats.fhir.reader import read_fhir
from careplan.records.events import PatientRecord

Resource = dict[str, Any]
LOINC, UCUM, ATC = "http://loinc.org", "http://unitsofmeasure.org", "http://www.whocc.no/atc"


def coded(code: str, system: str = LOINC, **more: object) -> Resource:
    return {"coding": [{"system": system, "code": code}], **more}


def reading(value: object = 120, code: str = "99504-3", unit: str = "mg/dL", at: str = "08:00", **more: object) -> Resource:
    quantity = {"value": value, "unit": unit, "system": UCUM, "code": unit}
    stated = {
        "resourceType": "Observation",
        "status": "final",
        "code": coded(code),
        "subject": {"reference": "Patient/1"},
        "effectiveDateTime": f"2024-05-02T{at}:00Z" if len(at) == 5 else at,
        "valueQuantity": quantity,
    }
    return {name: value for name, value in {**stated, **more}.items() if value is not None}


def given_dose(medicine: Resource, dosage: Resource, **more: object) -> Resource:
    stated = {
        "resourceType": "MedicationAdministration",
        "status": "completed",
        "medicationCodeableConcept": medicine,
        "subject": {"reference": "Patient/1"},
        "effectiveDateTime": "2024-05-02T08:00:00Z",
        "dosage": dosage,
    }
    return {name: value for name, value in {**stated, **more}.items() if value is not None}


def units(value: object, unit: str = "[iU]") -> Resource:
    return {"dose": {"value": value, "unit": "U", "system": UCUM, "code": unit}}


PATIENT: Resource = {
    "resourceType": "Patient",
    "id": "1",
    "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/timezone", "valueCode": "Europe/Berlin"}],
}


def bundle(*resources: object, kind: str = "collection", **more: object) -> Resource:
    return {"resourceType": "Bundle", "type": kind, "entry": [{"resource": each} for each in resources], **more}


def write(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def read(folder: Path, *resources: object, **options: Any) -> PatientRecord:
    [record] = read_fhir(write(folder / "bundle.json", bundle(PATIENT, *resources)), **options)
    return record


def events(record: PatientRecord) -> list[tuple[str, str, float, float, str]]:
    rows = record.events[["time", "channel", "value", "duration", "flag"]].itertuples(index=False)
    return [(f"{time:%H:%M}", channel, round(value, 2), duration, flag) for time, channel, value, duration, flag in rows]


def rules(record: PatientRecord) -> Counter[str]:
    return Counter(correction.rule for correction in record.corrections)
