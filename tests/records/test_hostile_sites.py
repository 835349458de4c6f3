"""FHIR servers and Nightscout sites that mean harm, on the loopback: both clients refuse them within the same bounds."""

import itertools
import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from careplan.formats.fhir.reader import read_fhir
from careplan.interop import send
from careplan.interop.resources import bundle as transaction
from careplan.records import read_nightscout
from careplan.records.events import RecordError
from careplan.records.web import Bounds
from tests.loopback import Asked, Reply, serve
from tests.records.fhir_build import bundle, reading
from tests.records.test_web import BOMB, GZIP, HOSTILE, endless

TOKEN = "reader-0123456789abcdef"
SMALL = Bounds(size=8 * 2**20, total=16 * 2**20, ratio=20.0, seconds=2.0, wait=1.0)
CLIENTS: dict[str, Callable[[str], object]] = {
    "fhir": lambda address: read_fhir(f"{address}/fhir", token=TOKEN),
    "nightscout": lambda address: read_nightscout(address, token=TOKEN),
}
each_client = pytest.mark.parametrize("client", CLIENTS)


@pytest.fixture(autouse=True)
def small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("careplan.formats.fhir.source.BOUNDS", SMALL)
    monkeypatch.setattr("careplan.formats.nightscout.api.BOUNDS", SMALL)


def refusal(client: str, answer: Callable[[Asked], Reply], says: str) -> str:
    with serve(answer) as address, pytest.raises(RecordError, match=says) as caught:
        CLIENTS[client](address)
    assert address in str(caught.value)
    assert "0123456789abcdef" not in str(caught.value)
    return str(caught.value)


@each_client
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_answer(client: str, kind: str) -> None:
    refusal(client, *HOSTILE[kind])


@each_client
@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"a":' * 100_000, b"[" + b"9" * 10_000 + b"]", b"\xff\xfe\x00x", b"", b"<html>", b"null"]
)
def test_an_answer_that_is_no_such_json(client: str, body: bytes) -> None:
    refusal(client, lambda _: Reply(body=body), "JSON|nested|expected|resource")


@each_client
def test_a_redirect_takes_the_token_nowhere(client: str) -> None:
    elsewhere: list[Asked] = []

    def note(asked: Asked) -> Reply:
        elsewhere.append(asked)
        return Reply(body=b"[]")

    with serve(note) as other:
        for status in (301, 302, 303, 307, 308):
            moved = Reply(status, headers={"location": f"{other}/?token={TOKEN}"})
            assert other in refusal(client, lambda _, moved=moved: moved, "moved to")
    assert not elsewhere


@each_client
def test_pages_without_end(client: str) -> None:
    """Each page is small and new, and there is always a next."""
    numbers = itertools.count()

    def answer(asked: Asked) -> Reply:
        number = next(numbers)
        if client == "nightscout":
            first = 1_700_000_000_000 - number * 10_000
            rows = [{"_id": str(first - row), "sgv": 100, "date": first - row, "x": "x" * 100} for row in range(10_000)]
            return Reply(body=json.dumps(rows).encode())
        page = bundle(*(reading(100, id=f"{number}-{row}", note=[{"text": "x" * 3000}]) for row in range(300)), kind="searchset")
        page["link"] = [{"relation": "next", "url": f"Observation?page={number}"}]
        return Reply(body=json.dumps(page).encode())

    refusal(client, answer, "more than 16 MiB in all")


def test_a_bomb_in_the_middle_of_a_sound_bundle() -> None:
    """The first page is sound; nothing of it is kept when the second is not."""

    def answer(asked: Asked) -> Reply:
        if "page" in asked.query:
            return Reply(body=BOMB, headers=GZIP)
        page = bundle(reading(), kind="searchset")
        page["link"] = [{"relation": "next", "url": "Observation?page=2"}]
        return Reply(body=json.dumps(page).encode())

    refusal("fhir", answer, "unpacks to more than 20 times")


def test_an_endless_answer_to_what_is_sent() -> None:
    sent = transaction([{"resourceType": "Patient", "id": "a"}], datetime.now(UTC))
    endless_reply = Reply(pieces=endless(b"x" * 65536))
    with serve(lambda _: endless_reply) as address, pytest.raises(RecordError, match="more than 8 MiB"):
        send(sent, f"{address}/fhir", bounds=SMALL)
