"""The pieces that FHIR resources are made of: ids that stay, codes, quantities, references, and the Bundle around them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from careplan.formats.fhir.codes import LOINC, UCUM

Resource = dict[str, Any]
NAMESPACE = UUID("6f1c1f0e-5b7c-5d0f-9a54-0d1f3f6a9c11")  # of every id that careplan makes; it never changes
DEFINITION = "http://hl7.org/fhir/uv/cgm/StructureDefinition/"
ISSUES, SETTINGS, SUGGESTION, PROVENANCE = (
    "urn:careplan:issue",
    "urn:careplan:setting",
    "urn:careplan:suggestion",
    "urn:careplan:",
)
UNITS = {"mg/dL": "mg/dl", "mmol/L": "mmol/l", "%": "%", "d": "days", "g": "g", "[iU]": "U", "[iU]/h": "U/h", "min": "min"}


@dataclass(frozen=True)
class Person:
    """Whose resources these are. `seed` makes their ids: the same person's, in the same store, are always the same."""

    name: str
    seed: str
    zone: str
    subject: str | None = None  # a reference to a Patient that the server has; None: the Bundle brings its own

    def id(self, *key: object) -> str:
        """The id of the resource that `key` tells from every other of this person."""
        return str(uuid5(NAMESPACE, "|".join(map(str, (self.seed, *key)))))

    @property
    def reference(self) -> Resource:
        return {"reference": self.subject or urn(self.id("Patient"))}


def urn(id: str) -> str:
    return f"urn:uuid:{id}"


def concept(text: str, *codings: tuple[str, str, str]) -> Resource:
    """A CodeableConcept; codings are `(system, code, display)`."""
    coded = [{"system": system, "code": code, **({"display": display} if display else {})} for system, code, display in codings]
    return {**({"coding": coded} if coded else {}), "text": text}


def loinc(code: str, display: str) -> Resource:
    return {"coding": [{"system": LOINC, "code": code, "display": display}]}


def quantity(value: float, code: str, *, comparator: str = "") -> Resource:
    """A Quantity in UCUM; the unit is written as the CGM guide's profiles require it."""
    stated = {"value": value, "unit": UNITS[code], "system": UCUM, "code": code}
    return {**stated, "comparator": comparator} if comparator else stated


def to(resource: Resource) -> Resource:
    """A reference to another resource of the Bundle."""
    return {"reference": urn(resource["id"])}


def bundle(resources: Iterable[Resource], timestamp: datetime) -> Resource:
    """A transaction in which each resource is put under its own id, so that to send it again changes nothing."""
    entries = [
        {
            "fullUrl": urn(resource["id"]),
            "resource": resource,
            "request": {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"},
        }
        for resource in resources
    ]
    return {"resourceType": "Bundle", "type": "transaction", "timestamp": timestamp.isoformat(), "entry": entries}


def stated(**fields: object) -> Mapping[str, object]:
    """The fields that are not empty."""
    return {name: value for name, value in fields.items() if value not in (None, "", [], {})}
