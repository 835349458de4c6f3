"""Whose a FHIR resource is: references to a patient in their several forms, and what a Patient says of a person."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal

from careplan.covariates import ADOLESCENT, ADULT
from careplan.formats.fhir.codes import GROUP, PATIENT, ZONE
from careplan.formats.fhir.rows import Resource, as_list
from careplan.formats.fhir.source import Placed
from careplan.records.events import RecordError
from careplan.records.text import check_zone

Group = Literal["adult", "adolescent", "child"]
GROUPS: tuple[Group, ...] = ("adult", "adolescent", "child")
PLAIN = re.compile(r"[\w.\-](?:[\w .\-]{0,98}[\w.\-])?")  # a name that is safe to print and to store
REFERENCE = re.compile(r"(.*?)/?Patient/([A-Za-z0-9.\-]{1,64})")


@dataclass
class People:
    """The patients of a source. A key is one person: "Patient/1", or what a reference says where no Patient is there."""

    patients: dict[str, Resource] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)  # a reference, `fullUrl` or identifier -> key
    bases: dict[str, str] = field(default_factory=dict)  # an id -> the server it was first met on

    def add(self, placed: Placed) -> None:
        """Raises `RecordError` where two people go by one id."""
        resource = placed.resource
        name = resource.get("id")
        key = self.key_of({"reference": placed.url}) if "/Patient/" in placed.url else None
        key = key or (f"Patient/{name}" if isinstance(name, str) and name else placed.url or f"{placed.file}:{placed.row}")
        before = self.patients.get(key)
        if before is not None and differ(before, resource):
            raise RecordError(f"two people are {key}: read their files apart", file=placed.file, row=placed.row, field="id")
        self.patients[key] = resource
        self.keys |= dict.fromkeys((key, placed.url, *identifiers(resource)), key)

    def key_of(self, reference: object, contained: object = None) -> str | None:
        """Whose a resource is that refers so to its subject, perhaps one contained in it; None where that is no patient that can
        be told from others."""
        if not isinstance(reference, dict):
            return None
        text, logical = reference.get("reference"), reference.get("identifier")
        if isinstance(text, str) and text:
            if text in self.keys:
                return self.keys[text]
            text = text.split("/_history/")[0]
            if text in self.keys:
                return self.keys[text]
            if text.startswith("#"):
                held = (
                    each for each in as_list(contained) if each.get("id") == text[1:] and each.get("resourceType") == "Patient"
                )
                written = next((one for patient in held for one in identifiers(patient)), None)
                return None if written is None else self.keys.get(written, written)
            searched = re.fullmatch(r"Patient\?identifier=(.+)", text)
            if searched:
                return self.keys.get(searched[1], searched[1])
            match = REFERENCE.fullmatch(text)
            if match and match[1]:
                first = self.bases.setdefault(match[2], match[1])
                return f"Patient/{match[2]}" if first == match[1] else text
            return text if match or text.startswith("urn:") else None
        if isinstance(logical, dict) and logical.get("value"):
            written = f"{logical.get('system', '')}|{logical['value']}"
            return self.keys.get(written, written)
        return None

    def name_of(self, key: str) -> str:
        """The person's name in the store: careplan's own where it wrote the Patient, else made of the id."""
        own = [one["value"] for one in as_list(self.patients.get(key, {}).get("identifier")) if one.get("system") == PATIENT]
        if own and isinstance(own[0], str) and PLAIN.fullmatch(own[0]):
            return own[0]
        text = key.rpartition("|")[2] if "|" in key else key.removeprefix("Patient/").removeprefix("urn:uuid:")
        return "fhir-" + (re.sub(r"[^\w.-]+", "-", re.sub(r"^https?://", "", text)).strip("-") or "patient")

    def zone_of(self, key: str) -> str | None:
        """The clock that a Patient states, where there is one of that name."""
        for extension in as_list(self.patients.get(key, {}).get("extension")):
            if extension.get("url") == ZONE:
                stated = str(extension.get("valueCode") or extension.get("valueString") or "")
                try:
                    check_zone(stated, file=key)
                    return stated
                except RecordError:
                    return None
        return None

    def group_of(self, key: str, at: datetime) -> tuple[Group, str]:
        """The age group, and how it is known: "stated", from the date of "birth", or empty where nothing says."""
        patient = self.patients.get(key, {})
        meta = patient.get("meta")
        for tag in as_list(meta.get("tag")) if isinstance(meta, dict) else []:
            for group in GROUPS:
                if tag.get("system") == GROUP and tag.get("code") == group:
                    return group, "stated"
        years = age(patient.get("birthDate"), at.date())
        if years is None:
            return "adult", ""
        return ("child" if years < ADOLESCENT else "adolescent" if years < ADULT else "adult"), "birth"


def age(born: object, on: date) -> int | None:
    """Whole years on a day; of a date of birth without month or day, the fewest that it can be."""
    match = re.fullmatch(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?", born) if isinstance(born, str) else None
    if match is None:
        return None
    month, day = int(match[2] or 12), int(match[3] or 31)
    years = on.year - int(match[1]) - ((on.month, on.day) < (month, day))
    return years if 0 <= years < 130 else None


def identifiers(resource: Resource) -> Iterable[str]:
    return (f"{one.get('system', '')}|{one['value']}" for one in as_list(resource.get("identifier")) if one.get("value"))


def differ(one: Resource, other: Resource) -> bool:
    """Whether two Patients are surely not one person: born on two days, or without an identifier in common."""
    born = {patient["birthDate"] for patient in (one, other) if isinstance(patient.get("birthDate"), str)}
    first, second = set(identifiers(one)), set(identifiers(other))
    return len(born) > 1 or bool(first and second and not first & second)
