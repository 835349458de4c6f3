"""Insulin, carbohydrate and weight in FHIR."""

from pathlib import Path

import pytest

from tests.records.fhir_build import ATC, coded, events, given_dose, read, reading, rules, units


def test_insulin_by_name_by_class_and_in_parts(tmp_path: Path) -> None:
    fast, slow, mixed = coded("A10AB05", ATC), coded("A10AE04", ATC), coded("A10AD05", ATC)
    record = read(
        tmp_path,
        given_dose({"text": "NovoRapid"}, units(4)),
        given_dose({"text": "Lantus SoloStar"}, units(18, "U"), effectiveDateTime="2024-05-02T09:00:00Z"),
        given_dose({"text": "NovoMix 30"}, units(20), effectiveDateTime="2024-05-02T10:00:00Z"),
        given_dose(fast, units(3), effectiveDateTime="2024-05-02T11:00:00Z"),
        given_dose(slow, units(12), effectiveDateTime="2024-05-02T12:00:00Z"),
        given_dose(mixed, units(9)),
        given_dose({"text": "Metformin 500 mg"}, units(1)),
        given_dose(fast, {"dose": {"value": 0.1, "unit": "mL"}}),
        given_dose(fast, units(3), status="not-done"),
        given_dose(fast, {"text": "as needed"}),
    )
    assert events(record) == [
        ("08:00", "bolus", 4.0, 0.0, ""),
        ("09:00", "long_acting", 18.0, 0.0, ""),
        ("10:00", "bolus", 6.0, 0.0, ""),
        ("10:00", "long_acting", 14.0, 0.0, ""),
        ("11:00", "bolus", 3.0, 0.0, ""),
        ("12:00", "long_acting", 12.0, 0.0, ""),
    ]
    assert rules(record) == {"unknown insulin": 1, "not insulin": 1, "unknown unit": 1, "withdrawn": 1, "no amount": 1}


def test_rates_extended_doses_references_and_statements(tmp_path: Path) -> None:
    fast = coded("A10AB", ATC)
    hour = {"start": "2024-05-02T08:00:00Z", "end": "2024-05-02T09:00:00Z"}
    open_ended = {"start": "2024-05-02T09:00:00Z"}
    rate = {"rateQuantity": {"value": 0.8, "unit": "U/h", "code": "[iU]/h"}}
    ratio = {"rateRatio": {"numerator": {"value": 2, "code": "[iU]"}, "denominator": {"value": 4, "code": "h"}}}
    daily = {"rateRatio": {"numerator": {"value": 24, "code": "[iU]"}, "denominator": {"value": 1, "code": "d"}}}
    morning = {"start": "2024-05-02T06:00:00Z", "end": "2024-05-02T08:00:00Z"}
    held = {"resourceType": "Medication", "id": "m", "code": {"text": "Humalog"}}
    stated = {
        "resourceType": "MedicationStatement",
        "dosage": [{"doseAndRate": [{"doseQuantity": {"value": 7, "code": "[iU]"}}]}],
    }
    usual = {"resourceType": "MedicationStatement", "dosage": [{"timing": {"repeat": {"frequency": 1}}, **units(7)}]}
    record = read(
        tmp_path,
        held,
        given_dose(fast, rate, effectiveDateTime=None, effectivePeriod=hour),
        given_dose(fast, ratio, effectiveDateTime=None, effectivePeriod=open_ended, status="in-progress"),
        given_dose(fast, daily, effectiveDateTime=None, effectivePeriod=morning),
        given_dose(fast, units(3), effectiveDateTime=None, effectivePeriod=hour),
        given_dose({}, units(2), medicationCodeableConcept=None, medicationReference={"reference": "Medication/m"}),
        given_dose(fast, {}, effectiveDateTime="2024-05-02T10:00:00Z") | stated,
        given_dose(fast, {}) | usual,
    )
    assert [(*row[:3], "open" if row[3] != row[3] else row[3]) for row in events(record)] == [
        ("06:00", "basal", 1.0, 120.0),
        ("08:00", "basal", 0.8, 60.0),
        ("08:00", "bolus", 3.0, 60.0),
        ("08:00", "bolus", 2.0, 0.0),
        ("09:00", "basal", 0.5, "open"),
        ("10:00", "bolus", 7.0, 0.0),
    ]
    assert rules(record) == {"no single dose": 1}


def test_carbohydrate_weight_and_components(tmp_path: Path) -> None:
    meal = {"code": coded("9059-7"), "valueQuantity": {"value": 45, "unit": "g"}}
    record = read(
        tmp_path,
        reading(at="08:00") | {"code": coded("85353-1"), "valueQuantity": None, "component": [meal]},
        reading(60, "9060-5", "g", "12:00"),
        reading(70, "9059-7", "kcal", "13:00"),
        reading(60, "29463-7", "kg", "07:00"),
        reading(150, "29463-7", "[lb_av]", "09:00"),
        reading(120, at="09:30"),
    )
    assert events(record) == [
        ("08:00", "carbs", 45.0, 0.0, ""),
        ("09:30", "glucose", 120.0, 0.0, ""),
        ("12:00", "carbs", 60.0, 0.0, ""),
    ]
    assert record.weight == pytest.approx(68.04, abs=0.01)
    assert rules(record) == {"unknown unit": 1}
