"""A FHIR server of the tests' own: transactions, all or nothing, checked by the R4B models and for references that resolve."""

import json
import re
from typing import Any

from fhir.resources.R4B import get_fhir_model_class

from tests.loopback import Asked, Reply

Resource = dict[str, Any]


class Server:
    """What it holds, by type and id, with a version that grows only where the content changes."""

    def __init__(self, token: str | None = None) -> None:
        self.token = token
        self.held: dict[str, Resource] = {}
        self.versions: dict[str, int] = {}
        self.asked: list[Asked] = []
        self.fails_after: int | None = None  # requests
        self.most = 1000  # resources a transaction

    def __call__(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        if self.token and asked.headers.get("authorization") != f"Bearer {self.token}":
            return outcome(401, "who are you")
        if self.fails_after is not None and len(self.asked) > self.fails_after:
            return outcome(503, "the database is full")
        if asked.method == "POST" and asked.path.rstrip("/") == "/fhir":
            return self.transaction(json.loads(asked.body))
        kind = asked.path.removeprefix("/fhir/").partition("/")[0]
        found = [each for name, each in self.held.items() if name.startswith(f"{kind}/")]
        return answer({"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": each} for each in found]})

    def transaction(self, bundle: Resource) -> Reply:
        if bundle.get("type") != "transaction":
            return outcome(400, "no transaction")
        if len(bundle["entry"]) > self.most:
            return outcome(413, "too many")
        fresh: dict[str, Resource] = {}
        for entry in bundle["entry"]:
            resource, request = entry["resource"], entry["request"]
            try:
                get_fhir_model_class(resource["resourceType"]).model_validate(resource)
            except ValueError as error:
                return outcome(422, str(error)[:200])
            if request != {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"}:
                return outcome(400, "expected a PUT of the resource's own id")
            fresh[request["url"]] = resource
        for resource in fresh.values():
            for reference in re.findall(r'"reference": "([^"]+)"', json.dumps(resource)):
                if reference not in self.held and reference not in fresh:
                    return outcome(409, f"{reference} is not here")
        responses = []
        for name, resource in fresh.items():
            known = name in self.held
            if self.held.get(name) != resource:
                self.held[name] = resource
                self.versions[name] = self.versions.get(name, 0) + 1
            responses.append({"response": {"status": "200 OK" if known else "201 Created"}})
        return answer({"resourceType": "Bundle", "type": "transaction-response", "entry": responses})


def answer(content: Resource, status: int = 200) -> Reply:
    return Reply(status, json.dumps(content).encode(), {"content-type": "application/fhir+json"})


def outcome(status: int, says: str) -> Reply:
    return answer({"resourceType": "OperationOutcome", "issue": [{"severity": "error", "diagnostics": says}]}, status)
