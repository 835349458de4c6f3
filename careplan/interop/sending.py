"""A Bundle to a FHIR server, in transactions that may be sent again and again."""

import json
from collections.abc import Callable
from typing import Any

from careplan.formats.fhir.source import diagnosis
from careplan.interop.fhir import ExportError
from careplan.interop.resources import Resource
from careplan.records.events import RecordError
from careplan.records.web import Answer, Bounds, Web

AT_ONCE = (500, 50)  # resources a transaction, and what a server is asked to take that refuses so many
TOO_MANY = (400, 413, 422)  # how servers refuse them
HEADERS = {"content-type": "application/fhir+json", "accept": "application/fhir+json"}


def send(
    bundle: Resource,
    address: str,
    *,
    token: str | None = None,
    progress: Callable[[int, int], None] | None = None,
    bounds: Bounds | None = None,
) -> int:
    """Puts every resource of a Bundle on a server, under its own id, and returns how many: a second time changes nothing.

    The Patient and the plan go in the first transaction, which all later ones refer to. progress: resources sent, of how many.
    Raises `RecordError` where the server cannot be reached, `ExportError` where it refuses; what was sent before stays, and to
    send again completes it.
    """
    entries = relative(bundle)["entry"]
    events = [entry for entry in entries if is_event(entry["resource"])]
    others = [entry for entry in entries if not is_event(entry["resource"])]
    done, size = 0, AT_ONCE[0]
    with Web(address, bearer=token, bounds=bounds) as web:
        while done < len(entries):
            part = others if done < len(others) else events[done - len(others) :][:size]
            answer = post(web, part)
            if answer.status in TOO_MANY and size > AT_ONCE[1] and part is not others:
                size = AT_ONCE[1]
                continue
            accepted(answer, done, len(entries), len(part))
            done += len(part)
            if progress is not None:
                progress(done, len(entries))
    return done


def post(web: Web, part: list[Resource]) -> Answer:
    body = {"resourceType": "Bundle", "type": "transaction", "entry": part}
    return web.send("POST", web.base, headers=HEADERS, content=json.dumps(body, allow_nan=False).encode())


def relative(bundle: Resource) -> Resource:
    """The Bundle with references by resource type and id in place of those within the Bundle, so that it can be sent in parts."""
    names = {entry["fullUrl"]: entry["request"]["url"] for entry in bundle["entry"]}

    def renamed(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: names.get(each, each) if key == "reference" and isinstance(each, str) else renamed(each)
                for key, each in value.items()
            }
        return [renamed(each) for each in value] if isinstance(value, list) else value

    entries = [{**entry, "resource": renamed(entry["resource"])} for entry in bundle["entry"]]
    return {**bundle, "entry": entries}


def is_event(resource: Resource) -> bool:
    """Whether this is one reading, meal or dose, which refers to the patient alone."""
    summary = any("cgm-summary" in profile for profile in resource.get("meta", {}).get("profile", []))
    return resource["resourceType"] in ("Observation", "MedicationAdministration") and not summary


def accepted(answer: Answer, done: int, total: int, size: int) -> None:
    """Raises `ExportError` where a transaction was not accepted whole."""
    kept = f"{done} of {total} resources are on the server; send again to complete it" if done else "nothing was kept"
    if answer.status in (401, 403):
        raise ExportError(f"{answer.where}: access refused: give a token that may write; {kept}")
    if answer.status not in (200, 201):
        raise ExportError(f"{answer.where}: refused with {answer.status}{diagnosis(answer)}; {kept}")
    try:
        content = answer.json()
        entries = content.get("entry", []) if isinstance(content, dict) else []
        states = [str(entry.get("response", {}).get("status", "")) for entry in entries]
    except (RecordError, AttributeError):
        raise ExportError(f"{answer.where}: not a FHIR server: its answer is no Bundle; {kept}") from None
    refused = [state for state in states if not state.startswith("2")]
    if refused or len(states) != size:
        raise ExportError(f"{answer.where}: {len(refused) or size - len(states)} resources were not taken; {kept}")
