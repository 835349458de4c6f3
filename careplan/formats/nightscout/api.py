"""A Nightscout site read straight from its address, by its REST API v1: all of it, or what is newer than the last read."""

import hashlib
import json
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pandas as pd

from careplan.formats.nightscout.documents import Document, Site, answered, parse
from careplan.records.events import RecordError
from careplan.records.web import LOOPBACK, Bounds, Web

PAGE = 10_000  # documents a request
PAGES = 500
BOUNDS = Bounds(size=64 * 2**20)  # a page of ten thousand treatments takes some 10 MiB
CONTEXT = pd.Timedelta(days=1)  # a temporary rate or suspension that began longer ago no longer holds
SETTINGS = ("Profile Switch", "Temporary Override")  # treatments that hold until the next of their type
SETTINGS_KEPT = 100  # of each type, the latest before the last read
ACCESS_TOKEN = re.compile(r"[^-\s]+-[0-9a-f]{16}")
EARLIEST = {"date": "0", "created_at": "1980-01-01"}  # without a lower bound a site answers with the last days only


def download(
    url: str, token: str | None = None, *, since: pd.Timestamp | None = None, client: httpx.Client | None = None
) -> Site:
    """All entries, treatments and profiles of a site, newest first in pages. Errors never show the token.

    token: a Nightscout access token (`name-0123456789abcdef`), or the site's API secret, sent hashed; by default the one in the
    address. It goes over https only, except on this machine. since: only entries from then on, treatments from a day before, and
    the settings that were in force. Raises `RecordError` where the site cannot be reached, refuses, moves elsewhere, or sends
    more than `BOUNDS` in one answer.
    """
    with Web(url, bounds=BOUNDS, client=client) as web:
        host = urlsplit(web.base).hostname or ""
        token = token or next(iter(parse_qs(urlsplit(url).query).get("token", [])), None)
        if token and web.base.startswith("http:") and host not in LOOPBACK:
            raise RecordError("a token is sent over https only", file=web.base)
        ask = Asker(web, token)
        if since is None:
            entries, treatments = ask.pages("entries", "date", None), ask.pages("treatments", "created_at", None)
        else:
            begin = (since - CONTEXT).strftime("%Y-%m-%dT%H:%M:%S.000Z")
            entries = ask.pages("entries", "date", str(since.value // 1_000_000))
            treatments = [*ask.pages("treatments", "created_at", begin), *ask.settings_before(begin)]
        profiles = ask.one("profile")
        site = Site(host, web.base)
        for collection, documents in (("entries", entries), ("treatments", treatments), ("profiles", profiles)):
            site.add(collection, documents, collection)
            site.files.append(collection)
    return site


class Asker:
    """Questions to one site, each with the token where there is one."""

    def __init__(self, web: Web, token: str | None) -> None:
        self.web = web
        self.given: dict[str, str] = {}
        self.headers = {"accept": "application/json"}
        if token and ACCESS_TOKEN.fullmatch(token):
            self.given["token"] = token
        elif token:
            self.headers["api-secret"] = hashlib.sha1(token.encode()).hexdigest()

    def one(self, collection: str, **query: str) -> list[Document]:
        """The documents of one answer. Raises `RecordError` where the server refuses or fails, or answers with anything but a
        list of documents.
        """
        address = f"{self.web.base}/api/v1/{collection}.json"
        answer = self.web.get(address, params={**query, **self.given}, headers=self.headers)
        if answer.status in (401, 403):
            raise RecordError("access refused: give a token that may read", file=answer.where)
        if answer.status != 200:
            raise RecordError(f"answered {answer.status}", file=answer.where)
        values = parse(answer.body.decode("utf-8", errors="replace"), answer.where)
        found = answered(values[0]) if len(values) == 1 else None
        if not isinstance(found, list):
            raise RecordError(f"expected a list of documents, found {type(found).__name__}", file=answer.where)
        for row, document in enumerate(found, start=1):
            if not isinstance(document, dict):
                raise RecordError(f"expected a document, found {type(document).__name__}", file=answer.where, row=row)
        return found

    def pages(self, collection: str, key: str, begin: str | None) -> list[Document]:
        """Back in time until nothing older comes; a page that adds nothing ends it too. Raises `RecordError` where there are more
        pages than any site has.
        """
        every: dict[Any, Document] = {}
        before: object = None
        for _ in range(PAGES):
            bound = {f"find[{key}][$gte]": begin or EARLIEST[key]}
            if before is not None:
                bound[f"find[{key}][$lte]"] = str(before)
            page = self.one(collection, count=str(PAGE), **bound)
            known = len(every)
            every.update((content(document), document) for document in page)
            stamps = [document[key] for document in page if isinstance(document.get(key), int | float | str)]
            if len(page) < PAGE or len(every) == known or not stamps:
                return list(every.values())
            before = min(stamps, key=lambda stamp: (str(type(stamp)), stamp))
        raise RecordError(f"more than {PAGES * PAGE} documents", file=f"{self.web.base}/api/v1/{collection}.json")

    def settings_before(self, moment: str) -> list[Document]:
        """The latest treatments before a moment that may still hold at it."""
        found: list[Document] = []
        for kind in SETTINGS:
            query = {"find[eventType]": kind, "find[created_at][$lt]": moment, "find[created_at][$gte]": EARLIEST["created_at"]}
            found += self.one("treatments", count=str(SETTINGS_KEPT), **query)
        return found


def content(document: Document) -> object:
    """What tells a document from every other, so that one on two pages counts once."""
    return str(document["_id"]) if document.get("_id") else json.dumps(document, sort_keys=True)
