"""FHIR resources from where they are kept: Bundles, NDJSON exports and single resources in files, or a server, page by page."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

import orjson

from careplan.formats.fhir.codes import CONTROL, EATEN, GLUCOSE, WEIGHED
from careplan.records.correction import Correction
from careplan.records.events import RecordError
from careplan.records.text import Source, find_files, read_text
from careplan.records.web import Answer, Bounds, Web, base_of, parse_json

Resource = dict[str, Any]
PAGE = 1000  # resources a request
PAGES = 5000
BOUNDS = Bounds()  # a page of a thousand readings takes some 0.7 MiB
OPTIONAL = ("MedicationAdministration", "MedicationStatement")  # which many servers do not offer
LINE_END, LINE = "\n", re.compile(r"[^\n]*\n|[^\n]+")
ABSENT = (400, 403, 404, 405, 410, 501)


class Placed(NamedTuple):
    """A resource and where it stands: the row counts from 1 in its Bundle, its file's lines, or a server's answers."""

    file: str
    row: int
    resource: Resource
    url: str  # its `fullUrl`, where the Bundle states one


@dataclass
class Sources:
    """All resources of one source, and a line for each entry of it that holds none."""

    name: str
    placed: list[Placed] = field(default_factory=list)
    corrections: list[Correction] = field(default_factory=list)
    rows: int = 0  # entries, lines and resources read

    def take(self, content: object, file: str, rows: Iterable[int]) -> None:
        """Adds one JSON value; a Bundle is opened, and a Bundle in it too. Raises `RecordError` where it is no FHIR."""
        kind = content.get("resourceType") if isinstance(content, dict) else None
        if not isinstance(content, dict) or not isinstance(kind, str):
            found = f"keys {sorted(content)[:8]}" if isinstance(content, dict) else type(content).__name__
            raise RecordError(f"expected a FHIR resource, found {found}", file=file)
        rows = iter(rows)
        if kind == "Bundle":
            entries = content.get("entry") or []
            if not isinstance(entries, list):
                raise RecordError("expected a list of entries", file=file, field="entry")
            for entry in entries:
                self._enter(entry, file, rows)
        else:
            self.add(file, next(rows), content)

    def add(self, file: str, row: int, resource: Resource, url: str = "") -> None:
        self.rows += 1
        self.placed.append(Placed(file, row, resource, url))

    def _enter(self, entry: object, file: str, rows: Iterator[int]) -> None:
        """One entry of a Bundle. Rules "deleted" and "no resource": a deletion, an answer and an empty entry hold none."""
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if isinstance(resource, dict) and resource.get("resourceType") == "Bundle":
            self.take(resource, file, rows)
            return
        row = next(rows)
        if isinstance(entry, dict) and isinstance(resource, dict) and isinstance(resource.get("resourceType"), str):
            url = entry.get("fullUrl")
            self.add(file, row, resource, url if isinstance(url, str) else "")
            return
        self.rows += 1
        request = entry.get("request") if isinstance(entry, dict) else None
        deleted = isinstance(request, dict) and request.get("method") == "DELETE"
        detail = str(request.get("url", ""))[:120] if isinstance(request, dict) else "the entry holds no resource"
        self.corrections.append(Correction("dropped", "deleted" if deleted else "no resource", file, row, "entry", detail))


def from_files(path: Source) -> Sources:
    """The resources of a file or a folder of .json, .ndjson and .jsonl files. Raises `RecordError` where a file is no FHIR; in a
    folder, a JSON file of something else (the manifest of a bulk export) is reported by the rule "not FHIR"."""
    files = find_files(path, "*.json", "*.ndjson", "*.jsonl")
    found = Sources(str(path) if isinstance(path, str | Path) else str(files[0] if len(files) == 1 else files[0].parent))
    for file in files:
        if len(files) == 1:
            take_file(found, file)
            continue
        before = len(found.placed)
        try:
            take_file(found, file)
        except NotFhirError as error:
            if len(found.placed) > before:
                raise
            found.corrections.append(Correction("dropped", "not FHIR", file.name, 1, "", error.problem))
            found.rows += 1
    if not found.placed:
        raise RecordError("no FHIR resource in it", file=found.name)
    return found


class NotFhirError(RecordError):
    """Sound JSON, of something else."""


def take_file(found: Sources, file: Path) -> None:
    """Adds what one file holds: one JSON value, or NDJSON, a resource a line. Raises `RecordError` where a line is not JSON, and
    `NotFhirError` where it is not FHIR.
    """
    text = read_text(file)
    try:
        lines: Iterable[tuple[int, object]] = [(1, parse_json(text, file))]
    except RecordError as whole:
        first = next(line[0].strip() for line in LINE.finditer(text) if line[0].strip())
        if len(first) >= len(text.strip()) or not first.endswith("}"):
            raise whole from None
        lines = resources_a_line(text, file)
    else:
        [(_, one)] = lines
        if isinstance(one, list):  # resources in a plain list
            lines = enumerate(one, start=1)
        del text
    for row, content in lines:
        kind = content.get("resourceType") if isinstance(content, dict) else None
        if isinstance(content, dict) and isinstance(kind, str) and kind != "Bundle":
            found.add(file.name, row, content)
            continue
        counted = kind == "Bundle"
        try:
            found.take(content, file.name, iter(range(1, 10**9)) if counted else iter((row,)))
        except RecordError as error:
            raise NotFhirError(error.problem, file=file, row=row, field=error.field) from None
        if counted:
            note_more(found, content, file.name)


def resources_a_line(text: str, file: Path) -> Iterable[tuple[int, object]]:
    """The line and the value of each line of NDJSON. Raises `RecordError`, naming the line, where one is no JSON."""
    try:  # all at once is half as slow; blank lines and errors are for one by one
        first = 1 + text[: len(text) - len(text.lstrip())].count(LINE_END)
        return enumerate(orjson.loads(f"[{text.strip().replace(LINE_END, ',')}]"), start=first)
    except orjson.JSONDecodeError:
        every = enumerate(LINE.finditer(text), start=1)
        return ((row, _line(line[0], file, row)) for row, line in every if not line[0].isspace())


def _line(line: str, file: Path, row: int) -> object:
    try:
        return parse_json(line, file)
    except RecordError as error:
        raise RecordError(error.problem, file=file, row=row) from None


def note_more(found: Sources, content: object, file: str) -> None:
    """Rule "page missing": a saved page of a search that names a next one is not the whole answer."""
    if isinstance(content, dict) and next_link(content):
        found.corrections.append(
            Correction("dropped", "page missing", file, 0, "link", "the search has a next page that is not in the file")
        )


def next_link(bundle: Resource) -> str | None:
    links = bundle.get("link")
    for link in links if isinstance(links, list) else []:
        if isinstance(link, dict) and link.get("relation") == "next" and isinstance(link.get("url"), str):
            return str(link["url"])
    return None


def download(address: str, token: str | None = None) -> Sources:
    """What a server holds, page by page: of one patient (".../Patient/123"), of one search (".../Observation?patient=123"), or of
    everyone (its base address). Raises `RecordError` where it cannot be reached, refuses, or leads to another host.

    token: a bearer token. Rule "not offered": a server that has no resource of a kind that many lack.
    """
    base, patient, search = split(address)
    found = Sources(base)
    with Web(base, bearer=token, bounds=BOUNDS) as web:
        if search is not None:
            take_pages(found, web, search, {})
            return found
        whom = {"patient": patient} if patient else {}
        take_pages(found, web, f"Patient/{patient}" if patient else "Patient", {} if patient else {"_count": str(PAGE)})
        codes = [f"{system}|{code}" for system, code in (*GLUCOSE, *EATEN, *WEIGHED, CONTROL) if system != "MDC"]
        codes += [f"urn:iso:std:iso:11073:10101|{code}" for system, code in (*GLUCOSE, *EATEN, CONTROL) if system == "MDC"]
        take_pages(found, web, "Observation", {**whom, "code": ",".join(codes), "_count": str(PAGE)})
        for kind in OPTIONAL:
            take_pages(found, web, kind, {**whom, "_include": f"{kind}:medication", "_count": str(PAGE)}, optional=True)
    return found


def split(address: str) -> tuple[str, str | None, str | None]:
    """The base of a server's address, and the patient or the search that it names."""
    base, parts = base_of(address), urlsplit(address)
    kept = base.split("/")
    if len(kept) > 4 and kept[-2] == "Patient" and not parts.query:
        return "/".join(kept[:-2]), kept[-1], None
    for index, part in enumerate(kept[3:], start=3):
        if part[:1].isupper() and part.isalpha():
            query = f"?{parts.query}" if parts.query else ""
            return "/".join(kept[:index]), None, "/".join(kept[index:]) + query
    return base, None, None


def take_pages(found: Sources, web: Web, search: str, params: dict[str, str], *, optional: bool = False) -> None:
    """Adds every page of one search. Raises `RecordError` where a page is no FHIR or the pages run in a circle."""
    path, url, seen, row = search.partition("?")[0], f"{web.base}/{search}", set[str](), 1
    for _ in range(PAGES):
        answer = web.get(url, params=params or None, headers={"accept": "application/fhir+json, application/json"})
        if optional and answer.status in ABSENT and not seen:
            found.corrections.append(Correction("dropped", "not offered", path, 0, "", f"the server answered {answer.status}"))
            return
        content = checked(answer)
        count = len(found.placed) + len(found.corrections)
        found.take(content, path, iter(range(row, row + 10**9)))
        row += len(found.placed) + len(found.corrections) - count
        following = next_link(content)
        if following is None:
            return
        if following in seen:
            raise RecordError("the next page is one that was read before", file=answer.where, field="link")
        seen.add(following)
        url, params = urljoin(f"{web.base}/", following), {}
    raise RecordError(f"more than {PAGES} pages", file=f"{web.base}/{path}")


def checked(answer: Answer) -> Resource:
    """The resource in a good answer; raises `RecordError` with what the server says is wrong otherwise."""
    if answer.status in (401, 403):
        raise RecordError("access refused: give a token that may read", file=answer.where)
    if answer.status != 200:
        raise RecordError(f"answered {answer.status}{diagnosis(answer)}", file=answer.where)
    content = answer.json()
    if not isinstance(content, dict) or not isinstance(content.get("resourceType"), str):
        raise RecordError("not a FHIR server: the answer is no resource", file=answer.where)
    return content


def diagnosis(answer: Answer) -> str:
    """What an OperationOutcome says, in a few words; nothing where there is none."""
    try:
        issues = answer.json()["issue"]
        said = [str(issue.get("diagnostics") or issue.get("details", {}).get("text") or issue.get("code")) for issue in issues]
    except (RecordError, KeyError, TypeError, AttributeError):
        return ""
    return f": {'; '.join(said)[:300]}" if said else ""
