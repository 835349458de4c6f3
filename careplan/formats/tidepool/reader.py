"""Tidepool: the documents of its API as JSON, and the workbook that its site exports, in one form.

Times are in UTC, glucose in mmol/L (a workbook's as the person chose), insulin in U, lengths in milliseconds. What a pump
delivered counts, not what was programmed: `normal` and `extended`, never `expectedNormal`, and never what a temporary rate
`suppressed`.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from careplan.formats.tidepool.book import book_documents
from careplan.formats.tidepool.documents import READ, Document, Reading, is_ungiven, moment, number, time_of
from careplan.formats.tidepool.settings import settings_of
from careplan.records.cells import CELLS, cells_of
from careplan.records.correction import Correction
from careplan.records.devices import drop_same_doses
from careplan.records.events import PatientRecord, RecordError, Refused, refusing
from careplan.records.garbage import few_collections
from careplan.records.raw import XLS, XLSX
from careplan.records.settings import StatedSettings
from careplan.records.sheet import Sheet, settle
from careplan.records.stamps import stamps_of
from careplan.records.text import Source, check_zone, find_files, read_text
from careplan.records.web import parse_json

TYPES = "cbg|smbg|basal|bolus|wizard|food|insulin|physicalActivity|pumpSettings|cgmSettings|deviceEvent|upload|bloodKetone"
TYPED = re.compile(rf'"type"\s*:\s*"(?:{TYPES})"')
NESTED = frozenset(("payload", "annotations", "suppressed", "nutrition", "recommended"))  # where a document is whole
COMMON = re.compile(r'"(?:timezoneOffset|uploadId|deviceId|deviceTime)"\s*:')


def recognise(head: str) -> str | None:
    """Why a file is Tidepool's, by its first lines (of a workbook, those of each sheet); None where it is not."""
    headers = [line for line in head.splitlines() if "Zulu Time" in line and "Tidepool Data Type" in line]
    if headers and not head.lstrip().startswith("{"):
        return "a sheet has the columns Zulu Time and Tidepool Data Type"
    if not head.lstrip().startswith(("{", "[")) or not COMMON.search(head):
        return None
    kind = TYPED.search(head)
    return f"it is JSON with {kind[0]} and {COMMON.findall(head)[0]}" if kind else None


@few_collections()
def read_tidepool(
    path: Source, *, zone: str | None = None, patient: str | None = None, refused: Refused | None = None
) -> list[PatientRecord]:
    """One record for each file of the API's JSON (a list, or a document a line) or workbook, named by the file.

    Args:
        path: The files.
        zone: The patient's clock; by default the latest upload's.
        patient: Whose all the files are.
        refused: Takes, by name, what is wrong with a person whose file cannot be trusted, who is then left out.

    Returns:
        A record a file.

    Raises:
        RecordError: A file cannot be trusted, and there is no `refused`.
    """
    if zone is not None:
        check_zone(zone, file=path)
    records = []
    for file in find_files(path, "*.json", "*.xlsx"):
        name = patient or "tidepool-" + (re.sub(r"\W+", "-", file.stem.lower()).strip("-_") or "patient")
        with refusing(refused, name):
            records.append(read_person(file, name, zone))
    return records


def read_person(file: Path, name: str, zone: str | None) -> PatientRecord:
    documents, mmol = documents_of(file)
    reading = Reading(file.name, mmol)
    settings, zones = [], Counter[str]()
    latest = ("", "")
    for _, document in documents:
        if not isinstance(document.get("time"), str) or not document["time"]:
            document["time"] = time_of(document)
        if document.get("type") == "upload":
            made = str(document.get("time") or document.get("computerTime") or "")
            reading.ends[str(document.get("uploadId"))] = moment(made)
            if stated := document.get("timezone"):
                zones[str(stated)] += 1
                latest = max(latest, (made, str(stated)))
        elif document.get("type") == "pumpSettings":
            settings.append((str(document.get("time")), document))
        elif document.get("type") == "bolus" and is_ungiven(document):
            reading.ungiven.add(str(document.get("id")))
    settings.sort(key=lambda each: each[0])
    for row, document in with_embedded(current(documents, reading)):
        kind = str(document.get("type") or "no type")
        read = READ.get(kind)
        if read is None:
            reading.ignore(row, kind)
        else:
            read(reading, row, document)
    quoted(reading, documents)
    clock = clock_of(reading, zone, latest[1], zones, documents)
    regimens = [found for _, document in settings if (found := settings_of(document, mmol=mmol))]
    return record_of(reading, name, clock, len(documents), file, regimens[-1] if regimens else None)


def documents_of(file: Path) -> tuple[list[tuple[int, Document]], bool]:
    """The documents with the row each stands in, and whether their settings are in mmol/L whatever they say. Raises `RecordError`
    where the file is not a list of documents.
    """
    with file.open("rb") as opened:
        start = opened.read(8)
    if start.startswith((XLSX, XLS)):
        return book_documents(file), False
    text = read_text(file)
    lines = text.splitlines() if text.lstrip().startswith("{") else []
    if len(lines) > 1 and lines[0].rstrip().endswith("}"):
        content: Any = [parse_json(line, file) for line in lines if line.strip()]
    else:
        content = parse_json(text, file)
    if isinstance(content, dict):
        content = content["data"] if isinstance(content.get("data"), list) else [content]
    if not isinstance(content, list):
        raise RecordError(f"expected a list of documents, found {type(content).__name__}", file=file)
    for row, document in enumerate(content, start=1):
        if not isinstance(document, dict):
            raise RecordError(f"expected a document, found {type(document).__name__}", file=file, row=row)
    return list(enumerate(content, start=1)), True


def current(documents: list[tuple[int, Document]], reading: Reading) -> list[tuple[int, Document]]:
    """The documents that stand. Rules "deleted": one that is marked as deleted or no longer active; "older version": of those of
    one id the last version counts."""
    latest: dict[str, tuple[float, int]] = {}
    for row, document in documents:
        if "id" in document and "_version" in document:
            version = number(document["_version"]) or 0.0
            latest[str(document["id"])] = max(latest.get(str(document["id"]), (-1.0, 0)), (version, row))
    standing = []
    for row, document in documents:
        if document.get("deletedTime") or document.get("_active") is False:
            reading.report(row, "type", "deleted", f"{document.get('type')} of {document.get('time')}")
        elif "_version" in document and latest.get(str(document.get("id")), (0.0, row))[1] != row:
            reading.report(row, "_version", "older version", f"{document.get('type')} of {document.get('time')}")
        else:
            standing.append((row, document))
    return standing


def with_embedded(documents: list[tuple[int, Document]]) -> Iterable[tuple[int, Document]]:
    """The documents, with the boluses that stand within a wizard and nowhere else."""
    yield from documents
    wizards = [(row, each) for row, each in documents if each.get("type") == "wizard" and isinstance(each.get("bolus"), dict)]
    known = {each.get("id") for _, each in documents if each.get("type") == "bolus"} if wizards else set()
    for row, document in wizards:
        if document["bolus"].get("id") not in known:
            yield row, {"time": document.get("time"), **document["bolus"], "type": "bolus"}


def quoted(reading: Reading, documents: list[tuple[int, Document]]) -> None:
    """Rule "nested as text": some exports write what stands within a document as text in single quotes, which is not read."""
    nesting = [(row, document) for row, document in documents if not NESTED.isdisjoint(document)]
    rows = [row for row, document in nesting if any(isinstance(document.get(name), str) for name in NESTED)]
    if rows:
        detail = (
            f"{len(rows):,} documents hold what is nested in them as text: carbs, annotations and settings in there are not read"
        )
        reading.report(rows[0], "", "nested as text", detail, dropped=False)


def clock_of(reading: Reading, zone: str | None, latest: str, zones: Counter[str], documents: list[tuple[int, Document]]) -> str:
    """The zone given, or the latest upload's. Rule "no time zone": else the commonest offset of the documents, or UTC."""
    if zone is not None:
        return zone
    if latest:
        try:
            check_zone(latest, file=reading.file)
            if len(zones) > 1:
                named = ", ".join(f"{name} ({count})" for name, count in zones.most_common())
                reading.report(
                    1, "timezone", "several time zones", f"uploads were made in {named}; the latest is the clock", dropped=False
                )
            return latest
        except RecordError:
            pass
    offsets = Counter(document.get("timezoneOffset") for _, document in documents)
    usual = next((number(offset) for offset, _ in offsets.most_common() if number(offset) is not None), 0.0) or 0.0
    hours = round(usual / 60.0)
    clock = f"Etc/GMT{-hours:+d}" if hours and usual % 60 == 0 and -12 <= hours <= 14 else "UTC"
    reading.report(
        1, "timezone", "no time zone", f"the patient's clock is taken to be {clock}, by the documents' offsets", dropped=False
    )
    return clock


def record_of(reading: Reading, name: str, clock: str, rows: int, file: Path, regimen: StatedSettings | None) -> PatientRecord:
    cells = cells_of(reading.cells, [*CELLS, "product", "device"])
    times = [time if isinstance(time, str) else str(time or "") for time in cells["time"]]
    cells["time"] = pd.to_datetime(pd.Series(times, dtype=object), utc=True, errors="coerce", format="ISO8601").astype(
        "datetime64[ns, UTC]"
    )
    stamps = stamps_of(cells["time"], lambda index: (file.name, int(cells["row"][index])), lambda index: ("time", times[index]))
    sheet = Sheet(cells, reading.corrections, stamps)
    for kind, (count, first) in reading.ignored.items():
        detail = f"{count:,} document{'s' if count > 1 else ''} of no channel"
        sheet.corrections.append(Correction("dropped", kind, file.name, first, "type", detail))
    settle(sheet, merges=(drop_same_doses,))
    sheet.require(file)
    record = sheet.record(name, clock, rows_read=rows, files=[file.name])
    ignored = {kind: count for kind, (count, _) in reading.ignored.items()}
    return replace(record, ignored=ignored, regimen=regimen)
