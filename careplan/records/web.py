"""HTTP to servers that are not trusted: what comes back is bounded in size, in how far it unpacks and in time, and no redirect is
followed, so that a token goes to the host it was given for and to no other."""

import json
import logging
import socket
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Timer
from time import monotonic
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
import orjson

from careplan.records.events import RecordError

FREE = 2**20  # bytes that may unpack from any few: a short answer is no bomb
PIECE = 2**16  # bytes unpacked at a time
PACKINGS = {"gzip": 31, "deflate": 47, "identity": 0, "": 0}  # content encodings, with zlib's window bits
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def _without_query(record: logging.LogRecord) -> bool:
    """Of a request that is logged, the address without its query, which may hold a token."""
    if isinstance(record.args, tuple):
        record.args = tuple(each.copy_with(query=None) if isinstance(each, httpx.URL) else each for each in record.args)
    return True


logging.getLogger("httpx").addFilter(_without_query)


@dataclass(frozen=True)
class Bounds:
    """What one answer may cost. size: bytes, unpacked; total: of all answers of a `Web` together. ratio: of unpacked to received
    bytes, beyond the first MiB. seconds: from the request to the last byte. wait: seconds without a byte."""

    size: int = 64 * 2**20
    total: int = 2**30
    ratio: float = 200.0
    seconds: float = 300.0
    wait: float = 60.0


@dataclass(frozen=True)
class Answer:
    """One answer, whole. `where` is the address without its query, for errors."""

    where: str
    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """The body as JSON; `RecordError` where it is none."""
        return parse_json(self.body, self.where)


def parse_json(text: str | bytes, where: object) -> Any:
    """JSON from outside; raises `RecordError`, naming the line, where it is none, holds NaN, or is nested too deeply."""
    try:
        return orjson.loads(text)  # several times as fast, and as strict; what it refuses, Python's own says why
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise RecordError(f"not JSON: {error.msg} (cut short?)", file=where, row=error.lineno) from None
    except RecursionError:
        raise RecordError("not JSON that anyone writes: nested too deeply", file=where) from None
    except ValueError as error:  # not UTF-8, NaN, or a number of thousands of digits
        raise RecordError(f"not JSON: {str(error)[:120]}", file=where) from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def is_address(path: object) -> bool:
    """Whether this names a web address rather than a file."""
    return isinstance(path, str) and path.lower().startswith(("http://", "https://"))


def base_of(url: str) -> str:
    """The address without a user's name, query and fragment; raises `RecordError` where it is no http or https address."""
    parts = urlsplit(url)
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        raise RecordError("expected an http or https address", file=parts._replace(query="", fragment="").geturl())
    return f"{parts.scheme.lower()}://{parts.netloc.rpartition('@')[2].lower()}{parts.path.rstrip('/')}"


def origin_of(url: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = None
    return parts.scheme.lower(), parts.hostname, port or {"http": 80, "https": 443}.get(parts.scheme.lower())


class Web:
    """Requests to one server, within `bounds`. Every refusal is a `RecordError` that names the address, never the token.

    bearer: a token that goes to this server alone, and, but on this machine, over https alone.
    """

    def __init__(
        self, address: str, *, bearer: str | None = None, bounds: Bounds | None = None, client: httpx.Client | None = None
    ) -> None:
        self.base = base_of(address)
        self.bounds = bounds or Bounds()
        if bearer and self.base.startswith("http:") and urlsplit(self.base).hostname not in LOOPBACK:
            raise RecordError("a token is sent over https only", file=self.base)
        self._headers = {"accept-encoding": "gzip, deflate"} | ({"authorization": f"Bearer {bearer}"} if bearer else {})
        self._owned = client is None
        self._client = client or httpx.Client(follow_redirects=False, limits=httpx.Limits(max_keepalive_connections=1))
        self._socket: socket.socket | None = None
        self._taken = 0  # bytes of all answers, unpacked

    def __enter__(self) -> "Web":
        return self

    def __exit__(self, *_: object) -> None:
        if self._owned:
            self._client.close()

    def get(self, url: str, *, params: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None) -> Answer:
        return self.send("GET", url, params=params, headers=headers)

    def send(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> Answer:
        """The answer to a request of `url`, which may be relative to the base. Raises `RecordError` where the server cannot be
        reached, sends more than the bounds allow, redirects, or `url` lies on another host."""
        url = urljoin(self.base + "/", url)
        where = urlsplit(url)._replace(query="", fragment="").geturl()
        if origin_of(url) != origin_of(self.base):
            raise RecordError(f"leads to another host, {urlsplit(url).hostname}, where it is not followed", file=self.base)
        request = self._client.build_request(
            method,
            url,
            params=params,
            headers={**self._headers, **(headers or {})},
            content=content,
            timeout=httpx.Timeout(self.bounds.wait, connect=min(20.0, self.bounds.wait)),
            extensions={"trace": self._note_socket},
        )
        deadline = monotonic() + self.bounds.seconds
        watch = Timer(self.bounds.seconds, self._hang_up)
        watch.daemon = True
        watch.start()
        try:
            response = self._client.send(request, stream=True, follow_redirects=False)
            try:
                body = self._body(response, where, deadline)
            finally:
                response.close()
        except httpx.HTTPError as error:
            late = monotonic() >= deadline
            said = f"not answered whole within {self.bounds.seconds:g} s" if late else f"no answer: {type(error).__name__}"
            raise RecordError(said, file=where) from None
        finally:
            watch.cancel()
        if response.is_redirect:
            target = urlsplit(urljoin(url, response.headers.get("location", "")))
            moved = target._replace(query="", fragment="", netloc=target.netloc.rpartition("@")[2]).geturl()
            raise RecordError(f"the site has moved to {moved[:200]}: give that address if you trust it", file=where)
        self._taken += len(body)
        if self._taken > self.bounds.total:
            raise RecordError(f"sends more than {self.bounds.total / 2**20:g} MiB in all", file=where)
        return Answer(where, response.status_code, response.headers, body)

    def _body(self, response: httpx.Response, where: str, deadline: float) -> bytes:
        packing = response.headers.get("content-encoding", "").strip().lower()
        if packing not in PACKINGS:
            raise RecordError(f"packed as {packing[:40]!r}; expected gzip, deflate or nothing", file=where)
        if response.is_stream_consumed:  # a transport that never streams
            return response.content
        unpacked = bytearray()
        received = 0
        unpack = zlib.decompressobj(PACKINGS[packing]) if PACKINGS[packing] else None
        for chunk in response.iter_raw():
            received += len(chunk)
            for piece in [chunk] if unpack is None else pieces(unpack, chunk, where):
                unpacked += piece
                if len(unpacked) > self.bounds.size:
                    raise RecordError(f"sends more than {self.bounds.size / 2**20:g} MiB in one answer", file=where)
                if len(unpacked) > FREE + self.bounds.ratio * received:
                    raise RecordError(f"unpacks to more than {self.bounds.ratio:g} times what was sent", file=where)
            if monotonic() >= deadline:
                break
        if monotonic() >= deadline:  # the end may be ours: `_hang_up` looks like the end of a body without a length
            raise RecordError(f"not answered whole within {self.bounds.seconds:g} s", file=where)
        return bytes(unpacked)

    def _note_socket(self, event: str, info: Mapping[str, Any]) -> None:
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self._socket = info["return_value"].get_extra_info("socket")

    def _hang_up(self) -> None:
        """Ends a connection whose time is up, from another thread: a server that drips bytes wakes no timeout."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


def pieces(unpack: "zlib._Decompress", chunk: bytes, where: str) -> Iterable[bytes]:
    """What a packed chunk unpacks to, `PIECE` bytes at a time, so that a bomb is seen before it bursts. Raises `RecordError`
    where a chunk cannot be unpacked.
    """
    try:
        while chunk:
            yield unpack.decompress(chunk, PIECE)
            chunk = unpack.unconsumed_tail
    except zlib.error as error:
        raise RecordError(f"cannot be unpacked: {error}", file=where) from None
