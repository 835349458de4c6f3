"""Hostile servers, on the loopback: each costs what the bounds allow and no more, and says why."""

import gzip
import json
import os
import resource
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from careplan.formats.fhir.reader import read_fhir
from careplan.records.events import RecordError
from careplan.records.web import Bounds, Web, parse_json
from tests.loopback import Asked, Reply, serve

SMALL = Bounds(size=8 * 2**20, ratio=20.0, seconds=2.0, wait=1.0)


def endless(piece: bytes, pause: float = 0.0) -> Iterator[bytes]:
    while True:
        yield piece
        time.sleep(pause)


def bomb(size: int) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    return b"".join(packer.compress(b" " * 2**20) for _ in range(size // 2**20)) + packer.flush()


def asked(address: str, bounds: Bounds = SMALL) -> bytes:
    with Web(address, bearer="secret", bounds=bounds) as web:
        return web.get(web.base).body


BOMB = bomb(32 * 2**20)  # 32 kB of gzip
GZIP = {"content-encoding": "gzip"}
HOSTILE: dict[str, tuple[Callable[[Asked], Reply], str]] = {
    "a body without end": (lambda _: Reply(pieces=endless(b"x" * 65536)), "more than 8 MiB"),
    "a body that drips": (lambda _: Reply(pieces=endless(b"x", 0.05)), "not answered whole within 2 s"),
    "a body that stops": (lambda _: Reply(headers={"content-length": "10"}, pieces=iter([b"x"])), "no answer|whole within"),
    "a gzip bomb": (
        lambda _: Reply(body=BOMB, headers=GZIP),
        "unpacks to more than 20 times",
    ),
    "a bomb in pieces": (
        lambda _: Reply(pieces=iter([BOMB]), headers=GZIP),
        "unpacks to more than 20 times",
    ),
    "no gzip at all": (lambda _: Reply(body=b"plain", headers=GZIP), "cannot be unpacked"),
    "a packing nobody asked for": (lambda _: Reply(body=b"x", headers={"content-encoding": "br"}), "packed as 'br'"),
    "another host": (lambda _: Reply(307, headers={"location": "http://127.0.0.2:9/"}), "moved to http://127.0.0.2:9/"),
    "itself, for ever": (lambda _: Reply(302, headers={"location": "/"}), "moved"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_server_is_refused_within_the_bounds(kind: str) -> None:
    answer, says = HOSTILE[kind]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with serve(answer) as address, pytest.raises(RecordError, match=says) as caught:
        asked(address)
    assert address in str(caught.value)
    assert "secret" not in str(caught.value)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before  # kB
    assert grown < 160 * 1024  # the server and its bomb are in this process too


def test_an_answer_that_does_not_begin() -> None:
    """No single wait is too long yet, and still there is an end."""

    def answer(_: Asked) -> Reply:
        time.sleep(2.5)
        return Reply()

    with serve(answer) as address, pytest.raises(RecordError, match="not answered whole within 1 s"):
        asked(address, replace(SMALL, seconds=1.0, wait=60.0))


def test_sound_answers_arrive_whole() -> None:
    text = json.dumps(list(range(200_000))).encode()
    packed = gzip.compress(text)
    for reply in (
        Reply(body=text),
        Reply(body=packed, headers=GZIP),
        Reply(body=zlib.compress(text), headers={"content-encoding": "deflate"}),
        Reply(pieces=iter([packed[:1000], packed[1000:]]), headers=GZIP),
    ):
        with serve(lambda _, reply=reply: reply) as address:
            assert asked(address) == text


def test_the_token_goes_to_its_own_host_alone() -> None:
    seen: list[Asked] = []

    def note(asked: Asked) -> Reply:
        seen.append(asked)
        return Reply(body=b"{}")

    with serve(note) as mine, serve(note) as other, Web(mine, bearer="secret") as web:
        web.get("some/where")
        with pytest.raises(RecordError, match="leads to another host"):
            web.get(f"{other}/some/where")
        with pytest.raises(RecordError, match="leads to another host"):
            web.get(f"//{other.removeprefix('http://')}/x")
    assert [(one.path, one.headers["authorization"]) for one in seen] == [("/some/where", "Bearer secret")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "nested too deeply"),
        ("1" * 10_000, "not JSON"),
        ("[NaN]", "NaN is no JSON number"),
        (b"\xff\xfe\x00", "not JSON"),
        ('{"a": ', "cut short"),
    ],
)
def test_json_that_nobody_writes(text: str | bytes, says: str) -> None:
    with pytest.raises(RecordError, match=says):
        parse_json(text, "x")
    body = text if isinstance(text, bytes) else text.encode()
    with serve(lambda _: Reply(body=body)) as address, pytest.raises(RecordError, match=says):
        read_fhir(f"{address}/fhir")


def test_random_bytes_as_an_answer() -> None:
    for size in (0, 1, 1000):
        body = os.urandom(size)
        for headers in ({}, GZIP):
            reply = Reply(body=body, headers=headers)
            with serve(lambda _, reply=reply: reply) as address, pytest.raises(RecordError, match=address):
                read_fhir(f"{address}/fhir")
