"""FHIR from a server of the tests' own: what is asked, paging, the token, and what is refused."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from careplan.formats.fhir.reader import read_fhir
from careplan.records.events import RecordError
from tests.loopback import Asked, Reply, serve
from tests.records.fhir_build import PATIENT, bundle, given_dose, reading, rules, units

Resource = dict[str, Any]
TOKEN = "secret-token-0123456789"


def as_json(content: object, status: int = 200) -> Reply:
    return Reply(status, json.dumps(content).encode(), {"content-type": "application/fhir+json"})


def hospital(log: list[Asked], *, page: int = 4, next_host: str | None = None) -> Callable[[Asked], Reply]:
    """Ten readings and a dose of Patient/1, in pages; it has no MedicationStatement."""
    readings = [reading(100 + i, at=f"08:{10 + i}", id=f"o{i}") for i in range(10)]

    def answer(asked: Asked) -> Reply:
        log.append(asked)
        if asked.headers.get("authorization") != f"Bearer {TOKEN}":
            return as_json({"resourceType": "OperationOutcome", "issue": []}, 401)
        kind = asked.path.removeprefix("/fhir/")
        if kind in ("Patient", "Patient/1"):
            return as_json(bundle(PATIENT) if kind == "Patient" else PATIENT)
        if kind == "MedicationAdministration":
            return as_json(bundle(given_dose({"text": "Fiasp"}, units(3))))
        if kind != "Observation":
            return as_json({"resourceType": "OperationOutcome", "issue": []}, 404)
        start = int(asked.query.get("from", ["0"])[0])
        found = bundle(*readings[start : start + page], kind="searchset")
        if start + page < len(readings):
            host = next_host or f"http://{asked.headers['host']}"
            found["link"] = [{"relation": "next", "url": f"{host}/fhir/Observation?from={start + page}"}]
        return as_json(found)

    return answer


@pytest.mark.parametrize("where", ["", "/Patient/1"])
def test_everything_of_everyone_or_of_one_patient_page_by_page(where: str) -> None:
    log: list[Asked] = []
    with serve(hospital(log)) as address:
        [record] = read_fhir(f"{address}/fhir{where}", token=TOKEN)
    assert record.patient == "fhir-1"
    assert record.zone == "Europe/Berlin"
    assert record.events["channel"].value_counts().to_dict() == {"glucose": 10, "bolus": 1}
    assert len(set(record.events["origin"])) == 11
    assert rules(record) == {"not offered": 1}
    searches = [asked for asked in log if asked.path == "/fhir/Observation"]
    assert len(searches) == 3
    assert "http://loinc.org|99504-3" in searches[0].query["code"][0]
    assert searches[0].query.get("patient") == (["1"] if where else None)
    assert all("secret" not in str(asked.query) for asked in log)


def test_a_search_of_ones_own() -> None:
    log: list[Asked] = []
    with serve(hospital(log)) as address:
        [record] = read_fhir(
            f"{address}/fhir/Observation?patient=1&date=ge2024-05-01&date=le2024-06-01", token=TOKEN, patient="p"
        )
    assert (record.patient, len(record.events)) == ("p", 10)
    assert log[0].query["date"] == ["ge2024-05-01", "le2024-06-01"]
    assert {asked.path for asked in log} == {"/fhir/Observation"}


def test_a_next_page_on_another_host_is_not_followed() -> None:
    elsewhere: list[Asked] = []
    refusal = pytest.raises(RecordError, match="leads to another host")
    with serve(hospital(elsewhere)) as other, serve(hospital([], next_host=other)) as address, refusal as caught:
        read_fhir(f"{address}/fhir", token=TOKEN)
    assert not elsewhere
    assert "secret" not in str(caught.value)


def test_pages_in_a_circle() -> None:
    def answer(asked: Asked) -> Reply:
        page = bundle(reading(), kind="searchset")
        page["link"] = [{"relation": "next", "url": "Observation?page=2"}]
        return as_json(page)

    with serve(answer) as address, pytest.raises(RecordError, match="read before"):
        read_fhir(f"{address}/fhir/Observation?patient=1")


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (Reply(401), "access refused"),
        (Reply(500, b"boom"), "answered 500"),
        (as_json({"resourceType": "OperationOutcome", "issue": [{"diagnostics": "unknown code"}]}, 400), "400: unknown code"),
        (Reply(200, b"<html>"), "not JSON"),
        (as_json([1]), "not a FHIR server"),
        (as_json({"status": "ok"}), "not a FHIR server"),
        (Reply(302, headers={"location": "https://user:pw@other.example/x?token=secret"}), "moved to https://other.example/x:"),
    ],
)
def test_a_server_that_fails_says_why_without_the_token(reply: Reply, says: str) -> None:
    with serve(lambda _: reply) as address, pytest.raises(RecordError, match=says) as caught:
        read_fhir(f"{address}/fhir", token=TOKEN)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_token_goes_over_https_only_and_addresses_are_checked() -> None:
    with pytest.raises(RecordError, match="https only"):
        read_fhir("http://hospital.example/fhir", token=TOKEN)
    with pytest.raises(RecordError, match="http or https address"):
        read_fhir("https://")
    with pytest.raises(RecordError, match="no answer: ConnectError"):
        read_fhir("http://127.0.0.1:9/fhir")
