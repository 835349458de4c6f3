"""What uploaders make of one event in Nightscout's and Tidepool's documents: it counts once, as what it was."""

import json
from pathlib import Path

import pytest

from careplan.records import PatientRecord, read
from tests.records import nightscout_sites as site
from tests.records.accounting import accounted, at, rules

PUMP = {"pumpId": 77, "pumpType": "OMNIPOD_DASH", "pumpSerial": "4241"}
LOOP = {"syncIdentifier": "c1", "enteredBy": "loop://iPhone"}
at_eight = {"created_at": "2024-03-05T08:00:41.000Z"}

TWICE = {  # two documents, and what is left of them in a channel
    "a pump's delivery, seconds apart": (
        [site.at("08:00", "Bolus", insulin=2.0, **PUMP), {**site.at("08:00", "Bolus", insulin=2.0, **PUMP), **at_eight}],
        ("bolus", [("03-05 08:00", 2.0)]),
    ),
    "a bolus that was cut short": (
        [site.at("08:00", "Meal Bolus", insulin=5.0, **PUMP), site.at("08:00", "Correction Bolus", insulin=3.2, **PUMP)],
        ("bolus", [("03-05 08:00", 3.2)]),
    ),
    "Loop's rewritten bolus": (
        [site.at("08:00", "Bolus", insulin=5.0, **LOOP), site.at("08:00", "Bolus", insulin=3.2, programmed=5.0, **LOOP)],
        ("bolus", [("03-05 08:00", 3.2)]),
    ),
    "carbs that were edited": (
        [site.at("08:00", "Carb Correction", carbs=40, **LOOP), site.at("08:05", "Carb Correction", carbs=30, **LOOP)],
        ("carbs", [("03-05 08:05", 30.0)]),
    ),
}


@pytest.mark.parametrize("how", TWICE)
def test_two_versions_of_one_treatment(tmp_path: Path, how: str) -> None:
    treatments, (channel, left) = TWICE[how]
    record = site.read(tmp_path, treatments)
    assert at(record, channel) == left
    assert rules(record) == {"older version": 1}


def test_a_dose_sent_again_within_a_second_is_one(tmp_path: Path) -> None:
    twice = [{"_id": each, "created_at": f"2024-03-05T13:00:00.{each}00Z"} for each in "19"]
    again = [site.at("13:00", "Bolus", insulin=2.0) | each for each in twice]
    micro = [site.at(clock, "SMB", insulin=0.1) for clock in ("14:00", "14:05")]
    record = site.read(tmp_path, [*again, *micro])
    assert at(record, "bolus") == [("03-05 13:00", 2.0), ("03-05 14:00", 0.1), ("03-05 14:05", 0.1)]
    assert rules(record) == {"duplicate": 1}


def test_a_pumps_numbers_begin_again_and_serve_two_parts_of_a_combo(tmp_path: Path) -> None:
    treatments = [
        site.at("08:00", "Meal Bolus", insulin=2.0, **PUMP),
        site.at("08:00", "Combo Bolus", enteredinsulin=3.0, splitNow=0, splitExt=100, duration=60, **PUMP),
        {**site.at("08:00", "Bolus", insulin=1.0, **PUMP), "created_at": "2024-03-04T08:00:00.000Z"},
    ]
    assert [value for _, value in at(site.read(tmp_path, treatments), "bolus")] == [1.0, 2.0, 3.0]


def test_what_looks_like_a_meal_or_exercise_and_is_none(tmp_path: Path) -> None:
    treatments = [
        site.at("08:00", "Carb Correction", carbs=5, isFPU=True, fpuID="f"),
        site.at("09:00", "Exercise", duration=43200, notes="Sport", enteredBy="Trio"),
        site.at("10:00", "Bolus", insulin=18, isBasalInsulin=True),
    ]
    record = site.read(tmp_path, treatments)
    assert rules(record) == {"fat and protein": 1, "override": 1}
    assert at(record, "long_acting") == [("03-05 10:00", 18.0)]
    assert not {"carbs", "activity", "bolus"} & set(record.events["channel"])


def tidepool(folder: Path, *documents: dict[str, object]) -> PatientRecord:
    common = {"timezoneOffset": -480, "uploadId": "u", "deviceId": "pump", "units": "mmol/L", "type": "cbg", "value": 6.7}
    (folder / "x.json").write_text(json.dumps([{**common, **each} for each in documents]), encoding="utf-8")
    [record] = read(folder / "x.json")  # one line, with mmol in many places: which format it is, is found
    assert accounted(record) == record.rows_read
    return record


@pytest.mark.parametrize(
    "stated",
    [
        {"deviceTime": "2024-01-18T02:00:00"},
        {"deviceTime": "2023-01-18T02:00:00", "conversionOffset": -31_536_000_000},  # the device's year was wrong
        {"time": 1_705_572_000_000},
        {"time": {"$date": "2024-01-18T10:00:00.000Z"}},
    ],
)
def test_times_of_tidepools_documents(tmp_path: Path, stated: dict[str, object]) -> None:
    assert [time for time, _ in at(tidepool(tmp_path, stated), "glucose")] == ["01-18 10:00"]


@pytest.mark.parametrize(
    ("kind", "word", "limit", "level"),
    [("smbg", "low", 20, 20.0), ("smbg", "low", 1.1101, 20.0), ("cbg", "low", 40, 40.0), ("cbg", "high", 400, 400.0)],
)
def test_limits_in_either_unit(tmp_path: Path, kind: str, word: str, limit: float, level: float) -> None:
    beyond = {"code": "bg/out-of-range", "value": word, "threshold": limit}
    record = tidepool(tmp_path, {"type": kind, "time": "2024-01-18T10:00:00Z", "value": 0.5, "annotations": [beyond]})
    assert [round(value) for _, value in at(record, "glucose")] == [level]
