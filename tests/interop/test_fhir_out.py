"""The FHIR that leaves: valid by the R4B models and by our own checks; proposals and ids that stay, orders that are new."""

import copy
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class

from careplan.clinic import Database, audit_trail, open_database, save_suggestion, sign_review, store_records
from careplan.clinic.errors import UnknownPatient
from careplan.interop import ExportError, fhir_bundle
from careplan.interop.checks import problems
from careplan.suggestion import Decision, Suggestion
from careplan.therapies import practice
from tests.clinic import build
from tests.interop.conftest import LINES
from tests.kept import actor

Resource = dict[str, Any]


def of_kind(bundle: Resource, kind: str) -> list[Resource]:
    return [entry["resource"] for entry in bundle["entry"] if entry["resource"]["resourceType"] == kind]


def coded(bundle: Resource, code: str) -> list[Resource]:
    return [each for each in of_kind(bundle, "Observation") if each["code"]["coding"][0]["code"] == code]


def stable(bundle: Resource) -> list[Resource]:
    return [entry["resource"] for entry in bundle["entry"]]


def test_every_resource_is_valid(db: Database, signed: Suggestion) -> None:
    bundle = fhir_bundle(db, "ann", suggestion=signed.id, days=0.5)
    kinds = Counter(entry["resource"]["resourceType"] for entry in bundle["entry"])
    assert set(kinds) == {
        *("Patient", "Observation", "MedicationAdministration", "CarePlan", "RequestGroup", "MedicationRequest"),
        *("RiskAssessment", "DetectedIssue", "Provenance", "Goal"),
    }
    for entry in bundle["entry"]:
        get_fhir_model_class(entry["resource"]["resourceType"]).model_validate(entry["resource"])
    few = {**bundle, "entry": bundle["entry"][:30]}
    get_fhir_model_class("Bundle").model_validate(few)
    assert problems(bundle) == []


def test_the_r4b_models_let_a_code_outside_its_binding_through_and_we_do_not(db: Database, proposed: Suggestion) -> None:
    bundle = fhir_bundle(db, "ann", suggestion=proposed.id, days=0.1)
    request = of_kind(bundle, "MedicationRequest")[0]
    request["intent"] = "zzz"
    get_fhir_model_class("MedicationRequest").model_validate(request)
    [problem] = problems(bundle)
    assert "MedicationRequest" in problem
    assert "intent is 'zzz', outside its required binding" in problem


def first(kind: str) -> Callable[[Resource], Resource]:
    return lambda bundle: of_kind(bundle, kind)[0]


def reading(bundle: Resource) -> Resource:
    return coded(bundle, "99504-3")[0]


BROKEN: list[tuple[str, Callable[[Resource], Resource], tuple[Any, ...], Any, str]] = [
    ("status", reading, ("status",), "done", "status is 'done'"),
    ("no subject", reading, ("subject",), None, "subject is missing"),
    ("no time", reading, ("effectiveDateTime",), None, "effectiveDateTime|effectivePeriod is missing"),
    ("a date alone", reading, ("effectiveDateTime",), "2024-05-02", "no moment"),
    ("a unit", reading, ("valueQuantity", "code"), "mmol/L", "value is not in mg/dL"),
    ("the unit's text", reading, ("valueQuantity", "unit"), "milligram", "no unit that careplan writes"),
    ("a number", reading, ("valueQuantity", "value"), float("nan"), "no finite number"),
    ("a comparator", reading, ("valueQuantity", "comparator"), "~", "comparator is '~'"),
    ("the code", reading, ("code", "coding", 0, "code"), "2339-0", "its code is ['2339-0']"),
    ("a profile", reading, ("meta", "profile", 0), "x", "no profile of the CGM guide"),
    ("an id", reading, ("id",), "an id", "no FHIR id"),
    ("a reference", reading, ("subject", "reference"), "urn:uuid:1", "which is not in the Bundle"),
    (
        "a slice",
        lambda b: coded(b, "106793-3")[0],
        ("component", 1, "code", "coding", 0, "code"),
        "104642-4",
        "104641-6 stands there 0",
    ),
    ("a share", lambda b: coded(b, "106793-3")[0], ("component", 1, "valueQuantity", "code"), "d", "not in %"),
    ("members", lambda b: coded(b, "107931-8")[0], ("hasMember",), [], "0 members, expected 6"),
    ("a period", lambda b: coded(b, "97506-0")[0], ("effectivePeriod", "end"), None, "no period with a start and an end"),
    ("the plan's status", first("CarePlan"), ("status",), "unsigned", "status is 'unsigned'"),
    ("the plan's intent", first("CarePlan"), ("intent",), "directive", "intent is 'directive'"),
    ("the group's intent", first("RequestGroup"), ("intent",), "wish", "intent is 'wish'"),
    ("a request's status", first("MedicationRequest"), ("status",), "revoked", "status is 'revoked'"),
    ("a dosage", first("MedicationRequest"), ("dosageInstruction",), [], "dosageInstruction is missing"),
    (
        "a period's unit",
        first("MedicationRequest"),
        ("dosageInstruction", 0, "timing", "repeat", "periodUnit"),
        "day",
        "periodUnit is 'day'",
    ),
    ("a severity", first("DetectedIssue"), ("severity",), "grave", "severity is 'grave'"),
    ("a risk", first("RiskAssessment"), ("status",), "draft", "status is 'draft'"),
    ("a role", first("Provenance"), ("entity", 0, "role"), "origin", "role is 'origin'"),
    ("an administration", first("MedicationAdministration"), ("status",), "final", "status is 'final'"),
    ("the Bundle", lambda b: b, ("type",), "package", "type is 'package'"),
    ("its time", lambda b: b, ("timestamp",), "today", "timestamp is no instant"),
    ("an entry", lambda b: b["entry"][0], ("request", "method"), "PUSH", "request.method is 'PUSH'"),
    ("an address", lambda b: b["entry"][0], ("request", "url"), "Patient/1", "its address in the Bundle is another"),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Resource:
    database = open_database(str(tmp_path_factory.mktemp("whole") / "clinic.db"))
    store_records(database, "table", [build.record(days=2)])
    kept = save_suggestion(database, build.suggestion(*LINES))
    bundle = fhir_bundle(database, "ann", suggestion=kept.id)
    database.close()
    return bundle


@pytest.mark.parametrize(("pick", "path", "value", "says"), [each[1:] for each in BROKEN], ids=[each[0] for each in BROKEN])
def test_our_checks_notice(whole: Resource, pick: Callable[[Resource], Resource], path: Any, value: Any, says: str) -> None:
    assert problems(whole) == []
    broken = copy.deepcopy(whole)
    node: Any = pick(broken)
    for step in path[:-1]:
        node = node[step]
    if value is None:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    assert any(says in problem for problem in problems(broken)), problems(broken)


def test_the_summary_is_what_the_metrics_say(db: Database) -> None:
    bundle = fhir_bundle(db, "ann")
    [panel] = coded(bundle, "107931-8")
    members = {entry["fullUrl"]: entry["resource"] for entry in bundle["entry"]}
    codes = {members[each["reference"]]["code"]["coding"][0]["code"]: members[each["reference"]] for each in panel["hasMember"]}
    assert set(codes) == {"97507-8", "105273-7", "106793-3", "97506-0", "104638-2", "104636-6", "104637-4"}
    events = build.record(days=3, zone="Europe/Berlin").events
    glucose = events.loc[events["channel"] == "glucose", "value"]
    assert codes["97507-8"]["valueQuantity"]["value"] == pytest.approx(glucose.mean(), abs=0.005)
    assert codes["105273-7"]["valueQuantity"]["value"] == pytest.approx(glucose.mean() / 18.01559, abs=0.0005)
    assert codes["97506-0"]["valueQuantity"]["value"] == pytest.approx(3.31 + 0.02392 * glucose.mean(), abs=0.005)
    assert codes["104638-2"]["valueQuantity"]["value"] == pytest.approx(100 * glucose.std() / glucose.mean(), abs=0.005)
    assert codes["104636-6"]["valueQuantity"] == {
        **{"value": 4.0, "unit": "days", "system": "http://unitsofmeasure.org", "code": "d"},
    }  # an hour of a fourth day on the clock of Berlin
    shares = {each["code"]["coding"][0]["code"]: each["valueQuantity"]["value"] for each in codes["106793-3"]["component"]}
    assert shares["97510-2"] == pytest.approx(100 * ((glucose >= 70) & (glucose <= 180)).mean(), abs=0.005)
    assert sum(shares.values()) == pytest.approx(100.0, abs=0.03)
    assert panel["effectivePeriod"] == {"start": "2024-03-01", "end": "2024-03-04"}


def test_the_targets_are_goals_of_the_plan(db: Database) -> None:
    targets = practice("glucose").presets.of("adult")
    made = save_suggestion(db, replace(build.suggestion(build.line()), targets=targets))
    bundle = fhir_bundle(db, made.patient, suggestion=made.id)
    goals = {goal["description"]["text"]: goal for goal in of_kind(bundle, "Goal")}
    in_range, below = goals["time from 70 to 180 mg/dL over 70 %"], goals["time below 54 mg/dL under 1 %"]
    assert in_range["lifecycleStatus"] == "proposed"  # of the group: nobody signed them
    assert in_range["target"][0]["measure"]["coding"][0]["code"] == "97510-2"
    assert in_range["target"][0]["detailRange"]["low"]["value"] == 70
    assert below["target"][0]["measure"]["coding"][0]["code"] == "104642-4"
    assert below["target"][0]["detailRange"]["high"]["value"] == 1
    [plan] = of_kind(bundle, "CarePlan")
    assert {each["reference"] for each in plan["goal"]} == {f"urn:uuid:{goal['id']}" for goal in goals.values()}


def test_a_proposal_is_a_draft_and_no_order(db: Database, proposed: Suggestion) -> None:
    bundle = fhir_bundle(db, "ann", suggestion=proposed.id, days=0.1)
    requests = of_kind(bundle, "MedicationRequest")
    assert {(each["status"], each["intent"]) for each in requests} == {("draft", "proposal")}
    assert [each["dosageInstruction"][0]["text"] for each in requests] == [
        "Basal rate: 0.9 U/h, every day from 06:00 to 11:00 (now 1)",
        "Carbohydrate ratio: 12.1 g/U, every day from 11:00 to 17:00 (now 11)",
        "Correction factor: 55 mg/dL/U, every day from 00:00 to 06:00 (now 50)",
    ]
    assert requests[0]["dosageInstruction"][0]["doseAndRate"][0]["rateQuantity"]["value"] == 0.9
    assert not any("doseAndRate" in each["dosageInstruction"][0] for each in requests[1:])  # a ratio is no dose
    [group], [plan] = of_kind(bundle, "RequestGroup"), of_kind(bundle, "CarePlan")
    assert [action["resource"]["reference"] for action in group["action"]] == [f"urn:uuid:{each['id']}" for each in requests]
    assert plan["activity"] == [{"reference": {"reference": f"urn:uuid:{group['id']}"}}]
    issues = {each["code"]["text"]: each["detail"] for each in of_kind(bundle, "DetectedIssue")}
    assert issues == {"warning": "unlike those it learned from", "guardrail": "20 % a visit"}
    [provenance] = of_kind(bundle, "Provenance")
    assert {"role": "source", "what": {"identifier": {"system": "urn:careplan:seed", "value": "7"}}} in provenance["entity"]


def test_a_signature_makes_new_requests_and_the_proposal_stays(db: Database, proposed: Suggestion, request: Any) -> None:
    before = fhir_bundle(db, "ann", suggestion=proposed.id, days=0.1)
    request.getfixturevalue("signed")
    after = fhir_bundle(db, "ann", suggestion=proposed.id, days=0.1)
    assert stable(before) == [each for each in stable(after) if each in stable(before)]
    new = [each for each in stable(after) if each not in stable(before)]
    orders = [each for each in new if each["resourceType"] == "MedicationRequest"]
    proposals = of_kind(before, "MedicationRequest")
    assert [(each["status"], each["intent"]) for each in orders] == [("active", "order")] * 2
    assert [each["basedOn"][0]["reference"] for each in orders] == [f"urn:uuid:{each['id']}" for each in proposals[:2]]
    assert orders[1]["dosageInstruction"][0]["text"].startswith("Carbohydrate ratio: 11.5 g/U")
    assert {each["requester"]["display"] for each in orders} == {"Dr Grey"}
    [group] = [each for each in new if each["resourceType"] == "RequestGroup"]
    assert group["note"] == [{"text": "Rejected, correction_factor@0: not now"}]
    [provenance] = [each for each in new if each["resourceType"] == "Provenance"]
    assert provenance["reason"] == [{"text": "prescribe with changes"}]
    assert problems(after) == []


def test_abstention_is_an_issue_and_no_request(db: Database) -> None:
    kept = save_suggestion(db, build.suggestion(abstained=True, reasons=("too little data",), limits_bound=(), options=()))
    bundle = fhir_bundle(db, "ann", suggestion=kept.id, days=0.1)
    assert not of_kind(bundle, "MedicationRequest")
    assert not of_kind(bundle, "RequestGroup")
    [issue], [plan] = of_kind(bundle, "DetectedIssue"), of_kind(bundle, "CarePlan")
    assert (issue["severity"], issue["detail"]) == ("high", "too little data")
    assert plan["title"] == "No suggestion of the insulin regimen"
    assert "activity" not in plan


def test_doses_have_their_moments(db: Database) -> None:
    given = {"current": 0.0, "lowest": 0.0, "highest": 5.0, "absolute_low": 0.0, "absolute_high": 17.0}
    bolus = build.line(**{**given, "key": "bolus@30", "start": 30, "end": 30, "unit": "U", "proposed": 2.5})
    basal = {"key": "temp_basal@0", "start": 0, "end": 60, "unit": "x basal", "current": 1.0, "proposed": 0.5}
    temporary = build.line(**{**given, **basal})
    lines = [replace(bolus, setting="bolus"), replace(temporary, setting="temp_basal")]
    kept = save_suggestion(db, build.suggestion(*lines, kind="doses"))
    first_dose, rate = of_kind(fhir_bundle(db, "ann", suggestion=kept.id, days=0.1), "MedicationRequest")
    assert first_dose["dosageInstruction"][0]["timing"] == {"event": ["2024-03-16T00:30:00+00:00"]}
    assert first_dose["dosageInstruction"][0]["doseAndRate"][0]["doseQuantity"]["value"] == 2.5
    assert rate["dosageInstruction"][0]["timing"]["repeat"]["boundsPeriod"]["end"] == "2024-03-16T01:00:00+00:00"
    assert "doseAndRate" not in rate["dosageInstruction"][0]  # a multiple of what is prescribed is no rate
    assert rate["dosageInstruction"][0]["text"].startswith(
        "Temporary basal rate: 0.5 x basal, at 2024-03-16 00:00 UTC for 60 min"
    )


def test_ids_are_the_same_again_and_others_in_another_store(db: Database, signed: Suggestion, tmp_path: Any) -> None:
    one, again = (fhir_bundle(db, "ann", suggestion=signed.id) for _ in range(2))
    assert stable(one) == stable(again)
    other = open_database(str(tmp_path / "other.db"))
    store_records(other, "table", [build.record(days=3, zone="Europe/Berlin")])
    elsewhere = fhir_bundle(other, "ann")
    other.close()
    assert not {each["id"] for each in stable(one)} & {each["id"] for each in stable(elsewhere)}
    assert not {each["id"] for each in stable(one)} & {each["id"] for each in stable(fhir_bundle(db, "bob"))}


def test_the_servers_own_patient(db: Database) -> None:
    bundle = fhir_bundle(db, "ann", days=0.1, subject="Patient/77")
    assert not of_kind(bundle, "Patient")
    assert {each["subject"]["reference"] for each in of_kind(bundle, "Observation")} == {"Patient/77"}
    assert problems(bundle) == []


def test_what_cannot_be_exported_says_why(db: Database, proposed: Suggestion) -> None:
    with pytest.raises(UnknownPatient, match="'eve' is not in the store"):
        fhir_bundle(db, "eve")
    with pytest.raises(ExportError, match="is for patient 'ann', not 'bob'"):
        fhir_bundle(db, "bob", suggestion=proposed.id)
    beyond = save_suggestion(db, build.suggestion(build.line(factor=3.0)))
    with pytest.raises(ExportError, match="beyond the absolute limits"):
        fhir_bundle(db, "ann", suggestion=beyond.id)


def test_another_therapy_is_not_written_as_insulin(db: Database, proposed: Suggestion, monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = replace(proposed, therapy="warfarin")
    monkeypatch.setattr("careplan.interop.fhir.stored", lambda *_: foreign)
    with pytest.raises(ExportError, match="is of therapy 'warfarin'"):
        fhir_bundle(db, "ann", suggestion=proposed.id)


def test_what_has_no_place_is_told(db: Database) -> None:
    walk = build.record(days=1).events.iloc[:3].assign(channel="activity", value=4.0, duration=30.0)
    store_records(db, "table", [build.record("cleo", days=1, zone="UTC", regimen=None)])
    told: list[str] = []
    fhir_bundle(db, "cleo", note=told.append)
    assert told == []
    store_records(db, "table", [replace(build.record("cleo", days=1), events=walk, regimen=None)])
    fhir_bundle(db, "cleo", note=told.append)
    assert told == ["3 events of activity have no place in FHIR and are left out"]


def test_a_signature_that_the_readings_no_longer_allow_makes_no_order(db: Database) -> None:
    """Lows that came after more insulin was signed close the gate."""
    line = build.line(factor=1.1)
    kept = save_suggestion(db, build.suggestion(line))
    assert kept.id is not None
    sign_review(
        db, kept.id, [Decision(key=line.key, verdict="accept", value=line.proposed)], actor("Dr Grey"), "prescribe as proposed"
    )
    assert of_kind(fhir_bundle(db, "ann", suggestion=kept.id, days=0.1), "RequestGroup")
    lows = build.record(days=3, zone="Europe/Berlin", level=50.0, seed=5)
    later = lows.events.assign(time=lows.events["time"] + (build.START - build.START.replace(month=2)), origin="later")
    store_records(db, "table", [replace(lows, events=later, regimen=None)])
    with pytest.raises(ExportError, match="more insulin is not allowed here"):
        fhir_bundle(db, "ann", suggestion=kept.id, days=0.1)


def test_an_export_is_on_the_audit_trail(db: Database) -> None:
    fhir_bundle(db, "ann", days=0.1, to="https://hospital.example/fhir", actor=actor("gwen"))
    last = max(audit_trail(db), key=lambda entry: entry.id)
    assert (last.actor, last.action, last.patient) == ("gwen", "exported", "ann")
    assert last.detail["to"] == "https://hospital.example/fhir"
