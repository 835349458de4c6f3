"""Nightscout documents, from a folder, a file or a site's REST API v1."""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pandas as pd

from careplan.records.events import RecordError
from careplan.records.text import Source, dates, find_files, numbers, read_text

Document = dict[str, Any]
PAGE = 10_000  # documents a request
PAGES = 500
ACCESS_TOKEN = re.compile(r"[^-\s]+-[0-9a-f]{16}")


@dataclass(frozen=True, eq=False)
class Placed:
    """A document and where it stands: the row counts from 1 in its file or answer."""

    file: str
    row: int
    document: Document


@dataclass(frozen=True, eq=False)
class Site:
    """One patient's documents as Nightscout keeps them."""

    name: str
    source: str  # the file, folder or address
    entries: tuple[Placed, ...]
    treatments: tuple[Placed, ...]
    profiles: tuple[Placed, ...]


def find_sites(path: Source) -> list[list[Path]]:
    """Each patient's files: a JSON file, a folder of JSON files of one patient, or a folder of such folders."""
    folders: dict[Path, list[Path]] = {}
    for file in find_files(path, "*.json"):
        folders.setdefault(file.parent, []).append(file)
    return list(folders.values())


def site_name(files: list[Path]) -> str:
    generic = {"entries", "treatments", "profile", "profiles"}
    return files[0].parent.name if len(files) > 1 or files[0].stem in generic else files[0].stem


def site_of(files: list[Path]) -> Site:
    """The documents of one patient's files, told apart by what they hold. Raises `RecordError`."""
    found: dict[str, list[Placed]] = {"entries": [], "treatments": [], "profiles": []}
    for file in files:
        try:
            content = json.loads(read_text(file))
        except json.JSONDecodeError as error:
            raise RecordError(f"not JSON: {error.msg} (cut short?)", file=file, row=error.lineno) from error
        except RecursionError as error:
            raise RecordError("not Nightscout: nested too deeply", file=file) from error
        for kind, every in collections(content, file).items():
            found[kind] += place(file.name, every)
    source = str(files[0] if len(files) == 1 else files[0].parent)
    return Site(site_name(files), source, tuple(found["entries"]), tuple(found["treatments"]), tuple(found["profiles"]))


def place(file: str, every: Iterable[Document]) -> list[Placed]:
    return [Placed(file, row, document) for row, document in enumerate(every, start=1)]


def collections(content: object, file: object) -> dict[str, list[Document]]:
    """Entries, treatments and profiles in one JSON value; `RecordError` where it holds none of them."""
    if isinstance(content, dict) and not kind_of(content):
        parts = {"entries": content.get("entries"), "treatments": content.get("treatments")}
        parts["profiles"] = content.get("profile", content.get("profiles"))
        found = {kind: [part] if isinstance(part, dict) else part for kind, part in parts.items() if part is not None}
        if not found:
            raise RecordError(
                f"expected Nightscout entries, treatments or profiles, found keys {sorted(content)[:10]}", file=file
            )
        return {kind: documents(part, file) for kind, part in found.items()}
    every = documents([content] if isinstance(content, dict) else content, file)
    kinds = {kind for document in every[:50] if (kind := kind_of(document))}
    if every and len(kinds) != 1:
        raise RecordError(f"expected Nightscout entries, treatments or profiles, found {sorted(every[0])[:10]}", file=file, row=1)
    return {kinds.pop(): every} if every else {}


def documents(part: object, file: object) -> list[Document]:
    if not isinstance(part, list):
        raise RecordError(f"expected a list of documents, found {type(part).__name__}", file=file)
    for row, document in enumerate(part, start=1):
        if not isinstance(document, dict):
            raise RecordError(f"expected a document, found {type(document).__name__}", file=file, row=row)
    return part


def kind_of(document: Document) -> str:
    """The collection a document belongs to, or nothing."""
    if isinstance(document.get("store"), dict):
        return "profiles"
    if "sgv" in document or "mbg" in document or document.get("type") in ("sgv", "mbg", "cal"):
        return "entries"
    if "eventType" in document or "insulin" in document or "carbs" in document:
        return "treatments"
    return ""


def download(url: str, token: str | None = None, *, client: httpx.Client | None = None) -> Site:
    """All entries, treatments and profiles of a site, newest first in pages. Errors never show the token.

    token: a Nightscout access token (`name-0123456789abcdef`), or the site's API secret, sent hashed.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise RecordError("expected an http or https address", file=parts._replace(query="", fragment="").geturl())
    base = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
    given: dict[str, str] = {}
    headers: dict[str, str] = {"accept": "application/json"}
    if token and ACCESS_TOKEN.fullmatch(token):
        given["token"] = token
    elif token:
        headers["api-secret"] = hashlib.sha1(token.encode()).hexdigest()

    def get(collection: str, **query: str) -> list[Document]:
        where = f"{base}/api/v1/{collection}.json"
        try:
            answer = web.get(where, params={**query, **given}, headers=headers)
        except httpx.HTTPError as error:
            raise RecordError(f"no answer: {type(error).__name__}", file=where) from None
        if answer.status_code in (401, 403):
            raise RecordError("access refused: give a token that may read", file=where)
        if answer.is_redirect:
            raise RecordError(f"the site has moved to {answer.headers.get('location', '')[:200].split('?')[0]}", file=where)
        if answer.status_code != 200:
            raise RecordError(f"answered {answer.status_code}", file=where)
        try:
            return documents(answer.json(), where)
        except ValueError as error:
            if isinstance(error, RecordError):
                raise
            raise RecordError("not a Nightscout site: the answer is not JSON", file=where) from None

    def pages(collection: str, key: str) -> list[Document]:
        """Back in time until nothing older comes; a page that adds nothing ends it too."""
        every: dict[str, Document] = {}
        before: object = None
        for _ in range(PAGES):
            bound = {f"find[{key}][$gte]": "0" if key == "date" else "1980-01-01"}
            if before is not None:
                bound[f"find[{key}][$lte]"] = str(before)
            page = get(collection, count=str(PAGE), **bound)
            known = len(every)
            every.update({str(document.get("_id") or json.dumps(document, sort_keys=True)): document for document in page})
            stamps = [document[key] for document in page if isinstance(document.get(key), int | float | str)]
            if len(page) < PAGE or len(every) == known or not stamps:
                return list(every.values())
            before = min(stamps, key=lambda stamp: (str(type(stamp)), stamp))
        raise RecordError(f"more than {PAGES * PAGE} documents", file=f"{base}/api/v1/{collection}.json")

    web = client or httpx.Client(timeout=60.0)
    try:
        entries, treatments = pages("entries", "date"), pages("treatments", "created_at")
        profiles = get("profile")
    finally:
        if client is None:
            web.close()
    placed = [
        tuple(place(name, every)) for name, every in (("entries", entries), ("treatments", treatments), ("profile", profiles))
    ]
    return Site(parts.hostname, base, *placed)


def number(value: object, default: float = np.nan) -> float:
    """A number, or text that is one; the default for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return default
    try:
        found = float(numbers([str(value).strip()])[0])
    except OverflowError:
        return default
    return default if np.isnan(found) else found


def utc(stamps: Sequence[object], cells: pd.DataFrame) -> pd.Series:
    """`[N]` times in UTC from epochs (ms, or s) and ISO texts (UTC where they say nothing), NaT where impossible."""
    texts = [stamp.strip() if isinstance(stamp, str) else "" for stamp in stamps]
    epochs = np.array([number(stamp) for stamp in stamps], dtype=float)
    epochs = np.where(np.abs(epochs) > 1e11, epochs / 1000.0, epochs)
    epochs = np.where(np.abs(epochs) < 9e9, epochs, np.nan)
    file = str(cells["file"].iloc[0]) if len(cells) else ""
    parsed = dates(texts, file=file, row=cells["row"].to_numpy(dtype=np.int64), field="created_at")
    written = parsed["time"] - pd.to_timedelta(parsed["offset"].fillna(0.0), unit="m")
    time = pd.Series(pd.to_datetime(epochs, unit="s")).astype("datetime64[ns]").fillna(written)
    return time.dt.tz_localize("UTC").astype("datetime64[ns, UTC]")


def moment(stamp: object) -> pd.Timestamp:
    return utc([stamp], pd.DataFrame({"file": [""], "row": [1]})).iloc[0]


def filled(value: object) -> bool:
    """Whether an amount is stated; nothing and 0 only fill a form."""
    return value not in (None, "", 0, "0", False)
