"""FHIR R4: glucose from Observations of the HL7 CGM guide and of meters, insulin given or taken, and carbohydrate.

docs/reference/fhir.md has the codes, the rules and what is not read. Every resource ends as events or as a `Correction`, but for
those that only say who and with what (`ABOUT`) and a patient's weight, which goes into the record.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from careplan.formats.fhir.doses import medication_rows
from careplan.formats.fhir.observations import observation_rows, weight_of
from careplan.formats.fhir.people import People
from careplan.formats.fhir.rows import Finding, Resource, Row, dated, modified
from careplan.formats.fhir.source import Placed, Sources, download, from_files
from careplan.records.cells import CELLS
from careplan.records.clock import to_utc
from careplan.records.correction import Correction
from careplan.records.events import PatientRecord, RecordError, Refused, refusing
from careplan.records.garbage import few_collections
from careplan.records.sheet import Sheet, glucose_unit, settle
from careplan.records.stamps import stamps_of
from careplan.records.text import Source, check_zone
from careplan.records.web import is_address

ABOUT = ("Patient", "Medication", "Device", "DeviceMetric", "Practitioner", "PractitionerRole", "Organization", "Location")
HEAD = re.compile(r'"resourceType"\s*:\s*"([A-Z][A-Za-z]+)"')


def recognise(head: str) -> str | None:
    """What in the first characters of a file says that it is FHIR, or None."""
    if not head.lstrip("\ufeff \t\r\n").startswith(("{", "[")):
        return None
    found = HEAD.search(head)
    return f'JSON with "resourceType": "{found[1]}"' if found else None


def read_fhir(
    path: Source,
    *,
    zone: str | None = None,
    patient: str | None = None,
    token: str | None = None,
    refused: Refused | None = None,
) -> list[PatientRecord]:
    """One record for each person in a Bundle, an NDJSON export, a single resource, a folder of them, or on a FHIR server.

    Args:
        path: Files, or the http(s) address of a server ("https://host/fhir"), of one patient on it (".../Patient/123") or of a
            search (".../Observation?patient=123").
        zone: The patients' clock; by default what each Patient states, else UTC.
        patient: The name in the store, where the source holds one person.
        token: A bearer token, for an address.
        refused: Takes, by name, what is wrong with a person whose resources cannot be trusted, who is then left out.

    Returns:
        A record a person; people of whom nothing is read have none.

    Raises:
        RecordError: The source cannot be reached, or cannot be trusted and there is no `refused`.
    """
    if zone is not None:
        check_zone(zone, file=path)
    with few_collections():
        return read_sources(path, zone, patient, token, refused)


def read_sources(
    path: Source, zone: str | None, patient: str | None, token: str | None, refused: Refused | None
) -> list[PatientRecord]:
    """`read_fhir`, with the arguments checked. Raises `RecordError` where several patients are to have one name, or nothing of
    theirs is glucose, insulin or carbs.
    """
    sources = download(path, token) if isinstance(path, str) and is_address(path) else from_files(path)
    placed = newest(sources)
    people = People()
    for each in placed:
        if each.resource["resourceType"] == "Patient":
            people.add(each)
    persons, unclaimed = share_out(placed, people, patient)
    if patient is not None and len(persons) > 1:
        raise RecordError(f"{len(persons)} patients cannot all be {patient!r}", file=sources.name)
    if not persons:
        unread = unclaimed or sources.corrections
        why = f"; the first of {len(unread)} left out by the rule {unread[0].rule!r} ({unread[0].detail})" if unread else ""
        raise RecordError(f"no patient's glucose, insulin or carbs in it{why}", file=sources.name)
    next(iter(persons.values())).corrections[:0] = [*sources.corrections, *unclaimed]

    names = {key: patient or people.name_of(key) for key in persons}
    if len(set(names.values())) < len(names):
        raise RecordError(
            f"two people would be called {max(names.values(), key=list(names.values()).count)!r}", file=sources.name
        )
    records: list[PatientRecord] = []
    for key, person in persons.items():
        with refusing(refused, names[key]):
            record = record_of(person, names[key], zone or people.zone_of(key), sources.name)
            records.append(grouped(record, people, key))
    return records


@dataclass
class Person:
    """What a source says of one person, row by row."""

    rows: list[tuple[Placed, Row]] = field(default_factory=list)
    corrections: list[Correction] = field(default_factory=list)
    weights: list[tuple[str, float]] = field(default_factory=list)  # when, and kg
    files: dict[str, None] = field(default_factory=dict)
    count: int = 0


def newest(sources: Sources) -> list[Placed]:
    """The resources, one of each id and server: rule "duplicate" leaves out all but the last changed, or the last read. What only
    says who and with what may come several times."""
    last: dict[tuple[str, str], Placed] = {}
    keys = [key_of(each) for each in sources.placed]
    for each, key in zip(sources.placed, keys, strict=True):
        if key is not None:
            before = last.setdefault(key, each)
            if before is not each and changed(each.resource) >= changed(before.resource):
                last[key] = each
    if len(last) + keys.count(None) == len(keys):
        return sources.placed
    placed = []
    for each, key in zip(sources.placed, keys, strict=True):
        if key is not None and last[key] is not each:
            detail = f"{each.resource['resourceType']}/{each.resource['id']}"
            sources.corrections.append(Correction("dropped", "duplicate", each.file, each.row, "id", detail))
        else:
            placed.append(each)
    return placed


def key_of(placed: Placed) -> tuple[str, str] | None:
    """What a resource is the same by; None for one without an id, and for what only says who and with what."""
    _, _, resource, url = placed
    kind, name = resource["resourceType"], resource.get("id")
    return (kind, url or str(name)) if name and kind not in ABOUT else None


def changed(resource: Resource) -> str:
    meta = resource.get("meta")
    return str(meta.get("lastUpdated", "")) if isinstance(meta, dict) else ""


def share_out(placed: Iterable[Placed], people: People, patient: str | None) -> tuple[dict[str, Person], list[Correction]]:
    """Those of whom something is read, and corrections of others. patient: a name given for everything, which resources
    without a subject take too.

    Rules "no subject" and "not read": whose it is cannot be told; a kind of resource that holds nothing we read.
    """
    persons: dict[str, Person] = {}
    placed = list(placed)
    medications = {}
    for each in placed:
        if each.resource["resourceType"] == "Medication":
            medications[each.url or f"Medication/{each.resource.get('id')}"] = each.resource
            medications[f"Medication/{each.resource.get('id')}"] = each.resource
    for each in placed:
        resource, kind = each.resource, each.resource["resourceType"]
        if kind in ABOUT:
            continue
        key = people.key_of(resource.get("subject") or resource.get("patient"), resource.get("contained"))
        key = key if key or patient is None else next(iter(people.patients), "Patient/patient")
        if kind == "Observation":
            found = modified(resource) or observation_rows(resource)
        elif kind in ("MedicationAdministration", "MedicationStatement"):
            found = modified(resource) or medication_rows(resource, medications)
        else:
            found = [Finding("dropped", "not read", "resourceType", str(kind)[:80])]
        if key is None and any(isinstance(one, Row) for one in found):
            found = [Finding("dropped", "no subject", "subject", "whose it is cannot be told")]
        person = persons.get(key or "")
        if person is None:
            person = persons[key or ""] = Person()
        person.count += 1
        person.files[each.file] = None
        for one in found:
            if isinstance(one, Row):
                person.rows.append((each, one))
            else:
                person.corrections.append(one.at(each.file, each.row))
        if kind == "Observation" and not found:  # nothing but a weight has nothing to tell
            person.weights.append((str(resource.get("effectiveDateTime", "")), weight_of(resource) or 0.0))
    unclaimed = [correction for person in persons.values() if not person.rows for correction in person.corrections]
    return {key: person for key, person in persons.items() if person.rows}, unclaimed


def record_of(person: Person, name: str, zone: str | None, source: str) -> PatientRecord:
    """The canonical record of one person. Rules "no offset" and "no time zone": times and people without a stated clock."""
    at, rows = zip(*person.rows, strict=True)
    said = dict(zip(Row._fields, zip(*rows, strict=True), strict=True))
    times = np.array([moment.microseconds or 0 for moment in said["time"]], dtype="datetime64[us]").astype("datetime64[ns]")
    texts = {name: np.array(said[name], dtype=object) for name in ("field", "raw", "channel", "flag", "product")}
    texts["file"] = np.array([each.file for each in at], dtype=object)
    cells = pd.DataFrame(
        {
            **{name: pd.Series(column, dtype=object) for name, column in texts.items()},
            "row": np.array([each.row for each in at], dtype=np.int64),
            "time": pd.Series(times).dt.tz_localize("UTC"),
            "value": np.array(said["value"], dtype=float),
            "duration": np.array(said["duration"], dtype=float),
        }
    )[[*CELLS, "product"]]
    stamps = stamps_of(cells["time"], lambda index: (at[index].file, at[index].row), lambda index: dated(at[index].resource))
    sheet = Sheet(cells, person.corrections, stamps)
    local = np.array([not row.time.named for row in rows], dtype=bool)
    clock = zone or "UTC"
    if zone is None and len(cells):
        first = cells.iloc[0]
        detail = "the patient's clock is taken to be UTC"
        sheet.corrections.append(Correction("changed", "no time zone", first["file"], int(first["row"]), "timezone", detail))
    if local.any():
        sheet.note("changed", "no offset", cells[local], [f"read on the clock of {clock}"] * int(local.sum()))
        utc, _, _ = to_utc(cells["time"][local].dt.tz_localize(None), clock, file=source)
        cells.loc[local, "time"] = utc
    sheet.require(source, f" of {name}")
    settle(sheet, repairs=(glucose_unit,))
    sheet.require(source, f" of {name}")
    record = sheet.record(name, clock, rows_read=person.count, files=person.files)
    return replace(record, weight=max(person.weights)[1] if person.weights else None)


def grouped(record: PatientRecord, people: People, key: str) -> PatientRecord:
    """The record with its age group. Rule "group by age": it follows from the date of birth, at the last event."""
    last = record.events["time"].max().to_pydatetime()
    group, known = people.group_of(key, last)
    if known != "birth" or group == "adult":
        return replace(record, group=group)
    noted = Correction("changed", "group by age", record.files[0], 0, "birthDate", f"{group} at {last:%Y-%m-%d}")
    return replace(record, group=group, corrections=(*record.corrections, noted))
