"""FHIR from files: readings, finger sticks, bounds, units, statuses, times, people and files."""

import json
from pathlib import Path
from typing import Any

import pytest

from careplan.formats.fhir.observations import observation_rows
from careplan.formats.fhir.reader import read_fhir, recognise
from careplan.records.events import RecordError, Refused
from tests.records.fhir_build import PATIENT, UCUM, Resource, bundle, coded, events, read, reading, rules, write


def test_the_shared_case(data: Path) -> None:
    [record] = read_fhir(data / "cases" / "h14_fhir_bundle.json")
    assert events(record) == [
        ("08:15", "glucose", 120.0, 0.0, ""),
        ("08:20", "glucose", 120.7, 0.0, ""),
        ("08:25", "glucose", 40.0, 0.0, "low"),
    ]
    assert rules(record) == {"no amount": 1, "withdrawn": 1, "summary": 1, "no time zone": 1}
    assert [correction.row for correction in record.corrections if correction.action == "dropped"] == [5, 6, 7]


def test_sensor_readings_finger_sticks_and_other_glucose(tmp_path: Path) -> None:
    laboratory = [coded("laboratory", "http://terminology.hl7.org/CodeSystem/observation-category")]
    record = read(
        tmp_path,
        reading(6.7, "105272-9", "mmol/L", "08:00"),
        reading(118, "2339-0", at="08:01"),
        reading(5.5, "14743-9", "mmol/l", "08:20"),
        reading(1.2, "2345-7", "g/L", "08:40"),
        reading(130, "2344-0", at="09:00"),
        reading(131, "2344-0", at="09:20", category=laboratory),
        reading(132, at="09:40", code=None) | {"code": coded("160212", "urn:iso:std:iso:11073:10101")},
        reading(133, at="10:00") | {"code": coded("160208", "urn:iso:std:iso:11073:10101")},
        reading(134, at="10:20") | {"code": coded("99504-3", "urn:oid:2.16.840.1.113883.6.1")},
        reading(135, at="10:40") | {"code": coded("99504-3", "http://example.org/own")},
        reading(80, "8867-4", "/min", "11:00"),
    )
    assert events(record) == [
        ("08:00", "glucose", 120.7, 0.0, ""),
        ("08:01", "glucose", 118.0, 0.0, "fingerstick"),
        ("08:20", "glucose", 99.09, 0.0, "fingerstick"),
        ("08:40", "glucose", 120.0, 0.0, "fingerstick"),
        ("09:00", "glucose", 130.0, 0.0, ""),
        ("09:40", "glucose", 132.0, 0.0, ""),
        ("10:20", "glucose", 134.0, 0.0, ""),
    ]
    assert rules(record) == {"body fluid": 1, "control solution": 1, "unknown code": 2}
    assert record.zone == "Europe/Berlin"


@pytest.mark.parametrize("code", ["99504-3", "105272-9", "2344-0", "2339-0", "109888-8", "9059-7"])
@pytest.mark.parametrize("unit", ["mg/dL", "mmol/L", " mg / dl", "g", ""])
@pytest.mark.parametrize("value", [120, 6.7, 0, -3, True, "120"])
def test_a_bare_reading_is_read_like_one_with_parts_that_hold_nothing(code: str, unit: str, value: object) -> None:
    assert observation_rows(reading(value, code, unit)) == observation_rows(reading(value, code, unit, component=[]))


def test_bounds_are_kept_as_bounds(tmp_path: Path) -> None:
    def bound(sign: str, value: float, at: str, unit: str = "mg/dL", code: str = "99504-3") -> Resource:
        resource = reading(value, code, unit, at)
        resource["valueQuantity"]["comparator"] = sign
        return resource

    off_scale = [coded("<", "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation")]
    record = read(
        tmp_path,
        bound("<", 40, "08:00"),
        bound(">=", 22.2, "08:10", "mmol/L", "105272-9"),
        bound("<=", 20, "08:20", code="2339-0"),
        bound("<", 180, "08:30"),  # says nothing that a device could not measure
        bound(">", 100, "08:40"),
        reading(40, at="08:50", interpretation=off_scale),
        reading(at="09:00", valueQuantity=None, valueString="Low"),
        reading(at="09:10", valueQuantity=None, valueString=">400"),
        reading(at="09:20", valueQuantity=None, valueString="125 mg/dL"),
        reading(at="09:30", valueQuantity=None, valueString="see note"),
    )
    assert events(record) == [
        ("08:00", "glucose", 40.0, 0.0, "low"),
        ("08:10", "glucose", 399.95, 0.0, "high"),
        ("08:20", "glucose", 20.0, 0.0, "low fingerstick"),
        ("08:50", "glucose", 40.0, 0.0, "low"),
        ("09:00", "glucose", 40.0, 0.0, "low"),
        ("09:10", "glucose", 400.0, 0.0, "high"),
        ("09:20", "glucose", 125.0, 0.0, ""),
    ]
    assert rules(record) == {"bound inside the range": 2, "no unit": 1, "not a number": 1}


@pytest.mark.parametrize(
    ("value", "unit", "code", "kept", "rule"),
    [
        (6.7, "mmol/L", "99504-3", 120.7, "unit against code"),  # 6.7 mg/dL is no life
        (120, "mg/dL", "105272-9", 120.0, "unit against code"),
        (120, "mmol/L", "99504-3", 120.0, "unit against code"),  # the unit is the slip
        (25, "mmol/L", "99504-3", None, "unit against code"),  # both could be
        (6.7, "", "105272-9", 120.7, "no unit"),
        (120, "", "99504-3", 120.0, "no unit"),
        (120, "mg/L", "99504-3", None, "unknown unit"),
    ],
)
def test_a_unit_against_its_code(tmp_path: Path, value: float, unit: str, code: str, kept: float | None, rule: str) -> None:
    record = read(tmp_path, reading(100, at="07:00"), reading(value, code, unit))
    assert [row[2] for row in events(record)[1:]] == ([] if kept is None else [kept])
    [told] = record.corrections
    assert (told.rule, told.action, told.row) == (rule, "dropped" if kept is None else "changed", 3)


@pytest.mark.parametrize(
    ("status", "rule"),
    [
        ("final", None),
        ("amended", None),
        ("corrected", None),
        ("preliminary", "not final"),
        ("registered", "not final"),
        ("unknown", "not final"),
        (None, "not final"),
        ("entered-in-error", "withdrawn"),
        ("cancelled", "withdrawn"),
    ],
)
def test_statuses(tmp_path: Path, status: str | None, rule: str | None) -> None:
    record = read(tmp_path, reading(100, at="07:00"), reading(status=status))
    assert [correction.rule for correction in record.corrections] == ([rule] if rule else [])
    assert len(record.events) == (1 if rule else 2)


def test_times(tmp_path: Path) -> None:
    record = read(
        tmp_path,
        reading(101, at="2024-05-02T10:00:00.5+02:00"),
        reading(102, at="2024-05-02T10:10"),  # no offset: the patient's clock, two hours ahead of UTC
        reading(103, effectiveDateTime=None, effectiveInstant="2024-05-02T08:20:00Z"),
        reading(104, effectiveDateTime=None, effectivePeriod={"start": "2024-05-02T08:30:00Z", "end": "2024-05-02T08:30:00Z"}),
        reading(105, at="2024-05-02"),
        reading(106, at="2024-05"),
        reading(107, at="2024-13-02T10:00:00Z"),
        reading(108, effectiveDateTime=None, issued="2024-05-02T08:00:00Z"),
        reading(109, effectiveDateTime=None, effectivePeriod={"start": "2024-05-01T00:00:00Z", "end": "2024-05-02T00:00:00Z"}),
        reading(110, at="2124-05-02T10:00:00Z"),
    )
    assert record.events["time"].iloc[0].isoformat() == "2024-05-02T08:00:00.500000+00:00"
    assert [row[:1] + row[2:3] for row in events(record)] == [("08:00", 101), ("08:10", 102), ("08:20", 103), ("08:30", 104)]
    assert rules(record) == {"no offset": 1, "no time of day": 2, "impossible date": 2, "no time": 1, "no single time": 1}


def test_several_people_by_every_kind_of_reference(tmp_path: Path) -> None:
    uuid = "urn:uuid:5f0a2f5e-6c1e-4d0a-9d0c-000000000001"
    ann = {"resourceType": "Patient", "id": "ann", "identifier": [{"system": "urn:x", "value": "77"}], "birthDate": "2015-06-01"}
    inside = {"resourceType": "Patient", "id": "p", "identifier": [{"system": "urn:x", "value": "77"}]}
    entries = [
        {"fullUrl": "https://h.example/fhir/Patient/ann", "resource": ann},
        {"fullUrl": uuid, "resource": {"resourceType": "Patient", "birthDate": "1980"}},
        *(
            {"resource": reading(100 + index, at=f"08:{10 + index}", subject=subject, contained=[inside])}
            for index, subject in enumerate(
                [
                    {"reference": "Patient/ann"},
                    {"reference": "https://h.example/fhir/Patient/ann/_history/3"},
                    {"reference": "Patient?identifier=urn:x|77"},
                    {"identifier": {"system": "urn:x", "value": "77"}},
                    {"reference": "#p"},
                    {"reference": uuid},
                    {"reference": "https://other.example/fhir/Patient/ann"},
                    {"reference": "Group/3"},
                    None,
                ]
            )
        ),
    ]
    records = read_fhir(write(tmp_path / "b.json", {"resourceType": "Bundle", "entry": entries}), zone="Europe/Paris")
    assert {record.patient: record.events["value"].tolist() for record in records} == {
        "fhir-ann": [100.0, 101.0, 102.0, 103.0, 104.0],
        f"fhir-{uuid.removeprefix('urn:uuid:')}": [105.0],
        "fhir-other.example-fhir-Patient-ann": [106.0],
    }
    assert [record.group for record in records] == ["child", "adult", "adult"]
    assert rules(records[0]) == {"no subject": 2, "group by age": 1}
    with pytest.raises(RecordError, match="3 patients cannot all be 'p'"):
        read_fhir(tmp_path / "b.json", patient="p")


def test_a_person_who_cannot_be_trusted_is_left_out(tmp_path: Path) -> None:
    bad = [reading(5000 + i, at=f"08:{10 + i}", subject={"reference": "Patient/2"}) for i in range(4)]
    path = write(
        tmp_path / "b.json", bundle(reading(), *bad, {"resourceType": "Condition", "subject": {"reference": "Patient/3"}})
    )
    with pytest.raises(RecordError, match="glucose outside 20 to 600"):
        read_fhir(path)
    refused: Refused = {}
    [record] = read_fhir(path, refused=refused)
    assert record.patient == "fhir-1"
    assert list(refused) == ["fhir-2"]
    assert rules(record)["not read"] == 1  # the third person has nothing that is read


def test_ndjson_folders_lists_and_single_resources(tmp_path: Path) -> None:
    folder = tmp_path / "export"
    folder.mkdir()
    lines = "\n".join(json.dumps(reading(100 + i, at=f"08:{10 + i}")) for i in range(3))
    write(folder / "Observation.ndjson", lines + "\n\n")
    write(folder / "Patient.ndjson", json.dumps(PATIENT))
    write(folder / "manifest.json", {"transactionTime": "2024-05-02T10:00:00Z", "output": []})
    [record] = read_fhir(folder)
    assert record.events["value"].tolist() == [100.0, 101.0, 102.0]
    assert record.zone == "Europe/Berlin"
    assert record.events["origin"].tolist() == [f"Observation.ndjson:{row}" for row in (1, 2, 3)]
    assert rules(record) == {"not FHIR": 1}
    for content in (reading(), [reading()], bundle(bundle(reading()))):
        [single] = read_fhir(write(tmp_path / "one.json", content), patient="p")
        assert (single.patient, single.events["value"].tolist()) == ("p", [120.0])


def test_the_same_resource_twice_and_a_page_of_a_search(tmp_path: Path) -> None:
    old = reading(100, id="o", meta={"lastUpdated": "2024-05-02T09:00:00Z"})
    new = reading(110, id="o", meta={"lastUpdated": "2024-05-03T09:00:00Z"})
    deleted = {"request": {"method": "DELETE", "url": "Observation/x"}}
    content = bundle(PATIENT, new, old, kind="searchset", link=[{"relation": "next", "url": "https://h.example/fhir?page=2"}])
    content["entry"] += [deleted, {"response": {"status": "201"}}]
    [record] = read_fhir(write(tmp_path / "b.json", content))
    assert record.events["value"].tolist() == [110.0]
    assert rules(record) == {"duplicate": 1, "deleted": 1, "no resource": 1, "page missing": 1}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{}", "expected a FHIR resource, found keys"),
        ("[1, 2]", "expected a FHIR resource, found int"),
        ('{"resourceType": "Bundle", "entry": {"a": 1}}', "expected a list of entries"),
        ('{"resourceType": "Bundle"}', "no FHIR resource in it"),
        ('{"resourceType": "Observation", "code"', "not JSON.*cut short"),
        (json.dumps(reading()) + '\n{"resourceType": "Obs', "row 2: not JSON"),
        (json.dumps(reading()).replace("120", "NaN"), "NaN is no JSON number"),
        ("[" * 100_000, "nested too deeply"),
        (json.dumps(bundle(PATIENT)), "no patient's glucose"),
        (json.dumps(bundle(reading(status="cancelled"))), "the first of 1 left out by the rule 'withdrawn'"),
    ],
)
def test_what_is_not_trusted_is_refused_with_a_reason(tmp_path: Path, content: str, says: str) -> None:
    with pytest.raises(RecordError, match=says):
        read_fhir(write(tmp_path / "b.json", content))


def test_two_people_under_one_id_are_not_joined(tmp_path: Path) -> None:
    for name, born in (("a", "1970-01-01"), ("b", "1990-01-01")):
        write(tmp_path / f"{name}.json", bundle({"resourceType": "Patient", "id": "1", "birthDate": born}, reading()))
    with pytest.raises(RecordError, match="two people are Patient/1"):
        read_fhir(tmp_path)


def test_recognise() -> None:
    assert recognise('\ufeff {\n "id": "x",\n "resourceType" : "Bundle", "entry": [') == 'JSON with "resourceType": "Bundle"'
    assert recognise(json.dumps(reading()) + "\n" + json.dumps(reading()))
    assert recognise('[{"type": "sgv", "sgv": 100}]') is None
    assert recognise('time,glucose\n2024-01-01 00:00,"""resourceType"": ""Bundle"""') is None


def sampled(data: str, code: str = "99504-3", unit: str = "mg/dL", **more: object) -> Resource:
    said = {"origin": {"value": 0, "unit": unit, "system": UCUM, "code": unit}, "period": 300_000, "dimensions": 1, "data": data}
    return reading(code=code, valueQuantity=None, valueSampledData={**said, **more})


def test_sampled_data_is_a_reading_a_point(tmp_path: Path) -> None:
    record = read(tmp_path, sampled("120 121 E 123 L U"))
    assert [event[:3] + event[4:] for event in events(record)] == [
        ("08:00", "glucose", 120.0, ""), ("08:05", "glucose", 121.0, ""), ("08:15", "glucose", 123.0, ""),
        ("08:20", "glucose", 40.0, "low"), ("08:25", "glucose", 400.0, "high"),
    ]  # fmt: skip
    assert rules(record)["sampled data"] == 1


def test_sampled_data_has_an_origin_a_factor_and_limits(tmp_path: Path) -> None:
    mmol = sampled("50 60 L", "105272-9", "mmol/L", factor=0.1, lowerLimit=2.2, origin={"value": 1, "code": "mmol/L"})
    by_r5 = sampled("110", period=None, interval=5, intervalUnit="min", origin={"value": 0, "code": "mg/dL"})
    found = events(read(tmp_path, mmol, {**by_r5, "effectiveDateTime": "2024-05-02T09:00:00Z"}))
    assert [round(value, 1) for _, _, value, *_ in found] == [108.1, 126.1, 39.6, 110.0]


@pytest.mark.parametrize("wrong", [{"dimensions": 2}, {"period": 0}, {"factor": "x"}, {"data": ""}])
def test_sampled_data_that_cannot_be_read_is_told(tmp_path: Path, wrong: dict[str, Any]) -> None:
    record = read(tmp_path, reading(), sampled(**{"data": "120 121", **wrong}))
    assert len(events(record)) == 1 and rules(record)["sampled data"] == 1


@pytest.mark.parametrize(
    "said", [{"modifierExtension": [{"url": "http://example.org/refuted", "valueBoolean": True}]}, {"implicitRules": "urn:rules"}]
)
def test_what_may_change_the_meaning_is_left_out_and_told(tmp_path: Path, said: Resource) -> None:
    [record] = read_fhir(write(tmp_path / "b.json", bundle(PATIENT, reading(), {**reading(at="08:05"), **said})))
    assert len(record.events) == 1
    assert rules(record) == {"modifier": 1}
