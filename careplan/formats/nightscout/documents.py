"""Nightscout's documents out of files, whatever wrapped them, told apart by what they hold.

Read are a list of documents or one, a full export with a key for each collection, the answer of the API v3, and what
`mongoexport` and the mongo shell write: a document a line, `{"$numberLong": "1"}` for a number, `NumberLong(1)`; and entries as a
site answers them to who asks for no JSON: a line each, by tabs or commas.
"""

import csv
import json
import re
import sys
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from careplan.records.correction import Correction
from careplan.records.events import RecordError
from careplan.records.stamps import Stamps
from careplan.records.text import Source, find_files, read_text

Document = dict[str, Any]
PATTERNS = ("*.json", "*.jsonl", "*.ndjson", "*.tsv")
COLLECTIONS = {
    **{"entries": "entries", "sgvs": "entries", "mbgs": "entries", "cals": "entries", "treatments": "treatments"},
    **{"profile": "profiles", "profiles": "profiles", "devicestatus": "devicestatus", "food": "food", "activity": "activity"},
}
STATUS = {
    *("openaps", "loop", "pump", "uploader", "uploaderBattery", "xdripjs", "radioAdapter", "mmtune", "snooze", "preferences"),
    "override",
}
FOODS = frozenset(("food", "quickpick"))
ENTRY_TYPES = frozenset(("sgv", "mbg", "cal", "rawbg"))
# What is kept of an entry: a year has a hundred thousand of them.
ENTRY_FIELDS = ("type", "sgv", "mbg", "mgdl", "date", "mills", "dateString", "sysTime", "device", "isValid", "units")
LISTED = ("dateString", "date", "sgv", "direction", "device")
LISTED_LINE = re.compile(
    r'"?\d{4}-\d\d-\d\dT[^\t,]+(?P<by>[\t,])\d{12,13}(?:\.\d+)?(?:(?P=by)(?:"[^"\n]*"|(?:(?!(?P=by)).)*)){1,3}'
)
SHELL = re.compile(
    r"\b(?:ObjectId|ISODate|NumberLong|NumberInt|NumberDecimal|Timestamp)\(\s*(\"[^\"]*\"|'[^']*'|-?[\d.]*)[^)]*\)"
)


class Placed(NamedTuple):
    """A document and where it stands: the row counts from 1 in its file or answer."""

    file: str
    row: int
    document: Document


@dataclass(frozen=True, eq=False)
class Entries:
    """The entries of one file as columns `[N]` of `ENTRY_FIELDS`, those that any of them has; None where one has it not."""

    file: str
    rows: Sequence[int]
    columns: dict[str, list[Any]]

    def column(self, name: str) -> list[Any]:
        return self.columns.get(name) or [None] * len(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(eq=False)
class Account:
    """What became of documents that gave no cell: a correction each, or a kind that says nothing of any channel."""

    corrections: list[Correction] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    stamps: Stamps = field(default_factory=dict)
    _kinds: dict[tuple[str, str], list[Any]] = field(default_factory=dict)

    def drop(self, rule: str, placed: Placed, name: str, detail: str) -> None:
        self.corrections.append(Correction("dropped", rule, placed.file, placed.row, name, detail))

    def change(self, rule: str, placed: Placed, name: str, detail: str) -> None:
        self.corrections.append(Correction("changed", rule, placed.file, placed.row, name, detail))

    def ignore(self, kind: str, count: int = 1) -> None:
        """Documents that give no event by their nature, as a note or the end of a temporary rate."""
        self.ignored[kind] += count

    def leave_out(self, kind: str, file: str, row: int, example: str = "") -> None:
        """A document of a kind that is not read, reported in one line a kind and file."""
        self.ignored[kind] += 1
        self._kinds.setdefault((file, kind), [row, example, 0])[2] += 1

    def close(self) -> list[Correction]:
        """All corrections, with one for each kind that was left out of a file."""
        for (file, kind), (row, example, count) in self._kinds.items():
            said = f"{count:,} document{'s' if count > 1 else ''} of no channel" + (f", the first {example}" if example else "")
            self.corrections.append(Correction("dropped", kind, file, row, "", said))
        self._kinds.clear()
        return self.corrections


@dataclass(eq=False)
class Site:
    """One patient's documents as Nightscout keeps them: entries, of which there are many, as columns; the others as they are."""

    name: str
    source: str  # the file, folder or address
    entries: list[Entries] = field(default_factory=list)
    treatments: list[Placed] = field(default_factory=list)
    profiles: list[Placed] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    rows_read: int = 0
    account: Account = field(default_factory=Account)

    def add(self, file: str, documents: Sequence[object], collection: str = "") -> None:
        """Takes the documents of one list, whose rows count from 1; `collection` is its name, where the source gives one."""
        entries: list[Document] = []
        rows = array("q")
        for row, document in enumerate(documents, start=1):
            if not isinstance(document, dict):
                self.account.leave_out("not a document", file, row, repr(document)[:60])
                continue
            kind = kind_of(document, collection)
            if kind == "entries":
                entries.append(document)
                rows.append(row)
            elif kind == "treatments":
                self.treatments.append(Placed(file, row, document))
            elif kind == "profiles":
                self.profiles.append(Placed(file, row, document))
            else:
                self.account.leave_out(kind, file, row, "with " + ", ".join(sorted(document)[:8]))
        if entries:
            names = {name for entry in entries for name in entry} & set(ENTRY_FIELDS)
            self.entries.append(Entries(file, rows, {name: [entry.get(name) for entry in entries] for name in names}))
        self.rows_read += len(documents)

    @property
    def known(self) -> bool:
        """Whether anything in it is of a Nightscout site."""
        kinds = self.account.ignored.keys() & {"devicestatus", "food", "activity"}
        return bool(self.entries or self.treatments or self.profiles or kinds)


def kind_of(document: Document, collection: str = "") -> str:
    """The collection a document belongs to by what it holds, else the one it was found in; else "unknown document".

    Foods carry grams and a date like a meal does; they are a database of what may be eaten.
    """
    if "sgv" in document or "mbg" in document or str(document.get("type")) in ENTRY_TYPES:
        return "entries"
    if "eventType" in document or "insulinInjections" in document:
        return "treatments"
    if str(document.get("type")) in FOODS or (collection == "food") or ("portion" in document and "carbs" in document):
        return "food"
    if "activityType" in document or collection == "activity":
        return "activity"
    if isinstance(document.get("store"), dict) or ("basal" in document and ("carbratio" in document or "sens" in document)):
        return "profiles"
    if collection in ("devicestatus", "entries") or (collection != "treatments" and not STATUS.isdisjoint(document)):
        return collection if collection == "entries" else "devicestatus"
    if collection == "treatments" or "insulin" in document or "carbs" in document:
        return "treatments"
    return "unknown document" if collection != "profiles" else "profiles"


def find_sites(path: Source) -> list[list[Path]]:
    """Each patient's files: a file, a folder of JSON files of one patient, or a folder of such folders."""
    folders: dict[Path, list[Path]] = {}
    for file in find_files(path, *PATTERNS):
        folders.setdefault(file.parent, []).append(file)
    return list(folders.values())


def site_name(files: Sequence[Path]) -> str:
    return files[0].parent.name if len(files) > 1 or files[0].stem.lower() in COLLECTIONS else files[0].stem


def site_of(files: Sequence[Path]) -> Site:
    """The documents of one patient's files. Raises `RecordError` where a file is not JSON or none is Nightscout's."""
    site = Site(site_name(files), str(files[0] if len(files) == 1 else files[0].parent))
    for file in files:
        text = read_text(file)
        values = listed(text, file) if LISTED_LINE.match(text) else parse(text, file)
        del text
        for collection, label, documents in lists_of(values, file):
            site.add(label, documents, collection or COLLECTIONS.get(file.stem.lower(), ""))
        site.files.append(file.name)
    if not site.known and site.rows_read:
        raise RecordError(f"expected Nightscout entries, treatments or profiles, found {seen(site)}", file=site.source, row=1)
    return site


def listed(text: str, file: Path) -> list[object]:
    """The entries of lines without a header: a date, its epoch, the reading, its direction and the device, by tabs or commas.
    Raises `RecordError` where a line is not of this form.
    """
    lines = text.splitlines()
    forms = [LISTED_LINE.fullmatch(line) for line in lines]
    for row, (line, form) in enumerate(zip(lines, forms, strict=True), start=1):
        if line and form is None:
            raise RecordError("expected a date, an epoch and a reading, by tabs or commas", file=file, row=row)
    by = next(form["by"] for form in forms if form)
    return [[{**dict(zip(LISTED, fields, strict=False)), "type": "sgv"} for fields in csv.reader(lines, delimiter=by)]]


def seen(site: Site) -> str:
    """What there was instead of a site's documents."""
    return site.account.close()[0].detail.partition("the first ")[2] or "other documents"


def lists_of(values: Sequence[object], file: Path) -> Iterator[tuple[str, str, Sequence[object]]]:
    """`(collection or "", file's label, documents)` of every list in the JSON values of a file. Raises `RecordError` where a
    value is not a list of documents.
    """
    if len(values) > 1:  # a document a line
        yield "", file.name, [each for value in values for each in (value if isinstance(value, list) else [value])]
        return
    value = values[0] if values else []
    value = answered(value)
    if isinstance(value, list):
        if value and not any(isinstance(each, dict) for each in value):
            raise RecordError(f"expected a document, found {type(value[0]).__name__}", file=file, row=1)
        yield "", file.name, value
    elif not isinstance(value, dict):
        raise RecordError(f"expected a list of documents, found {type(value).__name__}", file=file)
    elif parts := parts_of(value):
        for key, part in parts.items():
            yield COLLECTIONS.get(key.lower(), ""), f"{file.name}#{key}", part
    else:
        yield "", file.name, [value]


def answered(value: object) -> object:
    """What an answer of the API v3 holds; anything else as it is."""
    return value["result"] if isinstance(value, dict) and "result" in value and set(value) <= {"status", "result"} else value


def parts_of(value: Document) -> dict[str, list[object]]:
    """The lists of a full export, by their key, where one of them is a collection's."""
    held = {key: answered(part) for key, part in value.items()}
    found: dict[str, list[object]] = {}
    for key, part in held.items():
        if isinstance(part, dict | list):
            found[key] = part if isinstance(part, list) else [part]
    return found if found.keys() & COLLECTIONS.keys() else {}


def parse(text: str, file: object) -> list[object]:
    """The JSON values of a text: one, or (from `mongoexport`) many. Raises `RecordError`."""
    try:
        try:
            return values_in(text)
        except json.JSONDecodeError:
            if not SHELL.search(text):
                raise
            return values_in(SHELL.sub(lambda match: json.dumps(match[1].strip("\"'")), text))
    except json.JSONDecodeError as error:
        raise RecordError(f"not JSON: {error.msg} (cut short?)", file=file, row=error.lineno) from error
    except (RecursionError, ValueError) as error:
        raise RecordError("not Nightscout: nested too deeply, or a number too long", file=file) from error


def values_in(text: str) -> list[object]:
    values: list[object] = []
    place = SPACE.match(text).end()  # type: ignore[union-attr]
    while place < len(text):
        value, place = DECODER.raw_decode(text, place)
        values.append(value)
        place = SPACE.match(text, place).end()  # type: ignore[union-attr]
    return values


SPACE = re.compile(r"\s*")


def slim(found: Document) -> object:
    """A document as it is parsed: extended JSON unwrapped, and of an entry only what is read."""
    if len(found) == 1:
        key, value = next(iter(found.items()))
        return unwrapped(key, value) if key.startswith("$") else found
    if "sgv" in found and "eventType" not in found:
        found = {name: found[name] for name in ENTRY_FIELDS if name in found}
        if isinstance(found.get("date"), int | float) and found["date"] > 1e11:
            found.pop("dateString", None)
        for name in ("type", "device"):
            if isinstance(found.get(name), str):
                found[name] = sys.intern(found[name])
    return found


def unwrapped(key: str, value: Any) -> Any:
    """What `{key: value}` of MongoDB's extended JSON stands for."""
    if key in ("$numberLong", "$numberInt"):
        return int(value) if str(value).lstrip("-").isdigit() else value
    if key in ("$numberDouble", "$numberDecimal"):
        try:
            return float(value)
        except (TypeError, ValueError):
            return value
    if key == "$undefined":
        return None
    return value if key in ("$oid", "$date", "$symbol") else {key: value}


DECODER = json.JSONDecoder(object_hook=slim)
